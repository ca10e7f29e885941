/**
 * One run of a grant: the state that it presents, the time limits, and one kind of failure whatever the grant throws. Also
 * the one run of a grant's revocation.
 *
 * A mint changes nothing: its result says which state the next mint has to present, and the supply keeps it (C14). A
 * failure is described here, where it happened: whether a server had been asked, or a function of the user's (C9). How
 * attempts are repeated is the grant's (`grants/retry.ts`). Who shares a result is in `single-flight.ts`, and for how long a
 * failure is remembered in `failures.ts`.
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { isRemintError, isTransientStatus, RemintError, safeCause, tokenResponseError } from "../base/errors.ts";
import { networkFailureOf, statusOf, wasNeverSent } from "../base/network.ts";
import { kindOf, optionMessageOf } from "../base/options.ts";
import { awaitUnder, noteSent, pendingUnder, runsUnder, wasSentUnder } from "../base/pending.ts";
import { reasonIn } from "../base/user-function.ts";
import { schemeOf, usableValue } from "./access-token.ts";
import { lifetimeOf, receivedAtOf } from "./expiry.ts";
import { Failure, isFailure } from "./failures.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { Lifetime, LifetimeContext } from "./expiry.ts";
import type { GrantDefinition, MintStep, RevokeContext, Target } from "./grant.ts";
import type { AccessToken, FailureOwner, InitialToken, TokenResponse } from "./types.ts";

/** A timer that fires later than this was not due to the server: the process was frozen, or a clock was set. */
const LATE = 2000;
/** Milliseconds that a mint has left after a thaw: an answer that is there already is read in less. */
const AFTER_THAW = 1000;

/** How a mint is run. */
export interface MintSettings {
  readonly grant: GrantDefinition;
  readonly clock: Clock;
  /** Milliseconds that callers wait for a mint, retries included. */
  readonly mintTimeout: number;
  /** Milliseconds after which a mint that must not be aborted is cut: longer than `mintTimeout`. */
  readonly landingTimeout: number;
  /** Milliseconds. */
  readonly defaultTtl: number;
  /** Milliseconds that no token is kept longer than. */
  readonly maxTtl: number;
  /** How often a failed attempt is repeated, where the grant allows it. */
  readonly retries: number;
}

/** What one mint starts from. */
export interface MintInput {
  /** The token that is replaced. */
  readonly previous: AccessToken | undefined;
  readonly target?: Target | undefined;
  /**
   * The user's `initial` function, which may have a token. It is called before the grant, and only by the first mint.
   */
  readonly seed?: (() => Promise<InitialToken | undefined>) | undefined;
  /** Asked when {@link MintInput.seed} had no token: a failure of others that the grant would only repeat (C9). */
  readonly failureOfOthers?: (() => Failure | undefined) | undefined;
  /** Returns the state to present. Absent for a grant without a state. */
  readonly load?: ((signal: AbortSignal) => Promise<LoadedState>) | undefined;
  /** Returns another state, after one was refused, if there is another. */
  readonly loadOther?: ((refused: unknown, signal: AbortSignal) => Promise<LoadedState | undefined>) | undefined;
  /** Asked directly before every attempt: whether this process may still send. */
  readonly mayStart?: (() => boolean) | undefined;
  /** A request that could not be sent ends the mint: another process may be able to send it. */
  readonly endsUnsent?: boolean | undefined;
  /** Milliseconds that its callers have waited already, for other mints of the session. They are a part of `mintTimeout`. */
  readonly waited?: number | undefined;
  /** Called when the mint starts, before anything is asked or sent. */
  readonly onStart: () => void;
  /** Called when an attempt failed and another one follows. */
  readonly onRetry: (attempt: number, error: RemintError) => void;
}

/** The state that a mint is to present. */
export type LoadedState = { readonly state: unknown } | { readonly isNobody: true };

