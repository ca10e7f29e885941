/**
 * A grant: how a token is obtained (RFC 6749 section 1.3). A user holds an opaque {@link Grant}; the library works with
 * the {@link GrantDefinition} behind it. A grant keeps nothing: what its mints use up belongs to the supply
 * (`supply.ts`).
 *
 * A function or an object of the user's is made into a grant in `custom-grant.ts`.
 *
 * @module
 */
import { redacted } from "../base/redacted.ts";
import { copiedOrigins } from "../base/url.ts";
import type { Clock } from "../base/clock.ts";
import type { RemintError } from "../base/errors.ts";
import type {
  AccessToken,
  GrantHeaders,
  Opaque,
  Origins,
  Prove,
  RejectionRule,
  SignInResponse,
  TargetParameters,
  TokenResponse,
} from "./types.ts";

/**
 * How a token is obtained: what `clientCredentialsGrant({ ... })`, `customGrant({ ... })` and the like return. Opaque.
 */
export type Grant = Opaque<"grant">;

/** One access token of a session among several. */
export interface Target {
  /** The same for every order of the same parameters. Holds no secret that its parameters do not hold. */
  readonly fingerprint: string;
  readonly parameters: TargetParameters;
}

/** What one attempt of a mint is given. */
export interface MintContext<State = unknown> {
  /** Aborts when the attempt has used up its time or the cache was closed. An attempt that ignores it is abandoned. */
  readonly signal: AbortSignal;
  /** The token that this mint replaces. */
  readonly previous?: AccessToken | undefined;
  /** What the next mint has to present, such as a refresh token. */
  readonly state?: State | undefined;
  /** What the token is for, where `TokenCache.for` said it. */
  readonly target?: TargetParameters | undefined;
}

/** What a revocation is given. */
export interface RevokeContext<State = unknown> {
  /** Aborts when the revocation has used up its time. */
  readonly signal: AbortSignal;
  /** The state of the session, such as a refresh token, which is to be revoked too. */
  readonly state?: State | undefined;
}

/** What a save of a new state is given. */
export interface SaveContext<State = unknown> {
  /** The state that was used up. Replace this one only, and not one that was saved later. */
  readonly replaced: State | undefined;
  /** The token response, without tokens and secrets. */
  readonly response: Readonly<Record<string, unknown>>;
  /** Aborts when the save has used up its time. It is repeated then. */
  readonly signal: AbortSignal;
}

/**
 * What a grant brings when its mints use something up, such as a rotating refresh token: where the first state comes from,
 * and where the next one is saved.
 */
export interface StateSource<State = unknown> {
  /** The options that the user gave, for messages: `refreshToken` and `onRotate`. */
  readonly names: { readonly load: string; readonly save: string };
  /**
   * Returns the state that the user gave, or `load`, a function that is asked before every mint. A function, so that no
   * member of the grant is the state (S5).
   */
  readonly initial?: (() => State) | undefined;
  readonly load?: ((context: { readonly signal: AbortSignal }) => unknown) | undefined;
  readonly save?: ((next: State, context: SaveContext<State>) => unknown) | undefined;
  /** @throws {TypeError} When what `load` returned, which is neither `null` nor `undefined`, is no state. */
  check(state: unknown): State;
  /** Returns what an error of the user's functions may keep of its cause. */
  causeOf?(error: unknown, states: readonly State[]): unknown;
}

/** The result of one attempt of a mint. */
export type MintStep<State = unknown> = (
  | { readonly response: TokenResponse & { readonly state?: unknown }; readonly sentAt?: number | undefined }
  | {
      readonly error: unknown;
      /** The server does not accept the state any more. */
      readonly isRefused?: boolean | undefined;
      /** The server has not used up the state, so the attempt may be repeated although it was sent. */
      readonly isUnused?: boolean | undefined;
    }
  /** There is no user who could get a token. */
  | { readonly isNobody: true }
) & {
  /** Absent: the state is what it was. */
  readonly next?: { readonly state: State } | undefined;
};

/** Repeats the attempts of one mint. */
export type Retry = (attempt: () => Promise<MintStep>, plan: RetryPlan) => Promise<MintStep>;

/** What a {@link Retry} has to know. */
export interface RetryPlan {
  /** How often a failed attempt is repeated. */
  readonly retries: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds that are left for the mint. */
  timeLeft(): number;
  /** Returns how many milliseconds the server asked to wait, or `undefined` when the attempt must not be repeated. */
  pauseAfter(step: MintStep): number | undefined;
  /** Called when an attempt failed and another one follows. */
  onRetry(attempt: number, step: MintStep): void;
}

