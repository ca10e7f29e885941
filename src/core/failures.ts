/**
 * The failures of mints: what is remembered of one, for how long, and who is told.
 *
 * A failure is a description and never an error object: each caller gets an error of their own, made from it (C9). Every
 * failure has an owner, and it is shared with those whom the owner concerns and with nobody else. Retries within one mint
 * are in `mint.ts`, which also says whose a failure is.
 *
 * @module
 */
import { hide, isError, isRemintError, RemintError, safeCause, TokenEndpointError } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { networkCodeOf } from "../base/network.ts";
import type { Clock } from "../base/clock.ts";
import type { Rejection, RemintErrorCode } from "../base/errors.ts";
import type { TokenServer } from "./grant.ts";
import type { FailureOwner } from "./types.ts";

/** Marks failures, so that two copies of the package recognize each other's: a pool may have caches of both. */
const brand = Symbol.for("remint.failure/1");

/** What several keys may share of the `error` of an answer. Any other stays with its key: it may hold any text. */
const SHARED_ERRORS: readonly unknown[] = [
  "invalid_client",
  "invalid_scope",
  "invalid_target",
  "server_error",
  "temporarily_unavailable",
];

/** What is known of a failed mint. */
export class Failure {
  static {
    Object.defineProperty(this.prototype, brand, { value: true });
  }

  readonly owner: FailureOwner;
  readonly code: RemintErrorCode;
  /** Public. */
  readonly message: string;
  /** For the operator. */
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly terminal: boolean;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;
  readonly endpointStatus: number | undefined;
  readonly error: string | undefined;
  readonly errorDescription: string | undefined;
  /** Milliseconds for which it holds, where whoever has failed says so: it is remembered for no longer. */
  readonly holdsFor: number | undefined;
  /** It was reported already: nothing has been tried since. */
  readonly isKnown: boolean;
  /** Makes the cause of one caller's error. */
  readonly #cause: () => unknown;

  /** @param cause Makes the cause anew for every caller. @defaultValue none */
  constructor(owner: FailureOwner, facts: FailureFacts, cause: () => unknown = () => undefined, isKnown = false) {
    this.owner = owner;
    this.code = facts.code;
    this.message = facts.message;
    this.hint = facts.hint;
    this.retryable = facts.retryable;
    this.terminal = facts.terminal ?? false;
    this.retryAfter = facts.retryAfter;
    this.endpointStatus = facts.endpointStatus;
    this.error = facts.error;
    this.errorDescription = facts.errorDescription;
    this.holdsFor = facts.holdsFor;
    this.isKnown = isKnown;
    this.#cause = cause;
  }

  /** The description of an error, whose cause every caller gets a copy of. */
  static of(error: RemintError, owner: FailureOwner): Failure {
    return new Failure(owner, error, () => copyOfCause(error.cause));
  }

