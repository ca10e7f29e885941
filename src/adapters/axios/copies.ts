/**
 * Copies and versions of axios: which copy sends a request, and what its version does differently.
 *
 * An application may have two copies of axios, its own and the one that this package resolves to: every CommonJS
 * application has, because axios has a file of its own for it. A request is sent by the copy that it comes from, where
 * that one can be found. The `AxiosHeaders` of one copy are unknown to the other, so a request is translated where it
 * cannot.
 *
 * Not here: how a single request is sent (`call.ts`).
 *
 * @module
 */
import installedAxios from "axios";
import { adopt, hide } from "../../base/errors.ts";
import { optionError } from "../../base/options.ts";
import { warn } from "../../base/warn.ts";
import type { AxiosStatic } from "axios";
import type { RemintError } from "../../base/errors.ts";
import type { AxiosCallConfig, AxiosTraits, ResolvedAdapter } from "./call.ts";

/** The members that are needed of the axios module. Every copy since version 1.5 has them. */
export type AxiosLike = Pick<
  AxiosStatic,
  "AxiosError" | "AxiosHeaders" | "CanceledError" | "getAdapter" | "VERSION" | "defaults"
>;

/** A copy of axios, and how it sends. */
export interface Copy {
  readonly axios: AxiosLike;
  // Read once: axios has so many properties that V8 looks each of them up in a hash table.
  readonly getAdapter: AxiosLike["getAdapter"];
  readonly AxiosHeaders: AxiosLike["AxiosHeaders"];
  readonly traits: AxiosTraits;
}

/**
 * Returns the copy that an interceptor works with: the option `axios`, or else the installed one.
 *
 * @throws {TypeError} When it is not the axios module, or too old.
 */
export function copyOf(given: object | undefined): Copy {
  // The option may be a namespace (`import * as axios`), whose default export is the module. The module's own `default`
  // is the module again.
  const axios = given === undefined ? installedAxios : ((Object(given) as { default?: unknown }).default ?? given);
  if (isUsable(axios)) return newCopy(axios);
  const { VERSION } = Object(axios) as { VERSION?: unknown };
  if (typeof VERSION === "string") throw new TypeError(`remint/axios needs axios 1.5 or later, got axios ${VERSION}`);
  throw optionError(
    "axios",
    given,
    "the axios module, version 1.5 or later (an instance of axios.create() has no getAdapter)",
  );
}

function isUsable(axios: unknown): axios is AxiosLike {
  const { getAdapter, AxiosHeaders } = Object(axios) as Partial<AxiosLike>;
  return typeof getAdapter === "function" && typeof AxiosHeaders === "function";
}

function newCopy(axios: AxiosLike): Copy {
  const { getAdapter, AxiosHeaders } = axios;
  return { axios, getAdapter, AxiosHeaders, traits: traitsOf(axios) };
}

/** The traits of an axios by its version. */
function traitsOf(axios: AxiosLike): AxiosTraits {
  const [, minor = 0, patch = 0] = axios.VERSION.split(".").map(Number);
  return {
    forwardsToSubdomains: minor < 21,
    // In 1.8.2, the http adapter does and the others do not.
    joinsAbsoluteUrls: minor === 8 && patch === 2 ? undefined : minor > 8 || (minor === 8 && patch > 2),
    timeoutError: timeoutErrorOf(axios, minor < 13 || (minor === 13 && patch < 3)),
    errorFor: (config, error) => axiosErrorOf(axios.AxiosError, config, error),
    bodyError: (config, error) => bodyErrorOf(axios, axios.AxiosError, config, error),
  };
}

/** The copies that were looked for, by their class of headers, by which a request shows the copy that it comes from. */
const others = new Map<unknown, Copy | undefined>();

/**
 * Returns the copy that a request comes from; `undefined` when it cannot be found.
 *
 * @param own The copy that the interceptor works with.
 */
export function copyOfRequest(own: Copy, { headers }: AxiosCallConfig): Copy | undefined {
  if (headers instanceof own.AxiosHeaders) return own;
  const { constructor } = headers;
  // Headers that are no AxiosHeaders of any copy come from an adapter of the user's.
  if (constructor === Object || constructor === undefined) return own;
  if (!others.has(constructor)) {
    const axios = loadedAxios(constructor);
    others.set(constructor, axios && newCopy(axios));
  }
  return others.get(constructor);
}

let isForeignTold = false;

/**
 * Returns the traits for a request whose copy cannot be found. An adapter that the caller gave as a function comes from that
 * copy too. An adapter that was given by name is that of the interceptor's copy.
 */
export function foreignTraits({ axios, traits }: Copy, adapter: ResolvedAdapter, given: unknown): AxiosTraits {
  const foreign: AxiosTraits = {
    ...traits,
    errorFor: (config, error) => axiosErrorOf(errorClassOf(config) ?? axios.AxiosError, config, error),
    bodyError: (config, error) => bodyErrorOf(axios, errorClassOf(config) ?? axios.AxiosError, config, error),
  };
  // The version is not known, so every difference that needs care is assumed.
  if (adapter === given || (Array.isArray(given) && given.includes(adapter))) {
    return { ...foreign, forwardsToSubdomains: true, joinsAbsoluteUrls: undefined };
  }
  if (!isForeignTold) {
    isForeignTold = true;
    warn(
      `Requests come from another copy of axios than the ${axios.VERSION} that remint/axios works with, which sends ` +
        "them. Pass your copy: createAuthInterceptor(tokens, { axios }).",
    );
  }
  return { ...foreign, translate: (send, config) => sendTranslated(axios, send, config) };
}

