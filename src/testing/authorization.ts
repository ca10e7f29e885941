/**
 * The authorize page of the auth server of this kit, for the code flow with PKCE. It shows nothing: it redirects back
 * at once.
 *
 * The token endpoint that takes the codes is in auth-server.ts.
 *
 * @see [RFC 6749 section 4.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.1)
 * @see [RFC 7636 section 4](https://www.rfc-editor.org/rfc/rfc7636.html#section-4)
 * @module
 */
import { createHash } from "node:crypto";
import { opaque, targetIn } from "./issued-tokens.ts";
import type { SignIn, Target } from "./issued-tokens.ts";
import type { Answer } from "./scripted-server.ts";

/** An authorization code, and what it was issued for. */
export interface AuthorizationCode {
  readonly value: string;
  readonly subject: string;
  readonly clientId: string;
  readonly redirectUri: string;
  readonly challenge: string;
  readonly granted: Target;
  /** The sign-in that began with the code; `undefined` until the code was used. */
  signIn: SignIn | undefined;
}

/** What the authorize page needs to know. */
export interface AuthorizeContext {
  readonly issuer: string;
  /** The only client that is known; `undefined`: every client. */
  readonly clientId: string | undefined;
  /** The user who signs in; `null` if the user says no. */
  readonly user: string | null;
}

/** The outcome of a request for the authorize page. */
export interface Authorized {
  readonly answer: Answer;
  readonly code?: AuthorizationCode;
  /** The OAuth error code. */
  readonly error?: string;
}

/** The authorization codes of one auth server. */
export class AuthorizationCodes {
  readonly #codes = new Map<string, AuthorizationCode>();

  /** Answers a request for the authorize page. */
  authorize(query: URLSearchParams, { issuer, clientId: expected, user }: AuthorizeContext): Authorized {
    const clientId = query.get("client_id") ?? "";
    const redirectUri = query.get("redirect_uri") ?? "";
    // RFC 6749 section 4.1.2.1: no redirect while it is not known that the address belongs to the client.
    if (clientId === "" || (expected !== undefined && clientId !== expected)) return page("unknown client_id");
    if (!isRedirectUri(redirectUri)) return page("redirect_uri is no absolute URL without a fragment");
    const back = (parameters: Readonly<Record<string, string>>): Answer => {
      const state = query.get("state");
      // RFC 9207 section 2: the client can tell from `iss` which server has answered.
      return redirect(redirectUri, { ...parameters, ...(state !== null && { state }), iss: issuer });
    };
    const refused = (error: string): Authorized => ({ answer: back({ error }), error });
    const problem = problemOf(query);
    if (problem !== undefined) return refused(problem);
    if (user === null) return refused("access_denied");
    const code: AuthorizationCode = {
      value: opaque("code", this.#codes.size + 1),
      subject: user,
      clientId,
      redirectUri,
      challenge: query.get("code_challenge") ?? "",
      granted: targetIn(query),
      signIn: undefined,
    };
    this.#codes.set(code.value, code);
    return { answer: back({ code: code.value }), code };
  }

  /**
   * Returns the code in a token request; `undefined` if it is unknown, or if client, `redirect_uri` or `code_verifier`
   * are not those of the authorize request.
   */
  codeIn(form: URLSearchParams, clientId: string | undefined): AuthorizationCode | undefined {
    const code = this.#codes.get(form.get("code") ?? "");
    if (code === undefined) return undefined;
    if (code.clientId !== clientId || code.redirectUri !== form.get("redirect_uri")) return undefined;
    return challengeOf(form.get("code_verifier") ?? "") === code.challenge ? code : undefined;
  }
}

/** Returns the OAuth error code for a wrong authorize request. */
function problemOf(query: URLSearchParams): string | undefined {
  if (query.get("response_type") !== "code") return "unsupported_response_type";
  const hasChallenge = /^[\w-]{43}$/.test(query.get("code_challenge") ?? "");
  return hasChallenge && query.get("code_challenge_method") === "S256" ? undefined : "invalid_request";
}

/** Computes the S256 challenge of a verifier. */
function challengeOf(verifier: string): string {
  return createHash("sha256").update(verifier).digest("base64url");
}

function isRedirectUri(text: string): boolean {
  return URL.canParse(text) && !text.includes("#");
}

function redirect(to: string, parameters: Readonly<Record<string, string>>): Answer {
  const url = new URL(to);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.append(name, value);
  return { status: 302, headers: { location: url.href, "content-type": undefined }, body: "" };
}

function page(problem: string): Authorized {
  const headers = { "content-type": "text/plain; charset=utf-8" };
  return { answer: { status: 400, headers, body: problem }, error: "invalid_request" };
}
