/**
 * The state of one session in this process, such as a rotating refresh token: which state the next mint presents, and that
 * every new one is saved (C14). A supply has one; it belongs to the grant, so that a cache that is created after another
 * was closed goes on where that one stopped.
 *
 * Not here: when a mint runs (`supply.ts`, `fleet/supply.ts`), and what a fleet's record keeps (`fleet/record.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { settledWithin } from "../base/clock.ts";
import { digest } from "../base/digest.ts";
import { isRemintError } from "../base/errors.ts";
import { awaitUnder } from "../base/pending.ts";
import { withoutCredentials } from "../base/redacted.ts";
import { callUserFunction, userFunctionError } from "../base/user-function.ts";
import { warn } from "../base/warn.ts";
import { runsFor } from "./mint.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { RemintError } from "../base/errors.ts";
import type { CacheListeners } from "./events.ts";
import type { SaveContext, StateSource } from "./grant.ts";
import type { LoadedState } from "./mint.ts";

/** How many states that were used up are remembered. */
const REMEMBERED = 8;
/** The length of a digest in hexadecimal digits: 96 bits. */
const DIGITS = 24;
/** Milliseconds before a save that failed is repeated; twice as many each time, up to the longest. */
const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30_000;

/** By clock: the machine's clock is that of every cache of a process, which is warned once. */
const warned = new WeakSet<Clock>();

/** Tells a state again without keeping it. */
export function digestOf(state: unknown): string {
  return digest(JSON.stringify(state) ?? "undefined").slice(0, DIGITS);
}

/** Adds a digest to those that are remembered. */
export function remembered(digests: readonly string[], more: readonly string[]): readonly string[] {
  return [...digests.filter((each) => !more.includes(each)), ...more].slice(-REMEMBERED);
}

/** How a state is kept. */
export interface StateSettings {
  readonly clock: Clock;
  /** Milliseconds. Half of it is the longest that callers wait for a save. */
  readonly mintTimeout: number;
  readonly listeners: CacheListeners;
  /** A store keeps the state too. */
  readonly hasStore: boolean;
  readonly warns: boolean;
}

/** A new state, and what was used up for it. */
interface Rotated {
  readonly state: unknown;
  readonly replaced: unknown;
  readonly response: object;
}

/** The state of one session in this process. */
export class SessionState {
  #source: StateSource;
  #settings: StateSettings;
  #current: unknown;
  /** Digests of states that this process has used up, oldest first. */
  #used: readonly string[] = [];
  /** The newest state that is not saved yet. */
  #unsaved: Rotated | undefined;
  /** The save in progress. Saves of one session are made one after another. */
  #saving: Promise<void> | undefined;
  /** Changes when another session begins or this one ends: what was asked before is not for the one that now is. */
  #epoch = 0;
  /** Aborts the save in progress. */
  #stopSave: (() => void) | undefined;
  #failedSaves = 0;
  #timer: Timer | undefined;
  /** No cache uses it at the moment: a save that failed is not repeated. */
  #isStopped = false;

  constructor(source: StateSource, settings: StateSettings) {
    this.#source = source;
    this.#settings = settings;
    this.#current = source.initial?.();
  }

  /** Another cache goes on with this state. */
  continueWith(source: StateSource, settings: StateSettings): void {
    this.#source = source;
    this.#settings = settings;
    this.#isStopped = false;
  }

  get source(): StateSource {
    return this.#source;
  }

  /** The state that this process knows, whether it was saved or not. */
  get current(): unknown {
    return this.#current;
  }

  get used(): readonly string[] {
    return this.#used;
  }

