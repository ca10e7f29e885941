// N processes as N caches over one engine on one virtual clock: the code that is published, nothing of it replaced.
import { createTokenCache } from "remint";
import { fleetStore } from "remint/fleet";
import { Engine } from "./engine.mjs";
import { VirtualClock } from "./virtual-clock.mjs";

const SITE = { origin: "https://api.example", path: "/" };
/** Seconds a token lives. */
const EXPIRES_IN = 3600;
/** A mint takes its time, give or take this part of it. */
const VARIATION = 0.2;

export class SimulatedFleet {
  clock = new VirtualClock();
  engine;
  processes;
  startedAt = 0;
  /** Mints that were begun, and the most that were under way at once. */
  mints = 0;
  mostAtOnce = 0;
  /** How often a process could not use the store. */
  storeFailures = 0;
  /** Whether the next process that mints dies of it. */
  nextDies = false;
  #mintTime;
  #atOnce = 0;
  #tokens = 0;

  /** @param mintTime Milliseconds, on average. @param throughput Commands a second the engine can serve. */
  constructor({ size, mintTime, throughput }) {
    this.#mintTime = mintTime;
    this.engine = new Engine(this.clock, throughput);
    this.processes = Array.from({ length: size }, () => this.#join());
  }

  /** Counts from now on. */
  start() {
    this.startedAt = this.clock.monotonic();
    this.engine.reset();
    this.mints = 0;
    this.mostAtOnce = 0;
    this.storeFailures = 0;
    for (const process of this.processes) process.servedAt = undefined;
  }

  /** Lets time pass until every process that is alive has a token it did not have. */
  async untilServed() {
    // The first that is not served yet is looked at, and those behind it only after it.
    let at = 0;
    const { processes } = this;
    await this.clock.run(() => {
      while (at < processes.length && (processes[at].servedAt !== undefined || processes[at].isDead)) at++;
      return at === processes.length;
    });
  }

  #join() {
    const { clock } = this;
    const process = { cache: undefined, servedAt: undefined, isDead: false };
    const connection = this.engine.connect();
    process.cache = createTokenCache({
      grant: { key: "orders", mint: () => this.#mint(process, connection) },
      origins: [SITE.origin],
      clock,
      // The pauses between tries are p-retry's and pass in real time.
      mintRetries: 0,
      onEvent: ({ name }) => {
        if (name === "store-failed") this.storeFailures++;
        if (name === "minted" || name === "adopted") process.servedAt = clock.monotonic();
      },
      // WebCrypto answers in real time.
      store: fleetStore(connection, { encryptionKey: "none" }),
    });
    return process;
  }

  async #mint(process, connection) {
    this.mints++;
    if (this.nextDies) {
      this.nextDies = false;
      process.isDead = true;
      connection.cut();
      return new Promise(() => {});
    }
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    const time = this.#mintTime * (1 + VARIATION * (2 * Math.random() - 1));
    await new Promise((resolve) => this.clock.setTimeout(resolve, time));
    this.#atOnce--;
    return { access_token: `token-${++this.#tokens}`, token_type: "Bearer", expires_in: EXPIRES_IN };
  }
}

/** A request of this process is told that its token is no good. */
export function reject({ cache }) {
  void cache.rejected(cache.peek(), SITE).next();
}
