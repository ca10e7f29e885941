/**
 * The supply: where the caches of one session get their tokens, and the one owner of the session's state (C14). Either the
 * process mints for itself ({@link ownSupply}), or a fleet mints once for all its processes (`fleet/supply.ts`).
 *
 * One mint is in `mint.ts`, the state in `state.ts`, the token that a cache holds in `token-cache.ts`.
 *
 * @module
 */
import { settledWithin } from "../base/clock.ts";
import { isThenable, optionError } from "../base/options.ts";
import { AccessTokenRecord } from "./access-token.ts";
import { dataOf } from "./custom-grant.ts";
import { Failure } from "./failures.ts";
import { checkResponse, minted, NOBODY, runRevocation, startMint } from "./mint.ts";
import { digestOf, SessionState } from "./state.ts";
import type { Freshness } from "./access-token.ts";
import type { CacheListeners } from "./events.ts";
import type { StateSource, Target } from "./grant.ts";
import type { Minted, MintInput, MintResult, MintSettings, RunningMint } from "./mint.ts";
import type { StateSettings } from "./state.ts";
import type {
  AccessToken,
  CloseReport,
  KeyDescription,
  MintCause,
  Opaque,
  Origins,
  Session,
  SignInResponse,
} from "./types.ts";

/** Gets the tokens of one session. */
export interface TokenSupply {
  /** The session, as far as it is known. The object stays the same while the session does. */
  readonly session: Session | undefined;
  /** Whether a token of this session may still be used. */
  serves(session: Session): boolean;
  /** Starts to get a token. Never throws: failures reject the promise. */
  obtain(need: TokenNeed): Obtaining;
  /** Whether the fleet has replaced this token so often that it may not be replaced again yet (C8). */
  refuses?(value: string): boolean;
  /** Reports that the APIs which rejected earlier tokens have accepted this one: the rejections were no storm (C8). */
  accepted?(value: string): void;
  /** A sign-in takes the place of the session. @throws {RemintError} When it could not be stored: neither is served. */
  signIn(response: SignInResponse): Promise<void>;
  /** The session ends. `tokens` are revoked with it. @throws {RemintError} When the revocation failed. */
  signOut(options: { readonly revoke: boolean; readonly tokens: readonly AccessToken[] }): Promise<void>;
  /** The process leaves; the session goes on. */
  close(options: { readonly within: number }): Promise<CloseReport>;
  /** What the store has, for an operator. Absent: there is no store. @throws {RemintError} When the store fails. */
  describe?(): Promise<KeyDescription>;
  /** A mint, a save or a revocation is outstanding. */
  readonly isBusy: boolean;
  /** It was closed, and no other cache goes on with it. */
  readonly isClosed: boolean;
  /** The supply for a target. A supply without a state may have another one for each. */
  for(target: Target): TokenSupply;
  /** A cache of this supply is told of changes. */
  join(member: SupplyMember): void;
  /**
   * Another cache of the session goes on with this supply, which was closed: with what is in progress, what is not saved, and what
   * is to be revoked.
   *
   * @param other The supply of the other cache, which is not used then.
   * @returns This supply, or `undefined` when they have nothing in common.
   */
  continueWith(other: TokenSupply): TokenSupply | undefined;
}

/** A cache, as its supply sees it. */
export interface SupplyMember {
  readonly target: Target | undefined;
  /** The session that the cache served is over. */
  sessionOver(how: "replaced" | "ended" | "nobody"): void;
  /** The supply is closed. */
  shut(): void;
  /** A token has arrived for which no flight waits. */
  landed(token: Obtained): void;
}

/** What a cache tells its supply about the token it needs. */
export interface TokenNeed extends Pick<MintInput, "previous" | "seed" | "failureOfOthers" | "target"> {
  /** Names the mint for events. */
  readonly id: number;
  readonly cause: MintCause;
  /** The token that is still valid. Callers get it meanwhile, unless the need is urgent. */
  readonly held: AccessTokenRecord | undefined;
  /** Callers are waiting: there is no valid token, or it is in its hard window (C4). */
  readonly isUrgent: boolean;
  /** Token values that an API or the user has rejected. A token with one of these values is not accepted (C5). */
  readonly unwanted: readonly string[];
  /** Accept only a token that was minted because of a rejection (Q5). */
  readonly mustBeFresh: boolean;
  /** Token values that were rejected since this need arose. The set grows while the supply works. */
  readonly rejected: ReadonlySet<string>;
  readonly onStart: MintInput["onStart"];
  readonly onRetry: MintInput["onRetry"];
}

