/**
 * The check of the names of options: which members count, which known name the message gives, and that a list of names
 * which does not fit its type does not compile. The lists of the public functions are in core/options-unknown.test.ts.
 */
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { assertOptions } from "../../src/base/options.ts";

interface Options {
  readonly scope?: string | undefined;
  readonly mintRetries?: number | undefined;
}

/** The message for options that come from JavaScript; `undefined` when they are accepted. */
function messageFor(options: object): string | undefined {
  try {
    assertOptions("grantOf", options as Options, ["scope", "mintRetries"]);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as Error).message;
  }
}

const SCOPES = 'grantOf has no option "scopes": did you mean "scope"?';

describe("Q17: which members are options", () => {
  test.each([
    ["known ones", { scope: "a", mintRetries: 1 }],
    ["none", {}],
    ["a known one that is undefined", { scope: undefined }],
    ["an unknown one that is undefined", { scopes: undefined }],
    ["an unknown one that is a symbol", { [Symbol("scopes")]: "a" }],
    ["an unknown one that is not enumerable", Object.defineProperty({}, "scopes", { value: "a" })],
    ["an unknown one of the prototype", Object.create({ scopes: "a", scope: "a" }) as object],
    [
      "unknown ones of an instance of a class",
      new (class Settings {
        readonly scope = "a";
        readonly environment = "test";
        read(): string {
          return this.environment;
        }
      })(),
    ],
  ])("Q17: %s: accepted", (_, options) => {
    expect(messageFor(options)).toBeUndefined();
  });

  test.each([
    ["an object literal", { scopes: "a" }],
    ["a frozen object", Object.freeze({ scopes: "a" })],
    ["an object without a prototype", Object.assign(Object.create(null) as object, { scopes: "a" })],
    ["an object of another realm", runInNewContext('({ scopes: "a" })') as object],
    ["JSON", JSON.parse('{ "scopes": "a" }') as object],
    ["a proxy of an object literal", new Proxy({ scopes: "a" }, {})],
    ["a member that is null", { scopes: null }],
    ["a member that is false", { scopes: false }],
    ["known ones before it", { scope: "a", mintRetries: 0, scopes: "a" }],
  ])("Q17: an unknown name in %s is a TypeError", (_, options) => {
    expect(messageFor(options)).toBe(SCOPES);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "length", "0", ""])(
    "Q17: the name %j is unknown like any other",
    (name) => {
      const options = Object.defineProperty({}, name, { value: 1, enumerable: true });
      expect(messageFor(options)).toBe(`grantOf has no option "${name}": it has "scope", "mintRetries"`);
    },
  );

  test("Q17: names that someone has added to Object.prototype are in no options", () => {
    const everyone = Object.getPrototypeOf({}) as object;
    Object.defineProperty(everyone, "scopes", { value: "a", enumerable: true, configurable: true });
    let message: string | undefined;
    try {
      message = messageFor({ scope: "a" });
    } finally {
      Reflect.deleteProperty(everyone, "scopes");
    }
    expect(message).toBeUndefined();
  });

  test("Q17: a known option that is a getter is not asked by the check", () => {
    let asked = 0;
    const options = {
      get scope(): string {
        asked++;
        return "a";
      },
    };
    expect(messageFor(options)).toBeUndefined();
    expect(asked).toBe(0);
  });

  test.each([
    [undefined, "undefined"],
    [null, "null"],
    ["s3cret", "a string"],
    [() => {}, "a function"],
    [["s3cret"], "an array"],
    [new AbortController().signal, "an AbortSignal"],
    [Promise.resolve({ scope: "s3cret" }), "a promise that was not awaited"],
    [new Headers({ scope: "s3cret" }), "a Headers"],
    [Object.create({ scopes: "s3cret" }), "an object"],
  ])("Q17: options that are %s", (options, kind) => {
    expect(messageFor(options as never)).toBe(`grantOf takes options such as { scope }, got ${kind}`);
  });

  test("S5: the message has the name of an unknown member, and not its value", () => {
    expect(messageFor({ password: "hush", scopes: "hush" })).not.toContain("hush");
  });
});

