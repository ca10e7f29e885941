/** The options of one request: its own credentials, and its `remint` key. */
import axios, { type AxiosError, type AxiosRequestConfig } from "axios";
import { createAuthInterceptor } from "remint/axios";
import type { RequestOverride, TokenCache } from "remint";
import { fakeGrant } from "remint/testing";
import { describe, expect, test } from "vitest";
import { failureOf, Stage } from "./stage.ts";

type Client = ReturnType<typeof axios.create>;

function clientOf(stage: Stage, defaults: AxiosRequestConfig = {}): Client {
  const client = axios.create(defaults);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens));
  return client;
}

/** Creates a cache for the same API that mints another token. */
function another(stage: Stage): TokenCache {
  return stage.cache({ grant: fakeGrant({ response: { access_token: "fake-99" } }) });
}

/** Sends a request with one `remint` in the defaults and another in the request; returns the token it carried. */
async function sentWith(
  defaults: RequestOverride | undefined,
  own: RequestOverride | undefined,
  stage: Stage,
): Promise<string | undefined> {
  await clientOf(stage, { remint: defaults }).get(stage.url, { remint: own, validateStatus: () => true });
  return stage.sends.at(-1);
}

describe("credentials of the caller's own", () => {
  const none: [title: string, config: AxiosRequestConfig, sent: string | undefined][] = [
    ["null", { headers: { Authorization: null as never } }, undefined],
    ["false", { headers: { authorization: false as never } }, undefined],
    ["a value of its own", { headers: { AUTHORIZATION: "Custom 1" } }, "Custom 1"],
    ["a user name and password", { auth: { username: "u", password: "p" } }, "Basic dTpw"],
  ];
  test.each(none)(
    "Q1: with Authorization or auth set to %s, the request goes out unchanged, and its 401 renews nothing",
    async (_title, config, sent) => {
      await using stage = await Stage.open();
      await stage.tokens.get();
      const error = (await failureOf(clientOf(stage).get(stage.url, config))) as AxiosError;
      expect([error.response?.status, stage.api.requests.map(({ headers }) => headers.authorization)]).toEqual([
        401,
        [sent],
      ]);
      expect([stage.grant.mints, stage.tokens.peek()?.value]).toEqual([1, "fake-1"]);
    },
  );

  test("Q1: an Authorization that is undefined counts as not set", async () => {
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

  test("Q1: user:password@ in the URL or the base URL goes out unchanged", async () => {
    await using stage = await Stage.open();
    const withUser = stage.api.origin.replace("//", "//u:p@");
    await failureOf(clientOf(stage).get(`${withUser}/x`));
    await failureOf(clientOf(stage, { baseURL: withUser }).get("/x"));
    expect(stage.api.requests.map(({ headers }) => headers.authorization)).toEqual(["Basic dTpw", "Basic dTpw"]);
    expect(stage.grant.mints).toBe(0);
  });
});

describe("the `remint` key and function sources", () => {
  test("`remint` in every form, in a request and in the defaults", async () => {
    await using stage = await Stage.open();
    const its = another(stage);
    expect(await sentWith(undefined, undefined, stage)).toBe("fake-1");
    expect(await sentWith(undefined, false, stage)).toBe(undefined);
    expect(await sentWith(undefined, its, stage)).toBe("fake-99");
    expect(await sentWith(undefined, { cache: its }, stage)).toBe("fake-99");
    expect(await sentWith(its, undefined, stage)).toBe("fake-99");
    expect(await sentWith(false, undefined, stage)).toBe(undefined);
  });

  test("a request's `remint` takes precedence over the default: objects are merged, anything else replaces it", async () => {
    await using stage = await Stage.open();
    const its = another(stage);
    expect(await sentWith({ cache: its }, { retry: false }, stage)).toBe("fake-99");
    expect(await sentWith({ cache: its }, false, stage)).toBe(undefined);
    expect(await sentWith(false, its, stage)).toBe("fake-99");
    expect(await sentWith(false, {}, stage)).toBe("fake-1");
    expect(await sentWith({ retry: false }, its, stage)).toBe("fake-99");
  });

  test("Q6: with `retry: false` the 401 goes to the caller, and the token is replaced for the next request", async () => {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    const client = clientOf(stage, { remint: { retry: false } });
    const error = (await failureOf(client.get(stage.url))) as AxiosError;
    expect([error.response?.status, stage.sends]).toEqual([401, ["fake-1"]]);
    expect((await client.get(stage.url)).status).toBe(200);
    expect(stage.grant.mints).toBe(2);
  });

  test("a function of the config chooses the cache, sync or async; undefined means no token", async () => {
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

  test("a function source that throws or rejects rejects the request, and nothing is sent", async () => {
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
});
