/** The arguments of createAuthInterceptor, and its errors for wrong ones. */
import axios, { Axios, type AxiosError, type AxiosInstance } from "axios";
import { createTokenCache, type TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { fakeGrant } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { failureOf, Stage } from "./stage.ts";

/** The line that a user should have written. */
const USAGE = /axios\.interceptors\.request\.use\(createAuthInterceptor\(tokens\)\)/;

describe("options", () => {
  const tokens = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
  const wrong: [title: string, make: () => unknown, message: RegExp][] = [
    ["no source", () => createAuthInterceptor(undefined as never), /createAuthInterceptor.*undefined/s],
    ["an empty array", () => createAuthInterceptor([]), /createAuthInterceptor.*an empty array/s],
    ["a source that is no cache", () => createAuthInterceptor({} as never), /createAuthInterceptor.*an object/s],
    ["null for options", () => createAuthInterceptor(tokens, null as never), /createAuthInterceptor takes options/],
    [
      "a number for isRejected",
      () => createAuthInterceptor(tokens, { isRejected: 401 as never }),
      /"isRejected".*a function/,
    ],
    [
      "an axios instance for axios",
      () => createAuthInterceptor(tokens, { axios: axios.create() }),
      /"axios".*axios\.create\(\)/,
    ],
    ["an empty object for axios", () => createAuthInterceptor(tokens, { axios: {} }), /"axios".*1\.5/],
    ["null for axios", () => createAuthInterceptor(tokens, { axios: null as never }), /"axios".*null/],
    [
      "a number for inspectStatuses",
      () => createAuthInterceptor(tokens, { inspectStatuses: 403 as never }),
      /"inspectStatuses"/,
    ],
    [
      "another word for failedRenewal",
      () => createAuthInterceptor(tokens, { failedRenewal: "answer" as never }),
      /"failedRenewal" must be "throw" or "response", got a string/,
    ],
    [
      "an option of another spelling",
      () => createAuthInterceptor(tokens, { inspectStatus: [403] } as never),
      /createAuthInterceptor has no option "inspectStatus": did you mean "inspectStatuses"\?/,
    ],
    ["axios as the source", () => createAuthInterceptor(axios as never), USAGE],
    ["an axios instance as the source", () => createAuthInterceptor(axios.create() as never), USAGE],
    ["an axios instance without a call as the source", () => createAuthInterceptor(new Axios() as never), USAGE],
    [
      "axios and the cache, in the order of axios-auth-refresh",
      () => createAuthInterceptor(axios as never, tokens as never),
      USAGE,
    ],
    ["a cache for options", () => createAuthInterceptor(tokens, tokens as never), /array: createAuthInterceptor\(\[/],
    [
      "axios for options",
      () => createAuthInterceptor(tokens, axios as never),
      /createAuthInterceptor\(tokens, \{ axios \}\)/,
    ],
    [
      "a promise for the source",
      () => createAuthInterceptor(Promise.resolve(tokens) as never),
      /got a promise that was not awaited/,
    ],
    [
      "an axios of version 1.4",
      () => createAuthInterceptor(tokens, { axios: { VERSION: "1.4.0", create() {} } }),
      /axios 1\.5 or later, got axios 1\.4\.0/,
    ],
  ];
  test.each(wrong)("%s is a TypeError that says what is expected, at construction", (_title, make, message) => {
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });

  test("`axios` may be the module, its namespace, or undefined", async () => {
    // A namespace has the named exports, and `defaults` only on its default export.
    const namespace = { default: axios, getAdapter: axios.getAdapter, AxiosHeaders: axios.AxiosHeaders };
    for (const given of [axios, namespace, undefined]) {
      await using stage = await Stage.open();
      const client = axios.create();
      client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: given }));
      // Without an adapter in the config, the default adapter of the module counts.
      client.interceptors.request.use((config) => Object.assign(config, { adapter: undefined }));
      expect((await client.get(stage.url)).status).toBe(200);
    }
  });
});

describe("registration for responses", () => {
  test("the request fails with a TypeError that says what to write, whatever the answer is", async () => {
    await using stage = await Stage.open();
    const client = axios.create();
    const interceptor = createAuthInterceptor(stage.tokens) as never;
    client.interceptors.response.use(interceptor, interceptor);
    for (const config of [{}, { validateStatus: null }, { timeout: 1, url: "http://127.0.0.1:1" }]) {
      const error = await failureOf(client.request({ url: stage.url, ...config }));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(USAGE);
    }
  });
});

