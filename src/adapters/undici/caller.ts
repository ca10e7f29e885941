/**
 * The caller of one request: the handler that undici's `dispatch` was called with. A handler has one of two forms. undici 6
 * calls `onConnect`, `onHeaders`, `onData`, `onComplete`, `onError`, and pauses an answer when one of them returns `false`.
 * undici 7 calls `onRequestStart`, `onResponseStart` and so on, with a controller that pauses, resumes and aborts. Node's own
 * fetch has a handler of the first form, also over a dispatcher of undici 7.
 *
 * The handler that is handed to undici for a send has the same form as the caller's ({@link handlerFor}), so nothing is
 * translated.
 *
 * Not here: when the events of a send reach the caller (`send.ts`).
 *
 * @module
 */

/** The members of a handler of undici 6. */
interface OldHandler {
  onConnect?(abort: (reason?: unknown) => void, context?: unknown): void;
  onBodySent?(chunk: unknown): unknown;
  onRequestSent?(): unknown;
  onResponseStarted?(): unknown;
  onHeaders?(status: number, headers: RawHeaders, resume: () => void, statusText: string): unknown;
  onUpgrade?(status: number, headers: RawHeaders, socket: unknown): void;
  onData?(chunk: Uint8Array): unknown;
  onComplete?(trailers: unknown): void;
  onError?(error: unknown): void;
}

/** The members of a handler of undici 7. */
interface NewHandler {
  onRequestStart?(controller: Controller, context?: unknown): void;
  onBodySent?(chunk: unknown): unknown;
  onRequestSent?(): unknown;
  onResponseStarted?(): unknown;
  onRequestUpgrade?(controller: Controller, status: number, headers: HeaderFields, socket: unknown): void;
  onResponseStart?(controller: Controller, status: number, headers: HeaderFields, statusText?: string): void;
  onResponseData?(controller: Controller, chunk: Uint8Array): void;
  onResponseEnd?(controller: Controller, trailers: unknown): void;
  onResponseError?(controller: Controller, error: unknown): void;
}

/** Headers as undici 6 hands them on: name, value, name, value. */
export type RawHeaders = readonly (Uint8Array | string | readonly (Uint8Array | string)[])[];
/** Headers as undici 7 hands them on. */
export type HeaderFields = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What a handler of undici 7 pauses, resumes and aborts a send with. */
interface Controller extends Connection {
  rawHeaders?: unknown;
  rawTrailers?: unknown;
}

/** What a send is paused, resumed and aborted with. */
export interface Connection {
  pause(): void;
  resume(): void;
  abort(reason: unknown): void;
  /** The headers as they arrived, where undici 7 tells them. */
  readonly rawHeaders?: unknown;
  readonly rawTrailers?: unknown;
}

/** The head of an answer. */
export interface Head {
  readonly status: number;
  readonly headers: RawHeaders | HeaderFields;
  readonly rawHeaders?: unknown;
  readonly statusText: string | undefined;
}

/** What gets the events of one send. */
export interface SendEvents {
  connected(connection: Connection, context: unknown): void;
  /** A head, also an informational one. Returns whether more may come. */
  headed(head: Head): boolean;
  /** Returns whether more may come. */
  arrived(chunk: Uint8Array): boolean;
  ended(trailers: unknown, rawTrailers: unknown): void;
  failed(error: unknown): void;
  upgraded(head: Head, socket: unknown): void;
}

/** The send whose events the caller gets now. */
export interface CurrentSend {
  pause(): void;
  resume(): void;
  abort(reason: unknown): void;
}

/** Whether a value is a handler that can be told of a failure. What is none is left to undici, which says what is wrong. */
export function isHandler(handler: unknown): handler is object {
  const members = Object(handler) as Readonly<Record<string, unknown>>;
  return typeof members[isNewForm(members) ? "onResponseError" : "onError"] === "function";
}

/**
 * Whether a handler has only the form of undici 7. One that has both is a handler of the old form inside of another of undici
 * 7, which would make one header of several with the same name, such as two cookies.
 */
function isNewForm(handler: NewHandler & OldHandler): boolean {
  return typeof handler.onRequestStart === "function" && typeof handler.onHeaders !== "function";
}

/** The caller of one request. Every event is handed on in the form of the caller's handler. */
export class Caller {
  readonly #old: OldHandler | undefined;
  readonly #new: NewHandler | undefined;
  readonly #controller: Controller;
  /** Aborts what the policy waits for. Made when there is something to wait for. */
  #waiting: AbortController | undefined;
  #isConnected = false;
  #isDone = false;
  #current: CurrentSend | undefined;
  /** Whether the caller wants no more at the moment. */
  isPaused = false;
  isAborted = false;
  /** Why the caller aborted. */
  reason: unknown = null;

