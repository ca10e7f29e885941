/**
 * How one request gets another token after its own was rejected.
 *
 * - If the cached token is not the rejected one, the request uses it and nothing is minted (C6).
 * - The result of a flight that began before the rejection is good enough for the first renewal, but not for the second
 *   (C7).
 * - Where a mint has to wait for its turn, the request waits (C8). If the API turns out to reject every token, the request
 *   sends the token it had once more, and that answer is the caller's.
 * - A token that may be older than the rejection is not final: if it is rejected too, the request gets a second renewal
 *   (Q5). A request is sent three times with a token at most.
 * - A renewal yields a token, possibly with the same value, or the error of the mint (Q7).
 *
 * Whether a rejection may cost a mint is decided in `rejections.ts`. How often a request is sent again is decided in
 * `policy/request-policy.ts`.
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { isSameToken, Place } from "./rejections.ts";
import { REPLACED } from "./supply.ts";
import type { Clock } from "../base/clock.ts";
import type { Rejection } from "../base/errors.ts";
import type { AccessTokenRecord } from "./access-token.ts";
import type { CachedToken } from "./expiry.ts";
import type { Failure } from "./failures.ts";
import type { Answer, Turn } from "./rejections.ts";
import type { Flight } from "./single-flight.ts";
import type { AccessToken, Renewal, RenewedToken, RequestTarget } from "./types.ts";

/** What a renewal needs of its cache. */
export interface RenewalHost {
  readonly clock: Clock;
  /** Milliseconds that a request waits for its turn at most. */
  readonly mintTimeout: number;
  /** The token of the cache, unless it is known to be rejected and is being replaced. */
  current(): CachedToken | undefined;
  flight(): Flight<AccessTokenRecord> | undefined;
  /** The failure that a mint would only repeat now (C9). */
  failure(): Failure | undefined;
  /**
   * Begins to replace the tokens with these values. `mustBeFresh`: accept only a token that was minted because of a
   * rejection.
   */
  begin(values: readonly string[], mustBeFresh: boolean): Flight<AccessTokenRecord>;
  /** Asks for a mint that replaces a token (C8), unless that mint was granted already. */
  ask(token: AccessTokenRecord, site: RequestTarget): Answer;
  /** A request stops to wait. */
  leave(place: Place): void;
  /** Whether a token belongs to a session in whose place there is another (C15). */
  isOfOtherSession(token: AccessTokenRecord): boolean;
}

/** What {@link Renewal.next} takes. */
interface NextOptions {
  readonly signal?: AbortSignal | undefined;
  readonly rejected?: Rejection | undefined;
}

/** Sends of one request with a token. */
const MOST_SENDS = 3;

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
  #sends = 1;
  /** Where the request waits for its turn. */
  #place: Place | undefined;
  /** Milliseconds that it may still wait. */
  #patience: number;

  constructor(host: RenewalHost, rejected: AccessTokenRecord, site: RequestTarget, before: number, place?: Place) {
    this.#host = host;
    this.#rejected = rejected;
    this.#values = [rejected.value];
    this.#site = site;
    this.#before = before;
    this.#place = place;
    this.#patience = host.mintTimeout;
  }

  async next(options: NextOptions = {}): Promise<RenewedToken> {
    this.#sends++;
    for (;;) {
      this.#assertSession(options.rejected);
      const current = this.#host.current();
      if (current !== undefined && this.#answers(current.token)) return this.#yield(current.token);
      let flight = this.#host.flight();
      if (flight === undefined) {
        const failure = this.#host.failure();
        if (failure !== undefined) throw failure.toError(options.rejected);
        // Others may have been rejected with the same token meanwhile, or the grant of a mint may have been used.
        const answer = this.#place ?? this.#host.ask(this.#rejected, this.#site);
        this.#place = undefined;
        if (answer === "refused") return { token: this.#rejected, final: true };
        if (answer instanceof Place) {
          const turn = await this.#wait(answer, options.signal);
          if (turn === "granted") continue;
          return { token: this.#rejected, final: turn === "released" || this.#sends > 2 };
        }
        flight = this.#host.begin(this.#values, this.#second);
      }
      const token = await flight.wait(options.signal, options.rejected);
      if (token.session !== this.#rejected.session) this.#assertSession(options.rejected);
      if (this.#answers(token) || this.#wasMintedBy(flight, token)) return this.#yield(token);
    }
  }

  again(token: AccessToken): boolean {
    this.#second = true;
    this.#rejected = token as AccessTokenRecord;
    this.#values.push(token.value);
    if (this.#sends >= MOST_SENDS) return false;
    const current = this.#host.current();
    if (current !== undefined && this.#answers(current.token)) return true;
    if (this.#host.flight() !== undefined || this.#host.failure() !== undefined) return true;
    const answer = this.#host.ask(this.#rejected, this.#site);
    if (answer instanceof Place) this.#place = answer;
    return answer !== "refused";
  }

  /** Waits for the turn, for as long as the request may. */
  async #wait(place: Place, signal: AbortSignal | undefined): Promise<Turn> {
    const { clock } = this.#host;
    const since = clock.monotonic();
    let leave!: () => void;
    let timer: { cancel(): void } | undefined;
    const turn = new Promise<Turn>((resolve) => {
      leave = place.join(resolve);
      const started = clock.setTimeout(() => resolve("released"), Math.max(0, this.#patience));
      started.hold(true);
      timer = started;
    });
    try {
      return await leaveOnAbort(turn, signal);
    } finally {
      timer?.cancel();
      leave();
      this.#host.leave(place);
      this.#patience -= clock.monotonic() - since;
    }
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
    const isFresh = token.flight > this.#before && token.freshness === "minted";
    // In the first renewal, a token of another process may be older than the rejection (Q5).
    return { token, final: this.#sends >= MOST_SENDS || (this.#second && isFresh) || isFresh };
  }
}
