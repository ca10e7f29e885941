import { defineConfig, type ViteUserConfig } from "vitest/config";

// What other people's frameworks and tools do with the errors of this package. `npm run test:frameworks` packs the
// package and installs it here, beside them: they are no dependencies of the repository.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["*.test.ts"],
    testTimeout: 30_000,
    // Next.js compiles its routes.
    hookTimeout: 120_000,
    maxWorkers: "100%",
  },
});

export default config;
