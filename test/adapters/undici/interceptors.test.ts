/** The interceptors of undici beside ours, before and after it: redirects, retries, the cache, a second one of ours. */
import { createTokenCache } from "remint";
import { type Api, fakeGrant, startApi } from "remint/testing";
import { createAuthInterceptor } from "remint/undici";
import { interceptors as interceptors7 } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Stage } from "../axios/stage.ts";
import { type Dispatcher, newest, request } from "./dispatch.ts";

let foreign: Api;
beforeAll(async () => void (foreign = await startApi({ accepts: () => true })));
afterAll(() => foreign.close());
beforeEach(() => foreign.respondAlways(undefined));

describe.each(newest)("undici %s", (_version, undici) => {
  const { interceptors } = undici;
  type Interceptor = Parameters<Dispatcher["compose"]>[0];

  /** Opens a dispatcher with interceptors, each of which is made of ours. */
  async function open(make: (ours: Interceptor) => Interceptor[]) {
    const stage = await Stage.open();
    await stage.tokens.get();
    const agent = new undici.Agent();
    const dispatcher = make(createAuthInterceptor(stage.tokens)).reduce<Dispatcher>(
      (beneath, each) => beneath.compose(each),
      agent,
    );
    const arrivedBefore = foreign.requests.length;
    return {
      stage,
      dispatcher,
      call: (sent = {}) => request(undici, dispatcher, stage.url, sent),
      /** What arrived at the other host. */
      arrived: () => foreign.requests.slice(arrivedBefore).map(({ headers }) => headers.authorization),
      async [Symbol.asyncDispose]() {
        await agent.destroy();
        await stage[Symbol.asyncDispose]();
      },
    };
  }

  const orders: readonly [string, (ours: Interceptor, other: Interceptor) => Interceptor[]][] = [
    ["before", (ours, other) => [ours, other]],
    ["after", (ours, other) => [other, ours]],
  ];

  describe.each(orders)("composed %s undici's", (order, arrange) => {
    const redirects = (ours: Interceptor): Interceptor[] =>
      arrange(ours, interceptors.redirect({ maxRedirections: 3 }));

    test("Q3: a redirect to another host carries no token, and the 401 there renews nothing", async () => {
      await using world = await open(redirects);
      foreign.respondAlways({ status: 401, body: "elsewhere" });
      world.stage.api.respondAlways({ status: 307, headers: { location: `${foreign.origin}/x` } });
      for (const sent of [{}, { method: "POST", body: "moved" }]) {
        expect(await world.call(sent)).toMatchObject({ status: 401, text: "elsewhere" });
      }
      expect([world.arrived(), world.stage.sends, world.stage.grant.mints]).toEqual([
        [undefined, undefined],
        ["fake-1", "fake-1"],
        1,
      ]);
    });

    test("Q3: a redirect within the origin carries the token, and the 401 there renews it", async () => {
      await using world = await open(redirects);
      world.stage.api.respondAlways(({ url }) =>
        url === "/orders" ? { status: 307, headers: { location: "/moved" } } : undefined,
      );
      world.stage.revoke();
      expect(await world.call({ method: "POST", body: "moved" })).toMatchObject({ status: 200 });
      const last = world.stage.api.requests.at(-1);
      expect([last?.url, last?.token, last?.text]).toEqual(["/moved", "fake-2", "moved"]);
    });

    test("Q3: a redirect away and back gets a token only where ours sees each request", async () => {
      await using world = await open(redirects);
      foreign.respondAlways({ status: 302, headers: { location: `${world.stage.api.origin}/back` } });
      world.stage.api.respondAlways(({ url }) =>
        url === "/orders" ? { status: 302, headers: { location: `${foreign.origin}/there` } } : undefined,
      );
      const { status } = await world.call();
      expect([status, world.stage.sends, world.arrived()]).toEqual(
        order === "before" ? [200, ["fake-1", "fake-1"], [undefined]] : [401, ["fake-1", undefined], [undefined]],
      );
    });

    test("Q5, Q9: a retry after a 503 and a renewal after a 401 do not multiply each other", async () => {
      await using world = await open((ours) => arrange(ours, interceptors.retry({ minTimeout: 1, maxRetries: 3 })));
      world.stage.api.respond({ status: 503 }, { status: 401 }, { status: 503 });
      expect((await world.call()).status).toBe(200);
      // Beneath a retry, each try is a request of its own.
      expect(world.stage.sends.length).toBe(4);
      expect([world.stage.sends.at(-1), world.stage.grant.mints]).toEqual(["fake-2", 2]);
    });

    test("Q5: a retry interceptor does not retry a 401 that goes to the caller", async () => {
      await using world = await open((ours) => arrange(ours, interceptors.retry({ minTimeout: 1, maxRetries: 3 })));
      world.stage.api.respondAlways({ status: 401, body: "no" });
      expect(await world.call()).toMatchObject({ status: 401, text: "no" });
      expect(world.stage.sends).toEqual(["fake-1", "fake-2"]);
    });
  });

  test("Q13: the same cache composed twice acts once, and nothing is reported", async () => {
    await using world = await open((ours) => [ours, ours]);
    world.stage.revoke();
    expect((await world.call()).status).toBe(200);
    expect([world.stage.sends, world.stage.grant.mints]).toEqual([["fake-1", "fake-2"], 2]);
    expect(world.stage.events.filter(({ name }) => name === "skipped")).toEqual([]);
  });

  test("Q13: of two caches the one that was composed later is used, and one beneath takes what the other does not", async () => {
    const grant = fakeGrant();
    const api = await startApi({ accepts: () => true });
    const other = createTokenCache({ grant, origins: [api.origin] });
    await using world = await open((ours) => [createAuthInterceptor(other), ours]);
    expect((await request(undici, world.dispatcher, `${api.origin}/x`)).status).toBe(200);
    expect((await world.call()).status).toBe(200);
    expect([api.requests.length, grant.mints, world.stage.sends]).toEqual([1, 1, ["fake-1"]]);
    await other.close();
    await api.close();
  });
});

