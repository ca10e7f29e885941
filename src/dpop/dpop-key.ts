/**
 * A DPoP key: makes proofs (RFC 9449 section 4), and keeps the nonces that servers ask for.
 *
 * Not here: where the key pair comes from (`key-pair.ts`), and when a proof is sent (`oauth/request.ts` for token
 * requests, `policy/dpop-sends.ts` for requests to APIs).
 *
 * @module
 */
import { generateProof } from "dpop";
import { toBase64url } from "../base/bytes.ts";
import { challengeErrors, USE_DPOP_NONCE } from "../base/challenge.ts";
import { systemClock } from "../base/clock.ts";
import { digestBytes } from "../base/digest.ts";
import { isRemintError, RemintError, safeCause } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { redactedClass } from "../base/redacted.ts";
import { jwtBySigner } from "../base/signer.ts";
import { keySource } from "./key-pair.ts";
import type { PrivateJwk } from "../base/keys.ts";
import type { Signer } from "../base/signer.ts";
import type { Proof, ProofAnswer, ProofKey, ProofRequest, Prove } from "../core/types.ts";
import type { DpopAlgorithm, DpopKeyPair, KeyOptions, KeySource, SignerPair } from "./key-pair.ts";

/** Options of {@link dpop}. */
export interface DpopOptions extends KeyOptions {
  /**
   * The pair of CryptoKeys to sign with, for example the pair that was used when the user signed in, or a pair that is
   * kept in IndexedDB. Its public key must be exportable. Tokens that are bound to it are not shared through a store.
   */
  readonly keyPair?: DpopKeyPair | undefined;
  /**
   * The private key to sign with: a JWK with its public members, or a signer for a key that never leaves a KMS, with its
   * `publicKey` beside it. Processes with the same key may share tokens: the key's thumbprint becomes part of the grant's
   * `key`.
   */
  readonly privateKey?: PrivateJwk | Signer | undefined;
  /** The public key of a signer, as a JWK. Every proof carries it. */
  readonly publicKey?: PrivateJwk | undefined;
  /**
   * The signature algorithm.
   *
   * @defaultValue the algorithm the given key is for (an RSA key: the JWK's `alg`, otherwise `"RS256"`); `"ES256"` when
   *   the key is generated
   */
  readonly algorithm?: DpopAlgorithm | undefined;
  /**
   * Accepts tokens that the server did not bind to the key (`token_type` `Bearer`). They are sent without a proof. For
   * the time in which some servers support DPoP already and others do not.
   *
   * @defaultValue false: the mint fails with `ERR_TOKEN_RESPONSE` when the token is not bound
   */
  readonly allowBearer?: boolean | undefined;
}

/** A key that tokens are bound to, made by {@link dpop}. It prints as `DpopKey [redacted]`. */
export class DpopKey implements ProofKey {
  readonly #source: KeySource;
  readonly #allowBearer: boolean;
  // Kept apart: one origin may be an authorization server and an API at once, with separate nonces.
  readonly #authServerNonces = nonceMap();
  readonly #apiNonces = nonceMap();

  /** @internal */
  constructor(options: DpopOptions) {
    this.#source = keySource(options);
    this.#allowBearer = options.allowBearer === true;
  }

  /** The RFC 7638 thumbprint of a key that was given as a JWK. `undefined` for other keys. */
  get thumbprint(): string | undefined {
    return this.#source.thumbprint;
  }

  /** Whether tokens are accepted that the server did not bind to the key. */
  get allowBearer(): boolean {
    return this.#allowBearer;
  }

  /**
   * Makes the proof for one send; `undefined` for a `Bearer` token. It can be passed on without the key:
   * `customGrant({ mint, prove: key.prove })`.
   */
  readonly prove: Prove = (request: ProofRequest) => {
    const { token, url } = request;
    if (token?.scheme === "Bearer") return undefined;
    const nonces = token === undefined ? this.#authServerNonces : this.#apiNonces;
    return this.#proof(request, nonces, targetOf(url));
  };

