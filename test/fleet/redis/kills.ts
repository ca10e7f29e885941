/**
 * A fleet of processes that refresh many users' sessions without end, while one process after another is killed in mid-refresh
 * and started again. What became of every session is judged by the log of the proxy (refresh-proxy.ts).
 *
 * A user who is lost is replaced by another one, so that the number of users who can be lost stays the same.
 */
import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { RedisServer } from "./redis-server.ts";
import { startRefreshProxy, type Refresh, type RefreshProxy, type RefreshStep } from "./refresh-proxy.ts";
import { startSessionProvider, type SessionProvider } from "./session-provider.ts";
import type { Addition, RefreshingProcessOptions, Report, Seed } from "./refreshing-process.ts";

/** How many sessions are refreshed in a second: some session always is, and a small machine keeps up. */
const REFRESHES = 2;
/** Milliseconds of a lease. Shorter than usual, so that the users of a killed process do not wait so long. */
const LEASE = 5000;
/** Milliseconds to wait for one kill, for a start, and for the end: far more than a busy machine needs. */
const PATIENCE = 60_000;
/** The longest time between the answer and the kill, in milliseconds: the record is written within a few. */
const AFTER_ANSWER = 6;

/** So many refreshes at most go by before the one at which a process is killed. */
const MOST_SKIPPED = 2;

/** When a process is killed. `any time`: whatever it is doing. */
const MOMENTS = ["received", "committed", "answered", "any time"] as const;
type Moment = (typeof MOMENTS)[number];

export interface KillsOptions {
  readonly processes: number;
  readonly users: number;
  readonly kills: number;
  /** Chooses what happens: two runs with the same seed kill at the same kinds of moments. */
  readonly random: () => number;
}

/** A session that has ended, and what the log says of it. */
export interface LostSession {
  readonly user: string;
  /** The refresh whose next refresh token nobody has. `undefined`: there is none, and the session must not be lost. */
  readonly cause: Refresh | undefined;
  /** Whether the process of that refresh was killed. */
  readonly wasKilled: boolean;
  /** Whether a process has told that it was too slow for its lease on this session: another one then presents the same. */
  readonly hadLostLease: boolean;
  /** Whether it had the answer before. */
  readonly wasAnswered: boolean;
  /** Whether some process has said that the next refresh token is in the record, or has presented it. */
  readonly wasSaved: boolean;
}

export interface KillsReport {
  readonly kills: Readonly<Record<Moment, number>>;
  readonly rotations: number;
  readonly lost: readonly LostSession[];
  /** Users who were served with a token of somebody else's. */
  readonly wrong: readonly string[];
  /** Refresh tokens that the server has replaced twice. */
  readonly replacedTwice: readonly string[];
  /** Users of whom neither a refresh after the last kill is known, nor that they are lost. */
  readonly stuck: readonly string[];
  /** Failures that are no end of a session, by code. */
  readonly failures: Readonly<Record<string, number>>;
  /** What the authorization server itself failed at. */
  readonly errors: readonly unknown[];
}

/** Runs a fleet, kills its processes, and says what became of the sessions. */
export async function runKills(options: KillsOptions): Promise<KillsReport> {
  const [redis, provider] = await Promise.all([
    RedisServer.start(),
    startSessionProvider(Math.ceil(options.users / REFRESHES)),
  ]);
  const proxy = await startRefreshProxy(provider.tokenEndpoint);
  const fleet = new KilledFleet({ redis, provider, proxy }, options);
  try {
    return await fleet.run();
  } finally {
    fleet.end();
    await proxy.close();
    await provider.close();
    await redis[Symbol.asyncDispose]();
  }
}

interface Servers {
  readonly redis: RedisServer;
  readonly provider: SessionProvider;
  readonly proxy: RefreshProxy;
}

class KilledFleet {
  readonly #servers: Servers;
  readonly #options: KillsOptions;
  readonly #encryptionKey = randomBytes(32).toString("base64");
  /** The processes that run, by name. No name is used twice. */
  readonly #processes = new Map<string, ChildProcess>();
  /** Those that have served somebody. */
  readonly #ready = new Set<string>();
  /** The refreshes of a process that was killed, and whether each was answered before. */
  readonly #cutOff = new Map<Refresh, boolean>();
  readonly #seeds = new Map<string, string>();
  readonly #lost = new Set<string>();
  readonly #leasesLost = new Set<string>();
  readonly #saved = new Set<string>();
  readonly #wrong: string[] = [];
  readonly #failures: Record<string, number> = {};
  readonly #kills: Record<Moment, number> = { received: 0, committed: 0, answered: 0, "any time": 0 };
  #users = 0;
  #started = 0;

  constructor(servers: Servers, options: KillsOptions) {
    this.#servers = servers;
    this.#options = options;
  }

