import { describe, expect, test } from "vitest";
import { createTokenCache, createTokenPool, type TokenCacheOptions, type TokenPoolOptions } from "../src/index.ts";
import { createAuthFetch } from "../src/adapters/fetch.ts";
import { endpointUrl, isLoopback, kindOf } from "../src/options.ts";
import { fakeGrant } from "../src/testing/index.ts";
import { cacheUnderTest, settle } from "./cache-under-test.ts";

/** What a call throws; it must be a TypeError. */
function complaint(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as Error).message;
  }
  throw new Error("it did not throw");
}

describe("createTokenCache: wrong options", () => {
  const base = (): TokenCacheOptions => ({ grant: fakeGrant(), origins: ["https://api.example"] });
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
    // `defaultTtl: null` falls through to the grant's, as undefined does.
    const values = noDuration.filter(([value]) => !(name === "defaultTtl" && value === null));
    test.each(values)(`${name} of %j: names the option, the kind of the value and what is expected`, (value, kind) => {
      expect(complaint(() => createTokenCache({ ...base(), [name]: value }))).toBe(
        `"${name}" must be a non-negative number of milliseconds, got ${kind}`,
      );
    });
  }

  const wrong: [string, object, RegExp][] = [
    ["mintTimeout 0", { mintTimeout: 0 }, /^"mintTimeout" must be more than 0 milliseconds, got a number$/],
    ["retries 1.5", { retries: 1.5 }, /^"retries" must be an integer of at least 0, got a number$/],
    ["retries -1", { retries: -1 }, /^"retries" must be an integer of at least 0, got a negative number$/],
    ["retries as text", { retries: "2" }, /^"retries" must be an integer of at least 0, got a string$/],
    ["retries without end", { retries: Infinity }, /^"retries" must be an integer of at least 0, got Infinity$/],
    ["onEvent", { onEvent: "log" }, /^"onEvent" must be a function, got a string$/],
    ["clock", { clock: {} }, /^"clock" must be a clock \{ now, monotonic, setTimeout \}, got an object$/],
    ["clock null", { clock: null }, /^"clock" must be a clock \{ now, monotonic, setTimeout \}, got null$/],
    ["a clock with a part missing", { clock: { now: Date.now, monotonic: Date.now } }, /^"clock" must be a clock/],
    ["grant missing", { grant: undefined }, /^"grant" must be a grant such as .*, got undefined$/],
    ["grant null", { grant: null }, /^"grant" must be .*, got null$/],
    ["grant a string", { grant: "client_credentials" }, /^"grant" must be .*, got a string$/],
    ["a grant without mint", { grant: { key: "k" } }, /^"grant" must be .*, got an object$/],
    [
      "grant.headers",
      { grant: { mint: async () => ({}), headers: {} } },
      /^"grant.headers" must be a function, got an object$/,
    ],
    [
      "grant.isRejected",
      { grant: { mint: async () => ({}), isRejected: 401 } },
      /^"grant.isRejected" must be a function/,
    ],
    ["grant.defaultTtl", { grant: fakeGrant({ defaultTtl: -1 }) }, /^"defaultTtl" must be .* got a negative number$/],
    ["initial a string", { initial: "token" }, /^"initial" must be a token response .*, got a string$/],
    ["initial null", { initial: null }, /^"initial" must be a token response .*, got null$/],
    ["initial without a token", { initial: {} }, /^"initial" must be a token response .*no "access_token"/],
    ["S4: initial with a token that injects", { initial: { access_token: "a\r\nb" } }, /^"initial" must be .*header/],
    [
      "initial.receivedAt",
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
    ["an URL object", { origins: [{}] }, /^"origins" must list http\(s\) origins .*got an object/],
  ];

  test.each(wrong)("%s", (_, options, expected) => {
    const message = complaint(() => createTokenCache({ ...base(), ...options } as TokenCacheOptions));
    expect(message).toMatch(expected);
    expect(message).not.toContain("s3cret");
  });

  test.each([undefined, null, "options", 7])("options that are %j", (options) => {
    expect(complaint(() => createTokenCache(options as never))).toMatch(
      /^"createTokenCache options" must be an object, got/,
    );
  });

  test("a complaint is made before any I/O and leaves nothing running", async () => {
    const grant = fakeGrant();
    complaint(() => createTokenCache({ grant, origins: ["nowhere"] }));
    let asked = false;
    complaint(() => createTokenCache({ grant, origins: [], initial: async () => ((asked = true), undefined) }));
    await settle();
    expect([grant.mints, asked]).toEqual([0, false]);
  });

  test("undefined is not set: every option may come from process.env", () => {
    const options = {
      origins: ["https://api.example"],
      initial: undefined,
      clock: undefined,
      onEvent: undefined,
      refreshBuffer: undefined,
      minValidity: undefined,
      defaultTtl: undefined,
      mintTimeout: undefined,
      retries: undefined,
      allowHttp: undefined,
    };
    expect(createTokenCache({ grant: fakeGrant(), ...options }).peek()).toBeUndefined();
  });

  test("zero is a legal duration", () => {
    const zero = { refreshBuffer: 0, minValidity: 0, defaultTtl: 0, retries: 0 };
    expect(createTokenCache({ ...base(), ...zero }).peek()).toBeUndefined();
  });

  test("the caller's objects are read once and never written to", async () => {
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

  test("a cache is a class instance: axios copies plain objects deeply", () => {
    expect(Object.getPrototypeOf(createTokenCache(base()))).not.toBe(Object.prototype);
  });
});

describe("createTokenPool: wrong options", () => {
  const create = (): never => {
    throw new Error("not now");
  };
  const wrong: [string, object, RegExp][] = [
    [
      "create missing",
      { create: undefined },
      /^"create" must be a function that returns a token cache, got undefined$/,
    ],
    ["create null", { create: null }, /^"create" must be a function, got null$/],
    ["create a cache", { create: {} }, /^"create" must be a function, got an object$/],
    ["maxSize 0", { create, maxSize: 0 }, /^"maxSize" must be an integer of at least 1, got a number$/],
    ["maxSize as text", { create, maxSize: "5" }, /^"maxSize" must be an integer of at least 1, got a string$/],
    [
      "maxSize without end",
      { create, maxSize: Infinity },
      /^"maxSize" must be an integer of at least 1, got Infinity$/,
    ],
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
    ["clock", { create, clock: {} }, /^"clock" must be a clock \{ now, monotonic, setTimeout \}, got an object$/],
  ];

  test.each(wrong)("%s", (_, options, expected) => {
    expect(complaint(() => createTokenPool(options as TokenPoolOptions))).toMatch(expected);
  });

  test.each([undefined, null, "options"])("options that are %j", (options) => {
    expect(complaint(() => createTokenPool(options as never))).toMatch(
      /^"createTokenPool options" must be an object, got/,
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
    [[cache, undefined], "an array"],
  ])("a source that is %o", (source, kind) => {
    expect(complaint(() => createAuthFetch(source as never))).toMatch(
      new RegExp(`^The first argument of createAuthFetch must be a token cache, .*got ${kind}$`),
    );
  });

  test.each([
    ["fetch", { fetch: {} }, /^"fetch" must be a function, got an object$/],
    ["isRejected", { isRejected: true }, /^"isRejected" must be a function, got a boolean$/],
  ])("%s", (_, options, expected) => {
    expect(complaint(() => createAuthFetch(cache, options as never))).toMatch(expected);
  });

  test("options that are no object", () => {
    expect(complaint(() => createAuthFetch(cache, "x" as never))).toMatch(
      /^"createAuthFetch options" must be an object/,
    );
  });
});

describe("S1: URLs of endpoints that get secrets", () => {
  test.each([
    "https://auth.example/token",
    "http://localhost:8080/token",
    "http://127.0.0.1/t",
    "http://127.9.9.9/t",
    "http://[::1]:1/t",
    "http://a.localhost/t",
  ])("S1: %s is fine", (url) => {
    expect(endpointUrl("tokenEndpoint", url, false).href).toBe(new URL(url).href);
  });

  test.each([
    "http://auth.example/token",
    "http://10.0.0.1/t",
    "http://localhost.evil.example/t",
    "http://127.0.0.1.evil.example/",
    "http://evil.example/localhost",
  ])("S1: %s is plain http, and fine only with allowHttp", (url) => {
    expect(complaint(() => endpointUrl("tokenEndpoint", url, false))).toMatch(/^"tokenEndpoint" must be an https URL/);
    expect(endpointUrl("tokenEndpoint", url, true).protocol).toBe("http:");
  });

  test.each([
    "",
    "nowhere",
    "/token",
    "ftp://auth.example",
    "file:///etc/passwd",
    "https://u:s3cret@auth.example/",
    7,
    null,
    undefined,
  ])("S1: %j is none, whatever is allowed", (url) => {
    expect(complaint(() => endpointUrl("tokenEndpoint", url, true))).toMatch(/^"tokenEndpoint" must/);
    expect(complaint(() => endpointUrl("tokenEndpoint", url, true))).not.toContain("s3cret");
  });

  test("S1: loopback is told by the host, not by what it looks like", () => {
    expect(["localhost", "x.localhost", "127.0.0.1", "[::1]"].every(isLoopback)).toBe(true);
    expect(["localhost.example", "127.0.0.1.example", "1127.0.0.1", "[::2]", "", "0.0.0.0"].some(isLoopback)).toBe(
      false,
    );
  });
});

describe("S5: kinds, never values", () => {
  test.each([
    [null, "null"],
    [undefined, "undefined"],
    ["", "an empty string"],
    ["s3cret", "a string"],
    [[], "an empty array"],
    [["s3cret"], "an array"],
    [{ s3cret: 1 }, "an object"],
    [1, "a number"],
    [-1, "a negative number"],
    [Number.NaN, "NaN"],
    [-Infinity, "-Infinity"],
    [true, "a boolean"],
    [() => {}, "a function"],
    [Symbol("s3cret"), "a symbol"],
    [1n, "a bigint"],
  ])("%o is %s", (value, kind) => {
    expect(kindOf(value)).toBe(kind);
  });
});
