import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf } from "../core/cache-under-test.ts";
import { client, ok, only, ORDERS } from "./hand-made-client.ts";
import type { Proof, Prove } from "../../src/core/types.ts";
import type { ClientSeam } from "../../src/policy/request-policy.ts";
import type { CacheUnderTest } from "../core/cache-under-test.ts";
import type { Answer, Call } from "./hand-made-client.ts";

/** Requests whose token wants a proof beside it, with a client and a `prove` made by hand. */

const again: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"' } };
const bad: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="invalid_dpop_proof"' } };
const dead: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="invalid_token"' } };

/** Numbers its proofs; asks for another one after every answer that is `again`. */
function numbered(log: string[] = []): { prove: Prove; log: string[] } {
  let proofs = 0;
  const proof = (what: string): Proof => {
    log.push(what);
    return {
      headers: { DPoP: `proof-${++proofs}` },
      answered: ({ status, header }) => {
        log.push(`answered ${status}`);
        return header("www-authenticate")?.includes("use_dpop_nonce") ? async () => proof("prove again") : undefined;
      },
    };
  };
  return { log, prove: async ({ method, url, token }) => proof(`prove ${method} ${url} ${token?.value}`) };
}

async function warm(prove: Prove): Promise<CacheUnderTest> {
  const under = cacheUnderTest({ grant: fakeGrant({ prove }) });
  await under.cache.get();
  return under;
}

describe("a proof for every send", () => {
  test("T22: it is made for the method and the URL without query, fragment and credentials, and goes out with the headers", async () => {
    const { prove, log } = numbered();
    const { cache } = cacheUnderTest({ grant: fakeGrant({ prove, headers: () => ({ "x-env": "1" }) }) });
    const { exchange, extra } = client(() => ok);
    await withToken(cache, { url: `${ORDERS}?secret=1#part` }, exchange);
    await withToken(cache, { url: ORDERS, method: "PATCH" }, exchange);
    expect(log).toEqual([`prove GET ${ORDERS} fake-1`, "answered 200", `prove PATCH ${ORDERS} fake-1`, "answered 200"]);
    expect(extra).toEqual([
      { "x-env": "1", DPoP: "proof-1" },
      { "x-env": "1", DPoP: "proof-2" },
    ]);
  });

  test("Q5, T22: a resend with another token has a proof for that one", async () => {
    const { prove, log } = numbered();
    const { cache } = await warm(prove);
    const { exchange, extra } = client((token) => (token === "fake-2" ? ok : dead));
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(log.filter((line) => line.startsWith("prove"))).toEqual([
      `prove GET ${ORDERS} fake-1`,
      `prove GET ${ORDERS} fake-2`,
    ]);
    expect(extra).toEqual([{ DPoP: "proof-1" }, { DPoP: "proof-2" }]);
  });

  test("a token that needs none is sent without, at once", async () => {
    const { cache } = await warm(() => undefined);
    const { exchange, log } = client(() => ok);
    const answer = withToken(cache, { url: ORDERS }, exchange);
    expect(log).toEqual(["send fake-1"]);
    expect(await answer).toBe(ok);
  });

  test("a proof that cannot be made is the request's failure; nothing is sent, and the client cleans up", async () => {
    const failing: Prove[] = [
      () => Promise.reject(new Error("no key")),
      () => {
        throw new Error("no key");
      },
    ];
    for (const prove of failing) {
      const { cache, grant } = await warm(prove);
      const { exchange, log } = client(() => ok);
      await expect(withToken(cache, { url: ORDERS }, exchange)).rejects.toThrow("no key");
      expect([log, grant.mints]).toEqual([["finish no key"], 1]);
    }
  });

  test("C10: an abort while a proof is made rejects with its reason, at once", async () => {
    const { cache } = await warm(() => new Promise<Proof>(() => {}));
    const { exchange, log } = client(() => ok);
    const controller = new AbortController();
    const call = rejectionOf(withToken(cache, { url: ORDERS, signal: controller.signal }, exchange));
    const reason = new Error("gone");
    controller.abort(reason);
    expect(await call).toBe(reason);
    expect(log).toEqual(["finish gone"]);
  });

  test("Q1: a caller's own Authorization is noticed before a proof is made", async () => {
    const { prove, log: proofs } = numbered();
    const { cache, told } = await warm(prove);
    const { exchange, log } = client(() => ok, { isAuthorized: () => true });
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect([log[0], proofs]).toEqual(["send bare", []]);
    expect(told("skipped")).toMatchObject([{ reason: "authorization-set" }]);
  });

  test("Q1: a client that can only say so when it sends is told what it lacks", async () => {
    const { cache } = await warm(numbered().prove);
    const own: ClientSeam<Call, Answer> = { ...client(() => ok).exchange, send: () => undefined };
    await expect(withToken(cache, { url: ORDERS }, own)).rejects.toThrow(/isAuthorized/);
  });

  test("Q2: what goes elsewhere carries no proof", async () => {
    const { prove, log } = numbered();
    const { cache } = await warm(prove);
    const { exchange, extra } = client(() => ok);
    await withToken(cache, { url: "https://elsewhere.example/" }, exchange);
    expect([log, extra]).toEqual([[], [undefined]]);
  });
});

