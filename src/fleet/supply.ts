/**
 * One cache's part in a fleet: which record is its, what it last knew of it, whose sign-in it speaks for.
 *
 * @module
 */
import { RemintError, safeCause } from "../base/errors.ts";
import { findState, placesOf } from "./home.ts";
import { Lease } from "./lease.ts";
import { StoreFault } from "./link.ts";
import { recordName } from "./record-name.ts";
import { factsOf, read } from "./record.ts";
import { isSpent, rotated, SignIn } from "./sign-in.ts";
import type { FleetCache } from "../core/supply.ts";
import type { Search } from "./home.ts";
import type { Fleet } from "./link.ts";
import type { Facts, Known, Place, SeenRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";

/** Where the record is, and what it begins with if it is not there. */
export interface Home {
  readonly place: Place;
  readonly facts: Facts;
}

/** The supply of one cache. */
export class FleetSupply {
  readonly fleet: Fleet;
  readonly settings: FleetCache;
  readonly #name: string;
  readonly #signIn: SignIn;
  /** What the record last said, so far as it is carried on: a new one begins with it. */
  #facts: Facts;
  /** The record it last saw, and since when. */
  #watched: { readonly version: string; readonly since: number } | undefined;
  #known: Known | undefined;
  #place: Place | undefined;
  #leftBehind: string | undefined;

  /** @throws {TypeError} When nothing says whose token it is. */
  constructor(fleet: Fleet, settings: FleetCache) {
    this.fleet = fleet;
    this.settings = settings;
    this.#name = recordName(settings);
    this.#signIn = new SignIn(settings.grant.state);
    this.#facts = { mints: 0, strikes: 0, fails: 0, ...this.#signIn.facts };
  }

  refuses(value: string): boolean {
    const known = this.#known;
    if (known?.value !== value || known.version === undefined) return false;
    return this.fleet.clock.monotonic() < known.writtenAt + known.token.quiet;
  }

  accepted(value: string): void {
    const known = this.#known;
    if (known?.value !== value || known.version === undefined || known.facts.strikes === 0) return;
    void this.#forgive(known, known.version);
  }

  /** Tells the fleet that the rejections in a row have ended. Nobody waits: what is not told costs patience, no more. */
  async #forgive(known: Known, version: string): Promise<void> {
    const place = this.#place;
    const { token, writtenAt: at, until } = known;
    const facts = { ...known.facts, strikes: 0 };
    const forgiven = { ...token, quiet: 0 };
    // Its version is not asked for: the next claim reads the record.
    this.#known = { ...known, facts, token: forgiven, version: undefined };
    if (place === undefined || this.fleet.clock.monotonic() >= until) return;
    const lease = new Lease(this.fleet, place, facts, { token: forgiven, at, until }, token.renews);
    await lease.release(version).catch(() => {});
  }

  /** A mint of this grant uses something up. */
  get isStateful(): boolean {
    return this.#facts.state !== undefined;
  }

  /** The token that was last had from the record, or published in it. */
  get known(): Known | undefined {
    return this.#known;
  }

  learn(known: Known): void {
    this.#known = known;
    this.#facts = { ...known.facts, fails: 0 };
    this.#leftBehind = undefined;
    this.#signIn.met(known.facts);
  }

  /** A rejected value that may still be in the record, because its replacement was minted beside the store. */
  get leftBehind(): string | undefined {
    return this.#leftBehind;
  }

  mintsBeside(rejected: string | undefined): void {
    this.#leftBehind = rejected ?? this.#leftBehind;
  }

  async home(flight: Omit<Search, "own">): Promise<Home> {
    const own = this.#facts;
    if (this.#place !== undefined) return { place: this.#place, facts: own };
    const places = await placesOf(this.fleet, this.#name);
    const mayHaveMoved = places.length > 1 && this.isStateful;
    const { place, moved } = mayHaveMoved
      ? await findState(this.fleet, places, { ...flight, own })
      : { place: places[0]! };
    // What has moved is not there yet: until it is, it has to be looked up again.
    if (moved !== undefined) return { place, facts: this.#signIn.replaces(moved) ?? this.#repaired(moved) };
    // Elsewhere it is only for as long as both keys are in use.
    if (place === places[0]) this.#place = place;
    return { place, facts: own };
  }

  /** The record is no longer where it was. @throws {StoreFault} When it is where this process cannot read it. */
  async follow(flight: Omit<Search, "own">): Promise<Home> {
    this.#place = undefined;
    this.#known = undefined;
    if (this.fleet.seals.length > 1) return this.home(flight);
    throw new StoreFault(
      `the fleet has moved to another encryption key: give both, "encryptionKey": [this process's, the other one]`,
    );
  }

  /** Reads a record as this process has to see it. */
  async see(place: Place, entry: StoreEntry): Promise<SeenRecord> {
    if (this.#watched?.version !== entry.version) {
      this.#watched = { version: entry.version, since: this.fleet.clock.monotonic() };
    }
    const seen = await read(place, entry, this.fleet.clock.now());
    const { record } = seen;
    if (record === undefined) return seen;
    const newer = this.#signIn.replaces(record);
    const facts = newer ?? this.#repaired(factsOf(record));
    this.#facts = { ...facts, fails: 0 };
    // Whatever it says is of another session: the lease on it is over.
    if (newer !== undefined) return { ...seen, record: { ...newer, phase: "L", left: 0 } };
    return { ...seen, record: { ...record, ...facts } };
  }

  /** Milliseconds for which the record that was seen last has been the same. */
  get unchangedFor(): number {
    return this.#watched === undefined ? 0 : this.fleet.clock.monotonic() - this.#watched.since;
  }

  /** A state was presented, and this one came of it. */
  presented(from: unknown, to: unknown): void {
    this.#facts = rotated({ ...this.#facts, state: from }, to);
  }

  /**
   * Whether a record has a state that this process knows to be used up: the next one was not written, or the store has
   * lost that.
   */
  isBehind(facts: Facts): boolean {
    return isSpent(facts.state, this.#facts);
  }

  /** With the next state, where a record has one that was used up. */
  #repaired(facts: Facts): Facts {
    if (!this.isBehind(facts)) return facts;
    const { mints, strikes, fails } = facts;
    return { ...this.#facts, mints, strikes, fails };
  }

  /** Tells that the store failed. @returns What callers get who cannot do without it. */
  report(fault: unknown): RemintError {
    const { message, cause } = fault as Error;
    const meaning = this.isStateful
      ? "so no token could be had: what this grant presents may be used once, and only the store knows whether it was"
      : "so this process mints for itself until it is back";
    const error = new RemintError("ERR_STORE", `${message}, ${meaning}`, { cause: safeCause(cause), retryable: true });
    this.settings.notify?.({ name: "store-failed", error });
    return error;
  }
}
