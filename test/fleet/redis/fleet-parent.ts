/**
 * A fleet of real processes that a test starts, commands, freezes and kills. Each is a Node process with its own Redis client:
 * in turn ioredis 6 and 5, and node-redis 6 and 5. The program of a process is fleet-child.ts.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ChildProcess } from "node:child_process";
import type { FleetOptions } from "../../../src/fleet/fleet-store.ts";
import type { TokenCacheOptions } from "../../../src/index.ts";
import type { Address } from "./fleet-clients.ts";

/** The options with which a process opens its cache. */
export interface Opening extends Pick<
  TokenCacheOptions,
  "refreshBuffer" | "minValidity" | "mintTimeout" | "mintRetries"
> {
  /** Names the token: processes with the same name share a record. */
  readonly record: string;
  readonly redis: Address;
  readonly api: string;
  readonly tokenEndpoint: string;
  /** The encryption key in base64, or "none". */
  readonly encryptionKey: string;
  readonly fleet?: Omit<FleetOptions, "encryptionKey"> | undefined;
  /** Its connections to the token endpoint are refused. */
  readonly isCutOff?: boolean | undefined;
}

/** The outcomes of a number of calls. */
export interface Calls {
  readonly served: number;
  /** The number of calls that got a 401. */
  readonly unauthorized: number;
  readonly errors: readonly string[];
  /** The duration of each call in milliseconds. */
  readonly waits: readonly number[];
}

/** Callers that send requests until they are stopped. */
export interface Load {
  readonly callers: number;
  /** Mean milliseconds between two calls of one caller. */
  readonly pause: number;
  readonly path: string;
}

/** The commands of a process. */
export interface Commands {
  open(opening: Opening): Promise<void>;
  /** Resolves when the Redis client of the process is connected. */
  connected(argument?: undefined): Promise<void>;
  /** Resolves when Redis answers that client. */
  reaches(argument?: undefined): Promise<void>;
  burst(argument: { readonly callers: number; readonly path: string }): Promise<Calls>;
  start(load: Load): Promise<void>;
  stop(argument?: undefined): Promise<Calls>;
  /** Returns how many events of each name the cache has reported. */
  events(argument?: undefined): Promise<Readonly<Record<string, number>>>;
  close(argument?: undefined): Promise<void>;
}

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

const CHILD = fileURLToPath(new URL("fleet-child.ts", import.meta.url));

/** One process of the fleet. */
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

  /** Sends a command to the process, and resolves with its answer. */
  tell<Name extends keyof Commands>(
    command: Name,
    ...[argument]: Parameters<Commands[Name]>
  ): ReturnType<Commands[Name]> {
    const id = ++this.#calls;
    const answer = new Promise<never>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#child.send({ id, command, argument }, (error) => error !== null && this.#fail("is gone"));
    return answer as never;
  }

  /** Stops the process, as if the machine were suspended. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** Kills the process with SIGKILL, and resolves when it has ended. */
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

  /** Starts so many processes, and resolves when all answer. */
  static async start(size: number): Promise<FleetProcesses> {
    const fleet = new FleetProcesses(size);
    await fleet.each((process) => process.tell("close"));
    return fleet;
  }

  /** Opens a new cache in every process, and resolves when all are connected. */
  async open(opening: Opening): Promise<void> {
    await this.each((process) => process.tell("open", opening));
    await this.each((process) => process.tell("connected"));
  }

  async each<T>(act: (process: FleetProcess) => Promise<T>, processes = this.processes): Promise<T[]> {
    return Promise.all(processes.map(act));
  }

  /** Lets every process send so many calls at the same time. */
  async burst(callers: number, { path = "/orders", processes = this.processes } = {}): Promise<Calls> {
    return total(await this.each((process) => process.tell("burst", { callers, path }), processes));
  }

  async start(callers: number, pause: number): Promise<void> {
    await this.each((process) => process.tell("start", { callers, pause, path: "/orders" }));
  }

  async stop(): Promise<Calls> {
    return total(await this.each((process) => process.tell("stop")));
  }

  /** Returns how many events of each name all processes have reported. */
  async events(): Promise<Record<string, number>> {
    const sum: Record<string, number> = {};
    for (const events of await this.each((process) => process.tell("events"))) {
      for (const [name, count] of Object.entries(events)) sum[name] = (sum[name] ?? 0) + count;
    }
    return sum;
  }

  /** Kills a process and starts another in its place. The new process has no cache until `open` is called. */
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
