/**
 * A real `redis-server` that a test starts itself, so that it may kill, freeze and restart it.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { Certificates } from "../../oauth/certificates.ts";

export interface RedisOptions {
  /** The password every client has to give. */
  readonly requirepass?: string | undefined;
  /** Serve TLS too, on a port of its own. */
  readonly tls?: Certificates | undefined;
  /** Bytes, or a number with a unit. From there on writes are refused. */
  readonly maxmemory?: string | undefined;
  /** More of what `redis.conf` may hold, such as `{ "replicaof": "127.0.0.1 16379" }`. */
  readonly config?: Readonly<Record<string, string>> | undefined;
}

/** How often a command was called and, apart from that, refused or sent elsewhere, as Redis counts it. */
export interface CommandCount {
  readonly calls: number;
  readonly rejected: number;
}

/**
 * Below the range the system gives to outgoing connections, which would take a port while its server is restarted. The
 * cluster bus is 10,000 above and must be below it as well.
 */
const LOWEST_PORT = 15_000;
const HIGHEST_PORT = 22_700;
const ATTEMPTS = 20;
/** The last lines of a server's and of a sentinel's start. */
const READY = /Ready to accept connections|Sentinel ID is/;

/**
 * Whether there is a `redis-server` on the PATH; says so in a line when there is none.
 *
 * @throws {Error} Where `CI=true`: what is to be proven there must not be skipped.
 */
export function redisAvailable(): boolean {
  if (spawnSync("redis-server", ["--version"]).status === 0) return true;
  const missing = "there is no redis-server on the PATH (Debian: apt-get install redis-server)";
  if (process.env["CI"] === "true") throw new Error(missing);
  console.log(`skipped: ${missing}`);
  return false;
}

