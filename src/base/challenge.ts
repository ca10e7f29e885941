/**
 * Parses `WWW-Authenticate` headers and decides whether a 401 asks for a new token (Q4).
 *
 * Accepts more than the grammar allows, because servers send more: any order and case, several challenges in one
 * header, several header lines joined by commas. Text that is not a challenge is skipped. No input makes a function
 * here throw, and the time is linear in the length of the header.
 *
 * What happens after the decision is in `policy/request-policy.ts`.
 *
 * @module
 */

/** One challenge of a `WWW-Authenticate` header. */
export interface Challenge {
  /** The scheme in lower case, for example `bearer`. */
  readonly scheme: string;
  /**
   * The parameters: names in lower case, values unquoted. When a name is repeated, the first value counts. A token68
   * value is dropped, because neither Bearer nor DPoP has one.
   */
  readonly parameters: Readonly<Record<string, string>>;
}

/** Characters after which a header is cut, so that a hostile server cannot make the client parse megabytes. */
const LONGEST_HEADER = 8192;

// Matches a parameter (groups: name, quoted value, plain value) or a scheme with its token68. A scheme is a token that
// is not followed by "=". Adjacent parts of the pattern share no characters, so there is no backtracking.
const PART =
  /([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[^])*)"?|([^\s,"]*))|([\w!#$%&'*+.^`|~-]+)(?:[ \t]+[\w.~+/-]+=*(?=[ \t]*(?:,|$)))?/g;

/** The error of an API that wants the user to sign in again, or in a stronger way (RFC 9470 section 3). */
const NEEDS_STEP_UP = "insufficient_user_authentication";
/** Errors that a new token does not cure: the new token would have the same scope and the same user. */
const KEEPS_TOKEN = new Set(["insufficient_scope", NEEDS_STEP_UP]);
/** The error of a server that requires a nonce in the DPoP proof (RFC 9449 sections 8 and 9). */
export const USE_DPOP_NONCE = "use_dpop_nonce";
/** Errors that concern the DPoP proof of the request and not the token (RFC 9449 section 7.1). */
const BAD_PROOF = new Set([USE_DPOP_NONCE, "invalid_dpop_proof"]);

/**
 * Parses a `WWW-Authenticate` header, at most its first 8 KiB.
 *
 * @returns The challenges in the order of the header. Text that is not a challenge is left out.
 * @see [RFC 9110 section 11.6.1](https://www.rfc-editor.org/rfc/rfc9110.html#section-11.6.1)
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let parameters: Record<string, string> | undefined;
  for (const [, name, quoted, plain, scheme] of header.slice(0, LONGEST_HEADER).matchAll(PART)) {
    if (scheme !== undefined) {
      // Without a prototype, because a server may name a parameter "constructor".
      const own: Record<string, string> = Object.create(null);
      challenges.push({ scheme: scheme.toLowerCase(), parameters: own });
      parameters = own;
    } else if (name !== undefined && parameters !== undefined) {
      parameters[name.toLowerCase()] ??= quoted?.replace(/\\([^])/g, "$1") ?? plain ?? "";
    }
  }
  return challenges;
}

/** Returns the `error` parameters of the challenges of these schemes, in the order of the header. */
export function challengeErrors(header: string | null, ...schemes: readonly string[]): string[] {
  return parseChallenges(header ?? "")
    .filter(({ scheme }) => schemes.includes(scheme))
    .map(({ parameters }) => parameters["error"])
    .filter((error) => error !== undefined);
}

/**
 * Returns what an API asks for when it wants the user to sign in again or in a stronger way. `undefined` when it does not.
 *
 * @see [RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470.html#section-3)
 */
export function stepUpOf(header: string | null): { acr_values?: string; max_age?: number } | undefined {
  const challenge = parseChallenges(header ?? "").find(
    ({ scheme, parameters }) => (scheme === "bearer" || scheme === "dpop") && parameters["error"] === NEEDS_STEP_UP,
  );
  if (challenge === undefined) return undefined;
  const { acr_values: acrValues, max_age: maxAge = "" } = challenge.parameters;
  return { ...(acrValues && { acr_values: acrValues }), ...(/^\d{1,9}$/.test(maxAge) && { max_age: Number(maxAge) }) };
}

/**
 * Decides what a 401 with this header means:
 * - `"renew"`: the token was not accepted; get another one.
 * - `"keep"`: a new token would be answered the same, so the token stays.
 * - `"unproved"`: the DPoP proof was not accepted; the token stays.
 *
 * The answer is `"keep"` only if every `error` of the `Bearer` and `DPoP` challenges is `insufficient_scope` or
 * `insufficient_user_authentication`. A missing header means `"renew"`, because gateways answer an expired token with
 * `Basic realm=...` or with no header at all.
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
