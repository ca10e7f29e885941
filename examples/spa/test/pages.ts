/** For the tests: the example on a port of its own, Chromium, and changes of modules as a developer makes them. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { createServer, mergeConfig } from "vite";
import type { Browser } from "playwright-core";
import type { Plugin, ViteDevServer } from "vite";
import { AppServer } from "../server/app-server.ts";
import { configOf } from "../vite.config.ts";

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];

/** In CI a missing Chromium is a failure. */
export const isSkipped = !existsSync(executablePath) && process.env["CI"] !== "true";
if (isSkipped) console.warn(`skipped: there is no Chromium at ${executablePath}`);

export const launch = (): Promise<Browser> => chromium.launch({ executablePath, args: FLAGS });

type Change = (code: string) => string;

/** A development server that serves the example. Its modules can be changed without a change on the disk. */
export class Pages {
  readonly app: AppServer;
  readonly origin: string;
  readonly #vite: ViteDevServer;
  readonly #changes: Map<string, Change>;

  private constructor(app: AppServer, vite: ViteDevServer, changes: Map<string, Change>) {
    [this.app, this.#vite, this.#changes] = [app, vite, changes];
    this.origin = vite.resolvedUrls!.local[0]!.replace(/\/$/, "");
  }

  static async start(changes: Record<string, Change> = {}): Promise<Pages> {
    const known = new Map(Object.entries(changes));
    const plugin: Plugin = {
      name: "changes",
      enforce: "pre",
      transform(code, id) {
        for (const [file, change] of known) if (id.replace(/\?.*/, "").endsWith(`/${file}`)) return change(code);
        return undefined;
      },
    };
    const app = new AppServer();
    const vite = await createServer(
      mergeConfig(configOf(app), {
        configFile: false,
        logLevel: "error",
        plugins: [plugin],
        server: { host: "localhost", port: 20_000 + Math.floor(Math.random() * 10_000) },
        optimizeDeps: {
          include: ["axios", "axios-auth-refresh", "axios-mock-adapter", "ofetch", "react", "react-dom/client"],
        },
      }),
    );
    return new Pages(app, await vite.listen(), known);
  }

  /** Saves a module with another text: the pages get it by hot module replacement. */
  change(file: string, change: Change): void {
    this.#changes.set(file, change);
    this.#vite.watcher.emit("change", fileURLToPath(new URL(`../${file}`, import.meta.url)));
  }

  close(): Promise<void> {
    return this.#vite.close();
  }
}
