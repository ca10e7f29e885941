/**
 * Sign-in and sign-out in a fleet: both replace the record whatever it holds, also one that this process cannot read.
 *
 * A record has one session at a time. A sign-in writes a session with a higher generation than any that was seen; whoever
 * holds the lease then finds that its mint is of an earlier one. A sign-out writes the end. Until the revocation has
 * succeeded, the record of an ended session keeps what is to be revoked, so that the next process that looks can finish it.
 *
 * How processes find out is in known-session.ts.
 *
 * @module
 */
import { RemintError, safeCause } from "../base/errors.ts";
import { AccessTokenRecord } from "../core/access-token.ts";
import { minted as mintedToken, runRevocation } from "../core/mint.ts";
import { newSession, readSignIn } from "../core/supply.ts";
import { digestOf, remembered } from "../core/state.ts";
import { StoreFault } from "./link.ts";
import { EMPTY, NO_TARGET, storedToken, withTargetRecord } from "./record.ts";
import type { Clock } from "../base/clock.ts";
import type { AccessToken, Session, SignInResponse } from "../core/types.ts";
import type { KnownSession } from "./known-session.ts";
import type { FleetRecord, SeenRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";

/** Other processes may write to the record at the same time: heartbeats, for example. */
const MOST_TURNS = 16;

/**
 * Stores a sign-in, and serves its session.
 *
 * @throws {TypeError} When it is no token response.
 * @throws {RemintError} `ERR_STORE` when the store fails. Neither session is served then.
 */
export async function signIn(session: KnownSession, response: SignInResponse, fingerprint: string): Promise<void> {
  const { settings, fleet } = session;
  const { grant, defaultTtl, maxTtl, listeners } = settings;
  const { clock } = fleet;
  const given = readSignIn(grant, response);
  const token = mintedToken(given.response, { sentAt: clock.now(), defaultTtl, maxTtl, seeded: true, isOwn: true });
  const replaced = session.state?.current;
  const known = session.known?.record;
  // At once: whatever becomes of the store, nothing of the session before is served any more.
  let identity = nextSession(session.generation, clock.now());
  const suspended = session.suspend(identity);
  const isUsable = token.expiresAt > clock.now() && token.lifetime.ms > 0;
  let ended: FleetRecord | undefined;
  const compose = (seen: FleetRecord | undefined): FleetRecord => {
    const before = seen ?? known;
    ended = seen?.phase === "E" && !isSameEnd(seen, session.revokedEnd) ? seen : undefined;
    identity = nextSession(Math.max(session.generation - 1, before?.session?.generation ?? 0), clock.now(), identity);
    // Also what only this process knows: it must not present one of them again after others have signed in and out.
    const own = session.state?.used ?? [];
    const used = remembered(
      [...(before?.used ?? []), ...own],
      before?.state === undefined ? [] : [digestOf(before.state)],
    );
    const state = given.next?.state;
    const digest = state === undefined ? undefined : digestOf(state);
    const record: FleetRecord = {
      ...EMPTY,
      ...(before?.unknown && { unknown: before.unknown }),
      session: identity,
      ...(state !== undefined && { state }),
      used: used.filter((each) => each !== digest),
      rotated: 0,
    };
    const stored = { now: clock.monotonic(), clock, renews: false, quiet: 0 };
    return isUsable
      ? withTargetRecord(record, fingerprint, { ...NO_TARGET, token: storedToken(token, stored), mints: 1 })
      : record;
  };
  const { stored, counts } = await session.change(() => replace(session, "the sign-in could not be stored", compose));
  // Nobody finds any more what the sign-out before this has left to be revoked.
  if (ended !== undefined) void revokeLeft(session, ended, given.next?.state).catch(() => {});
  // Another sign-in or a sign-out was called meanwhile. That one counts.
  if (!counts) return;
  const { record, version } = stored;
  session.resume(suspended, record.session!);
  session.remember(record, version);
  if (given.next !== undefined) {
    session.state?.begin({ state: given.next.state, replaced, response: given.response });
  }
  if (isUsable) session.landed(undefined, { ...token, session: session.served, seeded: true });
  listeners.tell?.({ name: "signed-in" });
  await session.state?.save();
}

/**
 * Ends the session: in the store, in this process, and at the authorization server.
 *
 * @throws {RemintError} When the store failed, or the revocation: the session is over in this process nevertheless.
 */
export async function signOut(
  session: KnownSession,
  { revoke, tokens }: { readonly revoke: boolean; readonly tokens: readonly AccessToken[] },
): Promise<void> {
  const { settings, fleet } = session;
  const { clock } = fleet;
  const state = session.state?.current;
  const wasEnded = session.isEnded;
  session.isRevoking = revoke;
  let identity = nextSession(session.generation, clock.now());
  session.end(false, identity);
  if (!wasEnded) settings.listeners.tell?.({ name: "signed-out" });
  let left: FleetRecord | undefined;
  const compose = (seen: FleetRecord | undefined): FleetRecord => {
    left = seen;
    identity = nextSession(Math.max(session.generation - 1, seen?.session?.generation ?? 0), clock.now(), identity);
    const ended = seen?.phase === "E" ? seen : { ...seen, ...endedRecord(seen, identity, state) };
    // What is to be revoked stays in the record until it is.
    return revoke ? ended : withoutSecrets(ended);
  };
  try {
    const { stored, counts } = await session.change(() =>
      replace(session, "the sign-out could not be stored", compose),
    );
    const { record, version } = stored;
    session.revokedEnd = record;
    if (counts) session.end(false, record.session);
    // What a mint in progress brings is revoked when it lands.
    await session.settled(settings.mintTimeout);
    if (!revoke || settings.grant.revoke === undefined) return;
    const last = left?.state ?? state;
    const unrevoked = [...tokens, ...tokensOf(left, clock, tokens)];
    if (last !== undefined || unrevoked.length > 0) {
      await session.track(runRevocation(settings, unrevoked, last));
    }
    session.isRevoking = false;
    await session.tidy(version, withoutSecrets(record));
  } finally {
    session.revokedEnd = undefined;
  }
}

/**
 * Sees to it that a sign-out holds. A record of before, which somebody has put back, is replaced by the end. What the sign-out has
 * left to be revoked is revoked, where the revocation failed or the process died; nothing happens while the process that signs
 * out may still be at it.
 */
export async function upholdSignOut(session: KnownSession, record: FleetRecord, seen: SeenRecord): Promise<void> {
  const { settings, fleet } = session;
  const { clock } = fleet;
  if (record.phase !== "E") {
    const ended = endedRecord(record, session.identity, undefined);
    // If the store fails, the session is over here nevertheless, and the next look tries again.
    await session.tidy(seen.version, session.isRevoking ? ended : withoutSecrets(ended));
    return;
  }
  const isAbandoned = clock.monotonic() - seen.writtenAt > 2 * settings.mintTimeout;
  if (!isAbandoned || session.isBusy || !isOwed(session, record)) return;
  finishSignOut(session, record, seen.version);
}

/** Revokes what the record of an ended session holds, and takes it out. If that fails, whoever looks next tries again. */
export function finishSignOut(session: KnownSession, record: FleetRecord, version: string | undefined): void {
  const finish = async (): Promise<void> => {
    await revokeLeft(session, record);
    await session.tidy(version, withoutSecrets(record));
  };
  session.track(finish()).catch(() => {});
}

/** Whether a sign-out has left something to be revoked in the record. */
function isOwed({ settings, fleet }: KnownSession, record: FleetRecord): boolean {
  if (settings.grant.revoke === undefined) return false;
  return record.state !== undefined || tokensOf(record, fleet.clock, []).length > 0;
}

/** Whether both are the record of one end, with the same state to be revoked: a mint that lands later replaces that. */
function isSameEnd(end: FleetRecord, other: FleetRecord | undefined): boolean {
  return end.session?.id === other?.session?.id && digestOf(end.state) === digestOf(other?.state);
}

/** Revokes what a sign-out has left in the record, but not what another sign-in has brought again. */
async function revokeLeft(session: KnownSession, record: FleetRecord, kept?: unknown): Promise<void> {
  if (!isOwed(session, record)) return;
  const { settings, fleet } = session;
  const state = kept !== undefined && digestOf(kept) === digestOf(record.state) ? undefined : record.state;
  await session.track(runRevocation(settings, tokensOf(record, fleet.clock, []), state));
}

/** The record of an ended session, with what is to be revoked. */
function endedRecord(seen: FleetRecord | undefined, identity: Session | undefined, state: unknown): FleetRecord {
  const last = seen?.state ?? state;
  const digests = last === undefined ? [] : [digestOf(last)];
  return {
    ...EMPTY,
    ...(seen?.unknown && { unknown: seen.unknown }),
    phase: "E",
    ...(identity && { session: identity }),
    ...(last !== undefined && { state: last }),
    used: remembered(seen?.used ?? [], digests),
    tokens: seen?.tokens ?? {},
  };
}

function withoutSecrets({ state: _state, ...record }: FleetRecord): FleetRecord {
  return { ...record, tokens: {} };
}

/** The access tokens of a record that are not among those that the process has. */
function tokensOf(
  record: FleetRecord | undefined,
  clock: Clock,
  known: readonly AccessToken[],
): readonly AccessToken[] {
  const stored = Object.values(record?.tokens ?? {}).flatMap(({ token }) => token ?? []);
  const wallOffset = clock.now() - clock.monotonic();
  return stored
    .filter(({ response }) => !known.some(({ value }) => value === response.access_token))
    .map(({ response, until }) => new AccessTokenRecord(response, Math.floor(until + wallOffset), 0));
}

/** The store failed while a user waited for it. `what` says what follows. */
export function storeError(fault: StoreFault, what: string): RemintError {
  const hint = `${fault.message}: ${what}`;
  const message = "the store through which processes share sessions failed";
  return new RemintError("ERR_STORE", message, { hint, retryable: true, cause: safeCause(fault.cause) });
}

/** Replaces whatever is stored. @throws {RemintError} `ERR_STORE` when the store fails. */
async function replace(
  session: KnownSession,
  what: string,
  compose: (seen: FleetRecord | undefined) => FleetRecord,
): Promise<{ readonly record: FleetRecord; readonly version: string | undefined }> {
  const { link, clock, callTimeout: timeout } = session.fleet;
  try {
    let { current } = (await link.read(session.key, { timeout, ignoresPause: true })) as {
      current: StoreEntry | undefined;
    };
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      const seen: SeenRecord | undefined = current && (await session.read(current, clock.monotonic()));
      const record = compose(seen?.kind === "record" ? seen.record : undefined);
      const result = await session.swap(seen?.version, record);
      if (result.ok) return { record, version: result.version };
      current = result.current;
    }
    throw new StoreFault("the record changed with every try to replace it");
  } catch (fault) {
    if (!(fault instanceof StoreFault)) throw fault;
    throw storeError(fault, `${what}, so no session is served`);
  }
}

/** A session with a higher generation than any that was seen. The same one again, where that is high enough. */
function nextSession(highest: number, now: number, same?: Session): Session {
  if (same !== undefined && same.generation > highest) return same;
  return newSession(Math.max(highest + 1, Math.floor(now)));
}
