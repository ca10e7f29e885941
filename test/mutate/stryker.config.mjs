import { fileURLToPath } from "node:url";

/** @type {import("@stryker-mutator/api/core").PartialStrykerOptions} */
export default {
  testRunner: "vitest",
  plugins: [fileURLToPath(import.meta.resolve("@stryker-mutator/vitest-runner"))],
  vitest: { configFile: "test/mutate/vitest.config.ts", related: true },
  mutate: ["src/core/expiry.ts", "src/core/failures.ts", "src/core/mint.ts", "src/base/errors.ts"],
  // Texts are for people; what has to hold of them is asserted where it matters.
  mutator: { excludedMutations: ["StringLiteral"] },
  reporters: ["clear-text", "progress"],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  concurrency: 2,
  ignoreStatic: true,
  tempDirName: ".tmp/stryker",
  cleanTempDir: "always",
};
