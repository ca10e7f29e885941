/**
 * Functions and grants of the user's own: they may use something up of which this package does not know. They are not
 * repeated and not aborted without permission, and say in their own words that nobody is signed in.
 */
import { describe, expect, test } from "vitest";
import { type AccessToken, createTokenCache, customGrant, type Grant, type MintContext } from "../../src/index.ts";
import { definitionOf } from "../../src/core/grant.ts";
import { grantDefinition } from "../../src/core/custom-grant.ts";
import { policyHalf } from "../../src/core/types.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { client, ORDERS } from "../policy/hand-made-client.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch, type CacheUnderTest } from "./cache-under-test.ts";
import { NOBODY } from "./sessions-under-test.ts";

const reset = (): Error => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
const refused = (): Error => Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
const answered = (status: number): Error => Object.assign(new Error("x"), { status });

interface Controlled {
  readonly contexts: MintContext[];
  readonly mint: (context: MintContext) => unknown;
  /** Ends the call that was made last. */
  readonly resolve: (value: unknown) => void;
}

/** A function that settles when the test says so. */
function controlled(): Controlled {
  const contexts: MintContext[] = [];
  let end!: (value: unknown) => void;
  return {
    contexts,
    mint(context) {
      contexts.push(context);
      return new Promise((resolve) => (end = resolve));
    },
    resolve: (value) => end(value),
  };
}

const over = (grant: unknown, options: object = {}): CacheUnderTest =>
  cacheUnderTest({ mintRetries: undefined, ...options, grant: grant as never });

const WITHOUT_PERMISSION: [string, (mint: (context: MintContext) => unknown) => unknown][] = [
  ["a function", (mint) => mint],
  ["an object with a function mint", (mint) => ({ mint })],
  ["customGrant", (mint) => customGrant({ mint: mint as never })],
  ["customGrant with a state", (mint) => customGrant({ mint: mint as never, state: "s", onState: () => {} })],
];

