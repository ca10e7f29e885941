/**
 * Testing code that uses axios with axios-mock-adapter. It mocks axios only: token requests are sent by fetch, so the test has a
 * grant without a server. Look at the token in a reply function. `mock.history` has the configs as they are afterwards, and those
 * never hold a token.
 *
 * @module
 */
import axios, { type AxiosInstance } from "axios";
import AxiosMockAdapter from "axios-mock-adapter";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { type FakeGrant, fakeGrant } from "remint/testing";
import { beforeEach, expect, test } from "vitest";

let grant: FakeGrant;
let client: AxiosInstance;
let mock: AxiosMockAdapter;
/** The `Authorization` headers that the mocked API has seen. */
let seen: unknown[];

beforeEach(() => {
  grant = fakeGrant();
  client = axios.create({ baseURL: "https://api.example" });
  client.interceptors.request.use(createAuthInterceptor(createTokenCache({ grant, origins: ["https://api.example"] })));
  seen = [];
  mock = new AxiosMockAdapter(client, { onNoMatch: "throwException" });
  mock.onGet("/orders").reply(({ headers }) => {
    seen.push(headers?.["Authorization"]);
    return [200, ["apples"]];
  });
});

test("a request carries the token; after a 401 one new token is minted, and the request succeeds", async () => {
  mock.onGet("/revoked").replyOnce(401).onGet("/revoked").reply(200, "apples");
  await client.get("/orders");
  expect((await client.get("/revoked")).data).toBe("apples");
  await client.get("/orders");
  expect([seen, grant.mints]).toEqual([["Bearer fake-1", "Bearer fake-2"], 2]);
});

test("ten requests at once share one mint", async () => {
  await Promise.all(Array.from({ length: 10 }, () => client.get("/orders")));
  expect([seen, grant.mints]).toEqual([Array(10).fill("Bearer fake-1"), 1]);
});

test("the history has every send, and no token", async () => {
  mock.onGet("/revoked").replyOnce(401).onGet("/revoked").reply(200);
  await client.get("/revoked");
  expect(mock.history["get"]?.map(({ url }) => url)).toEqual(["/revoked", "/revoked"]);
  expect(JSON.stringify(mock.history)).not.toContain("fake-");
});
