/** All supported versions of ofetch: the installed one, and those given with the `ofetch` option. */
import { ofetch as ofetch140 } from "ofetch-1.4.0";
import { ofetch as ofetch2 } from "ofetch-2";
import { type $Fetch, type FetchContext, type FetchHook, ofetch as installed } from "ofetch";
import { clientCredentialsGrant, isRemintError, type RemintError, TokenEndpointError } from "remint";
import { type AuthOfetchOptions, createAuthOfetch } from "remint/ofetch";
import { fakeGrant, startApi, startAuthServer } from "remint/testing";
import { describe, expect, test, vi } from "vitest";
import { failureOf, leakIn, Stage } from "../axios/stage.ts";

const given = (ofetch: unknown): AuthOfetchOptions => ({ ofetch: ofetch as $Fetch });

/** A hook that notes its name, and whether it got an error of ours. */
function hookNamed(name: string, ran: string[]): FetchHook<FetchContext & { error: Error }> {
  return ({ error }) => void ran.push(`${name} ${isRemintError(error)}`);
}

function setOwnAuthorization({ options }: { options: { headers?: HeadersInit } }): void {
  options.headers = { ...Object.fromEntries(new Headers(options.headers)), authorization: "Bearer fake-77" };
}

function streamOfAb(): ReadableStream {
  return new Blob(["a", "b"]).stream();
}

