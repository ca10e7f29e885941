/**
 * The rotating refresh token of one process. Each refresh token is sent once, and each new one reaches `onRotate`.
 *
 * - One request at a time sends the refresh token. A mint that starts meanwhile shares that request. The request goes
 *   on for a while after its mint gave up, because only its answer holds the next refresh token.
 * - `onRotate` gets a new refresh token before the access token is used. If `onRotate` fails, the refresh token is kept
 *   in memory, and the next mint calls `onRotate` again first. It then uses the access token of that answer if it is
 *   still valid.
 * - A refused refresh token is not sent again. `current` is called for another one, once for each refusal. If there is
 *   none, the user has to sign in again.
 *
 * Not here: the options and the requests of the grant (`refresh-token.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { systemClock } from "../base/clock.ts";
import { isRemintError, TokenEndpointError } from "../base/errors.ts";
import { leaveState } from "../base/left-state.ts";
import { optionError } from "../base/options.ts";
import { awaitUnder } from "../base/pending.ts";
import { withoutCredentials } from "../base/redacted.ts";
import { callUserFunction, userFunctionError } from "../base/user-function.ts";
import { redactedCause, redactor } from "../oauth/redaction.ts";
import { aged, isWorthUsing, patient } from "./late-answer.ts";
import { UsedTokens } from "./used-tokens.ts";
import type { RemintError } from "../base/errors.ts";
import type { MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";

/** Describes one rotation of a refresh token. */
export interface RotatedToken {
  /** The refresh token that was used up. Replace this one only, and not one that was saved later. */
  readonly replaced: string;
  /** The token response, without tokens and secrets. */
  readonly response: Readonly<Record<string, unknown>>;
  /** Aborts when the mint that waits has used up its time. */
  readonly signal: AbortSignal;
}

/** What a {@link Rotation} needs of its grant. */
interface RotationHost {
  request(refreshToken: string, signal: AbortSignal): Promise<TokenResponse>;
  readonly onRotate?: ((refreshToken: string, rotated: RotatedToken) => void | Promise<void>) | undefined;
  readonly current?: ((context: { readonly signal: AbortSignal }) => CurrentToken | Promise<CurrentToken>) | undefined;
}

type CurrentToken = string | undefined;
type RefreshedToken = TokenResponse & { readonly state: string };

/** An answer of the token endpoint that no mint has returned yet. */
interface Landed {
  readonly response: TokenResponse;
  /** Epoch milliseconds at which its request was sent. */
  readonly sentAt: number;
  readonly replaced: string;
  readonly refreshToken: string;
  isSaved: boolean;
}

/** A request with a refresh token. Mints share it, and it goes on for a while after they gave up. */
interface Exchange {
  readonly token: string;
  readonly promise: Promise<Landed>;
  /** The request's own signal. */
  readonly signal: AbortSignal;
}

/** The refresh token in use, and what has become of those before it. */
export class Rotation {
  readonly #host: RotationHost;
  readonly #used = new UsedTokens();
  #current: string;
  #refused: { readonly token: string; readonly error: TokenEndpointError } | undefined;
  #running: Exchange | undefined;
  #landed: Landed | undefined;

  constructor(host: RotationHost, first: string) {
    this.#host = host;
    this.#current = first;
  }

  /** The refresh token that would be presented next. */
  get token(): string {
    return this.#current;
  }

