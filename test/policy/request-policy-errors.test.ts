import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { RemintError, type AccessToken, type TokenCache } from "../../src/index.ts";
import { sendBare, withToken } from "../../src/policy/request-policy.ts";
import type { ClientSeam } from "../../src/policy/client-seam.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import {
  type Call,
  type Answer,
  type Client,
  client,
  ORDERS,
  ok,
  unauthorized,
  acceptOnly,
  warmCache,
  type Server,
} from "./hand-made-client.ts";

const mine = new Error("mine");
const throwMine = (): never => {
  throw mine;
};

describe("Q8: a mint that fails", () => {
  test("C9, Q8: after a 401 each caller gets an error of their own, with what the grant threw as cause and the URL without its query", async () => {
    const { cache, grant } = await warmCache();
    const down = new Error("down");
    grant.fail(down, Infinity);
    const calls = ["?a=s3cret", "?b=s3cret"].map((query) =>
      rejectionOf(withToken(cache, { url: ORDERS + query }, client(() => unauthorized).seam)),
    );
    const [first, second] = (await Promise.all(calls)) as [RemintError, RemintError];
    expect(first).toMatchObject({ code: "ERR_GRANT", rejected: { status: 401, url: ORDERS } });
    expect(first).not.toBe(second);
    expect([first.cause, second.cause]).toEqual([down, down]);
    expect(first.message + String(first.stack) + JSON.stringify(first)).not.toContain("s3cret");
    expect(first.message).not.toContain(ORDERS);
    first.status = 500;
    expect([second.status, Object.isFrozen(second), Object.keys(second)]).toEqual([
      503,
      false,
      ["code", "retryable", "terminal"],
    ]);
  });

  test("C9, Q8: without a 401 each caller gets an error of their own; nothing is sent, and `finish` is called", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"), Infinity);
    const { seam, log } = client(() => ok);
    const call = (): Promise<unknown> => rejectionOf(withToken(cache, { url: ORDERS }, seam));
    const [error, other] = (await Promise.all([call(), call()])) as [RemintError, RemintError];
    const later = await call();
    expect(error).toMatchObject({ code: "ERR_GRANT" });
    expect([new Set([error, other, later]).size, "rejected" in error]).toEqual([3, false]);
    expect(log).toEqual(Array(3).fill(`finish ${error.message}`));
  });

  test("Q17: errorFor replaces an error of the policy's own, before `finish`: cold, at a renewal, and for origins that a renewed token lacks", async () => {
    const asked: string[] = [];
    const errorFor = (call: Call, error: RemintError): Error => {
      asked.push(`${call.url} ${error.code}`);
      return Object.assign(new Error("of the client's class"), { ours: error });
    };
    const cold = cacheUnderTest();
    cold.grant.fail(new Error("down"), Infinity);
    const renewing = await warmCache();
    renewing.grant.fail(new Error("down"), Infinity);
    const grant = fakeGrant();
    for (const region of ["eu", "us"])
      grant.respond({ access_token: region, instance_url: `https://${region}.example` });
    const moving = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    for (const [cache, url] of [
      [cold.cache, ORDERS],
      [renewing.cache, ORDERS],
      [moving.cache, "https://eu.example/x"],
    ] as const) {
      const { seam, log } = client(() => unauthorized, { errorFor });
      expect(await rejectionOf(withToken(cache, { url }, seam))).toMatchObject({ message: "of the client's class" });
      expect(log.at(-1)).toBe("finish of the client's class");
    }
    expect(asked).toEqual([`${ORDERS} ERR_GRANT`, `${ORDERS} ERR_GRANT`, "https://eu.example/x ERR_ORIGIN"]);
  });

  test("Q17: errorFor is asked for an error of ours from beneath the client, or from a function of the user's", async () => {
    const asked: RemintError[] = [];
    const errorFor = (_: Call, error: RemintError): Error => (asked.push(error), mine);
    const ours = new RemintError("ERR_GRANT", "of another cache");
    const fail = (): never => {
      throw ours;
    };
    const { cache } = await warmCache();
    const { cache: broken } = await warmCache({ grant: fakeGrant({ headers: fail }) });
    const { cache: unproved } = await warmCache({ grant: fakeGrant({ prove: () => Promise.reject(ours) }) });
    const calls = [
      withToken(cache, { url: ORDERS }, client(() => Promise.reject(ours), { errorFor }).seam),
      withToken(cache, { url: "https://elsewhere.example/" }, client(() => Promise.reject(ours), { errorFor }).seam),
      withToken(broken, { url: ORDERS }, client(() => ok, { errorFor }).seam),
      withToken(unproved, { url: ORDERS }, client(() => ok, { errorFor }).seam),
      withToken(cache, { url: ORDERS }, client(() => unauthorized, { errorFor, isRejected: fail }).seam),
    ];
    for (const call of calls) expect(await rejectionOf(call)).toBe(mine);
    expect(asked).toEqual(calls.map(() => ours));
  });

  test("Q17: errorFor is not asked for an answer, for an abort, or for an error that is not ours", async () => {
    let asked = 0;
    const errorFor = (_: Call, error: RemintError): Error => (asked++, error);
    const { cache } = await warmCache();
    const reset = new Error("reset");
    const failing = client(() => Promise.reject(reset), { errorFor });
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, failing.seam))).toBe(reset);
    expect(await withToken(cache, { url: ORDERS }, client(() => ok, { errorFor }).seam)).toBe(ok);
    const cold = cacheUnderTest();
    const aborted = { url: ORDERS, signal: AbortSignal.abort("gone") };
    expect(await rejectionOf(withToken(cold.cache, aborted, client(() => ok, { errorFor }).seam))).toBe("gone");
    const broken = await warmCache({ grant: fakeGrant({ headers: throwMine }) });
    expect(await rejectionOf(withToken(broken.cache, { url: ORDERS }, client(() => ok, { errorFor }).seam))).toBe(mine);
    expect(asked).toBe(0);
  });

  test("Q17: an errorFor that throws does not keep `finish` from being called", async () => {
    for (const under of [cacheUnderTest(), await warmCache()]) {
      under.grant.fail(new Error("down"), Infinity);
      const { seam, log } = client(() => unauthorized, { errorFor: throwMine });
      expect(await rejectionOf(withToken(under.cache, { url: ORDERS }, seam))).toBe(mine);
      expect(log.filter((line) => line.startsWith("finish"))).toEqual([
        "finish no token is available: the grant failed",
      ]);
    }
  });

  test("C10: an abort is not wrapped", async () => {
    const { cache, grant } = await warmCache();
    const controller = new AbortController();
    const { seam } = client(() => unauthorized);
    grant.hold();
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
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
    const { seam, sent } = client(() => ok);
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
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

  test("Q5: a thrown 401 is judged like a returned one, and the caller gets the resend's answer", async () => {
    const { cache } = await warmCache();
    const { seam, sent } = throwing(acceptOnly("fake-2"));
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(sent).toHaveLength(2);
  });

  test("Q5: the resend's own error goes to the caller, as it was thrown", async () => {
    const { cache } = await warmCache();
    const { seam, log } = throwing(() => unauthorized);
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, seam))).toBeInstanceOf(HttpError);
    expect(log.at(-1)).toBe("finish status 401");
  });

  test("C8: a thrown 404 is an acceptance", async () => {
    const { cache } = await warmCache();
    expect(policyHalf(cache).onTrial).toBe(true);
    await rejectionOf(withToken(cache, { url: ORDERS }, throwing(() => ({ status: 404 })).seam));
    expect(policyHalf(cache).onTrial).toBe(false);
    // Also as the answer to a renewed token.
    const renewing = throwing((_, send) => (send === 1 ? unauthorized : { status: 404 }));
    await rejectionOf(withToken(cache, { url: ORDERS }, renewing.seam));
    expect([renewing.sent.length, policyHalf(cache).onTrial]).toEqual([2, false]);
    // The token that was rejected proves nothing.
    await rejectionOf(withToken(cache, { url: ORDERS }, throwing(() => unauthorized).seam));
    await rejectionOf(withToken(cache, { url: ORDERS }, throwing(() => ({ status: 404 })).seam));
    expect(policyHalf(cache).onTrial).toBe(true);
  });

  test("Q5: an error without an answer, of the first send or the resend, goes to the caller", async () => {
    const { cache } = await warmCache();
    const reset = new Error("connection reset");
    const first = client(() => Promise.reject(reset));
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, first.seam))).toBe(reset);
    const second = client((_, send) => (send === 1 ? unauthorized : Promise.reject(reset)));
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, second.seam))).toBe(reset);
    expect(second.log.at(-1)).toBe("finish connection reset");
  });

  test("Q5: a `send` that throws synchronously rejects the call", async () => {
    const { cache } = await warmCache();
    const { seam } = client(() => ok, {
      send: () => {
        throw new TypeError("bad URL");
      },
    });
    await expect(withToken(cache, { url: ORDERS }, seam)).rejects.toThrow("bad URL");
    await expect(sendBare({ url: ORDERS }, seam)).rejects.toThrow("bad URL");
  });
});

