/** What one request can say: where it goes, what it brings, what it wants of us. */
import { Agent } from "node:http";
import axios, { type AxiosError, type AxiosRequestConfig } from "axios";
import oldAxios from "axios-1.7.9";
import { createAuthInterceptor, type RequestOverride } from "remint/axios";
import { fakeGrant, startApi } from "remint/testing";
import { describe, expect, test } from "vitest";
import { createTokenCache } from "remint";
import { failureOf, Stage } from "./stage.ts";

type Client = ReturnType<typeof axios.create>;

function clientOf(stage: Stage, defaults: AxiosRequestConfig = {}): Client {
  const client = axios.create(defaults);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens));
  return client;
}

describe("credentials of the caller's own", () => {
  const none: [title: string, config: AxiosRequestConfig, sent: string | undefined][] = [
    ["null", { headers: { Authorization: null as never } }, undefined],
    ["false", { headers: { authorization: false as never } }, undefined],
    ["a value", { headers: { AUTHORIZATION: "Custom 1" } }, "Custom 1"],
    ["auth", { auth: { username: "u", password: "p" } }, "Basic dTpw"],
  ];
  test.each(none)("Q1: %s: hands off, and its 401 renews nothing", async (_title, config, sent) => {
    await using stage = await Stage.open();
    await stage.tokens.get();
    const error = (await failureOf(clientOf(stage).get(stage.url, config))) as AxiosError;
    expect([error.response?.status, stage.api.requests.map(({ headers }) => headers.authorization)]).toEqual([
      401,
      [sent],
    ]);
    expect([stage.grant.mints, stage.tokens.peek()?.value]).toEqual([1, "fake-1"]);
  });

  test("Q1: undefined is not set", async () => {
    await using stage = await Stage.open();
    for (const name of ["Authorization", "authorization"]) {
      await clientOf(stage).get(stage.url, { headers: { [name]: undefined } });
    }
    expect(stage.sends).toEqual(["fake-1", "fake-1"]);
  });

  test("Q1: a forgotten default Authorization is reported with its reason", async () => {
    await using stage = await Stage.open();
    const client = clientOf(stage);
    client.defaults.headers.common["Authorization"] = "Bearer forgotten";
    await failureOf(client.get(`${stage.url}?secret=1`));
    expect(stage.events).toEqual([{ name: "skipped", reason: "authorization-set", url: stage.url }]);
  });

  test("Q1: user:password@ in the URL or the base URL goes out as it is", async () => {
    await using stage = await Stage.open();
    const withUser = stage.api.origin.replace("//", "//u:p@");
    await failureOf(clientOf(stage).get(`${withUser}/x`));
    await failureOf(clientOf(stage, { baseURL: withUser }).get("/x"));
    expect(stage.api.requests.map(({ headers }) => headers.authorization)).toEqual(["Basic dTpw", "Basic dTpw"]);
    expect(stage.grant.mints).toBe(0);
  });
});

describe("where it goes", () => {
  test("Q2: a base URL, with or without slashes, and an empty URL", async () => {
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

  test("Q2: an absolute URL ignores the base URL, and a foreign one gets no token", async () => {
    await using stage = await Stage.open();
    await using foreign = await startApi({ accepts: () => true });
    const client = clientOf(stage, { baseURL: stage.api.origin });
    await failureOf(client.get(`${foreign.origin}/x`));
    await failureOf(client.get(`${foreign.origin.toUpperCase()}/x`));
    expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
    expect((await clientOf(stage, { baseURL: foreign.origin }).get(stage.url)).status).toBe(200);
    expect([foreign.requests.length, stage.sends]).toEqual([2, ["fake-1"]]);
  });

  test("Q2: with allowAbsoluteUrls: false an absolute URL is a path of the base, and gets the base's token", async () => {
    await using stage = await Stage.open();
    const client = clientOf(stage, { baseURL: stage.api.origin, allowAbsoluteUrls: false });
    await client.get("http://127.0.0.1:1/x");
    expect(stage.api.requests.map(({ url, token }) => [url, token])).toEqual([["/http://127.0.0.1:1/x", "fake-1"]]);
  });

  test("Q2: axios that does not know allowAbsoluteUrls: false sends to the absolute URL, without a token", async () => {
    await using stage = await Stage.open();
    await using foreign = await startApi({ accepts: () => true });
    for (const given of [oldAxios, undefined]) {
      // Without the option, through an adapter of a copy whose version nobody knows.
      const adapter = given === undefined ? oldAxios.getAdapter("http") : "http";
      const client = oldAxios.create({ baseURL: stage.api.origin, allowAbsoluteUrls: false, adapter } as object);
      client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: given }));
      await failureOf(client.get(`${foreign.origin}/x`));
    }
    expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  test("Q2: a protocol-relative URL is another host, not a path of the base", async () => {
    await using stage = await Stage.open();
    const error = await failureOf(
      clientOf(stage, { baseURL: stage.api.origin }).get("//127.0.0.1:1/x", { timeout: 5000 }),
    );
    expect([error instanceof Error, stage.sends, stage.grant.mints]).toEqual([true, [], 0]);
  });

  test("Q2: a URL object, which axios passes on, is read like its text", async () => {
    await using stage = await Stage.open();
    await using foreign = await startApi({ accepts: () => true });
    expect((await clientOf(stage).get(new URL(stage.url) as never)).status).toBe(200);
    await failureOf(clientOf(stage, { baseURL: stage.api.origin }).get(new URL(foreign.origin) as never));
    expect([foreign.requests[0]?.headers.authorization, stage.sends]).toEqual([undefined, ["fake-1"]]);
  });

  test("Q3: maxRedirects: 0 hands the redirect out, and renews a 401 as ever", async () => {
    await using stage = await Stage.open();
    await stage.stale();
    stage.api.respond({ headers: {} }, { status: 302, headers: { location: "/there" } });
    const validateStatus = (status: number): boolean => status < 400;
    const { status } = await clientOf(stage).get(stage.url, { maxRedirects: 0, validateStatus });
    expect([status, stage.sends]).toEqual([302, ["fake-1", "fake-2"]]);
  });

  test("Q6: a 307 within the origin sends the POST's body on every leg, and again after a rejection", async () => {
    await using stage = await Stage.open();
    await stage.stale();
    stage.api.respondAlways(({ url }) =>
      url === "/old" ? { status: 307, headers: { location: "/new" }, body: "" } : undefined,
    );
    expect((await clientOf(stage).post(`${stage.api.origin}/old`, { a: 1 })).status).toBe(200);
    expect(stage.sends).toEqual(["fake-1", "fake-1", "fake-2", "fake-2"]);
    expect(stage.bodies).toEqual(Array(4).fill('{"a":1}'));
  });

  test("Q3: the caller's beforeRedirect runs once per redirect, also with axios that needs ours", async () => {
    await using stage = await Stage.open();
    await stage.stale();
    const client = oldAxios.create();
    client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: oldAxios }));
    stage.api.respondAlways(({ url }) => (url === "/old" ? { status: 302, headers: { location: "/new" } } : undefined));
    const legs: string[] = [];
    const beforeRedirect = ({ path }: Record<string, string>): void => void legs.push(String(path));
    const { config } = await client.get(`${stage.api.origin}/old`, { beforeRedirect });
    expect([legs, stage.sends.length]).toEqual([["/new", "/new"], 4]);
    expect(config.beforeRedirect).toBe(beforeRedirect);
  });
});

