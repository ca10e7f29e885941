/**
 * Removes secrets from texts of a server, or of a custom `fetch`, before they become part of an error (S5).
 *
 * A server may repeat a secret in another spelling, or a part of it. So the text is read in every way that it may have been
 * written, and each reading is searched for all pieces of eight bytes that the secrets have. All of it takes time in
 * proportion to the text and the secrets, whatever they contain.
 *
 * Not here: objects that hold credentials and must not print them (`base/redacted.ts`), and which texts can be sent at all
 * (`sendable.ts`).
 *
 * @module
 */
import { utf8 } from "../base/bytes.ts";
import { isRemintError, safeCause } from "../base/errors.ts";

/** Replaces certain secrets in a text that is shown to somebody. {@link redactor} makes it. */
export interface Redact {
  (text: string): string;
  /**
   * Does so in texts that are worked with, such as the members of a token response: only whole secrets are replaced. Any text
   * has a piece of a secret that somebody has made up, or of a long header.
   *
   * @returns The texts by what they were before.
   */
  readonly data: (texts: Iterable<string>) => ReadonlyMap<string, string>;
}

const REDACTED = "[redacted]";

/** Bytes of a secret that are no secret by themselves; fewer are not searched for. */
const PIECE = 8;
/** In bytes. Shorter secrets are not searched for, because every text has them: error codes would be damaged. */
export const SHORTEST_SECRET = 4;
/** In characters. Of a longer text the rest is left out. Half a secret that is left is found by its pieces. */
const LONGEST_SEARCHED = 16 * 1024;
/** In bytes, over all readings of a text, and of all secrets. Of what would need more, nothing is shown. */
const MOST_READ = 1024 * 1024;
const MOST_SECRETS = 8 * 1024 * 1024;
/** How many times a text may have been escaped or encoded. */
const DEEPEST = 4;

/**
 * Makes the function that replaces each of the secrets with `[redacted]`. It finds every piece of a secret of at least eight
 * bytes, and secrets of four to seven bytes as a whole: as they are, in any case, with or without white space, escaped for
 * JSON or HTML, percent-encoded, form-encoded, in base64, base64url or hexadecimal, several times, or as UTF-8 that was
 * read as Latin-1.
 */
export function redactor(secrets: readonly string[]): Redact {
  let forms: Forms | TooMuch | undefined;
  const redact = (texts: readonly string[], isWhole: boolean): readonly string[] => {
    forms ??= tried(() => formsOf(secrets));
    const used = isWhole && forms instanceof Map ? new Map([...forms].filter(([size]) => size === PIECE)) : forms;
    return used instanceof TooMuch ? texts.map(() => REDACTED) : withoutForms(texts, used, isWhole);
  };
  return Object.assign((text: string) => redact([text], false)[0]!, {
    data(texts: Iterable<string>) {
      const batches = batchesOf(texts);
      return new Map(batches.flatMap((batch) => redact(batch, true).map((clean, index) => [batch[index]!, clean])));
    },
  });
}

/** What secrets are searched for as, by the size of the pieces. */
type Forms = ReadonlyMap<number, readonly Reading[]>;

/** There is more to search than is worth the time. */
class TooMuch extends Error {}

function tried<T>(search: () => T): T | TooMuch {
  try {
    return search();
  } catch (error) {
    if (error instanceof TooMuch) return error;
    throw error;
  }
}

/** Texts that are searched together: the secrets are gone through once for all of them. */
function batchesOf(texts: Iterable<string>): string[][] {
  const batches: string[][] = [];
  let left = 0;
  for (const text of new Set(texts)) {
    if ((left -= text.length + 1) < 0) {
      batches.push([]);
      left = LONGEST_SEARCHED - text.length - 1;
    }
    batches.at(-1)!.push(text);
  }
  return batches;
}

