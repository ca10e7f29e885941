import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, isRemintError } from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import type { Clock } from "../../src/base/clock.ts";
import { grantOf } from "../../src/core/grant.ts";
import type { Store } from "../../src/fleet/index.ts";
import type { TokenCache } from "../../src/index.ts";
import type { ClientSeam, PolicyRequest } from "../../src/policy/request-policy.ts";
import type { ManualClock } from "../../src/testing/index.ts";

/**
 * A fleet on virtual time: the real cache, request policy and fleet protocol in several processes that crash, pause and
 * lose their store, an authorization server, an API, and somebody who watches every write.
 */

const URL = "https://api.example/orders";

/** Something that happens to the fleet, so many milliseconds after the one before. */
export type FleetEvent =
  | { readonly what: "call"; readonly who: number }
  | { readonly what: "revoke" }
  | { readonly what: "crash"; readonly who: number }
  | { readonly what: "pause"; readonly who: number; readonly for: number }
  | { readonly what: "cut"; readonly who: number; readonly for: number }
  | { readonly what: "flush" }
  | { readonly what: "garble" }
  | { readonly what: "fail" };

/** A run: what happens when, how long everything takes. */
export interface FleetPlan {
  readonly processes: number;
  readonly events: readonly { readonly after: number; readonly event: FleetEvent }[];
  /** Milliseconds, used in turn: of a call to the store (there and back), of a mint. */
  readonly storeDelays: readonly number[];
  readonly mintDelays: readonly number[];
  /** Seconds. */
  readonly expiresIn: number;
}

/** What came of it. */
export interface FleetOutcome {
  readonly mints: number;
  readonly mostMintsAtOnce: number;
  /** What callers of processes that did not crash got. */
  readonly outcomes: readonly (number | string)[];
  /** Callers of living processes that got nothing. */
  readonly hanging: number;
  /** Rules that a write to the store broke. */
  readonly violations: readonly string[];
  /** Mints for one more revocation at the end, when everything has been well for a while. */
  readonly mintsAfterwards: number;
}

/** The authorization server and the API it protects. */
class Servers {
  mints = 0;
  atOnce = 0;
  mostAtOnce = 0;
  failing = 0;
  #liveFrom = 1;
  readonly #clock: Clock;
  readonly #delay: () => number;

  constructor(clock: Clock, delay: () => number) {
    this.#clock = clock;
    this.#delay = delay;
  }

  async mint(): Promise<string> {
    this.mints++;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    await passed(this.#clock, this.#delay());
    this.atOnce--;
    if (this.failing > 0) {
      this.failing--;
      throw Object.assign(new Error("down"), { status: 503 });
    }
    return `t${++this.#minted}`;
  }
  #minted = 0;

  revoke(): void {
    this.#liveFrom = this.#minted + 1;
  }

  status(token: string | undefined): number {
    return token !== undefined && Number(token.slice(1)) >= this.#liveFrom ? 200 : 401;
  }
}

/** The store, and what it was made to hold. */
class WatchedStore implements Store {
  readonly violations: string[] = [];
  readonly #store: Store;
  #key = "";
  #value: string | undefined;
  #published = 0;

  constructor(clock: Clock) {
    this.#store = memoryStore({ clock });
  }

  async swap(...[key, expected, next, ttl]: Parameters<Store["swap"]>): ReturnType<Store["swap"]> {
    this.#key = key;
    const result = await this.#store.swap(key, expected, next, ttl);
    if (result.ok) this.#judge(next);
    return result;
  }

  /** Puts something else there, as no process would. */
  async tamper(value: string | undefined): Promise<void> {
    const there = await this.#store.swap(this.#key, "?", undefined, 1);
    const version = there.ok ? undefined : there.current?.version;
    if (version === undefined && value === undefined) return;
    await this.#store.swap(this.#key, version, value, 3_600_000);
    this.#value = value;
  }

  #judge(next: string | undefined): void {
    const before = this.#value;
    this.#value = next;
    const token = tokenIn(next);
    const old = tokenIn(before);
    if (next?.startsWith("T") !== true || token === old) return;
    if (token <= this.#published) this.violations.push(`I2: t${token} published after t${this.#published}`);
    if (before !== undefined && !/^[LR]/.test(before))
      this.violations.push(`I3: t${token} published over ${before[0]}`);
    this.#published = Math.max(token, this.#published);
  }
}

function tokenIn(value: string | undefined): number {
  if (value === undefined || !/^[TR]/.test(value)) return 0;
  const text = Buffer.from(value.slice(1), "base64url").toString();
  const record = JSON.parse(text) as { token: { response: { access_token: string } } };
  return Number(record.token.response.access_token.slice(1));
}

/** One process: everything that comes to it passes through here, so that it can be stopped. */
class SimulatedProcess {
  isDead = false;
  isCut = false;
  #paused = 0;
  #waiting: (() => void)[] = [];
  readonly #clock: ManualClock;
  readonly cache: TokenCache;

