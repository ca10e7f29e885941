/**
 * Bytes and text: UTF-8, base64, JSON objects, streams that are read up to a limit.
 *
 * Nothing here throws because of what is in its input.
 *
 * @module
 */

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Whether a text is visible ASCII without spaces and not empty: such a text can stand in a header as it is (S4). */
export function isVisibleAscii(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

/** Bytes as base64, with padding (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** Bytes as base64url, without padding (RFC 4648 section 5). */
export function toBase64url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The bytes behind base64 or base64url, with or without padding; `undefined` when the text is neither. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[\w+/-]*={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/").replaceAll("=", "")), (character) =>
      character.charCodeAt(0),
    );
  } catch {
    return undefined;
  }
}

/** An object as JSON has it: no array, not `null`. */
export type JsonObject = Record<string, unknown>;

/** Whether a value is a {@link JsonObject}. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object in a JSON text, or in the UTF-8 bytes of one; `undefined` when there is none. */
export function jsonObject(json: string | Uint8Array | undefined): JsonObject | undefined {
  try {
    const text = typeof json === "object" ? new TextDecoder("utf-8", { fatal: true }).decode(json) : (json ?? "");
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a stream until it ends, until more than `maxBytes` bytes have come, or until `signal` aborts. What is left then is
 * cancelled.
 *
 * @param take Gets every chunk, also the one that goes over the limit.
 * @returns Whether the stream ended. Rejects when the stream fails.
 */
export async function readUpTo(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  take: (chunk: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<boolean> {
  const reader = body.getReader();
  // Whether the rest of the stream breaks concerns nobody.
  const cancel = (): void => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    for (let left = maxBytes; left >= 0;) {
      const { done, value } = await reader.read();
      if (done) return signal?.aborted !== true;
      take(value);
      left -= value.byteLength;
    }
    cancel();
    return false;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
