import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { AccessTokenRecord, usableValue } from "../../src/core/access-token.ts";
import { isRemintError, type AccessToken } from "../../src/index.ts";

const record = (response: Readonly<Record<string, unknown>>): AccessToken =>
  new AccessTokenRecord({ access_token: "s3cret-token", ...response }, 1000, 7);

describe("AccessToken", () => {
  test("has the value, the scheme, the header, the expiry and the scope", () => {
    const token = record({ token_type: "bearer", scope: "read", expires_in: 60 });
    expect([token.value, token.scheme, token.header]).toEqual(["s3cret-token", "Bearer", "Bearer s3cret-token"]);
    expect([token.expiresAt, token.scope]).toEqual([1000, "read"]);
    expect(record({}).scope).toBeUndefined();
  });

  test.each([
    [undefined, "Bearer"],
    [null, "Bearer"],
    ["BEARER", "Bearer"],
    ["dpop", "DPoP"],
    ["DPoP", "DPoP"],
  ])("a token_type of %j means %s", (token_type, scheme) => {
    expect(record({ token_type }).header).toBe(`${scheme} s3cret-token`);
  });

  test.each(["mac", "", "Bearer ", 7, {}, "N_A"])("RFC 6749 7.1: a token_type of %j is refused", (token_type) => {
    expect(() => record({ token_type })).toThrow(expect.objectContaining({ code: "ERR_TOKEN_RESPONSE" }));
  });

  test("S5: a token prints as [redacted], and as text it says how it is attached", () => {
    const token = record({ refresh_token: "s3cret-refresh" });
    const printed = [
      // oxlint-disable-next-line typescript/no-base-to-string -- the test shows that it is safe
      String(token),
      JSON.stringify(token),
      JSON.stringify({ deep: [token] }),
      inspect(token),
      inspect({ deep: { token } }, { depth: 10, showHidden: true, getters: true }),
      inspect(Object.getOwnPropertyDescriptors(token), { depth: 10 }),
      JSON.stringify({ ...token }),
      inspect(new Map([[token, token]]), { showHidden: true }),
    ];
    for (const text of printed) expect(text).not.toContain("s3cret");
    expect(printed[0]).toBe("[AccessToken: use .header]");
    expect(printed[1]).toBe('"[redacted]"');
    expect(Object.keys(token)).toEqual([]);
  });

  test("S5: response has the other members of the answer, without tokens and secrets", () => {
    const { response } = record({
      instance_url: "https://eu1.example",
      engines: { a: 1 },
      token_type: "Bearer",
      expires_in: 60,
      refresh_token: "s3cret",
      id_token: "s3cret",
      device_secret: "s3cret",
      client_secret: "s3cret",
      SOME_TOKEN: "s3cret",
      password: "s3cret",
      assertion: "s3cret",
      token: "s3cret",
      state: "s3cret",
      serverTime: 5,
      receivedAt: 5,
    });
    expect(response).toEqual({
      instance_url: "https://eu1.example",
      engines: { a: 1 },
      token_type: "Bearer",
      expires_in: 60,
    });
    expect(Object.isFrozen(response)).toBe(true);
  });
});

describe("S4: values that can stand in a header", () => {
  test.each(["abc", "a.b-c_d~e+f/g==", "00D!AQ0AQ.salesforce", "!#$%&'()*,:;<>?@[]^`{|}", "~".repeat(20_000)])(
    "S4: %.30s is accepted",
    (value) => {
      expect(usableValue(value)).toBe(value);
    },
  );

  test.each(["a b", " a", "a ", "a\n", "a\r\nX-Evil: 1", "a\tb", "a\0b", "tökén", "a\u2028b", "a\u007f", "日本"])(
    "S4: %j is refused, and not repeated in the message",
    (value) => {
      let error: unknown;
      try {
        usableValue(`s3cret${value}`);
      } catch (thrown) {
        error = thrown;
      }
      expect(isRemintError(error)).toBe(true);
      expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
      expect((error as Error).message).not.toContain("s3cret");
    },
  );
});
