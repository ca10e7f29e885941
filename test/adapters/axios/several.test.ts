/** Q13: several interceptors of this package on one client send a request once, for the one it belongs to. */
import { Readable } from "node:stream";
import axios, { type AxiosInstance, type AxiosRequestConfig, type InternalAxiosRequestConfig } from "axios";
import { RemintError, type TokenCache, type TokenCacheOptions } from "remint";
import { type AuthInterceptorOptions, type AxiosTokenSource, createAuthInterceptor } from "remint/axios";
import { fakeGrant, startApi } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { failureOf, Stage } from "./stage.ts";

const warnings: string[] = [];

beforeEach(() => {
  warnings.length = 0;
  vi.spyOn(process, "emitWarning").mockImplementation(((text: string) => warnings.push(text)) as never);
});
afterEach(() => void vi.restoreAllMocks());

/** Creates a client on which the sources are registered in this order. */
function clientOf(sources: readonly AxiosTokenSource[], defaults: AxiosRequestConfig = {}): AxiosInstance {
  const client = axios.create(defaults);
  for (const source of sources) client.interceptors.request.use(createAuthInterceptor(source));
  return client;
}

/** Creates a cache for the stage's API whose tokens are called `fake-<number>`. */
function bob(stage: Stage, options: Partial<TokenCacheOptions> = {}, token = "fake-77"): TokenCache {
  return stage.cache({ grant: fakeGrant({ response: { access_token: token } }), ...options });
}

describe("two interceptors for one origin", () => {
  /** The sources of the second user, in every form. */
  const forms: [title: string, source: (cache: TokenCache) => AxiosTokenSource, warns: boolean][] = [
    ["a cache", (cache) => cache, true],
    ["a list", (cache) => [cache], true],
    ["a function", (cache) => () => cache, true],
    ["an async function", (cache) => async () => cache, true],
  ];
  test.each(forms)(
    "Q13: the one that was registered later wins, in every later request too, and one warning says so: %s",
    async (_title, form, warns) => {
      await using stage = await Stage.open();
      const client = clientOf([stage.tokens, form(bob(stage))]);
      for (let call = 0; call < 3; call++) await client.post(stage.url, { a: 1 });
      expect([stage.sends, stage.grant.mints]).toEqual([Array(3).fill("fake-77"), 0]);
      expect(warnings.length).toBe(warns ? 1 : 0);
      expect(warnings[0]).toContain(stage.api.origin);
      expect(stage.events.filter(({ name }) => name === "skipped")).toEqual([]);
    },
  );

  test("Q13: the one that was registered later wins where its origins depend on its token, whether that is there or not", async () => {
    for (const isWarm of [false, true]) {
      await using stage = await Stage.open();
      const dynamic = bob(stage, { origins: () => [stage.api.origin] });
      if (isWarm) await dynamic.get();
      await clientOf([stage.tokens, dynamic]).get(stage.url);
      expect([stage.sends, stage.grant.mints]).toEqual([["fake-77"], 0]);
    }
  });

  test("Q13: a later one whose token is for elsewhere, or whose source fails or has no cache, leaves the request to the earlier", async () => {
    await using stage = await Stage.open();
    const broken = fakeGrant();
    broken.fail(new RemintError("ERR_GRANT", "broken"), Infinity);
    const sources: AxiosTokenSource[] = [
      bob(stage, { origins: () => ["https://elsewhere.example"] }),
      bob(stage, { origins: ["https://elsewhere.example"] }),
      stage.cache({ grant: broken, origins: () => [stage.api.origin] }),
      () => undefined,
      async () => null,
    ];
    for (const source of sources) await clientOf([stage.tokens, source]).get(stage.url);
    expect(stage.sends).toEqual(sources.map(() => "fake-1"));
    expect(warnings).toEqual([]);
  });

  test("Q13: with axios' newer order of interceptors the one that was registered later wins too", async () => {
    await using stage = await Stage.open();
    const transitional = { legacyInterceptorReqResOrdering: false } as object;
    await clientOf([stage.tokens, bob(stage)], { transitional }).get(stage.url);
    expect(stage.sends).toEqual(["fake-77"]);
  });

  test("Q13: of a thousand interceptors, one for each sign-in, the last one is used, with one warning", async () => {
    await using stage = await Stage.open();
    const sources = Array.from({ length: 1000 }, (_, index) => bob(stage, {}, `fake-${index}`));
    const client = clientOf(sources);
    await client.get(stage.url);
    await client.get(stage.url);
    expect([stage.sends, warnings.length]).toEqual([["fake-999", "fake-999"], 1]);
  });

  test("Q13: the options of the interceptor that wins count", async () => {
    await using stage = await Stage.open();
    const client = axios.create();
    const asked: string[] = [];
    for (const [name, cache] of Object.entries({ alice: stage.tokens, bob: bob(stage) })) {
      const options: AuthInterceptorOptions = { isRejected: () => (asked.push(name), false), inspectStatuses: [418] };
      client.interceptors.request.use(createAuthInterceptor(cache, options));
    }
    stage.api.respond({ status: 418 });
    await failureOf(client.get(stage.url));
    expect(asked).toEqual(["bob"]);
  });
});

