/**
 * One flight of one process: from the need of a token to a token, through the record the fleet shares.
 *
 * Every step is one swap. It either takes the lease, and then this process mints for everybody, or it tells what is there
 * instead, and `decide` says what to do about that. All of it has one time limit, and no path swaps for ever without a
 * pause. When the store fails, a grant without state mints for this process alone; one with a state does not, because a
 * refresh token used beside the store is used twice.
 *
 * @module
 */
import { RemintError } from "../base/errors.ts";
import { decide } from "./decision.ts";
import { lead, mintAlone } from "./lead.ts";
import { Lease } from "./lease.ts";
import { StoreFault } from "./link.ts";
import { adopted, ageOf, factsOf, knownFrom } from "./record.ts";
import { failureOf } from "./shared-failure.ts";
import { pollDelay, Waits } from "./waits.ts";
import type { Obtained, Obtaining, TokenNeed } from "../core/supply.ts";
import type { TokenDemand } from "./decision.ts";
import type { Leader } from "./lead.ts";
import type { KeptToken } from "./lease.ts";
import type { Facts, Known, SeenRecord, TokenRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";
import type { FleetSupply, Home } from "./supply.ts";

/** Swaps without a pause before the store counts as unusable. */
const MOST_TURNS = 8;
/** Of a lease: a process that was held up for longer after taking one gives it back, instead of minting late. */
const TOO_LATE = 0.8;

/** Starts a flight. Never throws; see the top of this file. */
export function startFlight(supply: FleetSupply, need: TokenNeed): Obtaining {
  const waits = new Waits(supply.fleet.clock);
  const promise = new FleetFlight(supply, need, waits).run();
  return { promise, hold: (awaited) => waits.hold(awaited), abandon: (reason) => waits.abandon(reason) };
}

class FleetFlight {
  readonly #member: FleetSupply;
  readonly #need: TokenNeed;
  readonly #waits: Waits;
  /** Monotonic milliseconds: the one time limit of everything. */
  readonly #until: number;

  constructor(member: FleetSupply, need: TokenNeed, waits: Waits) {
    const { fleet, settings } = member;
    this.#member = member;
    this.#need = need;
    this.#waits = waits;
    this.#until = fleet.clock.monotonic() + settings.mintTimeout + fleet.duration + fleet.callTimeout;
  }

  /** @returns `undefined`: the held token is to be used on. @throws {RemintError} */
  async run(): Promise<Obtained | undefined> {
    try {
      return await this.#resolve();
    } catch (error) {
      if (error instanceof StoreFault) return this.#withoutStore(error);
      throw error;
    }
  }

  async #resolve(): Promise<Obtained | undefined> {
    let home = await this.#member.home(this.#search());
    let claim = this.#firstClaim(home);
    let polls = 0;
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      this.#assertTime();
      const readAt = this.#now();
      const { lease, current } = await this.#take(home, claim);
      if (lease !== undefined) return lead(this.#leader(claim.facts.state), lease);
      const roundTrip = this.#now() - readAt;
      const seen = await this.#see(home, current);
      // If there is nothing any more at the next look: what was there last is what goes on.
      if (seen?.record !== undefined) home = { ...home, facts: factsOf(seen.record) };
      const decision = decide(seen, this.#wish());
      if (decision.act === "claim") {
        claim = this.#claim(home, seen, readAt, decision.phase === "R");
      } else if (decision.act === "wait") {
        await this.#waits.sleep(Math.min(pollDelay(polls++, roundTrip), this.#until - this.#now()));
        claim = claimNothing(home.facts);
        turns = 0;
      } else if (decision.act === "follow") {
        home = await this.#member.follow(this.#search());
        claim = claimNothing(home.facts);
      } else {
        return this.#settle(decision.act, seen!, readAt);
      }
    }
    throw new StoreFault("the record changed with every try to replace it");
  }

  #search(): Parameters<FleetSupply["home"]>[0] {
    return { waits: this.#waits, assertTime: () => this.#assertTime() };
  }

  /** Tries to take the lease. */
  async #take(
    { place }: Home,
    claim: LeaseClaim,
  ): Promise<{ readonly lease?: Lease; readonly current?: StoreEntry | undefined }> {
    const { fleet } = this.#member;
    const since = this.#now();
    const lease = new Lease(fleet, place, claim.facts, claim.kept, this.#need.unwanted.length > 0);
    const undo = (version: string | undefined): Promise<void> => lease.release(version);
    const result = await fleet.link.swap(place.key, claim.expected, await lease.compose(), { undo });
    if (!result.ok) return { current: result.current };
    lease.taken(result.version);
    if (this.#now() - since < fleet.duration * TOO_LATE) return { lease };
    await lease.release();
    return {};
  }

  /** C5: by value where there is one to replace; otherwise there must be nothing, which reads what there is. */
  #firstClaim({ facts }: Home): LeaseClaim {
    const { known } = this.#member;
    if (known?.version === undefined || !known.isFree) return claimNothing(facts);
    const now = this.#now();
    const rejects = this.#refuses(known.value);
    // With a token that is over the engine has dropped a record that holds nothing else.
    const isOver = now >= known.until && this.#member.isStateful;
    if (rejects || isOver) return claimKnown(known, now, { rejects, keeps: false });
    if (known.value === this.#need.held?.value) return claimKnown(known, now, { rejects, keeps: true });
    return claimNothing(facts);
  }

  #claim({ facts }: Home, seen: SeenRecord | undefined, readAt: number, keeps: boolean): LeaseClaim {
    if (seen?.record === undefined) return { ...claimNothing(facts), expected: seen?.version };
    const { token } = seen.record;
    const rejects = token !== undefined && this.#refuses(token.response.access_token);
    return claimSeen({ ...seen, record: seen.record }, readAt, { rejects, keeps });
  }

  #see({ place }: Home, current: StoreEntry | undefined): Promise<SeenRecord> | undefined {
    if (current === undefined) return undefined;
    return this.#member.see(place, current);
  }

  #wish(): TokenDemand {
    const { known, fleet, settings } = this.#member;
    const { held } = this.#need;
    return {
      held: held?.value,
      isPatient: this.#isPatient(),
      refuses: (value) => this.#refuses(value),
      known: known === undefined ? undefined : { value: known.value, mints: known.facts.mints },
      isOwed: this.#need.isOwed,
      minValidity: settings.minValidity,
      unchangedFor: this.#member.unchangedFor,
      stuckAfter: 2 * fleet.duration,
    };
  }

  /** What was decided, when it ends the flight. */
  #settle(act: "adopt" | "repeat" | "keep" | "fail", seen: SeenRecord, readAt: number): Obtained | undefined {
    if (act === "keep") return undefined;
    if (act === "fail") throw failureOf(seen.record!.failure!);
    const known = knownFrom(seen.record as TokenRecord, seen.version, readAt - seen.age);
    this.#member.learn(known);
    const token = adopted(known, this.#member.fleet.clock);
    // Nothing newer is to be had: what is said about it is final.
    return act === "repeat" ? { ...token, freshness: "minted" } : token;
  }

  #withoutStore(fault: StoreFault): Obtained | undefined | Promise<Obtained> {
    const error = this.#member.report(fault);
    if (this.#isPatient()) return undefined;
    if (this.#member.isStateful) throw error;
    this.#member.mintsBeside(this.#need.unwanted.at(-1));
    return mintAlone(this.#leader(this.#need.state));
  }

  #leader(state: unknown): Leader {
    const { settings } = this.#member;
    const mintTimeout = Math.max(1, Math.min(settings.mintTimeout, this.#until - this.#now()));
    const refuses = (value: string): boolean => this.#refuses(value);
    return { member: this.#member, need: this.#need, waits: this.#waits, mintTimeout, state, refuses };
  }

  /** Nobody has to wait: the held token serves. */
  #isPatient(): boolean {
    const { held, isUrgent } = this.#need;
    return held !== undefined && !isUrgent && !this.#refuses(held.value);
  }

  #refuses(value: string): boolean {
    const { unwanted, rejected } = this.#need;
    return unwanted.includes(value) || rejected.has(value) || this.#member.leftBehind === value;
  }

  #assertTime(): void {
    this.#waits.assertWanted();
    if (this.#now() < this.#until) return;
    const message = "no token in time: other processes of the fleet held the lease and published none";
    throw new RemintError("ERR_STORE", message, { retryable: true });
  }

  #now(): number {
    return this.#member.fleet.clock.monotonic();
  }
}

