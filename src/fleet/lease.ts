/**
 * The lease: the right of one process to mint for the fleet, from the moment it is taken until it is given back.
 *
 * A lease is the record itself in phase `L`, which only its holder writes. It ends some time after its last heartbeat, by
 * the clock of the engine, so another process can take over from a holder that died. Every write of the holder is a swap
 * against its own last version: a holder that lost its lease notices when it writes, and has written nothing. The tokens of
 * the record stay in it, so that they serve everybody while one of them is replaced.
 *
 * What is minted under a lease, and what happens when the lease is lost, is in lead.ts.
 *
 * @module
 */
import { encode } from "./record.ts";
import type { Timer } from "../base/clock.ts";
import type { Fleet } from "./link.ts";
import type { FleetRecord, Written } from "./record.ts";
import type { SwapResult } from "./store.ts";

/**
 * A part of the lease. A process that was held up for longer than this part must not send a request any more, because its
 * mint would run past the end of the lease.
 */
const TOO_LATE = 0.8;
/** Milliseconds after a heartbeat that failed before the next one. */
const AFTER_FAILURE = 1000;

/** The lease of one process. */
export class Lease {
  readonly #fleet: Fleet;
  readonly #key: string;
  readonly #holder: string;
  /** What the record holds beside the lease. */
  #record: FleetRecord;
  #version: string | undefined;
  /** When the lease was renewed last, by both clocks: a machine may have slept. */
  #renewedAt = { wall: 0, monotonic: 0 };
  /** All texts that this lease has written, to recognize a write that was done after its call had timed out. */
  readonly #writtenTexts = new Set<string>();
  #timer: Timer | undefined;
  #heartbeat: Promise<void> = Promise.resolve();
  #isEnded = false;
  #onLost: (() => void) | undefined;

  /**
   * @param record The content of the record. The lease is added to it.
   * @param onLost Called once when another process has taken the lease.
   */
  constructor(fleet: Fleet, key: string, holder: string, record: FleetRecord, onLost: () => void) {
    this.#fleet = fleet;
    this.#key = key;
    this.#holder = holder;
    this.#record = record;
    this.#onLost = onLost;
  }

  /** The content of the record, without the lease. */
  get record(): FleetRecord {
    return this.#record;
  }

  /** @returns The result of the swap: refused, with the entry that is stored, when another process was faster. */
  async take(expected: string | undefined): Promise<SwapResult> {
    const sentAt = this.#times();
    const undo = (version: string | undefined): Promise<unknown> => this.release(this.#record, version);
    const { link, callTimeout: timeout } = this.#fleet;
    const result = await link.swap(this.#key, expected, await this.#compose(), { timeout, undo });
    if (!result.ok) return result;
    this.#version = result.version;
    this.#renewedAt = sentAt;
    this.#scheduleHeartbeat();
    return result;
  }

  /** Whether so little of the lease has passed, by the later of both clocks, that a request may be sent. */
  mayStart(): boolean {
    const now = this.#times();
    const { wall, monotonic } = this.#renewedAt;
    return !this.#isEnded && Math.max(now.wall - wall, now.monotonic - monotonic) < this.#fleet.duration * TOO_LATE;
  }

  /** Renews the lease at once, with another content. It finds out whether another process has replaced it. */
  async renew(record: FleetRecord): Promise<void> {
    this.#record = record;
    await this.#heartbeat;
    this.#timer?.cancel();
    if (this.#isEnded) return;
    this.#heartbeat = this.#sendHeartbeat().catch(() => this.#scheduleHeartbeat(true));
    await this.#heartbeat;
  }

  /** Ends the lease with a record. The swap is refused if another process has taken the lease. */
  async end(record: FleetRecord): Promise<SwapResult> {
    await this.#stopHeartbeats();
    const next = await this.#encode(record);
    const result = await this.#swap(this.#version, next);
    if (!result.ok) this.#lose();
    return result;
  }

  /**
   * Gives the lease away. Whoever looks next may take it.
   *
   * @param record What the record then holds.
   * @param version The version of the lease, for a swap that was done after its call had timed out.
   */
  async release(record: FleetRecord = this.#record, version: string | undefined = this.#version): Promise<SwapResult> {
    await this.#stopHeartbeats();
    this.#onLost = undefined;
    const { state, session, tokens, failed } = record;
    const isEmpty = state === undefined && session === undefined && failed.length + Object.keys(tokens).length === 0;
    // A refused swap only means that the lease was lost.
    return this.#swap(version, isEmpty ? undefined : await this.#encode({ ...record, phase: "T" }));
  }

  #times(): { readonly wall: number; readonly monotonic: number } {
    const { clock } = this.#fleet;
    return { wall: clock.now(), monotonic: clock.monotonic() };
  }

  async #compose(): Promise<Written> {
    const { duration, clock } = this.#fleet;
    const lease = { phase: "L", leaseUntil: clock.monotonic() + duration, holder: this.#holder } as const;
    const written = await this.#encode({ ...this.#record, ...lease });
    this.#writtenTexts.add(written.text);
    return written;
  }

  /** A swap of the holder: it is also sent while calls to the store are paused. */
  async #swap(version: string | undefined, next: Written | undefined): Promise<SwapResult> {
    const { link, callTimeout: timeout } = this.#fleet;
    const options = { timeout, ignoresPause: true };
    const result = await link.swap(this.#key, version, next, options);
    if (result.ok || result.current === undefined || !this.#writtenTexts.has(result.current.value)) return result;
    // The record is a heartbeat of this lease whose call had timed out and that was written after all.
    return link.swap(this.#key, result.current.version, next, options);
  }

  #encode(record: FleetRecord): Promise<Written> {
    const { seals, clock, ttls } = this.#fleet;
    return encode(this.#key, seals[0]!, record, { clock, ttls });
  }

  #scheduleHeartbeat(hasFailed = false): void {
    if (this.#isEnded) return;
    const { clock, duration } = this.#fleet;
    // A store that was away for a moment must not cost the lease.
    const delay = hasFailed ? Math.min(AFTER_FAILURE, duration / 3) : duration / 3;
    this.#timer = clock.setTimeout(() => {
      this.#heartbeat = this.#sendHeartbeat().catch(() => this.#scheduleHeartbeat(true));
    }, delay);
  }

  async #sendHeartbeat(): Promise<void> {
    const sentAt = this.#times();
    const result = await this.#swap(this.#version, await this.#compose());
    // Another process has taken the lease. The heartbeats end, and the final write of this lease will be refused.
    if (!result.ok) {
      this.#isEnded = true;
      this.#lose();
      return;
    }
    this.#version = result.version;
    this.#renewedAt = sentAt;
    this.#scheduleHeartbeat();
  }

  #lose(): void {
    this.#onLost?.();
    this.#onLost = undefined;
  }

  /** Stops the heartbeats and waits for the last one, because the next write needs the version that it leaves. */
  async #stopHeartbeats(): Promise<void> {
    this.#isEnded = true;
    this.#timer?.cancel();
    await this.#heartbeat;
  }
}
