/**
 * `storeContract`: the clauses of the {@link Store} contract as tests, for a store that is written for another engine.
 * They need no test framework.
 *
 * The tests do not measure how fast a store is, and they pass on a slow machine. Where a value has to expire, a test
 * asks until the value is gone. Where a value has to outlive some time, the test waits for another value with that time
 * to expire, so both are measured by the clock of the engine.
 *
 * The contract itself is in store.ts.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { assertFunction, assertOptions, duration, optionError } from "../base/options.ts";
import type { Store, StoreEntry, SwapResult } from "./store.ts";

/**
 * Returns the tests that every {@link Store} has to pass. The number in the name of a test is the clause of the
 * contract that it proves. Clause 5 has no test, because a test cannot make an engine fail.
 *
 * The tests run in one process, so they cannot see everything: a store that takes the time from the clock of its client,
 * or that reads from a replica which is behind, may pass. Give a pool of connections and not one connection, or the
 * concurrent swaps run one after another.
 *
 * @param createStore Returns the store to test. It is called once per test and may return the same store each time. The
 *   keys are random, begin with `remint-contract:` and expire after ten minutes at the latest.
 * @throws {TypeError} When `createStore` is not a function, `patience` is not a duration, or an option is unknown.
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
  assertOptions("storeContract", options, ["patience"]);
  const patience = duration("patience", options.patience, 4000);
  return CASES.map(([clause, rule, prove]) => ({
    name: `${titleOf(clause)}: ${rule}`,
    run: async () => prove(new StoreUnderTest(await createStore(), clause, patience)),
  }));
}

/** Options of {@link storeContract}. */
export interface StoreContractOptions {
  /**
   * Milliseconds that a test waits for a value to expire. A value that was written for 50 ms and still exists this much
   * later counts as one that never expires. Raise it for an engine that removes expired values late.
   *
   * @defaultValue 4_000 (4 seconds)
   */
  readonly patience?: number | undefined;
}

/** A test of {@link storeContract}. */
export interface StoreContractCase {
  /** What the store has to do. The name begins with the number of the clause that the test proves. */
  readonly name: string;
  /** Runs the test. The promise rejects with an `Error` that names the broken clause, or with an error of the store. */
  readonly run: () => Promise<void>;
}

const CLAUSES = { 1: "atomic", 2: "versions", 3: "expiry", 4: "values" } as const;

type Clause = keyof typeof CLAUSES;

/** For example `1 atomic`. */
function titleOf(clause: Clause): string {
  return `${clause} ${CLAUSES[clause]}`;
}

const RACERS = 50;
const LONG_VALUE = 65_536;

type Case = readonly [clause: Clause, rule: string, prove: (store: StoreUnderTest) => Promise<void>];

const CASES: readonly Case[] = [
  [1, "a value is stored under an absent key, and does not replace an existing value", storesOnlyUnderAbsentKey],
  [1, "a value is replaced only if the expected version matches", replacesOnlyByVersion],
  [1, "a value is deleted only if the expected version matches", deletesOnlyByVersion],
  [1, "a refused swap returns the latest value and its version", refusalReturnsLatestValue],
  [
    1,
    `of ${RACERS} concurrent swaps that create a value, exactly one succeeds`,
    (store) => oneWins(store, false, true),
  ],
  [
    1,
    `of ${RACERS} concurrent swaps that replace a value, exactly one succeeds`,
    (store) => oneWins(store, true, true),
  ],
  [
    1,
    `of ${RACERS} concurrent swaps that delete a value, exactly one succeeds`,
    (store) => oneWins(store, true, false),
  ],
  [1, "no write is lost when many writers read and then replace a value", noWriteIsLost],
  [2, "different values have different versions", differentValuesDifferentVersions],
  [2, "the same value written again has a version that matches", sameValueAgain],
  [2, "an unknown version reads the value and changes nothing", unknownVersionReads],
  [3, "a value expires after its ttl, and not before", expiresAfterItsTime],
  [3, "an expired value counts as absent for every swap", expiredCountsAsAbsent],
  [3, "every write sets the time anew, also a write of the same value", everyWriteSetsTheTime],
  [3, "the ttl of an entry is the time that is left", ttlIsTimeLeft],
  [4, "all printable ASCII is returned unchanged", (store) => returnsUnchanged(store, printableAscii())],
  [
    4,
    `a value of ${LONG_VALUE} characters is returned unchanged`,
    (store) => returnsUnchanged(store, valueOfLength(LONG_VALUE)),
  ],
  [4, "keys that differ in one character are kept apart", keysAreKeptApart],
];

