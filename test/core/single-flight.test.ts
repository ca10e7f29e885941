import { describe, expect, test } from "vitest";
import { leaveOnAbort } from "../../src/base/abort.ts";
import { Flight } from "../../src/core/single-flight.ts";
import { cacheUnderTest, settle, watch } from "./cache-under-test.ts";

/** Creates a flight, with functions that make it succeed or fail, and a log of its calls of `hold`. */
function pendingFlight(): {
  flight: Flight<string>;
  land: (value: string) => void;
  crash: (error: Error) => void;
  holds: boolean[];
} {
  let land!: (value: string) => void;
  let crash!: (error: Error) => void;
  const promise = new Promise<string>((resolve, reject) => {
    land = resolve;
    crash = reject;
  });
  const holds: boolean[] = [];
  return { flight: new Flight(1, "cold", promise, (awaited) => void holds.push(awaited)), land, crash, holds };
}

describe("Flight", () => {
  test("C1: waiters without a signal get the shared promise itself", () => {
    const { flight: shared } = pendingFlight();
    expect(shared.wait()).toBe(shared.promise);
    expect(shared.wait()).toBe(shared.wait());
  });

  test("C12: the first waiter keeps the process alive until the last waiter aborts", async () => {
    const { flight: shared, holds } = pendingFlight();
    const controllers = [new AbortController(), new AbortController()];
    const waits = controllers.map(({ signal }) => watch(shared.wait(signal)));
    expect(holds).toEqual([true]);
    controllers[0]!.abort();
    await settle();
    expect(holds).toEqual([true]);
    controllers[1]!.abort();
    await settle();
    expect(holds).toEqual([true, false]);
    expect(waits.map(({ state }) => state)).toEqual(["rejected", "rejected"]);
    void shared.wait();
    expect(holds).toEqual([true, false, true]);
  });

  test("C12: a waiter without a signal keeps the process alive when others abort", async () => {
    const { flight: shared, holds } = pendingFlight();
    void shared.wait();
    const controller = new AbortController();
    const left = watch(shared.wait(controller.signal));
    controller.abort();
    await settle();
    expect(left.state).toBe("rejected");
    expect(holds).toEqual([true]);
  });

  test("C12: a flight without waiters may fail without an unhandled rejection", async () => {
    const { crash } = pendingFlight();
    crash(new Error("down"));
    await settle();
  });
});

describe("leaveOnAbort", () => {
  const never = new Promise<never>(() => {});

  test.each([new Error("gone"), "a string", 0, null, { an: "object" }])(
    "C10: an abort rejects with its reason, whatever that is: %o",
    async (reason) => {
      const controller = new AbortController();
      const left = watch(leaveOnAbort(never, controller.signal));
      controller.abort(reason);
      await settle();
      expect(left).toMatchObject({ state: "rejected" });
      expect(left.reason).toBe(reason);
    },
  );

  test("C10: an abort without a reason rejects with the platform's AbortError", async () => {
    const left = watch(leaveOnAbort(never, AbortSignal.abort()));
    await settle();
    expect(left.reason).toMatchObject({ name: "AbortError" });
  });

  test("C10: a signal that is already aborted rejects at once", async () => {
    const reason = new Error("gone");
    await expect(leaveOnAbort(Promise.resolve("there"), AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test("C12: a promise that rejects after its caller has aborted causes no unhandled rejection", async () => {
    const seen: unknown[] = [];
    const listen = (reason: unknown): void => void seen.push(reason);
    process.on("unhandledRejection", listen);
    try {
      const late = Promise.resolve().then(() => Promise.reject(new Error("late")));
      await leaveOnAbort(late, AbortSignal.abort(new Error("gone"))).catch(() => {});
      await settle();
      expect(seen).toEqual([]);
    } finally {
      process.off("unhandledRejection", listen);
    }
  });

  test("C10: after the wait no listener stays on the signal", async () => {
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    Object.assign(signal, {
      addEventListener: (...args: Parameters<typeof add>) => (listeners++, add(...args)),
      removeEventListener: (...args: Parameters<typeof remove>) => (listeners--, remove(...args)),
    });
    await leaveOnAbort(Promise.resolve(1), signal);
    await leaveOnAbort(Promise.reject(new Error("no")), signal).catch(() => {});
    expect(listeners).toBe(0);
  });
});

describe("C10: callers of a cache that abort", () => {
  test("C10: a signal that is already aborted rejects with its reason, with and without a cached token, and starts no mint", async () => {
    const { cache, grant } = cacheUnderTest();
    const reason = new Error("gone");
    await expect(cache.get({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await settle();
    expect(grant.mints).toBe(0);
    await cache.get();
    await expect(cache.get({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test("C10: when one caller aborts, the others get the token of the same flight", async () => {
    const { cache, grant } = cacheUnderTest();
    const hold = grant.hold();
    const controller = new AbortController();
    const leaver = watch(cache.get({ signal: controller.signal }));
    const stayers = [cache.get(), cache.get({ signal: new AbortController().signal })].map(watch);
    await settle();
    controller.abort("gone");
    await settle();
    expect([leaver.reason, ...stayers.map(({ state }) => state)]).toEqual(["gone", "pending", "pending"]);
    expect(grant.contexts[0]?.signal.aborted).toBe(false);
    hold.release();
    await settle();
    expect(stayers.map(({ value }) => value?.value)).toEqual(["fake-1", "fake-1"]);
    expect(grant.mints).toBe(1);
  });

  test("C10: when all callers abort, the flight goes on, and its token is cached", async () => {
    const { cache, grant } = cacheUnderTest();
    const hold = grant.hold();
    const controller = new AbortController();
    const leavers = Array.from({ length: 5 }, () => watch(cache.get({ signal: controller.signal })));
    await settle();
    controller.abort();
    await settle();
    expect(leavers.every(({ state }) => state === "rejected")).toBe(true);
    expect(grant.contexts[0]?.signal.aborted).toBe(false);
    hold.release();
    await settle();
    expect(cache.peek()?.value).toBe("fake-1");
  });

  test("C10: the grant does not get the caller's signal", async () => {
    const { cache, grant } = cacheUnderTest();
    const { signal } = new AbortController();
    await cache.get({ signal });
    expect(grant.contexts[0]?.signal).not.toBe(signal);
  });

  test("C10: an abort after the token was given changes nothing", async () => {
    const { cache } = cacheUnderTest();
    const controller = new AbortController();
    const token = await cache.get({ signal: controller.signal });
    controller.abort();
    await settle();
    expect(cache.peek()).toBe(token);
  });
});
