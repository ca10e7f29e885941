/**
 * `remint/node`: reads secrets, tokens and private keys from files, as Kubernetes, Docker and workload identities provide
 * them, and private keys in the older forms that WebCrypto does not read. It needs `node:fs` and `node:crypto`, which
 * Node.js, Deno and Bun have. The main entry point, `remint`, does not need it.
 *
 * @module
 */
import { createPrivateKey } from "node:crypto";
import { createReadStream, type BigIntStats } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { RemintError } from "../base/errors.ts";
import { assertOptions, assertString, kindOf, optionError } from "../base/options.ts";

/**
 * Creates a function that reads a secret from a file, for the option `clientSecret` and for the `key` of
 * `privateKeyJwt`. A byte order mark at the beginning of the file, and line ends at its end, are not part of the secret.
 *
 * The file is read at the first call, and again after it has changed, so that a rotated secret is picked up without a
 * restart. A pipe is read once. When the file cannot be read, is empty, longer than 1 MiB or not text in UTF-8, the function
 * rejects with a {@link RemintError} (`ERR_GRANT`). Its `hint` names the file. Nothing shows the file's content.
 *
 * @throws {TypeError} When `path` is not a path.
 * @example
 * ```ts
 * const grant = clientCredentialsGrant({ issuer, clientId, clientSecret: secretFromFile("/run/secrets/client-secret") });
 * ```
 */
export function secretFromFile(path: string | URL): () => Promise<string> {
  return fileReader(path, "secret", (text) => text.replace(/[\r\n]+$/, ""));
}

/**
 * Creates a function that reads a token from a file that something else keeps fresh: a service account token that
 * Kubernetes projects, or the federated token of a workload identity. For `clientAssertion()`, and for every option of
 * a grant that takes a function for a token or an assertion.
 *
 * The file is read as {@link secretFromFile} does. White space around the token is not part of it.
 *
 * @throws {TypeError} When `path` is not a path.
 * @example
 * ```ts
 * const grant = clientCredentialsGrant({
 *   issuer: "https://login.example/tenant/v2.0",
 *   clientId,
 *   clientAuthentication: clientAssertion(tokenFromFile("/var/run/secrets/tokens/identity")),
 * });
 * ```
 */
export function tokenFromFile(path: string | URL): () => Promise<string> {
  return fileReader(path, "token", (text) => text.trim());
}

/** Options of {@link privateKeyFromPem} and {@link privateKeyFromFile}. */
export interface PrivateKeyOptions {
  /** The password of an encrypted key. @defaultValue none: the key is not encrypted */
  readonly passphrase?: string | undefined;
}

/**
 * Turns a PEM with a private key into one with PKCS#8 (`BEGIN PRIVATE KEY`), which every option for a private key takes:
 * from PKCS#1 (`BEGIN RSA PRIVATE KEY`), SEC1 (`BEGIN EC PRIVATE KEY`), or an encrypted key. Line ends may be written as
 * the two characters `\n`, as in environment variables.
 *
 * @throws {TypeError} When the text is no PEM with a private key, or the passphrase is missing or wrong. The message shows
 *   no part of either.
 * @example
 * ```ts
 * const grant = salesforceJwtBearerGrant({ ...org, username, privateKey: privateKeyFromPem(pem) });
 * ```
 */
export function privateKeyFromPem(pem: string, options: PrivateKeyOptions = {}): string {
  const { passphrase } = checkedKeyOptions("privateKeyFromPem", options);
  assertString("pem", pem);
  const key = pkcs8(pem, passphrase);
  if (key !== undefined) return key;
  throw new TypeError(`"pem" must be ${keyExpected(passphrase)}, got ${kindOf(pem)} that is not one`);
}

/**
 * Creates a function that reads a private key from a file, for every option for a private key. The key may have any form
 * that {@link privateKeyFromPem} takes.
 *
 * The file is read as {@link secretFromFile} does. When it holds no private key, the function rejects with a
 * {@link RemintError} (`ERR_GRANT`), whose `hint` names the file.
 *
 * @throws {TypeError} When `path` is not a path, or an option is wrong.
 * @example
 * ```ts
 * const grant = salesforceJwtBearerGrant({ ...org, username, privateKey: privateKeyFromFile("/run/secrets/server.key") });
 * ```
 */
export function privateKeyFromFile(path: string | URL, options: PrivateKeyOptions = {}): () => Promise<string> {
  const { passphrase } = checkedKeyOptions("privateKeyFromFile", options);
  return fileReader(path, "private key", (text) => {
    if (text.trim() === "") return "";
    const key = pkcs8(text, passphrase);
    if (key !== undefined) return key;
    throw unreadable("private key", `${pathOf(path)} holds no private key: expected ${keyExpected(passphrase)}`);
  });
}

