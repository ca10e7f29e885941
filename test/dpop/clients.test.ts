/** DPoP where the clients differ: how a client builds the URL, and which of its objects a proof must not stay in. */
import axios, { type AxiosError } from "axios";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { dpop } from "remint/dpop";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { type Api, startApi, startAuthServer } from "remint/testing";
import { type Guard, guardApi, guardAuth } from "./guard.ts";

let api: Api;
let guard: Guard;
let tokens: TokenCache;
beforeEach(async () => {
  const auth = await startAuthServer();
  api = await startApi({ accepts: () => true });
  guard = guardApi(api, auth, guardAuth(auth), "rs-1");
  const { tokenEndpoint } = auth;
  const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "a", clientSecret: "s3cret", dpop: dpop() });
  tokens = createTokenCache({ grant, origins: [api.origin] });
  onTestFinished(async () => {
    await Promise.all([tokens.close(), api.close(), auth.close()]);
  });
});

/** Returns the method and the path that the last good proof was made for. */
function last(): [string | undefined, string | undefined] {
  const proof = guard.proofs.at(-1);
  return [proof?.htm, proof?.htu.slice(api.origin.length)];
}

test("fetch: a Request with a body: the proof has its method and URL, and the body is resent with the nonce", async () => {
  const request = new Request(`${api.origin}/a?b=1`, { method: "PUT", body: "body" });
  expect((await createAuthFetch(tokens)(request)).status).toBe(200);
  expect([last(), api.requests.map(({ text }) => text)]).toEqual([
    ["PUT", "/a"],
    ["body", "body"],
  ]);
  const again = new Request(`${api.origin}/a`, { method: "PUT", body: "body" });
  expect((await createAuthFetch(tokens)(again, { method: "DELETE" })).status).toBe(200);
  expect(last()).toEqual(["DELETE", "/a"]);
});

test("ofetch: base URL, query and a method in lower case: the proof has the full URL and the upper case method", async () => {
  const $fetch = createAuthOfetch(tokens, { baseURL: `${api.origin}/v1` });
  await $fetch("/orders", { query: { page: 2 }, method: "patch", body: { a: 1 } });
  expect(last()).toEqual(["PATCH", "/v1/orders"]);
});

test.each(["http", "fetch"] as const)(
  "axios/%s: base URL, params, and methods in any case: the proof has what is sent",
  async (adapter) => {
    const client = axios.create({ adapter, baseURL: `${api.origin}/v1/`, params: { page: 2 } });
    client.interceptors.request.use(createAuthInterceptor(tokens));
    await client.get("/orders");
    expect(last()).toEqual(["GET", "/v1/orders"]);
    await client.request({ url: `${api.origin}/absolute?x=1#y`, method: "pAtch" });
    expect(last()).toEqual(["PATCH", "/absolute"]);
    await client.request({ url: "", method: "OPTIONS" });
    expect(last()).toEqual(["OPTIONS", "/v1/"]);
    expect(guard.refusals).toEqual([]);
  },
);

test.each(["http", "fetch"] as const)(
  "Q10, Q11: axios/%s: a failed request's config has neither proof nor token, and can be sent again",
  async (adapter) => {
    const client = axios.create({ adapter });
    client.interceptors.request.use(createAuthInterceptor(tokens));
    api.respond({ status: 500, body: "down" });
    const headers = { "X-Mine": "1", DPoP: "mine" };
    const error = await client.get(`${api.origin}/x`, { headers }).catch((failure: unknown) => failure as AxiosError);
    const { config } = error as AxiosError;
    expect(JSON.parse(JSON.stringify(config?.headers))).toMatchObject(headers);
    expect(config?.headers?.["Authorization"]).toBeUndefined();
    expect(config?.beforeRedirect).toBeUndefined();
    const response = await client.request(config!);
    expect(response.status).toBe(200);
    expect(JSON.parse(JSON.stringify(response.config.headers))).toMatchObject(headers);
    expect(new Set(guard.proofs.map(({ jti }) => jti)).size).toBe(guard.proofs.length);
  },
);

test("Q3: axios: a redirect to another origin: the caller's beforeRedirect sees no proof; to the same origin: it does", async () => {
  const other = await startApi({ accepts: () => true });
  onTestFinished(() => other.close());
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(tokens));
  const seen: string[][] = [];
  const beforeRedirect = (options: Record<string, unknown>): void => {
    seen.push(Object.keys(options["headers"] as object).map((name) => name.toLowerCase()));
  };
  await client.get(`${api.origin}/x`);
  for (const location of [other.origin, `${api.origin}/y`]) {
    api.respond({ status: 302, headers: { location } });
    await client.get(`${api.origin}/x`, { beforeRedirect, validateStatus: () => true });
  }
  expect(seen.map((names) => names.includes("dpop"))).toEqual([false, true]);
});

test("Q13: two interceptors, or two nested fetches, with the same cache: one proof per request", async () => {
  const client = axios.create();
  for (const _ of [1, 2]) client.interceptors.request.use(createAuthInterceptor(tokens));
  await client.get(`${api.origin}/x`);
  await createAuthFetch(tokens, { fetch: createAuthFetch(tokens) })(`${api.origin}/y`);
  // The first request is sent twice, because the server asks for a nonce.
  expect(api.requests.length).toBe(3);
  expect(guard.refusals).toEqual([]);
});
