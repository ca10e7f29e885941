/** C14: the state of a session has one owner: which one is presented, when it is saved, and what a landing mint brings. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTokenCache, customGrant, refreshTokenGrant, type Grant } from "../../src/index.ts";
import { CacheListeners } from "../../src/core/events.ts";
import { definitionOf } from "../../src/core/grant.ts";
import { digestOf, remembered, SessionState } from "../../src/core/state.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch } from "./cache-under-test.ts";
import { NOBODY, rotated, sessionUnderTest, type SaveUnderTest } from "./sessions-under-test.ts";

const never = (): Promise<never> => new Promise(() => {});
const down = (): never => {
  throw new Error("the database is down");
};

/** A server that rotates: each refresh token gives the next one of its user, once. Anything else is refused. */
function rotatingServer(): { fetch: typeof fetch; sent: string[]; refuses: Set<string> } {
  const sent: string[] = [];
  const refuses = new Set<string>();
  const answer = async (_: unknown, init?: RequestInit): Promise<Response> => {
    const given = new URLSearchParams(init?.body as string).get("refresh_token")!;
    sent.push(given);
    if (refuses.has(given)) return Response.json({ error: "invalid_grant" }, { status: 400 });
    const tokens = { access_token: `of-${given}`, refresh_token: `${given}+` };
    return Response.json({ ...tokens, token_type: "Bearer", expires_in: 3600 });
  };
  return { fetch: answer, sent, refuses };
}

const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "portal", clientSecret: "s3cret" };

interface Asked {
  readonly under: ReturnType<typeof cacheUnderTest>;
  readonly server: ReturnType<typeof rotatingServer>;
  /** Asks for another token than the one that is cached. */
  readonly again: () => Promise<unknown>;
}

/** A cache whose function `refreshToken` does what a test says. */
function asking(refreshToken: (call: number) => unknown, onRotate: (next: string) => unknown = () => {}): Asked {
  const server = rotatingServer();
  let calls = 0;
  const grant = refreshTokenGrant({
    ...endpoint,
    fetch: server.fetch,
    refreshToken: (() => refreshToken(++calls)) as () => string,
    onRotate,
  });
  const under = cacheUnderTest({ grant: grant as never });
  const again = async (): Promise<unknown> => {
    await under.cache.invalidate(under.cache.peek()?.value ?? "none");
    return under.cache.get();
  };
  return { under, server, again };
}