// Clauses 1 and 2: comparing and writing, and versions.

const WRITERS = 8;
const WRITES_EACH = 5;

async function storesOnlyUnderAbsentKey(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  await store.expectAbsent(key, "before anything was written");
  const version = await store.write(key, undefined, "first");
  const refused = await store.swap(key, undefined, "second");
  store.expect(!refused.ok, "a swap that expected an absent key replaced a value");
  await store.expectEntry(key, "first", version, "after a swap that expected an absent key");
}

async function replacesOnlyByVersion(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const first = await store.write(key, undefined, "first");
  const second = await store.write(key, first, "second");
  await store.expectEntry(key, "second", second, "after it was replaced");
  const refused = await store.swap(key, first, "third");
  store.expect(!refused.ok, "a swap that expected an older version replaced a newer value");
  await store.expectEntry(key, "second", second, "after a swap that expected an older version");
  const elsewhere = await store.swap(store.key("absent"), second, "third");
  store.expect(
    !elsewhere.ok && elsewhere.current === undefined,
    "a swap that expected a version wrote to an absent key",
  );
  await store.expectAbsent(store.key("absent"), "after a swap that expected a version of an absent key");
}

async function deletesOnlyByVersion(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const first = await store.write(key, undefined, "first");
  const second = await store.write(key, first, "second");
  for (const wrong of [undefined, first, ...UNKNOWN_VERSIONS]) {
    const refused = await store.swap(key, wrong, undefined);
    store.expect(!refused.ok, "a deletion that expected another version deleted the value");
    await store.expectEntry(key, "second", second, "after a deletion that expected another version");
  }
  const deleted = await store.swap(key, second, undefined);
  store.expect(deleted.ok, "a deletion that expected the version of the value was refused");
  await store.expectAbsent(key, "after it was deleted");
  const again = await store.swap(key, second, "third");
  store.expect(!again.ok, "the version of a deleted value still matched");
  await store.write(key, undefined, "fourth");
}

async function refusalReturnsLatestValue(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  let version = await store.write(key, undefined, "write 0");
  for (let write = 1; write <= 10; write++) {
    version = await store.write(key, version, `write ${write}`);
    const refused = await store.swap(key, undefined, "other");
    store.expect(!refused.ok, "a swap that expected an absent key replaced a value");
    store.expect(
      refused.current?.value === `write ${write}`,
      "a refused swap returned a value older than the last write",
    );
    store.expect(refused.current.version === version, "a refused swap returned a version that is not the last write's");
  }
}

/** @param present Whether the swaps race for an existing value. @param writing Whether they write or delete. */
async function oneWins(store: StoreUnderTest, present: boolean, writing: boolean): Promise<void> {
  const key = store.key();
  const expected = present ? await store.write(key, undefined, "first") : undefined;
  const racers = Array.from({ length: RACERS }, (_, racer) => (writing ? `racer ${racer}` : undefined));
  const results = await Promise.all(racers.map((next) => store.swap(key, expected, next)));
  const winners = racers.filter((_, racer) => results[racer]!.ok);
  store.expect(winners.length === 1, `${winners.length} of ${RACERS} concurrent swaps succeeded, not exactly one`);
  for (const result of results) {
    if (result.ok) continue;
    store.expect(
      result.current?.value === winners[0],
      "a refused swap did not return what the successful one had left",
    );
  }
  const { value } = (await store.read(key)) ?? {};
  store.expect(value === winners[0], "after concurrent swaps, the key does not hold what the successful one had left");
}

