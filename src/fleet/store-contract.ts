/**
 * The contract of {@link Store} as tests: what a store for another engine has to pass. No test framework is needed.
 *
 * Nothing here measures how fast a store is. Where a value has to expire, the store is asked until it is gone; where one
 * must have outlived a time, another value that had no more than that time is waited for, by the same engine's clock.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { assertFunction, assertOptions, duration, optionError } from "../base/options.ts";
import type { Store, StoreEntry, SwapResult } from "./store.ts";

/** The store that a contract test works on. */

/** Milliseconds: long enough that nothing expires during a test, short enough that nothing stays behind for long. */
export const LONG = 600_000;

/** No engine gives these, and none may fall over their form. */
export const IMPOSSIBLE: readonly [string, ...string[]] = ["?", "-", "none", "0".repeat(40), "'; x"];

const CLAUSES = { 1: "atomic", 2: "versions", 3: "expiry", 4: "whatever is there" } as const;
const POLL = 5;

/** A clause of the contract in store.ts that can be tested; to fail (5) cannot be asked of an engine. */
export type Clause = keyof typeof CLAUSES;

/** `1 atomic` */
export function titleOf(clause: Clause): string {
  return `${clause} ${CLAUSES[clause]}`;
}

/** A store, with keys that no other test has and with what every test expects of it. */
export class StoreUnderTest {
  readonly #store: Store;
  readonly #clause: Clause;
  readonly patience: number;
  readonly #name = randomName();

  constructor(store: Store, clause: Clause, patience: number) {
    this.#store = store;
    this.#clause = clause;
    this.patience = patience;
  }

  key(suffix = ""): string {
    return `remint-contract:{${this.#name}}:${suffix}`;
  }

  broken(how: string): Error {
    return new Error(`store contract, clause ${this.#clause} (${CLAUSES[this.#clause]}): ${how}`);
  }

  expect(holds: boolean, how: string): asserts holds {
    if (!holds) throw this.broken(how);
  }

  async swap(
    key: string,
    expected: string | undefined,
    next: string | undefined,
    ttl: number = LONG,
  ): Promise<SwapResult> {
    const result = await this.#store.swap(key, expected, next, next === undefined ? 0 : ttl);
    this.expect(isResult(result, next), "swap resolved with what is no SwapResult");
    return result;
  }

  /** Swaps what must succeed. @returns The new version. */
  async write(key: string, expected: string | undefined, next: string, ttl: number = LONG): Promise<string> {
    const result = await this.swap(key, expected, next, ttl);
    this.expect(result.ok, `a swap that expected ${expected === undefined ? "nothing" : "what is there"} was refused`);
    return result.version as string;
  }

  async read(key: string): Promise<StoreEntry | undefined> {
    const result = await this.swap(key, IMPOSSIBLE[0], "read", LONG);
    this.expect(!result.ok, "a version that nothing has was taken for the one that is there");
    return result.current;
  }

  /** Reads what must be there, as it was written. */
  async holds(key: string, value: string, version: string, when: string): Promise<StoreEntry> {
    const current = await this.read(key);
    this.expect(current !== undefined, `${when}, the value is gone`);
    this.expect(current.value === value, `${when}, another value is there`);
    this.expect(current.version === version, `${when}, the version is not the one the last write returned`);
    return current;
  }

  async isAbsent(key: string, when: string): Promise<void> {
    this.expect((await this.read(key)) === undefined, `${when}, there still is a value`);
  }

  /** Resolves when the key's value has expired; the last look is taken when patience is over, never earlier. */
  async gone(key: string, ttl: number): Promise<void> {
    const deadline = systemClock.monotonic() + ttl + this.patience;
    for (;;) {
      const last = systemClock.monotonic() > deadline;
      if ((await this.read(key)) === undefined) return;
      this.expect(!last, `a value written for ${ttl} ms is still there ${this.patience} ms after that`);
      await pause();
    }
  }
}

function isResult(result: SwapResult | undefined, next: string | undefined): boolean {
  if (result?.ok === true) return next === undefined ? result.version === undefined : isVersion(result.version);
  if (result?.ok !== false) return false;
  const { current } = result;
  if (current === undefined) return true;
  return typeof current?.value === "string" && isVersion(current.version) && Number.isFinite(current.ttl);
}

function isVersion(version: unknown): boolean {
  return typeof version === "string" && version !== "";
}

