/**
 * The tests of the store contract, tested: a store that keeps it passes them all, and every way to break it that we
 * could think of fails one that says so.
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

/** A right store in pieces, each of which a fault replaces. */
class PlainStore implements Store {
  rows = new Map<string, Row>();
  revision = 0;

  async swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult> {
    const id = this.id(key);
    const row = this.row(id);
    const between = this.between();
    // Even an `await` of nothing would let others in.
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

/** What was replaced last, for stores that live in the past. */
class HistoryStore extends PlainStore {
  readonly past = new Map<string, Row>();

  override next(value: string, ttl: number, row: Row | undefined): Row {
    const next = super.next(value, ttl, row);
    if (row !== undefined) this.past.set(next.version, row);
    return next;
  }
}

/** Each fault, and a part of the name of a test that has to see it. */
const FAULTS: readonly (readonly [fault: string, seenBy: string, store: new () => Store])[] = [
  [
    "compares, and writes later",
    "race for an absent key",
    class extends PlainStore {
      override between = (): Promise<void> => Promise.resolve();
    },
  ],
  [
    "compares, and writes later where a value is",
    "none loses a write",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined): boolean => row?.version === expected;
      override between = (): Promise<void> | undefined => (this.rows.size > 0 ? Promise.resolve() : undefined);
    },
  ],
  [
    "says that a write was done when another one won",
    "race to replace",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next?.startsWith("racer") === true) return { ok: true, version: this.version(next) };
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "says that a deletion was done when another one won",
    "race to delete",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next === undefined && row === undefined) return { ok: true, version: undefined };
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "writes where nothing was expected and something is",
    "and not where something is",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected || (expected === undefined && next !== undefined);
    },
  ],
  [
    "writes although it says that it did not",
    "is replaced by its version",
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
    "is replaced by its version",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected || (row === undefined && next === "third");
    },
  ],
  [
    "deletes whatever version was expected",
    "is deleted by its version",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected || (row !== undefined && next === undefined);
    },
  ],
  [
    "deletes although it says that it did not",
    "is deleted by its version",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next === undefined) this.remove(id);
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "does not delete",
    "is deleted by its version",
    class extends PlainStore {
      override remove = (): void => {};
    },
  ],
  [
    "keeps the version of what it deleted",
    "is deleted by its version",
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
    "tells what was there before",
    "is the latest write",
    class extends HistoryStore {
      override entry = (row: Row): StoreEntry => super.entry(this.past.get(row.version) ?? row);
    },
  ],
  [
    "tells what is there with the version of what was",
    "is the latest write",
    class extends HistoryStore {
      override entry = (row: Row): StoreEntry => ({
        ...super.entry(row),
        version: (this.past.get(row.version) ?? row).version,
      });
    },
  ],
  [
    "tells a swap that lost nothing",
    "race for an absent key",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (next?.startsWith("racer") === true) return { ok: false, current: undefined };
        return super.refused(id, row, next, ttl);
      }
    },
  ],
  [
    "has one version for everything",
    "another version",
    class extends PlainStore {
      override version = (): string => "1";
    },
  ],
  [
    "takes the length of a value for its version",
    "another version",
    class extends PlainStore {
      override version = (value: string): string => String(value.length);
    },
  ],
  [
    "takes the first kilobyte of a value for its version",
    "characters comes back",
    class extends PlainStore {
      override version = (value: string): string => value.slice(0, 1024);
    },
  ],
  [
    "compares values without letter case",
    "another version",
    class extends PlainStore {
      override version = (value: string): string => value.toLowerCase();
    },
  ],
  [
    "compares values without trailing spaces",
    "another version",
    class extends PlainStore {
      override version = (value: string): string => value.trimEnd();
    },
  ],
  [
    "compares values as numbers",
    "another version",
    class extends PlainStore {
      override version = (value: string): string => String(Number(value) || value);
    },
  ],
  [
    "returns a version that is not the one it keeps",
    "a version that is good",
    class extends PlainStore {
      override done = (_id: string, next: string | undefined): SwapResult => ({
        ok: true,
        version: next === undefined ? undefined : `${this.revision}.0`,
      });
    },
  ],
  [
    "counts a revision of the same value that it does not tell",
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
    "gives the value another version when it is read",
    "reads, and changes nothing",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        if (row !== undefined) this.rows.set(id, { ...row, version: this.version(row.value) });
        return super.refused(id, this.rows.get(id), next, ttl);
      }
    },
  ],
  [
    "falls over a version that is no number",
    "a version that nothing has",
    class extends PlainStore {
      override matches(row: Row | undefined, expected: string | undefined): boolean {
        if (expected !== undefined && !/^\d+$/.test(expected)) throw new Error("invalid input syntax for type bigint");
        return row?.version === expected;
      }
    },
  ],
  [
    "takes a version of its own making for any",
    "a version that nothing has",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined): boolean =>
        row?.version === expected || expected === "none";
    },
  ],
  [
    "never expires anything",
    "is gone after its time",
    class extends PlainStore {
      override row = (id: string): Row | undefined => this.rows.get(id);
    },
  ],
  [
    "takes milliseconds for seconds",
    "is gone after its time",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row => super.next(value, ttl * 1000, row);
    },
  ],
  [
    "takes milliseconds for microseconds",
    "is gone after its time",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row => super.next(value, ttl / 1000, row);
    },
  ],
  [
    "does not write where an expired value lies",
    "counts as absent",
    class extends PlainStore {
      override matches = (row: Row | undefined, expected: string | undefined, next: string | undefined): boolean =>
        row?.version === expected && !(next === "second" && row === undefined && this.rows.size === 1);
    },
  ],
  [
    "tells an expired value",
    "counts as absent",
    class extends PlainStore {
      override refused(id: string, row: Row | undefined, next: string | undefined, ttl: number): SwapResult {
        return super.refused(id, next === "read" ? row : this.rows.get(id), next, ttl);
      }
    },
  ],
  [
    "replaces an expired value by its version",
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
    "keeps the time of what is replaced",
    "sets the time anew",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        return { ...super.next(value, ttl, row), ...(row === undefined ? {} : { expiresAt: row.expiresAt }) };
      }
    },
  ],
  [
    "keeps the time when the same value is written again",
    "sets the time anew",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        return { ...super.next(value, ttl, row), ...(row?.value === value ? { expiresAt: row.expiresAt } : {}) };
      }
    },
  ],
  [
    "never shortens a time",
    "sets the time anew",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        const next = super.next(value, ttl, row);
        return { ...next, expiresAt: Math.max(next.expiresAt, row?.expiresAt ?? 0) };
      }
    },
  ],
  [
    "adds to the time that is left",
    "the time that is told",
    class extends PlainStore {
      override next(value: string, ttl: number, row: Row | undefined): Row {
        const left = Math.max(0, (row?.expiresAt ?? 0) - performance.now());
        return super.next(value, ttl + left, row);
      }
    },
  ],
  [
    "tells the time a value was written for",
    "the time that is told",
    class extends PlainStore {
      override entry = (row: Row): StoreEntry => ({ ...super.entry(row), ttl: row.ttl });
    },
  ],
  [
    "tells seconds",
    "the time that is told",
    class extends PlainStore {
      override entry(row: Row): StoreEntry {
        const entry = super.entry(row);
        return { ...entry, ttl: entry.ttl / 1000 };
      }
    },
  ],
  [
    "tells the moment a value expires",
    "the time that is told",
    class extends PlainStore {
      override entry = (row: Row): StoreEntry => ({ ...super.entry(row), ttl: Date.now() + row.ttl });
    },
  ],
  [
    "tells no number",
    "the time that is told",
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
    "characters comes back",
    class extends PlainStore {
      override next = (value: string, ttl: number, row: Row | undefined): Row =>
        super.next(value.slice(0, 65_535), ttl, row);
    },
  ],
  [
    "compares keys without letter case",
    "do not mix",
    class extends PlainStore {
      override id = (key: string): string => key.toLowerCase();
    },
  ],
  [
    "takes an underscore in a key for any character",
    "do not mix",
    class extends PlainStore {
      override id = (key: string): string => key.replace(/[_-]$/, "?");
    },
  ],
  [
    "deletes every key that begins like this one",
    "do not mix",
    class extends PlainStore {
      override remove(id: string): void {
        for (const key of this.rows.keys()) if (key.startsWith(id)) this.rows.delete(key);
      }
    },
  ],
  [
    "resolves with nothing",
    "a value is stored",
    class implements Store {
      swap = (): Promise<SwapResult> => Promise.resolve(undefined as unknown as SwapResult);
    },
  ],
  [
    "does not tell the version it stored",
    "a value is stored",
    class extends PlainStore {
      override done = (): SwapResult => ({ ok: true, version: undefined });
    },
  ],
];

