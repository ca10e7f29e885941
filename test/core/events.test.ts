import { AsyncLocalStorage } from "node:async_hooks";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { TokenEndpointError, type EventListener, type TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import {
  cacheUnderTest,
  fakeServerGrant,
  rejectionOf,
  settle,
  TARGET,
  type CacheUnderTest,
} from "./cache-under-test.ts";
import type { RemintEvent } from "../../src/index.ts";

const HOUR = 3_600_000;

describe("events", () => {
  test("minted: has the cause, the duration, the expiry, and whether the value is the previous one again", async () => {
    const { cache, grant, clock, events } = cacheUnderTest({
      grant: fakeGrant({ response: { access_token: "same" } }),
    });
    const hold = grant.hold();
    const got = cache.get();
    await clock.advance(250);
    hold.release();
    const { expiresAt } = await got;
    const id: unknown = expect.any(Number);
    const minted = { name: "minted", id, cause: "cold", duration: 250, expiresAt, repeated: false, waiters: 1 };
    expect(events).toEqual([minted]);
    await cache.invalidate("same");
    await cache.get();
    expect(events.slice(1)).toMatchObject([{ name: "invalidated" }, { name: "minted", cause: "cold", repeated: true }]);
  });

  test("C4: mint-failed: servedStale says whether callers get the old token instead", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest();
    grant.fail(new Error("down"));
    await rejectionOf(cache.get());
    await clock.advance(1000);
    await cache.get();
    await clock.advance(HOUR - 30_000);
    grant.fail(new Error("down"));
    cache.peek();
    await settle();
    expect(eventsNamed("mint-failed")).toMatchObject([
      { cause: "cold", servedStale: false },
      { cause: "expiring", servedStale: true },
    ]);
  });

  test("C8: rejected comes once per charge, renewal-refused once per refusal, both with origin and path", async () => {
    const { cache, eventsNamed } = cacheUnderTest();
    for (let call = 0; call < 5; call++)
      await policyHalf(cache)
        .rejected(await cache.get(), TARGET)
        ?.next();
    expect(eventsNamed("rejected")).toEqual(Array.from({ length: 3 }, () => ({ name: "rejected", ...TARGET })));
    expect(eventsNamed("renewal-refused")).toEqual(
      Array.from({ length: 2 }, () => ({ name: "renewal-refused", ...TARGET })),
    );
  });

  test("C5: invalidated comes only when the cache held the given value", async () => {
    const { cache, eventsNamed } = cacheUnderTest();
    await cache.invalidate("fake-1");
    const { value } = await cache.get();
    await cache.invalidate("another");
    await cache.invalidate(value);
    await cache.invalidate(value);
    expect(eventsNamed("invalidated")).toHaveLength(1);
  });

  test("skipped has the reason and the URL without query, fragment and credentials", () => {
    const { cache, events } = cacheUnderTest();
    policyHalf(cache).skipped("authorization-set", "https://u:s3cret@api.example/a?code=s3cret#s3cret");
    expect(events).toEqual([{ name: "skipped", reason: "authorization-set", url: "https://api.example/a" }]);
  });

  test("a listener is called synchronously, after the cache has changed", async () => {
    const seen: (string | undefined)[] = [];
    const under = cacheUnderTest({
      onEvent: ({ name }: RemintEvent) => void seen.push(`${name} ${under.cache.peek()?.value}`),
    });
    await under.cache.get();
    await under.cache.invalidate("fake-1");
    expect(seen).toEqual(["mint-started undefined", "minted fake-1", "invalidated undefined"]);
  });

  test("a listener that throws makes no call fail", async () => {
    const { cache, grant } = cacheUnderTest({
      onEvent: () => {
        throw new Error("telemetry is broken");
      },
    });
    const token = await cache.get();
    policyHalf(cache).skipped("opted-out", "https://api.example/");
    await cache.invalidate(token.value);
    grant.fail(new Error("down"));
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
  });

  test("a listener may call the cache that emits the event", async () => {
    const values: (string | undefined)[] = [];
    const under = cacheUnderTest({
      onEvent: ({ name }: RemintEvent) => {
        if (name === "mint-failed") void under.cache.get().catch(() => {});
        if (name === "invalidated")
          void under.cache.get().then(
            (token) => values.push(token.value),
            () => {},
          );
      },
    });
    await under.cache.get();
    await under.cache.invalidate("fake-1");
    await settle();
    under.grant.fail(new Error("down"));
    await under.cache.invalidate("fake-2");
    await settle();
    expect(values).toEqual(["fake-2"]);
    expect(under.grant.mints).toBe(3);
  });

  test("S5: no event carries a token or a secret", async () => {
    const grant = fakeGrant({ response: { access_token: "s3cret-token", refresh_token: "s3cret-refresh" } });
    const { cache, events, clock } = cacheUnderTest({ grant });
    await cache.get();
    for (let call = 0; call < 5; call++)
      await policyHalf(cache)
        .rejected(await cache.get(), TARGET)
        ?.next();
    grant.fail(new TokenEndpointError(400, "no", { error: "invalid_client", errorDescription: "s3cret" }));
    await cache.invalidate("s3cret-token");
    await rejectionOf(cache.get());
    await clock.advance(1000);
    grant.fail(Object.assign(new Error("sent Bearer s3cret"), { config: { client_secret: "s3cret" } }));
    await rejectionOf(cache.get());
    expect(new Set(events.map(({ name }) => name)).size).toBeGreaterThanOrEqual(4);
    expect(inspect(events, { depth: 10 })).not.toContain("s3cret");
    expect(JSON.stringify(events)).not.toContain("s3cret");
  });
});