describe("C14: a function is asked before every mint", () => {
  test("C14: what it returns is presented: another process has rotated meanwhile", async () => {
    const stored = ["rt-1", "rt-5", "rt-9"];
    const { server, again } = asking((call) => stored[call - 1]);
    for (let mint = 0; mint < 3; mint++) await again();
    expect(server.sent).toEqual(["rt-1", "rt-5", "rt-9"]);
  });

  test("C14: sync, async, and a promise of another kind", async () => {
    // oxlint-disable-next-line unicorn/no-thenable -- some libraries return such objects
    const thenable = { then: (resolve: (value: string) => void) => resolve("rt-3") };
    const { server, again } = asking((call) => [undefined, "rt-1", Promise.resolve("rt-2"), thenable][call]);
    for (let mint = 0; mint < 3; mint++) await again();
    expect(server.sent).toEqual(["rt-1", "rt-2", "rt-3"]);
  });

  test("C14: it gets a signal, and is called with nothing else", async () => {
    const given: unknown[] = [];
    const state = (...args: unknown[]): string => (given.push(...args), "s");
    const { cache } = sessionUnderTest({ state });
    await cache.get();
    expect(given).toEqual([{ signal: expect.any(AbortSignal) as AbortSignal }]);
  });

  test("C14: one that this process has used up, of a replica that lags behind, is not presented; the one it was rotated to is", async () => {
    const { server, again } = asking(() => "rt-1");
    for (let mint = 0; mint < 12; mint++) await again();
    expect(server.sent.slice(0, 9)).toEqual(Array.from({ length: 9 }, (_, mint) => `rt-1${"+".repeat(mint)}`));
    // Eight are remembered. An older one is taken for news.
    expect(server.sent[9]).toBe("rt-1");
  });

  test("C14: it flips between two replicas: none is presented that was used up", async () => {
    let saved = "rt-1";
    const { server, again } = asking(
      (call) => (call % 2 === 0 ? "rt-1" : saved),
      (next) => (saved = next),
    );
    for (let mint = 0; mint < 6; mint++) await again();
    expect(server.sent).toEqual(["rt-1", "rt-1+", "rt-1++", "rt-1+++", "rt-1++++", "rt-1+++++"]);
  });

  test("C14: one that another process has replaced since is not presented either, when it comes back", async () => {
    const stored = ["rt-1", "rt-5", "rt-1+"];
    const { server, again } = asking((call) => stored[call - 1]);
    for (let mint = 0; mint < 3; mint++) await again();
    expect(server.sent).toEqual(["rt-1", "rt-5", "rt-5+"]);
  });

  test.each([
    ["an object", { refreshToken: "rt-1" }, "an object"],
    ["an empty string", "", "an empty string"],
    ["a number", 7, "a number"],
    ["a list", ["rt-1"], "an array"],
    ["false", false, "a boolean"],
  ])("C14: it returns %s: nothing is presented, and the error names the function", async (_, answer, kind) => {
    const { under, server } = asking(() => answer);
    const error = await rejectionOf(under.cache.get());
    expect(error).toMatchObject({ code: "ERR_GRANT", status: 503, retryable: false });
    expect((error as { hint: string }).hint).toContain('the function "refreshToken" failed');
    expect(((error as Error).cause as Error).message).toContain(kind);
    expect(server.sent).toEqual([]);
    expect(under.clock.timers).toBe(0);
  });

  test("C14: it throws after a good answer: nothing is presented, not even what this process knows", async () => {
    const { under, server, again } = asking((call) => (call === 2 ? down() : "rt-1"));
    await again();
    expect(await rejectionOf(again())).toMatchObject({ code: "ERR_GRANT", cause: { message: "the database is down" } });
    await under.clock.advance(1000);
    await again();
    expect(server.sent).toEqual(["rt-1", "rt-1+"]);
  });

  test("C14: it hangs: nothing is presented, the callers leave after mintTimeout, and the next call asks it again", async () => {
    const { under, server } = asking((call) => (call === 1 ? never() : "rt-1"));
    const { cache, clock, eventsNamed } = under;
    const waiting = watch(cache.get());
    await clock.advance(9999);
    expect(waiting.state).toBe("pending");
    await clock.advance(1);
    expect(waiting.reason).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      retryable: true,
      hint: expect.stringMatching(/^the function "refreshToken" did not settle/) as string,
    });
    expect([server.sent, eventsNamed("state-in-doubt")]).toEqual([[], []]);
    // Nothing was sent, so there is nothing to land: one remembered second later it is asked again.
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("of-rt-1");
    expect(clock.timers).toBe(0);
  });

  test.each([null, undefined])(
    "C9, C14: it returns %s: nobody is signed in, nothing is presented, and it is asked once a second",
    async (nobody) => {
      let calls = 0;
      const { under, server } = asking(() => (calls++, nobody));
      const { cache, clock, eventsNamed } = under;
      for (let ms = 0; ms < 3000; ms += 100) {
        expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
        await clock.advance(100);
      }
      expect([calls, server.sent, eventsNamed("mint-failed")]).toEqual([3, [], []]);
    },
  );

  test("C9, C14: nobody, and then somebody: the new value of the function ends it, without a sign-in", async () => {
    let stored: string | null = null;
    const { under, server } = asking(() => stored);
    expect(await rejectionOf(under.cache.get())).toMatchObject(NOBODY);
    stored = "rt-1";
    await under.clock.advance(1000);
    expect((await under.cache.get()).value).toBe("of-rt-1");
    expect(server.sent).toEqual(["rt-1"]);
  });

  test("C9, C14: somebody, and then nobody: the token is forgotten when that is found out", async () => {
    let stored: string | null = "rt-1";
    const { under } = asking(() => stored);
    const { cache, clock } = under;
    await cache.get();
    stored = null;
    // In the soft window the function is asked in the background.
    await clock.advance(3_600_000 - 30_000);
    expect(cache.peek()?.value).toBe("of-rt-1");
    await settle();
    expect(cache.peek()).toBeUndefined();
    expect(await rejectionOf(cache.get())).toMatchObject(NOBODY);
  });
});

