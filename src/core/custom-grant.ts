/**
 * A grant of the user's own: a function that obtains a token, for example from a secrets manager, a sidecar, a CLI or
 * another OAuth library. The cache makes a grant of a bare function itself; `customGrant` (`grants/custom.ts`) makes one of
 * an object.
 *
 * Not here: requests to a token endpoint. The grants in `grants/` make those.
 *
 * @module
 */
import { type RemintError, tokenResponseError } from "../base/errors.ts";
import { assertFunction, assertStatuses, assertString, duration, kindOf, requireFunction } from "../base/options.ts";
import { tryEach } from "../base/try-each.ts";
import { GRANT_TRAITS, isGrant } from "./grant.ts";
import type { GrantDefinition, GrantTraits, MintContext, MintStep, RevokeContext, SaveContext } from "./grant.ts";
import type { AccessToken, SignInResponse, TokenResponse } from "./types.ts";

/** The shortest grant: a function that obtains a token. `null` and `undefined` mean that nobody is signed in. */
export type MintFunction = (context: MintContext) => MaybePromise<CustomToken | null | undefined>;

type MaybePromise<T> = T | PromiseLike<T>;

/** What every custom grant may say. */
interface CustomTraits<State> extends GrantTraits {
  /**
   * Revokes an access token, and the state with it. Without a token there is only the state. Leave it out where the server
   * has no way to revoke.
   *
   * @see [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009.html)
   */
  readonly revoke?:
    | ((token: AccessToken | undefined, context: RevokeContext<State>) => MaybePromise<unknown>)
    | undefined;
}

/** A custom grant whose mints use nothing up that this package has to keep. */
export interface StatelessCustomGrant extends CustomTraits<undefined> {
  /**
   * Obtains one token. `null` or `undefined`: nobody is signed in, and requests go without a token.
   *
   * It must not answer from a cache of its own, because the cached token may be the one that an API rejected.
   */
  readonly mint: (context: MintContext<undefined>) => MaybePromise<CustomToken | null | undefined>;
  readonly state?: undefined;
  readonly onState?: undefined;
}

/** A custom grant whose every mint needs what the one before it returned. */
export interface StatefulCustomGrant<State> extends CustomTraits<State> {
  /**
   * Obtains one token from `context.state`. The token's member `state` is the state of the next mint; without it, the state
   * stays what it was. `null` or `undefined`: nobody is signed in.
   */
  readonly mint: (
    context: MintContext<State>,
  ) => MaybePromise<(CustomToken & { readonly state?: State | undefined }) | string | null | undefined>;
  /**
   * The state of the first mint, or a function that is asked for the state before every mint. `null` or `undefined`: nobody
   * is signed in. A function needs `onState`, unless the cache has a `store`.
   */
  readonly state?:
    | State
    | ((context: { readonly signal: AbortSignal }) => MaybePromise<State | null | undefined>)
    | undefined;
  /** Saves the next state. Awaited before the token is used; repeated when it fails. */
  readonly onState?: ((next: State, context: SaveContext<State>) => MaybePromise<unknown>) | undefined;
}

/** Options of `customGrant`, without the permission to repeat. */
export type CustomGrantMembers<State = unknown> = StatelessCustomGrant | StatefulCustomGrant<State>;

/** What a custom mint may return: a token response, the result of another library, or the token as a string. */
export type CustomToken = string | PlainTokenResponse | TimestampedToken | DatedToken;

/** The result of `getToken` of `@azure/identity`. */
interface TimestampedToken {
  /** The token itself. */
  readonly token: string;
  /** When the token expires. Epoch milliseconds. */
  readonly expiresOnTimestamp: number;
  /** `Bearer` or `DPoP`. */
  readonly tokenType?: string | undefined;
}

/** A token as many libraries return it, for example MSAL as its `AuthenticationResult`. */
interface DatedToken {
  /** The token itself. */
  readonly accessToken: string;
  /** Seconds the token lives. */
  readonly expiresIn?: number | string | null | undefined;
  /** When the token expires: a `Date`, epoch milliseconds or seconds, or ISO 8601. */
  readonly expiresAt?: Date | number | string | null | undefined;
  /** Another name for `expiresAt`. Ignored when that is set. */
  readonly expiresOn?: Date | number | string | null | undefined;
  /** `Bearer` or `DPoP`. */
  readonly tokenType?: string | undefined;
}

/** A token response as other libraries type it, without an index signature. */
type PlainTokenResponse = Pick<TokenResponse, "access_token" | "token_type" | "expires_in" | "expires_at" | "scope">;

/** The members of a custom grant, as they come from JavaScript. */
type AnyCustomGrant = CustomTraits<unknown> & {
  readonly mint: (context: MintContext) => unknown;
  readonly state?: unknown;
  readonly onState?: ((next: unknown, context: SaveContext) => unknown) | undefined;
};

/**
 * Makes the definition of a custom grant.
 *
 * @param where What stands before the name of a member in messages.
 * @param functionName The function that returns the token, for messages.
 * @param hasState Mints use a state up, though there is none to begin with.
 * @throws {TypeError} When a member is wrong.
 */
