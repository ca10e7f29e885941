/**
 * Nitro's `$fetch` answers relative URLs itself, without a network: `createAuthOfetch` keeps that, and "self" allows
 * it.
 */
import { createFetch, ofetch } from "ofetch";
import { createFetch as createFetch140 } from "ofetch-1.4.0";
import { createFetch as createFetch2 } from "ofetch-2";
import { createTokenCache, isRemintError, type RemintEvent } from "remint";
import { createAuthOfetch } from "remint/ofetch";
import { fakeGrant, startApi } from "remint/testing";
import { describe, expect, test } from "vitest";
import { failureOf, Stage } from "../axios/stage.ts";

/**
 * Creates a `$fetch` as in Nitro's runtime: URLs that begin with a slash are answered here, all others by the network.
 */
function nitroLike(create: unknown) {
  const local: [url: string, authorization: string | null, remint: unknown][] = [];
  const localFetch = async (input: string, init?: RequestInit & { remint?: unknown }): Promise<Response> => {
    if (!input.startsWith("/")) return globalThis.fetch(input, init);
    const authorization = new Headers(init?.headers).get("authorization");
    local.push([input, authorization, init?.remint]);
    return Response.json({ local: true }, { status: authorization === "Bearer fake-1" ? 401 : 200 });
  };
  const $fetch = (create as typeof createFetch)({ fetch: localFetch as typeof fetch });
  return { $fetch, local };
}

describe.each([
  ["1.4.0", createFetch140],
  ["1.5.1", createFetch],
  ["2.0.0-alpha.3", createFetch2],
])("ofetch %s", (_version, create) => {
  test('Q2: with "self" on the list, local calls carry the token and a local 401 renews it', async () => {
    const { $fetch, local } = nitroLike(create);
    const tokens = createTokenCache({ grant: fakeGrant(), origins: ["self"] });
    const api = createAuthOfetch(tokens, {}, { ofetch: $fetch });
    expect(await api("/api/x")).toEqual({ local: true });
    expect(await api.create({ baseURL: "/api" })("/y")).toEqual({ local: true });
    expect(local.map(([url, authorization]) => [url, authorization])).toEqual([
      ["/api/x", "Bearer fake-1"],
      ["/api/x", "Bearer fake-2"],
      ["/api/y", "Bearer fake-2"],
    ]);
  });

  test('Q2: without "self" on the list, local calls go without a token, and an event says why', async () => {
    await using stage = await Stage.open();
    const { $fetch, local } = nitroLike(create);
    const api = createAuthOfetch(stage.tokens, {}, { ofetch: $fetch });
    await api("/api/x?secret=1");
    await api(stage.url);
    expect([local.map(([, authorization]) => authorization), stage.sends]).toEqual([[null], ["fake-1"]]);
    const skipped = stage.events.filter(({ name }) => name === "skipped");
    expect(skipped).toEqual([{ name: "skipped", reason: "relative-url", url: "/api/x" }]);
  });

  test('Q2: "self" allows no other host, however its URL is written', async () => {
    await using elsewhere = await startApi({ accepts: () => true });
    const { $fetch } = nitroLike(create);
    const events: RemintEvent[] = [];
    const grant = fakeGrant();
    const tokens = createTokenCache({ grant, origins: ["self"], onEvent: (event) => events.push(event) });
    const api = createAuthOfetch(tokens, { retry: 0 }, { ofetch: $fetch });
    const { host } = new URL(elsewhere.origin);
    // For fetch the slashes after the scheme are optional, and backslashes are slashes.
    for (const url of [`http://${host}/1`, `http:${host}/2`, `HTTP:/${host}/3`, `http:\\\\${host}/4`]) {
      await api(url).catch(() => {});
    }
    const { requests } = elsewhere;
    expect(requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ["/1", undefined],
      ["/2", undefined],
      ["/3", undefined],
      ["/4", undefined],
    ]);
    expect(grant.mints).toBe(0);
  });
});

test("Q10: the user's $fetch keeps its defaults, its fetch and its hooks", async () => {
  await using stage = await Stage.open();
  const seen: string[] = [];
  const through: typeof fetch = (input, init) => {
    seen.push("its fetch");
    return globalThis.fetch(input, init);
  };
  const own = ofetch.create(
    { baseURL: stage.api.origin, headers: { "x-own": "1" }, onRequest: () => void seen.push("its hook") },
    { fetch: through },
  );
  const api = createAuthOfetch(stage.tokens, { query: { a: 1 } }, { ofetch: own });
  await api("/orders");
  expect(seen).toEqual(["its hook", "its fetch"]);
  expect(stage.api.requests.map(({ url, token, headers }) => [url, token, headers["x-own"]])).toEqual([
    ["/orders?a=1", "fake-1", "1"],
  ]);
  await failureOf(own("/orders"));
  expect(stage.sends).toEqual(["fake-1", undefined]);
});

test("Q17: the user's $fetch keeps its own onRequestError, and our error reaches the caller unwrapped", async () => {
  await using stage = await Stage.open();
  stage.grant.fail(new Error("the grant is broken"), Infinity);
  const seen: unknown[] = [];
  const own = ofetch.create({ baseURL: stage.api.origin, onRequestError: ({ error }) => void seen.push(error) });
  for (const api of [
    createAuthOfetch(stage.tokens, {}, { ofetch: own }),
    createAuthOfetch(stage.tokens, {}, { ofetch: own }).create({}),
  ]) {
    const error = await failureOf(api("/orders"));
    expect([isRemintError(error), seen.splice(0)]).toEqual([true, [error]]);
  }
});

test("the `fetch` option is used, with and without the `ofetch` option", async () => {
  await using stage = await Stage.open();
  let calls = 0;
  const beneath = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    calls++;
    return globalThis.fetch(input, init);
  };
  for (const options of [{ fetch: beneath }, { fetch: beneath, ofetch }]) {
    await createAuthOfetch(stage.tokens, {}, options)(stage.url);
  }
  expect([calls, stage.sends]).toEqual([2, ["fake-1", "fake-1"]]);
});

test("C12: without `fetch`, globalThis.fetch is looked up at every call", async () => {
  await using stage = await Stage.open();
  const api = createAuthOfetch(stage.tokens, { baseURL: stage.api.origin });
  const original = globalThis.fetch;
  try {
    globalThis.fetch = async () => Response.json("replaced");
    expect(await api("/orders")).toBe("replaced");
  } finally {
    globalThis.fetch = original;
  }
  expect(await api("/orders")).toMatchObject({ ok: true });
});

test.each([
  ["source", () => createAuthOfetch(undefined as never), /createAuthOfetch/],
  ["options", () => createAuthOfetch(tokensFor(), {}, null as never), /createAuthOfetch takes options such as/],
  ["ofetch", () => createAuthOfetch(tokensFor(), {}, { ofetch: {} as never }), /"ofetch".*\$fetch/],
  ["ofetch null", () => createAuthOfetch(tokensFor(), {}, { ofetch: null as never }), /"ofetch".*null/],
  ["fetch", () => createAuthOfetch(tokensFor(), {}, { fetch: 1 as never }), /"fetch".*a function/],
  ["isRejected", () => createAuthOfetch(tokensFor(), {}, { isRejected: 401 as never }), /"isRejected"/],
])("a wrong %s is a TypeError that names it, at construction", (_name, make, message) => {
  expect(make).toThrow(TypeError);
  expect(make).toThrow(message);
});

function tokensFor() {
  return createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
}
