/**
 * Everything bad that a Redis can do to a fleet, and how it ends: on the running server, under the feet of clients that
 * were connected a moment ago.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { anyKey, PASSWORD, type Stage } from "./fleet-stage.ts";
import type { Opening } from "./fleet-parent.ts";

/** A fault that comes and goes. */
export interface Fault {
  readonly name: string;
  readonly begin: (stage: Stage) => unknown;
  readonly end: (stage: Stage) => unknown;
}

export const FAULTS: readonly Fault[] = [
  { name: "killed", begin: ({ redis }) => redis.stop(), end: ({ redis }) => redis.restart() },
  { name: "frozen", begin: ({ redis }) => redis.freeze(), end: ({ redis }) => redis.thaw() },
  {
    name: "wrong password",
    async begin({ redis }) {
      await redis.command("CONFIG", "SET", "requirepass", "another");
      await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    },
    end: ({ redis }) => redis.command("CONFIG", "SET", "requirepass", PASSWORD),
  },
  {
    name: "read-only",
    // A replica of nobody: what happens to a primary's clients when it is demoted.
    begin: ({ redis }) => redis.command("REPLICAOF", "127.0.0.1", 1),
    end: ({ redis }) => redis.command("REPLICAOF", "NO", "ONE"),
  },
  {
    name: "out of memory",
    begin: ({ redis }) => redis.command("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "noeviction"),
    end: ({ redis }) => redis.command("CONFIG", "SET", "maxmemory", 0),
  },
];

/** What can lie where the fleet's record was. */
export interface Foreign {
  readonly name: string;
  /** Has to be opened first, for a record of its own. */
  readonly other?: Partial<Opening> | undefined;
  /** Of the fleet's record, and of the other one. */
  readonly make: (record: string, other: string) => string | Buffer;
}

export const FOREIGN: readonly Foreign[] = [
  { name: "text", make: () => "somebody else's" },
  { name: "T and garbage", make: () => `T${randomBytes(200).toString("base64url")}` },
  { name: "a lease that is garbage", make: () => `L${randomBytes(200).toString("base64url")}` },
  { name: "bytes that are no text", make: () => Buffer.from([0x00, 0xff, 0xfe, 0x01]) },
  { name: "an empty value", make: () => "" },
  { name: "a flipped bit", make: (record) => flipped(record) },
  { name: "the record of another token", other: {}, make: (_, other) => other },
  { name: "a record sealed by another key", other: { encryptionKey: anyKey() }, make: (_, other) => other },
];

/** A fleet in which everybody has the token, and this, for ever, in the place of its record. @returns Where that is. */
export async function plant(stage: Stage, { other, make }: Foreign): Promise<string> {
  const there = other === undefined ? "" : await openRecord(stage, other);
  const record = await openRecord(stage);
  const key = await stage.key();
  await stage.redis.command("SET", key, make(record, there));
  return key;
}

async function openRecord(stage: Stage, options?: Partial<Opening>): Promise<string> {
  await stage.open(options);
  await stage.share();
  return stage.record();
}

function flipped(record: string): Buffer {
  const bytes = Buffer.from(record);
  const middle = bytes.length >> 1;
  bytes[middle] = bytes[middle]! ^ 1;
  return bytes;
}