export function randomName(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

export async function pause(): Promise<void> {
  await new Promise<void>((resolve) => systemClock.setTimeout(resolve, POLL).hold(true));
}

/** Clauses 1, 2 and 4 of the store contract: comparing and writing, versions, values. */

export const RACERS = 50;
const WRITERS = 8;
const WRITES_EACH = 5;

export async function storedOnlyWhereNothingIs(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  await store.isAbsent(key, "before anything was written");
  const version = await store.write(key, undefined, "first");
  const refused = await store.swap(key, undefined, "second");
  store.expect(!refused.ok, "a swap that expected nothing replaced a value");
  await store.holds(key, "first", version, "after a swap that expected nothing");
}

export async function replacedByItsVersion(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const first = await store.write(key, undefined, "first");
  const second = await store.write(key, first, "second");
  await store.holds(key, "second", second, "after it was replaced");
  const refused = await store.swap(key, first, "third");
  store.expect(!refused.ok, "a swap that expected an older version replaced a newer value");
  await store.holds(key, "second", second, "after a swap that expected an older version");
  const elsewhere = await store.swap(store.key("absent"), second, "third");
  store.expect(
    !elsewhere.ok && elsewhere.current === undefined,
    "a swap that expected a version wrote to an absent key",
  );
  await store.isAbsent(store.key("absent"), "after a swap that expected a version of it");
}

export async function deletedByItsVersion(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const first = await store.write(key, undefined, "first");
  const second = await store.write(key, first, "second");
  for (const wrong of [undefined, first, ...IMPOSSIBLE]) {
    const refused = await store.swap(key, wrong, undefined);
    store.expect(!refused.ok, "a value was deleted by what is not its version");
    await store.holds(key, "second", second, "after a deletion by what is not its version");
  }
  const deleted = await store.swap(key, second, undefined);
  store.expect(deleted.ok, "a deletion by the value's version was refused");
  await store.isAbsent(key, "after it was deleted");
  const again = await store.swap(key, second, "third");
  store.expect(!again.ok, "the version of a deleted value was taken for one that is there");
  await store.write(key, undefined, "fourth");
}

export async function latestWriteIsTold(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  let version = await store.write(key, undefined, "write 0");
  for (let write = 1; write <= 10; write++) {
    version = await store.write(key, version, `write ${write}`);
    const refused = await store.swap(key, undefined, "other");
    store.expect(!refused.ok, "a swap that expected nothing replaced a value");
    store.expect(refused.current?.value === `write ${write}`, "what is there was told as it was before the last write");
    store.expect(refused.current.version === version, "the version of what is there is not that of the last write");
  }
}

/** @param present Whether there is a value to race for. @param writing Whether they write or delete. */
export async function oneWins(store: StoreUnderTest, present: boolean, writing: boolean): Promise<void> {
  const key = store.key();
  const expected = present ? await store.write(key, undefined, "first") : undefined;
  const racers = Array.from({ length: RACERS }, (_, racer) => (writing ? `racer ${racer}` : undefined));
  const results = await Promise.all(racers.map((next) => store.swap(key, expected, next)));
  const winners = racers.filter((_, racer) => results[racer]!.ok);
  store.expect(winners.length === 1, `${winners.length} of ${RACERS} racing swaps won`);
  for (const result of results) {
    if (result.ok) continue;
    store.expect(result.current?.value === winners[0], "a swap that lost was not told what the winner had done");
  }
  const { value } = (await store.read(key)) ?? {};
  store.expect(value === winners[0], "after the race, there is not what the winner left");
}

export async function noWriteIsLost(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  await store.write(key, undefined, "0");
  const total = WRITERS * WRITES_EACH;
  const count = async (): Promise<void> => {
    let current = await store.read(key);
    // Each refusal means that another one's write came between; there are no more than all of them.
    for (let tries = 0, written = 0; written < WRITES_EACH; tries++) {
      store.expect(current !== undefined, "a value that is replaced all the time was not there for a moment");
      store.expect(tries <= total, "a swap that expected what it had just been told was refused without end");
      const next = String(Number(current.value) + 1);
      const result = await store.swap(key, current.version, next);
      if (result.ok) written++;
      current = result.ok ? { value: next, version: result.version!, ttl: LONG } : result.current;
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, count));
  const { value } = (await store.read(key)) ?? {};
  store.expect(
    value === String(total),
    `${total} writes were each told that they were done, ${String(value)} were kept`,
  );
}

export async function anotherValueAnotherVersion(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  // What a collation, a trimmed column or a comparison as numbers takes for the same.
  const values = ["value", "VALUE", "value ", "value2", "1", "1.0", "01"];
  const versions = new Set<string>();
  let version: string | undefined;
  for (const value of values) {
    version = await store.write(key, version, value);
    await store.holds(key, value, version, "after it was replaced");
    versions.add(version);
  }
  store.expect(versions.size === values.length, "two values that differ had the same version");
}

export async function sameValueAgain(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  let version = await store.write(key, undefined, "same");
  for (let again = 0; again < 3; again++) {
    version = await store.write(key, version, "same");
    await store.holds(key, "same", version, "after the same value was written again");
  }
}

export async function impossibleVersionReads(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const none = (await probe(store, key)).every((current) => current === undefined);
  store.expect(none, "a swap on an absent key was told of a value");
  await store.isAbsent(key, "after swaps that expected what nothing has");
  const version = await store.write(key, undefined, "first");
  const same = (await probe(store, key)).every((current) => current?.value === "first" && current.version === version);
  store.expect(same, "a swap that expected what nothing has was not told what is there");
  await store.holds(key, "first", version, "after swaps that expected what nothing has");
}

/** Writes and deletes by versions that nothing has. @returns What was told to be there instead. */
async function probe(store: StoreUnderTest, key: string): Promise<(StoreEntry | undefined)[]> {
  const told: (StoreEntry | undefined)[] = [];
  for (const version of IMPOSSIBLE) {
    for (const next of ["other", undefined]) {
      const result = await store.swap(key, version, next);
      store.expect(!result.ok, "a version that nothing has was taken for the one that is there");
      told.push(result.current);
    }
  }
  return told;
}

export async function comesBack(store: StoreUnderTest, value: string): Promise<void> {
  const key = store.key();
  const first = await store.write(key, undefined, value);
  await store.holds(key, value, first, "after it was written");
  const second = await store.write(key, first, `${value}.`);
  await store.holds(key, `${value}.`, second, "after one more character");
  store.expect(second !== first, "two values that differ in their last character had the same version");
  const deleted = await store.swap(key, second, undefined);
  store.expect(deleted.ok, "a deletion by the value's version was refused");
}

export async function keysDoNotMix(store: StoreUnderTest): Promise<void> {
  // Letter case, what LIKE takes for any character, a prefix of another: base64url has all of them.
  const keys = ["a", "A", "ab", "a_", "a-", ""].map((suffix) => store.key(suffix));
  const versions: string[] = [];
  for (const [index, key] of keys.entries()) versions.push(await store.write(key, undefined, `value ${index}`));
  const removed = await store.swap(keys[0]!, versions[0], undefined);
  store.expect(removed.ok, "a deletion by the value's version was refused");
  await store.isAbsent(keys[0]!, "after it was deleted");
  for (const [index, key] of keys.entries()) {
    if (index > 0)
      await store.holds(key, `value ${index}`, versions[index]!, "after another key was written or deleted");
  }
}

export function printable(): string {
  return Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCodePoint(0x20 + index)).join("");
}

