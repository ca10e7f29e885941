/**
 * The state of one token: what is cached, who waits for what, and what a rejection means.
 *
 * - C1 The warm path is synchronous: no promise, no lock, no allocation.
 * - C2 Any number of callers that need a token share one mint.
 * - C3 `refreshBuffer` before expiry the valid token is served at once and one background refresh runs.
 * - C4 `minValidity` before expiry callers wait, at most half of what is left. A valid token is served until it expires.
 * - C5 A token is forgotten by value. A late 401 for an old token changes nothing.
 *
 * It knows nothing of HTTP clients; how a token is minted is mint.ts, what a rejected request does next is renewal.ts.
 *
 * @module
 */
import { RemintError } from "../base/errors.ts";
import { stateLeftBy } from "../base/left-state.ts";
import { printableUrl } from "../base/url.ts";
import { AccessTokenRecord } from "./access-token.ts";
import { CachedToken, NEVER } from "./expiry.ts";
import { FailureMemory } from "./failures.ts";
import { minted, runRevocation } from "./mint.ts";
import { cacheSettings } from "./options.ts";
import { TokenRenewal } from "./renewal.ts";
import { Flight } from "./single-flight.ts";
import { isSameToken, StormGuard } from "./storm-guard.ts";
import { policyKey } from "./types.ts";
import type { Bursts } from "../base/clock.ts";
import type { CacheSettings, TokenCacheOptions } from "./options.ts";
import type { SharedGuard, TokenIdentity } from "./storm-guard.ts";
import type { Obtained, TokenNeed } from "./supply.ts";
import type {
  AccessToken,
  CloseOptions,
  MintCause,
  PolicyHalf,
  Renewal,
  RequestRules,
  RequestTarget,
  SkipReason,
  TokenCache,
} from "./types.ts";

/** What the caches of a pool have in common (C13). */
export interface PoolShare {
  readonly guard: SharedGuard;
  /** The failure memory of everybody who depends on this token endpoint. */
  failuresOf(endpoint: string): FailureMemory;
}

/** Everything there is to a token cache. Users hold a {@link SharedTokenCache}, which shows four methods of it. */
export class CacheState implements PolicyHalf {
  /** What users hold: a key of a pool always gives the same one. */
  readonly handle: TokenCache = new SharedTokenCache(this);
  readonly rules: RequestRules;
  readonly #settings: CacheSettings;
  readonly #bursts: Bursts | undefined;
  #failures: FailureMemory;
  #guard: StormGuard;
  #entry: CachedToken | undefined;
  /** The last token there was, cached or not. */
  #last: AccessTokenRecord | undefined;
  #flight: Flight<AccessTokenRecord> | undefined;
  #abandon: ((reason: RemintError) => void) | undefined;
  /** The value that was forgotten last: not to be had again from elsewhere. */
  #forgotten: string | undefined;
  /** The token whose replacement is charged and not begun yet: others rejected with it cost nothing more. */
  #paidFor: TokenIdentity | undefined;
  #flights = 0;
  #state: unknown;
  #seed: CacheSettings["seed"];
  #closed = false;

  constructor(settings: CacheSettings) {
    this.#settings = settings;
    this.rules = settings.rules;
    this.#bursts = settings.clock.bursts;
    this.#failures = new FailureMemory(settings.clock);
    this.#guard = new StormGuard(settings.clock);
    this.#state = settings.grant.state;
    this.#seed = settings.seed;
    if (settings.initial !== undefined) {
      const { initial, clock, defaultTtl } = settings;
      const sentAt = initial.receivedAt ?? clock.now();
      this.#keep(minted(initial, { sentAt, defaultTtl, seeded: true }), 0);
    }
  }

  peek(): AccessToken | undefined {
    const entry = this.#entry;
    if (entry === undefined) return undefined;
    const bursts = this.#bursts;
    if (bursts !== undefined && bursts.current === entry.freshIn && bursts.left-- > 0) return entry.token;
    const now = entry.now();
    if (now >= entry.softAt) return this.#peekLate(entry, now);
    if (bursts !== undefined) entry.freshIn = bursts.read(now) || NEVER;
    return entry.token;
  }