describe("C9, C14: a refused state", () => {
  const REFUSED = { error: "invalid_grant", terminal: true, status: 401 };

  test("C9: the function has another one: that is presented in the same mint, and callers notice nothing", async () => {
    const { under, server } = asking((call) => (call === 1 ? "rt-1" : "rt-5"));
    server.refuses.add("rt-1");
    expect((await under.cache.get()).value).toBe("of-rt-5");
    expect([server.sent, under.eventsNamed("mint-failed")]).toEqual([["rt-1", "rt-5"], []]);
  });

  test("C9: the function returns the refused one again: it is presented once, and told for ever after without an event", async () => {
    let calls = 0;
    const { under, server } = asking(() => (calls++, "rt-1"));
    const { cache, clock, eventsNamed } = under;
    server.refuses.add("rt-1");
    for (let ms = 0; ms < 5000; ms += 250) {
      expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
      await clock.advance(250);
    }
    expect([server.sent, eventsNamed("mint-failed").length]).toEqual([["rt-1"], 1]);
    // Before the mint, after the refusal, and then once a second.
    expect(calls).toBeLessThanOrEqual(2 + 4);
    expect(calls).toBeGreaterThanOrEqual(5);
  });

  test("C9: the caches of three targets ask for it: the function is asked once a second for all of them", async () => {
    let calls = 0;
    const { under, server } = asking(() => (calls++, "rt-1"));
    server.refuses.add("rt-1");
    const caches = ["a", "b", "c"].map((scope) => under.cache.for({ scope }));
    for (let ms = 0; ms < 5000; ms += 100) {
      for (const cache of caches) expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
      await under.clock.advance(100);
    }
    expect(server.sent).toEqual(["rt-1"]);
    expect(calls).toBeLessThanOrEqual(2 + 5);
  });

  test("C9: the function returns two refused ones in turn: each is presented once", async () => {
    const { under, server } = asking((call) => `rt-${call % 2}`);
    server.refuses.add("rt-0").add("rt-1");
    for (let second = 0; second < 6; second++) {
      expect(await rejectionOf(under.cache.get())).toMatchObject(REFUSED);
      await under.clock.advance(1000);
    }
    expect(server.sent.toSorted()).toEqual(["rt-0", "rt-1"]);
  });

  test("C9: a value that was not seen before ends it, within a second", async () => {
    let stored = "rt-1";
    const { under, server } = asking(() => stored);
    const { cache, clock } = under;
    server.refuses.add("rt-1");
    await rejectionOf(cache.get());
    stored = "rt-7";
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("of-rt-7");
    expect(server.sent).toEqual(["rt-1", "rt-7"]);
  });

  test("C9: the function returns nobody after a refusal: that is what callers are told", async () => {
    let stored: string | null = "rt-1";
    const { under, server } = asking(() => stored);
    server.refuses.add("rt-1");
    expect(await rejectionOf(under.cache.get())).toMatchObject(REFUSED);
    stored = null;
    await under.clock.advance(1000);
    expect(await rejectionOf(under.cache.get())).toMatchObject(NOBODY);
  });

  test("C9: a string: it is presented once, however long callers ask", async () => {
    const server = rotatingServer();
    server.refuses.add("rt-1");
    const grant = refreshTokenGrant({ ...endpoint, fetch: server.fetch, refreshToken: "rt-1" });
    const { cache, clock, eventsNamed } = cacheUnderTest({ grant: grant as never });
    for (let hour = 0; hour < 5; hour++) {
      expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
      await clock.advance(3_600_000);
    }
    expect([server.sent, eventsNamed("mint-failed").length]).toEqual([["rt-1"], 1]);
  });
});

const saver = (failures: number): { saves: unknown[]; onState: (next: unknown, context: SaveUnderTest) => void } => {
  const saves: unknown[] = [];
  return {
    saves,
    onState(next, { replaced }) {
      saves.push([next, replaced]);
      if (saves.length <= failures) down();
    },
  };
};

