/**
 * Reads points in time as servers, libraries and users write them.
 *
 * Not here: what they say of a token's life (`core/expiry.ts`), and the dates of HTTP headers that are clocks (`server-time.ts`).
 *
 * @module
 */
/** Numbers from here on are epoch milliseconds, smaller ones epoch seconds. As seconds, this is the year 5138. */
const MILLISECONDS_FROM = 1e11;
/** ISO 8601, and what databases make of it: a space in place of the T, the hours of a zone alone. */
const ISO_DATE = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$/i;
/** The dates of HTTP headers (RFC 9110 section 5.6.7). `Date.parse` alone would make a date of `Monday 5 GMT`. */
const HTTP_DATE = /^[A-Z][a-z]{2,8}, \d.* GMT$/;

/**
 * Reads a date as epoch milliseconds: a `Date`, a date as text, or a number, which is epoch seconds to most servers and
 * milliseconds to some. `undefined` for what says nothing.
 */
export function dateOf(value: unknown): number | undefined {
  if (!isNumeric(value)) return momentOf(value);
  const number = positiveNumber(value);
  return number === undefined || number >= MILLISECONDS_FROM ? number : number * 1000;
}

/** Reads a date whose numbers are epoch milliseconds. */
export function epochMs(value: unknown): number | undefined {
  if (!isNumeric(value)) return momentOf(value);
  return Number.isFinite(Number(value)) ? Number(value) : undefined;
}

/** Whether a value is a date, or a number that stands for one. A number that is no time says nothing (E3). */
export function isReadableDate(value: unknown): boolean {
  return isNumeric(value) || momentOf(value) !== undefined;
}

/** Reads a `Date`, or a date as text, as epoch milliseconds. */
function momentOf(value: unknown): number | undefined {
  // Not `instanceof`: in Jest the dates of Node's own modules have another constructor.
  const isDate = Object.prototype.toString.call(value) === "[object Date]";
  const time = isDate ? (value as Date).getTime() : typeof value === "string" ? parsed(value.trim()) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** Reads a date as text. Without a zone it is UTC, where JavaScript would take it for local time. */
function parsed(text: string): number {
  const [, day, time = "00:00", zone = "Z"] = ISO_DATE.exec(text) ?? [];
  if (day === undefined) return HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN;
  const offset = /^[+-]/.test(zone) ? `${zone.slice(0, 3)}:${zone.slice(3).replace(":", "") || "00"}` : "Z";
  return Date.parse(`${day}T${time}${offset}`);
}

/** Reads a positive number, or a string that holds one: some servers quote their numbers. */
export function positiveNumber(value: unknown): number | undefined {
  const number = isNumeric(value) ? Number(value) : 0;
  return number > 0 && number < Infinity ? number : undefined;
}

/** Whether a value is a number, or a text that is one. */
export function isNumeric(value: unknown): boolean {
  return (
    typeof value === "number" || (typeof value === "string" && value.trim() !== "" && !Number.isNaN(Number(value)))
  );
}