  constructor(clock: ManualClock, store: Store, servers: Servers, plan: FleetPlan, delay: () => number) {
    this.#clock = clock;
    const reach = async (...swap: Parameters<Store["swap"]>): ReturnType<Store["swap"]> => {
      await passed(clock, delay());
      if (this.isCut) return new Promise(() => {});
      const result = await store.swap(...swap);
      await passed(clock, delay());
      await this.#running();
      return result;
    };
    this.cache = createTokenCache({
      grant: grantOf({
        key: "orders",
        mint: async () => {
          const access_token = await servers.mint().finally(() => this.#running());
          return { access_token, expires_in: plan.expiresIn };
        },
      }),
      origins: ["https://api.example"],
      mintRetries: 0,
      mintTimeout: 30_000,
      clock: { now: () => clock.now(), monotonic: () => clock.monotonic(), setTimeout: this.#setTimeout },
      store: fleetStore({ swap: reach }, { encryptionKey: "none", lease: 3000, callTimeout: 500 }),
    });
  }

  readonly #setTimeout: Clock["setTimeout"] = (fire, ms) => {
    let isCancelled = false;
    const timer = this.#clock.setTimeout(() => {
      if (this.#paused === 0 && !this.isDead) fire();
      else void this.#running().then(() => isCancelled || fire());
    }, ms);
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
      hold: () => {},
    };
  };

  pause(ms: number): void {
    this.#paused++;
    this.#clock.setTimeout(() => {
      this.#paused--;
      for (const go of this.#waiting.splice(0)) go();
    }, ms);
  }

  async #running(): Promise<void> {
    while (this.#paused > 0 || this.isDead) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

function passed(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimeout(resolve, ms));
}

/** The next of a list, over and over. */
function cycle(values: readonly number[]): () => number {
  let next = 0;
  return () => values[next++ % values.length] ?? 0;
}

/** Runs a plan to its end. */
export async function runFleet(plan: FleetPlan): Promise<FleetOutcome> {
  const clock = manualClock();
  const servers = new Servers(clock, cycle(plan.mintDelays));
  const store = new WatchedStore(clock);
  const delay = cycle(plan.storeDelays);
  const processes = Array.from(
    { length: plan.processes },
    () => new SimulatedProcess(clock, store, servers, plan, delay),
  );
  const calls: { readonly process: SimulatedProcess; outcome: number | string | undefined }[] = [];

  const call = (process: SimulatedProcess): void => {
    const made: (typeof calls)[number] = { process, outcome: undefined };
    calls.push(made);
    withToken(process.cache, { url: URL }, exchangeOf(servers)).then(
      (status) => (made.outcome = status),
      (error: unknown) => (made.outcome = isRemintError(error) ? error.code : String(error)),
    );
  };
  const at = (who: number): SimulatedProcess => processes[who % processes.length]!;

  for (const { after, event } of plan.events) {
    await clock.advance(after);
    if (event.what === "call") call(at(event.who));
    else if (event.what === "revoke") servers.revoke();
    else if (event.what === "crash") at(event.who).isDead = true;
    else if (event.what === "pause") at(event.who).pause(event.for);
    else if (event.what === "cut") cut(clock, at(event.who), event.for);
    else if (event.what === "flush") await store.tamper(undefined);
    else if (event.what === "garble") await store.tamper("Tgarbled");
    else servers.failing++;
  }
  // Longer than any path may take, and than every memory of a failure.
  await clock.advance(90_000);
  const mintsAtEnd = servers.mints;
  const mintsAfterwards = await revokeOnceMore(clock, servers, processes, call);
  const living = calls.filter(({ process }) => !process.isDead);
  return {
    mints: mintsAtEnd,
    mostMintsAtOnce: servers.mostAtOnce,
    outcomes: living.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome])),
    hanging: living.filter(({ outcome }) => outcome === undefined).length,
    violations: store.violations,
    mintsAfterwards,
  };
}

function cut(clock: Clock, process: SimulatedProcess, ms: number): void {
  process.isCut = true;
  clock.setTimeout(() => (process.isCut = false), ms);
}

/** When all is well again, everybody has one token, and losing it costs one mint. */
async function revokeOnceMore(
  clock: ManualClock,
  servers: Servers,
  processes: readonly SimulatedProcess[],
  call: (process: SimulatedProcess) => void,
): Promise<number> {
  const living = processes.filter(({ isDead }) => !isDead);
  for (let round = 0; round < 2; round++) {
    // The first revocation makes all tokens one again, those that were minted beside the store too.
    for (const process of living) call(process);
    await clock.advance(40_000);
    servers.revoke();
    for (const process of living) call(process);
    await clock.advance(40_000);
  }
  const before = servers.mints;
  servers.revoke();
  for (const process of living) call(process);
  await clock.advance(20_000);
  return servers.mints - before;
}

function exchangeOf(servers: Servers): ClientSeam<PolicyRequest, number> {
  return {
    send: async (_, token) => servers.status(token?.value),
    status: (answer) => answer,
    header: () => null,
    canResend: () => true,
  };
}
