/**
 * The entry point `remint/undici`: OAuth 2.0 access tokens for undici, and for Node's own fetch, by an interceptor for
 * `dispatcher.compose()`.
 *
 * The interceptor wraps `dispatch`, which every call of undici comes to: `request`, `stream`, `fetch`, and what the other
 * interceptors send. Nothing of undici is imported.
 *
 * Not here: one request (`call.ts`), the events of its sends (`send.ts`), and the two forms of undici's handlers
 * (`caller.ts`).
 *
 * @module
 */
import { assertOptions, optionError } from "../../base/options.ts";
import { hasCredentials, isWeb, parse } from "../../base/url.ts";
import { policyHalf } from "../../core/types.ts";
import { assertTokenSource, chooseCache, isTokenCache } from "../../policy/choose-cache.ts";
import { assertSeamOptions } from "../../policy/client-seam.ts";
import { sendBare, sendSkipped, sendWith, withToken } from "../../policy/request-policy.ts";
import { HAS_PARTS } from "../body.ts";
import { isPassedOn, UndiciCall } from "./call.ts";
import { Caller, isHandler } from "./caller.ts";
import type { RejectionRule } from "../../core/types.ts";
import type { TokenSource } from "../../policy/choose-cache.ts";
import type { ClientSeam, FailedRenewal, TokenHeaders, TokenObtained } from "../../policy/client-seam.ts";
import type { UndiciRequestOptions } from "./call.ts";
import type { Send } from "./send.ts";

export type { UndiciRequestOptions } from "./call.ts";

/**
 * The `dispatch` of any undici: what an interceptor gets and returns. Its own types are not used, because they differ between
 * the versions.
 */
export type UndiciDispatch = (options: never, handler: never) => boolean;
/** An interceptor for `dispatcher.compose()`. */
export type UndiciInterceptor = <Dispatch extends UndiciDispatch>(dispatch: Dispatch) => Dispatch;

/** Where the token of a request comes from: a cache, several caches, or a function of the URL and undici's options. */
export type UndiciTokenSource = TokenSource<[url: string, options: UndiciRequestOptions]>;

