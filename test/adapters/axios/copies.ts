/** The copies of axios that a process may load at once, and the ways in which a user may name an adapter. */
import { createRequire } from "node:module";
import type { AxiosStatic } from "axios";
import type { AuthInterceptorOptions } from "remint/axios";

const VERSIONS = ["axios-1.5.0", "axios-1.6.8", "axios-1.7.9", "axios-1.9.0", "axios-1.13.0", "axios"] as const;

export interface Copy {
  readonly name: string;
  /** The copy that the user's code calls. */
  readonly axios: AxiosStatic;
  /** The copy that sends the requests. */
  readonly ours: AxiosStatic;
  readonly options: AuthInterceptorOptions;
  /** Tested with two adapters only, because another copy of the list differs only in where it was loaded from. */
  readonly brief?: true;
}

const require = createRequire(import.meta.url);
const esm = async (name: string): Promise<AxiosStatic> => ((await import(name)) as { default: AxiosStatic }).default;
const cjs = (name: string): AxiosStatic => require(name) as AxiosStatic;

const installed = await esm("axios");

async function copiesOf(name: string): Promise<Copy[]> {
  const [module, commonjs] = [await esm(name), cjs(name)];
  const version = module.VERSION;
  return [
    { name: `${version}, given`, axios: module, ours: module, options: { axios: module } },
    { name: `${version}, not given`, axios: module, ours: installed, options: {}, brief: true },
    // A CommonJS copy is found, whatever the interceptor was given.
    { name: `${version} CommonJS, not given`, axios: commonjs, ours: commonjs, options: {} },
    { name: `${version} CommonJS, its ES module given`, axios: commonjs, ours: commonjs, options: { axios: module } },
  ];
}

export const copies: readonly Copy[] = (await Promise.all(VERSIONS.map(copiesOf))).flat();

export interface AdapterChoice {
  readonly name: "http" | "fetch" | "unset" | "an array" | "a function";
  readonly config: { readonly adapter?: unknown };
  /** Only the essential cases are run, because another choice of the list is the same adapter. */
  readonly essential?: true;
}

/** Returns the ways to name an adapter that this copy supports. */
export function adaptersOf({ axios, ours, brief }: Copy): AdapterChoice[] {
  const http = axios.getAdapter("http");
  const choices: AdapterChoice[] = [
    { name: "http", config: { adapter: "http" } },
    { name: "unset", config: {}, essential: true },
    { name: "an array", config: { adapter: ["xhr", "http"] }, essential: true },
    // An adapter of the user's own copy, as inside a caching or logging adapter.
    { name: "a function", config: { adapter: (config: never) => http(config) } },
  ];
  if (brief) return choices.filter(({ name }) => name === "http" || name === "a function");
  const minor = Number(ours.VERSION.split(".")[1]);
  return minor >= 7 ? [...choices, { name: "fetch", config: { adapter: "fetch" } }] : choices;
}
