/** C16: a sign-in is said and not guessed: signIn, signOut, what they take, and what they do to everything in progress. */
import { describe, expect, test, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  customGrant,
  jwtBearerGrant,
  refreshTokenGrant,
  RemintError,
  tokenExchangeGrant,
  type Grant,
  type SignInResponse,
} from "../../src/index.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch } from "./cache-under-test.ts";
import { BOB, BOB_EXPIRED, ENDED, NOBODY, REPLACED, rotated, sessionUnderTest } from "./sessions-under-test.ts";

const HOUR = 3_600_000;
const down = (): never => {
  throw new Error("down");
};
const never = (): Promise<never> => new Promise(() => {});
const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "portal", clientSecret: "s3cret" };
/** The refresh token grant, whose server answers with these tokens, one after the other. */
function refreshing(answers: readonly object[] = [], options: object = {}): { grant: Grant; sent: (string | null)[] } {
  const sent: (string | null)[] = [];
  const fetch = async (_: string, { body }: RequestInit): Promise<Response> => {
    sent.push(new URLSearchParams(body as string).get("refresh_token"));
    const answer = answers[sent.length - 1] ?? {
      access_token: `at-${sent.length}`,
      token_type: "Bearer",
      expires_in: 3600,
    };
    return Response.json(answer, { status: "error" in answer ? 400 : 200 });
  };
  return { grant: refreshTokenGrant({ ...endpoint, refreshToken: "rt-1", fetch, ...options }), sent };
}