  get isUnsaved(): boolean {
    return this.#unsaved !== undefined;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Whether this process has used this state up. */
  hasUsed(state: unknown): boolean {
    return this.#used.length > 0 && this.#used.includes(digestOf(state));
  }

  /**
   * Returns the state to present. The user's function is asked, unless a newer state waits for being saved; what it returns
   * is presented, unless this process has used it up.
   *
   * @throws {RemintError} When the function fails, or returns something that is no state. Nothing is presented then.
   */
  async load(signal: AbortSignal): Promise<LoadedState> {
    if (this.#unsaved !== undefined) void this.save();
    if (this.source.load === undefined || this.#unsaved !== undefined) return stateOrNobody(this.#current);
    const { epoch } = this;
    const asked = await this.ask(signal);
    if (this.#unsaved !== undefined || epoch !== this.#epoch || (asked !== undefined && this.hasUsed(asked)))
      return stateOrNobody(this.#current);
    if (asked === undefined) this.#current = undefined;
    else this.adopt(asked);
    return stateOrNobody(asked);
  }

  /**
   * Returns another state than the refused one, if the user's function has one that was not seen before: another process may
   * have rotated the state, or the user has signed in again.
   */
  async loadOther(refused: unknown, signal: AbortSignal): Promise<LoadedState | undefined> {
    if (this.source.load === undefined) return undefined;
    const { epoch } = this;
    const asked = await this.ask(signal);
    if (asked === undefined || epoch !== this.#epoch || digestOf(asked) === digestOf(refused) || this.hasUsed(asked))
      return undefined;
    this.adopt(asked);
    return { state: asked };
  }

  /** Asks the user's function. `undefined`: nobody is signed in. @throws {RemintError} When it fails. */
  async ask(signal: AbortSignal): Promise<unknown> {
    const { source } = this;
    const { load, names } = source;
    if (load === undefined) return source.initial?.();
    const call = async (): Promise<unknown> => load({ signal });
    const asked = await callUserFunction(names.load, signal, () => leaveOnAbort(call(), signal), {
      causeOf: this.#causeOf(),
    });
    if (asked === null || asked === undefined) return undefined;
    try {
      return source.check(asked);
    } catch (error) {
      throw userFunctionError(names.load, error);
    }
  }

  /** Takes over a state that was not minted here: of a fleet's record, or of a sign-in. It counts as saved. */
  adopt(state: unknown, used: readonly string[] = []): void {
    this.#used = remembered(this.#used, used);
    if (this.#current !== undefined && digestOf(this.#current) !== digestOf(state)) {
      this.#use(this.#current);
      // Whoever has made the newer state saves it.
      this.#unsaved = undefined;
      this.#timer?.cancel();
    }
    this.#present(state);
  }

  /** Another session has begun: what the user's function is being asked is not for it. */
  replace(): void {
    this.#epoch++;
  }

  /** Forgets the session: what was not saved is not saved any more. */
  forget(): void {
    this.replace();
    if (this.#current !== undefined) this.#use(this.#current);
    this.#current = undefined;
    this.#unsaved = undefined;
    this.#failedSaves = 0;
    this.#timer?.cancel();
    this.#stopSave?.();
  }

  /** Keeps the state of a sign-in, to be presented and saved. */
  begin(rotated: Rotated): void {
    this.#present(rotated.state);
    if (this.source.save === undefined) return;
    // The state before this one may never have reached the user's table.
    this.#unsaved = { ...rotated, replaced: this.#unsaved === undefined ? rotated.replaced : this.#unsaved.replaced };
  }

  /** Keeps the state that a mint returned, to be presented and saved. The state before it is used up. */
  rotate(rotated: Rotated): void {
    if (rotated.replaced !== undefined) this.#use(rotated.replaced);
    this.begin(rotated);
    if (this.source.save === undefined) this.#warnOnce();
  }

  /**
   * Saves the newest state, if it is not saved yet.
   *
   * @returns Settles when it is saved, or when the save has failed or taken too long. Never rejects.
   */
  save(longest: number = this.#settings.mintTimeout / 2): Promise<void> {
    if (this.#unsaved === undefined) return Promise.resolve();
    this.#timer?.cancel();
    const isNew = this.#saving === undefined;
    this.#saving ??= this.#saveNewest(Math.max(1, longest)).finally(() => (this.#saving = undefined));
    if (isNew) return this.#saving;
    // Another has begun it, and it may take longer.
    return settledWithin(this.#settings.clock, this.#saving, Math.max(1, longest)).then(() => {});
  }

  /** Lets the timer of a repeated save go. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #saveNewest(longest: number): Promise<void> {
    for (let rotated = this.#unsaved; rotated !== undefined; rotated = this.#unsaved) {
      const error = await this.#saveOne(rotated, longest);
      if (error !== undefined) {
        // A state that is newer than this one is saved by the next turn.
        if (this.#unsaved !== rotated) continue;
        this.#settings.listeners.tell?.({ name: "state-unsaved", error });
        this.#repeatLater();
        return;
      }
      this.#failedSaves = 0;
      // What has come meanwhile replaces what is saved now.
      const newer = this.#unsaved === rotated ? undefined : this.#unsaved;
      this.#unsaved = newer && { ...newer, replaced: rotated.state };
    }
  }

  /** @returns The error of a save that failed. */
  async #saveOne({ state, replaced, response }: Rotated, longest: number): Promise<RemintError | undefined> {
    const { clock } = this.#settings;
    const { save, names } = this.source;
    const controller = new AbortController();
    const { signal } = controller;
    const timer = clock.setTimeout(() => controller.abort(new Error("the save took too long")), longest);
    timer.hold(true);
    this.#stopSave = () => controller.abort(new Error("the session is over"));
    const context: SaveContext = { replaced, response: withoutCredentials(response), signal };
    const pending = { what: `the function "${names.save}"`, isServer: false };
    const call = async (): Promise<unknown> => save!(state, context);
    runsFor(signal, this.source);
    const failure = {
      consequence: `The new ${names.load} is kept in memory, and ${names.save} is called again`,
      retryable: true,
      causeOf: this.#causeOf(state, replaced),
    };
    try {
      await leaveOnAbort(awaitUnder(signal, pending, call), signal);
      return undefined;
    } catch (error) {
      try {
        return userFunctionError(names.save, signal.aborted ? signal.reason : error, failure);
      } catch {
        // What the function threw cannot be read.
        return userFunctionError(names.save, undefined, failure);
      }
    } finally {
      timer.cancel();
      this.#stopSave = undefined;
    }
  }

  #repeatLater(): void {
    if (this.#isStopped) return;
    const delay = Math.min(FIRST_DELAY * 2 ** this.#failedSaves++, LONGEST_DELAY);
    // The timer is not held: a process that has nothing else to do calls `close`.
    this.#timer = this.#settings.clock.setTimeout(() => void this.save(), delay);
  }

  /** The state is presented from now on. A server may hand out one that it has handed out before. */
  #present(state: unknown): void {
    this.#current = state;
    const mark = digestOf(state);
    this.#used = this.#used.filter((each) => each !== mark);
  }

  #use(state: unknown): void {
    this.#used = remembered(this.#used, [digestOf(state)]);
  }

  #causeOf(...more: readonly unknown[]): ((error: unknown) => unknown) | undefined {
    const { source } = this;
    if (source.causeOf === undefined) return undefined;
    const states = [this.#current, ...more].filter((state) => state !== undefined);
    return (error) => (isRemintError(error) ? error : source.causeOf!(error, states));
  }

  #warnOnce(): void {
    const { hasStore, warns, clock } = this.#settings;
    if (hasStore || !warns || warned.has(clock)) return;
    warned.add(clock);
    const { load, save } = this.source.names;
    warn(
      `the authorization server has rotated the ${load} of a session, and nothing keeps the new one: the session is lost ` +
        `when this process ends. Give the grant "${save}", which saves it, or give the cache a "store"`,
    );
  }
}

function stateOrNobody(state: unknown): LoadedState {
  return state === undefined ? { isNobody: true } : { state };
}