/** Lists as some public functions have them. What the message advises depends on nothing else. */
const LISTS = {
  cache: [
    "grant",
    "origins",
    "initial",
    "store",
    "clock",
    "onEvent",
    "refreshBuffer",
    "minValidity",
    "defaultTtl",
    "maxTtl",
    "mintTimeout",
    "landingTimeout",
    "mintRetries",
    "allowHttp",
    "warnings",
  ],
  pool: ["create", "maxSize", "idleTtl", "clock", "onEvent"],
  grant: [
    "tokenEndpoint",
    "issuer",
    "revocationEndpoint",
    "clientId",
    "clientSecret",
    "clientAuthentication",
    "dpop",
    "headers",
    "fetch",
    "allowHttp",
    "scope",
    "resource",
    "parameters",
    "origins",
    "defaultTtl",
    "key",
    "audience",
    "refreshToken",
    "onRotate",
  ],
  exchange: ["subjectToken", "subjectTokenType", "actorToken", "actorTokenType", "requestedTokenType"],
  fleet: ["encryptionKey", "prefix", "lease", "callTimeout", "stateTtl", "endedTtl"],
  request: ["cache", "retry", "body"],
  custom: ["mint", "state", "onState", "revoke", "mintRetries", "key", "origins", "isRejected", "inspectStatuses"],
  org: ["loginUrl", "instanceUrl", "clientId", "clientSecret"],
} as const;

/** What the message for a name advises: the known names that it gives, or `undefined` when it gives all. */
function advised(list: keyof typeof LISTS, name: string): readonly string[] | undefined {
  const known: readonly string[] = LISTS[list];
  try {
    assertOptions("f", { [name]: 1 }, known);
  } catch (error) {
    const { message } = error as Error;
    const [, some] = /^f has no option "[^"]*": did you mean (.+)\?$/.exec(message) ?? [];
    if (some !== undefined) return some.split(" or ").map((each) => each.slice(1, -1));
    expect(message).toBe(`f has no option "${name}": it has "${known.join('", "')}"`);
    return undefined;
  }
  throw new Error(`${name} is accepted`);
}

