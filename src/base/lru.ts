/**
 * A map with a limit: when the map is full, adding an entry removes the least recently used one.
 *
 * @module
 */

/**
 * A map of at most `limit` entries. Setting an entry is a use of it; reading is one only through {@link LruMap.use}.
 */
export class LruMap<Key, Value> {
  readonly #limit: number;
  /** The entries in order of use: the first is the least recently used. */
  readonly #entries = new Map<Key, Value>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether the key has an entry. Does not count as a use. */
  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  /** Returns the value of a key. Does not count as a use. */
  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  /** Returns the value of a key. The key is the most recently used one afterwards. */
  use(key: Key): Value | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** Sets the value of a key. The key is the most recently used one afterwards. */
  set(key: Key, value: Value): void {
    // A map keeps the order in which keys were added, so deleting the key first moves it to the end.
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value as Key);
  }

  delete(key: Key): void {
    this.#entries.delete(key);
  }

  /** Iterates over the entries, the least recently used first. */
  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    return this.#entries.entries();
  }

  /** Iterates over the values, the least recently used first. */
  values(): IterableIterator<Value> {
    return this.#entries.values();
  }
}
