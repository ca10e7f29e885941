/**
 * Redaction against secrets of any bytes and length, in every spelling a server may use. No piece of a secret of eight or more
 * characters is left in what is shown, and texts without a secret stay as they are.
 *
 * `REMINT_RUNS` sets how many secrets are tried.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { redactor, shown } from "../../src/oauth/redaction.ts";

const RUNS = Number(process.env["REMINT_RUNS"] ?? 60);
const MIB = 1024 * 1024;

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const percent = (text: string, isUpper = true): string =>
  Array.from(bytesOf(text), (byte) => {
    const hex = byte.toString(16).padStart(2, "0");
    return `%${isUpper ? hex.toUpperCase() : hex}`;
  }).join("");
const json = (text: string, isUpper: boolean): string =>
  Array.from({ length: text.length }, (_, index) => {
    const hex = text.charCodeAt(index).toString(16).padStart(4, "0");
    return `\\u${isUpper ? hex.toUpperCase() : hex}`;
  }).join("");
const NAMES: Readonly<Record<string, string>> = { "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos" };
const html = (text: string, write: (code: number) => string): string =>
  Array.from(text, (character) => {
    const name = NAMES[character];
    return name === undefined ? write(character.codePointAt(0)!) : `&${name};`;
  }).join("");

/** How a server may write a secret. */
const spellings: readonly [name: string, write: (secret: string) => string][] = [
  ["as it is", (secret) => secret],
  ["in upper case", (secret) => secret.toUpperCase()],
  ["in lower case", (secret) => secret.toLowerCase()],
  ["percent-encoded", encodeURIComponent],
  ["percent-encoded in lower case", (secret) => encodeURIComponent(secret).toLowerCase()],
  ["percent-encoded, every byte", (secret) => percent(secret)],
  ["percent-encoded, every byte, in lower case", (secret) => percent(secret, false)],
  ["percent-encoded in its second half", (secret) => halves(secret, (half) => half, percent)],
  ["form-encoded", (secret) => String(new URLSearchParams({ v: secret })).slice(2)],
  ["base64", base64],
  ["base64url", (secret) => Buffer.from(secret).toString("base64url")],
  ["Basic credentials", (secret) => `Basic ${base64(`orders:${secret}`)}`],
  ["form-encoded Basic credentials", (secret) => `Basic ${base64(`a:${encodeURIComponent(secret)}`)}`],
  ["hexadecimal", (secret) => Buffer.from(secret).toString("hex")],
  ["a JSON string", (secret) => JSON.stringify(secret)],
  ["escaped for JSON, every character", (secret) => json(secret, false)],
  ["escaped for JSON in upper case", (secret) => json(secret, true)],
  ["escaped for HTML", (secret) => html(secret, (code) => String.fromCodePoint(code))],
  ["escaped for HTML in decimal", (secret) => html(secret, (code) => `&#${code};`)],
  ["escaped for HTML in hexadecimal", (secret) => html(secret, (code) => `&#x${code.toString(16)};`)],
  ["split by line ends", (secret) => Array.from(secret).join("\n")],
  ["split by white space at places", (secret) => secret.replace(/.{5}/gsu, "$& \t")],
  ["percent-encoded twice", (secret) => encodeURIComponent(encodeURIComponent(secret))],
  ["a JSON string in a form", (secret) => encodeURIComponent(JSON.stringify(secret))],
  ["base64 that is percent-encoded", (secret) => encodeURIComponent(base64(secret))],
  ["base64 of base64", (secret) => base64(base64(secret))],
  ["UTF-8 that was read as Latin-1", (secret) => Buffer.from(secret).toString("latin1")],
  ["without its beginning", (secret) => Array.from(secret).slice(3).join("")],
  [
    "cut in the middle",
    (secret) =>
      Array.from(secret)
        .slice(0, Math.ceil(Array.from(secret).length / 2))
        .join(""),
  ],
];

function halves(text: string, first: (half: string) => string, second: (half: string) => string): string {
  const characters = Array.from(text);
  const middle = Math.floor(characters.length / 2);
  return first(characters.slice(0, middle).join("")) + second(characters.slice(middle).join(""));
}

