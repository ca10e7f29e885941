/**
 * What this process knows of one record of the fleet: what it held when it was read last, which sign-in the process serves,
 * and how a record that is read now relates to that.
 *
 * It takes no lease and starts no mint. A flight (flight.ts) reads the record and acts; a sign-in and a sign-out (sign.ts)
 * replace it. What a record contains is in record.ts, the state of this process in `core/state.ts`.
 *
 * @module
 */
import { settledWithin } from "../base/clock.ts";
import { RemintError, safeCause } from "../base/errors.ts";
import { AccessTokenRecord } from "../core/access-token.ts";
import { Failure } from "../core/failures.ts";
import { windowsOf } from "../core/expiry.ts";
import { clientAt } from "../core/grant.ts";
import { NOBODY, runRevocation } from "../core/mint.ts";
import { digestOf, remembered, SessionState } from "../core/state.ts";
import { newSession, REPLACED, stateSettings } from "../core/supply.ts";
import { Lease } from "./lease.ts";
import { StoreFault } from "./link.ts";
import { hasSessions } from "./record-name.ts";
import { decode, EMPTY, encode, targetIn, withTargetRecord } from "./record.ts";
import type { Target } from "../core/grant.ts";
import type { LoadedState, Minted } from "../core/mint.ts";
import type { FleetCache, Obtained, SupplyMember } from "../core/supply.ts";
import type { Session } from "../core/types.ts";
import type { Fleet } from "./link.ts";
import type { FleetRecord, SeenRecord, StoredToken } from "./record.ts";
import type { StoreEntry, SwapResult } from "./store.ts";

/** A record as this process last knew it. */
interface Known {
  readonly record: FleetRecord;
  /** `undefined`: the process has minted without the store, or the version is not known. */
  readonly version: string | undefined;
}

/** How a record relates to what this process serves. */
export type Relation =
  /** It is of the session that the process serves, or of a newer one that it serves from now on. */
  | "ours"
  /** The session was signed out. */
  | "ended"
  /** It is of an earlier session than the one that the process serves: an old copy, or a sign-in that came too late. */
  | "older"
  /** The last sign-in could not be stored: neither the session before it is served nor the new one. */
  | "void";

/** What this process knows of one record. */
export class KnownSession {
  readonly fleet: Fleet;
  settings: FleetCache;
  /** The key of the record in the store. */
  readonly key: string;
  /** Identifies this process among the holders of leases. */
  readonly holder: string = newSession(0).id;
  /** The tokens of the record come of a sign-in. */
  readonly hasSessions: boolean;
  /** A mint uses something up: it must not run in two processes, and not without the store. */
  readonly isStateful: boolean;
  /** What this process knows of the state. Absent for a grant without a state. */
  readonly state: SessionState | undefined;
  #members: WeakRef<SupplyMember>[] = [];
  #known: Known | undefined;
  /** See {@link KnownSession.identity}. */
  #named: Session | undefined;
  /** How often the state of that session was replaced, in the record that was furthest: a copy of before is not believed. */
  #rotated: number | undefined;
  /**
   * The session as the caches of this process know it. It is there before the record was looked at, so that a sign-in ends
   * also what waits for the first look.
   */
  #session: Session = newSession(0);
  #isEnded = false;
  #isVoid = false;
  /** The grant has said that there is no user. */
  #isNobody = false;
  /** The listener has not been told of the session yet: nobody was signed in before it, and it may come to nothing. */
  #isUntold = false;
  /** The record that says that the server refuses the state. Kept here, because the store keeps it for a while only. */
  #refusal: FleetRecord | undefined;
  /** The session whose refusal the caches of this process have been told of. */
  #toldRefusal: string | undefined;
  /** When the record was read or written last, by both clocks. */
  #seenAt: { readonly wall: number; readonly monotonic: number } | undefined;
  /** The version that was read last, and the monotonic time at which this process first read it. */
  #lastRead: { readonly version: string; readonly since: number } | undefined;
  /** A rejected token that the record may still hold, because this process replaced it while the store failed. */
  #rejectedInRecord: string | undefined;
  /** The last mint of this process for the record failed. */
  #isFailing = false;
  /** A sign-out of this process is to revoke what the record holds. */
  isRevoking = false;
  /** The record of an ended session whose tokens a sign-out of this process is revoking. */
  revokedEnd: FleetRecord | undefined;
  /** A state that this process has minted and that could not be written to the store yet. */
  isUnpublished = false;
  /** The failure with which callers have left a mint that is still in progress. */
  leftWith: Failure | undefined;
  /** The sign-in or sign-out of this process that was called last. */
  #lastChange: object | undefined;
  /** Resolves when the sign-ins and sign-outs that were called so far are stored. `undefined` when they are. */
  #changing: Promise<unknown> | undefined;
  /** The mint of the session that must not be made twice. */
  #mint: Promise<unknown> | undefined;
  /** Mints, writes and revocations in progress. */
  readonly #work = new Set<Promise<unknown>>();

