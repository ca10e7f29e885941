/** What can be reached from a token cache and from a pool at run time: what the types show, and nothing else. */
import { expect, test } from "vitest";
import { policyKey } from "../../src/core/types.ts";
import { createTokenCache, createTokenPool } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";

/** Every key of an object and of its prototypes, up to Object's own. */
function keysOf(object: object): (string | symbol)[] {
  const prototype: unknown = Object.getPrototypeOf(object);
  const inherited = prototype === Object.prototype || prototype === null ? [] : keysOf(prototype as object);
  return [...Reflect.ownKeys(object), ...inherited];
}

const dispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

test("a token cache shows its methods, its disposal and the request policy's half", () => {
  const cache = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
  expect(new Set(keysOf(cache))).toEqual(
    new Set(["constructor", "get", "peek", "invalidate", "signIn", "signOut", "for", "close", dispose, policyKey]),
  );
  expect(Object.keys(cache)).toEqual([]);
});

test("the request policy's half stands behind a registered symbol with a version in its name", () => {
  expect(Symbol.keyFor(policyKey)).toBe("remint.policy/1");
});

test("a token pool shows its methods and its size", () => {
  const pool = createTokenPool({
    create: () => createTokenCache({ grant: fakeGrant(), origins: ["https://a.example"] }),
  });
  expect(new Set(keysOf(pool))).toEqual(
    new Set(["constructor", "get", "signIn", "signOut", "release", "describe", "close", "size"]),
  );
});
