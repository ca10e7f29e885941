import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import type { AccessToken, RemintError, TokenCache } from "../../src/index.ts";
import { sendBare, withToken, type ClientSeam } from "../../src/policy/request-policy.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import {
  type Call,
  type Answer,
  type Client,
  client,
  ORDERS,
  ok,
  no,
  only,
  warm,
  type Server,
} from "./hand-made-client.ts";

describe("Q8: a mint that fails", () => {
  test("Q8: after a 401: an error of its own, the shared one its cause, the URL without its query", async () => {
    const { cache, grant } = await warm();
    grant.fail(new Error("down"), Infinity);
    const calls = ["?a=s3cret", "?b=s3cret"].map((query) =>
      rejectionOf(withToken(cache, { url: ORDERS + query }, client(() => no).exchange)),
    );
    const [first, second] = (await Promise.all(calls)) as [RemintError, RemintError];
    expect(first).toMatchObject({ code: "ERR_GRANT", rejected: { status: 401, url: ORDERS } });
    expect(first).not.toBe(second);
    expect(first.cause).toBe(second.cause);
    expect(first.message + JSON.stringify(first)).not.toContain("s3cret");
  });

  test("Q8: without a 401: the shared error itself, nothing is sent, and the client cleans up", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"), Infinity);
    const { exchange, log } = client(() => ok);
    const error = (await rejectionOf(withToken(cache, { url: ORDERS }, exchange))) as RemintError;
    expect(error).toMatchObject({ code: "ERR_GRANT" });
    expect("rejected" in error).toBe(false);
    expect(log).toEqual([`finish ${error.message}`]);
  });

  test("C10: an abort is not wrapped", async () => {
    const { cache, grant } = await warm();
    const controller = new AbortController();
    const { exchange } = client(() => no);
    grant.hold();
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, exchange));
    await settle();
    const reason = new Error("gone");
    controller.abort(reason);
    await settle();
    expect(got.reason).toBe(reason);
  });

  test("C10: an abort while waiting for the first token sends nothing", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.hold();
    const controller = new AbortController();
    const { exchange, sent } = client(() => ok);
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, exchange));
    await settle();
    controller.abort("gone");
    await settle();
    expect([got.reason, sent.length]).toEqual(["gone", 0]);
  });
});

describe("clients that throw on a 401", () => {
  class HttpError extends Error {
    readonly answer: Answer;
    constructor(answer: Answer) {
      super(`status ${answer.status}`);
      this.answer = answer;
    }
  }
  const throwing = (server: Server): Client =>
    client(
      async (token, send) => {
        const answer = await server(token, send);
        if (answer.status >= 400) throw new HttpError(answer);
        return answer;
      },
      { answerOf: (error) => (error instanceof HttpError ? error.answer : undefined) },
    );

  test("Q5: their error is judged like an answer, and the resend's answer is given", async () => {
    const { cache } = await warm();
    const { exchange, sent } = throwing(only("fake-2"));
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(sent).toHaveLength(2);
  });

  test("Q5: the resend's own error goes to the caller, as it was thrown", async () => {
    const { cache } = await warm();
    const { exchange, log } = throwing(() => no);
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, exchange))).toBeInstanceOf(HttpError);
    expect(log.at(-1)).toBe("finish status 401");
  });

  test("C8: another error's answer is an acceptance", async () => {
    const { cache } = await warm();
    await rejectionOf(withToken(cache, { url: ORDERS }, throwing(() => no).exchange));
    expect(policyHalf(cache).onTrial).toBe(true);
    await rejectionOf(withToken(cache, { url: ORDERS }, throwing(() => ({ status: 404 })).exchange));
    expect(policyHalf(cache).onTrial).toBe(false);
  });

  test("Q5: an error without an answer, of the first send or the resend, is the caller's", async () => {
    const { cache } = await warm();
    const reset = new Error("connection reset");
    const first = client(() => Promise.reject(reset));
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, first.exchange))).toBe(reset);
    const second = client((_, send) => (send === 1 ? no : Promise.reject(reset)));
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, second.exchange))).toBe(reset);
    expect(second.log.at(-1)).toBe("finish connection reset");
  });

  test("Q5: a send that throws synchronously rejects", async () => {
    const { cache } = await warm();
    const { exchange } = client(() => ok, {
      send: () => {
        throw new TypeError("bad URL");
      },
    });
    await expect(withToken(cache, { url: ORDERS }, exchange)).rejects.toThrow("bad URL");
    await expect(sendBare({ url: ORDERS }, exchange)).rejects.toThrow("bad URL");
  });
});

describe("what a client is told", () => {
  test("finish is called once for every outcome", async () => {
    const outcomes: [Server, Partial<Call>][] = [
      [() => ok, {}],
      [() => no, {}],
      [only("fake-2"), {}],
      [() => no, { oneShot: true }],
      [() => Promise.reject(new Error("x")), {}],
      [() => ok, { url: "https://elsewhere.example/" }],
    ];
    for (const [server, call] of outcomes) {
      const { cache } = await warm();
      const { exchange, log } = client(server);
      await withToken(cache, { url: ORDERS, ...call }, exchange).catch(() => {});
      expect(log.filter((line) => line.startsWith("finish"))).toHaveLength(1);
    }
  });

  test("the grant's headers come with each token, and only with one", async () => {
    const grant = Object.assign(fakeGrant(), { headers: ({ value }: AccessToken) => ({ "x-env": value }) });
    const { cache } = await warm({ grant });
    const { exchange, extra } = client(only("fake-2"));
    await withToken(cache, { url: ORDERS }, exchange);
    await withToken(cache, { url: "https://elsewhere.example/" }, exchange);
    expect(extra).toEqual([{ "x-env": "fake-1" }, { "x-env": "fake-2" }, undefined]);
  });

  test("Q10: the request object is handed on as it is, and never written to", async () => {
    const { cache } = await warm();
    const call = Object.freeze({ url: ORDERS });
    const seen: Call[] = [];
    const { exchange } = client(only("fake-2"));
    const spy: ClientSeam<Call, Answer> = {
      ...exchange,
      send: (request, ...rest) => (seen.push(request), exchange.send(request, ...rest)),
    };
    await withToken(cache, call, spy);
    expect(seen.every((request) => request === call)).toBe(true);
  });

  test("Q13: two caches, each for its own origins, do not meet", async () => {
    const [one, two] = [await warm(), await warm({ origins: ["https://two.example"] })];
    const caches: TokenCache[] = [one.cache, two.cache];
    const { exchange } = client(() => no);
    await withToken(caches[1]!, { url: "https://two.example/" }, exchange);
    expect([one.grant.mints, two.grant.mints, policyHalf(one.cache).onTrial, policyHalf(two.cache).onTrial]).toEqual([
      1,
      2,
      false,
      true,
    ]);
  });
});
