import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import {
  createTokenCache,
  createTokenPool,
  RemintError,
  TokenEndpointError,
  type InitialToken,
  type TokenCache,
} from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import { client } from "../policy/hand-made-client.ts";
import { fakeServerGrant, ORIGIN, rejectionOf, settle, TARGET } from "./cache-under-test.ts";
import { poolUnderTest, rejectedRequest } from "./pool-under-test.ts";

const down = (): TokenEndpointError => new TokenEndpointError(503, "down");

/** Sends a request to an API that accepts only some tokens, and returns the last status. */
async function statusOf(cache: TokenCache, accepts: (value: string) => boolean): Promise<number> {
  const { seam } = client((value) => ({ status: accepts(value!) ? 200 : 401 }));
  return (await withToken(cache, { url: ORIGIN + TARGET.path }, seam)).status;
}

const storedToken = async (): Promise<InitialToken> => ({ access_token: "stored", expires_in: 60 });

describe("C13: what the caches of a pool share", () => {
  test("C9: a token endpoint that is down gets two requests for 200 keys, then one a key when a pause ends", async () => {
    const { pool, grants, clock, mints } = poolUnderTest({}, () => fakeServerGrant());
    for (let key = 0; key < 200; key++) {
      const cache = pool.get(`user ${key}`);
      grants.get(`user ${key}`)!.fail(down(), Infinity);
      expect(await rejectionOf(cache.get())).toMatchObject({ endpointStatus: 503 });
    }
    expect(mints()).toBe(2);
    await clock.advance(1000);
    await rejectionOf(pool.get("user 7").get());
    expect(mints()).toBe(3);
    await rejectionOf(pool.get("user 8").get());
    expect(mints()).toBe(3);
  });

  test("C9: a failure at one endpoint does not affect the caches of another", async () => {
    const { pool, grants } = poolUnderTest({}, (key) =>
      fakeServerGrant({ endpoint: `https://${key.slice(0, 1)}.example/token` }),
    );
    for (const key of ["a1", "a2"]) {
      const cache = pool.get(key);
      grants.get(key)!.fail(down());
      await rejectionOf(cache.get());
    }
    expect(await rejectionOf(pool.get("a3").get())).toMatchObject({ endpointStatus: 503 });
    expect((await pool.get("b").get()).value).toBe("fake-1");
  });

  test("C9: a refusal of one user's grant does not affect other users, whatever the status and the error", async () => {
    const { pool, grants } = poolUnderTest({}, () => fakeServerGrant());
    const refusals = [
      new TokenEndpointError(400, "no", { error: "invalid_grant", terminal: true }),
      new TokenEndpointError(401, "no", { error: "invalid_grant", terminal: true }),
      new TokenEndpointError(401, "no"),
      new TokenEndpointError(403, "no", { error: "access_denied" }),
      new TokenEndpointError(400, "no", { error: "unauthorized_client" }),
      new RemintError("ERR_TOKEN_RESPONSE", "no"),
      new RemintError("ERR_GRANT", "no"),
      new RemintError("ERR_STORE", "no", { retryable: true }),
      new Error("no"),
      Object.assign(new Error("no"), { status: 503 }),
    ];
    for (const [index, refusal] of refusals.entries()) {
      // Two keys in a row, as would do for a failure of the server.
      for (const key of [`a ${index}`, `b ${index}`]) {
        const refused = pool.get(key);
        grants.get(key)!.fail(refusal, Infinity);
        await rejectionOf(refused.get());
        expect(await rejectionOf(refused.get())).toMatchObject({ name: /Error$/ });
      }
      expect((await pool.get(`c ${index}`).get()).value).toBe("fake-1");
    }
    await expect(pool.get("a 0").get()).rejects.toMatchObject({ terminal: true });
  });

  test.each([
    ["no connection", new RemintError("ERR_TOKEN_NETWORK", "no", { retryable: true })],
    ["408", new TokenEndpointError(408, "no")],
    ["500", new TokenEndpointError(500, "no")],
    ["503", new TokenEndpointError(503, "no")],
    ["400 temporarily_unavailable", new TokenEndpointError(400, "no", { error: "temporarily_unavailable" })],
    ["400 server_error", new TokenEndpointError(400, "no", { error: "server_error" })],
    ["429", new TokenEndpointError(429, "no")],
    ["metadata that cannot be had", new RemintError("ERR_TOKEN_RESPONSE", "no", { retryable: true })],
  ])("C9: %s is shared from the second key on", async (_, failure) => {
    const { pool, grants } = poolUnderTest({}, () => fakeServerGrant());
    for (const [key, mints] of [
      ["a", 1],
      ["b", 1],
      ["c", 0],
    ] as const) {
      const cache = pool.get(key);
      grants.get(key)!.fail(failure, Infinity);
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ code: failure.code });
      expect((error as RemintError).endpointStatus).toBe(failure.endpointStatus);
      expect(grants.get(key)!.mints).toBe(mints);
    }
  });

  test.each([
    ["invalid_client with 401", new TokenEndpointError(401, "no", { error: "invalid_client" })],
    ["invalid_client with 400", new TokenEndpointError(400, "no", { error: "invalid_client" })],
    ["invalid_scope", new TokenEndpointError(400, "no", { error: "invalid_scope" })],
    ["invalid_target", new TokenEndpointError(400, "no", { error: "invalid_target" })],
  ])("C9: %s is shared at once", async (_, failure) => {
    const { pool, grants } = poolUnderTest({}, () => fakeServerGrant());
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(failure);
    await rejectionOf(a.get());
    expect(await rejectionOf(b.get())).toMatchObject({ error: failure.error, endpointStatus: failure.endpointStatus });
    expect(grants.get("b")!.mints).toBe(0);
  });

  test("C9: the success of one key ends the pause for all", async () => {
    const { pool, grants, clock } = poolUnderTest({}, () => fakeServerGrant());
    for (const key of ["a", "b"]) {
      const cache = pool.get(key);
      grants.get(key)!.fail(down());
      await rejectionOf(cache.get());
    }
    await clock.advance(1000);
    grants.get("a")!.fail(down());
    await rejectionOf(pool.get("a").get());
    expect(await rejectionOf(pool.get("c").get())).toMatchObject({ endpointStatus: 503 });
    await clock.advance(2000);
    await pool.get("b").get();
    expect((await pool.get("c").get()).value).toBe("fake-1");
    expect((await pool.get("a").get()).value).toBe("fake-3");
  });

  test("C9: a token from an initial function is no success at the endpoint: the pause goes on", async () => {
    const clock = manualClock();
    const grant = fakeServerGrant();
    grant.fail(down(), Infinity);
    const pool = createTokenPool({
      clock,
      create: (key) =>
        createTokenCache({
          grant,
          clock,
          origins: [ORIGIN],
          mintRetries: 0,
          ...(key.startsWith("s") && { initial: storedToken }),
        }),
    });
    for (let user = 0; user < 100; user++) {
      await rejectionOf(pool.get(`user ${user}`).get());
      expect((await pool.get(`stored ${user}`).get()).value).toBe("stored");
    }
    expect(grant.mints).toBe(2);
  });

  test("C9: failures of grants without a server are not shared, however many keys fail in a row", async () => {
    const { pool, grants } = poolUnderTest();
    for (const key of ["a", "b", "c"]) {
      const cache = pool.get(key);
      grants.get(key)!.fail(down());
      await rejectionOf(cache.get());
    }
    expect((await pool.get("d").get()).value).toBe("fake-1");
  });

  test("C13: 10,000 users of an API that rejects every token: eight renewals, then one a second for the pool", async () => {
    const { pool, clock, mints } = poolUnderTest();
    const users = 10_000;
    const statuses: Promise<number>[] = [];
    const caches = Array.from({ length: users }, (_, user) => pool.get(`user ${user}`));
    for (const cache of caches) await cache.get();
    for (const cache of caches) statuses.push(statusOf(cache, () => false));
    await settle();
    expect(mints()).toBe(users + 8);
    for (let second = 1; second <= 5; second++) {
      await clock.advance(1000);
      for (const cache of caches.slice(9000, 9020)) statuses.push(statusOf(cache, () => false));
      await settle();
      expect(mints()).toBeGreaterThan(users + 8);
      expect(mints()).toBeLessThanOrEqual(users + 8 + second);
    }
    await clock.advance(10_000);
    expect(new Set(await Promise.all(statuses))).toEqual(new Set([401]));
    expect(mints()).toBeLessThanOrEqual(users + 8 + 15);
  });

  test("C13: one accepted renewal lets eight more begin; a token that was accepted without one does not", async () => {
    const { pool, clock, mints } = poolUnderTest();
    const caches = Array.from({ length: 30 }, (_, user) => pool.get(`user ${user}`));
    for (const cache of caches) await cache.get();
    for (const cache of caches.slice(0, 8)) expect(await statusOf(cache, () => false)).toBe(401);
    const healthy = pool.get("healthy");
    policyHalf(healthy).accepted(await healthy.get(), TARGET);
    const before = mints();
    const waiting = caches.slice(8).map((cache) => statusOf(cache, (value) => value !== "fake-1"));
    await settle();
    expect(mints()).toBe(before);
    await clock.advance(1000);
    await settle();
    expect(mints()).toBe(before + waiting.length);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([200]));
  });

  test("C13: caches that are closed while they renew take no place from the others", async () => {
    const { pool, clock, grants } = poolUnderTest();
    for (let user = 0; user < 100; user++) {
      const cache = pool.get(`closed ${user}`);
      const token = await cache.get();
      grants.get(`closed ${user}`)!.hold();
      const renewed = rejectionOf(policyHalf(cache).rejected(token, TARGET)!.next());
      await cache.close();
      expect(await renewed).toMatchObject({ code: "ERR_CLOSED" });
    }
    await clock.advance(10_000);
    expect(await statusOf(pool.get("open"), () => true)).toBe(200);
    policyHalf(pool.get("open")).accepted(await pool.get("open").get(), TARGET);
    expect(policyHalf(pool.get("open")).onTrial).toBe(false);
    expect(await rejectedRequest(pool.get("open"))).toBe("renewed");
  });

  test("C13: another origin is not limited", async () => {
    const { pool } = poolUnderTest();
    for (let user = 0; user < 8; user++) expect(await rejectedRequest(pool.get(`${user}`))).toBe("renewed");
    const cache = pool.get("e");
    const renewal = policyHalf(cache).rejected(await cache.get(), { origin: `${ORIGIN}:8443`, path: "/" });
    expect((await renewal!.next()).token.value).toBe("fake-2");
  });

  test("C13: a single key has the storm guard of a lone cache: three renewals for 20 rejected requests", async () => {
    const { pool, grants } = poolUnderTest();
    for (let request = 0; request < 20; request++) await rejectedRequest(pool.get("a"));
    expect(grants.get("a")!.mints).toBe(4);
  });
});
