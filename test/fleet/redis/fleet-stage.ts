/** A fleet of processes with its Redis, token endpoint and API, and the steps that the tests repeat. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { FleetProcesses, type Calls, type Opening } from "./fleet-parent.ts";
import { contents, readable } from "./fleet-scan.ts";
import { Api, TokenEndpoint } from "./fleet-servers.ts";
import { RedisServer } from "./redis-server.ts";

/** The password of the clients. A test can set another one on the server. */
export const PASSWORD = "right";

/** Milliseconds that a busy machine may need to start a fleet. */
export const START_LIMIT = 120_000;

/** Milliseconds after which the store is asked again after a failure: at most 1.25 s, and a margin. */
const BREAKER = 1300;

/** The outcomes of a burst of calls, with the mints that it caused. */
export interface Outcome extends Calls {
  /** The number of requests to the token endpoint during the burst. */
  readonly mints: number;
  /** The largest number of these requests from one process. */
  readonly mostByOne: number;
}

/** The fleet and its servers. */
export class Stage implements AsyncDisposable {
  readonly redis: RedisServer;
  readonly endpoint: TokenEndpoint;
  readonly api: Api;
  readonly fleet: FleetProcesses;
  /** The number of callers in each process. */
  readonly callers: number;
  readonly encryptionKey: string = anyKey();
  #records = 0;
  #opening: Opening | undefined;

  private constructor(parts: Pick<Stage, "redis" | "endpoint" | "api" | "fleet" | "callers">) {
    this.redis = parts.redis;
    this.endpoint = parts.endpoint;
    this.api = parts.api;
    this.fleet = parts.fleet;
    this.callers = parts.callers;
  }

  static async start(size: number, callers: number): Promise<Stage> {
    const redis = await RedisServer.start({ requirepass: PASSWORD });
    const endpoint = await new TokenEndpoint().listen();
    const api = await new Api(endpoint).listen();
    const fleet = await FleetProcesses.start(size);
    return new Stage({ redis, endpoint, api, fleet, callers });
  }

  /** The number of processes. */
  get size(): number {
    return this.fleet.processes.length;
  }

  /** Empties Redis, resets the servers, and opens a new cache in every process, for a token that was never minted. */
  async open(options: Partial<Opening> = {}): Promise<void> {
    await this.redis.command("FLUSHALL");
    this.endpoint.reset();
    this.api.reset();
    this.#opening = {
      record: `record-${++this.#records}`,
      redis: { port: this.redis.port, password: PASSWORD },
      api: this.api.origin,
      tokenEndpoint: this.endpoint.tokenEndpoint,
      encryptionKey: this.encryptionKey,
      ...options,
    };
    await this.fleet.open(this.#opening);
  }

  /** Kills a process if it runs, and starts a new one with a cache in its place. */
  async replace(number: number): Promise<void> {
    const process = await this.fleet.replace(number);
    await process.tell("open", this.#opening!);
    await process.tell("connected");
  }

  /** Opens the cache of a process anew. Its connections to the token endpoint are refused from now on. */
  async cutOff(number: number): Promise<void> {
    const process = this.fleet.processes[number]!;
    await process.tell("open", { ...this.#opening!, isCutOff: true });
    await process.tell("connected");
  }

  /** Lets every process get the token. */
  async share(): Promise<void> {
    await this.fleet.burst(1);
  }

  /** Lets all callers of all processes send a request at the same time. */
  async burst(act?: () => void): Promise<Outcome> {
    const { endpoint } = this;
    const before = { mints: endpoint.mints, minters: endpoint.minters.length };
    act?.();
    const calls = await this.fleet.burst(this.callers);
    const minters = endpoint.minters.slice(before.minters);
    const mostByOne = Math.max(0, ...minters.map((one) => minters.filter((other) => other === one).length));
    return { ...calls, mints: endpoint.mints - before.mints, mostByOne };
  }

  /** Revokes all tokens, then lets all callers of all processes send a request at the same time. */
  revocation(): Promise<Outcome> {
    return this.burst(() => this.endpoint.revokeAll());
  }

  /**
   * Waits until every process reaches Redis. Then revokes all tokens, again and again, until a revocation takes the fleet only
   * one mint.
   *
   * @returns The outcome of each revocation.
   */
  async recovery(most = 4): Promise<Outcome[]> {
    await this.fleet.each((process) => process.tell("reaches"));
    const outcomes: Outcome[] = [];
    do {
      // The pauses double, because the storm guard delays mints for tokens that are rejected soon after their mint (C8).
      await sleep(BREAKER * 2 ** outcomes.length);
      outcomes.push(await this.revocation());
    } while (outcomes.at(-1)!.mints > 1 && outcomes.length < most);
    return outcomes;
  }

  /** Returns the key of the fleet's record. */
  async key(): Promise<string> {
    const keys = (await this.redis.command("KEYS", "*")) as string[];
    if (keys.length !== 1) throw new Error(`there are ${keys.length} keys`);
    return keys[0]!;
  }

  /** Returns the fleet's record as Redis has it. */
  async record(): Promise<string> {
    return String(await this.redis.command("GET", await this.key()));
  }

  /** Returns the number of commands that Redis got since {@link RedisServer.resetCommands}. */
  async commands(): Promise<number> {
    return [...(await this.redis.commands()).values()].reduce((sum, { calls, rejected }) => sum + calls + rejected, 0);
  }

  /** Returns the tokens, of all that were ever issued, that can be read in the current content of Redis. */
  async readableTokens(): Promise<string[]> {
    return readable(await contents(this.redis.port, PASSWORD), this.endpoint.issued);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fleet[Symbol.asyncDispose]();
    await Promise.all([this.endpoint, this.api, this.redis].map((part) => part[Symbol.asyncDispose]()));
  }
}

/** Returns a random encryption key for a fleet's records. */
export function anyKey(): string {
  return randomBytes(32).toString("base64");
}