/** Work on getting a token. */
export interface Obtaining {
  /**
   * Rejects with a {@link Failure} only. Resolves to `undefined` when another process is replacing the held token: use the
   * held token and ask again later.
   */
  readonly promise: Promise<Obtained | undefined>;
  /** Keeps the process alive until the work is over (`true`: a caller waits for it), or no longer. */
  hold(awaited: boolean): void;
  /** Ends the work for its callers: the promise rejects with `reason`. A mint that must not be aborted lands. */
  abandon(reason: Failure): void;
}

/** A token as a supply hands it out. */
export interface Obtained extends Minted {
  readonly session?: Session | undefined;
  /** Another process minted the token. */
  readonly adopted?: boolean | undefined;
  /** @defaultValue "minted" */
  readonly freshness?: Freshness | undefined;
  /** Epoch milliseconds until when the token is served unless the supply is asked again: the session may end elsewhere. */
  readonly servedUntil?: number | undefined;
  /** The callers had left when it came. */
  readonly late?: { readonly id: number; readonly cause: MintCause; readonly duration: number } | undefined;
}

/** What a supply has to know of its cache. */
export interface SupplySettings extends MintSettings {
  readonly listeners: CacheListeners;
  /** Whether warnings are printed. */
  readonly warns: boolean;
}

/** The session was signed out: only a sign-in ends this. */
export const ENDED: Failure = new Failure("key", {
  code: "ERR_SESSION",
  message: "no token is available: the session was signed out",
  retryable: false,
  terminal: true,
});

/** Another sign-in has taken the place of the session that a request belongs to. */
export const REPLACED: Failure = new Failure("nobody", {
  code: "ERR_SESSION",
  message: "the request belongs to a session in whose place another has been signed in",
  retryable: true,
});

/** The cache was closed. */
export const CLOSED: Failure = new Failure("nobody", {
  code: "ERR_CLOSED",
  message: "this token cache was closed; create a new one to go on",
  retryable: false,
});

/** Milliseconds before the user's function is asked again whether a refused session has another state. */
const ASK_AGAIN = 1000;

/** The state of a grant, and the supply that uses it. */
interface Owned {
  readonly state: SessionState;
  session: Session;
  refusal: Refusal | undefined;
  isEnded: boolean;
  user: WeakRef<OwnSupply> | undefined;
}

/** The server does not accept this state any more. */
interface Refusal {
  readonly digest: string;
  readonly failure: Failure;
  /** When the user's function was asked last. Monotonic milliseconds. */
  askedAt: number;
}

/** What is left of a session that is over. */
interface Unrevoked {
  readonly state: Promise<unknown>;
  readonly tokens: readonly AccessToken[];
  /** `false`: a sign-out has said not to revoke it. */
  isDue: boolean;
}

/** By the source of the state, which copies of a grant have in common. */
const owners = new WeakMap<StateSource, Owned>();

/**
 * Makes the supply of a cache without a store.
 *
 * @throws {TypeError} When another cache that is open uses the same grant with a state, or when nothing would save the state.
 */
export function ownSupply(settings: SupplySettings): TokenSupply {
  const { source } = settings.grant;
  const before = source && owners.get(source)?.user?.deref();
  if (before?.isClosed === false) throw sharedGrantError();
  return before?.goOnWith(settings) ?? new OwnSupply(settings);
}

/** Makes the settings of a state. */
export function stateSettings(settings: SupplySettings, hasStore: boolean): StateSettings {
  const { clock, mintTimeout, listeners, warns } = settings;
  return { clock, mintTimeout, listeners, warns, hasStore };
}

/** The error for a second cache on one grant. */
export function sharedGrantError(): TypeError {
  return new TypeError(
    `"grant" must not be used by two caches at a time: its state (a refresh token) can be used once. Close the first cache, ` +
      `or get further access tokens of the same session with cache.for({ resource })`,
  );
}

/** Most supplies have nothing in progress most of the time: they share the list. */
const NONE: readonly never[] = [];

