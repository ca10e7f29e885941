/**
 * The supply of one cache in a fleet: which record is the cache's, what the cache last knew of it, and for which
 * sign-in the cache speaks.
 *
 * It starts no mint and takes no lease; flight.ts does this for each need of a token. Where a record lies is in
 * home.ts, whose session it holds in sign-in.ts, what it contains in record.ts.
 *
 * @module
 */
import { RemintError, safeCause } from "../base/errors.ts";
import { Failure } from "../core/failures.ts";
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

/** The supply of one cache. */
export class FleetSupply {
  readonly fleet: Fleet;
  readonly settings: FleetCache;
  readonly #name: string;
  readonly #signIn: SignIn;
  /** The facts that the record last had. A new record begins with them. */
  #facts: Facts;
  /** The version of the record that was read last, and the monotonic time at which this process first read it. */
  #lastRead: { readonly version: string; readonly since: number } | undefined;
  #known: Known | undefined;
  /** The place of the record, once it is certain. */
  #place: Place | undefined;
  #rejectedInRecord: string | undefined;

  /** @throws {TypeError} When neither the grant nor a pool says whose token it is. */
  constructor(fleet: Fleet, settings: FleetCache) {
    this.fleet = fleet;
    this.settings = settings;
    this.#name = recordName(settings);
    this.#signIn = new SignIn(settings.grant.state);
    this.#facts = { mints: 0, strikes: 0, fails: 0, ...this.#signIn.facts };
  }

  /**
   * Whether the fleet still declines to replace this token. It does so for a time after a mint that followed several
   * rejections in a row (C8).
   */
  refuses(value: string): boolean {
    const known = this.#known;
    if (known?.value !== value || known.version === undefined) return false;
    return this.fleet.clock.monotonic() < known.writtenAt + known.token.quiet;
  }

  /** Ends the row of rejections: the APIs that rejected the token before this one have accepted this one (C8). */
  accepted(value: string): void {
    const known = this.#known;
    if (known?.value !== value || known.version === undefined || known.facts.strikes === 0) return;
    void this.#resetStrikes(known, known.version);
  }

