/**
 * How one request gets another token after its own was rejected.
 *
 * - If the cached token is not the rejected one, the request uses it and nothing is minted (C6).
 * - The result of a flight that began before the rejection is good enough for the first renewal, but not for the second
 *   (C7).
 * - A token that may be older than the rejection is not final: if it is rejected too, the request gets a second renewal
 *   (Q5).
 * - A renewal yields a token, possibly with the same value, or the error of the mint (Q7).
 *
 * Whether a rejection may cost a mint is decided in `storm-guard.ts`. How often a request is sent again is decided in
 * `policy/request-policy.ts`.
 *
 * @module
 */
import { isSameToken } from "./storm-guard.ts";
import { REPLACED } from "./supply.ts";
import type { Rejection } from "../base/errors.ts";
import type { AccessTokenRecord } from "./access-token.ts";
import type { CachedToken } from "./expiry.ts";
import type { Failure } from "./failures.ts";
import type { Flight } from "./single-flight.ts";
import type { TokenIdentity } from "./storm-guard.ts";
import type { AccessToken, Renewal, RenewedToken, RequestTarget } from "./types.ts";

/** What a renewal needs of its cache. */
export interface RenewalHost {
  current(): CachedToken | undefined;
  flight(): Flight<AccessTokenRecord> | undefined;
  /** The failure that a mint would only repeat now (C9). */
  failure(): Failure | undefined;
  /**
   * Begins to replace the tokens with these values. `mustBeFresh`: accept only a token that was minted because of a
   * rejection.
   */
  begin(values: readonly string[], mustBeFresh: boolean): Flight<AccessTokenRecord>;
  /** Charges a mint to the storm guard (C8); once for all requests that were rejected with the same token. */
  charge(token: TokenIdentity, site: RequestTarget): boolean;
  /** Charges the mint, if one is needed, and forgets the token (C6). `false`: the storm guard refuses. */
  reject(token: TokenIdentity, site: RequestTarget, costsMint: boolean): boolean;
  /** Whether a token belongs to a session in whose place there is another (C15). */
  isOfOtherSession(token: AccessTokenRecord): boolean;
}

/** What {@link Renewal.next} takes. */
interface NextOptions {
  readonly signal?: AbortSignal | undefined;
  readonly rejected?: Rejection | undefined;
}

/** {@link Renewal} over a {@link RenewalHost}. */
export class TokenRenewal implements Renewal {
  readonly #host: RenewalHost;
  readonly #site: RequestTarget;
  /** The number of the last flight begun before the request's first rejection. */
  readonly #before: number;
  #rejected: AccessTokenRecord;
  /** The values of all tokens that the request was rejected with. */
  readonly #values: string[];
  #second = false;

  constructor(host: RenewalHost, rejected: AccessTokenRecord, site: RequestTarget, before: number) {
    this.#host = host;
    this.#rejected = rejected;
    this.#values = [rejected.value];
    this.#site = site;
    this.#before = before;
  }

  async next(options: NextOptions = {}): Promise<RenewedToken> {
    for (;;) {
      this.#assertSession(options.rejected);
      const current = this.#host.current();
      if (current !== undefined && this.#answers(current.token)) return this.#yield(current.token);
      const flight = this.#host.flight() ?? this.#begin(current, options.rejected);
      // The storm guard began to refuse after the rejection was charged: the request tries the cached token once more.
      if (flight === undefined) return { token: current!.token, final: true };
      const token = await flight.wait(options.signal, options.rejected);
      if (token.session !== this.#rejected.session) this.#assertSession(options.rejected);
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

  /** The request was sent under a session, and is not sent under another. */
  #assertSession(rejected: Rejection | undefined): void {
    if (this.#host.isOfOtherSession(this.#rejected)) throw REPLACED.toError(rejected);
  }

  /**
   * Whether a token is good enough: it was minted after the rejection (Q7), or this is the first renewal and it is
   * another token (C6).
   */
  #answers(token: AccessTokenRecord): boolean {
    if (token.freshness === "minted") {
      const isNew = token.flight > this.#before && !isSameToken(token, this.#rejected);
      return isNew || (!this.#second && token.value !== this.#rejected.value);
    }
    // Another process minted it. The first renewal accepts any other token, the second only one minted for a rejection.
    return !this.#values.includes(token.value) && (!this.#second || token.freshness === "renewed");
  }

  /**
   * Whether a flight that began after the rejection minted the token. Such a token counts even if the cache did not
   * keep it.
   */
  #wasMintedBy(flight: Flight<AccessTokenRecord>, token: AccessTokenRecord): boolean {
    return flight.number > this.#before && token.freshness === "minted";
  }

  #yield(token: AccessTokenRecord): RenewedToken {
    // The second renewal is always the last one. In the first, a token of another process may be older than the
    // rejection (Q5).
    return { token, final: this.#second || (token.flight > this.#before && token.freshness === "minted") };
  }

  /**
   * Begins the mint that was charged. `undefined` when the storm guard refuses and there is a cached token to use
   * instead.
   */
  #begin(current: CachedToken | undefined, rejected: Rejection | undefined): Flight<AccessTokenRecord> | undefined {
    const failure = this.#host.failure();
    if (failure !== undefined) throw failure.toError(rejected);
    const paid = this.#host.charge(this.#rejected, this.#site);
    if (!paid && current !== undefined) return undefined;
    return this.#host.begin(this.#values, this.#second);
  }
}
