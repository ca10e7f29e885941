import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import type { ClientSeam } from "../../src/policy/client-seam.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf } from "../core/cache-under-test.ts";
import { type Call, type Answer, client, ORDERS, ok, unauthorized, acceptOnly, warmCache } from "./hand-made-client.ts";

describe("from a request to its answer", () => {
  test("C1: with a token in the cache, the request is sent once, synchronously", async () => {
    const { cache, grant } = await warmCache();
    const { seam, log } = client(() => ok);
    const answer = withToken(cache, { url: ORDERS }, seam);
    expect(log).toEqual(["send fake-1"]);
    expect(await answer).toBe(ok);
    expect(log).toEqual(["send fake-1", "finish 200"]);
    expect(grant.mints).toBe(1);
  });

  test("C2: with an empty cache, 50 requests wait for one mint and share its token", async () => {
    const { cache, grant } = cacheUnderTest();
    const { seam, sent } = client(() => ok);
    await Promise.all(Array.from({ length: 50 }, () => withToken(cache, { url: ORDERS }, seam)));
    expect([sent.length, new Set(sent).size, grant.mints]).toEqual([50, 1, 1]);
  });

  test("Q5: a 401 is discarded, the token replaced, and the request sent again, once", async () => {
    const { cache, grant } = await warmCache();
    const { seam, log } = client(acceptOnly("fake-2"));
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(log).toEqual(["send fake-1", "discard 401", "send fake-2", "finish 200"]);
    expect(grant.mints).toBe(2);
  });

  test("Q5: the 401 of the resend goes to the caller, untouched", async () => {
    const { cache, grant } = await warmCache();
    const answers: Answer[] = [{ status: 401 }, { status: 401 }];
    const { seam, log } = client((_, send) => answers[send - 1]!);
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(answers[1]);
    expect(log).toEqual(["send fake-1", "discard 401", "send fake-2", "finish 401"]);
    expect(grant.mints).toBe(2);
  });

  test("Q5: when a token of another caller's mint is rejected too, it is renewed and the request sent a third time", async () => {
    const { cache, grant } = await warmCache();
    let answerFirst!: () => void;
    const first = new Promise<void>((resolve) => (answerFirst = resolve));
    const { seam, log } = client(async (_, send) => {
      if (send === 1) await first;
      return unauthorized;
    });
    const answer = withToken(cache, { url: ORDERS }, seam);
    await cache.invalidate("fake-1");
    await cache.get();
    answerFirst();
    expect(await answer).toBe(unauthorized);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-2", "send fake-3"]);
    expect([log.at(-1), grant.mints]).toEqual(["finish 401", 3]);
  });

  test("Q5: no request is sent with a token more than three times, whatever happens to the cache", async () => {
    const { cache } = await warmCache();
    const { seam, sent } = client(async () => {
      // Other callers keep replacing the cached token while this request is in progress.
      await cache.invalidate((await cache.get()).value);
      await cache.get();
      return unauthorized;
    });
    await withToken(cache, { url: ORDERS }, seam);
    expect(sent.length).toBeLessThanOrEqual(3);
  });

  test("C8: while the guard is closed, the 401 goes to the caller untouched, and nothing is discarded", async () => {
    const { cache, grant, clock } = await warmCache();
    for (let mints = 2; mints < 5; mints++) {
      for (let call = 0; call < 20; call++) {
        const { seam, log } = client(() => unauthorized);
        expect(await withToken(cache, { url: ORDERS }, seam)).toBe(unauthorized);
        if (call >= 1) expect(log).toEqual([`send fake-${mints}`, "finish 401"]);
      }
      expect([grant.mints, cache.peek()?.value]).toEqual([mints, `fake-${mints}`]);
      await clock.advance(1000 * 2 ** (mints - 2));
    }
  });

  test("C8: the 401 for a renewed token is reported: it closes the path, and no other", async () => {
    const { cache, grant } = await warmCache();
    for (const path of ["/a", "/b", "/a", "/b"]) {
      await withToken(cache, { url: ORIGIN + path }, client(() => unauthorized).seam);
    }
    expect(grant.mints).toBe(3);
  });

  test("C8: the 401 of a token that is sent once more after a wait is not reported as that of a new one", async () => {
    const { cache, clock, grant } = await warmCache({ mintTimeout: 500 });
    for (let time = 0; time < 10; time++) {
      const current = cache.peek()!.value;
      await withToken(cache, { url: ORDERS }, client((token) => (token === current ? unauthorized : ok)).seam);
    }
    // The cache's limit is used up: the request waits as long as it may, and sends its token once more.
    const { seam, log } = client(() => unauthorized);
    const answer = withToken(cache, { url: ORDERS }, seam);
    await clock.advance(500);
    expect(await answer).toBe(unauthorized);
    expect([log, grant.mints]).toEqual([["send fake-11", "discard 401", "send fake-11", "finish 401"], 11]);
    await clock.advance(500);
    await withToken(cache, { url: ORDERS }, client(acceptOnly("fake-12")).seam);
    expect(grant.mints).toBe(12);
  });

  test("C8: any answer that is no rejection clears the trial: 200, 403, 404 and 500", async () => {
    for (const status of [200, 403, 404, 500]) {
      const { cache } = await warmCache();
      const { seam } = client((_, send) => (send === 1 ? unauthorized : { status }));
      expect((await withToken(cache, { url: ORDERS }, seam)).status).toBe(status);
      await withToken(cache, { url: ORDERS }, client(() => ({ status })).seam);
      expect(policyHalf(cache).onTrial).toBe(false);
    }
  });

  test("C8: a request that fails without an answer clears nothing", async () => {
    const { cache } = await warmCache();
    await withToken(cache, { url: ORDERS }, client(acceptOnly()).seam);
    const broken = client(() => Promise.reject(new Error("connection reset")));
    await expect(withToken(cache, { url: ORDERS }, broken.seam)).rejects.toThrow("connection reset");
    expect(policyHalf(cache).onTrial).toBe(true);
  });
});

