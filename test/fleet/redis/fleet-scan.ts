/** Looks for tokens in everything Redis holds, the way somebody would who has a copy of it. */
import { Redis } from "ioredis";

/** Everything a Redis holds as text: the names of its keys, and the bytes of its strings. */
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

/** The secrets that can be read in some bytes: as they are, in hex, or in base64 from wherever it began. */
export function readable(found: readonly Buffer[], secrets: readonly string[]): string[] {
  // One alphabet of base64, and one case of hex.
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

/** What stands in base64 wherever the text stands in what was encoded: its bytes begin at one of three places in a group. */
function inBase64(text: string): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]).toString("base64url");
    // The ends are mixed with what stands beside the text.
    return encoded.slice(before === 0 ? 0 : before + 1, -2);
  });
}
