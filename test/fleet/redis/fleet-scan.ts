/** Searches the whole content of a Redis for tokens, as an attacker with a copy of it would. */
import { Redis } from "ioredis";

/** Returns the names of all keys, and the bytes of all strings. */
export async function contents(port: number, password: string): Promise<Buffer[]> {
  const redis = new Redis({ port, password, maxRetriesPerRequest: 0 });
  try {
    const found: Buffer[] = [];
    for await (const keys of redis.scanBufferStream()) {
      for (const key of keys as Buffer[]) found.push(key, ...(await valueOf(redis, key)));
    }
    return found;
  } finally {
    redis.disconnect();
  }
}

async function valueOf(redis: Redis, key: Buffer): Promise<Buffer[]> {
  const value = (await redis.type(key)) === "string" ? await redis.getBuffer(key) : null;
  return value === null ? [] : [value];
}

/** Returns the secrets that are in some bytes: as text, in hex, or in base64 at any offset. */
export function readable(found: readonly Buffer[], secrets: readonly string[]): string[] {
  // The search uses one alphabet of base64 and one case of hex.
  const texts = found.map((bytes) => bytes.toString("latin1"));
  const base64 = texts.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"));
  const hex = texts.map((text) => text.toLowerCase());
  return secrets.filter(
    (secret) =>
      texts.some((text) => text.includes(secret)) ||
      hex.some((text) => text.includes(Buffer.from(secret).toString("hex"))) ||
      inBase64(secret).some((part) => base64.some((text) => text.includes(part))),
  );
}

/**
 * Returns the base64 of a text for each of the three offsets at which it can begin in a group of three bytes. One of them is
 * contained in the base64 of anything that contains the text.
 */
function inBase64(text: string): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]).toString("base64url");
    // The characters at the ends also depend on the bytes beside the text.
    return encoded.slice(before === 0 ? 0 : before + 1, -2);
  });
}