export function customDefinition(
  members: CustomGrantMembers<never>,
  where = "",
  functionName = "mint",
  hasState = false,
): GrantDefinition {
  const traits: GrantTraits = membersOf(members, GRANT_TRAITS);
  const { mint, state, onState, revoke } = membersOf(members, OWN_MEMBERS) as Partial<AnyCustomGrant>;
  requireFunction(`${where}mint`, mint);
  assertFunction(`${where}onState`, onState);
  assertFunction(`${where}revoke`, revoke);
  if (traits.key !== undefined) assertString(`${where}key`, traits.key);
  if (traits.defaultTtl !== undefined) duration(`${where}defaultTtl`, traits.defaultTtl, 0);
  for (const name of ["headers", "prove", "isRejected"] as const) assertFunction(where + name, traits[name]);
  assertStatuses(`${where}inspectStatuses`, traits.inspectStatuses);
  const isStateful = hasState || state !== undefined || onState !== undefined;
  const load =
    typeof state === "function" ? (state as (context: { readonly signal: AbortSignal }) => unknown) : undefined;
  return {
    ...traits,
    isRepeatable: false,
    ...(isStateful && {
      source: {
        names: { load: "state", save: "onState" },
        ...(load === undefined ? { initial: () => state ?? undefined } : { load }),
        ...(onState && { save: onState }),
        check: (value: unknown) => value,
      },
    }),
    mint: async (context) => stepOf(await mint!(context), isStateful, functionName),
    signIn: (response) => signedIn(response, isStateful, functionName),
    ...(revoke && { revoke: (tokens, context) => revokeEach(revoke, tokens, context) }),
  };
}

const OWN_MEMBERS = ["mint", "state", "onState", "revoke"] as const;

/**
 * Takes members of an object of the user's own, or of its class, whose methods keep their `this`. Its other members mean nothing
 * here, whatever their names are.
 */
function membersOf(object: object, names: readonly string[]): Readonly<Record<string, unknown>> {
  const taken: Record<string, unknown> = {};
  for (const name of names) {
    const value = (object as Readonly<Record<string, unknown>>)[name];
    if (value !== undefined) taken[name] = typeof value === "function" ? (value.bind(object) as unknown) : value;
  }
  return taken;
}

async function revokeEach(
  revoke: NonNullable<AnyCustomGrant["revoke"]>,
  [first, ...others]: readonly AccessToken[],
  { signal, state }: RevokeContext,
): Promise<void> {
  // The state goes with the first token, or alone.
  await tryEach([first, ...others], (token) => revoke(token, token === first ? { signal, state } : { signal }));
}

function stepOf(minted: unknown, isStateful: boolean, name: string): MintStep {
  if (minted === null || minted === undefined) return { isNobody: true };
  // Only a grant that says so has a state: an answer of the user's server may have a member of that name.
  const { state } = (isStateful ? Object(minted) : {}) as { state?: unknown };
  // Whatever is wrong with the token, the next state counts: the one before it is used up.
  const next = state === undefined ? {} : { next: { state } };
  try {
    return { response: tokenResponse(minted, name), ...next };
  } catch (error) {
    return { error, ...next };
  }
}

function signedIn(
  given: SignInResponse,
  isStateful: boolean,
  name: string,
): ReturnType<NonNullable<GrantDefinition["signIn"]>> {
  const response = tokenResponse(given, name);
  if (!isStateful) return { response };
  const { state, refresh_token: refreshToken } = given as { state?: unknown; refresh_token?: unknown };
  const next = state ?? refreshToken;
  return { response, ...(next !== undefined && { next: { state: next } }) };
}

/** Turns what the function of this name returned into a token response. */
function tokenResponse(minted: unknown, name: string): TokenResponse {
  if (typeof minted === "string") return { access_token: minted };
  if (typeof minted !== "object" || minted === null) throw unusable(`"${name}" returned ${kindOf(minted)}`);
  if ("access_token" in minted) return dataOf(minted) as unknown as TokenResponse;
  if ("accessToken" in minted) {
    const { accessToken, tokenType, ...rest } = minted as unknown as DatedToken;
    return { ...dataOf(rest), ...standardMembers(accessToken, tokenType) };
  }
  if ("token" in minted) {
    const { token, tokenType, ...rest } = minted as unknown as TimestampedToken;
    return { ...dataOf(rest), ...standardMembers(token, tokenType) };
  }
  throw unusable(`"${name}" returned ${kindOf(minted)} without "access_token", "accessToken" or "token"`);
}

function unusable(hint: string): RemintError {
  return tokenResponseError("no token is available: what the grant returned cannot be used", hint);
}

function standardMembers(value: string, type: string | undefined): TokenResponse {
  return { access_token: value, ...(type !== undefined && { token_type: type }) };
}

/** Copies an object without its functions: some libraries put methods such as `claims()` into the response. */
export function dataOf(minted: object): Record<string, unknown> {
  const data = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(minted)) if (typeof value !== "function") data[name] = value;
  return data;
}

/**
 * Returns the definition behind what a user passed as a grant. A function, and an object with a function `mint`, are taken
 * as `customGrant` would take them.
 *
 * @throws {TypeError} When it is none of these.
 */
export function grantDefinition(value: unknown): GrantDefinition {
  if (isGrant(value)) {
    assertFunction("grant.headers", value.headers);
    assertFunction("grant.prove", value.prove);
    assertFunction("grant.isRejected", value.isRejected);
    assertStatuses("grant.inspectStatuses", value.inspectStatuses);
    assertFunction("grant.revoke", (value as { readonly revoke?: unknown }).revoke);
    return value;
  }
  if (typeof value === "function") return customDefinition({ mint: value as MintFunction }, "", "grant");
  if (typeof value === "object" && value !== null && typeof (value as { mint?: unknown }).mint === "function") {
    return customDefinition(value as CustomGrantMembers<never>, "grant.");
  }
  throw new TypeError(
    `"grant" must be a grant such as clientCredentialsGrant({ ... }) or an async function that returns ` +
      `{ access_token, expires_in }, got ${kindOf(value)}`,
  );
}
