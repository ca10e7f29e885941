/**
 * The refresh token grant: tokens for the user who signed in, as long as the refresh token is valid.
 *
 * The refresh token is the grant's state. The supply keeps it, asks for it and has it saved (`core/state.ts`). The request
 * is sent by `oauth/request.ts`.
 *
 * @module
 */
import { TokenEndpointError } from "../base/errors.ts";
import { assertFunction, assertString, kindOf, optionError, takenOptions } from "../base/options.ts";
import { tryEach } from "../base/try-each.ts";
import { grantOf } from "../core/grant.ts";
import { tokenClient } from "../oauth/client.ts";
import { GRANT_OPTIONS, grantForm, tokenServer, withTarget } from "../oauth/parameters.ts";
import { redactedCause, redactor } from "../oauth/redaction.ts";
import { boundToken, proofMember, requestToken } from "../oauth/request.ts";
import { revokeToken, type RevocationRequest } from "../oauth/revocation.ts";
import { assertSendable } from "../oauth/sendable.ts";
import { endsSession, isDeadToken, isRefusal, terminalRefusal, transientRefusal } from "./refusals.ts";
import { retrying } from "./retry.ts";
import type { Grant, GrantDefinition, SaveContext, StateSource } from "../core/grant.ts";
import type { AccessToken, TokenResponse } from "../core/types.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";
import type { IsTerminal } from "./refusals.ts";

type MaybePromise<T> = T | PromiseLike<T>;

/** Options of {@link refreshTokenGrant}. */
export interface RefreshTokenGrantOptions extends GrantOptions {
  /**
   * The refresh token to start with, or a function that returns the one that is saved now.
   *
   * A function is asked before every refresh, so it always sees what another process has saved. `null` or `undefined` means
   * that nobody is signed in: requests then go without a token. It needs `onRotate`, unless the cache has a `store`.
   */
  readonly refreshToken:
    | string
    | ((context: { readonly signal: AbortSignal }) => MaybePromise<string | null | undefined>);
  /**
   * Saves a new refresh token. It is awaited before the access token of the same answer is used, for at most half of
   * `mintTimeout`. It may be called twice with the same token.
   *
   * When it fails or takes longer, the access token is used nevertheless, the event `state-unsaved` tells, and the save is
   * repeated: after 1 to 30 seconds, at every refresh, and in `close()`.
   *
   * If the process is killed between the server's answer and the end of `onRotate`, the new refresh token is lost. The
   * saved one is used up, so the server answers `invalid_grant` and the user has to sign in again. Servers that accept
   * the old refresh token for a grace period (also called leeway or overlap) are not affected.
   */
  readonly onRotate?: ((refreshToken: string, rotated: RotatedToken) => MaybePromise<unknown>) | undefined;
  /**
   * Decides which refusals mean that the refresh token is expired, revoked or used up, so that the user has to sign in
   * again. `undefined` leaves the decision to the default.
   *
   * @defaultValue `invalid_grant`, and what GitHub, Slack, Atlassian, HubSpot and Zoom answer in its place
   */
  readonly isTerminal?: IsTerminal | undefined;
}

/** Describes one rotation of a refresh token. */
export type RotatedToken = SaveContext<string>;

/**
 * Creates a grant that obtains tokens with a refresh token. The server may rotate the refresh token.
 *
 * A request is repeated only when it was never sent, because the server may have used up the refresh token. Callers leave
 * after `mintTimeout`; the request goes on for up to `landingTimeout`, because only its answer holds the next refresh token.
 * When the server answers `invalid_grant` and there is no other refresh token, the error is a {@link TokenEndpointError}
 * with `terminal: true`, and nothing is sent until the user signs in again: until `signIn` is called, or the function
 * `refreshToken` returns a token that was not seen before.
 *
 * The refresh token belongs to the grant. One grant serves one cache at a time; `TokenCache.for` gives further access tokens
 * of the same session. Several processes that use one rotating refresh token need a function with `onRotate` and a server
 * with a grace period, or a `store`.
 *
 * @throws {TypeError} When an option is wrong. Nothing was sent then.
 * @see [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749.html#section-6)
 * @example
 * ```ts
 * const grant = refreshTokenGrant({
 *   issuer: "https://auth.example",
 *   clientId: "portal",
 *   clientSecret,
 *   refreshToken: () => sessions.refreshToken(sid),
 *   onRotate: (next) => sessions.save(sid, next),
 * });
 * ```
 */
export function refreshTokenGrant(options: RefreshTokenGrantOptions): Grant {
  options = takenOptions("refreshTokenGrant", options, [...GRANT_OPTIONS, "refreshToken", "onRotate", "isTerminal"]);
  return refreshGrant(options);
}

/** What a provider knows of the refusals of its server. */
interface RefusalFacts {
  /**
   * Whether a refusal is over in a moment, whatever its code says. Nothing is used up then: the request is repeated after a
   * pause, as often as `mintRetries` says, and the failure is `retryable` and not `terminal`.
   */
  readonly isTransient?: ((refusal: TokenEndpointError) => boolean) | undefined;
}

