/**
 * The encryption of records (S6): AES-256-GCM, with keys derived from the user's key by HKDF-SHA256.
 *
 * Two values are derived from each `encryptionKey`: the key that encrypts, and an id that stands in every record, so that a
 * reader knows which key opens it. Neither reveals the other. Every record has a random IV of 96 bits and is bound to its context, so it cannot
 * be decrypted in another place. An attacker who can write to the store can delete a record or restore an old one, but
 * cannot create or move one. All cryptography is done by WebCrypto, which does not export the derived key.
 *
 * What is encrypted, and which key opens a record, is in record.ts.
 *
 * @see [RFC 5869](https://www.rfc-editor.org/rfc/rfc5869.html) (HKDF)
 * @see [NIST SP 800-38D](https://doi.org/10.6028/NIST.SP.800-38D) (GCM)
 * @module
 */
import { fromBase64, jsonObject, toBase64url, utf8 } from "../base/bytes.ts";
import { kindOf } from "../base/options.ts";

/** An encryption key: 32 bytes, or their base64 or base64url text (`openssl rand -base64 32`). */
export type EncryptionKey = string | Uint8Array;

/** Encrypts and decrypts records with one encryption key, or leaves them unencrypted (`plain`). */
export interface Seal {
  /** Returns the id of the key in records: 8 characters of base64url; `plain` without encryption. */
  id(): Promise<string>;
  /**
   * Encrypts a record as JSON. The result is base64url without padding, a different text every time.
   *
   * @param context The place of the record. In another context it cannot be decrypted.
   */
  seal(record: object, context: string): Promise<string>;
  /**
   * Decrypts a record. Returns `undefined` when the text is not a record, is damaged, or was encrypted with another key
   * or for another context.
   */
  open(text: string, context: string): Promise<Record<string, unknown> | undefined>;
}

const KEY_BYTES = 32;
const IV_BYTES = 12;
const ID_BYTES = 6;
/** Part of the record format: another salt is another set of keys. */
const SALT = "remint/fleet/1";

const EXPECTED = `32 random bytes, as a Uint8Array or in base64 (openssl rand -base64 32)`;

/**
 * Returns the seals of the option `encryptionKey`. The first seal encrypts and decrypts. The others only decrypt what
 * they encrypted before the key was changed.
 *
 * @param encryptionKey One key, a list `[new, old]`, or `"none"` to store tokens unencrypted.
 * @throws {TypeError} When it is missing, a key does not have 32 bytes, or the list is empty or has a key twice.
 */
export function sealsOf(encryptionKey: EncryptionKey | readonly EncryptionKey[] | undefined): readonly Seal[] {
  if (encryptionKey === undefined) {
    throw new TypeError(
      `"encryptionKey" is required with a store: ${EXPECTED}, the same in every process. ` +
        `"none" stores tokens unencrypted: every program that can read the store can then use them`,
    );
  }
  if (encryptionKey === "none") return [plain];
  if (!Array.isArray(encryptionKey)) return [new AesGcm(keyBytes(encryptionKey, ""))];
  if (encryptionKey.length === 0) throw keyError("", kindOf(encryptionKey));
  const keys = encryptionKey.map((key: unknown, index) => keyBytes(key, `[${index}]`));
  for (const [index, key] of keys.entries()) {
    const first = keys.findIndex((other) => sameBytes(other, key));
    if (first !== index) throw keyError(`[${index}]`, `the same key as "encryptionKey[${first}]"`);
  }
  return keys.map((key) => new AesGcm(key));
}

/** Returns a copy of the key's bytes. */
function keyBytes(key: unknown, where: string): Uint8Array<ArrayBuffer> {
  if (key === "none") throw keyError(where, `"none", which stands alone and cannot be one of several keys`);
  if (typeof key !== "string") {
    const bytes = copied(key);
    if (bytes?.length === KEY_BYTES) return bytes;
    throw keyError(where, bytes === undefined ? kindOf(key) : `${bytes.length} bytes`);
  }
  const text = key.trim(); // a key that was read from a file often ends with a line break
  const bytes = fromBase64(text);
  if (bytes?.length === KEY_BYTES) return bytes;
  if (text === "") throw keyError(where, "an empty string");
  if (bytes === undefined) throw keyError(where, "a string that is not base64");
  throw keyError(where, /^[\da-f]{64}$/i.test(text) ? "hexadecimal" : `base64 of ${bytes.length} bytes`);
}

