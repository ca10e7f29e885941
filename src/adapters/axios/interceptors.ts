/**
 * What an interceptor does with a request: it sends the request through the request policy, for itself and for the other
 * interceptors of this package on the same client (Q13).
 *
 * Each interceptor puts an adapter around that of the config. The outermost one sees the others, decides which of them the
 * request belongs to, and sends it once.
 *
 * Not here: what changes in a request's config (`call.ts`), and how its answer is read (`seam.ts`).
 *
 * @module
 */
import { targetOf } from "../../base/url.ts";
import { warn } from "../../base/warn.ts";
import { policyHalf } from "../../core/types.ts";
import { isThenable } from "../../base/options.ts";
import { checkedOverride, chooseCache, isTokenCache, mayCarryToken } from "../../policy/choose-cache.ts";
import { rejectWith } from "../../policy/client-seam.ts";
import { sendBare, sendSkipped, sendWith, withToken } from "../../policy/request-policy.ts";
import { whileBodyLasts } from "../../policy/watched-body.ts";
import { AxiosCall } from "./call.ts";
import { copyOf, copyOfRequest, foreignTraits } from "./copies.ts";
import { AxiosSeam } from "./seam.ts";
import type { InternalAxiosRequestConfig } from "axios";
import type { TokenCache } from "../../core/types.ts";
import type { RequestOverride, TokenSource } from "../../policy/choose-cache.ts";
import type { SeamOptions } from "../../policy/client-seam.ts";
import type { AxiosCallConfig, ResolvedAdapter } from "./call.ts";
import type { Copy } from "./copies.ts";

/** Where the token of a request comes from: a cache, several caches, or a function of axios' config. */
export type Source = TokenSource<[config: InternalAxiosRequestConfig]>;

/**
 * Under this key, an adapter of this package has what another interceptor must know of it. Registered, so that two copies
 * of this package see each other; the number is the version of what stands behind it.
 */
const linkKey = Symbol.for("remint.axios/1");

/** One of several interceptors on a request. */
interface Link {
  /** The `adapter` of the config before the interceptor replaced it. */
  readonly beneath: unknown;
  readonly source: Source;
  readonly options: SeamOptions;
}

/** What one interceptor has for all its requests. */
export class Interceptor {
  readonly #source: Source;
  readonly #options: SeamOptions;
  readonly #onlyCache: TokenCache | undefined;
  readonly #seam: AxiosSeam;
  readonly #copy: Copy;
  #isConflictTold = false;
  #isDefaultTold = false;

  constructor(source: Source, options: SeamOptions & { readonly axios?: object | undefined }) {
    this.#source = source;
    this.#options = options;
    this.#onlyCache = isTokenCache(source) ? source : undefined;
    this.#seam = new AxiosSeam(options);
    this.#copy = copyOf(options.axios);
  }

