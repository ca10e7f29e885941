import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { SUBPATHS } from "./scripts/subpaths.mjs";

const config: ViteUserConfig = defineConfig({
  resolve: {
    // Tests and examples import the package as a user does; here that means its sources.
    alias: SUBPATHS.map(({ name, source }) => ({
      find: new RegExp(`^${name}$`),
      replacement: fileURLToPath(new URL(`./src/${source}`, import.meta.url)),
    })),
  },
  test: {
    include: ["test/**/*.test.ts"],
    // What is below these has packages of its own: `npm run test:frameworks`, `npm run test:guides`, `npm run test:otel`.
    exclude: ["test/dist/**", "test/frameworks/**", "test/guides/**", "test/otel/**", "**/node_modules/**"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Of the cores of a small machine vitest would leave one unused.
    maxWorkers: "100%",
  },
});

export default config;
