/** Virtual time for ten thousand caches: whole milliseconds, and all timers of one millisecond at a time. */
import { setImmediate } from "node:timers";
import { randomOf } from "../random.ts";
import type { Clock, Timer } from "../../../src/base/clock.ts";

interface Pending {
  fire: (() => void) | undefined;
}

/**
 * A clock that runs as fast as the machine can, as `manualClock` does. That one searches all of its timers at every step,
 * and takes several turns of the event loop for each.
 *
 * While it runs, `setTimeout` of the runtime is this clock's too, and `Math.random` is a generator with a seed: nothing
 * depends on the machine.
 */
export class VirtualTime implements Clock {
  /** The timers of each millisecond, in the order in which they were set. */
  readonly #buckets = new Map<number, Pending[]>();
  /** A heap of the milliseconds that have timers: the earliest is the first. */
  readonly #due: number[] = [];
  readonly #random: () => number;
  #time = 0;

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  now(): number {
    return Date.UTC(2026, 0, 1) + this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  setTimeout(fire: () => void, delay: number): Timer {
    const due = Math.ceil(this.#time + (delay > 0 ? delay : 0));
    const pending: Pending = { fire };
    const bucket = this.#buckets.get(due);
    if (bucket === undefined) {
      this.#buckets.set(due, [pending]);
      push(this.#due, due);
    } else bucket.push(pending);
    return { cancel: () => (pending.fire = undefined), hold: () => {} };
  }

  /** Waits for virtual time. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.setTimeout(resolve, ms));
  }

  /** Lets time pass until a moment. @param onTurn Called now and then. */
  async run(until: number, onTurn: () => void = () => {}): Promise<void> {
    const restore = this.#takeOver();
    try {
      await turn();
      for (let due = this.#due[0]; due !== undefined && due <= until; due = this.#due[0]) {
        this.#time = due;
        this.#fireAll(due);
        onTurn();
        await turn();
      }
      this.#time = until;
    } finally {
      restore();
    }
  }

  #fireAll(due: number): void {
    const bucket = this.#buckets.get(due)!;
    // The iteration includes timers that are set meanwhile.
    for (const { fire } of bucket) fire?.();
    pop(this.#due);
    this.#buckets.delete(due);
  }

  #takeOver(): () => void {
    const { setTimeout, clearTimeout } = globalThis;
    const { random } = Math;
    const timers = new WeakMap<object, Timer>();
    Math.random = this.#random;
    globalThis.setTimeout = ((fire: () => void, delay = 0) => {
      const id = { ref: () => id, unref: () => id };
      timers.set(id, this.setTimeout(fire, delay));
      return id;
    }) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((id?: object) => {
      const timer = id && timers.get(id);
      if (timer === undefined) clearTimeout(id as never);
      else timer.cancel();
    }) as unknown as typeof clearTimeout;
    return () => Object.assign(globalThis, { setTimeout, clearTimeout }) && void Object.assign(Math, { random });
  }
}

/** Lets promise chains of any depth run. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

function pop(heap: number[]): void {
  const value = heap.pop()!;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}
