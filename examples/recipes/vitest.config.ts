import { defineConfig, type ViteUserConfig } from "vitest/config";

// `npm run test:recipes` of the repository packs remint and installs it here first.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["**/*.test.ts"],
    exclude: ["node_modules/**"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: "100%",
    // Both have to load the same build of graphql.
    server: { deps: { inline: ["graphql", "graphql-http"] } },
  },
});

export default config;