/** @param isWhole A part of a secret is none. */
function withoutForms(given: readonly string[], forms: Forms, isWhole: boolean): readonly string[] {
  if (forms.size === 0) return given;
  const texts = given.map((text) => text.slice(0, LONGEST_SEARCHED));
  const joined = texts.join(String.fromCharCode(SEPARATOR));
  const readings = tried(() => [...readingsOf(joined, MOST_READ, Math.min(...forms.keys()))]);
  if (readings instanceof TooMuch) {
    if (texts.length === 1) return [REDACTED];
    const half = texts.length >> 1;
    return [texts.slice(0, half), texts.slice(half)].flatMap((part) => withoutForms(part, forms, isWhole));
  }
  const isSecret = new Uint8Array(joined.length);
  for (const [size, secrets] of forms) {
    const pieces = new Pieces(size, readings);
    for (const secret of secrets) pieces.find(secret, isWhole ? secret.length : size);
    for (const reading of readings) pieces.mark(reading, isSecret);
  }
  let at = 0;
  return texts.map((text) => {
    const start = at;
    at += text.length + 1;
    return blanked(text, isSecret.subarray(start, at));
  });
}

function blanked(text: string, isSecret: Uint8Array): string {
  let clean = "";
  for (let start = 0; start < text.length;) {
    let end = start;
    while (end < text.length && isSecret[end] === isSecret[start]) end++;
    clean += isSecret[start] === 1 ? REDACTED : text.slice(start, end);
    start = end;
  }
  return clean;
}

/** Reads the secrets as texts are read, and groups them by the size of the pieces that are searched for. */
function formsOf(secrets: readonly string[]): Map<number, Reading[]> {
  const forms = new Map<number, Reading[]>();
  let left = MOST_SECRETS;
  for (const secret of new Set(secrets)) {
    if ((left -= secret.length) < 0) throw new TooMuch();
    const spellings = NOT_ASCII.test(secret) ? [secret, secret.toLowerCase(), secret.toUpperCase()] : [secret];
    for (const spelling of spellings) {
      for (const form of readingsOf(spelling, MOST_SECRETS)) {
        const size = Math.min(PIECE, form.length);
        if (size >= SHORTEST_SECRET) forms.set(size, [...(forms.get(size) ?? []), form]);
      }
    }
  }
  return forms;
}

/** A text as bytes, without white space and control characters, and where in the text each byte begins and ends. */
class Reading {
  readonly bytes: Uint8Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
  length = 0;

  /** Places are of interest in a text, and not in a secret. */
  readonly hasPlaces: boolean;

  constructor(most: number, hasPlaces: boolean) {
    this.hasPlaces = hasPlaces;
    this.bytes = new Uint8Array(most);
    this.from = new Int32Array(hasPlaces ? most : 0);
    this.to = new Int32Array(hasPlaces ? most : 0);
  }

  add(byte: number, from: number, to: number): void {
    if ((byte <= 0x20 && byte !== SEPARATOR) || byte === 0x7f) return;
    if (this.hasPlaces) {
      this.from[this.length] = from;
      this.to[this.length] = to;
    }
    this.bytes[this.length++] = byte;
  }

  /** Adds a character in UTF-8. */
  addCharacter(code: number, from: number, to: number): void {
    if (code < 0x80) return this.add(code, from, to);
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd; // Half a surrogate pair: what an encoder makes of it.
    let first = 0xc0;
    let shift = 6;
    if (code > 0x7ff) [first, shift] = code > 0xffff ? [0xf0, 18] : [0xe0, 12];
    this.add(first | (code >> shift), from, to);
    while ((shift -= 6) >= 0) this.add(0x80 | ((code >> shift) & 0x3f), from, to);
  }
}

/** Stands between decoded parts that were not together. No secret has it, because it would be left out there. */
const SEPARATOR = 0;

/**
 * Yields the readings of a text.
 *
 * @param shortest The fewest bytes that are searched for. If it is absent, the text is a secret: what it would be if it were
 *   base64 or hexadecimal is not of interest.
 * @throws {TooMuch} When they have more bytes than `most`.
 */
