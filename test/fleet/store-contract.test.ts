/**
 * Tests the tests of the store contract: a correct store passes all of them, and each of many faulty stores fails the one
 * that covers its fault.
 *
 * @module
 */
import { describe, expect, it } from "vitest";
import { storeContract } from "../../src/fleet/store-contract.ts";
import type { Store, StoreEntry, SwapResult } from "../../src/fleet/store.ts";

interface Row {
  readonly value: string;
  readonly version: string;
  readonly expiresAt: number;
  readonly ttl: number;
}

/** A correct store, divided into methods so that each fault below replaces one of them. */
class PlainStore implements Store {
  rows = new Map<string, Row>();
  revision = 0;

  async swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult> {
    const id = this.id(key);
    const row = this.row(id);
    const between = this.between();
    // Only a faulty store awaits here: an `await`, even of `undefined`, would let other swaps run in between.
    if (between !== undefined) await between;
    if (!this.matches(row, expected, next)) return this.refused(id, row, next, ttl);
    if (next === undefined) this.remove(id);
    else this.rows.set(id, this.next(next, ttl, row));
    return this.done(id, next);
  }

  id(key: string): string {
    return key;
  }

  row(id: string): Row | undefined {
    const row = this.rows.get(id);
    return row !== undefined && row.expiresAt > performance.now() ? row : undefined;
  }

  between(): Promise<void> | undefined {
    return undefined;
  }

  matches(row: Row | undefined, expected: string | undefined, _next: string | undefined): boolean {
    return row?.version === expected;
  }

  refused(_id: string, row: Row | undefined, _next: string | undefined, _ttl: number): SwapResult {
    return { ok: false, current: row === undefined ? undefined : this.entry(row) };
  }

  entry({ value, version, expiresAt }: Row): StoreEntry {
    return { value, version, ttl: expiresAt - performance.now() };
  }

  remove(id: string): void {
    this.rows.delete(id);
  }

  next(value: string, ttl: number, _row: Row | undefined): Row {
    return { value, version: this.version(value), expiresAt: performance.now() + ttl, ttl };
  }

  version(_value: string): string {
    return String(++this.revision);
  }

  done(id: string, next: string | undefined): SwapResult {
    return { ok: true, version: next === undefined ? undefined : this.rows.get(id)!.version };
  }
}

/** Remembers the row that each write replaced, for stores that return outdated rows. */
class HistoryStore extends PlainStore {
  readonly past = new Map<string, Row>();

  override next(value: string, ttl: number, row: Row | undefined): Row {
    const next = super.next(value, ttl, row);
    if (row !== undefined) this.past.set(next.version, row);
    return next;
  }
}