  constructor(fleet: Fleet, settings: FleetCache, key: string) {
    const { source } = settings.grant;
    this.fleet = fleet;
    this.settings = settings;
    this.key = key;
    this.hasSessions = hasSessions(settings.grant);
    this.isStateful = !settings.grant.isRepeatable;
    this.state = source && new SessionState(source, stateSettings(settings, true));
  }

  /** `undefined` while nobody is signed in, and after a refusal: whoever comes next belongs to the one that then is. */
  get session(): Session | undefined {
    return this.#isEnded || this.#isNobody || this.#refusal !== undefined ? undefined : this.#session;
  }

  /** Whether the process must look at the record before it may write one: it serves no session. */
  get isBarred(): boolean {
    return this.#isEnded || this.#isVoid;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  join(member: SupplyMember): void {
    this.#members = [...this.#members.filter((reference) => reference.deref() !== undefined), new WeakRef(member)];
  }

  /** Another cache goes on with what is known and in progress. */
  continueWith(settings: FleetCache): void {
    const { source } = settings.grant;
    this.settings = settings;
    if (source !== undefined) this.state?.continueWith(source, stateSettings(settings, true));
  }

  tell(what: (member: SupplyMember) => void): void {
    for (const reference of this.#members) {
      const member = reference.deref();
      if (member !== undefined) what(member);
    }
  }

