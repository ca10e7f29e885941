/**
 * The token cache: the current token of one grant, the callers that wait for it, and what a rejection of it means.
 *
 * Not here: how a token is obtained (`supply.ts`, `mint.ts`), when it expires (`expiry.ts`), what one rejected request
 * does next (`renewal.ts`), whether a rejection may cost a mint (`rejections.ts`). Nothing in this file knows an HTTP
 * client: those go through `policy/request-policy.ts`.
 *
 * @module
 */
import { abortReason } from "../base/abort.ts";
import { isRemintError, RemintError } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { assertOptions, duration as durationOf, flag, optionError } from "../base/options.ts";
import { printableUrl, targetOf as siteOf } from "../base/url.ts";
import { warn } from "../base/warn.ts";
import { AccessTokenRecord } from "./access-token.ts";
import { CachedToken } from "./expiry.ts";
import { Failure, FailureMemory } from "./failures.ts";
import { isRunning, mintedBefore, NOBODY } from "./mint.ts";
import { cacheSettings } from "./options.ts";
import { TokenRenewal } from "./renewal.ts";
import { Flight } from "./single-flight.ts";
import { EvidenceAccounts, isSameToken, Rejections } from "./rejections.ts";
import { CLOSED, ENDED, noSessionError, REPLACED } from "./supply.ts";
import { targetOf } from "./target.ts";
import { policyKey } from "./types.ts";
import type { Listeners } from "./events.ts";
import type { FailurePhase, PoolFailures } from "./failures.ts";
import type { Target } from "./grant.ts";
import type { CacheSettings, TokenCacheOptions } from "./options.ts";
import type { RenewalHost } from "./renewal.ts";
import type { MintQueue } from "./mint-queue.ts";
import type { Answer, Place, TokenIdentity } from "./rejections.ts";
import type { Obtained, Obtaining, SupplyMember, TokenNeed, TokenSupply } from "./supply.ts";
import type {
  AccessToken,
  CloseOptions,
  CloseReport,
  EndedMint,
  GetOptions,
  KeyDescription,
  MintCause,
  Origins,
  PolicyHalf,
  PoolEventListener,
  Renewal,
  RequestRules,
  RequestTarget,
  Session,
  SignInResponse,
  SignOutOptions,
  SkipReason,
  TargetOptions,
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
  /** The evidence about the APIs. */
  readonly accounts: EvidenceAccounts;
  readonly failures: PoolFailures;
  /** The mints that wait for their turn, by endpoint and client. */
  readonly mints: MintQueue;
  /** Why requests went out without a token, for each reason that was told. */
  readonly toldReasons: Set<SkipReason>;
  /** They hear the events of every cache. */
  readonly listeners: Listeners<PoolEventListener>;
}

/**
 * What a pool needs of a cache. Two copies of this package may meet here: a pool takes the caches of the other copy too.
 */
export type PooledCache = Pick<
  CacheState,
  "handle" | "isBusy" | "isClosed" | "isPooled" | "supply" | "close" | "joinPool" | "describe"
>;

/** @throws {TypeError} When an option of a close is wrong. `where` is the public function, for the message. */
export function assertCloseOptions(where: string, options: CloseOptions): void {
  assertOptions(where, options, ["within"]);
  durationOf("within", options.within, 0);
}

/** Returns whether the half of a cache is that of a cache which a pool can take. No `instanceof`: see above. */
export function isPooledCache(half: unknown): half is PooledCache {
  return typeof (Object(half) as Partial<PooledCache>).joinPool === "function";
}

/**
 * A token cache as the library sees it. Users hold a {@link SharedTokenCache}, which has some of its methods.
 *
 * - A call that finds a fresh token is synchronous: no promise, no lock, no allocation (C1).
 * - Any number of callers that need a token share one mint (C2).
 * - In the soft window the token is served at once, and one refresh runs in the background (C3).
 * - In the hard window callers wait for a new token, for at most half of the time that is left (C4).
 * - A token is forgotten by value: a late 401 for an old token changes nothing (C5).
 * - A request stays with the session under which it was sent or began to wait (C15).
 * - The caches of other targets of the same session hang on this one and share its supply (C17).
 */
