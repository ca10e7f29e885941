/**
 * What happens to a request that needs a token: the same for every client, and without knowing any.
 *
 * - Q2 A token is attached only where the cache's origins allow it; elsewhere the request goes out bare.
 * - Q3 An answer that came from another origin says nothing about the token.
 * - Q4 Which answers are rejections.
 * - Q5 One resend with a token minted after the rejection. If what the cache offered was older and is rejected too,
 *   one more. At most three sends with a token, and one for a nonce (DPoP, see proved-sends.ts).
 * - Q6 A body that can not be sent twice is not: the token is reported rejected and the answer goes through.
 * - Q7 The discarded answer is freed before the mint, which may need its very connection.
 * - Q8 A mint that fails after a 401 rejects with an error of its own that names what was rejected.
 *
 * @module
 */
import { challengeVerdict } from "../base/challenge.ts";
import { isRemintError, RemintError, withRejection } from "../base/errors.ts";
import { dispatch, mayResend, outcomeOf, unwrapped } from "./client-seam.ts";
import { isRelative, leftOrigin, printableUrl, siteOf } from "../core/origins.ts";
import { ProvedSends } from "./dpop-sends.ts";
import { leaveOnAbort } from "../core/single-flight.ts";
import type { AccessToken } from "../core/access-token.ts";
import type { Exchange, Outcome, PolicyRequest } from "./client-seam.ts";
import type { Renewal, TokenCache } from "./choose-cache.ts";

export type { AccessToken } from "../core/access-token.ts";
export type { Exchange, ExtraHeaders, PolicyRequest } from "./client-seam.ts";
export type { JudgedAnswer, RejectionRule } from "../core/types.ts";
export type { Proof, ProofAnswer, ProofRequest, Prove } from "../core/proof.ts";
export type { Renewal, RenewedToken, RequestRules, Site, SkipReason, TokenCache } from "./choose-cache.ts";

/**
 * Sends a request with the cache's token: attaches it, and on a 401 renews it and sends the request again, once.
 *
 * Adapters use nothing else; use it to give any other client the same behaviour. Never resends a request whose body
 * can not be sent twice, and never sends a token to an origin that is not on the cache's list (Q1-Q8).
 *
 * @returns What `exchange.send` gave: the first answer, or that of the resend.
 * @throws {RemintError} When no token could be minted; after a 401 with `rejected` set. An abort rejects with its reason.
 * @see [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1)
 */
export function withToken<Request extends PolicyRequest, Answer>(
  cache: TokenCache,
  request: Request,
  exchange: Exchange<Request, Answer>,
): Promise<Answer> {
  if (!cache.rules.allows(request.base ?? request.url)) return sendForeign(cache, request, exchange);
  const token = cache.peek();
  if (token !== undefined) return sendFirst(cache, request, exchange, token);
  if (exchange.isAuthorized?.(request)) return sendUntouched(cache, request, exchange);
  return cache.get({ signal: request.signal }).then(
    (minted) => sendFirst(cache, request, exchange, minted),
    (error: unknown) => {
      exchange.finish?.(request, error);
      throw error;
    },
  );
}

/** Sends a request without a token: nothing is judged, nothing is renewed. */
export function sendBare<Request extends PolicyRequest, Answer>(
  request: Request,
  exchange: Exchange<Request, Answer>,
): Promise<Answer> {
  const sent = dispatch(request, exchange, undefined, undefined);
  if (sent === undefined) throw new TypeError("exchange.send() must send a request without a token");
  return sent.then(
    (answer) => {
      exchange.finish?.(request, answer);
      return answer;
    },
    (error: unknown) => {
      exchange.finish?.(request, error);
      throw error;
    },
  );
}

function sendForeign<Request extends PolicyRequest, Answer>(
  cache: TokenCache,
  request: Request,
  exchange: Exchange<Request, Answer>,
): Promise<Answer> {
  cache.skipped(isRelative(request.url) ? "relative-url" : "origin-not-allowed", request.url);
  return sendBare(request, exchange);
}

function sendUntouched<Request extends PolicyRequest, Answer>(
  cache: TokenCache,
  request: Request,
  exchange: Exchange<Request, Answer>,
): Promise<Answer> {
  cache.skipped("authorization-set", request.url);
  return sendBare(request, exchange);
}

/** The warm path: one send, one look at the status. */
function sendFirst<Request extends PolicyRequest, Answer>(
  cache: TokenCache,
  request: Request,
  exchange: Exchange<Request, Answer>,
  token: AccessToken,
): Promise<Answer> {
  const { rules } = cache;
  if (rules.originsFromToken && !rules.allows(request.url, token)) return sendForeign(cache, request, exchange);
  const { prove } = rules;
  const proved = prove === undefined ? undefined : new ProvedSends(prove, request, exchange);
  const headers = rules.headers?.(token);
  const sent = proved === undefined ? dispatch(request, exchange, token, headers) : proved.send(token, headers);
  if (sent === undefined) return sendUntouched(cache, request, exchange);
  return sent.then(
    (answer) => {
      if (mayReject(cache, exchange.inspectStatuses, exchange.status(answer))) {
        return new RejectedSend(cache, request, exchange, proved).follow(token, { answer });
      }
      if (cache.onTrial) cache.accepted(token, siteOf(request.url));
      exchange.finish?.(request, answer);
      return answer;
    },
    (error: unknown) => {
      const answer = exchange.answerOf?.(error);
      if (answer !== undefined && mayReject(cache, exchange.inspectStatuses, exchange.status(answer))) {
        return new RejectedSend(cache, request, exchange, proved).follow(token, { answer, thrown: error });
      }
      if (answer !== undefined && cache.onTrial) cache.accepted(token, siteOf(request.url));
      exchange.finish?.(request, error);
      throw error;
    },
  );
}

