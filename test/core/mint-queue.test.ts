/** The mints of a pool take turns: at most 256 at a time for one client at an endpoint (C13). */
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, test } from "vitest";
import { Failure } from "../../src/core/failures.ts";
import { MintQueue } from "../../src/core/mint-queue.ts";
import { fakeServerGrant, rejectionOf, settle, watch, type Watched } from "./cache-under-test.ts";
import { poolUnderTest } from "./pool-under-test.ts";
import type { TokenServer } from "../../src/core/grant.ts";
import type { Obtained, Obtaining } from "../../src/core/supply.ts";

const SERVER: TokenServer = { endpoint: "https://auth.example/token", client: "shop", target: "orders" };
const MOST = 256;
const GONE = new Failure("nobody", { code: "ERR_CLOSED", message: "gone", retryable: false });

interface Work extends Obtaining {
  readonly end: (failed?: boolean) => void;
  readonly held: boolean[];
  readonly abandoned: Failure[];
}

/** A queue, and the works that have begun, in order. */
function queue(): { begun: Map<string, Work>; run: (name: string, server?: TokenServer) => Obtaining } {
  const mints = new MintQueue();
  const begun = new Map<string, Work>();
  const run = (name: string, server = SERVER): Obtaining =>
    mints.run(server, () => {
      let end!: (failed?: boolean) => void;
      const promise = new Promise<Obtained | undefined>((resolve, reject) => {
        end = (failed = false) => (failed ? reject(GONE) : resolve(undefined));
      });
      promise.catch(() => {});
      const [held, abandoned]: [boolean[], Failure[]] = [[], []];
      const hold = (awaited: boolean): void => void held.push(awaited);
      const abandon = (reason: Failure): void => void abandoned.push(reason);
      const work: Work = { promise, hold, abandon, end, held, abandoned };
      begun.set(name, work);
      return work;
    });
  return { begun, run };
}

describe("C13: mints take turns", () => {
  test("C13: 256 begin at once; the others in order, one for each that ends, whether it failed or not", async () => {
    const { begun, run } = queue();
    for (let mint = 0; mint < MOST + 4; mint++) run(`${mint}`);
    expect(begun.size).toBe(MOST);
    begun.get("7")!.end();
    await settle();
    expect([...begun.keys()].slice(MOST)).toEqual(["256"]);
    begun.get("0")!.end(true);
    begun.get("256")!.end();
    await settle();
    expect([...begun.keys()].slice(MOST)).toEqual(["256", "257", "258"]);
  });

  test("C13, C20: work that has waited begins in the asynchronous context of whoever asked for it", async () => {
    const caller = new AsyncLocalStorage<string>();
    const mints = new MintQueue();
    const seen: (string | undefined)[] = [];
    let end!: () => void;
    const work = (): Obtaining => {
      seen.push(caller.getStore());
      const promise = new Promise<undefined>((resolve) => (end = () => resolve(undefined)));
      return { promise, hold: () => {}, abandon: () => {} };
    };
    for (let mint = 0; mint < MOST; mint++) caller.run("first", () => mints.run(SERVER, work));
    caller.run("waits", () => mints.run(SERVER, work));
    caller.run("first", () => end());
    await settle();
    expect(seen.slice(MOST)).toEqual(["waits"]);
  });

  test("C13: who leaves at the very moment of its turn gives it to the next", async () => {
    const { begun, run } = queue();
    for (let mint = 0; mint < MOST; mint++) run(`${mint}`);
    const leaves = run("leaves");
    run("next");
    // After the queue has given the turn away, and before the work begins.
    void begun.get("0")!.promise.then(() => leaves.abandon(GONE));
    begun.get("0")!.end();
    await expect(leaves.promise).rejects.toBe(GONE);
    await settle();
    expect([begun.has("leaves"), begun.has("next")]).toEqual([false, true]);
  });

  test("C13: another client, or another endpoint, is not held up", () => {
    const { begun, run } = queue();
    for (let mint = 0; mint < MOST + 1; mint++) run(`${mint}`);
    run("client", { ...SERVER, client: "another" });
    run("endpoint", { ...SERVER, endpoint: "https://b.example/token" });
    run("target", { ...SERVER, target: "another" });
    expect([...begun.keys()].slice(MOST)).toEqual(["client", "endpoint"]);
  });

  test("C13: one that leaves gives its place up, and is never begun", async () => {
    const { begun, run } = queue();
    for (let mint = 0; mint < MOST; mint++) run(`${mint}`);
    const leaver = run("leaver");
    run("next");
    leaver.abandon(GONE);
    expect(await rejectionOf(leaver.promise)).toBe(GONE);
    begun.get("0")!.end();
    await settle();
    expect([...begun.keys()].slice(MOST)).toEqual(["next"]);
  });

  test("C13: what is asked of a mint that waits holds when it begins, and its outcome is that of the mint", async () => {
    const { begun, run } = queue();
    for (let mint = 0; mint < MOST; mint++) run(`${mint}`);
    const waiting = run("waiting");
    const outcome: Watched<unknown> = watch(waiting.promise);
    waiting.hold(true);
    begun.get("0")!.end();
    await settle();
    const work = begun.get("waiting")!;
    waiting.hold(false);
    waiting.abandon(GONE);
    expect([work.held, work.abandoned, outcome.state]).toEqual([[true, false], [GONE], "pending"]);
    work.end(true);
    await settle();
    expect(outcome.reason).toBe(GONE);
  });

  test("C13: in a pool, the time in the queue is no time of the mint", async () => {
    const { pool, clock, grants, mints } = poolUnderTest({ cache: { mintTimeout: 10_000 } }, () => fakeServerGrant());
    const held = Array.from({ length: MOST }, (_, user) => {
      const cache = pool.get(`user ${user}`);
      const hold = grants.get(`user ${user}`)!.hold();
      return { hold, token: watch(cache.get()) };
    });
    await settle();
    await clock.advance(9000);
    const cache = pool.get("last");
    const hold = grants.get("last")!.hold();
    const last = watch(cache.get());
    await settle();
    expect(mints()).toBe(MOST);
    // The others take as long as they may, and the last one waits beyond that.
    await clock.advance(1000);
    await settle();
    expect(held[0]!.token.state).toBe("rejected");
    expect(grants.get("last")!.mints).toBe(1);
    await clock.advance(9999);
    expect(last.state).toBe("pending");
    hold.release();
    await settle();
    expect(last).toMatchObject({ state: "fulfilled", value: { value: "fake-1" } });
  });
});