/** What became of a mint, when nothing of it is in progress any more. */
export interface MintResult {
  /** Absent: the mint failed. */
  readonly minted?: Minted | undefined;
  readonly failure?: Failure | undefined;
  /** What was presented. */
  readonly presented?: { readonly state: unknown } | undefined;
  /** The state that the next mint has to present. Absent: the state is what it was. */
  readonly next?: { readonly state: unknown } | undefined;
  /** The server does not accept the presented state any more. */
  readonly isRefused?: boolean | undefined;
  /** How the server refused, where {@link MintResult.failure} is another. */
  readonly refusedWith?: Failure | undefined;
  /** A state was sent and no answer came: nobody knows whether it was used up. */
  readonly isInDoubt?: boolean | undefined;
  /** The last attempt failed before anything was sent, and may be repeated. */
  readonly isUnsent?: boolean | undefined;
}

/** A mint in progress. */
export interface RunningMint {
  /** Settles when nothing is in progress any more. Never rejects. */
  readonly result: Promise<MintResult>;
  /** Resolves when the mint has taken longer than callers wait, and goes on without them. */
  readonly left: Promise<Failure>;
  /** Milliseconds that callers may still wait. */
  timeLeft(): number;
  /** Keeps the process alive until the mint is over (`true`: a caller waits for it), or no longer. */
  hold(awaited: boolean): void;
  /** Aborts the mint: its result is the failure `reason`. */
  abort(reason: Failure): void;
}

/** A minted token. */
export interface Minted {
  readonly response: TokenResponse;
  /** The whole lifetime, even if a part of it has passed. */
  readonly lifetime: Lifetime;
  /** Epoch milliseconds, on the local clock. */
  readonly expiresAt: number;
  /** The token came from the user's `initial` function: no server has been asked. */
  readonly seeded?: boolean | undefined;
}

/** Starts a mint. Never throws. */
export function startMint(settings: MintSettings, input: MintInput): RunningMint {
  input.onStart();
  const deadline = new Deadline(settings, input.waited ?? 0);
  const result = run(settings, input, deadline).finally(() => deadline.end());
  return {
    result,
    left: deadline.left,
    timeLeft: () => deadline.timeLeft,
    hold: (awaited) => deadline.hold(awaited),
    abort: (reason) => deadline.abort(reason),
  };
}

/**
 * The time limits of a mint. A mint that may be aborted is, after `mintTimeout`. Any other mint goes on without its callers,
 * because its answer may hold the next state, and is cut after `landingTimeout`.
 */
class Deadline {
  readonly signal: AbortSignal;
  /** Resolves when callers have waited for long enough and the mint goes on. */
  readonly left: Promise<Failure>;
  readonly #controller = new AbortController();
  readonly #settings: MintSettings;
  #leave!: (failure: Failure) => void;
  #isLeft = false;
  #timer: Timer;
  #isHeld = false;
  #reason: Failure | undefined;
  /** When the timer is due, by both clocks. */
  #dueWall = 0;
  #dueMonotonic = 0;
  #wasFrozen = false;
  /** Milliseconds that callers have waited before. */
  readonly #waited: number;
  /** An attempt has been made, and no answer was read since. */
  isAsking = false;