describe("what it wants of us", () => {
  const other = createTokenCache({
    grant: fakeGrant({ response: { access_token: "fake-99" } }),
    origins: (): string[] => ["http://127.0.0.1"],
  });

  /** A cache for the same API that holds another token. */
  const another = (stage: Stage) => stage.cache({ grant: fakeGrant({ response: { access_token: "fake-99" } }) });

  const sentWith = async (defaults: RequestOverride | undefined, own: RequestOverride | undefined, stage: Stage) => {
    await failureOf(
      clientOf(stage, { remint: defaults })
        .get(stage.url, { remint: own })
        .then(() => Promise.reject("ok")),
    );
    return stage.sends.at(-1);
  };

  test("section 2: `remint` in every form, per request and as a default", async () => {
    await using stage = await Stage.open();
    const its = another(stage);
    expect(await sentWith(undefined, undefined, stage)).toBe("fake-1");
    expect(await sentWith(undefined, false, stage)).toBe(undefined);
    expect(await sentWith(undefined, its, stage)).toBe("fake-99");
    expect(await sentWith(undefined, { cache: its }, stage)).toBe("fake-99");
    expect(await sentWith(its, undefined, stage)).toBe("fake-99");
    expect(await sentWith(false, undefined, stage)).toBe(undefined);
  });

  test("section 2: a request's `remint` goes over the default: objects are merged, anything else replaces", async () => {
    await using stage = await Stage.open();
    const its = another(stage);
    expect(await sentWith({ cache: its }, { retry: false }, stage)).toBe("fake-99");
    expect(await sentWith({ cache: its }, false, stage)).toBe(undefined);
    expect(await sentWith(false, its, stage)).toBe("fake-99");
    expect(await sentWith(false, {}, stage)).toBe("fake-1");
    expect(await sentWith({ retry: false }, its, stage)).toBe("fake-99");
  });

  test("Q6: `retry: false` hands the 401 through, and the token is given up all the same", async () => {
    await using stage = await Stage.open();
    await stage.stale();
    const client = clientOf(stage, { remint: { retry: false } });
    const error = (await failureOf(client.get(stage.url))) as AxiosError;
    expect([error.response?.status, stage.sends]).toEqual([401, ["fake-1"]]);
    expect((await client.get(stage.url)).status).toBe(200);
    expect(stage.grant.mints).toBe(2);
  });

  test("section 2: a function of the config may choose, now or later, and undefined is bare", async () => {
    await using stage = await Stage.open();
    const client = axios.create();
    client.interceptors.request.use(
      createAuthInterceptor(({ url }) => {
        if (url?.endsWith("/bare")) return undefined;
        return url?.endsWith("/later") ? Promise.resolve(stage.tokens) : stage.tokens;
      }),
    );
    await client.get(stage.url);
    await client.get(`${stage.api.origin}/later`);
    await failureOf(client.get(`${stage.api.origin}/bare`));
    expect(stage.sends).toEqual(["fake-1", "fake-1", undefined]);
  });

  test("section 2: a function that throws or rejects is the request's failure, and nothing is sent", async () => {
    await using stage = await Stage.open();
    for (const fail of [
      () => {
        throw new Error("no user");
      },
      () => Promise.reject(new Error("no user")),
    ]) {
      const client = axios.create();
      client.interceptors.request.use(createAuthInterceptor(fail));
      expect(await failureOf(client.get(stage.url))).toMatchObject({ message: "no user" });
    }
    expect(stage.sends).toEqual([]);
  });

  void other;
  void Agent;
});
