/// <reference lib="esnext.disposable" preserve="true" />
import { kindOf } from "../base/options.ts";
import { policyHalf } from "../core/types.ts";
import { policyKey } from "../core/types.ts";
import type { TokenCache } from "../core/types.ts";

/**
 * What adapters and the request policy know of a token cache, and which cache a request uses.
 *
 * @module
 */

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
  return typeof value === "object" && value !== null && policyKey in value;
}

/**
 * Checks a source once, when a client is set up.
 *
 * @throws {TypeError} When it is not a cache, a non-empty array of caches, or a function.
 */
export function assertTokenSource(where: string, source: unknown): void {
  const fine = Array.isArray(source) ? source.length > 0 && source.every(isTokenCache) : isTokenCache(source);
  if (fine || typeof source === "function") return;
  throw notATokenCache(`The first argument of ${where}`, source);
}

/** The error about a value that is no token cache, and no source of one. */
export function notATokenCache(what: string, value: unknown): TypeError {
  const expected = `${what} must be a token cache, a non-empty array of them or a function that returns one`;
  if (typeof (Object(value) as Partial<TokenCache>).get !== "function") {
    return new TypeError(`${expected}, got ${kindOf(value)}`);
  }
  return new TypeError(
    `${expected}, got an object that only looks like one. In a test, create one of a fake grant: ` +
      `createTokenCache({ grant: fakeGrant(), origins }), with fakeGrant of "remint/testing"`,
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
    const { rules } = policyHalf(cache);
    // Where the origins depend on the token, only the token can tell.
    const token = rules.originsFromToken ? await cache.get() : undefined;
    if (rules.allows(url, token)) return cache;
  }
  const [first] = caches;
  if (first !== undefined) policyHalf(first).skipped("origin-not-allowed", url);
  return undefined;
}
