/** C17: other access tokens of the same session, and other targets of a grant without one: TokenCache.for(). */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  refreshTokenGrant,
  type Grant,
  type TargetOptions,
  type TokenCache,
} from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import { client } from "../policy/hand-made-client.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch } from "./cache-under-test.ts";
import { BOB, ENDED, REPLACED, sessionUnderTest } from "./sessions-under-test.ts";

const HOUR = 3_600_000;
const ORDERS = "https://orders.example";
const BILLING = "https://billing.example";
const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "portal", clientSecret: "s3cret" };

interface TokenServer {
  readonly fetch: never;
  /** The form of each request, oldest first. */
  readonly forms: URLSearchParams[];
  /** What the server answers to a target in place of a token. */
  readonly errors: Map<string, object>;
  readonly inProgress: () => number;
}

/** A token endpoint whose tokens say for which target they are, and that rotates refresh tokens and takes each once. */
function tokenServer(): TokenServer {
  const forms: URLSearchParams[] = [];
  const errors = new Map<string, object>();
  const used = new Set<string>();
  let inProgress = 0;
  const fetch = async (_: string, { body }: RequestInit): Promise<Response> => {
    const form = new URLSearchParams(body as string);
    const number = forms.push(form);
    inProgress++;
    await settle();
    inProgress--;
    const target = form.getAll("resource").join("+") || form.get("audience") || form.get("scope") || "none";
    const refreshToken = form.get("refresh_token");
    if (refreshToken !== null && used.has(refreshToken))
      return Response.json({ error: "invalid_grant" }, { status: 400 });
    const error = errors.get(target);
    if (error !== undefined) return Response.json(error, { status: 400 });
    if (refreshToken !== null) used.add(refreshToken);
    const next = refreshToken === null ? {} : { refresh_token: `rt-${number + 1}` };
    const answer = { access_token: `${target}#${number}`, token_type: "Bearer", expires_in: 3600, ...next };
    return Response.json(answer);
  };
  return { fetch: fetch as never, forms, errors, inProgress: () => inProgress };
}

interface Targets {
  readonly cache: TokenCache;
  readonly server: TokenServer;
  readonly under: ReturnType<typeof cacheUnderTest>;
}

/** The cache of a user's refresh token, or that of a client's own credentials. */
function targets(kind: "a refresh token" | "client credentials", options: object = {}): Targets {
  const server = tokenServer();
  const common = { ...endpoint, fetch: server.fetch, ...options };
  const grant: Grant =
    kind === "client credentials"
      ? clientCredentialsGrant(common)
      : refreshTokenGrant({ ...common, refreshToken: "rt-1", onRotate: () => {} });
  const under = cacheUnderTest({ grant: grant as never, origins: [ORDERS, BILLING] });
  return { cache: under.cache, server, under };
}

