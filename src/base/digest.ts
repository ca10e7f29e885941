/**
 * SHA-256 as a synchronous function. The key of a grant is needed as soon as the grant is made, and the digest of
 * WebCrypto is asynchronous.
 *
 * Only for telling values apart, for example the tokens in the key of a token exchange grant. Signatures and encryption
 * use WebCrypto (`keys.ts`, `fleet/seal.ts`).
 *
 * @see [FIPS 180-4 section 6.2](https://doi.org/10.6028/NIST.FIPS.180-4)
 * @module
 */

/** Returns the SHA-256 digest of a text's UTF-8 bytes. */
export function digestBytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(digest(text).match(/../g)!, (pair) => parseInt(pair, 16));
}

/** Returns the SHA-256 digest of a text's UTF-8 bytes, in hexadecimal. */
export function digest(text: string): string {
  const words = paddedWords(text);
  const { rounds, initial } = (constants ??= computeConstants());
  const state = [...initial];
  const schedule = new Int32Array(64);
  for (let block = 0; block < words.length; block += 16) {
    for (let i = 0; i < 64; i++) schedule[i] = i < 16 ? words[block + i]! : scheduleWord(schedule, i);
    let [a, b, c, d, e, f, g, h] = state as Eight;
    for (let i = 0; i < 64; i++) {
      const choice = (e & f) ^ (~e & g);
      const majority = (a & b) ^ (a & c) ^ (b & c);
      const one = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + choice + rounds[i]! + schedule[i]!) | 0;
      const two = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + majority) | 0;
      [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i]! + word) | 0));
  }
  return state.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

type Eight = [number, number, number, number, number, number, number, number];

/** Returns the text's UTF-8 bytes and the padding of SHA-256, as big-endian words. */
function paddedWords(text: string): Int32Array {
  const bytes = new TextEncoder().encode(text);
  const words = new Int32Array((((bytes.length + 8) >> 6) + 1) * 16);
  for (const [i, byte] of bytes.entries()) words[i >> 2]! |= byte << (24 - (i % 4) * 8);
  words[bytes.length >> 2]! |= 0x80 << (24 - (bytes.length % 4) * 8);
  words[words.length - 1] = bytes.length * 8;
  return words;
}

/** Computes word `i` of the message schedule from the words before it. */
function scheduleWord(schedule: Int32Array, i: number): number {
  const early = schedule[i - 15]!;
  const late = schedule[i - 2]!;
  const small = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
  const large = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
  return schedule[i - 16]! + small + schedule[i - 7]! + large;
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

interface Constants {
  /** One per round: from the cube roots of the first 64 primes. */
  readonly rounds: readonly number[];
  /** The state before the first block: from the square roots of the first 8 primes. */
  readonly initial: readonly number[];
}

/** Computed by the first digest, so that importing this file costs nothing. */
let constants: Constants | undefined;

function computeConstants(): Constants {
  const primes = firstPrimes(64);
  return {
    rounds: primes.map((prime) => fractionalBits(Math.cbrt(prime))),
    initial: primes.slice(0, 8).map((prime) => fractionalBits(Math.sqrt(prime))),
  };
}

/** Returns the first 32 bits of the fractional part. */
function fractionalBits(root: number): number {
  return ((root - Math.floor(root)) * 2 ** 32) | 0;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}
