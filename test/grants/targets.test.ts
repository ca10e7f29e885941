/**
 * C17: `for({ resource, scope, audience })`: what the token request of a target holds, and that the targets of a session use
 * one refresh token after another.
 */
import { describe, expect, onTestFinished, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  customGrant,
  type Grant,
  jwtBearerGrant,
  refreshTokenGrant,
  type TargetOptions,
  tokenExchangeGrant,
} from "remint";
import { createAuthFetch } from "remint/fetch";
import { type AuthServer, manualClock, startApi, startAuthServer } from "remint/testing";
import { rejectionOf, settle } from "../core/cache-under-test.ts";
import { CLIENT, expire, startSession } from "./session-under-test.ts";

const ORDERS = "https://orders.example/";
const BILLING = "https://billing.example/";
const EXCHANGED = "urn:ietf:params:oauth:token-type:access_token";

/** What every grant is given: parameters that a target replaces, and one that it does not. */
const GIVEN = { scope: "read", resource: "urn:x:grant", parameters: { tenant: "t1" } } as const;

interface GrantUnderTest {
  readonly name: string;
  readonly make: (tokenEndpoint: string) => Grant;
  /** The parameters that the grant sends beside those of {@link GIVEN}. */
  readonly own: Readonly<Record<string, string>>;
  readonly hasUser?: boolean;
}

const grants: GrantUnderTest[] = [
  {
    name: "refreshTokenGrant",
    make: (tokenEndpoint) =>
      refreshTokenGrant({ tokenEndpoint, ...CLIENT, ...GIVEN, refreshToken: "rt", onRotate: () => undefined }),
    own: { grant_type: "refresh_token", refresh_token: "rt" },
    hasUser: true,
  },
  {
    name: "clientCredentialsGrant",
    make: (tokenEndpoint) => clientCredentialsGrant({ tokenEndpoint, ...CLIENT, ...GIVEN, audience: "aud-of-grant" }),
    own: { grant_type: "client_credentials", audience: "aud-of-grant" },
  },
  {
    name: "jwtBearerGrant",
    make: (tokenEndpoint) => jwtBearerGrant({ tokenEndpoint, ...CLIENT, ...GIVEN, assertion: "a.b.c" }),
    own: { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: "a.b.c" },
  },
  {
    name: "tokenExchangeGrant",
    make: (tokenEndpoint) =>
      tokenExchangeGrant({ tokenEndpoint, ...CLIENT, ...GIVEN, subjectToken: "subject", audience: "aud-of-grant" }),
    own: {
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: "subject",
      subject_token_type: EXCHANGED,
      audience: "aud-of-grant",
    },
  },
];

/** A server that answers every grant, and does not rotate. */
async function start(): Promise<AuthServer> {
  const auth = await startAuthServer();
  onTestFinished(() => auth.close());
  auth.respondAlways(() => ({
    body: {
      access_token: `at-${auth.mints + 1}`,
      token_type: "Bearer",
      expires_in: 3600,
      issued_token_type: EXCHANGED,
    },
  }));
  return auth;
}

