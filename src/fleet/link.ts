/**
 * The connection of a fleet to its store. Every call to a store goes through a {@link StoreLink}.
 *
 * A call has a time limit and is not repeated. After a failure no call is made for a short time, so that a store that
 * is down delays one caller and not every caller. What to do without the store is decided in flight.ts.
 *
 * @module
 */
import { safeCause } from "../base/errors.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { RecordTtls, Written } from "./record.ts";
import type { Seal } from "./seal.ts";
import type { Store, SwapResult } from "./store.ts";

/** A store and how one cache uses it. */
export interface Fleet {
  /** The connection to the store, which all caches with this store and this clock share. */
  readonly link: StoreLink;
  readonly clock: Clock;
  /** The first seal encrypts and decrypts. The others only decrypt what they encrypted before the key was changed. */
  readonly seals: readonly Seal[];
  /** Milliseconds of a lease: another process takes over from a holder that sends no heartbeat for so long. */
  readonly duration: number;
  /** Milliseconds one call to the store may take. */
  readonly callTimeout: number;
  /** How long records are kept. */
  readonly ttls: RecordTtls;
  /** The text with which the keys of all records begin. */
  readonly prefix: string;
}

/**
 * The store could not be used. This error stays inside the fleet: callers get an `ERR_STORE`, or notice nothing because
 * the process mints for itself.
 */
export class StoreFault extends Error {
  override readonly name: string = "StoreFault";
}

/** How one swap is made. */
interface SwapOptions {
  /** Whether to call the store during the pause after a failure. The holder of a lease has to write all the same. */
  readonly ignoresPause?: boolean | undefined;
  /** Undoes a swap that the store did after the time limit of the call. */
  readonly undo?: ((version: string | undefined) => Promise<unknown>) | undefined;
}

/** A version that no value has. A swap that expects it is refused, and so reads. */
const NO_VERSION = "?";
/** Milliseconds without a call after the first failure. The pause doubles with every further failure in a row. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 8000;

/** One store, for all caches that share it. */
export class StoreLink {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #timeout: number;
  /** Failures in a row. */
  #failures = 0;
  /** The monotonic milliseconds until which no call is made. */
  #pausedUntil = -Infinity;
  /** Whether a call is in progress that finds out whether the store works again. */
  #isProbing = false;

  /** @param timeout Milliseconds one call may take. */
  constructor(store: Store, clock: Clock, timeout: number) {
    this.#store = store;
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** @throws {StoreFault} When the store fails, is too slow, or failed a moment ago. */
  async swap(
    key: string,
    expected: string | undefined,
    next: Written | undefined,
    { ignoresPause = false, undo }: SwapOptions = {},
  ): Promise<SwapResult> {
    const isProbe = this.#beginCall(ignoresPause);
    try {
      const swap = async (): Promise<SwapResult> => this.#store.swap(key, expected, next?.text, next?.ttl ?? 1);
      const result = await this.#withTimeLimit(swap(), undo);
      this.#failures = 0;
      this.#pausedUntil = -Infinity;
      return acceptOwnWrite(result, next);
    } catch (error) {
      this.#failures++;
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1));
      this.#pausedUntil = this.#clock.monotonic() + pause * (0.75 + Math.random() / 2);
      throw error instanceof StoreFault ? error : new StoreFault("the store failed", { cause: safeCause(error) });
    } finally {
      if (isProbe) this.#isProbing = false;
    }
  }

  /** Reads the entry of a key. @throws {StoreFault} As {@link StoreLink.swap} does. */
  async read(key: string, options?: SwapOptions): Promise<SwapResult & { readonly ok: false }> {
    const result = await this.swap(key, NO_VERSION, undefined, options);
    if (result.ok) throw new StoreFault(`the store did a swap that expected "${NO_VERSION}", which is no version`);
    return result;
  }

  /**
   * Admits a call, or refuses it: after a failure one call at a time finds out whether the store works again.
   *
   * @returns Whether this call is the one that finds out.
   */
  #beginCall(ignoresPause: boolean): boolean {
    if (this.#failures === 0 || ignoresPause) return false;
    if (this.#isProbing || this.#clock.monotonic() < this.#pausedUntil) {
      throw new StoreFault("the store failed a moment ago");
    }
    return (this.#isProbing = true);
  }

  async #withTimeLimit(swap: Promise<SwapResult>, undo: SwapOptions["undo"]): Promise<SwapResult> {
    let isLate = false;
    let giveUp!: (fault: StoreFault) => void;
    const late = new Promise<never>((_, reject) => (giveUp = reject));
    let timer!: Timer;
    const afterHalf = (then: () => void): void => {
      timer = this.#clock.setTimeout(then, this.#timeout / 2);
      timer.hold(true);
    };
    // Two timers of half the time: between them, a process that was busy all the time reads an answer that has arrived.
    afterHalf(() =>
      afterHalf(() => {
        isLate = true;
        giveUp(new StoreFault(`the store did not answer within ${this.#timeout} ms`));
      }),
    );
    swap.then(
      (result) => {
        // The caller has gone on without this swap. A lease that no process holds would make the whole fleet wait.
        if (isLate && result.ok) undo?.(result.version).catch(() => {});
      },
      () => {},
    );
    try {
      return await Promise.race([swap, late]);
    } finally {
      timer.cancel();
    }
  }
}

/**
 * Turns a refusal into a success if the stored value is the one that was to be written. Then the engine's client sent
 * the command twice, and the first time it was done.
 */
function acceptOwnWrite(result: SwapResult, next: Written | undefined): SwapResult {
  if (result.ok || next === undefined || result.current?.value !== next.text) return result;
  return { ok: true, version: result.current.version };
}
