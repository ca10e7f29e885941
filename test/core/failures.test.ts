import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../../src/base/errors.ts";
import { Failure, FailureMemory, isFailure, PoolFailures, type FailurePhase } from "../../src/core/failures.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";

const HOUR = 3_600_000;

const network = (): Failure =>
  Failure.of(new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true }), "server");
const answer = (status: number, options: TokenEndpointErrorOptions = {}): Failure =>
  Failure.of(new TokenEndpointError(status, `status ${status}`, options), "key");
const refusal = (): Failure => answer(400, { error: "invalid_client" });

/** Remembers these failures one after the other; returns for how many seconds each of them was remembered. */
async function rememberedSeconds(failures: readonly Failure[], phase: FailurePhase): Promise<number[]> {
  const clock = manualClock();
  const memory = new FailureMemory(clock);
  const times: number[] = [];
  for (const failure of failures) {
    memory.remember(failure, phase, clock.monotonic());
    times.push(await secondsUntilForgotten(memory, clock, phase));
  }
  return times;
}

async function secondsUntilForgotten(
  memory: FailureMemory,
  clock: ManualClock,
  phase: FailurePhase = "expired",
): Promise<number> {
  const begun = clock.monotonic();
  while (memory.active(phase) !== undefined && clock.monotonic() - begun < 120_000) await clock.advance(250);
  return (clock.monotonic() - begun) / 1000;
}

const sixTimes = (make: () => Failure): Failure[] => Array.from({ length: 6 }, make);

/** A memory with so many background failures in a row, each remembered as long as it holds. */
async function memoryAfter(failures: readonly Failure[]): Promise<{ memory: FailureMemory; clock: ManualClock }> {
  const clock = manualClock();
  const memory = new FailureMemory(clock);
  for (const failure of failures) memory.remember(failure, "background", clock.monotonic());
  return { memory, clock };
}

