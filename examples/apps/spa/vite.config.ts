import { fileURLToPath } from "node:url";
import { defineConfig, type UserConfig } from "vite";

const config: UserConfig = defineConfig({ root: fileURLToPath(new URL(".", import.meta.url)), logLevel: "warn" });

export default config;
