/**
 * The nonces servers want in the proofs they get: of each origin the last one it gave (RFC 9449 section 8.2).
 *
 * @module
 */

/** RFC 9449 section 8.1, and a length: it comes back to the server in a header. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,4096}$/;
/** More than anybody talks to; the least recently used goes, and costs one send more when it is needed again. */
const MOST_ORIGINS = 256;

/** Whether a `DPoP-Nonce` header holds one nonce; two of them joined do not. */
export function isNonce(value: string | null): value is string {
  return value !== null && NONCE.test(value);
}

/** One nonce per origin, of servers of one role. */
export class Nonces {
  readonly #byOrigin = new Map<string, string>();

  get(origin: string): string | undefined {
    const nonce = this.#byOrigin.get(origin);
    if (nonce !== undefined) this.set(origin, nonce);
    return nonce;
  }

  set(origin: string, nonce: string): void {
    // Deleted and set: last in the order of use.
    this.#byOrigin.delete(origin);
    this.#byOrigin.set(origin, nonce);
    if (this.#byOrigin.size > MOST_ORIGINS) this.#byOrigin.delete(this.#byOrigin.keys().next().value!);
  }
}
