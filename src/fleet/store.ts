/**
 * The contract between a fleet and the engine through which its processes share tokens: one method, compare-and-swap.
 *
 * To write a store for another engine, implement {@link Store} and run the tests of `storeContract` (store-contract.ts)
 * on it. Two implementations to read are memory.ts and redis-swap.ts; `examples/fleet/postgres-store.ts` is one for
 * PostgreSQL. What the fleet writes into a store is in record.ts. What stores for MariaDB 10.11, NATS 2.9 and PostgreSQL
 * got wrong at first is in the notes of {@link Store}.
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
 * which Redis Cluster uses as a hash tag. Values are printable ASCII and usually shorter than 4 kB; a record with the
 * most access tokens that it keeps, 8 of 4,000 characters, has about 46 kB. Neither contains a token or another secret
 * in plain text, unless the fleet is told to store tokens unencrypted (`encryptionKey: "none"`).
 *
 * Notes for those who write one:
 *
 * - **SQL.** Put the version into the `WHERE` of the one statement that writes, and take the number of affected rows as
 *   the outcome: matched rows, where a client can also count changed ones. A `SELECT` and then a write in one
 *   transaction is not atomic at `READ COMMITTED` or `REPEATABLE READ`. `FOR UPDATE` does not help where there is no
 *   row to lock: at `READ COMMITTED` two processes create the value, at `REPEATABLE READ` the engine reports a
 *   deadlock. Read the entry for a refusal in a statement of its own and not inside a transaction, whose snapshot may
 *   be older than the last write.
 * - **`swap(key, undefined, undefined)`** deletes what must be absent. It follows from the rest: if the key is absent,
 *   `{ ok: true, version: undefined }` and nothing is written, otherwise a refusal with the entry. The fleet does not
 *   ask for it.
 * - **Versions of any format.** If versions are numbers in the engine, compare them as text: `"?"` must not be a syntax
 *   error. If a version is a hash, it is one of the bytes.
 * - **The time of the statement.** `NOW()` of MariaDB, and `now()` of PostgreSQL, are the time at which the statement
 *   or the transaction began, which may have waited for a lock since. `SYSDATE(6)` and `clock_timestamp()` are the
 *   time.
 * - **Expired and not yet removed.** Where the engine removes values late, or a job does, compare the time in every
 *   statement: in the condition of a write, and in the read of a refusal.
 * - **Seconds.** Where the engine counts in seconds, round `ttl` up, and return what is left in milliseconds. A lease
 *   is three seconds long, so a second more is bearable and a second less is not.
 * - **No clock.** NATS KV before 2.11 has no time to live per key, and no clock to ask. A store that keeps the moment
 *   in the value compares the clocks of its clients, so it keeps clause 3 on one host only. If the clocks differ by a
 *   part of a lease at most, it works. Where the time that is left is not known, return a negative `ttl`: the fleet
 *   then reads the time of writing in the record, and takes over a lease that has not changed for twice its length
 *   whatever the clocks say.
 * - **Characters.** Keys hold `:` and braces. NATS KV refuses both:
 *   write keys in hexadecimal or base64url there, and never drop a character. A collation that ignores case, accents or
 *   spaces at the end takes two keys for one: use `utf8mb4_bin` or `VARBINARY` for keys, versions and values.
 * - **Sizes.** `TEXT` of MariaDB ends below 64 KiB: use `MEDIUMTEXT`. NATS takes 1 MiB by default. `storeContract`
 *   writes 65,537 characters.
 *
 * unstorage, Keyv and Cloudflare KV cannot serve as an engine. They have `get`, `set` and `delete`, and no write that
 * depends on what is stored: between a `get` and a `set` another process writes. Cloudflare KV moreover answers with
 * old values for a while. Pass the client of the database itself.
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
