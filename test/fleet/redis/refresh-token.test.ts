/**
 * A rotating refresh token in a fleet of real processes, with a real Redis and a real authorization server that ends the
 * session if a refresh token is sent twice. Processes are killed at every step of a rotation.
 *
 * One loss cannot be prevented. Until the next refresh token is stored, only the server's answer has it. If a process is killed
 * between the server's decision and the end of its own write, the next refresh token is lost. The next process sends the used
 * one and is refused, and the user has to sign in again. These tests check that the fleet is refused only once.
 */
import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import { startSessionProvider, type SessionProvider } from "./session-provider.ts";
import type { Message, Request, SessionProcessOptions, Step } from "./session-process.ts";

/** Milliseconds of a lease. A short one, so that the fleet does not wait long for a dead holder. */
const LEASE = 1500;
const REFUSED = { code: "ERR_TOKEN_ENDPOINT", error: "invalid_grant", terminal: true };

/** A process of the fleet (session-process.ts), as the test controls it. */
class Child {
  readonly #process: ChildProcess;
  readonly #asked = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  readonly #reached: Promise<Step>;
  #count = 0;

  constructor(options: SessionProcessOptions) {
    const program = fileURLToPath(new URL("session-process.ts", import.meta.url));
    this.#process = fork(program, [JSON.stringify(options)], { execArgv: ["--import", "tsx"] });
    this.#reached = new Promise((resolve) => {
      this.#process.on("message", (message: Message) => {
        if ("at" in message) return resolve(message.at);
        const { resolve: answer, reject } = this.#asked.get(message.id)!;
        this.#asked.delete(message.id);
        if ("error" in message) reject(Object.assign(new Error("the process was refused"), message.error));
        else answer(message.value);
      });
    });
  }

  ask(call: Request["call"]): Promise<unknown> {
    const id = ++this.#count;
    this.#process.send({ id, call } satisfies Request);
    const answer = new Promise((resolve, reject) => void this.#asked.set(id, { resolve, reject }));
    // A killed process never answers.
    answer.catch(() => {});
    return answer;
  }

  /** Resolves when the process waits at its step. */
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

  /** Expects that each of these processes can still rotate the refresh token. */
  async function expectAlive(...processes: Child[]): Promise<void> {
    const before = provider.outcomes.length;
    for (const child of processes) expect(await provider.isActive((await child.ask("renew")) as string)).toBe(true);
    expect(provider.outcomes.slice(before)).toEqual(processes.map(() => "ok"));
  }

  test("three processes with two callers each: one request per rotation, and one call of onRotate", async () => {
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
    "the lease holder is killed while %s: nothing was sent, and the next process sends the refresh token",
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

  /** Expects that the session has ended: one refusal for all processes, until the user signs in again. */
  async function expectEnded(next: Child): Promise<void> {
    await expect(next.ask("get")).rejects.toMatchObject(REFUSED);
    const other = start();
    for (const child of [next, other, next, other]) await expect(child.ask("get")).rejects.toMatchObject(REFUSED);
    expect(provider.outcomes).toEqual(["ok", "invalid_grant"]);
    const fresh = start(undefined, await provider.signIn());
    expect(await provider.isActive((await fresh.ask("get")) as string)).toBe(true);
    expect(provider.outcomes).toEqual(["ok", "invalid_grant", "ok"]);
  }

  test("the lease holder is killed while the server answers: the session ends with one refusal", async () => {
    const dead = start();
    const next = start();
    const held = provider.holdAnswer();
    void dead.ask("get");
    await held.answered;
    await dead.kill();
    held.release();
    await expectEnded(next);
  });

  test.each(["answered", "publishing"] as const)(
    "the lease holder is killed when it has the answer and has not stored it (%s): the session ends with one refusal",
    async (step) => {
      const dead = start(step);
      const next = start();
      void dead.ask("get");
      expect(await dead.reached).toBe(step);
      await dead.kill();
      await expectEnded(next);
    },
  );

  test("the lease holder is killed after it stored the answer: the session goes on", async () => {
    const dead = start("published");
    const next = start();
    void dead.ask("get");
    await dead.reached;
    await dead.kill();
    expect(await provider.isActive((await next.ask("get")) as string)).toBe(true);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(next, start());
  });

  test("a process restarts with the first refresh token: it uses the refresh token in the record", async () => {
    const first = start();
    await first.ask("get");
    await first.ask("renew");
    await first.kill();
    const again = start();
    await again.ask("get");
    expect(provider.outcomes).toEqual(["ok", "ok"]);
    await expectAlive(again);
  });

  test("C14: the lease holder is stopped before it sends, until another process has taken over: it does not send", async () => {
    const holder = start("leased");
    const other = start();
    const first = holder.ask("get");
    await holder.reached;
    holder.signal("SIGSTOP");
    const value = await other.ask("get");
    expect(provider.outcomes).toEqual(["ok"]);
    holder.signal("SIGCONT");
    void holder.ask("go");
    // It adopts what the other one has published.
    expect(await first).toBe(value);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(holder, other);
  });

  test("C14: the lease holder is stopped with the answer, for less than its lease: the others wait for it, and nothing is lost", async () => {
    const holder = start("answered", seed, 60_000);
    const other = start(undefined, seed, 60_000);
    const first = holder.ask("get");
    await holder.reached;
    holder.signal("SIGSTOP");
    const second = other.ask("get");
    while (((await other.ask("swaps")) as number) < 5);
    holder.signal("SIGCONT");
    void holder.ask("go");
    expect(await second).toBe(await first);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(holder, other);
  });

  test("the lease holder is stopped before it sends, for less than its lease: one request, and one token for all", async () => {
    const holder = start("sending", seed, 60_000);
    const other = start(undefined, seed, 60_000);
    const first = holder.ask("get");
    await holder.reached;
    holder.signal("SIGSTOP");
    const second = other.ask("get");
    // The other process has read the record several times, and waits.
    while (((await other.ask("swaps")) as number) < 5);
    expect(provider.outcomes).toEqual([]);
    holder.signal("SIGCONT");
    void holder.ask("go");
    expect(await second).toBe(await first);
    expect(provider.outcomes).toEqual(["ok"]);
    await expectAlive(holder, other);
  });
});
