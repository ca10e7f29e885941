import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { TokenEndpointError } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { ORIGIN, rejectionOf, TARGET } from "./cache-under-test.ts";
import { poolUnderTest, rejectedRequest } from "./pool-under-test.ts";

const down = (): TokenEndpointError => new TokenEndpointError(503, "down");

describe("C13: what the caches of a pool share", () => {
  test("C13: a token endpoint that is down gets one request for all 200 keys, not one for each", async () => {
    const { pool, grants, clock, mints } = poolUnderTest({}, () =>
      fakeGrant({ endpoint: "https://auth.example/token" }),
    );
    for (let key = 0; key < 200; key++) {
      const cache = pool.get(`user ${key}`);
      grants.get(`user ${key}`)!.fail(down(), Infinity);
      expect(await rejectionOf(cache.get())).toMatchObject({ status: 503 });
    }
    expect(mints()).toBe(1);
    await clock.advance(1000);
    await rejectionOf(pool.get("user 7").get());
    expect(mints()).toBe(2);
  });

  test("C13: a failure at one endpoint does not affect the caches of another", async () => {
    const { pool, grants } = poolUnderTest({}, (key) => fakeGrant({ endpoint: `https://${key}.example/token` }));
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(down());
    await rejectionOf(a.get());
    expect((await b.get()).value).toBe("fake-1");
  });

  test("C13: a refusal of one user's grant does not affect other users", async () => {
    const { pool, grants } = poolUnderTest({}, () => fakeGrant({ endpoint: "https://auth.example/token" }));
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(new TokenEndpointError(400, "no", { error: "invalid_grant", terminal: true }));
    await rejectionOf(a.get());
    expect((await b.get()).value).toBe("fake-1");
    await expect(a.get()).rejects.toMatchObject({ terminal: true });
  });

  test("C13: the success of one key ends the pause for all", async () => {
    const { pool, grants, clock } = poolUnderTest({}, () => fakeGrant({ endpoint: "https://auth.example/token" }));
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(down());
    await rejectionOf(a.get());
    await clock.advance(1000);
    await b.get();
    expect((await a.get()).value).toBe("fake-2");
  });

  test("C13: failures of grants without an endpoint are not shared", async () => {
    const { pool, grants } = poolUnderTest();
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(down());
    await rejectionOf(a.get());
    expect((await b.get()).value).toBe("fake-1");
  });

  test("C13: 10,000 users of an API that rejects every token get three renewals, then one a second for the pool", async () => {
    const { pool, clock, mints } = poolUnderTest();
    const users = 10_000;
    let renewed = 0;
    for (let user = 0; user < users; user++) {
      if ((await rejectedRequest(pool.get(`user ${user}`))) === "renewed") renewed++;
    }
    expect(renewed).toBe(3);
    expect(mints()).toBe(users + 3);
    for (let second = 0; second < 5; second++) {
      await clock.advance(1000);
      for (let user = 0; user < 20; user++) {
        if ((await rejectedRequest(pool.get(`user ${9000 + user}`))) === "renewed") renewed++;
      }
    }
    expect(renewed).toBe(3 + 5);
  });

  test("C13: one accepted token opens the origin again for all keys", async () => {
    const { pool } = poolUnderTest();
    for (const key of ["a", "b", "c"]) expect(await rejectedRequest(pool.get(key))).toBe("renewed");
    expect(await rejectedRequest(pool.get("d"))).toBe("refused");
    const healthy = pool.get("healthy");
    const token = await healthy.get();
    expect(policyHalf(healthy).onTrial).toBe(true);
    policyHalf(healthy).accepted(token, TARGET);
    expect(await rejectedRequest(pool.get("d"))).toBe("renewed");
  });

  test("C13: another origin is not limited", async () => {
    const { pool } = poolUnderTest();
    for (const key of ["a", "b", "c", "d"]) await rejectedRequest(pool.get(key));
    const cache = pool.get("e");
    const renewal = policyHalf(cache).rejected(await cache.get(), { origin: `${ORIGIN}:8443`, path: "/" });
    expect(renewal).toBeDefined();
  });

  test("C13: a single key has the storm guard of a lone cache: three renewals for 20 rejected requests", async () => {
    const { pool, grants } = poolUnderTest();
    for (let request = 0; request < 20; request++) await rejectedRequest(pool.get("a"));
    expect(grants.get("a")!.mints).toBe(4);
  });
});
