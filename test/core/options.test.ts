import { describe, expect, test } from "vitest";
import { createTokenCache, type TokenCacheOptions } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle } from "./cache-under-test.ts";

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

const base = (): TokenCacheOptions => ({ grant: fakeGrant(), origins: ["https://api.example"] });

describe("createTokenCache: wrong options", () => {
  const milliseconds = ["refreshBuffer", "minValidity", "defaultTtl", "mintTimeout"] as const;
  const noDuration: [unknown, string][] = [
    [-1, "a negative number"],
    [Number.NaN, "NaN"],
    [Infinity, "Infinity"],
    ["60", "a string"],
    [null, "null"],
    [{}, "an object"],
    [true, "a boolean"],
  ];

  for (const name of milliseconds) {
    // `defaultTtl: null` means the grant's, as `undefined` does.
    const values = noDuration.filter(([value]) => !(name === "defaultTtl" && value === null));
    test.each(values)(
      `${name} of %j: the message names the option, the kind of the value and what is expected`,
      (value, kind) => {
        expect(typeErrorOf(() => createTokenCache({ ...base(), [name]: value }))).toBe(
          `"${name}" must be a non-negative number of milliseconds, got ${kind}`,
        );
      },
    );
  }

  const wrong: [string, object, RegExp][] = [
    ["mintTimeout 0", { mintTimeout: 0 }, /^"mintTimeout" must be more than 0 milliseconds, got a number$/],
    ["mintRetries 1.5", { mintRetries: 1.5 }, /^"mintRetries" must be an integer of at least 0, got a number$/],
    ["mintRetries -1", { mintRetries: -1 }, /^"mintRetries" must be an integer of at least 0, got a negative number$/],
    ["mintRetries a string", { mintRetries: "2" }, /^"mintRetries" must be an integer of at least 0, got a string$/],
    [
      "mintRetries Infinity",
      { mintRetries: Infinity },
      /^"mintRetries" must be an integer of at least 0, got Infinity$/,
    ],
    ["onEvent a string", { onEvent: "log" }, /^"onEvent" must be a function or a list of them, got a string$/],
    ["onEvent null", { onEvent: null }, /^"onEvent" must be a function or a list of them, got null$/],
    ["onEvent a set", { onEvent: new Set([() => {}]) }, /^"onEvent" must be .* a list of them, got a Set$/],
    ["onEvent an object", { onEvent: { minted() {} } }, /^"onEvent" must be .* a list of them, got an object$/],
    [
      "onEvent a list with a condition in it",
      { onEvent: [() => {}, false] },
      /^"onEvent\[1\]" must be a function, got a boolean$/,
    ],
    [
      "onEvent a list with a gap",
      { onEvent: Object.assign(Array(2), { 1: () => {} }) },
      /^"onEvent\[0\]" must be a function, got undefined$/,
    ],
    ["onEvent a list of a list", { onEvent: [[() => {}]] }, /^"onEvent\[0\]" must be a function, got an array$/],
    [
      "clock without its methods",
      { clock: {} },
      /^"clock" must be a clock \{ now, monotonic, setTimeout \}, got an object$/,
    ],
    ["clock null", { clock: null }, /^"clock" must be a clock \{ now, monotonic, setTimeout \}, got null$/],
    ["a clock with a part missing", { clock: { now: Date.now, monotonic: Date.now } }, /^"clock" must be a clock/],
    ["grant missing", { grant: undefined }, /^"grant" must be a grant such as .*, got undefined$/],
    ["grant null", { grant: null }, /^"grant" must be .*, got null$/],
    ["grant a string", { grant: "client_credentials" }, /^"grant" must be .*, got a string$/],
    ["a grant without mint", { grant: { key: "k" } }, /^"grant" must be .*, got an object$/],
    ["a promise of a grant", { grant: Promise.resolve(fakeGrant()) }, /got a promise that was not awaited$/],
    [
      "grant.headers an object",
      { grant: { mint: async () => ({}), headers: {} } },
      /^"grant.headers" must be a function, got an object$/,
    ],
    [
      "grant.isRejected a number",
      { grant: { mint: async () => ({}), isRejected: 401 } },
      /^"grant.isRejected" must be a function/,
    ],
    [
      "grant.defaultTtl negative",
      { grant: fakeGrant({ defaultTtl: -1 }) },
      /^"defaultTtl" must be .* got a negative number$/,
    ],
    ["initial a string", { initial: "token" }, /^"initial" must be a token response .*, got a string$/],
    ["initial null", { initial: null }, /^"initial" must be a token response .*, got null$/],
    ["initial without a token", { initial: {} }, /^"initial" must be a token response .*no "access_token"/],
    [
      "S4: initial with a line break in its token",
      { initial: { access_token: "a\r\nb" } },
      /^"initial" must be .*header/,
    ],
    [
      "initial.receivedAt a string",
      { initial: { access_token: "a", receivedAt: "now" } },
      /^"initial.receivedAt" must be .*got a string$/,
    ],
    [
      "origins missing",
      { origins: undefined },
      /^"origins" must list the origins .*got undefined\. Without it a token could reach any host/,
    ],
    ["origins empty", { origins: [] }, /^"origins" must list the origins .*got an empty array/],
    ["origins a string", { origins: "https://api.example" }, /^"origins" must list the origins .*got a string/],
    ["origins null", { origins: null }, /^"origins" must list the origins/],
    ["an origin with a path", { origins: ["https://api.example/v1"] }, /^"origins" .*write "https:\/\/api\.example"$/],
    ["an origin with a query", { origins: ["https://api.example?x"] }, /^"origins" .*write "https:\/\/api\.example"$/],
    [
      "an origin with credentials",
      { origins: ["https://user:s3cret@api.example"] },
      /^"origins" .*write "https:\/\/api\.example"$/,
    ],
    ["an origin without a scheme", { origins: ["api.example"] }, /^"origins" must list http\(s\) origins/],
    ["an origin of another scheme", { origins: ["ftp://api.example"] }, /^"origins" must list http\(s\) origins/],
    ["an origin that is no string", { origins: [7] }, /^"origins" must list http\(s\) origins .*got a number/],
    ["an origin that is an object", { origins: [{}] }, /^"origins" must list http\(s\) origins .*got an object/],
  ];

  test.each(wrong)("%s", (_, options, expected) => {
    const message = typeErrorOf(() => createTokenCache({ ...base(), ...options }));
    expect(message).toMatch(expected);
    expect(message).not.toContain("s3cret");
  });

  test.each([undefined, null, "options", 7])("options that are %j", (options) => {
    expect(typeErrorOf(() => createTokenCache(options as never))).toMatch(
      /^createTokenCache takes options such as \{ grant \}, got/,
    );
  });

  test("a wrong option throws before any I/O, and nothing keeps running", async () => {
    const grant = fakeGrant();
    typeErrorOf(() => createTokenCache({ grant, origins: ["nowhere"] }));
    let asked = false;
    typeErrorOf(() => createTokenCache({ grant, origins: [], initial: async () => ((asked = true), undefined) }));
    await settle();
    expect([grant.mints, asked]).toEqual([0, false]);
  });

  test("an option that is undefined counts as not set, so that it may come from process.env", () => {
    const options = {
      origins: ["https://api.example"],
      initial: undefined,
      clock: undefined,
      onEvent: undefined,
      refreshBuffer: undefined,
      minValidity: undefined,
      defaultTtl: undefined,
      mintTimeout: undefined,
      mintRetries: undefined,
      allowHttp: undefined,
    };
    expect(createTokenCache({ grant: fakeGrant(), ...options }).peek()).toBeUndefined();
  });

  test("zero is a legal duration", () => {
    const zero = { refreshBuffer: 0, minValidity: 0, defaultTtl: 0, mintRetries: 0 };
    expect(createTokenCache({ ...base(), ...zero }).peek()).toBeUndefined();
  });

  test("the caller's objects are never written to", async () => {
    const origins = ["https://api.example"];
    const initial = Object.freeze({ access_token: "mine", expires_in: 60 });
    const options = Object.freeze({ grant: fakeGrant(), origins: Object.freeze(origins), initial });
    const cache = createTokenCache(options);
    expect((await cache.get()).value).toBe("mine");
    expect(Object.keys(options)).toEqual(["grant", "origins", "initial"]);
  });

  test("C12: construction does no I/O and sets no timer", async () => {
    const { grant, clock } = cacheUnderTest({ initial: { access_token: "mine" } });
    await settle();
    expect([grant.mints, clock.timers]).toEqual([0, 0]);
  });

  test("a cache is a class instance, because axios copies plain objects deeply", () => {
    expect(Object.getPrototypeOf(createTokenCache(base()))).not.toBe(Object.prototype);
  });
});
