import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../../src/base/errors.ts";
import { FailureMemory } from "../../src/core/failures.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";

const HOUR = 3_600_000;

const network = (): RemintError => new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true });
const answer = (status: number, options: TokenEndpointErrorOptions = {}): TokenEndpointError =>
  new TokenEndpointError(status, `status ${status}`, options);
const refusal = (): TokenEndpointError => answer(400, { error: "invalid_client" });

/** Remembers these failures one after the other; returns for how many seconds each of them was remembered. */
async function rememberedSeconds(errors: readonly RemintError[], callersFail: boolean): Promise<number[]> {
  const clock = manualClock();
  const memory = new FailureMemory(clock);
  const times: number[] = [];
  for (const error of errors) {
    memory.remember(error, callersFail);
    times.push(await secondsUntilForgotten(memory, clock));
  }
  return times;
}

async function secondsUntilForgotten(memory: FailureMemory, clock: ManualClock): Promise<number> {
  const begun = clock.monotonic();
  while (memory.active() !== undefined && clock.monotonic() - begun < 120_000) await clock.advance(250);
  return (clock.monotonic() - begun) / 1000;
}

const sixTimes = (make: () => RemintError): RemintError[] => Array.from({ length: 6 }, make);

describe("C9: for how long a failure is remembered", () => {
  test("C9: 1 s, doubling to 5 s while callers are failing", async () => {
    expect(await rememberedSeconds(sixTimes(network), true)).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test("C9: 1 s, doubling to 30 s for background refreshes", async () => {
    expect(await rememberedSeconds(sixTimes(network), false)).toEqual([1, 2, 4, 8, 16, 30]);
  });

  test("C9: 1 s, doubling to 30 s for OAuth refusals, with and without failing callers", async () => {
    expect(await rememberedSeconds(sixTimes(refusal), true)).toEqual([1, 2, 4, 8, 16, 30]);
    expect(await rememberedSeconds(sixTimes(refusal), false)).toEqual([1, 2, 4, 8, 16, 30]);
  });

  test("C9: 1 s, doubling to 5 s for a 503, which is no OAuth refusal", async () => {
    expect(
      await rememberedSeconds(
        sixTimes(() => answer(503)),
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
    expect(await rememberedSeconds([answer(status, { retryAfter: seconds * 1000 })], true)).toEqual([expected]);
  });

  test("C9: a shorter Retry-After does not shorten the pause", async () => {
    const errors = sixTimes(() => answer(503, { retryAfter: 1000 }));
    expect(await rememberedSeconds(errors, true)).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test("C9: a terminal refusal is remembered without a time limit", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    memory.remember(answer(400, { error: "invalid_grant", terminal: true }), true);
    await clock.advance(365 * 24 * HOUR);
    expect(memory.active()).toMatchObject({ error: "invalid_grant" });
  });

  test("C9: after a success, the next failure is remembered for one second again", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    for (const error of sixTimes(network)) memory.remember(error, false);
    memory.clear();
    expect(memory.active()).toBeUndefined();
    memory.remember(network(), false);
    expect(await secondsUntilForgotten(memory, clock)).toBe(1);
  });

  test("C9: after a thousand failures the next one is remembered for 30 s", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    for (let time = 0; time < 1100; time++) memory.remember(network(), false);
    expect(await secondsUntilForgotten(memory, clock)).toBe(30);
  });

  test("C9: stepping the wall clock neither ends nor prolongs the memory of a failure", async () => {
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

describe("C13: the failure memory that the caches of a pool share", () => {
  test("C13: a 503 is shared by all caches, an OAuth refusal stays with its own", () => {
    const clock = manualClock();
    const shared = new FailureMemory(clock);
    const [first, second] = [new FailureMemory(clock, shared), new FailureMemory(clock, shared)];
    first.remember(refusal(), true);
    expect([first.active() !== undefined, second.active()]).toEqual([true, undefined]);
    const error = first.remember(answer(503), true);
    expect(second.active()).toBe(error);
  });

  test("C13: the success of one cache ends the shared failure for all", () => {
    const clock = manualClock();
    const shared = new FailureMemory(clock);
    const [first, second] = [new FailureMemory(clock, shared), new FailureMemory(clock, shared)];
    first.remember(network(), true);
    second.clear();
    expect(first.active()).toBeUndefined();
  });
});