  /**
   * Returns the adapter that takes the place of a config's own.
   *
   * @param isTyped Whether the request has a content type.
   */
  adapterAround(beneath: unknown, isTyped: boolean): ResolvedAdapter {
    const link: Link = { beneath, source: this.#source, options: this.#options };
    const adapter = (config: AxiosCallConfig): Promise<unknown> => this.#send(config, link, isTyped);
    (adapter as Partial<Record<typeof linkKey, Link>>)[linkKey] = link;
    return adapter;
  }

  /** Sends a request. Called by axios, when nothing else can change the request any more. */
  #send(config: AxiosCallConfig, link: Link, isTyped: boolean): Promise<unknown> {
    let call: AxiosCall | undefined;
    try {
      let others: Link[] | undefined;
      let { beneath } = link;
      for (let other = linkOf(beneath); other !== undefined; other = linkOf(beneath)) {
        (others ??= []).push(other);
        beneath = other.beneath;
      }
      // Restored first, because a caller may send `response.config` or `error.config` again. The interceptors then run
      // again.
      config.adapter = beneath;
      const copy = copyOfRequest(this.#copy, config);
      const { axios, getAdapter } = copy ?? this.#copy;
      const adapter = getAdapter((beneath ?? axios.defaults.adapter) as never, config as never) as ResolvedAdapter;
      const traits = copy?.traits ?? foreignTraits(this.#copy, adapter, beneath);
      const override = checkedOverride((config as { remint?: RequestOverride }).remint);
      call = new AxiosCall(config, adapter, traits, override, isTyped);
      const only = others === undefined ? this.#onlyCache : undefined;
      if (only !== undefined && override !== false && !call.isAuthorized) {
        return withToken(override?.cache ?? only, call, this.#seam);
      }
      return this.#sendFor(inOrder([link, ...(others ?? [])], config), call, config, copy);
    } catch (error) {
      return call === undefined ? Promise.reject(error) : rejectWith(call, this.#seam, error);
    }
  }

  /** Sends a request for one of several interceptors, the latest registered of which is the first. */
  #sendFor(links: readonly Link[], call: AxiosCall, config: AxiosCallConfig, copy: Copy | undefined): Promise<unknown> {
    const { override } = call;
    const seam = this.#seamOf(links[0]!);
    const cache = (override || undefined)?.cache;
    if (override === false || call.isAuthorized) {
      const reporter = cache ?? reporterOf(links.flatMap(cachesOf), call.url);
      if (reporter === undefined) return sendBare(call, seam);
      if (override === false) return sendSkipped(policyHalf(reporter), "opted-out", call, seam);
      this.#tellDefault(config, reporter, call.url, copy);
      return withToken(reporter, call, seam);
    }
    if (cache !== undefined) return withToken(cache, call, seam);
    if (links.length === 1) return sendWith(chooseCache(links[0]!.source, call, [config as never]), call, seam);
    const chosen = firstClaim(links, call, config);
    const send = ({ link, cache: claimed }: Claim): Promise<unknown> => {
      if (link !== undefined && claimed !== undefined) this.#tellConflict(links, link, claimed, call.url);
      return sendWith(claimed ?? reporterOf(links.flatMap(cachesOf), call.url), call, this.#seamOf(link ?? links[0]!));
    };
    if (!isThenable(chosen)) return send(chosen);
    return whileBodyLasts(chosen, call, seam).then(send, (error: unknown) => rejectWith(call, seam, error));
  }

  #seamOf({ options }: Link): AxiosSeam {
    return options === this.#options ? this.#seam : new AxiosSeam(options);
  }

  /** Says once that a request has more than one interceptor whose cache is meant for its URL. */
  #tellConflict(links: readonly Link[], winner: Link, cache: TokenCache, url: string): void {
    if (this.#isConflictTold) return;
    const half = policyHalf(cache);
    // Functions are not called: the warning is not worth it.
    const others = links.slice(links.indexOf(winner) + 1).flatMap(cachesOf);
    const isClaimed = others.some((other) => policyHalf(other) !== half && isMeantFor(other, url));
    if (!isClaimed || !warns(cache)) return;
    this.#isConflictTold = true;
    warn(
      `Several interceptors of remint/axios on one client have a token cache for ${targetOf(url).origin}: the one that was ` +
        "registered last is used. Remove the others with axios.interceptors.request.eject().",
    );
  }

  /** Says once that a default header of axios keeps the token from being attached. */
  #tellDefault({ headers }: AxiosCallConfig, cache: TokenCache, url: string, copy = this.#copy): void {
    if (this.#isDefaultTold || !isMeantFor(cache, url) || !warns(cache)) return;
    const defaults = Object.entries(copy.axios.defaults.headers.common as Record<string, unknown>);
    const own = defaults.find(([name]) => name.toLowerCase() === "authorization")?.[1];
    if (own === undefined || !Object.values(headers).includes(own)) return;
    this.#isDefaultTold = true;
    warn(
      "axios.defaults.headers.common.Authorization is set, so requests carry it and not the token of the cache. Remove it.",
    );
  }
}

function linkOf(adapter: unknown): Link | undefined {
  return (adapter as Partial<Record<typeof linkKey, Link>> | null | undefined)?.[linkKey];
}

/**
 * Puts the interceptors of a request into the order in which they are asked, the latest registered first.
 *
 * @param links The outermost first. axios runs the interceptor that was registered last before the others, unless it is
 *   told to keep the order of registration.
 */
function inOrder(links: Link[], { transitional }: AxiosCallConfig): Link[] {
  // oxlint-disable-next-line unicorn/no-array-reverse -- the array is our own, and toReversed is newer than what is supported
  return transitional?.legacyInterceptorReqResOrdering === false ? links : links.reverse();
}

/** The caches of a source that is no function. */
function cachesOf({ source }: Link): readonly TokenCache[] {
  if (typeof source === "function") return [];
  return isTokenCache(source) ? [source] : source;
}

/** Whether a cache is known, without asking for a token, to be meant for a URL. */
function isMeantFor(cache: TokenCache, url: string): boolean {
  const { rules } = policyHalf(cache);
  return !rules.originsFromToken && mayCarryToken(rules, url);
}

/** Returns the cache that reports a request which gets no token. */
function reporterOf(caches: readonly TokenCache[], url: string): TokenCache | undefined {
  return (
    caches.find((cache) => isMeantFor(cache, url)) ??
    caches.find((cache) => policyHalf(cache).rules.resembles?.(url)) ??
    caches[0]
  );
}

/** Whether a cache lets warnings be printed. A cache of another copy of this package may not say. */
function warns(cache: TokenCache): boolean {
  return (policyHalf(cache) as { readonly warns?: boolean }).warns !== false;
}

/** The interceptor that a request belongs to, and the cache of its source for the request. */
interface Claim {
  readonly link?: Link;
  readonly cache?: TokenCache;
}

/** Asks one interceptor after the other for a cache that may send its token to the request's URL. */
function firstClaim(
  links: readonly Link[],
  call: AxiosCall,
  config: AxiosCallConfig,
  index = 0,
): Claim | Promise<Claim> {
  const link = links[index];
  if (link === undefined) return {};
  return after(claimOf(link, call, config), (cache) =>
    cache === undefined ? firstClaim(links, call, config, index + 1) : { link, cache },
  );
}

function claimOf(
  { source }: Link,
  call: AxiosCall,
  config: AxiosCallConfig,
): TokenCache | undefined | Promise<TokenCache | undefined> {
  return after(chooseCache(source, call, [config as never]), (cache) => {
    if (cache === undefined) return undefined;
    // As a list, because origins that depend on the token are then known.
    return after(chooseCache([cache], call, [config as never]), (known) => {
      const { rules } = policyHalf(cache);
      const token = rules.originsFromToken ? known?.peek() : undefined;
      const isKnown = token !== undefined || !rules.originsFromToken;
      return isKnown && mayCarryToken(rules, call.url, token) ? known : undefined;
    });
  });
}

/** Continues with a value, or with that of a promise. What is there already is not awaited (Q14). */
function after<T, Result>(
  value: T | Promise<T>,
  next: (value: T) => Result | Promise<Result>,
): Result | Promise<Result> {
  return isThenable(value) ? value.then(next) : next(value);
}
