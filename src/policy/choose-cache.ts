/// <reference lib="esnext.disposable" preserve="true" />
/**
 * What adapters and the request policy know of a token cache, and which cache a request uses.
 *
 * @module
 */
import { kindOf } from "../base/options.ts";
import type { AccessToken } from "../core/access-token.ts";
import type { RejectionRule } from "../core/types.ts";
import type { Prove } from "../core/proof.ts";

/** Where a request went: the keys of the storm guard (C8). */
export interface Site {
  readonly origin: string;
  readonly path: string;
}

/** Why a request went out without a token. */
export type SkipReason = "authorization-set" | "origin-not-allowed" | "relative-url" | "opted-out";

/** What the request policy has to know about the tokens of a cache. */
export interface RequestRules {
  /** The origins depend on the token: ask {@link RequestRules.allows} again once there is one. */
  readonly originsFromToken: boolean;
  /** Whether a token may be sent to this URL (Q2). Without `token`, a list that depends on it says yes. */
  allows(url: string, token?: AccessToken): boolean;
  /** Headers beside `Authorization`; absent when the grant brings none, so that the warm path pays nothing. */
  readonly headers?: ((token: AccessToken) => Readonly<Record<string, string>>) | undefined;
  /** Makes the proof of one send; absent when the grant's tokens want none, so that the warm path pays nothing. */
  readonly prove?: Prove | undefined;
  readonly isRejected?: RejectionRule | undefined;
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** The token to send a rejected request again with. */
export interface RenewedToken {
  readonly token: AccessToken;
  /** Minted after the rejection, so its own 401 goes to the caller. A token adopted from elsewhere is not final (Q5). */
  readonly final: boolean;
}

/** One request's way to another token after its own was rejected. Abandoning one is safe. */
export interface Renewal {
  /** @throws {RemintError} When no token could be minted. */
  next(options?: { readonly signal?: AbortSignal | undefined }): Promise<RenewedToken>;
  /** A token that was not final was rejected too. `false`: the storm guard is closed (C8). */
  again(token: AccessToken): boolean;
}

/** How a cache ends. */
export interface CloseOptions {
  /**
   * Tells the server, too, that its tokens are no longer needed (RFC 7009): the last access token there was, and a refresh
   * token also when nothing was minted with it. One that failed may be asked for again.
   *
   * @defaultValue false
   */
  readonly revoke?: boolean | undefined;
}

/** The current token of one grant, shared by every request of every client. `await using` closes it. */
export interface TokenCache extends AsyncDisposable {
  /** The current token, or `undefined` when a caller would have to wait for one. Starts nothing but a background refresh (C1). */
  peek(): AccessToken | undefined;
  /**
   * The current token, minted if there is none.
   *
   * @throws {RemintError} When no token could be minted. An aborted `signal` rejects with its reason (C10).
   */
  get(options?: { readonly signal?: AbortSignal | undefined }): Promise<AccessToken>;
  /** Forgets the token, if it is still `value`; a newer one stays (C5). Done when the call returns. */
  invalidate(value: string): Promise<void>;
  /**
   * Ends the cache: a mint in progress is abandoned and `get` rejects with `ERR_CLOSED`. It is ended even when revoking
   * fails.
   *
   * @throws {TypeError} When it is to revoke and its grant can not: nothing has happened then.
   * @throws {RemintError} When the server could not be told.
   * @see [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009.html#section-2)
   */
  close(options?: CloseOptions): Promise<void>;

  /** For the request policy: where tokens may go and which answers reject them. */
  readonly rules: RequestRules;
  /** For the request policy: some charge of the storm guard is uncleared (C8). */
  readonly onTrial: boolean;
  /** For the request policy: a response that was not a rejection. Called only while {@link TokenCache.onTrial}. */
  accepted(token: AccessToken, site: Site): void;
  /**
   * For the request policy: a 401 for `token`. Synchronous; called once per rejection, before the answer's body is
   * discarded. `undefined`: the storm guard is closed, nothing changed, the answer goes to the caller.
   */
  rejected(token: AccessToken, site: Site): Renewal | undefined;
  /** For the request policy: a request went out bare. */
  skipped(reason: SkipReason, url: string): void;
}

/**
 * Where a request's token comes from: one cache, several (the first whose origins match), or a function of the
 * request. `undefined` sends the request bare.
 */
export type TokenSource<Target extends readonly unknown[]> =
  | TokenCache
  | readonly TokenCache[]
  | ((...target: Target) => TokenCache | undefined | Promise<TokenCache | undefined>);

/** What one request may say for itself, under the key `remint`. */
export type RequestOverride<Body = unknown> = false | TokenCache | RequestOverrideOptions<Body>;

/** The long form of a {@link RequestOverride}. */
export interface RequestOverrideOptions<Body = unknown> {
  /** This request's cache, instead of the client's. */
  readonly cache?: TokenCache | undefined;
  /** `false`: never send again; a rejected token is still reported. @defaultValue true */
  readonly retry?: boolean | undefined;
  /** Makes the body anew for every send, so that a stream can be sent again (Q6). */
  readonly body?: (() => Body) | undefined;
}

/** Whether `value` can serve as a cache: structural, so that two copies of this package agree. */
export function isTokenCache(value: unknown): value is TokenCache {
  return typeof value === "object" && value !== null && typeof (value as TokenCache).rejected === "function";
}

/**
 * Checks a source once, when a client is set up.
 *
 * @throws {TypeError} When it is not a cache, a non-empty array of caches, or a function.
 */
export function assertTokenSource(where: string, source: unknown): void {
  const fine = Array.isArray(source) ? source.length > 0 && source.every(isTokenCache) : isTokenCache(source);
  if (fine || typeof source === "function") return;
  throw new TypeError(
    `The first argument of ${where} must be a token cache, a non-empty array of them or a function that returns one, ` +
      `got ${kindOf(source)}`,
  );
}

/** The cache a request says it wants, if it says so. */
export function overridingCache(override: RequestOverride | undefined): TokenCache | undefined {
  if (typeof override !== "object" || override === null) return undefined;
  return isTokenCache(override) ? override : override.cache;
}

/** The long form of what a request says for itself. */
export function overrideOptions<Body>(
  override: RequestOverride<Body> | undefined,
): RequestOverrideOptions<Body> | undefined {
  return typeof override === "object" && override !== null && !isTokenCache(override) ? override : undefined;
}

/**
 * The cache of a request, for sources that are more than one cache.
 *
 * @returns `undefined` sends the request bare.
 */
export function chooseCache<Target extends readonly unknown[]>(
  source: TokenSource<Target>,
  url: string,
  target: Target,
): TokenCache | undefined | Promise<TokenCache | undefined> {
  if (typeof source === "function") return source(...target);
  return isTokenCache(source) ? source : firstAllowing(source, url);
}

async function firstAllowing(caches: readonly TokenCache[], url: string): Promise<TokenCache | undefined> {
  for (const cache of caches) {
    // Where the origins depend on the token, only the token can tell.
    const token = cache.rules.originsFromToken ? await cache.get() : undefined;
    if (cache.rules.allows(url, token)) return cache;
  }
  caches[0]?.skipped("origin-not-allowed", url);
  return undefined;
}
