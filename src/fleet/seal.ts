/**
 * Encryption of what a store keeps (S6): AES-256-GCM, with keys derived from the user's by HKDF-SHA256.
 *
 * From one `encryptionKey` come two that say nothing of each other: the key that encrypts, and the id that stands in the
 * names of records. Every record has a random iv of 96 bits, and is bound to its context, so that it does not open in
 * another place: who can write to the store can delete a record or put back an old one, but make none and move none.
 * WebCrypto alone; the derived key cannot be exported from it.
 *
 * @see [RFC 5869](https://www.rfc-editor.org/rfc/rfc5869.html) (HKDF)
 * @see [NIST SP 800-38D](https://doi.org/10.6028/NIST.SP.800-38D) (GCM)
 * @module
 */
import { fromBase64, jsonObject, toBase64url, utf8 } from "../base/bytes.ts";
import { kindOf } from "../base/options.ts";

/** 32 bytes, or base64 or base64url of them: `openssl rand -base64 32`. */
export type EncryptionKey = string | Uint8Array;

/** One encryption key, or none. */
export interface Seal {
  /** Names the key in the names of records: 8 characters of base64url; `plain` without encryption. */
  id(): Promise<string>;
  /**
   * The record as JSON, encrypted: base64url without padding, another text every time.
   *
   * @param context Where the record belongs; it opens nowhere else.
   */
  seal(record: object, context: string): Promise<string>;
  /** The record; `undefined` when the text is none of ours, is damaged, or was sealed by another key or for another context. */
  open(text: string, context: string): Promise<Record<string, unknown> | undefined>;
}

const KEY_BYTES = 32;
const IV_BYTES = 12;
const ID_BYTES = 6;
/** Part of the record format: another salt is another set of keys. */
const SALT = "remint/fleet/1";

const EXPECTED = `32 random bytes, as a Uint8Array or in base64 (openssl rand -base64 32)`;

/**
 * The seals of the option `encryptionKey`: the first seals, the others only open what they once sealed.
 *
 * @param encryptionKey One key, a list `[new, old]`, or `"none"` to store tokens unencrypted.
 * @throws {TypeError} When it is missing, a key does not have 32 bytes, or the list is empty or names a key twice.
 */
export function sealsOf(encryptionKey: EncryptionKey | readonly EncryptionKey[] | undefined): readonly Seal[] {
  if (encryptionKey === undefined) {
    throw new TypeError(
      `"encryptionKey" is required with a store: ${EXPECTED}, the same in every process. ` +
        `"none" stores tokens unencrypted: then who can read the store can use them`,
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

/** A copy of the key's bytes. */
function keyBytes(key: unknown, where: string): Uint8Array<ArrayBuffer> {
  if (key === "none") throw keyError(where, `"none", which stands alone or not at all`);
  if (typeof key !== "string") {
    const bytes = copied(key);
    if (bytes?.length === KEY_BYTES) return bytes;
    throw keyError(where, bytes === undefined ? kindOf(key) : `${bytes.length} bytes`);
  }
  const text = key.trim(); // what was read from a file ends with a line end
  const bytes = fromBase64(text);
  if (bytes?.length === KEY_BYTES) return bytes;
  if (text === "") throw keyError(where, "an empty string");
  if (bytes === undefined) throw keyError(where, "a string that is not base64");
  throw keyError(where, /^[\da-f]{64}$/i.test(text) ? "hexadecimal" : `base64 of ${bytes.length} bytes`);
}

function copied(key: unknown): Uint8Array<ArrayBuffer> | undefined {
  // Not instanceof: test runners and vm contexts have a Uint8Array of their own.
  const isBytes = ArrayBuffer.isView(key) && Object.prototype.toString.call(key) === "[object Uint8Array]";
  return isBytes ? Uint8Array.from(key as Uint8Array) : undefined;
}

function keyError(where: string, found: string): TypeError {
  return new TypeError(`"encryptionKey${where}" must be ${EXPECTED}, got ${found}`);
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((byte, index) => byte === other[index]);
}

/** What is derived from one encryption key. */
interface DerivedKeys {
  readonly id: string;
  readonly aes: CryptoKey;
}

/** The one implementation that encrypts. Private fields: there is nothing to enumerate, so no key prints (S5). */
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
    const { aes } = await this.#derived(); // its failure is one of the runtime and says nothing about the record
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

  /** Derives once, at the first use; when that fails, the next use tries again. */
  #derived(): Promise<DerivedKeys> {
    return (this.#keys ??= derive(this.#bytes).then(
      (keys) => {
        this.#bytes.fill(0); // from here on the key is where no code can read it
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

/** `encryptionKey: "none"`: readable by whoever reads the store, and bound to nothing. */
const plain: Seal = {
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

/** Only what `toBase64url` writes: its last character has bits that say nothing, and a flip there is damage too. */
function fromCanonical(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = fromBase64(text);
  return bytes !== undefined && toBase64url(bytes) === text ? bytes : undefined;
}
