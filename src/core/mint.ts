/**
 * One run of a grant: the time limit, the retries, and one kind of failure whatever the grant throws. Also the one run of
 * a grant's revocation.
 *
 * A failure is described here, where it happened: whether a server had been asked, or a function of the user's (C9). Not
 * here: who shares the result (`single-flight.ts`), and for how long a failure is remembered (`failures.ts`).
 *
 * @module
 */
import pRetry from "p-retry";
import { leaveOnAbort } from "../base/abort.ts";
import { isRemintError, isTransientStatus, RemintError, safeCause, tokenResponseError } from "../base/errors.ts";
import { leaveState, stateLeftBy } from "../base/left-state.ts";
import { networkFailureOf, statusOf } from "../base/network.ts";
import { kindOf } from "../base/options.ts";
import { awaitUnder, pendingUnder, runsUnder } from "../base/pending.ts";
import { schemeOf, usableValue } from "./access-token.ts";
import { lifetimeOf, receivedAtOf } from "./expiry.ts";
import { Failure } from "./failures.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { Lifetime, LifetimeContext } from "./expiry.ts";
import type { FailureOwner } from "./failures.ts";
import type { GrantDefinition } from "./grant.ts";
import type { AccessToken, InitialToken, TokenResponse } from "./types.ts";

/** Milliseconds before the first retry; twice as many before each further one. */
const FIRST_BACKOFF = 250;
/** A timer that fires later than this was not due to the server: the process was frozen, or a clock was set. */
const LATE = 2000;
/** Milliseconds that a mint has left after a thaw: an answer that is there already is read in less. */
const AFTER_THAW = 1000;

/** How a mint is run. */
export interface MintSettings {
  readonly grant: GrantDefinition;
  readonly clock: Clock;
  /** Milliseconds for the whole mint, retries included. */
  readonly mintTimeout: number;
  /** Milliseconds. */
  readonly defaultTtl: number;
  /** Milliseconds that no token is kept longer than. */
  readonly maxTtl: number;
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
  /** Asked when {@link MintInput.seed} had no token: a failure of others that the grant would only repeat (C9). */
  readonly failureOfOthers?: (() => Failure | undefined) | undefined;
}

/** A mint in progress. */
export interface RunningMint {
  /** Rejects with a {@link Failure} only. */
  readonly promise: Promise<Minted>;
  /** Keeps the process alive until the mint is over (`true`: a caller waits for it), or no longer. */
  readonly hold: (awaited: boolean) => void;
  /** Ends the mint: its promise rejects with `reason`. */
  readonly abandon: (reason: Failure) => void;
}

/** The result of a mint. */
export interface Minted {
  /** The token response, with the state for the next mint. */
  readonly response: TokenResponse & { readonly state?: unknown };
  /** The whole lifetime, even if a part of it has passed. */
  readonly lifetime: Lifetime;
  /** Epoch milliseconds, on the local clock. */
  readonly expiresAt: number;
  /** The token came from the user's `initial` function: no server has been asked. */
  readonly seeded?: boolean | undefined;
}

/** Starts a mint. Never throws: its promise rejects with a {@link Failure}. */
export function startMint(settings: MintSettings, input: MintInput): RunningMint {
  const deadline = new Deadline(settings.clock, settings.mintTimeout);
  const promise = run(settings, input, deadline).finally(() => deadline.end());
  return {
    promise,
    hold: (awaited) => deadline.hold(awaited),
    abandon: (reason) => deadline.abandon(reason),
  };
}

/** The time limit of a mint. */
class Deadline {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #limit: number;
  #timer: Timer;
  #isHeld = false;
  #reason: Failure | undefined;
  /** When the timer is due, by both clocks. */
  #dueWall = 0;
  #dueMonotonic = 0;
  #wasFrozen = false;

  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
    this.signal = this.#controller.signal;
    this.#timer = this.#start(limit);
  }

  /** Milliseconds that are left. After a thaw that the timer has not noticed yet: what it will grant. */
  get left(): number {
    return this.#isLate() && !this.#wasFrozen ? this.#timeAfterThaw : this.#dueMonotonic - this.#clock.monotonic();
  }

  /**
   * Whether a clock has run past the time limit without the timer having fired: the process was frozen (a container, a
   * laptop), or the wall clock was set. What failed meanwhile says nothing about the server.
   */
  get wasFrozen(): boolean {
    return this.#wasFrozen || this.#isLate();
  }

  hold(awaited: boolean): void {
    this.#isHeld = awaited;
    this.#timer.hold(awaited);
    // A timer may be lost, for example with the fake timers of a test that is over.
    if (awaited && this.#isLate()) this.#fire();
  }

  /** Why the mint was ended; `undefined` when it was not. */
  get reason(): Failure | undefined {
    return this.#reason;
  }

  /** The signal's reason is an error, because functions of the user's get the signal. */
  abandon(reason: Failure): void {
    if (this.signal.aborted) return;
    this.#reason = reason;
    this.#controller.abort(reason.toError());
  }

  end(): void {
    this.#timer.cancel();
  }

  get #timeAfterThaw(): number {
    return Math.min(this.#limit, AFTER_THAW);
  }

  #start(ms: number): Timer {
    this.#dueWall = this.#clock.now() + ms;
    this.#dueMonotonic = this.#clock.monotonic() + ms;
    const timer = this.#clock.setTimeout(() => this.#fire(), ms);
    timer.hold(this.#isHeld);
    return timer;
  }

  #fire(): void {
    if (this.#isLate() && !this.#wasFrozen) {
      // The answer may already be there, so it is waited for a moment longer. The connection may also have died.
      this.#wasFrozen = true;
      this.#timer.cancel();
      this.#timer = this.#start(this.#timeAfterThaw);
      return;
    }
    this.abandon(timeoutFailure(this.#limit, this.signal));
  }

  #isLate(): boolean {
    const late = Math.max(this.#clock.now() - this.#dueWall, this.#clock.monotonic() - this.#dueMonotonic);
    return late > LATE;
  }
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
    throw failureOf(error, grant, false).toError();
  } finally {
    timer.cancel();
  }
}

