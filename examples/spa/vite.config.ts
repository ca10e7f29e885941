import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import type { Plugin, UserConfig } from "vite";
import { AppServer } from "./server/app-server.ts";

const page = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The pages and the server on one origin, as in production. */
export function configOf(server: AppServer): UserConfig {
  const api: Plugin = {
    name: "app-server",
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        server.handle(request, response).then((isAnswered) => {
          if (!isAnswered) next();
        }, next);
      });
    },
  };
  return {
    root: page("."),
    plugins: [react(), api],
    build: { rolldownOptions: { input: [page("index.html"), page("react.html")] } },
  };
}

export default defineConfig(configOf(new AppServer()));
