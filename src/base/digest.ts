/**
 * SHA-256, synchronously: a grant's key is there as soon as the grant is, and WebCrypto's digest would come later.
 * It tells tokens apart in a key (RFC 8693: whose token was exchanged); no signature and no secret depends on it.
 *
 * @see [FIPS 180-4 section 6.2](https://doi.org/10.6028/NIST.FIPS.180-4)
 * @module
 */

/** The SHA-256 digest of a text's UTF-8, in hexadecimal. */
export function digest(text: string): string {
  const { words, constants, first } = padded(text);
  const state = [...first];
  const schedule = new Int32Array(64);
  for (let block = 0; block < words.length; block += 16) {
    for (let i = 0; i < 64; i++) schedule[i] = i < 16 ? words[block + i]! : extended(schedule, i);
    let [a, b, c, d, e, f, g, h] = state as Eight;
    for (let i = 0; i < 64; i++) {
      const choice = (e & f) ^ (~e & g);
      const majority = (a & b) ^ (a & c) ^ (b & c);
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + constants[i]! + schedule[i]!) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + majority) | 0;
      [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i]! + word) | 0));
  }
  return state.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

type Eight = [number, number, number, number, number, number, number, number];

function turn(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

function extended(schedule: Int32Array, i: number): number {
  const early = schedule[i - 15]!;
  const late = schedule[i - 2]!;
  const small = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
  const large = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
  return schedule[i - 16]! + small + schedule[i - 7]! + large;
}

/** The text with its padding, as big-endian words, and the numbers the algorithm starts from. */
function padded(text: string): Numbers & { readonly words: Int32Array } {
  const bytes = new TextEncoder().encode(text);
  const words = new Int32Array((((bytes.length + 8) >> 6) + 1) * 16);
  for (const [i, byte] of bytes.entries()) words[i >> 2]! |= byte << (24 - (i % 4) * 8);
  words[bytes.length >> 2]! |= 0x80 << (24 - (bytes.length % 4) * 8);
  words[words.length - 1] = bytes.length * 8;
  return { words, ...(numbers ??= startingNumbers()) };
}

interface Numbers {
  readonly constants: readonly number[];
  readonly first: readonly number[];
}

/** Worked out by the first digest. */
let numbers: Numbers | undefined;

function startingNumbers(): Numbers {
  const primes = firstPrimes(64);
  return {
    constants: primes.map((prime) => fraction(Math.cbrt(prime))),
    first: primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime))),
  };
}

/** The first 32 bits of the fractional part. */
function fraction(root: number): number {
  return ((root - Math.floor(root)) * 2 ** 32) | 0;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}