/** Does what {@link refreshTokenGrant} does, for a provider that knows more of its server. */
export function refreshGrant(options: RefreshTokenGrantOptions, { isTransient }: RefusalFacts = {}): Grant {
  const { key } = options;
  assertFunction("isTerminal", options.isTerminal);
  const source = refreshTokenSource(options);
  const client = tokenClient(options);
  const form = grantForm(options, ["refresh_token"]);
  const definition: GrantDefinition<string> = {
    // Without the option `key` nothing tells one user's tokens from another's, so there is no key to share them by.
    key,
    server: tokenServer(client, form),
    endpoints: client.endpoints,
    origins: options.origins,
    defaultTtl: options.defaultTtl,
    source,
    isRepeatable: false,
    retry: retrying,
    async mint({ state, signal, target }) {
      const parameters = withTarget(form, target);
      parameters.set("refresh_token", state!);
      // An answer that parses counts, whatever is wrong with its access token: the refresh token in it is the next one.
      let next: { readonly state: string } | undefined;
      const received = (answer: Readonly<Record<string, unknown>>): void => {
        const given = answer["refresh_token"];
        if (typeof given === "string" && given !== "" && given !== state) next = { state: given };
      };
      try {
        const response = await requestToken(client, { grantType: "refresh_token", parameters, signal, received });
        return { response: { ...boundToken(client, response), refresh_token: undefined }, next };
      } catch (error) {
        if (signal.aborted) throw error;
        if (!isRefusal(error)) return { error, next };
        if (isTransient?.(error) === true) return { error: transientRefusal(error), isUnused: true, next };
        const isDead = await endsSession(error, options.isTerminal, isDeadToken, signal);
        return isDead ? { error: terminalRefusal(error, DEAD), isRefused: true, next } : { error, next };
      }
    },
    signIn: (response) => signedIn(client, response),
    ...proofMember(client),
    ...(client.mayRevoke && { revoke: (tokens, { signal, state }) => revokeAll(client, state, tokens, signal) }),
  };
  return grantOf(definition);
}

/** Checks where the refresh token comes from and where it goes. */
function refreshTokenSource({ refreshToken, onRotate }: RefreshTokenGrantOptions): StateSource<string> {
  assertFunction("onRotate", onRotate);
  if (typeof refreshToken !== "function" && (typeof refreshToken !== "string" || refreshToken === "")) {
    throw optionError("refreshToken", refreshToken, "a non-empty string, or a function that returns one or null");
  }
  if (typeof refreshToken === "string") assertSendable("refreshToken", refreshToken, "token");
  return {
    names: NAMES,
    ...(typeof refreshToken === "function" ? { load: refreshToken } : { initial: () => refreshToken }),
    ...(onRotate && { save: onRotate }),
    check: checkedToken,
    causeOf: causeWithout,
  };
}

const DEAD = "the refresh token is expired, revoked or used up, and there is no other: sign in again";
const NAMES: StateSource["names"] = { load: "refreshToken", save: "onRotate" };

function checkedToken(value: unknown): string {
  if (typeof value === "string" && value !== "") {
    assertSendable("refreshToken", value, "token");
    return value;
  }
  // For example a session object instead of its refresh token. The server could end the session if it were sent.
  const expected = "a function that returns a refresh token, or null when nobody is signed in";
  throw optionError("refreshToken", value, `${expected}; it returned ${kindOf(value)}`);
}

function causeWithout(error: unknown, refreshTokens: readonly string[]): unknown {
  return redactedCause(error, redactor([...refreshTokens]));
}

/** Reads the response of a sign-in: what a token endpoint answers to the code flow, for example. */
function signedIn(
  client: TokenClient,
  given: { readonly access_token: string },
): ReturnType<NonNullable<GrantDefinition<string>["signIn"]>> {
  const { refresh_token: refreshToken, ...response } = given as TokenResponse & { readonly refresh_token?: unknown };
  if (refreshToken === undefined || refreshToken === null) return { response: boundToken(client, response) };
  assertString("refresh_token", refreshToken);
  return { response: boundToken(client, response), next: { state: refreshToken } };
}

/**
 * Revokes the refresh token and the access tokens. A server should revoke the access tokens with the refresh token (RFC
 * 7009 section 2.1), but not every server does. All are tried, even if one fails. It is no failure that the server cannot
 * revoke access tokens of this kind.
 */
async function revokeAll(
  client: TokenClient,
  refreshToken: string | undefined,
  tokens: readonly AccessToken[],
  signal: AbortSignal,
): Promise<void> {
  const all: RevocationRequest[] = tokens.map(({ value }) => ({ token: value, tokenTypeHint: "access_token", signal }));
  if (refreshToken !== undefined) all.unshift({ token: refreshToken, tokenTypeHint: "refresh_token", signal });
  await tryEach(all, async (request) => {
    try {
      await revokeToken(client, request);
    } catch (error) {
      if (request.tokenTypeHint === "refresh_token" || !isUnsupportedTokenType(error)) throw error;
    }
  });
}

function isUnsupportedTokenType(error: unknown): boolean {
  return error instanceof TokenEndpointError && error.error === "unsupported_token_type";
}
