/**
 * What the auth server of this kit has issued: access tokens, refresh tokens, and the sign-ins that they belong to.
 *
 * The requests for them are in auth-server.ts.
 *
 * @module
 */
import { randomBytes } from "node:crypto";

/** What the auth server knows of a token that it issued. */
export interface TokenInfo {
  /** The kind of the token, by its name in RFC 7009 section 2.1. */
  readonly kind: "access_token" | "refresh_token";
  /**
   * Whether the server accepts the token now. A refresh token that was used is accepted during its grace period only.
   */
  readonly isLive: boolean;
  /** The scope, as space-separated words; `undefined`: the request named none, or a refresh may ask for every scope. */
  readonly scope: string | undefined;
  /** The resources (RFC 8707). Empty: the request named none, or a refresh may ask for every resource. */
  readonly resource: readonly string[];
  /** The `audience` parameters. */
  readonly audience: readonly string[];
  /** The user who signed in; `undefined` for tokens that belong to no user. */
  readonly subject: string | undefined;
  /** The client that the token was issued to; `undefined` if the client gave no name. */
  readonly clientId: string | undefined;
  /** The number of the sign-in, from 1; `undefined` for tokens that belong to no user. */
  readonly signIn: number | undefined;
  /** Why the sign-in has ended; `undefined` if it has not, and for tokens that belong to no user. */
  readonly ended: EndOfSignIn | undefined;
}

/** What a token is for. */
export type Target = Pick<TokenInfo, "scope" | "resource" | "audience">;

/**
 * Why a sign-in has ended:
 *
 * - `refresh token reused`: a refresh token was presented again (RFC 9700 section 4.14.2).
 * - `code reused`: the authorization code was presented again (RFC 6749 section 4.1.2).
 * - `revoked`: the refresh token was revoked, by the client (RFC 7009) or by the test.
 * - `ended by the server`: the test called `endSignIns`.
 */
export type EndOfSignIn = "refresh token reused" | "code reused" | "revoked" | "ended by the server";

/** A sign-in of a user: the family of refresh tokens, and the access tokens that came with them. */
export interface SignIn {
  /** From 1. */
  readonly number: number;
  readonly subject: string;
  /** The only client whose requests are answered; `undefined`: every client. */
  readonly clientId: string | undefined;
  /** What the user has granted. A refresh may ask for a part of it. Without `scope` or `resource`: for every one. */
  readonly granted: Target;
  ended: EndOfSignIn | undefined;
}

/** A refresh token, and how often it was used. */
export interface RefreshToken {
  readonly value: string;
  readonly signIn: SignIn;
  /** The refresh token that it replaced. */
  readonly replaced: RefreshToken | undefined;
  uses: number;
  /** Epoch milliseconds of the last use. */
  usedAt: number;
  /** Whether a refresh token that replaced it was used. */
  isOutdated: boolean;
}

interface AccessToken {
  readonly target: Target;
  readonly clientId: string | undefined;
  readonly signIn: SignIn | undefined;
}

/** When a refresh token is accepted. */
export interface RefreshRules {
  /** Epoch milliseconds. */
  readonly now: number;
  /** Milliseconds for which the previous refresh token is accepted once more. */
  readonly gracePeriod: number;
}

/** The tokens and the sign-ins of one auth server. */
export class IssuedTokens {
  /** The values of the access tokens, oldest first. A scripted answer may issue the same value twice. */
  readonly values: string[] = [];
  readonly signIns: SignIn[] = [];
  readonly #accessTokens = new Map<string, AccessToken>();
  readonly #refreshTokens = new Map<string, RefreshToken>();
  readonly #live = new Set<string>();
  #minted = 0;

