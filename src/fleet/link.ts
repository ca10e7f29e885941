/**
 * Every call to a store goes through here: bounded in time, not repeated blindly, and not tried at all for a moment after
 * a failure, so that a store that is down costs one caller a wait and not every caller one.
 *
 * @module
 */
import { safeCause } from "../base/errors.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { Written } from "./record.ts";
import type { Seal } from "./seal.ts";
import type { Store, SwapResult } from "./store.ts";

/** A version that nothing has: asking for it reads. */
const NO_VERSION = "?";
/** Milliseconds without a call after a failure; doubles while they go on. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 8000;

/** The store could not be used. Inside the fleet only: callers see ERR_STORE, or nothing. */
export class StoreFault extends Error {
  override readonly name: string = "StoreFault";
}

/** How one swap is treated. */
export interface SwapOptions {
  /** Tried even while calls are suspended: what is written belongs to a lease that is held. */
  readonly insists?: boolean | undefined;
  /** Undoes a swap that came true after its time was up. */
  readonly undo?: ((version: string | undefined) => Promise<unknown>) | undefined;
}

/** One store, as all caches that share it see it. */
export class StoreLink {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #timeout: number;
  #failures = 0;
  #until = -Infinity;
  #isProbing = false;

  /** @param timeout Milliseconds one call may take. */
  constructor(store: Store, clock: Clock, timeout: number) {
    this.#store = store;
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** @throws {StoreFault} When the store fails, is too slow, or is known to fail. */
  async swap(
    key: string,
    expected: string | undefined,
    next: Written | undefined,
    { insists = false, undo }: SwapOptions = {},
  ): Promise<SwapResult> {
    const probes = this.#admit(insists);
    try {
      const swap = async (): Promise<SwapResult> => this.#store.swap(key, expected, next?.text, next?.ttl ?? 1);
      const result = await this.#inTime(swap(), undo);
      this.#failures = 0;
      this.#until = -Infinity;
      return settled(result, next);
    } catch (error) {
      this.#failures++;
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1));
      this.#until = this.#clock.monotonic() + pause * (0.75 + Math.random() / 2);
      throw error instanceof StoreFault ? error : new StoreFault("the store failed", { cause: safeCause(error) });
    } finally {
      if (probes) this.#isProbing = false;
    }
  }

  /** What is stored, and nothing else. */
  async read(key: string): Promise<SwapResult & { readonly ok: false }> {
    const result = await this.swap(key, NO_VERSION, undefined);
    if (result.ok) throw new StoreFault(`the store took "${NO_VERSION}" for a version of its own`);
    return result;
  }

  /** After a failure one call at a time finds out whether the store is back. @returns Whether this is that call. */
  #admit(insists: boolean): boolean {
    if (this.#failures === 0 || insists) return false;
    if (this.#isProbing || this.#clock.monotonic() < this.#until) throw new StoreFault("the store failed a moment ago");
    return (this.#isProbing = true);
  }

  async #inTime(swap: Promise<SwapResult>, undo: SwapOptions["undo"]): Promise<SwapResult> {
    let isLate = false;
    let giveUp!: (fault: StoreFault) => void;
    const late = new Promise<never>((_, reject) => (giveUp = reject));
    let timer!: Timer;
    const inHalf = (then: () => void): void => {
      timer = this.#clock.setTimeout(then, this.#timeout / 2);
      timer.hold(true);
    };
    // Between the halves a process that was busy all the time gets to read the answer that waits for it.
    inHalf(() =>
      inHalf(() => {
        isLate = true;
        giveUp(new StoreFault(`the store did not answer within ${this.#timeout} ms`));
      }),
    );
    swap.then(
      (result) => {
        // Nobody reckons with it any more: a lease nobody holds would keep the whole fleet waiting.
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

/** What is there is what was to be written: an earlier try of the client's own came true after all. */
function settled(result: SwapResult, next: Written | undefined): SwapResult {
  if (result.ok || next === undefined || result.current?.value !== next.text) return result;
  return { ok: true, version: result.current.version };
}

// MERGED What all caches that share a store have in common.
/** One store and how it is used, as seen from one cache. */
export interface Fleet {
  readonly link: StoreLink;
  readonly clock: Clock;
  /** The first seals; the others only open what they sealed once. */
  readonly seals: readonly Seal[];
  /** Milliseconds after which a holder that gives no sign of life is replaced. */
  readonly duration: number;
  /** Milliseconds one call may take. */
  readonly callTimeout: number;
  /** Milliseconds a state is kept after its last use. */
  readonly stateTtl: number;
  /** What the keys of its records begin with. */
  readonly prefix: string;
}
