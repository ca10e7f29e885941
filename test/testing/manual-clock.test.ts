import { describe, expect, test, vi } from "vitest";
import { manualClock } from "../../src/testing/index.ts";

describe("manualClock", () => {
  test("starts at a fixed moment, or at the given one", () => {
    expect(manualClock().now()).toBe(Date.parse("2026-01-01T00:00:00Z"));
    expect(manualClock({ now: 5 }).now()).toBe(5);
    expect(() => manualClock({ now: Number.NaN })).toThrow(TypeError);
    expect(() => manualClock({ now: Number.NaN })).toThrow(/"now"/);
  });

  test("advance moves both clocks and fires timers in order, each at its own time", async () => {
    const clock = manualClock({ now: 1_000 });
    const fired: [string, number, number][] = [];
    const set = (name: string, delay: number): void => {
      clock.setTimeout(() => fired.push([name, clock.now(), clock.monotonic()]), delay);
    };
    set("late", 30);
    set("early", 10);
    set("early too", 10);
    set("never", 101);
    await clock.advance(100);
    expect(fired).toEqual([
      ["early", 1_010, 10],
      ["early too", 1_010, 10],
      ["late", 1_030, 30],
    ]);
    expect([clock.now(), clock.monotonic(), clock.timers]).toEqual([1_100, 100, 1]);
  });

  test("promise chains run between timers, so that a timer set at the end of a deep chain fires in time", async () => {
    const clock = manualClock({ now: 0 });
    const fired: number[] = [];
    const deep = async (left: number): Promise<void> => {
      if (left > 0) await deep(left - 1);
    };
    clock.setTimeout(() => {
      void (async () => {
        await deep(60);
        clock.setTimeout(() => fired.push(clock.now()), 5);
      })();
    }, 10);
    clock.setTimeout(() => fired.push(clock.now()), 20);
    await clock.advance(20);
    expect(fired).toEqual([15, 20]);
  });

  test("a chain that was begun before advance sets its timers before time moves", async () => {
    const clock = manualClock({ now: 0 });
    let firedAt: number | undefined;
    void Promise.resolve().then(() => clock.setTimeout(() => (firedAt = clock.now()), 7));
    await clock.advance(100);
    expect(firedAt).toBe(7);
  });

  test("a cancelled timer does not fire, and only held timers count as awaited", async () => {
    const clock = manualClock();
    let fired = 0;
    const first = clock.setTimeout(() => fired++, 10);
    const second = clock.setTimeout(() => fired++, 10);
    expect([clock.timers, clock.awaited]).toEqual([2, 0]);
    first.hold(true);
    second.hold(true);
    second.hold(false);
    expect([clock.timers, clock.awaited]).toEqual([2, 1]);
    first.cancel();
    expect([clock.timers, clock.awaited]).toEqual([1, 0]);
    await clock.advance(10);
    expect([fired, clock.timers]).toEqual([1, 0]);
  });

  test("stepWall and suspend move only the wall clock and fire no timer", async () => {
    const clock = manualClock({ now: 1_000 });
    let fired = 0;
    clock.setTimeout(() => fired++, 10);
    clock.stepWall(-500);
    clock.suspend(3_600_000);
    await clock.advance(0);
    expect([clock.now(), clock.monotonic(), fired]).toEqual([3_600_500, 0, 0]);
    expect(() => clock.suspend(-1)).toThrow(TypeError);
  });

  test("stepMonotonic moves only the monotonic clock, and the next advance fires the timers that are due", async () => {
    const clock = manualClock({ now: 1_000 });
    const fired: number[] = [];
    clock.setTimeout(() => fired.push(clock.monotonic()), 10);
    clock.stepMonotonic(50);
    expect([clock.now(), clock.monotonic(), fired]).toEqual([1_000, 50, []]);
    await clock.advance(5);
    expect([clock.now(), clock.monotonic(), fired]).toEqual([1_005, 55, [50]]);
  });

  test("stepWall and stepMonotonic together are a freeze: timers that are due fire late, with the next advance", async () => {
    const clock = manualClock({ now: 1_000 });
    const fired: [number, number][] = [];
    clock.setTimeout(() => fired.push([clock.now(), clock.monotonic()]), 10);
    clock.stepWall(60_000);
    clock.stepMonotonic(60_000);
    expect(fired).toEqual([]);
    await clock.advance(0);
    expect(fired).toEqual([[61_000, 60_000]]);
    expect([clock.now(), clock.monotonic(), clock.timers]).toEqual([61_000, 60_000, 0]);
  });

  test("a timer that fires late may set another one, which is due from then on", async () => {
    const clock = manualClock({ now: 0 });
    const fired: number[] = [];
    clock.setTimeout(() => {
      fired.push(clock.monotonic());
      clock.setTimeout(() => fired.push(clock.monotonic()), 10);
    }, 10);
    clock.stepMonotonic(60_000);
    await clock.advance(9);
    expect(fired).toEqual([60_000]);
    await clock.advance(1);
    expect(fired).toEqual([60_000, 60_010]);
  });

  test("advance works under vitest's fake timers, and moves none of them", async () => {
    vi.useFakeTimers();
    try {
      const clock = manualClock({ now: 0 });
      const fired: string[] = [];
      setTimeout(() => fired.push("vitest's"), 5);
      clock.setTimeout(() => fired.push("manual"), 10);
      await clock.advance(10);
      vi.advanceTimersByTime(4);
      expect(fired).toEqual(["manual"]);
      vi.advanceTimersByTime(1);
      expect(fired).toEqual(["manual", "vitest's"]);
      vi.setSystemTime(5);
      expect([clock.now(), clock.monotonic()]).toEqual([10, 10]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("overlapping calls of advance add up", async () => {
    const clock = manualClock({ now: 0 });
    const fired: number[] = [];
    clock.setTimeout(() => fired.push(clock.now()), 15);
    await Promise.all([clock.advance(10), clock.advance(10)]);
    expect([clock.now(), fired]).toEqual([20, [15]]);
  });

  test("a timer that throws makes advance reject, and the clock stays usable", async () => {
    const clock = manualClock({ now: 0 });
    clock.setTimeout(() => {
      throw new Error("boom");
    }, 5);
    await expect(clock.advance(10)).rejects.toThrow("boom");
    await clock.advance(0);
    expect(clock.now()).toBe(10);
    await expect(clock.advance(-1)).rejects.toThrow(TypeError);
  });
});