test("Q2: the cache of undici 7 beneath ours stores an answer for its token only, as far as the answer allows it", async () => {
  const [, undici] = newest.at(-1)!;
  const stage = await Stage.open();
  const agent = new undici.Agent();
  const dispatcher = agent.compose(interceptors7.cache(), createAuthInterceptor(stage.tokens));
  const users = createTokenCache({ grant: fakeGrant(), origins: [stage.api.origin] });
  const another = agent.compose(interceptors7.cache(), createAuthInterceptor(users));
  stage.api.respondAlways({ headers: { "cache-control": "max-age=60" }, body: "private" });
  for (const each of [dispatcher, dispatcher, another]) await request(undici, each, stage.url);
  expect(stage.sends.length).toBe(3);
  stage.api.respondAlways({ headers: { "cache-control": "public, max-age=60" }, body: "shared" });
  const url = `${stage.url}/shared`;
  for (const each of [dispatcher, dispatcher]) {
    expect((await request(undici, each, url)).text).toBe("shared");
  }
  expect(stage.sends.length).toBe(4);
  await agent.destroy();
  await users.close();
  await stage[Symbol.asyncDispose]();
});

test.each([
  ["deduplicate", () => interceptors7.deduplicate(), ["fake-1"]],
  ["dns", () => interceptors7.dns({ affinity: 4 }), [undefined, undefined]],
  ["decompress", () => interceptors7.decompress(), ["fake-1", "fake-2"]],
] as const)("Q2: %s of undici 7, for two users at once: beneath ours, and above it", async (_name, make, above) => {
  const [, undici] = newest.at(-1)!;
  for (const isBeneath of [true, false]) {
    await using stage = await Stage.open();
    const origin = stage.api.origin.replace("127.0.0.1", "localhost");
    const users = [0, 1].map(() => createTokenCache({ grant: fakeGrant(), origins: [origin] }));
    await users[1]!.invalidate((await users[1]!.get()).value);
    for (const each of users) await each.get();
    let user = 0;
    const ours = createAuthInterceptor(() => users[user++]);
    const agent = new undici.Agent();
    const dispatcher = agent.compose(isBeneath ? [make(), ours] : [ours, make()]);
    await Promise.all(users.map(() => request(undici, dispatcher, `${origin}/orders`).catch(() => undefined)));
    expect([isBeneath, new Set(stage.sends)]).toEqual([isBeneath, new Set(isBeneath ? ["fake-1", "fake-2"] : above)]);
    await agent.destroy();
    await Promise.all(users.map((each) => each.close()));
  }
});

test("Q5: responseError of undici 7 beneath ours makes an error of a 401, which is then not renewed; above ours it sees the last answer", async () => {
  const [, undici] = newest.at(-1)!;
  for (const [isBeneath, sends] of [
    [true, ["fake-1"]],
    [false, ["fake-1", "fake-2"]],
  ] as const) {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    const agent = new undici.Agent();
    const ours = createAuthInterceptor(stage.tokens);
    const theirs = interceptors7.responseError();
    const dispatcher = agent.compose(isBeneath ? [theirs, ours] : [ours, theirs]);
    await request(undici, dispatcher, stage.url).catch(() => undefined);
    expect(stage.sends).toEqual(sends);
    await agent.destroy();
  }
});