describe("C14: a new state is saved", () => {
  test("C14: before the token is served, with what it replaces, and once", async () => {
    const order: string[] = [];
    const { cache, grant } = sessionUnderTest({
      onState: async (next, { replaced, signal }) => {
        order.push(`begins ${String(next)} for ${String(replaced)}, aborted: ${signal.aborted}`);
        await settle();
        order.push("ends");
      },
    });
    grant.respond(rotated("a", "alice-2"));
    order.push((await cache.get()).value);
    expect(order).toEqual(["begins alice-2 for alice-1, aborted: false", "ends", "a"]);
  });

  test("C12: a save keeps the process alive, because callers wait for it", async () => {
    let end!: () => void;
    const { cache, grant, clock } = sessionUnderTest({
      onState: () => new Promise<void>((resolve) => (end = resolve)),
    });
    grant.respond(rotated("a", "alice-2"));
    const waiting = watch(cache.get());
    await settle();
    expect([waiting.state, clock.timers, clock.awaited]).toEqual(["pending", 1, 1]);
    end();
    await settle();
    expect([waiting.state, clock.timers]).toEqual(["fulfilled", 0]);
  });

  test("C14: an answer without a state, or with the same one, saves nothing, and the state stays what it is", async () => {
    const { cache, grant, saved } = sessionUnderTest();
    grant.respond(rotated("a", "alice-1"));
    await cache.get();
    await cache.invalidate("a");
    await cache.get();
    expect([saved, grant.contexts.map(({ state }) => state)]).toEqual([[], ["alice-1", "alice-1"]]);
  });

  test("C14: the save fails three times, then works: the token is served, and the save is repeated after 1, 2 and 4 s", async () => {
    const { saves, onState } = saver(3);
    const { cache, grant, clock, eventsNamed } = sessionUnderTest({ onState });
    grant.respond(rotated("a", "alice-2"));
    expect((await cache.get()).value).toBe("a");
    const [first] = eventsNamed("state-unsaved");
    expect(first?.error).toMatchObject({ code: "ERR_GRANT", retryable: true, terminal: false });
    expect(first?.error.hint).toContain('the function "onState" failed');
    // The timer of a repeated save keeps no process alive.
    expect([clock.timers, clock.awaited]).toEqual([1, 0]);
    const counts: number[] = [];
    for (const ms of [999, 1, 1999, 1, 3999, 1, 60_000]) {
      await clock.advance(ms);
      counts.push(saves.length);
    }
    expect(counts).toEqual([1, 2, 2, 3, 3, 4, 4]);
    expect(new Set(saves.map((save) => JSON.stringify(save)))).toEqual(new Set(['["alice-2","alice-1"]']));
    expect([eventsNamed("state-unsaved").length, clock.timers]).toEqual([3, 0]);
  });

  test("C14: the pauses grow to 30 s and no further, and begin with 1 s again after a save that worked", async () => {
    let isDown = true;
    let saves = 0;
    const { cache, grant, clock } = sessionUnderTest({
      onState: () => {
        saves++;
        if (isDown) down();
      },
    });
    grant.respond(rotated("a", "alice-2"));
    await cache.get();
    const pauses: number[] = [];
    for (let last = 0, at = 0; pauses.length < 7; at += 500) {
      const before = saves;
      await clock.advance(500);
      if (saves > before) {
        pauses.push((at + 500 - last) / 1000);
        last = at + 500;
      }
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30]);
    isDown = false;
    await clock.advance(30_000);
    isDown = true;
    grant.respond(rotated("b", "alice-3"));
    await cache.invalidate("a");
    await cache.get();
    const before = saves;
    await clock.advance(1000);
    expect(saves).toBe(before + 1);
  });

  test("C14: an unsaved state is presented by the next mint, which does not ask the function; the newest is what is saved", async () => {
    const saves: unknown[] = [];
    let isDown = true;
    let asked = 0;
    const { cache, grant, clock } = sessionUnderTest({
      state: () => (asked++, "alice-1"),
      onState: (next) => {
        saves.push(next);
        if (isDown) down();
      },
    });
    for (const [token, state] of [
      ["a", "alice-2"],
      ["b", "alice-3"],
      ["c", "alice-4"],
    ] as const) {
      grant.respond(rotated(token, state));
      await cache.invalidate(cache.peek()?.value ?? "none");
      expect((await cache.get()).value).toBe(token);
    }
    expect([grant.contexts.map(({ state }) => state), asked]).toEqual([["alice-1", "alice-2", "alice-3"], 1]);
    isDown = false;
    saves.length = 0;
    await clock.advance(30_000);
    expect(saves).toEqual(["alice-4"]);
    // Saved, so the function counts again; what it says was used up long ago.
    await cache.invalidate("c");
    await cache.get();
    expect([grant.contexts.at(-1)?.state, asked]).toEqual(["alice-4", 2]);
  });

  test("C14: a save is repeated at each mint, without waiting for its timer", async () => {
    const { saves, onState } = saver(1);
    const { cache, grant, clock } = sessionUnderTest({ onState });
    grant.respond(rotated("a", "alice-2"));
    await cache.get();
    await cache.invalidate("a");
    await cache.get();
    expect([saves.length, clock.monotonic()]).toEqual([2, 0]);
  });

  test("C14: saves of one session are made one after another, and the newest state is saved last", async () => {
    const ends: (() => void)[] = [];
    const saves: unknown[] = [];
    const { cache, grant, clock } = sessionUnderTest({
      onState: (next) => {
        saves.push(next);
        return new Promise<void>((resolve) => ends.push(resolve));
      },
    });
    grant.respond(rotated("a", "alice-2"));
    const first = watch(cache.get());
    await clock.advance(5000);
    // Its callers have left the first save, which took too long; its signal told it so.
    expect(first.value?.value).toBe("a");
    grant.respond(rotated("b", "alice-3"));
    await cache.invalidate("a");
    const second = watch(cache.get());
    await settle();
    expect(saves).toEqual(["alice-2", "alice-2"]);
    ends[1]!();
    await settle();
    expect(saves).toEqual(["alice-2", "alice-2", "alice-3"]);
    ends[2]!();
    await settle();
    expect(second.value?.value).toBe("b");
    await clock.advance(60_000);
    expect([saves.length, clock.timers]).toEqual([3, 0]);
  });

  test("C14: the state rotates again while it is being saved: the next save says that it replaces the one that was saved last", async () => {
    const ends: (() => void)[] = [];
    const saves: unknown[] = [];
    const { cache, grant } = sessionUnderTest({
      onState: (next, { replaced }) => {
        saves.push([replaced, next]);
        return new Promise<void>((resolve) => ends.push(resolve));
      },
    });
    grant.respond(rotated("a", "alice-2"));
    const first = watch(cache.get());
    await settle();
    // Another target's mint does not wait for the save.
    grant.respond(rotated("b", "alice-3"));
    const second = watch(cache.for({ resource: "https://billing.example" }).get());
    await settle();
    ends[0]!();
    await settle();
    ends[1]!();
    await settle();
    expect([first.value?.value, second.value?.value]).toEqual(["a", "b"]);
    expect(saves).toEqual([
      ["alice-1", "alice-2"],
      ["alice-2", "alice-3"],
    ]);
  });

  test("C14: a save that hangs: the token is served after half of mintTimeout, and the signal of the save aborts", async () => {
    const signals: AbortSignal[] = [];
    const { cache, grant, clock, events } = sessionUnderTest({
      mintTimeout: 4000,
      onState: (_, { signal }) => (signals.push(signal), never()),
    });
    grant.respond(rotated("a", "alice-2"));
    const waiting = watch(cache.get());
    await clock.advance(1999);
    expect([waiting.state, signals[0]?.aborted]).toEqual(["pending", false]);
    await clock.advance(1);
    expect([waiting.value?.value, signals[0]?.aborted]).toEqual(["a", true]);
    expect(events.map(({ name }) => name)).toEqual(["state-unsaved", "minted"]);
  });

  test("C10, C14: the callers of a mint whose answer came late wait no longer than mintTimeout, its save included", async () => {
    const { cache, grant, clock } = sessionUnderTest({ onState: never });
    grant.respond(rotated("a", "alice-2"));
    const hold = grant.hold();
    const waiting = watch(cache.get());
    await clock.advance(9000);
    hold.release();
    await clock.advance(999);
    expect(waiting.state).toBe("pending");
    await clock.advance(1);
    expect(waiting.value?.value).toBe("a");
  });

  test("C14: close() saves what is not saved, and reports what it could not save", async () => {
    for (const works of [true, false]) {
      const { saves, onState } = saver(works ? 1 : Infinity);
      const { cache, grant, clock } = sessionUnderTest({ onState });
      grant.respond(rotated("a", "alice-2"));
      await cache.get();
      expect(await cache.close()).toEqual({ inFlight: false, unsaved: !works });
      expect([saves.length, clock.timers]).toEqual([2, 0]);
      await clock.advance(120_000);
      expect(saves).toHaveLength(2);
    }
  });

  test("C14: close({ within }) waits for a save that hangs no longer than that", async () => {
    for (const isRunning of [true, false]) {
      const { cache, grant, clock } = sessionUnderTest({ onState: never });
      grant.respond(rotated("a", "alice-2"));
      const waiting = watch(cache.get());
      await clock.advance(isRunning ? 1000 : 5000);
      expect(waiting.state).toBe(isRunning ? "pending" : "fulfilled");
      const closed = watch(cache.close({ within: 300 }));
      await clock.advance(299);
      expect(closed.state).toBe("pending");
      await clock.advance(1);
      expect(closed.value).toMatchObject({ unsaved: true });
      await clock.advance(120_000);
      expect(clock.timers).toBe(0);
    }
  });

  test("S5: neither the event nor its error says the state", async () => {
    const grant = refreshTokenGrant({
      ...endpoint,
      fetch: rotatingServer().fetch,
      refreshToken: "secret-1",
      onRotate: (next) => {
        throw new Error(`duplicate key ${next}`);
      },
    });
    const { cache, eventsNamed } = cacheUnderTest({ grant: grant as never });
    await cache.get();
    const { error } = eventsNamed("state-unsaved")[0]!;
    const { inspect } = await import("node:util");
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain("secret-1");
    expect((error.cause as Error).message).toContain("duplicate key");
  });
});

