/**
 * DPoP (RFC 9449): tokens that are bound to a key, and with every request a proof that its sender has that key. A token
 * that is stolen without the key is worth nothing.
 *
 * Needs the package `dpop`, which makes the proofs.
 *
 * @module
 */
import { assertOptions } from "../base/options.ts";
import { DpopKey, type DpopOptions } from "./dpop-key.ts";

export type { DpopKey, DpopOptions } from "./dpop-key.ts";
export type { DpopAlgorithm, DpopKeyPair, DpopPrivateKey } from "./key-pair.ts";
export type { Proof, ProofAnswer, ProofKey, ProofRequest, Prove } from "../core/types.ts";

/**
 * A key that tokens are bound to: the option `dpop` of every grant with a token endpoint.
 *
 * Without options it is generated in this process, for ES256, when the first proof is made, and cannot be exported.
 * Nothing here ever writes a private key anywhere. Proofs are new for every send, and carry the nonce their server gave
 * last, if it gave one; the authorization server's nonces and each API's are kept apart.
 *
 * One key may serve several grants and caches.
 *
 * @throws {TypeError} When an option is wrong.
 * @see [RFC 9449](https://www.rfc-editor.org/rfc/rfc9449.html)
 * @example
 * ```ts
 * const tokens = createTokenCache({
 *   grant: clientCredentialsGrant({ issuer: "https://auth.example", clientId, clientSecret, dpop: dpop() }),
 *   origins: ["https://api.example"],
 * });
 * ```
 */
export function dpop(options: DpopOptions = {}): DpopKey {
  assertOptions("dpop", options);
  return new DpopKey(options);
}
