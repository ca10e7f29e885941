/**
 * The sends of one request whose token needs a proof of possession beside it (DPoP). Each send gets a new proof.
 *
 * A server may answer that it only wants another proof, one with a nonce. Such an answer does not reject the token: the
 * request is sent again with the same token and the new proof. This happens at most once for a request, however often
 * its token is renewed (Q4). It does not count as the resend after a rejection (Q5), and the storm guard charges
 * nothing for it (C8). A request whose body cannot be sent twice is not sent again (Q6). The nonce is then kept for the
 * next request.
 *
 * Not here: how proofs are made and nonces are kept (`dpop/`), and what a rejection means (`request-policy.ts`).
 *
 * @see [RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449.html#section-9)
 * @module
 */
import { leftOrigin, printableUrl } from "../base/url.ts";
import { awaitFunction, freeConnection } from "./bounded-wait.ts";
import { answerOrThrow, mayResend, outcomeOf, sendOnce } from "./client-seam.ts";
import { whileBodyLasts } from "./watched-body.ts";
import type { AccessToken, Proof, Prove } from "../core/types.ts";
import type { ClientSeam, Outcome, PolicyRequest, TokenHeaders, TokenObtained } from "./client-seam.ts";

/** Sends one request, each time with a new proof. */
export class DpopSends<Request extends PolicyRequest, Answer> {
  readonly #prove: Prove;
  readonly #request: Request;
  readonly #client: ClientSeam<Request, Answer>;
  /** The statuses for which the grant judges an answer. */
  readonly #judged: readonly number[] | undefined;
  #wasResentForNonce = false;

  constructor(
    prove: Prove,
    request: Request,
    client: ClientSeam<Request, Answer>,
    judged: readonly number[] | undefined,
  ) {
    this.#prove = prove;
    this.#request = request;
    this.#client = client;
    this.#judged = judged;
  }

  /** Does what {@link ClientSeam.send} does: returns `undefined` when the caller set an `Authorization` header. */
  send(token: AccessToken, headers: TokenHeaders, how: TokenObtained): Promise<Answer> | undefined {
    const { method = "GET", url } = this.#request;
    // Asked before the proof is made. Making a proof is asynchronous, and `undefined` has to be returned synchronously.
    if (this.#client.isAuthorized?.(this.#request)) return undefined;
    try {
      const proof = this.#prove({ method, url: printableUrl(url), token });
      if (proof !== undefined) return this.#sendWithProof(headers, how, proof);
    } catch (error) {
      return Promise.reject(error); // a user's own grant may throw: its error fails this request
    }
    return sendOnce(this.#request, this.#client, headers, how, this.#judged);
  }

  async #sendWithProof(headers: TokenHeaders, how: TokenObtained, pendingProof: Promise<Proof>): Promise<Answer> {
    for (;;) {
      const waited = awaitFunction('the function "prove" of the grant', pendingProof, this.#request);
      const proof = await whileBodyLasts(Promise.resolve(waited), this.#request, this.#client);
      const sent = sendOnce(this.#request, this.#client, { ...headers, ...proof.headers }, how, this.#judged);
      if (sent === undefined) {
        throw new TypeError(
          "client.send() returned undefined for a request that client.isAuthorized() did not report: " +
            "implement isAuthorized() so that it returns true for requests with an Authorization header of their own",
        );
      }
      const outcome = await outcomeOf(sent, this.#client);
      const makeNextProof = this.#nextProof(proof, outcome);
      if (makeNextProof === undefined) return answerOrThrow(outcome);
      this.#wasResentForNonce = true;
      // Freed first, because the next send may need the connection (Q7).
      await freeConnection(this.#request, this.#client, outcome.answer);
      pendingProof = makeNextProof();
    }
  }

  /** Returns the function that makes the proof an answer asks for, if it asks for one and a resend is possible. */
  #nextProof(proof: Proof, { answer }: Outcome<Answer>): (() => Promise<Proof>) | undefined {
    const client = this.#client;
    // A nonce is valid only for the origin that sent it (Q3).
    if (leftOrigin(this.#request.url, client.finalUrl?.(answer))) return undefined;
    const header = (name: string): string | null => client.header(answer, name);
    // Called for every answer, because the proof's maker keeps the nonce for later requests.
    const makeNextProof = proof.answered?.({ status: client.status(answer), header });
    const isAllowed = makeNextProof !== undefined && !this.#wasResentForNonce && mayResend(this.#request, client);
    return isAllowed ? makeNextProof : undefined;
  }
}