describe("one cache twice", () => {
  test("Q13: acts once, warns nothing, reports nothing as skipped, and calls a body factory once for each send", async () => {
    await using stage = await Stage.open();
    const client = clientOf([stage.tokens, stage.tokens, [stage.tokens]]);
    await stage.warmAndRevoke();
    let bodies = 0;
    const remint = { body: () => `body ${++bodies}` };
    expect((await client.request({ url: stage.url, method: "post", remint })).status).toBe(200);
    expect([stage.bodies, stage.sends]).toEqual([
      ["body 1", "body 2"],
      ["fake-1", "fake-2"],
    ]);
    stage.api.respondAlways({ status: 401, body: "never" });
    await failureOf(client.get(stage.url));
    expect([stage.sends.length, warnings]).toEqual([4, []]);
    expect(stage.events.filter(({ name }) => name === "skipped")).toEqual([]);
  });
});

describe("several origins", () => {
  const orders = [
    [0, 1],
    [1, 0],
  ];
  test.each(orders)("Q13: each interceptor handles its own (in the order %i, %i), without a warning", async (first) => {
    await using stage = await Stage.open();
    await using other = await startApi({ accepts: (token) => token === "other-token" });
    const others = bob(stage, { origins: [other.origin] }, "other-token");
    const sources: AxiosTokenSource[] = [stage.tokens, others];
    // oxlint-disable-next-line unicorn/no-array-reverse -- the array is our own, and toReversed is newer than what is supported
    const client = clientOf(first === 0 ? sources : sources.reverse());
    await stage.warmAndRevoke();
    expect((await client.get(stage.url)).status).toBe(200);
    expect((await client.get(`${other.origin}/x`)).status).toBe(200);
    expect(stage.sends).toEqual(["fake-1", "fake-2"]);
    expect([other.requests.map(({ token }) => token), warnings]).toEqual([["other-token"], []]);
  });

  test("Q13: a request that belongs to none goes out once, without a token, and is reported once", async () => {
    await using stage = await Stage.open();
    const elsewhere = (): TokenCache => bob(stage, { origins: ["https://elsewhere.example"] });
    await failureOf(clientOf([elsewhere(), () => undefined, elsewhere()]).get(stage.url));
    expect(stage.sends).toEqual([undefined]);
    expect(stage.events).toEqual([{ name: "skipped", reason: "origin-not-allowed", url: stage.url }]);
  });
});

describe("overrides", () => {
  const authorization = { headers: { Authorization: "Bearer fake-5" } };
  test("Q1, Q13: remint: false, another cache and an Authorization of the caller's count for the request as a whole", async () => {
    await using stage = await Stage.open();
    const client = clientOf([stage.tokens, bob(stage)]);
    await failureOf(client.get(stage.url, { remint: false }));
    await client.get(stage.url, { remint: { cache: bob(stage, {}, "fake-88") } });
    await client.get(stage.url, { remint: bob(stage, {}, "fake-88") });
    await client.get(stage.url, authorization);
    expect([stage.sends, stage.grant.mints]).toEqual([[undefined, "fake-88", "fake-88", "fake-5"], 0]);
    expect(stage.events.filter(({ name }) => name === "skipped")).toEqual([
      { name: "skipped", reason: "opted-out", url: stage.url },
      { name: "skipped", reason: "authorization-set", url: stage.url },
    ]);
  });

  test("Q1: a request with an Authorization of its own asks no source and waits for no token", async () => {
    await using stage = await Stage.open();
    stage.grant.hold();
    const asked: unknown[] = [];
    const source = async ({ url }: InternalAxiosRequestConfig): Promise<undefined> => void asked.push(url);
    await clientOf([source, stage.cache({ origins: () => [stage.api.origin] })]).get(stage.url, authorization);
    expect([asked, stage.sends, stage.grant.mints]).toEqual([[], ["fake-5"], 0]);
  });
});

test("Q6, Q13: a body stream that fails while the interceptors are asked ends the call", async () => {
  await using stage = await Stage.open();
  const hold = stage.grant.hold();
  const client = clientOf([stage.tokens, stage.cache({ origins: () => ["https://elsewhere.example"] })]);
  const data = new Readable({ read() {} });
  const failure = failureOf(client.post(stage.url, data));
  await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 20_000 });
  data.destroy(new Error("gone"));
  expect([axios.isAxiosError(await failure), (await failure) as Error]).toMatchObject([true, { message: "gone" }]);
  hold.release();
  expect(stage.sends).toEqual([]);
});

test("Q12, Q13: an abort while the interceptors are asked ends the call with axios' own error", async () => {
  await using stage = await Stage.open();
  const hold = stage.grant.hold();
  const controller = new AbortController();
  const client = clientOf([stage.tokens, stage.cache({ origins: () => ["https://elsewhere.example"] })]);
  const failure = failureOf(client.get(stage.url, { signal: controller.signal }));
  await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 20_000 });
  controller.abort();
  expect([axios.isCancel(await failure), stage.sends]).toEqual([true, []]);
  hold.release();
});
