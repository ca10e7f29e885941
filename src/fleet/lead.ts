/**
 * The mint of a process that holds the lease of its fleet, and what it writes into the record afterwards.
 *
 * The token replaces the lease of this process and no other record. A failure is written for the other processes too. A next
 * state is written also when the lease was lost, over a record with the state that it replaces: the one there is used up.
 * What a mint of an earlier session brings is revoked and not written. If the store fails, the write is tried again in the
 * background.
 *
 * A process that cannot reach the server must not keep the others from it: when nothing could be sent, or when no answer comes,
 * the lease is given away (C9). The lease itself is in lease.ts.
 *
 * @module
 */
import { delayAfter, Failure } from "../core/failures.ts";
import { MAY_NOT_START, NOBODY, startMint } from "../core/mint.ts";
import { pauseAfter } from "../core/rejections.ts";
import { ENDED, REPLACED } from "../core/supply.ts";
import { digestOf, remembered } from "../core/state.ts";
import { StoreFault } from "./link.ts";
import { adopted, storedToken, targetIn, withNextState, withTargetRecord } from "./record.ts";
import { storedFailure } from "./shared-failure.ts";
import { finishSignOut } from "./sign.ts";
import type { Timer } from "../base/clock.ts";
import type { LoadedState, MintResult, RunningMint } from "../core/mint.ts";
import type { Obtained, TokenNeed } from "../core/supply.ts";
import type { Session } from "../core/types.ts";
import type { KnownSession } from "./known-session.ts";
import type { Lease } from "./lease.ts";
import type { FleetRecord, TargetRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";
import type { Waits } from "./waits.ts";

/** What the mint needs from its flight. */
export interface Leader {
  readonly session: KnownSession;
  readonly need: TokenNeed;
  readonly fingerprint: string;
  readonly waits: Waits;
  /** Milliseconds of the time for a mint that callers have waited already. */
  readonly waited: number;
  /** Whether a token was rejected, so that it must not be adopted. */
  readonly refuses: (value: string) => boolean;
  /** How often a request that could not be sent is repeated. */
  readonly retries: number;
}

/** Thrown when the lease was lost before anything was sent: the flight looks at the record again. */
export const PREEMPTED: Failure = MAY_NOT_START;

/**
 * Thrown when the request could not be sent and is to be repeated. The lease was given away before: another process may be
 * able to send.
 */
export class Unsent extends Error {
  override readonly name: string = "Unsent";
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Milliseconds between two tries to write a record after the store failed. */
const TRY_AGAIN = 1000;
/** A token that is not shared costs one mint. A state that is lost costs the session. */
const LATE_TRIES = 2;
const LATE_TRIES_WITH_STATE = 600;
/** Other processes may write to the record while this one saves its state: heartbeats, for example. */
const MOST_TURNS = 8;
/** How many processes whose mints have failed a record remembers. */
const MOST_FAILED = 8;
/** Milliseconds without an answer after which the holder of a lease gives it away, where nothing is used up. */
const UNANSWERED = 2000;

/** Mints under the lease. @throws {Failure} The failure of the mint, which the record then has too. */
export async function lead(leader: Leader, lease: Lease): Promise<Obtained> {
  const { session, waits, need } = leader;
  const { clock } = session.fleet;
  try {
    waits.assertNotAbandoned();
  } catch (error) {
    await lease.release().catch(() => {});
    throw error;
  }
  const startedAt = clock.monotonic();
  const { served, state } = session;
  // What the user's function returns may be of a sign-in that came between. The record tells.
  const confirmed = async <T extends LoadedState | undefined>(loaded: T): Promise<T> => {
    if (loaded !== undefined && "state" in loaded && digestOf(loaded.state) !== digestOf(lease.record.state)) {
      await lease.renew(session.named({ ...lease.record, state: loaded.state }, lease.record));
    }
    return loaded;
  };
  const mint = start(leader, {
    // A sign-in may have come between: its state is not for this mint.
    load:
      state &&
      (async (signal: AbortSignal) => {
        if (!session.isCurrent(served)) throw REPLACED;
        return confirmed(await session.load(lease.record, signal));
      }),
    loadOther:
      state && (async (refused: unknown, signal: AbortSignal) => confirmed(await state.loadOther(refused, signal))),
    mayStart: () => lease.mayStart() && session.isCurrent(served),
    endsUnsent: true,
  });
  waits.follow(mint, !session.isStateful);
  const patience = giveAwayUnanswered(leader, lease);
  let hasLeft = false;
  const landing = session.mints(
    mint.result.then(async (result) => {
      patience?.cancel();
      const token = await new Landing(leader, lease, result, served).land();
      const late = { id: need.id, cause: need.cause, duration: clock.monotonic() - startedAt };
      if (hasLeft) session.landed(need.target, { ...token, late });
      return token;
    }),
  );
  const left = mint.left.then((failure) => {
    hasLeft = true;
    session.leave(failure, landing);
    throw failure;
  });
  left.catch(() => {});
  return Promise.race([landing, left]);
}

/**
 * Gives the lease away when the server does not answer: it may be this process that gets no answers. The mint goes on for the
 * callers of this process. A refresh in the background gives it away too, because the token may be rejected, or expire, while
 * nothing answers. Whoever takes the lease after another process does not do it, because otherwise nobody would publish a token
 * of a server that is slow for all.
 */
function giveAwayUnanswered({ session }: Leader, lease: Lease): Timer | undefined {
  const { record } = lease;
  if (session.isStateful || record.failed.some((each) => each !== session.holder)) return undefined;
  const { clock } = session.fleet;
  return clock.setTimeout(
    () => void lease.release({ ...record, failed: [session.holder] }).catch(() => {}),
    Math.min(UNANSWERED, session.settings.mintTimeout / 2),
  );
}

/** Mints without the store. Only for grants that use nothing up. */
export async function mintAlone(leader: Leader): Promise<Obtained> {
  const { session, waits } = leader;
  const mint = start(leader, {});
  waits.follow(mint, true);
  const { minted, failure, isRefused } = await mint.result;
  session.noteOutcome(failure, isRefused);
  if (minted === undefined) throw failure!;
  return { ...minted, session: session.served };
}

function start({ session, need, waited }: Leader, more: object): RunningMint {
  const { previous, seed, failureOfOthers, target, onStart, onRetry } = need;
  return startMint(session.settings, { previous, seed, failureOfOthers, target, waited, onStart, onRetry, ...more });
}

/**
 * What became of a write: `lost` when another process has taken the lease, `over` when the session is, `continued` when only
 * the next state was written, into the record of a sign-in that came between.
 */
type Written =
  | "written"
  | "continued"
  | "lost"
  | "over"
  | { readonly outdoneBy: FleetRecord; readonly version: string };

/** What is done with the result of a mint. */
class Landing {
  readonly #leader: Leader;
  readonly #lease: Lease;
  readonly #result: MintResult;
  /** The session under which the mint began. */
  readonly #served: Session | undefined;
  /** The mint has brought another state: the one before it is used up. */
  readonly #hasNext: boolean;
  /** The record of the ended session, which has what this mint has brought. */
  #owed: { readonly record: FleetRecord; readonly version: string | undefined } | undefined;

  constructor(leader: Leader, lease: Lease, result: MintResult, served: Session | undefined) {
    this.#leader = leader;
    this.#lease = lease;
    this.#result = result;
    this.#served = served;
    const { next, presented } = result;
    this.#hasNext = next !== undefined && digestOf(next.state) !== digestOf(presented?.state);
  }

  /** Writes the result into the record. @returns The token for the callers. @throws {Failure} When there is none. */
  async land(): Promise<Obtained> {
    const { session, refuses, fingerprint, retries } = this.#leader;
    const { minted, next, presented, isInDoubt, isUnsent, isRefused, failure } = this.#result;
    session.noteOutcome(failure, isRefused);
    if (isUnsent === true && retries > 0) {
      await this.#lease.release().catch(() => {});
      throw new Unsent(failure!);
    }
    if (isInDoubt === true && presented?.state !== undefined)
      session.settings.listeners.tell?.({ name: "state-in-doubt" });
    const rotate = (): void => {
      session.state?.rotate({ state: next!.state, replaced: presented?.state, response: minted?.response ?? {} });
    };
    const isCurrent = session.isCurrent(this.#served);
    if (isCurrent && this.#hasNext) rotate();
    // Also while a sign-out is being stored: what was presented is used up, and the sign-out finds in the record what to revoke.
    const record = isCurrent || this.#hasNext ? this.#recordAfter() : undefined;
    const written = await this.#publish(record);
    if (written === "continued") {
      rotate();
      void session.track(session.state!.save());
      throw REPLACED;
    }
    if (written === "over" || !session.isCurrent(this.#served)) throw this.#over();
    // The record of the fleet counts; the user's function saves what it has too.
    if (this.#hasNext) void session.track(session.state!.save());
    if (typeof written === "object") {
      const { token } = targetIn(written.outdoneBy, fingerprint);
      const { clock } = session.fleet;
      // The record may still hold the token that this mint was to replace: nobody has minted since the lease was lost.
      const isNew =
        token?.response.access_token !== targetIn(this.#lease.record, fingerprint).token?.response.access_token;
      if (token !== undefined && isNew && token.until > clock.monotonic() && !refuses(token.response.access_token)) {
        session.remember(written.outdoneBy, written.version);
        return adopted(token, this.#served, clock);
      }
    }
    return this.#own();
  }

  #own(): Obtained {
    const { minted, failure } = this.#result;
    if (failure === NOBODY) this.#leader.session.noteNobody();
    if (minted === undefined) throw failure!;
    return { ...minted, session: this.#served };
  }

  /** Nobody may use what a mint of an earlier session has brought. */
  #over(): Failure {
    const { session } = this.#leader;
    const { minted, next } = this.#result;
    if (this.#owed === undefined) session.revoke(minted, this.#hasNext ? next?.state : undefined);
    else finishSignOut(session, this.#owed.record, this.#owed.version);
    return session.isEnded ? ENDED : REPLACED;
  }

  /** The session has ended before what its mint has brought was written. */
  #overLate(): void {
    this.#leader.session.isUnpublished = false;
    this.#over();
  }

  /** The record that the fleet is to have after the mint. `undefined`: as it was before. */
  #recordAfter(): FleetRecord | undefined {
    const { session, fingerprint, need } = this.#leader;
    const { minted, failure, presented, isRefused, refusedWith } = this.#result;
    const { clock } = session.fleet;
    const now = clock.monotonic();
    const before = this.#lease.record;
    const state = presented?.state ?? before.state;
    const record: FleetRecord = this.#hasNext
      ? this.#continued(before)
      : { ...before, ...(state !== undefined && { state }) };
    const { failure: _failure, ...target } = targetIn(before, fingerprint);
    if (minted !== undefined) {
      const isWorthSharing = minted.lifetime.ms > 0 && minted.expiresAt > clock.now();
      // The next state has to be shared, even if the token expired at once.
      if (!isWorthSharing && !this.#hasNext) return undefined;
      const renews = need.unwanted.length > 0;
      const token = isWorthSharing
        ? { token: storedToken(minted, { now, clock, renews, quiet: pauseAfter(target.strikes) }) }
        : {};
      const settled = { fails: 0, failedAt: -Infinity, pauseUntil: -Infinity };
      const after = { ...target, ...token, mints: target.mints + 1, ...settled };
      return withTargetRecord({ ...record, failed: [] }, fingerprint, after);
    }
    if (isRefused === true && session.hasSessions) {
      const refused = { digest: digestOf(presented?.state), failure: storedFailure(refusedWith ?? failure!) };
      const after: FleetRecord = { ...record, phase: "R", refused };
      session.noteRefusal(after);
      return after;
    }
    if ((failure!.owner === "nobody" || failure === NOBODY) && !this.#hasNext) return undefined;
    const fails = target.fails + 1;
    const pause = Math.min(delayAfter(failure!, fails, target.token === undefined), session.fleet.ttls.stateTtl);
    const stored = { failure: storedFailure(failure!), failedAt: now, pauseUntil: now + pause };
    const after: TargetRecord = { ...target, fails, ...stored };
    const failed = [...record.failed.filter((each) => each !== session.holder), session.holder].slice(-MOST_FAILED);
    return withTargetRecord({ ...record, failed }, fingerprint, after);
  }

  /** Writes the record. If the store fails, the callers do not wait until it works again. */
  async #publish(record: FleetRecord | undefined): Promise<Written> {
    const { session } = this.#leader;
    try {
      return await this.#write(record);
    } catch (fault) {
      if (!(fault instanceof StoreFault)) throw fault;
      session.reportStoreFailure(fault);
      const isBrought = this.#hasNext || this.#result.minted !== undefined;
      if (record !== undefined && isBrought && session.isCurrent(this.#served)) {
        session.remember(record, undefined);
        void session.track(this.#writeLater(record));
      }
      return "lost";
    }
  }

  /** @throws {StoreFault} When the store fails. */
  async #write(record: FleetRecord | undefined): Promise<Written> {
    const result = record === undefined ? await this.#lease.release() : await this.#lease.end(record);
    if (result.ok) this.#remember(record, result.version);
    if (result.ok) return "written";
    return this.#writeOver(record, result.current);
  }

  #remember(record: FleetRecord | undefined, version: string | undefined): void {
    const { session } = this.#leader;
    if (record !== undefined && session.isCurrent(this.#served)) session.remember(record, version);
  }

  /** The lease was lost, or the record is of another session by now. */
  async #writeOver(record: FleetRecord | undefined, current: StoreEntry | undefined): Promise<Written> {
    const { session, fingerprint } = this.#leader;
    let there = current;
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      const seen = there && (await session.read(there, session.fleet.clock.monotonic()));
      if (seen?.kind === "unreadable") throw new StoreFault(seen.why);
      let next = record;
      if (seen?.kind === "record") {
        const isSame = session.isOf(this.#lease.record.session, seen.record);
        const relation = isSame ? "ours" : session.relationOf(seen.record);
        if (!isSame && this.#hasPresented(seen.record)) {
          const result = await session.swap(seen.version, this.#continued(seen.record));
          if (result.ok) return "continued";
          there = result.current;
          continue;
        }
        if (!isSame && relation !== "older") {
          const owing = this.#owing(seen.record);
          if (owing !== undefined) {
            const result = await session.swap(seen.version, owing);
            if (!result.ok) {
              there = result.current;
              continue;
            }
            this.#owed = { record: owing, version: result.version };
          }
          const refused = this.#withoutCookie(seen.record);
          if (refused !== undefined) {
            const result = await session.swap(seen.version, refused);
            if (!result.ok) {
              there = result.current;
              continue;
            }
          }
          session.meet(refused ?? seen.record);
          return "over";
        }
        // The state in the record is used up, or it was begun anew without one: only this process has the next one.
        const isBehind = !isSame || seen.record.state === undefined || session.hasUsed(seen.record);
        const isOwed = this.#hasNext && isBehind;
        if (!isOwed) {
          session.meet(seen.record);
          return { outdoneBy: seen.record, version: seen.version };
        }
        const own = record && targetIn(record, fingerprint);
        if (isSame && record !== undefined) {
          next = withTargetRecord({ ...record, tokens: seen.record.tokens }, fingerprint, own!);
        }
      }
      // Without a next state, the token of this process may be older than a rejection that others know of.
      if (!this.#hasNext || next === undefined) return "lost";
      const result = await session.swap(seen?.version, next);
      if (result.ok) {
        this.#remember(next, result.version);
        return "written";
      }
      there = result.current;
    }
    throw new StoreFault("the record changed with every try to replace it");
  }

  /**
   * Whether this mint has presented the very state of another sign-in, which the user's function had already. What it brings
   * continues that session.
   */
  #hasPresented({ phase, state }: FleetRecord): boolean {
    const { presented } = this.#result;
    if (!this.#hasNext || phase === "E" || state === undefined) return false;
    return digestOf(state) === digestOf(presented?.state);
  }

  /**
   * The record of an ended session with what this mint has brought, until that is revoked. `undefined`: there is nothing, or no
   * place for it.
   */
  #owing(ended: FleetRecord): FleetRecord | undefined {
    const { session, fingerprint } = this.#leader;
    const { minted, next, presented } = this.#result;
    const hasPlace = ended.state === undefined || digestOf(ended.state) === digestOf(presented?.state);
    const isBrought = minted !== undefined || this.#hasNext;
    if (ended.phase !== "E" || session.settings.grant.revoke === undefined || !isBrought || !hasPlace) return undefined;
    const { clock } = session.fleet;
    const record = this.#hasNext ? { ...ended, state: next!.state } : ended;
    if (minted === undefined) return record;
    const token = storedToken(minted, { now: clock.monotonic(), clock, renews: false, quiet: 0 });
    return withTargetRecord(record, fingerprint, { ...targetIn(ended, fingerprint), token });
  }

  /**
   * The record of a session that was signed in before the answer to this mint came: the cookie is not that session's any more.
   * Its tokens are good.
   */
  #withoutCookie(other: FleetRecord): FleetRecord | undefined {
    const { grant } = this.#leader.session.settings;
    if (grant.lateCookie === undefined || this.#result.minted === undefined) return undefined;
    if (other.phase === "E" || other.phase === "R") return undefined;
    const refused = { digest: digestOf(undefined), failure: storedFailure(Failure.of(grant.lateCookie(), "key")) };
    return { ...other, phase: "R", refused };
  }

  /** A record, with the next state in place of the one that was presented. */
  #continued(record: FleetRecord): FleetRecord {
    const { next, presented } = this.#result;
    return withNextState(record, next!.state, remembered(record.used, [digestOf(presented?.state)]));
  }

  /** Writes the record after the store failed. With a state it tries for longer, because a state must not be lost. */
  async #writeLater(record: FleetRecord): Promise<void> {
    const { session } = this.#leader;
    const { clock } = session.fleet;
    session.isUnpublished ||= this.#hasNext;
    for (let tries = this.#hasNext ? LATE_TRIES_WITH_STATE : LATE_TRIES; tries > 0; tries--) {
      // The timer is not held, so the background work does not keep the process alive (C12).
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, TRY_AGAIN));
      if (!session.isCurrent(this.#served)) return this.#overLate();
      try {
        const written = await this.#write(record);
        session.isUnpublished = false;
        if (written === "over") this.#overLate();
        return;
      } catch {
        // The store failed again.
      }
    }
  }
}
