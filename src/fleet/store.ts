/**
 * The contract between a fleet and the engine through which its processes share tokens: one method, compare-and-swap.
 *
 * To write a store for another engine, implement {@link Store} and run the tests of `storeContract` (store-contract.ts)
 * on it. Two implementations to read are memory.ts and redis-swap.ts; `examples/fleet/postgres-store.ts` is one for
 * PostgreSQL. What the fleet writes into a store is in record.ts.
 *
 * @module
 */

/**
 * Keeps small values that several processes share, and changes them by compare-and-swap only.
 *
 * Implement this interface to run a fleet on another engine, and pass the implementation to `fleetStore`. The fleet
 * needs no other operation: it reads, takes and gives back a lease, publishes a token and replaces a rejected token
 * with `swap` alone.
 *
 * An implementation keeps the five clauses below. `storeContract` of `remint/fleet` tests clauses 1 to 4; the name of
 * each test begins with the number of the clause.
 *
 * 1. **Atomic.** `swap` compares and writes in one step. No other client of the engine can change the key between the
 *    comparison and the write, so a read followed by a separate write is not enough. The comparison sees the latest
 *    write: ask the primary, never a replica.
 * 2. **Versions.** Every stored value has a version: a non-empty string that only the store interprets. A different
 *    value under the same key has a different version. The same value written again may keep its version or get another
 *    one. A hash of the value is a suitable version, and so is a revision counter. `expected` can be a string that the
 *    store has never returned, in any format (for example `"?"`): the fleet reads with such a version. It matches
 *    nothing, so `swap` writes nothing and resolves with the current entry. It is not an error.
 * 3. **Expiry.** A value expires `ttl` milliseconds after it was written, by the clock of the engine. Do not compute
 *    the moment from the clock of a client, because the clocks of two hosts differ. An expired value counts as absent,
 *    even if the engine has not removed it yet. Every write sets the time anew: a shorter time also replaces a longer
 *    one, and a write of the same value counts as a write.
 * 4. **Values.** `swap` returns a value exactly as it was stored. A key may also hold data that the fleet did not
 *    write: data of another type, or bytes that are not text. For such a key `swap` may reject. Or it returns the data
 *    as text, with a version that matches the data, so that the fleet can replace it. `swap` never overwrites or
 *    deletes an entry whose version is not `expected`.
 * 5. **Failures.** `swap` rejects when the engine cannot be reached or refuses the operation. The write may have
 *    happened nevertheless; the fleet allows for this. `swap` needs no retries and no time limit of its own: the fleet
 *    limits every call and decides when to call again.
 *
 * Keys are printable ASCII, about 60 characters long with the default `prefix`. Each has one part in braces, `{...}`,
 * which Redis Cluster uses as a hash tag. Values are printable ASCII and usually shorter than 4 kB. Neither contains a
 * token or another secret in plain text, unless the fleet is told to store tokens unencrypted
 * (`encryptionKey: "none"`).
 */
export interface Store {
  /**
   * Writes or deletes the value of a key if its version is `expected`; otherwise changes nothing and returns the entry
   * that is stored.
   *
   * @param key The key.
   * @param expected The version that the stored value must have; `undefined`: the key must be absent.
   * @param next The value to write; `undefined`: delete the key.
   * @param ttl Milliseconds until `next` expires, a positive integer. It has no meaning when the key is deleted.
   */
  swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult>;
}

/** The result of a swap: either the swap was done, or it was refused because the version was not the expected one. */
export type SwapResult =
  | {
      /** `true`: the key was written or deleted. */
      readonly ok: true;
      /** The version of the value that was written; `undefined` after a deletion. */
      readonly version: string | undefined;
    }
  | {
      /** `false`: the version was not `expected`, and nothing was changed. */
      readonly ok: false;
      /** The entry that is stored under the key; `undefined` if the key is absent. */
      readonly current: StoreEntry | undefined;
    };

/** A value that is stored under a key. */
export interface StoreEntry {
  /** The value, exactly as it was written. */
  readonly value: string;
  /** The version of the value: a non-empty string that only the store interprets. */
  readonly version: string;
  /** Milliseconds until the value expires, by the clock of the engine; negative if the engine cannot tell. */
  readonly ttl: number;
}
