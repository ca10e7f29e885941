/**
 * Secrets and tokens from files, as Kubernetes, Docker and workload identities hand them out. Needs Node.js (or Deno or
 * Bun, which have its `fs`); the rest of the package does not.
 *
 * @module
 */
export { secretFromFile, tokenFromFile } from "./secret-file.ts";
