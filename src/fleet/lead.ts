/**
 * The mint of a process that holds the lease of its fleet, and what it writes into the record afterwards.
 *
 * The token replaces the lease of this process and no other record. A failure is written for the other processes too.
 * If the store fails, the write is tried again in the background. The lease itself is in lease.ts.
 *
 * @module
 */
import { stateLeftBy } from "../base/left-state.ts";
import { startMint } from "../core/mint.ts";
import { StoreFault } from "./link.ts";
import { adopted, knownFrom, read } from "./record.ts";
import type { Failure } from "../core/failures.ts";
import type { Minted } from "../core/mint.ts";
import type { Obtained, TokenNeed } from "../core/supply.ts";
import type { Lease } from "./lease.ts";
import type { TokenRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";
import type { FleetSupply } from "./supply.ts";
import type { Waits } from "./waits.ts";

/** What the mint needs from its flight. */
export interface Leader {
  readonly supply: FleetSupply;
  readonly need: TokenNeed;
  readonly waits: Waits;
  /** Milliseconds the mint may take. */
  readonly mintTimeout: number;
  /** The state that the mint uses, such as a refresh token. */
  readonly state: unknown;
  /** Whether a token was rejected, so that it must not be adopted. */
  readonly refuses: (value: string) => boolean;
}

/** Milliseconds between two tries to write a record after the store failed. */
const TRY_AGAIN = 1000;
/** A token that is not shared costs one mint. A state that is lost costs the session. */
const LATE_TRIES = 2;
const LATE_TRIES_WITH_STATE = 600;
/** Other processes may write to the record while this one saves its state: heartbeats, for example. */
const MOST_TURNS = 8;

/** Mints under the lease. @throws {Failure} The failure of the mint, which the record then has too. */
export async function lead(leader: Leader, lease: Lease): Promise<Obtained> {
  const { supply, waits } = leader;
  let minted: Minted;
  try {
    waits.assertNotAbandoned();
    minted = await mintAlone(leader);
  } catch (error) {
    const failure = error as Failure;
    const left = stateLeftBy(failure);
    if (left !== undefined) supply.noteRotation(leader.state, left);
    const isNobodys = waits.isAbandoned || failure.owner === "nobody";
    const told = isNobodys && left === undefined ? lease.release() : lease.fail(failure);
    await told.catch((fault: unknown) => supply.reportStoreFailure(fault));
    throw error;
  }
  const { state } = minted.response;
  if (state !== undefined) supply.noteRotation(leader.state, state);
  const isWorthSharing = minted.lifetime.ms > 0 && minted.expiresAt > supply.fleet.clock.now();
  // The next state has to be shared, even if the token expired at once.
  if (isWorthSharing || state !== undefined) return publish(leader, lease, minted);
  await lease.release().catch((fault: unknown) => supply.reportStoreFailure(fault));
  return minted;
}

/** Mints without writing to the record. */
export function mintAlone({ supply, need, waits, mintTimeout, state }: Leader): Promise<Minted> {
  const { previous, seed, onRetry } = need;
  const mint = startMint({ ...supply.settings, mintTimeout, onRetry }, { previous, seed, state });
  // Closing the cache does not abort a request that uses up a state, because only its answer has the next state.
  return waits.waitForMint(state === undefined ? mint : { ...mint, abandon: () => {} });
}

async function publish(leader: Leader, lease: Lease, minted: Minted): Promise<Obtained> {
  const { supply } = leader;
  try {
    return await write(leader, lease, minted);
  } catch (fault) {
    if (!(fault instanceof StoreFault)) throw fault;
    // The callers get the token at once and do not wait until the store works again.
    supply.reportStoreFailure(fault);
    supply.remember(knownFrom(lease.recordOf(minted), undefined, supply.fleet.clock.monotonic()));
    void publishLater(supply, lease, minted);
    return minted;
  }
}

/** @throws {StoreFault} When the store fails. */
async function write(leader: Leader, lease: Lease, minted: Minted): Promise<Obtained> {
  const { supply } = leader;
  const writtenAt = supply.fleet.clock.monotonic();
  const record = lease.recordOf(minted);
  const { version, current } = await offer(supply, lease, minted, record);
  if (version === undefined) return (await outdone(leader, lease, record, current)) ?? minted;
  supply.remember(knownFrom(record, version, writtenAt));
  return minted;
}

/** The result of writing a record: its version, or the entry that is stored instead. */
interface Offered {
  readonly version?: string | undefined;
  readonly current?: StoreEntry | undefined;
}

/** Writes the record over the lease. */
async function offer(supply: FleetSupply, lease: Lease, { response }: Minted, record: TokenRecord): Promise<Offered> {
  const result = await lease.publish(record);
  if (result.ok) return { version: result.version };
  return response.state === undefined ? result : saveState(supply, lease, record, result.current);
}

/**
 * Saves the next state after the lease was lost. The state in the record is used up, and only this process has the next
 * one. So its record replaces a record with a used-up state, and is also written where there is no readable record.
 */
async function saveState(
  supply: FleetSupply,
  lease: Lease,
  record: TokenRecord,
  current: StoreEntry | undefined,
): Promise<Offered> {
  let there = current;
  for (let turns = 0; turns < MOST_TURNS; turns++) {
    const seen = there === undefined ? undefined : await read(lease.place, there, supply.fleet.clock.now());
    if (seen?.record !== undefined && !supply.hasUsedUpState(seen.record)) return { current: there };
    const result = await lease.replace(there?.version, record);
    if (result.ok) return { version: result.version };
    there = result.current;
  }
  throw new StoreFault("the record changed with every try to replace it");
}

/**
 * Returns the token to use after another process took the lease during the mint. The token of this process is not
 * published, because it may be older than a rejection that the other process knows of. If the record has a valid token,
 * the caller gets that one.
 */
async function outdone(
  { supply, refuses }: Leader,
  lease: Lease,
  own: TokenRecord,
  current: StoreEntry | undefined,
): Promise<Obtained | undefined> {
  const { clock } = supply.fleet;
  const readAt = clock.monotonic();
  const seen = current === undefined ? undefined : await supply.readRecord(lease.place, current);
  const there = seen?.record;
  if (there?.token !== undefined && there.left - seen!.age > 0 && !refuses(there.token.response.access_token)) {
    const known = knownFrom(there as TokenRecord, seen!.version, readAt - seen!.age);
    supply.remember(known);
    return adopted(known, clock);
  }
  supply.remember(knownFrom(own, undefined, readAt));
  return undefined;
}

/** Publishes the token after the store failed. With a state it tries for longer, because a state must not be lost. */
async function publishLater(supply: FleetSupply, lease: Lease, minted: Minted): Promise<void> {
  const { clock } = supply.fleet;
  const hasState = minted.response.state !== undefined;
  for (let tries = hasState ? LATE_TRIES_WITH_STATE : LATE_TRIES; tries > 0; tries--) {
    // The timer is not held, so the background work does not keep the process alive (C12).
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, TRY_AGAIN));
    const record = lease.recordOf(minted);
    if (!hasState && record.left <= 0) return;
    const writtenAt = clock.monotonic();
    try {
      const { version } = await offer(supply, lease, minted, record);
      // By now the process may have another token.
      const isLast = supply.known?.value === record.token.response.access_token;
      if (version !== undefined && isLast) supply.remember(knownFrom(record, version, writtenAt));
      return;
    } catch {
      // The store failed again.
    }
  }
}