  /** Makes an access token. */
  mint(about: AccessToken): string {
    const value = opaque("at", ++this.#minted);
    this.record(value, about);
    return value;
  }

  /** Records an access token, which may be a scripted one. */
  record(value: string, about: AccessToken): void {
    this.values.push(value);
    this.#accessTokens.set(value, about);
    this.#live.add(value);
  }

  begin(members: Pick<SignIn, "subject" | "clientId" | "granted">): SignIn {
    const signIn: SignIn = { ...members, number: this.signIns.length + 1, ended: undefined };
    this.signIns.push(signIn);
    return signIn;
  }

  /** Makes a refresh token: the first of a sign-in, or one that replaces another. */
  mintRefreshToken(signIn: SignIn, replaced?: RefreshToken): RefreshToken {
    const value = opaque("rt", this.#refreshTokens.size + 1);
    const token: RefreshToken = { value, signIn, replaced, uses: 0, usedAt: 0, isOutdated: false };
    this.#refreshTokens.set(value, token);
    return token;
  }

  refreshToken(value: string): RefreshToken | undefined {
    return this.#refreshTokens.get(value);
  }

  /** Uses a refresh token up, and returns the one that replaces it. */
  rotate(token: RefreshToken, now: number): RefreshToken {
    token.uses++;
    token.usedAt = now;
    if (token.replaced !== undefined) token.replaced.isOutdated = true;
    return this.mintRefreshToken(token.signIn, token);
  }

  /** Ends a sign-in: none of its tokens is live any more. @returns false if it had ended before. */
  end(signIn: SignIn, why: EndOfSignIn): boolean {
    if (signIn.ended !== undefined) return false;
    signIn.ended = why;
    for (const [value, token] of this.#accessTokens) if (token.signIn === signIn) this.#live.delete(value);
    return true;
  }

  isLive(accessToken: string): boolean {
    return this.#live.has(accessToken);
  }

  liveAccessTokens(): string[] {
    return [...this.#live];
  }

  /** @returns false if the token was not live. */
  revokeAccessToken(value: string): boolean {
    return this.#live.delete(value);
  }

  clientOf(value: string): string | undefined {
    return this.#accessTokens.get(value)?.clientId ?? this.#refreshTokens.get(value)?.signIn.clientId;
  }

  info(value: string, rules: RefreshRules): TokenInfo | undefined {
    const access = this.#accessTokens.get(value);
    if (access !== undefined) {
      const { target, clientId, signIn } = access;
      return { kind: "access_token", isLive: this.isLive(value), ...target, clientId, ...factsOf(signIn) };
    }
    const token = this.#refreshTokens.get(value);
    if (token === undefined) return undefined;
    const { signIn } = token;
    const isLive = signIn.ended === undefined && isUsable(token, rules);
    return { kind: "refresh_token", isLive, ...signIn.granted, clientId: signIn.clientId, ...factsOf(signIn) };
  }
}

/** Whether a refresh token may be used: for the first time, or once more in its grace period. */
export function isUsable(token: RefreshToken, { now, gracePeriod }: RefreshRules): boolean {
  if (token.uses === 0) return true;
  // Without a grace period, a clock that was stepped back must not make one.
  return token.uses === 1 && !token.isOutdated && gracePeriod > 0 && now - token.usedAt < gracePeriod;
}

/** The scope of a token when neither the user nor the request has named one. */
const USUAL_SCOPE = "read write";

/**
 * Returns what a token is for: what the request asks for, and what the user has granted where the request does not say.
 */
export function narrowed(granted: Target, asked: Target = NOTHING_ASKED): Target & { readonly scope: string } {
  return {
    scope: asked.scope ?? granted.scope ?? USUAL_SCOPE,
    resource: asked.resource.length > 0 ? asked.resource : granted.resource,
    audience: asked.audience.length > 0 ? asked.audience : granted.audience,
  };
}

/**
 * Returns the OAuth error code if a request asks for more than the user has granted.
 *
 * @see [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749.html#section-6)
 * @see [RFC 8707 section 2.2](https://www.rfc-editor.org/rfc/rfc8707.html#section-2.2)
 */
export function excessOf(granted: Target, asked: Target): "invalid_scope" | "invalid_target" | undefined {
  if (granted.scope !== undefined && !isSubset(words(asked.scope), words(granted.scope))) return "invalid_scope";
  if (granted.resource.length > 0 && !isSubset(asked.resource, granted.resource)) return "invalid_target";
  return undefined;
}

const NOTHING_ASKED: Target = { scope: undefined, resource: [], audience: [] };

function words(scope = ""): string[] {
  return scope.split(" ").filter((word) => word !== "");
}

function isSubset(part: readonly string[], whole: readonly string[]): boolean {
  return part.every((each) => whole.includes(each));
}

/** Reads what a request asks for. */
export function targetIn(parameters: URLSearchParams): Target {
  return {
    scope: parameters.get("scope") ?? undefined,
    resource: parameters.getAll("resource"),
    audience: parameters.getAll("audience"),
  };
}

function factsOf(signIn: SignIn | undefined): Pick<TokenInfo, "subject" | "signIn" | "ended"> {
  return { subject: signIn?.subject, signIn: signIn?.number, ended: signIn?.ended };
}

/** Returns a new value that a person can tell from others in a log, and that nobody can guess. */
export function opaque(kind: string, number: number): string {
  return `${kind}-${number}-${randomBytes(24).toString("base64url")}`;
}
