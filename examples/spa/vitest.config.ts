import { defineConfig, type ViteUserConfig } from "vitest/config";

// `npm run test:spa` of the repository packs remint and installs it here first.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["**/*.test.ts"],
    exclude: ["node_modules/**"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Browsers on a small machine: one file at a time.
    fileParallelism: false,
  },
});

export default config;