async function noWriteIsLost(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  await store.write(key, undefined, "0");
  const total = WRITERS * WRITES_EACH;
  const count = async (): Promise<void> => {
    let current = await store.read(key);
    // A refusal means that another writer wrote in between, so there cannot be more refusals than writes.
    for (let tries = 0, written = 0; written < WRITES_EACH; tries++) {
      store.expect(current !== undefined, "a value was absent for a moment while it was replaced");
      store.expect(tries <= total, "a swap that expected the version it had just read was refused again and again");
      const next = String(Number(current.value) + 1);
      const result = await store.swap(key, current.version, next);
      if (result.ok) written++;
      current = result.ok ? { value: next, version: result.version!, ttl: LONG } : result.current;
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, count));
  const { value } = (await store.read(key)) ?? {};
  store.expect(value === String(total), `${total} swaps succeeded, but the value shows ${String(value)} of them`);
}

async function differentValuesDifferentVersions(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  // Values that a collation, a trimmed column or a comparison as numbers takes for equal.
  const values = ["value", "VALUE", "value ", "value2", "1", "1.0", "01"];
  const versions = new Set<string>();
  let version: string | undefined;
  for (const value of values) {
    version = await store.write(key, version, value);
    await store.expectEntry(key, value, version, "after it was replaced");
    versions.add(version);
  }
  store.expect(versions.size === values.length, "two different values had the same version");
}

async function sameValueAgain(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  let version = await store.write(key, undefined, "same");
  for (let again = 0; again < 3; again++) {
    version = await store.write(key, version, "same");
    await store.expectEntry(key, "same", version, "after the same value was written again");
  }
}

async function unknownVersionReads(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const none = (await swapUnknownVersions(store, key)).every((current) => current === undefined);
  store.expect(none, "a swap on an absent key returned a value");
  await store.expectAbsent(key, "after swaps that expected an unknown version");
  const version = await store.write(key, undefined, "first");
  const entries = await swapUnknownVersions(store, key);
  const same = entries.every((current) => current?.value === "first" && current.version === version);
  store.expect(same, "a swap that expected an unknown version did not return the stored entry");
  await store.expectEntry(key, "first", version, "after swaps that expected an unknown version");
}

/** Tries to write and to delete by every unknown version. @returns The entries that the refused swaps returned. */
async function swapUnknownVersions(store: StoreUnderTest, key: string): Promise<(StoreEntry | undefined)[]> {
  const entries: (StoreEntry | undefined)[] = [];
  for (const version of UNKNOWN_VERSIONS) {
    for (const next of ["other", undefined]) {
      const result = await store.swap(key, version, next);
      store.expect(!result.ok, "a swap that expected an unknown version succeeded");
      entries.push(result.current);
    }
  }
  return entries;
}

// Clause 3: when values expire, by the clock of the engine.

/** Milliseconds. */
const SHORT = 50;
/** A thousandth of this is less than {@link SHORT}, which exposes a store that takes milliseconds for microseconds. */
const LASTING = 10_000;
/** Milliseconds by which a ttl may be wrong: some engines count in seconds, and two clocks run at different rates. */
const SLACK = 1500;

async function expiresAfterItsTime(store: StoreUnderTest): Promise<void> {
  const start = systemClock.monotonic();
  await store.write(store.key("lasting"), undefined, "lasting", LASTING);
  await store.write(store.key("short"), undefined, "short", SHORT);
  await store.untilExpired(store.key("short"), SHORT);
  while (systemClock.monotonic() - start < SHORT) await pause();
  const kept = (await store.read(store.key("lasting"))) !== undefined;
  // On a machine so slow that the value may have expired in time, its absence proves nothing.
  const tooEarly = !kept && systemClock.monotonic() - start < LASTING / 2;
  store.expect(!tooEarly, `a value written for ${LASTING} ms was gone after less than half of that time`);
}

async function expiredCountsAsAbsent(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  const version = await store.write(key, undefined, "first", SHORT);
  await store.untilExpired(key, SHORT);
  for (const next of ["second", undefined]) {
    const refused = await store.swap(key, version, next);
    store.expect(!refused.ok, "the version of an expired value still matched");
    store.expect(refused.current === undefined, "a refused swap returned an expired value");
  }
  const second = await store.write(key, undefined, "second");
  await store.expectEntry(key, "second", second, "after it was written in place of an expired value");
}

