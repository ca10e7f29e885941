/**
 * Functions of the user's that misbehave in every way a function can: the callers get a typed error in bounded time, the
 * cache works on, and no rejection is left unhandled.
 */
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  customGrant,
  refreshTokenGrant,
  RemintError,
  tokenExchangeGrant,
  type Grant,
  type RemintErrorCode,
  type TokenCache,
} from "../../src/index.ts";
import { fakeGrant, manualClock, startAuthServer, type AuthServer } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch } from "./cache-under-test.ts";

let server: AuthServer;
beforeAll(async () => {
  server = await startAuthServer();
  server.respondAlways((request) =>
    request.form.get("refresh_token") === "refused"
      ? { status: 400, body: { error: "invalid_grant" } }
      : { body: { access_token: "at", token_type: "Bearer", expires_in: 3600, refresh_token: "rt-2" } },
  );
});
afterAll(() => server.close());

const unhandled: unknown[] = [];
const listen = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => void process.on("unhandledRejection", listen));
afterEach(async () => {
  await settle();
  process.off("unhandledRejection", listen);
  expect(unhandled.splice(0)).toEqual([]);
});

const raise = (value: unknown) => (): never => {
  throw value;
};
/** Every read of every member throws. */
const unreadable = (): object =>
  new Proxy(
    {},
    { get: raise(new Error("get")), has: raise(new Error("has")), getPrototypeOf: raise(new Error("proto")) },
  );
const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const errorWith = (name: string): Error =>
  Object.defineProperty(new Error("x"), name, { get: raise(new Error(`reading ${name}`)) });
// oxlint-disable-next-line unicorn/no-thenable -- grants may return any object that can be awaited
const THEN = "then";
const thenable = (then: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => void): unknown => ({
  [THEN]: then,
});
const unreadableThenable = (): object => Object.defineProperty({}, THEN, { get: raise(new Error("x")) });
const GOOD = { access_token: "good", token_type: "Bearer", expires_in: 3600 };
const answerWithGetter = (name: string): object =>
  Object.defineProperty({ ...GOOD }, name, { enumerable: true, get: raise(new Error(`reading ${name}`)) });
/** A getter that works once. */
const answerReadOnce = (name: string): object => {
  let reads = 0;
  const get = (): unknown => {
    if (reads++ > 0) throw new Error(`reading ${name} again`);
    return (GOOD as Record<string, unknown>)[name];
  };
  return Object.defineProperty({ ...GOOD }, name, { enumerable: true, get });
};

const THROWN: [string, unknown][] = [
  ["an error", new Error("boom")],
  ["a frozen error", Object.freeze(new Error("boom"))],
  ["a string", "boom"],
  ["undefined", undefined],
  ["null", null],
  ["a symbol", Symbol("boom")],
  ["a function", raise],
  ["an object without a prototype", Object.create(null)],
  ["an object whose members cannot be read", unreadable()],
  ["a revoked proxy", revoked()],
  ["an error whose message cannot be read", errorWith("message")],
  ["an error whose stack cannot be read", errorWith("stack")],
  ["an error whose cause cannot be read", errorWith("cause")],
  ["an error whose code cannot be read", errorWith("code")],
  ["an error whose status cannot be read", errorWith("status")],
];

/** All that the caller and the listener of events are told, in words. */
const inWords = (value: unknown): string => inspect(value, { depth: 3 });

