/**
 * The refresh tokens that this process has used up. `rotation.ts` uses this.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";

/** Weeks of hourly tokens. */
const REMEMBERED = 1000;

/**
 * Refresh tokens that this process has used up. A store, or another cache of the grant, may hand one back, and a server
 * that sees one twice ends the session. The first one is never forgotten, because the grant was made with it.
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