  /**
   * Resolves when no request with a refresh token is in progress any more. When `signal` aborts: rejects with its
   * reason.
   */
  async settled(signal: AbortSignal): Promise<void> {
    const ended = this.#running?.promise.then(
      () => undefined,
      () => undefined,
    );
    await leaveOnAbort(ended ?? Promise.resolve(), signal);
  }

  /** One mint. `state` is what the cache, or another process through a store, holds as the refresh token. */
  async mint({ signal, state }: MintContext<string>): Promise<RefreshedToken> {
    const startedAt = systemClock.now();
    if (state !== undefined && state !== this.#current && !this.#used.has(state)) this.#moveTo(state);
    if (this.#landed !== undefined) {
      const token = await this.#take(this.#landed, signal, startedAt);
      if (isWorthUsing(token, startedAt)) return token;
    }
    const exchange = this.#exchange(signal);
    const landed = await awaitUnder(signal, exchange.signal, () => leaveOnAbort(exchange.promise, signal));
    return this.#take(landed, signal, startedAt);
  }

  /** Saves the refresh token of an answer, then returns the answer as a token response. */
  async #take(landed: Landed, signal: AbortSignal, startedAt: number): Promise<RefreshedToken> {
    await this.#save(landed, signal);
    if (this.#landed === landed) this.#landed = undefined;
    const token = aged(landed.response, startedAt - landed.sentAt);
    return { ...token, refresh_token: undefined, state: landed.refreshToken };
  }

  async #save(landed: Landed, signal: AbortSignal): Promise<void> {
    const { onRotate } = this.#host;
    if (landed.isSaved || onRotate === undefined) return;
    const { replaced, refreshToken } = landed;
    const response = withoutCredentials(landed.response);
    // A caller may leave before the save has ended. A save that ends later still counts.
    const save = async (): Promise<void> => {
      await onRotate(refreshToken, { replaced, response, signal });
      landed.isSaved = true;
    };
    try {
      await callUserFunction("onRotate", signal, () => leaveOnAbort(save(), signal), {
        consequence: "The new refresh token is kept in memory only; the next mint calls onRotate again",
        retryable: true,
        causeOf: (error) => redactedCause(error, redactor([refreshToken, replaced])),
      });
    } catch (error) {
      if (signal.aborted) throw error;
      // This process knows the refresh token already. Other processes get it through the store, from this error's
      // state.
      throw leaveState(error as RemintError, refreshToken);
    }
  }

  #exchange(signal: AbortSignal): Exchange {
    const token = this.#current;
    if (this.#running?.token === token) return this.#running;
    const patience = patient(signal);
    const promise = this.#present(token, patience.signal).then((landed) => {
      // No mint waits any more. The refresh token is saved now, because there may be no next mint.
      if (signal.aborted) this.#save(landed, new AbortController().signal).catch(() => {});
      return landed;
    });
    const running = { token, promise, signal: patience.signal };
    this.#running = running;
    const end = (): void => {
      patience.end();
      if (this.#running === running) this.#running = undefined;
    };
    promise.then(end, end);
    return running;
  }

  async #present(token: string, signal: AbortSignal): Promise<Landed> {
    const refused = this.#refused;
    if (refused?.token === token) return this.#presentOther(refused.error, signal);
    try {
      return await this.#send(token, signal);
    } catch (error) {
      if (!isInvalidGrant(error)) throw error;
      return await this.#presentOther(error, signal);
    }
  }

  /**
   * Another process may have rotated the refused token (C9). Its successor is sent once. If that is refused too, the
   * user has to sign in again.
   */
  async #presentOther(refusal: TokenEndpointError, signal: AbortSignal): Promise<Landed> {
    const other = await this.#askForCurrent(signal);
    if (other === undefined || other === this.#current || this.#used.has(other)) throw terminal(refusal);
    this.#moveTo(other);
    try {
      return await this.#send(other, signal);
    } catch (error) {
      throw isInvalidGrant(error) ? terminal(error) : error;
    }
  }

  async #askForCurrent(signal: AbortSignal): Promise<CurrentToken> {
    const { current } = this.#host;
    if (current === undefined) return undefined;
    const call = async (): Promise<unknown> => current({ signal });
    const known = await callUserFunction("current", signal, () => leaveOnAbort(call(), signal), {
      consequence: "The refresh token was refused, and current() failed to tell whether there is another one",
      retryable: true,
      causeOf: (error) => redactedCause(error, redactor([this.#current])),
    });
    if (known === undefined || known === null || known === "") return undefined;
    if (typeof known === "string") return known;
    // For example a session object instead of its refresh token. The server could end the session if it were sent.
    throw userFunctionError("current", optionError("current", known, "a function that returns a refresh token"));
  }

  async #send(token: string, signal: AbortSignal): Promise<Landed> {
    const sentAt = systemClock.now();
    let response: TokenResponse;
    try {
      response = await this.#host.request(token, signal);
    } catch (error) {
      if (isInvalidGrant(error)) this.#refused = { token, error };
      throw error;
    }
    const given = response["refresh_token"];
    const isNew = typeof given === "string" && given !== "" && given !== token;
    const refreshToken = isNew ? given : token;
    // RFC 6749 section 6: a new refresh token replaces the old one. Without a new one, the old one stays valid.
    if (isNew && this.#current === token) this.#moveTo(given);
    this.#landed = { response, sentAt, replaced: token, refreshToken, isSaved: !isNew };
    return this.#landed;
  }

  #moveTo(token: string): void {
    this.#used.add(this.#current);
    this.#current = token;
    this.#landed = undefined;
  }
}

function isInvalidGrant(error: unknown): error is TokenEndpointError {
  return isRemintError(error) && (error as Partial<TokenEndpointError>).error === "invalid_grant";
}

function terminal({ endpointStatus, message, hint, error, errorDescription }: TokenEndpointError): TokenEndpointError {
  const meaning = "the refresh token is expired, revoked or used up, and there is no other: sign in again";
  const more = { hint: hint === undefined ? meaning : `${hint}: ${meaning}`, retryable: false, terminal: true };
  return new TokenEndpointError(endpointStatus, message, { error, errorDescription, ...more });
}
