/**
 * What a process of the model knows of its session, and what it makes of a record: which session it serves, which state it
 * presents, and what it does with the result of a mint. The steps in which this happens are in session-model.ts.
 *
 * Every rule of C14 to C17 stands here or in session-model.ts as one line that a mutant changes (session-scenario.ts).
 */
import { INVARIANTS } from "./session-invariants.ts";
import { familyOf, TARGETS } from "./session-state.ts";
import type { Scenario, SessionMutant } from "./session-scenario.ts";
import type { Mint, Process, Request, SharedRecord, World } from "./session-state.ts";

export const NO_RECORD: SharedRecord = {
  phase: "T",
  gen: 0,
  sid: 0,
  state: 0,
  used: [],
  refused: 0,
  tokens: Array.from({ length: TARGETS }, () => 0),
  lease: 0,
  lapsed: false,
  owes: false,
  replayed: false,
};

/** How a record relates to the session that a process serves. */
export type Relation = "ours" | "ended" | "older" | "void";

/** One process in one step. It changes the world that it is given. */
export class Actor {
  readonly world: World;
  readonly me: Process;
  /** The invariants that the step breaks. */
  readonly broken = new Set<string>();
  readonly scenario: Scenario;

  constructor(world: World, index: number, scenario: Scenario) {
    this.world = world;
    this.me = world.processes[index]!;
    this.scenario = scenario;
  }

  is(mutant: SessionMutant): boolean {
    return this.scenario.mutant === mutant;
  }

  breaks(invariant: keyof typeof INVARIANTS, when = true): void {
    if (when) this.broken.add(INVARIANTS[invariant]);
  }

  newNumber(): number {
    return ++this.world.numbers;
  }

  /** A generation that is higher than any that was seen. */
  nextGeneration(highest: number): number {
    if (this.is("generationsAreCounted")) return highest + 1;
    return Math.max(highest + 1, this.world.time);
  }

  // --- sessions (C15, C16)

  /** Whether tokens of this session may be served. */
  isCurrent(session: number): boolean {
    return this.me.standing !== "ended" && this.me.standing !== "void" && session === this.me.session;
  }

  /** The session under which a request begins to wait; 0: whoever comes next is the one. */
  get sessionOfWaiters(): number {
    const { standing, session } = this.me;
    return standing === "refused" || standing === "nobody" ? 0 : session;
  }

  begin(gen: number, sid: number): void {
    const { me } = this;
    const isFirst = me.session === 0;
    me.gen = gen;
    me.sid = sid;
    me.session++;
    me.standing = "serves";
    me.refusal = 0;
    if (!isFirst) this.over("replaced");
  }

  /** The caches are told that their session is over. */
  over(how: "replaced" | "ended"): void {
    const { me } = this;
    for (let target = 0; target < TARGETS; target++) {
      if (target > 0 && this.is(how === "ended" ? "signOutSparesTargets" : "signInSparesTargets")) continue;
      if (!this.is("tokensOutliveTheirSession")) me.tokens[target] = undefined;
      const request = me.requests[target];
      if (request?.phase !== "waits") continue;
      if (how === "replaced" && (request.session === 0 || this.is("waitersGetTheNextSession"))) continue;
      me.requests[target] = undefined;
    }
  }

  end(): void {
    const { me } = this;
    this.forget();
    me.standing = "ended";
    if (me.session === 0) me.session++;
    this.over("ended");
  }

  /** The session is over: its state is neither presented nor saved any more. */
  forget(): void {
    const { me } = this;
    this.use(me.state);
    me.state = 0;
    me.unsaved = this.is("signOutGoesOnSaving") ? me.unsaved : 0;
    if (!this.is("signOutGoesOnSaving")) me.saving = [];
    if (me.mint?.step === "landed") me.mint = undefined;
    me.unpublished = 0;
  }

  // --- the state (C14)

  use(state: number): void {
    const { me } = this;
    if (state !== 0 && !me.used.includes(state)) me.used = [...me.used, state].toSorted((one, other) => one - other);
  }

  /** Takes over a state that somebody else keeps. */
  adopt(state: number, used: readonly number[] = []): void {
    const { me } = this;
    for (const each of used) this.use(each);
    if (me.state !== 0 && me.state !== state) {
      this.use(me.state);
      me.unsaved = 0;
    }
    me.state = state;
    me.latest = Math.max(me.latest, state);
    me.used = me.used.filter((each) => each !== state);
  }

  rotate(next: number, replaced: number): void {
    const { me } = this;
    this.use(replaced);
    me.state = next;
    me.latest = Math.max(me.latest, next);
    if (!this.scenario.saves || (this.scenario.store && this.is("storeTakesThePlaceOfSaves"))) return;
    me.unsaved = next;
    me.told = false;
  }

  // --- the record

