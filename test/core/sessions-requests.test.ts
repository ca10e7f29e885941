/** C15: a request belongs to the session it was made under. Alice waits, and Bob signs in under the same key of a pool. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { policyHalf } from "../../src/core/types.ts";
import { customGrant, type AccessToken, type TokenCache } from "../../src/index.ts";
import { chooseCache } from "../../src/policy/choose-cache.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { startApi, type Api } from "../../src/testing/index.ts";
import { client, ORDERS, type Answer } from "../policy/hand-made-client.ts";
import { cacheUnderTest, rejectionOf, settle, TARGET, watch, type Watched } from "./cache-under-test.ts";
import {
  BOB,
  BOB_EXPIRED,
  ENDED,
  REPLACED,
  rotated,
  sessionPool,
  sessionUnderTest,
  steps,
  type SessionUnderTest,
} from "./sessions-under-test.ts";

const HOUR = 3_600_000;

interface Alice extends SessionUnderTest {
  readonly signsIn: () => Promise<void>;
  readonly signsOut: () => Promise<void>;
}

/** Alice's session under the key of a pool, and what ends it. */
function alice(): Alice {
  const { pool, sessions } = sessionPool();
  pool.get("browser");
  return {
    ...sessions.get("browser")!,
    signsIn: () => pool.signIn("browser", BOB),
    signsOut: () => pool.signOut("browser"),
  };
}

const ENDS = [
  ["Bob signs in", "signsIn", REPLACED],
  ["Alice signs out", "signsOut", ENDED],
] as const;

