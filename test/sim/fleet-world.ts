/**
 * A fleet on virtual time: the real cache, request policy and fleet protocol, in several simulated processes that die, pause,
 * lose their store and get no tokens from the server; an authorization server and an API; and a store into which somebody can
 * put old records. What the processes do is judged while it happens, in fleet-judge.ts.
 *
 * The grant has no state. Sessions are in session-world.ts.
 */
import { grantOf } from "../../src/core/grant.ts";
import { storeKey } from "../../src/fleet/record-name.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, isRemintError, RemintError, TokenEndpointError } from "../../src/index.ts";
import { retrying } from "../../src/grants/retry.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import { FleetJudge, UNANSWERED, type MintOutcome } from "./fleet-judge.ts";
import { seeded } from "./seeded.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Store } from "../../src/fleet/index.ts";
import type { TokenCache } from "../../src/index.ts";
import type { ClientSeam, PolicyRequest } from "../../src/policy/client-seam.ts";

const URL = "https://api.example/orders";
const SERVER = { endpoint: "https://auth.example/token", client: "app", target: "" } as const;
/** Two grants at one server with one client: each has a record. */
const KEYS = ["orders", "invoices"] as const;
type Key = (typeof KEYS)[number];
/** How long the server asks a client to wait that it limits. */
const RETRY_AFTER = 8000;
const LEASE = 3000;

/** An event of a run. `who` is the number of a process, and `for` a duration in milliseconds. */
export type FleetEvent =
  | { readonly what: "call"; readonly who: number; readonly key?: Key }
  | { readonly what: "revoke" }
  | { readonly what: "crash"; readonly who: number }
  /** The process dies at one of its next steps: before or after a call to the store, or to the server. */
  | { readonly what: "die"; readonly who: number; readonly steps: number }
  | { readonly what: "pause"; readonly who: number; readonly for: number }
  | { readonly what: "cut"; readonly who: number; readonly for: number }
  /** The token requests of the process fail from now on, and no others do. */
  | { readonly what: "sick"; readonly who: number; readonly how: Sickness }
  | { readonly what: "well"; readonly who: number }
  /** The server takes so long for every token request from now on. */
  | { readonly what: "slow"; readonly for: number }
  | { readonly what: "wait"; readonly for: number }
  | { readonly what: "flush" }
  | { readonly what: "garble" }
  /** Somebody puts back what the record held so many writes ago. */
  | { readonly what: "replay"; readonly ago: number }
  | { readonly what: "fail" };

/** `refused`: the connection. `secret`: a wrong one. `silent`: no answer. `limited`: 429 with `Retry-After`. */
export type Sickness = "refused" | "secret" | "down" | "silent" | "limited";

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
  /** How often a request that failed is repeated within one mint. */
  readonly retries?: number;
}

/** The outcome of a run. */
export interface FleetOutcome {
  readonly mints: number;
  readonly mostMintsAtOnce: number;
  /** The status or error code of each caller whose process did not die. */
  readonly outcomes: readonly (number | string)[];
  /** The same of the processes whose token requests were all answered. */
  readonly outcomesOfHealthy: readonly (number | string)[];
  /** The longest that a caller of such a process has waited. Milliseconds. */
  readonly longestOfHealthy: number;
  /** The number of callers of living processes without an outcome. */
  readonly hanging: number;
  /** The rules that were broken: fleet-judge.ts. */
  readonly violations: readonly string[];
  /** How often each thing happened that a rule is about. */
  readonly seen: ReadonlyMap<string, number>;
  /** The number of mints for one more revocation at the end, after a time without faults. */
  readonly mintsAfterwards: number;
}

/** The authorization server and the API it protects. */
class Servers {
  mints = 0;
  atOnce = 0;
  mostAtOnce = 0;
  failing = 0;
  /** Milliseconds of every mint; `undefined`: those of the plan. */
  slow: number | undefined;
  #liveFrom = 1;
  #minted = 0;
  readonly #clock: Clock;
  readonly #delay: () => number;

  constructor(clock: Clock, delay: () => number) {
    this.#clock = clock;
    this.#delay = delay;
  }