describe("C14: an answer counts, whatever is wrong with its access token", () => {
  test.each([
    ["no access token", {}],
    ["an access token that cannot stand in a header", { access_token: "a b" }],
    ["a token of an unknown type", { access_token: "a", token_type: "mac" }],
  ])("C14: %s: the state in it is saved before the callers are told", async (_, answer) => {
    const { cache, grant, clock, saved } = sessionUnderTest();
    grant.respond({ ...answer, state: "alice-2" });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(saved).toEqual(["alice-2"]);
    await clock.advance(1000);
    await cache.get();
    expect(grant.contexts.at(-1)?.state).toBe("alice-2");
  });
});

describe("C14: a mint that must not be aborted lands", () => {
  test("C14: callers leave at mintTimeout; the answer that comes later is cached, saved and told", async () => {
    const { cache, grant, clock, saved, eventsNamed } = sessionUnderTest();
    grant.respond(rotated("late", "alice-2"));
    const hold = grant.hold();
    const waiting = watch(cache.get());
    await clock.advance(10_000);
    expect(waiting.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true });
    expect([grant.contexts[0]?.signal.aborted, clock.awaited]).toEqual([false, 0]);
    await clock.advance(20_000);
    hold.release();
    await clock.advance(0);
    expect([cache.peek()?.value, saved]).toEqual(["late", ["alice-2"]]);
    expect(eventsNamed("minted")).toMatchObject([{ cause: "cold", duration: 30_000, repeated: false }]);
    expect([eventsNamed("mint-failed").length, eventsNamed("state-in-doubt").length]).toEqual([1, 0]);
    expect([(await cache.get()).value, grant.mints, clock.timers]).toEqual(["late", 1, 0]);
  });

  test("C14: a save of a landed state may take half of mintTimeout: nobody waits for it", async () => {
    const saves: unknown[] = [];
    let end!: () => void;
    const { cache, grant, clock, eventsNamed } = sessionUnderTest({
      onState: (next) => {
        saves.push(next);
        return new Promise<void>((resolve) => (end = resolve));
      },
    });
    grant.respond(rotated("late", "alice-2"));
    const hold = grant.hold();
    cache.get().catch(() => {});
    await clock.advance(20_000);
    hold.release();
    await clock.advance(4999);
    end();
    await clock.advance(60_000);
    expect([saves, eventsNamed("state-unsaved")]).toEqual([["alice-2"], []]);
    expect(eventsNamed("minted")).toHaveLength(1);
  });

  test("C14: while it lands, every call fails at once with the same failure, and nothing is minted beside it", async () => {
    const { cache, grant, clock, eventsNamed } = sessionUnderTest();
    grant.hold();
    const waiting = watch(cache.get());
    await clock.advance(10_000);
    for (let second = 0; second < 49; second++) {
      const call = watch(cache.get());
      await settle();
      expect(call.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", message: (waiting.reason as Error).message });
      await clock.advance(1000);
    }
    expect([grant.mints, eventsNamed("mint-failed").length]).toEqual([1, 1]);
  });

  test("C14: it is cut at landingTimeout: the state is in doubt, an event says so, and the old one is presented next", async () => {
    const { cache, grant, clock, eventsNamed } = sessionUnderTest({ landingTimeout: 30_000 });
    const hold = grant.hold();
    const waiting = watch(cache.get());
    await clock.advance(29_999);
    expect([waiting.state, grant.contexts[0]?.signal.aborted, eventsNamed("state-in-doubt").length]).toEqual([
      "rejected",
      false,
      0,
    ]);
    await clock.advance(1);
    expect([grant.contexts[0]?.signal.aborted, eventsNamed("state-in-doubt").length, clock.timers]).toEqual([
      true,
      1,
      0,
    ]);
    hold.release();
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.contexts.map(({ state }) => state)).toEqual(["alice-1", "alice-1"]);
  });

  test.each([
    ["a connection that broke", Object.assign(new Error("read"), { code: "ECONNRESET" }), 1],
    ["a connection that was refused", Object.assign(new Error("connect"), { code: "ECONNREFUSED" }), 0],
    ["an answer of the server", Object.assign(new Error("x"), { status: 500 }), 0],
  ])("C14: after %s the state is in doubt: %#", async (_, error, events) => {
    const { cache, grant, eventsNamed } = sessionUnderTest();
    grant.fail(error, Infinity);
    await rejectionOf(cache.get());
    expect(eventsNamed("state-in-doubt")).toHaveLength(events);
  });

  test("C14: close({ within }) with a mint in flight: it lands, is saved, and is reported when it does not", async () => {
    for (const lands of [true, false]) {
      const { cache, grant, clock, saved } = sessionUnderTest();
      grant.respond(rotated("late", "alice-2"));
      const hold = grant.hold();
      const waiting = watch(cache.get());
      await settle();
      const closed = watch(cache.close({ within: 500 }));
      await clock.advance(499);
      expect([waiting.reason, closed.state]).toMatchObject([{ code: "ERR_CLOSED" }, "pending"]);
      if (lands) hold.release();
      await clock.advance(1);
      expect([closed.value, saved]).toEqual([{ inFlight: !lands, unsaved: false }, lands ? ["alice-2"] : []]);
      expect(cache.peek()).toBeUndefined();
      hold.release();
      await clock.advance(60_000);
      expect(clock.timers).toBe(0);
    }
  });

  test("C14: close() waits for mintTimeout by default", async () => {
    const { cache, grant, clock } = sessionUnderTest({ mintTimeout: 2000 });
    grant.hold();
    cache.get().catch(() => {});
    await settle();
    const closed = watch(cache.close());
    await clock.advance(1999);
    expect(closed.state).toBe("pending");
    await clock.advance(1);
    expect(closed.value).toEqual({ inFlight: true, unsaved: false });
  });

  test.each([
    ["a negative number", -1],
    ["a string", "1s"],
    ["NaN", Number.NaN],
  ])("C14: close({ within }) with %s is a TypeError that names it, and the cache stays open", async (_, within) => {
    const { cache } = sessionUnderTest();
    await expect(cache.close({ within: within as number })).rejects.toThrow(/"within"/);
    expect((await cache.get()).value).toBe("fake-1");
  });

  test.each([
    ["less than mintTimeout", { landingTimeout: 9999 }],
    ["less than a mintTimeout of its own", { landingTimeout: 1, mintTimeout: 2 }],
  ])("C14: a landingTimeout that is %s is a TypeError that names it", (_, options) => {
    expect(() => cacheUnderTest(options)).toThrow(/"landingTimeout"/);
  });
});

