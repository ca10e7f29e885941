/**
 * What a `WWW-Authenticate` header says, and whether a 401 with it asks for a new token (Q4).
 *
 * Reads what servers send, not only what the grammar allows: any order and case, several challenges in one header or in
 * several header lines joined by a comma. Garbage is skipped; nothing here throws, and time is linear in the input.
 *
 * @module
 */

/** One challenge of a `WWW-Authenticate` header. */
export interface Challenge {
  /** In lower case, for example `bearer`. */
  readonly scheme: string;
  /** Names in lower case, values unquoted; of a repeated name the first. A token68 is not kept: no scheme of ours has one. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** Longer headers are cut: no server has that much to say, and a hostile one shall not keep us busy. */
const LONGEST_HEADER = 8192;

// In this order: a parameter (name, quoted value, plain value), or a scheme with its token68. A scheme is a token that no
// "=" follows. Each alternative starts where the other ends and no part matches what the next one does: no backtracking.
const PART =
  /([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[^])*)"?|([^\s,"]*))|([\w!#$%&'*+.^`|~-]+)(?:[ \t]+[\w.~+/-]+=*(?=[ \t]*(?:,|$)))?/g;

/** The errors that a new token does not cure: it would have the same scope, and the same user behind it. */
const KEEPS_TOKEN = new Set(["insufficient_scope", "insufficient_user_authentication"]);
/** The error of an answer that wants a nonce in the proof (RFC 9449 section 9). */
export const USE_DPOP_NONCE = "use_dpop_nonce";
/** The errors of a DPoP proof (RFC 9449 section 7.1): about the request it came with, and not about the token. */
const BAD_PROOF = new Set([USE_DPOP_NONCE, "invalid_dpop_proof"]);

/**
 * Parses a `WWW-Authenticate` header, at most its first 8 KiB.
 *
 * @returns The challenges in their order; what is none is left out.
 * @see [RFC 9110 section 11.6.1](https://www.rfc-editor.org/rfc/rfc9110.html#section-11.6.1)
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let parameters: Record<string, string> | undefined;
  for (const [, name, quoted, plain, scheme] of header.slice(0, LONGEST_HEADER).matchAll(PART)) {
    if (scheme !== undefined) {
      // No prototype: a server may well name a parameter "constructor".
      const own: Record<string, string> = Object.create(null);
      challenges.push({ scheme: scheme.toLowerCase(), parameters: own });
      parameters = own;
    } else if (name !== undefined && parameters !== undefined) {
      parameters[name.toLowerCase()] ??= quoted?.replace(/\\([^])/g, "$1") ?? plain ?? "";
    }
  }
  return challenges;
}

/** The errors of the challenges of these schemes, in their order. */
export function challengeErrors(header: string | null, ...schemes: readonly string[]): string[] {
  return parseChallenges(header ?? "")
    .filter(({ scheme }) => schemes.includes(scheme))
    .map(({ parameters }) => parameters["error"])
    .filter((error) => error !== undefined);
}

/**
 * Whether a 401 with this header asks for a new token (`"renew"`), would be answered the same with any (`"keep"`), or
 * refuses the proof that came with it (`"unproved"`).
 *
 * Only `Bearer` and `DPoP` challenges that agree on `insufficient_scope` or `insufficient_user_authentication` keep the
 * token. Everything else renews, a missing header too: gateways answer an expired token with `Basic realm=`, or with
 * nothing.
 *
 * @see [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1)
 * @see [RFC 9449 section 7.1](https://www.rfc-editor.org/rfc/rfc9449.html#section-7.1)
 * @see [RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470.html#section-3)
 */
export function challengeVerdict(header: string | null): "renew" | "keep" | "unproved" {
  if (challengeErrors(header, "dpop").some((error) => BAD_PROOF.has(error))) return "unproved";
  const errors = challengeErrors(header, "bearer", "dpop");
  return errors.length > 0 && errors.every((error) => KEEPS_TOKEN.has(error)) ? "keep" : "renew";
}
