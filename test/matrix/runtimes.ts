/** The columns of the matrix: how a row is run in each runtime. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type BuildOptions } from "esbuild";
import { chromium } from "playwright-core";
import { SUBPATHS } from "../../scripts/subpaths.mjs";
import type { Result } from "./matrix.ts";
import type { Ground } from "./run.ts";

export type Tell = (result: Result) => void;

export interface Runtime {
  readonly name: string;
  /** Prepares the runtime. A text says why it cannot be had. */
  open(servers: Ground["servers"]): Promise<Opened | string>;
}

interface Opened {
  readonly version: string;
  /** Runs a row. @returns Why it cannot be run in this runtime; `undefined` if it was. */
  run(row: string, tell: Tell): Promise<string | undefined>;
  close(): Promise<unknown>;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
/** Below node_modules, so that bundles find the packages of this folder and of the root. */
const out = join(here, "node_modules", ".matrix");

const alias = Object.fromEntries(SUBPATHS.map(({ name, source }) => [name, join(root, "src", source)]));

async function bundle(entry: string, options: BuildOptions): Promise<string> {
  mkdirSync(out, { recursive: true });
  const outfile = join(out, `${entry}.mjs`);
  // The longest names first, because "remint" is the beginning of all others.
  const aliases = Object.fromEntries(Object.entries(alias).toSorted(([one], [other]) => other.length - one.length));
  const entryPoints = [join(here, `${entry}.ts`)];
  const fixed = { bundle: true, format: "esm", target: "es2022", logLevel: "error" } as const;
  await build({ ...fixed, entryPoints, outfile, alias: aliases, ...options });
  return outfile;
}

/** The packages that only Node's modules can serve. */
const NODE_ONLY = ["undici", "undici-6", "undici-8", "node-fetch", "cross-fetch", "form-data", "node:*"];

let nodeBundle: Promise<string> | undefined;

/** A runtime that has Node's modules and runs a file. */
function commandRuntime(name: string, commandOf: () => readonly string[] | string): Runtime {
  return {
    name,
    async open(servers) {
      const command = commandOf();
      if (typeof command === "string") return command;
      const [file = "", ...before] = command;
      // The packages are left outside, so that the runtime resolves them in its own way.
      const module = await (nodeBundle ??= bundle("entry-node", { platform: "node", packages: "external" }));
      const children = new Set<ChildProcess>();
      return {
        version: execFileSync(file, ["--version"], { encoding: "utf8" }).split("\n")[0]!.trim(),
        run: (row, tell) => runProcess([file, ...before, module, row, JSON.stringify(servers)], tell, children),
        async close() {
          for (const child of children) child.kill();
        },
      };
    },
  };
}

async function runProcess(
  [file = "", ...args]: readonly string[],
  tell: Tell,
  children: Set<ChildProcess>,
): Promise<string | undefined> {
  const child = spawn(file, args, { cwd: here, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let errors = "";
  child.stderr.on("data", (chunk) => (errors = (errors + String(chunk)).slice(-2000)));
  const left = new Promise<number | null>((resolve, reject) => child.once("close", resolve).once("error", reject));
  const end = await readResults(createInterface({ input: child.stdout }), tell);
  const code = await left;
  children.delete(child);
  if (end === undefined) tell({ name: "the process ends by itself", faults: [`it ended with ${code}: ${errors}`] });
  return end?.unfit;
}

interface End {
  readonly end: true;
  readonly unfit?: string;
}

/** Reads a result a line, up to the line that ends them. */
async function readResults(lines: AsyncIterable<string>, tell: Tell): Promise<End | undefined> {
  let end: End | undefined;
  for await (const line of lines) {
    if (!line.startsWith("{")) continue;
    const value = JSON.parse(line) as Result | End;
    if ("end" in value) end = value;
    else tell(value);
  }
  return end;
}

/** Node of a major version: this one if it fits, else the one of the registry. */
function nodeRuntime(major: number): Runtime {
  return commandRuntime(`Node ${major}`, () => {
    if (process.versions.node.startsWith(`${major}.`)) return [process.execPath];
    const args = ["-y", "-p", `node@${major}`, "node", "-p", "process.execPath"];
    try {
      return [execFileSync("npx", args, { cwd: out, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()];
    } catch {
      return `npx node@${major} failed`;
    }
  });
}

/** The binary that a package of this platform brings. */
function binary(scope: string, file: string): string | undefined {
  const folder = join(here, "node_modules", scope);
  const packages = existsSync(folder) ? readdirSync(folder) : [];
  return packages.map((name) => join(folder, name, file)).find(existsSync);
}

const bun = commandRuntime("Bun", () => {
  const file = binary("@oven", "bin/bun");
  return file === undefined ? "no Bun for this platform" : [file, "run"];
});
const deno = commandRuntime("Deno", () => {
  const file = binary("@deno", "deno");
  return file === undefined ? "no Deno for this platform" : [file, "run", "--allow-all", "--no-prompt", "--quiet"];
});

const workerd: Runtime = {
  name: "workerd",
  async open(servers) {
    const require = createRequire(import.meta.url);
    const { Miniflare } = (await import(pathToFileURL(require.resolve("miniflare")).href)) as {
      Miniflare: MiniflareClass;
    };
    const { version } = require("workerd/package.json") as { version: string };
    const script = await bundle("entry-worker", {
      platform: "browser",
      conditions: ["workerd", "worker", "browser"],
      external: NODE_ONLY,
    });
    const miniflare = new Miniflare({
      modules: [{ type: "ESModule", path: "worker.mjs", contents: withoutNodeOnly(readFileSync(script, "utf8")) }],
      compatibilityDate: "2026-03-01",
      bindings: { SERVERS: servers },
    });
    await miniflare.ready;
    return {
      version,
      async run(row, tell) {
        const response = await miniflare.dispatchFetch(`http://matrix.invalid/${encodeURIComponent(row)}`);
        const end = await readResults(linesOf(response.body!), tell);
        if (end === undefined) tell({ name: "the worker ends by itself", faults: ["its answer broke off"] });
        return end?.unfit;
      },
      close: () => miniflare.dispose(),
    };
  },
};

interface MiniflareClass {
  new (options: object): {
    readonly ready: Promise<unknown>;
    dispatchFetch(url: string): Promise<Response>;
    dispose(): Promise<void>;
  };
}

/** Replaces the imports of packages that are never loaded there: workerd resolves every import when it starts. */
function withoutNodeOnly(script: string): string {
  return script.replaceAll(/import\("(?:undici|undici-6|undici-8|node-fetch|cross-fetch)"\)/g, "Promise.reject()");
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

const page: Runtime = {
  name: "Chromium",
  async open(servers) {
    const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
    if (!existsSync(executablePath)) return `no Chromium at ${executablePath}`;
    const browser = await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    });
    return {
      version: browser.version(),
      async run(row, tell) {
        const opened = await browser.newPage();
        try {
          await opened.exposeFunction("tell", tell);
          await opened.goto(`${servers.api}/page`);
          await opened.waitForFunction("typeof run === 'function'");
          const call = `run(${JSON.stringify(servers)}, ${JSON.stringify(row)})`;
          return await opened.evaluate<string | undefined>(call);
        } finally {
          await opened.close();
        }
      },
      close: () => browser.close(),
    };
  },
};

/** Returns the document and the script of the page, by path. */
export async function pageFiles(): Promise<Record<string, string>> {
  const script = await bundle("entry-page", { platform: "browser", external: NODE_ONLY });
  return {
    "/page": '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>',
    "/page.js": readFileSync(script, "utf8"),
  };
}

export const runtimes: readonly Runtime[] = [
  nodeRuntime(20),
  nodeRuntime(22),
  nodeRuntime(24),
  nodeRuntime(26),
  bun,
  deno,
  workerd,
  page,
];
