/**
 * One cache's part in a fleet: which record is its, what it last knew of it, whose sign-in it speaks for.
 *
 * @module
 */
import { RemintError, safeCause } from "../errors.ts";
import { FleetFlight } from "./flight.ts";
import { findState, placesOf } from "./home.ts";
import { read, type Facts, type Place, type SeenRecord } from "./record.ts";
import { SignIn } from "./sign-in.ts";
import { StoreFault } from "./store-link.ts";
import { Waits } from "./waits.ts";
import type { StoreEntry } from "../stores/store.ts";
import type { FleetMember, Obtaining, TokenNeed, TokenSupply } from "../token-supply.ts";
import type { Fleet } from "./fleet.ts";
import type { Known } from "./memory.ts";

/** Where the record is, and what it begins with if it is not there. */
export interface Home {
  readonly place: Place;
  readonly facts: Facts;
}

/** The supply of one cache. */
export class Member implements TokenSupply {
  readonly fleet: Fleet;
  readonly settings: FleetMember;
  readonly #signIn: SignIn;
  #known: Known | undefined;
  #place: Place | undefined;
  #leftBehind: string | undefined;
  /** The last state this process used up, as JSON, and what came of it. */
  #rotated: { readonly from: string | undefined; readonly to: unknown } | undefined;

  constructor(fleet: Fleet, settings: FleetMember) {
    this.fleet = fleet;
    this.settings = settings;
    this.#signIn = new SignIn(settings.grant.state, fleet.seals);
  }

  start(need: TokenNeed): Obtaining {
    const waits = new Waits(this.fleet.clock);
    const promise = new FleetFlight(this, need, waits).run();
    return { promise, hold: (awaited) => waits.hold(awaited), abandon: (reason) => waits.abandon(reason) };
  }

  refuses(value: string): boolean {
    const known = this.#known;
    if (known?.value !== value || known.version === undefined) return false;
    return this.fleet.clock.monotonic() < known.writtenAt + known.token.quiet;
  }

  /** A mint of this grant uses something up. */
  get isStateful(): boolean {
    return this.#state() !== undefined;
  }

  /** The token that was last had from the record, or published in it. */
  get known(): Known | undefined {
    return this.#known;
  }

  learn(known: Known): void {
    this.#known = known;
    this.#leftBehind = undefined;
  }

  /** A rejected value that may still be in the record, because its replacement was minted beside the store. */
  get leftBehind(): string | undefined {
    return this.#leftBehind;
  }

  mintsBeside(rejected: string | undefined): void {
    this.#leftBehind = rejected ?? this.#leftBehind;
  }

  async home(waits: Waits): Promise<Home> {
    const facts = await this.#ownFacts();
    if (this.#place !== undefined) return { place: this.#place, facts };
    const places = await placesOf(this.fleet, this.settings.name);
    const mayHaveMoved = places.length > 1 && this.isStateful;
    const { place, moved } = mayHaveMoved ? await findState(this.fleet, places, waits) : { place: places[0]! };
    // What has moved is not there yet: until it is, it has to be looked up again.
    if (moved === undefined) this.#place = place;
    return { place, facts: moved ?? facts };
  }

  /** The record is no longer where it was. @throws {StoreFault} When it is where this process can not read it. */
  async follow(waits: Waits): Promise<Home> {
    this.#place = undefined;
    this.#known = undefined;
    if (this.fleet.seals.length > 1) return this.home(waits);
    throw new StoreFault(
      `the fleet has moved to another encryption key: give both, "encryptionKey": [this process's, the other one]`,
    );
  }

  /** Reads a record as this process has to see it. */
  async see(place: Place, entry: StoreEntry): Promise<SeenRecord> {
    const seen = await read(place, entry, this.fleet.clock.now());
    const { record } = seen;
    if (record === undefined) return seen;
    const newer = await this.#signIn.replaces(record);
    // Whatever it says is of another session: the lease on it is over.
    if (newer !== undefined) return { ...seen, record: { ...newer, phase: "L", left: 0 } };
    return this.usesUp(record) ? { ...seen, record: { ...record, state: this.#rotated!.to } } : seen;
  }

  /** A state was presented, and this one came of it. */
  presented(from: unknown, to: unknown): void {
    const before = JSON.stringify(from);
    if (JSON.stringify(to) !== before) this.#rotated = { from: before, to };
  }

  /** Whether a record still has the state that this process has used up: then it has the only next one. */
  usesUp({ state }: Facts): boolean {
    return this.#rotated !== undefined && JSON.stringify(state) === this.#rotated.from;
  }

  /** Tells that the store failed. @returns What callers get who can not do without it. */
  report(fault: unknown): RemintError {
    const { message, cause } = fault as Error;
    const meaning = this.isStateful
      ? "so no token could be had: what this grant presents may be used once, and only the store knows whether it was"
      : "so this process mints for itself until it is back";
    const error = new RemintError("ERR_STORE", `${message}, ${meaning}`, { cause: safeCause(cause), retryable: true });
    this.settings.notify?.({ name: "store-failed", error });
    return error;
  }

  /** What a new record begins with. */
  async #ownFacts(): Promise<Facts> {
    const { mints = 0, strikes = 0, oldSeeds } = this.#known?.facts ?? {};
    const state = this.#state();
    const signIn = await this.#signIn.facts();
    return {
      mints,
      strikes,
      fails: 0,
      ...signIn,
      ...(state !== undefined && { state }),
      ...(oldSeeds && { oldSeeds }),
    };
  }

  #state(): unknown {
    return this.#rotated?.to ?? this.#known?.facts.state ?? this.settings.grant.state;
  }
}