describe("C14: mints of one session are made one after another", () => {
  test("C14: two targets at once: the second presents what the first has brought", async () => {
    const { cache, grant, saved } = sessionUnderTest();
    const [orders, billing] = [cache.for({ resource: "urn:orders" }), cache.for({ resource: "urn:billing" })];
    grant.respond(rotated("o", "alice-2"));
    grant.respond(rotated("b", "alice-3"));
    const hold = grant.hold();
    const got = [watch(orders.get()), watch(billing.get())];
    await settle();
    expect([grant.mints, hold.waiting]).toEqual([1, 1]);
    hold.release();
    await settle();
    expect(got.map(({ value }) => value?.value)).toEqual(["o", "b"]);
    expect(grant.contexts.map(({ state, target }) => [state, target?.resource])).toEqual([
      ["alice-1", ["urn:orders"]],
      ["alice-2", ["urn:billing"]],
    ]);
    expect(saved).toEqual(["alice-2", "alice-3"]);
  });

  test("C12: a caller of the second target leaves: the mint that callers of the first wait for keeps the process alive", async () => {
    const { cache, grant, clock } = sessionUnderTest();
    grant.hold();
    const ofOrders = watch(cache.for({ resource: "urn:orders" }).get());
    const controller = new AbortController();
    const ofBilling = watch(cache.for({ resource: "urn:billing" }).get({ signal: controller.signal }));
    await settle();
    expect(clock.awaited).toBe(1);
    controller.abort();
    await settle();
    expect([ofBilling.state, ofOrders.state, clock.awaited]).toEqual(["rejected", "pending", 1]);
  });
});

