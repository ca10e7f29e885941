/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The words of the library as types: tokens, token responses, caches, proofs, events, and the half of a cache that only
 * the request policy uses.
 *
 * Not here: grants (`grant.ts`), the options of a cache (`options.ts`), what a client implements
 * (`policy/client-seam.ts`).
 *
 * @module
 */
import type { Rejection, RemintError, RemintErrorCode } from "../base/errors.ts";

declare const opaque: unique symbol;

/** A value that a user only passes on. Its members are not part of the public types. */
export interface Opaque<Name extends string> {
  readonly [opaque]: Name;
}

/** An access token and what is known about it. Prints as `[redacted]`. */
export interface AccessToken {
  /** The token itself. A secret: use {@link AccessToken.header} where a header is wanted. */
  readonly value: string;
  /** How the token is presented: the first word of {@link AccessToken.header}. */
  readonly scheme: "Bearer" | "DPoP";
  /** The value of the `Authorization` header, for example `Bearer eyJ...`. */
  readonly header: string;
  /** When the token expires. Epoch milliseconds, on the local clock. */
  readonly expiresAt: number;
  /** The scope that the authorization server granted; `undefined` when it did not say. */
  readonly scope?: string | undefined;
  /** The other members of the token response (`instance_url`, ...), without tokens and secrets. */
  readonly response: Readonly<Record<string, unknown>>;
}

/**
 * What a token endpoint answers. Everything but `access_token` may be missing.
 *
 * @see [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)
 */
export interface TokenResponse {
  /** Visible ASCII without spaces. */
  readonly access_token: string;
  /** `Bearer` or `DPoP`, in any case. Any other type is refused. @defaultValue "Bearer" */
  readonly token_type?: string | undefined;
  /**
   * Seconds the token lives: a number or a numeric string. Zero, a negative number and text that is no number are
   * ignored.
   */
  readonly expires_in?: number | string | undefined;
  /**
   * When the token expires: a Date, ISO 8601 (UTC where no zone is given) or epoch seconds. With `expires_in`, the earlier
   * of the two counts.
   */
  readonly expires_at?: number | string | Date | undefined;
  /** The scope that was granted. */
  readonly scope?: string | undefined;
  /**
   * What the server's own clock showed (its `Date` header), in epoch milliseconds. `expires_at` is compared with it.
   */
  readonly serverTime?: number | undefined;
  /** Epoch milliseconds after which the token is not used, whatever the other members say. */
  readonly notAfter?: number | undefined;
  /** Other members are handed out in {@link AccessToken.response}. */
  readonly [member: string]: unknown;
}

/**
 * What a token endpoint answered when the user signed in. The response of openid-client and of most libraries fits as it is.
 *
 * @see [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)
 */
export interface SignInResponse {
  /** Visible ASCII without spaces. */
  readonly access_token: string;
  /** Becomes the state of the session. Without it, the grant's function is asked for the refresh token. */
  readonly refresh_token?: string | undefined;
  /** `Bearer` or `DPoP`, in any case. @defaultValue "Bearer" */
  readonly token_type?: string | undefined;
  /** Seconds the access token lives. */
  readonly expires_in?: number | string | undefined;
  /** When the access token expires: a Date, ISO 8601 or epoch seconds. A time in the past counts. */
  readonly expires_at?: number | string | Date | undefined;
  /** The scope that was granted. */
  readonly scope?: string | undefined;
}

/** One sign-in. Every token carries the one it came of (C15). */
export interface Session {
  /** A later sign-in has a higher one. */
  readonly generation: number;
  /** Random. Tells two sign-ins with the same generation apart. */
  readonly id: string;
}

/** A token that exists already: a token response, and when it was received. */
export interface InitialToken extends TokenResponse {
  /** When the response was received: epoch milliseconds, a Date or ISO 8601. @defaultValue now, which is also the latest */
  readonly receivedAt?: number | string | Date | undefined;
}

/**
 * Where a token may be sent: a list of origins, `"any"` for every https origin, or a function of the token. `"self"` in a
 * list stands for the page's own origin in a browser, and for relative URLs elsewhere.
 */
export type Origins = "any" | readonly (string | URL)[] | ((token: AccessToken) => readonly (string | URL)[]);

/** An API's answer, as a rejection rule sees it. */
export interface JudgedAnswer {
  /** The HTTP status. */
  readonly status: number;
  /** Reads a response header. The name may have any case. */
  readonly header: (name: string) => string | null;
  /** Reads the start of the body as text. Empty when the body is a stream that went to the caller unread. */
  readonly text: (maxBytes: number) => Promise<string>;
}

