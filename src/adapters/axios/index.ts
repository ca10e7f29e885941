/**
 * OAuth 2.0 Bearer tokens for axios: one request interceptor does everything, because it replaces the request's adapter.
 *
 * @module
 */
/// <reference path="./axios-commonjs.d.cts" preserve="true" />
import { leaveOnAbort } from "../../base/abort.ts";
import { isRemintError } from "../../base/errors.ts";
import { assertFunction, assertOptions, assertStatuses } from "../../base/options.ts";
import { policyHalf } from "../../core/types.ts";
import {
  assertTokenSource,
  chooseCache,
  isTokenCache,
  overrideOptions,
  overridingCache,
} from "../../policy/choose-cache.ts";
import { sendBare, withToken } from "../../policy/request-policy.ts";
import { drain, drainNodeStream, isNodeStream, isOneShot } from "../body.ts";
import { AxiosCall } from "./call.ts";
import { axiosOf, factsOf } from "./copies.ts";
import type { InternalAxiosRequestConfig } from "axios";
import type { AccessToken, RejectionRule, TokenCache } from "../../core/types.ts";
import type { RequestOverride, TokenSource } from "../../policy/choose-cache.ts";
import type { ClientSeam, ExtraHeaders } from "../../policy/client-seam.ts";
import type { AxiosCallConfig, AxiosSend } from "./call.ts";
import type { AxiosLike, CopyFacts, FactsOfCopies } from "./copies.ts";

declare module "axios" {
  // Without type parameters: their number differs between axios versions, and this form compiles with all of them.
  interface AxiosRequestConfig {
    /** What this one request wants of remint: `false`, another cache, or `{ retry, body, cache }`. */
    remint?: RequestOverride | undefined;
  }
}

/** Where the token of an axios request comes from. */
export type AxiosTokenSource = TokenSource<[config: InternalAxiosRequestConfig]>;

/** What {@link createAuthInterceptor} takes beside the source. */
export interface AuthInterceptorOptions {
  /** The user's copy of axios, when it is not the one this package resolves to (CommonJS, another version). */
  readonly axios?: object | undefined;
  /** Decides whether an answer rejects the token, before the grant's rule and rule Q4. */
  readonly isRejected?: RejectionRule | undefined;
  /** Statuses beside 401 about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** An axios answer at the adapter's stage: `data` is not transformed yet. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly data: unknown;
  readonly request?: { readonly responseURL?: string; readonly res?: { readonly responseUrl?: string } };
}

type AnyConfig = { headers: unknown };

/**
 * Creates the request interceptor that attaches the source's token, and on a 401 renews it and sends the request
 * again, once: `axios.interceptors.request.use(createAuthInterceptor(tokens))` is all there is to write.
 *
 * It is synchronous and only replaces the request's adapter, so transforms and the other interceptors run once (Q9) and
 * the config comes back as it went in (Q10). `timeout` is one deadline over waiting, both sends and the mint (Q12).
 * Requests with an `Authorization` header, `auth` or `user:password@` of their own go out untouched (Q1).
 *
 * @param source A cache, several (the first whose origins match), or a function of the config.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {RemintError} From the request, when no token could be minted. It is not an AxiosError.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 */
export function createAuthInterceptor(
  source: AxiosTokenSource,
  options: AuthInterceptorOptions = {},
): <Config extends AnyConfig>(config: Config) => Config {
  assertTokenSource("createAuthInterceptor", source);
  assertOptions("createAuthInterceptor", options);
  assertFunction("isRejected", options.isRejected);
  assertStatuses("inspectStatuses", options.inspectStatuses);
  const client = new AxiosClient(source, options);
  return function authInterceptor<Config extends AnyConfig>(config: Config): Config {
    const { adapter } = config as { adapter?: unknown };
    (config as { adapter?: unknown }).adapter = (final: AxiosCallConfig) => client.dispatch(final, adapter);
    return config;
  };
}

/** One interceptor's side of the policy. */
class AxiosClient implements ClientSeam<AxiosCall, Answer> {
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly #source: AxiosTokenSource;
  readonly #only: TokenCache | undefined;
  readonly #axios: AxiosLike;
  // Kept beside it: axios is a function with so many properties that V8 looks each up in a hash table.
  readonly #getAdapter: AxiosLike["getAdapter"];
  readonly #AxiosHeaders: AxiosLike["AxiosHeaders"];
  readonly #facts: FactsOfCopies;

