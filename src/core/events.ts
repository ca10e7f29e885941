/**
 * Who hears the events of a cache: the listeners that it was given, and those of the pool that it belongs to.
 *
 * What an event says is in `types.ts`. The outage of a store is told by `fleet/link.ts`, once to each listener.
 *
 * @module
 */
import { optionError } from "../base/options.ts";
import type { EventListener, PoolEventListener } from "./types.ts";

/** One function is kept as it is, because a list for each idle user would cost memory. `undefined`: nobody listens. */
export type Listeners<Listener> = Listener | readonly Listener[] | undefined;

/**
 * Takes the option `onEvent` as it is now.
 *
 * @throws {TypeError} When it is neither a function nor a list of them.
 */
export function listenersOf<Listener>(onEvent: Listeners<Listener>): Listeners<Listener> {
  if (onEvent === undefined || typeof onEvent === "function") return onEvent;
  if (!Array.isArray(onEvent)) throw optionError("onEvent", onEvent, "a function or a list of them");
  const list: readonly Listener[] = [...onEvent];
  for (const [index, listener] of list.entries()) {
    if (typeof listener !== "function") throw optionError(`onEvent[${index}]`, listener, "a function");
  }
  return list.length === 0 ? undefined : list;
}

function listOf<Listener>(listeners: Listeners<Listener>): readonly Listener[] {
  return ([] as Listener[]).concat(listeners ?? []);
}

/** The listeners of one cache. Its supply, and the caches of its other targets, have the same ones. */
export class CacheListeners {
  readonly #own: Listeners<EventListener>;
  #pool: Listeners<PoolEventListener>;
  #key = "";

  /** @throws {TypeError} When `onEvent` is neither a function nor a list of them. */
  constructor(onEvent: Listeners<EventListener>) {
    this.#own = listenersOf(onEvent);
  }

  /** From now on the listeners of a pool hear of this cache too. */
  joinPool(listeners: Listeners<PoolEventListener>, key: string): void {
    this.#pool = listeners;
    this.#key = key;
  }

  /** Each function once, with what calls it: those of the cache first, then those of its pool, which get the key. */
  all(): ReadonlyMap<PoolEventListener, EventListener> {
    const all = new Map<PoolEventListener, EventListener>();
    for (const listener of listOf(this.#own)) all.set(listener, (event) => call(() => listener(event)));
    for (const listener of listOf(this.#pool)) all.set(listener, (event) => call(() => listener(event, this.#key)));
    return all;
  }

  /** Calls every listener with an event. Absent while nobody listens, so that no event is made. */
  get tell(): EventListener | undefined {
    if (this.#own === undefined && this.#pool === undefined) return undefined;
    return (event) => this.all().forEach((tell) => tell(event));
  }
}

/** Calls a listener, which may be async: its type says `void`, which an async function fits too. */
function call(listener: () => unknown): void {
  try {
    Promise.resolve(listener()).catch(() => {});
  } catch {
    // Listeners are the only place where the library reports errors. An error of their own has none.
  }
}
