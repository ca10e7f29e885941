/**
 * The right to mint for the fleet, from taking it to giving it back: one record, written by its holder alone.
 *
 * A lease is over some time after it was last renewed, by the engine's clock, so a holder that died is replaced. Every
 * write of the holder is a swap against its own last one: a holder that was away for too long finds that out when it
 * writes, and has written nothing. A record that held a token says `R` instead of `L` and goes on holding it.
 *
 * @module
 */
import { stateLeftBy } from "../base/left-state.ts";
import { withoutCredentials } from "../base/redacted.ts";
import { delayAfter } from "../core/failures.ts";
import { pauseAfter } from "../core/storm-guard.ts";
import { write } from "./record.ts";
import { storedFailure } from "./shared-failure.ts";
import { rotated } from "./sign-in.ts";
import type { Timer } from "../base/clock.ts";
import type { RemintError } from "../base/errors.ts";
import type { Minted } from "../core/mint.ts";
import type { Fleet } from "./link.ts";
import type { Facts, FleetRecord, Place, StoredToken, TokenRecord, Written } from "./record.ts";
import type { SwapResult } from "./store.ts";

/** A token that is good while it is being replaced. */
export interface KeptToken {
  readonly token: StoredToken;
  /** Monotonic milliseconds to which `token.age` and `token.quiet` count. */
  readonly at: number;
  /** Monotonic milliseconds of its end. */
  readonly until: number;
}

/** One process's lease. */
export class Lease {
  readonly place: Place;
  readonly #fleet: Fleet;
  readonly #facts: Facts;
  readonly #kept: KeptToken | undefined;
  readonly #renews: boolean;
  #version: string | undefined;
  /** Everything it wrote, to know it again: a write may come true after its time was up. */
  readonly #texts = new Set<string>();
  #timer: Timer | undefined;
  #beating: Promise<void> = Promise.resolve();
  #isEnded = false;

  /**
   * @param kept The token of the record, if it is being refreshed.
   * @param renews A rejected token is to be replaced.
   */
  constructor(fleet: Fleet, place: Place, facts: Facts, kept: KeptToken | undefined, renews: boolean) {
    this.#fleet = fleet;
    this.place = place;
    this.#facts = facts;
    this.#kept = kept;
    this.#renews = renews;
  }

  /** The record that takes the lease, or renews it. */
  async compose(): Promise<Written> {
    const { duration } = this.#fleet;
    const record: FleetRecord =
      this.#kept === undefined
        ? { ...this.#facts, phase: "L", left: duration }
        : { ...this.#keptRecord(this.#kept), phase: "R", lease: duration };
    const written = await this.#write(record);
    this.#texts.add(written.text);
    return written;
  }

  /** It was taken, and is renewed from now on until it ends. */
  taken(version: string | undefined): void {
    this.#version = version;
    this.#beatLater();
  }

  /** The record of what was minted under it, as of now. */
  recordOf({ response, lifetime, expiresAt }: Minted): TokenRecord {
    const { access_token, state } = response;
    const before = { ...this.#facts, mints: this.#facts.mints + 1, fails: 0 };
    const facts = state === undefined ? before : rotated(before, state);
    const token: StoredToken = {
      response: { ...withoutCredentials(response), access_token },
      lifetime,
      age: 0,
      renews: this.#renews,
      quiet: pauseAfter(facts.strikes),
    };
    return { ...facts, phase: "T", left: expiresAt - this.#fleet.clock.now(), token };
  }

  /** Writes a record over the lease; refused when somebody else has it by now. */
  async publish(record: TokenRecord): Promise<SwapResult> {
    await this.#end();
    return this.replace(this.#version, record);
  }

  /** Writes a record over a version: its own, or one that must not win against it. */
  async replace(version: string | undefined, record: FleetRecord): Promise<SwapResult> {
    const next = await this.#write(record);
    return this.#swap(version, next);
  }

  async #swap(version: string | undefined, next: Written | undefined): Promise<SwapResult> {
    const { link } = this.#fleet;
    const { key } = this.place;
    const result = await link.swap(key, version, next, { insists: true });
    if (result.ok || result.current === undefined || !this.#texts.has(result.current.value)) return result;
    // A renewal that was given up came true: what is there is ours.
    return link.swap(key, result.current.version, next, { insists: true });
  }

  /** Tells everybody that minting failed; a token that is still good stays, and so does a state that was left. */
  async fail(error: RemintError): Promise<void> {
    await this.#end();
    const left = stateLeftBy(error);
    const facts = left === undefined ? this.#facts : rotated(this.#facts, left);
    const fails = facts.fails + 1;
    const failure = storedFailure(error);
    // It outlasts the token: nothing is minted until somebody signs in.
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
            ...(isTerminal && { failure }),
          };
    await this.replace(this.#version, record);
  }

  /** Gives it back as it was taken: nothing was minted. @param version What was taken, if that is known only now. */
  async release(version: string | undefined = this.#version): Promise<void> {
    await this.#end();
    if (this.#kept !== undefined) await this.replace(version, { ...this.#keptRecord(this.#kept), phase: "T" });
    // A state must not be lost; a lease that is over is as good as none.
    else if (this.#facts.state !== undefined) await this.replace(version, { ...this.#facts, phase: "L", left: 0 });
    else await this.#swap(version, undefined);
  }

  #keptRecord({ token, at, until }: KeptToken): Omit<FleetRecord, "phase"> {
    const now = this.#fleet.clock.monotonic();
    const aged = { ...token, age: token.age + now - at, quiet: Math.max(0, token.quiet - (now - at)) };
    return { ...this.#facts, left: until - now, token: aged };
  }

  #write(record: FleetRecord): Promise<Written> {
    const { clock, stateTtl } = this.#fleet;
    // A token may end while it is being replaced: the lease does not end with it.
    const said = Math.max(record.left, record.lease ?? 0);
    // What keeps a state is kept for it; the end of what it says is a field, and counts for every record alike.
    const ttl = record.state === undefined ? said : Math.max(stateTtl, said);
    return write(this.place, record, ttl, clock.now());
  }

  #beatLater(): void {
    if (this.#isEnded) return;
    const { clock, duration } = this.#fleet;
    this.#timer = clock.setTimeout(() => {
      this.#beating = this.#beat().catch(() => this.#beatLater());
    }, duration / 3);
  }

  async #beat(): Promise<void> {
    const result = await this.#swap(this.#version, await this.compose());
    // Whoever has it now thought this process dead; its own last write will tell it so.
    if (!result.ok) return;
    this.#version = result.version;
    this.#beatLater();
  }

  /** No more renewals: what comes next needs to know what the last one left. */
  async #end(): Promise<void> {
    this.#isEnded = true;
    this.#timer?.cancel();
    await this.#beating;
  }
}
