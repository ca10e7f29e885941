/**
 * The refresh token grant: a token for the user who signed in, as long as the refresh token is good.
 *
 * @module
 */
import { TokenEndpointError } from "../base/errors.ts";
import { assertFunction, assertOptions, assertString } from "../base/options.ts";
import { grantOf } from "../core/grant.ts";
import { tokenClient } from "../oauth/client.ts";
import { commonForm, grantKey } from "../oauth/parameters.ts";
import { boundToken, proving, requestToken } from "../oauth/request.ts";
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
   * Saves a new refresh token; awaited before the access token that came with it is used, so that a crash after that
   * loses nothing. When it fails, the mint fails with an error that may be tried again, the new refresh token stays in
   * memory, and the next mint calls `onRotate` again before it sends anything. It may be called twice with the same
   * token.
   *
   * A process that is killed between the server's answer and the end of `onRotate` has lost the new refresh token: the
   * saved one is used up, the server answers `invalid_grant` to it, and the user has to sign in again. Servers with a
   * grace period for the old refresh token (a leeway, an overlap) forgive that.
   */
  readonly onRotate?: ((refreshToken: string, rotated: RotatedToken) => void | Promise<void>) | undefined;
  /**
   * Reads the refresh token that is saved now. Asked once when the server answers `invalid_grant`: another process may
   * have rotated it meanwhile. A token that is not known here yet is tried, once; otherwise the refusal is terminal.
   */
  readonly current?:
    | ((context: { readonly signal: AbortSignal }) => string | undefined | Promise<string | undefined>)
    | undefined;
}

/**
 * A grant that obtains tokens with a refresh token, rotating or not. The refresh token is the grant's `state`.
 *
 * A refresh token is never sent again because its answer did not come: nothing is retried, and a request that its mint
 * no longer waits for goes on for a while. A later mint presents it again if it has to. An `invalid_grant` that stands
 * is a {@link TokenEndpointError} with `terminal: true`: nothing is minted any more, the user has to sign in.
 *
 * Revoking it (`close({ revoke: true })`) revokes the refresh token, then the access token. A refresh that is under way is
 * waited for: its answer may hold another refresh token.
 *
 * One grant may serve several caches of one process. Several processes with one rotating refresh token need a store.
 *
 * @throws {TypeError} When an option is wrong; nothing has been sent then.
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
  const form = commonForm(options, ["refresh_token"]);
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
    // Two users must never share a token: without a name there is no key.
    key: key === undefined ? undefined : grantKey({ grantType, client, form, key }),
    family: grantKey({ grantType, client, form }),
    endpoint: client.endpoint,
    origins: options.origins,
    defaultTtl: options.defaultTtl,
    state: first,
    mint: async (context) => boundToken(client, await rotation.mint(context)),
    ...proving(client),
    ...(client.mayRevoke && { revoke: (token, { signal }) => revokeBoth(client, rotation, token?.value, signal) }),
  });
}

/**
 * RFC 7009 section 2.1: with the refresh token the server should let go of what was issued for it; the access token is
 * named too, for servers that do not, unless it is of a kind they cannot revoke. Each is tried, whatever becomes of the
 * other.
 */
async function revokeBoth(
  client: TokenClient,
  rotation: Rotation,
  value: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const told = (token: string, tokenTypeHint: "refresh_token" | "access_token"): Promise<unknown> =>
    revokeToken(client, { token, tokenTypeHint, signal }).then(
      () => undefined,
      (error: unknown) => error,
    );
  await rotation.settled(signal);
  const refresh = await told(rotation.token, "refresh_token");
  const access = value === undefined ? undefined : await told(value, "access_token");
  if (refresh !== undefined) throw refresh;
  if (access !== undefined && !isOfNoRevocableKind(access)) throw access;
}

function isOfNoRevocableKind(error: unknown): boolean {
  return error instanceof TokenEndpointError && error.error === "unsupported_token_type";
}
