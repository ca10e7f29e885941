/**
 * What the core knows of proofs of possession: that some tokens want one beside every send, new each time (DPoP, RFC 9449).
 * Types only: who has no such token loads nothing for it. `remint/dpop` is the one implementation here.
 *
 * @module
 */
import type { AccessToken } from "./access-token.ts";

/** One send of a request, about to be proved. */
export interface ProofRequest {
  /** As it goes over the wire: `GET`. */
  readonly method: string;
  /** Where it goes, absolute, without query and fragment. A path alone where no origin is known (`origins: ["self"]`). */
  readonly url: string;
  /** The token that goes with it; absent in a token request, which is to get one. */
  readonly token?: AccessToken | undefined;
}

/** What a proof has to know of the answer to its send. */
export interface ProofAnswer {
  readonly status: number;
  /** A response header, by any spelling of its name. */
  readonly header: (name: string) => string | null;
  /** The `error` of a token endpoint's answer. */
  readonly error?: string | undefined;
}

/** A proof, good for one send. */
export interface Proof {
  /** Headers to send. A `DPoP` header replaces the caller's; others are set unless the caller set them. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Gets the answer to the send, whatever its status. When it asks for nothing but another proof (a nonce), returns what
   * makes that one: the request is then sent once more with the same token.
   */
  readonly answered?: ((answer: ProofAnswer) => (() => Promise<Proof>) | undefined) | undefined;
}

/** Makes the proof of one send; `undefined` when this token needs none. Called anew for every send, resends too. */
export type Prove = (request: ProofRequest) => Promise<Proof> | undefined;

/** A key that tokens are bound to, as grants see it: `dpop()` of `remint/dpop` makes one. The key itself stays inside. */
export interface ProofKey {
  /** The RFC 7638 thumbprint, where it is known without waiting: then processes that hold the key may share its tokens. */
  readonly thumbprint: string | undefined;
  /** Whether a token that was not bound to the key may be used. */
  readonly allowBearer: boolean;
  /** Makes the proofs of token requests, and of the requests the tokens are for. */
  readonly prove: Prove;
}
