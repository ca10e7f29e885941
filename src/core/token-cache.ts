/**
 * The token cache: the current token of one grant, the callers that wait for it, and what a rejection of it means.
 *
 * Not here: how a token is obtained (`supply.ts`, `mint.ts`), when it expires (`expiry.ts`), what one rejected request
 * does next (`renewal.ts`), whether a rejection may cost a mint (`storm-guard.ts`). Nothing in this file knows an HTTP
 * client: those go through `policy/request-policy.ts`.
 *
 * @module
 */
import { abortReason } from "../base/abort.ts";
import { isRemintError, RemintError } from "../base/errors.ts";
import { stateLeftBy } from "../base/left-state.ts";
import { optionError } from "../base/options.ts";
import { printableUrl } from "../base/url.ts";
import { AccessTokenRecord } from "./access-token.ts";
import { CachedToken, receivedAtOf } from "./expiry.ts";
import { Failure, FailureMemory } from "./failures.ts";
import { isRunning, minted, runRevocation } from "./mint.ts";
import { cacheSettings } from "./options.ts";
import { TokenRenewal } from "./renewal.ts";
import { Flight } from "./single-flight.ts";
import { isSameToken, StormGuard } from "./storm-guard.ts";
import { policyKey } from "./types.ts";
import type { FailurePhase, PoolFailures } from "./failures.ts";
import type { CacheSettings, TokenCacheOptions } from "./options.ts";
import type { RenewalHost } from "./renewal.ts";
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

/**
 * Creates the cache of one grant's token, to be shared by every request of every client.
 *
 * Does no I/O: the first request that needs a token mints it. One cache holds one token; for a token per user or tenant
 * see {@link createTokenPool}.
 *
 * @throws {TypeError} When an option is wrong. The message names the option and says what is expected.
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

/** What the caches of a pool share (C13). */
export interface PoolShare {
  readonly guard: SharedGuard;
  readonly failures: PoolFailures;
}

/**
 * What a pool needs of a cache. Two copies of this package may meet here: a pool takes the caches of the other copy too.
 */
export type PooledCache = Pick<CacheState, "handle" | "isMinting" | "assertRevocable" | "close" | "joinPool">;

/** Returns whether the half of a cache is that of a cache which a pool can take. No `instanceof`: see above. */
export function isPooledCache(half: unknown): half is PooledCache {
  return typeof (Object(half) as Partial<PooledCache>).joinPool === "function";
}

/**
 * A token cache as the library sees it. Users hold a {@link SharedTokenCache}, which has four of its methods.
 *
 * - A call that finds a fresh token is synchronous: no promise, no lock, no allocation (C1).
 * - Any number of callers that need a token share one mint (C2).
 * - In the soft window the token is served at once, and one refresh runs in the background (C3).
 * - In the hard window callers wait for a new token, for at most half of the time that is left (C4).
 * - A token is forgotten by value: a late 401 for an old token changes nothing (C5).
 */
export class CacheState implements PolicyHalf {
  /** What users hold. One object per cache, so that a key of a pool always returns the same one. */
  readonly handle: TokenCache = new SharedTokenCache(this);
  readonly rules: RequestRules;
  readonly #settings: CacheSettings;
  #failures: FailureMemory;
  #guard: StormGuard;
  #entry: CachedToken | undefined;
  /** The last token that was obtained, cached or not. */
  #lastToken: AccessTokenRecord | undefined;
  #flight: Flight<AccessTokenRecord> | undefined;
  /** Ends the flight. */
  #abandon: ((reason: Failure) => void) | undefined;
  /** The token value that was forgotten last. The supply must not return it again. */
  #forgotten: string | undefined;
  /**
   * The rejected token whose replacement is charged and has not begun. Other requests rejected with it are not charged.
   */
  #charged: TokenIdentity | undefined;
  /** How many flights have begun. */
  #flightCount = 0;
  /** What the last mint left for the next one, for example a refresh token. */
  #state: unknown;
  /** The user's `initial` function, until it was called. */
  #seed: CacheSettings["seed"];
  #closed = false;