describe("C17: two APIs, each with a token of its own", () => {
  test.each(["a refresh token", "client credentials"] as const)(
    "C17: %s: orders and billing expire together, with 50 requests each: two mints, each API its own audience",
    async (kind) => {
      const { cache, server, under } = targets(kind);
      const [orders, billing] = [cache.for({ resource: ORDERS }), cache.for({ resource: BILLING })];
      await orders.get();
      await billing.get();
      await under.clock.advance(HOUR);
      const { seam, sent } = client(() => ({ status: 200 }));
      const requests = Array.from({ length: 50 }, (_, index) => [
        withToken(orders, { url: `${ORDERS}/${index}` }, seam),
        withToken(billing, { url: `${BILLING}/${index}` }, seam),
      ]).flat();
      await Promise.all(requests);
      expect(server.forms.map((form) => form.get("resource"))).toEqual([ORDERS, BILLING, ORDERS, BILLING]);
      const counts = new Map<string, number>();
      for (const token of sent) counts.set(token!, (counts.get(token!) ?? 0) + 1);
      expect([...counts]).toEqual([
        [`${ORDERS}#3`, 50],
        [`${BILLING}#4`, 50],
      ]);
      expect(cache.peek()).toBeUndefined();
    },
  );

  test("C17: each step of the session presents one refresh token, which the one before it has brought", async () => {
    const { cache, server, under } = targets("a refresh token");
    const all = [ORDERS, BILLING, "urn:reports"].map((resource) => cache.for({ resource }));
    for (let hour = 0; hour < 5; hour++) {
      await Promise.all(all.map((target) => target.get()));
      await under.clock.advance(HOUR);
    }
    expect(server.forms.map((form) => form.get("refresh_token"))).toEqual(
      Array.from({ length: 15 }, (_, mint) => `rt-${mint + 1}`),
    );
    expect(under.eventsNamed("mint-failed")).toEqual([]);
  });

  test("C17: a grant without a state mints for two targets at once", async () => {
    const { cache, server } = targets("client credentials");
    const got = [cache.for({ scope: "a" }).get(), cache.for({ scope: "b" }).get()];
    await Promise.resolve();
    while (server.inProgress() === 0) await Promise.resolve();
    expect(server.inProgress()).toBe(2);
    expect((await Promise.all(got)).map(({ value }) => value)).toEqual(["a#1", "b#2"]);
  });

  test.each(["a refresh token", "client credentials"] as const)(
    "C17: %s: the target's parameters take the place of the grant's; the cache itself asks for the grant's own",
    async (kind) => {
      const { cache, server } = targets(kind, { scope: "openid", resource: "urn:default" });
      await cache.get();
      await cache.for({ resource: [ORDERS, BILLING] }).get();
      await cache.for({ scope: ["orders:read", "orders:write"] }).get();
      await cache.for({ audience: "billing" }).get();
      const asked = server.forms.map((form) => ({
        resource: form.getAll("resource"),
        scope: form.get("scope"),
        audience: form.get("audience"),
      }));
      expect(asked[0]).toEqual({ resource: ["urn:default"], scope: "openid", audience: null });
      expect(asked[1]).toMatchObject({ resource: [ORDERS, BILLING] });
      expect(asked[2]).toMatchObject({ scope: "orders:read orders:write" });
      expect(asked[3]).toMatchObject({ audience: "billing" });
    },
  );

  test("C17: a token of one target that an API rejects is replaced for that target alone", async () => {
    const { cache, server } = targets("a refresh token");
    const [orders, billing] = [cache.for({ resource: ORDERS }), cache.for({ resource: BILLING })];
    const rejected = await orders.get();
    const kept = await billing.get();
    policyHalf(billing).accepted(kept, { origin: BILLING, path: "/" });
    const renewal = policyHalf(orders).rejected(rejected, { origin: ORDERS, path: "/" })!;
    expect((await renewal.next()).token.value).toBe(`${ORDERS}#3`);
    expect(billing.peek()).toBe(kept);
    expect(server.forms).toHaveLength(3);
    expect([policyHalf(orders).onTrial, policyHalf(billing).onTrial]).toEqual([true, false]);
  });
});