  async mint(): Promise<string> {
    this.mints++;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    await sleep(this.#clock, this.slow ?? this.#delay());
    this.atOnce--;
    if (this.failing > 0) {
      this.failing--;
      throw new TokenEndpointError(503, "down");
    }
    return `t${++this.#minted}`;
  }

  revoke(): void {
    this.#liveFrom = this.#minted + 1;
  }

  status(token: string | undefined): number {
    return token !== undefined && Number(token.slice(1)) >= this.#liveFrom ? 200 : 401;
  }
}

/** A store that tells the judge what is written, and keeps copies of it. */
class WatchedStore {
  readonly #store: Store;
  readonly #judge: FleetJudge;
  readonly #copies: string[] = [];
  #key = "";

  constructor(clock: Clock, judge: FleetJudge) {
    this.#store = memoryStore({ clock });
    this.#judge = judge;
  }

  async swap(by: object, ...[key, expected, next, ttl]: Parameters<Store["swap"]>): ReturnType<Store["swap"]> {
    this.#key = key;
    const result = await this.#store.swap(key, expected, next, ttl);
    if (!result.ok) return result;
    this.#judge.stored(by, key, result.version, next);
    if (next !== undefined) this.#copies.push(next);
    return result;
  }

  /** Replaces or deletes the record, as no process would. */
  async tamper(value: string | undefined): Promise<void> {
    const found = await this.#store.swap(this.#key, "?", undefined, 1);
    const version = found.ok ? undefined : found.current?.version;
    if (version === undefined && value === undefined) return;
    const done = await this.#store.swap(this.#key, version, value, 3_600_000);
    this.#judge.stored(undefined, this.#key, done.ok ? done.version : undefined, value);
  }

  async replay(ago: number): Promise<void> {
    const copy = this.#copies.at(-1 - ago);
    if (copy !== undefined) await this.tamper(copy);
  }
}

/** One process. All answers and timers of the process pass through this class, so that it can be held up or killed. */
class SimulatedProcess {
  isDead = false;
  isCut = false;
  sickness: Sickness | undefined;
  /** A token request of it was not answered, or with a failure. */
  wasSick = false;
  /** The number of steps after which it dies. */
  diesAfter = Infinity;
  readonly caches: Readonly<Record<Key, TokenCache>>;
  #paused = 0;
  #held: (() => void)[] = [];
  readonly #world: World;

  constructor(world: World, plan: FleetPlan, delay: () => number) {
    this.#world = world;
    const { clock, store, judge } = world;
    judge.join(this);
    const reach = async (...swap: Parameters<Store["swap"]>): ReturnType<Store["swap"]> => {
      const sentAt = clock.monotonic();
      await this.#step();
      await sleep(clock, delay());
      if (this.isCut || this.isDead) return new Promise(() => {});
      const result = await store.swap(this, ...swap);
      await sleep(clock, delay());
      await this.#step();
      judge.answered(this, [swap[0], swap[1], swap[2]], result, sentAt);
      return result;
    };
    const { retries = 0, expiresIn } = plan;
    const engine = fleetStore({ swap: reach }, { encryptionKey: "none", lease: LEASE, callTimeout: 500 });
    const cacheOf = (key: Key): TokenCache =>
      createTokenCache({
        grant: grantOf({
          key,
          server: SERVER,
          isRepeatable: true,
          ...(retries > 0 && { retry: retrying }),
          mint: async ({ signal }) => {
            const access_token = await this.#mint(key, signal);
            return { response: { access_token, expires_in: expiresIn } };
          },
        }),
        origins: ["https://api.example"],
        mintRetries: retries,
        mintTimeout: 30_000,
        warnings: false,
        clock: { now: () => clock.now(), monotonic: () => clock.monotonic(), setTimeout: this.#setTimeout },
        store: engine,
      });
    this.caches = { orders: cacheOf("orders"), invoices: cacheOf("invoices") };
  }

  get isHealthy(): boolean {
    return !this.isDead && !this.wasSick;
  }

  pause(ms: number): void {
    this.#world.judge.disturbed(this);
    this.#paused++;
    this.#world.clock.setTimeout(() => {
      this.#paused--;
      this.#goOn();
    }, ms);
  }

  die(): void {
    this.#world.judge.disturbed(this);
    this.isDead = true;
  }

