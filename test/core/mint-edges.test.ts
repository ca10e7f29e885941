/** What one run of a grant says about itself: time that is left, who waits, whose a failure is, what the operator is told. */
import { describe, expect, test } from "vitest";
import { networkFailureOf } from "../../src/base/network.ts";
import { grantDefinition } from "../../src/core/custom-grant.ts";
import { Failure } from "../../src/core/failures.ts";
import { definitionOf, type GrantDefinition } from "../../src/core/grant.ts";
import { runRevocation, startMint, type MintInput, type MintSettings, type RunningMint } from "../../src/core/mint.ts";
import { CLOSED } from "../../src/core/supply.ts";
import { RemintError, TokenEndpointError } from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, fakeServerGrant, rejectionOf, settle, watch } from "./cache-under-test.ts";

interface MintUnderTest {
  readonly clock: ManualClock;
  readonly start: (input?: Partial<MintInput>) => RunningMint;
}

/** Starts mints of a grant by themselves, without a cache. */
function mintsOf(grant: GrantDefinition, settings: Partial<MintSettings> = {}): MintUnderTest {
  const clock = manualClock();
  const defaults = { mintTimeout: 10_000, landingTimeout: 60_000, defaultTtl: 60_000, maxTtl: Infinity, retries: 0 };
  return {
    clock,
    start: (input = {}) =>
      startMint(
        { grant, clock, ...defaults, ...settings },
        { previous: undefined, onStart: () => {}, onRetry: () => {}, ...input },
      ),
  };
}

const freeze = (clock: ManualClock, ms: number): void => {
  clock.stepWall(ms);
  clock.stepMonotonic(ms);
};

/** The failure of a mint whose grant throws this. */
async function failureOf(error: unknown, grant: FakeGrant = fakeServerGrant()): Promise<Failure> {
  grant.fail(error);
  const { failure } = await mintsOf(definitionOf(grant)).start().result;
  return failure!;
}

describe("C10: the time that is left of a mint", () => {
  test("C10: it runs down on the cache's clock, and is over for callers who have left", async () => {
    const grant = fakeGrant({ state: "s", onState: () => {} });
    grant.hold();
    const { clock, start } = mintsOf(definitionOf(grant), { mintTimeout: 5000 });
    const mint = start();
    expect(mint.timeLeft()).toBe(5000);
    await clock.advance(1200);
    expect(mint.timeLeft()).toBe(3800);
    await clock.advance(3800);
    expect(mint.timeLeft()).toBe(0);
    await clock.advance(10_000);
    expect(mint.timeLeft()).toBe(0);
    mint.abort(CLOSED);
    await mint.result;
  });

  test.each([
    ["may be aborted: a second", fakeGrant(), 10_000, 1000],
    ["may be aborted, with a mintTimeout under a second: all of it", fakeGrant(), 400, 400],
    ["must not be aborted: the whole time once more", fakeGrant({ state: "s", onState: () => {} }), 10_000, 10_000],
  ])("C9: after a thaw that no timer has noticed yet, of a mint that %s", async (_, grant, mintTimeout, left) => {
    grant.hold();
    const { clock, start } = mintsOf(definitionOf(grant), { mintTimeout });
    const mint = start();
    await clock.advance(100);
    freeze(clock, mintTimeout + 2000);
    expect(mint.timeLeft()).toBe(left);
    // The timer notices it, and grants exactly that.
    await clock.advance(0);
    expect(mint.timeLeft()).toBe(left);
    await clock.advance(left - 1);
    expect(mint.timeLeft()).toBe(1);
    mint.abort(CLOSED);
    await mint.result;
  });
});

describe("C12: hold", () => {
  test("C12: before any caller waits, nothing keeps the process alive; then each call of hold says whether it is kept", async () => {
    const grant = fakeGrant();
    grant.hold();
    const { clock, start } = mintsOf(definitionOf(grant));
    const mint = start();
    const awaited: number[] = [clock.awaited];
    for (const isHeld of [true, true, false, false, true]) {
      mint.hold(isHeld);
      awaited.push(clock.awaited);
    }
    expect([awaited, clock.timers]).toEqual([[0, 1, 1, 0, 0, 1], 1]);
    mint.abort(CLOSED);
    await mint.result;
    expect([clock.timers, clock.awaited]).toEqual([0, 0]);
  });

  test("C12: a mint that is held before a thaw is held after it; one that has been left is not", async () => {
    const grant = fakeGrant({ state: "s", onState: () => {} });
    grant.hold();
    const { clock, start } = mintsOf(definitionOf(grant));
    const mint = start();
    mint.hold(true);
    await clock.advance(100);
    freeze(clock, 12_500);
    await clock.advance(0);
    expect([clock.timers, clock.awaited]).toEqual([1, 1]);
    const other = mintsOf(definitionOf(grant));
    const landing = other.start();
    landing.hold(true);
    await other.clock.advance(10_000);
    expect([other.clock.timers, other.clock.awaited]).toEqual([1, 0]);
    for (const each of [mint, landing]) {
      each.abort(CLOSED);
      await each.result;
    }
  });
});