  constructor(settings: MintSettings, waited: number) {
    const { mintTimeout } = settings;
    this.#settings = settings;
    // Nobody waits for longer than that, unless the process was frozen.
    this.#waited = waited > mintTimeout + LATE ? 0 : Math.min(waited, mintTimeout - 1);
    this.signal = this.#controller.signal;
    this.left = new Promise((resolve) => (this.#leave = resolve));
    this.#timer = this.#start(mintTimeout - this.#waited);
  }

  /** Milliseconds that callers may still wait. After a thaw that the timer has not noticed yet: what it will grant. */
  get timeLeft(): number {
    if (this.#isLeft) return 0;
    return this.#isLate() && !this.#wasFrozen
      ? this.#timeAfterThaw
      : this.#dueMonotonic - this.#settings.clock.monotonic();
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
  abort(reason: Failure): void {
    if (this.signal.aborted) return;
    this.#reason = reason;
    this.#controller.abort(reason.toError());
  }

  end(): void {
    this.#timer.cancel();
  }

  /** A mint that must not be aborted has the whole time once more: only its answer holds the next state. */
  get #timeAfterThaw(): number {
    const { mintTimeout, grant } = this.#settings;
    return grant.isRepeatable ? Math.min(mintTimeout, AFTER_THAW) : mintTimeout;
  }

  #start(ms: number): Timer {
    const { clock } = this.#settings;
    this.#dueWall = clock.now() + ms;
    this.#dueMonotonic = clock.monotonic() + ms;
    const timer = clock.setTimeout(() => this.#fire(), ms);
    timer.hold(this.#isHeld);
    return timer;
  }

  #restart(ms: number): void {
    this.#timer.cancel();
    this.#timer = this.#start(ms);
  }

  #fire(): void {
    const { mintTimeout, landingTimeout, grant } = this.#settings;
    if (this.#isLate() && !this.#wasFrozen) {
      // The answer may already be there, so it is waited for a moment longer. The connection may also have died.
      this.#wasFrozen = true;
      this.#restart(this.#timeAfterThaw);
      return;
    }
    const failure = timeoutFailure(mintTimeout, this.signal, this.#waited > 0);
    // After a thaw the connection is dead: the answer would have come by now. Before an attempt nothing was presented.
    if (grant.isRepeatable || this.#isLeft || this.#wasFrozen || !this.isAsking) {
      this.abort(failure);
      return;
    }
    this.#isLeft = true;
    this.#isHeld = false;
    this.#leave(failure);
    this.#restart(Math.max(1, landingTimeout - mintTimeout + this.#waited));
  }

  #isLate(): boolean {
    const { clock } = this.#settings;
    const late = Math.max(clock.now() - this.#dueWall, clock.monotonic() - this.#dueMonotonic);
    return late > LATE;
  }
}

/**
 * Returns a token response with the lifetime of its token.
 *
 * @param context `sentAt` is when the request was sent: the lifetime counts from then.
 */
export function minted(response: TokenResponse, context: LifetimeContext): Minted {
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
  tokens: readonly AccessToken[],
  state: unknown,
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const timer = clock.setTimeout(() => controller.abort(revocationTimeoutError(mintTimeout)), mintTimeout);
  timer.hold(true);
  const context: RevokeContext = state === undefined ? { signal } : { signal, state };
  try {
    await leaveOnAbort((async () => grant.revoke?.(tokens, context))(), signal);
  } catch (error) {
    throw failureOf(error, grant, false).toError();
  } finally {
    timer.cancel();
  }
}

async function run(settings: MintSettings, input: MintInput, deadline: Deadline): Promise<MintResult> {
  const { signal } = deadline;
  const { grant } = settings;
  runsFor(signal, grant);
  try {
    const seeded = await fromSeed(settings, input, signal);
    if (seeded !== undefined) return { minted: seeded };
    const known = input.failureOfOthers?.();
    if (known !== undefined) return { failure: known.ownedBy("nobody") };
    const loaded = input.load && (await leaveOnAbort(input.load(signal), signal));
    if (loaded !== undefined && "isNobody" in loaded) return { failure: NOBODY };
    const first = await attempts(settings, input, deadline, loaded?.state);
    if (first.isRefused !== true) return first;
    const other = await otherState(input, loaded?.state, signal);
    // The user's function failed: that is what callers are told, and the refusal is remembered.
    if (other instanceof Failure || deadline.reason !== undefined) {
      const failure = deadline.reason ?? (other as Failure);
      return { ...first, failure: thawed(failure, deadline), refusedWith: first.failure };
    }
    if (other === undefined || "isNobody" in other) return first;
    return await attempts(settings, input, deadline, other.state);
  } catch (error) {
    return { failure: thawed(deadline.reason ?? failureOf(error, grant, false), deadline) };
  }
}

async function otherState(
  { loadOther }: MintInput,
  refused: unknown,
  signal: AbortSignal,
): Promise<LoadedState | Failure | undefined> {
  try {
    return await loadOther?.(refused, signal);
  } catch (error) {
    return Failure.of(error as RemintError, "key");
  }
}

/** One attempt with its result, and those that follow where the grant repeats them. */
async function attempts(
  settings: MintSettings,
  input: MintInput,
  deadline: Deadline,
  state: unknown,
): Promise<MintResult> {
  const { grant, clock } = settings;
  const { signal } = deadline;
  const presented = { state };
  try {
    const once = (): Promise<MintStep> => attempt(settings, input, deadline, state);
    const step =
      grant.retry === undefined
        ? await once()
        : await grant.retry(once, {
            retries: retriesOf(settings),
            signal,
            clock,
            timeLeft: () => deadline.timeLeft,
            pauseAfter: (failed) =>
              input.endsUnsent === true && isUnsent(failed) ? undefined : pauseAfter(failed, grant),
            onRetry: (number, failed) => input.onRetry(number, failureOfStep(failed, grant).toEventError()),
          });
    return { presented, ...resultOf(step, settings, deadline) };
  } catch (error) {
    const failure = thawed(deadline.reason ?? failureOf(error, grant, true), deadline);
    const isInDoubt = deadline.isAsking && (grant.server === undefined || wasSentUnder(signal));
    return { presented, failure, isInDoubt };
  }
}

/** How often a failed attempt is repeated. */
export function retriesOf({ grant, retries }: MintSettings): number {
  return grant.retry === undefined ? 0 : (grant.mintRetries ?? retries);
}

function isUnsent(step: MintStep): boolean {
  return "error" in step && wasNeverSent(step.error);
}

/** How long the server asked to wait before the next attempt; `undefined`: there must be no other attempt. */
function pauseAfter(step: MintStep, grant: GrantDefinition): number | undefined {
  if (!("error" in step) || step.next !== undefined || step.isRefused === true) return undefined;
  const { retryable, retryAfter = 0, owner } = failureOfStep(step, grant);
  if (!retryable || owner === "nobody") return undefined;
  return grant.isRepeatable || step.isUnused === true || wasNeverSent(step.error) ? retryAfter : undefined;
}

function failureOfStep(step: MintStep, grant: GrantDefinition): Failure {
  return failureOf("error" in step ? step.error : undefined, grant, true);
}

function resultOf(step: MintStep, settings: MintSettings, deadline: Deadline): MintResult {
  const { grant, defaultTtl, maxTtl, clock } = settings;
  const next = step.next === undefined ? {} : { next: step.next };
  if ("isNobody" in step) return { failure: NOBODY, ...next };
  if ("error" in step) {
    const failure = failureOf(step.error, grant, true);
    const isRefused = step.isRefused ?? failure.terminal;
    return {
      failure: thawed(failure, deadline),
      isRefused,
      isInDoubt: isUnanswered(step.error, deadline, grant),
      isUnsent: failure.retryable && isUnsent(step),
      ...next,
    };
  }
  try {
    checkResponse(step.response);
    const isOwn = grant.server === undefined;
    const token = minted(step.response, { sentAt: step.sentAt ?? clock.now(), defaultTtl, maxTtl, isOwn });
    return { minted: token, ...next };
  } catch (error) {
    return { failure: thawed(failureOf(error, grant, true), deadline), ...next };
  }
}

/** Whether a request was sent, as far as is known, and no answer came. */
function isUnanswered(error: unknown, { signal }: Deadline, { server }: GrantDefinition): boolean {
  const isOfNetwork = isRemintError(error) ? error.code === "ERR_TOKEN_NETWORK" : networkFailureOf(error) !== undefined;
  return isOfNetwork && !wasNeverSent(error) && (server === undefined || wasSentUnder(signal));
}

/** A failure is nobody's when the process was frozen while it happened. */
function thawed(failure: Failure, deadline: Deadline): Failure {
  if (!deadline.wasFrozen || failure.owner === "nobody" || failure === NOBODY) return failure;
  return failure.ownedBy("nobody");
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
    const token = mintedBefore(response, { now, defaultTtl, maxTtl });
    return token.expiresAt <= clock.now() ? undefined : { ...token, seeded: true };
  } catch (error) {
    if (signal.aborted) throw error;
    // The function is only a shortcut: when it fails, the grant is asked.
    return undefined;
  }
}

/** Returns a token that the user had before, with its lifetime: a date in the past means that it has expired. */
export function mintedBefore(
  response: InitialToken,
  { now, defaultTtl, maxTtl }: { readonly now: number; readonly defaultTtl: number; readonly maxTtl: number },
): Minted {
  const sentAt = Math.min(receivedAtOf(response) ?? Infinity, now);
  return minted(response, { sentAt, defaultTtl, maxTtl, seeded: true, isOwn: true });
}

/** Whose code runs under a signal: a grant, or the source of its state. */
const running = new WeakMap<AbortSignal, object>();

/** Records that code of this grant, or of the source of its state, runs under a signal. */
export function runsFor(signal: AbortSignal, owner: object): void {
  running.set(signal, owner);
}

/**
 * Whether the caller is code of this grant: the grant itself, or a function of the user's that it calls. If such code asked
 * its own cache for a token, it would wait for itself.
 */
export function isRunning(grant: GrantDefinition): boolean {
  return runsUnder((signal) => {
    const owner = running.get(signal);
    return owner !== undefined && (owner === grant || owner === grant.source);
  });
}

async function attempt(
  { grant, clock }: MintSettings,
  { previous, target, mayStart }: MintInput,
  deadline: Deadline,
  state: unknown,
): Promise<MintStep> {
  const { signal } = deadline;
  // Returned, because what repeats attempts knows errors only.
  if (mayStart?.() === false) return { error: MAY_NOT_START };
  const sentAt = clock.now();
  const sentAtMonotonic = clock.monotonic();
  const pending = { what: "the grant's function", isServer: false };
  const context = { signal, previous, state, ...(target && { target: target.parameters }) };
  deadline.isAsking = true;
  noteSent(signal, false);
  let step: MintStep;
  try {
    // The grant may ignore its signal, so the attempt does not wait for the grant once the signal has aborted.
    step = await leaveOnAbort(
      awaitUnder(signal, pending, () => grant.mint(context)),
      signal,
    );
  } catch (error) {
    if (signal.aborted) throw error;
    step = { error };
  }
  deadline.isAsking = false;
  if (!("response" in step) || step.sentAt !== undefined) return step;
  // If one of the clocks jumped during the attempt, the earlier time is safe: the token seems to expire earlier.
  const earlier = Math.min(sentAt, Math.floor(clock.now() - (clock.monotonic() - sentAtMonotonic)));
  return { ...step, sentAt: earlier };
}

/** Checks a token response. @throws {RemintError} `ERR_TOKEN_RESPONSE` when it holds no usable token. */
export function checkResponse(response: unknown): asserts response is TokenResponse {
  if (typeof response !== "object" || response === null) {
    throw tokenResponseError(`the grant did not return a token response { access_token, ... } but ${kindOf(response)}`);
  }
  const { access_token, token_type } = response as TokenResponse;
  usableValue(access_token);
  schemeOf(token_type);
}

/** Nobody is signed in: the grant has no user for whom it could get a token. */
export const NOBODY: Failure = new Failure("key", {
  code: "ERR_NO_SESSION",
  message: "no token is available: nobody is signed in",
  retryable: false,
  terminal: true,
});

/** The process that holds the lease of a fleet was held up, and must not send any more. */
export const MAY_NOT_START: Failure = new Failure("nobody", {
  code: "ERR_STORE",
  message: "no token is available: the store through which processes share tokens gave the lease to another process",
  retryable: true,
});

/**
 * Says what has not answered in time, as far as that is known.
 *
 * @param hasWaited The mint had only a part of the time: it says nothing about the server.
 */
function timeoutFailure(limit: number, signal: AbortSignal, hasWaited: boolean): Failure {
  const pending = pendingUnder(signal);
  const isServer = pending?.isServer === true;
  const hint = isServer
    ? `${pending.what} did not answer. If it needs longer, raise mintTimeout, which covers all attempts`
    : `${pending?.what ?? "the grant"} did not settle. A function that sends a request through a client of this very ` +
      `token cache waits for itself: give it a client without tokens`;
  const message = `no token is available: the grant took longer than ${limit} ms`;
  return new Failure(isServer && !hasWaited ? "server" : "key", {
    code: "ERR_TOKEN_TIMEOUT",
    message,
    hint,
    retryable: true,
  });
}

function revocationTimeoutError(limit: number): RemintError {
  const hint = "if the server needs longer, raise mintTimeout";
  return new RemintError("ERR_TOKEN_TIMEOUT", `the revocation took longer than ${limit} ms`, { hint, retryable: true });
}

/** Describes what a grant threw: any value, also one whose members cannot be read. */
function failureOf(error: unknown, grant: GrantDefinition, isMint: boolean): Failure {
  try {
    if (isFailure(error)) return error;
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
  const answered = status === undefined ? "" : ` (status ${status})`;
  const hint = `the grant failed${answered}${reasonIn(optionMessageOf(error))}`;
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