describe("C15: a request that waits", () => {
  const WAITS: [string, (session: SessionUnderTest) => Promise<void>][] = [
    ["cold", async () => {}],
    [
      "in the hard window",
      async ({ cache, clock }) => {
        await cache.get();
        await clock.advance(HOUR - 5000);
      },
    ],
    [
      "with an expired token",
      async ({ cache, clock }) => {
        await cache.get();
        await clock.advance(HOUR);
      },
    ],
  ];

  describe.each(ENDS)("%s", (_, ends, error) => {
    test.each(WAITS)("C15: Alice waits %s: no request is sent, and each caller is told", async (_when, prepare) => {
      const session = alice();
      const { cache, grant, clock, eventsNamed } = session;
      await prepare(session);
      const hold = grant.hold();
      const { seam, sent } = client(() => ({ status: 200 }));
      const waits: Watched<unknown>[] = [
        watch(cache.get()),
        watch(cache.get({ signal: new AbortController().signal })),
        watch(withToken(cache, { url: ORDERS }, seam)),
        watch(withToken(cache, { url: ORDERS, signal: new AbortController().signal }, seam)),
      ];
      await settle();
      expect(waits.map(({ state }) => state)).toEqual(["pending", "pending", "pending", "pending"]);
      const ended = watch(session[ends]());
      await settle();
      for (const { reason } of waits) expect(reason).toMatchObject(error);
      expect(new Set(waits.map(({ reason }) => reason)).size).toBe(4);
      expect(sent).toEqual([]);
      hold.release();
      await clock.advance(0);
      expect(ended.state).toBe("fulfilled");
      expect(cache.peek()?.value).toBe(ends === "signsIn" ? "bob" : undefined);
      expect(eventsNamed("mint-failed")).toEqual([]);
      expect(clock.timers).toBe(0);
    });

    test("C15: Alice waits for a renewal after a 401: her request is not sent again", async () => {
      const session = alice();
      const { cache, grant, clock } = session;
      await cache.get();
      const hold = grant.hold();
      const { seam, sent, log } = client(() => ({ status: 401 }), { failedRenewal: "throw" });
      const request = watch(withToken(cache, { url: ORDERS }, seam));
      await settle();
      expect(request.state).toBe("pending");
      const ended = watch(session[ends]());
      await settle();
      expect(request.reason).toMatchObject({ ...error, rejected: { status: 401, url: ORDERS } });
      hold.release();
      await clock.advance(0);
      expect(ended.state).toBe("fulfilled");
      expect(sent).toEqual(["fake-1"]);
      expect(log.at(-1)).toMatch(/^finish /);
    });

    test("C15: Alice waits for a second renewal, after the token of another request was rejected too", async () => {
      const session = alice();
      const { cache, grant } = session;
      const first = await cache.get();
      // Two requests with fake-1: one renews it, and the other gets fake-2, which may be older than its rejection.
      const renewal = policyHalf(cache).rejected(first, TARGET)!;
      const other = policyHalf(cache).rejected(first, TARGET)!;
      const { token } = await other.next();
      expect(renewal.again(token)).toBe(true);
      const hold = grant.hold();
      const second = watch(renewal.next());
      await settle();
      const ended = watch(session[ends]());
      await settle();
      expect(second.reason).toMatchObject(error);
      expect(await rejectionOf(renewal.next())).toMatchObject(error);
      hold.release();
      await settle();
      expect(ended.state).toBe("fulfilled");
    });

    test("C15: the 401 of Alice's request comes when that is over: nothing is minted for it, and it is not sent again", async () => {
      const session = alice();
      const { cache, grant } = session;
      await cache.get();
      let answer!: (answer: Answer) => void;
      const throwing = { failedRenewal: "throw" } as const;
      const { seam, sent } = client(() => new Promise((resolve) => (answer = resolve)), throwing);
      const request = watch(withToken(cache, { url: ORDERS }, seam));
      await settle();
      await session[ends]();
      answer({ status: 401 });
      await settle();
      expect(request.reason).toMatchObject({ ...error, rejected: { status: 401, url: ORDERS } });
      expect([sent.length, grant.mints]).toEqual([1, 1]);
      expect(cache.peek()?.value).toBe(ends === "signsIn" ? "bob" : undefined);
    });

    test("C15: an answer that is no 401 goes to Alice's caller as it is", async () => {
      const session = alice();
      await session.cache.get();
      let answer!: (answer: Answer) => void;
      const { seam } = client(() => new Promise((resolve) => (answer = resolve)));
      const request = watch(withToken(session.cache, { url: ORDERS }, seam));
      await settle();
      await session[ends]();
      answer({ status: 200 });
      await settle();
      expect(request.value).toEqual({ status: 200 });
    });
  });

  test("C15: Bob's request, after his sign-in, is sent with his token alone", async () => {
    const session = alice();
    const hold = session.grant.hold();
    const { seam, sent } = client(() => ({ status: 200 }));
    const ofAlice = watch(withToken(session.cache, { url: ORDERS }, seam));
    await settle();
    await session.signsIn();
    const ofBob = watch(withToken(session.cache, { url: ORDERS }, seam));
    hold.release();
    await settle();
    expect([ofAlice.state, ofBob.state]).toEqual(["rejected", "fulfilled"]);
    expect(sent).toEqual(["bob"]);
  });

  test("C15: Alice's 401 comes after Bob's sign-in: Bob's token stays, and nothing is charged or told", async () => {
    const session = alice();
    const { cache, eventsNamed } = session;
    const token = await cache.get();
    await session.signsIn();
    const renewal = policyHalf(cache).rejected(token, TARGET)!;
    expect(await rejectionOf(renewal.next())).toMatchObject(REPLACED);
    expect(cache.peek()?.value).toBe("bob");
    expect([eventsNamed("rejected").length, eventsNamed("invalidated").length]).toEqual([0, 0]);
    // Until an API has accepted Bob's token for the first time.
    policyHalf(cache).accepted(cache.peek()!, TARGET);
    expect(policyHalf(cache).onTrial).toBe(false);
  });

  test("C15: the same, and Bob's access token has expired: nothing is charged, and no event tells of a rejection", async () => {
    const { cache, grant, events } = alice();
    const token = await cache.get();
    await cache.signIn(BOB_EXPIRED);
    events.length = 0;
    expect(await rejectionOf(policyHalf(cache).rejected(token, TARGET)!.next())).toMatchObject(REPLACED);
    expect([events, policyHalf(cache).onTrial, grant.mints]).toEqual([[], false, 1]);
  });

  test("C15: three users sign in one after another: the token of each is the token of one session", async () => {
    const { cache } = alice();
    const tokens: AccessToken[] = [await cache.get()];
    for (const user of ["bob", "carol", "dave"]) {
      await cache.signIn({ access_token: user, refresh_token: `${user}-1` });
      tokens.push(await cache.get());
    }
    for (const token of tokens.slice(0, -1)) {
      expect(await rejectionOf(policyHalf(cache).rejected(token, TARGET)!.next())).toMatchObject(REPLACED);
    }
    expect(cache.peek()?.value).toBe("dave");
  });

  test("C15: Alice signs out and Bob signs in before her 401 comes: her request is not Bob's", async () => {
    const session = alice();
    const token = await session.cache.get();
    await session.signsOut();
    await session.signsIn();
    expect(await rejectionOf(policyHalf(session.cache).rejected(token, TARGET)!.next())).toMatchObject(REPLACED);
  });

  test("C15: Alice signs in a second time: her request of before belongs to the session of before", async () => {
    const session = alice();
    const token = await session.cache.get();
    await session.cache.signIn({ access_token: "alice-again", refresh_token: "alice-2" });
    expect(await rejectionOf(policyHalf(session.cache).rejected(token, TARGET)!.next())).toMatchObject(REPLACED);
    expect(session.cache.peek()?.value).toBe("alice-again");
  });
});