function* readingsOf(text: string, most: number, shortest?: number): Generator<Reading> {
  let left = most;
  const isText = shortest !== undefined;
  let level = [charactersOf(text, isText, false)];
  if (/[\x80-\xff]/.test(text)) level.push(charactersOf(text, isText, true));
  for (let depth = 0; depth <= DEEPEST; depth++) {
    const next: Reading[] = [];
    for (const reading of level) {
      if ((left -= reading.length) < 0) throw new TooMuch();
      yield reading;
      if (depth === DEEPEST) continue;
      const has = (...bytes: number[]): boolean => bytes.some((byte) => reading.bytes.includes(byte));
      if (has(PERCENT, BACKSLASH, AMPERSAND)) next.push(unescape(reading, false));
      if (has(PLUS)) next.push(unescape(reading, true));
      if (!isText) continue;
      for (const plain of decodings(reading, shortest)) {
        if ((left -= plain.length) < 0) throw new TooMuch();
        yield plain;
        next.push(printable(plain));
      }
    }
    level = next.filter(({ length }) => length >= (shortest ?? SHORTEST_SECRET));
  }
}

// oxlint-disable-next-line no-control-regex -- the whole of ASCII is meant
const NOT_ASCII = /[^\x00-\x7f]/;

/** @param isLatin1 Characters up to U+00FF are bytes: UTF-8 that was taken for Latin-1 is UTF-8 again. */
function charactersOf(text: string, hasPlaces: boolean, isLatin1: boolean): Reading {
  const reading = new Reading(text.length * (NOT_ASCII.test(text) ? 3 : 1), hasPlaces);
  if (!hasPlaces && !isLatin1) {
    for (const byte of utf8(text)) reading.add(byte, 0, 0);
    return reading;
  }
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x80 || (isLatin1 && code < 0x100)) reading.add(code, index, index + 1);
    else {
      const whole = text.codePointAt(index)!;
      const end = index + (whole > 0xffff ? 2 : 1);
      reading.addCharacter(whole, index, end);
      index = end - 1;
    }
  }
  return reading;
}

const [HASH, PERCENT, AMPERSAND, PLUS, SEMICOLON, BACKSLASH] = [0x23, 0x25, 0x26, 0x2b, 0x3b, 0x5c];
/** The digit of a byte that is none. */
const NONE = 255;
/** The digit that a byte is in hexadecimal. */
const HEX = valuesOf("0123456789abcdef", "0123456789ABCDEF");
/** The same in base64 and base64url. */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64 = valuesOf(`${LETTERS}+/`, `${LETTERS}-_`);

function valuesOf(...alphabets: readonly string[]): Uint8Array {
  const values = new Uint8Array(256).fill(NONE);
  for (const alphabet of alphabets) {
    for (let value = 0; value < alphabet.length; value++) values[alphabet.charCodeAt(value)] = value;
  }
  return values;
}

const ENTITIES: Readonly<Record<string, number>> = { amp: 38, lt: 60, gt: 62, quot: 34, apos: 39, nbsp: 32 };

/**
 * Undoes percent-encoding and the escapes of JSON and HTML, once.
 *
 * @param isForm `+` is a space, as in a form.
 */
