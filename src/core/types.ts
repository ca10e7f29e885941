/**
 * What a grant is: how a token is obtained (RFC 6749 section 1.3). It knows its parameters and nothing of caches.
 *
 * @module
 */
import { assertFunction, assertStatuses, kindOf } from "../base/options.ts";
import type { AccessToken } from "./access-token.ts";
import type { Prove } from "./proof.ts";

/** What a token endpoint answers (RFC 6749 section 5.1); everything but `access_token` may be missing. */
export interface TokenResponse {
  readonly access_token: string;
  /** `Bearer` or `DPoP`, in any case; a grant of your own may leave it out (`Bearer`). Anything else is refused: it is not ours to attach. */
  readonly token_type?: string | undefined;
  /** Seconds. A number or a numeric string; zero, negative or garbage says nothing (E3). */
  readonly expires_in?: number | string | undefined;
  /** ISO 8601 (no zone means UTC), or epoch seconds. Comes before `expires_in` (E1). */
  readonly expires_at?: number | string | undefined;
  readonly scope?: string | undefined;
  /** Epoch milliseconds the server's own clock showed (its `Date` header), to compare `expires_at` with (E2). */
  readonly serverTime?: number | undefined;
  /** Epoch milliseconds after which the token is not used, whatever else is said: the end of what it was made from. */
  readonly notAfter?: number | undefined;
  readonly [member: string]: unknown;
}

/** A token that is already there: a token response and when it came. */
export interface InitialToken extends TokenResponse {
  /** Epoch milliseconds at which the response was received. Without it, now. */
  readonly receivedAt?: number | undefined;
}

/** What one attempt of a mint gets to know. */
export interface MintContext<State = unknown> {
  /** Fires when the attempt has used up its time, or the cache was closed. A grant that ignores it is abandoned (C10). */
  readonly signal: AbortSignal;
  /** The token this mint replaces. */
  readonly previous?: AccessToken | undefined;
  /** What the previous mint left for this one. */
  readonly state?: State | undefined;
}

/** What a revocation gets to know. */
export interface RevokeContext {
  /** Fires when nobody waits any more. */
  readonly signal: AbortSignal;
  /** What the last mint left for the next: a refresh token, which is to be revoked too. */
  readonly state?: unknown;
}

/** An answer of an API, as a rejection rule sees it. */
export interface JudgedAnswer {
  readonly status: number;
  /** A response header, by any spelling of its name. */
  readonly header: (name: string) => string | null;
  /** The start of the body as text; empty when the body is a stream that was handed out unread. */
  readonly text: (maxBytes: number) => Promise<string>;
}

/** Whether an answer says that the token was not accepted. `undefined` leaves the decision to rule Q4. */
export type RejectionRule = (answer: JudgedAnswer) => boolean | undefined | Promise<boolean | undefined>;

/** How a token is obtained. */
export interface Grant<State = unknown> {
  /** Names the token without any secret: equal keys may share one. Needed with a store. */
  readonly key?: string | undefined;
  /** Names what the token is for when only a pool's key can say whose it is: the key without that part. */
  readonly family?: string | undefined;
  /** The server whose failures this grant shares with others in a pool (C13): the token endpoint, for one. */
  readonly endpoint?: string | undefined;
  /** Where its tokens may be sent, when the cache is not told (Q2). */
  readonly origins?: Origins | undefined;
  /** Milliseconds a token lives when nothing else says so; the cache's own option comes first. */
  readonly defaultTtl?: number | undefined;
  /** Asked about every 401, and about {@link Grant.inspectStatuses}. */
  readonly isRejected?: RejectionRule | undefined;
  /** Statuses beside 401 about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
  /** What the next mint needs and this one may replace: a rotating refresh token. */
  readonly state?: State | undefined;
  /** Headers to send beside `Authorization`, unless the caller set them. */
  readonly headers?: ((token: AccessToken) => Readonly<Record<string, string>>) | undefined;
  /** Makes the proof that its tokens want beside every send (DPoP): `dpop({ ... }).prove`. */
  readonly prove?: Prove | undefined;
  /** Obtains one token. Called once per attempt; must not keep its own cache. */
  mint(context: MintContext<State>): Promise<TokenResponse & { readonly state?: State | undefined }>;
  /**
   * Makes a token, and the state that stands for more of them, invalid at its server (RFC 7009). Without a token there is
   * only the state: nothing was minted. Absent where the server is known to have no way to do that; it rejects where that
   * turns out only then.
   */
  readonly revoke?: ((token: AccessToken | undefined, context: RevokeContext) => Promise<void>) | undefined;
}

/** The shortest grant: a function that obtains a token. */
export type MintFunction = (context: MintContext) => Promise<TokenResponse>;

/** Origins a token may be sent to: a list, `"any"` for every https origin, or a function of the token. */
export type Origins = "any" | readonly string[] | ((token: AccessToken) => readonly string[]);

/**
 * The grant behind what the user passed.
 *
 * @throws {TypeError} When it is neither a grant nor a function.
 */
export function toGrant(value: unknown): Grant {
  if (typeof value === "function") return { mint: value as MintFunction };
  if (typeof value !== "object" || value === null || typeof (value as Grant).mint !== "function") {
    throw new TypeError(
      `"grant" must be a grant such as clientCredentials({ ... }) or an async function that returns ` +
        `{ access_token, expires_in }, got ${kindOf(value)}`,
    );
  }
  const grant = value as Grant;
  assertFunction("grant.headers", grant.headers);
  assertFunction("grant.prove", grant.prove);
  assertFunction("grant.isRejected", grant.isRejected);
  assertStatuses("grant.inspectStatuses", grant.inspectStatuses);
  assertFunction("grant.revoke", grant.revoke);
  return grant;
}
