/** A set-up that is wrong is an error that says what to write, where it is noticed first. */
import axios from "axios";
import { createTokenCache, type TokenCache } from "remint";
import { fakeGrant } from "remint/testing";
import { createAuthInterceptor } from "remint/undici";
import { describe, expect, test } from "vitest";
import { failureOf } from "../axios/stage.ts";
import { newest, request } from "./dispatch.ts";

const tokens = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
const create = createAuthInterceptor as (...args: unknown[]) => ReturnType<typeof createAuthInterceptor>;

const byHand = (): TokenCache => ({ get: () => tokens.get() }) as unknown as TokenCache;

describe.each(newest)("undici %s", (_version, undici) => {
  const agent = new undici.Agent();

  test.each<[string, unknown[], RegExp]>([
    [
      "a dispatcher in place of the cache",
      [agent],
      /takes the token cache, and no dispatcher\. Write dispatcher\.compose/,
    ],
    ["a dispatcher beside the cache", [tokens, agent], /takes the token cache, and no dispatcher\. Write/],
    ["a second cache in place of the options", [tokens, tokens], /several token caches as an array: .*\[one, other\]/],
    [
      "a cache that was made by hand",
      [{ get: () => tokens.get(), peek: () => undefined }],
      /createTokenCache did not create.*fakeGrant/,
    ],
    ["nothing", [], /must be a token cache, a non-empty array of them or a function/],
    ["an unknown option", [tokens, { orgin: "https://api.example" }], /has no option "orgin": did you mean "origin"\?/],
    ["an origin with a path", [tokens, { origin: "https://api.example/v1" }], /"origin" must be an http\(s\) origin/],
    ["an origin that is none", [tokens, { origin: "api.example" }], /"origin" must be an http\(s\) origin/],
    ["a rule that is no function", [tokens, { isRejected: true }], /"isRejected" must be a function/],
    [
      "statuses that are none",
      [tokens, { inspectStatuses: ["403"] }],
      /"inspectStatuses" must be a list of HTTP statuses/,
    ],
    ["another failedRenewal", [tokens, { failedRenewal: "retry" }], /"failedRenewal" must be "throw" or "response"/],
  ])("Q17: %s is a TypeError", (_what, args, message) => {
    expect(() => create(...args)).toThrow(TypeError);
    expect(() => create(...args)).toThrow(message);
  });

  test("Q17: createAuthInterceptor that is handed to compose() without being called is a TypeError, not a call that never ends", async () => {
    // undici 6 throws at compose().
    const sent = Promise.resolve().then(() => {
      const dispatcher = agent.compose(createAuthInterceptor as never);
      return request(undici, dispatcher, "http://127.0.0.1:1/x");
    });
    const failure = (await failureOf(sent)) as Error;
    expect(failure).toBeInstanceOf(TypeError);
    // undici 6 notices by itself that what compose() got is no interceptor.
    expect(failure.message).toMatch(/invalid interceptor|Write dispatcher\.compose\(createAuthInterceptor\(tokens\)\)/);
  });

  test("Q15: a handler that is none, and options that are none, are refused by undici", () => {
    const dispatcher = agent.compose(createAuthInterceptor(tokens));
    const dispatch = dispatcher.dispatch.bind(dispatcher) as (...all: unknown[]) => unknown;
    const options = { origin: "https://api.example", path: "/", method: "GET" };
    for (const args of [
      [options, null],
      [null, {}],
    ])
      expect(() => dispatch(...args)).toThrow();
  });
});

test("Q15: what dispatch throws is thrown, and the handler is not told of it too", async () => {
  const api = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
  await api.get();
  const error = new TypeError("no such handler");
  const told: unknown[] = [];
  const dispatch = createAuthInterceptor(api)((_options: object, _handler: object): boolean => {
    throw error;
  });
  const options = { origin: "https://api.example", path: "/x", method: "GET" };
  expect(() => dispatch(options, { onError: (each: unknown) => told.push(each) })).toThrow(error);
  await api.close();
  expect(told).toEqual([]);
});

test("Q17: an interceptor of undici that is registered with axios says so at the first request", async () => {
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(tokens) as never);
  const failure = (await failureOf(client.get("https://api.example/x"))) as Error;
  expect(failure.message).toContain('import createAuthInterceptor from "remint/axios"');
});

test("Q17: what a function of the user's returns is checked at the request", async () => {
  const [, undici] = newest.at(-1)!;
  const agent = new undici.Agent();
  const failure = await failureOf(
    request(undici, agent.compose(createAuthInterceptor(byHand)), "https://api.example/x"),
  );
  expect(failure).toBeInstanceOf(TypeError);
  expect((failure as Error).message).toMatch(/createTokenCache did not create.*fakeGrant/);
  await agent.destroy();
});