/** Each fault, a part of the name of the test that has to find it, and a store that has it. */
const FAULTS: readonly (readonly [fault: string, foundBy: string, store: new () => Store])[] = [
  [
    "compares and writes in two steps",
    "swaps that create a value",
    class extends PlainStore {
      override between = (): Promise<void> => Promise.resolve();
    },
  ],
  [
    "compares and writes in two steps when a value exists",
    "no write is lost",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined): boolean => row?.version === expected;
      override between = (): Promise<void> | undefined => (this.rows.size > 0 ? Promise.resolve() : undefined);
    },
  ],
  [
    "reports success for a write that another write has beaten",
    "swaps that replace a value",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next?.startsWith("racer") === true) return { ok: true, version: this.version(next) };
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "reports success for a deletion that another deletion has beaten",
    "swaps that delete a value",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next === undefined && row === undefined) return { ok: true, version: undefined };
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "writes over an existing value when the key was expected to be absent",
    "and does not replace an existing value",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected || (expected === undefined && next !== undefined);
    },
  ],
  [
    "writes although it reports a refusal",
    "is replaced only if the expected version matches",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        const result = super.refused(id, row, next, ttl);
        if (row !== undefined && next !== undefined) this.rows.set(id, this.next(next, ttl, row));
        return result;
      }
    },
  ],
  [
    "writes to an absent key whatever version was expected",
    "is replaced only if the expected version matches",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected || (row === undefined && next === "third");
    },
  ],
  [
    "deletes whatever version was expected",
    "is deleted only if the expected version matches",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected || (row !== undefined && next === undefined);
    },
  ],
  [
    "deletes although it reports a refusal",
    "is deleted only if the expected version matches",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next === undefined) this.remove(id);
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "does not delete",
    "is deleted only if the expected version matches",
    class extends PlainStore {
      override remove = (): void => {};
    },
  ],
  [
    "still accepts the version of a deleted value",
    "is deleted only if the expected version matches",
    class extends PlainStore {
      #deleted: string | undefined;
      override matches(row: Row | undefined, expected: string | undefined, next: string | undefined): boolean {
        const matches = row?.version === expected || (row === undefined && expected === this.#deleted);
        if (matches && next === undefined) this.#deleted = expected;
        return matches;
      }
    },
  ],
  [
    "returns the value before the last write",
    "returns the latest value",
    class extends HistoryStore {
      override entry = (row: Row): StoreEntry => super.entry(this.past.get(row.version) ?? row);
    },
  ],
  [
    "returns the current value with the version before the last write",
    "returns the latest value",
    class extends HistoryStore {
      override entry = (row: Row): StoreEntry => ({
        ...super.entry(row),
        version: (this.past.get(row.version) ?? row).version,
      });
    },
  ],
  [
    "returns no entry to a refused swap",
    "swaps that create a value",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next?.startsWith("racer") === true) return { ok: false, current: undefined };
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "has one version for all values",
    "different values have different versions",
    class extends PlainStore {
      override version = (): string => "1";
    },
  ],
  [
    "uses the length of a value as its version",
    "different values have different versions",
    class extends PlainStore {
      override version = (value: string): string => String(value.length);
    },
  ],
  [
    "uses the first kilobyte of a value as its version",
    "characters is returned unchanged",
    class extends PlainStore {
      override version = (value: string): string => value.slice(0, 1024);
    },
  ],
  [
    "ignores letter case in values",
    "different values have different versions",
    class extends PlainStore {
      override version = (value: string): string => value.toLowerCase();
    },
  ],
  [
    "ignores trailing spaces in values",
    "different values have different versions",
    class extends PlainStore {
      override version = (value: string): string => value.trimEnd();
    },
  ],
  [
    "compares values as numbers",
    "different values have different versions",
    class extends PlainStore {
      override version = (value: string): string => String(Number(value) || value);
    },
  ],
  [
    "returns another version than the one that it keeps",
    "has a version that matches",
    class extends PlainStore {
      override done = (_id: string, next: string | undefined): SwapResult => ({
        ok: true,
        version: next === undefined ? undefined : `${this.revision}.0`,
      });
    },
  ],
  [
    "changes the version of the same value and returns the old one",
    "the same value written again",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        const next = super.next(value, ttl, row);
        return row?.value === value ? { ...next, version: `${next.version}*` } : next;
      }
      override done(id: string, next: string | undefined): SwapResult {
        const result = super.done(id, next);
        return result.ok ? { ...result, version: result.version?.replace("*", "") } : result;
      }
    },
  ],
  [
    "changes the version of a value when it is read",
    "reads the value and changes nothing",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (row !== undefined) this.rows.set(id, { ...row, version: this.version(row.value) });
        return super.refused(id, this.rows.get(id), next, ttl);
      }
    },
  ],
  [
    "throws on a version that is not a number",
    "an unknown version",
    class extends PlainStore {
      override matches(row: Row | undefined, expected: string | undefined): boolean {
        if (expected !== undefined && !/^\d+$/.test(expected)) throw new Error("invalid input syntax for type bigint");
        return row?.version === expected;
      }
    },
  ],
  [
    "treats a version that it never issued as a match",
    "an unknown version",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined): boolean =>
        row?.version === expected || expected === "none";
    },
  ],
  [
    "never expires anything",
    "expires after its ttl",
    class extends PlainStore {
      override row = (id: string): Row | undefined => this.rows.get(id);
    },
  ],
  [
    "treats milliseconds as seconds",
    "expires after its ttl",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row => super.next(value, ttl * 1000, row);
    },
  ],
  [
    "treats milliseconds as microseconds",
    "expires after its ttl",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row => super.next(value, ttl / 1000, row);
    },
  ],
  [
    "does not write in place of an expired value",
    "counts as absent",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected && !(next === "second" && row === undefined && this.rows.size === 1);
    },
  ],
  [
    "returns an expired value",
    "counts as absent",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        return super.refused(id, next === "read" ? row : this.rows.get(id), next, ttl);
      }
    },
  ],
  [
    "still accepts the version of an expired value",
    "counts as absent",
    class extends PlainStore {
      override async swap(
        key: string,
        expected: string | undefined,
        next: string | undefined,
        ttl: number,
      ): Promise<SwapResult> {
        const { version } = this.rows.get(key) ?? {};
        return super.swap(key, this.row(key) === undefined && version === expected ? undefined : expected, next, ttl);
      }
    },
  ],
  [
    "keeps the expiry of the value that is replaced",
    "sets the time anew",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        return { ...super.next(value, ttl, row), ...(row === undefined ? {} : { expiresAt: row.expiresAt }) };
      }
    },
  ],
  [
    "keeps the expiry when the same value is written again",
    "sets the time anew",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        return { ...super.next(value, ttl, row), ...(row?.value === value ? { expiresAt: row.expiresAt } : {}) };
      }
    },
  ],
  [
    "never shortens the time that is left",
    "sets the time anew",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        const next = super.next(value, ttl, row);
        return { ...next, expiresAt: Math.max(next.expiresAt, row?.expiresAt ?? 0) };
      }
    },
  ],
  [
    "adds the new time to the time that is left",
    "the ttl of an entry",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        const left = Math.max(0, (row?.expiresAt ?? 0) - performance.now());
        return super.next(value, ttl + left, row);
      }
    },
  ],
  [
    "returns the time for which a value was written",
    "the ttl of an entry",
    class extends PlainStore {
      override entry = (row: Row): StoreEntry => ({ ...super.entry(row), ttl: row.ttl });
    },
  ],
  [
    "returns the time that is left in seconds",
    "the ttl of an entry",
    class extends PlainStore {
      override entry(row: Row): StoreEntry {
        const entry = super.entry(row);
        return { ...entry, ttl: entry.ttl / 1000 };
      }
    },
  ],
  [
    "returns the moment at which a value expires",
    "the ttl of an entry",
    class extends PlainStore {
      override entry = (row: Row): StoreEntry => ({ ...super.entry(row), ttl: Date.now() + row.ttl });
    },
  ],
  [
    "returns a time that is not a number",
    "the ttl of an entry",
    class extends PlainStore {
      override entry = (row: Row): StoreEntry => ({ ...super.entry(row), ttl: Number.NaN });
    },
  ],
  [
    "loses backslashes",
    "printable ASCII",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row =>
        super.next(value.replaceAll("\\", ""), ttl, row);
    },
  ],
  [
    "cuts values at 65,535 characters",
    "characters is returned unchanged",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row =>
        super.next(value.slice(0, 65_535), ttl, row);
    },
  ],
  [
    "ignores letter case in keys",
    "are kept apart",
    class extends PlainStore {
      override id = (key: string): string => key.toLowerCase();
    },
  ],
  [
    "treats an underscore in a key as any character",
    "are kept apart",
    class extends PlainStore {
      override id = (key: string): string => key.replace(/[_-]$/, "?");
    },
  ],
  [
    "deletes every key that begins like this one",
    "are kept apart",
    class extends PlainStore {
      override remove(id: string): void {
        for (const key of this.rows.keys()) if (key.startsWith(id)) this.rows.delete(key);
      }
    },
  ],
  [
    "resolves with nothing",
    "a value is stored under an absent key",
    class implements Store {
      swap = (): Promise<SwapResult> => Promise.resolve(undefined as unknown as SwapResult);
    },
  ],
  [
    "does not return the version of the value that it stored",
    "a value is stored under an absent key",
    class extends PlainStore {
      override done = (): SwapResult => ({ ok: true, version: undefined });
    },
  ],
];