describe("C10: a grant's function throws", () => {
  test.each(THROWN)(
    "C10: %s, at once or in a promise: ERR_GRANT for every caller, and the cache works on",
    async (_, thrown) => {
      for (const mint of [
        raise(thrown),
        () => Promise.reject(thrown),
        () => thenable((_resolve, reject) => reject(thrown)),
      ]) {
        for (const grantOf of [() => ({ mint }) as unknown as Grant, () => mint as unknown as Grant]) {
          let isBroken = true;
          const grant = grantOf() as unknown as { mint?: unknown };
          const broken = (grant.mint ?? grant) as () => unknown;
          const { cache, clock, eventsNamed } = cacheUnderTest({
            grant: (async () => (isBroken ? broken() : GOOD)) as never,
            mintRetries: undefined,
          });
          const got = [watch(cache.get()), watch(cache.get())];
          await clock.advance(0);
          for (const { reason } of got) {
            expect(reason).toBeInstanceOf(RemintError);
            expect(reason).toMatchObject({
              code: "ERR_GRANT",
              message: "no token is available: the grant failed",
              retryable: false,
            });
          }
          expect(got[0]!.reason).not.toBe(got[1]!.reason);
          expect(eventsNamed("mint-failed")).toHaveLength(1);
          expect(inWords(eventsNamed("mint-failed")[0])).toContain("ERR_GRANT");
          isBroken = false;
          await clock.advance(1000);
          expect((await cache.get()).value).toBe("good");
          expect(clock.timers).toBe(0);
        }
      }
    },
  );

  test.each(THROWN)("C10: %s, thrown by an object that is a grant and by customGrant: ERR_GRANT", async (_, thrown) => {
    for (const grant of [{ mint: raise(thrown) } as unknown as Grant, customGrant({ mint: raise(thrown) })]) {
      const { cache } = cacheUnderTest({ grant: grant as never });
      expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
    }
  });
});

describe("C10: a grant's function returns rubbish", () => {
  test.each<[string, () => unknown, RemintErrorCode]>([
    ["a number", () => 7, "ERR_TOKEN_RESPONSE"],
    ["an empty string", () => "", "ERR_TOKEN_RESPONSE"],
    ["a string that cannot stand in a header", () => "a b", "ERR_TOKEN_RESPONSE"],
    ["false", () => false, "ERR_TOKEN_RESPONSE"],
    ["a symbol", () => Symbol("token"), "ERR_TOKEN_RESPONSE"],
    ["a function", () => () => GOOD, "ERR_TOKEN_RESPONSE"],
    ["an array", () => [GOOD], "ERR_TOKEN_RESPONSE"],
    ["a Response", () => new Response("{}"), "ERR_TOKEN_RESPONSE"],
    ["an error", () => new Error("x"), "ERR_TOKEN_RESPONSE"],
    ["an object whose members cannot be read", unreadable, "ERR_GRANT"],
    ["a revoked proxy", revoked, "ERR_GRANT"],
    ["an answer whose access_token cannot be read", () => answerWithGetter("access_token"), "ERR_GRANT"],
    ["an answer whose expires_in cannot be read", () => answerWithGetter("expires_in"), "ERR_GRANT"],
    ["an answer whose state cannot be read", () => answerWithGetter("state"), "ERR_GRANT"],
    ["an answer with another member that cannot be read", () => answerWithGetter("instance_url"), "ERR_GRANT"],
    ["a promise whose then cannot be read", unreadableThenable, "ERR_GRANT"],
    ["a promise whose then throws", () => thenable(raise(new Error("x"))), "ERR_GRANT"],
  ])("C10: %s: a typed error, no retry, and the cache works on", async (_, answer, code) => {
    let calls = 0;
    const { cache, clock, eventsNamed } = cacheUnderTest({
      grant: (() => (calls++ === 0 ? answer() : GOOD)) as never,
      mintRetries: undefined,
    });
    const got = watch(cache.get());
    await clock.advance(0);
    expect(got.reason).toBeInstanceOf(RemintError);
    expect(got.reason).toMatchObject({ code, retryable: false });
    expect((got.reason as Error).message).toBeTypeOf("string");
    expect([calls, eventsNamed("mint-failed").length, clock.timers]).toEqual([1, 1, 0]);
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("good");
  });
});