  relationOf(record: SharedRecord): Relation {
    const { me } = this;
    const isSame = me.sid !== 0 && record.sid === me.sid && record.gen === me.gen;
    const continues = this.#isContinuedBy(record);
    const isLower = record.gen < me.gen || (this.is("ownSessionWinsATie") && record.gen === me.gen);
    const isOlder = me.sid !== 0 && !isSame && isLower && !continues && !this.is("olderRecordsAreFollowed");
    if (me.standing === "void") return isOlder ? "void" : record.phase === "E" ? "ended" : "ours";
    if (isOlder) return me.standing === "ended" ? "ended" : "older";
    return record.phase === "E" ? "ended" : "ours";
  }

  /** Takes over what a record says of the session. Returns the record with the latest state that the process knows. */
  meet(record: SharedRecord): { readonly relation: Relation; readonly record: SharedRecord } {
    const { me } = this;
    // A record that was begun anew without a state says nothing of a sign-out.
    const isTelling = record.state !== 0 || record.phase === "E" || record.phase === "R";
    if (isTelling || me.seen === "never" || this.is("emptyRecordsTell")) me.seen = "recently";
    const relation =
      this.is("newerRecordsAreIgnored") && me.sid !== 0 && record.gen > me.gen ? "older" : this.relationOf(record);
    if (relation === "older" || relation === "void") return { relation, record };
    if (relation === "ended") {
      if (record.gen >= me.gen) Object.assign(me, { gen: record.gen, sid: record.sid });
      if (me.standing !== "ended") this.end();
      return { relation, record };
    }
    const isSame = me.sid !== 0 && record.sid === me.sid && record.gen === me.gen;
    if (!isSame) this.#follow(record);
    me.standing = "serves";
    // Somebody has got a token with it since, or finds out once more.
    me.refusal = 0;
    if (record.phase === "R") Object.assign(me, { standing: "refused", refusal: record.refused });
    return { relation, record: this.#withLatestState(record) };
  }

  /**
   * Whether a record goes on from the state of the process: while the store had lost it, another process has begun it anew from
   * the source. A sign-in is never that, though it knows the state before it as used.
   */
  #isContinuedBy({ gen, used }: SharedRecord): boolean {
    const { state } = this.me;
    return (gen === 0 || this.is("signInsContinueTheSession")) && state !== 0 && used.includes(state);
  }

