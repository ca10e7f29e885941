/** How the interceptor is registered, and how it works beside other interceptors. */
import axios, { type AxiosError, type AxiosInstance, type InternalAxiosRequestConfig } from "axios";
import type { TokenCache } from "remint";
import { type AuthInterceptorOptions, createAuthInterceptor } from "remint/axios";
import { startApi } from "remint/testing";
import { describe, expect, test } from "vitest";
import { failureOf, Stage } from "./stage.ts";

function clientOf(tokens: TokenCache, options?: AuthInterceptorOptions, defaults: object = {}): AxiosInstance {
  const client = axios.create(defaults);
  client.interceptors.request.use(createAuthInterceptor(tokens, options));
  return client;
}

function setOwnAuthorization(config: InternalAxiosRequestConfig): InternalAxiosRequestConfig {
  config.headers.set("authorization", "Bearer fake-77");
  return config;
}

describe("registration", () => {
  test.each([{ synchronous: true }, { synchronous: false }, undefined])(
    "Q5: works with the interceptor option %j, with an empty cache and after a rejection",
    async (option) => {
      await using stage = await Stage.open();
      const client = axios.create();
      client.interceptors.request.use(createAuthInterceptor(stage.tokens), null, option);
      await client.get(stage.url);
      stage.revoke();
      expect((await client.post(stage.url, { a: 1 })).status).toBe(200);
      expect(stage.sends).toEqual(["fake-1", "fake-1", "fake-2"]);
    },
  );

  test("Q1: a request that runWhen excludes goes without a token and starts no mint", async () => {
    await using stage = await Stage.open();
    const client = axios.create();
    const runWhen = ({ url }: { url?: string }): boolean => url === stage.url;
    client.interceptors.request.use(createAuthInterceptor(stage.tokens), null, { runWhen, synchronous: true });
    await failureOf(client.get(`${stage.api.origin}/public`));
    expect([stage.sends, stage.grant.mints]).toEqual([[undefined], 0]);
    expect((await client.get(stage.url)).status).toBe(200);
  });

  test("Q5: works on the global axios, in every form of calling it, until it is ejected", async () => {
    await using stage = await Stage.open();
    const id = axios.interceptors.request.use(createAuthInterceptor(stage.tokens));
    try {
      const calls = [
        axios(stage.url),
        axios({ url: stage.url, method: "put", data: "x" }),
        axios.request({ url: stage.url }),
        axios.delete(stage.url),
        axios.postForm(stage.url, { a: "1" }),
      ];
      expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(calls.map(() => 200));
    } finally {
      axios.interceptors.request.eject(id);
    }
    await failureOf(axios.get(stage.url));
    expect([stage.sends.at(-1), stage.grant.mints]).toEqual([undefined, 1]);
  });
});

describe("other interceptors", () => {
  test("Q9: interceptors and transforms before and after ours run once each, and get one answer", async () => {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    const ran: string[] = [];
    const client = axios.create({
      transformRequest: [(data: unknown) => (ran.push("transformRequest"), JSON.stringify({ wrapped: data }))],
      transformResponse: [(data: unknown) => (ran.push("transformResponse"), data)],
    });
    const note =
      (name: string) =>
      <T>(value: T): T => (ran.push(name), value);
    client.interceptors.request.use(note("runs after ours"));
    client.interceptors.request.use(createAuthInterceptor(stage.tokens));
    client.interceptors.request.use(async (config) => {
      ran.push("runs before ours");
      config.url = `${stage.api.origin}/v1${config.url}`;
      return config;
    });
    client.interceptors.response.use(note("response"), async (error: Error) => {
      ran.push("rejected");
      throw error;
    });
    expect((await client.post("/orders", { a: 1 })).status).toBe(200);
    expect(ran).toEqual(["runs before ours", "runs after ours", "transformRequest", "transformResponse", "response"]);
    expect(stage.api.requests.map(({ url, text }) => `${url} ${text}`)).toEqual(
      Array(2).fill('/v1/orders {"wrapped":{"a":1}}'),
    );
  });

  test("Q1: an Authorization that another interceptor sets, before or after ours, goes out unchanged", async () => {
    for (const before of [false, true]) {
      await using stage = await Stage.open();
      const client = axios.create();
      if (!before) client.interceptors.request.use(setOwnAuthorization);
      client.interceptors.request.use(createAuthInterceptor(stage.tokens));
      if (before) client.interceptors.request.use(setOwnAuthorization);
      await client.get(stage.url);
      expect([stage.sends, stage.grant.mints]).toEqual([["fake-77"], 0]);
      expect(stage.events).toEqual([{ name: "skipped", reason: "authorization-set", url: stage.url }]);
    }
  });

  test("Q2: when an interceptor after ours replaces the adapter, the request goes without a token", async () => {
    await using stage = await Stage.open();
    const client = axios.create();
    client.interceptors.request.use((config) => Object.assign(config, { adapter: "http" }));
    client.interceptors.request.use(createAuthInterceptor(stage.tokens));
    const error = (await failureOf(client.get(stage.url))) as AxiosError;
    expect([error.response?.status, stage.sends, stage.grant.mints]).toEqual([401, [undefined], 0]);
  });

  test("Q2: when an interceptor after ours changes the URL, the new URL decides whether the request gets a token", async () => {
    await using stage = await Stage.open();
    await using elsewhere = await startApi({ accepts: () => true });
    const client = axios.create();
    client.interceptors.request.use((config) => Object.assign(config, { url: `${elsewhere.origin}/x` }));
    client.interceptors.request.use(createAuthInterceptor(stage.tokens));
    await failureOf(client.get(stage.url));
    expect([elsewhere.requests[0]?.headers.authorization, stage.grant.mints]).toEqual([undefined, 0]);
  });

  test("Q10: a retry of error.config by a response interceptor is an ordinary request, not nested in the first one", async () => {
    await using stage = await Stage.open();
    const client = clientOf(stage.tokens);
    client.interceptors.response.use(undefined, (error: AxiosError) => {
      const status = error.response?.status;
      return status === 503 ? client.request(error.config as object) : Promise.reject(error);
    });
    await stage.warmAndRevoke();
    stage.api.respond({ headers: {} }, { status: 503 }, { status: 503 }, { headers: {} });
    const { status, config } = await client.post(stage.url, { a: 1 });
    expect([status, stage.sends]).toEqual([200, ["fake-1", "fake-2", "fake-2", "fake-2"]]);
    expect([stage.bodies, config.adapter]).toEqual([Array(4).fill('{"a":1}'), axios.defaults.adapter]);
  });
});
