/** Secrets and tokens from files: reading, rotation, missing files, and their use in a grant. */
import { mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { exportPKCS8, generateKeyPair } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { clientAssertion, clientCredentialsGrant, createTokenCache, privateKeyJwt } from "remint";
import { secretFromFile, tokenFromFile } from "remint/node";
import { startAuthServer } from "remint/testing";

const reads = vi.hoisted(() => ({ count: 0 }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const readFile = (...args: Parameters<typeof real.readFile>): unknown => {
    reads.count++;
    return real.readFile(...args);
  };
  return { ...real, readFile };
});

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "remint-secret-"));
  path = join(folder, "secret");
  reads.count = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("secretFromFile", () => {
  test.each([
    ["s3cr3t\n", "s3cr3t"],
    ["s3cr3t\r\n", "s3cr3t"],
    ["s3cr3t", "s3cr3t"],
    [" s3 cr3t \n\n", " s3 cr3t "],
    ["ключ\n", "ключ"],
  ])("the line break after a secret is not part of it (%j)", async (content, secret) => {
    writeFileSync(path, content);
    expect(await secretFromFile(path)()).toBe(secret);
    expect(await secretFromFile(pathToFileURL(path))()).toBe(secret);
  });

  test("three calls with an unchanged file: it is read once, at the first call", async () => {
    const secret = secretFromFile(path);
    writeFileSync(path, "one");
    await secret();
    await secret();
    expect(await secret()).toBe("one");
    expect(reads.count).toBe(1);
  });

  test("a file that was rewritten, replaced or linked to another is read again", async () => {
    writeFileSync(path, "one");
    const secret = secretFromFile(path);
    expect(await secret()).toBe("one");
    writeFileSync(path, "three");
    expect(await secret()).toBe("three");
    // Another file of the same length and with the same time.
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    expect(await secret()).toBe("three");
    const next = join(folder, "next");
    writeFileSync(next, "seven");
    utimesSync(next, 1_700_000_000, 1_700_000_000);
    renameSync(next, path);
    expect(await secret()).toBe("seven");
    writeFileSync(next, "eight");
    rmSync(path);
    symlinkSync(next, path);
    expect(await secret()).toBe("eight");
  });

  test("a missing or empty file is an error that names it; the file is read again once it is back", async () => {
    const secret = secretFromFile(path);
    const expected = {
      code: "ERR_GRANT",
      retryable: false,
      message: "a secret could not be read from its file",
      hint: `the secret file ${path} cannot be read (ENOENT)`,
    };
    await expect(secret()).rejects.toMatchObject(expected);
    writeFileSync(path, "\n");
    await expect(secret()).rejects.toMatchObject({
      code: "ERR_GRANT",
      message: "a secret could not be read from its file",
      hint: `the secret file ${path} is empty`,
    });
    writeFileSync(path, "s3cr3t");
    expect(await secret()).toBe("s3cr3t");
    rmSync(path);
    const error: unknown = await secret().catch((reason: unknown) => reason);
    expect(error).toMatchObject(expected);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("s3cr3t");
  });

  test.each([undefined, "", 5, new URL("https://auth.example/secret")])("the path %s is a TypeError", (given) => {
    expect(() => secretFromFile(given as string)).toThrow(TypeError);
    expect(() => tokenFromFile(given as string)).toThrow(/"path" must be the path of a file, or its file: URL, got/);
  });

  test("a file with a byte order mark, as editors of Windows write it: the mark is not part of the secret", async () => {
    writeFileSync(path, "\uFEFFs3cr3t\r\n");
    expect(await secretFromFile(path)()).toBe("s3cr3t");
    writeFileSync(path, "\uFEFFs3c\uFEFFr3t");
    expect(await secretFromFile(path)()).toBe("s3c\uFEFFr3t");
    writeFileSync(path, "\uFEFF\r\n");
    await expect(secretFromFile(path)()).rejects.toMatchObject({ hint: `the secret file ${path} is empty` });
  });

  test("printing the function shows nothing of the secret", async () => {
    writeFileSync(path, "s3cr3t");
    const secret = secretFromFile(path);
    await secret();
    expect(inspect(secret, { depth: 10, showHidden: true })).not.toContain("s3cr3t");
  });
});

test("tokenFromFile: white space around a token is not part of it", async () => {
  writeFileSync(path, " \n e30.e30.c2ln \r\n");
  expect(await tokenFromFile(path)()).toBe("e30.e30.c2ln");
  writeFileSync(path, " \n ");
  await expect(tokenFromFile(path)()).rejects.toMatchObject({
    message: "a token could not be read from its file",
    hint: `the token file ${path} is empty`,
  });
});

const pem = async (alg: string): Promise<string> =>
  exportPKCS8((await generateKeyPair(alg, { extractable: true })).privateKey);

describe("with a grant", () => {
  test("a rotated secret, token or key is used by the next mint", async () => {
    await using auth = await startAuthServer();
    const { tokenEndpoint } = auth;
    const cases = [
      { contents: ["one\n", "two\n"], options: () => ({ clientSecret: secretFromFile(path) }) },
      { contents: ["a.b.c", "d.e.f"], options: () => ({ clientAuthentication: clientAssertion(tokenFromFile(path)) }) },
      {
        contents: [await pem("ES256"), await pem("EdDSA")],
        options: () => ({ clientAuthentication: privateKeyJwt({ key: secretFromFile(path) }) }),
      },
    ];
    const sent: string[] = [];
    for (const { contents, options } of cases) {
      const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "me", ...options() });
      for (const content of contents) {
        writeFileSync(path, content);
        await createTokenCache({ grant, origins: ["https://api.example"] }).get();
        const { headers, form } = auth.requests.at(-1) ?? expect.fail("nothing was sent");
        sent.push(form.get("client_assertion") ?? atob(headers.authorization?.slice(6) ?? ""));
      }
    }
    expect(sent.slice(0, 4)).toEqual(["me:one", "me:two", "a.b.c", "d.e.f"]);
    expect(sent.slice(4).map((jwt) => JSON.parse(atob(jwt.split(".")[0] ?? "")) as unknown)).toEqual([
      { alg: "ES256" },
      { alg: "EdDSA" },
    ]);
  });

  test("a missing file is an ERR_GRANT that names the file, and not a network failure", async () => {
    const grant = clientCredentialsGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "me",
      clientSecret: secretFromFile(path),
    });
    const minted = createTokenCache({ grant, origins: ["https://api.example"] }).get();
    await expect(minted).rejects.toMatchObject({
      code: "ERR_GRANT",
      message: "no token is available: a function that was given to the grant failed",
      hint: expect.stringMatching(/^the function "clientSecret" failed: the .* file /) as unknown,
      cause: { code: "ERR_GRANT", hint: expect.stringContaining(path) as unknown },
    });
  });
});