describe("C10: a grant's function returns an answer that is hard to read", () => {
  test.each<[string, () => unknown]>([
    ["whose access_token can be read once", () => answerReadOnce("access_token")],
    ["whose expires_in can be read once", () => answerReadOnce("expires_in")],
    ["one of whose members is a function", () => ({ ...GOOD, claims: raise(new Error("called")) })],
    ["without a prototype", () => Object.assign(Object.create(null) as object, GOOD)],
    ["that is frozen", () => Object.freeze({ ...GOOD })],
  ])("C10: an answer %s is read once, and served", async (_, answer) => {
    const { cache, eventsNamed, clock } = cacheUnderTest({ grant: (() => answer()) as never, mintRetries: undefined });
    const token = await cache.get();
    expect([token.value, token.expiresAt - clock.now()]).toEqual(["good", 3_600_000]);
    expect([eventsNamed("mint-failed").length, clock.timers]).toEqual([0, 0]);
  });

  test.each([null, undefined])(
    "C9: %s means that nobody is signed in: a state, and no event of a failure",
    async (nobody) => {
      let calls = 0;
      const { cache, clock, eventsNamed } = cacheUnderTest({
        grant: (() => (calls++ === 0 ? nobody : GOOD)) as never,
        mintRetries: undefined,
      });
      const got = watch(cache.get());
      await clock.advance(0);
      expect(got.reason).toBeInstanceOf(RemintError);
      expect(got.reason).toMatchObject({ code: "ERR_NO_SESSION", retryable: false, terminal: true, status: 401 });
      expect([calls, eventsNamed("mint-failed").length, clock.timers]).toEqual([1, 0, 0]);
      await clock.advance(1000);
      expect((await cache.get()).value).toBe("good");
    },
  );
});

/** A grant's function that settles when the test says so. */
function late(settled: "resolves" | "rejects", beganUnder: AbortSignal[]): { mint: MintLate; end: () => void } {
  let end!: () => void;
  const promise = new Promise((resolve, reject) => {
    end = () => (settled === "resolves" ? resolve(GOOD) : reject(new Error("late")));
  });
  const mint = ({ signal }: { signal: AbortSignal }): unknown => (beganUnder.push(signal), promise);
  return { mint, end };
}

type MintLate = (context: { signal: AbortSignal }) => unknown;

