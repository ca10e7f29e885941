// A route of Nitro 2 that calls an API with a token of this server. In examples/apps, after its packages are installed:
// `npx nitro build nitro-route`, then `node nitro-route/.output/server/index.mjs` with the variables that billing.ts names.
import { defineNitroConfig } from "nitropack/config";

export default defineNitroConfig({
  compatibilityDate: "2026-11-01",
  srcDir: "server",
  errorHandler: "~/error.ts",
});
