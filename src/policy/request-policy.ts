/**
 * The request policy: what happens to a request that needs a token. It is the same for every client.
 *
 * A token is attached only where the origins of its cache allow it (Q2). When an answer rejects the token, the answer
 * is discarded (Q7) and the request is sent again with another token (Q5). The other token is either minted after the
 * rejection or older than it, for instance because another caller renewed first. When an older one is rejected too, the
 * request is sent once more. So a request is sent at most three times with a token, and one further time when a server
 * asks for a DPoP nonce (`dpop-sends.ts`).
 *
 * Not here: what a client implements (`client-seam.ts`), which cache a request uses (`choose-cache.ts`), and whether a
 * rejection may cost a mint (`core/rejections.ts`).
 *
 * @module
 */
import { challengeVerdict } from "../base/challenge.ts";
import { isRemintError, RemintError } from "../base/errors.ts";
import { isRelative, leftOrigin, printableUrl, targetOf } from "../base/url.ts";
import { policyHalf } from "../core/types.ts";
import { assertNoPromise, awaitFunction, freeConnection, signalOf } from "./bounded-wait.ts";
import { isTokenCache, tokenCacheError } from "./choose-cache.ts";
import { answerOrThrow, isJudged, mayResend, outcomeOf, rejectWith, sendOnce } from "./client-seam.ts";
import { DpopSends } from "./dpop-sends.ts";
import { whileBodyLasts } from "./watched-body.ts";
import type {
  AccessToken,
  GrantHeaders,
  PolicyHalf,
  Renewal,
  RenewedToken,
  RequestRules,
  SkipReason,
  TokenCache,
} from "../core/types.ts";
import type { ClientSeam, Outcome, PolicyRequest, TokenHeaders, TokenObtained } from "./client-seam.ts";

/**
 * Sends a request with the cache's token, and sends it again with another token when an answer rejects the first one.
 *
 * The adapters of this package use it. Use it to give any other client the same behaviour. A request whose body cannot
 * be sent twice is not sent again. The token is not sent to an origin that the cache does not allow. A request whose
 * caller set an `Authorization` header is sent without the token.
 *
 * Never throws synchronously: whatever fails, also a function of the grant's or of the client's, is a rejection, and
 * `client.finish` is called.
 *
 * @returns The answer of the last send, as `client.send` gave it.
 * @throws {RemintError} When no token could be minted. After a 401 its `rejected` says which request was rejected. When
 *   the request's signal aborts while the policy waits, the promise rejects with the signal's reason.
 * @throws {TypeError} When `cache` is not a token cache.
 * @see [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1)
 */
export function withToken<Request extends PolicyRequest, Answer>(
  cache: TokenCache,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  try {
    if (!isTokenCache(cache)) throw tokenCacheError("The first argument of withToken", cache);
    const half = policyHalf(cache);
    const { rules } = half;
    if (!rules.allows(request.base ?? request.url)) return sendOutsideOrigins(half, request, client);
    if (rules.isOwn?.(request.url)) return sendSkipped(half, "own-endpoint", request, client);
    const token = cache.peek();
    if (token !== undefined) return sendFirst(half, request, client, token, "cached");
    if (client.isAuthorized?.(request)) return sendSkipped(half, "authorization-set", request, client);
    const how = half.isMinting ? "waited" : "minted";
    return whileBodyLasts(cache.get({ signal: signalOf(request) }), request, client).then(
      (minted) => sendFirst(half, request, client, minted, how),
      // Nobody is signed in: the request goes as it would without this package.
      (error: unknown) => (isNobody(error) ? sendBare(request, client) : rejectWith(request, client, error)),
    );
  } catch (error) {
    return rejectWith(request, client, error);
  }
}

function isNobody(error: unknown): boolean {
  return isRemintError(error) && error.code === "ERR_NO_SESSION";
}

/** Sends a request with the token of the cache that its source chose; without a token when it chose none. */
export function sendWith<Request extends PolicyRequest, Answer>(
  chosen: TokenCache | undefined | Promise<TokenCache | undefined>,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  if (chosen === undefined) return sendBare(request, client);
  if (isTokenCache(chosen)) return withToken(chosen, request, client);
  return whileBodyLasts(chosen, request, client).then(
    (cache) => sendWith(cache, request, client),
    (error: unknown) => rejectWith(request, client, error),
  );
}

/**
 * Sends a request once, without a token. A 401 goes to the caller.
 *
 * @param onAnswered Called with the answer, also where it comes inside an error.
 * @returns The answer, as `client.send` gave it.
 * @throws {TypeError} When `client.send` returns `undefined`.
 */