/**
 * Decides whether an answer means that the token was not accepted. `undefined` leaves the decision to the library,
 * which looks at the status and at the `WWW-Authenticate` header.
 */
export type RejectionRule = (answer: JudgedAnswer) => boolean | undefined | Promise<boolean | undefined>;

/** One send of a request for which a proof is to be made. */
export interface ProofRequest {
  /** The HTTP method as it is sent, for example `GET`. */
  readonly method: string;
  /** The absolute URL without query and fragment. Only a path where no origin is known (`origins: ["self"]`). */
  readonly url: string;
  /** The token that is sent with the request. Absent in a token request. */
  readonly token?: AccessToken | undefined;
}

/** The answer to a request that was sent with a proof. */
export interface ProofAnswer {
  /** The HTTP status. */
  readonly status: number;
  /** Reads a response header. The name may have any case. */
  readonly header: (name: string) => string | null;
  /** The `error` member of a token endpoint's answer. */
  readonly error?: string | undefined;
}

/** A proof of possession, valid for one send. */
export interface Proof {
  /** Headers to send. A `DPoP` header replaces the caller's; other headers are set unless the caller set them. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Called with the answer, whatever its status. If the answer asks only for another proof (a nonce), it returns the
   * function that makes one. The request is then sent once more with the same token.
   */
  readonly answered?: ((answer: ProofAnswer) => (() => Promise<Proof>) | undefined) | undefined;
}

/** Makes the proof for one send; `undefined` when the token needs none. Called anew for every send. */
export type Prove = (request: ProofRequest) => Promise<Proof> | undefined;

/** A key that tokens are bound to, as a grant sees it. `dpop()` of `remint/dpop` makes one. */
export interface ProofKey {
  /** The RFC 7638 thumbprint; `undefined` when it is not known yet. Processes with the same key may share tokens. */
  readonly thumbprint: string | undefined;
  /** Whether a token that the server did not bind to the key may be used. */
  readonly allowBearer: boolean;
  /** Makes the proofs for token requests and for the requests that carry the tokens. */
  readonly prove: Prove;
}

/**
 * Why a mint was started: there was no token, the token is about to expire, an API rejected it, or a caller asked for another
 * one (`forceRefresh`).
 */
export type MintCause = "cold" | "expiring" | "rejected" | "forced";

/**
 * Why a request was sent without a token: it had an `Authorization` header, its origin is not allowed, its URL is relative
 * and `"self"` is not allowed, it goes to an endpoint that the grant itself asks for tokens, or the caller said so.
 */
export type SkipReason = "authorization-set" | "origin-not-allowed" | "relative-url" | "own-endpoint" | "opted-out";

/**
 * Whom the failure of a mint concerns.
 *
 * - `server`: everybody who uses the endpoint. It did not answer, or it failed (5xx).
 * - `client`: everybody who uses the endpoint with the same client id (`invalid_client`, 429).
 * - `target`: those of them who ask for the same scope and resource (`invalid_scope`, `invalid_target`).
 * - `key`: this cache alone. A function of the user's failed, or this user was refused.
 * - `nobody`: it is not remembered. The process was frozen meanwhile, or the cache was closed.
 */
export type FailureOwner = "server" | "client" | "target" | "key" | "nobody";

/** What an event says of a mint that has ended. */
export interface EndedMint {
  /** Names the mint in this process. */
  readonly id: number;
  readonly cause: MintCause;
  /** The origin of the token endpoint, or of the issuer. Absent when the grant is a function. */
  readonly server?: string | undefined;
  /** Milliseconds from the moment the token was needed, retries included. */
  readonly duration: number;
  /** How many callers were waiting. */
  readonly waiters: number;
}

/** What an event says of a token that the cache has got. */
export interface ObtainedToken {
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  /** Milliseconds from the 401 of an API that made another token necessary. Absent when there was none. */
  readonly sinceRejection?: number | undefined;
}

/**
 * Something that happened in a token cache. Events hold no token and no secret.
 *
 * After each `mint-started` exactly one of `minted`, `adopted`, `mint-failed` and `mint-abandoned` has the same `id`. When a
 * mint goes on after `mintTimeout`, its `minted` comes later, after the `mint-failed` for its callers. In a fleet, `adopted`
 * and `mint-failed` also come without a mint of this process.
 */