/** What is left of a text that consists of a secret only, without what stands for a secret. */
function leftIn(text: string): string[] {
  return text.split("[redacted]").filter((part) => part !== "");
}

const plain = (text: string): string => text.toLowerCase().replace(/[\s\p{Cc}]/gu, "");

/** The characters that are left of a secret's spelling are too few for a piece of eight bytes. */
function expectRedacted(secret: string, spelling: string, clean: string): void {
  const whole = plain(secret);
  const pieces = new Set(Array.from({ length: Math.max(0, whole.length - 7) }, (_, at) => whole.slice(at, at + 8)));
  for (const part of leftIn(clean)) {
    const rest = plain(part);
    for (let at = 0; at + 8 <= rest.length; at++) {
      if (pieces.has(rest.slice(at, at + 8)))
        expect.fail(`a piece is left of a secret ${JSON.stringify(secret)} in ${spelling}`);
    }
  }
}

const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 8,
  maxLength: 80,
});
const anyText = fc.string({ unit: "binary", minLength: 8, maxLength: 60 });
const anyBytes = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  minLength: 8,
  maxLength: 60,
});
/** Characters that are escapes of their own. */
const awkward = fc.string({
  unit: fc.constantFrom(...Array.from("%&\\+;#u0041xamp=/é ж😀\n")),
  minLength: 8,
  maxLength: 40,
});

