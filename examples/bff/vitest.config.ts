import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { SUBPATHS } from "../../scripts/subpaths.mjs";

// The tests of this example: `npm run test:bff`. The library is its sources, as in the tests of the library.
const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: SUBPATHS.map(({ name, source }) => ({
      find: new RegExp(`^${name}$`),
      replacement: fileURLToPath(new URL(`../../src/${source}`, import.meta.url)),
    })),
  },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Processes that a test starts run on the sources too.
    env: { TSX_TSCONFIG_PATH: fileURLToPath(new URL("tsconfig.json", import.meta.url)) },
    // Each file has servers, and most have a browser: two at a time are slow enough to run into time limits.
    maxWorkers: 1,
    // Chromium crashes by itself now and then under its debugger, which hangs the hooks of a test.
    retry: 1,
  },
});

export default config;
