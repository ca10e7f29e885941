/**
 * Which token cache a request uses: the client's source of caches, what a single request may override, and the checks
 * of both.
 *
 * Not here: what happens to a request once its cache is chosen (`request-policy.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { RemintError } from "../base/errors.ts";
import { kindOf } from "../base/options.ts";
import { policyHalf, policyKey } from "../core/types.ts";
import { assertNoPromise, awaitFunction, isThenable, signalOf } from "./bounded-wait.ts";
import type { TokenCache } from "../core/types.ts";
import type { PolicyRequest } from "./client-seam.ts";

/**
 * Says where the token of a client's requests comes from: one cache, several caches (the first whose origins allow the
 * request's URL), or a function of the request that returns a cache. A request for which there is no cache is sent
 * without a token.
 */
export type TokenSource<Target extends readonly unknown[]> =
  | TokenCache
  | readonly TokenCache[]
  | ((...target: Target) => TokenCache | undefined | Promise<TokenCache | undefined>);

/**
 * Overrides the client's settings for one request, under the key `remint` of the request's options. `false` sends the
 * request without a token. A cache is used instead of the client's. {@link RequestOverrideOptions} sets single options.
 */
export type RequestOverride<Body = unknown> = false | TokenCache | RequestOverrideOptions<Body>;

/** The options of a {@link RequestOverride}. */
export interface RequestOverrideOptions<Body = unknown> {
  /** The cache for this request. @defaultValue the client's cache */
  readonly cache?: TokenCache | undefined;
  /**
   * Whether the request may be sent again after a 401. A rejected token is reported to its cache in any case.
   *
   * @defaultValue true
   */
  readonly retry?: boolean | undefined;
  /**
   * Creates the body. Called for every send, so that a request with a stream can be sent again. Must not be async.
   *
   * @defaultValue the body of the request itself
   */
  readonly body?: (() => Body) | undefined;
}

/**
 * Chooses the cache of a request. The request's signal is read only when there is something to wait for.
 *
 * @param target The arguments for a source that is a function.
 * @returns `undefined` when the request is to be sent without a token.
 * @throws {TypeError} When a source that is a function returns anything else. The promise rejects with it where the
 *   function returned a promise.
 */
export function chooseCache<Target extends readonly unknown[]>(
  source: TokenSource<Target>,
  request: PolicyRequest,
  target: Target,
): TokenCache | undefined | Promise<TokenCache | undefined> {
  if (typeof source === "function") {
    const chosen: unknown = source(...target);
    if (!isThenable(chosen)) return chosenCache(chosen);
    return Promise.resolve(awaitFunction("the function that chooses the token cache", chosen, request)).then(
      chosenCache,
    );
  }
  if (isTokenCache(source)) return source;
  return leaveOnAbort(firstCacheAllowing(source, request.url), signalOf(request));
}

/** @throws {TypeError} When a source returned neither a cache nor `undefined`. */
function chosenCache(chosen: unknown): TokenCache | undefined {
  if (chosen === undefined || isTokenCache(chosen)) return chosen;
  throw tokenCacheError("What the function that chooses the token cache returns", chosen, "a token cache or undefined");
}

async function firstCacheAllowing(caches: readonly TokenCache[], url: string): Promise<TokenCache | undefined> {
  const sessions = caches.map((cache) => policyHalf(cache).session);
  for (const [index, cache] of caches.entries()) {
    const { rules } = policyHalf(cache);
    // Without a token, origins that depend on the token allow every URL.
    const token = rules.originsFromToken ? await cache.get() : undefined;
    if (rules.allows(url, token)) return boundTo(cache, sessions[index]);
  }
  const [first] = caches;
  if (first !== undefined) policyHalf(first).skipped("origin-not-allowed", url);
  return undefined;
}

/** A cache for one request, which is not sent under another session than the one that it began to wait under (C15). */
function boundTo(cache: TokenCache, session: object | undefined): TokenCache {
  if (session === undefined) return cache;
  const half = policyHalf(cache);
  const assertSession = (): void => {
    if (half.session === undefined || half.session === session) return;
    const message = "the request belongs to a session in whose place another has been signed in";
    throw new RemintError("ERR_SESSION", message, { retryable: true });
  };
  const bound = {
    peek() {
      assertSession();
      return cache.peek();
    },
    async get(options?: Parameters<TokenCache["get"]>[0]) {
      assertSession();
      return cache.get(options);
    },
    [policyKey]: half,
  };
  return bound as unknown as TokenCache;
}

/**
 * Returns the cache that a request's override names, if it names one.
 *
 * @throws {TypeError} When it names something that is no cache.
 */
export function overridingCache(override: RequestOverride | undefined): TokenCache | undefined {
  if (typeof override !== "object" || override === null) return undefined;
  if (isTokenCache(override)) return override;
  const { cache } = override;
  if (cache === undefined || cache === null || isTokenCache(cache)) return cache ?? undefined;
  throw tokenCacheError('"remint.cache"', cache, "a token cache");
}

/** Returns a request's override if it has the form of {@link RequestOverrideOptions}. */
export function overrideOptions<Body>(
  override: RequestOverride<Body> | undefined,
): RequestOverrideOptions<Body> | undefined {
  return typeof override === "object" && override !== null && !isTokenCache(override) ? override : undefined;
}

/**
 * Creates the body for one send.
 *
 * @throws {TypeError} When the function returns a promise, which no client could send.
 */
export function createdBody<Body>(create: () => Body): Body {
  const body = create();
  assertNoPromise('The function "remint.body"', body);
  return body;
}

/** Whether `value` is a token cache. No `instanceof`: a cache of another copy of this package is one too. */
export function isTokenCache(value: unknown): value is TokenCache {
  return typeof value === "object" && value !== null && policyKey in value;
}

/**
 * Checks a client's source when the client is created.
 *
 * @param where The public function that was called, for the message.
 * @throws {TypeError} When the source is not a cache, a non-empty array of caches, or a function.
 */
export function assertTokenSource(where: string, source: unknown): void {
  if (typeof source === "function") return;
  const isValid = Array.isArray(source) ? source.length > 0 && source.every(isTokenCache) : isTokenCache(source);
  if (!isValid) throw tokenCacheError(`The first argument of ${where}`, source);
}

const SOURCE = "a token cache, a non-empty array of them or a function that returns one";

/**
 * The error for a value that is neither a token cache nor a source of one.
 *
 * @param what The value's name: the subject of the message.
 * @param allowed What it may be.
 */
export function tokenCacheError(what: string, value: unknown, allowed: string = SOURCE): TypeError {
  const expected = `${what} must be ${allowed}`;
  if (typeof (Object(value) as Partial<TokenCache>).get !== "function") {
    return new TypeError(`${expected}, got ${kindOf(value)}`);
  }
  return new TypeError(
    `${expected}, got an object with a get() that createTokenCache did not create. ` +
      `In a test, use createTokenCache({ grant: fakeGrant(), origins }), with fakeGrant of "remint/testing"`,
  );
}