describe("C17: one cache for each target", () => {
  const SAME: [string, TargetOptions, TargetOptions][] = [
    ["a string and a list of one", { resource: ORDERS }, { resource: [ORDERS] }],
    ["resources in another order", { resource: [ORDERS, BILLING] }, { resource: [BILLING, ORDERS] }],
    ["a resource that is named twice", { resource: [ORDERS, ORDERS] }, { resource: ORDERS }],
    ["scopes as a list and as one string", { scope: ["a", "b"] }, { scope: "b a" }],
    ["more spaces between scopes", { scope: "a  b" }, { scope: "a b" }],
    ["members in another order", { resource: ORDERS, scope: "a" }, { scope: "a", resource: ORDERS }],
    ["members that are undefined", { resource: ORDERS, scope: undefined, audience: undefined }, { resource: ORDERS }],
    ["members that are empty", { resource: ORDERS, scope: [] }, { resource: ORDERS }],
    ["the same origins", { scope: "a", origins: [ORDERS] }, { scope: "a", origins: [ORDERS] }],
  ];
  test.each(SAME)("C17: the same cache: %s", (_, one, other) => {
    const { cache } = cacheUnderTest();
    expect(cache.for(one)).toBe(cache.for(other));
  });

  const OTHER: [string, TargetOptions, TargetOptions][] = [
    ["another resource", { resource: ORDERS }, { resource: BILLING }],
    ["one more resource", { resource: ORDERS }, { resource: [ORDERS, BILLING] }],
    ["the same text as another parameter", { scope: "a" }, { audience: "a" }],
    ["texts that join to the same", { scope: ["ab", "c"] }, { scope: ["a", "bc"] }],
    ["one more scope", { scope: "a" }, { scope: "a b" }],
    ["upper case", { scope: "a" }, { scope: "A" }],
    ["other origins", { scope: "a", origins: [ORDERS] }, { scope: "a", origins: [BILLING] }],
    ["origins, and none", { scope: "a", origins: [ORDERS] }, { scope: "a" }],
    ["other functions as origins", { scope: "a", origins: () => [] }, { scope: "a", origins: () => [] }],
  ];
  test.each(OTHER)("C17: another cache: %s", (_, one, other) => {
    const { cache } = cacheUnderTest();
    expect(cache.for(one)).not.toBe(cache.for(other));
  });

  test("C17: for() of for() is for() of the cache: parameters are not added up", () => {
    const { cache } = cacheUnderTest();
    const orders = cache.for({ resource: ORDERS });
    expect(orders.for({ resource: BILLING })).toBe(cache.for({ resource: BILLING }));
    expect(orders.for({ resource: ORDERS })).toBe(orders);
    expect(orders.for({ scope: "a" })).toBe(cache.for({ scope: "a" }));
    expect(orders).not.toBe(cache);
  });

  test("C17: a cache has the targets of its own only", () => {
    expect(cacheUnderTest().cache.for({ scope: "a" })).not.toBe(cacheUnderTest().cache.for({ scope: "a" }));
  });

  test("C17: 256 are remembered, those that were used last; what a client holds of the others works on", async () => {
    const { cache, grant } = cacheUnderTest();
    const first = cache.for({ scope: "s-0" });
    const second = cache.for({ scope: "s-1" });
    await first.get();
    for (let scope = 2; scope < 256; scope++) cache.for({ scope: `s-${scope}` });
    expect(cache.for({ scope: "s-0" })).toBe(first);
    for (let scope = 256; scope < 400; scope++) cache.for({ scope: `s-${scope}` });
    // s-1 has made room for others, and s-0 was used since.
    expect(cache.for({ scope: "s-1" })).not.toBe(second);
    expect(cache.for({ scope: "s-399" })).toBe(cache.for({ scope: "s-399" }));
    expect([(await second.get()).value, (await first.get()).value, grant.mints]).toEqual(["fake-2", "fake-1", 2]);
  });

  test("C17: a cache that was forgotten and is still held takes part in signIn, signOut and close", async () => {
    const { cache } = sessionUnderTest();
    const held = cache.for({ scope: "held" });
    await held.get();
    for (let scope = 0; scope < 300; scope++) cache.for({ scope: `s-${scope}` });
    await cache.signIn(BOB);
    expect(held.peek()).toBeUndefined();
    await cache.signOut();
    expect(await rejectionOf(held.get())).toMatchObject(ENDED);
    await cache.close();
    expect(await rejectionOf(held.get())).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("C12: 1,000 targets that nobody holds leave nothing: no timer, and no list that grows", async () => {
    const { cache, clock } = cacheUnderTest();
    for (let scope = 0; scope < 1000; scope++) await cache.for({ scope: `s-${scope}` }).get();
    expect(clock.timers).toBe(0);
  });
});

describe("C17: what for() takes", () => {
  const WRONG: [string, unknown, RegExp][] = [
    ["nothing", undefined, /^for takes options/],
    ["null", null, /^for takes options/],
    ["a string", ORDERS, /^for takes options/],
    ["a list", [ORDERS], /"resource", "scope" or "audience"|^for takes options/],
    ["an empty object", {}, /"resource", "scope" or "audience"/],
    ["origins alone", { origins: [ORDERS] }, /"resource", "scope" or "audience"/],
    ["empty lists", { resource: [], scope: [] }, /"resource", "scope" or "audience"/],
    ["a scope of spaces", { scope: "  " }, /"resource", "scope" or "audience"/],
    ["an empty resource", { resource: "" }, /"resource" must be a non-empty string/],
    ["a number as resource", { resource: 7 }, /"resource" must be .*a number/],
    ["a URL object as resource", { resource: new URL(ORDERS) }, /"resource" must be/],
    ["a list with a number in it", { audience: ["a", 7] }, /"audience" must be .*a number/],
    ["a resource without a scheme", { resource: "orders.example/api" }, /"resource" must be absolute URIs/],
    ["a resource with a fragment", { resource: `${ORDERS}#part` }, /"resource" must be absolute URIs/],
    ["a resource with a space", { resource: "https://orders example" }, /"resource" must be absolute URIs/],
    ["origins that are no origins", { scope: "a", origins: ["orders"] }, /"origins"/],
    ["origins of another kind", { scope: "a", origins: 7 }, /"origins"/],
  ];
  test.each(WRONG)("C17: %s is a TypeError that names it", (_, given, message) => {
    const { cache } = cacheUnderTest();
    const call = (): unknown => cache.for(given as TargetOptions);
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });

  test("C17: the options are read when they are given: what is done to the list later changes nothing", async () => {
    const { cache, grant } = cacheUnderTest();
    const resource = [ORDERS];
    const orders = cache.for({ resource });
    resource.push(BILLING);
    await orders.get();
    const { target } = grant.contexts[0]!;
    expect(target).toEqual({ resource: [ORDERS] });
    expect([Object.isFrozen(target), Object.isFrozen(target?.resource)]).toEqual([true, true]);
    expect(cache.for({ resource: ORDERS })).toBe(orders);
  });
});

describe("C17: origins", () => {
  test("C17: those of the cache, or its own: a token is sent to no other", async () => {
    const { cache } = cacheUnderTest({ origins: [ORDERS, BILLING] });
    const billing = cache.for({ resource: BILLING, origins: [BILLING] });
    const { seam, sent } = client(() => ({ status: 200 }));
    for (const used of [cache.for({ resource: ORDERS }), billing]) {
      await withToken(used, { url: `${ORDERS}/` }, seam);
      await withToken(used, { url: `${BILLING}/` }, seam);
    }
    expect(sent).toEqual(["fake-1", "fake-1", undefined, "fake-2"]);
  });

  test("C17: a function of the token sees the token of the target", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.respond({ access_token: "a", instance_url: BILLING });
    const target = cache.for({ scope: "a", origins: ({ response }) => [String(response["instance_url"])] });
    const { seam, sent } = client(() => ({ status: 200 }));
    await withToken(target, { url: `${BILLING}/` }, seam);
    await withToken(target, { url: `${ORDERS}/` }, seam);
    expect(sent).toEqual(["a", undefined]);
  });
});

describe("C17: what a target shares with its cache", () => {
  test.each(["the cache", "a target"])(
    "C17: signIn, called of %s: every target's token is forgotten, and the new one is the cache's own",
    async (whose) => {
      const { cache, grant } = sessionUnderTest();
      const [orders, billing] = [cache.for({ resource: ORDERS }), cache.for({ resource: BILLING })];
      for (const each of [cache, orders, billing]) await each.get();
      const hold = grant.hold();
      await orders.invalidate("fake-2");
      const waiting = watch(orders.get());
      await settle();
      await (whose === "the cache" ? cache : billing).signIn(BOB);
      await settle();
      expect(waiting.reason).toMatchObject(REPLACED);
      expect([cache.peek()?.value, orders.peek(), billing.peek()]).toEqual(["bob", undefined, undefined]);
      hold.release();
      expect((await billing.get()).value).toBe("fake-5");
      expect(grant.contexts.at(-1)?.state).toBe("bob-1");
    },
  );

  test.each(["the cache", "a target"])("C17: signOut, called of %s: all are signed out", async (whose) => {
    const { cache } = sessionUnderTest();
    const orders = cache.for({ resource: ORDERS });
    await (whose === "the cache" ? cache : orders).signOut();
    for (const each of [cache, orders, cache.for({ scope: "new" })]) {
      expect(await rejectionOf(each.get())).toMatchObject(ENDED);
    }
  });

  test.each(["the cache", "a target"])(
    "C17: close, called of %s: all are closed, also those that are asked for later",
    async (whose) => {
      const { cache, clock } = sessionUnderTest();
      const orders = cache.for({ resource: ORDERS });
      await orders.get();
      expect(await (whose === "the cache" ? cache : orders).close()).toEqual({ inFlight: false, unsaved: false });
      for (const each of [cache, orders, cache.for({ scope: "new" })]) {
        expect(each.peek()).toBeUndefined();
        expect(await rejectionOf(each.get())).toMatchObject({ code: "ERR_CLOSED" });
      }
      expect(clock.timers).toBe(0);
    },
  );

  test("C17: a target of a cache that is closed, of a grant that may be repeated: nothing is minted", async () => {
    const { cache, grant } = cacheUnderTest();
    await cache.close();
    expect(await rejectionOf(cache.for({ scope: "new" }).get())).toMatchObject({ code: "ERR_CLOSED" });
    expect(grant.mints).toBe(0);
  });

  test("C17: initial is the token of the cache itself, and of no target", async () => {
    const { cache, grant } = cacheUnderTest({ initial: { access_token: "mine" } });
    expect((await cache.get()).value).toBe("mine");
    expect((await cache.for({ scope: "a" }).get()).value).toBe("fake-1");
    const lazy = cacheUnderTest({ initial: async () => ({ access_token: "mine" }) });
    expect((await lazy.cache.for({ scope: "a" }).get()).value).toBe("fake-1");
    expect((await lazy.cache.get()).value).toBe("mine");
    expect([grant.mints, lazy.grant.mints]).toEqual([1, 1]);
  });

  test("C13: a key of a pool whose target has a mint in progress is not evicted", async () => {
    const clock = manualClock();
    const made: ReturnType<typeof cacheUnderTest>[] = [];
    const create = (): TokenCache => {
      made.push(cacheUnderTest({ clock }));
      return made.at(-1)!.cache;
    };
    const pool = createTokenPool({ clock, maxSize: 1, create });
    const orders = pool.get("a").for({ resource: ORDERS });
    const hold = made[0]!.grant.hold();
    const waiting = orders.get();
    pool.get("b");
    pool.get("c");
    expect(pool.size).toBe(2);
    hold.release();
    await waiting;
    pool.get("d");
    expect(pool.size).toBe(1);
  });
});

describe("C9, C17: failures of a target", () => {
  test.each([
    ["a refresh token", "invalid_scope"],
    ["a refresh token", "invalid_target"],
    ["client credentials", "invalid_scope"],
    ["client credentials", "invalid_target"],
  ] as const)(
    "C9: %s, and %s for one target: the others are served, and the refresh token is not lost",
    async (kind, error) => {
      const { cache, server, under } = targets(kind);
      server.errors.set(ORDERS, { error });
      const [orders, billing] = [cache.for({ resource: ORDERS }), cache.for({ resource: BILLING })];
      for (let second = 0; second < 3; second++) {
        expect(await rejectionOf(orders.get())).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", error, terminal: false });
        expect((await billing.get()).value).toBe(`${BILLING}#2`);
        await under.clock.advance(100);
      }
      expect(server.forms).toHaveLength(2);
      server.errors.clear();
      await under.clock.advance(1000);
      expect((await orders.get()).value).toBe(`${ORDERS}#3`);
    },
  );

  test("C9: in a pool, invalid_scope for a target is known to the other keys for that target alone", async () => {
    const server = tokenServer();
    server.errors.set("urn:orders", { error: "invalid_target" });
    const clock = manualClock();
    const pool = createTokenPool({
      clock,
      create: () =>
        createTokenCache({
          grant: clientCredentialsGrant({ ...endpoint, fetch: server.fetch }),
          origins: [ORIGIN],
          clock,
        }),
    });
    const failed = await rejectionOf(pool.get("a").for({ resource: "urn:orders" }).get());
    expect(failed).toMatchObject({ error: "invalid_target" });
    expect(await rejectionOf(pool.get("b").for({ resource: "urn:orders" }).get())).toMatchObject({
      error: "invalid_target",
    });
    expect(server.forms).toHaveLength(1);
    await pool.get("b").for({ resource: "urn:billing" }).get();
    await pool.get("b").get();
    expect(server.forms).toHaveLength(3);
  });

  test("C14: one target's mint hangs: the calls of the others fail at once with that failure, and are served when it has landed", async () => {
    const { cache, grant, clock } = sessionUnderTest();
    const hold = grant.hold();
    const [orders, billing] = [cache.for({ resource: ORDERS }), cache.for({ resource: BILLING })];
    const ofOrders = watch(orders.get());
    const ofBilling = watch(billing.get());
    await clock.advance(10_000);
    expect([ofOrders.reason, ofBilling.reason]).toMatchObject([
      { code: "ERR_TOKEN_TIMEOUT" },
      { code: "ERR_TOKEN_TIMEOUT" },
    ]);
    hold.release();
    await clock.advance(10_000);
    expect([orders.peek()?.value, cache.peek(), (await billing.get()).value]).toEqual(["fake-1", undefined, "fake-2"]);
  });
});