  async #proof(
    request: ProofRequest,
    nonces: LruMap<string, string>,
    target: URL | undefined,
    given?: string,
  ): Promise<Proof> {
    const { method, url, token } = request;
    if (target === undefined) {
      const hint = `no DPoP proof can be made for ${url}: a proof needs an absolute URL, and this has no origin`;
      throw new RemintError("ERR_ORIGIN", "no DPoP proof can be made for this URL", { hint });
    }
    const { origin, pathname } = target;
    const nonce = given ?? nonces.use(origin);
    const jwt = await this.#signed(origin + pathname, method, nonce, token?.value);
    const answered = (answer: ProofAnswer): (() => Promise<Proof>) | undefined => {
      const next = answer.header("dpop-nonce");
      if (!isNonce(next)) return undefined;
      nonces.set(origin, next);
      // A server that asks again for the nonce it just got would ask without end.
      if (next === nonce || !wantsNonce(request, answer)) return undefined;
      // The nonce of this very answer, not the last one kept: another request may have stored its own meanwhile, and
      // some servers accept a nonce once only.
      return () => this.#proof(request, nonces, target, next);
    };
    return { headers: { DPoP: jwt }, answered };
  }

  async #signed(htu: string, htm: string, nonce: string | undefined, token: string | undefined): Promise<string> {
    try {
      const pair = await this.#source.load();
      if ("signer" in pair) return await proofBySigner(pair, htu, htm, nonce, token);
      return await generateProof(pair, htu, htm, nonce, token);
    } catch (error) {
      if (isRemintError(error)) throw error;
      const options = { hint: "no DPoP proof could be made; see the cause", cause: safeCause(error) };
      throw new RemintError("ERR_GRANT", "no DPoP proof could be made", options);
    }
  }

  static {
    redactedClass(this.prototype, "DpopKey");
  }
}

/** Makes a proof as `dpop` does, whose keys are WebCrypto keys (RFC 9449 section 4.2). */
function proofBySigner(
  { signer, jwk }: SignerPair,
  htu: string,
  htm: string,
  nonce: string | undefined,
  token: string | undefined,
): Promise<string> {
  const claims = {
    iat: Math.floor(systemClock.now() / 1000),
    jti: toBase64url(globalThis.crypto.getRandomValues(new Uint8Array(16))),
    htm,
    htu,
    ...(nonce !== undefined && { nonce }),
    ...(token !== undefined && { ath: toBase64url(digestBytes(token)) }),
  };
  return jwtBySigner("privateKey", signer, { header: { alg: signer.alg, typ: "dpop+jwt", jwk }, claims });
}

function targetOf(url: string): URL | undefined {
  return /^https?:/i.test(url) ? new URL(url) : undefined;
}

/**
 * Whether the answer asks for a proof with a nonce. The authorization server says so in the body (RFC 9449 section 8),
 * an API in its challenge (section 9).
 */
function wantsNonce({ token }: ProofRequest, { status, header, error }: ProofAnswer): boolean {
  if (token === undefined) return status >= 400 && status < 500 && error === USE_DPOP_NONCE;
  return status === 401 && challengeErrors(header("www-authenticate"), "dpop").includes(USE_DPOP_NONCE);
}

/**
 * The characters of RFC 9449 section 8.1. The length is limited because the nonce goes back to the server in a header.
 */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,4096}$/;
/** Origins whose last nonce is kept. A dropped nonce costs one more send when it is needed again. */
const MOST_ORIGINS = 256;

/** Makes the map from an origin to the last nonce it gave (RFC 9449 section 8.2). */
export function nonceMap(): LruMap<string, string> {
  return new LruMap(MOST_ORIGINS);
}

/** Whether a `DPoP-Nonce` header holds exactly one nonce. Two header lines that were joined by a comma do not. */
export function isNonce(value: string | null): value is string {
  return value !== null && NONCE.test(value);
}