interface Held {
  readonly cache: TokenCache;
  readonly release: () => void;
}
function held(grantWith: (mint: () => Promise<string>) => unknown): Held {
  let release!: () => void;
  const answered = new Promise<void>((resolve) => (release = resolve));
  const mint = (): Promise<string> => answered.then(() => "fake-1");
  return { cache: cacheUnderTest({ grant: grantWith(mint) as never }).cache, release };
}

describe("C15: what a mint of an old session brings", () => {
  test.each([
    ["Bob signs in", "signsIn", "bob"],
    ["Alice signs out", "signsOut", undefined],
  ] as const)(
    "C15: %s while Alice's mint is in progress: it is not cached, not saved, and revoked",
    async (_, ends, left) => {
      const session = alice();
      const { cache, grant, clock, saved, revoked, eventsNamed } = session;
      grant.respond(rotated("late", "alice-2"));
      const hold = grant.hold();
      const waiting = watch(cache.get());
      await settle();
      const ended = watch(session[ends]());
      await settle();
      expect(waiting.state).toBe("rejected");
      hold.release();
      await clock.advance(0);
      expect(ended.state).toBe("fulfilled");
      expect(cache.peek()?.value).toBe(left);
      expect(saved).toEqual(ends === "signsIn" ? ["bob-1"] : []);
      expect(revoked).toContain("late and alice-2");
      expect(eventsNamed("minted")).toEqual([]);
      if (ends === "signsIn") {
        // The state of the next mint is Bob's.
        await cache.invalidate("bob");
        await cache.get();
        expect(grant.contexts.at(-1)?.state).toBe("bob-1");
        expect(revoked).toEqual(["late and alice-2"]);
      }
    },
  );

  test("C15: Alice's mint lands after its callers have left: Bob's session notices nothing of it", async () => {
    const session = alice();
    const { cache, grant, clock, saved, revoked, events } = session;
    grant.respond(rotated("late", "alice-2"));
    const hold = grant.hold();
    const waiting = watch(cache.get());
    await clock.advance(10_000);
    expect(waiting.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    await session.signsIn();
    events.length = 0;
    hold.release();
    await clock.advance(0);
    expect([cache.peek()?.value, saved, revoked, events]).toEqual(["bob", ["bob-1"], ["late and alice-2"], []]);
  });

  test.each([0, 10_000])(
    "C15: Alice's mint hangs since %i ms: Bob, whose access token has expired, gets one with his state",
    async (since) => {
      const { cache, grant, clock } = alice();
      const hold = grant.hold({ ignoreSignal: true });
      const waiting = watch(cache.get());
      await clock.advance(since);
      await cache.signIn(BOB_EXPIRED);
      await settle();
      expect(waiting.state).toBe("rejected");
      const ofBob = watch(cache.get());
      await clock.advance(0);
      expect(grant.contexts.map(({ state }) => state)).toEqual(["browser-1", "bob-1"]);
      // The hold is for the mints that begin during it: Bob's waits in it too.
      hold.release();
      await clock.advance(0);
      expect([ofBob.value?.value, cache.peek()?.value]).toEqual(["fake-2", "fake-2"]);
    },
  );

  test("C15: a failure of Alice's mint is not Bob's", async () => {
    const { cache, grant, eventsNamed } = alice();
    const hold = grant.hold();
    const waiting = watch(cache.get());
    await settle();
    await cache.signIn(BOB_EXPIRED);
    hold.fail(new Error("down"));
    await settle();
    expect(waiting.reason).toMatchObject(REPLACED);
    expect((await cache.get()).value).toBe("fake-2");
    expect(eventsNamed("mint-failed")).toEqual([]);
  });

  /** At each of so many steps of promise chains after the answer, the session ends. */
  const STEPS = Array.from({ length: 60 }, (_, step) => step);

  const GRANTS: [string, () => Held][] = [
    [
      "a grant with a state",
      () => {
        const { cache, grant } = sessionUnderTest();
        const hold = grant.hold();
        return { cache, release: () => hold.release() };
      },
    ],
    ["a function", () => held((mint) => mint)],
    ["a custom grant that may be repeated", () => held((mint) => customGrant({ mintRetries: 1, mint }))],
  ];

  describe.each(GRANTS)("%s", (_, make) => {
    test("C15: Bob signs in at any step while Alice's answer is handed on: the cache never holds Alice's token", async () => {
      for (const step of STEPS) {
        for (const signIn of [BOB, BOB_EXPIRED]) {
          const expected = signIn === BOB ? "bob" : undefined;
          const { cache, release } = make();
          const waiting = watch(cache.get());
          await settle();
          release();
          await steps(step);
          const signedIn = cache.signIn(signIn);
          expect(cache.peek()?.value, `step ${step}`).toBe(expected);
          await signedIn;
          await settle();
          expect(cache.peek()?.value, `step ${step}`).toBe(expected);
          // Alice has got her own token, or none.
          if (waiting.state === "fulfilled") expect(waiting.value?.value).toBe("fake-1");
          else expect(waiting.reason, `step ${step}`).toMatchObject(REPLACED);
        }
      }
    });

    test("C15: Alice signs out at any step while her answer is handed on: the cache is empty", async () => {
      for (const step of STEPS) {
        const { cache, release } = make();
        const waiting = watch(cache.get());
        await settle();
        release();
        await steps(step);
        const signedOut = cache.signOut();
        expect(cache.peek(), `step ${step}`).toBeUndefined();
        await signedOut;
        await settle();
        expect(cache.peek(), `step ${step}`).toBeUndefined();
        if (waiting.state === "fulfilled") expect(waiting.value?.value).toBe("fake-1");
        else expect(waiting.reason, `step ${step}`).toMatchObject(ENDED);
        expect(await rejectionOf(cache.get())).toMatchObject(ENDED);
      }
    });
  });
});

describe("C15: get() that waits for half of the time in the hard window", () => {
  test.each(ENDS)(
    "C15: %s meanwhile: Alice's token, which is still valid, is not handed out",
    async (_, ends, error) => {
      const session = alice();
      const { cache, grant, clock } = session;
      await cache.get();
      await clock.advance(HOUR - 8000);
      const hold = grant.hold();
      const waiting = watch(cache.get());
      await clock.advance(2000);
      expect(waiting.state).toBe("pending");
      const ended = watch(session[ends]());
      await settle();
      expect(waiting.reason).toMatchObject(error);
      hold.release();
      await clock.advance(0);
      expect([ended.state, clock.timers]).toEqual(["fulfilled", 0]);
    },
  );

  test("C15: nothing happens meanwhile: the valid token is served, as before", async () => {
    const { cache, grant, clock } = alice();
    await cache.get();
    await clock.advance(HOUR - 8000);
    grant.hold();
    const waiting = watch(cache.get());
    await clock.advance(4000);
    expect(waiting.value?.value).toBe("fake-1");
  });
});

/** Origins that depend on the token, as far as the policy knows. */
const origins = (): readonly string[] => [new URL(ORDERS).origin];

const authFetchOver = (source: unknown): typeof fetch => createAuthFetch(source as TokenCache);

describe("C15: sources", () => {
  const KINDS: [string, (cache: TokenCache) => unknown][] = [
    ["a cache", (cache) => cache],
    ["an array", (cache) => [cacheUnderTest({ origins: ["https://other.example"] }).cache, cache]],
    ["a function", (cache) => () => cache],
    ["an async function", (cache) => async () => cache],
  ];

  let api: Api;
  beforeAll(async () => {
    api = await startApi({ accepts: (token) => token === "bob" });
  });
  afterAll(() => api.close());

  test.each(KINDS)(
    "C15: createAuthFetch(%s), over HTTP: Alice waits cold, Bob signs in, and Alice sends nothing",
    async (_, kind) => {
      const { cache, grant } = sessionUnderTest({ origins: [api.origin] });
      const hold = grant.hold();
      const authFetch = authFetchOver(kind(cache));
      const before = api.requests.length;
      const ofAlice = watch(authFetch(`${api.origin}/orders`));
      await settle();
      await cache.signIn(BOB);
      hold.release();
      const ofBob = await authFetch(`${api.origin}/orders`);
      expect(ofAlice.reason).toMatchObject(REPLACED);
      expect(ofBob.status).toBe(200);
      expect(api.requests.slice(before).map(({ token }) => token)).toEqual(["bob"]);
    },
  );

  test.each(KINDS)(
    "C15: createAuthFetch(%s), over HTTP: Alice waits for a renewal, Bob signs in, and her order is not sent again",
    async (_, kind) => {
      const { cache, grant, eventsNamed } = sessionUnderTest({ origins: [api.origin] });
      await cache.get();
      const hold = grant.hold();
      const authFetch = authFetchOver(kind(cache));
      const before = api.requests.length;
      const ofAlice = watch(authFetch(`${api.origin}/orders`, { method: "POST", body: "one order" }));
      while (eventsNamed("rejected").length === 0) await settle();
      await cache.signIn(BOB);
      hold.release();
      const ofBob = await authFetch(`${api.origin}/orders`);
      while (ofAlice.state === "pending") await settle();
      expect(ofAlice.reason).toMatchObject({ ...REPLACED, rejected: { status: 401 } });
      expect(ofBob.status).toBe(200);
      const sent = api.requests.slice(before).map(({ token, method }) => `${method} ${token}`);
      expect(sent).toEqual(["POST fake-1", "GET bob"]);
    },
  );

  test.each(KINDS)(
    "C15: createAuthFetch(%s), over HTTP: Alice signs out while she waits: 401, and nothing is sent",
    async (_, kind) => {
      const { cache, grant } = sessionUnderTest({ origins: [api.origin] });
      const hold = grant.hold();
      const authFetch = authFetchOver(kind(cache));
      const before = api.requests.length;
      const ofAlice = watch(authFetch(`${api.origin}/orders`));
      await settle();
      const signedOut = cache.signOut();
      await settle();
      expect(ofAlice.reason).toMatchObject(ENDED);
      hold.release();
      await signedOut;
      expect(await rejectionOf(authFetch(`${api.origin}/orders`))).toMatchObject(ENDED);
      expect(api.requests.length).toBe(before);
    },
  );

  test("C15: an array, whose first cache has to mint before it is known whether it may be used: Bob signs in at the second", async () => {
    const first = cacheUnderTest({
      origins: ({ response }: AccessToken) => [
        response["instance_url"] === undefined ? "https://other.example" : ORDERS,
      ],
    });
    const { cache } = sessionUnderTest({ origins });
    await cache.get();
    const hold = first.grant.hold();
    const { seam, sent } = client(() => ({ status: 200 }));
    const request = { url: ORDERS };
    const chosen = Promise.resolve(chooseCache([first.cache, cache], request, []));
    const ofAlice = watch(chosen.then((found) => withToken(found!, request, seam)));
    await settle();
    expect(ofAlice.state).toBe("pending");
    await cache.signIn(BOB);
    hold.release();
    await settle();
    expect(ofAlice.state).not.toBe("pending");
    expect(sent).not.toContain("bob");
  });

  test("C15: an array of one cache whose origins depend on the token: Bob signs in at any step, and Alice's request is not Bob's", async () => {
    for (let step = 0; step < 60; step++) {
      const { cache, grant } = sessionUnderTest({ origins });
      const hold = grant.hold();
      const { seam, sent } = client(() => ({ status: 200 }));
      const request = { url: ORDERS };
      const chosen = Promise.resolve(chooseCache([cache], request, []));
      const ofAlice = watch(chosen.then((found) => withToken(found!, request, seam)));
      await settle();
      hold.release();
      await steps(step);
      await cache.signIn(BOB);
      await settle();
      expect(ofAlice.state).not.toBe("pending");
      expect(sent, `step ${step}`).not.toContain("bob");
    }
  });
});

describe("C15: a call waits while nobody is known to be signed in, Alice signs in, and her token is rejected", () => {
  const ALICE = { ...BOB, access_token: "alice", refresh_token: "alice-2" };

  /** One call from before her sign-in and one from after it. `answer` is that of the function which is asked for the state. */
  async function callsOfAlice(): Promise<
    SessionUnderTest &
      Record<"before" | "after", Watched<AccessToken>> & { readonly answer: (state: string | null) => void }
  > {
    let answer!: (state: string | null) => void;
    let isAsked = false;
    const session = sessionUnderTest({
      state: () => (isAsked ? new Promise<string | null>((resolve) => (answer = resolve)) : null),
    });
    const { cache, clock } = session;
    await expect(cache.get()).rejects.toMatchObject({ code: "ERR_NO_SESSION" });
    await clock.advance(1000);
    isAsked = true;
    const before = watch(cache.get());
    await settle();
    await cache.signIn(ALICE);
    await cache.invalidate("alice");
    const after = watch(cache.get());
    await settle();
    return { ...session, before, after, answer: (state) => answer(state) };
  }

  test("C15: whoever calls then waits as Alice: Bob signs in before there is another token, and neither call gets his", async () => {
    const { cache, clock, before, after, answer } = await callsOfAlice();
    await cache.signIn(BOB);
    answer(null);
    await clock.advance(1000);
    expect([before.reason, after.reason]).toEqual([
      expect.objectContaining({ code: "ERR_SESSION", status: 503 }),
      expect.objectContaining({ code: "ERR_SESSION", status: 503 }),
    ]);
    expect(cache.peek()).toMatchObject({ value: "bob" });
  });

  test("C15: nobody else signs in: both get a token of hers", async () => {
    const { clock, grant, before, after, answer } = await callsOfAlice();
    answer(null);
    await settle();
    answer("alice-2");
    await clock.advance(1000);
    expect([before.value?.value, after.value?.value]).toEqual(["fake-1", "fake-1"]);
    expect(grant.contexts.map(({ state }) => state)).toEqual(["alice-2"]);
  });
});
