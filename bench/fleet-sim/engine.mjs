// Simulates the load on one Redis: a network with latency, one core that serves one command after another, and a count
// of the commands over time. The store itself is the memoryStore of remint/fleet.
import { memoryStore } from "remint/fleet";

/** Milliseconds over which commands are counted. */
export const SLOT = 10;
/** The number of slots over which a peak is measured. */
const WINDOW = 10;

/** Round trips in milliseconds: most are near the lower limit, few near the upper one. */
const LEAST_LATENCY = 0.3;
const MOST_LATENCY = 2;

export class Engine {
  #clock;
  #store;
  /** Milliseconds one command takes. */
  #service;
  /** The time at which all commands that have arrived are done. */
  #idleAt = 0;
  /** The time at which the store serves the current command. It is the clock of the store. */
  #servedAt = 0;
  #slots = new Map();
  /** The number of commands that have arrived. */
  commands = 0;
  /** The times at which tokens were published, in milliseconds of the clock. */
  published = [];
  /** The longest time that a command had to wait for earlier commands. */
  longestWait = 0;

  /** @param throughput Commands a second. */
  constructor(clock, throughput) {
    this.#clock = clock;
    this.#service = 1000 / throughput;
    const serverTime = { now: () => clock.now(), monotonic: () => this.#servedAt, setTimeout: () => undefined };
    this.#store = memoryStore({ clock: serverTime });
  }

  /** Makes the connection of one process. */
  connect() {
    let isCut = false;
    return {
      swap: (...swap) => (isCut ? new Promise(() => {}) : this.#call(swap)),
      /** Cuts the connection, as the death of the process would: later commands do not arrive. */
      cut: () => void (isCut = true),
    };
  }

  /** Resets the counts. */
  reset() {
    this.commands = 0;
    this.published = [];
    this.longestWait = 0;
    this.#slots.clear();
  }

  /** The commands a second in the busiest 100 ms. */
  get peak() {
    let most = 0;
    for (const slot of this.#slots.keys()) {
      let sum = 0;
      for (let i = 0; i < WINDOW; i++) sum += this.#slots.get(slot + i) ?? 0;
      most = Math.max(most, sum);
    }
    return (most * 1000) / (SLOT * WINDOW);
  }

  /** Returns the commands per slot, from a time on. */
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
    // Commands are served in the order of arrival, so the swap can be done now, with the clock set to that time.
    this.#servedAt = startsAt;
    const result = await this.#store.swap(...swap);
    const [, , next] = swap;
    if (result.ok && next?.startsWith("1T")) this.published.push(this.#idleAt);
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
