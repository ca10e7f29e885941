/**
 * The connection of a fleet to its store. Every call to a store goes through a {@link StoreLink}.
 *
 * A call has a time limit. After a failure no call is made for the same key for a short time. Other keys are not concerned:
 * one node of a cluster may be frozen, or somebody else's data may lie under one key. Only when several keys in a row got no
 * answer, and no other key got one meanwhile, the store counts as down, and few calls at a time find out whether it works
 * again: it then delays some callers and not every caller.
 *
 * What to do without the store is decided in flight.ts.
 *
 * @module
 */
import { safeCause } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { warn } from "../base/warn.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { RemintError } from "../base/errors.ts";
import type { SupplySettings } from "../core/supply.ts";
import type { EventListener, PoolEventListener } from "../core/types.ts";
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
  /** Milliseconds for which a token of a session is served without a look at the record. */
  readonly maxStaleness: number;
  /**
   * The page was loaded then, in monotonic milliseconds. A refusal or a sign-out of before says nothing of the cookie that the
   * browser has now. Absent outside of browsers.
   */
  readonly loadedAt?: number | undefined;
  /** Authorization servers, with the client, at which mints of this process fail. */
  readonly failing: LruMap<string, true>;
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
  /** Milliseconds the call may take. */
  readonly timeout: number;
  /** Whether to call the store during the pause after a failure. The holder of a lease has to write all the same. */
  readonly ignoresPause?: boolean | undefined;
  /** Undoes a swap that the store did after the time limit of the call. */
  readonly undo?: ((version: string | undefined) => Promise<unknown>) | undefined;
}

/** A key whose last call has failed. */
interface FailedKey {
  /** Failures in a row. */
  readonly failures: number;
  /** The monotonic milliseconds until which no call is made. */
  readonly pausedUntil: number;
  /** Whether a call is in progress that finds out whether the key works again. */
  isProbed: boolean;
}

/** A version that no value has. A swap that expects it is refused, and so reads. */
const NO_VERSION = "?";
/** Milliseconds without a call after the first failure. The pause doubles with every further failure in a row. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 8000;
/** Milliseconds before the second try of a call that failed at once: the client may still be connecting. */
const TRY_AGAIN = 250;
/** So many keys in a row without an answer: the store is down. */
const DOWN = 3;
/** How many calls at a time find out whether a store that is down works again. */
const MOST_PROBES = 4;
/** A store that has failed so often, and never worked, is told of on the console: it may be the wrong one. */
const NEVER_WORKED = 3;
/** How many keys that fail are remembered. */
const MOST_FAILED = 1000;

/** One store, for all caches that share it. */
export class StoreLink {
  readonly #store: Store;
  readonly #clock: Clock;
  #failed = new LruMap<string, FailedKey>(MOST_FAILED);
  /** The keys that got no answer, since any key got one. */
  readonly #unanswered = new Set<string>();
  #answeredAt = -Infinity;
  /** Calls in progress while the store is down. */
  #probes = 0;
  /** The listeners that were told that the store fails, and not yet that it works again, with what calls them. */
  readonly #told = new Map<PoolEventListener, EventListener>();
  #toldOnConsole = false;
  #failures = 0;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws {StoreFault} When the store fails, is too slow, or failed a moment ago. */
  async swap(
    key: string,
    expected: string | undefined,
    next: Written | undefined,
    { timeout, ignoresPause = false, undo }: SwapOptions,
  ): Promise<SwapResult> {
    const isFirst = !ignoresPause && !this.#hasWorked && !this.#failed.has(key);
    const end = ignoresPause ? nothing : this.#admit(key);
    const swap = async (): Promise<SwapResult> => this.#store.swap(key, expected, next?.text, next?.ttl ?? 1);
    const call = (): Promise<SwapResult> => this.#withTimeLimit(swap(), timeout, undo);
    const sentAt = this.#clock.monotonic();
    try {
      const result = await (isFirst ? this.#twice(call) : call());
      this.#answered(key);
      return acceptOwnWrite(result, next);
    } catch (error) {
      this.#noteFailure(key, sentAt);
      throw error instanceof StoreFault ? error : faultOf(error);
    } finally {
      end();
    }
  }

  /** Reads the entry of a key. @throws {StoreFault} As {@link StoreLink.swap} does. */
  async read(key: string, options: SwapOptions): Promise<SwapResult & { readonly ok: false }> {
    const result = await this.swap(key, NO_VERSION, undefined, options);
    if (result.ok) throw new StoreFault(`the store did a swap that expected "${NO_VERSION}", which is no version`);
    return result;
  }

  get #hasWorked(): boolean {
    return this.#answeredAt > -Infinity;
  }