describe("C10: a function settles twice, too late, or never", () => {
  test.each<[string, unknown, "served" | RemintErrorCode]>([
    ["resolves, then rejects", thenable((resolve, reject) => (resolve(GOOD), reject(new Error("late")))), "served"],
    ["resolves twice", thenable((resolve) => (resolve(GOOD), resolve({ access_token: "other" }))), "served"],
    [
      "resolves, then throws",
      thenable((resolve) => {
        resolve(GOOD);
        throw new Error("late");
      }),
      "served",
    ],
    ["rejects, then resolves", thenable((resolve, reject) => (reject(new Error("first")), resolve(GOOD))), "ERR_GRANT"],
    ["resolves to a promise that rejects", thenable((resolve) => resolve(Promise.reject(new Error("x")))), "ERR_GRANT"],
    ["resolves to itself", selfResolving(), "ERR_TOKEN_TIMEOUT"],
  ])("C10: the grant's promise %s: %s", async (_, promise, outcome) => {
    const { cache, clock } = cacheUnderTest({ grant: (() => promise) as never, mintRetries: undefined });
    const got = watch(cache.get());
    await clock.advance(outcome === "ERR_TOKEN_TIMEOUT" ? 10_000 : 0);
    if (outcome === "served") expect(got.value?.value).toBe("good");
    else expect(got.reason).toMatchObject({ code: outcome });
  });

  test.each(["resolves", "rejects"] as const)("C10: a grant that %s after the cache was closed", async (settled) => {
    const signals: AbortSignal[] = [];
    const { mint, end } = late(settled, signals);
    const { cache, clock, events } = cacheUnderTest({
      grant: customGrant({ mint: mint as never, mintRetries: 0 }) as never,
    });
    const got = watch(cache.get());
    await settle();
    const closed = watch(cache.close());
    await settle();
    expect(closed).toEqual({ state: "fulfilled", value: { inFlight: false, unsaved: false } });
    expect(got.reason).toMatchObject({
      code: "ERR_CLOSED",
      message: "this token cache was closed; create a new one to go on",
    });
    expect(signals[0]).toMatchObject({ aborted: true, reason: { code: "ERR_CLOSED" } });
    end();
    await settle();
    expect([cache.peek(), events, clock.timers]).toEqual([undefined, [], 0]);
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_CLOSED" });
  });

  test.each(["resolves", "rejects"] as const)(
    "C14: a function that %s after the cache was closed: close waits for it, because it may use something up",
    async (settled) => {
      const signals: AbortSignal[] = [];
      const { mint, end } = late(settled, signals);
      const { cache, clock, events } = cacheUnderTest({ grant: mint as never });
      const got = watch(cache.get());
      await settle();
      const closed = watch(cache.close());
      await clock.advance(9999);
      expect(closed.state).toBe("pending");
      expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
      expect(signals[0]?.aborted).toBe(false);
      end();
      await settle();
      expect(closed.value).toEqual({ inFlight: false, unsaved: false });
      expect([cache.peek(), events, clock.timers]).toEqual([undefined, [], 0]);
      expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_CLOSED" });
    },
  );

  test("C14: a function that never settles: close ends after mintTimeout and says that it is in flight", async () => {
    const { mint } = late("resolves", []);
    const { cache, clock } = cacheUnderTest({ grant: mint as never });
    const got = watch(cache.get());
    await settle();
    const closed = watch(cache.close());
    await clock.advance(10_000);
    expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
    expect(closed.value).toEqual({ inFlight: true, unsaved: false });
    await clock.advance(50_000);
    expect(clock.timers).toBe(0);
  });

  test.each(["resolves", "rejects"] as const)(
    "C14: a function that %s after mintTimeout, and before landingTimeout",
    async (settled) => {
      const { mint, end } = late(settled, []);
      const { cache, clock, eventsNamed } = cacheUnderTest({ grant: mint as never });
      const got = watch(cache.get());
      await clock.advance(10_000);
      expect(got.reason).toMatchObject({
        code: "ERR_TOKEN_TIMEOUT",
        hint: expect.stringContaining(`the grant's function did not settle`) as string,
      });
      end();
      await settle();
      expect(cache.peek()?.value).toBe(settled === "resolves" ? "good" : undefined);
      expect([eventsNamed("mint-failed").length, eventsNamed("minted").length]).toEqual([
        1,
        settled === "resolves" ? 1 : 0,
      ]);
      expect(clock.timers).toBe(0);
    },
  );

  test.each(["resolves", "rejects"] as const)("C10: a repeatable grant that %s after mintTimeout", async (settled) => {
    const { mint, end } = late(settled, []);
    const { cache, clock, eventsNamed } = cacheUnderTest({
      grant: customGrant({ mint: mint as never, mintRetries: 0 }) as never,
    });
    const got = watch(cache.get());
    await clock.advance(10_000);
    expect(got.reason).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      hint: expect.stringContaining(`the grant's function did not settle`) as string,
    });
    end();
    await settle();
    expect(cache.peek()).toBeUndefined();
    expect([eventsNamed("mint-failed").length, eventsNamed("minted").length]).toEqual([1, 0]);
  });

  test.each(["resolves", "rejects"] as const)(
    "C10: an initial function that %s after the cache was closed",
    async (settled) => {
      const { mint, end } = late(settled, []);
      const { cache, grant } = cacheUnderTest({ initial: () => mint({ signal: AbortSignal.abort() }) as never });
      const got = watch(cache.get());
      await settle();
      await cache.close();
      await settle();
      expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
      end();
      await settle();
      expect([cache.peek(), grant.mints]).toEqual([undefined, 0]);
    },
  );

  test("C10: a revocation that never settles, throws, or rejects: a typed error, within mintTimeout", async () => {
    for (const [revoke, code] of [
      [() => new Promise<never>(() => {}), "ERR_TOKEN_TIMEOUT"],
      [raise(new Error("boom")), "ERR_GRANT"],
      [raise(undefined), "ERR_GRANT"],
      [() => Promise.reject(unreadable()), "ERR_GRANT"],
    ] as const) {
      const { cache, clock } = cacheUnderTest({ grant: fakeGrant({ revoke }) });
      await cache.get();
      const ended = watch(cache.signOut());
      await clock.advance(10_000);
      expect(ended.reason).toBeInstanceOf(RemintError);
      expect(ended.reason).toMatchObject({ code });
      expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401 });
      expect(clock.timers).toBe(0);
    }
  });
});