function without<T>(list: readonly T[], item: T): readonly T[] {
  return list.length === 1 && list[0] === item ? NONE : list.filter((each) => each !== item);
}

class OwnSupply implements TokenSupply {
  #settings: SupplySettings;
  #members: WeakRef<SupplyMember>[] = [];
  readonly #owned: Owned | undefined;
  #session: Session;
  #isEnded = false;
  /** The grant has said that there is no user. */
  #isNobody = false;
  /** The grant, which has no state, has said that only a sign-in helps. */
  #refusal: Failure | undefined;
  /** The mint that must not be doubled. */
  #running: SerialMint | undefined;
  /** Every mint in progress that must not be doubled, also those of sessions that are over. */
  #landing: readonly SerialMint[] = NONE;
  /** The mints in progress that may be doubled. */
  #mints: readonly RunningMint[] = NONE;
  #revocation: Promise<void> | undefined;
  #isClosed = false;
  /** What is to be revoked, also what could not be revoked yet. */
  readonly #unrevoked: Unrevoked[] = [];

  constructor(settings: SupplySettings) {
    this.#settings = settings;
    const { source } = settings.grant;
    if (source !== undefined) {
      this.#owned = owners.get(source) ?? {
        state: new SessionState(source, stateSettings(settings, false)),
        session: newSession(0),
        refusal: undefined,
        isEnded: false,
        user: undefined,
      };
      this.#use(this.#owned, source);
    }
    this.#session = this.#owned?.session ?? newSession(0);
    this.#isEnded = this.#owned?.isEnded ?? false;
  }

  /** `undefined` while nobody is signed in, and after a refusal: whoever comes next belongs to the session that then is. */
  get session(): Session | undefined {
    const isOver = this.#isEnded || this.#isNobody || this.#refusal !== undefined || this.#owned?.refusal !== undefined;
    return isOver ? undefined : this.#session;
  }

  serves(session: Session): boolean {
    return !this.#isEnded && session === this.#session;
  }

  get isBusy(): boolean {
    return this.#landing.length > 0 || this.#owned?.state.isUnsaved === true || this.#revocation !== undefined;
  }

  for(): TokenSupply {
    return this;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  continueWith(other: TokenSupply): TokenSupply | undefined {
    return #owned in other ? this.goOnWith(other.#settings) : undefined;
  }

  goOnWith(settings: SupplySettings): TokenSupply | undefined {
    const { source } = settings.grant;
    const owned = this.#owned;
    if ((owned === undefined) !== (source === undefined)) return undefined;
    this.#settings = settings;
    this.#isClosed = false;
    if (owned !== undefined) this.#use(owned, source!);
    return this;
  }

  join(member: SupplyMember): void {
    this.#members = [...this.#members.filter((reference) => reference.deref() !== undefined), new WeakRef(member)];
  }

  obtain(need: TokenNeed): Obtaining {
    if (this.#isEnded) return failed(ENDED);
    if (this.#refusal !== undefined) {
      const refusal = this.#refusal;
      this.#refusal = refusal.asKnown();
      return failed(refusal);
    }
    return this.#settings.grant.isRepeatable ? this.#obtainFreely(need) : this.#obtainInTurn(need);
  }

  async signIn(response: SignInResponse): Promise<void> {
    const { grant, clock, listeners, defaultTtl, maxTtl } = this.#settings;
    const given = readSignIn(grant, response);
    const now = clock.now();
    const token = minted(given.response, {
      sentAt: now,
      defaultTtl,
      maxTtl,
      seeded: true,
      isOwn: true,
      name: "response",
    });
    const session = this.#beginSession();
    this.#isEnded = false;
    const owned = this.#owned;
    const replaced = owned?.state.current;
    if (owned !== undefined) {
      owned.state.forget();
      owned.isEnded = false;
      if (given.next !== undefined) owned.state.begin({ state: given.next.state, replaced, response: given.response });
    }
    if (token.expiresAt > now) {
      this.#tell((member) => {
        if (member.target === undefined) member.landed({ ...token, session, seeded: true });
      });
    }
    listeners.tell?.({ name: "signed-in" });
    await owned?.state.save();
  }

  async signOut({
    revoke,
    tokens,
  }: {
    readonly revoke: boolean;
    readonly tokens: readonly AccessToken[];
  }): Promise<void> {
    const { listeners, grant, mintTimeout } = this.#settings;
    const owned = this.#owned;
    const revokes = revoke && grant.revoke !== undefined;
    if (!this.#isEnded) {
      this.#isEnded = true;
      const current = owned?.state.current;
      // Another process may have replaced the state: the user's function is asked.
      owned?.state.forget();
      const state = revokes ? this.#stateToRevoke(current) : Promise.resolve(current);
      this.#unrevoked.push({ state, tokens, isDue: revokes });
      if (owned !== undefined) owned.isEnded = true;
      this.#tell((member) => member.sessionOver("ended"));
      listeners.tell?.({ name: "signed-out" });
    }
    // What a mint in progress brings is revoked with the rest.
    await this.#landed(mintTimeout);
    if (!revokes) return;
    for (const left of this.#unrevoked) left.isDue = true;
    await this.#revokeAll();
  }

  /** Revokes what is left of sessions that are over. Calls at the same time share the outcome. */
  #revokeAll(): Promise<void> {
    this.#revocation ??= this.#revokeEach().finally(() => (this.#revocation = undefined));
    return this.#revocation;
  }

  async #revokeEach(): Promise<void> {
    const due = this.#unrevoked.filter(({ isDue }) => isDue);
    // At once: what is left of one session must not hold up the end of another.
    const revoked = await Promise.allSettled(
      due.map(async (left) => {
        await runRevocation(this.#settings, left.tokens, await left.state);
        this.#unrevoked.splice(this.#unrevoked.indexOf(left), 1);
      }),
    );
    const unsuccessful = revoked.find((each) => each.status === "rejected");
    if (unsuccessful !== undefined) throw unsuccessful.reason;
  }

  /** The state of the session as the user's function knows it, or the one in memory. Never rejects. */
  async #stateToRevoke(current: unknown): Promise<unknown> {
    const { clock, mintTimeout } = this.#settings;
    const state = this.#owned?.state;
    if (state?.source.load === undefined) return current;
    const { epoch } = state;
    const controller = new AbortController();
    const timer = clock.setTimeout(() => controller.abort(new Error("the function took too long")), mintTimeout);
    timer.hold(true);
    try {
      const asked = await state.ask(controller.signal);
      // Another sign-in may have come meanwhile: what the function has then is that one's.
      const isOther = epoch !== state.epoch || (asked !== current && state.hasUsed(asked));
      return asked === undefined || isOther ? current : asked;
    } catch {
      return current;
    } finally {
      timer.cancel();
    }
  }

  async close({ within }: { readonly within: number }): Promise<CloseReport> {
    this.#isClosed = true;
    const until = this.#settings.clock.monotonic() + within;
    this.#tell((member) => member.shut());
    for (const mint of this.#mints) mint.abort(CLOSED);
    const inFlight = !(await this.#landed(within));
    const owned = this.#owned;
    if (owned === undefined) return { inFlight, unsaved: false };
    const left = until - this.#settings.clock.monotonic();
    const saved = owned.state.save(left);
    if (left > 0) await saved;
    // Unless another cache goes on with it.
    if (this.#isClosed) owned.state.stop();
    return { inFlight, unsaved: owned.state.isUnsaved };
  }

  /** Waits until no mint is in progress that must not be aborted. @returns `false` when that takes longer. */
  async #landed(within: number): Promise<boolean> {
    const landed = await Promise.all(this.#landing.map((mint) => mint.settled(within)));
    return !landed.includes(false);
  }

  #use(owned: Owned, source: StateSource): void {
    owners.set(source, owned);
    owned.user = new WeakRef(this);
    owned.state.continueWith(source, stateSettings(this.#settings, false));
  }

  #tell(what: (member: SupplyMember) => void): void {
    for (const reference of this.#members) {
      const member = reference.deref();
      if (member !== undefined) what(member);
    }
  }

  /** Mints at once, whatever else is in progress: nothing is used up. */
  #obtainFreely(need: TokenNeed): Obtaining {
    const session = this.#session;
    const mint = startMint(this.#settings, need);
    this.#mints = [...this.#mints, mint];
    const promise = mint.result.then((result) => {
      this.#mints = without(this.#mints, mint);
      if (this.#session !== session || this.#isEnded) {
        this.#revokeLanded(result);
        throw this.#isEnded ? ENDED : REPLACED;
      }
      const { minted: token, failure, isRefused } = result;
      if (failure === NOBODY && !this.#isNobody) this.#beginSession(true);
      else if (token !== undefined && this.#isNobody) this.#beginSession();
      if (isRefused === true) this.#refusal = failure?.asKnown();
      if (token === undefined) throw failure!;
      return { ...token, session: this.#session };
    });
    return { promise, hold: (awaited) => mint.hold(awaited), abandon: (reason) => mint.abort(reason) };
  }

  /** Mints when no other mint of the session is in progress. */
  #obtainInTurn(need: TokenNeed): Obtaining {
    let isHeld = false;
    let waitsFor: SerialMint | undefined;
    const waiter = {};
    let abandon!: (reason: Failure) => void;
    const abandoned = new Promise<never>((_, reject) => (abandon = reject));
    abandoned.catch(() => {});
    const session = this.#session;
    const { clock } = this.#settings;
    const askedAt = clock.monotonic();
    const work = async (): Promise<Obtained> => {
      while (this.#running !== undefined) {
        const before = this.#running;
        // Its callers have left it: it would take this one too long as well.
        if (before.leftWith !== undefined) throw before.leftWith.asKnown();
        waitsFor = before;
        if (isHeld) before.hold(waiter, true);
        await before.turn;
      }
      if (this.#session !== session) throw REPLACED;
      if (this.#isEnded) throw ENDED;
      if (this.#isClosed) throw CLOSED;
      const running = this.#start(need, session, clock.monotonic() - askedAt);
      waitsFor = running;
      if (isHeld) running.hold(waiter, true);
      return running.promise;
    };
    return {
      promise: Promise.race([work(), abandoned]),
      hold(awaited) {
        isHeld = awaited;
        waitsFor?.hold(waiter, awaited);
      },
      abandon,
    };
  }

  #start(need: TokenNeed, session: Session, waited: number): SerialMint {
    const owned = this.#owned;
    const refusal = owned?.refusal;
    const { clock } = this.#settings;
    const mint = startMint(this.#settings, {
      ...need,
      waited,
      ...(owned && {
        load: (signal) => {
          // A sign-in has come between: its state is not for this mint.
          if (!this.serves(session)) return Promise.reject(REPLACED);
          return refusal === undefined ? owned.state.load(signal) : this.#loadAfter(refusal, owned.state, signal);
        },
        // Asked directly before a state is sent: a sign-in may have come while the function was asked for it.
        mayStart: () => this.serves(session),
        loadOther: (refused, signal) => owned.state.loadOther(refused, signal),
      }),
    });
    const startedAt = clock.monotonic();
    const running: SerialMint = new SerialMint(mint, clock, async (result, isLeft) => {
      // The turn of the next mint comes when the state is known, and not before.
      const settled = this.#settle(result, session, mint, isLeft);
      if (this.#running === running) this.#running = undefined;
      const token = await settled.finally(() => {
        this.#landing = without(this.#landing, running);
      });
      if (isLeft && token !== undefined) {
        const late = { id: need.id, cause: need.cause, duration: clock.monotonic() - startedAt };
        this.#tell((member) => {
          if (member.target?.fingerprint === need.target?.fingerprint) member.landed({ ...token, late });
        });
      }
      return token;
    });
    this.#landing = [...this.#landing, running];
    return (this.#running = running);
  }

  /** After a refusal, only another state is presented. */
  async #loadAfter(refusal: Refusal, state: SessionState, signal: AbortSignal): ReturnType<SessionState["load"]> {
    const { clock } = this.#settings;
    const now = clock.monotonic();
    if (now - refusal.askedAt < ASK_AGAIN) throw refusal.failure.asKnown();
    refusal.askedAt = now;
    if (state.source.load === undefined) throw refusal.failure.asKnown();
    const { epoch } = state;
    const asked = await state.ask(signal);
    if (epoch !== state.epoch) throw REPLACED;
    if (asked === undefined) return { isNobody: true };
    if (digestOf(asked) === refusal.digest || state.hasUsed(asked)) throw refusal.failure.asKnown();
    // The user has signed in again elsewhere.
    state.adopt(asked);
    return { state: asked };
  }

  /** Keeps what a mint has brought. @returns The token, once the new state is saved. */
  #settle(result: MintResult, session: Session, mint: RunningMint, isLeft: boolean): Promise<Obtained | undefined> {
    const { listeners, grant } = this.#settings;
    const owned = this.#owned;
    const { minted: token, next, presented } = result;
    if (!this.serves(session) && !this.#isOfSession(result)) {
      this.#revokeLanded(result);
      if (grant.lateCookie !== undefined && token !== undefined) this.#refusal = Failure.of(grant.lateCookie(), "key");
      return Promise.reject(this.#isEnded ? ENDED : REPLACED);
    }
    if (result.failure === NOBODY && !this.#isNobody) this.#beginSession(true);
    else if (token !== undefined && (this.#isNobody || owned?.refusal !== undefined)) this.#beginSession();
    if (owned !== undefined) {
      const before = presented?.state;
      if (next !== undefined && digestOf(next.state) !== digestOf(before)) {
        owned.state.rotate({ state: next.state, replaced: before, response: token?.response ?? {} });
      }
      if (result.isRefused === true) {
        const failure = result.refusedWith ?? result.failure!;
        owned.refusal = { digest: digestOf(before), failure, askedAt: this.#settings.clock.monotonic() };
      }
      if (result.isInDoubt === true && presented !== undefined) listeners.tell?.({ name: "state-in-doubt" });
    } else if (result.isRefused === true) this.#refusal = result.failure?.asKnown();
    return this.#afterSave(result, isLeft ? Infinity : mint.timeLeft());
  }

  /** @param left Milliseconds that the callers of the mint still wait. */
  async #afterSave({ minted: token, failure }: MintResult, left: number): Promise<Obtained | undefined> {
    const session = this.#session;
    const { mintTimeout } = this.#settings;
    await this.#owned?.state.save(Math.min(mintTimeout / 2, Math.max(1, left)));
    if (token === undefined) throw failure!;
    return { ...token, session };
  }

  /**
   * Begins the next session: after a sign-in, when a state that was not seen before has ended a refusal, and when the grant
   * says that nobody is signed in, or that somebody is again.
   */
  #beginSession(isNobody = false): Session {
    const { clock } = this.#settings;
    const session = newSession(Math.max(this.#session.generation + 1, Math.floor(clock.now())));
    this.#session = session;
    // What is in progress belongs to the session before: it lands, and nobody waits for it.
    this.#running = undefined;
    this.#isNobody = isNobody;
    this.#refusal = undefined;
    if (this.#owned !== undefined) Object.assign(this.#owned, { session, refusal: undefined });
    this.#tell((member) => member.sessionOver(isNobody ? "nobody" : "replaced"));
    return session;
  }

  /**
   * Whether a mint that began before the last sign-in has presented the very state of that sign-in: the user's function had
   * it already. What it brings continues the session.
   */
  #isOfSession({ presented }: MintResult): boolean {
    const current = this.#owned?.state.current;
    if (this.#isEnded || current === undefined || presented === undefined) return false;
    return digestOf(presented.state) === digestOf(current);
  }

  /** A session that is over got another token: nobody may use it. */
  #revokeLanded({ minted: token, next }: MintResult): void {
    const { grant } = this.#settings;
    if (grant.revoke === undefined || (token === undefined && next === undefined)) return;
    const tokens = token === undefined ? [] : [new AccessTokenRecord(token.response, token.expiresAt, 0)];
    this.#unrevoked.push({ state: Promise.resolve(next?.state), tokens, isDue: true });
    // If it fails, the next sign-out tries again.
    this.#revokeAll().catch(() => {});
  }
}

/** A mint that must not run beside another of its session. */
class SerialMint {
  readonly mint: RunningMint;
  /** What callers wait for. Rejects with a {@link Failure}. */
  readonly promise: Promise<Obtained>;
  /** Resolves when the next mint may look whether it is its turn. */
  readonly turn: Promise<unknown>;
  /** The failure with which the callers have left. */
  leftWith: Failure | undefined;
  /** Those for whom the process has to stay alive: callers of this mint, and those who wait for their turn. */
  readonly #waiters = new Set<object>();
  readonly #clock: MintSettings["clock"];
  /** Resolves when nothing is in progress any more. */
  readonly done: Promise<unknown>;

  constructor(
    mint: RunningMint,
    clock: MintSettings["clock"],
    settle: (result: MintResult, isLeft: boolean) => Promise<Obtained | undefined>,
  ) {
    this.mint = mint;
    this.#clock = clock;
    const landed = mint.result.then((result) => settle(result, this.leftWith !== undefined));
    const left = mint.left.then((failure) => {
      this.leftWith = failure;
      throw failure;
    });
    left.catch(() => {});
    this.promise = Promise.race([landed as Promise<Obtained>, left]);
    this.promise.catch(() => {});
    this.done = landed.then(
      () => true,
      () => true,
    );
    this.turn = Promise.race([mint.result, mint.left]);
  }

  /** Keeps the process alive for a waiter, or no longer. */
  hold(waiter: object, awaited: boolean): void {
    if (awaited) this.#waiters.add(waiter);
    else this.#waiters.delete(waiter);
    this.mint.hold(this.#waiters.size > 0);
  }

  /** Waits until nothing is in progress any more. @returns `false` when that takes longer. */
  settled(within: number): Promise<boolean> {
    return settledWithin(this.#clock, this.done, within);
  }
}

/** Reads a sign-in. @throws {TypeError} When the grant stands for no user, or when it is no token response. */
export function readSignIn(
  grant: MintSettings["grant"],
  response: SignInResponse,
): ReturnType<NonNullable<MintSettings["grant"]["signIn"]>> {
  if (grant.signIn === undefined) throw noSessionError("signIn");
  assertTokenResponse(response);
  // As a copy without functions: some libraries put methods such as `expiresIn()` into the response.
  const given = grant.signIn(dataOf(response) as unknown as SignInResponse);
  try {
    checkResponse(given.response);
  } catch (error) {
    throw new TypeError(`"response" must be the token response of the sign-in: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return given;
}

/** The error for a grant that stands for no user. */
export function noSessionError(method: "signIn" | "signOut"): TypeError {
  return new TypeError(
    `${method}() needs a grant that stands for a user who signs in: refreshTokenGrant, customGrant or a function. ` +
      `This grant gets its tokens without a sign-in`,
  );
}

function assertTokenResponse(response: unknown): void {
  if (typeof response !== "object" || response === null || isThenable(response)) {
    throw optionError(
      "response",
      response,
      "the token response of the sign-in: { access_token, refresh_token, expires_in }",
    );
  }
  const { access_token: token } = response as { access_token?: unknown };
  if (typeof token !== "string" || token === "") {
    throw optionError(
      "response.access_token",
      token,
      "a non-empty string: pass the token response of the sign-in as it is",
    );
  }
}

export function newSession(generation: number): Session {
  const [one, two] = globalThis.crypto.getRandomValues(new Uint32Array(2));
  return { generation, id: one!.toString(36) + two!.toString(36) };
}

function failed(failure: Failure): Obtaining {
  return { promise: Promise.reject(failure), hold: () => {}, abandon: () => {} };
}

/** Where a fleet shares tokens: what `redisStore(...)`, `fleetStore(...)` and `memoryStore()` return. Opaque. */
export type FleetStore = Opaque<"store">;

/** A store as the library sees it. */
interface FleetStoreDefinition {
  /**
   * Makes the supply of one cache. Does no I/O.
   *
   * @throws {TypeError} When neither the grant nor a pool says whose token it is.
   */
  supply(cache: FleetCache): TokenSupply;
}

/** What a store has to know of a cache. */
export interface FleetCache extends SupplySettings {
  /** Where the token may be sent. */
  readonly origins: Origins | undefined;
  /** The key under which a pool created the cache. `undefined` for a cache outside of a pool. */
  readonly poolKey: string | undefined;
  readonly refreshBuffer: number;
  readonly minValidity: number;
}

/** Makes the store that a user holds. */
export function storeOf(definition: FleetStoreDefinition): FleetStore {
  return definition as unknown as FleetStore;
}

/**
 * Returns the definition behind what a user passed as a store.
 *
 * @throws {TypeError} When it is not a store.
 */
export function storeDefinitionOf(store: unknown): FleetStoreDefinition {
  if (typeof (Object(store) as FleetStoreDefinition).supply === "function") return store as FleetStoreDefinition;
  throw optionError(
    "store",
    store,
    "what redisStore(client, { encryptionKey }), fleetStore(...) or memoryStore() returns",
  );
}