export class CacheState implements PolicyHalf, SupplyMember {
  /** What users hold. One object per cache, so that a key of a pool always returns the same one. */
  readonly handle: TokenCache = new SharedTokenCache(this);
  readonly rules: RequestRules;
  readonly target: Target | undefined;
  #settings: CacheSettings;
  #supply: TokenSupply;
  /** The cache of which {@link TokenCache.for} made this one; otherwise this cache itself. */
  readonly #root: CacheState;
  /** The caches of other targets, by target and origins. */
  #targets: LruMap<string, CacheState> | undefined;
  #share: PoolShare | undefined;
  #poolKey = "";
  #failures: FailureMemory;
  #rejections: Rejections;
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
  /** When an API rejected a token that no other has replaced yet. Monotonic milliseconds. */
  #rejectedAt: number | undefined;
  /** Token values that were rejected while the last flight was in progress: its token may still land. */
  #rejectedBefore: Set<string> | undefined;
  /** How the session of before has ended. */
  #overWith: Failure = REPLACED;
  /** How many flights have begun. */
  #flightCount = 0;
  /** The user's `initial` function, until it was called. */
  #seed: CacheSettings["seed"];
  #closed = false;
  /** Why requests went out without a token, for each reason that was told. */
  #toldReasons: Set<SkipReason> | undefined;

  /** @param targeted The cache on which this one hangs, and what its token is for. */
  constructor(settings: CacheSettings, targeted?: Targeted) {
    const { clock, defaultTtl, maxTtl, initial } = settings;
    this.#settings = settings;
    this.#root = targeted?.root ?? this;
    this.target = targeted?.target;
    this.rules = targeted?.rules ?? settings.rules;
    this.#supply = targeted === undefined ? settings.supply : settings.supply.for(targeted.target);
    this.#failures = new FailureMemory(clock);
    this.#rejections = this.#newRejections(new EvidenceAccounts(clock));
    // The user's token is for the grant's own target.
    this.#seed = targeted === undefined ? settings.seed : undefined;
    this.#supply.join(this);
    if (initial !== undefined && targeted === undefined) {
      const token = mintedBefore(initial, { now: clock.now(), defaultTtl, maxTtl });
      this.#cacheToken({ ...token, session: this.#supply.session, seeded: true }, 0);
    }
  }

  peek(): AccessToken | undefined {
    const entry = this.#entry;
    if (entry === undefined) return undefined;
    const now = entry.now();
    return now < entry.softAt ? entry.token : this.#peekInWindow(entry, now);
  }

