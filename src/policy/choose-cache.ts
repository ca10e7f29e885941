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
import { assertFunction, assertOptions, flag, isThenable, kindOf } from "../base/options.ts";
import { policyHalf, policyKey } from "../core/types.ts";
import { awaitFunction, signalOf } from "./bounded-wait.ts";
import type { AccessToken, RequestRules, TokenCache } from "../core/types.ts";
import type { PolicyRequest } from "./client-seam.ts";

/**
 * Says where the token of a client's requests comes from: one cache, several caches (the first whose origins allow the
 * request's URL, those with a list of origins before those whose origins depend on the token), or a function of the
 * request that returns a cache. A request for which there is no cache is sent without a token.
 */
export type TokenSource<Target extends readonly unknown[]> =
  | TokenCache
  | readonly TokenCache[]
  | ((...target: Target) => TokenCache | null | undefined | Promise<TokenCache | null | undefined>);

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
   * Creates the body, sync or async. Called for every send, so that a request with a stream can be sent again.
   *
   * @defaultValue the body of the request itself
   */
  readonly body?: (() => Body | Promise<Body>) | undefined;
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
  return firstCacheAllowing(source, request);
}

/** @throws {TypeError} When a source returned neither a cache nor `undefined` or `null`. */
function chosenCache(chosen: unknown): TokenCache | undefined {
  if (chosen === undefined || chosen === null || isTokenCache(chosen)) return chosen ?? undefined;
  const what = "What the function that chooses the token cache returns";
  throw tokenCacheError(what, chosen, "a token cache, undefined or null");
}

/**
 * Returns the first cache of a list that allows the request's URL. Those whose origins are known without a token are asked
 * first: a request to their API does not wait for the token of another.
 */
function firstCacheAllowing(
  caches: readonly TokenCache[],
  request: PolicyRequest,
): TokenCache | undefined | Promise<TokenCache | undefined> {
  const { url } = request;
  const fromToken: TokenCache[] = [];
  let resembling: TokenCache | undefined;
  for (const cache of caches) {
    const { rules } = policyHalf(cache);
    if (rules.originsFromToken) fromToken.push(cache);
    else if (mayCarryToken(rules, url)) return cache;
    else if (resembling === undefined || rules.resembles(url)) resembling = cache;
  }
  // A cache that does not allow the URL sends the request without a token, and reports it.
  const other = resembling ?? caches[0];
  if (fromToken.every((cache) => cache.peek() !== undefined)) {
    return fromToken.find((cache) => mayCarryToken(policyHalf(cache).rules, url, cache.peek())) ?? other;
  }
  // A token request may come here too, over a client that the whole process uses. The mint would wait for itself.
  const owner = caches.find((cache) => policyHalf(cache).rules.isOwn?.(url));
  return owner ?? leaveOnAbort(firstMintedAllowing(fromToken, url, resembling), signalOf(request));
}

/**
 * Does the same for caches whose origins depend on the token.
 *
 * @param other The cache to report a request that none of them allows.
 */
async function firstMintedAllowing(
  caches: readonly TokenCache[],
  url: string,
  other: TokenCache | undefined,
): Promise<TokenCache | undefined> {
  const sessions = caches.map((cache) => policyHalf(cache).session);
  for (const [index, cache] of caches.entries()) {
    let token: AccessToken;
    try {
      token = await cache.get();
    } catch {
      // Whether its tokens may go there is not known. The request may belong to another cache, which is healthy.
      continue;
    }
    if (mayCarryToken(policyHalf(cache).rules, url, token)) return boundTo(cache, sessions[index]);
    other ??= cache;
  }
  return other;
}

/** Whether a request to this URL may carry the token: not to the grant's own endpoints, which are asked for it (Q2). */
export function mayCarryToken(rules: RequestRules, url: string, token?: AccessToken): boolean {
  return rules.allows(url, token) && rules.isOwn?.(url) !== true;
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

/** What the caller overrides for one request: `false` when it is to be sent without a token. */
export type CheckedOverride<Body> = false | RequestOverrideOptions<Body> | undefined;

/**
 * Reads a request's override. A cache in its place means the option `cache`.
 *
 * @throws {TypeError} When it is something else, or when one of its options is wrong.
 */
export function checkedOverride<Body>(override: RequestOverride<Body> | null | undefined): CheckedOverride<Body> {
  if (override === undefined || override === null) return undefined;
  if (override === false) return false;
  if (isTokenCache(override)) return { cache: override };
  const where = 'The request option "remint"';
  if (typeof override !== "object") {
    throw new TypeError(`${where} must be false, a token cache or { cache, retry, body }, got ${kindOf(override)}`);
  }
  assertOptions(where, override, ["cache", "retry", "body"]);
  const { cache, retry, body } = override;
  if (cache !== undefined && cache !== null && !isTokenCache(cache)) {
    throw tokenCacheError('"remint.cache"', cache, "a token cache");
  }
  flag("remint.retry", retry);
  assertFunction("remint.body", body);
  return { cache: cache ?? undefined, retry, body };
}

/** Creates the body for one send. A promise is awaited, for a limited time. */
export function createdBody<Body>(create: () => Body | Promise<Body>, request: PolicyRequest): Body | Promise<Body> {
  return awaitFunction<Body>('the function "remint.body"', create(), request);
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
  const what = `The first argument of ${where}`;
  if (!Array.isArray(source) || source.length === 0) {
    if (!isTokenCache(source)) throw tokenCacheError(what, source);
    return;
  }
  for (const [index, entry] of source.entries()) {
    if (!isTokenCache(entry))
      throw tokenCacheError(`Entry ${index} of the first argument of ${where}`, entry, "a token cache");
  }
}

const SOURCE = "a token cache, a non-empty array of them or a function that returns one";

/**
 * The error for a value that is neither a token cache nor a source of one.
 *
 * @param what The value's name: the subject of the message.
 * @param allowed What it may be.
 */
export function tokenCacheError(what: string, value: unknown, allowed: string = SOURCE): TypeError {
  return new TypeError(`${what} must be ${allowed}, got ${kindOfSource(value)}`);
}

/** The kind of what is no token cache. A pool has a method `get` too, and so has what a test makes by hand. */
function kindOfSource(value: unknown): string {
  const { get, release } = Object(value) as { get?: unknown; release?: unknown };
  if (typeof get !== "function") return kindOf(value);
  if (typeof release === "function") return "a token pool: write () => pool.get(key)";
  return (
    `an object with a get() that createTokenCache did not create. ` +
    `In a test, use createTokenCache({ grant: fakeGrant(), origins }), with fakeGrant of "remint/testing"`
  );
}
