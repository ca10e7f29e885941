/** The rows of the matrix: clients in all their versions. Runs everywhere: no `node:` imports. */
import type { AxiosStatic } from "axios";
import type { $Fetch } from "ofetch";
import {
  axiosClient,
  type FetchKind,
  fetchClient,
  globalKind,
  ofetchClient,
  type TestClient,
  undiciClient,
  type UndiciModule,
} from "./clients.ts";

export interface Row {
  readonly name: string;
  /** Loads the client; a text says why it cannot be had. Called in the runtime that it is for. */
  readonly load: () => Promise<TestClient | string>;
  /** Needs a package that only `npm run matrix` installs. */
  readonly installed?: true;
}

type Module = Readonly<Record<string, unknown>>;

const isNode = typeof process === "object" && process.versions?.node !== undefined && !("WebSocketPair" in globalThis);
/** Whether the runtime's fetch is Node's: Bun and Deno have fetches of their own. */
const fetchTakesDispatchers = isNode && !("Bun" in globalThis) && !("Deno" in globalThis);
const NO_NODE = "needs Node's modules";

function fetchRow(
  name: string,
  load: () => Promise<Module>,
  kindOf: (module: Module) => unknown,
  installed?: true,
): Row {
  return {
    name: `fetch, ${name}`,
    load: async () => (isNode ? fetchClient(name, kindOf(await load()) as FetchKind) : NO_NODE),
    ...(installed && { installed }),
  };
}

/** The ways to send a request through a dispatcher of undici. */
function undiciRows(version: string, load: () => Promise<Module>, installed?: true): Row[] {
  return (["request", "fetch", "Node's fetch"] as const).map((way) => {
    const name = `undici ${version}, ${way}`;
    return {
      name,
      async load() {
        if (!isNode) return NO_NODE;
        if (way === "Node's fetch" && !fetchTakesDispatchers) return "its own fetch takes no dispatcher";
        if (version === "8" && way === "Node's fetch") return "undici 8 refuses the option dispatcher of Node's fetch";
        if (version === "8" && Number.parseInt(process.versions.node, 10) < 22) return "undici 8 needs Node 22";
        const module = await load();
        if (
          typeof (module["Agent"] as { prototype?: { compose?: unknown } } | undefined)?.prototype?.compose !==
          "function"
        )
          return "its own undici has no dispatchers that can be composed";
        const kind = { request: undefined, fetch: module as unknown as FetchKind, "Node's fetch": globalKind }[way];
        return undiciClient(name, module as unknown as UndiciModule, kind);
      },
      ...(installed && { installed }),
    };
  });
}

function ofetchRow(version: string, load: () => Promise<{ ofetch: unknown }>): Row {
  const name = `ofetch ${version}`;
  return { name, load: async () => ofetchClient(name, (await load()).ofetch as $Fetch) };
}

function axiosRows(version: string, load: () => Promise<{ default: unknown }>): Row[] {
  return (["http", "fetch", "xhr"] as const).map((adapter) => {
    const name = `axios ${version}, ${adapter}`;
    return {
      name,
      async load() {
        if (adapter === "xhr" && typeof XMLHttpRequest === "undefined") return "no XMLHttpRequest";
        if (adapter === "http" && !isNode) return NO_NODE;
        const axios = (await load()).default as AxiosStatic;
        if (adapter === "fetch" && Number(axios.VERSION.split(".")[1]) < 7)
          return "axios before 1.7 has no fetch adapter";
        return axiosClient(name, axios, adapter);
      },
    };
  });
}

export const rows: readonly Row[] = [
  { name: "fetch, global", load: () => Promise.resolve(fetchClient("fetch, global", globalKind)) },
  fetchRow(
    "undici 7",
    () => import("undici"),
    (module) => module,
  ),
  fetchRow(
    "undici 6",
    () => import("undici-6"),
    (module) => module,
    true,
  ),
  fetchRow(
    "node-fetch 3",
    () => import("node-fetch"),
    (module) => ({ ...module, fetch: module["default"] }),
    true,
  ),
  fetchRow(
    "cross-fetch 4",
    () => import("cross-fetch"),
    (module) => ({ ...module, fetch: module["default"], FormData }),
    true,
  ),
  ...undiciRows("7", () => import("undici")),
  ...undiciRows("6", () => import("undici-6"), true),
  ...undiciRows("8", () => import("undici-8"), true),
  ofetchRow("1.4.0", () => import("ofetch-1.4.0")),
  ofetchRow("1.5.1", () => import("ofetch")),
  ofetchRow("2.0.0-alpha.3", () => import("ofetch-2")),
  ...axiosRows("1.5.0", () => import("axios-1.5.0")),
  ...axiosRows("1.6.8", () => import("axios-1.6.8")),
  ...axiosRows("1.7.9", () => import("axios-1.7.9")),
  ...axiosRows("1.9.0", () => import("axios-1.9.0")),
  ...axiosRows("1.13.0", () => import("axios-1.13.0")),
  ...axiosRows("1.21.1", () => import("axios")),
];