describe.each([
  ["1.4.0, given", given(ofetch140)],
  ["1.5.1, given", given(installed)],
  ["1.5.1, installed", {}],
  ["2.0.0-alpha.3, given", given(ofetch2)],
])("ofetch %s", (_name, options) => {
  const open = async (defaults: object = {}) => {
    const stage = await Stage.open();
    return { stage, api: createAuthOfetch(stage.tokens, { baseURL: stage.api.origin, ...defaults }, options) };
  };

  test("Q5: the function, raw, create and a nested create attach the token, renew it and send again once", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    const nested = api.create({ headers: { "x-one": "1" } }).create({ headers: { "x-two": "2" } });
    const calls = [
      () => api("/orders"),
      async () => (await api.raw("/orders"))["_data"] as unknown,
      () => api.create({})("/orders"),
      () => nested("/orders"),
    ];
    for (const call of calls) {
      await stage.warmAndRevoke();
      expect(await call()).toEqual({ ok: true, path: "/orders" });
    }
    expect(stage.sends).toEqual(["fake-1", "fake-2", "fake-2", "fake-3", "fake-3", "fake-4", "fake-4", "fake-5"]);
  });

  test("Q2: `.native` gets the token too, and a URL of another origin gets none in any form of calling", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    await using foreign = await startApi({ accepts: () => true });
    expect((await api.native(stage.url)).status).toBe(200);
    // Without a base URL, because ofetch 2 joins absolute URLs to it too.
    await failureOf(createAuthOfetch(stage.tokens, {}, options)(`${foreign.origin}/x`));
    await failureOf(api.create({ baseURL: foreign.origin })("/x"));
    expect((await api.native(foreign.origin)).status).toBe(401);
    expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined, undefined]);
    expect(stage.sends).toEqual(["fake-1"]);
  });

  test("Q9: hooks run once, with and without a renewal, and get one answer", async () => {
    const ran: string[] = [];
    const { stage, api } = await open({
      onRequest: () => void ran.push("onRequest"),
      onRequestError: () => void ran.push("onRequestError"),
      onResponse: ({ response }: { response: Response }) => void ran.push(`onResponse ${response.status}`),
      onResponseError: () => void ran.push("onResponseError"),
    });
    await using _ = stage;
    await stage.warmAndRevoke();
    await api("/orders", { method: "POST", body: { a: 1 } });
    expect(ran).toEqual(["onRequest", "onResponse 200"]);
    expect(stage.bodies).toEqual(['{"a":1}', '{"a":1}']);
    stage.api.respondAlways({ status: 401, body: "never" });
    await failureOf(api("/orders"));
    expect(ran.slice(2)).toEqual(["onRequest", "onResponse 401", "onResponseError"]);
    expect(stage.sends.length).toBe(4);
  });

  test("Q1: an Authorization that a hook sets goes out unchanged, and a hook of one call does not turn ours off", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    await api("/orders", { onRequest: setOwnAuthorization as never });
    await api("/orders", { onRequest: () => {} });
    expect(stage.sends).toEqual(["fake-77", "fake-1"]);
  });

  test("Q9: a renewal does not multiply ofetch's own retries", async () => {
    const { stage, api } = await open({ retry: 2, retryDelay: 1 });
    await using _ = stage;
    await stage.warmAndRevoke();
    stage.api.respond({ headers: {} }, { status: 503 }, { status: 503 }, { headers: {} });
    expect(await api("/orders")).toMatchObject({ ok: true });
    expect(stage.sends).toEqual(["fake-1", "fake-2", "fake-2", "fake-2"]);
    expect(stage.grant.mints).toBe(2);
  });

  test("C8: with 401 in retryStatusCodes the storm guard limits the mints", async () => {
    const { stage, api } = await open({ retry: 5, retryDelay: 1, retryStatusCodes: [401] });
    await using _ = stage;
    stage.api.respondAlways({ status: 401, body: "never" });
    const error = await failureOf(api("/orders"));
    expect(error).toMatchObject({ status: 401 });
    // Six attempts. The first is renewed; its final 401 closes the path, and the clock stands still.
    expect([stage.sends.length, stage.grant.mints]).toEqual([7, 2]);
  });

  test("Q8, Q17: after a 401 a failed mint is an error of ours, not inside a FetchError, and prints no token", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    await stage.warmAndRevoke();
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    const error = (await failureOf(api("/orders", { method: "POST", query: { secret: "1" } }))) as RemintError;
    expect(error).toMatchObject({ name: "RemintError", code: "ERR_GRANT" });
    expect([isRemintError(error), error.status, error.statusCode]).toEqual([true, 503, 503]);
    expect(error.rejected).toEqual({ status: 401, url: stage.url });
    expect(leakIn(error)).toBeUndefined();
  });

  test("C9, Q17: ofetch does not repeat a request for which there is no token, whatever its own `retry` says", async () => {
    for (const answer of [{ status: 400, body: { error: "invalid_client" } }, { status: 503 }]) {
      await using auth = await startAuthServer();
      await using stage = await Stage.open();
      auth.respondAlways(answer);
      const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "c", clientSecret: "s" });
      const seen: unknown[] = [];
      const defaults = { baseURL: stage.api.origin, retry: 3, retryDelay: 1 };
      const hooks = { onRequestError: ({ error }: { error: unknown }) => void seen.push(error) };
      const cache = stage.cache({ grant, mintRetries: 0 });
      const error = await failureOf(createAuthOfetch(cache, { ...defaults, ...hooks }, options)("/orders"));
      expect([isRemintError(error), error instanceof TokenEndpointError, seen]).toEqual([true, true, [error]]);
      expect([auth.requests.length, stage.sends]).toEqual([1, []]);
    }
  });

  test("Q17: the user's own onRequestError runs first: a function or an array, in the defaults, of one call, and through create", async () => {
    const ran: string[] = [];
    const { stage, api } = await open({ onRequestError: hookNamed("default", ran) });
    await using _ = stage;
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    const two = [hookNamed("one", ran), hookNamed("two", ran)];
    const base = createAuthOfetch(stage.tokens, { baseURL: stage.api.origin, onRequestError: two }, options);
    const bare = createAuthOfetch(stage.tokens, { baseURL: stage.api.origin }, options);
    const calls: [call: () => Promise<unknown>, hooks: string[]][] = [
      [() => api("/orders"), ["default"]],
      [() => api.raw("/orders"), ["default"]],
      [() => api("/orders", { onRequestError: hookNamed("own", ran) }), ["own"]],
      [() => api("/orders", { onRequestError: two }), ["one", "two"]],
      [() => api("/orders", { onRequestError: null as never }), []],
      [() => base("/orders"), ["one", "two"]],
      [() => base.raw("/orders", { onRequestError: [] as never }), []],
      [() => base.create({ retry: 1 })("/orders"), ["one", "two"]],
      [() => base.create({ onRequestError: hookNamed("created", ran) })("/orders"), ["created"]],
      [() => bare("/orders"), []],
      [
        () =>
          bare
            .create({})
            .create({ headers: { "x-one": "1" } })
            .raw("/orders"),
        [],
      ],
      [
        () =>
          bare
            .create({})
            .create({ onRequestError: hookNamed("nested", ran) })
            .raw("/orders"),
        ["nested"],
      ],
    ];
    for (const [call, hooks] of calls) {
      ran.length = 0;
      const error = await failureOf(call());
      expect([isRemintError(error), (error as Error).name, ran]).toEqual([
        true,
        "RemintError",
        hooks.map((name) => `${name} true`),
      ]);
    }
    expect([stage.sends, two]).toEqual([[], [expect.any(Function), expect.any(Function)]]);
  });

  test("Q17: an error that the user's onRequestError throws wins over ours, and other errors stay FetchErrors", async () => {
    const { stage, api } = await open({ retry: 2, retryDelay: 1 });
    await using _ = stage;
    stage.api.respond({ reset: true }, { reset: true });
    expect(await api("/orders")).toMatchObject({ ok: true });
    stage.api.respondAlways({ reset: true });
    expect(await failureOf(api("/orders"))).toMatchObject({ name: "FetchError" });
    const own = new Error("mine");
    const onRequestError = (): never => {
      throw own;
    };
    expect(await failureOf(api("/orders", { onRequestError }))).toBe(own);
    await stage.tokens.invalidate(String(stage.grant.last));
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    expect(await failureOf(api("/orders", { onRequestError }))).toBe(own);
    expect(await failureOf(api("/orders"))).toMatchObject({ name: "RemintError" });
  });

  test("Q10, Q17: `.native` rejects with our error and leaves the caller's init as it is", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    const init = { headers: new Headers({ "x-mine": "1" }), retry: 1 };
    const error = await failureOf(api.native(stage.url, init));
    expect([isRemintError(error), Reflect.ownKeys(init)]).toEqual([true, ["headers", "retry"]]);
  });

  test("Q11: a 401 that reaches the caller prints no token", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    stage.api.respondAlways({ status: 401, body: "never" });
    const error = await failureOf(api("/orders", { headers: { "x-mine": "1" } }));
    expect(error).toMatchObject({ status: 401, data: "never" });
    expect(leakIn(error)).toBeUndefined();
  });

  test("`remint` in every form, in a request, in the defaults and through create", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    const its = stage.cache({ grant: fakeGrant({ response: { access_token: "fake-99" } }) });
    await failureOf(api("/orders", { remint: false }));
    await api("/orders", { remint: its });
    await api("/orders", { remint: { cache: its } });
    const theirs = api.create({ remint: its });
    await theirs("/orders");
    await failureOf(theirs("/orders", { remint: false }));
    expect(stage.sends).toEqual([undefined, "fake-99", "fake-99", "fake-99", undefined]);
    expect(stage.grant.mints).toBe(0);
  });

  test("Q6: with `retry: false` the 401 goes to the caller; a stream from a body factory is sent again whole", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    await stage.warmAndRevoke();
    expect(await failureOf(api("/orders", { remint: { retry: false } }))).toMatchObject({ status: 401 });
    await stage.warmAndRevoke();
    await api("/orders", { method: "POST", remint: { body: streamOfAb } });
    expect(stage.sends).toEqual(["fake-1", "fake-2", "fake-3"]);
    expect(stage.bodies).toEqual(["", "ab", "ab"]);
  });

  test("Q12: timeout and signal end the wait for a mint at once, before anything is sent", async () => {
    const { stage, api } = await open();
    await using _ = stage;
    const hold = stage.grant.hold();
    expect(await failureOf(api("/orders", { timeout: 40, retry: 0 }))).toMatchObject({
      cause: { name: "TimeoutError" },
    });
    const controller = new AbortController();
    const failure = failureOf(api("/orders", { signal: controller.signal }));
    await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 20_000 });
    controller.abort();
    expect(await failure).toMatchObject({ cause: { name: "AbortError" } });
    hold.release();
    await stage.tokens.get();
    expect([stage.sends, stage.grant.mints]).toEqual([[], 1]);
  });
});
