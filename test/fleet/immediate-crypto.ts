/** A stand-in for WebCrypto that works with a manual clock. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { vi } from "vitest";

interface Key {
  readonly bytes: Uint8Array;
}

const derived = ({ salt, info }: HkdfParams, { bytes }: Key, length: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(hkdfSync("sha256", bytes, salt as Uint8Array, info as Uint8Array, length));
const keyOf = (bytes: Uint8Array): CryptoKey => ({ bytes: Uint8Array.from(bytes) }) as unknown as CryptoKey;
const bytesOf = (key: CryptoKey): Uint8Array => (key as unknown as Key).bytes;

const importKey = async (_: string, bytes: Uint8Array): Promise<CryptoKey> => keyOf(bytes);

/**
 * Replaces the functions of WebCrypto that a fleet uses by ones without threads, whose result is there before the next timer
 * of a manual clock fires. WebCrypto can open what they seal, and they can open what WebCrypto seals.
 * `vi.restoreAllMocks()` restores WebCrypto.
 */
export function immediateCrypto(): void {
  const { subtle } = globalThis.crypto;
  vi.spyOn(subtle, "importKey").mockImplementation(importKey as unknown as typeof subtle.importKey);
  vi.spyOn(subtle, "deriveBits").mockImplementation(async (algorithm, key, length) => {
    return derived(algorithm as HkdfParams, { bytes: bytesOf(key) }, length! / 8).buffer;
  });
  vi.spyOn(subtle, "deriveKey").mockImplementation(async (algorithm, key) => {
    return keyOf(derived(algorithm as HkdfParams, { bytes: bytesOf(key) }, 32));
  });
  vi.spyOn(subtle, "encrypt").mockImplementation(async (algorithm, key, data) => {
    const { iv, additionalData } = algorithm as AesGcmParams;
    const cipher = createCipheriv("aes-256-gcm", bytesOf(key), iv as Uint8Array);
    cipher.setAAD(additionalData as Uint8Array);
    const parts = [cipher.update(data as Uint8Array), cipher.final(), cipher.getAuthTag()];
    return Uint8Array.from(Buffer.concat(parts)).buffer;
  });
  vi.spyOn(subtle, "decrypt").mockImplementation(async (algorithm, key, data) => {
    const { iv, additionalData } = algorithm as AesGcmParams;
    const text = data as Uint8Array;
    const decipher = createDecipheriv("aes-256-gcm", bytesOf(key), iv as Uint8Array);
    decipher.setAAD(additionalData as Uint8Array);
    decipher.setAuthTag(text.subarray(-16));
    return Uint8Array.from(Buffer.concat([decipher.update(text.subarray(0, -16)), decipher.final()])).buffer;
  });
  vi.spyOn(subtle, "sign").mockImplementation(async (_, key, data) => {
    const hmac = createHmac("sha256", bytesOf(key)).update(data as Uint8Array);
    return Uint8Array.from(hmac.digest()).buffer;
  });
}
