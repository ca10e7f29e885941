import { defineConfig, type ViteUserConfig } from "vitest/config";

// What a user gets: the packed package, installed outside the repository. Needs a build and the package registry.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/dist/**/*.test.ts"],
    globalSetup: "test/dist/consumers.ts",
    testTimeout: 120_000,
    hookTimeout: 300_000,
    // Compilers and Jest are what takes the time here: as many at once as a small machine has cores.
    fileParallelism: false,
    maxConcurrency: 2,
  },
});

export default config;