function unescape({ bytes, from, to, length, hasPlaces }: Reading, isForm: boolean): Reading {
  const plain = new Reading(length, hasPlaces);
  let index = 0;
  for (; index < length; index++) {
    const byte = bytes[index]!;
    const start = index;
    let code: number | undefined;
    if (byte === PERCENT) {
      const value = number(index + 1, 2);
      if (value !== undefined) {
        index += 2;
        plain.add(value, from[start]!, to[index]!);
        continue;
      }
    } else if (byte === BACKSLASH) code = escaped();
    else if (byte === AMPERSAND) code = entity();
    if (code !== undefined) plain.addCharacter(code, from[start]!, to[index]!);
    else if (byte !== PLUS || !isForm) plain.add(byte, from[start]!, to[start]!);
  }
  return plain;

  /** Reads a number of so many hexadecimal digits. */
  function number(at: number, digits: number): number | undefined {
    let value = 0;
    for (let end = at + digits; at < end; at++) {
      const digit = at < length ? HEX[bytes[at]!]! : NONE;
      if (digit === NONE) return undefined;
      value = value * 16 + digit;
    }
    return value;
  }

  /** Reads what follows a backslash. */
  function escaped(): number | undefined {
    const letter = String.fromCharCode(bytes[index + 1] ?? 0);
    if (letter === "u" || letter === "x") {
      const digits = letter === "u" ? 4 : 2;
      const value = number(index + 2, digits);
      if (value === undefined) return undefined;
      index += 1 + digits;
      const isHigh = value >= 0xd800 && value < 0xdc00 && bytes[index + 1] === BACKSLASH;
      const low = isHigh ? (number(index + 3, 4) ?? 0) : 0;
      if (low < 0xdc00 || low > 0xdfff) return value;
      index += 6;
      return 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!"\"\\/'bfnrt".includes(letter)) return undefined;
    index++;
    return /[a-z]/.test(letter) ? 0x20 : letter.charCodeAt(0);
  }

  /** Reads what follows an ampersand. */
  function entity(): number | undefined {
    const end = bytes.subarray(index, Math.min(length, index + 12)).indexOf(SEMICOLON);
    if (end < 2) return undefined;
    const name = String.fromCharCode(...bytes.subarray(index + 1, index + end)).toLowerCase();
    const isNumber = bytes[index + 1] === HASH && /^#(\d+|x[\da-f]+)$/.test(name);
    const code = isNumber ? Number(name.slice(1).replace("x", "0x")) : ENTITIES[name];
    if (code === undefined || code > 0x10ffff) return undefined;
    index += end;
    return code;
  }
}

/** Decodes all that may be base64 or hexadecimal: from every digit with which it may have begun. */
function* decodings(reading: Reading, shortest: number): Generator<Reading> {
  for (const [values, bits, phases] of [
    [BASE64, 6, 4],
    [HEX, 4, 2],
  ] as const) {
    const runs = runsOf(reading, (byte) => values[byte] !== NONE, Math.ceil((shortest * 8) / bits));
    for (let phase = 0; runs.length > 0 && phase < phases; phase++) yield decoded(reading, runs, values, bits, phase);
  }
}

/** Returns where so many such bytes are together, as pairs of the first byte and the one behind the last. */
function runsOf({ bytes, length }: Reading, isMeant: (byte: number) => boolean, fewest: number): number[] {
  const runs: number[] = [];
  for (let start = 0; start < length;) {
    let end = start;
    while (end < length && isMeant(bytes[end]!)) end++;
    if (end - start >= fewest) runs.push(start, end);
    start = end + 1;
  }
  return runs;
}

function decoded(
  { bytes, from, to, length }: Reading,
  runs: readonly number[],
  values: Uint8Array,
  bits: number,
  phase: number,
): Reading {
  const plain = new Reading(length, true);
  for (let run = 0; run < runs.length; run += 2) {
    let buffer = 0;
    let filled = 0;
    for (let index = runs[run]! + phase; index < runs[run + 1]!; index++) {
      buffer = (buffer << bits) | values[bytes[index]!]!;
      filled += bits;
      if (filled < 8) continue;
      filled -= 8;
      const byte = (buffer >> filled) & 0xff;
      if (byte !== SEPARATOR) plain.add(byte, from[index - 1]!, to[index]!);
    }
    plain.add(SEPARATOR, 0, 0);
  }
  return plain;
}

/** Returns what is text of what was decoded. What was no base64 has hardly any: it would be decoded again and again. */
function printable(reading: Reading): Reading {
  const { bytes, from, to } = reading;
  const plain = new Reading(reading.length, true);
  const runs = runsOf(reading, (byte) => byte > 0x20 && byte < 0x7f, PIECE);
  for (let run = 0; run < runs.length; run += 2) {
    for (let index = runs[run]!; index < runs[run + 1]!; index++) plain.add(bytes[index]!, from[index]!, to[index]!);
    plain.add(SEPARATOR, 0, 0);
  }
  return plain;
}

