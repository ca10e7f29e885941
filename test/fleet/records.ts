/** Records of a fleet as tests see them: read from a store without encryption, collected as they are written, or made up. */
import type { Store, StoreEntry } from "../../src/fleet/index.ts";

/** What a record says of one target. Times are milliseconds from the moment of the write. */
export interface WrittenTarget {
  readonly token?: {
    readonly response: { readonly access_token: string };
    readonly left: number;
    readonly quiet: number;
  };
  readonly mints: number;
  readonly strikes: number;
  readonly fails: number;
  readonly failure?: { readonly code: string; readonly error?: string };
  readonly pause?: number;
}

/** What is encrypted in a record. */
export interface RecordBody {
  readonly nonce?: string;
  readonly ttl: number;
  readonly at?: number;
  readonly gen?: number;
  readonly sid?: string;
  readonly state?: string;
  readonly used?: readonly string[];
  readonly rotated?: number;
  readonly refused?: { readonly digest: string; readonly failure: { readonly error?: string } };
  readonly lease?: number;
  readonly holder?: string;
  readonly tokens: Readonly<Record<string, WrittenTarget>>;
  readonly failed?: readonly string[];
}

/** A record that was written to a store without encryption. */
export interface WrittenRecord extends RecordBody {
  readonly key: string;
  readonly version: number;
  readonly phase: string;
  readonly keyId: string;
  /** What it says of its only target. */
  readonly only: WrittenTarget;
}

const NO_TARGET: WrittenTarget = { mints: 0, strikes: 0, fails: 0 };

/** Reads a record without encryption. */
export function readRecord(text: string, key = ""): WrittenRecord {
  const [, version, phase, keyId, sealed] = /^(\d+)([A-Z])([\w-]+)\.([\w-]+)$/.exec(text)!;
  const body = JSON.parse(Buffer.from(sealed!, "base64url").toString()) as RecordBody;
  const targets = Object.values(body.tokens);
  if (targets.length > 1)
    return { ...body, key, version: Number(version), phase: phase!, keyId: keyId!, only: NO_TARGET };
  return { ...body, key, version: Number(version), phase: phase!, keyId: keyId!, only: targets[0] ?? NO_TARGET };
}

/** Makes the text of a record without encryption. */
export function plainRecord(phase: string, body: object, version = 1): string {
  return `${version}${phase}plain.${Buffer.from(JSON.stringify(body)).toString("base64url")}`;
}

/** Collects every record that is written to the fleet's store from now on. */
export function writesTo({ store }: { readonly store: Store }): WrittenRecord[] {
  const writes: WrittenRecord[] = [];
  const swap = store.swap.bind(store);
  store.swap = async (key, expected, next, ttl) => {
    const result = await swap(key, expected, next, ttl);
    if (result.ok && next !== undefined) {
      const record = readRecord(next, key);
      if (record.ttl !== ttl) throw new Error(`kept for ${ttl} ms, and says ${record.ttl}`);
      writes.push(record);
    }
    return result;
  };
  return writes;
}

/** The keys of a store, and what is under them. */
export interface Shelf {
  /** The keys that were used so far. */
  readonly keys: ReadonlySet<string>;
  /** Reads an entry. The default is the only key that was used. */
  entry(key?: string): Promise<StoreEntry | undefined>;
  /** Reads a record without encryption. */
  record(key?: string): Promise<WrittenRecord | undefined>;
  /** Replaces an entry, whatever it is; `undefined` deletes it. */
  put(value: string | undefined, ttl?: number): Promise<void>;
  /** Deletes everything. */
  clear(): Promise<void>;
}

const DAY = 86_400_000;

/** Watches which keys of a store are used, to read and to replace what is under them. */
export function shelfOf({ store }: { readonly store: Store }): Shelf {
  const keys = new Set<string>();
  const swap = store.swap.bind(store);
  store.swap = (...args) => (keys.add(args[0]), swap(...args));
  const only = (): string => {
    if (keys.size !== 1) throw new Error(`there are ${keys.size} keys`);
    return [...keys][0]!;
  };
  const entry = async (key = only()): Promise<StoreEntry | undefined> => {
    const result = await swap(key, "?", undefined, 1);
    return result.ok ? undefined : result.current;
  };
  return {
    keys,
    entry,
    async record(key = only()) {
      const found = await entry(key);
      return found && readRecord(found.value, key);
    },
    async put(value, ttl = DAY) {
      const key = only();
      const result = await swap(key, (await entry(key))?.version, value, ttl);
      if (!result.ok) throw new Error("the entry has changed meanwhile");
    },
    async clear() {
      for (const key of keys) await swap(key, (await entry(key))?.version, undefined, 1);
    },
  };
}
