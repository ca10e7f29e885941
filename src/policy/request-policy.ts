/**
 * What happens to a request that needs a token: the same for every client, and without knowing any.
 *
 * - Q2 A token is attached only where the cache's origins allow it; elsewhere the request goes out bare.
 * - Q3 An answer that came from another origin says nothing about the token.
 * - Q4 Which answers are rejections.
 * - Q5 One resend with a token minted after the rejection. If what the cache offered was older and is rejected too,
 *   one more. At most three sends with a token, and one for a nonce (DPoP, see dpopSends-sends.ts).
 * - Q6 A body that cannot be sent twice is not: the token is reported rejected and the answer goes through.
 * - Q7 The discarded answer is freed before the mint, which may need its very connection.
 * - Q8 A mint that fails after a 401 rejects with an error of its own that names what was rejected.
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { challengeVerdict } from "../base/challenge.ts";
import { isRemintError, RemintError, withRejection } from "../base/errors.ts";
import { isRelative, leftOrigin, printableUrl, targetOf } from "../base/url.ts";
import { policyHalf } from "../core/types.ts";
import { notATokenCache } from "./choose-cache.ts";
import { dispatch, mayResend, outcomeOf, unwrapped } from "./client-seam.ts";
import { DpopSends } from "./dpop-sends.ts";
import type { AccessToken, PolicyHalf, Renewal, TokenCache } from "../core/types.ts";
import type { ClientSeam, Outcome, PolicyRequest } from "./client-seam.ts";

export type { ClientSeam, ExtraHeaders, PolicyRequest } from "./client-seam.ts";

/**
 * Sends a request with the cache's token: attaches it, and on a 401 renews it and sends the request again, once.
 *
 * Adapters use nothing else; use it to give any other client the same behaviour. Never resends a request whose body
 * cannot be sent twice, and never sends a token to an origin that is not on the cache's list (Q1-Q8).
 *
 * @returns What `client.send` gave: the first answer, or that of the resend.
 * @throws {RemintError} When no token could be minted; after a 401 with `rejected` set. An abort rejects with its reason.
 * @see [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1)
 */
export function withToken<Request extends PolicyRequest, Answer>(
  cache: TokenCache,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  const half = policyHalf(cache);
  if (half === undefined) throw notATokenCache("The first argument of withToken", cache);
  if (!half.rules.allows(request.base ?? request.url)) return sendForeign(half, request, client);
  const token = cache.peek();
  if (token !== undefined) return sendFirst(half, request, client, token);
  if (client.isAuthorized?.(request)) return sendUntouched(half, request, client);
  return cache.get({ signal: request.signal }).then(
    (minted) => sendFirst(half, request, client, minted),
    (error: unknown) => {
      client.finish?.(request, error);
      throw error;
    },
  );
}

/** Sends a request without a token: nothing is judged, nothing is renewed. */
export function sendBare<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  const sent = dispatch(request, client, undefined, undefined);
  if (sent === undefined) throw new TypeError("client.send() must send a request without a token");
  return sent.then(
    (answer) => {
      client.finish?.(request, answer);
      return answer;
    },
    (error: unknown) => {
      client.finish?.(request, error);
      throw error;
    },
  );
}

function sendForeign<Request extends PolicyRequest, Answer>(
  cache: PolicyHalf,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  cache.skipped(isRelative(request.url) ? "relative-url" : "origin-not-allowed", request.url);
  return sendBare(request, client);
}

function sendUntouched<Request extends PolicyRequest, Answer>(
  cache: PolicyHalf,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  cache.skipped("authorization-set", request.url);
  return sendBare(request, client);
}

/** The warm path: one send, one look at the status. */
function sendFirst<Request extends PolicyRequest, Answer>(
  cache: PolicyHalf,
  request: Request,
  client: ClientSeam<Request, Answer>,
  token: AccessToken,
): Promise<Answer> {
  const { rules } = cache;
  if (rules.originsFromToken && !rules.allows(request.url, token)) return sendForeign(cache, request, client);
  const { prove } = rules;
  const dpopSends = prove === undefined ? undefined : new DpopSends(prove, request, client);
  const headers = rules.headers?.(token);
  const sent = dpopSends === undefined ? dispatch(request, client, token, headers) : dpopSends.send(token, headers);
  if (sent === undefined) return sendUntouched(cache, request, client);
  return sent.then(
    (answer) => {
      if (mayReject(cache, client.inspectStatuses, client.status(answer))) {
        return new RejectedSend(cache, request, client, dpopSends).follow(token, { answer });
      }
      if (cache.onTrial) cache.accepted(token, targetOf(request.url));
      client.finish?.(request, answer);
      return answer;
    },
    (error: unknown) => {
      const answer = client.answerOf?.(error);
      if (answer !== undefined && mayReject(cache, client.inspectStatuses, client.status(answer))) {
        return new RejectedSend(cache, request, client, dpopSends).follow(token, { answer, thrown: error });
      }
      if (answer !== undefined && cache.onTrial) cache.accepted(token, targetOf(request.url));
      client.finish?.(request, error);
      throw error;
    },
  );
}

