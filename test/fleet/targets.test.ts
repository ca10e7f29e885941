/** Several access tokens of one session in a fleet, such as one per API: they share the refresh token, the lease and the end. */
import { describe, expect, test } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { shelfOf } from "./records.ts";
import { sessionFleet, type SessionProcess } from "./session-server.ts";
import type { TokenCache } from "../../src/index.ts";

const LIFE = 300_000;
const ORDERS = "https://orders.example";
const BILLING = "https://billing.example";
const HOSTS = { [ORDERS]: "orders.example", [BILLING]: "billing.example" } as const;
type Api = keyof typeof HOSTS;

/** The cache of a process for one API. */
function cacheFor({ cache }: SessionProcess, api: string): TokenCache {
  return cache.for({ resource: api, origins: [api] });
}

/** Sends requests to an API. @returns The tokens that they carried. */
function request(cache: TokenCache, api: Api, count: number): Promise<string>[] {
  return Array.from({ length: count }, async () => {
    let sent = "";
    const fetch = createAuthFetch(cache, {
      fetch: async (_, init) => {
        sent = new Headers(init?.headers).get("authorization")!.replace("Bearer ", "");
        return new Response("{}");
      },
    });
    await fetch(`${api}/things`);
    return sent;
  });
}

describe.each([1, 2, 3])("in %i processes", (size) => {
  test("C17: orders and billing need a token at the same time, 50 requests each: two mints a round, one refresh token each step", async () => {
    const { clock, server, processes, during } = sessionFleet(size);
    for (let round = 0; round < 4; round++) {
      const sent = processes.flatMap((process) =>
        [ORDERS, BILLING].map(async (api) => {
          const values = await Promise.all(request(cacheFor(process, api), api as Api, 50));
          return { host: HOSTS[api as Api], values };
        }),
      );
      const outcomes = await during(Promise.all(sent));
      for (const { host, values } of outcomes) {
        expect(values).toHaveLength(50);
        expect(new Set(values)).toHaveProperty("size", 1);
        expect(values[0]).toMatch(new RegExp(`^at-1-${round * 2 + 1}@${host}$|^at-1-${round * 2 + 2}@${host}$`));
      }
      // Every process has the same token for an API.
      expect(new Set(outcomes.flatMap(({ values }) => values)).size).toBe(2);
      expect(server.presented).toHaveLength((round + 1) * 2);
      // At the expiry, a while after it, and when nobody has asked in between.
      await clock.advance(LIFE + round * 1000);
    }
    expect(server.presented).toEqual(server.presented.map((_, index) => `rt-1-${index}`));
    expect(server.live()).toBe("rt-1-8");
  });
});

test("C17: the record keeps the tokens of both APIs; the token of the other one serves while one is replaced", async () => {
  const fleet = sessionFleet(2);
  const shelf = shelfOf(fleet);
  const { clock, server, processes, during } = fleet;
  const [a, b] = processes as [SessionProcess, SessionProcess];
  for (const api of [ORDERS, BILLING]) await during(cacheFor(a, api).get());
  const values = (await shelf.record())!.tokens;
  expect(Object.values(values).map(({ token }) => token?.response.access_token)).toEqual([
    "at-1-1@orders.example",
    "at-1-2@billing.example",
  ]);
  a.grant.beforeSending = () => new Promise(() => {});
  await cacheFor(a, ORDERS).invalidate("at-1-1@orders.example");
  cacheFor(a, ORDERS)
    .get()
    .catch(() => {});
  await clock.advance(100);
  expect(await shelf.record()).toMatchObject({ phase: "L" });
  const other = cacheFor(b, BILLING).get();
  await clock.advance(100);
  expect((await other).value).toBe("at-1-2@billing.example");
  expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
});

test("C17: one API's token cannot be had: it has its failure alone, and the other API is served", async () => {
  const { clock, server, processes, during } = sessionFleet(3);
  const [a, b, c] = processes as [SessionProcess, SessionProcess, SessionProcess];
  // What two processes meet binds a third one for a moment.
  for (const process of [a, c]) {
    process.grant.beforeSending = () => Promise.reject(Object.assign(new Error("down"), { status: 503 }));
    await rejectionOf(during(cacheFor(process, ORDERS).get()));
  }
  const failed = rejectionOf(cacheFor(b, ORDERS).get());
  await clock.advance(100);
  expect(await failed).toMatchObject({ code: "ERR_GRANT" });
  const other = cacheFor(b, BILLING).get();
  await clock.advance(100);
  expect((await other).value).toBe("at-1-1@billing.example");
  expect(server.presented).toEqual(["rt-1-0"]);
});

test("C17: twelve targets: the record keeps eight tokens, every process is served, and the refresh token is used once each", async () => {
  const fleet = sessionFleet(2);
  const shelf = shelfOf(fleet);
  const { server, processes, during } = fleet;
  const apis = Array.from({ length: 12 }, (_, index) => `https://api-${index}.example`);
  for (const [index, api] of apis.entries()) {
    for (const process of processes) {
      expect((await during(cacheFor(process, api).get())).value).toBe(`at-1-${index + 1}@api-${index}.example`);
    }
    expect(Object.keys((await shelf.record())!.tokens)).toHaveLength(Math.min(8, index + 1));
  }
  // The newest eight are there for a process that comes later. The others are minted once more.
  const late = fleet.join();
  for (const [index, api] of [...apis.entries()].toReversed()) {
    const { value } = await during(cacheFor(late, api).get());
    expect(value).toMatch(index >= 4 ? new RegExp(`^at-1-${index + 1}@`) : /^at-1-1[3-6]@/);
  }
  expect(server.presented).toEqual(Array.from({ length: 16 }, (_, index) => `rt-1-${index}`));
  expect(server.reused).toEqual([]);
});

test("C17: a token that has expired is not kept in the record", async () => {
  const fleet = sessionFleet(1);
  const shelf = shelfOf(fleet);
  const { clock, processes, during } = fleet;
  const [a] = processes as [SessionProcess];
  await during(cacheFor(a, ORDERS).get());
  await clock.advance(LIFE);
  await during(cacheFor(a, BILLING).get());
  const stored = Object.values((await shelf.record())!.tokens).flatMap(
    ({ token }) => token?.response.access_token ?? [],
  );
  expect(stored).toEqual(["at-1-2@billing.example"]);
});

test("C17: a sign-in and a sign-out concern the tokens of every API", async () => {
  const { clock, server, processes, during } = sessionFleet(2);
  const [a, b] = processes as [SessionProcess, SessionProcess];
  for (const process of processes) for (const api of [ORDERS, BILLING]) await during(cacheFor(process, api).get());
  await during(cacheFor(a, ORDERS).signIn(server.signInResponse()));
  for (const api of [ORDERS, BILLING]) {
    expect(cacheFor(a, api).peek()).toBeUndefined();
    expect((await during(cacheFor(a, api).get())).value).toMatch(/^at-2-/);
  }
  // What the sign-in brought is for the grant's own target.
  expect(a.cache.peek()?.value).toBe("at-2-0");
  await during(cacheFor(b, BILLING).signOut());
  expect(server.revoked.toSorted()).toEqual([
    "at-1-1@orders.example",
    "at-1-2@billing.example",
    "at-2-0",
    "at-2-1@orders.example",
    "at-2-2@billing.example",
    "rt-2-2",
  ]);
  await clock.advance(LIFE);
  for (const api of [ORDERS, BILLING]) {
    expect(await rejectionOf(during(cacheFor(a, api).get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  }
});
