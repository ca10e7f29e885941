/** Requests whose token needs a DPoP proof, with a client and a `prove` function made by hand. */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf } from "../core/cache-under-test.ts";
import { client, ok, acceptOnly, ORDERS } from "./hand-made-client.ts";
import type { Proof, Prove } from "../../src/core/types.ts";
import type { ClientSeam } from "../../src/policy/client-seam.ts";
import type { CacheUnderTest } from "../core/cache-under-test.ts";
import type { Answer, Call } from "./hand-made-client.ts";

const nonceWanted: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"' } };
const proofRefused: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="invalid_dpop_proof"' } };
const tokenRefused: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="invalid_token"' } };

/**
 * Creates a `prove` function that numbers its proofs, and makes another one after every answer that asks for a nonce.
 */
function numberedProofs(log: string[] = []): { prove: Prove; log: string[] } {
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

async function warmWith(prove: Prove): Promise<CacheUnderTest> {
  const under = cacheUnderTest({ grant: fakeGrant({ prove }) });
  await under.cache.get();
  return under;
}

describe("a proof for every send", () => {
  test("RFC 9449 section 4.2: a proof is made for the method and the URL without query and fragment, and sent beside the grant's headers", async () => {
    const { prove, log } = numberedProofs();
    const { cache } = cacheUnderTest({ grant: fakeGrant({ prove, headers: () => ({ "x-env": "1" }) }) });
    const { seam, extra } = client(() => ok);
    await withToken(cache, { url: `${ORDERS}?secret=1#part` }, seam);
    await withToken(cache, { url: ORDERS, method: "PATCH" }, seam);
    expect(log).toEqual([`prove GET ${ORDERS} fake-1`, "answered 200", `prove PATCH ${ORDERS} fake-1`, "answered 200"]);
    expect(extra).toEqual([
      { "x-env": "1", DPoP: "proof-1" },
      { "x-env": "1", DPoP: "proof-2" },
    ]);
  });

  test("Q5, RFC 9449 section 4.2: a resend with a new token has a proof for the new token", async () => {
    const { prove, log } = numberedProofs();
    const { cache } = await warmWith(prove);
    const { seam, extra } = client((token) => (token === "fake-2" ? ok : tokenRefused));
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(log.filter((line) => line.startsWith("prove"))).toEqual([
      `prove GET ${ORDERS} fake-1`,
      `prove GET ${ORDERS} fake-2`,
    ]);
    expect(extra).toEqual([{ DPoP: "proof-1" }, { DPoP: "proof-2" }]);
  });

  test("a token that needs no proof is sent synchronously, without one", async () => {
    const { cache } = await warmWith(() => undefined);
    const { seam, log } = client(() => ok);
    const answer = withToken(cache, { url: ORDERS }, seam);
    expect(log).toEqual(["send fake-1"]);
    expect(await answer).toBe(ok);
  });

  test("when a proof cannot be made, the request rejects with that error: nothing is sent, and `finish` is called", async () => {
    const failing: Prove[] = [
      () => Promise.reject(new Error("no key")),
      () => {
        throw new Error("no key");
      },
    ];
    for (const prove of failing) {
      const { cache, grant } = await warmWith(prove);
      const { seam, log } = client(() => ok);
      await expect(withToken(cache, { url: ORDERS }, seam)).rejects.toThrow("no key");
      expect([log, grant.mints]).toEqual([["finish no key"], 1]);
    }
  });

  test("C10: an abort while a proof is made rejects with its reason, at once", async () => {
    const { cache } = await warmWith(() => new Promise<Proof>(() => {}));
    const { seam, log } = client(() => ok);
    const controller = new AbortController();
    const call = rejectionOf(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
    const reason = new Error("gone");
    controller.abort(reason);
    expect(await call).toBe(reason);
    expect(log).toEqual(["finish gone"]);
  });

  test("Q1: a caller's own Authorization is noticed before a proof is made", async () => {
    const { prove, log: proofs } = numberedProofs();
    const { cache, eventsNamed } = await warmWith(prove);
    const { seam, log } = client(() => ok, { isAuthorized: () => true });
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect([log[0], proofs]).toEqual(["send bare", []]);
    expect(eventsNamed("skipped")).toMatchObject([{ reason: "authorization-set" }]);
  });

  test("Q1: a client without isAuthorized whose `send` finds an Authorization gets an error that names isAuthorized", async () => {
    const { cache } = await warmWith(numberedProofs().prove);
    const own: ClientSeam<Call, Answer> = { ...client(() => ok).seam, send: () => undefined };
    await expect(withToken(cache, { url: ORDERS }, own)).rejects.toThrow(/isAuthorized/);
  });

  test("Q2: a request to an origin that is not allowed carries no proof", async () => {
    const { prove, log } = numberedProofs();
    const { cache } = await warmWith(prove);
    const { seam, extra } = client(() => ok);
    await withToken(cache, { url: "https://elsewhere.example/" }, seam);
    expect([log, extra]).toEqual([[], [undefined]]);
  });
});

describe("an answer that asks for another proof", () => {
  test("Q4, Q7, RFC 9449 section 9: the answer is discarded, then the request sent once more with the same token; no mint, no charge", async () => {
    const log: string[] = [];
    const { cache, grant, eventsNamed } = await warmWith(numberedProofs(log).prove);
    const { seam, log: sends } = client((_, send) => (send === 1 ? nonceWanted : ok), {
      discard: ({ status }) => void log.push(`discard ${status}`),
    });
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(log).toEqual([`prove GET ${ORDERS} fake-1`, "answered 401", "discard 401", "prove again", "answered 200"]);
    expect(sends).toEqual(["send fake-1", "send fake-1", "finish 200"]);
    expect([grant.mints, policyHalf(cache).onTrial, eventsNamed("rejected")]).toEqual([1, false, []]);
  });

  test("RFC 9449 section 9: the second such answer goes to the caller untouched; the token is kept, and the trial is not cleared", async () => {
    const { cache, grant } = await warmWith(numberedProofs().prove);
    await withToken(cache, { url: ORDERS }, client(() => tokenRefused).seam);
    expect(policyHalf(cache).onTrial).toBe(true);
    const { seam, log } = client(() => nonceWanted);
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(nonceWanted);
    expect(log).toEqual(["send fake-2", "discard 401", "send fake-2", "finish 401"]);
    expect([grant.mints, policyHalf(cache).onTrial, cache.peek()?.value]).toEqual([2, true, "fake-2"]);
  });

  test("Q5: at most three sends with a token and one for a nonce, whatever the API answers", async () => {
    const { cache } = await warmWith(numberedProofs().prove);
    let answerFirst!: () => void;
    const first = new Promise<void>((resolve) => (answerFirst = resolve));
    const { seam, log } = client(async (_, send) => {
      if (send === 1) await first;
      return send === 3 ? nonceWanted : tokenRefused;
    });
    const answer = withToken(cache, { url: ORDERS }, seam);
    await cache.invalidate("fake-1");
    await cache.get();
    answerFirst();
    expect(await answer).toBe(tokenRefused);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-2", "send fake-3", "send fake-3"]);
  });

  test("RFC 9449 section 9: one resend for a nonce per request, also when its token is renewed in between", async () => {
    const { cache } = await warmWith(numberedProofs().prove);
    const answers = [nonceWanted, tokenRefused, nonceWanted];
    const { seam, log } = client((_, send) => answers[send - 1]!);
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(nonceWanted);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-1", "send fake-2"]);
  });

  test("Q6: with a body that cannot be sent twice, or retry: false, the proof reads the answer, and the caller gets it", async () => {
    for (const call of [
      { url: ORDERS, oneShot: true },
      { url: ORDERS, retry: false },
    ]) {
      const { prove, log: heard } = numberedProofs();
      const { cache, grant } = await warmWith(prove);
      const { seam, log } = client(() => nonceWanted);
      expect(await withToken(cache, call, seam)).toBe(nonceWanted);
      expect([log, heard.at(-1), grant.mints]).toEqual([["send fake-1", "finish 401"], "answered 401", 1]);
      expect(cache.peek()?.value).toBe("fake-1");
    }
  });

  test("Q3: the proof does not read an answer of another origin", async () => {
    const { prove, log } = numberedProofs();
    const { cache } = await warmWith(prove);
    const { seam } = client(() => ({ ...nonceWanted, finalUrl: "https://elsewhere.example/orders" }));
    expect((await withToken(cache, { url: ORDERS }, seam)).status).toBe(401);
    expect(log).toEqual([`prove GET ${ORDERS} fake-1`]);
  });

  test("Q4: an answer inside an error that the client throws counts too, and the second error goes to the caller", async () => {
    const { cache } = await warmWith(numberedProofs().prove);
    const { seam, log } = client(async (_, send) => {
      throw Object.assign(new Error(`answer ${send}`), { answer: nonceWanted });
    });
    const throwing: ClientSeam<Call, Answer> = {
      ...seam,
      answerOf: (error) => (error as { answer?: Answer }).answer,
    };
    await expect(withToken(cache, { url: ORDERS }, throwing)).rejects.toThrow("answer 2");
    expect(log.filter((line) => line.startsWith("send"))).toHaveLength(2);
  });

  test("Q4: after invalid_dpop_proof the token is kept, and the request is not sent again", async () => {
    const { cache, grant } = await warmWith(numberedProofs().prove);
    const { seam, log } = client(() => proofRefused);
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(proofRefused);
    expect([log, grant.mints, cache.peek()?.value]).toEqual([["send fake-1", "finish 401"], 1, "fake-1"]);
  });

  test("Q4: for a token without proofs, use_dpop_nonce goes to the caller, because another token would not help", async () => {
    const { cache, grant } = cacheUnderTest();
    const { seam } = client(() => nonceWanted);
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(nonceWanted);
    expect(grant.mints).toBe(1);
    expect(await withToken(cache, { url: ORDERS }, client(acceptOnly("fake-1")).seam)).toBe(ok);
  });
});