describe.each(WITHOUT_PERMISSION)("without permission: %s", (_, grantOf) => {
  test.each([
    ["a connection that broke", reset],
    ["a connection that was refused", refused],
    ["a status of 503", () => answered(503)],
    ["a status of 429", () => answered(429)],
  ])("C11: is asked once, after %s; the option mintRetries of the cache is no permission", async (_what, error) => {
    for (const mintRetries of [undefined, 5]) {
      let calls = 0;
      const fail = (): never => {
        calls++;
        throw error();
      };
      const { cache, clock, eventsNamed } = over(grantOf(fail), { mintRetries });
      const got = watch(cache.get());
      await clock.advance(10_000);
      expect(got.reason).toMatchObject({ retryable: true });
      expect([calls, eventsNamed("mint-retried").length, clock.timers]).toEqual([1, 0, 0]);
    }
  });

  test("C14: is not aborted before landingTimeout: an answer that takes 12 s is used, and nothing is asked beside it", async () => {
    const { mint, contexts, resolve } = controlled();
    const { cache, clock, eventsNamed } = over(grantOf(mint));
    const got = watch(cache.get());
    await clock.advance(10_000);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    await clock.advance(2000);
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([false]);
    resolve({ access_token: "late", expires_in: 60 });
    await clock.advance(0);
    expect(cache.peek()?.value).toBe("late");
    expect(eventsNamed("minted")).toMatchObject([{ duration: 12_000 }]);
    expect([contexts.length, clock.timers]).toEqual([1, 0]);
  });

  test("C14: is cut at landingTimeout; the next call asks again", async () => {
    const { mint, contexts } = controlled();
    const { cache, clock } = over(grantOf(mint));
    cache.get().catch(() => {});
    await clock.advance(59_999);
    expect(contexts[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(contexts[0]?.signal).toMatchObject({ aborted: true, reason: { code: "ERR_TOKEN_TIMEOUT" } });
    expect(clock.timers).toBe(0);
    cache.get().catch(() => {});
    await settle();
    expect(contexts).toHaveLength(2);
  });

  test("C14: calls of two targets are made one after another", async () => {
    const { mint, contexts, resolve } = controlled();
    const { cache } = over(grantOf(mint));
    const got = [cache.for({ scope: "a" }).get(), cache.for({ scope: "b" }).get()];
    await settle();
    expect(contexts.map(({ target }) => target?.scope)).toEqual(["a"]);
    resolve("first");
    await settle();
    expect(contexts.map(({ target }) => target?.scope)).toEqual(["a", "b"]);
    resolve("second");
    expect((await Promise.all(got)).map(({ value }) => value)).toEqual(["first", "second"]);
  });
});

describe("customGrant({ mintRetries })", () => {
  test.each([
    [0, 1],
    [1, 2],
    [3, 4],
  ])(
    "C11: %i repetitions of a transient failure: %i calls; the cache's own option does not count",
    async (mintRetries, expected) => {
      let calls = 0;
      const fail = (): never => {
        calls++;
        throw reset();
      };
      const { cache, clock, eventsNamed } = over(customGrant({ mintRetries, mint: fail }), { mintRetries: 7 });
      const got = watch(cache.get());
      await clock.advance(10_000);
      expect(got.reason).toMatchObject({ code: "ERR_TOKEN_NETWORK" });
      expect([calls, eventsNamed("mint-retried").length]).toEqual([expected, expected - 1]);
    },
  );

  test("C10: without a state it is also the permission to abort: the signal aborts at mintTimeout", async () => {
    const { mint, contexts, resolve } = controlled();
    const { cache, clock } = over(customGrant({ mintRetries: 0, mint: mint as never }));
    cache.get().catch(() => {});
    await clock.advance(9999);
    expect(contexts[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(contexts[0]?.signal.aborted).toBe(true);
    resolve("late");
    await settle();
    expect(cache.peek()).toBeUndefined();
  });

  test("C11: with a state it repeats only what was never sent, and is no permission to abort", async () => {
    for (const [error, expected] of [
      [refused, 3],
      [reset, 1],
      [() => answered(503), 1],
    ] as const) {
      const states: unknown[] = [];
      const mint = ({ state }: MintContext<string>): never => {
        states.push(state);
        throw error();
      };
      const grant = customGrant<string>({ mintRetries: 2, state: "s", onState: () => {}, mint });
      const { cache, clock } = over(grant);
      cache.get().catch(() => {});
      await clock.advance(10_000);
      expect(states).toEqual(Array.from({ length: expected }, () => "s"));
      expect(definitionOf(grant).isRepeatable).toBe(false);
    }
  });

  test.each([-1, 1.5, Number.NaN, "2", null, Infinity])("%j is a TypeError that names it", (mintRetries) => {
    expect(() => customGrant({ mint: () => "a", mintRetries: mintRetries as number })).toThrow(/"mintRetries"/);
  });
});

describe("C9: null and undefined: nobody is signed in", () => {
  const NOBODIES: [string, () => unknown][] = [
    ["a function that returns null", () => () => null],
    ["a function that returns undefined", () => () => undefined],
    ["an async function", () => async () => null],
    ["customGrant", () => customGrant({ mint: () => null })],
    ["customGrant that may be repeated", () => customGrant({ mint: () => undefined, mintRetries: 2 })],
    ["a state that is null", () => customGrant({ state: () => null, onState: () => {}, mint: () => "a" })],
  ];

  test.each(NOBODIES)(
    "C9: %s: get() rejects with 401, each caller with an error of their own, and no event tells of a failure",
    async (_, grantOf) => {
      const { cache, events, clock } = over(grantOf());
      const errors = await Promise.all([rejectionOf(cache.get()), rejectionOf(cache.get())]);
      expect(errors[0]).not.toBe(errors[1]);
      for (const error of errors) {
        expect(error).toMatchObject({ ...NOBODY, message: "no token is available: nobody is signed in" });
        expect((error as { headers: object }).headers).toEqual({ "www-authenticate": "Bearer" });
      }
      expect([events, clock.timers]).toEqual([[], 0]);
    },
  );

  test.each(NOBODIES)("C9: %s: requests go without a token, and their 401 goes to the caller", async (_, grantOf) => {
    const { cache, events } = over(grantOf());
    const { seam, sent } = client(() => ({ status: 401 }));
    for (let call = 0; call < 3; call++) expect(await withToken(cache, { url: ORDERS }, seam)).toEqual({ status: 401 });
    expect([sent, events]).toEqual([[undefined, undefined, undefined], []]);
  });

  test.each([
    ["null as the state", customGrant({ mint: () => "a", state: null, onState: () => {} })],
    [
      "a function of the state that returns null",
      customGrant({ mint: () => "a", state: () => null, onState: () => {} }),
    ],
    ["no state, beside onState", customGrant({ mint: () => "a", onState: () => {} })],
  ])("%s: nothing is minted", async (_what, grant) => {
    expect(await rejectionOf(over(grant).cache.get())).toMatchObject(NOBODY);
  });

  test("C9: it is asked once a second, whoever asks", async () => {
    let calls = 0;
    const { cache, clock } = over(() => (calls++, null));
    const { seam } = client(() => ({ status: 200 }));
    for (let ms = 0; ms < 5000; ms += 50) {
      await Promise.all([rejectionOf(cache.get()), withToken(cache, { url: ORDERS }, seam)]);
      await clock.advance(50);
    }
    expect(calls).toBe(5);
  });

  test("C9: somebody signs in elsewhere: the next time it is asked, there is a token", async () => {
    let user: string | null = null;
    const { cache, clock, eventsNamed } = over(() => user);
    const { seam, sent } = client(() => ({ status: 200 }));
    await withToken(cache, { url: ORDERS }, seam);
    user = "alice";
    await clock.advance(999);
    await withToken(cache, { url: ORDERS }, seam);
    await clock.advance(1);
    await withToken(cache, { url: ORDERS }, seam);
    expect(sent).toEqual([undefined, undefined, "alice"]);
    expect(eventsNamed("minted")).toHaveLength(1);
  });

  test("C9, Q8: the user signs out elsewhere: a request that has got a 401 is not sent again, and its caller gets the 401", async () => {
    let user: string | null = "alice";
    const { cache } = over(() => user);
    await cache.get();
    user = null;
    const { seam, sent } = client(() => ({ status: 401 }));
    expect(await withToken(cache, { url: ORDERS }, seam)).toEqual({ status: 401 });
    expect(sent).toEqual(["alice"]);
    expect(cache.peek()).toBeUndefined();
  });

  const ELSEWHERE: [string, (mint: () => string | null) => unknown][] = [
    ["a function", (mint) => mint],
    ["a custom grant that may be repeated", (mint) => customGrant({ mint, mintRetries: 1 })],
    ["a state", (state) => customGrant<string>({ state, onState: () => {}, mint: (context) => context.state })],
  ];
  test.each(ELSEWHERE)(
    "C15: %s: Alice's request gets its 401, the user signs out and Bob in, all elsewhere: it is not sent with Bob's token",
    async (_, grantOf) => {
      let user: string | null = "alice";
      const { cache, clock } = over(grantOf(() => user));
      const token = await cache.get();
      user = null;
      await cache.invalidate("alice");
      expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
      user = "bob";
      await clock.advance(1000);
      expect((await cache.get()).value).toBe("bob");
      const renewal = policyHalf(cache).rejected(token, { origin: ORIGIN, path: "/" });
      expect(await rejectionOf(renewal!.next())).toMatchObject({ code: "ERR_SESSION", status: 503 });
      expect(cache.peek()?.value).toBe("bob");
    },
  );
});

describe("C15: who signs in elsewhere while nobody was signed in", () => {
  test("C15: Alice's 401 comes while nobody is signed in, and the mint for it brings Bob's token: it is not hers", async () => {
    let user: string | null = "alice";
    const { cache, clock } = over(() => user);
    const token = await cache.get();
    user = null;
    await cache.invalidate("alice");
    expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
    user = "bob";
    await clock.advance(1000);
    const renewal = policyHalf(cache).rejected(token, { origin: ORIGIN, path: "/" });
    expect(await rejectionOf(renewal!.next())).toMatchObject({ code: "ERR_SESSION", status: 503 });
    expect(cache.peek()?.value).toBe("bob");
  });
});

describe("what a function may return", () => {
  const FORMS: [string, unknown, string, number | undefined][] = [
    ["a string", "a", "a", undefined],
    ["a token response", { access_token: "a", expires_in: 60 }, "a", 60_000],
    ["camelCase members", { accessToken: "a", expiresIn: 60 }, "a", 60_000],
    [
      "the result of an Azure credential",
      { token: "a", expiresOnTimestamp: Date.UTC(2026, 0, 1) + 60_000 },
      "a",
      60_000,
    ],
    ["the result of MSAL", { accessToken: "a", expiresOn: new Date(Date.UTC(2026, 0, 1) + 60_000) }, "a", 60_000],
  ];
  test.each(FORMS)("E1: %s, sync and async", async (_, answer, value, ttl) => {
    for (const grant of [() => answer, async () => answer]) {
      const { cache, clock } = over(grant);
      const token = await cache.get();
      expect([token.value, token.expiresAt - clock.now()]).toEqual([value, ttl ?? 30 * 60_000]);
    }
  });

  test("C14: a member `state` of a server's JSON is no state, and the next call does not get it", async () => {
    const contexts: MintContext[] = [];
    const { cache } = over((context: MintContext) => {
      contexts.push(context);
      return { access_token: `a-${contexts.length}`, state: "of the authorization request" };
    });
    await cache.get();
    await cache.invalidate("a-1");
    await cache.get();
    expect(contexts.map((context) => context.state)).toEqual([undefined, undefined]);
    // It is not handed out either: to another grant it would be a refresh token.
    expect(cache.peek()?.response).not.toHaveProperty("state");
  });

  test("C14: a step of a function has no next state, whatever its answer says", async () => {
    const { signal } = new AbortController();
    for (const answer of [{ access_token: "a", state: "s" }, { state: "s" }]) {
      expect((await grantDefinition(() => answer as never).mint({ signal })).next).toBeUndefined();
    }
  });

  test("C14: customGrant with a state: the member is the next state, and is handed out to nobody", async () => {
    const states: unknown[] = [];
    const grant = customGrant<number>({
      state: 1,
      onState: () => {},
      mint: ({ state }) => (states.push(state), { access_token: `a-${state}`, state: state! + 1 }),
    });
    const { cache } = over(grant);
    for (let mint = 0; mint < 3; mint++) await cache.invalidate((await cache.get()).value);
    expect(states).toEqual([1, 2, 3]);
    expect((await cache.get()).response).not.toHaveProperty("state");
  });

  test("S8: a member __proto__ is a member and nothing else; the response has no prototype and is frozen in depth", async () => {
    const answer = JSON.parse(
      '{"access_token":"a","__proto__":{"isAdmin":true},"tenant":{"name":"acme","tags":["x",{"y":1}]},"constructor":"c"}',
    ) as object;
    const { cache } = over(() => answer);
    const { response } = await cache.get();
    expect(Object.getPrototypeOf(response)).toBeNull();
    expect((response as { isAdmin?: unknown }).isAdmin).toBeUndefined();
    expect(Object.hasOwn(response, "__proto__")).toBe(true);
    const tenant = response["tenant"] as { name: string; tags: readonly unknown[] };
    for (const part of [response, tenant, tenant.tags, tenant.tags[1]]) expect(Object.isFrozen(part)).toBe(true);
    expect(() => Object.assign(response, { more: 1 })).toThrow(TypeError);
    // The user's own object is not frozen, and what is done to it later changes nothing.
    Object.assign((answer as { tenant: object }).tenant, { name: "other" });
    expect(tenant.name).toBe("acme");
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  test("S8: data with a circle, and deep data, are no endless work", async () => {
    const circle: Record<string, unknown> = { access_token: "a" };
    circle["self"] = circle;
    const { cache } = over(() => circle);
    expect((await cache.get()).response).toHaveProperty("self");
  });

  test("C14: a class as the grant: its methods and getters count, and each keeps its `this`", async () => {
    class Vault {
      readonly #done: unknown[] = [];
      readonly #name = "vault";
      get key(): string {
        return this.#name;
      }
      get defaultTtl(): number {
        return this.#name.length * 1000;
      }
      get done(): readonly unknown[] {
        return this.#done;
      }
      state(): number {
        return this.#done.length;
      }
      mint({ state }: { state?: number }): object {
        return { access_token: `${this.#name}-${state}`, state: state! + 1 };
      }
      onState(next: number): void {
        this.#done.push(next);
      }
      revoke(token: AccessToken | undefined, { state }: { state?: number }): void {
        this.#done.push(`${token?.value} of ${state}`);
      }
      headers(token: AccessToken): Record<string, string> {
        return { "x-vault": `${this.#name} ${token.value}` };
      }
      isRejected(): boolean {
        return this.#name === "vault";
      }
    }
    const vault = new Vault();
    const { cache, clock } = over(vault);
    const token = await cache.get();
    expect(token.value).toBe("vault-0");
    expect(token.expiresAt - clock.now()).toBe(5000);
    expect(grantDefinition(vault)).toMatchObject({ key: "vault" });
    expect(grantDefinition(vault).headers!(token)).toEqual({ "x-vault": "vault vault-0" });
    expect(await grantDefinition(vault).isRejected!({} as never)).toBe(true);
    await cache.signOut();
    expect(vault.done).toEqual([1, "vault-0 of 1"]);
  });

  test.each<[string, object, RegExp]>([
    ["a mint that is no function", { mint: "a" }, /"mint"/],
    ["no mint", {}, /"mint"/],
    ["an onState that is no function", { mint: () => "a", onState: "save" }, /"onState"/],
    ["a revoke that is no function", { mint: () => "a", revoke: true }, /"revoke"/],
    ["a key that is no string", { mint: () => "a", key: 7 }, /"key"/],
    ["a defaultTtl that is no number", { mint: () => "a", defaultTtl: "1h" }, /"defaultTtl"/],
    ["inspectStatuses that is no list", { mint: () => "a", inspectStatuses: 403 }, /"inspectStatuses"/],
  ])("customGrant with %s is a TypeError that names it", (_, options, message) => {
    expect(() => customGrant(options as never)).toThrow(TypeError);
    expect(() => customGrant(options as never)).toThrow(message);
  });

  test.each([undefined, null, 7, "token", {}, [], { mint: "a" }])(
    "C14: %j is no grant: a TypeError that names the option",
    (grant) => {
      expect(() => createTokenCache({ grant: grant as never, origins: [ORIGIN] })).toThrow(/^"grant" must be a grant/);
    },
  );

  test("C14: a function is taken as customGrant takes it, and a grant stays what it is", () => {
    const grant: Grant = customGrant({ mint: () => "a" });
    expect(grantDefinition(grant)).toBe(grant);
    const bare = grantDefinition(() => "a");
    expect([bare.isRepeatable, bare.source, bare.retry, bare.server]).toEqual([false, undefined, undefined, undefined]);
    expect(typeof bare.signIn).toBe("function");
  });
});
