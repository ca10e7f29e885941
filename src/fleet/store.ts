/**
 * What a fleet needs of the place where it shares tokens: one method, compare-and-swap.
 *
 * Everything the fleet protocol does is one `swap`: taking a lease, reading, publishing a token over one's own lease and
 * nobody else's, replacing a rejected token by value, releasing. Two calls (compare, then set) would leave a moment in
 * which another process takes what was just let go.
 *
 * To write a store for another engine, write `swap` so that all of this holds; `storeContract` of `remint/fleet` is the
 * same list as tests:
 *
 * 1. **Atomic.** Comparing and writing is one step for everybody who uses the engine. The comparison sees the latest
 *    write: ask the primary, never a replica.
 * 2. **Versions.** Every value that is stored has a version: an opaque, non-empty string. Another value has another
 *    version; the same bytes written again may keep theirs (a hash of the value is a fine version, a revision counter
 *    too). A version that nothing in the engine has, whatever it looks like, can be asked for, to read: it matches
 *    nothing and is no error.
 * 3. **Expiry.** What was written with `ttl` is gone that many milliseconds later, by the engine's clock; no clock of a
 *    client is involved. An expired value counts as absent even if the engine has not removed it yet. Every write sets
 *    the time anew.
 * 4. **Whatever is there.** Values come back as they are stored. Where the key holds something else (another program's
 *    data, bytes that are no text), `swap` may reject, or return it as text with a version that matches it, so that it
 *    can be replaced; never overwrite what was not expected.
 * 5. **Failing.** Reject when the engine cannot be reached or refuses. It may have written nevertheless; the protocol
 *    reckons with that. There is no need to retry or to limit the time: the fleet does both.
 *
 * Keys are printable ASCII, about 80 characters, with one `{...}` part (a hash tag of Redis Cluster). Values are
 * printable ASCII, usually under 4 kB. Neither holds a token or a secret in the clear (S6).
 *
 * @module
 */

/** A value that is stored. */
export interface StoreEntry {
  readonly value: string;
  /** Changes with the value; opaque. */
  readonly version: string;
  /** Milliseconds it still has, by the engine's clock; negative when the engine does not know. */
  readonly ttl: number;
}

/** What a swap came to: done, or what is there instead of what was expected. */
export type SwapResult =
  | {
      readonly ok: true;
      /** The version of what is stored now; `undefined` after a deletion. */
      readonly version: string | undefined;
    }
  | {
      readonly ok: false;
      /** What is stored; `undefined` when there is nothing. */
      readonly current: StoreEntry | undefined;
    };

/** A place where processes share small values, with compare-and-swap. See the top of this file for its contract. */
export interface Store {
  /**
   * Writes `next` if the key's version is `expected`, and says what is there otherwise.
   *
   * @param expected The version to replace; `undefined`: there must be nothing.
   * @param next The value to store; `undefined`: delete.
   * @param ttl Milliseconds `next` is kept, a positive whole number; ignored when deleting.
   */
  swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult>;
}
