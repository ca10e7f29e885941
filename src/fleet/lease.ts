/**
 * The lease: the right of one process to mint for the fleet, from the moment it is taken until it is given back.
 *
 * A lease is one record that only its holder writes. It ends some time after its last heartbeat, by the clock of the
 * engine, so another process can take over from a holder that died. Every write of the holder is a swap against its own
 * last version: a holder that lost its lease notices when it writes, and has written nothing. While a valid token is
 * refreshed, the record keeps that token in phase `R`. Without a token it is in phase `L`.
 *
 * What is minted under a lease, and what happens when the lease is lost, is in lead.ts.
 *
 * @module
 */
import { stateLeftBy } from "../base/left-state.ts";
import { withoutCredentials } from "../base/redacted.ts";
import { delayAfter, type Failure } from "../core/failures.ts";
import { pauseAfter } from "../core/storm-guard.ts";
import { write } from "./record.ts";
import { storedFailure } from "./shared-failure.ts";
import { rotated } from "./sign-in.ts";
import type { Timer } from "../base/clock.ts";
import type { Minted } from "../core/mint.ts";
import type { Fleet } from "./link.ts";
import type { Facts, FleetRecord, Place, StoredToken, TokenRecord, Written } from "./record.ts";
import type { SwapResult } from "./store.ts";

/** The lease of one process. */
export class Lease {
  readonly place: Place;
  readonly #fleet: Fleet;
  readonly #facts: Facts;
  readonly #kept: KeptToken | undefined;
  readonly #replacesRejected: boolean;
  #version: string | undefined;
  /** All texts that this lease has written, to recognize a write that was done after its call had timed out. */
  readonly #writtenTexts = new Set<string>();
  #timer: Timer | undefined;
  #heartbeat: Promise<void> = Promise.resolve();
  #isEnded = false;

  /**
   * @param kept The token of the record, if it stays valid while it is refreshed.
   * @param replacesRejected Whether the mint replaces a rejected token.
   */
  constructor(fleet: Fleet, place: Place, facts: Facts, kept: KeptToken | undefined, replacesRejected: boolean) {
    this.#fleet = fleet;
    this.place = place;
    this.#facts = facts;
    this.#kept = kept;
    this.#replacesRejected = replacesRejected;
  }

