import { defineConfig, type ViteUserConfig } from "vitest/config";

// The code of docs/testing.md and docs/migration.md, run with the packages that it names. `npm run test:guides` packs remint and
// installs it here first.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

export default config;
