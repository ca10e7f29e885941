/**
 * A discarded answer that can be read after all (Q8): made of what was drained of it, for a caller who gets the API's own
 * 401 because no other token can be had.
 *
 * Not here: how the body is drained (`body.ts`), and when the answer is given (`policy/request-policy.ts`).
 *
 * @module
 */
import { classOf, DRAIN_BYTES, drained } from "./body.ts";

/**
 * Frees the connection of an answer, and returns one that looks the same, with the part of the body that was read. If that
 * is not the whole body, the answer has no `Content-Length`.
 *
 * @returns `undefined` when there is no body to free: the given answer can be read.
 */
export async function keptAnswer(answer: Response): Promise<Response | void> {
  const start = await drained(answer.body);
  if (start === undefined) return undefined;
  const { status, statusText, headers } = answer;
  const Own = classOf(answer, Response);
  // A hand-made answer may have a body, but no class.
  const Class = typeof (Own?.prototype as Partial<Response> | undefined)?.clone === "function" ? Own : Response;
  const kept = new Class(start.bytes.subarray(0, DRAIN_BYTES), { status, statusText, headers });
  if (!start.isWhole) kept.headers.delete("content-length");
  return withLooks(kept, answer);
}

/** Gives an answer the members of another that no constructor takes. */
function withLooks(copy: Response, answer: Response): Response {
  const looks = { url: answer.url, redirected: answer.redirected, type: answer.type };
  const clone = (): Response => withLooks((Object.getPrototypeOf(copy) as Response).clone.call(copy), answer);
  for (const [name, value] of Object.entries({ ...looks, clone })) {
    Object.defineProperty(copy, name, { value, configurable: true, writable: true });
  }
  return copy;
}