  /** The record is of another session than the process has served. */
  #follow(record: SharedRecord): void {
    const { me } = this;
    const continues = this.#isContinuedBy(record);
    this.breaks("generations", me.sid !== 0 && record.gen < me.gen && !continues);
    if (me.sid === 0 || (continues && me.standing !== "refused")) {
      Object.assign(me, { gen: record.gen, sid: record.sid });
      if (me.session === 0) me.session++;
    } else this.begin(record.gen, record.sid);
  }

  /** A process that knows the state of a record as used presents its own later one. */
  #withLatestState(record: SharedRecord): SharedRecord {
    const { me } = this;
    if (record.state === 0) return record;
    if (this.is("memoryBeforeTheRecord") && me.state !== 0) return { ...record, state: me.state };
    if (!me.used.includes(record.state) || this.is("usedRecordsAreFollowed")) {
      this.adopt(record.state, record.used);
      return record;
    }
    const used = [...new Set([...record.used, ...me.used])].toSorted((one, other) => one - other);
    return { ...record, state: me.state, used };
  }

  /**
   * What a new record begins with: where there is none, and where the one that is there is of an older session. Its state may be
   * later than that of the table nevertheless.
   */
  base(older?: SharedRecord): SharedRecord {
    const { me, scenario } = this;
    const isOwed = me.unpublished !== 0 || me.unsaved !== 0;
    const isRefused = me.state === me.refusal && me.refusal !== 0;
    const mayPresent = this.isRecent && !isRefused && (isOwed || scenario.source === "string");
    const state = mayPresent || this.is("memoryBeforeTheSource") ? me.state : 0;
    const identity = me.sid === 0 ? { gen: 0, sid: this.newNumber() } : { gen: me.gen, sid: me.sid };
    const used =
      older === undefined ? me.used : [...new Set([...me.used, ...older.used])].toSorted((one, other) => one - other);
    const isKnown = older !== undefined && this.world.row !== 0 && older.used.includes(this.world.row);
    const isLater = isKnown && older.state !== me.refusal;
    return { ...NO_RECORD, ...identity, state: state === 0 && isLater ? older.state : state, used };
  }

  get isRecent(): boolean {
    return this.me.seen !== "long ago" || this.is("oldMemoryIsBroughtBack");
  }

  /** Whether a mint that has no state of the record presents its own without asking the table. */
  get asksNobody(): boolean {
    const { me, scenario } = this;
    return scenario.source === "string" || (me.unsaved !== 0 && this.isRecent && !this.is("unsavedStateIsPassedOver"));
  }

  /**
   * Returns the state to present; 0: nobody is signed in, or nothing may be presented.
   *
   * @param fails The source fails.
   */
  load(mint: Mint, fails: boolean): number {
    const { me } = this;
    const { record } = mint;
    if (record !== undefined && record.state !== 0) return record.state;
    const isUsed = (state: number): boolean =>
      !this.is("usedAnswersArePresented") && (me.used.includes(state) || record?.used.includes(state) === true);
    const { asksNobody } = this;
    const remembered = me.state !== 0 && !isUsed(me.state) && (record === undefined || this.isRecent) ? me.state : 0;
    const isRefused = (state: number): boolean =>
      state !== 0 && state === me.refusal && !this.is("refusedStateIsPresentedAgain");
    if (asksNobody) return isRefused(me.state) ? 0 : record === undefined ? me.state : remembered;
    if (this.is("sourceIsAskedOnce") && me.state !== 0) return me.state;
    if (fails) return this.is("memoryWhereTheSourceFails") ? me.state : 0;
    const row = mint.answer;
    if (row === 0) {
      me.state = record === undefined ? 0 : me.state;
      return 0;
    }
    if (isRefused(row)) return 0;
    if (isUsed(row)) return isRefused(me.state) ? 0 : remembered;
    this.adopt(row);
    return row;
  }

  // --- mints

  /** Presents a state: the mint is on the wire. */
  present(mint: Mint, state: number): void {
    const { me, world } = this;
    mint.state = state;
    mint.step = "sent";
    const { record } = mint;
    const knows =
      me.used.includes(state) || record?.used.includes(state) === true || (state === me.refusal && me.refusal !== 0);
    this.breaks("usedStates", knows);
    this.breaks("ended", me.knowsEnded.includes(familyOf(state)));
    const family = world.families[familyOf(state)]!;
    const inFlight = [me.mint, me.second].filter((each) => each !== undefined && isOnTheWire(each)).length;
    this.breaks("serial", inFlight > 1);
    this.breaks("serial", mint.late);
    // The process could not know that the copy is old.
    if (record?.replayed === true && state !== family.newest && me.latest <= state) family.excused = true;
    this.excuseShared(state);
  }

  /** Without a store, nothing keeps two processes apart that use a state at the same time. */
  excuseShared(state: number): void {
    if (this.scenario.store || state === 0) return;
    const { processes, families } = this.world;
    const isShared = processes.some((each) => each !== this.me && (each.unsaved !== 0 || each.mint !== undefined));
    if (isShared) families[familyOf(state)]!.excused = true;
  }

  userOf(family: number): number {
    return this.world.families[family]?.user ?? 0;
  }

  /** The server has the request. */
  commit(mint: Mint): void {
    const { families } = this.world;
    const family = families[familyOf(mint.state)]!;
    if (family.dead) {
      mint.step = "refused";
      return;
    }
    if (mint.state !== family.newest) {
      // A token that was used already: the server ends the family.
      family.dead = true;
      mint.step = "refused";
      this.breaks("lost", !family.excused && !family.ended);
      return;
    }
    family.newest++;
    mint.step = "committed";
    mint.next = family.newest;
  }

  /** Nobody has the answer: the state is in doubt, and an event must tell. */
  doubt(mint: Mint, told: boolean): void {
    if (mint.step === "committed") this.world.families[familyOf(mint.state)]!.excused = true;
    this.breaks("kept", !told);
  }

  /** Revokes what a mint of a session that is over has brought. */
  revoke(mint: Mint): void {
    if (mint.next === 0) return;
    if (this.is("overIsNotRevoked")) this.breaks("over");
    this.world.families[familyOf(mint.next)]!.dead = true;
  }

  /** Takes the token of a mint into the cache of its target. */
  cache(mint: Mint): void {
    const { me, scenario } = this;
    if (mint.bad || me.life === "closing") return;
    this.breaks("kept", !scenario.store && mint.next === me.unsaved && !me.told);
    const target = this.is("tokensGoToAnyTarget") ? 0 : mint.target;
    me.tokens[target] = { family: familyOf(mint.next), target: mint.target, session: me.session };
  }

  // --- requests

  /** A request that waits gets the token of the cache. */
  serve(target: number, request: Request, token: Token): void {
    const { me } = this;
    me.requests[target] = undefined;
    const isOther = request.session !== 0 && request.session !== token.session;
    const resends = request.renews && this.is("resendsUnderTheNextSession");
    if (isOther && !resends && !this.is("waitersGetTheNextSession")) return;
    this.judge(target, token, request.user);
  }

  /** The token is sent with a request. */
  judge(target: number, token: Token, user: number): void {
    const { me } = this;
    this.breaks("person", user !== 0 && user !== this.userOf(token.family));
    this.breaks("target", token.target !== target);
    this.breaks("ended", me.knowsEnded.includes(token.family) || me.standing === "ended");
    this.breaks("person", me.standing === "void" || this.world.families[token.family]?.rejected === true);
    const { signing } = me;
    this.breaks("ended", signing?.kind === "out");
    this.breaks("person", signing?.kind === "in" && token.family !== familyOf(signing.state));
  }

  /** Every request that waits for a target without a session fails. */
  fail(target: number): void {
    if (this.me.requests[target]?.phase === "waits") this.me.requests[target] = undefined;
  }
}

type Token = NonNullable<Process["tokens"][number]>;

export function isOnTheWire(mint: Mint): boolean {
  return mint.step === "sent" || mint.step === "committed" || mint.step === "refused";
}