describe("S5: a secret of any characters", () => {
  test.each(spellings)("%s: no piece of it is left", (name, write) => {
    fc.assert(
      fc.property(fc.oneof(visible, anyText, anyBytes, awkward), (secret) => {
        const clean = redactor([secret])(`no: ${write(secret)} :no`);
        expectRedacted(secret, name, clean);
      }),
      { numRuns: RUNS },
    );
  });

  test.each(spellings)("%s, of visible ASCII: the text has the sign for it, and little more", (_name, write) => {
    fc.assert(
      fc.property(
        visible.filter((secret) => secret.length >= 24),
        (secret) => {
          const clean = redactor([secret])(write(secret));
          expect(clean).toContain("[redacted]");
          // What an encoding adds around it is no part of the secret: `Basic`, the id, quotes, padding.
          expect(leftIn(clean).join("").length).toBeLessThan(32);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test("empty, of white space, or of fewer than four bytes: nothing is searched for", () => {
    for (const secret of ["", " \n\t", "a", "ab", "res", "é"]) {
      expect(redactor([secret])("bad_refresh_token é ab")).toBe("bad_refresh_token é ab");
    }
  });

  test("four to seven bytes: found as a whole, and not in pieces", () => {
    expect(redactor(["hush"])("is hush, HUSH, h%75sh, aHVzaA== and hus")).toBe(
      "is [redacted], [redacted], [redacted], [redacted]== and hus",
    );
    expect(redactor(["pa:ss/w"])("pa%3Ass%2Fw pa:ss/")).toBe("[redacted] pa:ss/");
  });
});

describe("S5: texts of an answer that are worked with", () => {
  const NEIGHBOUR = "https://acme.my.example/services?a=b+c&d=100%";
  const wholes = spellings.filter(([name]) => !/without|cut/.test(name));

  test.each(wholes)("%s: a whole secret is replaced, and the text beside it stays", (_name, write) => {
    fc.assert(
      fc.property(
        visible.filter((secret) => secret.length >= 24),
        (secret) => {
          const text = write(secret);
          const clean = redactor([secret, "another-secret"]).data([NEIGHBOUR, text]);
          expect(clean.get(text)).toContain("[redacted]");
          expect(leftIn(clean.get(text)!).join("").length).toBeLessThan(32);
          expect(clean.get(NEIGHBOUR)).toBe(NEIGHBOUR);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test("a part of a secret, and a whole one of seven bytes, stay: any text may have them", () => {
    const header = "acme-portal/2.3 (+https://acme.my.example/contact)";
    const texts = ["https://acme.my.example", "orders:read", "https://[::1]:8080", ""];
    const { data } = redactor([header, "read", "orders-of-acme"]);
    expect([...data(texts)]).toEqual(texts.map((text) => [text, text]));
    expect(
      data([`so ${header}, ORDERS-of-acme`])
        .values()
        .next().value,
    ).toBe("so [redacted], [redacted]");
  });

  test("two secrets, one behind the other, and one that is the beginning of the other: both are replaced", () => {
    const { data } = redactor(["first-secret", "first-secret-of-two"]);
    expect([...data(["first-secretfirst-secret-of-two", "a first-secret", "irst-secret"]).values()]).toEqual([
      "[redacted]",
      "a [redacted]",
      "irst-secret",
    ]);
  });

  test("20,000 texts that are full of escapes, beside a secret of 64 KiB: each is as it was", () => {
    const texts = Array.from({ length: 20_000 }, (_, at) => `${at}: 100% & 2026-11-26T14:00:00+0000 \\ +${at}`);
    const clean = redactor(["~".repeat(65_536), "s3cret-of-orders"]).data([...texts, "s3cret-of-orders"]);
    expect(texts.filter((text) => clean.get(text) !== text)).toEqual([]);
    expect(clean.get("s3cret-of-orders")).toBe("[redacted]");
  });

  test("more secrets than are worth the search: nothing of the texts is left", () => {
    const many = Array.from({ length: 9 }, (_, at) => String(at).repeat(MIB));
    expect([...redactor(many).data(["a", "b"]).values()]).toEqual(["[redacted]", "[redacted]"]);
  });
});

describe("S5: secrets and texts of up to 1 MiB", () => {
  const long = (unit: string): string => unit.repeat(Math.ceil(MIB / unit.length)).slice(0, MIB);
  const secrets: [name: string, secret: string][] = [
    ["one character", long("~")],
    ["characters that are special in a pattern", long("~{}()[]|*+?.^$")],
    ["the byte 0x85", long("\x85")],
    ["backslashes", long("\\")],
    ["percent signs", long("%25")],
    ["ampersands", long("&amp;")],
    [
      "base64",
      base64(Array.from({ length: MIB / 2 }, (_, at) => String.fromCharCode((at * at) % 251)).join("")).slice(0, MIB),
    ],
    ["XML", long('<saml:Attribute Name="given">\n  value\n</saml:Attribute>')],
  ];

  test.each(secrets)("%s: an error that repeats it shows no piece of it", (name, secret) => {
    const redact = redactor([secret, "another-secret"]);
    for (const write of [(text: string) => text, encodeURIComponent, base64]) {
      const text = `refused: ${write(secret).slice(0, MIB - 9)}`;
      expectRedacted(secret.slice(0, 64), name, redact(text));
      expect(shown(text, redact)).toBeUndefined();
      const cut = shown(text.slice(0, 8000), redact) ?? "";
      expectRedacted(secret.slice(0, 64), name, cut);
      expect(cut.length).toBeLessThanOrEqual(200);
    }
  });

  test("more secrets than are worth the search: nothing of the text is shown", () => {
    const many = Array.from({ length: 9 }, (_, at) => String(at).repeat(MIB));
    expect(redactor(many)("anything")).toBe("[redacted]");
  });
});

describe("S5: no false hit", () => {
  const texts = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "invalid_target",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "bad_refresh_token",
    "invalid_refresh_token",
    "BAD_REFRESH_TOKEN",
    "Token has been expired or revoked.",
    "The refresh token is invalid, expired or revoked",
    "authentication failure",
    "expired access/refresh token",
    "AADSTS700016: Application with identifier '1f6a' was not found in the directory 'contoso'.",
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI",
    "Unknown or invalid refresh token.",
    "Client authentication failed (e.g., unknown client)",
    "user hasn't approved this consumer",
    "Die Anmeldung ist abgelaufen; bitte melden Sie sich erneut an – süß",
    "リフレッシュトークンが無効です",
    "token request is already being processed",
  ];
  test.each(texts)("%s stays as it is, whatever the secret", (text) => {
    const opaque = fc.array(
      fc.constantFrom(...Array.from("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789-_")),
      {
        minLength: 4,
        maxLength: 500,
      },
    );
    fc.assert(
      fc.property(opaque, fc.string({ unit: "binary", minLength: 12, maxLength: 90 }), (characters, other) => {
        // A digit in the middle: words alone could be those of the text.
        const secret = characters.toSpliced(2, 0, "7").join("");
        expect(redactor([secret, other])(text)).toBe(text);
      }),
      { numRuns: RUNS },
    );
  });
});