describe("Q1: the caller's own Authorization", () => {
  test("Q1: when `send` finds one, the request goes without our token, and its 401 goes to the caller", async () => {
    const { cache, grant, eventsNamed } = await warmCache();
    const { seam, log } = client(() => unauthorized);
    const own: ClientSeam<Call, Answer> = {
      ...seam,
      send: (call, headers) => (headers === undefined ? seam.send(call, headers) : undefined),
    };
    expect(await withToken(cache, { url: ORDERS }, own)).toBe(unauthorized);
    expect(log).toEqual(["send bare", "finish 401"]);
    expect([cache.peek()?.value, grant.mints]).toEqual(["fake-1", 1]);
    expect(eventsNamed("skipped")).toEqual([{ name: "skipped", reason: "authorization-set", url: ORDERS }]);
  });

  test("Q1: with an empty cache, such a request starts no mint", async () => {
    const { cache, grant } = cacheUnderTest();
    const { seam, log } = client(() => unauthorized, { isAuthorized: () => true });
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(unauthorized);
    expect([log[0], grant.mints]).toEqual(["send bare", 0]);
  });
});

describe("Q2: where a token may go", () => {
  test("Q2: a request to another origin goes without a token, starts no mint, its 401 renews nothing, and an event says why", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const { seam, log } = client(() => unauthorized);
    expect(await withToken(cache, { url: "https://elsewhere.example/x?code=1" }, seam)).toBe(unauthorized);
    expect(log).toEqual(["send bare", "finish 401"]);
    expect(grant.mints).toBe(0);
    expect(eventsNamed("skipped")).toEqual([
      { name: "skipped", reason: "origin-not-allowed", url: "https://elsewhere.example/x" },
    ]);
  });

  test("Q2: a request to a relative URL goes without a token, and an event says why", async () => {
    const { cache, eventsNamed } = cacheUnderTest();
    const { seam, log } = client(() => ok);
    await withToken(cache, { url: "/x?code=1" }, seam);
    expect(log[0]).toBe("send bare");
    expect(eventsNamed("skipped")).toEqual([{ name: "skipped", reason: "relative-url", url: "/x" }]);
  });

  test("Q2: origins that depend on the token are judged once there is a token, before anything is sent", async () => {
    const grant = fakeGrant({ response: { instance_url: "https://eu1.example" } });
    const { cache } = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    const { seam, log } = client(() => ok);
    await withToken(cache, { url: "https://eu2.example/x" }, seam);
    await withToken(cache, { url: "https://eu1.example/x" }, seam);
    expect(log.filter((line) => line.startsWith("send"))).toEqual(["send bare", "send fake-1"]);
  });

  test("Q2: a renewed token whose origins exclude the request is not sent: ERR_ORIGIN", async () => {
    const grant = fakeGrant();
    grant.respond({ access_token: "eu", instance_url: "https://eu.example" });
    grant.respond({ access_token: "us", instance_url: "https://us.example" });
    const { cache } = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    const { seam, sent } = client(() => unauthorized);
    const error = await rejectionOf(withToken(cache, { url: "https://eu.example/x?code=s3cret" }, seam));
    expect(error).toMatchObject({ code: "ERR_ORIGIN", message: expect.not.stringContaining("s3cret") });
    expect(sent).toEqual(["eu"]);
  });

  test("Q3: a 401 from another origin, after a redirect, does not reject the token", async () => {
    const { cache, grant } = await warmCache();
    const away = { status: 401, finalUrl: "https://login.example/" };
    const { seam, log } = client(() => away);
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(away);
    expect(log).toEqual(["send fake-1", "finish 401"]);
    expect([cache.peek()?.value, grant.mints]).toEqual(["fake-1", 1]);
  });

  test("Q3: a redirect within the origin is judged as usual", async () => {
    const { cache } = await warmCache();
    const { seam, sent } = client((_, send) => (send === 1 ? { status: 401, finalUrl: `${ORIGIN}/other` } : ok));
    await withToken(cache, { url: ORDERS }, seam);
    expect(sent).toHaveLength(2);
  });
});
