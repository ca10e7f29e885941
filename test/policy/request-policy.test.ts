import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import { withToken, type ClientSeam } from "../../src/policy/request-policy.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf } from "../core/cache-under-test.ts";
import { type Call, type Answer, client, ORDERS, ok, no, only, warm } from "./hand-made-client.ts";

describe("the way of a request", () => {
  test("C1: warm: one send, with the token, synchronously", async () => {
    const { cache, grant } = await warm();
    const { exchange, log } = client(() => ok);
    const answer = withToken(cache, { url: ORDERS }, exchange);
    expect(log).toEqual(["send fake-1"]);
    expect(await answer).toBe(ok);
    expect(log).toEqual(["send fake-1", "finish 200"]);
    expect(grant.mints).toBe(1);
  });

  test("C2: cold: a token is minted first, for all who wait", async () => {
    const { cache, grant } = cacheUnderTest();
    const { exchange, sent } = client(() => ok);
    await Promise.all(Array.from({ length: 50 }, () => withToken(cache, { url: ORDERS }, exchange)));
    expect([sent.length, new Set(sent).size, grant.mints]).toEqual([50, 1, 1]);
  });

  test("Q5: a 401 is discarded, the token replaced, and the request sent again, once", async () => {
    const { cache, grant } = await warm();
    const { exchange, log } = client(only("fake-2"));
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(log).toEqual(["send fake-1", "discard 401", "send fake-2", "finish 200"]);
    expect(grant.mints).toBe(2);
  });

  test("Q5: the resend's own 401 goes to the caller, untouched", async () => {
    const { cache, grant } = await warm();
    const answers: Answer[] = [{ status: 401 }, { status: 401 }];
    const { exchange, log } = client((_, send) => answers[send - 1]!);
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(answers[1]);
    expect(log).toEqual(["send fake-1", "discard 401", "send fake-2", "finish 401"]);
    expect(grant.mints).toBe(2);
  });

  test("Q5: an adopted token that is dead too: renewed and sent once more, three sends at most", async () => {
    const { cache, grant } = await warm();
    let answerFirst!: () => void;
    const first = new Promise<void>((resolve) => (answerFirst = resolve));
    const { exchange, log } = client(async (_, send) => {
      if (send === 1) await first;
      return no;
    });
    const answer = withToken(cache, { url: ORDERS }, exchange);
    await cache.invalidate("fake-1");
    await cache.get();
    answerFirst();
    expect(await answer).toBe(no);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-2", "send fake-3"]);
    expect([log.at(-1), grant.mints]).toEqual(["finish 401", 3]);
  });

  test("Q5: no request is sent with a token more than three times, whatever the API says", async () => {
    const { cache } = await warm();
    const { exchange, sent } = client(async () => {
      // Somebody else's renewals keep changing the token under it.
      await cache.invalidate((await cache.get()).value);
      await cache.get();
      return no;
    });
    await withToken(cache, { url: ORDERS }, exchange);
    expect(sent.length).toBeLessThanOrEqual(3);
  });

  test("C8: the guard closed: the 401 goes through untouched, nothing is discarded", async () => {
    const { cache, grant } = await warm();
    for (let call = 0; call < 20; call++) {
      const { exchange, log } = client(() => no);
      expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(no);
      if (call >= 3) expect(log).toEqual([expect.stringMatching(/^send/), "finish 401"]);
    }
    expect(grant.mints).toBe(4);
  });

  test("C8: any answer that is no rejection clears the trial: 200, 403, 404 and 500 alike", async () => {
    for (const status of [200, 403, 404, 500]) {
      const { cache } = await warm();
      const { exchange } = client((_, send) => (send === 1 ? no : { status }));
      expect((await withToken(cache, { url: ORDERS }, exchange)).status).toBe(status);
      await withToken(cache, { url: ORDERS }, client(() => ({ status })).exchange);
      expect(policyHalf(cache).onTrial).toBe(false);
    }
  });

  test("C8: a request that fails without an answer clears nothing", async () => {
    const { cache } = await warm();
    await withToken(cache, { url: ORDERS }, client(only()).exchange);
    const broken = client(() => Promise.reject(new Error("connection reset")));
    await expect(withToken(cache, { url: ORDERS }, broken.exchange)).rejects.toThrow("connection reset");
    expect(policyHalf(cache).onTrial).toBe(true);
  });
});