/** A promise that resolves to itself, which a native promise refuses and a thenable does not. */
function selfResolving(): object {
  const self = { [THEN]: (resolve: (value: unknown) => void) => void setImmediate(() => resolve(self)) };
  return self;
}

const endpoint = (): { tokenEndpoint: string; clientId: string; clientSecret: string } => ({
  tokenEndpoint: server.tokenEndpoint,
  clientId: "shop",
  clientSecret: "s3cret",
});

describe("C10: functions of the library's own grants", () => {
  type Call = () => never;
  const functions: [string, (call: Call) => Grant][] = [
    ["clientSecret", (call) => clientCredentialsGrant({ ...endpoint(), clientSecret: call })],
    ["subjectToken", (call) => tokenExchangeGrant({ ...endpoint(), subjectToken: call })],
    ["refreshToken", (call) => refreshTokenGrant({ ...endpoint(), refreshToken: call, onRotate: () => {} })],
  ];

  test.each(functions)(
    "C10: %s throws anything, at once or in a promise: ERR_GRANT, and the hint names it",
    async (name, grantWith) => {
      for (const [what, thrown] of THROWN) {
        for (const call of [raise(thrown), () => Promise.reject(thrown) as never]) {
          const cache = createTokenCache({ grant: grantWith(call), origins: [ORIGIN], mintRetries: 0 });
          const error = await rejectionOf(cache.get());
          expect(error).toBeInstanceOf(RemintError);
          expect(error).toMatchObject({ code: "ERR_GRANT" });
          if (!/read|revoked/.test(what))
            expect((error as RemintError).hint).toContain(`the function "${name}" failed`);
          expect((error as RemintError).message).not.toContain(name);
          await cache.close();
        }
      }
    },
  );

  test("C14: onRotate throws anything, at once or in a promise: the token is served, and an event names the function", async () => {
    for (const [what, thrown] of THROWN) {
      for (const call of [raise(thrown), () => Promise.reject(thrown) as never]) {
        const grant = refreshTokenGrant({ ...endpoint(), refreshToken: "rt", onRotate: call });
        const { cache, eventsNamed, clock } = cacheUnderTest({ grant: grant as never });
        expect((await cache.get()).value).toBe("at");
        const [{ error } = { error: undefined }, ...more] = eventsNamed("state-unsaved");
        expect(error).toBeInstanceOf(RemintError);
        expect(error).toMatchObject({ code: "ERR_GRANT", retryable: true });
        if (!/read|revoked/.test(what)) expect(error?.hint).toContain(`the function "onRotate" failed`);
        expect(error?.message).not.toContain("onRotate");
        expect(inWords(error)).not.toContain("rt-2");
        expect(more).toEqual([]);
        expect(await cache.close()).toEqual({ inFlight: false, unsaved: true });
        expect(clock.timers).toBe(0);
      }
    }
  });

  test.each(functions)("C10: %s returns rubbish: a typed error that names it", async (name, grantWith) => {
    for (const answer of [7, {}, [], Symbol("x"), unreadable(), () => "x"]) {
      const cache = createTokenCache({ grant: grantWith((() => answer) as never), origins: [ORIGIN], mintRetries: 0 });
      const error = (await rejectionOf(cache.get())) as RemintError;
      expect(error).toBeInstanceOf(RemintError);
      expect(error.code).toBe("ERR_GRANT");
      expect(error.hint).toContain(`the function "${name}" failed`);
      await cache.close();
    }
  });
});

