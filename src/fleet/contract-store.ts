/** The store that a contract test works on. */
import { systemClock } from "../base/clock.ts";
import type { Store, StoreEntry, SwapResult } from "./store.ts";

/** Milliseconds: long enough that nothing expires during a test, short enough that nothing stays behind for long. */
export const LONG = 600_000;

/** No engine gives these, and none may fall over their form. */
export const IMPOSSIBLE: readonly [string, ...string[]] = ["?", "-", "none", "0".repeat(40), "'; x"];

const CLAUSES = { 1: "atomic", 2: "versions", 3: "expiry", 4: "whatever is there" } as const;
const POLL = 5;

/** A clause of the contract in store.ts that can be tested; to fail (5) can not be asked of an engine. */
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
