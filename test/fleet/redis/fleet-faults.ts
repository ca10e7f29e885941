/** The faults of a running Redis, and the foreign data that can be in place of a fleet's record. */
import { randomBytes } from "node:crypto";
import { anyKey, PASSWORD, type Stage } from "./fleet-stage.ts";
import type { Opening } from "./fleet-parent.ts";

/** A fault that a test begins and ends. */
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
    // Redis becomes the replica of a server that does not exist. This is what clients see when their primary is demoted.
    begin: ({ redis }) => redis.command("REPLICAOF", "127.0.0.1", 1),
    end: ({ redis }) => redis.command("REPLICAOF", "NO", "ONE"),
  },
  {
    name: "out of memory",
    begin: ({ redis }) => redis.command("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "noeviction"),
    end: ({ redis }) => redis.command("CONFIG", "SET", "maxmemory", 0),
  },
];

/** Data that replaces the fleet's record. */
export interface Foreign {
  readonly name: string;
  /** Options of a second record, which is created first. */
  readonly other?: Partial<Opening> | undefined;
  /** Makes the data from the fleet's record and the second record. */
  readonly make: (record: string, other: string) => string | Buffer;
}

/** The record of the same token as a fleet with another encryption key writes it. */
export const OF_ANOTHER_KEY: Foreign = {
  name: "a record sealed by another key",
  other: { encryptionKey: anyKey() },
  make: (_, other) => other,
};

export const FOREIGN: readonly Foreign[] = [
  { name: "text", make: () => "somebody else's" },
  { name: "garbage that begins like a token record", make: (record) => withOtherEnd(record, "T") },
  { name: "garbage that begins like a lease", make: (record) => withOtherEnd(record, "L") },
  { name: "bytes that are not text", make: () => Buffer.from([0x00, 0xff, 0xfe, 0x01]) },
  { name: "an empty value", make: () => "" },
  { name: "the record with a flipped bit", make: (record) => withFlippedBit(record) },
  { name: "the record of another token", other: {}, make: (_, other) => other },
];

/**
 * Opens a fleet in which every process has the token, and replaces its record by foreign data that does not expire. Returns
 * the key of the record.
 */
export async function plant(stage: Stage, { other, make }: Foreign): Promise<string> {
  const second = other === undefined ? "" : await openRecord(stage, other);
  const record = await openRecord(stage);
  const key = await stage.key();
  await stage.redis.command("SET", key, make(record, second));
  return key;
}

async function openRecord(stage: Stage, options?: Partial<Opening>): Promise<string> {
  await stage.open(options);
  await stage.share();
  return stage.record();
}

/** Garbage that has the version and the key id of a record. */
function withOtherEnd(record: string, phase: string): string {
  return `1${phase}${record.slice(2, record.indexOf("."))}.${randomBytes(200).toString("base64url")}`;
}

function withFlippedBit(record: string): Buffer {
  const bytes = Buffer.from(record);
  const middle = bytes.length >> 1;
  bytes[middle] = bytes[middle]! ^ 1;
  return bytes;
}