describe("an answer that asks for another proof", () => {
  test("Q4, Q7, T25: it is discarded, then the request is sent once more with the same token; no mint, no charge", async () => {
    const log: string[] = [];
    const { cache, grant, told } = await warm(numbered(log).prove);
    const { exchange, log: sends } = client((_, send) => (send === 1 ? again : ok), {
      discard: ({ status }) => void log.push(`discard ${status}`),
    });
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(log).toEqual([`prove GET ${ORDERS} fake-1`, "answered 401", "discard 401", "prove again", "answered 200"]);
    expect(sends).toEqual(["send fake-1", "send fake-1", "finish 200"]);
    expect([grant.mints, policyHalf(cache).onTrial, told("rejected")]).toEqual([1, false, []]);
  });

  test("T24: the second one goes to the caller untouched; the token is kept and no trial is cleared by it", async () => {
    const { cache, grant } = await warm(numbered().prove);
    await withToken(cache, { url: ORDERS }, client(() => dead).exchange);
    expect(policyHalf(cache).onTrial).toBe(true);
    const { exchange, log } = client(() => again);
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(again);
    expect(log).toEqual(["send fake-2", "discard 401", "send fake-2", "finish 401"]);
    expect([grant.mints, policyHalf(cache).onTrial, cache.peek()?.value]).toEqual([2, true, "fake-2"]);
  });

  test("Q5: at most three sends with a token and one for a nonce, whatever the API says", async () => {
    const { cache } = await warm(numbered().prove);
    let answerFirst!: () => void;
    const first = new Promise<void>((resolve) => (answerFirst = resolve));
    const { exchange, log } = client(async (_, send) => {
      if (send === 1) await first;
      return send === 3 ? again : dead;
    });
    const answer = withToken(cache, { url: ORDERS }, exchange);
    await cache.invalidate("fake-1");
    await cache.get();
    answerFirst();
    expect(await answer).toBe(dead);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-2", "send fake-3", "send fake-3"]);
  });

  test("T25: one for a request, also when its token is renewed in between", async () => {
    const { cache } = await warm(numbered().prove);
    const answers = [again, dead, again];
    const { exchange, log } = client((_, send) => answers[send - 1]!);
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(again);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-1", "send fake-2"]);
  });

  test("Q6: a body that cannot be sent twice, or retry: false: the answer is heard, and the caller's", async () => {
    for (const call of [
      { url: ORDERS, oneShot: true },
      { url: ORDERS, retry: false },
    ]) {
      const { prove, log: heard } = numbered();
      const { cache, grant } = await warm(prove);
      const { exchange, log } = client(() => again);
      expect(await withToken(cache, call, exchange)).toBe(again);
      expect([log, heard.at(-1), grant.mints]).toEqual([["send fake-1", "finish 401"], "answered 401", 1]);
      expect(cache.peek()?.value).toBe("fake-1");
    }
  });

  test("Q3: the answer of another origin is not heard", async () => {
    const { prove, log } = numbered();
    const { cache } = await warm(prove);
    const { exchange } = client(() => ({ ...again, finalUrl: "https://elsewhere.example/orders" }));
    expect((await withToken(cache, { url: ORDERS }, exchange)).status).toBe(401);
    expect(log).toEqual([`prove GET ${ORDERS} fake-1`]);
  });

  test("Q4: answers inside what the client throws count too, and are thrown when they are the caller's", async () => {
    const { cache } = await warm(numbered().prove);
    const { exchange, log } = client(async (_, send) => {
      throw Object.assign(new Error(`answer ${send}`), { answer: again });
    });
    const throwing: ClientSeam<Call, Answer> = {
      ...exchange,
      answerOf: (error) => (error as { answer?: Answer }).answer,
    };
    await expect(withToken(cache, { url: ORDERS }, throwing)).rejects.toThrow("answer 2");
    expect(log.filter((line) => line.startsWith("send"))).toHaveLength(2);
  });

  test("Q4: a proof that is wrong keeps the token, and is not sent again", async () => {
    const { cache, grant } = await warm(numbered().prove);
    const { exchange, log } = client(() => bad);
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(bad);
    expect([log, grant.mints, cache.peek()?.value]).toEqual([["send fake-1", "finish 401"], 1, "fake-1"]);
  });

  test("Q4: without proofs such an answer is the caller's too: another token would not help", async () => {
    const { cache, grant } = cacheUnderTest();
    const { exchange } = client(() => again);
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(again);
    expect(grant.mints).toBe(1);
    expect(await withToken(cache, { url: ORDERS }, client(only("fake-1")).exchange)).toBe(ok);
  });
});
