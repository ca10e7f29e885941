/**
 * `remint/dpop`: binds tokens to a key (DPoP, RFC 9449). Every request carries a proof that its sender has the key, so
 * a token that is stolen without the key cannot be used.
 *
 * Needs the package `dpop`, which makes the proofs. The key's proofs and nonces are in `dpop-key.ts`, the key pair is
 * in `key-pair.ts`.
 *
 * @module
 */
import { assertOptions } from "../base/options.ts";
import { DpopKey, type DpopOptions } from "./dpop-key.ts";

export type { PrivateJwk as DpopPrivateKey } from "../base/keys.ts";
export type { Signer as DpopSigner } from "../base/signer.ts";
export type { DpopKey, DpopOptions } from "./dpop-key.ts";
export type { DpopAlgorithm, DpopKeyPair } from "./key-pair.ts";
export type { Proof, ProofAnswer, ProofKey, ProofRequest, Prove } from "../core/types.ts";

/**
 * Creates a key that tokens are bound to, for the option `dpop` of every grant with a token endpoint. One key may serve
 * several grants and caches.
 *
 * Without options the key is generated in this process, for ES256, when the first proof is made. It cannot be exported.
 * A private key is never written anywhere.
 *
 * Every send gets a new proof, with the last nonce of its server if the server gave one. Nonces of the authorization
 * server and of each API are kept apart.
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
  assertOptions("dpop", options, ["keyPair", "privateKey", "publicKey", "algorithm", "allowBearer"]);
  return new DpopKey(options);
}
