/**
 * A DPoP key: it makes proofs (RFC 9449 section 4) and keeps the nonces that servers want in them.
 *
 * @module
 */
import { generateProof } from "dpop";
import { challengeErrors, USE_DPOP_NONCE } from "../base/challenge.ts";
import { isRemintError, RemintError, safeCause } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { redactedClass } from "../base/redacted.ts";
import { keySource } from "./key-pair.ts";
import type { Proof, ProofAnswer, ProofKey, ProofRequest, Prove } from "../core/types.ts";
import type { DpopAlgorithm, DpopKeyPair, DpopPrivateKey, KeyOptions, KeySource } from "./key-pair.ts";

/** What {@link dpop} takes. */
export interface DpopOptions extends KeyOptions {
  /**
   * The pair of CryptoKeys to sign with: one that was used to sign a user in, or that is kept where keys cannot be
   * exported from (IndexedDB). Its public key must be exportable. Tokens bound to it are not shared through a store.
   */
  readonly keyPair?: DpopKeyPair | undefined;
  /**
   * The private key to sign with, as a JWK. Processes that have the same one may share tokens: a grant's `key` then has
   * its thumbprint.
   */
  readonly privateKey?: DpopPrivateKey | undefined;
  /** @defaultValue "ES256" for a key that is generated; what the key is for otherwise: of RSA keys the JWK's `alg`, else RS256 */
  readonly algorithm?: DpopAlgorithm | undefined;
  /**
   * Accepts a token that the server did not bind to the key (`token_type` `Bearer`), and sends it without a proof: for the
   * time in which servers learn DPoP one by one.
   *
   * @defaultValue false: such an answer is no token, and the mint fails with `ERR_TOKEN_RESPONSE`
   */
  readonly allowBearer?: boolean | undefined;
}

/** A key that tokens are bound to; made by {@link dpop}. Shows nothing of itself. */
export class DpopKey implements ProofKey {
  readonly #source: KeySource;
  readonly #allowBearer: boolean;
  readonly #ofAuthServers = nonceMap();
  readonly #ofApis = nonceMap();

  /** @internal */
  constructor(options: DpopOptions) {
    this.#source = keySource(options);
    this.#allowBearer = options.allowBearer === true;
  }

  /** The RFC 7638 thumbprint of a key given as a JWK; `undefined` for others, which would have to be waited for. */
  get thumbprint(): string | undefined {
    return this.#source.thumbprint;
  }

  get allowBearer(): boolean {
    return this.#allowBearer;
  }

  /** Makes a proof; none for a `Bearer` token. A property and not a method, so that a grant of your own can take it. */
  readonly prove: Prove = (request: ProofRequest) => {
    const { token, url } = request;
    if (token?.scheme === "Bearer") return undefined;
    const nonces = token === undefined ? this.#ofAuthServers : this.#ofApis;
    return this.#proof(request, nonces, originOf(url));
  };

  async #proof(
    request: ProofRequest,
    nonces: LruMap<string, string>,
    origin: string | undefined,
    given?: string,
  ): Promise<Proof> {
    const { method, url, token } = request;
    if (origin === undefined) {
      const message = `no DPoP proof can be made for ${url}: it names no origin, and a proof is for an absolute URL`;
      throw new RemintError("ERR_ORIGIN", message);
    }
    const nonce = given ?? nonces.use(origin);
    const jwt = await this.#signed(url, method, nonce, token?.value);
    const answered = (answer: ProofAnswer): (() => Promise<Proof>) | undefined => {
      const next = answer.header("dpop-nonce");
      if (!isNonce(next)) return undefined;
      nonces.set(origin, next);
      // A server that wants what it got would want it for ever.
      if (next === nonce || !wantsNonce(request, answer)) return undefined;
      // This answer's own: a server may take a nonce once, and the last one kept may be another request's by then.
      return () => this.#proof(request, nonces, origin, next);
    };
    return { headers: { DPoP: jwt }, answered };
  }

  async #signed(url: string, method: string, nonce: string | undefined, token: string | undefined): Promise<string> {
    try {
      return await generateProof(await this.#source.load(), url, method, nonce, token);
    } catch (error) {
      if (isRemintError(error)) throw error;
      throw new RemintError("ERR_GRANT", "no DPoP proof could be made; see the cause", { cause: safeCause(error) });
    }
  }

  static {
    redactedClass(this.prototype, "DpopKey");
  }
}

function originOf(url: string): string | undefined {
  return /^https?:/i.test(url) ? new URL(url).origin : undefined;
}

/** RFC 9449 sections 8 and 9: the authorization server says it in its body, an API in its challenge. */
function wantsNonce({ token }: ProofRequest, { status, header, error }: ProofAnswer): boolean {
  if (token === undefined) return status >= 400 && status < 500 && error === USE_DPOP_NONCE;
  return status === 401 && challengeErrors(header("www-authenticate"), "dpop").includes(USE_DPOP_NONCE);
}

/** RFC 9449 section 8.1, and a length: the nonce goes back to the server in a header. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,4096}$/;
/** Origins of which the last nonce is kept. A nonce that was dropped costs one more send when it is needed again. */
const MOST_ORIGINS = 256;

/** The last nonce that each origin gave (RFC 9449 section 8.2). */
export function nonceMap(): LruMap<string, string> {
  return new LruMap(MOST_ORIGINS);
}

/** Whether a `DPoP-Nonce` header holds one nonce. Two that were joined by a comma are none. */
export function isNonce(value: string | null): value is string {
  return value !== null && NONCE.test(value);
}
