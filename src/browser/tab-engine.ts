/**
 * The engine of the tabs: compare-and-swap in a transaction of IndexedDB.
 *
 * Local storage does not serve, with Web Locks or without: a tab sees what another has written only some time later, so of
 * five tabs that count under one lock in Chromium, a quarter of the counts is lost. Transactions of IndexedDB lose none.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { warn } from "../base/warn.ts";
import { newSession } from "../core/supply.ts";
import { MemoryEngine } from "../fleet/memory.ts";
import type { Store, StoreEntry, SwapResult } from "../fleet/store.ts";
import type { TabChannel } from "./tab-channel.ts";

/** An entry of the database. */
interface Row {
  readonly value: string;
  readonly version: string;
  /** Epoch milliseconds. All tabs have one clock. */
  readonly expiresAt: number;
}

const TABLE = "records";

/** {@link Store} over IndexedDB. Where that is missing, forbidden or full, over the memory of this tab. */
export class TabEngine implements Store {
  readonly #name: string;
  readonly #channel: TabChannel;
  #database: Promise<IDBDatabase> | undefined;
  #alone: Store | undefined;

  constructor(name: string, channel: TabChannel) {
    this.#name = name;
    this.#channel = channel;
  }

  async swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult> {
    for (let isFirst = true; this.#alone === undefined; isFirst = false) {
      let database: IDBDatabase | undefined;
      try {
        database = await (this.#database ??= this.#open());
        const result = await swapIn(database, key, expected, next, ttl);
        // A heartbeat of a lease is no news.
        if (result.ok && !isLease(next)) this.#channel.post({ changed: key });
        return result;
      } catch (error) {
        // Nothing was changed. The data of the site may have been deleted, and the connection with it: another one serves. If
        // that fails too, the database is forbidden or full.
        this.#database = undefined;
        database?.close();
        if (database === undefined || !isFirst) this.#goAlone(error);
      }
    }
    return this.#alone.swap(key, expected, next, ttl);
  }

  #open(): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      if (typeof indexedDB === "undefined") throw new Error("there is no indexedDB");
      const request = indexedDB.open(this.#name, 1);
      request.addEventListener("upgradeneeded", () => request.result.createObjectStore(TABLE));
      request.addEventListener("error", () => reject(request.error as Error));
      request.addEventListener("success", () => {
        const database = request.result;
        const forget = (): void => {
          database.close();
          this.#database = undefined;
        };
        // Somebody deletes the database: this tab must not hold that up.
        database.addEventListener("versionchange", forget);
        database.addEventListener("close", forget);
        resolve(database);
      });
    });
  }

  #goAlone(error: unknown): void {
    if (this.#alone !== undefined) return;
    this.#alone = new MemoryEngine();
    warn(
      `This tab does not share its session with the other tabs: the browser has no IndexedDB for the page, or no space in ` +
        `it (${(error as Error | undefined)?.name ?? "unknown"})`,
    );
  }
}

/** One transaction: nothing comes between its read and its write. */
function swapIn(
  database: IDBDatabase,
  key: string,
  expected: string | undefined,
  next: string | undefined,
  ttl: number,
): Promise<SwapResult> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(TABLE, "readwrite");
    const table = transaction.objectStore(TABLE);
    const read = table.get(key) as IDBRequest<Row | undefined>;
    let result: SwapResult | undefined;
    read.addEventListener("success", () => {
      const now = systemClock.now();
      const current = entryOf(read.result, now);
      if (current?.version !== expected) {
        result = { ok: false, current };
      } else if (next === undefined) {
        table.delete(key);
        result = { ok: true, version: undefined };
      } else {
        // Random, because the database may be deleted in between, and a number would begin again.
        const row: Row = { value: next, version: newSession(0).id, expiresAt: now + ttl };
        table.put(row, key);
        result = { ok: true, version: row.version };
      }
    });
    transaction.addEventListener("complete", () => resolve(result!));
    const fail = (): void => reject(transaction.error ?? new Error("the transaction was aborted"));
    transaction.addEventListener("abort", fail);
    transaction.addEventListener("error", fail);
  });
}

function entryOf(row: Row | undefined, now: number): StoreEntry | undefined {
  // The clock may have been set while a tab refreshes. Whether that tab is there is known to the seal, and not to the clock.
  if (row === undefined || (row.expiresAt <= now && !isLease(row.value))) return undefined;
  return { value: row.value, version: row.version, ttl: Math.max(0, row.expiresAt - now) };
}

/** Whether a record says that a tab refreshes: its phase is in clear (`fleet/record.ts`). */
function isLease(value: string | undefined): boolean {
  return value?.[1] === "L";
}
