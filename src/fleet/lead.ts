/**
 * Minting for the fleet, while holding its lease: the token is published over that lease and over nothing else, a failure
 * is told, and what cannot be told now is told later.
 *
 * @module
 */
import { stateLeftBy } from "../base/left-state.ts";
import { startMint } from "../core/mint.ts";
import { StoreFault } from "./link.ts";
import { adopted, knownFrom, read } from "./record.ts";
import type { RemintError } from "../base/errors.ts";
import type { Minted } from "../core/mint.ts";
import type { Obtained, TokenNeed } from "../core/supply.ts";
import type { Lease } from "./lease.ts";
import type { TokenRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";
import type { FleetSupply } from "./supply.ts";
import type { Waits } from "./waits.ts";

/** What leading needs of its flight. */
export interface Leader {
  readonly member: FleetSupply;
  readonly need: TokenNeed;
  readonly waits: Waits;
  /** Milliseconds the mint may take. */
  readonly mintTimeout: number;
  /** The state to present. */
  readonly state: unknown;
  /** Whether a value must not be taken over from others. */
  readonly refuses: (value: string) => boolean;
}

/** Milliseconds between two tries to write what the store did not take. */
const TRY_AGAIN = 1000;
/** A token that is not shared costs a mint; a state that is lost costs a session. */
const LATE_TRIES = 2;
const LATE_TRIES_WITH_STATE = 600;
/** Other processes may write to the record while its state is being put right: their heartbeats, for one. */
const MOST_TURNS = 8;

/** Mints under the lease. @throws {RemintError} What the mint failed with, as the fleet was told. */
export async function lead(leader: Leader, lease: Lease): Promise<Obtained> {
  const { member, waits } = leader;
  let minted: Minted;
  try {
    waits.assertWanted();
    minted = await mintAlone(leader);
  } catch (error) {
    const left = stateLeftBy(error as RemintError);
    if (left !== undefined) member.presented(leader.state, left);
    const told = waits.isAbandoned && left === undefined ? lease.release() : lease.fail(error as RemintError);
    await told.catch((fault: unknown) => member.report(fault));
    throw error;
  }
  const { state } = minted.response;
  if (state !== undefined) member.presented(leader.state, state);
  const isWorthSharing = minted.lifetime.ms > 0 && minted.expiresAt > member.fleet.clock.now();
  // The next state is, whatever came with it.
  if (isWorthSharing || state !== undefined) return publish(leader, lease, minted);
  await lease.release().catch((fault: unknown) => member.report(fault));
  return minted;
}

/** Mints and tells nobody. */
export function mintAlone({ member, need, waits, mintTimeout, state }: Leader): Promise<Minted> {
  const { previous, seed, onRetry } = need;
  const mint = startMint({ ...member.settings, mintTimeout, onRetry }, { previous, seed, state });
  // Closing the cache does not end a request that uses a state up: its answer holds the only next one.
  return waits.follow(state === undefined ? mint : { ...mint, abandon: () => {} });
}

async function publish(leader: Leader, lease: Lease, minted: Minted): Promise<Obtained> {
  const { member } = leader;
  try {
    return await write(leader, lease, minted);
  } catch (fault) {
    if (!(fault instanceof StoreFault)) throw fault;
    // Callers do not wait for the store: they have their token.
    member.report(fault);
    member.learn(knownFrom(lease.recordOf(minted), undefined, member.fleet.clock.monotonic()));
    void publishLater(member, lease, minted);
    return minted;
  }
}

/** @throws {StoreFault} When the store does not take it. */
async function write(leader: Leader, lease: Lease, minted: Minted): Promise<Obtained> {
  const { member } = leader;
  const writtenAt = member.fleet.clock.monotonic();
  const record = lease.recordOf(minted);
  const { version, current } = await offer(member, lease, minted, record);
  if (version === undefined) return (await outdone(leader, lease, record, current)) ?? minted;
  member.learn(knownFrom(record, version, writtenAt));
  return minted;
}

/** What came of writing a record: its version, or what is there instead. */
interface Offered {
  readonly version?: string | undefined;
  readonly current?: StoreEntry | undefined;
}

/** Writes the record over the lease. */
async function offer(member: FleetSupply, lease: Lease, { response }: Minted, record: TokenRecord): Promise<Offered> {
  const result = await lease.publish(record);
  if (result.ok) return { version: result.version };
  return response.state === undefined ? result : saveState(member, lease, record, result.current);
}

/**
 * The lease was lost, and the state is another matter than the token: what the record has is used up, and this is the
 * only place that has the next one. So it is written over whatever has the used up one, or none.
 */
async function saveState(
  member: FleetSupply,
  lease: Lease,
  record: TokenRecord,
  current: StoreEntry | undefined,
): Promise<Offered> {
  let there = current;
  for (let turns = 0; turns < MOST_TURNS; turns++) {
    const seen = there === undefined ? undefined : await read(lease.place, there, member.fleet.clock.now());
    if (seen?.record !== undefined && !member.isBehind(seen.record)) return { current: there };
    const result = await lease.replace(there?.version, record);
    if (result.ok) return { version: result.version };
    there = result.current;
  }
  throw new StoreFault("the record changed with every try to replace it");
}

/**
 * The lease was lost to another process while this one minted. Its token is not published: it may be older than a
 * rejection the other one knows of. What the fleet has is used instead, if it is there.
 */
async function outdone(
  { member, refuses }: Leader,
  lease: Lease,
  own: TokenRecord,
  current: StoreEntry | undefined,
): Promise<Obtained | undefined> {
  const { clock } = member.fleet;
  const readAt = clock.monotonic();
  const seen = current === undefined ? undefined : await member.see(lease.place, current);
  const there = seen?.record;
  if (there?.token !== undefined && there.left - seen!.age > 0 && !refuses(there.token.response.access_token)) {
    const known = knownFrom(there as TokenRecord, seen!.version, readAt - seen!.age);
    member.learn(known);
    return adopted(known, clock);
  }
  member.learn(knownFrom(own, undefined, readAt));
  return undefined;
}

/** The store failed when the token was to be published. A state must get there, so that is tried for longer. */
async function publishLater(member: FleetSupply, lease: Lease, minted: Minted): Promise<void> {
  const { clock } = member.fleet;
  const hasState = minted.response.state !== undefined;
  for (let tries = hasState ? LATE_TRIES_WITH_STATE : LATE_TRIES; tries > 0; tries--) {
    // In the background: it does not keep the process alive (C12).
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, TRY_AGAIN));
    const record = lease.recordOf(minted);
    if (!hasState && record.left <= 0) return;
    const writtenAt = clock.monotonic();
    try {
      const { version } = await offer(member, lease, minted, record);
      // Meanwhile it may have had another one.
      const isLast = member.known?.value === record.token.response.access_token;
      if (version !== undefined && isLast) member.learn(knownFrom(record, version, writtenAt));
      return;
    } catch {
      // The store again.
    }
  }
}
