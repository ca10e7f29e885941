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
import { optionError } from "../../base/options.ts";
import type { AxiosStatic } from "axios";
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

/** The traits of one copy of axios. */
export interface CopyTraits extends AxiosTraits {
  /** This copy writes to the stack of an error that an adapter rejects with, so the error must not be frozen. */
  readonly extendsStacks: boolean;
}

/** The traits that apply to a request, by the copies its config and its adapter come from. */
export interface TraitsByCopy {
  /** Config and adapter come from the interceptor's copy. */
  readonly own: CopyTraits;
  /** The config comes from another copy, the adapter from the interceptor's. */
  readonly foreignConfig: CopyTraits;
  /** Config and adapter come from another copy, whose version is not known. */
  readonly foreignAdapter: CopyTraits;
}

/** Returns the traits of an axios by its version. */
export function traitsOf(axios: AxiosLike): TraitsByCopy {
  const [, minor = 0, patch = 0] = axios.VERSION.split(".").map(Number);
  const own: CopyTraits = {
    forwardsToSubdomains: minor < 21,
    absoluteUrlsWin: minor < 9,
    extendsStacks: minor === 6 || minor === 7,
    timeoutError: timeoutErrorOf(axios, minor < 13 || (minor === 13 && patch < 3)),
  };
  return {
    own,
    foreignConfig: {
      ...own,
      extendsStacks: true,
      translate: (adapter, config) => sendTranslated(axios, adapter, config),
    },
    // The version is not known, so every difference that needs care is assumed.
    foreignAdapter: { ...own, extendsStacks: true, forwardsToSubdomains: true, absoluteUrlsWin: true },
  };
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