const caught = new Set<string>();
/** Short, because a store that never expires anything is waited for; enough for one that does, on any machine. */
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
  it("passes a store that keeps it", async () => {
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

  it.concurrent.each(FAULTS)("fails a store that %s", async (_fault, seenBy, FaultyStore) => {
    const failures = await failuresOf(() => new FaultyStore());
    for (const name of failures.keys()) caught.add(name);
    expect([...failures.keys()].filter((name) => name.includes(seenBy))).not.toEqual([]);
    for (const [name, { message }] of failures) {
      if (!/bigint/.test(message)) expect(message).toMatch(`store contract, clause ${name.slice(0, 1)} (`);
    }
  });

  it("has no test that nothing can fail", () => {
    const names = storeContract(() => new PlainStore()).map(({ name }) => name);
    expect(names.filter((name) => !caught.has(name))).toEqual([]);
  });

  it("names its tests once each, by their clause", () => {
    const names = storeContract(() => new PlainStore()).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[1-4] (atomic|versions|expiry|whatever is there): /);
  });

  it("passes on what creating a store or swapping fails with", async () => {
    const down = new Error("connect ECONNREFUSED");
    const cases = [
      ...storeContract(() => Promise.reject(down)),
      ...storeContract(() => ({ swap: () => Promise.reject(down) })),
    ];
    for (const { run } of cases) await expect(run()).rejects.toBe(down);
  });

  it("refuses what is no function, and a patience that is no duration", () => {
    expect(() => storeContract(undefined as never)).toThrow(
      new TypeError('"createStore" must be a function, got undefined'),
    );
    expect(() => storeContract({} as never)).toThrow(new TypeError('"createStore" must be a function, got an object'));
    expect(() => storeContract(() => new PlainStore(), { patience: -1 })).toThrow(
      /"patience" must be a non-negative number/,
    );
  });
});