/** A listener that keeps every event. */
function listening(): { events: RemintEvent[]; onEvent: (event: RemintEvent) => void } {
  const events: RemintEvent[] = [];
  return { events, onEvent: (event) => void events.push(event) };
}

describe("C20: a mint tells that it begins and how it ends", () => {
  test("C20: before the call returns, in its asynchronous context, and before the grant is asked", async () => {
    const caller = new AsyncLocalStorage<string>();
    const seen: unknown[][] = [];
    const onEvent = ({ name }: RemintEvent): void => void seen.push([name, caller.getStore(), grant.mints]);
    const { cache, grant } = cacheUnderTest({ onEvent });
    const first = caller.run("first", () => cache.get());
    expect(seen).toEqual([["mint-started", "first", 0]]);
    await Promise.all([first, caller.run("second", () => cache.get())]);
    expect(seen.map(([name]) => name)).toEqual(["mint-started", "minted"]);
  });

  test("C20: in the background too: in the context of the call that begins it", async () => {
    const caller = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const { cache, clock } = cacheUnderTest({
      onEvent: ({ name }) => name === "mint-started" && seen.push(caller.getStore()),
    });
    await caller.run("cold", () => cache.get());
    await clock.advance(HOUR - 30_000);
    expect(caller.run("warm", () => cache.peek())?.value).toBe("fake-1");
    expect(seen).toEqual(["cold", "warm"]);
  });

  test("C20: names the server by its origin: no path, no query; a function has none", async () => {
    const { events, onEvent } = listening();
    const grant = fakeServerGrant({ endpoint: "https://auth.example/tenant/token?secret=1" });
    await cacheUnderTest({ grant, onEvent }).cache.get();
    await cacheUnderTest({ onEvent }).cache.get();
    expect(events.map((event) => (event as { server?: string }).server)).toEqual([
      "https://auth.example",
      "https://auth.example",
      undefined,
      undefined,
    ]);
  });

  const ended = ["minted", "adopted", "mint-failed", "mint-abandoned"];
  type Under = ReturnType<typeof cacheUnderTest>;
  test.each<[string, string, (under: Under) => unknown]>([
    ["a token", "minted", ({ cache }) => cache.get()],
    [
      "a token that nobody may keep",
      "minted",
      ({ cache, grant }) => (grant.respond({ access_token: "a", expires_in: 0 }), cache.get()),
    ],
    ["a failure", "mint-failed", ({ cache, grant }) => (grant.fail(new Error("down")), rejectionOf(cache.get()))],
    ["an answer that is no token", "mint-failed", ({ cache, grant }) => (grant.respond({}), rejectionOf(cache.get()))],
    [
      "the cache is closed meanwhile",
      "mint-abandoned",
      async ({ cache, grant }) => {
        const hold = grant.hold();
        const got = rejectionOf(cache.get());
        const closed = cache.close();
        hold.release();
        await Promise.all([got, closed]);
      },
    ],
    [
      "a sign-out meanwhile",
      "mint-abandoned",
      async ({ cache, grant }) => {
        const hold = grant.hold();
        const got = rejectionOf(cache.get());
        const out = cache.signOut();
        hold.release();
        await Promise.all([got, out]);
      },
    ],
    [
      "a sign-in meanwhile",
      "mint-abandoned",
      async ({ cache, grant }) => {
        const hold = grant.hold();
        const got = rejectionOf(cache.get());
        await cache.signIn({ access_token: "of-another", expires_in: 3600 });
        hold.release();
        await got;
      },
    ],
  ])("C20: it brings %s: %s has its id, once", async (_, name, run) => {
    const { events, onEvent } = listening();
    await run(cacheUnderTest({ onEvent }));
    await settle();
    const [started, ...others] = events.filter((event) => event.name === "mint-started");
    expect([started?.name, others]).toEqual(["mint-started", []]);
    const { id } = started as { id: number };
    const ends = events.filter((event) => ended.includes(event.name));
    expect(ends).toMatchObject([{ name, id, cause: "cold" }]);
    expect(events.indexOf(started!)).toBeLessThan(events.indexOf(ends[0]!));
  });

  test("C20: it brings nobody who is signed in: mint-abandoned says what callers get, and nothing has failed", async () => {
    const { events, onEvent } = listening();
    const { cache } = cacheUnderTest({ onEvent, grant: (() => null) as never });
    await rejectionOf(cache.get());
    const { id } = events[0] as { id: number };
    expect(events).toEqual([
      { name: "mint-started", id, cause: "cold" },
      { name: "mint-abandoned", id, cause: "cold", duration: 0, waiters: 1, code: "ERR_NO_SESSION" },
    ]);
  });

  test("C20: it lands after its callers have left: minted has the id of the mint-failed that they got", async () => {
    const { events, onEvent } = listening();
    const { cache, grant, clock } = cacheUnderTest({ onEvent, grant: fakeGrant({ state: "a", onState: () => {} }) });
    const hold = grant.hold();
    const got = rejectionOf(cache.get());
    await clock.advance(10_000);
    expect(await got).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    hold.release();
    await settle();
    const { id } = events[0] as { id: number };
    expect(events).toMatchObject([
      { name: "mint-started", id },
      { name: "mint-failed", id, duration: 10_000, waiters: 1 },
      { name: "minted", id, duration: 10_000, waiters: 0 },
    ]);
  });

  test("C20: two mints have two ids, also of two caches", async () => {
    const { events, onEvent } = listening();
    const under = cacheUnderTest({ onEvent });
    await under.cache.get();
    await under.cache.invalidate("fake-1");
    await under.cache.get();
    await cacheUnderTest({ onEvent }).cache.get();
    const ids = events.flatMap((event) => (event.name === "mint-started" ? [event.id] : []));
    expect(new Set(ids).size).toBe(3);
  });

  test("C20: waiters are those who wait at the end: who has left does not count, and a refresh has none", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest();
    const hold = grant.hold();
    const leaving = new AbortController();
    const all = Promise.allSettled([cache.get(), cache.get(), cache.get({ signal: leaving.signal })]);
    leaving.abort();
    hold.release();
    await all;
    await clock.advance(HOUR - 30_000);
    cache.peek();
    await settle();
    expect(eventsNamed("minted")).toMatchObject([
      { cause: "cold", waiters: 2 },
      { cause: "expiring", waiters: 0 },
    ]);
  });

  test("C20: a failure says whom it concerns", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest({ grant: fakeServerGrant() });
    const answers: [number, string][] = [
      [503, "server_error"],
      [401, "invalid_client"],
      [400, "invalid_scope"],
      [400, "other"],
    ];
    for (const [status, error] of answers) {
      grant.fail(new TokenEndpointError(status, "x", { error }));
      await rejectionOf(cache.get());
      await clock.advance(60_000);
    }
    expect(eventsNamed("mint-failed").map(({ owner }) => owner)).toEqual(["server", "client", "target", "key"]);
  });

  test("C20: sinceRejection counts from the 401 to the token that replaces it, over failures between them", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest();
    const token = await cache.get();
    await clock.advance(5000);
    const renewal = policyHalf(cache).rejected(token, TARGET);
    grant.fail(new Error("down"));
    await rejectionOf(renewal!.next());
    await clock.advance(2000);
    const hold = grant.hold();
    const got = cache.get();
    await clock.advance(500);
    hold.release();
    await got;
    await cache.invalidate("fake-3");
    await cache.get();
    expect(eventsNamed("minted").map(({ sinceRejection }) => sinceRejection)).toEqual([undefined, 2500, undefined]);
  });

  test.each([
    ["without a listener", undefined],
    ["with an empty list", []],
  ])("C20: %s no event is made", async (_, onEvent) => {
    let reads = 0;
    const grant = fakeServerGrant();
    const { server } = grant as unknown as { readonly server: object };
    Object.defineProperty(server, "endpoint", { get: () => (reads++, "https://auth.example/token") });
    const { cache } = cacheUnderTest({ grant, onEvent });
    const before = reads;
    await cache.get();
    await cache.invalidate("fake-1");
    grant.fail(new TokenEndpointError(500, "x"));
    await rejectionOf(cache.get());
    expect(reads - before).toBe(0);
  });
});

