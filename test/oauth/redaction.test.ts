/** Redaction: which values are secrets, and how they are removed from the text of a server. */
import { describe, expect, test } from "vitest";
import { isCredentialName } from "../../src/base/redacted.ts";
import { redactor, shown } from "../../src/oauth/redaction.ts";

describe("S5: secrets are removed from the text of a server", () => {
  test("one secret is the beginning of another: the longer one is removed whole, in either order", () => {
    for (const secrets of [
      ["hush", "hush-hush"],
      ["hush-hush", "hush"],
    ]) {
      expect(redactor(secrets)("hush-hush and hush")).toBe("[redacted] and [redacted]");
    }
  });

  test("white space around a secret, as in a file, is not part of it; white space alone is no secret", () => {
    expect(redactor(["  hush \n"])("no hush here")).toBe("no [redacted] here");
    expect(redactor([" \n", ""])("a b")).toBe("a b");
  });

  test("a secret with characters that are special in a pattern is removed literally", () => {
    const secret = "a.b*c+d?(e)[f]{g}|h^i$j\\k/l-m";
    expect(redactor([secret])(`<${secret}>`)).toBe("<[redacted]>");
    expect(redactor(["a.b"])("axb")).toBe("axb");
  });

  test("a long text is cut after redaction, so that no half of a secret is left", () => {
    const text = `${"x".repeat(195)}hush-hush`;
    expect(shown(text, redactor(["hush-hush"]))).toBe(`${"x".repeat(195)}[reda`);
  });
});

const CREDENTIALS =
  "client_secret refresh_token subject_token actor_token token assertion client_assertion password passcode code " +
  "code_verifier x-signature api_key API-Key apikey key Cookie authorization";

test.each(CREDENTIALS.split(" "))("S5: the value of %s is a credential", (name) => {
  expect(isCredentialName(name)).toBe(true);
});

test.each(["scope", "client_id", "subject_token_type", "token_type_hint", "audience", "monkey", "x-code", "encode"])(
  "the value of %s is no credential",
  (name) => {
    expect(isCredentialName(name)).toBe(false);
  },
);
