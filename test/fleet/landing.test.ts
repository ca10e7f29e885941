/** Mints whose answer comes late, cannot be written, or finds that the lease is gone. */
import { describe, expect, test } from "vitest";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { plainRecord, shelfOf } from "./records.ts";
import { countEvents, sessionFleet, type SessionFleet, type SessionProcess } from "./session-server.ts";
import type { Store } from "../../src/fleet/index.ts";

const LIFE = 300_000;
const refused = (): ReturnType<Store["swap"]> => Promise.reject(new Error("connect ECONNREFUSED"));

/** Process `a` has sent its refresh token. The answer comes when `answer` is called. */
async function unanswered(
  size = 2,
): Promise<
  SessionFleet & { a: SessionProcess; b: SessionProcess; caller: ReturnType<typeof watch>; answer: () => void }
> {
  const fleet = sessionFleet(size);
  const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
  const gate = deferred();
  a.grant.beforeAnswering = () => gate.promise;
  const caller = watch(a.cache.get());
  await fleet.clock.advance(100);
  expect(fleet.server.presented).toEqual(["rt-1-0"]);
  return { ...fleet, a, b, caller, answer: () => gate.resolve() };
}

describe("an answer after mintTimeout", () => {
  test("C14: its callers have left; the token is published, cached here, and adopted there", async () => {
    const { clock, server, a, b, caller, answer, during } = await unanswered();
    await clock.advance(10_000);
    expect(caller).toMatchObject({ state: "rejected", reason: { code: "ERR_TOKEN_TIMEOUT", status: 503 } });
    // The lease is kept: nobody sends the refresh token again.
    const other = watch(b.cache.get());
    await clock.advance(15_000);
    expect(other.state).toBe("pending");
    answer();
    await clock.advance(1000);
    expect(a.cache.peek()?.value).toBe("at-1-1");
    expect(other).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
    expect([countEvents(a, "minted"), countEvents(b, "adopted"), countEvents(a, "state-in-doubt")]).toEqual([1, 1, 0]);
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("C14: while it lands, further callers fail at once with the same failure", async () => {
    const { clock, server, a, caller, answer, during } = await unanswered(1);
    await clock.advance(10_000);
    for (let seconds = 0; seconds < 10; seconds++) {
      const error = await rejectionOf(a.cache.get());
      expect(error).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
      expect(error).not.toBe(caller.reason);
      await clock.advance(1000);
    }
    expect(countEvents(a, "mint-failed")).toBe(1);
    answer();
    await clock.advance(2000);
    expect((await during(a.cache.get())).value).toBe("at-1-1");
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test("C14: it never comes: the mint is cut after landingTimeout, which an event says, and the same state is presented", async () => {
    const { clock, server, a, b, during } = await unanswered();
    await clock.advance(59_000);
    expect(countEvents(a, "state-in-doubt")).toBe(0);
    const other = watch(b.cache.get());
    await clock.advance(2000);
    expect(countEvents(a, "state-in-doubt")).toBe(1);
    // The failure of one process does not bind the others. The server had used the refresh token up: this is the loss that
    // cannot be prevented.
    await clock.advance(1000);
    expect(other).toMatchObject({ state: "rejected", reason: { error: "invalid_grant" } });
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ error: "invalid_grant" });
    expect(server.presented).toEqual(["rt-1-0", "rt-1-0"]);
  });
});

describe("closing", () => {
  test("C16: the answer comes while the cache closes: it is published, and the report says that nothing is lost", async () => {
    const { clock, a, b, answer, during } = await unanswered();
    const closed = watch(a.cache.close());
    await clock.advance(5000);
    expect(closed.state).toBe("pending");
    answer();
    await clock.advance(100);
    expect(closed).toMatchObject({ state: "fulfilled", value: { inFlight: false, unsaved: false } });
    expect((await during(b.cache.get())).value).toBe("at-1-1");
  });

  test("C16: the answer does not come: closing ends after `within`, and reports the mint; it is published when it comes", async () => {
    const { clock, server, a, b, answer, during } = await unanswered();
    const closed = watch(a.cache.close({ within: 3000 }));
    await clock.advance(2900);
    expect(closed.state).toBe("pending");
    await clock.advance(200);
    expect(closed).toMatchObject({ state: "fulfilled", value: { inFlight: true, unsaved: false } });
    answer();
    await clock.advance(1000);
    expect((await during(b.cache.get())).value).toBe("at-1-1");
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test.each([
    ["stays away", false],
    ["comes back", true],
  ])(
    "C16: the store is away when the rotated token should be written, and %s: closing waits, and reports it",
    async (_, isBack) => {
      const { clock, server, a, b, caller, answer, during } = await unanswered();
      a.store.fault = refused;
      answer();
      await clock.advance(100);
      // The callers do not wait for the store.
      expect(caller).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
      const closed = watch(a.cache.close({ within: 5000 }));
      await clock.advance(2500);
      expect(closed.state).toBe("pending");
      if (isBack) a.store.fault = undefined;
      await clock.advance(2600);
      expect(closed).toMatchObject({ state: "fulfilled", value: { inFlight: false, unsaved: !isBack } });
      if (!isBack) return;
      expect((await during(b.cache.get())).value).toBe("at-1-1");
      await clock.advance(LIFE);
      expect((await during(b.cache.get())).value).toBe("at-1-2");
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    },
  );

  test("C16: onRotate hangs: closing waits for it, and reports that the refresh token is unsaved", async () => {
    const { clock, processes, during } = sessionFleet(1, { members: { save: () => new Promise(() => {}) } });
    const [a] = processes as [SessionProcess];
    // With a store nobody waits for onRotate.
    const got = a.cache.get();
    await clock.advance(100);
    expect((await got).value).toBe("at-1-1");
    const closing = a.cache.close({ within: 20_000 });
    const closed = watch(closing);
    await clock.advance(100);
    expect(closed.state).toBe("pending");
    expect(await during(closing)).toMatchObject({ unsaved: true });
  });
});

/** Process `a` has the lease and has not sent. It does not reach the store, so another process takes over. */
async function overtaken(
  hold: "source" | "sending",
): Promise<SessionFleet & { a: SessionProcess; b: SessionProcess; caller: ReturnType<typeof watch>; go: () => void }> {
  const fleet = sessionFleet(0);
  const gate = deferred();
  const source = hold === "source" ? async () => (await gate.promise, fleet.seed) : fleet.seed;
  const [a, b] = [fleet.join({ source, mintTimeout: 60_000 }), fleet.join({ mintTimeout: 60_000 })];
  if (hold === "sending") a.grant.beforeSending = () => gate.promise;
  const caller = watch(a.cache.get());
  await fleet.clock.advance(100);
  a.store.fault = refused;
  expect((await fleet.during(b.cache.get())).value).toBe("at-1-1");
  a.store.fault = undefined;
  return { ...fleet, a, b, caller, go: () => gate.resolve() };
}

test("C14: everything is lost while a process mints for one API: its own mint for another API waits for that answer", async () => {
  const fleet = sessionFleet(1);
  const shelf = shelfOf(fleet);
  const { clock, server, processes } = fleet;
  const [a] = processes as [SessionProcess];
  const gate = deferred();
  a.grant.beforeAnswering = () => gate.promise;
  const first = watch(a.cache.get());
  await clock.advance(100);
  await shelf.clear();
  const second = watch(a.cache.for({ resource: "https://billing.example" }).get());
  await clock.advance(2000);
  expect(server.presented).toEqual(["rt-1-0"]);
  gate.resolve();
  await clock.advance(1000);
  expect([first.state, second.state]).toEqual(["fulfilled", "fulfilled"]);
  expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  expect(await shelf.record()).toMatchObject({ phase: "T", state: "rt-1-2" });
});

describe("the record is lost while one process refreshes, and another waits for it", () => {
  const LOSSES: [string, string | undefined][] = [
    ["deleted", undefined],
    ["replaced by text of others", "hello"],
  ];

  test.each(LOSSES)(
    "C14: %s: the other waits for what the first has got, and does not present the same",
    async (_, text) => {
      const fleet = sessionFleet(2);
      const shelf = shelfOf(fleet);
      const { clock, server, processes } = fleet;
      const [a, b] = processes as [SessionProcess, SessionProcess];
      const gate = deferred();
      a.grant.beforeAnswering = () => gate.promise;
      const first = watch(a.cache.get());
      await clock.advance(100);
      const other = watch(b.cache.get());
      await clock.advance(200);
      await shelf.put(text);
      await clock.advance(5000);
      expect([server.presented, other.state]).toEqual([["rt-1-0"], "pending"]);
      gate.resolve();
      await clock.advance(1000);
      expect([first.value, other.value]).toEqual([
        expect.objectContaining({ value: "at-1-1" }),
        expect.objectContaining({ value: "at-1-1" }),
      ]);
      expect(server.presented).toEqual(["rt-1-0"]);
    },
  );

  test.each(LOSSES)(
    "C14: %s, and the first is dead: the other presents what it knows when the lease would have ended",
    async (_, text) => {
      const fleet = sessionFleet(1);
      const shelf = shelfOf(fleet);
      const { clock, server, processes, during } = fleet;
      const [{ cache }] = processes as [SessionProcess];
      await during(cache.get());
      const { gen, sid } = (await shelf.record())!;
      await clock.advance(LIFE);
      const lease = {
        lease: 10_000,
        ttl: 10_000,
        at: clock.now(),
        gen,
        sid,
        state: "rt-1-1",
        holder: "dead",
        tokens: {},
      };
      await shelf.put(plainRecord("L", lease), 10_000);
      const got = watch(cache.get());
      await clock.advance(200);
      await shelf.put(text);
      await clock.advance(9000);
      expect(got.state).toBe("pending");
      await clock.advance(1500);
      expect(got).toMatchObject({ state: "fulfilled", value: { value: "at-1-2" } });
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    },
  );
});

describe("the lease is lost", () => {
  test("C14: before anything is sent: nothing is sent, and the process adopts what the other one has published", async () => {
    const { clock, server, a, caller, go } = await overtaken("source");
    go();
    await clock.advance(20_000);
    expect(caller).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
    expect(server.presented).toEqual(["rt-1-0"]);
    expect(countEvents(a, "mint-failed")).toBe(0);
  });

  test("C14: the host is suspended with the lease, so that only the wall clock runs: nothing is sent", async () => {
    const fleet = sessionFleet(0);
    const { clock, server, during } = fleet;
    const gate = deferred();
    const a = fleet.join({ source: async () => (await gate.promise, fleet.seed) });
    const caller = watch(a.cache.get());
    await clock.advance(100);
    a.store.fault = refused;
    clock.suspend(9000);
    gate.resolve();
    await clock.advance(100);
    expect(server.presented).toEqual([]);
    a.store.fault = undefined;
    await clock.advance(20_000);
    expect((await during(a.cache.get())).value).toBe("at-1-1");
    expect(server.presented).toEqual(["rt-1-0"]);
    expect(caller.state).not.toBe("pending");
  });

  test("C14: another process has the lease and has not sent: what this process got is written over the lease", async () => {
    const { clock, server, store, processes, during } = sessionFleet(2);
    const shelf = shelfOf({ store });
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await during(a.cache.get());
    await clock.advance(LIFE);
    const gate = deferred();
    a.grant.beforeAnswering = () => gate.promise;
    const first = watch(a.cache.get());
    await clock.advance(100);
    a.store.fault = refused;
    b.grant.beforeSending = () => new Promise(() => {});
    b.cache.get().catch(() => {});
    await clock.advance(9000);
    a.store.fault = refused;
    await clock.advance(8000);
    expect(await shelf.record()).toMatchObject({ phase: "L", state: "rt-1-1" });
    a.store.fault = undefined;
    gate.resolve();
    await clock.advance(2000);
    expect(await shelf.record()).toMatchObject({ phase: "T", state: "rt-1-2" });
    expect(first.state).not.toBe("pending");
    expect((await during(a.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("C14: everything is lost during the mint, and another process begins a record without a state: what this one got is written over it", async () => {
    const fleet = sessionFleet(0);
    const shelf = shelfOf(fleet);
    const { clock, server, join, during } = fleet;
    const gate = deferred();
    const [a, b] = [join({ source: () => "rt-1-0" }), join({ source: () => gate.promise.then(() => "rt-1-0") })];
    const answer = deferred();
    a.grant.beforeAnswering = () => answer.promise;
    const first = watch(a.cache.get());
    await clock.advance(100);
    await shelf.clear();
    const second = watch(b.cache.get());
    await clock.advance(100);
    expect((await shelf.record())!.state).toBeUndefined();
    answer.resolve();
    await clock.advance(100);
    expect(first).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
    expect(await shelf.record()).toMatchObject({ phase: "T", state: "rt-1-1" });
    // Process b notices at its next heartbeat that it has no lease any more.
    await clock.advance(4000);
    gate.resolve();
    await clock.advance(1000);
    expect(second).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
    expect(server.presented).toEqual(["rt-1-0"]);
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
  });
});
