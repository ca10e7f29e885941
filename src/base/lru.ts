/**
 * A map with a limit: when the map is full, adding an entry removes the least recently used one.
 *
 * @module
 */

const NOTHING: ReadonlyMap<unknown, unknown> = new Map();

/**
 * A map of at most `limit` entries. Setting an entry is a use of it; reading is one only through {@link LruMap.use}.
 */
export class LruMap<Key, Value> {
  readonly #limit: number;
  /** The entries in order of use: the first is the least recently used. Made when there is one: many maps stay empty. */
  #entries: Map<Key, Value> | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** Whether the key has an entry. Does not count as a use. */
  has(key: Key): boolean {
    return this.#entries?.has(key) === true;
  }

  /** Returns the value of a key. Does not count as a use. */
  get(key: Key): Value | undefined {
    return this.#entries?.get(key);
  }

  /** Returns the value of a key. The key is the most recently used one afterwards. */
  use(key: Key): Value | undefined {
    const value = this.#entries?.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** Sets the value of a key. The key is the most recently used one afterwards. */
  set(key: Key, value: Value): void {
    // A map keeps the order in which keys were added, so deleting the key first moves it to the end.
    const entries = (this.#entries ??= new Map());
    entries.delete(key);
    entries.set(key, value);
    if (entries.size > this.#limit) entries.delete(entries.keys().next().value as Key);
  }

  delete(key: Key): void {
    this.#entries?.delete(key);
  }

  /** Iterates over the entries, the least recently used first. */
  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    return (this.#entries ?? NOTHING).entries() as IterableIterator<[Key, Value]>;
  }

  /** Iterates over the values, the least recently used first. */
  values(): IterableIterator<Value> {
    return (this.#entries ?? NOTHING).values() as IterableIterator<Value>;
  }
}