/** One server; the same object before and after a restart. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  /** Where it speaks TLS; 0: nowhere. */
  readonly tlsPort: number;
  readonly #arguments: readonly string[];
  readonly #folder: string;
  readonly #password: string | undefined;
  #process: ChildProcess | undefined;
  #watchdog: ChildProcess | undefined;
  #admin: Redis | undefined;
  #baseline: ReadonlyMap<string, CommandCount> = new Map();
  /** How many of its INFO commands were made to count commands. */
  #reports = 0;

  private constructor(port: number, options: RedisOptions, mode: readonly string[]) {
    this.port = port;
    this.tlsPort = options.tls === undefined ? 0 : port + 1;
    this.#password = options.requirepass;
    this.#folder = mkdtempSync(join(tmpdir(), "remint-redis-"));
    writeFileSync(join(this.#folder, "redis.conf"), "");
    this.#arguments = [join(this.#folder, "redis.conf"), ...mode, ...flags(settings(this, options, this.#folder))];
  }

  /** Starts a server on a free port; resolves when it answers PING. `mode`: `["--sentinel"]` for a sentinel. */
  static async start(options: RedisOptions = {}, mode: readonly string[] = []): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const server = new RedisServer(anyPort(), options, mode);
      try {
        await server.#run();
        return server;
      } catch (error) {
        await server[Symbol.asyncDispose]();
        if (attempt === ATTEMPTS || !String(error).includes("Address already in use")) throw error;
      }
    }
  }

  /** Of the server that runs now. */
  get pid(): number {
    return running(this.#process).pid!;
  }

  /** Runs a command on a connection of the test's own. */
  async command(name: string, ...args: (string | Buffer | number)[]): Promise<unknown> {
    this.#admin ??= this.#connect();
    return this.#admin.call(name, ...args);
  }

  /** What it was asked since it was started or {@link resetCommands}, by name; what scripts call counts as well. */
  async commands(): Promise<Map<string, CommandCount>> {
    const counts = await this.#counted();
    for (const [name, { calls, rejected }] of counts) {
      const before = this.#baseline.get(name) ?? { calls: 0, rejected: 0 };
      const count = { calls: calls - before.calls, rejected: rejected - before.rejected };
      if (count.calls + count.rejected > 0) counts.set(name, count);
      else counts.delete(name);
    }
    return counts;
  }

  async resetCommands(): Promise<void> {
    this.#baseline = await this.#counted();
  }

  /** Kills it, frozen or not; everything it held is gone. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#admin?.disconnect();
    this.#admin = undefined;
    const child = this.#process;
    this.#process = undefined;
    // First: it must not outlive the process whose number it holds.
    this.#watchdog?.kill("SIGKILL");
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }

  /** Stands still as if the machine were suspended: connections stay open and nothing is answered. */
  freeze(): void {
    running(this.#process).kill("SIGSTOP");
  }

  thaw(): void {
    running(this.#process).kill("SIGCONT");
  }

  /** Stops it, if it runs, and starts an empty one on the same port. */
  async restart(): Promise<void> {
    await this.stop();
    await this.#run();
  }

  /** {@link stop} for good: its folder goes too. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const child = spawn("redis-server", this.#arguments, { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    this.#watchdog = watchdog(child.pid, this.#folder);
    await ready(child);
    // Somebody else's server on this port would answer too.
    const info = String(await this.command("INFO", "server"));
    if (!info.includes(`process_id:${child.pid}\r\n`)) throw new Error("Address already in use by another server");
    this.#reports = 0;
    await this.resetCommands();
  }

  async #counted(): Promise<Map<string, CommandCount>> {
    const report = String(await this.command("INFO", "commandstats"));
    const counts = new Map<string, CommandCount>();
    for (const [, name, calls, rejected] of report.matchAll(/^cmdstat_([^:]+):calls=(\d+).*?rejected_calls=(\d+)/gm)) {
      // The report is made before its own command is counted.
      const own = name === "info" ? this.#reports : 0;
      counts.set(name!, { calls: Number(calls) - own, rejected: Number(rejected) });
    }
    this.#reports++;
    return counts;
  }

  #connect(): Redis {
    const admin = new Redis({
      host: "127.0.0.1",
      port: this.port,
      ...(this.#password === undefined ? {} : { password: this.#password }),
      // Nothing that is counted, and an error at once.
      enableReadyCheck: false,
      disableClientInfo: true,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    admin.on("error", () => {});
    return admin;
  }
}

/** Resolves when it says that it listens; rejects with its output when it ends instead. */
async function ready(child: ChildProcess): Promise<void> {
  let output = "";
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`redis-server ended with ${code}:\n${output}`)));
    const read = (chunk: Buffer): void => {
      output += String(chunk);
      if (READY.test(output)) resolve();
    };
    child.stdout!.on("data", read);
    child.stderr!.on("data", read);
  });
  // Nobody reads on: a full pipe would stop the server.
  child.stdout!.removeAllListeners("data").resume();
  child.stderr!.removeAllListeners("data").resume();
}

/** Ends the server when this process ends, however it ends: the pipe is closed then. */
function watchdog(pid: number | undefined, folder: string): ChildProcess | undefined {
  if (pid === undefined) return undefined;
  const script = 'read -r line; kill -9 "$0"; rm -rf "$1"';
  const child = spawn("sh", ["-c", script, String(pid), folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  child.unref();
  return child;
}

function running(child: ChildProcess | undefined): ChildProcess {
  if (child === undefined) throw new Error("the server is stopped");
  return child;
}

function anyPort(): number {
  return LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
}

function settings(server: RedisServer, options: RedisOptions, folder: string): Record<string, string> {
  const { requirepass, tls, maxmemory, config } = options;
  return {
    port: String(server.port),
    bind: "127.0.0.1",
    dir: folder,
    save: "",
    appendonly: "no",
    ...(requirepass === undefined ? {} : { requirepass }),
    ...(maxmemory === undefined ? {} : { maxmemory, "maxmemory-policy": "noeviction" }),
    ...(tls === undefined ? {} : tlsSettings(server.tlsPort, tls, folder)),
    ...config,
  };
}

function tlsSettings(port: number, { ca, server }: Certificates, folder: string): Record<string, string> {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    "tls-port": String(port),
    "tls-ca-cert-file": file("ca.pem", ca),
    "tls-cert-file": file("server.pem", server.cert),
    "tls-key-file": file("server.key", server.key),
    "tls-auth-clients": "no",
  };
}

function flags(config: Readonly<Record<string, string>>): string[] {
  return Object.entries(config).flatMap(([name, value]) => [`--${name}`, ...(value === "" ? [""] : value.split(" "))]);
}