export function longValue(length: number): string {
  return randomName()
    .repeat(Math.ceil(length / 32))
    .slice(0, length);
}

/** Clause 3 of the store contract: when values are gone, by the engine's clock. */

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

/** Options of {@link storeContract}. */
export interface StoreContractOptions {
  /**
   * Milliseconds after which a value that was to be kept for 50 and is still there counts as never expiring.
   *
   * @defaultValue 4000
   */
  readonly patience?: number | undefined;
}

/** One test. */
export interface StoreContractCase {
  /** Begins with the number of the clause it proves. */
  readonly name: string;
  /** Rejects when the store breaks the clause, with an `Error` that says how. */
  readonly run: () => Promise<void>;
}

const LONG_VALUE = 65_536;

/**
 * The tests that every {@link Store} passes; the number in a name is the clause of the contract it proves.
 *
 * @param createStore Called once per test; may give the same store each time. The keys are random, begin with
 *   `remint-contract:` and are written for at most ten minutes.
 * @throws {TypeError} When `createStore` is not a function, or `patience` not a duration.
 * @example
 * ```ts
 * for (const { name, run } of storeContract(() => myStore(client))) test(name, run);
 * ```
 */
export function storeContract(
  createStore: () => Store | Promise<Store>,
  options: StoreContractOptions = {},
): StoreContractCase[] {
  if (createStore === undefined) throw optionError("createStore", createStore, "a function");
  assertFunction("createStore", createStore);
  assertOptions("storeContract", options);
  const patience = duration("patience", options.patience, 4000);
  return CASES.map(([clause, rule, prove]) => ({
    name: `${titleOf(clause)}: ${rule}`,
    run: async () => prove(new StoreUnderTest(await createStore(), clause, patience)),
  }));
}

type Case = readonly [clause: Clause, rule: string, prove: (store: StoreUnderTest) => Promise<void>];

const CASES: readonly Case[] = [
  [1, "a value is stored where nothing is, and not where something is", storedOnlyWhereNothingIs],
  [1, "a value is replaced by its version, and by no other", replacedByItsVersion],
  [1, "a value is deleted by its version, and by no other", deletedByItsVersion],
  [1, "what is there instead is the latest write, and can be replaced", latestWriteIsTold],
  [1, `of ${RACERS} swaps that race for an absent key, one wins`, (store) => oneWins(store, false, true)],
  [1, `of ${RACERS} swaps that race to replace a value, one wins`, (store) => oneWins(store, true, true)],
  [1, `of ${RACERS} swaps that race to delete a value, one wins`, (store) => oneWins(store, true, false)],
  [1, "of many writers that read and replace, none loses a write", noWriteIsLost],
  [2, "another value has another version", anotherValueAnotherVersion],
  [2, "the same value written again has a version that is good", sameValueAgain],
  [2, "a version that nothing has reads, and changes nothing", impossibleVersionReads],
  [3, "a value is gone after its time, and not before", goneAfterItsTime],
  [3, "an expired value counts as absent for every swap", expiredIsAbsent],
  [3, "every write sets the time anew, of the same value too", everyWriteSetsTheTime],
  [3, "the time that is told is what is left", timeLeftIsTold],
  [4, "all printable ASCII comes back as it was", (store) => comesBack(store, printable())],
  [4, `a value of ${LONG_VALUE} characters comes back as it was`, (store) => comesBack(store, longValue(LONG_VALUE))],
  [4, "keys that differ in one character do not mix", keysDoNotMix],
];
