/**
 * The contract of {@link Store} as tests: what a store for another engine has to pass. No test framework is needed.
 *
 * Nothing here measures how fast a store is. Where a value has to expire, the store is asked until it is gone; where one
 * must have outlived a time, another value that had no more than that time is waited for, by the same engine's clock.
 *
 * @module
 */
import { assertFunction, assertOptions, duration, optionError } from "../base/options.ts";
import { everyWriteSetsTheTime, expiredIsAbsent, goneAfterItsTime, timeLeftIsTold } from "./contract-expiry.ts";
import { type Clause, StoreUnderTest, titleOf } from "./contract-store.ts";
import {
  anotherValueAnotherVersion,
  comesBack,
  deletedByItsVersion,
  impossibleVersionReads,
  keysDoNotMix,
  latestWriteIsTold,
  longValue,
  noWriteIsLost,
  oneWins,
  printable,
  RACERS,
  replacedByItsVersion,
  sameValueAgain,
  storedOnlyWhereNothingIs,
} from "./contract-swaps.ts";
import type { Store } from "./store.ts";

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