  /**
   * Sets the count of rejections in the record to zero. No caller waits for this. If the write fails, the next renewal
   * only comes later than it could.
   */
  async #resetStrikes(known: Known, version: string): Promise<void> {
    const place = this.#place;
    const { token, writtenAt: at, until } = known;
    const facts = { ...known.facts, strikes: 0 };
    const withoutPause = { ...token, quiet: 0 };
    // The version of the record that is written below is not kept. The next flight reads the record instead.
    this.#known = { ...known, facts, token: withoutPause, version: undefined };
    if (place === undefined || this.fleet.clock.monotonic() >= until) return;
    const lease = new Lease(this.fleet, place, facts, { token: withoutPause, at, until }, token.renews);
    await lease.release(version).catch(() => {});
  }

  /** Whether a mint of this grant uses up a state, such as a rotating refresh token. */
  get isStateful(): boolean {
    return this.#facts.state !== undefined;
  }

  /** The token that this process last took from the record, or published in it. */
  get known(): Known | undefined {
    return this.#known;
  }

  /** Keeps what this process now knows of the record's token. */
  remember(known: Known): void {
    this.#known = known;
    this.#facts = { ...known.facts, fails: 0 };
    this.#rejectedInRecord = undefined;
    this.#signIn.met(known.facts);
  }

  /** A rejected token that the record may still hold, because this process replaced it while the store failed. */
  get rejectedInRecord(): string | undefined {
    return this.#rejectedInRecord;
  }

  /** Records that this process mints without the store, to replace the token `rejected` if there is one. */
  noteMintWithoutStore(rejected: string | undefined): void {
    this.#rejectedInRecord = rejected ?? this.#rejectedInRecord;
  }

  /** Finds the place of the record, under the current encryption key or under an earlier one. */
  async locate(flight: Omit<Search, "own">): Promise<RecordLocation> {
    const own = this.#facts;
    if (this.#place !== undefined) return { place: this.#place, facts: own };
    const places = await placesOf(this.fleet, this.#name);
    const mayHaveMoved = places.length > 1 && this.isStateful;
    const { place, moved } = mayHaveMoved
      ? await findState(this.fleet, places, { ...flight, own })
      : { place: places[0]! };
    // The record is on its way to this place. Until it is written here, every flight has to search again.
    if (moved !== undefined) return { place, facts: this.#signIn.replaces(moved) ?? this.#withLatestState(moved) };
    // A place under another key than the first is not kept, because the record leaves it when the key is changed.
    if (place === places[0]) this.#place = place;
    return { place, facts: own };
  }

  /**
   * Finds the record again after it was moved to another encryption key.
   *
   * @throws {StoreFault} When this process does not have the other key.
   */
  async relocate(flight: Omit<Search, "own">): Promise<RecordLocation> {
    this.#place = undefined;
    this.#known = undefined;
    if (this.fleet.seals.length > 1) return this.locate(flight);
    throw new StoreFault(
      `the record has moved to another encryption key: give both, "encryptionKey": [this process's key, the other key]`,
    );
  }

  /**
   * Opens a record and corrects what this process knows better: a record of an older sign-in counts as a lease that has
   * ended, and a state that was used up is replaced by the one that came of it.
   */
  async readRecord(place: Place, entry: StoreEntry): Promise<SeenRecord> {
    if (this.#lastRead?.version !== entry.version) {
      this.#lastRead = { version: entry.version, since: this.fleet.clock.monotonic() };
    }
    const seen = await read(place, entry, this.fleet.clock.now());
    const { record } = seen;
    if (record === undefined) return seen;
    const newer = this.#signIn.replaces(record);
    const facts = newer ?? this.#withLatestState(factsOf(record));
    this.#facts = { ...facts, fails: 0 };
    if (newer !== undefined) return { ...seen, record: { ...newer, phase: "L", left: 0 } };
    return { ...seen, record: { ...record, ...facts } };
  }

  /** Milliseconds for which the record has not changed, as far as this process has seen. */
  get unchangedFor(): number {
    return this.#lastRead === undefined ? 0 : this.fleet.clock.monotonic() - this.#lastRead.since;
  }

  /** Records that a mint used up the state `from` and returned the state `to`. */
  noteRotation(from: unknown, to: unknown): void {
    this.#facts = rotated({ ...this.#facts, state: from }, to);
  }

  /**
   * Whether the state in a record was used up, as far as this process knows. This happens when the next state was not
   * written, or when the store lost the write.
   */
  hasUsedUpState(facts: Facts): boolean {
    return isSpent(facts.state, this.#facts);
  }

  #withLatestState(facts: Facts): Facts {
    if (!this.hasUsedUpState(facts)) return facts;
    const { mints, strikes, fails } = facts;
    return { ...this.#facts, mints, strikes, fails };
  }

  /** Reports a failure of the store to `onEvent`. @returns The failure for callers that cannot get a token without it. */
  reportStoreFailure(fault: unknown): Failure {
    const { message, cause } = fault as Error;
    const consequence = this.isStateful
      ? "so no token is available: the state of this grant (a refresh token) can be used once, and only the store knows " +
        "whether it was used"
      : "so this process mints for itself until the store works again";
    const text = "no token is available: the store through which processes share tokens failed";
    const facts = { code: "ERR_STORE", message: text, hint: `${message}, ${consequence}`, retryable: true } as const;
    const failure = Failure.of(new RemintError(facts.code, text, { ...facts, cause: safeCause(cause) }), "key");
    this.settings.notify?.({ name: "store-failed", error: failure.toError() });
    return failure;
  }
}

/** Where the record of a cache is, and with which facts a new record begins if there is none. */
export interface RecordLocation {
  readonly place: Place;
  readonly facts: Facts;
}
