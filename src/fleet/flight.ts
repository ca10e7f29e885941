/**
 * One flight of one process: from the need of a token to a token, through the record that the fleet shares.
 *
 * Every step is one swap. Either the swap takes the lease, and then this process mints for the fleet (lead.ts). Or the
 * swap is refused and returns the record that is stored. What the record says of the session counts first
 * (known-session.ts), then `decide` (decision.ts) says what to do about it. One time limit covers all steps, and the number of
 * swaps without a pause is limited. When the store fails, or holds a record that this process cannot read, a grant that uses
 * nothing up mints for this process alone. Any other fails instead: a refresh token that is used without the store can be
 * used twice.
 *
 * @module
 */
import { isRemintError, RemintError, safeCause } from "../base/errors.ts";
import { Failure } from "../core/failures.ts";
import { ENDED, newSession } from "../core/supply.ts";
import { retriesOf } from "../core/mint.ts";
import { remembered } from "../core/state.ts";
import { boundUntil, decide, isHeld } from "./decision.ts";
import { lead, mintAlone, PREEMPTED, Unsent } from "./lead.ts";
import { StoreFault } from "./link.ts";
import { adopted, targetIn, withTargetRecord } from "./record.ts";
import { failureOf } from "./shared-failure.ts";
import { upholdSignOut } from "./sign.ts";
import { pollDelay, Waits } from "./waits.ts";
import type { Obtained, Obtaining, TokenNeed } from "../core/supply.ts";
import type { TokenDemand } from "./decision.ts";
import type { KnownSession } from "./known-session.ts";
import type { Leader } from "./lead.ts";
import type { FleetRecord, SeenRecord } from "./record.ts";

/** Starts a flight. Never throws: every failure rejects the promise. */
export function startFlight(session: KnownSession, need: TokenNeed, fingerprint: string): Obtaining {
  const waits = new Waits(session.fleet.clock);
  let reject!: (reason: Failure) => void;
  const abandoned = new Promise<never>((_, refuse) => (reject = refuse));
  abandoned.catch(() => {});
  return {
    // A mint that must not be aborted lands without its callers.
    promise: Promise.race([new FleetFlight(session, need, fingerprint, waits).run(), abandoned]),
    hold: (awaited) => waits.hold(awaited),
    abandon(reason) {
      waits.abandon(reason);
      reject(reason);
    },
  };
}

/** The number of swaps without a pause after which the store counts as unusable. */
const MOST_SWAPS_IN_A_ROW = 8;
/**
 * Milliseconds for which a process whose mints fail leaves a record to the others, by its own clock, before it claims the
 * record. Waiting processes look more often.
 */
const YIELDS = 250;
/** A token that was valid for so many milliseconds ends the row of rejections (C8). */
const ENDS_STRIKES = 60_000;
const UNKNOWN = "no token is available: the record that processes share could not be read or written";

/** One attempt to take the lease. */
interface LeaseClaim {
  /** The version to replace; `undefined`: there must be no record. Then a refused swap also serves as a read. */
  readonly expected: string | undefined;
  readonly record: FleetRecord;
  /** Only look: the record is left to others for a moment. */
  readonly yields?: boolean | undefined;
}

class FleetFlight {
  readonly #session: KnownSession;
  readonly #need: TokenNeed;
  readonly #fingerprint: string;
  readonly #waits: Waits;
  /** The time limit of the whole flight, in monotonic milliseconds. */
  readonly #until: number;
  /** The version of the record that could be claimed when it was read last, and since when. */
  #claimable: { readonly version: string | undefined; readonly since: number } | undefined;
  /** Until when another process may be presenting what this one would, though the store has lost its lease since. */
  #heldUntil = -Infinity;
  /** How often a request of this flight could not be sent. */
  #unsent = 0;

  constructor(session: KnownSession, need: TokenNeed, fingerprint: string, waits: Waits) {
    const { fleet, settings } = session;
    this.#session = session;
    this.#need = need;
    this.#fingerprint = fingerprint;
    this.#waits = waits;
    this.#until = fleet.clock.monotonic() + settings.mintTimeout + fleet.duration + fleet.callTimeout;
  }

  /**
   * @returns The token; `undefined`: the cache goes on with the token that it holds.
   * @throws {Failure} When no token can be had.
   */
  async run(): Promise<Obtained | undefined> {
    const obtained = await this.#outcome();
    return obtained && this.#session.bounded(obtained);
  }

