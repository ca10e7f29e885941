/**
 * The sends of one request whose token wants a proof beside it (DPoP, RFC 9449): each has a new one.
 *
 * Q4 An answer that asks for nothing but another proof (a nonce) keeps the token: the request goes out once more with the
 * same one. That is neither the resend of Q5 nor a charge of C8, and there is one for a request, however often its token
 * is renewed. Q6 A body that cannot be sent twice is not; the nonce is known for the next request.
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { leftOrigin, printableUrl } from "../base/url.ts";
import { dispatch, mayResend, outcomeOf, unwrapped } from "./client-seam.ts";
import type { AccessToken, Proof, Prove } from "../core/types.ts";
import type { ClientSeam, ExtraHeaders, Outcome, PolicyRequest } from "./client-seam.ts";

/** Sends one request, with a proof. */
export class DpopSends<Request extends PolicyRequest, Answer> {
  readonly #prove: Prove;
  readonly #request: Request;
  readonly #client: ClientSeam<Request, Answer>;
  #wasAsked = false;

  constructor(prove: Prove, request: Request, client: ClientSeam<Request, Answer>) {
    this.#prove = prove;
    this.#request = request;
    this.#client = client;
  }

  /** As {@link ClientSeam.send}: `undefined` when the caller set an `Authorization` of his own. */
  send(token: AccessToken, headers: ExtraHeaders | undefined): Promise<Answer> | undefined {
    const { method = "GET", url } = this.#request;
    // Asked first: a proof takes a while, and what `send` returns then would be too late to send it bare.
    if (this.#client.isAuthorized?.(this.#request)) return undefined;
    try {
      const proof = this.#prove({ method, url: printableUrl(url), token });
      if (proof !== undefined) return this.#send(token, headers, proof);
    } catch (error) {
      return Promise.reject(error); // what a user's own grant throws is the request's failure
    }
    return dispatch(this.#request, this.#client, token, headers);
  }

  async #send(token: AccessToken, headers: ExtraHeaders | undefined, making: Promise<Proof>): Promise<Answer> {
    const { signal } = this.#request;
    for (;;) {
      const proof = await leaveOnAbort(making, signal);
      const sent = dispatch(this.#request, this.#client, token, { ...headers, ...proof.headers });
      if (sent === undefined) throw new TypeError("client.isAuthorized() must say so when send() will not send");
      const outcome = await outcomeOf(sent, this.#client);
      const next = this.#answered(proof, outcome);
      if (next === undefined) return unwrapped(outcome);
      this.#wasAsked = true;
      // Q7: the next send may need its connection.
      const freed = this.#client.discard?.(outcome.answer);
      if (freed !== undefined) await leaveOnAbort(freed, signal);
      making = next();
    }
  }

  /** How to make the proof that an answer asks for, if it does and the request may go out once more. */
  #answered(proof: Proof, { answer }: Outcome<Answer>): (() => Promise<Proof>) | undefined {
    const client = this.#client;
    // Q3: another origin's nonce is none for this one.
    if (leftOrigin(this.#request.url, client.finalUrl?.(answer))) return undefined;
    const header = (name: string): string | null => client.header(answer, name);
    const next = proof.answered?.({ status: client.status(answer), header });
    return next !== undefined && !this.#wasAsked && mayResend(this.#request, client) ? next : undefined;
  }
}
