/**
 * The way of one request from a rejected token to another one.
 *
 * - C6 If the cached token is not the rejected one, it is used and nothing is minted.
 * - C7 A flight begun before the request's rejection may answer its first renewal, not its second.
 * - Q5 A token that is older than the rejection is not final: if it is rejected too, the re-mint is still owed.
 * - Q7 A renewal always yields a token, possibly the same value, or the mint's error.
 *
 * @module
 */
import { isSameToken } from "./storm-guard.ts";
import type { RemintError } from "../base/errors.ts";
import type { AccessTokenRecord } from "./access-token.ts";
import type { CachedToken } from "./expiry.ts";
import type { Flight } from "./single-flight.ts";
import type { TokenIdentity } from "./storm-guard.ts";
import type { AccessToken, Renewal, RenewedToken, RequestTarget } from "./types.ts";

/** What a renewal needs of its cache. */
export interface RenewalHost {
  current(): CachedToken | undefined;
  flight(): Flight<AccessTokenRecord> | undefined;
  /** The failure that a mint would only repeat now (C9). */
  failure(): RemintError | undefined;
  /** Begins to replace the tokens with these values; `isOwed`: by a mint, or what others minted for a rejection. */
  begin(values: readonly string[], isOwed: boolean): Flight<AccessTokenRecord>;
  /** Charges a mint to the storm guard (C8); once for all who were rejected with the same token. */
  charge(token: TokenIdentity, site: RequestTarget): boolean;
  /** Charges the mint, if there has to be one, and lets go of the token (C6); `false`: the guard is closed. */
  reject(token: TokenIdentity, site: RequestTarget, costsMint: boolean): boolean;
}

/** {@link Renewal} over a {@link RenewalHost}. */
export class TokenRenewal implements Renewal {
  readonly #host: RenewalHost;
  readonly #site: RequestTarget;
  /** The number of the last flight begun before the request's first rejection. */
  readonly #before: number;
  #rejected: TokenIdentity;
  /** Everything it was rejected with. */
  readonly #values: string[];
  #second = false;

  constructor(host: RenewalHost, rejected: TokenIdentity, site: RequestTarget, before: number) {
    this.#host = host;
    this.#rejected = rejected;
    this.#values = [rejected.value];
    this.#site = site;
    this.#before = before;
  }

  async next(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<RenewedToken> {
    for (;;) {
      const current = this.#host.current();
      if (current !== undefined && this.#answers(current.token)) return this.#yield(current.token);
      const flight = this.#host.flight() ?? this.#begin(current);
      // The guard closed while the answer was drained: what there is, once more, is all that can be had.
      if (flight === undefined) return { token: current!.token, final: true };
      const token = await flight.wait(options.signal);
      if (this.#answers(token) || this.#wasMintedBy(flight, token)) return this.#yield(token);
    }
  }

  again(token: AccessToken): boolean {
    this.#second = true;
    this.#rejected = token as AccessTokenRecord;
    this.#values.push(token.value);
    const current = this.#host.current();
    if (current !== undefined && this.#answers(current.token)) return true;
    const flight = this.#host.flight();
    const isFresh = flight !== undefined && flight.number > this.#before;
    const costsMint = !isFresh && this.#host.failure() === undefined;
    return this.#host.reject(this.#rejected, this.#site, costsMint);
  }

  /** Whatever was minted after the rejection, be it the same value again (Q7); at first any other token as well (C6). */
  #answers(token: AccessTokenRecord): boolean {
    if (token.freshness === "minted") {
      const isNew = token.flight > this.#before && !isSameToken(token, this.#rejected);
      return isNew || (!this.#second && token.value !== this.#rejected.value);
    }
    // Another process minted it: at first any other will do, then only one that was minted for a rejection.
    return !this.#values.includes(token.value) && (!this.#second || token.freshness === "renewed");
  }

  /** A flight begun after the rejection: what it minted is an answer even if it is not kept. */
  #wasMintedBy(flight: Flight<AccessTokenRecord>, token: AccessTokenRecord): boolean {
    return flight.number > this.#before && token.freshness === "minted";
  }

  #yield(token: AccessTokenRecord): RenewedToken {
    // The second renewal is the last in any case; a token that others minted may be older than the first rejection (Q5).
    return { token, final: this.#second || (token.flight > this.#before && token.freshness === "minted") };
  }

  /** Begins the mint that was charged; `undefined` when it cannot be and there is a token to fall back on. */
  #begin(current: CachedToken | undefined): Flight<AccessTokenRecord> | undefined {
    const failure = this.#host.failure();
    if (failure !== undefined) throw failure;
    const paid = this.#host.charge(this.#rejected, this.#site);
    if (!paid && current !== undefined) return undefined;
    return this.#host.begin(this.#values, this.#second);
  }
}