describe("C16: what signIn takes", () => {
  const SIGNED_IN: [string, () => Grant][] = [
    ["refreshTokenGrant", () => refreshing().grant],
    ["customGrant", () => customGrant({ mint: () => "minted" })],
    ["customGrant with a state", () => customGrant({ state: "s", onState: () => {}, mint: () => "minted" })],
    ["a function", () => (() => "minted") as unknown as Grant],
    ["fakeGrant", () => fakeGrant()],
  ];
  const WRONG: [string, unknown, RegExp][] = [
    ["undefined", undefined, /^"response" must be the token response of the sign-in.*got undefined/],
    ["null", null, /^"response" must be .*got null/],
    ["a string", "at-1", /^"response" must be .*got a string/],
    ["a number", 7, /^"response" must be .*got a number/],
    ["true", true, /^"response" must be .*got a boolean/],
    ["a function", () => BOB, /^"response" must be .*got a function/],
    ["an array", [BOB], /"response\.access_token" must be .*got undefined/],
    ["an empty object", {}, /"response\.access_token" must be .*got undefined/],
    ["a promise of a response", Promise.resolve(BOB), /"response" must be .*got a promise that was not awaited/],
    ["an OAuth error", { error: "access_denied" }, /"response\.access_token" must be /],
    ["camelCase members", { accessToken: "a", refreshToken: "r" }, /"response\.access_token" must be /],
    ["an empty access_token", { access_token: "" }, /"response\.access_token" must be .*got an empty string/],
    ["a number as access_token", { access_token: 7 }, /"response\.access_token" must be .*got a number/],
    ["null as access_token", { access_token: null }, /"response\.access_token" must be .*got null/],
    ["an access_token with a space", { access_token: "s3cr et" }, /"(response\.)?access_token"/],
    ["an access_token with a line feed", { access_token: "s3cr\net" }, /"(response\.)?access_token"/],
    ["a token_type that nobody knows", { access_token: "a", token_type: "mac" }, /"(response\.)?token_type"/],
    ["an expires_in that is no number", { access_token: "a", expires_in: "soon" }, /"response\.expires_in" must be /],
    ["an expires_at that is no date", { access_token: "a", expires_at: "soon" }, /"response\.expires_at" must be /],
  ];

  describe.each(SIGNED_IN)("%s", (_, grantOf) => {
    test.each(WRONG)(
      "C16: %s is a TypeError that names the member, and the session of before goes on",
      async (_what, given, message) => {
        const { cache, events } = cacheUnderTest({ grant: grantOf() as never });
        const { value } = await cache.get();
        events.length = 0;
        const error = await rejectionOf(cache.signIn(given as SignInResponse));
        expect(error).toBeInstanceOf(TypeError);
        expect((error as Error).message).toMatch(message);
        expect((error as Error).message).not.toMatch(/s3cr|at-1/);
        expect([cache.peek()?.value, events]).toEqual([value, []]);
      },
    );
  });

  test.each([
    ["a number", 7, /"(response\.)?refresh_token" must be .*got a number/],
    ["an empty string", "", /"(response\.)?refresh_token" must be .*got an empty string/],
    ["an object", { token: "r" }, /"(response\.)?refresh_token" must be .*got an object/],
    ["true", true, /"(response\.)?refresh_token" must be .*got a boolean/],
  ])(
    "C16: %s as refresh_token for refreshTokenGrant is a TypeError, and the session of before goes on",
    async (_, refreshToken, message) => {
      const { grant, sent } = refreshing();
      const { cache } = cacheUnderTest({ grant: grant as never });
      await cache.get();
      const error = await rejectionOf(cache.signIn({ access_token: "a", refresh_token: refreshToken as string }));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(message);
      expect(cache.peek()?.value).toBe("at-1");
      await cache.invalidate("at-1");
      await cache.get();
      expect(sent).toEqual(["rt-1", "rt-1"]);
    },
  );

  const STATELESS: [string, () => Grant][] = [
    ["clientCredentialsGrant", () => clientCredentialsGrant(endpoint)],
    ["jwtBearerGrant", () => jwtBearerGrant({ ...endpoint, assertion: "a.b.c" })],
    ["tokenExchangeGrant", () => tokenExchangeGrant({ ...endpoint, subjectToken: "s" })],
  ];
  test.each(STATELESS)(
    "C16: %s stands for no user: signIn and signOut are TypeErrors, and nothing is sent",
    async (_, grantOf) => {
      const cache = createTokenCache({ grant: grantOf(), origins: [ORIGIN], initial: { access_token: "held" } });
      const pool = createTokenPool({ create: () => createTokenCache({ grant: grantOf(), origins: [ORIGIN] }) });
      const calls: [Promise<void>, string][] = [
        [cache.signIn(BOB), "signIn"],
        [cache.signOut(), "signOut"],
        [cache.signOut({ revoke: false }), "signOut"],
        [pool.signIn("a", BOB), "signIn"],
        [pool.signOut("a"), "signOut"],
      ];
      for (const [call, name] of calls) {
        const error = await rejectionOf(call);
        expect(error).toBeInstanceOf(TypeError);
        expect((error as Error).message).toContain(`${name}() needs a grant that stands for a user who signs in`);
      }
      expect(cache.peek()?.value).toBe("held");
    },
  );

  test("C16: members of the response are handed out, without the tokens, and frozen", async () => {
    const { cache } = sessionUnderTest();
    const given = { ...BOB, id_token: "id", scope: "read", tenant: { name: "acme" } };
    await cache.signIn(given);
    const { response, scope } = cache.peek()!;
    expect(scope).toBe("read");
    expect(Object.keys(response).toSorted()).toEqual(["expires_in", "scope", "tenant", "token_type"]);
    expect(Object.isFrozen(response["tenant"])).toBe(true);
    // The object of the user's is as it was.
    expect(Object.isFrozen(given.tenant)).toBe(false);
  });

  test("C16: the response is read when it is given: what is done to the object later changes nothing", async () => {
    const { cache, grant, saved } = sessionUnderTest();
    const given: { access_token: string; refresh_token: string } = { access_token: "bob", refresh_token: "bob-1" };
    const signedIn = cache.signIn(given);
    Object.assign(given, { access_token: "eve", refresh_token: "eve-1" });
    await signedIn;
    expect([cache.peek()?.value, saved]).toEqual(["bob", ["bob-1"]]);
    await cache.invalidate("bob");
    await cache.get();
    expect(grant.contexts[0]?.state).toBe("bob-1");
  });
});

