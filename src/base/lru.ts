/**
 * A map with a limit: when it is full, the entry that was set or read longest ago goes.
 *
 * @module
 */

/** A map of at most `most` entries. */
export class LruMap<Key, Value> {
  readonly #most: number;
  /** In order of use: the first entry is the least recently used. */
  readonly #entries = new Map<Key, Value>();

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether there is an entry. Does not count as a use. */
  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  /** The value of a key. Does not count as a use: see {@link LruMap.use}. */
  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  /** The value of a key, which is now the most recently used one. */
  use(key: Key): Value | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** Sets the value of a key, which is now the most recently used one. */
  set(key: Key, value: Value): void {
    // Deleted and set: a map keeps the order in which its keys were added.
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#most) this.#entries.delete(this.#entries.keys().next().value as Key);
  }

  delete(key: Key): void {
    this.#entries.delete(key);
  }

  /** Every entry, the least recently used first. */
  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    return this.#entries.entries();
  }

  /** Every value, the least recently used first. */
  values(): IterableIterator<Value> {
    return this.#entries.values();
  }
}
