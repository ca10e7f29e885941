/** What docs/clients.md says of remint beside other packages for axios: each of its rows about one has a test. */
import axios, { type AxiosInstance } from "axios";
import { clientCredentialsGrant, createTokenCache, createTokenPool, isRemintError } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { type Api, type AuthServer, fakeGrant, startApi, startAuthServer } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Blocks } from "./blocks.ts";

let auth: AuthServer;
let api: Api;
beforeEach(async () => {
  auth = await startAuthServer();
  api = await startApi({ accepts: auth });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await Promise.all([auth.close(), api.close()]);
});

/** These packages are installed for the run only, so that the compiler may not find them. */
const load = async <Module>(name: string): Promise<Module> => (await import(/* @vite-ignore */ name)) as Module;

interface AxiosRetry {
  readonly default: (client: AxiosInstance, options: object) => void;
}
interface CacheInterceptor {
  readonly setupCache: (client: AxiosInstance, options: object) => AxiosInstance;
}
interface Config {
  readonly headers?: Readonly<Record<string, unknown>>;
}
interface Mocks {
  readonly default: new (client: AxiosInstance) => {
    onGet(url: string): { reply(answer: (config: Config) => [status: number]): void };
    readonly history: { readonly get: readonly Config[] };
  };
}

const statuses = (): unknown[] => api.requests.map(({ status }) => status);

describe.each(["before", "after"])("axios-retry, registered %s remint's interceptor", (order) => {
  let client: AxiosInstance;
  beforeEach(async () => {
    const { default: axiosRetry } = await load<AxiosRetry>("axios-retry");
    client = axios.create({ baseURL: api.origin });
    const retry = (): void => axiosRetry(client, { retries: 2, retryDelay: () => 1 });
    const { tokenEndpoint } = auth;
    const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "orders", clientSecret: "the-secret" });
    const tokens = createTokenCache({ grant, origins: [api.origin], mintRetries: 0 });
    if (order === "before") retry();
    client.interceptors.request.use(createAuthInterceptor(tokens));
    if (order === "after") retry();
  });

  test("the API answers 503 once and 401 then: the repeated request is renewed", async () => {
    api.respond({ status: 503 }, { status: 401 });
    expect((await client.get("/orders")).status).toBe(200);
    expect(statuses()).toEqual([503, 401, 200]);
    expect(api.requests.map(({ token }) => token)).toEqual([auth.issued[0], auth.issued[0], auth.issued[1]]);
  });

  test("a 401 that stays is not repeated", async () => {
    api.respondAlways({ status: 401 });
    await expect(client.get("/orders")).rejects.toMatchObject({ response: { status: 401 } });
    expect(statuses()).toEqual([401, 401]);
  });

  test("no token can be had: it repeats, and the token endpoint is asked once", async () => {
    auth.respondAlways({ status: 503 });
    const error: unknown = await client.get("/orders").catch((reason: unknown) => reason);
    expect(isRemintError(error) && error.code).toBe("ERR_TOKEN_ENDPOINT");
    expect([auth.requests.length, api.requests.length]).toEqual([1, 0]);
  });
});

describe("axios-cache-interceptor", () => {
  let user = "alice";
  const pool = createTokenPool({
    create: (name) => createTokenCache({ grant: () => `token-of-${name}`, origins: [api.origin] }),
  });
  const interceptor = createAuthInterceptor(() => pool.get(user));
  beforeEach(async () => {
    user = "alice";
    await Promise.all(["alice", "bob"].map((name) => pool.release(name)));
    api.respondAlways(({ token }) => ({
      headers: { "cache-control": "max-age=60", vary: "Authorization" },
      body: { you: token },
    }));
  });

  test("without the user in the key, Bob gets Alice's answer, whatever Vary says", async () => {
    const { setupCache } = await load<CacheInterceptor>("axios-cache-interceptor");
    const client = setupCache(axios.create(), { interpretHeader: true });
    client.interceptors.request.use(interceptor);
    expect((await client.get(api.origin)).data).toEqual({ you: "token-of-alice" });
    user = "bob";
    expect((await client.get(api.origin)).data).toEqual({ you: "token-of-alice" });
    expect(pool.get("bob").peek(), "an answer from the cache needs no token").toBe(undefined);
  });

  test("with the key of the page, each user gets their own", async () => {
    const blocks = new Blocks("docs/clients.md", {});
    vi.stubGlobal("currentUser", () => user);
    const { client } = (await blocks.run("generateKey")) as { client: AxiosInstance };
    blocks.remove();
    client.interceptors.request.use(interceptor);
    const answers = [];
    for (user of ["alice", "bob", "alice"]) answers.push((await client.get(api.origin)).data.you);
    expect(answers).toEqual(["token-of-alice", "token-of-bob", "token-of-alice"]);
    expect(api.requests).toHaveLength(2);
  });
});

test("axios-mock-adapter: a 401 is renewed; the reply function sees the token, and the history does not", async () => {
  const client = axios.create({ baseURL: "https://api.example" });
  const tokens = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
  client.interceptors.request.use(createAuthInterceptor(tokens));
  const { default: MockAdapter } = await load<Mocks>("axios-mock-adapter");
  const mock = new MockAdapter(client);
  const seen: unknown[] = [];
  mock.onGet("/orders").reply(({ headers }) => {
    seen.push(headers?.["Authorization"]);
    return seen.length === 1 ? [401] : [200];
  });
  expect((await client.get("/orders")).status).toBe(200);
  expect(seen).toEqual(["Bearer fake-1", "Bearer fake-2"]);
  expect(mock.history.get.map(({ headers }) => headers?.["Authorization"])).toEqual([undefined, undefined]);
});
