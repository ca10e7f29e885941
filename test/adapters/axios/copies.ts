/** The copies of axios a process may hold at once, and the ways a user may name an adapter. */
import { createRequire } from "node:module";
import type { AxiosStatic } from "axios";
import type { AuthInterceptorOptions } from "remint/axios";

const VERSIONS = ["axios-1.5.0", "axios-1.6.8", "axios-1.7.9", "axios-1.9.0", "axios-1.13.0", "axios"] as const;

export interface Copy {
  readonly name: string;
  /** The copy the user's code calls. */
  readonly axios: AxiosStatic;
  /** The copy our interceptor works with. */
  readonly ours: AxiosStatic;
  readonly options: AuthInterceptorOptions;
  /** Another of the list differs from it in nothing but where the copy came from: two adapters will do. */
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
    { name: `${version} CommonJS, not given`, axios: commonjs, ours: installed, options: {} },
    // What a package that resolves to an older axios than the user's does; here of the same version.
    { name: `${version} CommonJS, its ES module given`, axios: commonjs, ours: module, options: { axios: module } },
  ];
}

export const copies: readonly Copy[] = (await Promise.all(VERSIONS.map(copiesOf))).flat();

export interface AdapterChoice {
  readonly name: "http" | "fetch" | "unset" | "an array" | "a function";
  readonly config: { readonly adapter?: unknown };
  /** Only another way to name an adapter of the list. */
  readonly essential?: true;
}

/** The ways to name an adapter that this copy knows. */
export function adaptersOf({ axios, ours, brief }: Copy): AdapterChoice[] {
  const http = axios.getAdapter("http");
  const choices: AdapterChoice[] = [
    { name: "http", config: { adapter: "http" } },
    { name: "unset", config: {}, essential: true },
    { name: "an array", config: { adapter: ["xhr", "http"] }, essential: true },
    // Of the user's own copy, as a caching or a logging adapter around it would be.
    { name: "a function", config: { adapter: (config: never) => http(config) } },
  ];
  if (brief) return choices.filter(({ name }) => name === "http" || name === "a function");
  const minor = Number(ours.VERSION.split(".")[1]);
  return minor >= 7 ? [...choices, { name: "fetch", config: { adapter: "fetch" } }] : choices;
}