describe("C16: signIn", () => {
  test("C16: the access token is used at once, without a mint, and the refresh token is what the next mint presents", async () => {
    const { cache, grant, clock, saved, events } = sessionUnderTest();
    const signedIn = cache.signIn(BOB);
    expect(cache.peek()?.value).toBe("bob");
    await signedIn;
    expect((await cache.get()).value).toBe("bob");
    expect([grant.mints, saved]).toEqual([0, ["bob-1"]]);
    expect(events.map(({ name }) => name)).toEqual(["signed-in"]);
    await clock.advance(HOUR);
    expect((await cache.get()).value).toBe("fake-1");
    expect(grant.contexts[0]?.state).toBe("bob-1");
    expect(clock.timers).toBe(0);
  });

  test.each([
    ["expires_at in the past", { expires_at: 1 }],
    ["a Date in the past", { expires_at: new Date(0) }],
  ])("C16: an access token with %s has expired: the next call mints, with the new refresh token", async (_, expiry) => {
    const { cache, grant, saved } = sessionUnderTest();
    await cache.get();
    await cache.signIn({ access_token: "bob", refresh_token: "bob-1", ...expiry });
    expect([cache.peek(), saved]).toEqual([undefined, ["bob-1"]]);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.contexts.map(({ state }) => state)).toEqual(["alice-1", "bob-1"]);
  });

  test("C16: without a refresh_token, the state of before is forgotten, and the function is asked", async () => {
    let stored = "alice-1";
    const { cache, grant, saved } = sessionUnderTest({ state: () => stored });
    await cache.get();
    stored = "bob-1";
    await cache.signIn({ access_token: "bob" });
    expect([cache.peek()?.value, saved]).toEqual(["bob", []]);
    await cache.invalidate("bob");
    await cache.get();
    expect(grant.contexts.map(({ state }) => state)).toEqual(["alice-1", "bob-1"]);
  });

  test("C16: without a refresh_token, and the function returns that of before: it is not presented for the new session", async () => {
    const { cache, grant } = sessionUnderTest({ state: () => "alice-1" });
    await cache.get();
    await cache.signIn({ access_token: "bob" });
    await cache.invalidate("bob");
    expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
    expect(grant.mints).toBe(1);
  });

  test("C16: without a refresh_token, and without a function: the access token is all there is", async () => {
    const { cache, grant } = sessionUnderTest();
    await cache.get();
    await cache.signIn({ access_token: "bob" });
    expect((await cache.get()).value).toBe("bob");
    await cache.invalidate("bob");
    expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
    expect(grant.mints).toBe(1);
  });

  test("C16: the same refresh token once more, as of a server that does not rotate: it is presented", async () => {
    for (const state of ["alice-1", () => "alice-1"]) {
      const { cache, grant, saved } = sessionUnderTest({ state });
      await cache.get();
      await cache.signIn({ access_token: "again", refresh_token: "alice-1" });
      await cache.invalidate("again");
      await cache.get();
      expect(grant.contexts.map((context) => context.state)).toEqual(["alice-1", "alice-1"]);
      expect(saved).toEqual(["alice-1"]);
    }
  });

  test("C16: the function is told the new state and the one it replaces; a state that waits to be saved is dropped", async () => {
    const saves: unknown[] = [];
    let isDown = true;
    const { cache, grant, clock } = sessionUnderTest({
      onState: (next, { replaced }) => {
        if (isDown) throw new Error("down");
        saves.push([next, replaced]);
      },
    });
    grant.respond(rotated("a", "alice-2"));
    await cache.get();
    isDown = false;
    await cache.signIn(BOB);
    expect(saves).toEqual([["bob-1", "alice-2"]]);
    await clock.advance(60_000);
    expect(saves).toHaveLength(1);
    expect(clock.timers).toBe(0);
  });

  test("C16: the save fails: the sign-in holds, an event says so, and the save is repeated", async () => {
    let failures = 2;
    const saves: unknown[] = [];
    const { cache, clock, eventsNamed } = sessionUnderTest({
      onState: (next) => {
        saves.push(next);
        if (failures-- > 0) throw new Error("down");
      },
    });
    await cache.signIn(BOB);
    expect(cache.peek()?.value).toBe("bob");
    expect(eventsNamed("state-unsaved")).toMatchObject([{ error: { code: "ERR_GRANT", retryable: true } }]);
    await clock.advance(1000);
    await clock.advance(2000);
    expect([saves, eventsNamed("state-unsaved").length]).toEqual([["bob-1", "bob-1", "bob-1"], 2]);
    expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
  });

  test("C16: the save hangs: the promise resolves after half of mintTimeout, and the token is used meanwhile", async () => {
    const { cache, clock } = sessionUnderTest({ onState: never });
    const signedIn = watch(cache.signIn(BOB));
    await clock.advance(4999);
    expect([signedIn.state, cache.peek()?.value]).toEqual(["pending", "bob"]);
    await clock.advance(1);
    expect(signedIn.state).toBe("fulfilled");
  });

  test("C16: a save of Alice's that hangs does not hold Bob's up, and its signal says that it is over", async () => {
    const saves: [unknown, AbortSignal][] = [];
    const { cache, grant, clock } = sessionUnderTest({
      onState: (next, { signal }) => {
        saves.push([next, signal]);
        return next === "alice-2" ? never() : undefined;
      },
    });
    grant.respond(rotated("a", "alice-2"));
    const waiting = watch(cache.get());
    await settle();
    expect(saves).toHaveLength(1);
    const signedIn = watch(cache.signIn(BOB));
    await settle();
    expect(saves[0]?.[1].aborted).toBe(true);
    expect([signedIn.state, saves[1]?.[0]]).toEqual(["fulfilled", "bob-1"]);
    await clock.advance(10_000);
    expect([waiting.state, saves.length, cache.peek()?.value]).toEqual(["rejected", 2, "bob"]);
  });

  test("C16: twice at once: the later one holds, and its state is what is saved last", async () => {
    const { cache, grant, saved, eventsNamed } = sessionUnderTest();
    const calls = [cache.signIn(BOB), cache.signIn({ access_token: "carol", refresh_token: "carol-1" })];
    expect(cache.peek()?.value).toBe("carol");
    await Promise.all(calls);
    expect([cache.peek()?.value, saved.at(-1), eventsNamed("signed-in").length]).toEqual(["carol", "carol-1", 2]);
    await cache.invalidate("carol");
    await cache.get();
    expect(grant.contexts[0]?.state).toBe("carol-1");
  });

  test("C16: the session is over when the call returns its promise, before anything is awaited", async () => {
    const { cache, grant } = sessionUnderTest();
    grant.hold();
    const waiting = watch(cache.get());
    await settle();
    void cache.signIn(BOB);
    const ofBob = watch(cache.get());
    await settle();
    expect([waiting.reason, ofBob.value?.value]).toMatchObject([REPLACED, "bob"]);
  });

  test("C16: during a background refresh of Alice's: Bob's token stays", async () => {
    const { cache, grant, clock, eventsNamed, revoked } = sessionUnderTest();
    await cache.get();
    await clock.advance(HOUR - 30_000);
    const hold = grant.hold();
    expect(cache.peek()?.value).toBe("fake-1");
    await clock.advance(0);
    await cache.signIn(BOB);
    hold.release();
    await clock.advance(0);
    expect([cache.peek()?.value, revoked]).toEqual(["bob", ["fake-2"]]);
    expect([eventsNamed("mint-failed"), eventsNamed("minted").length]).toEqual([[], 1]);
  });

  test("C16: directly after a background refresh of Alice's began: Bob's refresh token is not presented by it", async () => {
    const { cache, grant, clock, revoked } = sessionUnderTest();
    await cache.get();
    await clock.advance(HOUR - 30_000);
    expect(cache.peek()?.value).toBe("fake-1");
    await cache.signIn(BOB);
    await clock.advance(0);
    expect([cache.peek()?.value, revoked, grant.mints]).toEqual(["bob", [], 1]);
  });

  test("C14: a mint that had Bob's refresh token from the table before he signed in: its successor is kept", async () => {
    const table = new Map([["sid", "bob-1"]]);
    const { cache, grant, clock, saved, revoked } = sessionUnderTest({ state: () => table.get("sid") });
    grant.respond(rotated("fake-1", "bob-2"));
    const hold = grant.hold();
    const early = cache.get().catch((error: unknown) => error);
    await clock.advance(0);
    await cache.signIn(BOB);
    hold.release();
    await clock.advance(0);
    expect([revoked, saved]).toEqual([[], ["bob-1", "bob-2"]]);
    await early;
    await clock.advance(HOUR);
    await cache.get();
    expect(grant.contexts.at(-1)?.state).toBe("bob-2");
  });

  test("C16: a function, a custom grant and fakeGrant without a state take a sign-in too", async () => {
    const grants = [() => "minted", customGrant({ mint: () => "minted", mintRetries: 1 }), fakeGrant()];
    for (const grant of grants) {
      const { cache, eventsNamed } = cacheUnderTest({ grant: grant as never });
      await cache.get();
      await cache.signIn(BOB);
      expect([cache.peek()?.value, eventsNamed("signed-in").length]).toEqual(["bob", 1]);
      await cache.signOut();
      expect(await rejectionOf(cache.get())).toMatchObject(ENDED);
    }
  });
});