// MERGED What a process tries to replace, and what it carries over from it.
/** One attempt to take the lease. */
export interface LeaseClaim {
  /** The version to replace; `undefined`: there must be nothing. */
  readonly expected: string | undefined;
  readonly facts: Facts;
  /** The record's token, which stays good while it is being refreshed. */
  readonly kept?: KeptToken | undefined;
}

/** Milliseconds a token has to be good for its rejection not to be one of a row (C8). */
const LONG_ENOUGH = 60_000;

/** There must be nothing: this reads what there is, and begins the record if there is nothing indeed. */
export function claimNothing(facts: Facts): LeaseClaim {
  return { expected: undefined, facts };
}

/** C5: replaces by value what this process last had. */
export function claimKnown(known: Known, now: number, options: { rejects: boolean; keeps: boolean }): LeaseClaim {
  const { version: expected, token, writtenAt: at, until } = known;
  const facts = counted(known.facts, ageOf(known, now), options.rejects);
  return { expected, facts, kept: options.keeps ? { token, at, until } : undefined };
}

/** Replaces what was read. @param readAt Monotonic milliseconds at which it was asked for. */
export function claimSeen(
  seen: SeenRecord & { readonly record: object },
  readAt: number,
  options: { rejects: boolean; keeps: boolean },
): LeaseClaim {
  const { version: expected, record, age } = seen;
  const { token } = record;
  // Without a token it is a lease, or a failure: who took that has counted.
  if (token === undefined) return { expected, facts: factsOf(record) };
  const at = readAt - age;
  const facts = counted(factsOf(record), token.age + age, options.rejects);
  return { expected, facts, kept: options.keeps ? { token, at, until: at + record.left } : undefined };
}

/** C8: the rejections in a row, this one included. */
function counted(facts: Facts, age: number, rejects: boolean): Facts {
  const strikes = age >= LONG_ENOUGH ? 0 : facts.strikes;
  return { ...facts, strikes: rejects ? strikes + 1 : strikes };
}
