/**
 * The client seam for fetch, shared by `remint/fetch` (`fetch.ts`) and `remint/ofetch` (`ofetch.ts`).
 *
 * Not here: what a call of fetch was when it was made (`fetch-call.ts`), and what happens to a request that needs a token
 * (`policy/request-policy.ts`).
 *
 * @module
 */
import { assertFunction } from "../base/options.ts";
import { policyHalf } from "../core/types.ts";
import { assertTokenSource, chooseCache, isTokenCache } from "../policy/choose-cache.ts";
import { assertSeamOptions, rejectWith } from "../policy/client-seam.ts";
import { sendBare, sendSkipped, sendWith, withToken } from "../policy/request-policy.ts";
import { HAS_PARTS, readText } from "./body.ts";
import { FetchCall } from "./fetch-call.ts";
import { keptAnswer } from "./kept-answer.ts";
import type { RejectionRule } from "../core/types.ts";
import type { TokenSource } from "../policy/choose-cache.ts";
import type { ClientSeam, FailedRenewal, TokenHeaders } from "../policy/client-seam.ts";
import type { AuthRequestInit, FetchInput, SendFetch } from "./fetch-call.ts";

/** A fetch that attaches tokens. */
export type AuthFetch = (input: FetchInput, init?: AuthRequestInit) => Promise<Response>;
/** Where the token of a request comes from: a cache, several caches, or a function of the fetch's arguments. */
export type FetchTokenSource = TokenSource<[url: string, init: AuthRequestInit | undefined]>;

/** Options of {@link createAuthFetch}. */
export interface AuthFetchOptions {
  /**
   * The fetch that sends the requests.
   *
   * @defaultValue `globalThis.fetch`, looked up at every call, because test tools and frameworks replace it
   */
  readonly fetch?: ((input: FetchInput, init?: RequestInit) => Promise<Response>) | undefined;
  /**
   * What the caller gets when an answer rejected the token and no other one can be had: `"response"` is the API's answer,
   * with at most 64 KiB of its body, `"throw"` the error.
   *
   * @defaultValue the answer when nobody is signed in or the session is over, otherwise the error
   */
  readonly failedRenewal?: FailedRenewal | undefined;
  /**
   * Decides whether an answer rejects the token. Asked before the grant's own rule and the `WWW-Authenticate` header. The
   * text of an answer is read for at most a second; that of an event stream, or another answer of many parts, is empty.
   */
  readonly isRejected?: RejectionRule | undefined;
  /** HTTP statuses for which `isRejected` is asked, besides 401. @defaultValue none */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** The names of the options of {@link AuthFetchOptions}. */
export const FETCH_OPTIONS = ["fetch", "failedRenewal", "isRejected", "inspectStatuses"] as const;

/**
 * Creates the fetch of `remint/fetch` and `remint/ofetch`.
 *
 * @param where The public function that was called, for error messages.
 * @throws {TypeError} When the source or an option is wrong.
 */
export function authFetchOf(where: string, source: FetchTokenSource, options: AuthFetchOptions): AuthFetch {
  assertTokenSource(where, source);
  assertFunction("fetch", options.fetch);
  assertSeamOptions(options);
  const client = new FetchClient(options);
  const onlyCache = isTokenCache(source) ? source : undefined;

  return function authFetch(input, init) {
    let call: FetchCall | undefined;
    try {
      if (init !== undefined && typeof init !== "object" && typeof init !== "function")
        return client.sendAsGiven(input, init);
      call = new FetchCall(input, init);
      if (call.override === false) {
        if (onlyCache === undefined) return sendBare(call, client);
        return sendSkipped(policyHalf(onlyCache), "opted-out", call, client);
      }
      const cache = call.override?.cache ?? onlyCache;
      if (cache !== undefined) return withToken(cache, call, client);
      if (call.isAuthorized) return sendBare(call, client);
      return sendWith(chooseCache(source, call, [call.url, init]), call, client);
    } catch (error) {
      return call === undefined ? Promise.reject(error) : rejectWith(call, client, error);
    }
  };
}

/** The client seam over one fetch. It takes answers of every implementation, and hand-made ones that have a status only. */
class FetchClient implements ClientSeam<FetchCall, Response> {
  readonly failedRenewal: FailedRenewal | undefined;
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly #fetch: SendFetch;

  constructor(options: AuthFetchOptions) {
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.failedRenewal = options.failedRenewal;
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  send(call: FetchCall, headers: TokenHeaders | undefined): Promise<Response> | undefined {
    return call.send(this.#fetch, headers);
  }

  /** Lets the client judge arguments that it cannot take. */
  sendAsGiven(input: FetchInput, init: never): Promise<Response> {
    return this.#fetch(input, init);
  }

  isAuthorized(call: FetchCall): boolean {
    return call.isAuthorized;
  }

  status(answer: Response): number {
    return (answer as Response | undefined)?.status ?? 0;
  }

  header({ headers }: Response, name: string): string | null {
    return (headers as Headers | undefined)?.get?.(name) ?? null;
  }

  finalUrl(answer: Response): string | undefined {
    return answer.redirected ? answer.url : undefined;
  }

  canResend(call: FetchCall): boolean {
    return call.canResend;
  }

  discard(answer: Response): Promise<Response | void> {
    return keptAnswer(answer);
  }

  async text(answer: Response, maxBytes: number): Promise<string> {
    if (HAS_PARTS.test(this.header(answer, "content-type") ?? "")) return "";
    return readText(answer.clone?.().body, maxBytes);
  }

  finish(call: FetchCall, outcome: unknown): void {
    call.finish(outcome);
  }
}