export function sendBare<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
  onAnswered?: (answer: Answer) => void,
): Promise<Answer> {
  const sent = sendOnce(request, client);
  if (sent === undefined) {
    const error = "client.send() returned undefined for a call without headers: it must send the request";
    return rejectWith(request, client, new TypeError(error));
  }
  // `Promise.resolve`, for a client whose `send` returns a promise of another kind.
  return Promise.resolve(sent).then(
    (answer) => {
      onAnswered?.(answer);
      client.finish?.(request, answer);
      return answer;
    },
    (error: unknown) => {
      const answer = onAnswered && client.answerOf?.(error);
      if (answer !== undefined) onAnswered?.(answer);
      return rejectWith(request, client, error);
    },
  );
}

/** Sends a request without a token, and reports why. A 401 to it is reported too: it may be a mistake. */
export function sendSkipped<Request extends PolicyRequest, Answer>(
  half: PolicyHalf,
  reason: SkipReason,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  const { url } = request;
  half.skipped(reason, url);
  return sendBare(request, client, (answer) => {
    if (client.status(answer) === 401) half.rejectedBare(reason, url);
  });
}

function sendOutsideOrigins<Request extends PolicyRequest, Answer>(
  half: PolicyHalf,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<Answer> {
  const reason = isRelative(request.url) ? "relative-url" : "origin-not-allowed";
  return sendSkipped(half, reason, request, client);
}

/** Sends a request with a token for the first time. A warm request costs one send and one look at the status. */
function sendFirst<Request extends PolicyRequest, Answer>(
  half: PolicyHalf,
  request: Request,
  client: ClientSeam<Request, Answer>,
  token: AccessToken,
  how: TokenObtained,
): Promise<Answer> {
  try {
    const { rules } = half;
    if (rules.originsFromToken && !rules.allows(request.url, token)) return sendOutsideOrigins(half, request, client);
    const { prove, inspectStatuses: judged } = rules;
    const dpopSends = prove === undefined ? undefined : new DpopSends(prove, request, client, judged);
    const headers = headersFor(token, rules);
    const sent =
      dpopSends === undefined ? sendOnce(request, client, headers, how, judged) : dpopSends.send(token, headers, how);
    if (sent === undefined) return sendSkipped(half, "authorization-set", request, client);
    return sent.then(
      (answer) => {
        try {
          if (isJudged(client, judged, client.status(answer))) {
            return new PossibleRejection(half, request, client, dpopSends).renewAndResend(token, { answer });
          }
          if (half.onTrial) half.accepted(token, targetOf(request.url));
        } catch (error) {
          return rejectWith(request, client, error);
        }
        client.finish?.(request, answer);
        return answer;
      },
      (error: unknown) => {
        try {
          const answer = client.answerOf?.(error);
          if (answer !== undefined && isJudged(client, judged, client.status(answer))) {
            const outcome = { answer, thrown: error };
            return new PossibleRejection(half, request, client, dpopSends).renewAndResend(token, outcome);
          }
          if (answer !== undefined && half.onTrial) half.accepted(token, targetOf(request.url));
        } catch (thrown) {
          return rejectWith(request, client, thrown);
        }
        return rejectWith(request, client, error);
      },
    );
  } catch (error) {
    return rejectWith(request, client, error);
  }
}

/** The headers of a send with a token. */
function headersFor(token: AccessToken, { headers }: RequestRules): TokenHeaders {
  return headers === undefined ? { authorization: token.header } : withGrantHeaders(token, headers(token));
}

/** What a header may hold (RFC 9110 section 5.5): visible characters, spaces and tabs. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Adds the headers of a grant to that of the token, and puts its `authorization`, in any case, in its place; `null` there
 * says that the token is carried in another way.
 *
 * @throws {TypeError} When what the grant wants to add is no object, or not safe in a header. The values are not printed:
 *   they may be tokens.
 */
function withGrantHeaders(token: AccessToken, added: GrantHeaders | null | undefined): TokenHeaders {
  assertNoPromise('The function "headers" of the grant', added);
  const headers: Record<string, string> = { authorization: token.header };
  for (const [name, value] of Object.entries(added ?? {}) as [string, unknown][]) {
    const key = name.toLowerCase() === "authorization" ? "authorization" : name;
    if (value === null && key === "authorization") delete headers["authorization"];
    if (value === undefined || value === null) continue;
    if (typeof value !== "string" || !HEADER_VALUE.test(value)) {
      throw new TypeError(`The function "headers" of the grant must return header values; "${name}" is not one`);
    }
    headers[key] = value;
  }
  return headers;
}

/** What an answer says about the token that was sent. */
type Verdict = "rejected" | "accepted" | "unknown";

/** The verdict for each reading of a challenge. A server that refused the proof may not have checked the token. */
const VERDICT_OF_CHALLENGE = { renew: "rejected", keep: "accepted", unproved: "unknown" } as const;

/** A request whose first answer may reject its token, from that answer to the one that the caller gets. */
class PossibleRejection<Request extends PolicyRequest, Answer> {
  readonly #half: PolicyHalf;
  readonly #request: Request;
  readonly #client: ClientSeam<Request, Answer>;
  readonly #dpopSends: DpopSends<Request, Answer> | undefined;

  constructor(
    half: PolicyHalf,
    request: Request,
    client: ClientSeam<Request, Answer>,
    dpopSends: DpopSends<Request, Answer> | undefined,
  ) {
    this.#half = half;
    this.#request = request;
    this.#client = client;
    this.#dpopSends = dpopSends;
  }

  /** Renews and resends until an answer goes to the caller. `outcome` is that of the send with `token`. */
  async renewAndResend(token: AccessToken, outcome: Outcome<Answer>): Promise<Answer> {
    let answer: Answer;
    try {
      answer = answerOrThrow(await this.#lastOutcome(token, outcome));
    } catch (error) {
      return rejectWith(this.#request, this.#client, error);
    }
    this.#client.finish?.(this.#request, answer);
    return answer;
  }

  async #lastOutcome(token: AccessToken, outcome: Outcome<Answer>): Promise<Outcome<Answer>> {
    let renewal: Renewal | undefined;
    for (let isFinal = false, isNew = false; ;) {
      const verdict = await this.#judge(outcome.answer);
      if (verdict === "accepted" && this.#half.onTrial) this.#half.accepted(token, targetOf(this.#request.url));
      // The token that was rejected before has proved nothing by being rejected once more.
      if (verdict === "rejected" && isFinal && isNew) this.#half.rejectedAgain(token, targetOf(this.#request.url));
      if (verdict !== "rejected" || isFinal) return outcome;
      // The rejection is reported even if the request cannot be sent again (Q6).
      renewal = this.#reportRejection(renewal, token);
      if (renewal === undefined || !mayResend(this.#request, this.#client)) return outcome;
      const rejected = { status: this.#client.status(outcome.answer), url: printableUrl(this.#request.url) };
      // Freed before the mint, which may need the connection (Q7).
      outcome = { ...outcome, answer: await freeConnection(this.#request, this.#client, outcome.answer) };
      let renewed: RenewedToken;
      try {
        renewed = await renewal.next({ signal: signalOf(this.#request), rejected });
      } catch (error) {
        if (!this.#givesAnswer(error)) throw error;
        return outcome;
      }
      isNew = renewed.token !== token;
      token = renewed.token;
      isFinal = renewed.final;
      outcome = await this.#resend(token);
    }
  }

  /** Judges an answer: the client's rule first, then the grant's, then the challenge (Q4). */
  async #judge(answer: Answer): Promise<Verdict> {
    const client = this.#client;
    const status = client.status(answer);
    if (!isJudged(client, this.#half.rules.inspectStatuses, status)) return "accepted";
    // Another origin, reached by a redirect, did not get the token (Q3).
    if (leftOrigin(this.#request.url, client.finalUrl?.(answer))) return "unknown";
    const judged = {
      status,
      header: (name: string) => client.header(answer, name),
      text: async (maxBytes: number) => (await client.text?.(answer, maxBytes)) ?? "",
    };
    for (const rule of [client.isRejected, this.#half.rules.isRejected]) {
      const isRejected = await awaitFunction('the function "isRejected"', rule?.(judged), this.#request);
      if (isRejected !== undefined) return isRejected ? "rejected" : "accepted";
    }
    const challenge = status === 401 ? challengeVerdict(client.header(answer, "www-authenticate")) : "keep";
    return VERDICT_OF_CHALLENGE[challenge];
  }

  /**
   * Reports a rejection: the first one of a request to the cache, a later one to the renewal that gave the token.
   *
   * @returns `undefined` when the storm guard refuses a renewal (C8).
   */
  #reportRejection(renewal: Renewal | undefined, token: AccessToken): Renewal | undefined {
    if (renewal === undefined) return this.#half.rejected(token, targetOf(this.#request.url));
    return renewal.again(token) ? renewal : undefined;
  }

  /**
   * Whether the caller gets the answer when no other token can be had (Q8): by default when the session is over or nobody is
   * signed in. The API's own 401 is then what the caller would get without this package.
   */
  #givesAnswer(error: unknown): boolean {
    if (!isRemintError(error)) return false;
    const { failedRenewal } = this.#client;
    return failedRenewal === undefined ? error.terminal : failedRenewal === "response";
  }

  async #resend(token: AccessToken): Promise<Outcome<Answer>> {
    const { rules } = this.#half;
    const { url } = this.#request;
    if (rules.originsFromToken && !rules.allows(url, token)) {
      const message = "the request was not sent again after a 401: the renewed token may not be sent to its URL";
      const hint = `the origins of the renewed token do not include ${printableUrl(url)}`;
      throw new RemintError("ERR_ORIGIN", message, { hint });
    }
    const headers = headersFor(token, rules);
    const sent =
      this.#dpopSends?.send(token, headers, "renewed") ??
      sendOnce(this.#request, this.#client, headers, "renewed", rules.inspectStatuses);
    // Not `undefined`: the caller set no `Authorization` header, else the first send would have carried no token.
    return outcomeOf(sent!, this.#client);
  }
}