describe("the interceptor is not called by axios", () => {
  test.each<[string, unknown]>([
    ["a dispatcher of undici, in compose()", (options: object) => options],
    ["axios, in createAuthInterceptor(tokens)(axios)", axios],
    ["an instance of axios", axios.create()],
    ["nothing", undefined],
    ["null", null],
  ])("with %s: a TypeError that says what to write", async (_, given) => {
    await using stage = await Stage.open();
    const interceptor = createAuthInterceptor(stage.tokens) as (given: unknown) => unknown;
    expect(() => interceptor(given)).toThrow(TypeError);
    expect(() => interceptor(given)).toThrow(USAGE);
  });
});

describe("what a source returns", () => {
  const wrong: [title: string, source: (tokens: TokenCache) => unknown][] = [
    ["a token", (tokens) => () => tokens.get()],
    ["a text", () => async () => "Bearer x"],
    ["an answer of axios", () => (config: object) => axios.request({ ...config, headers: {} })],
    ["options", (tokens) => () => ({ cache: tokens })],
  ];
  test.each(wrong)(
    "Q2: a function that returns %s is a TypeError that names it, and no token is sent",
    async (_, source) => {
      await using stage = await Stage.open();
      const client = axios.create({ validateStatus: null });
      client.interceptors.request.use(createAuthInterceptor(source(stage.tokens) as never));
      const error = (await failureOf(client.get(stage.url))) as Error;
      expect([error instanceof TypeError, error.message]).toEqual([
        true,
        expect.stringContaining("function that chooses the token cache returns must be a token cache"),
      ]);
      expect(stage.sends.filter((token) => token !== undefined)).toEqual([]);
    },
  );
});

describe("a default Authorization", () => {
  const warnings: string[] = [];
  beforeEach(() => {
    warnings.length = 0;
    vi.spyOn(process, "emitWarning").mockImplementation(((text: string) => warnings.push(text)) as never);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    delete axios.defaults.headers.common["Authorization"];
    delete axios.defaults.headers.common["authorization"];
  });

  // oxlint-disable-next-line unicorn/consistent-function-scoping -- it belongs to what stands around it
  function clientOf(tokens: TokenCache): AxiosInstance {
    const client = axios.create();
    client.interceptors.request.use(createAuthInterceptor(tokens));
    return client;
  }

  test("Q1, Q16: requests keep it, and one warning names it before a 401 comes", async () => {
    for (const name of ["Authorization", "authorization"]) {
      await using stage = await Stage.open();
      warnings.length = 0;
      axios.defaults.headers.common[name] = "Bearer fake-9";
      const client = clientOf(stage.tokens);
      for (let call = 0; call < 2; call++) await client.get(stage.url);
      delete axios.defaults.headers.common[name];
      expect([stage.sends, stage.grant.mints]).toEqual([["fake-9", "fake-9"], 0]);
      expect(warnings).toEqual([expect.stringContaining("axios.defaults.headers.common.Authorization")]);
      expect(warnings[0]).not.toContain("fake-9");
    }
  });

  test("Q16: an Authorization of one request, and a default for another API, are no reason for a warning", async () => {
    await using stage = await Stage.open();
    await clientOf(stage.tokens).get(stage.url, { headers: { Authorization: "Bearer fake-8" } });
    axios.defaults.headers.common["Authorization"] = "Bearer fake-9";
    await clientOf(stage.cache({ origins: ["https://elsewhere.example"] })).get(stage.url);
    await clientOf(stage.tokens).get(stage.url, { headers: { Authorization: "Bearer fake-8" } });
    expect([stage.sends, warnings]).toEqual([["fake-8", "fake-9", "fake-8"], []]);
  });
});

test("Q1: an Authorization made of an access token as text is a TypeError that says what to use, and nothing is sent", async () => {
  await using stage = await Stage.open();
  const token = await stage.tokens.get();
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(stage.tokens));
  // oxlint-disable-next-line typescript/no-base-to-string, typescript/restrict-template-expressions -- as the client makes a text of it
  for (const value of [`Bearer ${token}`, String(token), token as never]) {
    const error = (await failureOf(client.get(stage.url, { headers: { authorization: value } }))) as AxiosError;
    expect([error instanceof TypeError, error.message]).toEqual([true, expect.stringContaining('property "header"')]);
  }
  expect(stage.sends).toEqual([]);
});