  /**
   * Stores a sign-in or a sign-out. Those of one process are stored in the order in which they were called.
   *
   * @returns The result, and whether it still counts: no other one was called meanwhile.
   */
  async change<T>(store: () => Promise<T>): Promise<{ readonly stored: T; readonly counts: boolean }> {
    const change = {};
    this.#lastChange = change;
    const before = this.#changing;
    // Who closes waits for it: nobody else has what a sign-in brings.
    const work = this.track(
      (async () => {
        await before;
        return store();
      })(),
    );
    const changing = work.then(nothing, nothing);
    this.#changing = changing;
    const end = (): void => {
      if (this.#changing === changing) this.#changing = undefined;
    };
    try {
      return { stored: await work, counts: this.#lastChange === change };
    } finally {
      end();
    }
  }

  /** Waits until no sign-in and no sign-out of this process is being stored. */
  async unchanging(): Promise<void> {
    while (this.#changing !== undefined) await this.#changing;
  }

  /** Something is in progress that must not be forgotten. */
  get isBusy(): boolean {
    return this.#work.size > 0 || this.state?.isUnsaved === true;
  }

  /** Keeps work in mind until it is done. */
  track<T>(work: Promise<T>): Promise<T> {
    const done = (): void => void this.#work.delete(work);
    this.#work.add(work);
    work.then(done, done);
    return work;
  }

  /** Whether this process is minting what must not be minted twice, whatever has become of its lease. */
  get isMinting(): boolean {
    return this.#mint !== undefined;
  }

  /** Keeps a mint in mind until it has landed. */
  mints<T>(landing: Promise<T>): Promise<T> {
    if (!this.isStateful) return this.track(landing);
    const end = (): void => {
      if (this.#mint === landing) this.#mint = undefined;
    };
    this.#mint = landing;
    landing.then(end, end);
    return this.track(landing);
  }

  /** Waits until nothing is in progress. @returns `false` when that takes longer than so many milliseconds. */
  settled(within: number): Promise<boolean> {
    const all = async (): Promise<void> => {
      while (this.#work.size > 0) await Promise.allSettled(this.#work);
    };
    return settledWithin(this.fleet.clock, all(), within);
  }

  /** The callers of a mint have left it: until it has landed, others fail at once. */
  leave(failure: Failure, landing: Promise<unknown>): void {
    this.leftWith = failure;
    const end = (): void => {
      if (this.leftWith === failure) this.leftWith = undefined;
    };
    landing.then(end, end);
  }

  /** A token has arrived for which no caller waits. */
  landed(target: Target | undefined, token: Obtained): void {
    this.tell((member) => {
      if (member.target?.fingerprint === target?.fingerprint) member.landed(this.bounded(token));
    });
  }

  /** Revokes what a session that is over has got, where the grant can. */
  revoke(minted: Minted | undefined, state: unknown): void {
    const { grant } = this.settings;
    if (grant.revoke === undefined || (minted === undefined && state === undefined)) return;
    const tokens = minted === undefined ? [] : [new AccessTokenRecord(minted.response, minted.expiresAt, 0)];
    void this.track(runRevocation(this.settings, tokens, state).catch(() => {}));
  }

  /** What the process last knew of the record. */
  get known(): Known | undefined {
    return this.#known;
  }

  get rejectedInRecord(): string | undefined {
    return this.#rejectedInRecord;
  }

  /** Milliseconds for which the record has not changed, as far as this process has seen. */
  get unchangedFor(): number {
    return this.#lastRead === undefined ? 0 : this.fleet.clock.monotonic() - this.#lastRead.since;
  }

  /** The session as the record names it. `undefined` until a record was read or written. */
  get identity(): Session | undefined {
    return this.#identity;
  }

  get #identity(): Session | undefined {
    return this.#named;
  }

  set #identity(session: Session | undefined) {
    if (session?.id !== this.#named?.id) this.#rotated = undefined;
    this.#named = session;
  }

  /** The highest generation of a session that this process has seen. */
  get generation(): number {
    return Math.max(this.#identity?.generation ?? 0, this.#refusal?.session?.generation ?? 0);
  }

  /** Keeps what this process has read or written. */
  remember(record: FleetRecord, version: string | undefined): void {
    this.#known = { record, version };
    this.#isNobody = false;
    this.#noteRotated(record);
    this.#tellIfThereIsOne(record);
    if (version !== undefined) this.#noteSeen();
    this.#rejectedInRecord = undefined;
  }

  /** Records that this process mints without the store, to replace the token `rejected` if there is one. */
  noteMintWithoutStore(rejected: string | undefined): void {
    this.#rejectedInRecord = rejected ?? this.#rejectedInRecord;
  }

  /** Decrypts what was read. @param readAt When the read began: monotonic milliseconds. */
  async read(entry: StoreEntry, readAt: number): Promise<SeenRecord> {
    const { clock, seals } = this.fleet;
    if (this.#lastRead?.version !== entry.version)
      this.#lastRead = { version: entry.version, since: clock.monotonic() };
    const seen = await decode(this.key, seals, entry, { clock, readAt });
    if (seen.kind === "record" && !this.#isState(seen.record.state)) return { ...seen, kind: "rubbish" };
    return seen;
  }

  /**
   * Whether a record tells of a refusal or a sign-out that was over when this page was loaded. The browser may have another
   * cookie since, of which no record knows. A grant that keeps its state here is told of a sign-in.
   */
  isBygone({ record, writtenAt }: SeenRecord & { readonly kind: "record" }): boolean {
    const { loadedAt } = this.fleet;
    if (loadedAt === undefined || this.state !== undefined || this.isBarred) return false;
    return (record.phase === "R" || record.phase === "E") && writtenAt < loadedAt;
  }

  /** Writes a record, if the one that is stored has this version. @throws {StoreFault} When the store fails. */
  async swap(version: string | undefined, record: FleetRecord): Promise<SwapResult> {
    const { link, seals, clock, ttls, callTimeout: timeout } = this.fleet;
    const next = await encode(this.key, seals[0]!, record, { clock, ttls });
    return link.swap(this.key, version, next, { timeout, ignoresPause: true });
  }

  /**
   * Takes out of a record what nobody needs any more. A failure of the store is left to whoever looks next. A record that is
   * stored instead is believed, like every one that this process reads.
   */
  async tidy(version: string | undefined, record: FleetRecord): Promise<void> {
    try {
      const result = await this.swap(version, record);
      const there = result.ok ? undefined : result.current;
      const seen = there && (await this.read(there, this.fleet.clock.monotonic()));
      if (seen?.kind === "record") this.meet(seen.record);
    } catch (fault) {
      if (!(fault instanceof StoreFault)) throw fault;
    }
  }

  /** How a record relates to the session that the process serves. Changes nothing. */
  relationOf(record: FleetRecord): Relation {
    if (!this.hasSessions) return "ours";
    // What is stored now is replaced in a moment.
    if (this.#changing !== undefined && this.isBarred) return this.#isEnded ? "ended" : "void";
    const { session, phase } = record;
    const own = this.#identity;
    const isSame = this.isOf(own, record);
    const isLower = own !== undefined && !isSame && (session?.generation ?? -1) < own.generation;
    const isOlder = isLower && !this.#isContinuedBy(record);
    if (this.#isVoid) return isSame || !isOlder ? (phase === "E" ? "ended" : "ours") : "void";
    // What was signed out is not served again, also where the store does not know of it.
    if (this.#isEnded && (isOlder || isSame)) return "ended";
    if (isOlder) return "older";
    return phase === "E" ? "ended" : "ours";
  }

  /**
   * Takes over what a record says of the session: a newer sign-in, a later state, its end.
   *
   * @returns The record, with the state that this process knows to be later than the record's.
   */
  meet(record: FleetRecord): { readonly relation: Relation; readonly record: FleetRecord } {
    // A record without a state, which was begun anew, says nothing of whether the session was signed out.
    if (record.state !== undefined || record.phase === "E") this.#noteSeen();
    const relation = this.relationOf(record);
    if (!this.hasSessions || relation === "older" || relation === "void") return { relation, record };
    const { session } = record;
    const own = this.#identity;
    const isSame = this.isOf(own, record);
    if (relation === "ended") {
      if (session !== undefined && (own === undefined || session.generation >= own.generation))
        this.#identity = session;
      if (!this.#isEnded) this.end(own !== undefined);
      return { relation, record };
    }
    if (session !== undefined && !isSame) {
      if (own === undefined) {
        // A session that was refused before this process looked has served nothing here: callers belong to the next one.
        if (record.phase !== "R") this.#identity = session;
      } else if (this.#isContinuedBy(record)) {
        this.#identity = session;
      } else {
        const wasServed = this.session !== undefined;
        this.begin(session);
        this.#isUntold = true;
        if (wasServed) this.#tellReplaced();
      }
    }
    // A copy of before, which somebody has put back: what it holds is used up, and its tokens were replaced.
    if (isSame && record.phase !== "R" && this.state?.current !== undefined && this.hasUsed(record)) {
      return { relation: "older", record };
    }
    this.#isVoid = false;
    this.#isEnded = false;
    this.#refusal = record.phase === "R" ? record : undefined;
    // The same one may have another id: the store had lost the record, and another process has begun it anew.
    if (isSame && own !== undefined) this.#identity = session;
    this.#noteRotated(record);
    this.#tellIfThereIsOne(record);
    return { relation, record: this.#withLatestState(record) };
  }

  /**
   * Tells of another session once the record holds something of it. Where nobody was signed in, another tab may only be
   * asking whether somebody is.
   */
  #tellIfThereIsOne({ phase, state, tokens }: FleetRecord): void {
    const isThere = state !== undefined || Object.values(tokens).some(({ token }) => token !== undefined);
    if (this.#isUntold && isThere && phase !== "R") this.#tellReplaced();
  }

  #tellReplaced(): void {
    this.#isUntold = false;
    this.settings.listeners.tell?.({ name: "session-replaced", isEnded: false });
  }

  /**
   * Gives a record another name where it had no state before: it may have been begun for another session than that of the
   * state, which the user's function has now. Whoever knows the name asks the states.
   */
  named(record: FleetRecord, before: FleetRecord): FleetRecord {
    if (before.state !== undefined || before.session === undefined) return record;
    const session = newSession(before.session.generation);
    this.#identity = session;
    return { ...record, session };
  }

  /** This process has written a record: it serves the session of that. */
  accept(record: FleetRecord): void {
    const { session } = record;
    if (session === undefined) return;
    if (this.#identity === undefined) this.#identity = session;
    else if (!this.isOf(this.#identity, record)) this.begin(session);
    this.#noteRotated(record);
  }

  /**
   * Whether a record is of this session. When the store has lost a record, more than one process may begin it anew, with the
   * generation of the sign-in that it knows of: 0, where it knows of none. Their states tell whether it is the same sign-in.
   * Without a state nobody has said that there is another.
   */
  isOf(own: Session | undefined, { session, state, used }: FleetRecord): boolean {
    if (own?.generation !== session?.generation) return false;
    if (own === undefined || own.id === session?.id) return true;
    if (this.state === undefined) return true;
    const { current } = this.state;
    if (current === undefined || state === undefined) return true;
    const digest = digestOf(current);
    return digestOf(state) === digest || used.includes(digest) || this.state.hasUsed(state);
  }

  /** Whether a token of a mint that began under this session may still be served. */
  isCurrent(session: Session | undefined): boolean {
    return !this.isBarred && session === this.#session;
  }

  /** The session as the caches of this process know it, also while the server refuses its state. */
  get served(): Session {
    return this.#session;
  }

  /** A session begins: of a sign-in here, of one that the record tells of, or of a state after a refusal. */
  begin(identity: Session): void {
    this.#identity = identity;
    this.#session = { ...identity };
    this.#isEnded = false;
    this.#isVoid = false;
    this.#isNobody = false;
    this.#isUntold = false;
    this.#refusal = undefined;
    this.#mint = undefined;
    this.state?.replace();
    this.tell((member) => member.sessionOver("replaced"));
  }

  /** No session is served until a sign-in is stored. @returns The session of the sign-in, for {@link resume}. */
  suspend(identity: Session): Session {
    this.begin(identity);
    this.state?.forget();
    this.#known = undefined;
    this.#isVoid = true;
    return this.#session;
  }

  /** The sign-in is stored. Who has come since belongs to its session. */
  resume(suspended: Session, identity: Session): void {
    if (this.#session !== suspended) return this.begin(identity);
    this.#identity = identity;
    this.#isVoid = false;
  }

  /**
   * The session was signed out, here or elsewhere.
   *
   * @param identity What a sign-in has to be newer than to be served. @defaultValue the session before
   */
  end(isNews: boolean, identity: Session | undefined = this.#identity): void {
    this.#identity = identity;
    this.#isEnded = true;
    this.#isVoid = false;
    this.#isUntold = false;
    this.#refusal = undefined;
    this.state?.forget();
    this.#known = undefined;
    this.tell((member) => member.sessionOver("ended"));
    if (isNews) this.settings.listeners.tell?.({ name: "session-replaced", isEnded: true });
  }

  /** The grant has said that nobody is signed in: the tokens of before are served no more. */
  noteNobody(): void {
    if (this.#isNobody) return;
    this.#isNobody = true;
    this.#session = newSession(0);
    this.tell((member) => member.sessionOver("nobody"));
  }

  /** The server has refused the state, to this process: its callers hear of it by the failure of their own mint. */
  noteRefusal(record: FleetRecord): void {
    this.#refusal = record;
    this.#toldRefusal = nameOf(record);
  }

  /** Whether this process has been told of a refusal that another one has met. From now on it has. */
  hasTold(record: FleetRecord): boolean {
    const name = nameOf(record);
    const isKnown = this.#toldRefusal === name;
    this.#toldRefusal = name;
    return isKnown;
  }

  /**
   * What a new record begins with where there is none, or where the one that is there is rubbish or of an older session. The
   * state of a record that this process saw too long ago is not brought back: the session may have been signed out.
   */
  base(): FleetRecord {
    if (!this.hasSessions) return EMPTY;
    if (this.#refusal !== undefined) return { ...this.#refusal, tokens: {} };
    const rotated = this.#identity === undefined ? 0 : this.#rotated;
    const record: FleetRecord = {
      ...EMPTY,
      session: this.#identity ?? newSession(0),
      used: this.state?.used ?? [],
      ...(rotated !== undefined && { rotated }),
    };
    const state = this.#mayPresentFirst() ? this.state?.current : undefined;
    return state === undefined ? record : { ...record, state };
  }

  /**
   * Returns the state that a mint presents: the record's. A record without a state gets one from the user's function, or else
   * from the memory of this process.
   *
   * @throws {RemintError} When the function fails. Nothing is presented then.
   * @throws {Failure} When the function has a state that is not known to be of this session.
   */
  async load(record: FleetRecord, signal: AbortSignal): Promise<LoadedState> {
    const { state } = this;
    // Another mint of this process may have used the state up since the lease was asked for.
    if (record.state !== undefined && !this.hasUsed(record)) return { state: record.state };
    if (record.state !== undefined && state?.current !== undefined) return { state: state.current };
    if (state === undefined) return { isNobody: true };
    const own = state.current;
    if (state.source.load !== undefined) {
      const { epoch } = state;
      const asked = await state.ask(signal);
      // A sign-in or a sign-out has come meanwhile: what the function had is not for this mint.
      if (epoch !== state.epoch) throw REPLACED;
      if (asked === undefined) return { isNobody: true };
      const isUsed = state.hasUsed(asked) || record.used.includes(digestOf(asked));
      if (!isUsed) {
        const isOther = own !== undefined && digestOf(own) !== digestOf(asked) && this.session !== undefined;
        state.adopt(asked);
        // It may be of another sign-in, of which the store has lost the record: it is not for those who wait already.
        if (isOther) {
          // Not older than the sign-in that this process knows of: it is in the table, whichever it is.
          this.begin(newSession(this.generation));
          this.#rotated = 0;
          this.settings.listeners.tell?.({ name: "session-replaced", isEnded: false });
          throw REPLACED;
        }
        return { state: asked };
      }
    }
    const isFresh = own !== undefined && this.#isRecent() && !record.used.includes(digestOf(own));
    return isFresh ? { state: own } : { isNobody: true };
  }

  /** Returns a state of the user's that the record of a refused session does not know, if there is one. */
  async otherState({ used, refused }: FleetRecord, signal: AbortSignal): Promise<unknown> {
    const { state } = this;
    const epoch = state?.epoch;
    const other = await state?.ask(signal);
    if (state === undefined || other === undefined || epoch !== state.epoch) return undefined;
    const digest = digestOf(other);
    return digest === refused?.digest || used.includes(digest) || state.hasUsed(other) ? undefined : other;
  }

  /** Whether the state of a record is used up, as far as this process knows: it has presented it, or has seen a later one. */
  hasUsed(record: FleetRecord): boolean {
    if (record.state === undefined || this.state === undefined) return false;
    return this.state.hasUsed(record.state) || this.#isOutrun(record);
  }

  /** Ends the row of rejections of a token: the APIs that rejected the token before it have accepted it (C8). */
  async resetStrikes(value: string): Promise<void> {
    const known = this.#known;
    const found = known === undefined ? undefined : tokenIn(known.record, value);
    if (known?.version === undefined || found === undefined) return;
    const { fingerprint, token } = found;
    const target = targetIn(known.record, fingerprint);
    if (target.strikes === 0 || this.fleet.clock.monotonic() >= token.until) return;
    const calm = { ...target, strikes: 0, token: { ...token, quietUntil: -Infinity } };
    const record = withTargetRecord(known.record, fingerprint, calm);
    // The version of the record that is written below is not kept. The next flight reads the record instead.
    this.#known = { record, version: undefined };
    await this.tidy(known.version, record);
  }

  /** Until when the fleet declines to replace this token, after several rejections in a row (C8). */
  refuses(value: string): boolean {
    const known = this.#known;
    const found = known?.version === undefined ? undefined : tokenIn(known.record, value);
    return found !== undefined && this.fleet.clock.monotonic() < found.token.quietUntil;
  }

  /** Makes a lease of this process on a record. */
  lease(record: FleetRecord): Lease {
    return new Lease(this.fleet, this.key, this.holder, record, () =>
      this.settings.listeners.tell?.({ name: "lease-lost" }),
    );
  }

  /** Whether mints of this process fail: of this record, or at the same server with the same client. */
  get hasFailed(): boolean {
    return this.#isFailing || this.fleet.failing.has(this.#server);
  }

  /** Keeps in mind whether mints of this process fail. A refused session says nothing about the process. */
  noteOutcome(failure: Failure | undefined, isRefused = false): void {
    const { failing } = this.fleet;
    if (failure === undefined) {
      this.#isFailing = false;
      failing.delete(this.#server);
    } else if (!isRefused && failure !== NOBODY && failure.owner !== "nobody") {
      this.#isFailing = true;
      if (failure.owner === "server" || failure.owner === "client") failing.set(this.#server, true);
    }
  }

  get #server(): string {
    const { server } = this.settings.grant;
    return server === undefined ? this.key : clientAt(server);
  }

  /** Whether how long this process may serve a token without a look at the record is limited: the session may be over. */
  get hasToLook(): boolean {
    return this.hasSessions && this.fleet.maxStaleness < Infinity;
  }

  /** Whether a token is so near to its expiry that it is replaced, and not only looked up. */
  isDue({ until, lifetime }: StoredToken): boolean {
    const { refreshBuffer, minValidity } = this.settings;
    if (!this.hasToLook) return true;
    // The longest that the windows of a cache can be.
    return until - this.fleet.clock.monotonic() <= windowsOf(lifetime.ms, refreshBuffer, minValidity, 1).soft;
  }

  /** Limits for how long a token is served before the record is looked at again: the session may be signed out elsewhere. */
  bounded(obtained: Obtained): Obtained {
    const { maxStaleness, clock } = this.fleet;
    return this.hasToLook ? { ...obtained, servedUntil: clock.now() + maxStaleness } : obtained;
  }

  /** Reports a failure of the store to `onEvent`. @returns The failure for callers that cannot get a token without it. */
  reportStoreFailure(fault: unknown): Failure {
    const { message, cause } = fault as Error;
    const consequence = this.isStateful
      ? "so no token is available: the state of this grant (a refresh token) can be used once, and only the store knows " +
        "whether it was used"
      : "so this process mints for itself until the store works again";
    const text = "no token is available: the store through which processes share tokens failed";
    const facts = { code: "ERR_STORE", message: text, hint: `${message}, ${consequence}`, retryable: true } as const;
    const failure = Failure.of(new RemintError(facts.code, text, { ...facts, cause: safeCause(cause) }), "key");
    const { listeners, warns } = this.settings;
    this.fleet.link.tellFailure(failure.toError(), listeners, warns);
    return failure;
  }

  /** Whether the grant can present this, as far as it can tell. */
  #isState(state: unknown): boolean {
    try {
      if (state !== undefined) this.state?.source.check(state);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Whether a record goes on from the state of this process, though it has another identity: while the store had lost the
   * record, another process has begun it anew from the source. A sign-in is never that: its generation is not 0.
   */
  #isContinuedBy({ session, used }: FleetRecord): boolean {
    const current = this.state?.current;
    return session?.generation === 0 && current !== undefined && used.includes(digestOf(current));
  }

  /** Whether this process has seen a record of the same session whose state was replaced more often. */
  #isOutrun({ session, rotated }: FleetRecord): boolean {
    if (session === undefined || rotated === undefined || this.#rotated === undefined) return false;
    return session.id === this.#identity?.id && rotated < this.#rotated;
  }

  #noteRotated({ session, rotated }: FleetRecord): void {
    if (session === undefined || rotated === undefined || session.id !== this.#identity?.id) return;
    this.#rotated = Math.max(rotated, this.#rotated ?? 0);
  }

  #noteSeen(): void {
    const { clock } = this.fleet;
    this.#seenAt = { wall: clock.now(), monotonic: clock.monotonic() };
  }

  #mayPresentFirst(): boolean {
    const { state } = this;
    if (state === undefined || !this.#isRecent()) return false;
    return this.isUnpublished || state.isUnsaved || state.source.load === undefined;
  }

  /** Whether the record was never seen, or so lately that it would still be there if the session had been signed out. */
  #isRecent(): boolean {
    const seen = this.#seenAt;
    if (seen === undefined) return true;
    const { clock, ttls } = this.fleet;
    return Math.max(clock.now() - seen.wall, clock.monotonic() - seen.monotonic) < ttls.endedTtl;
  }

  #withLatestState(record: FleetRecord): FleetRecord {
    const { state } = this;
    // A state that is refused is not gone on from. What this process was started with may be of a later sign-in.
    if (state === undefined || record.state === undefined || record.phase === "R") return record;
    if (!this.hasUsed(record)) {
      state.adopt(record.state, record.used);
      return record;
    }
    const { state: _spent, ...rest } = record;
    const used = remembered(record.used, state.used);
    const later = { ...rest, used, ...(rest.rotated !== undefined && { rotated: this.#rotated }) };
    return state.current === undefined ? later : { ...later, state: state.current };
  }
}

function nothing(): void {}

/** Finds a token in a record by its value. */
export function tokenIn(
  { tokens }: FleetRecord,
  value: string,
): { readonly fingerprint: string; readonly token: StoredToken } | undefined {
  for (const [fingerprint, { token }] of Object.entries(tokens)) {
    if (token?.response.access_token === value) return { fingerprint, token };
  }
  return undefined;
}

/** Names a refusal: the session and its state. */
function nameOf({ session, refused }: FleetRecord): string {
  return `${session?.generation}.${session?.id}.${refused?.digest}`;
}