  /**
   * Tells each listener that the store fails, once until it works again; and the console, once, of a store that never worked.
   */
  tellFailure(error: RemintError, listeners: SupplySettings["listeners"], warns: boolean): void {
    for (const [listener, tell] of listeners.all()) {
      if (this.#told.has(listener)) continue;
      this.#told.set(listener, tell);
      tell({ name: "store-failed", error });
    }
    if (this.#hasWorked || this.#toldOnConsole || !warns || this.#failures < NEVER_WORKED) return;
    this.#toldOnConsole = true;
    warn(
      `The store of a token cache has never worked, so the processes do not share their tokens: ${error.hint ?? error.message}`,
    );
  }

  /**
   * Admits a call, or refuses it: a key that failed has a pause, and a store that is down gets few calls at a time.
   *
   * @returns What has to be called when the call is over.
   */
  #admit(key: string): () => void {
    const failed = this.#failed.get(key);
    const isDown = this.#unanswered.size >= DOWN;
    const isPaused = failed !== undefined && (failed.isProbed || this.#clock.monotonic() < failed.pausedUntil);
    if (isPaused || (isDown && this.#probes >= MOST_PROBES)) throw new StoreFault("the store failed a moment ago");
    if (failed !== undefined) failed.isProbed = true;
    if (isDown) this.#probes++;
    return () => {
      if (failed !== undefined) failed.isProbed = false;
      if (isDown) this.#probes--;
    };
  }

  #answered(key: string): void {
    this.#answeredAt = this.#clock.monotonic();
    this.#unanswered.clear();
    if (!this.#failed.has(key)) return;
    // What made this key fail is over. The others that failed with it are tried at once.
    this.#failed = new LruMap(MOST_FAILED);
    const told = [...this.#told.values()];
    this.#told.clear();
    for (const tell of told) tell({ name: "store-recovered" });
  }

  #noteFailure(key: string, sentAt: number): void {
    const failures = (this.#failed.get(key)?.failures ?? 0) + 1;
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1));
    const pausedUntil = this.#clock.monotonic() + pause * (0.75 + Math.random() / 2);
    this.#failed.set(key, { failures, pausedUntil, isProbed: false });
    this.#failures++;
    // The store has answered others while this call was waiting: the connection works.
    if (this.#answeredAt <= sentAt && this.#unanswered.size < DOWN) this.#unanswered.add(key);
  }

  /** Makes a call, and makes it again if it failed at once: a client may not be connected yet. */
  async #twice(call: () => Promise<SwapResult>): Promise<SwapResult> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof StoreFault) throw error;
      await new Promise<void>((resolve) => this.#clock.setTimeout(resolve, TRY_AGAIN).hold(true));
      return await call();
    }
  }

  async #withTimeLimit(swap: Promise<SwapResult>, timeout: number, undo: SwapOptions["undo"]): Promise<SwapResult> {
    let isLate = false;
    let giveUp!: (fault: StoreFault) => void;
    const late = new Promise<never>((_, reject) => (giveUp = reject));
    let timer!: Timer;
    const afterHalf = (then: () => void): void => {
      timer = this.#clock.setTimeout(then, timeout / 2);
      timer.hold(true);
    };
    // Two timers of half the time: between them, a process that was busy all the time reads an answer that has arrived.
    afterHalf(() =>
      afterHalf(() => {
        isLate = true;
        giveUp(new StoreFault(`the store did not answer within ${timeout} ms (option callTimeout)`));
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

/** Says what the store, or its client, has said: an operator has to know whether a right is missing or a host. */
function faultOf(error: unknown): StoreFault {
  const cause = safeCause(error);
  const said = cause instanceof Error ? cause.message.split("\n", 1)[0]!.slice(0, 200) : "";
  return new StoreFault(said === "" ? "the store failed" : `the store failed (${said})`, { cause });
}

function nothing(): void {}
