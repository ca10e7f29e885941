/**
 * `remint/node`: reads secrets and tokens from files, as Kubernetes, Docker and workload identities provide them. It
 * needs `node:fs`, which Node.js, Deno and Bun have. The main entry point, `remint`, does not need it.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { RemintError } from "../base/errors.ts";
import { optionError } from "../base/options.ts";

/**
 * Creates a function that reads a secret from a file, for the option `clientSecret` and for the `key` of
 * `privateKeyJwt`. Line ends at the end of the file are not part of the secret.
 *
 * The file is read at the first call, and again after it has changed, so that a rotated secret is picked up without a
 * restart. When the file cannot be read or is empty, the function rejects with a {@link RemintError} (`ERR_GRANT`). Its
 * `hint` names the file. Nothing shows the file's content.
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

/** The content of a file, and the version of the file it was read from. */
interface Content {
  readonly version: string;
  readonly text: string;
}

function fileReader(given: string | URL, what: string, clean: (text: string) => string): () => Promise<string> {
  const path = pathOf(given);
  let last: Content | undefined;
  return async () => {
    try {
      const version = await versionOf(path);
      if (last?.version !== version) last = { version, text: clean(await readFile(path, "utf8")) };
    } catch (error) {
      const { code } = error as { code?: unknown };
      throw unreadable(what, `${path} cannot be read${typeof code === "string" ? ` (${code})` : ""}`);
    }
    if (last.text === "") throw unreadable(what, `${path} is empty`);
    return last.text;
  };
}

/**
 * Returns a text that changes with the file. It is taken before the file is read, so that a change in between is seen
 * at the next call. Times alone are not enough, because they may be coarse: a replaced file has another inode, and
 * Kubernetes replaces files by swapping a link.
 */
async function versionOf(path: string): Promise<string> {
  const { mtimeNs, ctimeNs, ino, size } = await stat(path, { bigint: true });
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