async function run(settings: MintSettings, input: MintInput, deadline: Deadline): Promise<Minted> {
  const { signal } = deadline;
  grants.set(signal, settings.grant);
  try {
    const seeded = await fromSeed(settings, input, signal);
    if (seeded !== undefined) return seeded;
    const known = input.failureOfOthers?.();
    if (known !== undefined) throw new FailedAttempt(known.ownedBy("nobody"));
    const hasState = settings.grant.state !== undefined || input.state !== undefined;
    const retries = hasState ? 0 : settings.retries;
    return await pRetry(() => attempt(settings, input, deadline), {
      retries,
      // The pauses are made below, on the cache's clock.
      minTimeout: 0,
      signal,
      // Asked after `onFailedAttempt`, which has decided it.
      shouldRetry: ({ error }) => error instanceof FailedAttempt && error.isRetried,
      async onFailedAttempt({ error, attemptNumber, retriesLeft }) {
        if (!(error instanceof FailedAttempt)) return;
        const pause = pauseBeforeRetry(error.failure, attemptNumber, deadline);
        if (retriesLeft === 0 || pause === undefined) return;
        error.isRetried = true;
        settings.onRetry(attemptNumber, error.failure.toEventError());
        await passed(settings.clock, pause, signal);
      },
    });
  } catch (error) {
    if (deadline.reason !== undefined) throw thawed(deadline.reason, deadline);
    const { failure } = error instanceof FailedAttempt ? error : { failure: failureOf(error, settings.grant, false) };
    throw thawed(failure, deadline);
  }
}

/** A failure is nobody's when the process was frozen while it happened. The state that it left is kept. */
function thawed(failure: Failure, deadline: Deadline): Failure {
  if (!deadline.wasFrozen || failure.owner === "nobody") return failure;
  return leaveState(failure.ownedBy("nobody"), stateLeftBy(failure));
}

