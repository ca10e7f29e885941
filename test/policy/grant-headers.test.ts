/** The headers of a send: the token's own, and those of the grant. */
import { describe, expect, test } from "vitest";
import { type AccessToken, customGrant, createTokenCache } from "../../src/index.ts";
import { isSetAuthorization } from "../../src/policy/client-seam.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import type { PolicyRequest, TokenHeaders } from "../../src/policy/client-seam.ts";
import { rejectionOf } from "../core/cache-under-test.ts";

/** Sends one request with the headers that a grant wants. Returns those that the client was given. */
async function headersOfSend(headers: (token: AccessToken) => never): Promise<TokenHeaders | undefined> {
  let given: TokenHeaders | undefined;
  const grant = customGrant({ mint: () => ({ access_token: "s3cret-token" }), headers });
  const cache = createTokenCache({ grant, origins: ["https://api.example"] });
  await withToken<PolicyRequest, number>(
    cache,
    { url: "https://api.example/" },
    {
      async send(_, sent) {
        given = sent;
        return 200;
      },
      status: (status) => status,
      header: () => null,
      canResend: () => true,
    },
  );
  return given;
}

const BEARER = "Bearer s3cret-token";

describe("Q1: the headers that a grant adds", () => {
  test.each<[string, unknown, TokenHeaders]>([
    ["nothing", {}, { authorization: BEARER }],
    ["null", null, { authorization: BEARER }],
    ["undefined", undefined, { authorization: BEARER }],
    ["another header", { "x-env": "prod" }, { authorization: BEARER, "x-env": "prod" }],
    ["another scheme", { Authorization: "Token s3cret-token" }, { authorization: "Token s3cret-token" }],
    ["the same in capitals", { AUTHORIZATION: "Token x" }, { authorization: "Token x" }],
    [
      "a header of its own in place of Authorization",
      { authorization: null, "X-Access-Token": "x" },
      { "X-Access-Token": "x" },
    ],
    ["no header at all, because a cookie carries the session", { authorization: null }, {}],
    ["an Authorization that is undefined", { authorization: undefined }, { authorization: BEARER }],
    ["another header that is null or undefined", { "x-a": null, "x-b": undefined }, { authorization: BEARER }],
  ])("Q1: %s", async (_, added, sent) => {
    expect(await headersOfSend(() => added as never)).toEqual(sent);
  });

  test.each([
    ["a line break", { "x-env": "a\r\nx-admin: s3cret" }],
    ["a number", { "x-env": 5 }],
    ["a list", { authorization: ["s3cret"] }],
    ["a character above 255", { "x-env": "s3cret\u20ac" }],
    ["a promise", Promise.resolve({ "x-env": "s3cret" })],
  ])("Q17, S5: %s is a TypeError that shows no value", async (_, added) => {
    const error = (await rejectionOf(headersOfSend(() => added as never))) as Error;
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(/function "headers" of the grant must/);
    expect(error.message).not.toContain("s3cret");
  });
});

describe("Q1: the caller's own Authorization", () => {
  const cache = createTokenCache({ grant: () => ({ access_token: "s3cret-token" }), origins: "any" });

  test.each([["Basic eA=="], [""], [null], [false], [5], [["a"]]])("Q1: %o counts as set", (value) => {
    expect(isSetAuthorization(value)).toBe(true);
  });
  test("Q1: undefined counts as not set", () => expect(isSetAuthorization(undefined)).toBe(false));

  test("S5: an access token as text is a TypeError that names `header`, also inside of another text", async () => {
    const token = await cache.get();
    // oxlint-disable-next-line typescript/no-base-to-string, typescript/restrict-template-expressions -- the mistake itself
    for (const value of [`Bearer ${token}`, String(token), token, [token].join(",")]) {
      expect(() => isSetAuthorization(value)).toThrow(/AccessToken as text: use its property "header"/);
      expect(() => isSetAuthorization(value)).toThrow(TypeError);
    }
    expect(isSetAuthorization(token.header)).toBe(true);
  });
});
