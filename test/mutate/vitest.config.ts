import { defineConfig, type ViteUserConfig } from "vitest/config";
import all from "../../vitest.config.ts";

// The tests that a mutant of the core has to survive: fast, and without other processes.
const config: ViteUserConfig = defineConfig({
  ...all,
  test: {
    ...all.test,
    include: ["test/core/**/*.test.ts", "test/base/**/*.test.ts"],
    exclude: ["test/core/process.test.ts", "test/core/time-process.test.ts"],
    testTimeout: 5000,
  },
});

export default config;