function checkedKeyOptions(where: string, options: PrivateKeyOptions): PrivateKeyOptions {
  assertOptions(where, options, ["passphrase"]);
  const { passphrase } = options;
  if (passphrase !== undefined) assertString("passphrase", passphrase);
  return { passphrase };
}

function keyExpected(passphrase: string | undefined): string {
  return `a PEM with a private key${passphrase === undefined ? "; an encrypted one needs passphrase" : " of this passphrase"}`;
}

/** `undefined` when the PEM cannot be read. The runtime's own error is left out, because it may quote the PEM. */
function pkcs8(pem: string, passphrase: string | undefined): string | undefined {
  try {
    const key = createPrivateKey({ key: pem.replaceAll("\\n", "\n"), format: "pem", passphrase });
    return String(key.export({ type: "pkcs8", format: "pem" }));
  } catch {
    return undefined;
  }
}

/** What is read, and how. */
interface File {
  readonly path: string;
  /** What it holds, for messages. */
  readonly what: string;
  /** Leaves out of the text what is no part of the secret. */
  readonly clean: (text: string) => string;
}

/** The content of a file, and the version of the file it was read from. */
interface Content {
  readonly version: string;
  readonly text: string;
}

function fileReader(given: string | URL, what: string, clean: (text: string) => string): () => Promise<string> {
  const path = pathOf(given);
  let last: Content | undefined;
  let reading: Promise<Content> | undefined;
  return async () => {
    // Shared by all callers: a read that hangs, as of a pipe into which nobody writes, holds a thread of the process.
    reading ??= contentOf({ path, what, clean }, last).finally(() => (reading = undefined));
    last = await reading;
    return last.text;
  };
}

/** How often a file is read that changes while it is read. */
const MOST_READS = 3;

/** Returns the content of a file, or `last` if the file has not changed since. */
async function contentOf({ path, what, clean }: File, last: Content | undefined): Promise<Content> {
  try {
    for (let reads = 1; ; reads++) {
      const stats = await stat(path, { bigint: true });
      const version = versionOf(stats);
      // What a pipe holds can be read once.
      const isFile = stats.isFile();
      if (last !== undefined && (last.version === version || !isFile)) return last;
      const bytes = await bytesOf(path);
      if (bytes.length > LONGEST) throw unreadable(what, `${path} is longer than 1 MiB`);
      // If the file was written to meanwhile, a part of its content may be missing.
      const isWhole = !isFile || reads === MOST_READS || versionOf(await stat(path, { bigint: true })) === version;
      if (!isWhole) continue;
      const text = clean(textOf(bytes, path, what));
      if (text === "") throw unreadable(what, `${path} is empty`);
      return { version, text };
    }
  } catch (error) {
    if (error instanceof RemintError) throw error;
    const { code } = error as { code?: unknown };
    throw unreadable(what, `${path} cannot be read${typeof code === "string" ? ` (${code})` : ""}`);
  }
}

/** In bytes. No server takes a longer secret, and what looks like a file may have no end. */
const LONGEST = 1024 * 1024;

/** Returns the bytes of a file: one more than {@link LONGEST} at most. */
async function bytesOf(path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of createReadStream(path, { end: LONGEST })) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** Editors of Windows put a byte order mark before the text. It is no part of any secret: the decoder leaves it out. */
function textOf(bytes: Uint8Array, path: string, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw unreadable(what, `${path} is not text in UTF-8`);
  }
}

/**
 * Returns a text that changes with the file. It is taken before the file is read, so that a change in between is seen
 * at the next call. Times alone are not enough, because they may be coarse: a replaced file has another inode, and
 * Kubernetes replaces files by swapping a link.
 */
function versionOf({ mtimeNs, ctimeNs, ino, size }: BigIntStats): string {
  return [mtimeNs, ctimeNs, ino, size].join();
}

function pathOf(path: unknown): string {
  if (path instanceof URL && path.protocol === "file:") return fileURLToPath(path);
  if (typeof path === "string" && path !== "") return path;
  throw optionError("path", path, "the path of a file, or its file: URL");
}

function unreadable(what: string, problem: string): RemintError {
  // No cause: it would say nothing that the hint does not say.
  const hint = `the ${what} file ${problem}`;
  return new RemintError("ERR_GRANT", `a ${what} could not be read from its file`, { hint });
}