  get(options?: GetOptions): Promise<AccessToken> {
    // Not async: a token that is there costs one promise.
    try {
      if (options !== undefined) assertOptions("get", options, ["signal", "forceRefresh"]);
      const signal = options?.signal ?? undefined;
      if (signal !== undefined && typeof signal.addEventListener !== "function") {
        throw optionError("signal", signal, "an AbortSignal, such as that of an AbortController");
      }
      if (signal?.aborted) throw abortReason(signal);
      const forced = flag("forceRefresh", options?.forceRefresh) ? this.#forcedFlight() : undefined;
      if (forced !== undefined) return forced.wait(signal);
      const token = this.peek();
      if (token !== undefined) return Promise.resolve(token);
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

  signIn(response: SignInResponse): Promise<void> {
    // Not async: the session before is over when the call returns.
    try {
      if (this.#closed) throw CLOSED.toError();
      return this.#settings.supply.signIn(response);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async signOut(options: SignOutOptions = {}): Promise<void> {
    const { grant, supply } = this.#settings;
    assertOptions("signOut", options, ["revoke"]);
    const { revoke = grant.revoke !== undefined } = options;
    if (this.#closed) throw CLOSED.toError();
    if (grant.signIn === undefined) throw noSessionError("signOut");
    if (revoke && grant.revoke === undefined) {
      throw new TypeError(`"revoke: true" needs a grant that can revoke: give it a revocationEndpoint or an issuer`);
    }
    await supply.signOut({ revoke, tokens: this.#root.#lastTokens() });
  }

  for(options: TargetOptions): TokenCache {
    assertOptions("for", options, ["resource", "scope", "audience", "origins"]);
    const { origins, ...parameters } = options;
    const target = targetOf(parameters);
    const root = this.#root;
    root.#targets ??= new LruMap(MOST_TARGETS);
    const name = `${target.fingerprint} ${originsKey(origins)}`;
    let cache = root.#targets.use(name);
    if (cache === undefined) {
      const settings = root.#settings;
      const rules = origins === undefined ? settings.rules : settings.rulesFor(origins);
      cache = new CacheState(settings, { root, target, rules });
      if (root.#closed) cache.shut();
      if (root.#share !== undefined) cache.joinPool(root.#share, root.#poolKey);
      root.#targets.set(name, cache);
    }
    return cache.handle;
  }

  async close(options: CloseOptions = {}): Promise<CloseReport> {
    assertCloseOptions("close", options);
    const { within = this.#settings.mintTimeout } = options;
    // Another cache goes on with what was in progress.
    if (this.#closed && !this.#supply.isClosed) return { inFlight: false, unsaved: false };
    // The supply shuts every cache that is joined to it.
    return this.#settings.supply.close({ within });
  }

  /** Says what is known of the session or the token, for an operator. */
  async describe(): Promise<KeyDescription> {
    const { supply } = this.#settings;
    if (supply.describe !== undefined) return supply.describe();
    const entry = this.#validEntry();
    return entry === undefined ? { phase: "absent" } : { phase: "token", expiresIn: entry.expiresAt - entry.now() };
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Holds no token any more and begins no flight. */
  shut(): void {
    this.#closed = true;
    this.#entry = undefined;
    this.#lastToken = undefined;
    // Its mint has no outcome any more. The other caches of the pool must not wait for it.
    this.#rejections.uncharge(false);
    this.#abandon?.(CLOSED);
  }

  /** The session whose token this cache holds is over, or another has begun. */
  sessionOver(how: "replaced" | "ended" | "nobody"): void {
    this.#entry = undefined;
    this.#lastToken = undefined;
    // It is a token of the session before.
    this.#seed = undefined;
    this.#forgotten = undefined;
    this.#charged = undefined;
    this.#rejectedAt = undefined;
    this.#failures.clear(false);
    this.#overWith = how === "ended" ? ENDED : how === "nobody" ? NOBODY : REPLACED;
    if (this.#flight === undefined || this.#flight.session !== undefined) this.#rejections.uncharge(false);
    if (this.#flight === undefined) return;
    // Callers that wait under no known session belong to the one that now is, and those who join them too.
    if (this.#flight.session === undefined) {
      if (how === "replaced") this.#flight.session = this.#supply.session;
      return;
    }
    const abandon = this.#abandon;
    this.#endFlight(this.#flight);
    abandon?.(this.#overWith);
  }

  landed(obtained: Obtained): void {
    if (this.#closed) return;
    const { late, seeded } = obtained;
    let token: AccessTokenRecord;
    try {
      token = this.#cacheToken(obtained, ++this.#flightCount, seeded === true ? undefined : this.#rejectedBefore);
    } catch {
      return;
    }
    this.#failures.clear(seeded !== true);
    const sinceRejection = this.#renewedAfter();
    const { expiresAt } = token;
    if (late === undefined) return;
    const { listeners, grant } = this.#settings;
    const name = "minted";
    listeners.tell?.({
      name,
      ...late,
      server: serverOf(grant),
      expiresAt,
      repeated: false,
      waiters: 0,
      sinceRejection,
    });
  }

  get session(): Session | undefined {
    return this.#supply.session;
  }

  get onTrial(): boolean {
    return this.#rejections.onTrial(this.#entry?.token);
  }

  get isMinting(): boolean {
    return this.#flight !== undefined;
  }

  accepted(token: AccessToken, target: RequestTarget): void {
    const wasClear = this.#rejections.isClear;
    this.#rejections.accepted(token as AccessTokenRecord, target);
    // A process that was not charged knows nothing about the APIs that rejected the tokens of others.
    if (!wasClear && this.#rejections.isClear) this.#supply.accepted?.(token.value);
  }

  rejected(rejected: AccessToken, target: RequestTarget): Renewal | undefined {
    if (this.#closed) return undefined;
    const token = rejected as AccessTokenRecord;
    const host = this.#renewalHost();
    const flightsBefore = this.#flightCount;
    const entry = this.#validEntry();
    const hasOther = entry !== undefined && entry.token.value !== token.value && !this.#isBeingReplaced(entry);
    if (hasOther || this.#isOfOtherSession(token)) return new TokenRenewal(host, token, target, flightsBefore);
    // A renewal costs nothing when there is a flight or a remembered failure. It is then not charged (C8).
    if (this.#flight !== undefined || this.#activeFailure() !== undefined) {
      this.#setAside(token, target, this.#flight !== undefined);
      return new TokenRenewal(host, token, target, flightsBefore);
    }
    const answer = this.#ask(token, target);
    if (answer === "refused") return undefined;
    return new TokenRenewal(host, token, target, flightsBefore, answer === "granted" ? undefined : answer);
  }

  rejectedAgain(token: AccessToken, target: RequestTarget): void {
    this.#rejections.rejectedAgain(token as AccessTokenRecord, target);
  }

  skipped(reason: SkipReason, url: string): void {
    this.#settings.listeners.tell?.({ name: "skipped", reason, url: printableUrl(url) });
  }

  rejectedBare(reason: SkipReason, url: string): void {
    const told = this.#share?.toldReasons ?? (this.#toldReasons ??= new Set());
    if (!this.#settings.warns || told.has(reason)) return;
    const advice = bareRequestAdvice(reason, url, this.rules);
    if (advice === undefined) return;
    told.add(reason);
    warn(`${advice}. The option "warnings: false" of the token cache turns this warning off.`);
  }

  /** Whether a mint, a save or a revocation is outstanding. A pool does not evict the cache then. */
  get isBusy(): boolean {
    if (this.#flight !== undefined || this.#settings.supply.isBusy) return true;
    return this.#targets !== undefined && [...this.#targets].some(([, cache]) => cache.#flight !== undefined);
  }

  /** Where the tokens of the session come from. */
  get supply(): TokenSupply {
    return this.#settings.supply;
  }

  /** Whether a pool has the cache. Under a second key it would be another user's. */
  get isPooled(): boolean {
    return this.#share !== undefined;
  }

  /**
   * Makes this cache one of a pool's. Failures of its server and rejections at an origin then count for the pool (C13).
   *
   * @param before The supply of a cache that had this key and was closed, where something is in progress in it.
   */
  joinPool(share: PoolShare, key: string, before?: TokenSupply): void {
    this.#goOnWith(before);
    const { clock, grant } = this.#settings;
    this.#share = share;
    this.#poolKey = key;
    this.#settings.listeners.joinPool(share.listeners, key);
    const server = grant.server && {
      ...grant.server,
      target: [grant.server.target, this.target?.fingerprint ?? ""].join(" "),
    };
    this.#failures = new FailureMemory(clock, server && share.failures.viewOf(server, key));
    this.#rejections = this.#newRejections(share.accounts);
  }

  /** Two caches must not present one state (C14). A token of the user's is a hint, and not for this session. */
  #goOnWith(before: TokenSupply | undefined): void {
    const supply = before?.continueWith(this.#supply);
    if (supply === undefined) return;
    this.#settings = { ...this.#settings, supply };
    this.#supply = supply;
    this.#supply.join(this);
    this.sessionOver("replaced");
  }

  #newRejections(accounts: EvidenceAccounts): Rejections {
    return new Rejections(this.#settings.clock, accounts, (token, site) => this.#granted(token, site));
  }

  /** Whether a token belongs to a session in whose place there is another. */
  #isOfOtherSession({ session }: AccessTokenRecord): boolean {
    const now = this.#supply.session;
    return session !== undefined && now !== undefined && session !== now;
  }

  /** The last token of every target. */
  #lastTokens(): readonly AccessToken[] {
    const caches = [this as CacheState, ...[...(this.#targets ?? [])].map(([, cache]) => cache)];
    return caches.flatMap((cache) => cache.#lastToken ?? []);
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
    const { session } = entry.token;
    if (session !== undefined && !this.#supply.serves(session)) throw this.#overWith.toError();
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
    const at = this.#settings.clock.monotonic();
    const { session } = this.#supply;
    const begin: FlightBegin = {
      id: nextMint(),
      at,
      phase: this.#phase(),
      session,
      unwanted,
      mustBeFresh,
      hasStarted: false,
    };
    const rejected = new Set<string>();
    const need = this.#need(cause, begin, rejected);
    this.#seed = undefined;
    this.#charged = undefined;
    this.#rejections.begun();
    const obtaining = this.#obtain(need);
    const promise: Promise<AccessTokenRecord> = obtaining.promise.then(
      (obtained) =>
        obtained === undefined ? this.#onUnchanged(flight, begin) : this.#onObtained(flight, obtained, begin),
      (reason: Failure) => this.#onFailed(flight, reason, begin),
    );
    const number = ++this.#flightCount;
    const hold = (awaited: boolean): void => obtaining.hold(awaited);
    const flight: Flight<AccessTokenRecord> = new Flight({ number, cause, session }, promise, hold, rejected);
    this.#flight = flight;
    this.#abandon = (reason) => obtaining.abandon(reason);
    return flight;
  }

  /** In a pool, mints at one endpoint take turns. */
  #obtain(need: TokenNeed): Obtaining {
    const { server } = this.#settings.grant;
    if (server === undefined || this.#share === undefined) return this.#supply.obtain(need);
    return this.#share.mints.run(server, (hasWaited) => {
      // The server may have been found to be down while this mint waited for its turn.
      const failure = hasWaited && need.seed === undefined ? this.#activeFailure() : undefined;
      if (failure === undefined) return this.#supply.obtain(need);
      return { promise: Promise.reject(failure.asKnown()), hold: () => {}, abandon: () => {} };
    });
  }

  #need(cause: MintCause, begin: FlightBegin, rejected: ReadonlySet<string>): TokenNeed {
    const { id, unwanted, mustBeFresh } = begin;
    const entry = this.#validEntry();
    const forgotten = this.#forgotten;
    const { listeners, grant } = this.#settings;
    return {
      id,
      cause,
      mustBeFresh,
      held: entry?.token,
      isUrgent: entry === undefined || entry.now() >= entry.hardAt,
      unwanted: forgotten === undefined ? unwanted : [...unwanted, forgotten],
      rejected,
      previous: this.#lastToken,
      target: this.target,
      seed: this.#seed,
      failureOfOthers: this.#seed && (() => this.#activeFailure()),
      onStart: () => {
        // A fleet may try again what could not be sent: that is the same mint.
        if (begin.hasStarted) return;
        begin.hasStarted = true;
        listeners.tell?.({ name: "mint-started", id, cause, server: serverOf(grant) });
      },
      onRetry: (attempt, error) => listeners.tell?.({ name: "mint-retried", id, attempt, error }),
    };
  }

  /** Another process is replacing the token: callers get the old one, and the fleet is asked again in a moment. */
  #onUnchanged(flight: Flight<AccessTokenRecord>, begin: FlightBegin): AccessTokenRecord | Promise<AccessTokenRecord> {
    this.#endFlight(flight);
    this.#tellAbandoned(flight, begin);
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
    // The session has ended while the result was handed on: the token is nobody's (C15).
    if (obtained.session !== undefined && !this.#supply.serves(obtained.session)) {
      this.#endFlight(flight);
      this.#tellAbandoned(flight, begin, this.#overWith);
      throw this.#overWith;
    }
    let token: AccessTokenRecord;
    const last = this.#lastToken?.value;
    try {
      token = this.#cacheToken(obtained, flight.number, flight.rejected);
    } catch (error) {
      return this.#onFailed(flight, unusableFailure(error), begin);
    }
    this.#endFlight(flight);
    this.#failures.clear(obtained.adopted !== true && obtained.seeded !== true);
    const { expiresAt } = token;
    const sinceRejection = this.#renewedAfter();
    const { listeners } = this.#settings;
    if (obtained.adopted) this.#rejections.uncharge(false);
    this.#rejections.landed(token);
    if (obtained.adopted) {
      // The same one again was only looked up.
      if (last === token.value) this.#tellAbandoned(flight, begin);
      else listeners.tell?.({ name: "adopted", ...this.#mintOf(flight, begin), expiresAt, sinceRejection });
    } else {
      const repeated = last === token.value;
      listeners.tell?.({ name: "minted", ...this.#mintOf(flight, begin), expiresAt, repeated, sinceRejection });
    }
    // The callers have waited under another session than that of the token.
    if (flight.session !== undefined && flight.session !== token.session) throw REPLACED;
    return token;
  }

  #onFailed(flight: Flight<AccessTokenRecord>, failure: Failure, begin: FlightBegin): Promise<AccessTokenRecord> {
    // The session has ended meanwhile: its failures are not those of the one that now is.
    const isOfSession = failure === NOBODY || failure === ENDED;
    const isOver = isOfSession ? this.#supply.session !== undefined : this.#flight !== flight;
    this.#endFlight(flight);
    // Callers that waited under no known session belong to the one that has begun.
    if (failure === REPLACED && begin.session === undefined) {
      this.#tellAbandoned(flight, begin);
      return this.#startNextFlight(flight, begin);
    }
    if (this.#closed || isOver || failure === REPLACED || failure === CLOSED) {
      this.#tellAbandoned(flight, begin, failure);
      throw failure;
    }
    this.#rejections.uncharge(failure.retryable);
    const servedStale = this.#phase() !== "expired";
    this.#failures.remember(failure, begin.phase, begin.at);
    // Nothing has failed: there is nobody for whom a token could be had, or nothing was tried.
    if (failure.isKnown || failure === NOBODY || failure === ENDED) {
      this.#tellAbandoned(flight, begin, failure);
      throw failure;
    }
    this.#settings.listeners.tell?.({
      name: "mint-failed",
      ...this.#mintOf(flight, begin),
      error: failure.toEventError(),
      owner: failure.owner,
      servedStale,
    });
    // The process was frozen: the request may have died with its connection, and says nothing about the server.
    if (failure.owner === "nobody") return this.#startNextFlight(flight, begin);
    throw failure;
  }

  /** Tells that a mint has brought nothing, if one had started. */
  #tellAbandoned(flight: Flight<AccessTokenRecord>, begin: FlightBegin, failure?: Failure): void {
    if (!begin.hasStarted) return;
    this.#settings.listeners.tell?.({ name: "mint-abandoned", ...this.#mintOf(flight, begin), code: failure?.code });
  }

  /** What the event that a mint has ended says of it, whatever came of it. */
  #mintOf({ cause, waiters }: Flight<AccessTokenRecord>, { id, at }: FlightBegin): EndedMint {
    const { clock, grant } = this.#settings;
    return { id, cause, server: serverOf(grant), duration: clock.monotonic() - at, waiters };
  }

  /** Milliseconds from the rejection that the token which has just come is the answer to, if there was one. */
  #renewedAfter(): number | undefined {
    const rejectedAt = this.#rejectedAt;
    this.#rejectedAt = undefined;
    return rejectedAt === undefined ? undefined : this.#settings.clock.monotonic() - rejectedAt;
  }

  /** The next flight for callers that wait for one that yielded nothing. */
  #startNextFlight(
    flight: Flight<AccessTokenRecord>,
    { session, unwanted, mustBeFresh }: FlightBegin,
  ): Promise<AccessTokenRecord> {
    if (this.#closed) return Promise.reject(CLOSED);
    const failure = this.#activeFailure();
    if (failure !== undefined) return Promise.reject(failure);
    if (flight.session !== undefined && flight.session !== this.#supply.session) return Promise.reject(REPLACED);
    const entry = this.#validEntry();
    if (entry !== undefined && !unwanted.includes(entry.token.value) && !mustBeFresh && session === undefined) {
      return Promise.resolve(entry.token);
    }
    return flight.continueWith(this.#flight ?? this.#startFlight(flight.cause, unwanted, mustBeFresh));
  }

  /** A flight is over, unless another has taken its place. */
  #endFlight(flight: Flight<AccessTokenRecord>): void {
    if (this.#flight !== flight) return;
    this.#flight = undefined;
    this.#rejectedBefore = flight.rejected;
    // It holds on to the mint and its controller.
    this.#abandon = undefined;
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
    const { response, lifetime, expiresAt, freshness, session, servedUntil } = obtained;
    const token = new AccessTokenRecord(response, expiresAt, flight, { freshness, session });
    const entry = this.#validEntry();
    this.#lastToken = token;
    if (lifetime.ms <= 0) entry?.postponeRefresh();
    if (rejected?.has(token.value) || lifetime.ms <= 0) return token;
    if (entry !== undefined && entry.token.value === token.value && !entry.keptAfterRejection) {
      // Looked up, and not minted: the windows stay as they are.
      if (servedUntil === undefined || obtained.adopted !== true) entry.mintedAgain(token.expiresAt, lifetime);
    } else if (!this.#closed) {
      this.#forgotten = undefined;
      this.#entry = new CachedToken(token, lifetime, this.#settings.clock, this.#settings);
    }
    if (servedUntil !== undefined) this.#entry?.serveUntil(servedUntil);
    return token;
  }

  #validEntry(): CachedToken | undefined {
    const entry = this.#entry;
    return entry !== undefined && entry.now() < entry.expiresAt ? entry : undefined;
  }

  #forget(value: string): void {
    this.#flight?.rejected.add(value);
    this.#rejectedBefore?.add(value);
    if (this.#entry?.token.value !== value) return;
    this.#forgotten = value;
    this.#entry = undefined;
    this.#settings.listeners.tell?.({ name: "invalidated" });
  }

  /**
   * The flight that replaces a valid token because a caller has asked for another one. The token serves the others until the
   * new one has come: they must not pay when that fails.
   *
   * @returns `undefined` when there is no token to replace, or when the token may not be replaced yet.
   * @throws {RemintError} When a mint would only fail again.
   */
  #forcedFlight(): Flight<AccessTokenRecord> | undefined {
    const value = this.#validEntry()?.token.value;
    if (value === undefined) return undefined;
    if (isRunning(this.#settings.grant)) throw ownWaitError();
    if (this.#flight !== undefined) return this.#flight;
    const failure = this.#activeFailure();
    if (failure !== undefined) throw failure.toError();
    if (this.#supply.refuses?.(value) === true || !this.#rejections.spend()) return undefined;
    return this.#startFlight("forced", [value]);
  }

  /** Asks for a mint that replaces a rejected token, once for all requests that were rejected with it (C8). */
  #ask(token: AccessTokenRecord, { origin, path }: RequestTarget): Answer {
    if (isSameToken(this.#charged, token)) return "granted";
    const isQuiet = this.#supply.refuses?.(token.value) === true;
    const answer = isQuiet ? "refused" : this.#rejections.ask(token, { origin, path });
    if (answer === "refused") this.#settings.listeners.tell?.({ name: "renewal-refused", origin, path });
    if (answer === "granted") this.#granted(token, { origin, path });
    return answer;
  }

  /** A mint may replace this token. The next call for a token begins it, if no request does so before. */
  #granted(token: TokenIdentity, { origin, path }: RequestTarget): void {
    this.#charged = { value: token.value, flight: token.flight };
    this.#rejectedAt ??= this.#settings.clock.monotonic();
    this.#settings.listeners.tell?.({ name: "rejected", origin, path });
    this.#setAside(token, { origin, path }, true);
  }

  /**
   * Takes a rejected token away by value. It is kept until the next flight ends where its API is in doubt, or where nothing
   * can be minted now: one broken API must not take the token from the others (C6).
   */
  #setAside(token: TokenIdentity, target: RequestTarget, canMint: boolean): void {
    const stays = !canMint || this.#rejections.doubts(target);
    // Also a token that the cache does not hold: the flight in progress may yield it again.
    if (!stays) this.#forget(token.value);
    else if (this.#entry?.token.value === token.value) this.#entry.keepAfterRejection();
  }

  /** Whether a token is known to be rejected and another is on its way: it is offered to nobody who was rejected. */
  #isBeingReplaced(entry: CachedToken): boolean {
    return entry.keptAfterRejection && this.#flight !== undefined;
  }

  #renewalHost(): RenewalHost {
    return {
      clock: this.#settings.clock,
      mintTimeout: this.#settings.mintTimeout,
      current: () => {
        const entry = this.#validEntry();
        return entry === undefined || this.#isBeingReplaced(entry) ? undefined : entry;
      },
      flight: () => this.#flight,
      begin: (values, mustBeFresh) => this.#startFlight("rejected", values, mustBeFresh),
      ask: (token, target) => this.#ask(token, target),
      leave: (place: Place) => this.#rejections.leave(place),
      failure: () => this.#activeFailure(),
      isOfOtherSession: (token) => this.#isOfOtherSession(token),
    };
  }
}

/** How many caches of other targets a cache remembers. More may be in use. */
const MOST_TARGETS = 256;

/** What a cache of another target is made of. */
interface Targeted {
  readonly root: CacheState;
  readonly target: Target;
  readonly rules: RequestRules;
}

/** Tells two values of the option `origins` apart. */
function originsKey(origins: Origins | undefined): string {
  if (typeof origins !== "function") return JSON.stringify(origins ?? null);
  let number = functionNumbers.get(origins);
  if (number === undefined) functionNumbers.set(origins, (number = ++functionCount));
  return String(number);
}
const functionNumbers = new WeakMap<object, number>();
let functionCount = 0;

/** The origin of the server that a grant asks, for events. */
function serverOf({ server }: CacheSettings["grant"]): string | undefined {
  return server && siteOf(server.endpoint).origin;
}

/** How many flights have begun in this process, of every copy of this package: one listener may hear of all. */
const mintCount = Symbol.for("remint.mint-count/1");
const counted = globalThis as { [mintCount]?: number | undefined };

function nextMint(): number {
  return (counted[mintCount] = (counted[mintCount] ?? 0) + 1);
}

/** How a flight began. */
interface FlightBegin {
  /** Names its mint for events. */
  readonly id: number;
  /** Monotonic milliseconds. */
  readonly at: number;
  /** What a failure cost callers then. The token may expire before the flight fails: that is worth a flight of its own. */
  readonly phase: FailurePhase;
  /** The session that was known then. */
  readonly session: Session | undefined;
  /** Token values that must not be the outcome. */
  readonly unwanted: readonly string[];
  /** See {@link TokenNeed.mustBeFresh}. */
  readonly mustBeFresh: boolean;
  /** This process mints, and does not only ask the fleet. */
  hasStarted: boolean;
}

/**
 * The implementation of {@link TokenCache}: it shows the public methods of a {@link CacheState}. It is a class, because axios
 * copies plain objects deeply and leaves class instances alone.
 */
class SharedTokenCache implements TokenCache {
  readonly #state: CacheState;

  // Not an ordinary method: where `Symbol.asyncDispose` does not exist yet, its name would be "undefined".
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;
  static {
    const dispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
    Object.defineProperty(this.prototype, dispose, {
      async value(this: SharedTokenCache) {
        await this.close();
      },
    });
  }

  constructor(state: CacheState) {
    this.#state = state;
  }

  peek(): AccessToken | undefined {
    return this.#state.peek();
  }
  get(options?: GetOptions): Promise<AccessToken> {
    return this.#state.get(options);
  }
  invalidate(value: string): Promise<void> {
    return this.#state.invalidate(value);
  }
  signIn(response: SignInResponse): Promise<void> {
    return this.#state.signIn(response);
  }
  signOut(options?: SignOutOptions): Promise<void> {
    return this.#state.signOut(options);
  }
  for(target: TargetOptions): TokenCache {
    return this.#state.for(target);
  }
  close(options?: CloseOptions): Promise<CloseReport> {
    return this.#state.close(options);
  }
  get [policyKey](): PolicyHalf {
    return this.#state;
  }
}

/**
 * What to do about a request that went out without a token and was answered 401; `undefined` when it was meant to go
 * without.
 */
function bareRequestAdvice(reason: SkipReason, url: string, rules: RequestRules): string | undefined {
  const { origin, path } = siteOf(url);
  switch (reason) {
    case "origin-not-allowed":
      if (!rules.resembles(url)) return undefined;
      return (
        `A request to ${origin} was sent without a token and answered 401, because the token cache does not allow ` +
        `that origin. If the token is meant for it, add it to "origins"`
      );
    case "relative-url":
      return (
        `A request to the relative URL ${path} was sent without a token and answered 401, because a relative URL is ` +
        `allowed only by "self". If the token is meant for it, add "self" to "origins", or use an absolute URL`
      );
    case "authorization-set":
      if (!rules.allows(url)) return undefined;
      return (
        `A request to ${origin} already had an Authorization header, so it was sent without the token of the cache, and ` +
        `answered 401. If that header is a default of the HTTP client, remove it`
      );
    default:
      return undefined;
  }
}

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
