/**
 * Checks of single options. A failed check throws a `TypeError` that names the option, what is expected and the kind of
 * the value. The value itself is never printed, because it may be a secret (S5).
 *
 * URLs are checked in `url.ts`, keys in `keys.ts`. The options of a cache as a whole are in `core/options.ts`.
 *
 * @module
 */
import { isPlain } from "./bytes.ts";

/** Describes the kind of a value in words that are safe to print, for example `an empty string` or `a Response`. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (value === "") return "an empty string";
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "number" && value < 0) return "a negative number";
  if (isThenable(value)) return "a promise that was not awaited";
  if (typeof value === "object") return nameOfKind(value);
  return value === undefined ? "undefined" : `a ${typeof value}`;
}

/** Whether `value` can be awaited: a promise of any implementation. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (Object(value) as Partial<PromiseLike<unknown>>).then === "function";
}

/** The kind of an object as the language and the platform name it. Whoever passes `fetch(url)` reads that it is a Response. */
function nameOfKind(value: object): string {
  const name = Object.prototype.toString.call(value).slice(8, -1);
  return name === "Object" ? "an object" : `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
}

/** The errors that were made here. Their messages hold no value, so that a hint may repeat them. */
const made = new WeakSet<object>();

function madeError(message: string): TypeError {
  const error = new TypeError(message);
  made.add(error);
  return error;
}

/** Returns the message of an error for a wrong option; `undefined` for any other error. */
export function optionMessageOf(error: unknown): string | undefined {
  return made.has(Object(error) as object) ? (error as Error).message : undefined;
}

/** Returns the error for a wrong option: `"name" must be <expected>, got <kind of the value>`. */
export function optionError(name: string, value: unknown, expected: string): TypeError {
  return madeError(`"${name}" must be ${expected}, got ${kindOf(value)}`);
}

/** @throws {TypeError} When `value` is not an object. Its members may have any names. */
export function assertObject(name: string, value: unknown): asserts value is object {
  if (!isObject(value)) throw optionError(name, value, "an object");
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** The names of all options of a type; of a union, those of all its members. */
type OptionName<Options> = Options extends unknown ? keyof Options & string : never;

/** Fits every list if none of `All` is missing in `Listed`. Otherwise the error of the compiler names those that are. */
type Complete<All, Listed> = [Exclude<All, Listed>] extends [never]
  ? unknown
  : { readonly missing: Exclude<All, Listed> };

/**
 * Checks the options of a public function as a whole. Without this check, a misspelt option would be ignored in JavaScript.
 *
 * Names are checked in plain objects only. An instance of a class may have other members: it is a structure of the user's
 * own, which happens to have the options too. One that has none of them is another argument: a signal, a promise, a token
 * pool. A member that is `undefined` counts as not there.
 *
 * @param where The public function that was called, for the message.
 * @param known The names of all options that it has. A list that lacks a name of the type, or has another, does not compile.
 * @throws {TypeError} When `options` is not an object, or when one of its members is no option. The message names the
 *   option that is meant most likely.
 */
export function assertOptions<Options, const Known extends readonly OptionName<Options>[]>(
  where: string,
  options: Options,
  known: Known & Complete<OptionName<Options>, Known[number]>,
): asserts options is Options & object {
  const names: readonly string[] = known;
  if (!isObject(options) || (!isPlain(options) && !names.some((name) => name in options))) {
    throw madeError(`${where} takes options such as { ${known[0]} }, got ${kindOf(options)}`);
  }
  // A loop without a copy of the names, because `get({ signal })` comes here too (C1). The value of a known option is not
  // read: it may come from a getter, which is asked once.
  for (const name in options) {
    if (!names.includes(name) && hasOwnValue(options, name) && isPlain(options)) {
      throw unknownOptionError(where, name, names);
    }
  }
}

/**
 * Does what {@link assertOptions} does, and takes the options: each is read once, be it a getter or a member of a class.
 *
 * @returns A plain copy.
 */
export function takenOptions<Options, const Known extends readonly OptionName<Options>[]>(
  where: string,
  options: Options,
  known: Known & Complete<OptionName<Options>, Known[number]>,
): Options & object {
  assertOptions(where, options, known as never);
  const names: readonly (keyof Options)[] = known;
  return Object.fromEntries(names.map((name) => [name, options[name]])) as Options & object;
}

function hasOwnValue(object: object, name: string): boolean {
  return Object.hasOwn(object, name) && (object as Readonly<Record<string, unknown>>)[name] !== undefined;
}

function unknownOptionError(where: string, name: string, known: readonly string[]): TypeError {
  const near = nearestNames(name, known).map((each) => `"${each}"`);
  const advice = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `it has "${known.join('", "')}"`;
  return madeError(`${where} has no option "${name}": ${advice}`);
}

/**
 * Returns the known names that are meant most likely: those that begin and end like the given one. At most three of its
 * characters may be left between, and fewer than are alike. So a part of a name is near (`retries`: `mintRetries`), and so is
 * one slip, but not another word with the same beginning (`refreshToken`: `refreshBuffer`).
 */
function nearestNames(name: string, known: readonly string[]): string[] {
  const alike = known.map((other) => alikeAtEnds(lettersOf(name), lettersOf(other)));
  const most = Math.max(...alike);
  const left = lettersOf(name).length - most;
  return left > 3 || left >= most ? [] : known.filter((_, index) => alike[index] === most);
}

/** How many characters two texts have in common at the beginning and at the end. Infinitely many if they are the same. */
function alikeAtEnds(one: string, other: string): number {
  if (one === other) return Infinity;
  const shorter = Math.min(one.length, other.length);
  let first = 0;
  while (first < shorter && one[first] === other[first]) first++;
  let last = 0;
  while (first + last < shorter && one.at(-1 - last) === other.at(-1 - last)) last++;
  return first + last;
}

/** A name as one writes it in any style: `client_id`, `client-id` and `clientID` are `clientId`. */
function lettersOf(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/**
 * Returns the members of an option that is an object of named values.
 *
 * @throws {TypeError} When it is none. What has its values as entries (URLSearchParams, Headers, a Map) seems to have no member.
 */
export function membersOf(name: string, value: unknown): [name: string, value: unknown][] {
  if (!isObject(value)) throw optionError(name, value, "an object of strings");
  if (!(Symbol.iterator in value)) return Object.entries(value);
  throw new TypeError(
    `"${name}" must be an object of strings, got a list of entries: pass Object.fromEntries(${name})`,
  );
}

/** @throws {TypeError} When `value` is not a non-empty string. */
export function assertString(name: string, value: unknown): asserts value is string {
  if (typeof value !== "string" || value === "") throw optionError(name, value, "a non-empty string");
}

/** @throws {TypeError} When `value` is given and not a function. */
export function assertFunction(name: string, value: unknown): void {
  if (value !== undefined) requireFunction(name, value);
}

/** @throws {TypeError} When `value` is not a function. */
export function requireFunction(name: string, value: unknown, expected = "a function"): void {
  if (typeof value !== "function") throw optionError(name, value, expected);
}

/**
 * Returns a boolean option, or its default. Strings are refused: `"false"` from an environment variable would count as
 * true.
 *
 * @throws {TypeError} When `value` is given and neither `true` nor `false`.
 */
export function flag(name: string, value: unknown, fallback = false): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== "boolean") throw optionError(name, value, "true or false");
  return value;
}

/** @throws {TypeError} When `value` is no access token, but for example the token cache, or the promise of its `get()`. */
export function assertAccessToken(value: unknown): void {
  const { response } = Object(value) as { readonly response?: unknown };
  if (!isObject(response)) throw optionError("token", value, "an access token: what tokens.get() resolves with");
}

/** @throws {TypeError} When `value` is not a `Clock`. */
export function assertClock(value: unknown): void {
  for (const method of ["now", "monotonic", "setTimeout"]) {
    if (typeof (Object(value) as Record<string, unknown>)[method] !== "function") {
      throw optionError("clock", value, "a clock { now, monotonic, setTimeout }");
    }
  }
}

/** @throws {TypeError} When `value` is given and not a list of HTTP statuses. */
export function assertStatuses(name: string, value: unknown): void {
  if (value === undefined || (Array.isArray(value) && value.every(isStatus))) return;
  throw optionError(name, value, "a list of HTTP statuses such as [403]");
}

function isStatus(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 100 && (value as number) < 600;
}

/**
 * Returns a duration option in milliseconds, or its default. Zero is allowed.
 *
 * @throws {TypeError} When `value` is given and not a non-negative, finite number.
 */
export function duration(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw optionError(name, value, "a non-negative number of milliseconds");
  }
  return value;
}

/**
 * Returns an integer option, or its default.
 *
 * @param fallback Without one, the value has to be given.
 * @throws {TypeError} When `value` is given and not an integer of at least `least`.
 */
export function count(name: string, value: unknown, fallback: number | undefined, least = 0): number {
  if (value === undefined && fallback !== undefined) return fallback;
  if (!Number.isInteger(value) || (value as number) < least) {
    throw optionError(name, value, `an integer of at least ${least}`);
  }
  return value as number;
}

/** A string, or a function that is called for it before every use, so that a changed value takes effect. */
export type StringSource<Context extends readonly unknown[] = []> =
  | string
  | ((...context: Context) => string | Promise<string>);

/** @throws {TypeError} When `value` is neither a non-empty string nor a function. */
export function assertStringSource(name: string, value: unknown): void {
  if (typeof value === "function" || (typeof value === "string" && value !== "")) return;
  throw optionError(name, value, "a non-empty string, or a function that returns one");
}

/** RFC 3986 section 4.3: a URI with a scheme and without a fragment. */
export const ABSOLUTE_URI: RegExp = /^[a-z][a-z\d+.-]*:[^\s#]+$/i;

/**
 * Returns the scopes in an option: a list, or one string with white space between them.
 *
 * @throws {TypeError} As {@link stringList} does.
 */
export function scopeList(value: unknown): string[] {
  return stringList("scope", value)
    .flatMap((part) => part.split(/\s+/))
    .filter((part) => part !== "");
}

/**
 * Returns an option as a list of strings. An option that is not set is an empty list.
 *
 * @throws {TypeError} When `value` is neither a non-empty string nor a list of them.
 */
export function stringList(name: string, value: unknown): string[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return items.map((item) => {
    if (typeof item === "string" && item !== "") return item;
    const found = Array.isArray(value) ? `a list with ${kindOf(item)} in it` : kindOf(item);
    throw madeError(`"${name}" must be a non-empty string or a list of them, got ${found}`);
  });
}
