/**
 * One run of a grant: the time limit, the retries, and one kind of error whatever the grant throws. Also the one run of
 * a grant's revocation.
 *
 * Not here: who shares the result (`single-flight.ts`), and for how long a failure is remembered (`failures.ts`).
 *
 * @module
 */
import pRetry from "p-retry";
import {
  isRemintError,
  isTransientStatus,
  RemintError,
  safeCause,
  TokenEndpointError,
  tokenResponseError,
} from "../base/errors.ts";
import { leaveOnAbort } from "../base/abort.ts";
import { leaveState } from "../base/left-state.ts";
import { kindOf } from "../base/options.ts";
import { schemeOf, usableValue } from "./access-token.ts";
import { lifetimeOf } from "./expiry.ts";
import type { Clock } from "../base/clock.ts";
import type { Lifetime, LifetimeContext } from "./expiry.ts";
import type { GrantDefinition } from "./grant.ts";
import type { AccessToken, InitialToken, TokenResponse } from "./types.ts";

/** Milliseconds before the first retry; p-retry doubles them for each further one. */
const FIRST_BACKOFF = 250;

/** How a mint is run. */
export interface MintSettings {
  readonly grant: GrantDefinition;
  readonly clock: Clock;
  /** Milliseconds for the whole mint, retries included. */
  readonly mintTimeout: number;
  /** Milliseconds. */
  readonly defaultTtl: number;
  /** How often a failed attempt is repeated. */
  readonly retries: number;
  /** Called when an attempt failed and another one follows. */
  readonly onRetry: (attempt: number, error: RemintError) => void;
}

/** What one mint starts from. */
export interface MintInput {
  /** The token that is replaced. */
  readonly previous: AccessToken | undefined;
  /** What the last mint left, for example a refresh token. */
  readonly state: unknown;
  /**
   * The user's `initial` function, which may have a token. It is called before the grant, and only by the first mint.
   */
  readonly seed?: (() => Promise<InitialToken | undefined>) | undefined;
}

/** A mint in progress. */
export interface RunningMint {
  readonly promise: Promise<Minted>;
  /** Keeps the process alive until the mint is over (`true`: a caller waits for it), or no longer. */
  readonly hold: (awaited: boolean) => void;
  /** Ends the mint: its promise rejects with `reason`. */
  readonly abandon: (reason: RemintError) => void;
}

/** The result of a mint. */
export interface Minted {
  /** The token response, with the state for the next mint. */
  readonly response: TokenResponse & { readonly state?: unknown };
  /** The lifetime as a whole, also when part of it has passed. */
  readonly lifetime: Lifetime;
  /** Epoch milliseconds, on the local clock. */
  readonly expiresAt: number;
}

/**
 * Starts a mint. Never throws; its promise rejects with a {@link RemintError} only.
 *
 * All attempts together have one time limit. An attempt that may be repeated gets at most half of it (C10). Only
 * transient failures are repeated, and a grant with state is never repeated: if its answer was lost, the refresh token
 * may be used up (C11).
 */
export function startMint(settings: MintSettings, input: MintInput): RunningMint {
  const { clock, mintTimeout } = settings;
  const controller = new AbortController();
  const timer = clock.setTimeout(() => controller.abort(mintTimeoutError(mintTimeout)), mintTimeout);
  const promise = run(settings, input, controller.signal).finally(() => timer.cancel());
  return {
    promise,
    hold: (awaited) => timer.hold(awaited),
    abandon: (reason) => controller.abort(reason),
  };
}

/**
 * Returns a token response with the lifetime of its token.
 *
 * @param context `sentAt` is when the request was sent: the lifetime counts from then.
 */
export function minted(response: Minted["response"], context: LifetimeContext): Minted {
  const lifetime = lifetimeOf(response, context);
  return { response, lifetime, expiresAt: context.sentAt + lifetime.ms };
}

/**
 * Runs a grant's revocation, within the time limit of a mint.
 *
 * @throws {RemintError} When the revocation failed.
 */
export async function runRevocation(
  { grant, clock, mintTimeout }: Pick<MintSettings, "grant" | "clock" | "mintTimeout">,
  token: AccessToken | undefined,
  state: unknown,
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const timer = clock.setTimeout(() => controller.abort(revocationTimeoutError(mintTimeout)), mintTimeout);
  timer.hold(true);
  try {
    await leaveOnAbort((async () => grant.revoke?.(token, { signal, state }))(), signal);
  } catch (error) {
    throw asRemintError(error);
  } finally {
    timer.cancel();
  }
}

async function run(settings: MintSettings, input: MintInput, signal: AbortSignal): Promise<Minted> {
  const seeded = await fromSeed(settings, input, signal);
  if (seeded !== undefined) return seeded;
  const hasState = settings.grant.state !== undefined || input.state !== undefined;
  const retries = hasState ? 0 : settings.retries;
  try {
    return await pRetry(() => attempt(settings, input, signal, retries > 0), {
      retries,
      minTimeout: FIRST_BACKOFF,
      randomize: true,
      signal,
      // The timer of the whole mint keeps the process alive while callers wait, so the pauses do not have to.
      unref: true,
      shouldRetry: ({ error }) => mayRetry(error),
      onFailedAttempt: ({ error, attemptNumber, retriesLeft }) => {
        if (retriesLeft > 0 && isRemintError(error) && mayRetry(error)) settings.onRetry(attemptNumber, error);
      },
    });
  } catch (error) {
    throw asRemintError(error);
  }
}

