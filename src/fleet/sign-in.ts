/**
 * Whose session a record holds. Two processes with one refresh token share its record; a new sign-in brings another refresh
 * token, and its record replaces the old session's.
 *
 * The record keeps an HMAC of the state it began with, not that state. A seed that is neither the record's nor one of
 * those before it belongs to a newer sign-in, but only the first time this process looks: after that it has told the
 * fleet, and another seed there is somebody's who came later.
 *
 * @module
 */
import type { Facts } from "./record.ts";
import type { Seal } from "./seal.ts";

/** Sign-ins a record remembers, to know a late process from a new one. */
const REMEMBERED = 8;

/** The sign-in of one cache. */
export class SignIn {
  readonly #state: unknown;
  readonly #seals: readonly Seal[];
  #isKnown = false;

  /** @param state What the grant began with; `undefined`: there is no session. */
  constructor(state: unknown, seals: readonly Seal[]) {
    this.#state = state;
    this.#seals = seals;
  }

  /** The part of a new record's facts. */
  async facts(): Promise<Pick<Facts, "state" | "seed">> {
    if (this.#state === undefined) return {};
    return { state: this.#state, seed: await this.#seed(this.#seals[0]!) };
  }

  /** What a record has to become, when it is of an older sign-in than this. */
  async replaces({ seed, oldSeeds = [], mints }: Facts): Promise<Facts | undefined> {
    if (this.#state === undefined || seed === undefined || this.#isKnown) return undefined;
    if (await this.#isOwn([seed, ...oldSeeds])) {
      this.#isKnown = true;
      return undefined;
    }
    const own = await this.facts();
    return { ...own, mints, strikes: 0, fails: 0, oldSeeds: [...oldSeeds, seed].slice(-REMEMBERED) };
  }

  /** A seed names the key that made it, so that it is known again after a change of the encryption key. */
  async #isOwn(seeds: readonly string[]): Promise<boolean> {
    const own = new Set(await Promise.all(this.#seals.map((seal) => this.#seed(seal))));
    if (seeds.some((seed) => own.has(seed))) return true;
    const ids = await Promise.all(this.#seals.map((seal) => seal.id()));
    // Made with a key this process does not have: it can not say that the session is another one.
    return !ids.some((id) => seeds[0]!.startsWith(`${id}.`));
  }

  async #seed(seal: Seal): Promise<string> {
    return `${await seal.id()}.${await seal.mac(JSON.stringify(this.#state))}`;
  }
}