/** The pairs of a form, in a fixed order of their names. */
function sorted(pairs: Iterable<[string, string]>): [string, string][] {
  return [...pairs].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

const targets: [name: string, target: TargetOptions, replaced: Readonly<Record<string, readonly string[]>>][] = [
  ["one resource", { resource: ORDERS }, { resource: [ORDERS] }],
  ["two resources, in the given order", { resource: [BILLING, ORDERS] }, { resource: [BILLING, ORDERS] }],
  ["a scope", { scope: "orders:write" }, { scope: ["orders:write"] }],
  ["a list of scopes: one parameter", { scope: ["a", "b c"] }, { scope: ["a b c"] }],
  ["an audience", { audience: "orders" }, { audience: ["orders"] }],
  ["two audiences", { audience: ["orders", "billing"] }, { audience: ["orders", "billing"] }],
  [
    "all three",
    { resource: ORDERS, scope: "a", audience: "orders" },
    { resource: [ORDERS], scope: ["a"], audience: ["orders"] },
  ],
];

describe.each(grants)("$name", ({ make, own, hasUser = false }) => {
  test.each(targets)(
    "C17: %s takes the place of the grant's (RFC 6749 section 3.3, RFC 8707 section 2), and all else is sent as usual",
    async (_name, target, replaced) => {
      const auth = await start();
      const cache = createTokenCache({ grant: make(auth.tokenEndpoint), origins: "any" });
      await cache.for(target).get();
      const usual: Record<string, readonly string[]> = { scope: ["read"], resource: ["urn:x:grant"], tenant: ["t1"] };
      for (const [name, value] of Object.entries(own)) usual[name] = [value];
      const expected = Object.entries({ ...usual, ...replaced }).flatMap(([name, values]) =>
        values.map((value): [string, string] => [name, value]),
      );
      const [{ form, headers }] = auth.requests as [AuthServer["requests"][number]];
      expect(sorted(form)).toEqual(sorted(expected));
      expect(headers.authorization).toBe(`Basic ${btoa("portal:s3cr3t-value")}`);
    },
  );

  test("C17: the cache itself asks as the grant says, before and after its targets do", async () => {
    const auth = await start();
    const cache = createTokenCache({ grant: make(auth.tokenEndpoint), origins: "any" });
    const first = await cache.get();
    await cache.for({ resource: ORDERS }).get();
    await cache.invalidate(first.value);
    await cache.get();
    expect(auth.requests.map(({ form }) => form.getAll("resource"))).toEqual([
      ["urn:x:grant"],
      [ORDERS],
      ["urn:x:grant"],
    ]);
  });

  test("C17: targets with the same parameters, in any order, are one cache; others have tokens of their own", async () => {
    const auth = await start();
    const cache = createTokenCache({ grant: make(auth.tokenEndpoint), origins: "any" });
    const both = cache.for({ resource: [ORDERS, BILLING], scope: "a b" });
    expect(cache.for({ scope: ["b", "a"], resource: [BILLING, ORDERS] })).toBe(both);
    const one = cache.for({ resource: ORDERS });
    expect(one).not.toBe(both);
    const values = await Promise.all([cache, both, one].map(async (each) => (await each.get()).value));
    expect(new Set(values).size).toBe(3);
    expect(auth.requests).toHaveLength(3);
    for (const each of [cache, both, one]) await each.get();
    expect(auth.requests).toHaveLength(3);
  });

  test("C9: invalid_target of one target is no failure of the others", async () => {
    const auth = await start();
    const cache = createTokenCache({ grant: make(auth.tokenEndpoint), origins: "any" });
    auth.respond({ status: 400, body: { error: "invalid_target" } });
    expect(await rejectionOf(cache.for({ resource: "urn:x:unknown" }).get())).toMatchObject({
      error: "invalid_target",
      terminal: false,
    });
    expect((await cache.for({ resource: ORDERS }).get()).value).toBe("at-1");
    expect((await cache.get()).value).toBe("at-2");
  });

  test("C17: close closes the targets too; signIn and signOut of a target are those of the session, or a TypeError", async () => {
    const auth = await start();
    const cache = createTokenCache({ grant: make(auth.tokenEndpoint), origins: "any" });
    const orders = cache.for({ resource: ORDERS });
    await orders.get();
    if (hasUser) {
      await orders.signOut();
      expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401 });
      await orders.signIn({ access_token: "signed-in", refresh_token: "rt" });
      expect((await cache.get()).value).toBe("signed-in");
    } else {
      expect(await rejectionOf(orders.signOut())).toBeInstanceOf(TypeError);
      expect(await rejectionOf(orders.signIn({ access_token: "a" }))).toBeInstanceOf(TypeError);
    }
    await cache.close();
    expect(await rejectionOf(orders.get())).toMatchObject({ code: "ERR_CLOSED" });
    expect(await rejectionOf(cache.for({ resource: BILLING }).get())).toMatchObject({ code: "ERR_CLOSED" });
  });
});

