/**
 * The refresh token grant: tokens for the user who signed in, as long as the refresh token is valid.
 *
 * Not here: rotation of the refresh token (`rotation.ts`), and the request (`oauth/request.ts`).
 *
 * @module
 */
import { TokenEndpointError } from "../base/errors.ts";
import { assertFunction, assertOptions, assertString } from "../base/options.ts";
import { grantOf } from "../core/grant.ts";
import { tokenClient } from "../oauth/client.ts";
import { grantForm, grantKey, tokenServer } from "../oauth/parameters.ts";
import { boundToken, proofMember, requestToken } from "../oauth/request.ts";
import { revokeToken } from "../oauth/revocation.ts";
import { Rotation } from "./rotation.ts";
import type { Grant } from "../core/grant.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";
import type { RotatedToken } from "./rotation.ts";

/** Options of {@link refreshTokenGrant}. */
export interface RefreshTokenGrantOptions extends GrantOptions {
  /** The refresh token to start with. */
  readonly refreshToken: string;
  /**
   * Saves a new refresh token. It is awaited before the access token of the same answer is used, so that a crash after
   * that loses nothing. It may be called twice with the same token.
   *
   * When it fails, the mint fails with a retryable error and the new refresh token stays in memory. The next mint calls
   * `onRotate` again before it sends anything.
   *
   * If the process is killed between the server's answer and the end of `onRotate`, the new refresh token is lost. The
   * saved one is used up, so the server answers `invalid_grant` and the user has to sign in again. Servers that accept
   * the old refresh token for a grace period (also called leeway or overlap) are not affected.
   */
  readonly onRotate?: ((refreshToken: string, rotated: RotatedToken) => void | Promise<void>) | undefined;
  /**
   * Returns the refresh token that is saved now. Called once when the server answers `invalid_grant`, because another
   * process may have rotated the token. A token that this process has not seen is tried once. Otherwise the refusal is
   * terminal.
   */
  readonly current?:
    | ((context: { readonly signal: AbortSignal }) => string | undefined | Promise<string | undefined>)
    | undefined;
}

/**
 * Creates a grant that obtains tokens with a refresh token. The server may rotate the refresh token. It is the grant's
 * `state`.
 *
 * A failed request is not retried, because the server may have used up the refresh token. A request goes on for a while
 * after its mint gave up waiting. A later mint sends the refresh token again if no answer came. When the server answers
 * `invalid_grant` and there is no other refresh token, the error is a {@link TokenEndpointError} with `terminal: true`.
 * Nothing is minted after that. The user has to sign in again.
 *
 * `close({ revoke: true })` waits for a refresh in progress, because its answer may hold a new refresh token. Then it
 * revokes the refresh token and the access token.
 *
 * One grant may serve several caches of one process. Several processes that use one rotating refresh token need a
 * store.
 *
 * @throws {TypeError} When an option is wrong. Nothing was sent then.
 * @see [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749.html#section-6)
 * @example
 * ```ts
 * const grant = refreshTokenGrant({
 *   tokenEndpoint: "https://auth.example/token",
 *   clientId: "portal",
 *   clientSecret,
 *   refreshToken: session.refreshToken,
 *   onRotate: (next, { replaced }) => sessions.replaceRefreshToken(session.id, replaced, next),
 *   current: () => sessions.refreshTokenOf(session.id),
 * });
 * ```
 */
export function refreshTokenGrant(options: RefreshTokenGrantOptions): Grant {
  assertOptions("refreshTokenGrant", options);
  const { refreshToken: first, onRotate, current, key } = options;
  assertString("refreshToken", first);
  assertFunction("onRotate", onRotate);
  assertFunction("current", current);
  const client = tokenClient(options);
  const form = grantForm(options, ["refresh_token"]);
  const grantType = "refresh_token";
  const rotation = new Rotation(
    {
      onRotate,
      current,
      request(token, signal) {
        const parameters = new URLSearchParams(form);
        parameters.set("refresh_token", token);
        return requestToken(client, { grantType, parameters, signal });
      },
    },
    first,
  );
  return grantOf({
    // Without the option `key` nothing tells one user's tokens from another's, so there is no key to share them by.
    key: key === undefined ? undefined : grantKey({ grantType, client, form, key }),
    family: grantKey({ grantType, client, form }),
    server: tokenServer(client, form),
    origins: options.origins,
    defaultTtl: options.defaultTtl,
    state: first,
    mint: async (context) => boundToken(client, await rotation.mint(context)),
    ...proofMember(client),
    ...(client.mayRevoke && { revoke: (token, { signal }) => revokeBoth(client, rotation, token?.value, signal) }),
  });
}

/**
 * Revokes the refresh token and the access token. A server should revoke the access token with the refresh token (RFC
 * 7009 section 2.1), but not every server does. Both are tried, even if one fails. It is no failure that the server
 * cannot revoke access tokens of this kind.
 */
async function revokeBoth(
  client: TokenClient,
  rotation: Rotation,
  value: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const failureOf = (token: string, tokenTypeHint: "refresh_token" | "access_token"): Promise<unknown> =>
    revokeToken(client, { token, tokenTypeHint, signal }).then(
      () => undefined,
      (error: unknown) => error,
    );
  await rotation.settled(signal);
  const refreshFailure = await failureOf(rotation.token, "refresh_token");
  const accessFailure = value === undefined ? undefined : await failureOf(value, "access_token");
  if (refreshFailure !== undefined) throw refreshFailure;
  if (accessFailure !== undefined && !isUnsupportedTokenType(accessFailure)) throw accessFailure;
}

function isUnsupportedTokenType(error: unknown): boolean {
  return error instanceof TokenEndpointError && error.error === "unsupported_token_type";
}