async function everyWriteSetsTheTime(store: StoreUnderTest): Promise<void> {
  await Promise.all([replacedBeforeExpiry(store, "first"), replacedBeforeExpiry(store, "second")]);
}

/** @param next The value that replaces "first": the same value, or another one. */
async function replacedBeforeExpiry(store: StoreUnderTest, next: string): Promise<void> {
  const key = store.key(next);
  const { version, ttl } = await writeShortThenLong(store, key, next);
  // The witness was written later than the first value and for the same time. When it has expired, so would the first.
  await store.write(store.key(`witness of ${next}`), undefined, "witness", ttl);
  await store.untilExpired(store.key(`witness of ${next}`), ttl);
  await store.expectEntry(key, next, version, "when the time of the value that it replaced was over");
  await store.write(key, version, "short", SHORT);
  await store.untilExpired(key, SHORT);
}

/**
 * Writes "first" for a short time and replaces it by `next` for a long time. If "first" expires before it is replaced,
 * tries again with twice the time.
 */
async function writeShortThenLong(
  store: StoreUnderTest,
  key: string,
  next: string,
): Promise<{ version: string; ttl: number }> {
  for (let ttl = SHORT; ; ttl *= 2) {
    const first = await store.write(key, undefined, "first", ttl);
    const result = await store.swap(key, first, next, LONG);
    if (result.ok) return { version: result.version!, ttl };
    store.expect(result.current === undefined, "a swap that expected the stored version was refused");
    store.expect(ttl < LASTING, `a value written for ${ttl} ms was gone at once`);
  }
}

async function ttlIsTimeLeft(store: StoreUnderTest): Promise<void> {
  const key = store.key();
  let version: string | undefined;
  for (const ttl of [LONG, LONG / 10, LONG]) {
    const start = systemClock.monotonic();
    version = await store.write(key, version, `for ${ttl}`, ttl);
    const returned = (await store.expectEntry(key, `for ${ttl}`, version, "after it was written")).ttl;
    if (returned < 0) return; // The engine cannot tell, which the contract allows.
    const least = ttl - (systemClock.monotonic() - start) - SLACK;
    store.expect(
      returned <= ttl + SLACK,
      `a value written for ${ttl} ms has a ttl of ${returned} ms, which is too much`,
    );
    store.expect(returned >= least, `a value written for ${ttl} ms has a ttl of ${returned} ms, which is too little`);
  }
  await ttlDecreases(store, key);
}

/** Waits for at least {@link SLACK}, so that the ttl of an engine that counts in seconds decreases too. */
async function ttlDecreases(store: StoreUnderTest, key: string): Promise<void> {
  const before = (await store.read(key))?.ttl ?? 0;
  const deadline = systemClock.monotonic() + Math.max(store.patience, SLACK);
  for (;;) {
    const isLast = systemClock.monotonic() > deadline;
    const left = (await store.read(key))?.ttl ?? 0;
    store.expect(left <= before, "the ttl of an entry increased without a write");
    if (left < before) return;
    store.expect(!isLast, "the ttl of an entry does not decrease");
    await pause();
  }
}

// Clause 4: keys and values.

async function returnsUnchanged(store: StoreUnderTest, value: string): Promise<void> {
  const key = store.key();
  const first = await store.write(key, undefined, value);
  await store.expectEntry(key, value, first, "after it was written");
  const second = await store.write(key, first, `${value}.`);
  await store.expectEntry(key, `${value}.`, second, "after it was replaced by a value with one more character");
  store.expect(second !== first, "two values that differ in their last character had the same version");
  const deleted = await store.swap(key, second, undefined);
  store.expect(deleted.ok, "a deletion that expected the version of the value was refused");
}