describe("C14: the state belongs to the grant, and not to the cache", () => {
  const SHARED = /"grant" must not be used by two caches at a time/;

  test("C14: a second cache is a TypeError while the first is open; afterwards it goes on from the state", async () => {
    const grant = fakeGrant({ state: "alice-1", onState: () => {} });
    grant.respond(rotated("a", "alice-2"));
    const first = cacheUnderTest({ grant });
    await first.cache.get();
    expect(() => cacheUnderTest({ grant })).toThrow(SHARED);
    expect(() => cacheUnderTest({ grant: { ...grant } })).toThrow(SHARED);
    await first.cache.close();
    const second = cacheUnderTest({ grant });
    await second.cache.get();
    expect(grant.contexts.map(({ state }) => state)).toEqual(["alice-1", "alice-2"]);
  });

  test("C14: a second cache saves what the first could not save", async () => {
    const saves: unknown[] = [];
    let isDown = true;
    const grant = fakeGrant({
      state: "alice-1",
      onState: (next) => {
        if (isDown) down();
        saves.push(next);
      },
    });
    grant.respond(rotated("a", "alice-2"));
    const first = cacheUnderTest({ grant });
    await first.cache.get();
    expect(await first.cache.close()).toEqual({ inFlight: false, unsaved: true });
    isDown = false;
    const second = cacheUnderTest({ grant });
    await second.cache.get();
    await settle();
    expect([saves, grant.contexts.at(-1)?.state]).toEqual([["alice-2"], "alice-2"]);
  });

  test("C14: a cache that could not be created does not keep the grant", () => {
    const grant = fakeGrant({ state: "alice-1", onState: () => {} });
    const wrong: object[] = [
      { initial: { access_token: "a", expires_at: "soon" } },
      { initial: { access_token: "a", receivedAt: "soon" } },
      { initial: { access_token: "a", token_type: "mac" } },
      { mintTimeout: 0 },
      { origins: ["not a URL"] },
    ];
    for (const options of wrong) expect(() => cacheUnderTest({ grant, ...options }), JSON.stringify(options)).toThrow();
    expect(() => cacheUnderTest({ grant })).not.toThrow();
  });

  test("C14: grants without a state may be used by any number of caches", async () => {
    const grants: Grant[] = [
      fakeGrant(),
      customGrant({ mint: () => "a" }),
      customGrant({ mint: () => "a", mintRetries: 1 }),
    ];
    for (const grant of grants) {
      const caches = [cacheUnderTest({ grant: grant as never }), cacheUnderTest({ grant: grant as never })];
      for (const { cache } of caches) await cache.get();
    }
  });
});

