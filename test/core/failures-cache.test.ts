import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../../src/base/errors.ts";
import { cacheUnderTest, fakeServerGrant, rejectionOf, settle, TARGET, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;

const network = (): RemintError => new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true });
const answer = (status: number, options: TokenEndpointErrorOptions = {}): TokenEndpointError =>
  new TokenEndpointError(status, `status ${status}`, options);

describe("C9: the cache after a failed mint", () => {
  test("C9: callers after a failed mint get equal errors, each an object of its own, and no mint starts", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), Infinity);
    const error = (await rejectionOf(cache.get())) as RemintError;
    const errors = [error];
    for (let call = 0; call < 100; call++) errors.push((await rejectionOf(cache.get())) as RemintError);
    expect(cache.peek()).toBeUndefined();
    await clock.advance(999);
    errors.push((await rejectionOf(cache.get())) as RemintError);
    for (const each of errors) expect(each).toEqual(error);
    expect(new Set(errors).size).toBe(102);
    expect(error).toMatchObject({ code: "ERR_TOKEN_NETWORK", message: "no way there", retryable: true });
    expect(grant.mints).toBe(1);
  });

  test("C9: 1,000 callers of one failed mint: 1,000 errors, and what one caller writes no other sees", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeServerGrant() });
    const socket = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    grant.fail(
      answer(503, { error: "temporarily_unavailable", hint: "ask the operator", retryAfter: 7000, cause: socket }),
    );
    const errors = (await Promise.all(
      Array.from({ length: 1000 }, () => rejectionOf(cache.get())),
    )) as TokenEndpointError[];
    expect(grant.mints).toBe(1);
    expect(new Set(errors).size).toBe(1000);
    expect(new Set(errors.map(({ cause }) => cause)).size).toBe(1000);
    expect(new Set(errors.map(({ headers }) => headers)).size).toBe(1000);

    const [first, ...others] = errors as [TokenEndpointError, ...TokenEndpointError[]];
    // What frameworks and loggers do: Koa, hapi, Sentry, p-retry, http-errors and Express's middleware write to errors.
    Object.assign(first, { status: 500, statusCode: 500, expose: true, digest: "x", requestId: 7, code: "EOTHER" });
    Object.assign(first, { message: "written", stack: "written", hint: "written", retryable: false, cause: "written" });
    Object.assign(first.headers, { "retry-after": "written" });
    Object.defineProperty(first, "isBoom", { value: true });
    Error.captureStackTrace(first);
    for (const other of others) {
      expect(Object.isExtensible(other)).toBe(true);
      expect(other).toMatchObject({
        name: "TokenEndpointError",
        code: "ERR_TOKEN_ENDPOINT",
        endpointStatus: 503,
        status: 503,
        statusCode: 503,
        expose: false,
        retryable: true,
        terminal: false,
        retryAfter: 7000,
        headers: { "retry-after": "7" },
        error: "temporarily_unavailable",
        hint: "ask the operator",
        message: "status 503",
        cause: { message: "connect ECONNREFUSED", code: "ECONNREFUSED" },
      });
      for (const name of ["digest", "requestId", "isBoom"]) expect(other).not.toHaveProperty(name);
      expect(other.stack).toContain("    hint: ask the operator");
    }
    Object.assign(others[0]!.cause as Error, { message: "written" });
    expect((others[1]!.cause as Error).message).toBe("connect ECONNREFUSED");
    expect(socket.message).toBe("connect ECONNREFUSED");
  });

  test("C9: 1,000 callers over 10 s of an outage cause four mints", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), Infinity);
    for (let call = 0; call < 1000; call++) {
      await rejectionOf(cache.get());
      await clock.advance(10);
    }
    // At 0, 1, 3 and 7 s.
    expect(grant.mints).toBe(4);
  });

  test("C9: after a success, the next failure is remembered for one second again", async () => {
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

  test("C9: failed background refreshes back off to 30 s while the old token is served", async () => {
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

  test("C9: failing background refreshes: one attempt in the hard window, one at expiry, then every 5 s", async () => {
    const { cache, grant, clock } = cacheUnderTest({ refreshBuffer: HOUR / 2, minValidity: 70_000 });
    await cache.get();
    await clock.advance(HOUR / 2);
    grant.fail(network(), Infinity);
    const startedAt: number[] = [];
    for (let left = HOUR / 2; left > -20_000; left -= 500) {
      const before = grant.mints;
      const got = watch(cache.get());
      await settle();
      expect(got.state).toBe(left > 0 ? "fulfilled" : "rejected");
      if (grant.mints > before) startedAt.push(left / 1000);
      await clock.advance(500);
    }
    // Without the hard window the attempt after 89 s would be at 59 s; without the expiry that after 10 s at -20 s.
    expect(startedAt.filter((left) => left <= 100)).toEqual([89, 70, 40, 10, 0, -5, -10, -15]);
  });

  test("C9: a Retry-After of 60 s from a background refresh holds for the callers that fail meanwhile", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    await cache.get();
    await clock.advance(HOUR - 30_000);
    grant.fail(answer(503, { retryAfter: 60_000 }));
    cache.peek();
    await clock.advance(59_999);
    expect(await rejectionOf(cache.get())).toMatchObject({ endpointStatus: 503, retryAfter: 60_000 });
    expect(grant.mints).toBe(2);
    await clock.advance(1);
    expect((await cache.get()).value).toBe("fake-3");
  });

  test("C9: after a terminal refusal no further mint starts, not even for a rejected token", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const token = await cache.get();
    await clock.advance(HOUR - 30_000);
    grant.fail(answer(400, { error: "invalid_grant", terminal: true }), Infinity);
    cache.peek();
    await clock.advance(10_000);
    expect(cache.peek()).toBe(token);
    await expect(policyHalf(cache).rejected(token, TARGET)!.next()).rejects.toMatchObject({ terminal: true });
    await clock.advance(10 * HOUR);
    await expect(cache.get()).rejects.toMatchObject({ terminal: true });
    expect(grant.mints).toBe(2);
  });

  test("C9: an error that the user's own grant throws is the cause itself, and neither it nor ours is frozen", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    class DatabaseError extends Error {
      readonly table = "sessions";
    }
    const foreign = new DatabaseError("down");
    grant.fail(foreign, Infinity);
    const [one, other] = (await Promise.all([rejectionOf(cache.get()), rejectionOf(cache.get())])) as [Error, Error];
    expect([Object.isFrozen(foreign), Object.isFrozen(one)]).toEqual([false, false]);
    expect(one).not.toBe(other);
    expect([one.cause, other.cause]).toEqual([foreign, foreign]);
    expect([one.cause === foreign, other.cause === foreign]).toEqual([true, true]);
    expect(one.message).toBe("no token is available: the grant failed");
    // Events are for logs: they get a copy.
    const told = eventsNamed("mint-failed")[0]!.error.cause;
    expect(told).not.toBe(foreign);
    expect(told).toMatchObject({ message: "down" });
    expect(told).not.toHaveProperty("table");
  });

  test("C9: of a RemintError that the user's own grant throws, callers get equals with the very cause it has", async () => {
    const { cache, grant } = cacheUnderTest();
    const cause = Object.assign(new Error("session store"), { table: "sessions" });
    const own = new RemintError("ERR_GRANT", "nobody is signed in", { cause, hint: "ask alice", retryAfter: 5000 });
    grant.fail(own, Infinity);
    const [one, other] = [await rejectionOf(cache.get()), await rejectionOf(cache.get())] as [RemintError, RemintError];
    expect([one, other]).toEqual([own, own]);
    expect(new Set([one, other, own]).size).toBe(3);
    expect([one.cause === cause, other.cause === cause]).toEqual([true, true]);
    expect([one.hint, other.headers]).toEqual(["ask alice", { "retry-after": "5" }]);
  });

  test("C9: a grant may throw the same frozen RemintError repeatedly", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const error = network();
    grant.fail(error, Infinity);
    expect(await rejectionOf(cache.get())).toEqual(error);
    await clock.advance(1000);
    const again = await rejectionOf(cache.get());
    expect(again).toEqual(error);
    expect([again === error, Object.isFrozen(again)]).toEqual([false, false]);
    expect(grant.mints).toBe(2);
  });

  test("C9: mint-failed comes once per failed mint, not once per caller", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    grant.fail(network(), Infinity);
    for (let call = 0; call < 10; call++) await rejectionOf(cache.get());
    expect(eventsNamed("mint-failed")).toMatchObject([
      { cause: "cold", servedStale: false, error: { code: "ERR_TOKEN_NETWORK" } },
    ]);
  });
});
