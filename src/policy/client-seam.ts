/**
 * What the request policy knows of a client: how it sends, and what its answers say.
 *
 * @module
 */
import type { AccessToken, RejectionRule } from "../core/types.ts";

/** What the policy has to know of a request; clients add their own. */
export interface PolicyRequest {
  /** Where it goes, as the client will resolve it. */
  readonly url: string;
  /** As it goes over the wire. Read only where requests are proved (DPoP). @defaultValue "GET" */
  readonly method?: string | undefined;
  /** A URL of the same origin, when that is cheaper to get than {@link PolicyRequest.url}: a client's base URL. */
  readonly base?: string | undefined;
  /** Ends the caller's waiting. Read only when there is something to wait for. */
  readonly signal?: AbortSignal | undefined;
  /** `false`: never send it again; a rejected token is still reported. @defaultValue true */
  readonly retry?: boolean | undefined;
}

/** Extra headers a grant brings for its tokens; to be set unless the caller set them. A `DPoP` proof replaces the caller's. */
export type ExtraHeaders = Readonly<Record<string, string>>;

/** How one client sends requests and what its answers say. One object serves all requests of a client. */
export interface ClientSeam<Request extends PolicyRequest, Answer> {
  /**
   * Sends the request; without a token, bare. Called once per send. `undefined`: nothing was sent, because the caller
   * set an `Authorization` of his own (Q1); the policy then sends it bare.
   */
  send(
    request: Request,
    token: AccessToken | undefined,
    headers: ExtraHeaders | undefined,
  ): Promise<Answer> | undefined;
  /** Whether the caller set an `Authorization` of his own (Q1). Asked before waiting for a token, or for a proof. */
  isAuthorized?(request: Request): boolean;
  /** The HTTP status, or what stands for it: map gRPC's UNAUTHENTICATED to 401. */
  status(answer: Answer): number;
  /** A response header. */
  header(answer: Answer, name: string): string | null;
  /** The answer inside what `send` rejected with, for clients that throw on a 401. */
  answerOf?(error: unknown): Answer | undefined;
  /** The start of the body, without using it up. Needed only for `isRejected` rules that read it. */
  text?(answer: Answer, maxBytes: number): Promise<string>;
  /** Where the answer came from, after redirects; `undefined` when unknown. */
  finalUrl?(answer: Answer): string | undefined;
  /** Whether the request can go out once more with the same body (Q6). Asked after a rejection only. */
  canResend(request: Request): boolean;
  /** Frees what an answer holds that nobody will read (Q7). */
  discard?(answer: Answer): void | Promise<void>;
  /** Called once, when the caller gets its outcome: cleans up what `send` left behind. */
  finish?(request: Request, outcome: unknown): void;
  /** Decides before the grant's own rule and Q4. */
  readonly isRejected?: RejectionRule | undefined;
  /** Statuses beside 401 about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** What came of a send: an answer, maybe inside what the client threw. */
export interface Outcome<Answer> {
  readonly answer: Answer;
  /** What the client threw, when the answer came inside an error. */
  readonly thrown?: unknown;
}

/** Sends once; what the client throws is a rejection, also when it throws at once. */
export function dispatch<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
  token: AccessToken | undefined,
  headers: ExtraHeaders | undefined,
): Promise<Answer> | undefined {
  try {
    return client.send(request, token, headers);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The answer of a send, also where it comes inside an error. Rejects when there is none. */
export async function outcomeOf<Answer>(
  sent: Promise<Answer>,
  client: Pick<ClientSeam<never, Answer>, "answerOf">,
): Promise<Outcome<Answer>> {
  try {
    return { answer: await sent };
  } catch (error) {
    const answer = client.answerOf?.(error);
    if (answer === undefined) throw error;
    return { answer, thrown: error };
  }
}

/** Sends once more may be asked for this request, and the client can. */
export function mayResend<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
): boolean {
  return request.retry !== false && client.canResend(request);
}

/** Gives the caller an outcome as the client would have. */
export function unwrapped<Answer>(outcome: Outcome<Answer>): Answer {
  if ("thrown" in outcome) throw outcome.thrown;
  return outcome.answer;
}

export const PROOF_HEADER = "DPoP";
