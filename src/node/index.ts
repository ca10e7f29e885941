/**
 * Secrets and tokens from files, as Kubernetes, Docker and workload identities hand them out. Needs Node.js (or Deno or
 * Bun, which have its `fs`); the rest of the package does not.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { RemintError } from "../base/errors.ts";
import { optionError } from "../base/options.ts";

/**
 * The secret in a file, for `clientSecret` (and for the `key` of `privateKeyJwt`): what is in the file, without the line
 * end behind it. The file is read at the first use, and again when it has changed, so a rotated secret is picked up
 * without a restart.
 *
 * The function it returns rejects with a {@link RemintError} (`ERR_GRANT`) that names the file, and nothing of what is in
 * it, when the file cannot be read or is empty.
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
 * The token in a file that something else keeps fresh: a service account token that Kubernetes projects, the federated
 * token of a workload identity. For `clientAssertion()`, and wherever a grant takes a function for a token or an
 * assertion. Read like {@link secretFromFile}; white space around the token is not part of it.
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
      throw unreadable(`the ${what} file ${path} cannot be read${typeof code === "string" ? ` (${code})` : ""}`);
    }
    if (last.text === "") throw unreadable(`the ${what} file ${path} is empty`);
    return last.text;
  };
}

/**
 * Changes with the file. Taken before the file is read: a change in between is then seen the next time. Beside the time
 * of the change, whose grain may be coarse, what a replaced file (Kubernetes swaps a link) has of its own.
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

function unreadable(message: string): RemintError {
  // Without the cause: there is nothing in it that the message does not say.
  return new RemintError("ERR_GRANT", message);
}
