/**
 * Copies and versions of axios: which copy an interceptor works with, and what its version does differently.
 *
 * An application may have two copies of axios, its own and the one that this package resolves to. The `AxiosHeaders` of
 * one copy are unknown to the other, so requests between two copies are translated.
 *
 * Not here: how a single request is sent (`call.ts`).
 *
 * @module
 */
import installedAxios from "axios";
import { adopt, hide } from "../../base/errors.ts";
import { optionError } from "../../base/options.ts";
import type { AxiosStatic } from "axios";
import type { RemintError } from "../../base/errors.ts";
import type { AxiosCallConfig, AxiosTraits, ResolvedAdapter } from "./call.ts";

/** The members that are needed of the axios module. Every copy since version 1.5 has them. */
export type AxiosLike = Pick<AxiosStatic, "AxiosError" | "AxiosHeaders" | "getAdapter" | "VERSION" | "defaults">;

/**
 * Returns the axios that an interceptor works with: the option `axios`, or else the installed copy.
 *
 * @throws {TypeError} When the option is not the axios module.
 */
export function axiosOf(given: object | undefined): AxiosLike {
  if (given === undefined) return installedAxios;
  // The option may be a namespace (`import * as axios`), whose default export is the module. The module's own `default`
  // is the module again.
  const axios = (Object(given) as { default?: unknown }).default ?? given;
  const { getAdapter, AxiosHeaders } = Object(axios) as Partial<AxiosLike>;
  if (typeof getAdapter !== "function" || typeof AxiosHeaders !== "function") {
    throw optionError(
      "axios",
      given,
      "the axios module, version 1.5 or later (an instance of axios.create() has no getAdapter)",
    );
  }
  return axios as AxiosLike;
}

/** The traits that apply to a request, by the copies its config and its adapter come from. */
export interface TraitsByCopy {
  /** Config and adapter come from the interceptor's copy. */
  readonly own: AxiosTraits;
  /** The config comes from another copy, the adapter from the interceptor's. */
  readonly foreignConfig: AxiosTraits;
  /** Config and adapter come from another copy, whose version is not known. */
  readonly foreignAdapter: AxiosTraits;
}

/** Returns the traits of an axios by its version. */
export function traitsOf(axios: AxiosLike): TraitsByCopy {
  const [, minor = 0, patch = 0] = axios.VERSION.split(".").map(Number);
  const own: AxiosTraits = {
    forwardsToSubdomains: minor < 21,
    absoluteUrlsWin: minor < 9,
    timeoutError: timeoutErrorOf(axios, minor < 13 || (minor === 13 && patch < 3)),
    errorFor: (config, error) => axiosErrorOf(axios.AxiosError, config, error),
  };
  const foreign: AxiosTraits = {
    ...own,
    errorFor: (config, error) => axiosErrorOf(errorClassOf(config) ?? axios.AxiosError, config, error),
  };
  return {
    own,
    foreignConfig: { ...foreign, translate: (adapter, config) => sendTranslated(axios, adapter, config) },
    // The version is not known, so every difference that needs care is assumed.
    foreignAdapter: { ...foreign, forwardsToSubdomains: true, absoluteUrlsWin: true },
  };
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
