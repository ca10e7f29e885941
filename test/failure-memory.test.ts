import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../src/errors.ts";
import { FailureMemory } from "../src/failure-memory.ts";
import { manualClock, type ManualClock } from "../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, SITE } from "./cache-under-test.ts";

const HOUR = 3_600_000;

const network = (): RemintError => new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true });
const answer = (status: number, options: TokenEndpointErrorOptions = {}): TokenEndpointError =>
  new TokenEndpointError(status, `status ${status}`, options);
const refusal = (): TokenEndpointError => answer(400, { error: "invalid_client" });

/** For how long each of these failures in a row is remembered, in seconds. */
async function remembered(errors: readonly RemintError[], callersFail: boolean): Promise<number[]> {
  const clock = manualClock();
  const memory = new FailureMemory(clock);
  const times: number[] = [];
  for (const error of errors) {
    memory.remember(error, callersFail);
    times.push(await forgottenAfter(memory, clock));
  }
  return times;
}

async function forgottenAfter(memory: FailureMemory, clock: ManualClock): Promise<number> {
  const begun = clock.monotonic();
  while (memory.active() !== undefined && clock.monotonic() - begun < 120_000) await clock.advance(250);
  return (clock.monotonic() - begun) / 1000;
}

const six = (make: () => RemintError): RemintError[] => Array.from({ length: 6 }, make);

