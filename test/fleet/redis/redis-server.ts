/** A real `redis-server` that a test starts itself, so that the test can kill, freeze and restart it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { Certificates } from "../../oauth/certificates.ts";

export interface RedisOptions {
  /** The password that every client must send. */
  readonly requirepass?: string | undefined;
  /** Certificates for a second port with TLS. */
  readonly tls?: Certificates | undefined;
  /** The memory limit, in bytes or with a unit. Above it writes are refused. */
  readonly maxmemory?: string | undefined;
  /** Further settings of `redis.conf`, such as `{ "replicaof": "127.0.0.1 16379" }`. */
  readonly config?: Readonly<Record<string, string>> | undefined;
}

/** How often Redis executed a command, and how often it refused or redirected it. */
export interface CommandCount {
  readonly calls: number;
  readonly rejected: number;
}

/**
 * The ports are below the range of outgoing connections, which could take a port while its server is restarted. The cluster
 * bus uses the port 10,000 above, which must be below that range as well.
 */
const LOWEST_PORT = 15_000;
const HIGHEST_PORT = 22_700;
const ATTEMPTS = 20;
/** The last line that a server or a sentinel prints when it has started. */
const READY = /Ready to accept connections|Sentinel ID is/;

/**
 * Returns whether there is a `redis-server` on the PATH, and prints a line if there is none.
 *
 * @throws {Error} If there is none and `CI=true`, because these tests must not be skipped there.
 */
export function redisAvailable(): boolean {
  if (spawnSync("redis-server", ["--version"]).status === 0) return true;
  const missing = "there is no redis-server on the PATH (Debian: apt-get install redis-server)";
  if (process.env["CI"] === "true") throw new Error(missing);
  console.log(`skipped: ${missing}`);
  return false;
}

/** One server. The object stays the same over a restart. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  /** The port for TLS, or 0 without TLS. */
  readonly tlsPort: number;
  readonly #arguments: readonly string[];
  readonly #folder: string;
  readonly #password: string | undefined;
  #process: ChildProcess | undefined;
  #watchdog: ChildProcess | undefined;
  #admin: Redis | undefined;
  #baseline: ReadonlyMap<string, CommandCount> = new Map();
  /** The number of INFO commands that this class itself sent to count commands. */
  #reports = 0;

  private constructor(port: number, options: RedisOptions, mode: readonly string[]) {
    this.port = port;
    this.tlsPort = options.tls === undefined ? 0 : port + 1;
    this.#password = options.requirepass;
    this.#folder = mkdtempSync(join(tmpdir(), "remint-redis-"));
    writeFileSync(join(this.#folder, "redis.conf"), "");
    this.#arguments = [join(this.#folder, "redis.conf"), ...mode, ...flags(settings(this, options, this.#folder))];
  }

  /** Starts a server on a free port, and resolves when it is ready. `mode` is `["--sentinel"]` for a sentinel. */
  static async start(options: RedisOptions = {}, mode: readonly string[] = []): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const server = new RedisServer(randomPort(), options, mode);
      try {
        await server.#run();
        return server;
      } catch (error) {
        await server[Symbol.asyncDispose]();
        if (attempt === ATTEMPTS || !String(error).includes("Address already in use")) throw error;
      }
    }
  }

  /** The process id of the running server. */
  get pid(): number {
    return running(this.#process).pid!;
  }

  /** Runs a command on a connection that belongs to the test. */
  async command(name: string, ...args: (string | Buffer | number)[]): Promise<unknown> {
    this.#admin ??= this.#connect();
    return this.#admin.call(name, ...args);
  }

  /** Returns the counts of commands since the start or {@link resetCommands}, by name. Commands in scripts count too. */
  async commands(): Promise<Map<string, CommandCount>> {
    const counts = await this.#readCounts();
    for (const [name, { calls, rejected }] of counts) {
      const before = this.#baseline.get(name) ?? { calls: 0, rejected: 0 };
      const count = { calls: calls - before.calls, rejected: rejected - before.rejected };
      if (count.calls + count.rejected > 0) counts.set(name, count);
      else counts.delete(name);
    }
    return counts;
  }

  async resetCommands(): Promise<void> {
    this.#baseline = await this.#readCounts();
  }

  /** Kills the server, frozen or not, with all its data. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#admin?.disconnect();
    this.#admin = undefined;
    const child = this.#process;
    this.#process = undefined;
    // The watchdog is killed first: it must not outlive the process whose id it would kill.
    this.#watchdog?.kill("SIGKILL");
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }

  /** Stops the server as if the machine were suspended: connections stay open and nothing is answered. */
  freeze(): void {
    running(this.#process).kill("SIGSTOP");
  }

  thaw(): void {
    running(this.#process).kill("SIGCONT");
  }

  /** Stops the server if it runs, and starts an empty one on the same port. */
  async restart(): Promise<void> {
    await this.stop();
    await this.#run();
  }

  /** Stops the server and deletes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const child = spawn("redis-server", this.#arguments, { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    this.#watchdog = watchdog(child.pid, this.#folder);
    await ready(child);
    // Another server on this port would answer too.
    const info = String(await this.command("INFO", "server"));
    if (!info.includes(`process_id:${child.pid}\r\n`)) throw new Error("Address already in use by another server");
    this.#reports = 0;
    await this.resetCommands();
  }

  async #readCounts(): Promise<Map<string, CommandCount>> {
    const report = String(await this.command("INFO", "commandstats"));
    const counts = new Map<string, CommandCount>();
    for (const [, name, calls, rejected] of report.matchAll(/^cmdstat_([^:]+):calls=(\d+).*?rejected_calls=(\d+)/gm)) {
      // Redis makes the report before it counts the INFO command itself.
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
      // The connection sends no commands of its own, which would be counted, and rejects at once on an error.
      enableReadyCheck: false,
      disableClientInfo: true,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    admin.on("error", () => {});
    return admin;
  }
}

/** Resolves when the server prints that it is ready, and rejects with its output if it ends. */
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
  // The output is drained from now on, because a full pipe would block the server.
  child.stdout!.removeAllListeners("data").resume();
  child.stderr!.removeAllListeners("data").resume();
}

/** Kills the server when this process ends in any way, because then the pipe to the watchdog is closed. */
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

function randomPort(): number {
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