  /** Composes the record that takes the lease, or that renews it. */
  async compose(): Promise<Written> {
    const { duration } = this.#fleet;
    const record: FleetRecord =
      this.#kept === undefined
        ? { ...this.#facts, phase: "L", left: duration }
        : { ...this.#keptRecord(this.#kept), phase: "R", lease: duration };
    const written = await this.#encode(record);
    this.#writtenTexts.add(written.text);
    return written;
  }

  /** Starts the heartbeats, once the lease is taken. @param version The version of the record that took it. */
  begin(version: string | undefined): void {
    this.#version = version;
    this.#scheduleHeartbeat();
  }

  /** Composes the record of a token that was minted under this lease, as of now. */
  recordOf({ response, lifetime, expiresAt }: Minted): TokenRecord {
    const { access_token, state } = response;
    const before = { ...this.#facts, mints: this.#facts.mints + 1, fails: 0 };
    const facts = state === undefined ? before : rotated(before, state);
    const token: StoredToken = {
      response: { ...withoutCredentials(response), access_token },
      lifetime,
      age: 0,
      renews: this.#replacesRejected,
      quiet: pauseAfter(facts.strikes),
    };
    return { ...facts, phase: "T", left: expiresAt - this.#fleet.clock.now(), token };
  }

  /** Ends the lease with this record. The swap is refused if another process has taken the lease. */
  async publish(record: TokenRecord): Promise<SwapResult> {
    await this.#stopHeartbeats();
    return this.replace(this.#version, record);
  }

  /** Writes a record over a given version: the version of this lease, or the version of a record that must not stay. */
  async replace(version: string | undefined, record: FleetRecord): Promise<SwapResult> {
    const next = await this.#encode(record);
    return this.#swap(version, next);
  }

  /**
   * Ends the lease with the record of a failed mint. The record keeps a token that is still valid, and the state that
   * the failed mint left.
   */
  async fail(error: Failure): Promise<void> {
    await this.#stopHeartbeats();
    const left = stateLeftBy(error);
    const facts = left === undefined ? this.#facts : rotated(this.#facts, left);
    const fails = facts.fails + 1;
    const failure = storedFailure(error);
    const isTerminal = failure.terminal === true;
    const delay = Math.min(delayAfter(error, fails, this.#kept === undefined), this.#fleet.stateTtl);
    const record: FleetRecord =
      this.#kept === undefined
        ? { ...facts, fails, phase: "F", left: delay, failure }
        : {
            ...this.#keptRecord(this.#kept),
            ...facts,
            fails,
            phase: "T",
            pause: delay,
            // A terminal failure stays beside the token, so that no process mints before the user signs in again.
            ...(isTerminal && { failure }),
          };
    await this.replace(this.#version, record);
  }

  /**
   * Ends the lease without a mint and restores the record as it was before.
   *
   * @param version The version of the lease, for a swap that was done after its call had timed out.
   */
  async release(version: string | undefined = this.#version): Promise<void> {
    await this.#stopHeartbeats();
    if (this.#kept !== undefined) await this.replace(version, { ...this.#keptRecord(this.#kept), phase: "T" });
    // A state must not be deleted. A lease of length zero keeps it, and every process can take the lease.
    else if (this.#facts.state !== undefined) await this.replace(version, { ...this.#facts, phase: "L", left: 0 });
    else await this.#swap(version, undefined);
  }

  /** A swap of the holder: it is also sent while calls to the store are paused. */
  async #swap(version: string | undefined, next: Written | undefined): Promise<SwapResult> {
    const { link } = this.#fleet;
    const { key } = this.place;
    const result = await link.swap(key, version, next, { ignoresPause: true });
    if (result.ok || result.current === undefined || !this.#writtenTexts.has(result.current.value)) return result;
    // The record is a heartbeat of this lease whose call had timed out and that was written after all.
    return link.swap(key, result.current.version, next, { ignoresPause: true });
  }

  #keptRecord({ token, at, until }: KeptToken): Omit<FleetRecord, "phase"> {
    const now = this.#fleet.clock.monotonic();
    const aged = { ...token, age: token.age + now - at, quiet: Math.max(0, token.quiet - (now - at)) };
    return { ...this.#facts, left: until - now, token: aged };
  }

  #encode(record: FleetRecord): Promise<Written> {
    const { clock, stateTtl } = this.#fleet;
    // The later of the two ends: a lease may outlast the token that is being refreshed under it.
    const usefulFor = Math.max(record.left, record.lease ?? 0);
    // A record with a state is kept for the sake of the state. Its phase ends at `left`, like that of any record.
    const ttl = record.state === undefined ? usefulFor : Math.max(stateTtl, usefulFor);
    return write(this.place, record, ttl, clock.now());
  }

  #scheduleHeartbeat(): void {
    if (this.#isEnded) return;
    const { clock, duration } = this.#fleet;
    this.#timer = clock.setTimeout(() => {
      this.#heartbeat = this.#sendHeartbeat().catch(() => this.#scheduleHeartbeat());
    }, duration / 3);
  }

  async #sendHeartbeat(): Promise<void> {
    const result = await this.#swap(this.#version, await this.compose());
    // Another process has taken the lease. The heartbeats end, and the final write of this lease will be refused.
    if (!result.ok) return;
    this.#version = result.version;
    this.#scheduleHeartbeat();
  }

  /** Stops the heartbeats and waits for the last one, because the next write needs the version that it leaves. */
  async #stopHeartbeats(): Promise<void> {
    this.#isEnded = true;
    this.#timer?.cancel();
    await this.#heartbeat;
  }
}

/** A token that stays valid while it is refreshed. */
export interface KeptToken {
  readonly token: StoredToken;
  /** The monotonic milliseconds at which `token.age` and `token.quiet` were true. */
  readonly at: number;
  /** The monotonic milliseconds at which the token expires. */
  readonly until: number;
}