  async #mint(key: Key, signal: AbortSignal): Promise<string> {
    const { judge, servers } = this.#world;
    await this.#step();
    const over = judge.mints(this, recordOf(key));
    const fail = (outcome: Omit<MintOutcome & { kind: "failure" }, "kind">): void =>
      over({ kind: "failure", ...outcome });
    signal.addEventListener("abort", () => fail({ isOfServer: true, isUnsent: false }), { once: true });
    if (this.sickness === undefined) {
      try {
        const token = await servers.mint();
        await this.#step();
        if (!signal.aborted) over({ kind: "token" });
        return token;
      } catch (error) {
        await this.#step();
        this.wasSick = true;
        if (!signal.aborted) fail({ isOfServer: true, isUnsent: false });
        throw error;
      }
    }
    this.wasSick = true;
    await sleep(this.#world.clock, 1);
    await this.#step();
    if (this.sickness === "silent") return new Promise(() => {});
    const isUnsent = this.sickness === "refused";
    const retryAfter = this.sickness === "limited" ? RETRY_AFTER : undefined;
    fail({ isOfServer: true, isUnsent, retryAfter });
    throw errorOf(this.sickness);
  }

  readonly #setTimeout: Clock["setTimeout"] = (fire, ms) => {
    let isCancelled = false;
    const timer = this.#world.clock.setTimeout(() => {
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

  #goOn(): void {
    for (const go of this.#held.splice(0)) go();
  }

  async #step(): Promise<void> {
    if (--this.diesAfter < 0) this.die();
    await this.#running();
  }

  async #running(): Promise<void> {
    while (this.#paused > 0 || this.isDead) await new Promise<void>((resolve) => this.#held.push(resolve));
  }
}

/** The key of the record in the store. */
function recordOf(key: Key): string {
  return storeKey("remint", JSON.stringify(["token", key, null, null]));
}

function errorOf(sickness: Exclude<Sickness, "silent">): Error {
  if (sickness === "secret") return new TokenEndpointError(401, "refused", { error: "invalid_client" });
  // A mint that repeats its request has not failed before the last one.
  if (sickness === "down") return new TokenEndpointError(503, "down", { retryable: false });
  if (sickness === "limited") {
    return new TokenEndpointError(429, "slow down", { retryAfter: RETRY_AFTER, retryable: true });
  }
  const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  return new RemintError("ERR_TOKEN_NETWORK", "no token is available", { cause, retryable: true });
}

function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimeout(resolve, ms));
}

/** Returns a function that returns the values of a list in turn. */
function cycle(values: readonly number[]): () => number {
  let next = 0;
  return () => values[next++ % values.length] ?? 0;
}

/** Runs a plan and returns its outcome. Equal plans have equal outcomes. */
export function runFleet(plan: FleetPlan): Promise<FleetOutcome> {
  return seeded(() => new World(plan).run());
}

interface Call {
  readonly process: SimulatedProcess;
  outcome: number | string | undefined;
  waited: number;
}

function outcomesOf(calls: readonly Call[]): (number | string)[] {
  return calls.flatMap(({ outcome }) => outcome ?? []);
}

class World {
  readonly clock = manualClock();
  readonly plan: FleetPlan;
  readonly servers: Servers;
  readonly judge: FleetJudge;
  readonly store: WatchedStore;
  readonly #processes: readonly SimulatedProcess[];
  readonly #calls: Call[] = [];

  constructor(plan: FleetPlan) {
    this.plan = plan;
    this.servers = new Servers(this.clock, cycle(plan.mintDelays));
    this.judge = new FleetJudge(this.clock, {
      roundTrip: 2 * Math.max(...plan.storeDelays),
      isSteady: plan.expiresIn > 1000 && !plan.events.some(({ event }) => event.what === "revoke"),
      repeats: (plan.retries ?? 0) > 0,
      servedWithin: servedWithin(plan),
      // Looks, the claim and the publication, for the token and once more after a rejection.
      promptly: 2 * (longestMint(plan) + 4 * 2 * Math.max(...plan.storeDelays)) + 1,
    });
    this.store = new WatchedStore(this.clock, this.judge);
    const delay = cycle(plan.storeDelays);
    this.#processes = Array.from({ length: plan.processes }, () => new SimulatedProcess(this, plan, delay));
  }

