// One Redis, as far as load goes: a network with a latency, one core that serves one command after another, and a count
// of what arrives when.
import { memoryStore } from "remint/fleet";

/** Milliseconds over which commands are counted. */
export const SLOT = 10;
/** A peak is the rate over this many slots. */
const WINDOW = 10;

/** Round trips in milliseconds: most are near the least, few near the most. */
const LEAST_LATENCY = 0.3;
const MOST_LATENCY = 2;

export class Engine {
  #clock;
  #store;
  /** Milliseconds one command takes. */
  #service;
  /** When the commands that have arrived are done, and the moment the store is at. */
  #idleAt = 0;
  #servedAt = 0;
  #slots = new Map();
  /** Commands that have arrived. */
  commands = 0;
  /** When tokens were published, in milliseconds of the clock. */
  published = [];
  /** The longest time a command had to wait for those before it. */
  longestWait = 0;

  /** @param throughput Commands a second. */
  constructor(clock, throughput) {
    this.#clock = clock;
    this.#service = 1000 / throughput;
    const serverTime = { now: () => clock.now(), monotonic: () => this.#servedAt, setTimeout: () => undefined };
    this.#store = memoryStore({ clock: serverTime });
  }

  /** The way of one process to it. */
  connect() {
    let isCut = false;
    return {
      swap: (...swap) => (isCut ? new Promise(() => {}) : this.#call(swap)),
      /** The process is gone: nothing of it arrives any more. */
      cut: () => void (isCut = true),
    };
  }

  /** Forgets what was counted. */
  reset() {
    this.commands = 0;
    this.published = [];
    this.longestWait = 0;
    this.#slots.clear();
  }

  /** Commands a second over the busiest 100 ms. */
  get peak() {
    let most = 0;
    for (const slot of this.#slots.keys()) {
      let sum = 0;
      for (let i = 0; i < WINDOW; i++) sum += this.#slots.get(slot + i) ?? 0;
      most = Math.max(most, sum);
    }
    return (most * 1000) / (SLOT * WINDOW);
  }

  /** Commands per slot, from a moment on. */
  slotsFrom(time) {
    const first = Math.floor(time / SLOT);
    const last = Math.max(first, ...this.#slots.keys());
    return Array.from({ length: last - first + 1 }, (_, i) => this.#slots.get(first + i) ?? 0);
  }

  async #call(swap) {
    const half = (LEAST_LATENCY + (MOST_LATENCY - LEAST_LATENCY) * Math.random() ** 3) / 2;
    await this.#sleep(half);
    const arrivedAt = this.#clock.monotonic();
    this.#count(arrivedAt);
    const startsAt = Math.max(arrivedAt, this.#idleAt);
    this.#idleAt = startsAt + this.#service;
    this.longestWait = Math.max(this.longestWait, startsAt - arrivedAt);
    // In the order of arrival, so it can be done now, as of then.
    this.#servedAt = startsAt;
    const result = await this.#store.swap(...swap);
    const [, , next] = swap;
    if (result.ok && next?.startsWith("T")) this.published.push(this.#idleAt);
    await this.#sleep(this.#idleAt - arrivedAt + half);
    return result;
  }

  #count(time) {
    const slot = Math.floor(time / SLOT);
    this.commands++;
    this.#slots.set(slot, (this.#slots.get(slot) ?? 0) + 1);
  }

  #sleep(delay) {
    return new Promise((resolve) => this.#clock.setTimeout(resolve, delay));
  }
}
