/** Secrets and tokens from files: reading, rotation, missing files, and their use in a grant. */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { exportPKCS8, generateKeyPair } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { clientAssertion, clientCredentialsGrant, createTokenCache, privateKeyJwt } from "remint";
import { secretFromFile, tokenFromFile } from "remint/node";
import { startAuthServer } from "remint/testing";

const reads = vi.hoisted(() => ({ count: 0, before: (): void => undefined }));
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const createReadStream = (...args: Parameters<typeof real.createReadStream>): unknown => {
    reads.count++;
    reads.before();
    return real.createReadStream(...args);
  };
  return { ...real, createReadStream };
});

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "remint-secret-"));
  path = join(folder, "secret");
  Object.assign(reads, { count: 0, before: () => undefined });
});
afterEach(() => rmSync(folder, { recursive: true }));

const hintOf = async (file: string): Promise<unknown> =>
  ((await secretFromFile(file)().catch((reason: unknown) => reason)) as { hint?: unknown }).hint;

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

  test("a file that is written to while it is read: it is read again, and the secret is the whole one", async () => {
    writeFileSync(path, "s3cr");
    const secret = secretFromFile(path);
    reads.before = () => void (reads.count === 1 && writeFileSync(path, "s3cr3t of orders"));
    expect(await secret()).toBe("s3cr3t of orders");
    expect(reads.count).toBe(2);
    reads.before = () => writeFileSync(path, "v".repeat(reads.count));
    writeFileSync(path, "another");
    expect(await secret()).toBe("vvvvv");
    expect(reads.count).toBe(5);
  });

  test.skipIf(process.platform === "win32")(
    "a pipe: it is read once; one into which nobody writes is opened once, whoever asks",
    async () => {
      execFileSync("mkfifo", [path]);
      const secret = secretFromFile(path);
      const first = [secret(), secret(), secret()];
      await vi.waitUntil(() => reads.count > 0, { timeout: 20_000 });
      const writer = spawn("sh", ["-c", 'echo s3cr3t > "$0"', path]);
      expect(await Promise.all(first)).toEqual(["s3cr3t", "s3cr3t", "s3cr3t"]);
      await vi.waitUntil(() => writer.exitCode !== null, { timeout: 20_000 });
      expect([await secret(), reads.count]).toEqual(["s3cr3t", 1]);
    },
  );

  test("a folder, a file of more than 1 MiB, one without an end, and UTF-16: an error that names the file", async () => {
    expect(await hintOf(folder)).toBe(`the secret file ${folder} cannot be read (EISDIR)`);
    writeFileSync(path, "s".repeat(1024 * 1024));
    expect(await secretFromFile(path)()).toHaveLength(1024 * 1024);
    writeFileSync(path, "s".repeat(1024 * 1024 + 1));
    expect(await hintOf(path)).toBe(`the secret file ${path} is longer than 1 MiB`);
    if (process.platform !== "win32")
      expect(await hintOf("/dev/zero")).toBe("the secret file /dev/zero is longer than 1 MiB");
    // What PowerShell writes.
    writeFileSync(path, Buffer.from("\uFEFFs3cr3t\r\n", "utf16le"));
    expect(await hintOf(path)).toBe(`the secret file ${path} is not text in UTF-8`);
  });

  test("a volume of Kubernetes: the link of the folder is swapped: the new secret is read", async () => {
    for (const [version, content] of [
      ["..1", "s3cr3t-1"],
      ["..2", "s3cr3t-2"],
    ] as const) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, "secret"), content);
    }
    symlinkSync("..1", join(folder, "..data"));
    symlinkSync(join("..data", "secret"), path);
    const secret = secretFromFile(path);
    expect(await secret()).toBe("s3cr3t-1");
    symlinkSync("..2", join(folder, "..next"));
    renameSync(join(folder, "..next"), join(folder, "..data"));
    expect(await secret()).toBe("s3cr3t-2");
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
