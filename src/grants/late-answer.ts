/**
 * Token responses that arrive, or are used, after the mint that requested them has ended. `rotation.ts` uses this.
 *
 * @module
 */
import { systemClock, type Timer } from "../base/clock.ts";
import { lifetimeOf } from "../core/expiry.ts";
import type { TokenResponse } from "../core/types.ts";

/** Milliseconds a request may go on after its mint gave up. */
const PATIENCE = 30_000;
/** Milliseconds an access token must still be good for to be used late. */
const WORTH_USING = 10_000;

/** A signal that fires some time after `signal` has. */
export function patient(signal: AbortSignal): { readonly signal: AbortSignal; readonly end: () => void } {
  const own = new AbortController();
  let timer: Timer | undefined;
  const wait = (): void => {
    timer = systemClock.setTimeout(() => own.abort(signal.reason), PATIENCE);
  };
  if (signal.aborted) own.abort(signal.reason);
  else signal.addEventListener("abort", wait, { once: true });
  return {
    signal: own.signal,
    end() {
      timer?.cancel();
      signal.removeEventListener("abort", wait);
    },
  };
}

/** The response as if its request had been sent so many milliseconds later: when the mint began that returns it. */
export function aged(response: TokenResponse, age: number): TokenResponse {
  if (age <= 0) return response;
  const { expires_in: seconds, serverTime } = response;
  return {
    ...response,
    // Not zero: that would say nothing about the lifetime (E3).
    ...(typeof seconds === "number" && { expires_in: Math.max(1, seconds - age / 1000) }),
    ...(serverTime !== undefined && { serverTime: serverTime + age }),
  };
}

/** Whether a token that was minted some time ago is still good for long enough. */
export function isWorthUsing(response: TokenResponse, now: number): boolean {
  return lifetimeOf(response, { sentAt: now, defaultTtl: Infinity, seeded: true }).ms > WORTH_USING;
}
