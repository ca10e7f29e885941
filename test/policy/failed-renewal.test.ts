/** What the caller gets when an answer rejected the token and no other one can be had. */
import { describe, expect, test } from "vitest";
import { createTokenCache, isRemintError, RemintError, type TokenCache } from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import type { ClientSeam } from "../../src/policy/client-seam.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { BOB, sessionUnderTest } from "../core/sessions-under-test.ts";
import { type Answer, type Call, client, ok, ORDERS, unauthorized, warmCache } from "./hand-made-client.ts";

/** The answer with what was read of its body. */
const KEPT: Answer = { status: 401, body: "kept" };
const keeping: Partial<ClientSeam<Call, Answer>> = { discard: async () => KEPT };

/** Caches with a token that the API rejects, and for which there will be no other one: how the session is over. */
const OVER: [string, () => Promise<TokenCache>][] = [
  [
    "nobody is signed in any more: the grant returns null",
    async () => {
      let user: string | null = "alice";
      const grant = (): { access_token: string } | null => (user === null ? null : { access_token: user });
      const cache = createTokenCache({ grant, origins: [ORIGIN] });
      await cache.get();
      user = null;
      return cache;
    },
  ],
  [
    "the refresh token is refused",
    async () => {
      const { cache, grant } = await warmCache();
      grant.fail(new RemintError("ERR_GRANT", "sign in again", { terminal: true }), Infinity);
      return cache;
    },
  ],
];

describe("Q8: no token can be had after a 401", () => {
  test.each(OVER)("Q8: %s: the caller gets the API's own 401, as the client kept it", async (_, over) => {
    const { seam, log } = client(() => unauthorized, keeping);
    expect(await withToken(await over(), { url: ORDERS }, seam)).toBe(KEPT);
    expect(log).toEqual([expect.stringMatching(/^send /), "finish 401"]);
  });

  test.each(OVER)('Q8: %s, and failedRenewal is "throw": the caller gets the error', async (_, over) => {
    const { seam } = client(() => unauthorized, { ...keeping, failedRenewal: "throw" });
    const error = await rejectionOf(withToken(await over(), { url: ORDERS }, seam));
    expect([isRemintError(error), error]).toEqual([true, expect.objectContaining({ terminal: true, status: 401 })]);
  });

  test("Q8: the user signs out while the request waits for a renewal: the caller gets the 401", async () => {
    const { cache, grant } = sessionUnderTest();
    await cache.get();
    const hold = grant.hold();
    const { seam, sent } = client(() => unauthorized, keeping);
    const call = watch(withToken(cache, { url: ORDERS }, seam));
    await settle();
    const ended = cache.signOut();
    await settle();
    expect(call.value).toBe(KEPT);
    hold.release();
    await ended;
    expect(sent).toHaveLength(1);
  });

  test("Q8, C15: another user signs in while the request waits: no 401 of hers, but ERR_SESSION with the status 503", async () => {
    const { cache, grant } = sessionUnderTest();
    await cache.get();
    const hold = grant.hold();
    const call = watch(withToken(cache, { url: ORDERS }, client(() => unauthorized, keeping).seam));
    await settle();
    const next = cache.signIn(BOB);
    await settle();
    expect(call.reason).toMatchObject({ code: "ERR_SESSION", status: 503 });
    hold.release();
    await next;
  });

  test('Q8: the token endpoint is down: the caller gets the error; with "response" the 401', async () => {
    for (const [failedRenewal, expected] of [
      [undefined, "error"],
      ["throw", "error"],
      ["response", "answer"],
    ] as const) {
      const { cache, grant } = await warmCache();
      grant.fail(new Error("down"), Infinity);
      const { seam } = client(() => unauthorized, { ...keeping, failedRenewal });
      const got = await withToken(cache, { url: ORDERS }, seam).then(
        (answer) => (answer === KEPT ? "answer" : answer),
        (error: unknown) => (isRemintError(error) ? "error" : error),
      );
      expect([failedRenewal, got]).toEqual([failedRenewal, expected]);
    }
  });

  test('Q8: without a 401 there is no answer to give: also with "response" the caller gets the error', async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"), Infinity);
    const { seam, sent } = client(() => ok, { failedRenewal: "response" });
    expect(isRemintError(await rejectionOf(withToken(cache, { url: ORDERS }, seam)))).toBe(true);
    expect(sent).toEqual([]);
  });

  test('Q8, Q12: the caller aborts while the renewal is in progress: the reason of the signal, also with "response"', async () => {
    const { cache, grant } = await warmCache();
    const hold = grant.hold();
    const controller = new AbortController();
    const { seam } = client(() => unauthorized, { ...keeping, failedRenewal: "response" });
    const call = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
    await settle();
    const reason = new Error("the browser went away");
    controller.abort(reason);
    await settle();
    expect(call.reason).toBe(reason);
    hold.release();
  });

  test("Q8: a client that keeps nothing: the caller gets the answer itself", async () => {
    const [[, over]] = OVER as [(typeof OVER)[number]];
    const { seam, log } = client(() => unauthorized);
    expect(await withToken(await over(), { url: ORDERS }, seam)).toBe(unauthorized);
    expect(log).toContain("discard 401");
  });

  test("Q8: the 401 came inside an error of the client: the caller gets that very error", async () => {
    const [[, over]] = OVER as [(typeof OVER)[number]];
    const thrown = Object.assign(new Error("Request failed with status code 401"), { response: unauthorized });
    const { seam } = client(() => Promise.reject(thrown), {
      answerOf: (error) => (error as typeof thrown).response,
      failedRenewal: undefined,
    });
    expect(await rejectionOf(withToken(await over(), { url: ORDERS }, seam))).toBe(thrown);
  });

  test("Q8, Q5: the second renewal fails: the caller gets the 401 of the second send", async () => {
    const grant = fakeGrant();
    const { cache } = cacheUnderTest({ grant });
    const first = await cache.get();
    let sends = 0;
    const { seam, sent } = client(
      async () => {
        // Another caller renews before this answer comes, so the token of the second send is older than its rejection.
        if (++sends === 1) {
          await cache.invalidate(first.value);
          await cache.get();
          grant.fail(new RemintError("ERR_GRANT", "sign in again", { terminal: true }), Infinity);
        }
        return { status: 401, body: `of send ${sends}` };
      },
      { discard: (answer) => answer },
    );
    expect(await withToken(cache, { url: ORDERS }, seam)).toEqual({ status: 401, body: "of send 2" });
    expect(sent).toEqual(["fake-1", "fake-2"]);
  });
});
