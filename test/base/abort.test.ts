/** Many who wait with one AbortSignal. */
import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { leaveOnAbort } from "../../src/base/abort.ts";
import { settle, watch } from "../core/cache-under-test.ts";

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;
const never = new Promise<never>(() => {});

describe("C12: a signal gets one listener", () => {
  test("C12: 1,000 wait with one signal: one listener; all leave when it aborts, each with its reason", async () => {
    const controller = new AbortController();
    const left: number[] = [];
    const waits = Array.from({ length: 1000 }, (_, i) =>
      watch(leaveOnAbort(never, controller.signal, () => void left.push(i))),
    );
    expect(listeners(controller.signal)).toBe(1);
    const reason = new Error("enough");
    controller.abort(reason);
    await settle();
    expect(new Set(waits.map((wait) => wait.reason))).toEqual(new Set([reason]));
    expect([left.length, listeners(controller.signal)]).toEqual([1000, 0]);
  });

  test("C12: the listener goes with the last who waits, and comes back with the next", async () => {
    const { signal } = new AbortController();
    const ends: (() => void)[] = [];
    const wait = (): Promise<void> => leaveOnAbort(new Promise<void>((resolve) => ends.push(resolve)), signal);
    const waits = [wait(), wait()];
    ends[0]!();
    await waits[0];
    expect(listeners(signal)).toBe(1);
    ends[1]!();
    await waits[1];
    expect(listeners(signal)).toBe(0);
    const third = wait();
    expect(listeners(signal)).toBe(1);
    ends[2]!();
    await third;
    expect(listeners(signal)).toBe(0);
  });

  test("C12: one who is told of the abort begins another wait: it rejects at once", async () => {
    const controller = new AbortController();
    let inner: unknown;
    const outer = watch(
      leaveOnAbort(never, controller.signal, () => {
        inner = watch(leaveOnAbort(never, controller.signal));
      }),
    );
    controller.abort(new Error("enough"));
    await settle();
    expect([outer.state, (inner as typeof outer).state]).toEqual(["rejected", "rejected"]);
  });

  test("C12: a hand-made signal whose removeEventListener throws does not keep the promise from settling", async () => {
    const signal = {
      aborted: false,
      addEventListener() {},
      removeEventListener() {
        throw new Error("broken");
      },
    } as unknown as AbortSignal;
    expect(await leaveOnAbort(Promise.resolve(1), signal)).toBe(1);
    await expect(leaveOnAbort(Promise.reject(new Error("mine")), signal)).rejects.toThrow("mine");
  });

  test("C12: what is no signal rejects the wait alone", async () => {
    await expect(leaveOnAbort(never, {} as AbortSignal)).rejects.toThrow(TypeError);
    await expect(leaveOnAbort(Promise.reject(new Error("mine")), {} as AbortSignal)).rejects.toThrow(TypeError);
  });
});
