/**
 * What the headers of an answer say about time: the server's own clock, and how long it asks to wait.
 *
 * @module
 */
import { systemClock } from "./clock.ts";

/**
 * What the server's clock showed, in epoch milliseconds (E2). A `Date` that a cache kept (`Age`) is too old to tell.
 */
export function serverTime(headers: Headers): number | undefined {
  return headers.has("age") ? undefined : httpDate(headers.get("date"));
}

/**
 * The `Retry-After` header in milliseconds; `undefined` when there is none. A date is compared with the server's own clock where
 * that is known.
 */
export function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d{1,12}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = httpDate(value);
  return date === undefined ? undefined : Math.max(0, date - (serverTime(headers) ?? systemClock.now()));
}

function httpDate(value: string | null): number | undefined {
  // Without this check, Date.parse reads any number as a year.
  const time = value?.endsWith("GMT") === true ? Date.parse(value) : NaN;
  return Number.isNaN(time) ? undefined : time;
}
