import { describe, expect, test } from "vitest";
import { withToken } from "../../src/policy/request-policy.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { settle, watch } from "../core/cache-under-test.ts";
import { type Answer, client, ORDERS, ok, no, only, warm } from "./hand-made-client.ts";

const challenge = (value: string): Answer => ({ status: 401, headers: { "www-authenticate": value } });

describe("Q4: what a rejection is", () => {
  test.each([
    'Bearer error="insufficient_scope"',
    'Bearer realm="x", error="insufficient_scope", scope="admin"',
    "bearer ERROR=insufficient_scope",
    'Bearer error="insufficient_user_authentication", acr_values="strong"',
    'Basic realm="x", Bearer error="insufficient_scope"',
  ])("Q4: no renewal for %s", async (value) => {
    const { cache } = await warm();
    const { exchange, log } = client(() => challenge(value));
    expect((await withToken(cache, { url: ORDERS }, exchange)).status).toBe(401);
    expect(log).toEqual(["send fake-1", "finish 401"]);
  });

  test.each([
    "",
    "Bearer",
    'Bearer error="invalid_token"',
    'Basic realm="gateway"',
    'Basic realm="x", error="insufficient_scope"',
    'Bearer error="insufficient_scope", Bearer error="invalid_token"',
    "garbage",
  ])("Q4: everything else renews: %j", async (value) => {
    const { cache } = await warm();
    const { exchange, sent } = client((_, send) => (send === 1 ? challenge(value) : ok));
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(sent).toHaveLength(2);
  });

  test("Q4: isRejected decides, about 401 and the statuses it wants to see, and reads as much of the body as it says", async () => {
    const { cache } = await warm();
    const seen: unknown[] = [];
    const expired: Answer = { status: 500, headers: { "x-why": "session" }, body: "INVALID_SESSION and more" };
    const { exchange, sent } = client((_, send) => (send === 1 ? expired : ok), {
      inspectStatuses: [500],
      isRejected: async ({ status, header, text }) => {
        const body = await text(15);
        seen.push([status, header("X-Why"), body]);
        return body === "INVALID_SESSION";
      },
    });
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(seen).toEqual([[500, "session", "INVALID_SESSION"]]);
    expect(sent).toHaveLength(2);
  });

  test("Q4: a status nobody asked for is not shown to it", async () => {
    const { cache } = await warm();
    let asked = 0;
    const { exchange } = client(() => ({ status: 403 }), { isRejected: () => (asked++, true), inspectStatuses: [500] });
    expect((await withToken(cache, { url: ORDERS }, exchange)).status).toBe(403);
    expect(asked).toBe(0);
  });

  test("Q4: false keeps a 401; undefined leaves the decision to the next: the client's rule, the grant's, the challenge", async () => {
    const verdicts: [boolean | undefined, boolean | undefined, Answer, number][] = [
      [false, true, no, 1],
      [true, false, challenge('Bearer error="insufficient_scope"'), 2],
      [undefined, true, challenge('Bearer error="insufficient_scope"'), 2],
      [undefined, false, no, 1],
      [undefined, undefined, no, 2],
      [undefined, undefined, challenge('Bearer error="insufficient_scope"'), 1],
    ];
    for (const [own, grants, first, sends] of verdicts) {
      const { cache } = await warm({ grant: fakeGrant({ isRejected: () => grants }) });
      const { exchange, sent } = client((_, send) => (send === 1 ? first : ok), { isRejected: async () => own });
      await withToken(cache, { url: ORDERS }, exchange);
      expect(sent).toHaveLength(sends);
    }
  });

  test("Q4: a grant may ask about more statuses, and an undefined verdict then renews nothing", async () => {
    const { cache } = await warm({ grant: fakeGrant({ inspectStatuses: [400], isRejected: () => undefined }) });
    const { exchange, sent } = client(() => ({ status: 400 }));
    expect((await withToken(cache, { url: ORDERS }, exchange)).status).toBe(400);
    expect(sent).toHaveLength(1);
  });

  test("Q4: a rule that throws fails its request, and no other", async () => {
    const { cache } = await warm();
    const broken = client(() => no, {
      isRejected: () => {
        throw new Error("bug in the rule");
      },
    });
    await expect(withToken(cache, { url: ORDERS }, broken.exchange)).rejects.toThrow("bug in the rule");
    expect(await withToken(cache, { url: ORDERS }, client(() => ok).exchange)).toBe(ok);
  });
});

describe("Q6: requests that are not sent again", () => {
  test.each([{ oneShot: true }, { retry: false }])(
    "Q6: %j: the 401 goes through untouched, the token is reported",
    async (kind) => {
      const { cache, told } = await warm();
      const { exchange, log } = client(() => no);
      expect(await withToken(cache, { url: ORDERS, ...kind }, exchange)).toBe(no);
      expect(log).toEqual(["send fake-1", "finish 401"]);
      expect(cache.peek()).toBeUndefined();
      expect(told("rejected")).toHaveLength(1);
      expect((await cache.get()).value).toBe("fake-2");
    },
  );

  test("Q6: through the same guard: a storm of them costs no more than others", async () => {
    const { cache, grant } = await warm();
    for (let call = 0; call < 50; call++) {
      await withToken(cache, { url: ORDERS, oneShot: true }, client(() => no).exchange);
      await settle();
    }
    expect(grant.mints).toBeLessThanOrEqual(4);
  });
});

describe("Q7: the discarded answer", () => {
  test("Q7: it is freed before the mint begins", async () => {
    const { cache, grant } = await warm();
    let free!: () => void;
    const { exchange } = client(only("fake-2"), { discard: () => new Promise<void>((resolve) => (free = resolve)) });
    const answer = withToken(cache, { url: ORDERS }, exchange);
    await settle();
    expect(grant.mints).toBe(1);
    free();
    expect(await answer).toBe(ok);
    expect(grant.mints).toBe(2);
  });

  test("C10: an abort while it is freed rejects at once", async () => {
    const { cache } = await warm();
    const controller = new AbortController();
    const { exchange } = client(() => no, { discard: () => new Promise<void>(() => {}) });
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, exchange));
    await settle();
    controller.abort("gone");
    await settle();
    expect(got).toMatchObject({ state: "rejected", reason: "gone" });
  });

  test("Q7: a renewal always yields a token, and the same value again is sent again", async () => {
    const { cache } = await warm({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const { exchange, log } = client((_, send) => (send === 1 ? no : ok));
    expect(await withToken(cache, { url: ORDERS }, exchange)).toBe(ok);
    expect(log).toEqual(["send same", "discard 401", "send same", "finish 200"]);
  });
});
