import { describe, expect, test } from "vitest";
import { withToken } from "../../src/policy/request-policy.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { settle, watch } from "../core/cache-under-test.ts";
import { type Answer, client, ORDERS, ok, unauthorized, acceptOnly, warmCache } from "./hand-made-client.ts";

const challenge = (value: string): Answer => ({ status: 401, headers: { "www-authenticate": value } });

describe("Q4: which answers are rejections", () => {
  test.each([
    'Bearer error="insufficient_scope"',
    'Bearer realm="x", error="insufficient_scope", scope="admin"',
    "bearer ERROR=insufficient_scope",
    'Bearer error="insufficient_user_authentication", acr_values="strong"',
    'Basic realm="x", Bearer error="insufficient_scope"',
  ])("Q4: no renewal for %s", async (value) => {
    const { cache } = await warmCache();
    const { seam, log } = client(() => challenge(value));
    expect((await withToken(cache, { url: ORDERS }, seam)).status).toBe(401);
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
  ])("Q4: renewal for %j", async (value) => {
    const { cache } = await warmCache();
    const { seam, sent } = client((_, send) => (send === 1 ? challenge(value) : ok));
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(sent).toHaveLength(2);
  });

  test("Q4: isRejected decides about the statuses in inspectStatuses, and reads as much of the body as it asks for", async () => {
    const { cache } = await warmCache();
    const seen: unknown[] = [];
    const expired: Answer = { status: 500, headers: { "x-why": "session" }, body: "INVALID_SESSION and more" };
    const { seam, sent } = client((_, send) => (send === 1 ? expired : ok), {
      inspectStatuses: [500],
      isRejected: async ({ status, header, text }) => {
        const body = await text(15);
        seen.push([status, header("X-Why"), body]);
        return body === "INVALID_SESSION";
      },
    });
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(seen).toEqual([[500, "session", "INVALID_SESSION"]]);
    expect(sent).toHaveLength(2);
  });

  test("Q4: the client is told with every send with a token for which statuses the grant judges an answer", async () => {
    const judged: unknown[] = [];
    const { cache } = await warmCache({ grant: fakeGrant({ inspectStatuses: [400], isRejected: () => undefined }) });
    const { seam } = client(() => unauthorized);
    const send = seam.send.bind(seam);
    const told: typeof seam = {
      ...seam,
      send: (call, headers, how, statuses) => (
        judged.push([headers !== undefined, how, statuses]),
        send(call, headers)
      ),
    };
    await withToken(cache, { url: ORDERS }, told);
    await withToken(cache, { url: "https://elsewhere.example/x" }, told);
    expect(judged).toEqual([
      [true, "cached", [400]],
      [true, "renewed", [400]],
      [false, undefined, undefined],
    ]);
  });

  test("Q4: isRejected is not called for a status that is not in inspectStatuses", async () => {
    const { cache } = await warmCache();
    let asked = 0;
    const { seam } = client(() => ({ status: 403 }), { isRejected: () => (asked++, true), inspectStatuses: [500] });
    expect((await withToken(cache, { url: ORDERS }, seam)).status).toBe(403);
    expect(asked).toBe(0);
  });

  test("Q4: the client's rule decides, or if it says undefined the grant's, or if that says undefined the challenge", async () => {
    const verdicts: [boolean | undefined, boolean | undefined, Answer, number][] = [
      [false, true, unauthorized, 1],
      [true, false, challenge('Bearer error="insufficient_scope"'), 2],
      [undefined, true, challenge('Bearer error="insufficient_scope"'), 2],
      [undefined, false, unauthorized, 1],
      [undefined, undefined, unauthorized, 2],
      [undefined, undefined, challenge('Bearer error="insufficient_scope"'), 1],
    ];
    for (const [own, grants, first, sends] of verdicts) {
      const { cache } = await warmCache({ grant: fakeGrant({ isRejected: () => grants }) });
      const { seam, sent } = client((_, send) => (send === 1 ? first : ok), { isRejected: async () => own });
      await withToken(cache, { url: ORDERS }, seam);
      expect(sent).toHaveLength(sends);
    }
  });

  test("Q4: a grant may list more statuses, and undefined for one of them renews nothing", async () => {
    const { cache } = await warmCache({ grant: fakeGrant({ inspectStatuses: [400], isRejected: () => undefined }) });
    const { seam, sent } = client(() => ({ status: 400 }));
    expect((await withToken(cache, { url: ORDERS }, seam)).status).toBe(400);
    expect(sent).toHaveLength(1);
  });

  test("Q4: an isRejected that throws rejects its own request, and no other", async () => {
    const { cache } = await warmCache();
    const broken = client(() => unauthorized, {
      isRejected: () => {
        throw new Error("bug in the rule");
      },
    });
    await expect(withToken(cache, { url: ORDERS }, broken.seam)).rejects.toThrow("bug in the rule");
    expect(await withToken(cache, { url: ORDERS }, client(() => ok).seam)).toBe(ok);
  });
});

describe("Q6: requests that are not sent again", () => {
  test.each([{ oneShot: true }, { retry: false }])(
    "Q6: with %j the 401 goes to the caller untouched, and the token is reported as rejected",
    async (kind) => {
      const { cache, eventsNamed } = await warmCache();
      const { seam, log } = client(() => unauthorized);
      expect(await withToken(cache, { url: ORDERS, ...kind }, seam)).toBe(unauthorized);
      expect(log).toEqual(["send fake-1", "finish 401"]);
      expect(cache.peek()).toBeUndefined();
      expect(eventsNamed("rejected")).toHaveLength(1);
      expect((await cache.get()).value).toBe("fake-2");
    },
  );

  test("Q6: the storm guard limits them too: 50 such requests cost at most four mints", async () => {
    const { cache, grant } = await warmCache();
    for (let call = 0; call < 50; call++) {
      await withToken(cache, { url: ORDERS, oneShot: true }, client(() => unauthorized).seam);
      await settle();
    }
    expect(grant.mints).toBeLessThanOrEqual(4);
  });
});

describe("Q7: the discarded answer", () => {
  test("Q7: it is discarded before the mint begins", async () => {
    const { cache, grant } = await warmCache();
    let free!: () => void;
    const { seam } = client(acceptOnly("fake-2"), { discard: () => new Promise<void>((resolve) => (free = resolve)) });
    const answer = withToken(cache, { url: ORDERS }, seam);
    await settle();
    expect(grant.mints).toBe(1);
    free();
    expect(await answer).toBe(ok);
    expect(grant.mints).toBe(2);
  });

  test("C10: an abort while it is being discarded rejects at once", async () => {
    const { cache } = await warmCache();
    const controller = new AbortController();
    const { seam } = client(() => unauthorized, { discard: () => new Promise<void>(() => {}) });
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
    await settle();
    controller.abort("gone");
    await settle();
    expect(got).toMatchObject({ state: "rejected", reason: "gone" });
  });

  test("Q7: when the renewal yields the same value, the request is sent again with it", async () => {
    const { cache } = await warmCache({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const { seam, log } = client((_, send) => (send === 1 ? unauthorized : ok));
    expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
    expect(log).toEqual(["send same", "discard 401", "send same", "finish 200"]);
  });
});