describe("what the policy calls of a client", () => {
  test("`finish` is called once, whatever the outcome", async () => {
    const outcomes: [Server, Partial<Call>][] = [
      [() => ok, {}],
      [() => unauthorized, {}],
      [acceptOnly("fake-2"), {}],
      [() => unauthorized, { oneShot: true }],
      [() => Promise.reject(new Error("x")), {}],
      [() => ok, { url: "https://elsewhere.example/" }],
    ];
    for (const [server, call] of outcomes) {
      const { cache } = await warmCache();
      const { seam, log } = client(server);
      await withToken(cache, { url: ORDERS, ...call }, seam).catch(() => {});
      expect(log.filter((line) => line.startsWith("finish"))).toHaveLength(1);
    }
  });

  test("the grant's headers are sent with every token, and only with a token", async () => {
    const grant = Object.assign(fakeGrant(), { headers: ({ value }: AccessToken) => ({ "x-env": value }) });
    const { cache } = await warmCache({ grant });
    const { seam, extra } = client(acceptOnly("fake-2"));
    await withToken(cache, { url: ORDERS }, seam);
    await withToken(cache, { url: "https://elsewhere.example/" }, seam);
    expect(extra).toEqual([{ "x-env": "fake-1" }, { "x-env": "fake-2" }, undefined]);
  });

  test("Q10: `send` gets the caller's request object itself, which is never written to", async () => {
    const { cache } = await warmCache();
    const call = Object.freeze({ url: ORDERS });
    const seen: Call[] = [];
    const { seam } = client(acceptOnly("fake-2"));
    const spy: ClientSeam<Call, Answer> = {
      ...seam,
      send: (request, ...rest) => (seen.push(request), seam.send(request, ...rest)),
    };
    await withToken(cache, call, spy);
    expect(seen.every((request) => request === call)).toBe(true);
  });

  test("Q13: a request with one cache does not affect another cache", async () => {
    const [one, two] = [await warmCache(), await warmCache({ origins: ["https://two.example"] })];
    const caches: TokenCache[] = [one.cache, two.cache];
    await withToken(caches[0]!, { url: ORDERS }, client(() => ok).seam);
    await withToken(caches[1]!, { url: "https://two.example/" }, client(() => ok).seam);
    const { seam } = client(() => unauthorized);
    await withToken(caches[1]!, { url: "https://two.example/" }, seam);
    expect([one.grant.mints, two.grant.mints, policyHalf(one.cache).onTrial, policyHalf(two.cache).onTrial]).toEqual([
      1,
      2,
      false,
      true,
    ]);
  });
});
