// A simulated fleet: one cache per process, one engine, one virtual clock. The caches are the built package, unchanged.
import { createTokenCache, customGrant } from "remint";
import { fleetStore } from "remint/fleet";
import { Engine } from "./engine.mjs";
import { VirtualClock } from "./virtual-clock.mjs";

const SITE = { origin: "https://api.example", path: "/" };
/** The key of the methods that clients call on a cache. */
const POLICY = Symbol.for("remint.policy/1");
/** The lifetime of a token in seconds. */
const EXPIRES_IN = 3600;
/** The time of a mint varies by this part of it, up and down. */
const VARIATION = 0.2;

export class SimulatedFleet {
  clock = new VirtualClock();
  engine;
  processes;
  startedAt = 0;
  /** The number of mints that were started. */
  mints = 0;
  /** The largest number of mints in progress at the same time. */
  mostAtOnce = 0;
  /** The number of times that a process could not use the store. */
  storeFailures = 0;
  /** Whether the next process that mints dies during the mint. */
  nextDies = false;
  #mintTime;
  #atOnce = 0;
  #tokens = 0;

  /** @param mintTime Milliseconds of a mint, on average. @param throughput Commands a second that the engine serves. */
  constructor({ size, mintTime, throughput }) {
    this.#mintTime = mintTime;
    this.engine = new Engine(this.clock, throughput);
    this.processes = Array.from({ length: size }, () => this.#join());
  }

  /** Resets the counts: the scenario begins now. */
  start() {
    this.startedAt = this.clock.monotonic();
    this.engine.reset();
    this.mints = 0;
    this.mostAtOnce = 0;
    this.storeFailures = 0;
    for (const process of this.processes) process.servedAt = undefined;
  }

  /** Lets time pass until every living process has a new token. */
  async untilServed() {
    // Checks the processes in order and stops at the first without a token, which saves checking all after every timer.
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
      grant: customGrant({ key: "orders", mintRetries: 0, mint: () => this.#mint(process, connection) }),
      origins: [SITE.origin],
      clock,
      onEvent: ({ name }) => {
        if (name === "store-failed") this.storeFailures++;
        if (name === "minted" || name === "adopted") process.servedAt = clock.monotonic();
      },
      // No encryption, because WebCrypto works in real time.
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

/** An API rejects the token of a request of this process. */
export function reject({ cache }) {
  void cache[POLICY].rejected(cache.peek(), SITE).next();
}