  constructor(handler: object) {
    const isNew = isNewForm(handler);
    this.#old = isNew ? undefined : handler;
    this.#new = isNew ? handler : undefined;
    // oxlint-disable-next-line typescript/no-this-alias, unicorn/no-this-assignment -- the getters of the controller are its own
    const caller = this;
    this.#controller = {
      rawHeaders: null,
      rawTrailers: null,
      pause: () => caller.#pause(),
      resume: () => caller.resume(),
      abort: (reason: unknown) => caller.abort(reason),
      get paused() {
        return caller.isPaused;
      },
      get aborted() {
        return caller.isAborted;
      },
      get reason() {
        return caller.reason;
      },
    } as Controller;
  }

  /** Makes a handler of the caller's form, which hands the events of a send to `events`. */
  handlerFor(events: SendEvents): object {
    return this.#old === undefined ? newHandler(this.#new!, events) : oldHandler(this.#old, events);
  }

  /** The send that {@link Caller.abort}, pauses and resumes are meant for. */
  set current(send: CurrentSend) {
    this.#current = send;
  }

  /**
   * A signal that aborts when the caller aborts. undici tells a handler how to abort when a send begins. A caller who waits
   * for a token is told before.
   */
  get signal(): AbortSignal {
    if (this.#waiting === undefined) {
      this.#waiting = new AbortController();
      if (this.isAborted) this.#waiting.abort(this.reason);
      else if (!this.#isConnected) this.connected(undefined);
    }
    return this.#waiting.signal;
  }

  /** Tells the caller how to abort, pause and resume. */
  connected(context: unknown): void {
    this.#isConnected = true;
    if (this.#old === undefined) this.#new?.onRequestStart?.(this.#controller, context);
    else this.#old.onConnect?.(this.abort, context);
  }

  readonly abort = (given?: unknown): void => {
    if (this.#isDone || this.isAborted) return;
    // What undici makes of an abort without a reason.
    const reason =
      given ?? Object.assign(new Error("Request aborted"), { name: "AbortError", code: "UND_ERR_ABORTED" });
    this.isAborted = true;
    this.reason = reason;
    this.#waiting?.abort(reason);
    this.#current?.abort(reason);
  };

  #pause(): void {
    this.isPaused = true;
    this.#current?.pause();
  }

  readonly resume = (): void => {
    this.isPaused = false;
    this.#current?.resume();
  };

  /** Hands on an informational answer (1xx), which pauses nothing. */
  informed(head: Head): void {
    const wasPaused = this.isPaused;
    this.headed(head);
    if (this.#old !== undefined) this.isPaused = wasPaused;
  }

  headed({ status, headers, rawHeaders, statusText }: Head): void {
    if (this.#old === undefined) {
      this.#controller.rawHeaders = rawHeaders;
      this.#new!.onResponseStart?.(this.#controller, status, headers as HeaderFields, statusText);
    } else {
      const more = this.#old.onHeaders?.(status, headers as RawHeaders, this.resume, statusText!);
      this.isPaused = more === false;
    }
  }

  arrived(chunk: Uint8Array): void {
    if (this.#old === undefined) this.#new!.onResponseData?.(this.#controller, chunk);
    else this.isPaused = this.#old.onData?.(chunk) === false;
  }

  /** The caller is done, unless its handler throws: undici then tells it the error that it threw. */
  ended(trailers: unknown, rawTrailers: unknown): void {
    if (this.#isDone) return;
    if (this.#old === undefined) {
      this.#controller.rawTrailers = rawTrailers;
      this.#new!.onResponseEnd?.(this.#controller, trailers);
    } else this.#old.onComplete?.(trailers);
    this.#isDone = true;
  }

  failed(error: unknown): void {
    if (this.#isDone) return;
    this.#isDone = true;
    if (this.#old === undefined) this.#new!.onResponseError?.(this.#controller, error);
    else this.#old.onError?.(error);
  }

  upgraded({ status, headers, rawHeaders }: Head, socket: unknown): void {
    this.#isDone = true;
    if (this.#old === undefined) {
      this.#controller.rawHeaders = rawHeaders;
      this.#new!.onRequestUpgrade?.(this.#controller, status, headers as HeaderFields, socket);
    } else this.#old.onUpgrade?.(status, headers as RawHeaders, socket);
  }

  /** Returns the end of a body that was cut, which has no trailers. */
  get noTrailers(): object {
    return this.#old === undefined ? {} : [];
  }
}

function oldHandler(caller: OldHandler, events: SendEvents): OldHandler {
  const connection = { pause: nothing, resume: nothing, abort: nothing as (reason: unknown) => void };
  return {
    onConnect(abort, context) {
      connection.abort = abort;
      events.connected(connection, context);
    },
    ...passedThrough(caller),
    onHeaders(status, headers, resume, statusText) {
      connection.resume = resume;
      return events.headed({ status, headers, statusText });
    },
    onUpgrade: (status, headers, socket) => events.upgraded({ status, headers, statusText: undefined }, socket),
    onData: (chunk) => events.arrived(chunk),
    onComplete: (trailers) => events.ended(trailers, undefined),
    onError: (error) => events.failed(error),
  };
}

function newHandler(caller: NewHandler, events: SendEvents): NewHandler {
  return {
    onRequestStart: (controller, context) => events.connected(controller, context),
    ...passedThrough(caller),
    onRequestUpgrade: ({ rawHeaders }, status, headers, socket) =>
      events.upgraded({ status, headers, rawHeaders, statusText: undefined }, socket),
    onResponseStart(controller, status, headers, statusText) {
      if (!events.headed({ status, headers, rawHeaders: controller.rawHeaders, statusText })) controller.pause();
    },
    onResponseData(controller, chunk) {
      if (!events.arrived(chunk)) controller.pause();
    },
    onResponseEnd: ({ rawTrailers }, trailers) => events.ended(trailers, rawTrailers),
    onResponseError: (_controller, error) => events.failed(error),
  };
}

/** The events that say what was sent. They are handed on for every send. */
function passedThrough(caller: OldHandler | NewHandler): Partial<OldHandler & NewHandler> {
  return {
    ...(caller.onBodySent && { onBodySent: (chunk: unknown) => caller.onBodySent!(chunk) }),
    ...(caller.onRequestSent && { onRequestSent: () => caller.onRequestSent!() }),
    ...(caller.onResponseStarted && { onResponseStarted: () => caller.onResponseStarted!() }),
  };
}

function nothing(): void {
  // undici 6 pauses where an event returns `false`, and has no function for it.
}