  constructor(source: AxiosTokenSource, options: AuthInterceptorOptions) {
    this.#source = source;
    this.#only = isTokenCache(source) ? source : undefined;
    this.#axios = axiosOf(options.axios);
    this.#getAdapter = this.#axios.getAdapter;
    this.#AxiosHeaders = this.#axios.AxiosHeaders;
    this.#facts = factsOf(this.#axios);
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  /** Runs as the request's adapter: everything that could still change the request has run. */
  dispatch(config: AxiosCallConfig, original: unknown): Promise<unknown> {
    // First of all, so that `response.config` and `error.config` can be sent again without nesting.
    config.adapter = original;
    const getAdapter = this.#getAdapter;
    const adapter = getAdapter((original ?? this.#axios.defaults.adapter) as never, config as never) as AxiosSend;
    const { remint } = config as { remint?: RequestOverride };
    const facts = config.headers instanceof this.#AxiosHeaders ? this.#facts.own : this.#factsOn(adapter, original);
    const call = new AxiosCall(config, adapter, facts, remint === undefined ? undefined : overrideOptions(remint));
    if (remint === false || config.auth || hasAuthorization(config.headers)) {
      return this.#leaveBare(call, config.headers, remint);
    }
    const own = remint === undefined ? undefined : overridingCache(remint);
    const cache = own ?? this.#only ?? chooseCache(this.#source, call.url, [config as never]);
    if (!isTokenCache(cache)) return this.#dispatchLater(cache, call, facts);
    const answer = withToken(cache, call, this);
    return facts.extendsStacks && call.waited ? answer.catch(throwCopy) : answer;
  }

  send(call: AxiosCall, token: AccessToken | undefined, extra: ExtraHeaders | undefined): Promise<Answer> {
    return call.send(token, extra) as Promise<Answer>;
  }

  status(answer: Answer): number {
    return answer.status;
  }

  header({ headers }: Answer, name: string): string | null {
    const wanted = name.toLowerCase();
    for (const key in headers) {
      const value = headers[key] as { toString(): string } | null | undefined;
      if (key.toLowerCase() === wanted && value !== undefined && value !== null) return value.toString();
    }
    return null;
  }

  answerOf(error: unknown): Answer | undefined {
    const { response } = Object(error) as { response?: Answer };
    return typeof response?.status === "number" ? response : undefined;
  }

  /** The http adapter and XHR tell; axios' fetch adapter does not, and then a needless renewal is bounded by C8. */
  finalUrl({ request }: Answer): string | undefined {
    return request?.res?.responseUrl ?? request?.responseURL;
  }

  canResend(call: AxiosCall): boolean {
    return call.override?.body !== undefined || !isOneShot(call.body);
  }

  discard({ data }: Answer): Promise<void> | undefined {
    if (isNodeStream(data)) return drainNodeStream(data);
    return isWebStream(data) ? drain(data) : undefined;
  }

  text({ data }: Answer, maxBytes: number): Promise<string> {
    return Promise.resolve(textOf(data).slice(0, maxBytes));
  }

  finish(call: AxiosCall, outcome: unknown): void {
    call.finish(outcome);
    if (outcome instanceof Error) hideRequest(outcome);
  }

  /** For sources that say asynchronously which cache it is, or that none is. */
  async #dispatchLater(
    cache: TokenCache | undefined | Promise<TokenCache | undefined>,
    call: AxiosCall,
    facts: CopyFacts,
  ): Promise<unknown> {
    let chosen: TokenCache | undefined;
    try {
      // Q12: the caller's abort and deadline cover this wait too. A cache at hand is not waited for.
      chosen = cache instanceof Promise ? await leaveOnAbort(cache, call.signal) : cache;
    } catch (error) {
      call.finish(error);
      throw error;
    }
    const answer = chosen === undefined ? sendBare(call, this) : withToken(chosen, call, this);
    return facts.extendsStacks ? answer.catch(throwCopy) : answer;
  }

  /** Q1: the request goes out as the caller made it. */
  #leaveBare(call: AxiosCall, headers: Record<string, unknown>, remint: RequestOverride | undefined): Promise<unknown> {
    const ours = this.#only?.peek()?.header;
    // The same cache registered twice acts once: its second pass is no news, and its body is there (Q13).
    const isSecondPass = ours !== undefined && headers["Authorization"] === ours;
    if (!isSecondPass && this.#only !== undefined)
      policyHalf(this.#only).skipped(remint === false ? "opted-out" : "authorization-set", call.url);
    return call.sendAsIs(!isSecondPass);
  }

  /** The config comes from another copy of axios. A function is the user's adapter, of his copy; the rest is ours. */
  #factsOn(adapter: AxiosSend, original: unknown): CopyFacts {
    const isTheirs = adapter === original || (Array.isArray(original) && original.includes(adapter));
    return isTheirs ? this.#facts.theirs : this.#facts.translating;
  }
}

/** Q1: whether the caller set `Authorization`, in any spelling. `undefined` is not set; `null` and `false` are. */
function hasAuthorization(headers: Record<string, unknown>): boolean {
  for (const name in headers) {
    if (name.length === 13 && headers[name] !== undefined && name.toLowerCase() === "authorization") return true;
  }
  return false;
}

function isWebStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (value as { getReader?: unknown } | null | undefined)?.getReader === "function";
}

function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return new TextDecoder().decode(data);
  return "";
}

// MERGED What an axios error may show, and a failed mint's error for versions of axios that write to it.
/** Q11: axios keeps the header it sent inside `request`; hidden from JSON and `inspect`, it can still be read. */
function hideRequest(error: Error): void {
  hide(error, "request");
  // axios' fetch adapter wraps its own errors.
  if (error.cause instanceof Error) hideRequest(error.cause);
  const { response } = error as { response?: { data?: unknown } };
  if (response === undefined) return;
  hide(response, "request");
  // A response handed out as a stream leads to the request and to its socket.
  if (isNodeStream(response.data)) for (const name of ["req", "socket", "client"]) hide(response.data, name);
}

function hide(holder: object, name: string): void {
  if (!Object.hasOwn(holder, name)) return;
  const value = (holder as Record<string, unknown>)[name];
  Object.defineProperty(holder, name, { value, enumerable: false, configurable: true, writable: true });
}

/**
 * The error of a failed mint is shared and frozen (C9), but axios from 1.6.3 to 1.7.2 writes to the stack of what it
 * throws, and fails when it cannot: there each caller gets a copy.
 */
function throwCopy(error: unknown): never {
  if (!isRemintError(error) || !Object.isFrozen(error)) throw error;
  const copy = Object.setPrototypeOf(new Error(error.message), Object.getPrototypeOf(error) as object) as Error;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(error))) {
    const { enumerable = false } = property;
    const value = (error as unknown as Record<string, unknown>)[name];
    Object.defineProperty(copy, name, { value, enumerable, configurable: true, writable: true });
  }
  throw copy;
}
