import { describe, expect, test } from "vitest";
import { CREDENTIAL_NAME, redactor, shown } from "../../src/oauth/redaction.ts";

describe("S5: what was sent is taken out of what a server says", () => {
  test("one secret may be the start of another: the longer one goes whole, whichever came first", () => {
    for (const secrets of [
      ["hush", "hush-hush"],
      ["hush-hush", "hush"],
    ]) {
      expect(redactor(secrets)("hush-hush and hush")).toBe("[redacted] and [redacted]");
    }
  });

  test("white space around a secret, as in a file, is not part of it; one that is nothing else is none", () => {
    expect(redactor(["  hush \n"])("no hush here")).toBe("no [redacted] here");
    expect(redactor([" \n", ""])("a b")).toBe("a b");
  });

  test("what is special in a pattern is a character like any other", () => {
    const secret = "a.b*c+d?(e)[f]{g}|h^i$j\\k/l-m";
    expect(redactor([secret])(`<${secret}>`)).toBe("<[redacted]>");
    expect(redactor(["a.b"])("axb")).toBe("axb");
  });

  test("a text is cut after the secrets are out, so half of one is never left", () => {
    const text = `${"x".repeat(195)}hush-hush`;
    expect(shown(text, redactor(["hush-hush"]))).toBe(`${"x".repeat(195)}[reda`);
  });
});

const CREDENTIALS =
  "client_secret refresh_token subject_token actor_token token assertion client_assertion password passcode code " +
  "code_verifier x-signature api_key API-Key apikey key Cookie authorization";

test.each(CREDENTIALS.split(" "))("S5: the value of %s is a credential", (name) => {
  expect(CREDENTIAL_NAME.test(name)).toBe(true);
});

test.each(["scope", "client_id", "subject_token_type", "token_type_hint", "audience", "monkey", "x-code", "encode"])(
  "the value of %s is none, and tells tokens apart",
  (name) => {
    expect(CREDENTIAL_NAME.test(name)).toBe(false);
  },
);