/** A listener that writes its own name before that of each event. */
const named =
  (name: string, into: string[]): EventListener =>
  (event) =>
    void into.push(`${name} ${event.name}`);

describe("C20: a list of listeners", () => {
  test("C20: each hears every event, in the order of the list, and gets nothing beside it", async () => {
    const told: unknown[][] = [];
    const listener =
      (name: string) =>
      (...all: unknown[]): void =>
        void told.push([name, (all[0] as RemintEvent).name, all.length]);
    const { cache } = cacheUnderTest({ onEvent: [listener("first"), listener("second")] });
    await cache.get();
    expect(told).toEqual([
      ["first", "mint-started", 1],
      ["second", "mint-started", 1],
      ["first", "minted", 1],
      ["second", "minted", 1],
    ]);
  });

  const hostile: [string, () => unknown][] = [
    [
      "throws",
      () => {
        throw new Error("telemetry is broken");
      },
    ],
    ["rejects", () => Promise.reject(new Error("telemetry is broken"))],
    ["rejects after a while", async () => (await settle(), Promise.reject(new Error("telemetry is broken")))],
    [
      "returns an object whose then throws",
      () => ({
        // oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
        then: () => {
          throw new Error("telemetry is broken");
        },
      }),
    ],
    [
      "returns an object that cannot be read",
      () =>
        new Proxy(
          {},
          {
            get: () => {
              throw new Error("telemetry is broken");
            },
          },
        ),
    ],
  ];
  test.each(hostile)(
    "C12, C20: one in the middle %s: the others hear everything, and calls go on",
    async (_, broken) => {
      const told: string[] = [];
      const onEvent = [named("first", told), broken as EventListener, named("last", told)];
      const { cache, grant } = cacheUnderTest({ onEvent });
      grant.fail(new Error("down"));
      expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
      await settle();
      expect(told).toEqual(["first mint-started", "last mint-started", "first mint-failed", "last mint-failed"]);
    },
  );

  test("C20: a function that is in the list twice hears every event once", async () => {
    const told: string[] = [];
    const [first, second] = [named("first", told), named("second", told)];
    await cacheUnderTest({ onEvent: [first, second, first] }).cache.get();
    expect(told).toEqual(["first mint-started", "second mint-started", "first minted", "second minted"]);
  });

  test("C20: a list that is frozen, and one that grows, shrinks and is emptied afterwards: it is as it was given", async () => {
    const told: string[] = [];
    const list = [named("kept", told)];
    const { cache } = cacheUnderTest({ onEvent: list });
    const frozen = cacheUnderTest({ onEvent: Object.freeze([...list]) });
    list.push(named("added", told));
    list.shift();
    await cache.get();
    list.length = 0;
    await frozen.cache.get();
    expect(told).toEqual(["kept mint-started", "kept minted", "kept mint-started", "kept minted"]);
  });

  test("C20: a mint begins, and all hear of it in the asynchronous context of its caller", async () => {
    const caller = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const listener = (): EventListener => () => void seen.push(caller.getStore());
    const { cache } = cacheUnderTest({ onEvent: [listener(), listener()] });
    const got = caller.run("caller", () => cache.get());
    expect(seen).toEqual(["caller", "caller"]);
    await got;
  });

  const reactions: [string, (cache: TokenCache) => unknown, string[]][] = [
    ["asks for a token", (cache) => cache.get(), ["mint-failed"]],
    ["forgets the token", (cache) => cache.invalidate("fake-1"), ["mint-failed"]],
    ["signs out", (cache) => cache.signOut({ revoke: false }), ["signed-out", "mint-failed"]],
    ["signs in", (cache) => cache.signIn({ access_token: "next" }), ["signed-in", "mint-failed"]],
    ["closes the cache", (cache) => cache.close(), ["mint-failed"]],
  ];
  test.each(reactions)(
    "C20: one that %s when a mint has failed: the others hear of both, each once",
    async (_, act, all) => {
      const told: string[] = [];
      const done: unknown[] = [];
      const under: CacheUnderTest = cacheUnderTest({
        grant: fakeGrant({ state: "s", onState: () => {} }),
        onEvent: [({ name }) => name === "mint-failed" && done.push(act(under.cache)), named("other", told)],
      });
      under.grant.fail(new Error("down"));
      await rejectionOf(under.cache.get());
      await Promise.allSettled(done);
      expect(told).toEqual(["mint-started", ...all].map((name) => `other ${name}`));
      expect(done).toHaveLength(1);
    },
  );
});
