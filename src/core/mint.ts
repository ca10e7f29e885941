/**
 * One run of a grant: time limit, retries, and typed errors whatever the grant does.
 *
 * - C10 One time limit for the whole run; an attempt that may be followed by another gets at most half of it. A grant
 *   that ignores its signal is raced against it.
 * - C11 Retries are p-retry's, only for transient failures, never for a refusal, never for a grant with state: a
 *   refresh token whose answer was lost may be used up.
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

const FIRST_BACKOFF = 250;

/** How a mint is run. */
export interface MintSettings {
  readonly grant: GrantDefinition;
  readonly clock: Clock;
  /** Milliseconds for the whole run. */
  readonly mintTimeout: number;
  readonly defaultTtl: number;
  readonly retries: number;
  readonly onRetry: (attempt: number, error: RemintError) => void;
}

/** A mint's result: the response, with what the next mint needs, and how long its token is good. */
export interface Minted {
  readonly response: TokenResponse & { readonly state?: unknown };
  /** The whole of its life, also where some of it is over. */
  readonly lifetime: Lifetime;
  /** Epoch milliseconds on the local clock. */
  readonly expiresAt: number;
}

/** A token response with its lifetime, counted from the moment its request was sent (epoch milliseconds, local clock). */
export function minted(response: Minted["response"], context: LifetimeContext): Minted {
  const lifetime = lifetimeOf(response, context);
  return { response, lifetime, expiresAt: context.sentAt + lifetime.ms };
}

/** What one run of a mint starts from. */
export interface MintInput {
  readonly previous: AccessToken | undefined;
  readonly state: unknown;
  /** A token the user may have already; asked first, and only once. */
  readonly seed?: (() => Promise<InitialToken | undefined>) | undefined;
}

/** A mint in progress. */
export interface RunningMint {
  readonly promise: Promise<Minted>;
  /** Somebody waits: keep the process alive until it is over. */
  readonly hold: (awaited: boolean) => void;
  readonly abandon: (reason: RemintError) => void;
}

/** Begins a mint. Never throws; its promise rejects with a {@link RemintError} only. */
export function startMint(settings: MintSettings, input: MintInput): RunningMint {
  const { clock, mintTimeout } = settings;
  const controller = new AbortController();
  const timer = clock.setTimeout(() => controller.abort(timeoutError(mintTimeout)), mintTimeout);
  const promise = run(settings, input, controller.signal).finally(() => timer.cancel());
  return {
    promise,
    hold: (awaited) => timer.hold(awaited),
    abandon: (reason) => controller.abort(reason),
  };
}

/** Runs a grant's revocation within the time of a mint. @throws {RemintError} When the server could not be told. */
export async function runRevocation(
  { grant, clock, mintTimeout }: Pick<MintSettings, "grant" | "clock" | "mintTimeout">,
  token: AccessToken | undefined,
  state: unknown,
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const timer = clock.setTimeout(() => controller.abort(timeoutError(mintTimeout)), mintTimeout);
  timer.hold(true);
  try {
    await leaveOnAbort((async () => grant.revoke?.(token, { signal, state }))(), signal);
  } catch (error) {
    throw typedError(error);
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
      // The timer of the whole run keeps the process alive when somebody waits; the pauses need not.
      unref: true,
      shouldRetry: ({ error }) => mayRetry(error),
      onFailedAttempt: ({ error, attemptNumber, retriesLeft }) => {
        if (retriesLeft > 0 && isRemintError(error) && mayRetry(error)) settings.onRetry(attemptNumber, error);
      },
    });
  } catch (error) {
    throw typedError(error);
  }
}

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
    // A session outlives its token: one that is past is no token to start with.
    return token.expiresAt <= clock.now() ? undefined : token;
  } catch (error) {
    if (signal.aborted) throw typedError(error);
    // No token to start with is what a mint is for.
    return undefined;
  }
}

async function attempt(
  { grant, clock, mintTimeout, defaultTtl }: MintSettings,
  { previous, state }: MintInput,
  whole: AbortSignal,
  repeatable: boolean,
): Promise<Minted> {
  // Without a second attempt to keep time for, half of the limit would only turn slow servers into failures.
  const limit = repeatable ? mintTimeout / 2 : mintTimeout;
  const own = new AbortController();
  const timer = clock.setTimeout(() => own.abort(timeoutError(limit)), limit);
  const forward = (): void => own.abort(whole.reason);
  if (whole.aborted) forward();
  whole.addEventListener("abort", forward);
  const sentAt = clock.now();
  const sentAtMonotonic = clock.monotonic();
  try {
    const response = await leaveOnAbort(
      (async () => grant.mint({ signal: own.signal, previous, state }))(),
      own.signal,
    );
    keepState(response, () => checkResponse(response));
    // Whichever clock was stepped meanwhile, the earlier reading is the safe one.
    const earlier = Math.min(sentAt, Math.floor(clock.now() - (clock.monotonic() - sentAtMonotonic)));
    return minted(response, { sentAt: earlier, defaultTtl });
  } catch (error) {
    throw typedError(error);
  } finally {
    timer.cancel();
    whole.removeEventListener("abort", forward);
  }
}

function keepState(response: unknown, check: () => void): void {
  try {
    check();
  } catch (error) {
    // An access token that cannot be used is no reason to lose the refresh token that came with it.
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

function timeoutError(limit: number): RemintError {
  return new RemintError(
    "ERR_TOKEN_TIMEOUT",
    `no token within ${limit} ms: the token endpoint did not answer (mintTimeout covers all attempts)`,
    { retryable: true },
  );
}

/** C11: a transient failure, unless the server itself named the time to come back. */
function mayRetry(error: Error): boolean {
  if (!isRemintError(error) || !error.retryable) return false;
  const { status, retryAfter } = error as Partial<TokenEndpointError>;
  return !((status === 429 || status === 503) && retryAfter !== undefined);
}

/** Whatever a grant threw, as one of our errors, without the configs and bodies HTTP clients keep in theirs. */
function typedError(error: unknown): RemintError {
  if (isRemintError(error)) return error;
  const cause = safeCause(error);
  if (isNetworkFailure(error)) {
    return new RemintError("ERR_TOKEN_NETWORK", "the grant could not reach its server", { cause, retryable: true });
  }
  const status = statusOf(error);
  const said = status === undefined ? "" : ` (status ${status})`;
  return new RemintError("ERR_GRANT", `the grant failed${said}; see the cause`, {
    cause,
    retryable: status !== undefined && isTransientStatus(status),
  });
}

/** Socket and DNS errors of Node and undici, and fetch's one message per browser for all of them. */
function isNetworkFailure(error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth > 3) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && /^(E[A-Z]{4,}|UND_ERR_[A-Z_]+)$/.test(code)) return true;
  if (error instanceof TypeError && /fetch failed|failed to fetch|load failed|networkerror/i.test(error.message))
    return true;
  return isNetworkFailure(error.cause, depth + 1);
}

function statusOf(error: unknown): number | undefined {
  const { status, response } = Object(error) as { status?: unknown; response?: { status?: unknown } };
  const found = status ?? response?.status;
  return typeof found === "number" ? found : undefined;
}