  async run(): Promise<KillsReport> {
    const { processes, users, kills } = this.#options;
    for (let count = 0; count < users; count++) await this.#addUser();
    for (let count = 0; count < processes; count++) this.#start();
    await this.#until("the processes serve", () => this.#ready.size === processes);
    for (let count = 0; count < kills; count++) await this.#killOne(MOMENTS[count % MOMENTS.length]!);
    const { log } = this.#servers.proxy;
    const killed = log.length;
    const stuck = (): string[] => {
      const refreshed = new Set(
        log
          .slice(killed)
          .flatMap(({ outcome, user, isAnswered }) => (outcome === "committed" && isAnswered ? user : [])),
      );
      return [...this.#seeds.keys()].filter((user) => !refreshed.has(user) && !this.#lost.has(user));
    };
    await this.#until("every session goes on or is lost", () => stuck().length === 0).catch(() => {});
    return this.#report(stuck());
  }

  end(): void {
    this.#servers.proxy.onStep = undefined;
    for (const child of this.#processes.values()) child.kill("SIGKILL");
  }

  #report(stuck: readonly string[]): KillsReport {
    const { log } = this.#servers.proxy;
    const commits = log.filter(({ outcome }) => outcome === "committed");
    const replaced = commits.map(({ presented }) => presented);
    return {
      kills: this.#kills,
      rotations: commits.length,
      lost: [...this.#lost].map((user) => this.#judge(user)),
      wrong: this.#wrong,
      replacedTwice: replaced.filter((token, index) => replaced.indexOf(token) !== index),
      stuck,
      failures: this.#failures,
      errors: this.#servers.provider.errors,
    };
  }

  /** Finds the refresh after which a session was lost: the one that had replaced the refresh token which was refused. */
  #judge(user: string): LostSession {
    const { log } = this.#servers.proxy;
    const refused = log.find((refresh) => refresh.user === user && refresh.outcome === "refused");
    const cause = log.find(({ presented, outcome }) => presented === refused?.presented && outcome === "committed");
    const next = cause?.next;
    return {
      user,
      cause,
      wasKilled: cause !== undefined && this.#cutOff.has(cause),
      hadLostLease: this.#leasesLost.has(user),
      wasAnswered: cause !== undefined && this.#cutOff.get(cause) === true,
      wasSaved: next !== undefined && (this.#saved.has(next) || log.some(({ presented }) => presented === next)),
    };
  }

  async #addUser(): Promise<void> {
    const user = `user-${++this.#users}`;
    const refreshToken = await this.#servers.provider.signIn(user);
    this.#servers.proxy.owners.set(refreshToken, user);
    this.#seeds.set(user, refreshToken);
    for (const child of this.#processes.values()) child.send({ seed: [user, refreshToken] } satisfies Addition);
  }

  #start(): void {
    const { redis, proxy } = this.#servers;
    const name = `process-${++this.#started}`;
    const options: RefreshingProcessOptions = {
      name,
      redisPort: redis.port,
      tokenEndpoint: proxy.tokenEndpoint,
      encryptionKey: this.#encryptionKey,
      lease: LEASE,
      seeds: [...this.#seeds].filter(([user]) => !this.#lost.has(user)) satisfies Seed[],
    };
    const program = fileURLToPath(new URL("refreshing-process.ts", import.meta.url));
    const child = fork(program, [JSON.stringify(options)], { execArgv: ["--import", "tsx"] });
    // A message may be on its way to a process that is killed.
    child.on("error", () => {});
    child.on("message", (message: Report) => this.#hear(name, message));
    this.#processes.set(name, child);
  }

  #hear(name: string, message: Report): void {
    if ("served" in message) {
      // A message of a process that was killed may come after its end.
      if (this.#processes.has(name)) this.#ready.add(name);
      if (this.#servers.proxy.owners.get(message.token) !== message.served) this.#wrong.push(message.served);
    } else if ("saved" in message) this.#saved.add(message.refreshToken);
    else if ("leaseLost" in message) this.#leasesLost.add(message.leaseLost);
    else if ("failed" in message) this.#failures[message.code] = (this.#failures[message.code] ?? 0) + 1;
    else if (!this.#lost.has(message.lost)) {
      this.#lost.add(message.lost);
      void this.#addUser();
    }
  }

  /** Kills one process at a moment, and starts another one in its place. */
  async #killOne(moment: Moment): Promise<void> {
    const { proxy } = this.#servers;
    const { random } = this.#options;
    await this.#until("two processes serve", () => this.#ready.size > 1);
    if (moment === "any time") {
      await sleep(50 * random());
      const names = [...this.#ready];
      await this.#kill(names[Math.floor(random() * names.length)]!);
    } else {
      // Whichever process comes to this step, after a few others.
      let skipped = Math.floor(MOST_SKIPPED * random());
      await new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no process came to the step "${moment}"`)), PATIENCE);
        proxy.onStep = async (step: RefreshStep, { process: name }: Refresh) => {
          if (step !== moment || !this.#ready.has(name) || skipped-- > 0) return;
          proxy.onStep = undefined;
          clearTimeout(late);
          if (moment === "answered") await sleep(AFTER_ANSWER * random());
          await this.#kill(name).then(resolve, reject);
        };
      });
    }
    this.#kills[moment]++;
    this.#start();
  }

  async #kill(name: string): Promise<void> {
    const child = this.#processes.get(name)!;
    this.#processes.delete(name);
    this.#ready.delete(name);
    const { log } = this.#servers.proxy;
    const refreshes = (): Refresh[] => log.filter((refresh) => refresh.process === name);
    const answered = new Set(refreshes().filter(({ isAnswered }) => isAnswered));
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    for (const refresh of refreshes()) this.#cutOff.set(refresh, answered.has(refresh));
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    for (let waited = 0; !holds(); waited += 10) {
      if (waited > PATIENCE) throw new Error(`gave up waiting until ${what}`);
      await sleep(10);
    }
  }
}
