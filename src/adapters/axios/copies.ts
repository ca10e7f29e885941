/**
 * Which axios a request belongs to, and what its version does differently: the user's copy and ours may be two, and two
 * copies drop each other's headers.
 *
 * @module
 */
import installedAxios from "axios";
import { optionError } from "../../base/options.ts";
import type { AxiosStatic } from "axios";
import type { AxiosCallConfig, AxiosFacts, AxiosSend } from "./call.ts";

/** The parts of axios that are needed: structural, so that any copy and version serves. */
export type AxiosLike = Pick<AxiosStatic, "AxiosError" | "AxiosHeaders" | "getAdapter" | "VERSION" | "defaults">;

export function axiosOf(given: object | undefined): AxiosLike {
  if (given === undefined) return installedAxios;
  // Of a namespace (`import * as axios`) the module itself is the default export; axios is its own.
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

/** {@link AxiosFacts}, and what the user's axios does with what we reject with. */
export interface CopyFacts extends AxiosFacts {
  readonly extendsStacks: boolean;
}

/** What is known of a request, by whose config and whose adapter it has. */
export interface FactsOfCopies {
  /** Config and adapter of the copy we work with. */
  readonly own: CopyFacts;
  /** The user's config and our adapter. */
  readonly translating: CopyFacts;
  /** The user's config and the user's adapter, of a version we do not know. */
  readonly theirs: CopyFacts;
}

export function factsOf(axios: AxiosLike): FactsOfCopies {
  const [, minor = 0, patch = 0] = axios.VERSION.split(".").map(Number);
  const own: CopyFacts = {
    forwardsToSubdomains: minor < 21,
    absoluteUrlsWin: minor < 9,
    extendsStacks: minor === 6 || minor === 7,
    timeoutError: timeoutErrorOf(axios, minor < 13 || (minor === 13 && patch < 3)),
  };
  return {
    own,
    translating: {
      ...own,
      extendsStacks: true,
      translate: (send, config) => sendTranslated(axios, send, config),
    },
    theirs: { ...own, extendsStacks: true, forwardsToSubdomains: true, absoluteUrlsWin: true },
  };
}

/** Another copy of axios does not know this one's AxiosHeaders, nor this one its: before 1.9 either drops every header. */
async function sendTranslated(axios: AxiosLike, send: AxiosSend, config: AxiosCallConfig): Promise<unknown> {
  const { headers } = config;
  config.headers = new axios.AxiosHeaders({ ...headers } as never);
  try {
    return withPlainHeaders(await send(config as never));
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

/** Q12: code and message of the error this axios would reject with; its fetch adapter has its own. */
function timeoutErrorOf(axios: AxiosLike, oldWording: boolean): AxiosFacts["timeoutError"] {
  return (config, timeout, send) => {
    const usual = `timeout of ${timeout}ms exceeded`;
    if (isFetchAdapter(axios, config, send)) {
      return new axios.AxiosError(
        oldWording ? `timeout ${timeout} of ms exceeded` : usual,
        "ETIMEDOUT",
        config as never,
      );
    }
    const code = config.transitional?.clarifyTimeoutError ? "ETIMEDOUT" : "ECONNABORTED";
    return new axios.AxiosError(config.timeoutErrorMessage || usual, code, config as never);
  };
}

function isFetchAdapter(axios: AxiosLike, config: AxiosCallConfig, send: AxiosSend): boolean {
  try {
    return (axios.getAdapter("fetch", config as never) as unknown) === send;
  } catch {
    return false; // axios before 1.7 has none
  }
}