/** Rotates the state of a grant three times. */
async function rotateThrice(options: object = {}, state = "alice-1"): Promise<void> {
  const grant = fakeGrant({ state });
  const { cache } = cacheUnderTest({ grant, ...options });
  for (let rotation = 2; rotation < 5; rotation++) {
    grant.respond(rotated(`t-${rotation}`, `${state}-${rotation}`));
    await cache.invalidate(cache.peek()?.value ?? "none");
    await cache.get();
  }
  expect(grant.contexts.map((context) => context.state)).toEqual([state, `${state}-2`, `${state}-3`]);
  // Process warnings are emitted in the next turn.
  await settle();
}

describe("C14: nothing keeps the state", () => {
  const warnings: { name: string; message: string }[] = [];
  const listen = (warning: Error): void => void warnings.push({ name: warning.name, message: warning.message });
  beforeEach(() => void process.on("warning", listen));
  afterEach(() => {
    process.off("warning", listen);
    warnings.length = 0;
  });

  test("C14: the first rotation warns once, and names the option that saves and the store; the session goes on", async () => {
    await rotateThrice();
    expect(warnings).toEqual([
      { name: "RemintWarning", message: expect.stringMatching(/"onState".*"store"/) as string },
    ]);
    expect(warnings[0]?.message).not.toContain("alice");
  });

  test("C14: warnings: false is silent; so is a grant that saves, and a server that does not rotate", async () => {
    await rotateThrice({ warnings: false });
    const saving = sessionUnderTest();
    saving.grant.respond(rotated("a", "alice-2"));
    await saving.cache.get();
    const lasting = cacheUnderTest({ grant: fakeGrant({ state: "s" }) });
    await lasting.cache.get();
    await settle();
    expect(warnings).toEqual([]);
  });

  test("C14: refreshTokenGrant names onRotate", async () => {
    const grant = refreshTokenGrant({ ...endpoint, fetch: rotatingServer().fetch, refreshToken: "rt-1" });
    await cacheUnderTest({ grant: grant as never }).cache.get();
    await settle();
    expect(warnings).toEqual([
      { name: "RemintWarning", message: expect.stringMatching(/refreshToken.*"onRotate".*"store"/) as string },
    ]);
  });

  test("C14: a function without anything that saves is a TypeError of createTokenCache, which names both options", () => {
    const refreshing = refreshTokenGrant({ ...endpoint, refreshToken: () => "rt-1" });
    expect(() => createTokenCache({ grant: refreshing, origins: [ORIGIN] })).toThrow(
      /^"refreshToken" is a function, so "onRotate" must be given too, or the cache a "store"/,
    );
    const custom = customGrant({ state: () => "s", mint: () => "a" });
    expect(() => createTokenCache({ grant: custom, origins: [ORIGIN] })).toThrow(TypeError);
    expect(() => createTokenCache({ grant: custom, origins: [ORIGIN] })).toThrow(/"state".*"onState"/);
  });
});

describe("C14: digests", () => {
  test("C14: states are told apart, however similar they are, and a digest holds nothing of its state", () => {
    const states = ["a", "A", "a ", 1, "1", null, { a: 1 }, { a: "1" }, ["a"], "", undefined];
    const digests = states.map(digestOf);
    expect(new Set(digests).size).toBe(states.length);
    for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{24}$/);
    expect(digestOf({ a: 1 })).toBe(digestOf({ a: 1 }));
  });

  test("C14: the last eight are remembered, each once, the one that was used last at the end", () => {
    const many = Array.from({ length: 12 }, (_, index) => `d${index}`);
    expect(remembered([], many)).toEqual(many.slice(4));
    expect(remembered(["a", "b", "c"], ["a"])).toEqual(["b", "c", "a"]);
    expect(remembered(["a"], [])).toEqual(["a"]);
  });

  test("C14: memory of a session that has rotated 10,000 times: eight digests, whatever the size of the states", () => {
    const { source } = definitionOf(fakeGrant({ state: "s", onState: () => {} }));
    const settings = {
      clock: manualClock(),
      mintTimeout: 10_000,
      listeners: new CacheListeners(undefined),
      hasStore: false,
      warns: false,
    };
    const state = new SessionState(source!, settings);
    for (let rotation = 0; rotation < 10_000; rotation++) {
      const next = `${rotation}-${"x".repeat(1000)}`;
      state.rotate({ state: next, replaced: state.current, response: {} });
    }
    expect(state.used).toHaveLength(8);
    expect(state.hasUsed(`9998-${"x".repeat(1000)}`)).toBe(true);
    expect(state.hasUsed(state.current)).toBe(false);
    expect(JSON.stringify(state.used).length).toBeLessThan(300);
  });
});
