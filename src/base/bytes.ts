/**
 * Bytes and text: UTF-8, base64, JSON objects, and streams that are read up to a limit.
 *
 * Malformed input makes no function here throw: the functions that decode return `undefined` for it. Keys in PEM are
 * read in `keys.ts`, JWTs in `jwt.ts`.
 *
 * @module
 */

/** Returns the UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Whether a text is not empty and consists of visible ASCII without spaces. Such a text is safe in a header (S4). */
export function isVisibleAscii(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

/** Encodes bytes as base64, with padding (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** Encodes bytes as base64url, without padding (RFC 4648 section 5). */
export function toBase64url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decodes base64 or base64url, with or without padding. Returns `undefined` when the text is neither. */
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

/** A JSON object: neither an array nor `null`. */
export type JsonObject = Record<string, unknown>;

/** Whether an object is an instance of no class, like an object literal. That of another realm has another prototype. */
export function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Whether a value is a {@link JsonObject}. */
function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Parses a JSON text, or its UTF-8 bytes. Returns `undefined` when the text is not JSON or its value is not an object.
 */
export function jsonObject(json: string | Uint8Array | undefined): JsonObject | undefined {
  try {
    const text = typeof json === "object" ? new TextDecoder("utf-8", { fatal: true }).decode(json) : (json ?? "");
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether `value` is a web stream, of any implementation. */
export function isWebStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (Object(value) as Partial<ReadableStream>).getReader === "function";
}

/**
 * The members of a Node stream that are needed here. Declared because Node's types are not available.
 */
export interface NodeStream {
  readonly destroyed?: boolean;
  readonly readableEnded?: boolean;
  on(event: string, listener: (chunk: never) => void): unknown;
  resume(): unknown;
  pause?(): unknown;
  destroy?(): unknown;
}

/** Whether `value` is a Node stream that can be read. */
export function isNodeStream(value: unknown): value is NodeStream {
  const { on, resume } = Object(value) as Partial<NodeStream>;
  return typeof on === "function" && typeof resume === "function";
}

/**
 * Reads a web stream or a Node stream until it ends, until more than `maxBytes` bytes have arrived, or until `signal`
 * aborts. In the last two cases the rest of the stream is cancelled.
 *
 * @param take Receives every chunk, including the one that exceeds the limit.
 * @returns `true` if the stream was read to its end. Rejects when the stream fails.
 */
export function readUpTo(
  body: ReadableStream<Uint8Array> | NodeStream,
  maxBytes: number,
  take: (chunk: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<boolean> {
  return (isWebStream(body) ? readWebStream : readNodeStream)(body as never, maxBytes, take, signal);
}

async function readWebStream(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  take: (chunk: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<boolean> {
  const reader = body.getReader();
  // An error of the part that is not read is of no interest.
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

async function readNodeStream(
  stream: NodeStream,
  maxBytes: number,
  take: (chunk: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<boolean> {
  // A stream that has ended emits none of the events below. axios 1.13 hands out bodies that it has already destroyed.
  if (stream.destroyed || stream.readableEnded) return false;
  let isWhole = false;
  try {
    isWhole = await new Promise<boolean>((resolve, reject) => {
      let left = maxBytes;
      signal?.addEventListener("abort", () => resolve(false));
      stream.on("end", () => resolve(true));
      // They stay: nobody else may listen to the errors of a discarded stream.
      stream.on("error", reject);
      stream.on("close", () => reject(new Error("the stream was closed before its end")));
      stream.on("data", (chunk: Uint8Array | string) => {
        if (left < 0) return;
        const bytes = typeof chunk === "string" ? utf8(chunk) : chunk;
        take(bytes);
        left -= bytes.byteLength;
        if (left >= 0) return;
        // A stream that always has more would otherwise flow on, and let nothing else happen.
        stream.pause?.();
        resolve(false);
      });
      stream.resume();
    });
    return isWhole;
  } finally {
    // Not while it emits "data": what is piped into it, and into the caller's stream too, would then wait for ever.
    if (!isWhole) stream.destroy?.();
  }
}