  async run(): Promise<FleetOutcome> {
    for (const { after, event } of this.plan.events) {
      await this.clock.advance(after);
      await this.#happen(event);
    }
    // 90 s are longer than any call can take, and longer than any failure is kept.
    await this.clock.advance(90_000);
    const mints = this.servers.mints;
    const { violations } = this.judge;
    const made = this.#calls.filter(({ process }) => !process.isDead);
    const ofHealthy = made.filter(({ process }) => process.isHealthy);
    const seen = new Map(this.judge.seen);
    const broken = [...violations];
    const mostMintsAtOnce = this.servers.mostAtOnce;
    const mintsAfterwards = await this.#revokeOnceMore();
    return {
      mints,
      mostMintsAtOnce,
      outcomes: outcomesOf(made),
      outcomesOfHealthy: outcomesOf(ofHealthy),
      longestOfHealthy: Math.max(0, ...ofHealthy.map(({ waited }) => waited)),
      hanging: made.filter(({ outcome }) => outcome === undefined).length,
      violations: broken,
      seen,
      mintsAfterwards,
    };
  }

  async #happen(event: FleetEvent): Promise<void> {
    switch (event.what) {
      case "call":
        this.#call(this.#at(event.who), event.key);
        break;
      case "revoke":
        this.servers.revoke();
        break;
      case "crash":
        this.#at(event.who).die();
        break;
      case "die":
        this.#at(event.who).diesAfter = event.steps;
        break;
      case "pause":
        this.#at(event.who).pause(event.for);
        break;
      case "cut":
        this.#cut(this.#at(event.who), event.for);
        break;
      case "sick":
        this.#at(event.who).sickness = event.how;
        break;
      case "well":
        this.#at(event.who).sickness = undefined;
        break;
      case "slow":
        this.servers.slow = event.for;
        break;
      case "wait":
        await this.clock.advance(event.for);
        break;
      case "flush":
      case "garble":
        this.judge.isUnsettled = true;
        await this.store.tamper(event.what === "flush" ? undefined : "1Tgarbled");
        break;
      case "replay":
        this.judge.isUnsettled = true;
        await this.store.replay(event.ago);
        break;
      case "fail":
        this.judge.isUnsettled = true;
        this.servers.failing++;
        break;
    }
  }

  #at(who: number): SimulatedProcess {
    return this.#processes[who % this.#processes.length]!;
  }

  #call(process: SimulatedProcess, key: Key = "orders"): void {
    const made: Call = { process, outcome: undefined, waited: 0 };
    this.#calls.push(made);
    const over = this.judge.called(process, recordOf(key));
    const end = (outcome: number | string): void => {
      made.outcome = outcome;
      made.waited = over(outcome);
    };
    withToken(process.caches[key], { url: URL }, clientOf(this.servers)).then(end, (error: unknown) =>
      end(isRemintError(error) ? error.code : String(error)),
    );
  }

  #cut(process: SimulatedProcess, ms: number): void {
    this.judge.disturbed(process);
    process.isCut = true;
    this.clock.setTimeout(() => (process.isCut = false), ms);
  }

  /** Lets the fleet recover until all processes share one token, revokes that token, and returns the number of mints. */
  async #revokeOnceMore(): Promise<number> {
    const { clock, servers } = this;
    servers.slow = undefined;
    const living = this.#processes.filter(({ isDead }) => !isDead);
    for (const process of living) process.sickness = undefined;
    for (let round = 0; round < 2; round++) {
      // After the first revocation all processes share one token, also those that had minted without the store.
      for (const process of living) this.#call(process);
      await clock.advance(40_000);
      servers.revoke();
      for (const process of living) this.#call(process);
      await clock.advance(40_000);
    }
    const before = servers.mints;
    servers.revoke();
    for (const process of living) this.#call(process);
    await clock.advance(20_000);
    return servers.mints - before;
  }
}

/** A silent holder is waited for 2 s, a dead one until its lease ends. A resend after a rejection waits for another mint. */
function servedWithin(plan: FleetPlan): number {
  const deaths = plan.events.filter(({ event }) => event.what === "die" || event.what === "crash").length;
  const looks = 1000;
  return 2 * (UNANSWERED + longestMint(plan) + looks) + deaths * (LEASE + looks);
}

function longestMint({ events, mintDelays }: FleetPlan): number {
  return Math.max(...mintDelays, ...events.map(({ event }) => (event.what === "slow" ? event.for : 0)));
}

function clientOf(servers: Servers): ClientSeam<PolicyRequest, number> {
  return {
    send: async (_, headers) => servers.status(headers?.["authorization"]?.split(" ")[1]),
    status: (answer) => answer,
    header: () => null,
    canResend: () => true,
  };
}