export type RemintEvent =
  /**
   * This process begins a mint. Told in the asynchronous context of the call that needs the token, and before anything is
   * sent. Without a store, it is told before that call returns.
   */
  | {
      readonly name: "mint-started";
      /** Names the mint in this process. */
      readonly id: number;
      readonly cause: MintCause;
      /** The origin of the token endpoint, or of the issuer. Absent when the grant is a function. */
      readonly server?: string | undefined;
    }
  /** A mint succeeded. `repeated`: the server returned the same token as before. */
  | (EndedMint & ObtainedToken & { readonly name: "minted"; readonly repeated: boolean })
  /** The cache took over a token that another process of the fleet minted. */
  | (EndedMint & ObtainedToken & { readonly name: "adopted" })
  /** A sign-in has begun a session: {@link TokenCache.signIn}. */
  | { readonly name: "signed-in" }
  /** The session was signed out: {@link TokenCache.signOut}. */
  | { readonly name: "signed-out" }
  /** This process has learned from the store that another sign-in took the place of the session, or that it was ended. */
  | { readonly name: "session-replaced"; readonly isEnded: boolean }
  /** A new state, such as a refresh token, could not be saved. The token is used, and the save is repeated. */
  | { readonly name: "state-unsaved"; readonly error: RemintError }
  /** A state was sent and no answer came. If the server has used it up, the session is lost. */
  | { readonly name: "state-in-doubt" }
  /**
   * The store fails. This process works without it, or not at all, until `store-recovered`. Both are told to each listener
   * once for an outage, also when it listens to many caches: by the cache that was the first to notice.
   */
  | { readonly name: "store-failed"; readonly error: RemintError }
  /** The store works again. */
  | { readonly name: "store-recovered" }
  /** Another process has taken over while this one was minting: it was held up, or the store was away. */
  | { readonly name: "lease-lost" }
  /** A mint failed. `servedStale`: the old token is still valid and callers got it. */
  | (EndedMint & {
      readonly name: "mint-failed";
      readonly error: RemintError;
      readonly owner: FailureOwner;
      readonly servedStale: boolean;
    })
  /**
   * A mint that had started brought nothing, and nothing failed: nobody is signed in, the session is over, the cache was
   * closed, or the token at hand serves on. `code`: what the callers got, if it was no token.
   */
  | (EndedMint & { readonly name: "mint-abandoned"; readonly code?: RemintErrorCode | undefined })
  /** One attempt of a mint failed and is repeated. */
  | { readonly name: "mint-retried"; readonly id: number; readonly attempt: number; readonly error: RemintError }
  /** An API answered 401 to the current token. The token is being replaced. */
  | { readonly name: "rejected"; readonly origin: string; readonly path: string }
  /** An API answered 401, and too many tokens were rejected lately. The answer went to the caller. */
  | { readonly name: "renewal-refused"; readonly origin: string; readonly path: string }
  /** The cache forgot its token, because of {@link TokenCache.invalidate} or a rejection. */
  | { readonly name: "invalidated" }
  /** A request was sent without a token. The URL has no query. */
  | { readonly name: "skipped"; readonly reason: SkipReason; readonly url: string };

/** Receives every event of a cache, synchronously. Its own failure, or that of a promise it returns, is ignored. */
export type EventListener = (event: RemintEvent) => void;

/**
 * Receives every event of the caches of a pool, as an {@link EventListener} does, and the key of the cache. An
 * {@link EventListener} is one too.
 */
export type PoolEventListener = (event: RemintEvent, key: string) => void;

/** What a close found unfinished. */
export interface CloseReport {
  /** A mint was still in progress: what it uses up may be lost. */
  readonly inFlight: boolean;
  /** A new state, such as a refresh token, could not be saved. */
  readonly unsaved: boolean;
}

/** How long a close may take. */
export interface CloseOptions {
  /** Milliseconds to wait for a mint and for a save in progress. @defaultValue `mintTimeout` */
  readonly within?: number | undefined;
}

/** Which token a caller gets, and how long the caller waits. */
export interface GetOptions {
  /** Ends the wait of this caller. The mint goes on for the others. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Replaces the current token and gets the new one: after a change of what the user may do, for example. The others get the
   * current token until the new one is there, also when the mint fails; {@link TokenCache.invalidate} takes it from them.
   *
   * It is charged like a renewal after a 401: ten in a row, then one a second. Callers in between get the token of the last
   * one. While a failed mint is remembered, the caller gets its error.
   *
   * @defaultValue false
   */
  readonly forceRefresh?: boolean | undefined;
}

/** How a session is signed out. */
export interface SignOutOptions {
  /**
   * Revokes the refresh token and the access tokens at the authorization server too.
   *
   * @defaultValue true where the grant can revoke: it has a revocation endpoint or an issuer
   * @see [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009.html#section-2)
   */
  readonly revoke?: boolean | undefined;
}

