import { defineConfig, type ViteUserConfig } from "vitest/config";

// `npm run test:apps` of the repository packs remint and installs it here first.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.ts", "*/test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Each file builds and starts processes.
    fileParallelism: false,
  },
});

export default config;