describe("C12: a listener of events", () => {
  test.each<[string, () => unknown]>([
    ["throws", raise(new Error("telemetry is down"))],
    ["throws undefined", raise(undefined)],
    ["rejects", () => Promise.reject(new Error("telemetry is down"))],
    ["rejects later", () => new Promise((_, reject) => void setImmediate(() => reject(new Error("later"))))],
    ["never settles", () => new Promise(() => {})],
    ["returns a promise whose then throws", () => thenable(raise(new Error("x")))],
    ["returns a promise whose then cannot be read", unreadableThenable],
    ["returns a promise that settles twice", () => thenable((resolve, reject) => (resolve(1), reject(new Error("x"))))],
    ["returns an object whose members cannot be read", unreadable],
  ])("C12: an onEvent that %s: every call works, and nothing is unhandled", async (_, onEvent) => {
    let told = 0;
    const { cache, grant, clock } = cacheUnderTest({
      mintRetries: 1,
      onEvent: () => {
        told++;
        return onEvent();
      },
    });
    expect((await cache.get()).value).toBe("fake-1");
    await cache.invalidate("fake-1");
    grant.fail(new RemintError("ERR_TOKEN_NETWORK", "x", { retryable: true }), Infinity);
    const got = watch(cache.get());
    await clock.advance(2000);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_NETWORK" });
    // mint-started and minted, invalidated, mint-started, mint-retried and mint-failed
    expect(told).toBe(6);
    await settle();
  });
});

describe("C12: signals that are no signals, given to get()", () => {
  test.each<[string, unknown]>([
    ["an AbortController", new AbortController()],
    ["a string", "signal"],
    ["true", true],
    ["an empty object", {}],
    ["an object that only says it is aborted", { aborted: true }],
    ["a function", () => {}],
  ])("C12: %s: a TypeError that names it, with and without a token, and nothing is unhandled", async (_, signal) => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(new Error("down"));
    const get = (): Promise<unknown> => cache.get({ signal: signal as AbortSignal });
    // While a mint is in progress that will fail.
    const other = watch(cache.get());
    expect(await rejectionOf(get())).toBeInstanceOf(TypeError);
    await settle();
    expect(other.reason).toMatchObject({ code: "ERR_GRANT" });
    await clock.advance(1000);
    const error = await rejectionOf(get());
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(/^"signal" must be an AbortSignal/);
    expect([grant.mints, clock.awaited]).toEqual([1, 0]);
    await cache.get();
    expect(await rejectionOf(get())).toBeInstanceOf(TypeError);
  });

  test("C12: null is no signal at all", async () => {
    const { cache } = cacheUnderTest();
    expect((await cache.get({ signal: null as never })).value).toBe("fake-1");
  });
});

describe("C13: a pool's create", () => {
  test.each(THROWN.slice(0, 8))(
    "C13: throws %s: get() throws that very value, and the next get() calls it again",
    (_, thrown) => {
      let isBroken = true;
      const clock = manualClock();
      const pool = createTokenPool({
        create: (): TokenCache => (isBroken ? raise(thrown)() : cacheUnderTest({ clock }).cache),
      });
      let caught: { readonly value: unknown } | undefined;
      try {
        pool.get("a");
      } catch (value) {
        caught = { value };
      }
      expect(caught).toEqual({ value: thrown });
      isBroken = false;
      expect(pool.get("a").peek()).toBeUndefined();
    },
  );

  test.each<[string, () => unknown]>([
    ["a promise that rejects", () => Promise.reject(new Error("no such tenant"))],
    ["a promise of a cache", async () => cacheUnderTest().cache],
    ["an object whose members cannot be read", unreadable],
  ])("C13: returns %s: a TypeError or what it throws, and nothing is unhandled", (_, create) => {
    const pool = createTokenPool({ create: create as never });
    expect(() => pool.get("a")).toThrow(/"create" must be a function that returns createTokenCache|get/);
    expect(pool.size).toBe(0);
  });
});