function copied(key: unknown): Uint8Array<ArrayBuffer> | undefined {
  // Does not use instanceof, because test runners and vm contexts have a Uint8Array class of their own.
  const isBytes = ArrayBuffer.isView(key) && Object.prototype.toString.call(key) === "[object Uint8Array]";
  return isBytes ? Uint8Array.from(key as Uint8Array) : undefined;
}

function keyError(where: string, found: string): TypeError {
  return new TypeError(`"encryptionKey${where}" must be ${EXPECTED}, got ${found}`);
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((byte, index) => byte === other[index]);
}

/** The two values that are derived from one encryption key. */
interface DerivedKeys {
  readonly id: string;
  readonly aes: CryptoKey;
}

/** Encrypts with AES-GCM. Its fields are private, so that printing the object never shows a key (S5). */
class AesGcm implements Seal {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #keys: Promise<DerivedKeys> | undefined;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  async id(): Promise<string> {
    return (await this.#derived()).id;
  }

  async seal(record: object, context: string): Promise<string> {
    const { aes } = await this.#derived();
    const iv = globalThis.crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const sealed = await subtle().encrypt(gcm(iv, context), aes, utf8(JSON.stringify(record)));
    const whole = new Uint8Array(IV_BYTES + sealed.byteLength);
    whole.set(iv);
    whole.set(new Uint8Array(sealed), IV_BYTES);
    return toBase64url(whole);
  }

  async open(text: string, context: string): Promise<Record<string, unknown> | undefined> {
    // Outside the try: a failure here is one of the runtime, and does not mean that the record is damaged.
    const { aes } = await this.#derived();
    const whole = fromCanonical(text);
    if (whole === undefined) return undefined;
    try {
      const iv = whole.subarray(0, IV_BYTES);
      const opened = await subtle().decrypt(gcm(iv, context), aes, whole.subarray(IV_BYTES));
      return jsonObject(new Uint8Array(opened));
    } catch {
      return undefined;
    }
  }

  /** Derives the keys at the first use. If this fails, the next use tries again. */
  #derived(): Promise<DerivedKeys> {
    return (this.#keys ??= derive(this.#bytes).then(
      (keys) => {
        this.#bytes.fill(0); // from here on WebCrypto alone holds the key, and does not export it
        return keys;
      },
      (error: unknown) => {
        this.#keys = undefined;
        throw error;
      },
    ));
  }
}

async function derive(bytes: Uint8Array<ArrayBuffer>): Promise<DerivedKeys> {
  const root = await subtle().importKey("raw", bytes, "HKDF", false, ["deriveBits", "deriveKey"]);
  const [id, aes] = await Promise.all([
    subtle().deriveBits(hkdf("kid"), root, ID_BYTES * 8),
    subtle().deriveKey(hkdf("aes"), root, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]),
  ]);
  return { id: toBase64url(new Uint8Array(id)), aes };
}

function hkdf(purpose: "aes" | "kid"): HkdfParams {
  return { name: "HKDF", hash: "SHA-256", salt: utf8(SALT), info: utf8(purpose) };
}

function gcm(iv: Uint8Array<ArrayBuffer>, context: string): AesGcmParams {
  return { name: "AES-GCM", iv, additionalData: utf8(context) };
}

/** The seal of `encryptionKey: "none"`: records are readable in the store, and are not bound to a context. */
export const plain: Seal = {
  id: async () => "plain",
  seal: async (record) => toBase64url(utf8(JSON.stringify(record))),
  async open(text) {
    const bytes = fromCanonical(text);
    return bytes === undefined ? undefined : jsonObject(bytes);
  },
};

function subtle(): SubtleCrypto {
  return globalThis.crypto.subtle;
}

/**
 * Decodes only text that `toBase64url` could have written. The last character of base64 has unused bits, and a change
 * of these bits counts as damage too.
 */
function fromCanonical(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = fromBase64(text);
  return bytes !== undefined && toBase64url(bytes) === text ? bytes : undefined;
}
