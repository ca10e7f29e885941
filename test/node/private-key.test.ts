/** Private keys in the older forms of PEM, from a text and from a file, and their use in grants. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTokenCache, jwtBearerGrant, type RemintError } from "remint";
import { privateKeyFromFile, privateKeyFromPem } from "remint/node";
import { salesforceJwtBearerGrant } from "remint/salesforce";
import { startAuthServer } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const PASSPHRASE = "open sesame";
const encrypted = { cipher: "aes-256-cbc", passphrase: PASSPHRASE } as const;

const PKCS1 = String(rsa.privateKey.export({ type: "pkcs1", format: "pem" }));
const ENCRYPTED_PKCS1 = String(rsa.privateKey.export({ type: "pkcs1", format: "pem", ...encrypted }));
const ENCRYPTED_PKCS8 = String(rsa.privateKey.export({ type: "pkcs8", format: "pem", ...encrypted }));
const PUBLIC = String(rsa.publicKey.export({ type: "spki", format: "pem" }));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "remint-key-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileWith(content: string): string {
  const path = join(folder, `${Math.random()}.key`);
  writeFileSync(path, content);
  return path;
}

/** What the PEM holds, in a form that can be compared. */
function exported(pem: string): unknown {
  expect(pem).toMatch(/^-----BEGIN PRIVATE KEY-----\n[^]*-----END PRIVATE KEY-----\n$/);
  return createPrivateKey(pem).export({ format: "jwk" });
}

const forms: [form: string, pem: string, passphrase: string | undefined, key: KeyObject][] = [
  ["PKCS#1", PKCS1, undefined, rsa.privateKey],
  ["PKCS#1 in one line, with \\n", PKCS1.replaceAll("\n", "\\n"), undefined, rsa.privateKey],
  [
    "PKCS#1 with CRLF and text before it",
    `Bag Attributes\r\n${PKCS1.replaceAll("\n", "\r\n")}`,
    undefined,
    rsa.privateKey,
  ],
  [
    "PKCS#1 behind a certificate",
    `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${PKCS1}`,
    undefined,
    rsa.privateKey,
  ],
  ["PKCS#1, encrypted", ENCRYPTED_PKCS1, PASSPHRASE, rsa.privateKey],
  ["PKCS#8", String(rsa.privateKey.export({ type: "pkcs8", format: "pem" })), undefined, rsa.privateKey],
  [
    "PKCS#8 with a passphrase that it does not need",
    String(rsa.privateKey.export({ type: "pkcs8", format: "pem" })),
    PASSPHRASE,
    rsa.privateKey,
  ],
  ["PKCS#8, encrypted", ENCRYPTED_PKCS8, PASSPHRASE, rsa.privateKey],
  ["SEC1", String(ec.privateKey.export({ type: "sec1", format: "pem" })), undefined, ec.privateKey],
];

describe("a PEM with a private key becomes PKCS#8", () => {
  test.each(forms)("%s", async (_form, pem, passphrase, key) => {
    const expected = key.export({ format: "jwk" });
    expect(exported(privateKeyFromPem(pem, { passphrase }))).toEqual(expected);
    const path = fileWith(pem);
    expect(exported(await privateKeyFromFile(path, { passphrase })())).toEqual(expected);
    expect(exported(await privateKeyFromFile(pathToFileURL(path), { passphrase })())).toEqual(expected);
  });
});

