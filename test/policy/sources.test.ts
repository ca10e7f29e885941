/** Where the token of a request comes from: lists, functions, overrides. */
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "../../src/index.ts";
import { checkedOverride, chooseCache } from "../../src/policy/choose-cache.ts";
import { sendWith } from "../../src/policy/request-policy.ts";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { client, ok } from "./hand-made-client.ts";

interface Listed {
  readonly cache: TokenCache;
  readonly grant: FakeGrant;
}
const listed = (...origins: string[]): Listed => {
  const grant = fakeGrant();
  return { cache: createTokenCache({ grant, origins, mintRetries: 0 }), grant };
};
/** A cache whose token says where it may go. */
const fromToken = (...origins: string[]): Listed => {
  const grant = fakeGrant();
  return { cache: createTokenCache({ grant, origins: () => origins, mintRetries: 0 }), grant };
};
const ask = (caches: readonly TokenCache[], url: string) => chooseCache(caches, { url }, []);

describe("Q2: a list of caches", () => {
  test("Q14: a list whose origins are known is judged synchronously, also while no token is there", () => {
    const [a, b] = [listed("https://a.example"), listed("https://b.example")];
    expect(ask([a.cache, b.cache], "https://b.example/x")).toBe(b.cache);
    expect([a.grant.mints, b.grant.mints]).toEqual([0, 0]);
  });

  test("Q14: origins that depend on a token which is there are judged synchronously", async () => {
    const [a, b] = [fromToken("https://a.example"), fromToken("https://b.example")];
    await Promise.all([a.cache.get(), b.cache.get()]);
    expect(ask([a.cache, b.cache], "https://b.example/x")).toBe(b.cache);
  });

  test("Q2: a cache with a list of origins is asked before one whose origins depend on its token, wherever it stands", () => {
    const [dynamic, fixed] = [fromToken("https://b.example"), listed("https://b.example")];
    expect(ask([dynamic.cache, fixed.cache], "https://b.example/x")).toBe(fixed.cache);
    expect(dynamic.grant.mints).toBe(0);
  });

  test.each([["fails"], ["hangs"]])(
    "Q2: the token endpoint of the first cache %s: requests to the API of the second are not concerned",
    async (does) => {
      const [dynamic, fixed] = [fromToken("https://a.example"), listed("https://b.example")];
      if (does === "fails") dynamic.grant.fail(new Error("down"), Infinity);
      else dynamic.grant.hold();
      const { seam, sent } = client(() => ok);
      const request = { url: "https://b.example/x" };
      expect(await sendWith(chooseCache([dynamic.cache, fixed.cache], request, []), request, seam)).toBe(ok);
      expect(sent).toEqual(["fake-1"]);
    },
  );

  test("Q2: of two caches whose origins depend on their tokens, the failing one is not this one", async () => {
    const [down, healthy] = [fromToken("https://a.example"), fromToken("https://b.example")];
    down.grant.fail(new Error("down"), Infinity);
    const { seam, sent } = client(() => ok);
    for (const [url, token] of [
      ["https://b.example/x", "fake-1"],
      ["https://elsewhere.example/x", undefined],
      // Whether this one is meant is not known without a token: it goes without.
      ["https://a.example/x", undefined],
    ] as const) {
      sent.length = 0;
      expect(await sendWith(ask([down.cache, healthy.cache], url), { url }, seam)).toBe(ok);
      expect([url, sent]).toEqual([url, [token]]);
    }
  });

  test("Q2: a request to the token endpoint of one of them does not wait for the token of another", () => {
    const asked: string[] = [];
    const grant = clientCredentialsGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "me",
      clientSecret: "secret",
      fetch: async (url) => (asked.push(url), new Response()),
    });
    const owner = createTokenCache({ grant, origins: () => ["https://a.example"] });
    const other = fromToken("https://b.example");
    expect(ask([other.cache, owner], "https://auth.example/token")).toBe(owner);
    expect([asked, other.grant.mints]).toEqual([[], 0]);
  });

  test("Q12: the caller aborts while a list waits for a token: the call rejects with the signal's reason", async () => {
    const { cache, grant } = fromToken("https://a.example");
    const hold = grant.hold();
    const controller = new AbortController();
    const request = { url: "https://a.example/x", signal: controller.signal };
    const { seam, log } = client(() => ok);
    const call = watch(sendWith(chooseCache([cache], request, []), request, seam));
    await settle();
    controller.abort(new Error("enough"));
    await settle();
    expect(call.reason).toMatchObject({ message: "enough" });
    expect(log).toEqual(["finish enough"]);
    hold.release();
  });

  test("Q2: a URL that no cache allows is reported by the cache whose origins resemble it", async () => {
    const reported: string[] = [];
    const caches = ["https://a.example", "https://b.example:8443"].map((origin) =>
      createTokenCache({
        grant: fakeGrant(),
        origins: [origin],
        onEvent: ({ name }) => void reported.push(`${name} at ${origin}`),
      }),
    );
    const request = { url: "https://b.example/x" };
    await sendWith(chooseCache(caches, request, []), request, client(() => ok).seam);
    expect(reported).toEqual(["skipped at https://b.example:8443"]);
  });
});

describe("Q2: a function", () => {
  test.each([[null], [undefined]])("Q2: %s means that there is no cache, sync and async", async (none) => {
    for (const source of [() => none, async () => none]) {
      const { seam, sent } = client(() => ok);
      const request = { url: "https://a.example/x" };
      expect(await sendWith(chooseCache(source, request, []), request, seam)).toBe(ok);
      expect(sent).toEqual([undefined]);
    }
  });

  test("Q14: what it returns synchronously is used synchronously", () => {
    const { cache } = listed("https://a.example");
    expect(chooseCache(() => cache, { url: "https://a.example/x" }, [])).toBe(cache);
  });
});

describe("Q17: the override of a request", () => {
  const { cache } = listed("https://a.example");
  test.each([
    [undefined, undefined],
    [null, undefined],
    [false, false],
    [cache, { cache }],
    [{}, { cache: undefined, retry: undefined, body: undefined }],
    [
      { cache: null, retry: false },
      { cache: undefined, retry: false, body: undefined },
    ],
  ])("Q17: %o is taken", (override, checked) => {
    expect(checkedOverride(override as never)).toEqual(checked);
  });

  test.each([
    [true, 'The request option "remint" must be false, a token cache or { cache, retry, body }, got a boolean'],
    ["off", /must be false, a token cache or \{ cache, retry, body \}, got a string/],
    [{ retries: 0 }, 'The request option "remint" has no option "retries": did you mean "retry"?'],
    [{ token: cache }, /has no option "token"/],
    [{ cache: {} }, /"remint.cache" must be a token cache/],
    [{ retry: 0 }, '"remint.retry" must be true or false, got a number'],
    [{ retry: "false" }, '"remint.retry" must be true or false, got a string'],
    [{ body: "text" }, '"remint.body" must be a function, got a string'],
  ])("Q17: %o is a TypeError that says what is wrong", async (override, message) => {
    const error = await rejectionOf((async () => checkedOverride(override as never))());
    expect(error).toBeInstanceOf(TypeError);
    expect((error as TypeError).message).toMatch(message);
  });
});