describe("Q1: the caller's own Authorization", () => {
  test("Q1: a send that finds one goes out bare, and its 401 is the caller's", async () => {
    const { cache, grant, told } = await warm();
    const { exchange, log } = client(() => no);
    const own: ClientSeam<Call, Answer> = {
      ...exchange,
      send: (call, token, headers) => (token === undefined ? exchange.send(call, token, headers) : undefined),
    };
    expect(await withToken(cache, { url: ORDERS }, own)).toBe(no);
    expect(log).toEqual(["send bare", "finish 401"]);
    expect([cache.peek()?.value, grant.mints]).toEqual(["fake-1", 1]);
    expect(told("skipped")).toEqual([{ name: "skipped", reason: "authorization-set", url: ORDERS }]);
  });

  test("Q1: cold: no token is asked for", async () => {
    const { cache, grant } = cacheUnderTest();
    const { exchange, log } = client(() => no, { isAuthorized: () => true });
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(no);
    expect([log[0], grant.mints]).toEqual(["send bare", 0]);
  });
});

describe("Q2: where a token may go", () => {
  test("Q2: another origin: bare, its 401 invalidates nothing, no token is asked for, and an event says why", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const { exchange, log } = client(() => no);
    expect(await withToken(cache, { url: "https://elsewhere.example/x?code=1" }, exchange)).toBe(no);
    expect(log).toEqual(["send bare", "finish 401"]);
    expect(grant.mints).toBe(0);
    expect(told("skipped")).toEqual([
      { name: "skipped", reason: "origin-not-allowed", url: "https://elsewhere.example/x" },
    ]);
  });

  test("Q2: a relative URL is bare, and the event says so", async () => {
    const { cache, told } = cacheUnderTest();
    const { exchange, log } = client(() => ok);
    await withToken(cache, { url: "/x?code=1" }, exchange);
    expect(log[0]).toBe("send bare");
    expect(told("skipped")).toEqual([{ name: "skipped", reason: "relative-url", url: "/x" }]);
  });

  test("Q2: origins that depend on the token are judged after it, and before anything is sent", async () => {
    const grant = fakeGrant({ response: { instance_url: "https://eu1.example" } });
    const { cache } = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    const { exchange, log } = client(() => ok);
    await withToken(cache, { url: "https://eu2.example/x" }, exchange);
    await withToken(cache, { url: "https://eu1.example/x" }, exchange);
    expect(log.filter((line) => line.startsWith("send"))).toEqual(["send bare", "send fake-1"]);
  });

  test("Q2: a renewed token that may not go there any more is not sent there: ERR_ORIGIN", async () => {
    const grant = fakeGrant();
    grant.respond({ access_token: "eu", instance_url: "https://eu.example" });
    grant.respond({ access_token: "us", instance_url: "https://us.example" });
    const { cache } = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    const { exchange, sent } = client(() => no);
    const error = await rejectionOf(withToken(cache, { url: "https://eu.example/x?code=s3cret" }, exchange));
    expect(error).toMatchObject({ code: "ERR_ORIGIN", message: expect.not.stringContaining("s3cret") });
    expect(sent.map((token) => token?.value)).toEqual(["eu"]);
  });

  test("Q3: a 401 that came from another origin says nothing about the token", async () => {
    const { cache, grant } = await warm();
    const away = { status: 401, finalUrl: "https://login.example/" };
    const { exchange, log } = client(() => away);
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(away);
    expect(log).toEqual(["send fake-1", "finish 401"]);
    expect([cache.peek()?.value, grant.mints]).toEqual(["fake-1", 1]);
  });

  test("Q3: a redirect within the origin is judged as usual", async () => {
    const { cache } = await warm();
    const { exchange, sent } = client((_, send) => (send === 1 ? { status: 401, finalUrl: `${ORIGIN}/other` } : ok));
    await withToken(cache, { url: ORDERS }, exchange);
    expect(sent).toHaveLength(2);
  });
});