/** Whether an answer with this status has to be judged at all. */
function mayReject(cache: TokenCache, also: readonly number[] | undefined, status: number): boolean {
  return status === 401 || also?.includes(status) === true || cache.rules.inspectStatuses?.includes(status) === true;
}

type Verdict = "rejected" | "accepted" | "says-nothing";

/** A token whose proof was refused was perhaps not even looked at. */
const CHALLENGED = { renew: "rejected", keep: "accepted", unproved: "says-nothing" } as const;

/** A request whose answer may say that its token was not accepted. */
class RejectedSend<Request extends PolicyRequest, Answer> {
  readonly #cache: TokenCache;
  readonly #request: Request;
  readonly #exchange: Exchange<Request, Answer>;
  readonly #proved: ProvedSends<Request, Answer> | undefined;

  constructor(
    cache: TokenCache,
    request: Request,
    exchange: Exchange<Request, Answer>,
    proved: ProvedSends<Request, Answer> | undefined,
  ) {
    this.#cache = cache;
    this.#request = request;
    this.#exchange = exchange;
    this.#proved = proved;
  }

  /** From the first doubtful answer to what the caller gets. */
  async follow(token: AccessToken, outcome: Outcome<Answer>): Promise<Answer> {
    let renewal: Renewal | undefined;
    try {
      for (let final = false; ;) {
        const verdict = await this.#judge(outcome.answer);
        if (verdict === "accepted" && this.#cache.onTrial) this.#cache.accepted(token, siteOf(this.#request.url));
        if (verdict !== "rejected" || final) return this.#give(outcome);
        renewal = this.#renewal(renewal, token);
        if (renewal === undefined || !mayResend(this.#request, this.#exchange)) return this.#give(outcome);
        const next = await this.#renew(renewal, outcome.answer);
        token = next.token;
        final = next.final;
        outcome = await this.#resend(token);
      }
    } catch (error) {
      this.#exchange.finish?.(this.#request, error);
      throw error;
    }
  }

  /** Reports the rejection; the first time to the cache, after that to the renewal that offered the token. */
  #renewal(renewal: Renewal | undefined, token: AccessToken): Renewal | undefined {
    if (renewal === undefined) return this.#cache.rejected(token, siteOf(this.#request.url));
    return renewal.again(token) ? renewal : undefined;
  }

  async #renew(renewal: Renewal, answer: Answer): Promise<{ token: AccessToken; final: boolean }> {
    const { signal, url } = this.#request;
    const status = this.#exchange.status(answer);
    const freed = this.#exchange.discard?.(answer);
    if (freed !== undefined) await leaveOnAbort(freed, signal);
    try {
      return await renewal.next({ signal });
    } catch (error) {
      throw isRemintError(error) ? withRejection(error, { status, url: printableUrl(url) }) : error;
    }
  }

  async #resend(token: AccessToken): Promise<Outcome<Answer>> {
    const { rules } = this.#cache;
    if (rules.originsFromToken && !rules.allows(this.#request.url, token)) {
      const url = printableUrl(this.#request.url);
      throw new RemintError("ERR_ORIGIN", `the renewed token may not be sent to ${url}: it is not among its origins`);
    }
    const headers = rules.headers?.(token);
    const sent = this.#proved?.send(token, headers) ?? dispatch(this.#request, this.#exchange, token, headers);
    // Never undefined: it was sent with a token before.
    return outcomeOf(sent!, this.#exchange);
  }

  #give(outcome: Outcome<Answer>): Answer {
    const answer = unwrapped(outcome);
    this.#exchange.finish?.(this.#request, answer);
    return answer;
  }

  /** Q3, Q4: the client's rule, the grant's rule, then the challenge. */
  async #judge(answer: Answer): Promise<Verdict> {
    const exchange = this.#exchange;
    const status = exchange.status(answer);
    if (!mayReject(this.#cache, exchange.inspectStatuses, status)) return "accepted";
    if (leftOrigin(this.#request.url, exchange.finalUrl?.(answer))) return "says-nothing";
    const judged = {
      status,
      header: (name: string) => exchange.header(answer, name),
      text: async (maxBytes: number) => (await exchange.text?.(answer, maxBytes)) ?? "",
    };
    for (const rule of [exchange.isRejected, this.#cache.rules.isRejected]) {
      const verdict = await rule?.(judged);
      if (verdict !== undefined) return verdict ? "rejected" : "accepted";
    }
    const challenge = status === 401 ? challengeVerdict(exchange.header(answer, "www-authenticate")) : "keep";
    return CHALLENGED[challenge];
  }
}
