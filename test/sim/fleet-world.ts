/**
 * A fleet on virtual time: the real cache, request policy and fleet protocol, in several simulated processes that crash, pause
 * and lose their store; an authorization server and an API; and a store that checks every write.
 */
import { grantOf } from "../../src/core/grant.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, isRemintError } from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Store } from "../../src/fleet/index.ts";
import type { TokenCache } from "../../src/index.ts";
import type { ClientSeam, PolicyRequest } from "../../src/policy/client-seam.ts";
import type { ManualClock } from "../../src/testing/index.ts";

const URL = "https://api.example/orders";

/** An event of a run. `who` is the number of a process, and `for` a duration in milliseconds. */
export type FleetEvent =
  | { readonly what: "call"; readonly who: number }
  | { readonly what: "revoke" }
  | { readonly what: "crash"; readonly who: number }
  | { readonly what: "pause"; readonly who: number; readonly for: number }
  | { readonly what: "cut"; readonly who: number; readonly for: number }
  | { readonly what: "flush" }
  | { readonly what: "garble" }
  | { readonly what: "fail" };

/** The plan of a run: its events, and all durations. */
export interface FleetPlan {
  readonly processes: number;
  /** The events, each with the milliseconds after the one before. */
  readonly events: readonly { readonly after: number; readonly event: FleetEvent }[];
  /** Milliseconds of each way to and from the store, used in turn. */
  readonly storeDelays: readonly number[];
  /** Milliseconds of a mint, used in turn. */
  readonly mintDelays: readonly number[];
  /** The lifetime of a token in seconds. */
  readonly expiresIn: number;
}

/** The outcome of a run. */
export interface FleetOutcome {
  readonly mints: number;
  readonly mostMintsAtOnce: number;
  /** The status or error code of each caller whose process did not crash. */
  readonly outcomes: readonly (number | string)[];
  /** The number of callers of living processes without an outcome. */
  readonly hanging: number;
  /** The rules that a write to the store broke. */
  readonly violations: readonly string[];
  /** The number of mints for one more revocation at the end, after a time without faults. */
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
    await sleep(this.#clock, this.#delay());
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

/** A store that checks the order of the tokens that are written to it. */
class CheckedStore implements Store {
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

  /** Replaces or deletes the record, as no process would. */
  async tamper(value: string | undefined): Promise<void> {
    const found = await this.#store.swap(this.#key, "?", undefined, 1);
    const version = found.ok ? undefined : found.current?.version;
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
    if (token <= this.#published) this.violations.push(`t${token} published after t${this.#published}`);
    if (before !== undefined && !/^[LR]/.test(before)) this.violations.push(`t${token} published over ${before[0]}`);
    this.#published = Math.max(token, this.#published);
  }
}

function tokenIn(value: string | undefined): number {
  if (value === undefined || !/^[TR]/.test(value)) return 0;
  const text = Buffer.from(value.slice(1), "base64url").toString();
  const record = JSON.parse(text) as { token: { response: { access_token: string } } };
  return Number(record.token.response.access_token.slice(1));
}

/** One process. All answers and timers of the process pass through this class, so that it can be paused or killed. */
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
      await sleep(clock, delay());
      if (this.isCut) return new Promise(() => {});
      const result = await store.swap(...swap);
      await sleep(clock, delay());
      await this.#running();
      return result;
    };
    this.cache = createTokenCache({
      grant: grantOf({
        key: "orders",
        isRepeatable: true,
        mint: async () => {
          const access_token = await servers.mint().finally(() => this.#running());
          return { response: { access_token, expires_in: plan.expiresIn } };
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

function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimeout(resolve, ms));
}

/** Returns a function that returns the values of a list in turn. */
function cycle(values: readonly number[]): () => number {
  let next = 0;
  return () => values[next++ % values.length] ?? 0;
}

/** Runs a plan and returns its outcome. */
export async function runFleet(plan: FleetPlan): Promise<FleetOutcome> {
  const clock = manualClock();
  const servers = new Servers(clock, cycle(plan.mintDelays));
  const store = new CheckedStore(clock);
  const delay = cycle(plan.storeDelays);
  const processes = Array.from(
    { length: plan.processes },
    () => new SimulatedProcess(clock, store, servers, plan, delay),
  );
  const calls: { readonly process: SimulatedProcess; outcome: number | string | undefined }[] = [];

  const call = (process: SimulatedProcess): void => {
    const made: (typeof calls)[number] = { process, outcome: undefined };
    calls.push(made);
    withToken(process.cache, { url: URL }, clientOf(servers)).then(
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
  // 90 s are longer than any call can take, and longer than any failure is kept.
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

/** Lets the fleet recover until all processes share one token, revokes that token, and returns the number of mints. */
async function revokeOnceMore(
  clock: ManualClock,
  servers: Servers,
  processes: readonly SimulatedProcess[],
  call: (process: SimulatedProcess) => void,
): Promise<number> {
  const living = processes.filter(({ isDead }) => !isDead);
  for (let round = 0; round < 2; round++) {
    // After the first revocation all processes share one token, also those that had minted without the store.
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

function clientOf(servers: Servers): ClientSeam<PolicyRequest, number> {
  return {
    send: async (_, headers) => servers.status(headers?.["authorization"]?.split(" ")[1]),
    status: (answer) => answer,
    header: () => null,
    canResend: () => true,
  };
}