  /** The same failure with another owner. */
  ownedBy(owner: FailureOwner): Failure {
    return new Failure(owner, this, this.#cause);
  }

  /** The same failure once more, without another try. */
  asKnown(): Failure {
    return new Failure(this.owner, this, this.#cause, true);
  }

  /**
   * What other keys of a pool may know: the code, the status, `Retry-After`, the code of a socket. No text and no cause,
   * because both may name a user. Not that it is terminal, because that is the end of one user's session.
   */
  forOthers(): Failure {
    const { code, retryable, retryAfter, endpointStatus, owner } = this;
    const error = SHARED_ERRORS.includes(this.error) ? this.error : undefined;
    const message = "no token is available: another request to the same server has failed a moment ago";
    const socket = networkCodeOf(this.#cause());
    const cause = (): unknown =>
      socket === undefined ? undefined : Object.assign(new Error("the connection failed"), { code: socket });
    return new Failure(owner, { code, message, retryable, retryAfter, endpointStatus, error }, cause);
  }

  /**
   * The error for events: what a function of the user's threw is in it as a copy without what HTTP clients attach to their
   * errors, because events are for logs (S5).
   */
  toEventError(): RemintError {
    return new Failure(this.owner, this, () => copyOfCause(this.#cause(), true)).toError();
  }

  /** Makes one caller's error. Every call makes another object. */
  toError(rejected?: Rejection): RemintError {
    const { code, message, hint, retryable, terminal, retryAfter, endpointStatus, error, errorDescription } = this;
    const options = { cause: this.#cause(), hint, retryable, terminal, retryAfter, rejected, error, errorDescription };
    return endpointStatus === undefined
      ? new RemintError(code, message, options)
      : new TokenEndpointError(endpointStatus, message, options);
  }
}

/** The members of a failure that an error has too. */
interface FailureFacts {
  readonly code: RemintErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly terminal?: boolean | undefined;
  readonly hint?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly endpointStatus?: number | undefined;
  readonly error?: string | undefined;
  readonly errorDescription?: string | undefined;
  readonly holdsFor?: number | undefined;
}

/** Returns whether a value is a {@link Failure}, also one of another copy of this package. */
export function isFailure(value: unknown): value is Failure {
  return typeof value === "object" && value !== null && brand in value;
}

/** Passed to `then`: throws one caller's error in place of the failure that many share. */
export function throwOwnError(reason: unknown, rejected?: Rejection): never {
  throw isFailure(reason) ? reason.toError(rejected) : reason;
}

/**
 * A copy of a cause with its own causes. What is no error is returned as it is.
 *
 * @param isForLog Leaves out what HTTP clients attach to errors, and credentials in texts (S5).
 */
function copyOfCause(cause: unknown, isForLog = false, depth = 0): unknown {
  if (depth > 4) return undefined;
  const copyOfInner = (): unknown => (isError(cause) ? copyOfCause(cause.cause, isForLog, depth + 1) : undefined);
  if (isRemintError(cause)) return new Failure("key", cause, copyOfInner).toError();
  const source = isForLog ? safeCause(cause) : cause;
  if (!isError(source)) return source;
  const copy = new Error(source.message);
  hide(copy, { name: source.name, stack: source.stack });
  const { code } = source as { code?: unknown };
  if (code !== undefined) Object.assign(copy, { code });
  const inner = copyOfInner();
  if (inner !== undefined) hide(copy, { cause: inner });
  return copy;
}

/** Milliseconds. */
const FIRST_DELAY = 1000;
const LONGEST_WHILE_CALLERS_FAIL = 5000;
const LONGEST = 30_000;
const LONGEST_RETRY_AFTER = 60_000;
/** How often it is asked at most whether a session that is over has become another one. */
const ASK_AGAIN = 1000;

/**
 * What a failure costs callers: nothing while the token is far from its end (`background`), a wait in the hard window
 * (`window`), an error once it has expired (`expired`). A later one is worth an attempt of its own.
 */
export type FailurePhase = "background" | "window" | "expired";
const PHASES: readonly FailurePhase[] = ["background", "window", "expired"];

/** A failure that is remembered, and since when. */
class RememberedFailure {
  readonly failure: Failure;
  /** How many mints have failed in a row, this one included. */
  readonly count: number;
  readonly #clock: Clock;
  readonly #wall: number;
  readonly #monotonic: number;

  constructor(clock: Clock, failure: Failure, count: number) {
    this.#clock = clock;
    this.failure = failure;
    this.count = count;
    this.#wall = clock.now();
    this.#monotonic = clock.monotonic();
  }

  /** Milliseconds since it happened, by the clock that is further ahead: a machine may have slept. */
  get #age(): number {
    return Math.max(this.#clock.now() - this.#wall, this.#clock.monotonic() - this.#monotonic);
  }

  /** Whether it happened at or after a monotonic time. */
  isSince(monotonic: number): boolean {
    return this.#monotonic >= monotonic;
  }

  /** Whether a mint now would only repeat it. */
  holds(callersFail: boolean): boolean {
    return this.#age < (this.failure.holdsFor ?? delayAfter(this.failure, this.count, callersFail));
  }

  /** Whether the server itself asked to wait until later than now. */
  get isAskedToWait(): boolean {
    const { terminal, retryAfter = 0, holdsFor = Infinity } = this.failure;
    return this.#age < (terminal ? ASK_AGAIN : Math.min(retryAfter, LONGEST_RETRY_AFTER, holdsFor));
  }
}

/**
 * Returns for how long a failure is remembered, in milliseconds. A terminal one for a second: only the supply knows whether
 * the user has signed in again, and asking it costs no request.
 *
 * @param failures How many mints have failed in a row, this one included.
 */
export function delayAfter(
  { terminal, retryAfter = 0 }: Pick<Failure, "terminal" | "retryAfter">,
  failures: number,
  callersFail: boolean,
): number {
  if (terminal) return ASK_AGAIN;
  const longest = callersFail ? LONGEST_WHILE_CALLERS_FAIL : LONGEST;
  const delay = Math.min(FIRST_DELAY * 2 ** (failures - 1), longest);
  return Math.max(delay, Math.min(retryAfter, LONGEST_RETRY_AFTER));
}

/**
 * The last failure of one cache. Remembered for 1 s at first, and twice as long with every failure: up to 5 s while callers
 * fail, up to 30 s while there is a token they can be served with. `Retry-After` holds up to 60 s.
 */
export class FailureMemory {
  readonly #clock: Clock;
  readonly #shared: SharedFailures | undefined;
  #last: RememberedFailure | undefined;
  #phase: FailurePhase = "background";

  constructor(clock: Clock, shared?: SharedFailures) {
    this.#clock = clock;
    this.#shared = shared;
  }

  /**
   * Returns the failure that a mint now would only repeat.
   *
   * Entering the hard window, and expiring, are worth one attempt each: a failure of before is not held against them,
   * unless the server asked to wait.
   */
  active(phase: FailurePhase): Failure | undefined {
    return this.#own(phase) ?? this.#shared?.active(phase === "expired");
  }

  #own(phase: FailurePhase): Failure | undefined {
    const last = this.#last;
    if (last === undefined) return undefined;
    const isLater = PHASES.indexOf(phase) > PHASES.indexOf(this.#phase);
    const holds = isLater ? last.isAskedToWait : last.holds(phase === "expired");
    return holds ? last.failure : undefined;
  }

  /**
   * Remembers a failure, and tells the pool if it concerns others.
   *
   * @param phase The one in which the mint started.
   * @param startedAt When the mint started. Monotonic milliseconds.
   */
  remember(failure: Failure, phase: FailurePhase, startedAt: number): void {
    if (failure.owner === "nobody") return;
    // What others have met is no failure of this cache: its own next one is the first in a row.
    const isOwn = !failure.isKnown && failure.holdsFor === undefined;
    this.#last = new RememberedFailure(this.#clock, failure, (this.#last?.count ?? 0) + (isOwn ? 1 : 0));
    this.#phase = phase;
    this.#shared?.remember(failure, startedAt);
  }

  /**
   * There is a token.
   *
   * @param serverAnswered The server has just issued it. `false`: it came from elsewhere and says nothing of the server.
   */
  clear(serverAnswered: boolean): void {
    this.#last = undefined;
    if (serverAnswered) this.#shared?.clear();
  }
}

/** Endpoints, clients of one endpoint and targets of one client of which failures are kept. */
const MOST_ENDPOINTS = 256;
const MOST_CLIENTS = 256;

/** What the caches of a pool know of one cache: where its failures may concern others. */
export interface SharedFailures {
  /** Returns the failure of others that this cache would only repeat. */
  active(callersFail: boolean): Failure | undefined;
  /** @param startedAt When the mint started. Monotonic milliseconds. */
  remember(failure: Failure, startedAt: number): void;
  /** A mint of this cache succeeded. */
  clear(): void;
}

/**
 * The failures that concern several keys of a pool.
 *
 * A wrong client, or a wrong target, is known at once. That a server is down, or that it wants fewer requests, is known when
 * two keys in a row have found it so: one user's token may be what a server fails at. Any success at the endpoint ends it.
 */
export class PoolFailures {
  readonly #clock: Clock;
  readonly #endpoints = new LruMap<string, EndpointFailures>(MOST_ENDPOINTS);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The view of one cache. @param key The pool's key: two caches of one key count once. */
  viewOf({ endpoint, client, target }: TokenServer, key: string): SharedFailures {
    const failuresAt = (): EndpointFailures => {
      let found = this.#endpoints.use(endpoint);
      if (found === undefined) this.#endpoints.set(endpoint, (found = new EndpointFailures(this.#clock)));
      return found;
    };
    return {
      active: (callersFail) => this.#endpoints.get(endpoint)?.active(client, target, callersFail),
      remember: (failure, startedAt) => failuresAt().remember(failure, { client, target, key, startedAt }),
      clear: () => failuresAt().clear(client, target),
    };
  }
}

/** Who has failed, and when the mint started. */
interface Failed {
  readonly client: string;
  readonly target: string;
  readonly key: string;
  readonly startedAt: number;
}

/** The failures at one endpoint. */
class EndpointFailures {
  readonly #clock: Clock;
  readonly #server: RowOfFailures;
  /** 429, by client. */
  readonly #throttled = new LruMap<string, RowOfFailures>(MOST_CLIENTS);
  /** `invalid_client` by client; `invalid_scope` and `invalid_target` by client and target. */
  readonly #refused = new LruMap<string, RowOfFailures>(MOST_CLIENTS);
  /** When a mint succeeded last. Monotonic milliseconds. */
  #succeededAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#server = new RowOfFailures(clock, 2);
  }

  active(client: string, target: string, callersFail: boolean): Failure | undefined {
    return (
      this.#server.active(callersFail) ??
      this.#throttled.get(client)?.active(callersFail) ??
      this.#refused.get(client)?.active(callersFail) ??
      this.#refused.get(targetKey(client, target))?.active(callersFail)
    );
  }

  remember(failure: Failure, failed: Failed): void {
    const { client, target } = failed;
    if (failure.owner === "server") {
      // Unless the server has issued a token since this mint was sent: then it may be one user's token that it fails at.
      if (failed.startedAt >= this.#succeededAt) this.#server.add(failure, failed);
    } else if (failure.owner === "client" && failure.endpointStatus === 429) {
      this.#row(this.#throttled, client, 2).add(failure, failed);
    } else if (failure.owner === "client") this.#row(this.#refused, client, 1).add(failure, failed);
    else if (failure.owner === "target") this.#row(this.#refused, targetKey(client, target), 1).add(failure, failed);
  }

  clear(client: string, target: string): void {
    this.#succeededAt = this.#clock.monotonic();
    this.#server.clear();
    this.#throttled.delete(client);
    this.#refused.delete(client);
    this.#refused.delete(targetKey(client, target));
  }

  #row(rows: LruMap<string, RowOfFailures>, name: string, keysNeeded: number): RowOfFailures {
    let row = rows.use(name);
    if (row === undefined) rows.set(name, (row = new RowOfFailures(this.#clock, keysNeeded)));
    return row;
  }
}

function targetKey(client: string, target: string): string {
  return JSON.stringify([client, target]);
}

/** Failures in a row, without a success between them. */
class RowOfFailures {
  readonly #clock: Clock;
  /** How many keys have to fail before the others are told. */
  readonly #keysNeeded: number;
  /** The key that failed first. */
  #first: string | undefined;
  #last: RememberedFailure | undefined;

  constructor(clock: Clock, keysNeeded: number) {
    this.#clock = clock;
    this.#keysNeeded = keysNeeded;
  }

  active(callersFail: boolean): Failure | undefined {
    return this.#last?.holds(callersFail) === true ? this.#last.failure : undefined;
  }

  add(failure: Failure, { key, startedAt }: Failed): void {
    this.#first ??= key;
    if (this.#keysNeeded > 1 && this.#last === undefined && this.#first === key) return;
    // Mints that were under way when the last failure came have found out nothing new.
    const isNews = this.#last?.isSince(startedAt) !== true;
    const count = (this.#last?.count ?? 0) + (isNews ? 1 : 0);
    this.#last = new RememberedFailure(this.#clock, failure.forOthers(), count);
  }

  clear(): void {
    this.#first = undefined;
    this.#last = undefined;
  }
}
