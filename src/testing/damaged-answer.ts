/**
 * `damagedAnswer`: token answers that a client must not use, although the server has processed the request.
 *
 * The server that sends them is in auth-server.ts.
 *
 * @module
 */
import { optionError } from "../base/options.ts";
import type { Answer } from "./scripted-server.ts";

/**
 * Returns a script for `respond`: the server processes the request, and its token answer is damaged in the way that the
 * name says. A client has to refuse the access token, and to keep a refresh token that came with it. An error answer is
 * not changed.
 *
 * @throws {TypeError} When there is no damage with this name.
 * @see [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)
 * @example
 * ```ts
 * auth.respond(damagedAnswer("token_type null"));
 * auth.respond({ ...damagedAnswer("status 201"), delay: 100 });
 * ```
 */
export function damagedAnswer(damage: Damage): Answer {
  if (!Object.hasOwn(CHANGES, damage)) {
    throw optionError("damage", damage, `one of "${Object.keys(CHANGES).join('", "')}"`);
  }
  const change = CHANGES[damage];
  return { change: (answer) => (isTokenAnswer(answer) ? change(answer) : answer) };
}

/** What is wrong with the answer of {@link damagedAnswer}. */
export type Damage =
  | "access_token empty"
  | "access_token missing"
  | "status 201"
  | "token_type BearerToken"
  | "token_type missing"
  | "token_type null";

const CHANGES: Readonly<Record<Damage, (answer: TokenAnswer) => Answer>> = {
  "access_token empty": withMember("access_token", ""),
  "access_token missing": withMember("access_token", undefined),
  "status 201": (answer) => ({ ...answer, status: 201 }),
  "token_type BearerToken": withMember("token_type", "BearerToken"),
  "token_type missing": withMember("token_type", undefined),
  "token_type null": withMember("token_type", null),
};

interface TokenAnswer extends Answer {
  readonly body: object;
}

function isTokenAnswer(answer: Answer): answer is TokenAnswer {
  return typeof answer.body === "object" && "access_token" in answer.body;
}

/** Returns the change that sets a member of the body. `undefined` removes it, because the body is sent as JSON. */
function withMember(name: string, value: unknown): (answer: TokenAnswer) => Answer {
  return (answer) => ({ ...answer, body: { ...answer.body, [name]: value } });
}
