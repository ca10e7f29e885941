/** Q2, Q3: the URL that axios puts together decides whether a request gets a token. */
import axios, { type AxiosRequestConfig } from "axios";
import oldAxios from "axios-1.7.9";
import { createAuthInterceptor } from "remint/axios";
import { startApi } from "remint/testing";
import { expect, test } from "vitest";
import { failureOf, Stage } from "./stage.ts";

function clientOf(stage: Stage, defaults: AxiosRequestConfig = {}): ReturnType<typeof axios.create> {
  const client = axios.create(defaults);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens));
  return client;
}

test("Q2: a base URL with and without slashes, and an empty URL, get the token", async () => {
  await using stage = await Stage.open();
  for (const [baseURL, url] of [
    [stage.api.origin, "orders"],
    [`${stage.api.origin}/v1/`, "/orders"],
    [`${stage.api.origin}/v1`, ""],
    [`${stage.api.origin}/v1`, undefined],
  ] as const) {
    await clientOf(stage, { baseURL }).request(url === undefined ? {} : { url });
  }
  expect(stage.api.requests.map(({ url }) => url)).toEqual(["/orders", "/v1/orders", "/v1", "/v1"]);
  expect(stage.sends).toEqual(Array(4).fill("fake-1"));
});

test("Q2: an absolute URL replaces the base URL, and one of another origin gets no token", async () => {
  await using stage = await Stage.open();
  await using foreign = await startApi({ accepts: () => true });
  const client = clientOf(stage, { baseURL: stage.api.origin });
  await failureOf(client.get(`${foreign.origin}/x`));
  await failureOf(client.get(`${foreign.origin.toUpperCase()}/x`));
  expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  expect((await clientOf(stage, { baseURL: foreign.origin }).get(stage.url)).status).toBe(200);
  expect([foreign.requests.length, stage.sends]).toEqual([2, ["fake-1"]]);
});

test("Q2: with allowAbsoluteUrls: false an absolute URL is a path of the base URL, and gets the token", async () => {
  await using stage = await Stage.open();
  const client = clientOf(stage, { baseURL: stage.api.origin, allowAbsoluteUrls: false });
  await client.get("http://127.0.0.1:1/x");
  expect(stage.api.requests.map(({ url, token }) => [url, token])).toEqual([["/http://127.0.0.1:1/x", "fake-1"]]);
});

test("Q2: a version of axios without allowAbsoluteUrls sends to the absolute URL, without a token", async () => {
  await using stage = await Stage.open();
  await using foreign = await startApi({ accepts: () => true });
  for (const given of [oldAxios, undefined]) {
    // Without the `axios` option, the adapter belongs to a copy whose version the interceptor cannot know.
    const adapter = given === undefined ? oldAxios.getAdapter("http") : "http";
    const client = oldAxios.create({ baseURL: stage.api.origin, allowAbsoluteUrls: false, adapter } as object);
    client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: given }));
    await failureOf(client.get(`${foreign.origin}/x`));
  }
  expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
});

test("Q2: a protocol-relative URL is another host, not a path of the base URL", async () => {
  await using stage = await Stage.open();
  const error = await failureOf(
    clientOf(stage, { baseURL: stage.api.origin }).get("//127.0.0.1:1/x", { timeout: 5000 }),
  );
  expect([error instanceof Error, stage.sends, stage.grant.mints]).toEqual([true, [], 0]);
});

test("Q2: a URL object is judged like its text", async () => {
  await using stage = await Stage.open();
  await using foreign = await startApi({ accepts: () => true });
  expect((await clientOf(stage).get(new URL(stage.url) as never)).status).toBe(200);
  await failureOf(clientOf(stage, { baseURL: stage.api.origin }).get(new URL(foreign.origin) as never));
  expect([foreign.requests[0]?.headers.authorization, stage.sends]).toEqual([undefined, ["fake-1"]]);
});

test("Q3: with maxRedirects: 0 a redirect goes to the caller, and a 401 is renewed as usual", async () => {
  await using stage = await Stage.open();
  await stage.warmAndRevoke();
  stage.api.respond({ headers: {} }, { status: 302, headers: { location: "/there" } });
  const { status } = await clientOf(stage).get(stage.url, { maxRedirects: 0, validateStatus: () => true });
  expect([status, stage.sends]).toEqual([302, ["fake-1", "fake-2"]]);
});

test("Q6: a 307 within the origin sends the body of a POST to both URLs, and again after a rejection", async () => {
  await using stage = await Stage.open();
  await stage.warmAndRevoke();
  stage.api.respondAlways(({ url }) =>
    url === "/old" ? { status: 307, headers: { location: "/new" }, body: "" } : undefined,
  );
  expect((await clientOf(stage).post(`${stage.api.origin}/old`, { a: 1 })).status).toBe(200);
  expect(stage.sends).toEqual(["fake-1", "fake-1", "fake-2", "fake-2"]);
  expect(stage.bodies).toEqual(Array(4).fill('{"a":1}'));
});

test("Q3: the caller's beforeRedirect runs once per redirect, also in a version of axios that needs one of ours", async () => {
  await using stage = await Stage.open();
  await stage.warmAndRevoke();
  const client = oldAxios.create();
  client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: oldAxios }));
  stage.api.respondAlways(({ url }) => (url === "/old" ? { status: 302, headers: { location: "/new" } } : undefined));
  const legs: string[] = [];
  const beforeRedirect = ({ path }: Record<string, string>): void => void legs.push(String(path));
  const { config } = await client.get(`${stage.api.origin}/old`, { beforeRedirect });
  expect([legs, stage.sends.length]).toEqual([["/new", "/new"], 4]);
  expect(config.beforeRedirect).toBe(beforeRedirect);
});
