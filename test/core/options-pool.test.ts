import { describe, expect, test } from "vitest";
import { createTokenPool, type TokenPoolOptions } from "../../src/index.ts";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { checkedOverride } from "../../src/policy/choose-cache.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest } from "./cache-under-test.ts";

/** Returns the message of what a call throws, which must be a TypeError. */
function typeErrorOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as Error).message;
  }
  throw new Error("the call did not throw");
}

const create = (): never => {
  throw new Error("not now");
};

describe("createTokenPool: wrong options", () => {
  const wrong: [string, object, RegExp][] = [
    [
      "create missing",
      { create: undefined },
      /^"create" must be a function that returns a token cache, got undefined$/,
    ],
    ["create null", { create: null }, /^"create" must be a function that returns a token cache, got null$/],
    ["create an object", { create: {} }, /^"create" must be a function that returns a token cache, got an object$/],
    ["maxSize 0", { create, maxSize: 0 }, /^"maxSize" must be an integer of at least 1, got a number$/],
    ["maxSize a string", { create, maxSize: "5" }, /^"maxSize" must be an integer of at least 1, got a string$/],
    ["maxSize Infinity", { create, maxSize: Infinity }, /^"maxSize" must be an integer of at least 1, got Infinity$/],
    [
      "idleTtl -1",
      { create, idleTtl: -1 },
      /^"idleTtl" must be a non-negative number of milliseconds, got a negative number$/,
    ],
    [
      "idleTtl NaN",
      { create, idleTtl: Number.NaN },
      /^"idleTtl" must be a non-negative number of milliseconds, got NaN$/,
    ],
    ["onEvent true", { create, onEvent: true }, /^"onEvent" must be a function or a list of them, got a boolean$/],
    [
      "onEvent a list with a name in it",
      { create, onEvent: [() => {}, () => {}, "log"] },
      /^"onEvent\[2\]" must be a function, got a string$/,
    ],
    [
      "clock without its methods",
      { create, clock: {} },
      /^"clock" must be a clock \{ now, monotonic, setTimeout \}, got an object$/,
    ],
  ];

  test.each(wrong)("%s", (_, options, expected) => {
    expect(typeErrorOf(() => createTokenPool(options as TokenPoolOptions))).toMatch(expected);
  });

  test.each([undefined, null, "options"])("options that are %j", (options) => {
    expect(typeErrorOf(() => createTokenPool(options as never))).toMatch(
      /^createTokenPool takes options such as \{ create \}, got/,
    );
  });
});

describe("createAuthFetch: wrong arguments", () => {
  const { cache } = cacheUnderTest();

  test.each([
    [undefined, "undefined"],
    [null, "null"],
    ["token", "a string"],
    [{}, "an object"],
    [[], "an empty array"],
  ])("a source that is %o", (source, kind) => {
    expect(typeErrorOf(() => createAuthFetch(source as never))).toMatch(
      new RegExp(`^The first argument of createAuthFetch must be a token cache, .*got ${kind}$`),
    );
  });

  test.each([
    ["one that is unset", undefined, "undefined"],
    ["a grant", fakeGrant(), "an object"],
    ["a promise of a cache", Promise.resolve(cache), "a promise that was not awaited"],
    ["a list in the list", [cache], "an array"],
  ])("a list of caches with %s: the message names the entry", (_, entry, kind) => {
    expect(typeErrorOf(() => createAuthFetch([cache, entry] as never))).toBe(
      `Entry 1 of the first argument of createAuthFetch must be a token cache, got ${kind}`,
    );
  });

  test("a pool in place of a function that asks it: the message shows the function", () => {
    const pool = createTokenPool({ create: () => cacheUnderTest().cache });
    const answer = "got a token pool: write () => pool.get(key)";
    expect(typeErrorOf(() => createAuthFetch(pool as never))).toContain(answer);
    expect(typeErrorOf(() => checkedOverride({ cache: pool as never }))).toContain(answer);
  });

  test.each([
    ["a pool", () => createTokenPool({ create: () => cacheUnderTest().cache })],
    ["a promise of a cache", () => Promise.resolve(cache)],
    ["a signal", () => new AbortController().signal],
  ])("%s as the override of a request: a TypeError, and not the token of the client's own cache", (_, override) => {
    expect(() => checkedOverride(override() as never)).toThrow(/^The request option "remint" takes options/);
  });

  test.each([
    ["fetch an object", { fetch: {} }, /^"fetch" must be a function, got an object$/],
    ["isRejected a boolean", { isRejected: true }, /^"isRejected" must be a function, got a boolean$/],
  ])("%s", (_, options, expected) => {
    expect(typeErrorOf(() => createAuthFetch(cache, options as never))).toMatch(expected);
  });

  test("options that are no object", () => {
    expect(typeErrorOf(() => createAuthFetch(cache, "x" as never))).toMatch(
      /^createAuthFetch takes options such as \{ fetch \}, got a string/,
    );
  });
});
