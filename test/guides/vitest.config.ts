import { defineConfig, type ViteUserConfig } from "vitest/config";

// The code of docs/clients.md, docs/grants.md, docs/migration.md, docs/testing.md and docs/users.md, run with the packages that it
// names. `npm run test:guides` packs remint and installs it here first.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

export default config;
