/**
 * Testing a service with nock. Token requests go through nock too. A token cache that outlives a test has a token in the next
 * one: the mocked token endpoint is then not asked, and its interceptor is left over for a later test. Create the cache in the
 * test, and let every test end with all interceptors used.
 *
 * @module
 */
import axios from "axios";
import nock from "nock";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

/** A client of the service under test, as it is made in production. */
type Get = (path: string) => Promise<number>;

const clients: Record<string, () => Get> = {
  axios: () => {
    const client = axios.create();
    client.interceptors.request.use(createAuthInterceptor(createTokens()));
    return async (path) => (await client.get(`https://api.example${path}`)).status;
  },
  fetch: () => {
    const authFetch = createAuthFetch(createTokens());
    return async (path) => (await authFetch(`https://api.example${path}`)).status;
  },
};

function createTokens(): ReturnType<typeof createTokenCache> {
  return createTokenCache({
    grant: clientCredentialsGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "orders-service",
      clientSecret: "s3cret",
    }),
    origins: ["https://api.example"],
  });
}

const mint = (token: string) =>
  nock("https://auth.example").post("/token").reply(200, { access_token: token, expires_in: 3600 });
const api = (token: string) => nock("https://api.example", { reqheaders: { authorization: `Bearer ${token}` } });

beforeAll(() => nock.disableNetConnect());
afterEach(() => {
  const leftOver = nock.pendingMocks();
  nock.cleanAll();
  expect(leftOver).toEqual([]);
});
afterAll(() => {
  nock.enableNetConnect();
  nock.restore();
});

describe.each(Object.entries(clients))("%s", (_, create) => {
  let get: Get;
  beforeEach(() => {
    get = create();
  });

  test("a request carries the token; after a 401 one new token is requested, and the request succeeds", async () => {
    mint("token-1");
    api("token-1").get("/orders/1").reply(200);
    expect(await get("/orders/1")).toBe(200);
    api("token-1").get("/orders/2").reply(401);
    mint("token-2");
    api("token-2").get("/orders/2").reply(200);
    expect(await get("/orders/2")).toBe(200);
  });

  test("ten requests at once share one token request", async () => {
    mint("token-1");
    api("token-1").get("/orders").times(10).reply(200);
    expect(await Promise.all(Array.from({ length: 10 }, () => get("/orders")))).toEqual(Array(10).fill(200));
  });

  test("with the cache of an earlier test the mocked token endpoint is not asked, and its interceptor is left over", async () => {
    mint("token-1");
    api("token-1").get("/orders").times(2).reply(200);
    await get("/orders");
    mint("token-of-the-next-test");
    await get("/orders");
    expect(nock.pendingMocks()).toEqual(["POST https://auth.example:443/token"]);
    nock.cleanAll();
  });
});