/** What is known of a key of a pool, for an operator. It holds no token and no secret. */
export interface KeyDescription {
  /** The key of the record in the store. Absent without a store. */
  readonly record?: string | undefined;
  /**
   * What the record says: a token or a session is there, a process is minting, the server has refused the session, it was
   * signed out, this process cannot read the record, or there is none.
   */
  readonly phase: "token" | "minting" | "refused" | "signed-out" | "unreadable" | "absent";
  /** The version of the record, as the store gives it. It changes with every write. */
  readonly version?: string | undefined;
  /** Milliseconds since the record was written. */
  readonly age?: number | undefined;
  /** Milliseconds until the access token expires. */
  readonly expiresIn?: number | undefined;
  /** The process that is minting, by a random name. */
  readonly holder?: string | undefined;
  /** Milliseconds for which the store keeps the record. */
  readonly ttl?: number | undefined;
}

/** What {@link TokenCache.for} takes. */
export interface TargetOptions extends TargetParameters {
  /** Where the token may be sent. @defaultValue the origins of the cache */
  readonly origins?: Origins | undefined;
}

/** What an access token is for, beside what the grant itself says. */
export interface TargetParameters {
  /** The APIs the token is for, as absolute URIs (RFC 8707 section 2). */
  readonly resource?: string | readonly string[] | undefined;
  /** The scopes to request: a list, or one string with spaces between them. */
  readonly scope?: string | readonly string[] | undefined;
  /** The logical names of the APIs, for servers that expect them in place of `resource`. */
  readonly audience?: string | readonly string[] | undefined;
}

/** The current token of one grant, shared by every request of every client. `await using` closes the cache. */
export interface TokenCache extends AsyncDisposable {
  /**
   * Returns the current token, or `undefined` when a caller would have to wait for one. May start a refresh in the
   * background.
   */
  peek(): AccessToken | undefined;
  /**
   * Returns the current token, and mints one if there is none.
   *
   * @throws {TypeError} When an option is wrong.
   * @throws {RemintError} When no token could be minted. `ERR_SESSION` when another sign-in took the place of the session
   *   for which the caller was waiting, or when it was signed out; `ERR_NO_SESSION` when nobody is signed in. When `signal`
   *   aborts, the promise rejects with its reason.
   */
  get(options?: GetOptions): Promise<AccessToken>;
  /** Forgets the token if it is still `value`. A newer token stays. The token is forgotten when the call returns. */
  invalidate(value: string): Promise<void>;
  /**
   * Takes over a sign-in: its access token, and its refresh token as the state of the session.
   *
   * Whatever session the cache had is over in this process when the call returns its promise: a request that was sent or
   * began to wait under it is never sent with a token of the new one, but rejects with `ERR_SESSION`. With a store, other
   * processes learn of it when they next look. The promise resolves when the sign-in is stored and the grant's function has
   * saved the refresh token, or has failed to: the event `state-unsaved` says so, and the save is repeated.
   *
   * @param response The answer of the token endpoint, as openid-client and others return it.
   * @throws {TypeError} When it is no token response, or when the grant stands for no user.
   * @throws {RemintError} `ERR_STORE` when the sign-in could not be stored. Neither session is served then.
   */
  signIn(response: SignInResponse): Promise<void>;
  /**
   * Ends the session, in every process that shares it. Only {@link TokenCache.signIn} begins another.
   *
   * Callers that wait, and requests that are sent later, get `ERR_SESSION` with the status 401. A refresh in progress lands,
   * and what it brings is revoked. Nothing is saved any more. A revocation that failed is repeated by another call.
   *
   * @throws {TypeError} When an option is wrong, when it is to revoke and the grant cannot, or when the grant stands for no
   *   user. Nothing was done.
   * @throws {RemintError} When the revocation failed, or the store: the session is over in this process nevertheless.
   */
  signOut(options?: SignOutOptions): Promise<void>;
  /**
   * Returns the cache of another access token of the same session, or of another target of the same grant. The same targets
   * give the same cache. It shares `signIn`, `signOut` and `close` with this one.
   *
   * @throws {TypeError} When the target is wrong or empty.
   * @see [RFC 8707 section 2.2](https://www.rfc-editor.org/rfc/rfc8707.html#section-2.2)
   */
  for(target: TargetOptions): TokenCache;
  /**
   * Closes the cache, because the process leaves: the session goes on. `get` rejects with `ERR_CLOSED` from now on. A mint
   * that uses something up is waited for, a state that is not saved is saved.
   *
   * @returns What was unfinished when the time was up.
   * @throws {TypeError} When an option is wrong. Nothing is closed then.
   */
  close(options?: CloseOptions): Promise<CloseReport>;
}