/** All pieces of one size in the readings of a text, without regard to case, and which of them secrets have too. */
class Pieces {
  readonly #size: number;
  /** A hash table. A piece is the two numbers that its last four bytes and those before them make; no byte is 0. */
  readonly #table: Int32Array;
  /** Of the secrets that have the piece, the fewest bytes in a row that have to be theirs. 0: none has it. */
  readonly #fewest: Int32Array;
  readonly #shift: number;

  constructor(size: number, readings: readonly Reading[]) {
    this.#size = size;
    const most = readings.reduce((sum, { length }) => sum + length, 1);
    const power = 32 - Math.clz32(most * 2);
    this.#shift = 32 - power;
    this.#table = new Int32Array(2 << power);
    this.#fewest = new Int32Array(1 << power);
    for (const reading of readings) {
      this.#each(reading, (slot, first, last) => {
        this.#table[slot] = first;
        this.#table[slot + 1] = last;
      });
    }
  }

  /** Notes which of the pieces a secret has, and how many bytes in a row count as the secret. */
  find(secret: Reading, fewest: number): void {
    // The slot of an empty place is noted too. No piece of the text is there.
    this.#each(secret, (slot) => {
      const before = this.#fewest[slot >> 1]!;
      this.#fewest[slot >> 1] = before === 0 ? fewest : Math.min(before, fewest);
    });
  }

  /** Marks those parts of the text. */
  mark(reading: Reading, isSecret: Uint8Array): void {
    const { from, to } = reading;
    let start = 0;
    let last = -1;
    let fewest = 0;
    this.#each(reading, (slot, _first, _last, end) => {
      const found = this.#fewest[slot >> 1]!;
      if (found === 0) return;
      if (last !== end - 1) [start, fewest] = [end - this.#size + 1, found];
      [last, fewest] = [end, Math.min(fewest, found)];
      if (end - start + 1 < fewest) return;
      isSecret.fill(1, from[start], to[end]);
      // What is marked need not be marked again.
      start = end - this.#size + 1;
      fewest = this.#size;
    });
  }

  /** Goes through the pieces of a reading: where each is in the table or would be, what it is, and where it ends. */
  #each({ bytes, length }: Reading, visit: (slot: number, first: number, last: number, end: number) => void): void {
    const table = this.#table;
    const shift = this.#shift;
    const most = table.length - 2;
    const mask = this.#size === PIECE ? -1 : (1 << (8 * (this.#size - 4))) - 1;
    let first = 0;
    let last = 0;
    for (let index = 0; index < length; index++) {
      const byte = bytes[index]!;
      first = (first << 8) | (last >>> 24);
      last = (last << 8) | (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);
      if (index < this.#size - 1 || last === 0) continue;
      const start = first & mask;
      let slot = (Math.imul(start ^ Math.imul(last, 0x9e3779b1), 0x85ebca6b) >>> shift) * 2;
      while (table[slot + 1] !== 0 && (table[slot + 1] !== last || table[slot] !== start)) slot = (slot + 2) & most;
      visit(slot, start, last, index);
    }
  }
}

/** Makes a text of the server safe to show: printable, without secrets, at most {@link LONGEST_TEXT} characters. */
export function shown(text: unknown, redact: Redact): string | undefined {
  if (typeof text !== "string" || text === "" || text.length > LONGEST_INPUT) return undefined;
  return redact(text).replace(UNPRINTABLE, " ").trim().slice(0, LONGEST_TEXT);
}

/** Control and format characters, and line ends of any kind. They could forge log lines. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/** In characters. A longer text of a server makes a message no clearer. */
const LONGEST_TEXT = 200;
/** In characters. Longer texts are dropped whole. */
const LONGEST_INPUT = 8192;

/**
 * Returns the {@link safeCause} of an error, without the secrets that were sent: a custom `fetch` may quote the request
 * in its message.
 */
export function redactedCause(error: unknown, redact: Redact): unknown {
  const cause = safeCause(error);
  for (let link = cause; link instanceof Error && !isRemintError(link); link = link.cause) {
    const texts = link as unknown as Record<string, unknown>;
    for (const name of ["message", "stack", "name", "code"]) {
      const text = texts[name];
      if (typeof text === "string") texts[name] = redact(text);
    }
  }
  return cause;
}