/** Carries a failure through p-retry, which knows errors only. */
class FailedAttempt extends Error {
  readonly failure: Failure;
  /** Another attempt follows. */
  isRetried = false;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/**
 * Milliseconds before the attempt is repeated; `undefined` when it is not: the failure is not transient, or the mint would
 * be over before the pause is (C11).
 */
function pauseBeforeRetry(
  { retryable, retryAfter = 0 }: Failure,
  attemptNumber: number,
  deadline: Deadline,
): number | undefined {
  if (!retryable) return undefined;
  const backoff = FIRST_BACKOFF * 2 ** (attemptNumber - 1) * (1 + Math.random());
  const pause = Math.max(backoff, retryAfter);
  return pause < deadline.left ? pause : undefined;
}

/** Lets time pass on the cache's clock. Rejects when the mint is ended meanwhile. */
async function passed(clock: Clock, delay: number, signal: AbortSignal): Promise<void> {
  let timer: Timer | undefined;
  const pause = new Promise<void>((resolve) => (timer = clock.setTimeout(resolve, delay)));
  try {
    // The timer of the whole mint keeps the process alive while callers wait, so this one does not have to.
    await leaveOnAbort(pause, signal);
  } finally {
    timer?.cancel();
  }
}

/** Returns the token of the user's `initial` function; `undefined` when there is none that is still valid. */
async function fromSeed(
  { clock, defaultTtl, maxTtl }: MintSettings,
  { seed }: MintInput,
  signal: AbortSignal,
): Promise<Minted | undefined> {
  if (seed === undefined) return undefined;
  const now = clock.now();
  try {
    const pending = { what: `the function "initial"`, isServer: false };
    const response = await leaveOnAbort(awaitUnder(signal, pending, seed), signal);
    if (response === undefined || response === null) return undefined;
    checkResponse(response);
    const sentAt = Math.min(receivedAtOf(response) ?? Infinity, now);
    const token = minted(response, { sentAt, defaultTtl, maxTtl, seeded: true, isOwn: true });
    return token.expiresAt <= clock.now() ? undefined : { ...token, seeded: true };
  } catch (error) {
    if (signal.aborted) throw error;
    // The function is only a shortcut: when it fails, the grant is asked.
    return undefined;
  }
}

/** The grants of the mints in progress, by the signal of their mint. */
const grants = new WeakMap<AbortSignal, GrantDefinition>();

/**
 * Whether the caller is code of this grant: the grant itself, or a function of the user's that it calls. If such code asked
 * its own cache for a token, it would wait for itself.
 */
export function isRunning(grant: GrantDefinition): boolean {
  return runsUnder((signal) => grants.get(signal) === grant);
}

async function attempt(
  { grant, clock, defaultTtl, maxTtl }: MintSettings,
  { previous, state }: MintInput,
  { signal }: Deadline,
): Promise<Minted> {
  const sentAt = clock.now();
  const sentAtMonotonic = clock.monotonic();
  const pending = { what: `the grant's function "mint"`, isServer: false };
  try {
    // The grant may ignore its signal, so the attempt does not wait for the grant once the signal has aborted.
    const response = await leaveOnAbort(
      awaitUnder(signal, pending, () => grant.mint({ signal, previous, state })),
      signal,
    );
    keepStateOnFailure(response, () => checkResponse(response));
    // If one of the clocks jumped during the attempt, the earlier time is safe: the token seems to expire earlier.
    const earlier = Math.min(sentAt, Math.floor(clock.now() - (clock.monotonic() - sentAtMonotonic)));
    return minted(response, { sentAt: earlier, defaultTtl, maxTtl, isOwn: grant.server === undefined });
  } catch (error) {
    const failure = failureOf(error, grant, true);
    throw new FailedAttempt(leaveState(failure, stateLeftBy(Object(error) as object)));
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

/** Says what has not answered in time, as far as that is known. */
function timeoutFailure(limit: number, signal: AbortSignal): Failure {
  const pending = pendingUnder(signal);
  const isServer = pending?.isServer === true;
  const hint = isServer
    ? `${pending.what} did not answer. If it needs longer, raise mintTimeout, which covers all attempts`
    : `${pending?.what ?? "the grant"} did not settle. A function that sends a request through a client of this very ` +
      `token cache waits for itself: give it a client without tokens`;
  const message = `no token is available: the grant took longer than ${limit} ms`;
  return new Failure(isServer ? "server" : "key", { code: "ERR_TOKEN_TIMEOUT", message, hint, retryable: true });
}

function revocationTimeoutError(limit: number): RemintError {
  const hint = "if the server needs longer, raise mintTimeout";
  return new RemintError("ERR_TOKEN_TIMEOUT", `the revocation took longer than ${limit} ms`, { hint, retryable: true });
}

/** Describes what a grant threw: any value, also one whose members cannot be read. */
function failureOf(error: unknown, grant: GrantDefinition, isMint: boolean): Failure {
  try {
    return readableFailureOf(error, grant, isMint);
  } catch {
    const message = "no token is available: the grant failed";
    const hint = "what the grant threw cannot be read";
    return new Failure("key", { code: "ERR_GRANT", message, hint, retryable: false });
  }
}

/**
 * What HTTP clients attach to their errors is left out; what a function of the user's threw is the cause as it is, because
 * it is the user's own.
 */
function readableFailureOf(error: unknown, grant: GrantDefinition, isMint: boolean): Failure {
  const isOwn = grant.server === undefined;
  if (isRemintError(error)) {
    return isOwn ? new Failure("key", error, () => error.cause) : Failure.of(error, isMint ? ownerOf(error) : "key");
  }
  const safe = safeCause(error);
  const cause = (): unknown => (isOwn ? error : safe);
  if (networkFailureOf(error) !== undefined) {
    const message = "no token is available: the grant could not reach its server";
    const hint = "the grant could not reach its server; see the cause";
    return new Failure("key", { code: "ERR_TOKEN_NETWORK", message, hint, retryable: true }, cause);
  }
  const status = statusOf(error);
  const retryable = status !== undefined && isTransientStatus(status);
  const message = "no token is available: the grant failed";
  const hint = `the grant failed${status === undefined ? "" : ` (status ${status})`}; see the cause`;
  return new Failure("key", { code: "ERR_GRANT", message, hint, retryable }, cause);
}

/** Whose failure it is, of an error that one of our own grants threw while it talked to its server. */
function ownerOf({ code, error, endpointStatus = 0, retryable }: RemintError): FailureOwner {
  if (code === "ERR_TOKEN_NETWORK") return "server";
  // The metadata of an issuer could not be had.
  if (code === "ERR_TOKEN_RESPONSE") return retryable ? "server" : "key";
  if (code !== "ERR_TOKEN_ENDPOINT") return "key";
  // Not every 401: some servers answer 401 to one user's refresh token or assertion.
  if (error === "invalid_client" || endpointStatus === 429) return "client";
  if (error === "invalid_scope" || error === "invalid_target") return "target";
  if (error === "temporarily_unavailable" || error === "server_error") return "server";
  return endpointStatus === 408 || endpointStatus >= 500 ? "server" : "key";
}
