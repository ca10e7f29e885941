import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import { TokenEndpointError } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { ORIGIN, rejectionOf, SITE } from "./cache-under-test.ts";
import { poolUnderTest, rejectedRequest } from "./pool-under-test.ts";

const down = (): TokenEndpointError => new TokenEndpointError(503, "down");

describe("C13: what the caches of a pool share", () => {
  test("C13: a token endpoint that is down is asked for all keys together, not for each", async () => {
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

  test("C13: endpoints do not suffer for each other", async () => {
    const { pool, grants } = poolUnderTest({}, (key) => fakeGrant({ endpoint: `https://${key}.example/token` }));
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(down());
    await rejectionOf(a.get());
    expect((await b.get()).value).toBe("fake-1");
  });

  test("C13: one user's refusal is no other user's", async () => {
    const { pool, grants } = poolUnderTest({}, () => fakeGrant({ endpoint: "https://auth.example/token" }));
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(new TokenEndpointError(400, "no", { error: "invalid_grant", terminal: true }));
    await rejectionOf(a.get());
    expect((await b.get()).value).toBe("fake-1");
    await expect(a.get()).rejects.toMatchObject({ terminal: true });
  });

  test("C13: somebody's success ends the pause for all", async () => {
    const { pool, grants, clock } = poolUnderTest({}, () => fakeGrant({ endpoint: "https://auth.example/token" }));
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(down());
    await rejectionOf(a.get());
    await clock.advance(1000);
    await b.get();
    expect((await a.get()).value).toBe("fake-2");
  });

  test("C13: grants without an endpoint keep their failures to themselves", async () => {
    const { pool, grants } = poolUnderTest();
    const [a, b] = [pool.get("a"), pool.get("b")];
    grants.get("a")!.fail(down());
    await rejectionOf(a.get());
    expect((await b.get()).value).toBe("fake-1");
  });

  test("C13: 10,000 users are no 30,000 renewals at a dead API: three keys, then one a second for the pool", async () => {
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

  test("C13: an acceptance by anybody reopens the origin for all", async () => {
    const { pool } = poolUnderTest();
    for (const key of ["a", "b", "c"]) expect(await rejectedRequest(pool.get(key))).toBe("renewed");
    expect(await rejectedRequest(pool.get("d"))).toBe("refused");
    const healthy = pool.get("healthy");
    const token = await healthy.get();
    expect(policyHalf(healthy).onTrial).toBe(true);
    policyHalf(healthy).accepted(token, SITE);
    expect(await rejectedRequest(pool.get("d"))).toBe("renewed");
  });

  test("C13: another origin is not the pool's affair", async () => {
    const { pool } = poolUnderTest();
    for (const key of ["a", "b", "c", "d"]) await rejectedRequest(pool.get(key));
    const cache = pool.get("e");
    const renewal = policyHalf(cache).rejected(await cache.get(), { origin: `${ORIGIN}:8443`, path: "/" });
    expect(renewal).toBeDefined();
  });

  test("C13: one key alone has the guard every cache has", async () => {
    const { pool, grants } = poolUnderTest();
    for (let request = 0; request < 20; request++) await rejectedRequest(pool.get("a"));
    expect(grants.get("a")!.mints).toBe(4);
  });
});