  async #outcome(): Promise<Obtained | undefined> {
    try {
      return await this.#obtain();
    } catch (error) {
      if (error instanceof StoreFault) return this.#withoutStore(error);
      if (error instanceof Failure) throw error;
      // A fault of this package, or of the platform's cryptography: told to the caller, like every failure.
      const own = isRemintError(error) ? error : new RemintError("ERR_STORE", UNKNOWN, { cause: safeCause(error) });
      throw Failure.of(own, "key");
    }
  }

  async #obtain(): Promise<Obtained | undefined> {
    await this.#session.unchanging();
    let claim: LeaseClaim = { ...this.#firstClaim(), yields: this.#session.hasFailed };
    let polls = 0;
    for (let swaps = 0; swaps < MOST_SWAPS_IN_A_ROW; swaps++) {
      this.#assertTimeLeft();
      const readAt = this.#now();
      const { token, seen } = await this.#tryClaim(claim, readAt);
      if (token !== undefined) return token;
      const roundTrip = this.#now() - readAt;
      // Another flight of this process mints. Its answer comes first, whatever has become of its lease.
      let waits = this.#session.isMinting;
      if (seen === undefined && this.#session.isBarred) throw this.#barred();
      if (seen?.kind === "unreadable") throw new StoreFault(seen.why);
      if (seen?.kind === "record" && this.#session.isBygone(seen)) {
        claim = { expected: seen.version, record: this.#begunAfter(seen.record) };
        continue;
      }
      const met = seen?.kind === "record" ? this.#session.meet(seen.record) : undefined;
      if (met?.relation === "ended") await upholdSignOut(this.#session, met.record, seen!);
      if (met?.relation === "ended" || met?.relation === "void") throw this.#barred();
      let isHeldByOther = false;
      if (seen === undefined || met === undefined || met.relation === "older") {
        claim = await this.#claimOver(seen?.version);
        // Whoever has begun the record anew, because it was lost, may be presenting what this process would.
        const isHeldHere = met !== undefined && isHeld(met.record, this.#demand(undefined));
        if (isHeldHere) this.#noteHeld(met.record);
        // The holder whose lease was lost with the record writes what it has got: until then nobody presents the same.
        if (isHeldHere || (met === undefined && this.#now() < this.#heldUntil)) {
          claim = { ...claim, expected: undefined };
          isHeldByOther = true;
        }
      } else {
        const { record } = met;
        const demand = this.#demand(this.#knownToken());
        const decision = decide(record, demand);
        if (decision === "claim") claim = { expected: seen.version, record: this.#claimed(record) };
        else if (decision === "wait") {
          claim = { expected: undefined, record: this.#claimed(record) };
          isHeldByOther = true;
          this.#noteHeld(record);
        } else if (decision === "refused") claim = await this.#claimAfterRefusal(seen.version, record);
        else return this.#outcomeOf(decision, record, seen, demand);
      }
      // The lease may end without a trace before the next look: who has failed does not claim with that one.
      if (isHeldByOther) this.#claimable = undefined;
      const yields = isHeldByOther
        ? this.#session.hasFailed || this.#now() < this.#heldUntil
        : this.#mustYield(seen?.version);
      if (yields) claim = { ...claim, yields };
      waits ||= isHeldByOther || claim.yields === true;
      if (!waits) continue;
      await this.#waits.sleep(Math.min(pollDelay(polls++, roundTrip), this.#until - this.#now()));
      swaps = 0;
    }
    throw new StoreFault("the record changed with every try to replace it");
  }

  /** Takes the lease and mints, or reads what is stored instead. */
  async #tryClaim(
    { expected, record, yields }: LeaseClaim,
    readAt: number,
  ): Promise<{ readonly token?: Obtained; readonly seen?: SeenRecord | undefined }> {
    const { link, callTimeout: timeout } = this.#session.fleet;
    // Nothing is presented before the record says that it may be, and not beside a mint of this process.
    if (this.#session.isBarred || this.#session.isMinting || record.phase === "R" || yields === true) {
      const { current } = await link.read(this.#session.key, { timeout });
      return { seen: current && (await this.#session.read(current, readAt)) };
    }
    const lease = this.#session.lease(record);
    const { served } = this.#session;
    const result = await lease.take(expected);
    if (!result.ok) return { seen: result.current && (await this.#session.read(result.current, readAt)) };
    // What this process gives back is claimable anew, also where the record is absent once more.
    this.#claimable = undefined;
    if (!lease.mayStart() || !this.#session.isCurrent(served) || this.#session.isMinting) {
      // While the store was asked, the process was held up for so long that its mint would run past the end of the lease; or
      // somebody has signed in or out here, and the record is of a session that is over; or another flight has begun to mint.
      await lease.release();
      return {};
    }
    this.#session.accept(record);
    try {
      // Where there is a record, the user's own token may be of a session before the record's.
      const need = expected === undefined ? this.#need : { ...this.#need, seed: undefined };
      return { token: await lead(this.#leader(need), lease) };
    } catch (error) {
      if (error === PREEMPTED) return {};
      if (!(error instanceof Unsent)) throw error;
      this.#need.onRetry(++this.#unsent, error.failure.toEventError());
      return {};
    }
  }

  /** A state is presented by one process only, whatever the store loses meanwhile. */
  #noteHeld({ leaseUntil, state }: FleetRecord): void {
    if (this.#session.isStateful && state !== undefined) this.#heldUntil = leaseUntil;
  }

  /**
   * Whether this process leaves a record that it could claim to the others: its mints fail, and theirs may not. It claims what
   * nobody else has wanted for a moment.
   */
  #mustYield(version: string | undefined): boolean {
    const now = this.#now();
    if (this.#claimable?.version !== version) this.#claimable = undefined;
    this.#claimable ??= { version, since: now };
    return this.#session.hasFailed && now - this.#claimable.since < YIELDS;
  }

  /**
   * The first claim of a flight. If this process knows a token that has to be replaced, the claim replaces the record by
   * value, without a read before (C5). Otherwise the claim expects no record, and so reads the record if there is one.
   */
  #firstClaim(): LeaseClaim {
    const { known } = this.#session;
    if (known?.version === undefined || known.record.phase !== "T") return this.#claimAnew(undefined);
    const { token, pauseUntil } = targetIn(known.record, this.#fingerprint);
    const now = this.#now();
    if (token === undefined || now < pauseUntil) return this.#claimAnew(undefined);
    const value = token.response.access_token;
    // The engine has removed the record of an expired token, unless the record holds a state.
    const isOver = now >= token.until && this.#session.isStateful;
    const isOwn = value === this.#need.held?.value && this.#session.isDue(token);
    const isReplaced = this.#isUnwanted(value) || isOver || isOwn;
    return isReplaced ? { expected: known.version, record: this.#claimed(known.record) } : this.#claimAnew(undefined);
  }

  #claimAnew(expected: string | undefined): LeaseClaim {
    return { expected, record: this.#session.base() };
  }

  /** Takes the place of a record that is absent or of no use. After a refusal, only for another state. */
  async #claimOver(expected: string | undefined): Promise<LeaseClaim> {
    const claim = this.#claimAnew(expected);
    return claim.record.phase === "R" ? this.#claimAfterRefusal(expected, claim.record) : claim;
  }

  /** The content of a record while its token is replaced: a rejected token and an expired one are taken out. */
  #claimed(record: FleetRecord): FleetRecord {
    const now = this.#now();
    const target = targetIn(record, this.#fingerprint);
    const { token } = target;
    const rest = { ...record, phase: "T" as const };
    if (token === undefined) return rest;
    const rejects = this.#isUnwanted(token.response.access_token);
    const strikes = now - token.mintedAt >= ENDS_STRIKES ? 0 : target.strikes;
    const kept = !rejects && token.until > now;
    const { token: _gone, ...others } = target;
    return withTargetRecord(rest, this.#fingerprint, {
      ...(kept ? target : others),
      strikes: rejects ? strikes + 1 : strikes,
    });
  }

  /** Claims a refused session for a state of the user's that it does not know: somebody has signed in since. */
  async #claimAfterRefusal(expected: string | undefined, record: FleetRecord): Promise<LeaseClaim> {
    const refused = record.refused!;
    const other = await this.#otherState(record);
    if (other === undefined) {
      const failure = failureOf(refused.failure);
      throw this.#session.hasTold(record) ? failure.asKnown() : failure;
    }
    const used = remembered(record.used, [refused.digest]);
    return { expected, record: { ...this.#begunAfter(record), state: other, used } };
  }

  /** What the record of the next session begins with. */
  #begunAfter({ state: _state, refused: _refused, ...record }: FleetRecord): FleetRecord {
    const { clock } = this.#session.fleet;
    const generation = Math.max(
      (record.session?.generation ?? 0) + 1,
      this.#session.generation + 1,
      Math.floor(clock.now()),
    );
    return { ...record, phase: "T", session: newSession(generation), rotated: 0, tokens: {} };
  }

  async #otherState(record: FleetRecord): Promise<unknown> {
    const { clock } = this.#session.fleet;
    const controller = new AbortController();
    const timer = clock.setTimeout(() => controller.abort(), this.#session.settings.mintTimeout);
    try {
      return await this.#session.otherState(record, controller.signal);
    } finally {
      timer.cancel();
    }
  }

  #barred(): Failure {
    return this.#session.isEnded ? ENDED : VOID;
  }

  #knownToken(): TokenDemand["known"] {
    const { known } = this.#session;
    if (known === undefined) return undefined;
    const { token, mints } = targetIn(known.record, this.#fingerprint);
    return token && { value: token.response.access_token, mints };
  }

  #demand(known: TokenDemand["known"]): TokenDemand {
    const { fleet, settings, unchangedFor, isStateful } = this.#session;
    return {
      fingerprint: this.#fingerprint,
      now: this.#now(),
      held: this.#need.held?.value,
      isBackground: this.#isBackground(),
      isUnwanted: (value) => this.#isUnwanted(value),
      known,
      mustBeFresh: this.#need.mustBeFresh,
      minValidity: settings.minValidity,
      unchangedFor,
      stuckAfter: 2 * fleet.duration,
      isStateful,
      hasFailed: this.#session.hasFailed,
      isDue: (token) => this.#session.isDue(token),
    };
  }

  /** The outcome of the flight after a decision that ends it. */
  #outcomeOf(
    act: "adopt" | "reuse" | "keep" | "fail",
    record: FleetRecord,
    seen: SeenRecord,
    demand: TokenDemand,
  ): Obtained | undefined {
    if (act === "keep") return undefined;
    const { token, failure } = targetIn(record, this.#fingerprint);
    if (act === "fail") throw failureOf(failure!, boundUntil(record, demand) - demand.now);
    this.#session.remember(record, seen.version);
    const { clock } = this.#session.fleet;
    const obtained = adopted(token!, this.#session.served, clock);
    // A reused token counts as newly minted: no newer token exists, so another rejection of it is final.
    return act === "reuse" ? { ...obtained, freshness: "minted" } : obtained;
  }

  #withoutStore(fault: StoreFault): Obtained | undefined | Promise<Obtained> {
    const failure = this.#session.reportStoreFailure(fault);
    if (this.#isBackground()) return undefined;
    // A session may have been signed out, and how long this process may go on without a look is limited.
    if (this.#session.isStateful || this.#session.hasToLook) throw failure;
    this.#session.noteMintWithoutStore(this.#need.unwanted.at(-1));
    return mintAlone(this.#leader(this.#need));
  }

  #leader(need: TokenNeed): Leader {
    const { settings } = this.#session;
    return {
      session: this.#session,
      need,
      fingerprint: this.#fingerprint,
      waits: this.#waits,
      waited: Math.max(0, settings.mintTimeout - this.#until + this.#now()),
      refuses: (value) => this.#isUnwanted(value),
      retries: retriesOf(settings) - this.#unsent,
    };
  }

  /** Whether no caller has to wait, because the held token serves them. */
  #isBackground(): boolean {
    const { held, isUrgent } = this.#need;
    return held !== undefined && !isUrgent && !this.#isUnwanted(held.value);
  }

  /** Whether this token was rejected or invalidated. */
  #isUnwanted(value: string): boolean {
    const { unwanted, rejected } = this.#need;
    return unwanted.includes(value) || rejected.has(value) || this.#session.rejectedInRecord === value;
  }

  #assertTimeLeft(): void {
    this.#waits.assertNotAbandoned();
    if (this.#now() < this.#until) return;
    const message = "no token is available: other processes did not deliver one in time";
    const hint = "other processes of the fleet held the lease and published no token";
    throw new Failure("key", { code: "ERR_STORE", message, hint, retryable: true });
  }

  #now(): number {
    return this.#session.fleet.clock.monotonic();
  }
}

/** The last sign-in could not be stored, and the session before it is over. */
const VOID = new Failure("key", {
  code: "ERR_STORE",
  message: "no token is available: the last sign-in could not be stored",
  hint: "signIn() has failed with ERR_STORE; call it again, or let the user sign in again",
  retryable: false,
});
