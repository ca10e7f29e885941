/**
 * Several BFF processes behind one port. This process passes each request on to the next of them, as a reverse proxy does.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import type { ReplicaSettings } from "./replica.ts";

interface Replica {
  readonly id: number;
  process: ChildProcess;
  /** `undefined` while the process is not there. */
  port: number | undefined;
}

/** Milliseconds after which a process that was killed is started again. */
const BACK_AFTER = 3000;

/** The processes. */
export class Replicas {
  readonly #settings: ReplicaSettings;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #onState: (id: number, alive: boolean) => void;
  #replicas: Replica[] = [];
  #next = 0;
  #isClosed = false;

  private constructor(settings: ReplicaSettings, onState: (id: number, alive: boolean) => void) {
    this.#settings = settings;
    this.#onState = onState;
  }

  /** Starts so many processes. Resolves when all take requests. */
  static async start(
    count: number,
    settings: ReplicaSettings,
    onState: (id: number, alive: boolean) => void = () => {},
  ): Promise<Replicas> {
    const replicas = new Replicas(settings, onState);
    const ids = Array.from({ length: count }, (_, at) => at + 1);
    replicas.#replicas = await Promise.all(ids.map((id) => replicas.#start(id)));
    return replicas;
  }

  get states(): { readonly id: number; readonly alive: boolean }[] {
    return this.#replicas.map(({ id, port }) => ({ id, alive: port !== undefined }));
  }

  /** The addresses of the processes, for tests that ask one of them. */
  get origins(): (string | undefined)[] {
    return this.#replicas.map(({ port }) => (port === undefined ? undefined : `http://127.0.0.1:${port}`));
  }

  /** Kills a process as `kill -9` does. It comes back after three seconds. */
  kill(id: number): void {
    this.#replicas.find((replica) => replica.id === id)?.process.kill("SIGKILL");
  }

  /** Passes a request on. */
  forward(request: IncomingMessage, response: ServerResponse): void {
    const alive = this.#replicas.filter(({ port }) => port !== undefined);
    const replica = alive[this.#next++ % alive.length];
    if (replica?.port === undefined) {
      response.writeHead(503, { "retry-after": "1" }).end();
      return;
    }
    const { method, url, rawHeaders } = request;
    const onward = httpRequest({
      agent: this.#agent,
      host: "127.0.0.1",
      port: replica.port,
      method,
      path: url,
      headers: rawHeaders,
    });
    onward.once("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
      answer.once("error", () => response.destroy());
    });
    onward.once("error", () => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    });
    response.once("close", () => onward.destroy());
    request.pipe(onward);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#agent.destroy();
    const ending = this.#replicas
      .filter(({ process }) => process.exitCode === null && process.signalCode === null)
      .map(async ({ process }) => {
        const ended = once(process, "exit");
        process.disconnect();
        await ended;
      });
    await Promise.all(ending);
  }

  async #start(id: number): Promise<Replica> {
    const process = fork(fileURLToPath(new URL("replica.ts", import.meta.url)), { execArgv: ["--import", "tsx"] });
    const replica: Replica = { id, process, port: undefined };
    process.send(this.#settings);
    const [port] = (await Promise.race([once(process, "message"), once(process, "exit").then(() => [])])) as number[];
    if (port === undefined) throw new Error(`process ${id} ended before it took requests`);
    replica.port = port;
    process.once("exit", () => void this.#replace(replica));
    return replica;
  }

  async #replace(replica: Replica): Promise<void> {
    replica.port = undefined;
    if (this.#isClosed) return;
    this.#onState(replica.id, false);
    await new Promise((resolve) => setTimeout(resolve, BACK_AFTER).unref());
    if (this.#isClosed) return;
    const next = await this.#start(replica.id);
    Object.assign(replica, next);
    next.process.once("exit", () => (replica.port = undefined));
    this.#onState(replica.id, true);
  }
}
