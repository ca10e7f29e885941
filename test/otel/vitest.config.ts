import { defineConfig, type ViteUserConfig } from "vitest/config";

// What the SDK of OpenTelemetry exports. `npm run test:otel` of the repository packs remint and installs it here first.
const config: ViteUserConfig = defineConfig({
  test: { include: ["*.test.ts"], testTimeout: 30_000, hookTimeout: 30_000 },
});

export default config;
