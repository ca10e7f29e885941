/**
 * Token requests that carry a proof of the key their token is to be bound to (DPoP), and what their answers must say.
 *
 * A server that asks for a nonce gets the request once more with it: within the attempt of the mint, because nothing has
 * failed (C9, C11) and no refresh token was used up.
 *
 * @module
 */
import { tokenResponseError } from "../core/access-token.ts";
import { leaveState } from "../base/left-state.ts";
import type { Grant, TokenResponse } from "../core/types.ts";
import { optionError } from "../base/options.ts";
import type { Proof, ProofKey } from "../core/proof.ts";
import { errorOf, type TokenAnswer } from "./answer.ts";
import type { TokenClient } from "./client.ts";

/** @throws {TypeError} When `value` is given and no key, or there is a proof among the headers already. */
export function checkedProofKey(value: unknown, headers: Readonly<Record<string, string>>): ProofKey | undefined {
  if (value === undefined) return undefined;
  // Structural: two copies of this package agree, and a key may be a user's own.
  if (typeof (Object(value) as Partial<ProofKey>).prove !== "function") {
    throw optionError("dpop", value, `what dpop() of "remint/dpop" returns`);
  }
  if (Object.hasOwn(headers, "dpop"))
    throw new TypeError(`"headers" must not have "dpop": it is made by the option "dpop"`);
  return value as ProofKey;
}

/** Sends a request to the token endpoint, with a proof if there is a key; `send` gets the headers of it. */
export async function provedRequest(
  { dpop }: TokenClient,
  url: URL,
  send: (headers: Proof["headers"] | undefined) => Promise<TokenAnswer>,
): Promise<TokenAnswer> {
  const proof = await dpop?.prove({ method: "POST", url: url.origin + url.pathname });
  const answer = await send(proof?.headers);
  const next = proof && heard(proof, answer);
  if (next === undefined) return answer;
  const second = await next();
  const last = await send(second.headers);
  heard(second, last);
  return last;
}

function heard(proof: Proof, answer: TokenAnswer): (() => Promise<Proof>) | undefined {
  const { status, headers } = answer;
  return proof.answered?.({ status, header: (name) => headers.get(name), error: errorOf(answer) });
}

/**
 * RFC 9449 section 5: a token that is not bound has none of the protection that was asked for.
 *
 * Not looked at before a rotated refresh token is safe: it came with the token, and is good.
 *
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when the token is not bound, and that was not said to be fine.
 */
export function boundToken<Token extends TokenResponse>({ dpop, endpoint }: TokenClient, token: Token): Token {
  if (dpop === undefined || dpop.allowBearer || /^dpop$/i.test(token.token_type ?? "")) return token;
  const error = tokenResponseError(
    `the token endpoint ${endpoint} was asked for a DPoP token and answered with a Bearer token: it does not know DPoP, ` +
      `or not for this client. If that may be, say dpop({ allowBearer: true })`,
  );
  throw leaveState(error, token["state"]);
}

/** What a grant needs so that its tokens are proved: to be spread into it. Empty without a key. */
export function proving({ dpop }: TokenClient): Pick<Grant, "prove"> {
  return dpop === undefined ? {} : { prove: (request) => dpop.prove(request) };
}
