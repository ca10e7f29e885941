/**
 * One flight of one process: from the need of a token to a token, through the record that the fleet shares.
 *
 * Every step is one swap. Either the swap takes the lease, and then this process mints for the fleet (lead.ts). Or the
 * swap is refused and returns the record that is stored, and `decide` (decision.ts) says what to do about that record.
 * One time limit covers all steps, and the number of swaps without a pause is limited. When the store fails, a grant
 * without state mints for this process alone. A grant with a state fails instead, because a refresh token that is used
 * without the store can be used twice.
 *
 * @module
 */
import { isRemintError, RemintError, safeCause } from "../base/errors.ts";
import { Failure } from "../core/failures.ts";
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
import type { FleetSupply, RecordLocation } from "./supply.ts";

/** Starts a flight. Never throws: every failure rejects the promise. */
export function startFlight(supply: FleetSupply, need: TokenNeed): Obtaining {
  const waits = new Waits(supply.fleet.clock);
  const promise = new FleetFlight(supply, need, waits).run();
  return { promise, hold: (awaited) => waits.hold(awaited), abandon: (reason) => waits.abandon(reason) };
}

/** The number of swaps without a pause after which the store counts as unusable. */
const MOST_SWAPS_IN_A_ROW = 8;
/**
 * A part of the lease. A process that was held up for longer than this part while it took the lease gives the lease
 * back, because its mint would run past the end of the lease.
 */
const TOO_LATE = 0.8;
const UNKNOWN = "no token is available: the record that processes share could not be read or written";

class FleetFlight {
  readonly #supply: FleetSupply;
  readonly #need: TokenNeed;
  readonly #waits: Waits;
  /** The time limit of the whole flight, in monotonic milliseconds. */
  readonly #until: number;

  constructor(supply: FleetSupply, need: TokenNeed, waits: Waits) {
    const { fleet, settings } = supply;
    this.#supply = supply;
    this.#need = need;
    this.#waits = waits;
    this.#until = fleet.clock.monotonic() + settings.mintTimeout + fleet.duration + fleet.callTimeout;
  }

  /**
   * @returns The token; `undefined`: the cache goes on with the token that it holds.
   * @throws {Failure} When no token can be had.
   */
  async run(): Promise<Obtained | undefined> {
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
    let location = await this.#supply.locate(this.#search());
    let claim = this.#firstClaim(location);
    let polls = 0;
    for (let swaps = 0; swaps < MOST_SWAPS_IN_A_ROW; swaps++) {
      this.#assertTimeLeft();
      const readAt = this.#now();
      const { lease, current } = await this.#tryLease(location, claim);
      if (lease !== undefined) return lead(this.#leader(claim.facts.state), lease);
      const roundTrip = this.#now() - readAt;
      const seen = await this.#readRecord(location, current);
      // The facts are kept, so that a new record continues them if this one is gone at the next swap.
      if (seen?.record !== undefined) location = { ...location, facts: factsOf(seen.record) };
      const decision = decide(seen, this.#demand());
      if (decision.act === "claim") {
        claim = this.#nextClaim(location, seen, readAt, decision.phase === "R");
      } else if (decision.act === "wait") {
        await this.#waits.sleep(Math.min(pollDelay(polls++, roundTrip), this.#until - this.#now()));
        claim = claimAbsentRecord(location.facts);
        swaps = 0;
      } else if (decision.act === "follow") {
        location = await this.#supply.relocate(this.#search());
        claim = claimAbsentRecord(location.facts);
      } else {
        return this.#outcomeOf(decision.act, seen!, readAt);
      }
    }
    throw new StoreFault("the record changed with every try to replace it");
  }

  #search(): Parameters<FleetSupply["locate"]>[0] {
    return { waits: this.#waits, assertTime: () => this.#assertTimeLeft() };
  }

  /** Tries to take the lease. @returns The lease, or the entry that is stored instead. */
  async #tryLease(
    { place }: RecordLocation,
    claim: LeaseClaim,
  ): Promise<{ readonly lease?: Lease; readonly current?: StoreEntry | undefined }> {
    const { fleet } = this.#supply;
    const since = this.#now();
    const lease = new Lease(fleet, place, claim.facts, claim.kept, this.#need.unwanted.length > 0);
    const undo = (version: string | undefined): Promise<void> => lease.release(version);
    const result = await fleet.link.swap(place.key, claim.expected, await lease.compose(), { undo });
    if (!result.ok) return { current: result.current };
    lease.begin(result.version);
    if (this.#now() - since < fleet.duration * TOO_LATE) return { lease };
    await lease.release();
    return {};
  }

  /**
   * The first claim of a flight. If this process knows a token that has to be replaced, the claim replaces it by value,
   * without a read before (C5). Otherwise the claim expects no record, and so reads the record if there is one.
   */
  #firstClaim({ facts }: RecordLocation): LeaseClaim {
    const { known } = this.#supply;
    if (known?.version === undefined || !known.isFree) return claimAbsentRecord(facts);
    const now = this.#now();
    const rejects = this.#isUnwanted(known.value);
    // The engine has removed the record of an expired token, unless the record holds a state.
    const isOver = now >= known.until && this.#supply.isStateful;
    if (rejects || isOver) return claimKnownRecord(known, now, { rejects, keeps: false });
    if (known.value === this.#need.held?.value) return claimKnownRecord(known, now, { rejects, keeps: true });
    return claimAbsentRecord(facts);
  }

  #nextClaim({ facts }: RecordLocation, seen: SeenRecord | undefined, readAt: number, keeps: boolean): LeaseClaim {
    if (seen?.record === undefined) return { ...claimAbsentRecord(facts), expected: seen?.version };
    const { token } = seen.record;
    const rejects = token !== undefined && this.#isUnwanted(token.response.access_token);
    return claimReadRecord({ ...seen, record: seen.record }, readAt, { rejects, keeps });
  }

  #readRecord({ place }: RecordLocation, current: StoreEntry | undefined): Promise<SeenRecord> | undefined {
    if (current === undefined) return undefined;
    return this.#supply.readRecord(place, current);
  }

  #demand(): TokenDemand {
    const { known, fleet, settings } = this.#supply;
    const { held } = this.#need;
    return {
      held: held?.value,
      isBackground: this.#isBackground(),
      isUnwanted: (value) => this.#isUnwanted(value),
      known: known === undefined ? undefined : { value: known.value, mints: known.facts.mints },
      mustBeFresh: this.#need.mustBeFresh,
      minValidity: settings.minValidity,
      unchangedFor: this.#supply.unchangedFor,
      stuckAfter: 2 * fleet.duration,
    };
  }