describe("C16: what signIn ends", () => {
  test("the user's `initial` function, when it was not asked before: it has a token of the session before", async () => {
    const initial = vi.fn(async () => ({ access_token: "alice", expires_in: 3600 }));
    const { cache, clock } = sessionUnderTest({ initial });
    await cache.signIn({ ...BOB, expires_in: 60 });
    expect((await cache.get()).value).toBe("bob");
    await clock.advance(60_000);
    expect((await cache.get()).value).toBe("fake-1");
    expect(initial).not.toHaveBeenCalled();
  });

  test("the user's `initial` function, after a sign-out and a sign-in without an access token that is valid", async () => {
    const initial = vi.fn(async () => ({ access_token: "alice", expires_in: 3600 }));
    const { cache } = sessionUnderTest({ initial });
    await cache.signOut();
    await cache.signIn(BOB_EXPIRED);
    expect((await cache.get()).value).toBe("fake-1");
    expect(initial).not.toHaveBeenCalled();
  });

  test("the user's `initial` function, which is being asked: what it answers later is not served", async () => {
    let answer!: (token: { access_token: string; expires_in: number }) => void;
    const initial = (): Promise<{ access_token: string; expires_in: number }> =>
      new Promise((resolve) => (answer = resolve));
    const { cache } = sessionUnderTest({ initial });
    const before = watch(cache.get());
    await settle();
    await cache.signIn(BOB_EXPIRED);
    answer({ access_token: "alice", expires_in: 3600 });
    await settle();
    expect(before.reason).toMatchObject(REPLACED);
    expect((await cache.get()).value).toBe("fake-1");
  });

  test("C16: a refusal of the server: the next mint presents the new refresh token", async () => {
    const { grant, sent } = refreshing([{ error: "invalid_grant" }]);
    const { cache, clock, eventsNamed } = cacheUnderTest({ grant: grant as never, warnings: false });
    const refusal = { error: "invalid_grant", terminal: true, status: 401 };
    expect(await rejectionOf(cache.get())).toMatchObject(refusal);
    // The failure that was told once stays what it is, and nothing is sent or told again.
    for (let second = 0; second < 5; second++) {
      await clock.advance(1000);
      expect(await rejectionOf(cache.get())).toMatchObject(refusal);
    }
    expect([sent, eventsNamed("mint-failed").length]).toEqual([["rt-1"], 1]);
    await cache.signIn({ ...BOB_EXPIRED, refresh_token: "rt-2" });
    expect((await cache.get()).value).toBe("at-2");
    expect(sent).toEqual(["rt-1", "rt-2"]);
  });

  test("C16: a refusal that a custom grant has thrown, with and without a state", async () => {
    for (const grant of [fakeGrant(), fakeGrant({ state: "s", onState: () => {} })]) {
      const { cache, clock } = cacheUnderTest({ grant });
      grant.fail(new RemintError("ERR_GRANT", "the session is over", { terminal: true }));
      for (let second = 0; second < 3; second++) {
        expect(await rejectionOf(cache.get())).toMatchObject({ message: "the session is over", status: 401 });
        await clock.advance(1000);
      }
      expect(grant.mints).toBe(1);
      await cache.signIn(BOB_EXPIRED);
      expect((await cache.get()).value).toBe("fake-2");
    }
  });

  test("C16: that nobody is signed in, at once and for the callers of the same second", async () => {
    let calls = 0;
    const { cache } = cacheUnderTest({ grant: (() => (calls++, null)) as never });
    expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
    await cache.signIn(BOB);
    expect([(await cache.get()).value, calls]).toEqual(["bob", 1]);
  });

  test("C16: that nobody is signed in, with an access token that has expired: the grant is asked at once", async () => {
    let user: string | null = null;
    const { cache } = cacheUnderTest({ grant: (() => user) as never });
    expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
    user = "of-bob";
    await cache.signIn(BOB_EXPIRED);
    expect((await cache.get()).value).toBe("of-bob");
  });

  test("C16: that the session was signed out: also with an access token that has expired", async () => {
    const { cache, grant } = sessionUnderTest();
    await cache.signOut();
    expect(await rejectionOf(cache.get())).toMatchObject(ENDED);
    await cache.signIn(BOB_EXPIRED);
    expect((await cache.get()).value).toBe("fake-1");
    expect(grant.contexts[0]?.state).toBe("bob-1");
  });

  test("C16: a call directly before it, which is told that the session was signed out, is not remembered", async () => {
    const { cache } = sessionUnderTest();
    await cache.signOut();
    const before = watch(cache.get());
    await cache.signIn(BOB_EXPIRED);
    await settle();
    expect(before.state).toBe("rejected");
    expect((await cache.get()).value).toBe("fake-1");
  });

  test("C16: a remembered failure of the server", async () => {
    const { cache, grant } = sessionUnderTest();
    grant.fail(new Error("down"));
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
    await cache.signIn(BOB_EXPIRED);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("C16: a token that an API has rejected, if the sign-in brings the same value", async () => {
    const { cache } = sessionUnderTest();
    const { value } = await cache.get();
    await cache.invalidate(value);
    await cache.signIn({ ...BOB, access_token: value });
    expect(cache.peek()?.value).toBe(value);
  });
});

describe("C16: signOut", () => {
  test("C16: the session is over when the call returns its promise; get() rejects until signIn", async () => {
    const { cache, grant, clock, events } = sessionUnderTest();
    await cache.get();
    events.length = 0;
    const signedOut = cache.signOut();
    expect(cache.peek()).toBeUndefined();
    await signedOut;
    for (let hour = 0; hour < 3; hour++) {
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ ...ENDED, message: "no token is available: the session was signed out" });
      expect((error as { headers: object }).headers).toEqual({ "www-authenticate": "Bearer" });
      await clock.advance(HOUR);
    }
    expect([grant.mints, events.map(({ name }) => name), clock.timers]).toEqual([1, ["signed-out"], 0]);
  });

  test("C16: nothing is asked any more, of a grant with a state, of a function, and of one that may be repeated", async () => {
    let calls = 0;
    const mint = (): string => `token-${++calls}`;
    const grants = [
      mint,
      customGrant({ mint }),
      customGrant({ mint, mintRetries: 1 }),
      customGrant({ mint, state: "s" }),
    ];
    for (const grant of grants) {
      const { cache, clock } = cacheUnderTest({ grant: grant as never });
      await cache.signOut();
      for (let second = 0; second < 3; second++) {
        expect(await rejectionOf(cache.get())).toMatchObject(ENDED);
        expect(await rejectionOf(cache.for({ scope: "a" }).get())).toMatchObject(ENDED);
        await clock.advance(1000);
      }
    }
    expect(calls).toBe(0);
  });

  test("C16: a new value of the function does not end it", async () => {
    let stored = "alice-1";
    const { cache, grant, clock } = sessionUnderTest({ state: () => stored });
    await cache.get();
    await cache.signOut();
    stored = "bob-1";
    await clock.advance(60_000);
    expect(await rejectionOf(cache.get())).toMatchObject(ENDED);
    expect(grant.mints).toBe(1);
  });

  test("C16: the event is told once, however often signOut is called", async () => {
    const { cache, eventsNamed } = sessionUnderTest();
    await Promise.all([cache.signOut(), cache.signOut()]);
    await cache.signOut({ revoke: false });
    expect(eventsNamed("signed-out")).toHaveLength(1);
  });

  test("C16: a mint in flight lands, and what it brings is revoked; onState is not called", async () => {
    const { cache, grant, clock, saved, revoked } = sessionUnderTest();
    grant.respond(rotated("late", "alice-2"));
    const hold = grant.hold();
    const waiting = watch(cache.get());
    await settle();
    const signedOut = watch(cache.signOut());
    await settle();
    expect([waiting.reason, signedOut.state]).toMatchObject([ENDED, "pending"]);
    expect(grant.contexts[0]?.signal.aborted).toBe(false);
    hold.release();
    await settle();
    expect([signedOut.state, saved, clock.timers]).toEqual(["fulfilled", [], 0]);
    expect(revoked.toSorted()).toEqual(["alice-1", "late and alice-2"]);
  });

  test("C16: a mint in flight that does not land in mintTimeout: what is known is revoked, and the rest when it lands", async () => {
    const { cache, grant, clock, revoked } = sessionUnderTest();
    grant.respond(rotated("late", "alice-2"));
    const hold = grant.hold();
    cache.get().catch(() => {});
    await settle();
    const signedOut = watch(cache.signOut());
    await clock.advance(10_000);
    expect([signedOut.state, revoked]).toEqual(["fulfilled", ["alice-1"]]);
    hold.release();
    await clock.advance(0);
    expect([revoked, clock.timers]).toEqual([["alice-1", "late and alice-2"], 0]);
  });

  test("C15: a mint in flight, and signOut({ revoke: false }): what it brings is known to nobody else, and is revoked all the same", async () => {
    const { cache, grant, saved, revoked } = sessionUnderTest();
    grant.respond(rotated("late", "alice-2"));
    const hold = grant.hold();
    cache.get().catch(() => {});
    await settle();
    const signedOut = cache.signOut({ revoke: false });
    hold.release();
    await signedOut;
    await settle();
    expect([saved, revoked, cache.peek()]).toEqual([[], ["late and alice-2"], undefined]);
  });

  test("C16: onState is never called after signOut: a state that waits to be saved is dropped", async () => {
    let saves = 0;
    const { cache, grant, clock, eventsNamed } = sessionUnderTest({
      onState: () => {
        saves++;
        throw new Error("down");
      },
    });
    grant.respond(rotated("a", "alice-2"));
    await cache.get();
    expect([saves, eventsNamed("state-unsaved").length, clock.timers]).toEqual([1, 1, 1]);
    await cache.signOut();
    await clock.advance(120_000);
    expect([saves, clock.timers]).toEqual([1, 0]);
    expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
  });

  test("C16: while a save hangs: its signal says that it is over, it is not repeated, and signOut does not wait for it", async () => {
    const signals: AbortSignal[] = [];
    const { cache, grant, clock, revoked } = sessionUnderTest({
      onState: (_, { signal }) => {
        signals.push(signal);
        return never();
      },
    });
    grant.respond(rotated("a", "alice-2"));
    const waiting = watch(cache.get());
    await settle();
    expect(signals).toHaveLength(1);
    const signedOut = watch(cache.signOut());
    await settle();
    expect([waiting.reason, signals[0]?.aborted]).toMatchObject([ENDED, true]);
    expect(signedOut.state).toBe("fulfilled");
    await clock.advance(120_000);
    expect([signals.length, clock.timers]).toEqual([1, 0]);
    expect(revoked).toContain("alice-2");
  });

  test("C16: the renewed session after signOut and signIn is saved as always", async () => {
    const { cache, grant, saved } = sessionUnderTest();
    await cache.signOut();
    await cache.signIn(BOB);
    grant.respond(rotated("b", "bob-2"));
    await cache.invalidate("bob");
    await cache.get();
    expect(saved).toEqual(["bob-1", "bob-2"]);
  });

  test("C16: a second cache on the grant of a session that was signed out is signed out too", async () => {
    const grant = fakeGrant({ state: "alice-1", onState: () => {} });
    const first = cacheUnderTest({ grant });
    await first.cache.signOut();
    await first.cache.close();
    const second = cacheUnderTest({ grant });
    expect(await rejectionOf(second.cache.get())).toMatchObject(ENDED);
    await second.cache.signIn(BOB);
    expect((await second.cache.get()).value).toBe("bob");
  });

  test.each([
    ["a number", 7],
    ["a string", "revoke"],
    ["true", true],
  ])("C16: %s as options is a TypeError", async (_, options) => {
    const { cache } = sessionUnderTest();
    expect(await rejectionOf(cache.signOut(options as never))).toBeInstanceOf(TypeError);
  });
});