  constructor(settings: CacheSettings) {
    this.#settings = settings;
    this.rules = settings.rules;
    this.#failures = new FailureMemory(settings.clock);
    this.#guard = new StormGuard(settings.clock);
    this.#state = settings.grant.state;
    this.#seed = settings.seed;
    if (settings.initial !== undefined) {
      const { initial, clock, defaultTtl, maxTtl } = settings;
      const sentAt = Math.min(receivedAtOf(initial) ?? Infinity, clock.now());
      this.#cacheToken(minted(initial, { sentAt, defaultTtl, maxTtl, seeded: true, isOwn: true }), 0);
    }
  }

  peek(): AccessToken | undefined {
    const entry = this.#entry;
    if (entry === undefined) return undefined;
    const now = entry.now();
    return now < entry.softAt ? entry.token : this.#peekInWindow(entry, now);
  }

  get(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<AccessToken> {
    const signal = options.signal ?? undefined;
    if (signal !== undefined && typeof signal.addEventListener !== "function") {
      return Promise.reject(optionError("signal", signal, "an AbortSignal, such as that of an AbortController"));
    }
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const token = this.peek();
    if (token !== undefined) return Promise.resolve(token);
    try {
      if (isRunning(this.#settings.grant)) throw ownWaitError();
      const flight = this.#flight ?? this.#startFlight("cold");
      const entry = this.#validEntry();
      return entry === undefined ? flight.wait(signal) : this.#waitForHalf(flight, entry, signal);
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
    this.#abandon?.(CLOSED);
    await flight?.promise.catch(() => {});
    const token = this.#lastToken;
    const state = this.#state;
    if (revoke && (token !== undefined || state !== undefined)) await runRevocation(this.#settings, token, state);
    // Kept until here, so that a revocation that failed can be repeated.
    this.#lastToken = undefined;
    this.#state = undefined;
  }

  get onTrial(): boolean {
    return this.#guard.onTrial;
  }

  accepted(token: AccessToken, target: RequestTarget): void {
    this.#guard.accepted(token as AccessTokenRecord, target);
    if (this.#guard.isClear) this.#settings.supply.accepted?.(token.value);
  }

  rejected(rejected: AccessToken, target: RequestTarget): Renewal | undefined {
    if (this.#closed) return undefined;
    const token: TokenIdentity = rejected as AccessTokenRecord;
    const flightsBefore = this.#flightCount;
    const entry = this.#validEntry();
    const hasOther = entry !== undefined && entry.token.value !== token.value;
    // A renewal costs nothing when there is another token, a flight, or a remembered failure. It is then not charged
    // (C8).
    const costsMint = !hasOther && this.#flight === undefined && this.#activeFailure() === undefined;
    if (!hasOther && !this.#reject(token, target, costsMint)) return undefined;
    return new TokenRenewal(this.#renewalHost(), token, target, flightsBefore);
  }

  skipped(reason: SkipReason, url: string): void {
    this.#settings.notify?.({ name: "skipped", reason, url: printableUrl(url) });
  }

  /** @throws {TypeError} When the grant cannot revoke tokens, or other processes use the token too. */
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

  /** Whether a mint is in progress. A pool does not evict the cache then. */
  get isMinting(): boolean {
    return this.#flight !== undefined;
  }

  /**
   * Makes this cache one of a pool's. Failures of its server and rejections at an origin then count for the pool (C13).
   */
  joinPool(share: PoolShare, key: string): void {
    const { clock, grant } = this.#settings;
    const shared = grant.server === undefined ? undefined : share.failures.viewOf(grant.server, key);
    this.#failures = new FailureMemory(clock, shared);
    this.#guard = new StormGuard(clock, share.guard);
  }

  /** `peek` in the soft or in the hard window, or after the expiry. */
  #peekInWindow(entry: CachedToken, now: number): AccessToken | undefined {
    if (now >= entry.expiresAt) return undefined;
    if (this.#flight === undefined && this.#activeFailure() === undefined) {
      if (entry.keptAfterRejection) this.#startFlight("rejected", [entry.token.value]);
      else this.#startFlight("expiring");
    }
    const mustWait = now >= entry.hardAt && this.#flight !== undefined && !this.#flight.outwaited;
    return mustWait ? undefined : entry.token;
  }

  /**
   * Waits for the flight, for at most half of the time that the valid token has left. Then returns the token there is,
   * usually the flight's, otherwise the one that is still valid (C4).
   */
  async #waitForHalf(
    flight: Flight<AccessTokenRecord>,
    entry: CachedToken,
    signal: AbortSignal | undefined,
  ): Promise<AccessToken> {
    // The caller leaves the flight by a signal of its own, so that an abandoned wait does not keep the process alive.
    const wait = new AbortController();
    const leave = (): void => wait.abort(signal && abortReason(signal));
    const timer = this.#settings.clock.setTimeout(
      () => {
        flight.outwaited = true;
        wait.abort(HALF_OVER);
      },
      (entry.expiresAt - entry.now()) / 2,
    );
    timer.hold(true);
    let token: AccessTokenRecord | undefined;
    try {
      signal?.addEventListener("abort", leave);
      token = await flight.wait(wait.signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      // Whatever became of the flight: the token at hand is valid until it expires.
    } finally {
      timer.cancel();
      signal?.removeEventListener("abort", leave);
    }
    if (token === undefined || this.#isRejected(flight, token)) return this.peek() ?? this.get({ signal });
    // A new token serves those who waited for it, also when it is not to be cached. `peek` would begin the next mint then.
    const cached = this.#validEntry()?.token;
    return cached?.value === token.value ? cached : token;
  }

  #isRejected(flight: Flight<AccessTokenRecord>, { value }: AccessTokenRecord): boolean {
    return flight.rejected.has(value) || this.#forgotten === value;
  }

  #startFlight(cause: MintCause, unwanted: readonly string[] = [], mustBeFresh = false): Flight<AccessTokenRecord> {
    if (this.#closed) throw CLOSED.toError();
    const failure = this.#activeFailure();
    // What others know of the server does not concern the user's `initial` function, which may have a token.
    if (failure !== undefined && this.#seed === undefined) throw failure.toError();
    const begin: FlightBegin = { at: this.#settings.clock.monotonic(), phase: this.#phase(), unwanted, mustBeFresh };
    const rejected = new Set<string>();
    const need = { ...this.#need(cause, unwanted, rejected), mustBeFresh };
    this.#seed = undefined;
    this.#charged = undefined;
    this.#guard.begun();
    const obtaining = this.#settings.supply.start(need);
    const promise: Promise<AccessTokenRecord> = obtaining.promise.then(
      (obtained) =>
        obtained === undefined ? this.#onUnchanged(flight, begin) : this.#onObtained(flight, obtained, begin),
      (reason: Failure) => this.#onFailed(flight, reason, begin),
    );
    const flight: Flight<AccessTokenRecord> = new Flight(++this.#flightCount, cause, promise, obtaining.hold, rejected);
    this.#flight = flight;
    this.#abandon = obtaining.abandon;
    return flight;
  }

  #need(cause: MintCause, unwanted: readonly string[], rejected: ReadonlySet<string>): Omit<TokenNeed, "mustBeFresh"> {
    const entry = this.#validEntry();
    const forgotten = this.#forgotten;
    const { notify } = this.#settings;
    return {
      cause,
      held: entry?.token,
      isUrgent: entry === undefined || entry.now() >= entry.hardAt,
      unwanted: forgotten === undefined ? unwanted : [...unwanted, forgotten],
      rejected,
      previous: this.#lastToken,
      state: this.#state,
      seed: this.#seed,
      failureOfOthers: this.#seed && (() => this.#activeFailure()),
      onRetry: (attempt, error) => notify?.({ name: "mint-retried", attempt, error }),
    };
  }

  /** Another process is replacing the token: callers get the old one, and the fleet is asked again in a moment. */
  #onUnchanged(flight: Flight<AccessTokenRecord>, begin: FlightBegin): AccessTokenRecord | Promise<AccessTokenRecord> {
    this.#flight = undefined;
    const entry = this.#validEntry();
    // The token was forgotten or has expired meanwhile, so the callers that wait need another one.
    if (entry === undefined) return this.#startNextFlight(flight, begin);
    entry.postponeRefresh();
    return entry.token;
  }

  #onObtained(
    flight: Flight<AccessTokenRecord>,
    obtained: Obtained,
    begin: FlightBegin,
  ): AccessTokenRecord | Promise<AccessTokenRecord> {
    const duration = this.#settings.clock.monotonic() - begin.at;
    let token: AccessTokenRecord;
    const last = this.#lastToken?.value;
    const { cause } = flight;
    try {
      // Before the token is checked: a new refresh token counts even if the access token beside it is unusable.
      if (obtained.response.state !== undefined) this.#state = obtained.response.state;
      token = this.#cacheToken(obtained, flight.number, flight.rejected);
    } catch (error) {
      return this.#onFailed(flight, unusableFailure(error), begin);
    }
    this.#flight = undefined;
    this.#failures.clear(obtained.adopted !== true && obtained.seeded !== true);
    const { expiresAt } = token;
    if (obtained.adopted) {
      this.#guard.refund();
      this.#settings.notify?.({ name: "adopted", cause, duration, expiresAt });
    } else {
      this.#settings.notify?.({ name: "minted", cause, duration, expiresAt, repeated: last === token.value });
    }
    return token;
  }

  #onFailed(flight: Flight<AccessTokenRecord>, failure: Failure, begin: FlightBegin): Promise<AccessTokenRecord> {
    const state = stateLeftBy(failure);
    if (state !== undefined) this.#state = state;
    this.#flight = undefined;
    if (this.#closed) throw failure;
    this.#guard.failed();
    const servedStale = this.#phase() !== "expired";
    this.#failures.remember(failure, begin.phase, begin.at, this.#settings.isShared);
    const duration = this.#settings.clock.monotonic() - begin.at;
    this.#settings.notify?.({
      name: "mint-failed",
      cause: flight.cause,
      duration,
      error: failure.toEventError(),
      servedStale,
    });
    // The process was frozen: the request may have died with its connection, and says nothing about the server.
    if (failure.owner === "nobody") return this.#startNextFlight(flight, begin);
    throw failure;
  }

  /** The next flight for callers that wait for one that yielded nothing. */
  #startNextFlight(
    flight: Flight<AccessTokenRecord>,
    { unwanted, mustBeFresh }: FlightBegin,
  ): Promise<AccessTokenRecord> {
    if (this.#closed) return Promise.reject(CLOSED);
    const failure = this.#activeFailure();
    if (failure !== undefined) return Promise.reject(failure);
    return flight.continueWith(this.#startFlight(flight.cause, unwanted, mustBeFresh));
  }

  /** The failure that a mint now would only repeat (C9). */
  #activeFailure(): Failure | undefined {
    return this.#failures.active(this.#phase());
  }

  /** What a failed mint costs callers now. */
  #phase(): FailurePhase {
    const entry = this.#validEntry();
    if (entry === undefined) return "expired";
    return entry.now() >= entry.hardAt ? "window" : "background";
  }

  /**
   * Caches a token, unless it was rejected meanwhile (C5) or must not be cached (E3). Returns the token in any case.
   */
  #cacheToken(obtained: Obtained, flight: number, rejected?: ReadonlySet<string>): AccessTokenRecord {
    const { response, lifetime, expiresAt, freshness } = obtained;
    const token = new AccessTokenRecord(response, expiresAt, flight, freshness);
    const entry = this.#validEntry();
    this.#lastToken = token;
    if (rejected?.has(token.value) || lifetime.ms <= 0) return token;
    if (entry !== undefined && entry.token.value === token.value && !entry.keptAfterRejection) {
      entry.mintedAgain(token.expiresAt, lifetime);
    } else if (!this.#closed) {
      this.#forgotten = undefined;
      this.#entry = new CachedToken(token, lifetime, this.#settings.clock, this.#settings);
    }
    return token;
  }

  #validEntry(): CachedToken | undefined {
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
   * Forgets a rejected token by value. The token is kept until the next flight ends if its origin has uncleared
   * charges, or if nothing can be minted now: one broken API must not take the token from the others (C6).
   *
   * @returns `false` when the storm guard refuses. The token is kept then.
   */
  #reject(token: TokenIdentity, target: RequestTarget, costsMint: boolean): boolean {
    const keep = this.#guard.doubts(target) || (!costsMint && this.#flight === undefined);
    if (costsMint && !this.#charge(token, target)) return false;
    if (!keep) this.#forget(token.value);
    else if (this.#entry?.token.value === token.value) this.#entry.keepAfterRejection();
    return true;
  }

  /** Charges the storm guard for replacing a token, once for all requests that were rejected with it. */
  #charge(token: TokenIdentity, { origin, path }: RequestTarget): boolean {
    if (isSameToken(this.#charged, token)) return true;
    const refused = this.#settings.supply.refuses?.(token.value) === true;
    const charged = !refused && this.#guard.charge(token, { origin, path });
    if (charged) this.#charged = { value: token.value, flight: token.flight };
    this.#settings.notify?.({ name: charged ? "rejected" : "renewal-refused", origin, path });
    return charged;
  }

  #renewalHost(): RenewalHost {
    return {
      current: () => this.#validEntry(),
      flight: () => this.#flight,
      begin: (values, mustBeFresh) => this.#startFlight("rejected", values, mustBeFresh),
      charge: (token, target) => this.#charge(token, target),
      reject: (token, target, costsMint) => this.#reject(token, target, costsMint),
      failure: () => this.#activeFailure(),
    };
  }
}

/** How a flight began. */
interface FlightBegin {
  /** Monotonic milliseconds. */
  readonly at: number;
  /** What a failure cost callers then. The token may expire before the flight fails: that is worth a flight of its own. */
  readonly phase: FailurePhase;
  /** Token values that must not be the outcome. */
  readonly unwanted: readonly string[];
  /** See {@link TokenNeed.mustBeFresh}. */
  readonly mustBeFresh: boolean;
}

/**
 * The implementation of {@link TokenCache}: it shows four methods of a {@link CacheState}. It is a class, because axios
 * copies plain objects deeply and leaves class instances alone.
 */
class SharedTokenCache implements TokenCache {
  readonly #state: CacheState;

  // Not an ordinary method: where `Symbol.asyncDispose` does not exist yet, its name would be "undefined".
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

const CLOSED = new Failure("nobody", {
  code: "ERR_CLOSED",
  message: "this token cache was closed; create a new one to go on",
  retryable: false,
});

/** The reason with which a caller stops to wait for a new token: the old one is still valid. */
const HALF_OVER = new Error("half of the time is over");

/** Describes why an obtained token cannot be used. What a grant returns may be any object, with getters that throw. */
function unusableFailure(error: unknown): Failure {
  if (isRemintError(error)) return Failure.of(error, "key");
  const message = "no token is available: what the grant returned cannot be read";
  return new Failure("key", { code: "ERR_TOKEN_RESPONSE", message, retryable: false }, () => error);
}

/** The error of a grant that asks the very cache that waits for it. */
function ownWaitError(): RemintError {
  const hint = "give the grant a client without tokens, or one with another cache";
  const message = "the grant asked its own token cache for a token, and would have waited for itself";
  return new RemintError("ERR_GRANT", message, { hint });
}