describe("Q17: the advice of the message", () => {
  test.each<[keyof typeof LISTS, string, string]>([
    // Another style.
    ["cache", "refreshbuffer", "refreshBuffer"],
    ["cache", "refresh_buffer", "refreshBuffer"],
    ["cache", "refresh-buffer", "refreshBuffer"],
    ["cache", "REFRESH_BUFFER", "refreshBuffer"],
    ["cache", "onevent", "onEvent"],
    ["cache", "allowHTTP", "allowHttp"],
    ["cache", "defaultTTL", "defaultTtl"],
    ["pool", "maxsize", "maxSize"],
    ["pool", "on_event", "onEvent"],
    ["grant", "client_id", "clientId"],
    ["grant", "clientID", "clientId"],
    ["grant", "client_secret", "clientSecret"],
    ["grant", "token_endpoint", "tokenEndpoint"],
    ["grant", "refresh_token", "refreshToken"],
    ["exchange", "subject_token", "subjectToken"],
    ["exchange", "requested_token_type", "requestedTokenType"],
    ["fleet", "encryption_key", "encryptionKey"],
    ["org", "instanceURL", "instanceUrl"],
    // Singular, plural, and other endings.
    ["cache", "origin", "origins"],
    ["cache", "warn", "warnings"],
    ["cache", "storage", "store"],
    ["cache", "mintRetry", "mintRetries"],
    ["grant", "scopes", "scope"],
    ["grant", "audiences", "audience"],
    ["grant", "header", "headers"],
    ["grant", "onRotated", "onRotate"],
    ["grant", "onRotation", "onRotate"],
    ["grant", "tokenUrl", "tokenEndpoint"],
    ["grant", "token_uri", "tokenEndpoint"],
    ["grant", "tokenHost", "tokenEndpoint"],
    ["grant", "issuerUrl", "issuer"],
    ["fleet", "leaseMs", "lease"],
    ["request", "retries", "retry"],
    // A part of the name.
    ["cache", "retries", "mintRetries"],
    ["cache", "maxRetries", "mintRetries"],
    ["pool", "ttl", "idleTtl"],
    ["pool", "size", "maxSize"],
    ["grant", "id", "clientId"],
    ["grant", "secret", "clientSecret"],
    ["grant", "aud", "audience"],
    ["grant", "iss", "issuer"],
    ["grant", "params", "parameters"],
    ["grant", "clientAuth", "clientAuthentication"],
    ["fleet", "key", "encryptionKey"],
    ["fleet", "keyPrefix", "prefix"],
    ["fleet", "encKey", "encryptionKey"],
    ["custom", "statuses", "inspectStatuses"],
    // One slip: a letter too few, too many, another one, two in the wrong order.
    ["cache", "orgins", "origins"],
    ["cache", "clockk", "clock"],
    ["cache", "mintTimeuot", "mintTimeout"],
    ["cache", "grnat", "grant"],
    ["grant", "audiance", "audience"],
    ["grant", "cilentId", "clientId"],
    ["grant", "scpoe", "scope"],
    ["custom", "isRejectd", "isRejected"],
  ])("Q17: of %s, %s: %s", (list, name, wanted) => {
    expect(advised(list, name)).toEqual([wanted]);
  });

  test.each<[keyof typeof LISTS, string, readonly string[]]>([
    ["cache", "timeout", ["mintTimeout", "landingTimeout"]],
    ["cache", "ttl", ["defaultTtl", "maxTtl"]],
    ["grant", "endpoint", ["tokenEndpoint", "revocationEndpoint"]],
    ["grant", "token", ["tokenEndpoint", "refreshToken"]],
    ["exchange", "type", ["subjectTokenType", "actorTokenType", "requestedTokenType"]],
    ["org", "url", ["loginUrl", "instanceUrl"]],
  ])("Q17: of %s, %s: several are as near, so all of them are given", (list, name, wanted) => {
    expect(advised(list, name)).toEqual(wanted);
  });

  test.each<[keyof typeof LISTS, string]>([
    // Options of another function: a name that merely looks alike would lead astray.
    ["cache", "scopes"],
    ["cache", "clientId"],
    ["cache", "refreshToken"],
    ["cache", "key"],
    ["cache", "cache"],
    ["grant", "retries"],
    ["grant", "timeout"],
    ["grant", "privateKey"],
    ["grant", "token_endpoint_auth_method"],
    // Words of other libraries.
    ["cache", "onError"],
    ["cache", "onRefresh"],
    ["cache", "url"],
    ["cache", "interval"],
    ["grant", "authority"],
    ["grant", "redirect_uri"],
    ["grant", "grant_type"],
    ["grant", "apiKey"],
    ["grant", "cert"],
    ["fleet", "namespace"],
    ["custom", "getToken"],
    // Too much is left over.
    ["grant", "clientName"],
    ["grant", "keykey"],
    // Nothing to compare.
    ["pool", "x"],
    ["pool", "_"],
    ["pool", "größe"],
  ])("Q17: of %s, %s: nothing is near, so all names are given", (list, name) => {
    expect(advised(list, name)).toBeUndefined();
  });

  test("Q17: the same letters count more than a longer name that begins with them", () => {
    expect(advised("exchange", "subject_token")).toEqual(["subjectToken"]);
    expect(advised("exchange", "subject")).toEqual(["subjectToken", "subjectTokenType"]);
  });
});

/** What compiles and what does not. `tsc -p .` fails if an expected error is none. */
function compiled(options: Options, one: { readonly a?: 1 } | { readonly b?: 1 }): void {
  const shared = ["scope"] as const;
  assertOptions("f", options, ["mintRetries", "scope"]);
  assertOptions("f", options, [...shared, "mintRetries"]);
  assertOptions("f", one, ["a", "b"]);
  // @ts-expect-error a name is missing
  assertOptions("f", options, ["scope"]);
  // @ts-expect-error a name is missing beside the shared ones
  assertOptions("f", options, [...shared]);
  // @ts-expect-error no name at all
  assertOptions("f", options, []);
  // @ts-expect-error a name too many
  assertOptions("f", options, ["scope", "mintRetries", "retries"]);
  // @ts-expect-error a name of one member of the union is missing
  assertOptions("f", one, ["a"]);
}

test("Q17: a list of names that does not fit the type of the options does not compile, and is no matter at run time", () => {
  expect(() => compiled({}, {})).not.toThrow();
});
