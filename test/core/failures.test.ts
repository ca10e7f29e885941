import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../../src/base/errors.ts";
import { FailureMemory } from "../../src/core/failures.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";

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