/** Options of {@link createAuthInterceptor}. */
export interface UndiciInterceptorOptions {
  /**
   * The origin of requests that do not state one, such as `client.request({ path })` of a `Client` or a `Pool`: undici before
   * version 8 does not tell an interceptor where they go.
   *
   * @defaultValue what undici 8 says; otherwise none: such a request fails with a TypeError
   */
  readonly origin?: string | URL | undefined;
  /**
   * What the caller gets when an answer rejected the token and no other one can be had: `"response"` is the API's answer,
   * with at most 64 KiB of its body, `"throw"` the error.
   *
   * @defaultValue the answer when nobody is signed in or the session is over, otherwise the error
   */
  readonly failedRenewal?: FailedRenewal | undefined;
  /**
   * Decides whether an answer rejects the token. Asked before the grant's own rule and the `WWW-Authenticate` header. The
   * text of an answer is read for at most a second; that of an event stream, or another answer of many parts, is empty. An
   * answer is decompressed if it is gzip or deflate.
   */
  readonly isRejected?: RejectionRule | undefined;
  /** HTTP statuses for which `isRejected` is asked, besides 401. @defaultValue none */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/**
 * Creates the interceptor that attaches the source's token to the requests of an undici dispatcher. When an answer rejects
 * the token, the interceptor renews it and sends the request again, once.
 *
 * Works with undici 6.9 and later, and 7, and through `setGlobalDispatcher` with Node's own fetch. Composed before the
 * interceptors for redirects and retries, it sees each of their requests: one to another origin gets no token. An
 * interceptor that stores answers belongs before it, so that it sees the token. A request with an `Authorization` header of
 * its own, and a `CONNECT`, are sent unchanged.
 *
 * A request is what it was when it was dispatched; the bytes of a buffer are not copied. A stream is sent once, and so is
 * another one-shot iterable, unless its `content-length` is stated and at most 1 MiB: its chunks are then kept until the
 * request has its answer. That is the form in which fetch hands over every body that is no stream. An answer whose status
 * cannot reject the token is handed on while it arrives. `headersTimeout` and `bodyTimeout` hold for each send, and not for
 * the wait for a token.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of `(url, options)`.
 * @throws {TypeError} When the source or an option is wrong. From a request, when it has no origin, or when the interceptor
 *   was composed in the wrong way.
 * @throws {RemintError} From a request, when no token could be minted. fetch puts it into `cause` of its TypeError.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 * @example
 * ```ts
 * setGlobalDispatcher(new Agent().compose(createAuthInterceptor(tokens)));
 * ```
 */
export function createAuthInterceptor(
  source: UndiciTokenSource,
  options: UndiciInterceptorOptions = {},
): UndiciInterceptor {
  assertNotSwapped(source, options);
  assertTokenSource(WHERE, source);
  assertOptions(WHERE, options, ["origin", "failedRenewal", "isRejected", "inspectStatuses"]);
  assertSeamOptions(options);
  const client = new UndiciSeam(options);
  const own = options.origin === undefined ? undefined : originOf(options.origin);
  const onlyCache = isTokenCache(source) ? source : undefined;

  const answerTo = (call: UndiciCall): Promise<Send> => {
    const { override, options: given } = call;
    if (override === false) {
      if (onlyCache === undefined) return sendBare(call, client);
      return sendSkipped(policyHalf(onlyCache), "opted-out", call, client);
    }
    const cache = override?.cache ?? onlyCache;
    if (cache !== undefined) return withToken(cache, call, client);
    if (call.isAuthorized) return sendBare(call, client);
    return sendWith(chooseCache(source, call, [call.url, given]), call, client);
  };

  // undici 8 calls an interceptor with the origin of a Client or a Pool.
  return function authInterceptor<Dispatch extends UndiciDispatch>(
    dispatch: Dispatch,
    fixedOrigin?: unknown,
  ): Dispatch {
    if (typeof dispatch !== "function") throw new TypeError(MISUSE);
    const origins = { fixed: typeof fixedOrigin === "string" ? fixedOrigin : undefined, own };
    const beneath = dispatch as unknown as (options: object, handler: object) => boolean;
    // undici 6 refuses an interceptor that returns a function of another number of parameters.
    const authDispatch = (given: UndiciRequestOptions, handler: object): boolean => {
      if (!isHandler(handler) || isPassedOn(given)) return beneath(given, handler);
      const caller = new Caller(handler);
      let call: UndiciCall;
      let answer: Promise<Send>;
      try {
        call = new UndiciCall(beneath, given, caller, origins);
        answer = answerTo(call);
      } catch (error) {
        caller.failed(error);
        return false;
      }
      const { thrown } = call;
      answer.then(
        (send) => send.release(),
        (error: unknown) => thrown ?? call.fail(error),
      );
      // What undici throws during the call is thrown here too, and not told to the handler.
      if (thrown !== undefined) throw thrown.error;
      return call.mayDispatchMore;
    };
    return authDispatch as unknown as Dispatch;
  };
}

const WHERE = "createAuthInterceptor";
const USAGE = "dispatcher.compose(createAuthInterceptor(tokens))";
const MISUSE =
  `The interceptor of remint/undici was not called by compose(). Write ${USAGE}, with the call of createAuthInterceptor in it. ` +
  'For axios, import createAuthInterceptor from "remint/axios"';

/** @throws {TypeError} When the arguments are dispatchers, or another client, in place of a source or options. */
function assertNotSwapped(source: unknown, options: unknown): void {
  if (isDispatcher(source) || isDispatcher(options)) {
    throw new TypeError(`${WHERE} takes the token cache, and no dispatcher. Write ${USAGE}`);
  }
  if (isTokenCache(options)) {
    throw new TypeError(`${WHERE} takes several token caches as an array: ${WHERE}([one, other])`);
  }
}

function isDispatcher(value: unknown): boolean {
  return typeof (Object(value) as { dispatch?: unknown }).dispatch === "function";
}

/** @throws {TypeError} When the option is no origin. */
function originOf(value: string | URL): string {
  const url = parse(String(value));
  if (url === undefined || !isWeb(url) || hasCredentials(url) || url.pathname + url.search + url.hash !== "/") {
    throw optionError("origin", value, 'an http(s) origin such as "https://api.example", without path and query');
  }
  return url.origin;
}

/** The client seam of one interceptor. */
class UndiciSeam implements ClientSeam<UndiciCall, Send> {
  readonly failedRenewal: FailedRenewal | undefined;
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;

  constructor(options: UndiciInterceptorOptions) {
    this.failedRenewal = options.failedRenewal;
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  send(
    call: UndiciCall,
    headers: TokenHeaders | undefined,
    _how?: TokenObtained,
    judged?: readonly number[],
  ): Promise<Send> | undefined {
    return call.send(headers, this, judged);
  }

  isAuthorized(call: UndiciCall): boolean {
    return call.isAuthorized;
  }

  status(send: Send): number {
    return send.status;
  }

  header(send: Send, name: string): string | null {
    return send.header(name);
  }

  finalUrl(send: Send): string | undefined {
    return send.finalUrl;
  }

  canResend(call: UndiciCall): boolean {
    return call.canResend;
  }

  discard(send: Send): Promise<void> {
    return send.discard();
  }

  async text(send: Send, maxBytes: number): Promise<string> {
    return HAS_PARTS.test(send.header("content-type") ?? "") ? "" : send.text(maxBytes);
  }

  finish(call: UndiciCall, outcome: unknown): void {
    call.finish(outcome);
  }
}
