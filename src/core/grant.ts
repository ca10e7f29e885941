/**
 * A grant: how a token is obtained (RFC 6749 section 1.3). A user holds an opaque {@link Grant}; the library works with
 * the {@link GrantDefinition} behind it. A grant knows its parameters and nothing of caches.
 *
 * @module
 */
import { assertFunction, assertStatuses, kindOf } from "../base/options.ts";
import { redacted } from "../base/redacted.ts";
import type { AccessToken, Opaque, Origins, Prove, RejectionRule, TokenResponse } from "./types.ts";

/**
 * How a token is obtained: what `clientCredentialsGrant({ ... })`, `customGrant({ ... })` and the like return. Opaque.
 */
export type Grant = Opaque<"grant">;

/** What one attempt of a mint is given. */
export interface MintContext<State = unknown> {
  /** Aborts when the attempt has used up its time or the cache was closed. An attempt that ignores it is abandoned. */
  readonly signal: AbortSignal;
  /** The token that this mint replaces. */
  readonly previous?: AccessToken | undefined;
  /** What the previous mint returned as its `state`. */
  readonly state?: State | undefined;
}

/** What a revocation is given. */
export interface RevokeContext {
  /** Aborts when the revocation has used up its time. */
  readonly signal: AbortSignal;
  /** What the last mint returned as its `state`: a refresh token, which is to be revoked too. */
  readonly state?: unknown;
}

/** The shortest grant: a function that obtains a token. */
export type MintFunction = (context: MintContext) => Promise<TokenResponse>;

/** What a grant may say beside how it mints. Every member is optional. */
export interface GrantTraits<State = unknown> {
  /** Names the token without any secret. Two grants with the same key may share a token. A store needs it. */
  readonly key?: string | undefined;
  /** The key without the part that says whose token it is. Used where a pool's key says that. */
  readonly family?: string | undefined;
  /** Where its tokens may be sent. The cache's own `origins` wins. */
  readonly origins?: Origins | undefined;
  /** Milliseconds a token lives when the response does not say. The cache's own option wins. */
  readonly defaultTtl?: number | undefined;
  /** Asked about every 401, and about the `inspectStatuses`. */
  readonly isRejected?: RejectionRule | undefined;
  /** Further statuses about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
  /** What the first mint is given as its `state`, for example a refresh token. */
  readonly state?: State | undefined;
  /** Headers to send beside `Authorization`, unless the caller set them. */
  readonly headers?: ((token: AccessToken) => Readonly<Record<string, string>>) | undefined;
  /** Makes the proof that its tokens need with every send: `dpop({ ... }).prove`. */
  readonly prove?: Prove | undefined;
  /**
   * Revokes a token, and the state from which more could be minted. Without a token there is only the state. Leave it
   * out where the server has no way to revoke.
   *
   * @see [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009.html)
   */
  readonly revoke?: ((token: AccessToken | undefined, context: RevokeContext) => Promise<void>) | undefined;
}

/** Where a grant of ours asks for its tokens. It says with whom a failure of that server is shared in a pool (C9). */
export interface TokenServer {
  /** The token endpoint, or the issuer. */
  readonly endpoint: string;
  /** The client id. */
  readonly client: string;
  /** What the token is for: scope, resource, audience. */
  readonly target: string;
}

/** A grant as the library sees it. */
export interface GrantDefinition<State = unknown> extends GrantTraits<State> {
  /** Absent for a function of the user's: its failures concern nobody else. */
  readonly server?: TokenServer | undefined;
  /** Obtains one token. Called once per attempt; must not keep a cache of its own. */
  mint(context: MintContext<State>): Promise<TokenResponse & { readonly state?: State | undefined }>;
}

/**
 * Makes the grant that a user holds. It prints as `Grant [redacted]`, because its state is a refresh token and its key
 * names a client (S5). A copy (`{ ...grant, origins }`) prints the same.
 */
export function grantOf<State>(definition: GrantDefinition<State>): Grant {
  return redacted(definition, "Grant") as unknown as Grant;
}

/**
 * Returns the definition behind what a user passed as a grant.
 *
 * @throws {TypeError} When it is neither a grant nor a function.
 */
export function definitionOf(value: unknown): GrantDefinition {
  if (typeof value === "function") return { mint: value as MintFunction };
  if (typeof value !== "object" || value === null || typeof (value as GrantDefinition).mint !== "function") {
    throw new TypeError(
      `"grant" must be a grant such as clientCredentialsGrant({ ... }) or an async function that returns ` +
        `{ access_token, expires_in }, got ${kindOf(value)}`,
    );
  }
  const grant = value as GrantDefinition;
  assertFunction("grant.headers", grant.headers);
  assertFunction("grant.prove", grant.prove);
  assertFunction("grant.isRejected", grant.isRejected);
  assertStatuses("grant.inspectStatuses", grant.inspectStatuses);
  assertFunction("grant.revoke", grant.revoke);
  return grant;
}
