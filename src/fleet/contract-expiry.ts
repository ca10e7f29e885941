/** Clause 3 of the store contract: when values are gone, by the engine's clock. */
import { systemClock } from "../base/clock.ts";
import { LONG, pause, type StoreUnderTest } from "./contract-store.ts";

const SHORT = 50;
/** A thousandth of it is less than {@link SHORT}: engines have been told milliseconds for microseconds. */
const LASTING = 10_000;
/** For engines that count in seconds, and clocks that do not run at the same rate. */
const SLACK = 1500;

export async function goneAfterItsTime(store: StoreUnderTest): Promise<void> {
  const start = systemClock.monotonic();
  await store.write(store.key("lasting"), undefined, "lasting", LASTING);
  await store.write(store.key("short"), undefined, "short", SHORT);
  await store.gone(store.key("short"), SHORT);
  while (systemClock.monotonic() - start < SHORT) await pause();
  const kept = (await store.read(store.key("lasting"))) !== undefined;
  // Where the machine was so slow that it may have been gone by right, nothing is proven.
  const tooEarly = !kept && systemClock.monotonic() - start < LASTING / 2;
  store.expect(!tooEarly, `a value written for ${LASTING} ms was gone after less than half of them`);
}

export async function expiredIsAbsent(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const version = await store.write(key, undefined, "first", SHORT);
  await store.gone(key, SHORT);
  for (const next of ["second", undefined]) {
    const refused = await store.swap(key, version, next);
    store.expect(!refused.ok, "the version of an expired value was taken for one that is there");
    store.expect(refused.current === undefined, "an expired value was told as what is there");
  }
  const second = await store.write(key, undefined, "second");
  await store.holds(key, "second", second, "after it was written where one had expired");
}

export async function everyWriteSetsTheTime(store: StoreUnderTest): Promise<void> {
  await Promise.all([replacedInTime(store, "first"), replacedInTime(store, "second")]);
}

/** @param next What replaces "first": itself, or another value. */
async function replacedInTime(store: StoreUnderTest, next: string): Promise<void> {
  const key = store.key(next);
  const { version, ttl } = await renewed(store, key, next);
  // Written later and for as long as the first: when it is gone, the first one's time is over.
  await store.write(store.key(`witness of ${next}`), undefined, "witness", ttl);
  await store.gone(store.key(`witness of ${next}`), ttl);
  await store.holds(key, next, version, "when the time of what it replaced was over");
  await store.write(key, version, "short", SHORT);
  await store.gone(key, SHORT);
}

/** Writes a value for a short time and another in its place for a long one, again with more time where that was too slow. */
async function renewed(store: StoreUnderTest, key: string, next: string): Promise<{ version: string; ttl: number }> {
  for (let ttl = SHORT; ; ttl *= 2) {
    const first = await store.write(key, undefined, "first", ttl);
    const result = await store.swap(key, first, next, LONG);
    if (result.ok) return { version: result.version!, ttl };
    store.expect(result.current === undefined, "a swap that expected what is there was refused");
    store.expect(ttl < LASTING, `a value written for ${ttl} ms was gone at once`);
  }
}

export async function timeLeftIsTold(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  let version: string | undefined;
  for (const ttl of [LONG, LONG / 10, LONG]) {
    const start = systemClock.monotonic();
    version = await store.write(key, version, `for ${ttl}`, ttl);
    const told = (await store.holds(key, `for ${ttl}`, version, "after it was written")).ttl;
    if (told < 0) return; // The engine does not know, and says so.
    const least = ttl - (systemClock.monotonic() - start) - SLACK;
    store.expect(told <= ttl + SLACK, `of ${ttl} ms, ${told} were told to be left`);
    store.expect(told >= least, `of ${ttl} ms, only ${told} were told to be left`);
  }
  await falls(store, key);
}

/** A second is enough for engines that count in seconds. */
async function falls(store: StoreUnderTest, key: string): Promise<void> {
  const before = (await store.read(key))?.ttl ?? 0;
  const deadline = systemClock.monotonic() + Math.max(store.patience, SLACK);
  for (;;) {
    const last = systemClock.monotonic() > deadline;
    const left = (await store.read(key))?.ttl ?? 0;
    store.expect(left <= before, "the time that is left grew without a write");
    if (left < before) return;
    store.expect(!last, "the time that is left does not fall");
    await pause();
  }
}