/** What a grant may say beside how it mints. Every member is optional. */
export interface GrantTraits {
  /** Names the token without any secret. Two grants with the same key may share a token. A store needs it. */
  readonly key?: string | undefined;
  /** Where its tokens may be sent. The cache's own `origins` wins. */
  readonly origins?: Origins | undefined;
  /** Milliseconds a token lives when the response does not say. The cache's own option wins. */
  readonly defaultTtl?: number | undefined;
  /** Asked about every 401, and about the `inspectStatuses`. */
  readonly isRejected?: RejectionRule | undefined;
  /** Further statuses about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
  /**
   * Headers to send with the token, unless the caller set them. An `authorization` among them is sent in place of the
   * token's; `null` there means that no `Authorization` is sent, for a session in a cookie or in a header of its own.
   */
  readonly headers?: ((token: AccessToken) => GrantHeaders) | undefined;
  /** Makes the proof that its tokens need with every send: `dpop({ ... }).prove`. */
  readonly prove?: Prove | undefined;
}

/** The names of {@link GrantTraits}. */
export const GRANT_TRAITS = [
  "key",
  "origins",
  "defaultTtl",
  "isRejected",
  "inspectStatuses",
  "headers",
  "prove",
] as const;

/** Where a grant of ours asks for its tokens. It says with whom a failure of that server is shared in a pool (C9). */
export interface TokenServer {
  /** The token endpoint, or the issuer. */
  readonly endpoint: string;
  /** The client id. */
  readonly client: string;
  /** What the token is for: scope, resource, audience. */
  readonly target: string;
}

/** Names a client at an endpoint. */
export function clientAt({ endpoint, client }: TokenServer): string {
  return JSON.stringify([endpoint, client]);
}

/** A grant as the library sees it. */
export interface GrantDefinition<State = unknown> extends GrantTraits {
  /** Absent for a function of the user's: its failures concern nobody else. */
  readonly server?: TokenServer | undefined;
  /**
   * Returns the names ({@link endpointName}) of the grant's own endpoints, which never get its token: where it asks for
   * tokens, revokes them and looks up the others. The same list, until more are found.
   */
  readonly endpoints?: (() => readonly string[]) | undefined;
  /** The key that its tokens are bound to. Without a thumbprint, no other process can use the tokens. */
  readonly proofKey?: { readonly thumbprint: string | undefined } | undefined;
  /** Present when its mints use something up. */
  readonly source?: StateSource<State> | undefined;
  /**
   * Nothing is lost when a mint is aborted or sent twice. `false` for a state, and for a function of the user's: it may
   * use up something of which this package does not know.
   */
  readonly isRepeatable: boolean;
  /**
   * Present where the state is a cookie, which the answer to a mint replaces, also when the session of the mint is over by then.
   * Returns what callers of the next session are told when they need another token.
   */
  readonly lateCookie?: (() => RemintError) | undefined;
  /** How failed attempts are repeated. Absent: they are not. */
  readonly retry?: Retry | undefined;
  /** How often; the option of the cache does not count. */
  readonly mintRetries?: number | undefined;
  /** One attempt. Called once per attempt; must not keep a cache or a state of its own. */
  mint(context: MintContext<State>): Promise<MintStep<State>>;
  /**
   * Reads what the user passed to `signIn`. Absent when the grant stands for no user.
   *
   * @throws {TypeError} When it is no token response.
   */
  signIn?(response: SignInResponse): {
    readonly response: TokenResponse;
    readonly next?: { readonly state: State } | undefined;
  };
  /**
   * Revokes tokens, and the state from which more could be minted. Absent where the server has no way to revoke.
   *
   * @see [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009.html)
   */
  revoke?(tokens: readonly AccessToken[], context: RevokeContext<State>): Promise<void>;
}

/** Marks the grants of this package, also those of another copy of it. */
const brand = Symbol.for("remint.grant/1");

/**
 * Makes the grant that a user holds. It prints as `Grant [redacted]`, because its state is a refresh token and its key
 * names a client (S5). A copy (`{ ...grant, origins }`) prints the same.
 */
export function grantOf<State>(definition: GrantDefinition<State>): Grant {
  const { origins } = definition;
  const taken = Array.isArray(origins) && { origins: copiedOrigins(origins) };
  return redacted({ ...definition, ...taken, [brand]: true }, "Grant") as unknown as Grant;
}

/** Returns the definition behind a grant of this package. */
export function definitionOf(grant: Grant): GrantDefinition {
  return grant as unknown as GrantDefinition;
}

/** Returns whether a value is a grant of this package. */
export function isGrant(value: unknown): value is GrantDefinition {
  return typeof value === "object" && value !== null && brand in value;
}