describe("what is no private key", () => {
  const wrong: [what: string, pem: string, passphrase: string | undefined, expected: RegExp][] = [
    ["a public key", PUBLIC, undefined, /a PEM with a private key; an encrypted one needs passphrase/],
    [
      "another text",
      "-----BEGIN PRIVATE KEY-----\nd2hhdCBpcyBpbiBoZXJlIGlzIG5vIGtleSBhdCBhbGw=\n-----END PRIVATE KEY-----",
      undefined,
      /a PEM with a private key/,
    ],
    ["a damaged key", PKCS1.slice(0, 300), undefined, /a PEM with a private key/],
    ["an encrypted key without a passphrase", ENCRYPTED_PKCS8, undefined, /needs passphrase/],
    ["an encrypted key with another passphrase", ENCRYPTED_PKCS1, "wrong-word", /a private key of this passphrase/],
  ];
  test.each(wrong)(
    "S5: %s: an error that shows neither the text nor the passphrase",
    async (_what, pem, passphrase, expected) => {
      const path = fileWith(pem);
      let thrown: unknown;
      try {
        privateKeyFromPem(pem, { passphrase });
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(TypeError);
      expect((thrown as Error).message).toMatch(/^"pem" must be /);
      expect((thrown as Error).message).toMatch(expected);
      const rejection = (await rejectionOf(privateKeyFromFile(path, { passphrase })())) as RemintError;
      expect(rejection.code).toBe("ERR_GRANT");
      expect(rejection.hint).toContain(`the private key file ${path} holds no private key`);
      expect(rejection.hint).toMatch(expected);
      const shown = inspect([thrown, rejection], { depth: 9, showHidden: true });
      expect(shown).not.toContain(pem.slice(30, 60));
      expect(shown).not.toContain("wrong-word");
    },
  );

  test.each([
    ["undefined", undefined, {}, /^"pem" must be a non-empty string, got undefined/],
    ["an empty text", "", {}, /^"pem" must be a non-empty string, got an empty string/],
    ["an empty passphrase", PKCS1, { passphrase: "" }, /^"passphrase" must be a non-empty string/],
    ["an unknown option", PKCS1, { password: "x" }, /^privateKeyFromPem has no option "password"/],
  ])("%s is a TypeError", (_what, pem, options, message) => {
    expect(() => privateKeyFromPem(pem as string, options as never)).toThrow(TypeError);
    expect(() => privateKeyFromPem(pem as string, options as never)).toThrow(message);
  });

  test("a file that is empty, or missing: ERR_GRANT, whose hint names the file", async () => {
    const empty = (await rejectionOf(privateKeyFromFile(fileWith(" \n"))())) as RemintError;
    expect(empty).toMatchObject({ code: "ERR_GRANT", hint: expect.stringMatching(/is empty$/) as unknown });
    const missing = (await rejectionOf(privateKeyFromFile(join(folder, "none"))())) as RemintError;
    expect(missing.hint).toContain("cannot be read (ENOENT)");
    expect(() => privateKeyFromFile("")).toThrow(/^"path" must be the path of a file/);
  });
});

test("a PKCS#1 key signs for a grant, also after its file was replaced by another key", async () => {
  const auth = await startAuthServer();
  try {
    const path = fileWith(PKCS1);
    const org = { loginUrl: auth.origin, instanceUrl: "https://acme.my.salesforce.com", clientId: "consumer-key" };
    const body = { access_token: "t", token_type: "Bearer", instance_url: org.instanceUrl };
    auth.respondAlways({ body });
    const username = "alice@acme.example";
    const grants = [privateKeyFromPem(PKCS1), privateKeyFromFile(path)].map((privateKey) =>
      salesforceJwtBearerGrant({ ...org, username, privateKey }),
    );
    const assertions: string[] = [];
    const mint = async (grant: (typeof grants)[number]): Promise<void> => {
      await createTokenCache({ grant }).get();
      assertions.push(auth.requests.at(-1)?.form.get("assertion") ?? "");
    };
    for (const grant of grants) await mint(grant);
    const next = generateKeyPairSync("rsa", { modulusLength: 2048 });
    writeFileSync(path, String(next.privateKey.export({ type: "pkcs1", format: "pem" })));
    await mint(grants[1]!);
    for (const [index, key] of [rsa.publicKey, rsa.publicKey, next.publicKey].entries()) {
      expect((await jwtVerify(assertions[index]!, key)).payload.sub).toBe(username);
    }
  } finally {
    await auth.close();
  }
});

test("a SEC1 key signs for jwtBearerGrant", async () => {
  const auth = await startAuthServer();
  try {
    const { tokenEndpoint } = auth;
    auth.respond({ body: { access_token: "t", token_type: "Bearer" } });
    const key = privateKeyFromPem(String(ec.privateKey.export({ type: "sec1", format: "pem" })));
    const assertion = { key, issuer: "me", subject: "alice", audience: tokenEndpoint };
    const grant = jwtBearerGrant({ tokenEndpoint, clientId: "me", clientAuthentication: "none", assertion });
    await createTokenCache({ grant, origins: ["https://api.example"] }).get();
    const { protectedHeader } = await jwtVerify(auth.requests[0]?.form.get("assertion") ?? "", ec.publicKey);
    expect(protectedHeader.alg).toBe("ES256");
  } finally {
    await auth.close();
  }
});