describe("C17: the targets of one session", () => {
  test("orders and billing expire together, 50 requests each: two mints, each API its own resource, one refresh token each", async () => {
    const { auth, first, start: process, presented, issued } = await startSession();
    const [orders, billing] = [await startApi({ accepts: auth }), await startApi({ accepts: auth })];
    onTestFinished(() => Promise.all([orders.close(), billing.close()]).then(() => undefined));
    const { cache, clock } = process();
    const caches = [orders, billing].map(({ origin }) => cache.for({ resource: `${origin}/`, origins: [origin] }));
    const authFetch = createAuthFetch(caches);
    const storm = async (): Promise<void> => {
      const calls = [orders, billing].flatMap(({ origin }) =>
        Array.from({ length: 50 }, async (_, number) => (await authFetch(`${origin}/${number}`)).status),
      );
      expect(new Set(await Promise.all(calls))).toEqual(new Set([200]));
    };
    await storm();
    await settle();
    await clock.advance(3600_000);
    for (const each of caches) expect(each.peek()).toBeUndefined();
    await storm();
    expect(presented()).toEqual([first, ...issued().slice(0, 3)]);
    for (const api of [orders, billing]) {
      const tokens = [...new Set(api.requests.map(({ token }) => token!))];
      expect(tokens.map((token) => auth.tokenInfo(token)?.resource)).toEqual([[`${api.origin}/`], [`${api.origin}/`]]);
    }
  });

  test("a scope that the user has not granted: invalid_scope for this target, and the session goes on", async () => {
    const auth = await startAuthServer();
    onTestFinished(() => auth.close());
    let saved: string = auth.signIn("alice", { scope: "read" }).refresh_token;
    const grant = refreshTokenGrant({
      tokenEndpoint: auth.tokenEndpoint,
      ...CLIENT,
      refreshToken: () => saved,
      onRotate: (next) => void (saved = next),
    });
    const cache = createTokenCache({ grant, origins: "any", clock: manualClock() });
    expect(await rejectionOf(cache.for({ scope: "admin" }).get())).toMatchObject({
      error: "invalid_scope",
      terminal: false,
      status: 503,
    });
    expect((await cache.for({ scope: "read" }).get()).scope).toBe("read");
    expect((await cache.get()).value).toBe(auth.issued.at(-1));
  });

  test("the refresh token of a target's mint is presented by the next mint of another", async () => {
    const { first, start: process, presented, issued } = await startSession();
    const under = process();
    const orders = under.cache.for({ resource: ORDERS });
    await orders.get();
    await under.cache.get();
    await expire(under);
    await orders.get();
    expect(presented()).toEqual([first, issued()[0], issued()[1]]);
  });

  test("the session is refused for one target: the others are refused too, without a request", async () => {
    const { auth, first, start: process, presented } = await startSession();
    const { cache, clock } = process();
    auth.endSignIns();
    const refused = { error: "invalid_grant", terminal: true, status: 401 };
    expect(await rejectionOf(cache.for({ resource: ORDERS }).get())).toMatchObject(refused);
    expect(await rejectionOf(cache.get())).toMatchObject(refused);
    await clock.advance(5000);
    expect(await rejectionOf(cache.for({ resource: BILLING }).get())).toMatchObject(refused);
    expect(presented()).toEqual([first]);
  });
});

describe("C17: other grants", () => {
  test("customGrant and a bare function get the target in their context", async () => {
    const seen: unknown[] = [];
    const mint = (context: { readonly target?: unknown }): string => {
      seen.push(context.target);
      return `t-${seen.length}`;
    };
    for (const grant of [mint, customGrant({ mint })]) {
      const cache = createTokenCache({ grant, origins: "any" });
      await cache.get();
      await cache.for({ resource: ORDERS, scope: ["a", "b"], audience: "orders" }).get();
    }
    const target = { resource: [ORDERS], scope: "a b", audience: ["orders"] };
    expect(seen).toEqual([undefined, target, undefined, target]);
  });

  test.each<[name: string, target: unknown, message: RegExp]>([
    ["nothing", {}, /"resource", "scope" or "audience"/],
    ["undefined", undefined, /for/],
    ["empty lists", { resource: [], scope: [] }, /"resource", "scope" or "audience"/],
    ["a scope of spaces", { scope: "  " }, /"resource", "scope" or "audience"/],
    ["an empty resource", { resource: "" }, /"resource"/],
    ["a relative resource", { resource: "/orders" }, /"resource" must be absolute URIs/],
    ["a resource that is a URL object", { resource: new URL(ORDERS) }, /"resource"/],
    ["a scope that is a number", { scope: 7 }, /"scope"/],
    ["a list with a number", { audience: ["a", 7] }, /"audience" must be .*a list with a number/],
    ["origins that are none", { resource: ORDERS, origins: [7] }, /origins/],
  ])("%s: a TypeError that names the option, and nothing is sent", async (_name, target, message) => {
    const auth = await start();
    const cache = createTokenCache({ grant: grants[0]!.make(auth.tokenEndpoint), origins: "any" });
    expect(() => cache.for(target as TargetOptions)).toThrow(TypeError);
    expect(() => cache.for(target as TargetOptions)).toThrow(message);
    expect(auth.requests).toEqual([]);
  });
});
