import { LruMap } from "../base/lru.ts";

/** Weeks of hourly tokens. */
const REMEMBERED = 1000;

/**
 * Refresh tokens that were used up here, to know them again: a store, or another cache of the grant that was idle for long,
 * may hand one back, and a server that sees one twice ends the session. The first is never forgotten: a grant is made
 * with it.
 */
export class UsedTokens {
  #first: string | undefined;
  readonly #last = new LruMap<string, true>(REMEMBERED);

  has(token: string): boolean {
    return token === this.#first || this.#last.has(token);
  }

  add(token: string): void {
    this.#first ??= token;
    this.#last.set(token, true);
  }
}