/** Where a request was sent. The storm guard counts rejections by it (C8). */
export interface RequestTarget {
  readonly origin: string;
  readonly path: string;
}

/**
 * Headers that a grant adds to the requests with its token. An `authorization` among them takes the place of the token's
 * own; `null` there says that no `Authorization` is sent, because another header or a cookie carries the token.
 */
export type GrantHeaders = Readonly<Record<string, string | null | undefined>>;

/** What the request policy has to know about the tokens of a cache. */
export interface RequestRules {
  /** The origins depend on the token: ask {@link RequestRules.allows} again when there is one. */
  readonly originsFromToken: boolean;
  /**
   * Whether a token may be sent to this URL (Q2). Without `token`, a list that depends on the token allows every URL.
   */
  allows(url: string, token?: AccessToken): boolean;
  /**
   * Whether a URL is one of the grant's own endpoints. Its token is never sent there, also where {@link RequestRules.allows}
   * says that it may (Q2). Absent while the allowed origins have none of them. Read it anew for each use: endpoints may be
   * found later.
   */
  readonly isOwn?: ((url: string) => boolean) | undefined;
  /**
   * Whether a URL that is not allowed looks as if it was meant to be: by another port, scheme or name of the same server, by
   * a subdomain, or by being relative where there is no page.
   */
  resembles(url: string): boolean;
  /** Headers of the grant. Absent when it has none, so that warm requests do not pay for it. */
  readonly headers?: ((token: AccessToken) => GrantHeaders) | undefined;
  /** Makes the proof for one send. Absent when the tokens need none, so that warm requests do not pay for it. */
  readonly prove?: Prove | undefined;
  readonly isRejected?: RejectionRule | undefined;
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** The token with which a rejected request is sent again. */
export interface RenewedToken {
  readonly token: AccessToken;
  /** The token was minted after the rejection, so its own 401 goes to the caller (Q5). */
  readonly final: boolean;
}

/** How one request gets another token after its own was rejected. It may be abandoned at any time. */
export interface Renewal {
  /** @throws {RemintError} When no token could be minted. */
  next(options?: {
    readonly signal?: AbortSignal | undefined;
    /** The API's answer, to be named in the error. */
    readonly rejected?: Rejection | undefined;
  }): Promise<RenewedToken>;
  /** Reports that a token which was not final was rejected too. `false`: the storm guard refuses another mint (C8). */
  again(token: AccessToken): boolean;
}

/** The half of a token cache that only the request policy uses. */
export interface PolicyHalf {
  readonly rules: RequestRules;
  /** The session that a token would belong to now; `undefined` when none is known (C15). */
  readonly session?: Session | undefined;
  /** The storm guard holds a charge that no accepted token has cleared (C8). */
  readonly onTrial: boolean;
  /** A mint is in progress, which the next caller without a token joins. */
  readonly isMinting: boolean;
  /** Reports an answer that was not a rejection. Called only while {@link PolicyHalf.onTrial}. */
  accepted(token: AccessToken, target: RequestTarget): void;
  /**
   * Reports a 401 for `token`. Synchronous. Called once per rejection, before the answer's body is discarded.
   *
   * @returns `undefined` when the storm guard refuses: nothing has changed, and the answer goes to the caller.
   */
  rejected(token: AccessToken, target: RequestTarget): Renewal | undefined;
  /** Reports a 401 for a token that was minted after the request's first rejection. The answer goes to the caller. */
  rejectedAgain(token: AccessToken, target: RequestTarget): void;
  /** Reports that a request was sent without a token. */
  skipped(reason: SkipReason, url: string): void;
  /** Reports that such a request was answered 401: its sender may have expected that it carries the token. */
  rejectedBare(reason: SkipReason, url: string): void;
}

/**
 * The key under which a cache has its {@link PolicyHalf}. Registered, so that two copies of this package understand
 * each other; the number is the version of what stands behind it. Not declared in {@link TokenCache}: users have no use
 * for it.
 */
export const policyKey: unique symbol = Symbol.for("remint.policy/1") as typeof policyKey;

/** Returns the half of a cache that the request policy uses. */
export function policyHalf(cache: TokenCache): PolicyHalf {
  return (cache as unknown as { readonly [policyKey]: PolicyHalf })[policyKey];
}
