/**
 * Issue C, item 5: a rotating refresh token in a fleet of real processes, with a real Redis and a real authorization
 * server that ends the session when a refresh token comes twice. Processes are killed at every step of a rotation.
 *
 * What cannot be helped: the server's answer is the only place that has the next refresh token until it is stored. A
 * process that is killed between the server's decision and the end of its write takes that with it; the next process
 * presents the one that is used up, is refused, and the user has to sign in again. It is refused once, not again and again.
 */
import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import { startSessionProvider, type SessionProvider } from "./session-provider.ts";
import type { Request, Said, SessionProcessOptions, Step } from "./session-process.ts";

/** Short, so that a dead holder is not waited for long; heartbeats come three times as often. */
const LEASE = 1500;
const REFUSED = { code: "ERR_TOKEN_ENDPOINT", error: "invalid_grant", terminal: true };

/** A child process, as the test sees it. */
class Child {
  readonly #process: ChildProcess;
  readonly #asked = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  readonly #reached: Promise<Step>;
  #count = 0;

  constructor(options: SessionProcessOptions) {
    const program = fileURLToPath(new URL("session-process.ts", import.meta.url));
    this.#process = fork(program, [JSON.stringify(options)], { execArgv: ["--import", "tsx"] });
    this.#reached = new Promise((resolve) => {
      this.#process.on("message", (said: Said) => {
        if ("at" in said) return resolve(said.at);
        const { resolve: answer, reject } = this.#asked.get(said.id)!;
        this.#asked.delete(said.id);
        if ("error" in said) reject(Object.assign(new Error("the process was refused"), said.error));
        else answer(said.value);
      });
    });
  }

  ask(call: Request["call"]): Promise<unknown> {
    const id = ++this.#count;
    this.#process.send({ id, call } satisfies Request);
    const answer = new Promise((resolve, reject) => void this.#asked.set(id, { resolve, reject }));
    // A process that is killed answers nothing.
    answer.catch(() => {});
    return answer;
  }

  /** Resolves when it stands at its step. */
  get reached(): Promise<Step> {
    return this.#reached;
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#process.kill(name);
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exited;
  }
}

describe.skipIf(!redisAvailable())("a rotating refresh token in a fleet of processes", { timeout: 60_000 }, () => {
  let redis: RedisServer;
  let provider: SessionProvider;
  let seed: string;
  const children: Child[] = [];
  const encryptionKey = randomBytes(32).toString("base64");

  beforeAll(async () => {
    [redis, provider] = await Promise.all([RedisServer.start(), startSessionProvider()]);
  });
  beforeEach(async () => {
    await redis.command("FLUSHALL");
    seed = await provider.signIn();
    (provider.outcomes as string[]).length = 0;
  });
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.kill()));
    expect(provider.errors).toEqual([]);
  });
  afterAll(async () => {
    await provider.close();
    await redis[Symbol.asyncDispose]();
  });

  function start(stopAt?: Step, refreshToken = seed, lease = LEASE): Child {
    const { tokenEndpoint } = provider;
    const child = new Child({ redisPort: redis.port, tokenEndpoint, refreshToken, encryptionKey, lease, stopAt });
    children.push(child);
    return child;
  }

  /** The session is alive: it can be rotated twice more, by different processes. */
  async function expectAlive(...processes: Child[]): Promise<void> {
    const before = provider.outcomes.length;
    for (const child of processes) expect(await provider.isActive((await child.ask("renew")) as string)).toBe(true);
    expect(provider.outcomes.slice(before)).toEqual(processes.map(() => "ok"));
  }

  test("state: one request per rotation for the whole fleet; onRotate is called once, where it was made", async () => {
    const processes = [start(), start(), start()];
    const values = await Promise.all(processes.flatMap((child) => [child.ask("get"), child.ask("get")]));
    expect(new Set(values).size).toBe(1);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(...processes);
    const rotations = await Promise.all(processes.map((child) => child.ask("rotations")));
    expect(rotations.reduce((sum: number, count) => sum + (count as number), 0)).toBe(4);
    const stored = String(await redis.command("EVAL", "return redis.call('GET', redis.call('KEYS', '*')[1])", 0));
    expect(stored).not.toContain(seed);
    const kept = Number(await redis.command("EVAL", "return redis.call('PTTL', redis.call('KEYS', '*')[1])", 0));
    expect(kept).toBeGreaterThan(89 * 86_400_000);
  });

  test.each(["taking the lease", "sending"] as const)(
    "state: kill -9 of the holder %s: nothing was presented, the next process goes on",
    async (step) => {
      const dead = start(step);
      const next = start();
      void dead.ask("get");
      expect(await dead.reached).toBe(step);
      await dead.kill();
      expect(await provider.isActive((await next.ask("get")) as string)).toBe(true);
      expect(provider.outcomes).toEqual(["ok"]);
      await expectAlive(next, start());
    },
  );

  /** Refused, once, whoever asks and however often; a new sign-in ends it. */
  async function expectOver(next: Child): Promise<void> {
    await expect(next.ask("get")).rejects.toMatchObject(REFUSED);
    const other = start();
    for (const child of [next, other, next, other]) await expect(child.ask("get")).rejects.toMatchObject(REFUSED);
    expect(provider.outcomes).toEqual(["ok", "invalid_grant"]);
    const fresh = start(undefined, await provider.signIn());
    expect(await provider.isActive((await fresh.ask("get")) as string)).toBe(true);
    expect(provider.outcomes).toEqual(["ok", "invalid_grant", "ok"]);
  }

  test("state: kill -9 while the request is under way: the answer is lost, and the session with it", async () => {
    const dead = start();
    const next = start();
    const held = provider.holdAnswer();
    void dead.ask("get");
    await held.answered;
    await dead.kill();
    held.release();
    await expectOver(next);
  });

  test.each(["answered", "publishing"] as const)(
    "state: kill -9 of the holder that has its answer and not written it (%s): lost too",
    async (step) => {
      const dead = start(step);
      const next = start();
      void dead.ask("get");
      expect(await dead.reached).toBe(step);
      await dead.kill();
      await expectOver(next);
    },
  );

  test("state: kill -9 after the answer is written: nothing is lost", async () => {
    const dead = start("published");
    const next = start();
    void dead.ask("get");
    await dead.reached;
    await dead.kill();
    expect(await provider.isActive((await next.ask("get")) as string)).toBe(true);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(next, start());
  });

  test("state: a process that starts again with the first refresh token goes on with the record's", async () => {
    const first = start();
    await first.ask("get");
    await first.ask("renew");
    await first.kill();
    const again = start();
    await again.ask("get");
    expect(provider.outcomes).toEqual(["ok", "ok"]);
    await expectAlive(again);
  });

  test("state: SIGSTOP of the holder before it sends, for less than its lease: nothing happens", async () => {
    const holder = start("sending", seed, 60_000);
    const other = start(undefined, seed, 60_000);
    const first = holder.ask("get");
    await holder.reached;
    holder.signal("SIGSTOP");
    const second = other.ask("get");
    // It has looked several times, and waits.
    while (((await other.ask("swaps")) as number) < 5);
    expect(provider.outcomes).toEqual([]);
    holder.signal("SIGCONT");
    void holder.ask("go");
    expect(await second).toBe(await first);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(holder, other);
  });
});