describe("C16: signIn and signOut of a pool", () => {
  test("C16: a key that was never asked for gets its cache, and the sign-in is its session", async () => {
    const clock = manualClock();
    const created: string[] = [];
    const pool = createTokenPool({
      clock,
      create: (key) => {
        created.push(key);
        return sessionUnderTest({ clock, state: () => undefined }).cache;
      },
    });
    await pool.signIn("new", BOB);
    expect([(await pool.get("new").get()).value, created, pool.size]).toEqual(["bob", ["new"], 1]);
    await pool.signOut("new");
    expect(await rejectionOf(pool.get("new").get())).toMatchObject(ENDED);
    expect(pool.get("other").peek()).toBeUndefined();
  });

  test("C16: a wrong key, and a closed pool, reject as get() throws; nothing is thrown synchronously", async () => {
    const pool = createTokenPool({ create: () => sessionUnderTest().cache });
    for (const call of [pool.signIn("", BOB), pool.signOut("")]) {
      expect(await rejectionOf(call)).toMatchObject({ message: expect.stringMatching(/^"key" must be/) as string });
    }
    await pool.close();
    for (const call of [pool.signIn("a", BOB), pool.signOut("a")]) {
      expect(await rejectionOf(call)).toMatchObject({ code: "ERR_CLOSED" });
    }
  });

  test("C13: a cache with a save or a revocation outstanding is not evicted", async () => {
    const clock = manualClock();
    let end!: () => void;
    const done = new Promise<void>((resolve) => (end = resolve));
    const grants = new Map<string, Grant>();
    const pool = createTokenPool({
      clock,
      maxSize: 1,
      create: (key) => {
        grants.set(key, fakeGrant({ state: key, revoke: () => done, ...(key === "unsaved" && { onState: down }) }));
        return createTokenCache({ grant: grants.get(key)!, origins: [ORIGIN], clock, warnings: false });
      },
    });
    await pool.signIn("unsaved", BOB);
    const revoking = pool.signOut("revoking");
    await settle();
    pool.get("a");
    pool.get("b");
    // The two, and the one that was asked for last.
    expect(pool.size).toBe(3);
    end();
    await revoking;
    pool.get("c");
    expect(pool.size).toBe(2);
    const closed = await pool.close();
    expect(closed).toEqual({ inFlight: [], unsaved: ["unsaved"] });
  });
});
