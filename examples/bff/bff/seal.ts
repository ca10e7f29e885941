/**
 * Encrypts what leaves the process: the sign-in cookies, and the sessions in the store.
 *
 * @module
 */
const ITERATION = "bff/1";

/** Encrypts values for one purpose. What was encrypted for another purpose, or was changed, does not open. */
export interface Seal {
  seal(value: unknown): Promise<string>;
  /** Resolves to `undefined` when the text was not made by `seal` with this secret, or was changed. */
  open(text: string): Promise<unknown>;
}

/** Creates a seal: AES-256-GCM, with a key of its own for each purpose. */
export function createSeal(secret: Uint8Array, purpose: string): Seal {
  const key = deriveKey(secret, purpose);
  return {
    async seal(value) {
      const iv = crypto.getRandomValues(new Uint8Array(12));
      const plain = new TextEncoder().encode(JSON.stringify(value));
      const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await key, plain);
      return Buffer.concat([iv, new Uint8Array(sealed)]).toString("base64url");
    },
    async open(text) {
      const bytes = Buffer.from(text, "base64url");
      try {
        const algorithm = { name: "AES-GCM", iv: bytes.subarray(0, 12) };
        const plain = await crypto.subtle.decrypt(algorithm, await key, bytes.subarray(12));
        return JSON.parse(new TextDecoder().decode(plain)) as unknown;
      } catch {
        return undefined;
      }
    },
  };
}

async function deriveKey(secret: Uint8Array, purpose: string): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey("raw", new Uint8Array(secret), "HKDF", false, ["deriveKey"]);
  const info = new TextEncoder().encode(`${ITERATION} ${purpose}`);
  const derivation = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info };
  return crypto.subtle.deriveKey(derivation, material, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}