describe("C9: for how long a failure is remembered", () => {
  test("C9: 1 s, doubling to 5 s while callers are failing", async () => {
    expect(await remembered(six(network), true)).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test("C9: to 30 s for background refreshes", async () => {
    expect(await remembered(six(network), false)).toEqual([1, 2, 4, 8, 16, 30]);
  });

  test("C9: to 30 s for OAuth refusals, whether callers fail or not", async () => {
    expect(await remembered(six(refusal), true)).toEqual([1, 2, 4, 8, 16, 30]);
    expect(await remembered(six(refusal), false)).toEqual([1, 2, 4, 8, 16, 30]);
  });

  test("C9: a server that is down is no refusal", async () => {
    expect(
      await remembered(
        six(() => answer(503)),
        true,
      ),
    ).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test.each([
    [400, 0.5, 1],
    [429, 3, 3],
    [503, 20, 20],
    [503, 60, 60],
    [503, 61, 60],
    [429, 3600, 60],
  ])("C9: Retry-After of a %i is honoured up to 60 s: %d s", async (status, seconds, expected) => {
    expect(await remembered([answer(status, { retryAfter: seconds * 1000 })], true)).toEqual([expected]);
  });

  test("C9: a shorter Retry-After does not shorten the pause", async () => {
    const errors = six(() => answer(503, { retryAfter: 1000 }));
    expect(await remembered(errors, true)).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test("C9: a terminal refusal is remembered for good", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    memory.remember(answer(400, { error: "invalid_grant", terminal: true }), true);
    await clock.advance(365 * 24 * HOUR);
    expect(memory.active()).toMatchObject({ error: "invalid_grant" });
  });

  test("C9: success resets it", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    for (const error of six(network)) memory.remember(error, false);
    memory.clear();
    expect(memory.active()).toBeUndefined();
    memory.remember(network(), false);
    expect(await forgottenAfter(memory, clock)).toBe(1);
  });

  test("C9: a thousand failures do not overflow it", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    for (let time = 0; time < 1100; time++) memory.remember(network(), false);
    expect(await forgottenAfter(memory, clock)).toBe(30);
  });

  test("C9: stepping the wall clock neither ends nor prolongs it", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    memory.remember(network(), true);
    clock.stepWall(10 * HOUR);
    expect(memory.active()).toBeDefined();
    clock.stepWall(-20 * HOUR);
    await clock.advance(1000);
    expect(memory.active()).toBeUndefined();
  });
});

describe("C13: shared memory", () => {
  test("C13: failures of the server are everybody's, those of one grant its own", () => {
    const clock = manualClock();
    const shared = new FailureMemory(clock);
    const [first, second] = [new FailureMemory(clock, shared), new FailureMemory(clock, shared)];
    first.remember(refusal(), true);
    expect([first.active() !== undefined, second.active()]).toEqual([true, undefined]);
    const error = first.remember(answer(503), true);
    expect(second.active()).toBe(error);
  });

  test("C13: somebody's success ends it for everybody", () => {
    const clock = manualClock();
    const shared = new FailureMemory(clock);
    const [first, second] = [new FailureMemory(clock, shared), new FailureMemory(clock, shared)];
    first.remember(network(), true);
    second.clear();
    expect(first.active()).toBeUndefined();
  });
});

describe("C9: the cache and its failures", () => {
  test("C9: later callers get the very same frozen error, and no request is made", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), Infinity);
    const error = await rejectionOf(cache.get());
    expect(Object.isFrozen(error)).toBe(true);
    for (let call = 0; call < 100; call++) expect(await rejectionOf(cache.get())).toBe(error);
    expect(cache.peek()).toBeUndefined();
    await clock.advance(999);
    expect(await rejectionOf(cache.get())).toBe(error);
    expect(grant.mints).toBe(1);
  });

  test("C9: 1,000 callers over 10 s of an outage make three requests or so, not one each", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), Infinity);
    for (let call = 0; call < 1000; call++) {
      await rejectionOf(cache.get());
      await clock.advance(10);
    }
    // After 0, 1, 3 and 7 s.
    expect(grant.mints).toBe(4);
  });

  test("C9: a success resets it: the next outage begins with one second again", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), 3);
    for (const pause of [1000, 2000, 4000]) {
      await rejectionOf(cache.get());
      await clock.advance(pause);
    }
    const { value } = await cache.get();
    await cache.invalidate(value);
    grant.fail(network(), Infinity);
    await rejectionOf(cache.get());
    await clock.advance(1000);
    await rejectionOf(cache.get());
    expect(grant.mints).toBe(6);
  });

  test("C9: background refreshes back off to 30 s while the old token is served", async () => {
    const { cache, grant, clock } = cacheUnderTest({ refreshBuffer: HOUR / 2, minValidity: 0 });
    await cache.get();
    await clock.advance(HOUR / 2);
    grant.fail(network(), Infinity);
    const failedAt: number[] = [];
    for (let at = 0; at < 100_000; at += 500) {
      const before = grant.mints;
      expect(cache.peek()?.value).toBe("fake-1");
      await settle();
      if (grant.mints > before) failedAt.push(at / 1000);
      await clock.advance(500);
    }
    expect(failedAt).toEqual([0, 1, 3, 7, 15, 31, 61, 91]);
  });

  test("C9: a terminal refusal makes no further mint, not even for a rejected token", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const token = await cache.get();
    await clock.advance(HOUR - 30_000);
    grant.fail(answer(400, { error: "invalid_grant", terminal: true }), Infinity);
    cache.peek();
    await clock.advance(10_000);
    expect(cache.peek()).toBe(token);
    await expect(cache.rejected(token, SITE)!.next()).rejects.toMatchObject({ terminal: true });
    await clock.advance(10 * HOUR);
    await expect(cache.get()).rejects.toMatchObject({ terminal: true });
    expect(grant.mints).toBe(2);
  });

  test("C9: a foreign error that grants throw again and again is not frozen, ours is", async () => {
    const { cache, grant } = cacheUnderTest();
    const foreign = new Error("down");
    grant.fail(foreign, Infinity);
    const error = (await rejectionOf(cache.get())) as Error;
    expect([Object.isFrozen(foreign), Object.isFrozen(error)]).toEqual([false, true]);
    expect(error.cause).not.toBe(foreign);
    expect(error.cause).toMatchObject({ message: "down" });
  });

  test("C9: a grant may throw one frozen error of ours again and again", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const error = network();
    grant.fail(error, Infinity);
    expect(await rejectionOf(cache.get())).toBe(error);
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toBe(error);
    expect(grant.mints).toBe(2);
  });

  test("C9: events tell of each failed mint once, not of each caller", async () => {
    const { cache, grant, told } = cacheUnderTest();
    grant.fail(network(), Infinity);
    for (let call = 0; call < 10; call++) await rejectionOf(cache.get());
    expect(told("mint-failed")).toMatchObject([
      { cause: "cold", servedStale: false, error: { code: "ERR_TOKEN_NETWORK" } },
    ]);
  });
});
