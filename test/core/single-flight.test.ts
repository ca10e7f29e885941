import { describe, expect, test } from "vitest";
import { leaveOnAbort } from "../../src/base/abort.ts";
import { Failure } from "../../src/core/failures.ts";
import { Flight } from "../../src/core/single-flight.ts";
import { RemintError } from "../../src/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch } from "./cache-under-test.ts";

/** Creates a flight, with functions that make it succeed or fail, and a log of its calls of `hold`. */
function pendingFlight(): {
  flight: Flight<string>;
  land: (value: string) => void;
  crash: (reason: Failure) => void;
  holds: boolean[];
} {
  let land!: (value: string) => void;
  let crash!: (reason: Failure) => void;
  const promise = new Promise<string>((resolve, reject) => {
    land = resolve;
    crash = reject;
  });
  const holds: boolean[] = [];
  const begun = { number: 1, cause: "cold", session: undefined } as const;
  return { flight: new Flight(begun, promise, (awaited) => void holds.push(awaited)), land, crash, holds };
}

describe("Flight", () => {
  test("C9: a failure becomes an error of each waiter's own, with and without a signal; a token is the same for all", async () => {
    const { flight: shared, crash } = pendingFlight();
    const { signal } = new AbortController();
    const waits = [shared.wait(), shared.wait(), shared.wait(signal), shared.wait(signal)];
    crash(Failure.of(new RemintError("ERR_TOKEN_NETWORK", "down", { retryable: true }), "server"));
    const errors = (await Promise.all(waits.map(rejectionOf))) as RemintError[];
    expect(new Set(errors).size).toBe(4);
    for (const error of errors) expect(error).toEqual(errors[0]);
    expect(errors[0]).toMatchObject({ code: "ERR_TOKEN_NETWORK", message: "down", retryable: true });
    const { flight: landing, land } = pendingFlight();
    const tokens = [landing.wait(), landing.wait(signal)];
    land("token");
    expect(await Promise.all(tokens)).toEqual(["token", "token"]);
  });

  test("C9: the error of a waiter whose request was rejected names that request; those of the others do not", async () => {
    const { flight: shared, crash } = pendingFlight();
    const rejected = { status: 401, url: "https://api.example/orders" };
    const waits = [
      shared.wait(undefined, rejected),
      shared.wait(new AbortController().signal, rejected),
      shared.wait(),
    ];
    crash(Failure.of(new RemintError("ERR_TOKEN_NETWORK", "down"), "server"));
    const errors = (await Promise.all(waits.map(rejectionOf))) as RemintError[];
    expect(errors.map((error) => error.rejected)).toEqual([rejected, rejected, undefined]);
  });

  test("C12: waiters keep the process alive until the last of them aborts", async () => {
    const { flight: shared, holds } = pendingFlight();
    const controllers = [new AbortController(), new AbortController()];
    const waits = controllers.map(({ signal }) => watch(shared.wait(signal)));
    expect(holds).toEqual([true, true]);
    controllers[0]!.abort();
    await settle();
    expect(holds).toEqual([true, true]);
    controllers[1]!.abort();
    await settle();
    expect(holds).toEqual([true, true, false]);
    expect(waits.map(({ state }) => state)).toEqual(["rejected", "rejected"]);
    void shared.wait();
    expect(holds).toEqual([true, true, false, true]);
  });

  test("C12: a waiter without a signal keeps the process alive when others abort", async () => {
    const { flight: shared, holds } = pendingFlight();
    void shared.wait();
    const controller = new AbortController();
    const left = watch(shared.wait(controller.signal));
    controller.abort();
    await settle();
    expect(left.state).toBe("rejected");
    expect(holds).toEqual([true, true]);
  });

  test.each([0, 2])(
    "C12: a flight with %i waiters that goes on with another: that one keeps the process alive for them",
    async (waiters) => {
      const { flight: shared } = pendingFlight();
      for (let caller = 0; caller < waiters; caller++) void shared.wait();
      const next = pendingFlight();
      const token = shared.continueWith(next.flight);
      expect(next.holds).toEqual(waiters === 0 ? [] : [true]);
      next.land("token");
      expect(await token).toBe("token");
    },
  );

  test("C12: a flight without waiters may fail without an unhandled rejection", async () => {
    const { crash } = pendingFlight();
    crash(Failure.of(new RemintError("ERR_TOKEN_NETWORK", "down"), "server"));
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

  test.each([
    ["an AbortController", new AbortController()],
    ["an empty object", {}],
    ["a string", "signal"],
  ])(
    "C12: %s in place of a signal: the wait rejects at once, and nothing is unhandled when the promise settles later",
    async (_, signal) => {
      const seen: unknown[] = [];
      const listen = (reason: unknown): void => void seen.push(reason);
      process.on("unhandledRejection", listen);
      try {
        for (const outcome of ["resolves", "rejects"]) {
          let end!: () => void;
          const late = new Promise<string>((resolve, reject) => {
            end = () => (outcome === "resolves" ? resolve("late") : reject(new Error("late")));
          });
          await expect(leaveOnAbort(late, signal as AbortSignal)).rejects.toBeInstanceOf(TypeError);
          end();
          await settle();
        }
        expect(seen).toEqual([]);
      } finally {
        process.off("unhandledRejection", listen);
      }
    },
  );

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

/** A signal as an old polyfill makes it: without `reason`. */
function withoutReason(signal: AbortSignal): AbortSignal {
  return Object.defineProperty(signal, "reason", { value: undefined });
}

describe("C10: callers of a cache that abort", () => {
  test.each(["before the call", "during the call"])(
    "C10: a signal without a reason aborts %s: an AbortError, and not undefined",
    async (when) => {
      const { cache } = cacheUnderTest();
      const controller = new AbortController();
      if (when === "before the call") controller.abort();
      const token = cache.get({ signal: withoutReason(controller.signal) });
      controller.abort();
      await expect(token).rejects.toMatchObject({ name: "AbortError" });
    },
  );

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
