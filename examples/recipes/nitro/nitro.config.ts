import { defineNitroConfig } from "nitropack/config";

export default defineNitroConfig({
  compatibilityDate: "2026-11-01",
  srcDir: "server",
  // Asked in this order. What the first one does not answer, Nitro answers.
  errorHandler: "~/error",
});
