import { defineConfig, mergeConfig, type ViteUserConfig } from "vitest/config";
import all from "./vitest.config.ts";

// What to run while writing: no browser, no Redis, no other process, no matrix of client versions. `npm test` runs all.
const config: ViteUserConfig = mergeConfig(
  all,
  defineConfig({
    test: {
      // Files share what they import. `npm test` gives each file its own, so that none depends on another.
      isolate: false,
      exclude: [
        "test/adapters/*/versions.test.ts",
        "test/adapters/body-matrix.test.ts",
        "test/adapters/contract.test.ts",
        "test/adapters/oidc*.test.ts",
        "test/adapters/unhandled.test.ts",
        "test/browser/**",
        "test/core/process.test.ts",
        "test/core/time-process.test.ts",
        "test/examples/**",
        "test/fleet/pool.test.ts",
        "test/fleet/postgres-store.test.ts",
        "test/fleet/redis/**",
        "test/grants/killed.test.ts",
        "test/house/doc-examples.test.ts",
        "test/house/peers.test.ts",
        "test/house/readme.test.ts",
        "test/matrix/**",
        "test/sim/**",
      ],
    },
  }),
);

export default config;