/** Whether an answer with this status has to be judged at all. */
function mayReject(cache: PolicyHalf, also: readonly number[] | undefined, status: number): boolean {
  return status === 401 || also?.includes(status) === true || cache.rules.inspectStatuses?.includes(status) === true;
}

type Verdict = "rejected" | "accepted" | "says-nothing";

/** A token whose proof was refused was perhaps not even looked at. */
const CHALLENGED = { renew: "rejected", keep: "accepted", unproved: "says-nothing" } as const;

/** A request whose answer may say that its token was not accepted. */
class RejectedSend<Request extends PolicyRequest, Answer> {
  readonly #cache: PolicyHalf;
  readonly #request: Request;
  readonly #client: ClientSeam<Request, Answer>;
  readonly #dpopSends: DpopSends<Request, Answer> | undefined;

  constructor(
    cache: PolicyHalf,
    request: Request,
    client: ClientSeam<Request, Answer>,
    dpopSends: DpopSends<Request, Answer> | undefined,
  ) {
    this.#cache = cache;
    this.#request = request;
    this.#client = client;
    this.#dpopSends = dpopSends;
  }

  /** From the first doubtful answer to what the caller gets. */
  async follow(token: AccessToken, outcome: Outcome<Answer>): Promise<Answer> {
    let renewal: Renewal | undefined;
    try {
      for (let final = false; ;) {
        const verdict = await this.#judge(outcome.answer);
        if (verdict === "accepted" && this.#cache.onTrial) this.#cache.accepted(token, targetOf(this.#request.url));
        if (verdict !== "rejected" || final) return this.#give(outcome);
        renewal = this.#renewal(renewal, token);
        if (renewal === undefined || !mayResend(this.#request, this.#client)) return this.#give(outcome);
        const next = await this.#renew(renewal, outcome.answer);
        token = next.token;
        final = next.final;
        outcome = await this.#resend(token);
      }
    } catch (error) {
      this.#client.finish?.(this.#request, error);
      throw error;
    }
  }

  /** Reports the rejection; the first time to the cache, after that to the renewal that offered the token. */
  #renewal(renewal: Renewal | undefined, token: AccessToken): Renewal | undefined {
    if (renewal === undefined) return this.#cache.rejected(token, targetOf(this.#request.url));
    return renewal.again(token) ? renewal : undefined;
  }

  async #renew(renewal: Renewal, answer: Answer): Promise<{ token: AccessToken; final: boolean }> {
    const { signal, url } = this.#request;
    const status = this.#client.status(answer);
    const freed = this.#client.discard?.(answer);
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
    const sent = this.#dpopSends?.send(token, headers) ?? dispatch(this.#request, this.#client, token, headers);
    // Never undefined: it was sent with a token before.
    return outcomeOf(sent!, this.#client);
  }

  #give(outcome: Outcome<Answer>): Answer {
    const answer = unwrapped(outcome);
    this.#client.finish?.(this.#request, answer);
    return answer;
  }

  /** Q3, Q4: the client's rule, the grant's rule, then the challenge. */
  async #judge(answer: Answer): Promise<Verdict> {
    const client = this.#client;
    const status = client.status(answer);
    if (!mayReject(this.#cache, client.inspectStatuses, status)) return "accepted";
    if (leftOrigin(this.#request.url, client.finalUrl?.(answer))) return "says-nothing";
    const judged = {
      status,
      header: (name: string) => client.header(answer, name),
      text: async (maxBytes: number) => (await client.text?.(answer, maxBytes)) ?? "",
    };
    for (const rule of [client.isRejected, this.#cache.rules.isRejected]) {
      const verdict = await rule?.(judged);
      if (verdict !== undefined) return verdict ? "rejected" : "accepted";
    }
    const challenge = status === 401 ? challengeVerdict(client.header(answer, "www-authenticate")) : "keep";
    return CHALLENGED[challenge];
  }
}
