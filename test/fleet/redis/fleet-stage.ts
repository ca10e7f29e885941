/**
 * A fleet of processes with all that it works against, and what is done to it again and again.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { FleetProcesses, type Calls, type Opening } from "./fleet-parent.ts";
import { contents, readable } from "./fleet-scan.ts";
import { Api, TokenEndpoint } from "./fleet-servers.ts";
import { RedisServer } from "./redis-server.ts";

/** What clients give; the server can be made to want another one. */
export const PASSWORD = "right";

/** Milliseconds a busy machine may take to start a fleet. */
export const START_LIMIT = 120_000;

/** After a failure the store is not asked for up to 1.25 s. */
const BREAKER = 1300;

/** What is said when the token was gone for a number of calls. */
export interface Outcome extends Calls {
  /** Requests to the token endpoint meanwhile. */
  readonly mints: number;
  /** The most requests of one process. */
  readonly mostByOne: number;
}

/** See the top of this file. */
export class Stage implements AsyncDisposable {
  readonly redis: RedisServer;
  readonly endpoint: TokenEndpoint;
  readonly api: Api;
  readonly fleet: FleetProcesses;
  /** How many callers each process has. */
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

  /** How many processes there are. */
  get size(): number {
    return this.fleet.processes.length;
  }

  /** Everybody with a new cache and a token that was never minted; whatever was before is forgotten. */
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

  /** A new process in the place of one that was, or is to be, killed. */
  async replace(number: number): Promise<void> {
    const process = await this.fleet.replace(number);
    await process.tell("open", this.#opening!);
    await process.tell("connected");
  }

  /** Every process gets the token. */
  async share(): Promise<void> {
    await this.fleet.burst(1);
  }

  /** All callers of all processes at once. */
  async burst(act?: () => void): Promise<Outcome> {
    const { endpoint } = this;
    const before = { mints: endpoint.mints, minters: endpoint.minters.length };
    act?.();
    const calls = await this.fleet.burst(this.callers);
    const minters = endpoint.minters.slice(before.minters);
    const mostByOne = Math.max(0, ...minters.map((one) => minters.filter((other) => other === one).length));
    return { ...calls, mints: endpoint.mints - before.mints, mostByOne };
  }

  /** No token is good any more, and all callers of all processes find that out at once. */
  revocation(): Promise<Outcome> {
    return this.burst(() => this.endpoint.revokeAll());
  }

  /**
   * Revokes until that costs the fleet one mint again, from when Redis can be reached.
   *
   * @returns The outcome of every time.
   */
  async recovery(most = 4): Promise<Outcome[]> {
    await this.fleet.each((process) => process.tell("reaches"));
    const outcomes: Outcome[] = [];
    do {
      // Longer and longer: tokens that are rejected soon after their mint are replaced less and less often (C8).
      await sleep(BREAKER * 2 ** outcomes.length);
      outcomes.push(await this.revocation());
    } while (outcomes.at(-1)!.mints > 1 && outcomes.length < most);
    return outcomes;
  }

  /** Where the fleet's record is. */
  async key(): Promise<string> {
    const keys = (await this.redis.command("KEYS", "*")) as string[];
    if (keys.length !== 1) throw new Error(`there are ${keys.length} keys`);
    return keys[0]!;
  }

  /** The fleet's record, as it is. */
  async record(): Promise<string> {
    return String(await this.redis.command("GET", await this.key()));
  }

  /** How many commands Redis was asked since {@link RedisServer.resetCommands}. */
  async commands(): Promise<number> {
    return [...(await this.redis.commands()).values()].reduce((sum, { calls, rejected }) => sum + calls + rejected, 0);
  }

  /** The tokens, of all there ever were, that can be read in what Redis holds now. */
  async readableTokens(): Promise<string[]> {
    return readable(await contents(this.redis.port, PASSWORD), this.endpoint.issued);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fleet[Symbol.asyncDispose]();
    await Promise.all([this.endpoint, this.api, this.redis].map((part) => part[Symbol.asyncDispose]()));
  }
}

/** A key for a fleet's records. */
export function anyKey(): string {
  return randomBytes(32).toString("base64");
}