  get(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<AccessToken> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const token = this.peek();
    if (token !== undefined) return Promise.resolve(token);
    try {
      const flight = this.#flight ?? this.#begin("cold");
      const valid = this.#valid();
      return valid === undefined ? flight.wait(signal) : this.#waitPatiently(flight, valid, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  invalidate(value: string): Promise<void> {
    this.#forget(value);
    return Promise.resolve();
  }

  async close({ revoke = false }: CloseOptions = {}): Promise<void> {
    if (revoke) this.assertRevocable();
    this.#closed = true;
    this.#entry = undefined;
    const flight = this.#flight;
    this.#abandon?.(closedError());
    await flight?.promise.catch(() => {});
    const token = this.#last;
    const state = this.#state;
    if (revoke && (token !== undefined || state !== undefined)) await runRevocation(this.#settings, token, state);
    // Not before: a revocation that failed may be asked for again.
    this.#last = undefined;
    this.#state = undefined;
  }

  get onTrial(): boolean {
    return this.#guard.onTrial;
  }

  accepted(token: AccessToken, site: RequestTarget): void {
    this.#guard.accepted(token as AccessTokenRecord, site);
    if (this.#guard.isClear) this.#settings.supply.accepted?.(token.value);
  }

  rejected(rejected: AccessToken, site: RequestTarget): Renewal | undefined {
    if (this.#closed) return undefined;
    const token: TokenIdentity = rejected as AccessTokenRecord;
    const before = this.#flights;
    const entry = this.#valid();
    const isNewer = entry !== undefined && entry.token.value !== token.value;
    // What is there, or under way, or known to fail, costs no mint: always allowed, never charged (C8).
    const costsMint = !isNewer && this.#flight === undefined && this.#failures.active() === undefined;
    if (!isNewer && !this.#reject(token, site, costsMint)) return undefined;
    return new TokenRenewal(this.#host(), token, site, before);
  }

  skipped(reason: SkipReason, url: string): void {
    this.#settings.notify?.({ name: "skipped", reason, url: printableUrl(url) });
  }

  /** @throws {TypeError} When its tokens cannot be revoked, or are not this process's alone. */
  assertRevocable(): void {
    const { grant, isShared } = this.#settings;
    if (isShared) {
      throw new TypeError(
        `"revoke: true" is refused with a store: other processes may be using the token. Revoke it at the authorization ` +
          `server when the last of them is done`,
      );
    }
    if (grant.revoke === undefined) {
      throw new TypeError(`"revoke: true" needs a grant that can revoke: give it a revocationEndpoint or an issuer`);
    }
  }

  /** Whether a mint is under way: a pool does not evict it then. */
  get busy(): boolean {
    return this.#flight !== undefined;
  }

  /** Makes this cache one of a pool's: failures of its server and storms at an origin are then everybody's (C13). */
  joinPool(share: PoolShare): void {
    const { clock, grant } = this.#settings;
    const shared = grant.endpoint === undefined ? undefined : share.failuresOf(grant.endpoint);
    this.#failures = new FailureMemory(clock, shared);
    this.#guard = new StormGuard(clock, share.guard);
  }

  #peekLate(entry: CachedToken, now: number): AccessToken | undefined {
    if (now >= entry.expiresAt) return undefined;
    if (this.#flight === undefined && this.#failures.active() === undefined) {
      if (entry.doubted) this.#begin("rejected", [entry.token.value]);
      else this.#begin("expiring");
    }
    const worthWaiting = now >= entry.hardAt && this.#flight !== undefined && !this.#flight.outwaited;
    return worthWaiting ? undefined : entry.token;
  }

  /** C4: the flight's token, or after half of what is left of the old one, that. */
  async #waitPatiently(
    flight: Flight<AccessTokenRecord>,
    entry: CachedToken,
    signal: AbortSignal | undefined,
  ): Promise<AccessToken> {
    let giveUp!: () => void;
    const patience = new Promise<void>((resolve) => (giveUp = resolve));
    const timer = this.#settings.clock.setTimeout(
      () => {
        flight.outwaited = true;
        giveUp();
      },
      (entry.expiresAt - entry.now()) / 2,
    );
    timer.hold(true);
    try {
      const landed = flight.wait(signal).catch((error: unknown) => {
        if (signal?.aborted) throw error;
      });
      await Promise.race([landed, patience]);
    } finally {
      timer.cancel();
    }
    return this.peek() ?? this.get({ signal });
  }

  #begin(cause: MintCause, unwanted: readonly string[] = [], isOwed = false): Flight<AccessTokenRecord> {
    if (this.#closed) throw closedError();
    const failure = this.#failures.active();
    if (failure !== undefined) throw failure;
    const { clock, supply } = this.#settings;
    const startedAt = clock.monotonic();
    const rejected = new Set<string>();
    const need = { ...this.#need(cause, unwanted, rejected), isOwed };
    this.#seed = undefined;
    this.#paidFor = undefined;
    this.#guard.begun();
    const obtaining = supply.start(need);
    const took = (): number => clock.monotonic() - startedAt;
    const promise: Promise<AccessTokenRecord> = obtaining.promise.then(
      (obtained) => (obtained === undefined ? this.#unchanged(cause) : this.#landed(flight, obtained, took())),
      (error: RemintError) => this.#failed(flight, error, took()),
    );
    const flight: Flight<AccessTokenRecord> = new Flight(++this.#flights, cause, promise, obtaining.hold, rejected);
    this.#flight = flight;
    this.#abandon = obtaining.abandon;
    return flight;
  }

  #need(cause: MintCause, unwanted: readonly string[], rejected: ReadonlySet<string>): Omit<TokenNeed, "isOwed"> {
    const entry = this.#valid();
    const forgotten = this.#forgotten;
    const { notify } = this.#settings;
    return {
      cause,
      held: entry?.token,
      isUrgent: entry === undefined || entry.now() >= entry.hardAt,
      unwanted: forgotten === undefined ? unwanted : [...unwanted, forgotten],
      rejected,
      previous: this.#last,
      state: this.#state,
      seed: this.#seed,
      onRetry: (attempt, error) => notify?.({ name: "mint-retried", attempt, error }),
    };
  }

  /** Somebody else is replacing the token: it is served on, and asked about again in a moment. */
  #unchanged(cause: MintCause): AccessTokenRecord | Promise<AccessTokenRecord> {
    this.#flight = undefined;
    const entry = this.#valid();
    // It was forgotten meanwhile, or its time is over: whoever waits needs another one.
    if (entry === undefined) return this.#begin(cause).promise;
    entry.postpone();
    return entry.token;
  }

  #landed(flight: Flight<AccessTokenRecord>, obtained: Obtained, duration: number): AccessTokenRecord {
    let token: AccessTokenRecord;
    const last = this.#last?.value;
    const { cause } = flight;
    // Before the token is looked at: a rotated refresh token counts even when what came with it is unusable.
    if (obtained.response.state !== undefined) this.#state = obtained.response.state;
    try {
      token = this.#keep(obtained, flight.number, flight.rejected);
    } catch (error) {
      return this.#failed(flight, error as RemintError, duration);
    }
    this.#flight = undefined;
    this.#failures.clear();
    const { expiresAt } = token;
    if (obtained.adopted) {
      this.#guard.refund();
      this.#settings.notify?.({ name: "adopted", cause, duration, expiresAt });
    } else {
      this.#settings.notify?.({ name: "minted", cause, duration, expiresAt, repeated: last === token.value });
    }
    return token;
  }

  #failed(flight: Flight<AccessTokenRecord>, error: RemintError, duration: number): never {
    const left = stateLeftBy(error);
    if (left !== undefined) this.#state = left;
    this.#flight = undefined;
    if (this.#closed) throw error;
    this.#guard.failed();
    const servedStale = this.#valid() !== undefined;
    const shared = this.#failures.remember(error, !servedStale, this.#settings.isShared);
    this.#settings.notify?.({ name: "mint-failed", cause: flight.cause, duration, error: shared, servedStale });
    throw shared;
  }

  /** Caches a token, unless it was rejected meanwhile (C5) or is not to be cached (E3). */
  #keep(obtained: Obtained, flight: number, rejected?: ReadonlySet<string>): AccessTokenRecord {
    const { response, lifetime, expiresAt, freshness } = obtained;
    const token = new AccessTokenRecord(response, expiresAt, flight, freshness);
    const entry = this.#valid();
    this.#last = token;
    if (rejected?.has(token.value) || lifetime.ms <= 0) return token;
    if (entry !== undefined && entry.token.value === token.value && !entry.doubted) {
      entry.repeated(token.expiresAt, lifetime);
    } else if (!this.#closed) {
      this.#forgotten = undefined;
      this.#entry = new CachedToken(token, lifetime, this.#settings.clock, this.#settings);
    }
    return token;
  }

  #valid(): CachedToken | undefined {
    const entry = this.#entry;
    return entry !== undefined && entry.now() < entry.expiresAt ? entry : undefined;
  }

  #forget(value: string): void {
    this.#flight?.rejected.add(value);
    if (this.#entry?.token.value !== value) return;
    this.#forgotten = value;
    this.#entry = undefined;
    this.#settings.notify?.({ name: "invalidated" });
  }

  /**
   * C6: a rejected token is forgotten by value. While its origin is on trial, or nothing can be minted anyway, it stays
   * until a flight lands, so that one broken API takes no token from the others.
   */
  #reject(token: TokenIdentity, site: RequestTarget, costsMint: boolean): boolean {
    const keep = this.#guard.doubts(site) || (!costsMint && this.#flight === undefined);
    if (costsMint && !this.#charge(token, site)) return false;
    if (!keep) this.#forget(token.value);
    else if (this.#entry?.token.value === token.value) this.#entry.doubt();
    return true;
  }

  #charge(token: TokenIdentity, { origin, path }: RequestTarget): boolean {
    if (isSameToken(this.#paidFor, token)) return true;
    const refused = this.#settings.supply.refuses?.(token.value) === true;
    const charged = !refused && this.#guard.charge(token, { origin, path });
    if (charged) this.#paidFor = { value: token.value, flight: token.flight };
    this.#settings.notify?.({ name: charged ? "rejected" : "renewal-refused", origin, path });
    return charged;
  }

  #host(): ConstructorParameters<typeof TokenRenewal>[0] {
    return {
      current: () => this.#valid(),
      flight: () => this.#flight,
      begin: (values, isOwed) => this.#begin("rejected", values, isOwed),
      charge: (token, site) => this.#charge(token, site),
      reject: (token, site, costsMint) => this.#reject(token, site, costsMint),
      failure: () => this.#failures.active(),
    };
  }
}

/** The one implementation of {@link TokenCache}. A class instance, because axios deep-copies plain objects. */
class SharedTokenCache implements TokenCache {
  readonly #state: CacheState;

  // Not a method: where the symbol does not exist yet, that would be one named "undefined".
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;
  static {
    const dispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
    Object.defineProperty(this.prototype, dispose, {
      value(this: SharedTokenCache) {
        return this.close();
      },
    });
  }

  constructor(state: CacheState) {
    this.#state = state;
  }

  peek(): AccessToken | undefined {
    return this.#state.peek();
  }
  get(options?: { readonly signal?: AbortSignal | undefined }): Promise<AccessToken> {
    return this.#state.get(options);
  }
  invalidate(value: string): Promise<void> {
    return this.#state.invalidate(value);
  }
  close(options?: CloseOptions): Promise<void> {
    return this.#state.close(options);
  }
  get [policyKey](): PolicyHalf {
    return this.#state;
  }
}

function closedError(): RemintError {
  return new RemintError("ERR_CLOSED", "this token cache was closed; create a new one to go on");
}

/**
 * Creates the cache of one grant's token, to be shared by every request of every client.
 *
 * Does no I/O: the first request that needs a token mints it. One cache is one token; for a token per user or tenant
 * see {@link createTokenPool}.
 *
 * @throws {TypeError} When an option is wrong: it names the option, the kind of the value and what is expected.
 * @see [RFC 6749 section 1.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-1.4)
 * @example
 * ```ts
 * const tokens = createTokenCache({
 *   grant: clientCredentialsGrant({ tokenEndpoint: "https://auth.example/token", clientId, clientSecret }),
 *   origins: ["https://api.example"],
 * });
 * ```
 */
export function createTokenCache(options: TokenCacheOptions): TokenCache {
  return new CacheState(cacheSettings(options)).handle;
}