  /** The outcome of the flight after a decision that ends it. */
  #outcomeOf(act: "adopt" | "reuse" | "keep" | "fail", seen: SeenRecord, readAt: number): Obtained | undefined {
    if (act === "keep") return undefined;
    if (act === "fail") throw failureOf(seen.record!.failure!);
    const known = knownFrom(seen.record as TokenRecord, seen.version, readAt - seen.age);
    this.#supply.remember(known);
    const token = adopted(known, this.#supply.fleet.clock);
    // A reused token counts as newly minted: no newer token exists, so another rejection of it is final.
    return act === "reuse" ? { ...token, freshness: "minted" } : token;
  }

  #withoutStore(fault: StoreFault): Obtained | undefined | Promise<Obtained> {
    const failure = this.#supply.reportStoreFailure(fault);
    if (this.#isBackground()) return undefined;
    if (this.#supply.isStateful) throw failure;
    this.#supply.noteMintWithoutStore(this.#need.unwanted.at(-1));
    return mintAlone(this.#leader(this.#need.state));
  }

  #leader(state: unknown): Leader {
    const { settings } = this.#supply;
    const mintTimeout = Math.max(1, Math.min(settings.mintTimeout, this.#until - this.#now()));
    const refuses = (value: string): boolean => this.#isUnwanted(value);
    return { supply: this.#supply, need: this.#need, waits: this.#waits, mintTimeout, state, refuses };
  }

  /** Whether no caller has to wait, because the held token serves them. */
  #isBackground(): boolean {
    const { held, isUrgent } = this.#need;
    return held !== undefined && !isUrgent && !this.#isUnwanted(held.value);
  }

  /** Whether this token was rejected or invalidated. */
  #isUnwanted(value: string): boolean {
    const { unwanted, rejected } = this.#need;
    return unwanted.includes(value) || rejected.has(value) || this.#supply.rejectedInRecord === value;
  }

  #assertTimeLeft(): void {
    this.#waits.assertNotAbandoned();
    if (this.#now() < this.#until) return;
    const message = "no token is available: other processes did not deliver one in time";
    const hint = "other processes of the fleet held the lease and published no token";
    throw new Failure("key", { code: "ERR_STORE", message, hint, retryable: true });
  }

  #now(): number {
    return this.#supply.fleet.clock.monotonic();
  }
}

/** One attempt to take the lease: which record it replaces, and what the new record takes over from that record. */
interface LeaseClaim {
  /** The version to replace; `undefined`: there must be no record. */
  readonly expected: string | undefined;
  readonly facts: Facts;
  /** The token of the replaced record, if it stays valid while it is refreshed. */
  readonly kept?: KeptToken | undefined;
}

/** Expects no record. If there is one, the swap is refused and returns it, so this claim also serves as a read. */
function claimAbsentRecord(facts: Facts): LeaseClaim {
  return { expected: undefined, facts };
}

/** How a claim treats the token of the record that it replaces. */
interface ClaimOptions {
  /** The token was rejected. */
  readonly rejects: boolean;
  /** The token stays in the record while it is refreshed. */
  readonly keeps: boolean;
}

/** Replaces the record whose token this process knows from an earlier flight, by value (C5). */
function claimKnownRecord(known: Known, now: number, options: ClaimOptions): LeaseClaim {
  const { version: expected, token, writtenAt: at, until } = known;
  const facts = withStrikes(known.facts, ageOf(known, now), options.rejects);
  return { expected, facts, kept: options.keeps ? { token, at, until } : undefined };
}

/** Replaces the record that was just read. @param readAt Monotonic milliseconds at which the read began. */
function claimReadRecord(
  seen: SeenRecord & { readonly record: object },
  readAt: number,
  options: ClaimOptions,
): LeaseClaim {
  const { version: expected, record, age } = seen;
  const { token } = record;
  // A record without a token is a lease or a failure. Its writer has counted the rejection already.
  if (token === undefined) return { expected, facts: factsOf(record) };
  const at = readAt - age;
  const facts = withStrikes(factsOf(record), token.age + age, options.rejects);
  return { expected, facts, kept: options.keeps ? { token, at, until: at + record.left } : undefined };
}

/** A token that was valid for so many milliseconds ends the row of rejections (C8). */
const ENDS_STRIKES = 60_000;

/** Counts the rejections in a row, including this one if the token was rejected (C8). */
function withStrikes(facts: Facts, age: number, rejects: boolean): Facts {
  const strikes = age >= ENDS_STRIKES ? 0 : facts.strikes;
  return { ...facts, strikes: rejects ? strikes + 1 : strikes };
}
