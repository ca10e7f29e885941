import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

const config: ViteUserConfig = defineConfig({
  resolve: {
    // Tests and examples import the package as a user does; here that means its sources.
    alias: [
      { find: /^remint$/, replacement: source("index.ts") },
      { find: /^remint\/(fetch|ofetch)$/, replacement: source("adapters/$1.ts") },
      { find: /^remint\/axios$/, replacement: source("adapters/axios/index.ts") },
      { find: /^remint\/(chalk|salesforce)$/, replacement: source("providers/$1.ts") },
      { find: /^remint\/fleet$/, replacement: source("fleet/index.ts") },
      { find: /^remint\/redis$/, replacement: source("fleet/redis.ts") },
      { find: /^remint\/dpop$/, replacement: source("dpop/index.ts") },
      { find: /^remint\/node$/, replacement: source("node/index.ts") },
      { find: /^remint\/policy$/, replacement: source("policy/request-policy.ts") },
      { find: /^remint\/testing$/, replacement: source("testing/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/dist/**", "node_modules/**"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});

export default config;