describe("C10: abort", () => {
  test("C10: called twice: the first reason holds, for the failure and for the signal", async () => {
    const grant = fakeGrant();
    grant.hold();
    const mint = mintsOf(definitionOf(grant)).start();
    await settle();
    mint.abort(CLOSED);
    mint.abort(new Failure("server", { code: "ERR_TOKEN_TIMEOUT", message: "later", retryable: true }));
    const { failure } = await mint.result;
    expect(failure?.code).toBe("ERR_CLOSED");
    expect(grant.contexts[0]?.signal.reason).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("C10: called after the end: nothing happens, and the signal does not abort", async () => {
    const grant = fakeGrant();
    const mint = mintsOf(definitionOf(grant)).start();
    expect((await mint.result).minted?.response.access_token).toBe("fake-1");
    const { signal } = grant.contexts[0]!;
    expect(signal.aborted).toBe(false);
  });

  test("C14: an attempt may be forbidden directly before it: nothing is asked", async () => {
    const grant = fakeGrant({ state: "s", onState: () => {} });
    const { failure, isInDoubt } = await mintsOf(definitionOf(grant)).start({ mayStart: () => false }).result;
    expect([failure?.code, failure?.retryable, isInDoubt, grant.mints]).toEqual(["ERR_STORE", true, false, 0]);
  });
});

const revocationOf = (revoke: () => Promise<void>): { clock: ManualClock; run: () => Promise<void> } => {
  const clock = manualClock();
  const grant: GrantDefinition = { ...definitionOf(fakeGrant()), revoke };
  return { clock, run: () => runRevocation({ grant, clock, mintTimeout: 5000 }, [], "s") };
};

describe("RFC 7009: one run of a revocation", () => {
  test("C12: its timer keeps the process alive while it runs, and is cancelled afterwards, however it ends", async () => {
    for (const isRefused of [false, true]) {
      let end!: () => void;
      const { clock, run } = revocationOf(
        () => new Promise((resolve, reject) => (end = () => (isRefused ? reject(new Error("x")) : resolve()))),
      );
      const revoking = watch(run());
      expect([clock.timers, clock.awaited]).toEqual([1, 1]);
      await clock.advance(1000);
      end();
      await settle();
      expect([clock.timers, revoking.state]).toEqual([0, isRefused ? "rejected" : "fulfilled"]);
    }
  });

  test.each([
    ["a status of 503", Object.assign(new Error("x"), { status: 503 }), true],
    ["a status of 400", Object.assign(new Error("x"), { status: 400 }), false],
    ["no connection", Object.assign(new Error("x"), { code: "ECONNREFUSED" }), true],
    ["any other error", new Error("x"), false],
    [
      "an error that cannot be read",
      Object.defineProperty(new Error("x"), "cause", {
        get: () => {
          throw new Error("y");
        },
      }),
      false,
    ],
  ])("C10: its failure is an error of ours that says whether to repeat it: %s", async (_, error, retryable) => {
    const { run } = revocationOf(() => Promise.reject(error));
    const thrown = await rejectionOf(run());
    expect(thrown).toBeInstanceOf(RemintError);
    expect((thrown as RemintError).retryable).toBe(retryable);
  });

  test("C12: what a revocation throws synchronously rejects too", async () => {
    const { clock, run } = revocationOf(() => {
      throw new Error("boom");
    });
    expect(await rejectionOf(run())).toMatchObject({ code: "ERR_GRANT", cause: { message: "boom" } });
    expect(clock.timers).toBe(0);
  });
});

describe("E1: a date that cannot be read", () => {
  const answer = { access_token: "a", token_type: "Bearer", expires_at: "in a while", expires_in: 60 };

  test("E1: of a server: it is ignored, and the other members count", async () => {
    const grant = fakeServerGrant();
    grant.respond(answer);
    const { cache, clock } = cacheUnderTest({ grant });
    expect((await cache.get()).expiresAt - clock.now()).toBe(60_000);
  });

  test("E1: of a function of the user's: it is told, and named", async () => {
    const { cache } = cacheUnderTest({ grant: (() => answer) as never });
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({ code: "ERR_GRANT", cause: { name: "TypeError" } });
    expect(((error as Error).cause as Error).message).toMatch(
      /^"expires_at" must be .*in what the grant's function returns/,
    );
  });
});

const response = (retryable: boolean): RemintError => new RemintError("ERR_TOKEN_RESPONSE", "x", { retryable });

const endpoint = (status: number, error?: string): RemintError => new TokenEndpointError(status, "x", { error });

describe("C9: what a failure says, and whose it is", () => {
  test.each([
    ["with a status", Object.assign(new Error("x"), { status: 403 }), "the grant failed (status 403); see the cause"],
    ["without a status", new Error("x"), "the grant failed; see the cause"],
    ["that is no error", "boom", "the grant failed; see the cause"],
  ])("C9: ERR_GRANT, of an error %s: the hint says so", async (_, error, hint) => {
    for (const grant of [fakeGrant(), fakeServerGrant()]) {
      expect(await failureOf(error, grant)).toMatchObject({ code: "ERR_GRANT", hint, owner: "key", retryable: false });
    }
  });

  test("C11: an error of a user's own class is retryable when its status is transient, and only then", async () => {
    class OwnError extends Error {}
    expect((await failureOf(new OwnError("x"), fakeGrant())).retryable).toBe(false);
    expect((await failureOf(Object.assign(new OwnError("x"), { status: 400 }), fakeGrant())).retryable).toBe(false);
    expect((await failureOf(Object.assign(new OwnError("x"), { status: 503 }), fakeGrant())).retryable).toBe(true);
  });

  const OWNERS: [string, RemintError, string][] = [
    ["no connection", new RemintError("ERR_TOKEN_NETWORK", "x", { retryable: true }), "server"],
    ["metadata that could not be had", response(true), "server"],
    ["an answer that cannot be used", response(false), "key"],
    ["a time-out of a function", new RemintError("ERR_TOKEN_TIMEOUT", "x", { retryable: true }), "key"],
    ["a function that failed", new RemintError("ERR_GRANT", "x"), "key"],
    ["the store", new RemintError("ERR_STORE", "x", { retryable: true }), "key"],
    ["another cache that was closed", new RemintError("ERR_CLOSED", "x"), "key"],
    ["another session that is over", new RemintError("ERR_SESSION", "x", { terminal: true }), "key"],
    ["500", endpoint(500), "server"],
    ["503", endpoint(503), "server"],
    ["408", endpoint(408), "server"],
    ["499", endpoint(499), "key"],
    ["400 temporarily_unavailable", endpoint(400, "temporarily_unavailable"), "server"],
    ["400 server_error", endpoint(400, "server_error"), "server"],
    ["429", endpoint(429), "client"],
    ["401 invalid_client", endpoint(401, "invalid_client"), "client"],
    ["400 invalid_client", endpoint(400, "invalid_client"), "client"],
    ["401 without an error", endpoint(401), "key"],
    ["400 unauthorized_client", endpoint(400, "unauthorized_client"), "key"],
    ["400 invalid_scope", endpoint(400, "invalid_scope"), "target"],
    ["400 invalid_target", endpoint(400, "invalid_target"), "target"],
    ["400 invalid_grant", endpoint(400, "invalid_grant"), "key"],
  ];
  test.each(OWNERS)("C9: %s, of a grant with a server", async (_, error, owner) => {
    expect((await failureOf(error)).owner).toBe(owner);
  });
  test.each(OWNERS)("C9: %s, thrown by a grant of the user's own: it is that key's", async (_, error) => {
    expect((await failureOf(error, fakeGrant())).owner).toBe("key");
  });

  test("C9: a failure of the network, of a grant of the user's own, is that key's, and its cause is the very object", async () => {
    const error = Object.assign(new Error("x"), { code: "ECONNRESET" });
    expect(networkFailureOf(error)).toBeDefined();
    const failure = await failureOf(error, fakeGrant());
    expect([failure.owner, failure.code, failure.toError().cause === error]).toEqual([
      "key",
      "ERR_TOKEN_NETWORK",
      true,
    ]);
  });

  test("C10: nothing is known to be pending: the hint of the time-out names the grant", async () => {
    // What the mint waits for is a function that gives the state, and that says nothing of itself.
    const grant = fakeGrant({ state: "s", onState: () => {} });
    const { clock, start } = mintsOf(definitionOf(grant));
    const mint = start({ load: () => new Promise(() => {}) });
    const left = watch(mint.left);
    const landed = watch(mint.result);
    await clock.advance(60_000);
    const failure = left.value ?? landed.value?.failure;
    expect(failure).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", owner: "key" });
    expect(failure?.hint).toMatch(/^the grant did not settle\. A function that sends a request through a client/);
    expect(grant.mints).toBe(0);
  });

  test("C10: the grant's own function is pending: the hint of the time-out names it, and the failure is the key's", async () => {
    const grant = grantDefinition(() => new Promise<never>(() => {}));
    const { clock, start } = mintsOf(grant);
    const left = watch(start().left);
    await clock.advance(10_000);
    expect(left.value).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", owner: "key", retryable: true });
    expect(left.value?.hint).toMatch(/^the grant's function did not settle/);
    await clock.advance(50_000);
  });
});
