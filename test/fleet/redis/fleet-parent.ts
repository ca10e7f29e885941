/**
 * A fleet of real processes, started, directed, frozen and killed by the test: each is a Node process of its own with a
 * Redis client of its own, in turn those of ioredis 6 and 5 and of node-redis 6 and 5.
 *
 * @module
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ChildProcess } from "node:child_process";
import type { FleetOptions } from "../../../src/fleet/fleet-store.ts";
import type { TokenCacheOptions } from "../../../src/index.ts";
import type { Address } from "./fleet-clients.ts";

/** What a process opens its cache with. */
export interface Opening extends Pick<
  TokenCacheOptions,
  "refreshBuffer" | "minValidity" | "mintTimeout" | "mintRetries"
> {
  /** Another one is another token. */
  readonly record: string;
  readonly redis: Address;
  readonly api: string;
  readonly tokenEndpoint: string;
  /** In base64, or "none". */
  readonly encryptionKey: string;
  readonly fleet?: Omit<FleetOptions, "encryptionKey"> | undefined;
}

/** What some calls came to. */
export interface Calls {
  readonly served: number;
  /** Those that got a 401. */
  readonly unauthorized: number;
  readonly errors: readonly string[];
  /** Milliseconds each took. */
  readonly waits: readonly number[];
}

/** Calls that go on until they are stopped. */
export interface Load {
  readonly callers: number;
  /** Milliseconds between two calls of one caller, more or less. */
  readonly pause: number;
  readonly path: string;
}

/** What a process can be told. */
export interface Commands {
  open(opening: Opening): Promise<void>;
  /** Resolves when its Redis client is connected. */
  connected(argument?: undefined): Promise<void>;
  /** Resolves when Redis answers that client. */
  reaches(argument?: undefined): Promise<void>;
  burst(argument: { readonly callers: number; readonly path: string }): Promise<Calls>;
  start(load: Load): Promise<void>;
  stop(argument?: undefined): Promise<Calls>;
  /** How many events of each name its cache has told. */
  events(argument?: undefined): Promise<Readonly<Record<string, number>>>;
  close(argument?: undefined): Promise<void>;
}

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

const CHILD = fileURLToPath(new URL("fleet-child.ts", import.meta.url));

/** One process. */
export class FleetProcess {
  readonly number: number;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;

  constructor(number: number) {
    this.number = number;
    this.#child = fork(CHILD, [String(number)], { execArgv: ["--import", "tsx"] });
    this.#child.on("message", (message) => this.#settle(message as never));
    this.#child.on("exit", () => this.#fail("ended"));
  }

  /** Tells it something; resolves with what it answers. */
  tell<Name extends keyof Commands>(
    command: Name,
    ...[argument]: Parameters<Commands[Name]>
  ): ReturnType<Commands[Name]> {
    const id = ++this.#calls;
    const answer = new Promise<never>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#child.send({ id, command, argument }, (error) => error !== null && this.#fail("is gone"));
    return answer as never;
  }

  /** Stands still, as a machine that is suspended. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  #settle({ id, result, error }: { id: number; result?: never; error?: string }): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) pending?.resolve(result as never);
    else pending?.reject(new Error(`process ${this.number}: ${error}`));
  }

  #fail(how: string): void {
    for (const { reject } of this.#pending.values()) reject(new Error(`process ${this.number} ${how}`));
    this.#pending.clear();
  }
}

/** Several processes that share a token. */
export class FleetProcesses implements AsyncDisposable {
  readonly processes: FleetProcess[];

  private constructor(size: number) {
    this.processes = Array.from({ length: size }, (_, number) => new FleetProcess(number));
  }

  /** Resolves when all of them are there. */
  static async start(size: number): Promise<FleetProcesses> {
    const fleet = new FleetProcesses(size);
    await fleet.each((process) => process.tell("close"));
    return fleet;
  }

  /** Every process with a new cache; resolves when all are connected. */
  async open(opening: Opening): Promise<void> {
    await this.each((process) => process.tell("open", opening));
    await this.each((process) => process.tell("connected"));
  }

  async each<T>(act: (process: FleetProcess) => Promise<T>, processes = this.processes): Promise<T[]> {
    return Promise.all(processes.map(act));
  }

  /** So many calls of every process at once. */
  async burst(callers: number, { path = "/orders", processes = this.processes } = {}): Promise<Calls> {
    return total(await this.each((process) => process.tell("burst", { callers, path }), processes));
  }

  async start(callers: number, pause: number): Promise<void> {
    await this.each((process) => process.tell("start", { callers, pause, path: "/orders" }));
  }

  async stop(): Promise<Calls> {
    return total(await this.each((process) => process.tell("stop")));
  }

  /** How many events of each name there were in all of them. */
  async events(): Promise<Record<string, number>> {
    const sum: Record<string, number> = {};
    for (const events of await this.each((process) => process.tell("events"))) {
      for (const [name, count] of Object.entries(events)) sum[name] = (sum[name] ?? 0) + count;
    }
    return sum;
  }

  /** Kills a process; resolves when another one has its place. It still has to be opened. */
  async replace(number: number): Promise<FleetProcess> {
    await this.processes[number]!.kill();
    return (this.processes[number] = new FleetProcess(number));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.each((process) => process.kill());
  }
}

function total(calls: readonly Calls[]): Calls {
  return {
    served: calls.reduce((sum, { served }) => sum + served, 0),
    unauthorized: calls.reduce((sum, { unauthorized }) => sum + unauthorized, 0),
    errors: calls.flatMap(({ errors }) => errors),
    waits: calls.flatMap(({ waits }) => waits),
  };
}