/** Returns the token of the user's `initial` function; `undefined` when there is none that is still valid. */
async function fromSeed(
  { clock, defaultTtl }: MintSettings,
  { seed }: MintInput,
  signal: AbortSignal,
): Promise<Minted | undefined> {
  if (seed === undefined) return undefined;
  const now = clock.now();
  try {
    const response = await leaveOnAbort((async () => seed())(), signal);
    if (response === undefined || response === null) return undefined;
    checkResponse(response);
    const { receivedAt } = response;
    const sentAt = typeof receivedAt === "number" && Number.isFinite(receivedAt) ? receivedAt : now;
    const token = minted(response, { sentAt, defaultTtl, seeded: true });
    return token.expiresAt <= clock.now() ? undefined : token;
  } catch (error) {
    if (signal.aborted) throw asRemintError(error);
    // The function is only a shortcut: when it fails, the grant is asked.
    return undefined;
  }
}

async function attempt(
  { grant, clock, mintTimeout, defaultTtl }: MintSettings,
  { previous, state }: MintInput,
  mintSignal: AbortSignal,
  mayBeRepeated: boolean,
): Promise<Minted> {
  // Half of the time is kept for a second attempt only if there can be one. A slow server would fail for nothing
  // otherwise.
  const limit = mayBeRepeated ? mintTimeout / 2 : mintTimeout;
  const controller = new AbortController();
  const timer = clock.setTimeout(() => controller.abort(mintTimeoutError(limit)), limit);
  const forwardAbort = (): void => controller.abort(mintSignal.reason);
  if (mintSignal.aborted) forwardAbort();
  mintSignal.addEventListener("abort", forwardAbort);
  const sentAt = clock.now();
  const sentAtMonotonic = clock.monotonic();
  try {
    // The grant may ignore its signal, so the attempt does not wait for the grant once the signal has aborted.
    const response = await leaveOnAbort(
      (async () => grant.mint({ signal: controller.signal, previous, state }))(),
      controller.signal,
    );
    keepStateOnFailure(response, () => checkResponse(response));
    // If one of the clocks jumped during the attempt, the earlier time is safe: the token seems to expire earlier.
    const earlier = Math.min(sentAt, Math.floor(clock.now() - (clock.monotonic() - sentAtMonotonic)));
    return minted(response, { sentAt: earlier, defaultTtl });
  } catch (error) {
    throw asRemintError(error);
  } finally {
    timer.cancel();
    mintSignal.removeEventListener("abort", forwardAbort);
  }
}

/**
 * Runs a check. If it fails, records the state in the response: a new refresh token counts even without a usable token.
 */
function keepStateOnFailure(response: unknown, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw leaveState(error as Error, (Object(response) as { state?: unknown }).state);
  }
}

function checkResponse(response: unknown): asserts response is TokenResponse {
  if (typeof response !== "object" || response === null) {
    throw tokenResponseError(`the grant did not return a token response { access_token, ... } but ${kindOf(response)}`);
  }
  const { access_token, token_type } = response as TokenResponse;
  usableValue(access_token);
  schemeOf(token_type);
}

function mintTimeoutError(limit: number): RemintError {
  return timeoutError(
    `no token within ${limit} ms: the server of the grant did not answer. If it needs longer, raise mintTimeout, which ` +
      `covers all attempts`,
  );
}

function revocationTimeoutError(limit: number): RemintError {
  return timeoutError(
    `the revocation was not answered within ${limit} ms. If the server needs longer, raise mintTimeout`,
  );
}

function timeoutError(message: string): RemintError {
  return new RemintError("ERR_TOKEN_TIMEOUT", message, { retryable: true });
}

/**
 * Whether an attempt may be repeated: after a transient failure, unless the server named the time to come back (C11).
 */
function mayRetry(error: Error): boolean {
  if (!isRemintError(error) || !error.retryable) return false;
  const { status, retryAfter } = error as Partial<TokenEndpointError>;
  return !((status === 429 || status === 503) && retryAfter !== undefined);
}

/** Turns what a grant threw into an error of this package, without what HTTP clients attach to their errors. */
function asRemintError(error: unknown): RemintError {
  if (isRemintError(error)) return error;
  const cause = safeCause(error);
  if (isNetworkFailure(error)) {
    const message = "the grant could not reach its server; see the cause";
    return new RemintError("ERR_TOKEN_NETWORK", message, { cause, retryable: true });
  }
  const status = statusOf(error);
  const withStatus = status === undefined ? "" : ` (status ${status})`;
  return new RemintError("ERR_GRANT", `the grant failed${withStatus}; see the cause`, {
    cause,
    retryable: status !== undefined && isTransientStatus(status),
  });
}

/** Recognizes the socket and DNS errors of Node and undici, and the one message each browser has for all of them. */
function isNetworkFailure(error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth > 3) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && /^(E[A-Z]{4,}|UND_ERR_[A-Z_]+)$/.test(code)) return true;
  if (error instanceof TypeError && /fetch failed|failed to fetch|load failed|networkerror/i.test(error.message))
    return true;
  return isNetworkFailure(error.cause, depth + 1);
}

/** Returns the HTTP status in the error of an HTTP client, if there is one. */
function statusOf(error: unknown): number | undefined {
  const { status, response } = Object(error) as { status?: unknown; response?: { status?: unknown } };
  const found = status ?? response?.status;
  return typeof found === "number" ? found : undefined;
}