describe("C9: for how long a failure is remembered", () => {
  test.each([
    ["no connection", network],
    ["a 503", () => answer(503)],
    ["an OAuth refusal", refusal],
  ])("C9: %s: 1 s, doubling to 5 s while callers fail", async (_, make) => {
    expect(await rememberedSeconds(sixTimes(make), "expired")).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test.each([
    ["no connection", "background", network],
    ["a 503", "background", () => answer(503)],
    ["an OAuth refusal", "background", refusal],
    ["no connection", "window", network],
    ["an OAuth refusal", "window", refusal],
  ] as const)("C9: %s: 1 s, doubling to 30 s while a valid token serves callers (%s)", async (_, phase, make) => {
    expect(await rememberedSeconds(sixTimes(make), phase)).toEqual([1, 2, 4, 8, 16, 30]);
  });

  test.each([
    [400, 0.5, 1],
    [429, 3, 3],
    [503, 20, 20],
    [503, 60, 60],
    [503, 61, 60],
    [429, 3600, 60],
  ])("C9: Retry-After of a %i is honoured up to 60 s: %d s", async (status, seconds, expected) => {
    const failures = [answer(status, { retryAfter: seconds * 1000 })];
    expect(await rememberedSeconds(failures, "expired")).toEqual([expected]);
    expect(await rememberedSeconds(failures, "background")).toEqual([expected]);
  });

  test("C9: a shorter Retry-After does not shorten the pause", async () => {
    const failures = sixTimes(() => answer(503, { retryAfter: 1000 }));
    expect(await rememberedSeconds(failures, "expired")).toEqual([1, 2, 4, 5, 5, 5]);
  });

  test.each(["background", "window", "expired"] as const)(
    "C9: a terminal refusal is remembered for 1 s, however often it comes: then the supply is asked whether it has ended (%s)",
    async (phase) => {
      const refusals = sixTimes(() => answer(400, { error: "invalid_grant", terminal: true, retryAfter: 40_000 }));
      expect(await rememberedSeconds(refusals, phase)).toEqual([1, 1, 1, 1, 1, 1]);
    },
  );

  test("C9: a terminal refusal of the background is remembered for its second when callers begin to fail", async () => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    memory.remember(answer(400, { error: "invalid_grant", terminal: true }), "background", 0);
    await clock.advance(999);
    expect(memory.active("window")).toMatchObject({ error: "invalid_grant" });
    expect(memory.active("expired")).toMatchObject({ error: "invalid_grant" });
    await clock.advance(1);
    expect(memory.active("expired")).toBeUndefined();
  });

  test("C9: what is nobody's failure (the process was frozen, the cache was closed) is not remembered", () => {
    const memory = new FailureMemory(manualClock());
    memory.remember(network().ownedBy("nobody"), "expired", 0);
    expect(memory.active("expired")).toBeUndefined();
  });

  test("C9: after a success, the next failure is remembered for one second again", async () => {
    const { memory, clock } = await memoryAfter(sixTimes(network));
    memory.clear(true);
    expect(memory.active("background")).toBeUndefined();
    memory.remember(network(), "background", clock.monotonic());
    expect(await secondsUntilForgotten(memory, clock, "background")).toBe(1);
  });

  test("C9: after a thousand failures the next one is remembered for 30 s", async () => {
    const { memory, clock } = await memoryAfter(Array.from({ length: 1100 }, network));
    expect(await secondsUntilForgotten(memory, clock, "background")).toBe(30);
  });
});

describe("C9: the clocks of a remembered failure", () => {
  const waits: [string, () => Failure][] = [
    ["our own pause", network],
    ["a Retry-After of 40 s", () => answer(503, { retryAfter: 40_000 })],
  ];

  test.each(waits)("C9: a wall clock that is stepped 2 h forward ends %s", async (_, make) => {
    const { memory, clock } = await memoryAfter([make()]);
    expect(memory.active("background")).toBeDefined();
    clock.stepWall(2 * HOUR);
    expect(memory.active("background")).toBeUndefined();
  });

  test.each(waits)("C9: a wall clock that is stepped 10 h back does not prolong %s", async (what, make) => {
    const { memory, clock } = await memoryAfter([make()]);
    clock.stepWall(-10 * HOUR);
    expect(await secondsUntilForgotten(memory, clock, "background")).toBe(what.startsWith("our") ? 1 : 40);
  });

  test("C9: a machine that sleeps for a minute wakes up without the failure of before", async () => {
    const { memory, clock } = await memoryAfter(sixTimes(network));
    clock.suspend(60_000);
    expect(memory.active("background")).toBeUndefined();
  });
});

describe("C9: callers begin to fail", () => {
  test("C9: our own pause of 30 s shrinks to 5 s for the callers that fail", async () => {
    const { memory, clock } = await memoryAfter(sixTimes(network));
    memory.remember(network(), "expired", clock.monotonic());
    await clock.advance(4999);
    expect(memory.active("expired")).toBeDefined();
    await clock.advance(1);
    expect(memory.active("expired")).toBeUndefined();
    expect(memory.active("background")).toBeDefined();
  });

  test.each([
    ["entering the hard window", "background", "window"],
    ["expiring in the background", "background", "expired"],
    ["expiring in the hard window", "window", "expired"],
  ] as const)("C9: %s is worth one attempt, and no more than one", async (_, before, after) => {
    const clock = manualClock();
    const memory = new FailureMemory(clock);
    memory.remember(network(), before, clock.monotonic());
    expect([memory.active(before) !== undefined, memory.active(after)]).toEqual([true, undefined]);
    memory.remember(network(), after, clock.monotonic());
    expect(memory.active(after)).toBeDefined();
  });

  test.each([
    ["entering the hard window", "window"],
    ["expiring", "expired"],
  ] as const)("C9: a Retry-After of 40 s holds, also on %s", async (_, phase) => {
    const { memory, clock } = await memoryAfter([answer(503, { retryAfter: 40_000 })]);
    await clock.advance(39_999);
    expect(memory.active(phase)).toBeDefined();
    await clock.advance(1);
    expect(memory.active(phase)).toBeUndefined();
  });
});

const throttled = (): Failure =>
  Failure.of(
    new TokenEndpointError(429, "no token is available: the authorization server failed", {
      hint: "https://auth.example/token answered 429",
      error: "slow_down",
      errorDescription: "alice asks too often",
      retryAfter: 7000,
      cause: Object.assign(new Error("alice"), { code: "ECONNRESET", cause: { name: "alice" } }),
    }),
    "client",
  );

describe("C9: what callers and others are told of a failure", () => {
  test.each([undefined, null, "x", 1, {}, new Error("x")])("C9: %o is no failure", (value) => {
    expect(isFailure(value)).toBe(false);
  });

  test("C9: each caller's cause is a copy with name, message, stack, code and its own causes, and nothing else", () => {
    const socket = Object.assign(new TypeError("reset"), { code: "ECONNRESET", address: "10.0.0.1" });
    const outer = Object.assign(new Error("fetch failed", { cause: socket }), { code: undefined });
    const failure = Failure.of(new RemintError("ERR_TOKEN_NETWORK", "x", { cause: outer }), "server");
    const [cause, other] = [failure.toError().cause as Error, failure.toError().cause as Error];
    expect([cause === outer, cause === other, cause.cause === other.cause]).toEqual([false, false, false]);
    expect([cause.message, cause.name, cause.stack, Object.keys(cause)]).toEqual([
      "fetch failed",
      "Error",
      outer.stack,
      [],
    ]);
    const inner = cause.cause as Error;
    expect([inner.name, inner.message, inner.stack]).toEqual(["TypeError", "reset", socket.stack]);
    expect([Object.keys(inner), Object.hasOwn(inner, "cause")]).toEqual([["code"], false]);
    expect(Object.getOwnPropertyDescriptor(cause, "cause")?.enumerable).toBe(false);
  });

  test("C9: a cause of this package keeps its own causes, up to the fifth", () => {
    let chain: Error = new RemintError("ERR_GRANT", "6");
    for (const message of ["5", "4", "3", "2", "1"]) chain = new RemintError("ERR_GRANT", message, { cause: chain });
    const messages: string[] = [];
    const error = Failure.of(new RemintError("ERR_GRANT", "0", { cause: chain }), "key").toError();
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) messages.push(cause.message);
    expect(messages).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("C9: the failures of a server hold longer against keys that have a token: 16 s after five in a row, in place of 5 s", async () => {
    const clock = manualClock();
    const pool = new PoolFailures(clock);
    const view = (key: string) => pool.viewOf({ endpoint: "e", client: "c", target: "t" }, key);
    for (const key of ["a", "b", "c", "d", "e", "f"]) {
      await clock.advance(1);
      view(key).remember(Failure.of(new TokenEndpointError(503, "x"), "server"), clock.monotonic());
      await clock.advance(1);
    }
    await clock.advance(6000);
    const memory = new FailureMemory(clock, view("g"));
    expect([memory.active("background"), memory.active("window"), memory.active("expired")].map(isFailure)).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("C9: a 429 that is one key's own, as one that was read from a fleet's record, is not shared", () => {
    const clock = manualClock();
    const pool = new PoolFailures(clock);
    const view = (key: string) => pool.viewOf({ endpoint: "e", client: "c", target: "t" }, key);
    for (const key of ["a", "b", "c"]) view(key).remember(answer(429), clock.monotonic());
    expect(view("d").active(true)).toBeUndefined();
  });

  test("C9: without a socket's error, others get no cause", () => {
    expect(Object.hasOwn(network().forOthers().toError(), "cause")).toBe(false);
  });

  test("C9: two callers get equal errors, and neither object nor cause nor headers are the same", () => {
    const shared = throttled();
    const [one, other] = [shared.toError(), shared.toError()];
    expect(one).toEqual(other);
    expect(one).toBeInstanceOf(TokenEndpointError);
    expect(one).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 429,
      error: "slow_down",
      errorDescription: "alice asks too often",
      hint: "https://auth.example/token answered 429",
      retryable: true,
      terminal: false,
      retryAfter: 7000,
      headers: { "retry-after": "7" },
    });
    for (const name of ["headers", "cause"] as const) expect(one[name]).not.toBe(other[name]);
    expect(one.cause).toMatchObject({ message: "alice", code: "ECONNRESET" });
  });

  test("C9: a rejection is named in the error of the request that was rejected, and in no other", () => {
    const shared = throttled();
    const rejected = { status: 401, url: "https://api.example/orders" };
    expect(shared.toError(rejected).rejected).toEqual(rejected);
    expect(shared.toError()).not.toHaveProperty("rejected");
  });

  test("C9: other keys are told the code, the status, Retry-After and the socket's code; no text, no cause", () => {
    const others = throttled().forOthers();
    const error = others.toError();
    expect(others.owner).toBe("client");
    expect(error.message).toBe("no token is available: another request to the same server has failed a moment ago");
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 429,
      retryable: true,
      retryAfter: 7000,
      cause: { code: "ECONNRESET", message: "the connection failed" },
    });
    for (const name of ["error", "errorDescription", "hint"]) expect(error).not.toHaveProperty(name);
    expect(`${error.stack} ${(error.cause as Error).stack} ${JSON.stringify(error)}`).not.toContain("alice");
    expect((error.cause as Error).cause).toBeUndefined();
  });

  test.each(["invalid_client", "invalid_scope", "invalid_target", "server_error", "temporarily_unavailable"])(
    "C9: other keys are told of %s",
    (error) => {
      expect(answer(400, { error }).forOthers().toError()).toMatchObject({ error });
    },
  );

  test("C9: the end of one user's session is not told to others", () => {
    expect(answer(400, { error: "invalid_client", terminal: true }).forOthers().terminal).toBe(false);
  });
});
