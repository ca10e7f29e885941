/**
 * Minting for the fleet, while holding its lease: the token is published over that lease and over nothing else, a failure
 * is told, and what can not be told now is told later.
 *
 * @module
 */
import pRetry from "p-retry";
import { startMint } from "../mint.ts";
import { adopted, knownFrom, type TokenRecord } from "./memory.ts";
import { StoreFault } from "./store-link.ts";
import type { RemintError } from "../errors.ts";
import type { Minted } from "../mint.ts";
import type { StoreEntry } from "../stores/store.ts";
import type { Obtained, TokenNeed } from "../token-supply.ts";
import type { Lease } from "./lease.ts";
import type { Member } from "./member.ts";
import type { Waits } from "./waits.ts";

/** What leading needs of its flight. */
export interface Leader {
  readonly member: Member;
  readonly need: TokenNeed;
  readonly waits: Waits;
  /** Milliseconds the mint may take. */
  readonly mintTimeout: number;
  /** The state to present. */
  readonly state: unknown;
  /** Whether a value must not be taken over from others. */
  readonly refuses: (value: string) => boolean;
}

/** Mints under the lease. @throws {RemintError} What the mint failed with, as the fleet was told. */
export async function lead(leader: Leader, lease: Lease): Promise<Obtained> {
  const { member, waits } = leader;
  let minted: Minted;
  try {
    minted = await mintAlone(leader);
  } catch (error) {
    const told = waits.isAbandoned ? lease.release() : lease.fail(error as RemintError);
    await told.catch((fault: unknown) => member.report(fault));
    throw error;
  }
  const { state } = minted.response;
  if (state !== undefined) member.presented(leader.state, state);
  const { clock } = member.fleet;
  if (minted.lifetime.ms > 0 && minted.expiresAt > clock.now()) return publish(leader, lease, minted);
  await lease.release().catch((fault: unknown) => member.report(fault));
  return minted;
}

/** Mints and tells nobody. */
export function mintAlone({ member, need, waits, mintTimeout, state }: Leader): Promise<Minted> {
  const { previous, seed, onRetry } = need;
  return waits.follow(startMint({ ...member.settings, mintTimeout, onRetry }, { previous, seed, state }));
}

async function publish(leader: Leader, lease: Lease, minted: Minted): Promise<Obtained> {
  const { member } = leader;
  const writtenAt = member.fleet.clock.monotonic();
  const record = lease.recordOf(minted);
  try {
    const result = await lease.publish(record);
    if (result.ok) {
      member.learn(knownFrom(record, result.version, writtenAt));
      return minted;
    }
    return await outdone(leader, lease, minted, result.current);
  } catch (fault) {
    if (!(fault instanceof StoreFault)) throw fault;
    // Callers do not wait for the store: they have their token.
    member.report(fault);
    member.learn(knownFrom(record, undefined, writtenAt));
    void publishLater(leader, lease, minted);
    return minted;
  }
}

/**
 * The lease was lost to another process while this one minted. Its token is not published: it may be older than a
 * rejection the other one knows of. What the fleet has is used instead, if it is there. A state is another matter: the
 * one in the record is used up, and this is the only place that has the next one.
 */
async function outdone(
  leader: Leader,
  lease: Lease,
  minted: Minted,
  current: StoreEntry | undefined,
): Promise<Obtained> {
  const { member } = leader;
  const { clock } = member.fleet;
  const readAt = clock.monotonic();
  const record = lease.recordOf(minted);
  const seen = current === undefined ? undefined : await member.see(lease.place, current);
  const there = seen?.record;
  if (minted.response.state !== undefined && (there === undefined || member.usesUp(there))) {
    const result = await lease.replace(current?.version, record);
    if (result.ok) {
      member.learn(knownFrom(record, result.version, readAt));
      return minted;
    }
  }
  if (there?.token !== undefined && there.left - seen!.age > 0 && !leader.refuses(there.token.response.access_token)) {
    const known = knownFrom(there as TokenRecord, seen!.version, readAt - seen!.age);
    member.learn(known);
    return { ...adopted(known, clock), mayBeOlder: true };
  }
  member.learn(knownFrom(record, undefined, readAt));
  return minted;
}

/** The store failed when the token was to be published. A state must get there, so that is tried for longer. */
async function publishLater({ member }: Leader, lease: Lease, minted: Minted): Promise<void> {
  const hasState = minted.response.state !== undefined;
  const { clock } = member.fleet;
  const attempt = async (): Promise<void> => {
    const writtenAt = clock.monotonic();
    const record: TokenRecord = lease.recordOf(minted);
    if (record.left <= 0 && !hasState) return;
    const result = await lease.publish(record);
    if (result.ok && member.known?.value === record.token.response.access_token) {
      member.learn(knownFrom(record, result.version, writtenAt));
    }
  };
  await pRetry(attempt, { retries: hasState ? 12 : 2, minTimeout: 1000, maxTimeout: 30_000, unref: true }).catch(
    () => {},
  );
}