/** The names of the contract tests that have found a fault. */
const caught = new Set<string>();
/** Milliseconds. Short, because a test waits this long for a store that never expires a value. */
const PATIENCE = 100;

async function failuresOf(createStore: () => Store): Promise<Map<string, Error>> {
  const failures = new Map<string, Error>();
  const cases = storeContract(createStore, { patience: PATIENCE });
  await Promise.all(
    cases.map(({ name, run }) => run().catch((error: unknown) => void failures.set(name, error as Error))),
  );
  return failures;
}

describe("storeContract", () => {
  it("passes a correct store", async () => {
    expect(await failuresOf(() => new PlainStore())).toEqual(new Map());
  });

  it("passes a store that does not know how much time is left", async () => {
    class TimelessStore extends PlainStore {
      override entry = (row: Row): StoreEntry => ({ ...super.entry(row), ttl: -1 });
    }
    expect(await failuresOf(() => new TimelessStore())).toEqual(new Map());
  });

  it("passes a store whose versions are hashes", async () => {
    class HashStore extends PlainStore {
      override version = (value: string): string => `hash of ${value}`;
    }
    expect(await failuresOf(() => new HashStore())).toEqual(new Map());
  });

  it.concurrent.each(FAULTS)("fails a store that %s", async (_fault, foundBy, FaultyStore) => {
    const failures = await failuresOf(() => new FaultyStore());
    for (const name of failures.keys()) caught.add(name);
    expect([...failures.keys()].filter((name) => name.includes(foundBy))).not.toEqual([]);
    for (const [name, { message }] of failures) {
      if (!/bigint/.test(message)) expect(message).toMatch(`store contract, clause ${name.slice(0, 1)} (`);
    }
  });

  it("has no test that every faulty store passes", () => {
    const names = storeContract(() => new PlainStore()).map(({ name }) => name);
    expect(names.filter((name) => !caught.has(name))).toEqual([]);
  });

  it("gives each test a name of its own that begins with the clause", () => {
    const names = storeContract(() => new PlainStore()).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[1-4] (atomic|versions|expiry|values): /);
  });

  it("rejects with the error of createStore or of swap", async () => {
    const down = new Error("connect ECONNREFUSED");
    const cases = [
      ...storeContract(() => Promise.reject(down)),
      ...storeContract(() => ({ swap: () => Promise.reject(down) })),
    ];
    for (const { run } of cases) await expect(run()).rejects.toBe(down);
  });

  it("throws a TypeError for a createStore that is not a function and a patience that is not a duration", () => {
    expect(() => storeContract(undefined as never)).toThrow(
      new TypeError('"createStore" must be a function, got undefined'),
    );
    expect(() => storeContract({} as never)).toThrow(new TypeError('"createStore" must be a function, got an object'));
    expect(() => storeContract(() => new PlainStore(), { patience: -1 })).toThrow(
      /"patience" must be a non-negative number/,
    );
  });
});
