/** Clauses 1, 2 and 4 of the store contract: comparing and writing, versions, values. */
import { IMPOSSIBLE, LONG, randomName, type StoreUnderTest } from "./contract-store.ts";
import type { StoreEntry } from "./store.ts";

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