async function keysAreKeptApart(store: StoreUnderTest): Promise<void> {
  // Keys that differ in letter case, in a wildcard of SQL's LIKE, or in length. All of this occurs in base64url.
  const keys = ["a", "A", "ab", "a_", "a-", ""].map((suffix) => store.key(suffix));
  const versions: string[] = [];
  for (const [index, key] of keys.entries()) versions.push(await store.write(key, undefined, `value ${index}`));
  const removed = await store.swap(keys[0]!, versions[0], undefined);
  store.expect(removed.ok, "a deletion that expected the version of the value was refused");
  await store.expectAbsent(keys[0]!, "after it was deleted");
  for (const [index, key] of keys.entries()) {
    if (index > 0)
      await store.expectEntry(key, `value ${index}`, versions[index]!, "after another key was written or deleted");
  }
}

function printableAscii(): string {
  return Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCodePoint(0x20 + index)).join("");
}

function valueOfLength(length: number): string {
  return randomName()
    .repeat(Math.ceil(length / 32))
    .slice(0, length);
}

/** Milliseconds: long enough that no value expires during a test, short enough that no value stays behind for long. */
const LONG = 600_000;

/** Versions that no engine returns. A store must not reject them because of their format. */
const UNKNOWN_VERSIONS: readonly [string, ...string[]] = ["?", "-", "none", "0".repeat(40), "'; x"];

/** Milliseconds between two reads of a test that waits. */
const POLL = 5;

/** The store that is tested, with the random keys of one test and the checks that all tests share. */
class StoreUnderTest {
  readonly #store: Store;
  readonly #clause: Clause;
  readonly patience: number;
  readonly #name = randomName();

  constructor(store: Store, clause: Clause, patience: number) {
    this.#store = store;
    this.#clause = clause;
    this.patience = patience;
  }

  /** A key that no other test uses. */
  key(suffix = ""): string {
    return `remint-contract:{${this.#name}}:${suffix}`;
  }

  /** @throws {Error} When the condition is false. The message names the clause and says what the store did wrong. */
  expect(condition: boolean, fault: string): asserts condition {
    if (!condition) throw new Error(`store contract, clause ${this.#clause} (${CLAUSES[this.#clause]}): ${fault}`);
  }

  async swap(
    key: string,
    expected: string | undefined,
    next: string | undefined,
    ttl: number = LONG,
  ): Promise<SwapResult> {
    const result = await this.#store.swap(key, expected, next, next === undefined ? 0 : ttl);
    this.expect(isResult(result, next), "swap did not resolve with a SwapResult");
    return result;
  }

  /** Does a swap that has to succeed. @returns The new version. */
  async write(key: string, expected: string | undefined, next: string, ttl: number = LONG): Promise<string> {
    const result = await this.swap(key, expected, next, ttl);
    const expectation = expected === undefined ? "an absent key" : "the stored version";
    this.expect(result.ok, `a swap that expected ${expectation} was refused`);
    return result.version as string;
  }

  async read(key: string): Promise<StoreEntry | undefined> {
    const result = await this.swap(key, UNKNOWN_VERSIONS[0], "read", LONG);
    this.expect(!result.ok, "a swap that expected an unknown version succeeded");
    return result.current;
  }

  /** Reads an entry that has to be stored exactly as it was written. */
  async expectEntry(key: string, value: string, version: string, when: string): Promise<StoreEntry> {
    const current = await this.read(key);
    this.expect(current !== undefined, `${when}, the value is gone`);
    this.expect(current.value === value, `${when}, the key holds another value`);
    this.expect(current.version === version, `${when}, the version is not the one that the last write returned`);
    return current;
  }

  async expectAbsent(key: string, when: string): Promise<void> {
    this.expect((await this.read(key)) === undefined, `${when}, the key still holds a value`);
  }

  /** Resolves when the value has expired. The last read comes when `patience` is over, however slow the store is. */
  async untilExpired(key: string, ttl: number): Promise<void> {
    const deadline = systemClock.monotonic() + ttl + this.patience;
    for (;;) {
      const isLast = systemClock.monotonic() > deadline;
      if ((await this.read(key)) === undefined) return;
      this.expect(!isLast, `a value written for ${ttl} ms still exists ${this.patience} ms after that time`);
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

function randomName(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

async function pause(): Promise<void> {
  await new Promise<void>((resolve) => systemClock.setTimeout(resolve, POLL).hold(true));
}