/**
 * Returns the copy of axios with this class of headers, if it is a CommonJS module that was loaded. Node's list of loaded
 * modules has no other ones.
 */
function loadedAxios(AxiosHeaders: unknown): AxiosLike | undefined {
  const { process } = globalThis as { process?: NodeProcess };
  const cache = process?.getBuiltinModule?.("module")?.createRequire?.(process.execPath).cache;
  for (const path in cache) {
    // Not the exports of every module: reading them can have effects.
    const axios: unknown = path.includes("axios") ? cache[path]?.exports : undefined;
    if (isUsable(axios) && axios.AxiosHeaders === AxiosHeaders) return axios;
  }
  return undefined;
}

/** The members of Node's `process` that are needed here. Declared, because Node's types are not available. */
interface NodeProcess {
  readonly execPath: string;
  getBuiltinModule?(
    name: "module",
  ): { createRequire?(path: string): { cache?: Record<string, { exports?: unknown } | undefined> } } | undefined;
}

type AxiosErrorClass = AxiosLike["AxiosError"];

/**
 * Makes an AxiosError of an error of this package. Response interceptors and libraries for axios read `error.config`, and
 * ask `isAxiosError`; the caller asks `isRemintError`, and a server reads `status`.
 */
function axiosErrorOf(AxiosError: AxiosErrorClass, config: AxiosCallConfig, error: RemintError): Error {
  // The error of another request of axios, beneath this one or in a function of the user's, stays what it is.
  if ("isAxiosError" in error) return error;
  const own = new AxiosError(error.message, error.code, config as never);
  const { message: _, stack: __, ...members } = Object.getOwnPropertyDescriptors(error) as PropertyDescriptorMap;
  Object.defineProperties(own, members);
  // oxlint-disable-next-line typescript/unbound-method -- they read members that the AxiosError has too
  const { getResponse, toResponse } = error;
  // The stack has the hint.
  hide(own, { getResponse, toResponse, stack: error.stack?.replace(error.name, own.name) });
  adopt(own);
  return own;
}

/** The error for a body stream that did not last until the request was sent. A closed one has no error of its own. */
function bodyErrorOf(
  { CanceledError }: AxiosLike,
  AxiosError: AxiosErrorClass,
  config: AxiosCallConfig,
  error: Error,
): Error {
  const { errored } = Object(config.data) as { errored?: unknown };
  if (errored === null) return new CanceledError("Request stream has been aborted", config as never);
  return AxiosError.from(error, undefined, config as never);
}

/**
 * Returns the AxiosError of the copy that a config comes from. A config does not refer to its copy, but the copy's own
 * function for JSON answers throws its AxiosError. `undefined` when the caller has replaced that function.
 */
function errorClassOf({ transformResponse }: AxiosCallConfig): AxiosErrorClass | undefined {
  for (const transform of [transformResponse].flat()) {
    // An option that only this function reads: no function of the caller's is called.
    if (typeof transform !== "function" || !String(transform).includes("silentJSONParsing")) continue;
    try {
      transform.call({ responseType: "json", transitional: {} }, "not JSON");
    } catch (error) {
      const { isAxiosError, constructor } = Object(error) as { isAxiosError?: unknown; constructor: AxiosErrorClass };
      if (isAxiosError === true) return constructor;
    }
  }
  return undefined;
}

/**
 * Calls an adapter of one copy with the config of another. Headers are converted in both directions: before 1.9 a copy
 * drops all headers that are `AxiosHeaders` of another copy.
 */
async function sendTranslated(axios: AxiosLike, adapter: ResolvedAdapter, config: AxiosCallConfig): Promise<unknown> {
  const { headers } = config;
  config.headers = new axios.AxiosHeaders({ ...headers } as never);
  try {
    return withPlainHeaders(await adapter(config as never));
  } catch (error) {
    withPlainHeaders((Object(error) as { response?: unknown }).response);
    throw error;
  } finally {
    config.headers = headers;
  }
}

function withPlainHeaders(answer: unknown): unknown {
  const { headers } = Object(answer) as { headers?: object };
  if (headers !== undefined) (answer as { headers: object }).headers = { ...headers };
  return answer;
}

/**
 * Returns the function that builds a timeout error with the code and the message of this axios (Q12). axios' fetch
 * adapter has a code and, in versions before 1.13.3, a message of its own.
 */
function timeoutErrorOf(axios: AxiosLike, hasOldWording: boolean): AxiosTraits["timeoutError"] {
  return (config, timeout, adapter) => {
    const usual = `timeout of ${timeout}ms exceeded`;
    if (isFetchAdapter(axios, config, adapter)) {
      return new axios.AxiosError(
        hasOldWording ? `timeout ${timeout} of ms exceeded` : usual,
        "ETIMEDOUT",
        config as never,
      );
    }
    const code = config.transitional?.clarifyTimeoutError ? "ETIMEDOUT" : "ECONNABORTED";
    return new axios.AxiosError(config.timeoutErrorMessage || usual, code, config as never);
  };
}

function isFetchAdapter(axios: AxiosLike, config: AxiosCallConfig, adapter: ResolvedAdapter): boolean {
  try {
    return (axios.getAdapter("fetch", config as never) as unknown) === adapter;
  } catch {
    return false; // axios before 1.7 has no fetch adapter and throws
  }
}
