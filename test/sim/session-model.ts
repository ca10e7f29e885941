/**
 * The model of sessions: processes that mint, sign in and sign out over a shared record, or each for itself over the user's
 * table. What a process knows is in session-protocol.ts, what happens to it from outside in session-environment.ts.
 *
 * A read of the record and the swap that follows are one step: a swap that is refused reads the record again, and changes
 * nothing. Access tokens, their windows and the storm guard are in fleet-model.ts.
 */
import { environment } from "./session-environment.ts";
import { Actor, isOnTheWire, NO_RECORD } from "./session-protocol.ts";
import { copyOf, copyOfRecord, familyOf, keyOf, newFamily, TARGETS } from "./session-state.ts";
import { NO_CHANCES, type Scenario } from "./session-scenario.ts";
import type { Model, Transition } from "./explore.ts";
import type { Chances, Mint, Process, SharedRecord, World } from "./session-state.ts";

/** The user who has signed in before the model begins, and the first refresh token. */
const FIRST = 101;
/** The generation of a session that was signed in before, which is the time at which it was. */
const BEGUN = 5;

/** Returns a process that has just been started. */
export function newProcess({ source }: Pick<Scenario, "source">, due: readonly number[]): Process {
  return {
    life: "runs",
    gen: 0,
    sid: 0,
    session: 0,
    standing: "serves",
    state: source === "string" ? FIRST : 0,
    latest: 0,
    used: [],
    refusal: 0,
    unsaved: 0,
    told: false,
    saving: [],
    saved: 0,
    unpublished: 0,
    pending: undefined,
    seen: "never",
    tokens: Array.from({ length: TARGETS }, () => undefined),
    requests: Array.from({ length: TARGETS }, () => undefined),
    due: [...due],
    mint: undefined,
    second: undefined,
    signing: undefined,
    knowsEnded: [],
  };
}

/** Something that can happen to a process. */
interface Step {
  readonly label: string;
  readonly optional?: boolean;
  /** What it costs. */
  readonly chance?: keyof Chances;
  readonly happen: (act: Actor) => void;
}

export class SessionModel implements Model<World> {
  readonly initial: World;
  readonly #scenario: Scenario;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    const chances: Chances = { ...NO_CHANCES, ...scenario.chances };
    const begun: SharedRecord = { ...NO_RECORD, gen: BEGUN, sid: 1, state: FIRST };
    this.initial = {
      store: scenario.begun === true ? begun : undefined,
      copy: undefined,
      row: FIRST,
      families: [0, 1].map((user) => newFamily(FIRST, user)),
      processes: Array.from({ length: scenario.processes }, (_, index) => {
        const process = newProcess(scenario, scenario.requests);
        if (scenario.begun === true && index === 0) {
          return { ...process, gen: BEGUN, sid: 1, session: 1, state: FIRST, latest: FIRST, seen: "recently" };
        }
        // Without a store the session of a process begins with the process.
        return scenario.store ? process : { ...process, session: 1, sid: 1 };
      }),
      left: chances,
      wantsOut: false,
      time: BEGUN,
      numbers: 1,
    };
  }

  key(world: World): string {
    return keyOf(world);
  }

  isDone({ processes, wantsOut }: World): boolean {
    if (wantsOut) return false;
    return processes.every(
      ({ requests, due, mint, signing, unsaved, unpublished, life }) =>
        requests.every((request) => request === undefined) &&
        due.every((left) => left === 0) &&
        mint === undefined &&
        signing === undefined &&
        unsaved === 0 &&
        unpublished === 0 &&
        life === "runs",
    );
  }

  *transitions(world: World): Generator<Transition<World>> {
    for (const index of world.processes.keys()) {
      for (const step of this.#steps(world, world.processes[index]!)) {
        yield this.#transition(world, index, step);
      }
    }
    yield* environment(world, this.#scenario);
  }

  #transition(world: World, index: number, { label, optional = false, chance, happen }: Step): Transition<World> {
    const next = copyOf(world, index);
    if (chance !== undefined) next.left[chance]--;
    const act = new Actor(next, index, this.#scenario);
    happen(act);
    return { label: `${index}: ${label}`, next, optional: optional || chance !== undefined, breaks: [...act.broken] };
  }

  *#steps(world: World, me: Process): Generator<Step> {
    const { left } = world;
    for (let target = 0; target < TARGETS; target++) yield* this.#request(world, me, target);
    for (const which of ["mint", "second"] as const) {
      const mint = me[which];
      if (mint !== undefined) yield* this.#mint(world, me, mint, which);
    }
    yield* this.#keep(world, me);
    yield* this.#sign(world, me);
    const isBusy = me.mint !== undefined || me.unsaved !== 0 || me.unpublished !== 0 || me.signing !== undefined;
    if (left.kills > 0 && isBusy) yield { label: "is killed", chance: "kills", happen: (act) => this.#isKilled(act) };
    yield* this.#close(world, me);
  }

  // --- requests

  *#request(world: World, me: Process, target: number): Generator<Step> {
    const request = me.requests[target];
    const name = target === 0 ? "" : " for the other target";
    if (request === undefined) {
      if (me.due[target]! > 0 && me.life === "runs") {
        yield { label: `a request begins${name}`, happen: (act) => this.#begins(act, target) };
      }
      return;
    }
    if (request.phase === "sent") {
      yield { label: `accepted${name}`, happen: ({ me: now }) => void (now.requests[target] = undefined) };
      if (world.left.rejections > 0) {
        yield { label: `rejected${name}`, chance: "rejections", happen: (act) => this.#rejected(act, target) };
      }
      return;
    }
    const token = me.tokens[target];
    if (token !== undefined) {
      yield {
        label: `served${name}`,
        happen: (act) => act.serve(target, act.me.requests[target]!, act.me.tokens[target]!),
      };
    } else if (
      me.mint === undefined ||
      (this.#scenario.mutant === "mintsOfASessionRunTogether" && me.second === undefined)
    ) {
      yield* this.#look(world, target, name);
    }
  }

  #begins(act: Actor, target: number): void {
    const { me } = act;
    me.due[target]!--;
    const token = me.tokens[target];
    if (token !== undefined) {
      act.judge(target, token, 0);
      act.breaks("person", token.session !== me.session);
      act.breaks("targets", token.session !== me.session);
      const user = act.userOf(token.family);
      me.requests[target] = { phase: "sent", session: token.session, user, renews: false };
      return;
    }
    // The callers of the mint in progress have left it.
    if (me.mint?.left === true) return;
    const session = act.sessionOfWaiters;
    const user = session === 0 || me.standing !== "serves" ? 0 : act.userOf(familyOf(me.state));
    me.requests[target] = { phase: "waits", session, user, renews: false };
  }

  #rejected({ me, world }: Actor, target: number): void {
    const request = me.requests[target]!;
    if (me.life === "closing") {
      me.requests[target] = undefined;
      return;
    }
    Object.assign(request, { phase: "waits", renews: true });
    const token = me.tokens[target];
    if (token?.session !== request.session) return;
    me.tokens[target] = undefined;
    // The process replaces the token by value: its claim takes it out of the record.
    if (world.store?.tokens[target] === token.family && world.store.phase !== "E") world.store.tokens[target] = 0;
  }

  // --- looks

  *#look(world: World, target: number, name: string): Generator<Step> {
    if (!this.#scenario.store) {
      yield { label: `mints${name}`, happen: (act) => this.#mintsForItself(act, target) };
      return;
    }
    yield { label: `looks${name}`, happen: (act) => this.#looks(act, target) };
    if (world.left.storeFaults > 0) {
      const happen = (act: Actor): void => {
        if (act.is("mintsWithoutTheStore")) this.#start(act, target, undefined);
        else act.fail(target);
      };
      yield { label: `cannot look${name}`, chance: "storeFaults", happen };
    }
  }

  #mintsForItself(act: Actor, target: number): void {
    const { me } = act;
    if (me.standing === "ended" || this.#isOver(act, target)) act.fail(target);
    else this.#start(act, target, undefined);
  }

  /** A renewal whose session is over. */
  #isOver({ me, sessionOfWaiters, scenario }: Actor, target: number): boolean {
    const { session } = me.requests[target]!;
    const isOver = session !== 0 && sessionOfWaiters !== 0 && session !== sessionOfWaiters;
    return isOver && scenario.mutant !== "resendsUnderTheNextSession" && scenario.mutant !== "waitersGetTheNextSession";
  }

  #looks(act: Actor, target: number): void {
    const { me, world } = act;
    // A sign-in or sign-out of this process holds at once.
    const isIn = me.signing?.kind === "in" && !act.is("signInHoldsWhenItIsStored");
    const isSigning = isIn || (me.signing?.kind === "out" && !act.is("signOutHoldsWhenItIsStored"));
    if (isSigning || this.#isOver(act, target)) {
      act.fail(target);
      return;
    }
    const isBarred = me.standing === "ended" || me.standing === "void";
    const found = world.store;
    // An old copy of the record, and its absence for a process that never saw it, say nothing of a sign-out.
    if (found === undefined ? me.seen !== "never" : !found.replayed) me.knowsEnded = endedIn(world);
    if (found === undefined) {
      if (isBarred) act.fail(target);
      else this.#claim(act, target, act.base());
      return;
    }
    const { relation, record } = act.meet(copyOfRecord(found));
    if (relation === "ended" && act.is("sourceEndsAnEnd") && world.row !== 0) {
      this.#claim(act, target, { ...NO_RECORD, gen: record.gen + 1, sid: act.newNumber(), state: world.row });
    } else if (relation === "ended" || relation === "void") act.fail(target);
    else if (relation === "older" && isBeingBegun(found) && !act.is("beginningsAreInterrupted")) {
      // Another process mints from the source. What it publishes goes on from the state of this one.
    } else if (relation === "older") {
      const isLater = act.userOf(familyOf(found.state)) > act.userOf(familyOf(me.state)) && me.state !== 0;
      act.breaks("generations", isLater && !found.replayed);
      this.#claim(act, target, act.base(found));
    } else this.#decide(act, target, record);
  }

  #decide(act: Actor, target: number, record: SharedRecord): void {
    const { me, world, scenario } = act;
    if (me.requests[target] === undefined) return;
    const family = record.tokens[target]!;
    if (family !== 0) {
      me.tokens[target] = { family, target, session: me.session };
    } else if (record.phase === "L" && !record.lapsed) {
      // It looks again.
    } else if (record.phase === "R") {
      const { row } = world;
      const isSeen = row === record.refused || record.used.includes(row) || me.used.includes(row);
      const isOther = scenario.source === "function" && row !== 0 && !(isSeen && !act.is("refusalEndsByAnyValue"));
      if (!isOther) {
        act.fail(target);
        return;
      }
      const gen = act.nextGeneration(Math.max(record.gen, me.gen));
      const identity = act.is("refusalEndsInTheSameSession") ? {} : { gen, sid: act.newNumber() };
      const used = [...new Set([...record.used, record.refused])].toSorted((one, other) => one - other);
      const claimed = { ...record, ...identity, state: row, used, refused: 0, tokens: NO_RECORD.tokens.map(() => 0) };
      this.#claim(act, target, claimed);
    } else this.#claim(act, target, record);
  }

  /** Takes the lease with a record. */
  #claim(act: Actor, target: number, record: SharedRecord): void {
    const { world, me } = act;
    const before = world.store;
    const isReplayed = before?.replayed === true;
    act.breaks("ends", before?.phase === "E" && !isReplayed);
    // The refusal of an earlier session says nothing of this one.
    if (before?.phase === "R" && !isReplayed && before.gen >= me.gen) {
      act.breaks(
        "ends",
        record.state === before.refused || before.used.includes(record.state) || record.gen <= before.gen,
      );
    }
    const lease = act.newNumber();
    const tokens = [...record.tokens];
    world.store = { ...record, phase: "L", lease, lapsed: false, refused: 0, owes: false, tokens, replayed: false };
    if (record.sid !== me.sid || record.gen !== me.gen) act.begin(record.gen, record.sid);
    me.standing = "serves";
    const waiting = me.requests[target];
    // The callers that waited under no known session are those of the session that now is.
    if (waiting === undefined) {
      world.store.lapsed = true;
      return;
    }
    this.#start(act, target, { ...copyOfRecord(record), lease });
  }

  #start({ me }: Actor, target: number, record: SharedRecord | undefined): void {
    const mint: Mint = {
      step: "due",
      target,
      session: me.session,
      lease: record?.lease ?? 0,
      record,
      answer: -1,
      state: 0,
      next: 0,
      bad: false,
      left: false,
      late: false,
    };
    if (me.mint === undefined) me.mint = mint;
    else me.second = mint;
  }

  // --- mints

  *#mint(world: World, me: Process, mint: Mint, which: "mint" | "second"): Generator<Step> {
    const { left } = world;
    const on = (happen: (act: Actor, its: Mint) => void) => (act: Actor) => happen(act, act.me[which]!);
    const over = (act: Actor): void => void (act.me[which] = undefined);
    if (mint.step === "due") {
      yield* this.#due(world, me, mint, on, over);
    } else if (mint.step === "sent") {
      yield { label: "the server has the request", happen: on((act, its) => act.commit(its)) };
    } else if (mint.step === "landed") {
      // It waits for the save.
    } else {
      yield {
        label: mint.step === "refused" ? "refused" : "the answer arrives",
        happen: on((act, its) => this.#lands(act, its, over)),
      };
      if (left.badAnswers > 0 && mint.step === "committed") {
        const bad = on((act, its) => {
          its.bad = true;
          this.#lands(act, its, over);
        });
        yield { label: "the answer has no usable token", chance: "badAnswers", happen: bad };
      }
      const canPublish =
        this.#scenario.store && mint.session === me.session && me.standing !== "ended" && me.standing !== "void";
      if (left.storeFaults > 0 && canPublish && mint.step === "committed" && me.unpublished === 0) {
        const kept = on((act, its) => this.#cannotPublish(act, its));
        yield { label: "the answer arrives, and cannot be published", chance: "storeFaults", happen: kept };
      }
      if (left.lostAnswers > 0) {
        const lost = on((act, its) => this.#isLost(act, its, over, act.is("doubtIsNotTold")));
        yield { label: "the answer is lost", chance: "lostAnswers", happen: lost };
      }
      if (left.cuts > 0 && mint.left) {
        const cut = on((act, its) => this.#isLost(act, its, over, act.is("cutIsNotTold")));
        yield { label: "the mint is cut", chance: "cuts", happen: cut };
      }
    }
    if (left.lateAnswers > 0 && isOnTheWire(mint) && !mint.left) {
      yield {
        label: "the callers leave",
        chance: "lateAnswers",
        happen: on((act, its) => this.#callersLeave(act, its, over)),
      };
    }
  }

  *#due(
    world: World,
    me: Process,
    mint: Mint,
    on: (happen: (act: Actor, its: Mint) => void) => (act: Actor) => void,
    over: (act: Actor) => void,
  ): Generator<Step> {
    const scenario = this.#scenario;
    const isLost = mint.lease !== 0 && world.store?.lease !== mint.lease;
    if (mint.late && scenario.mutant !== "lateHoldersSend") {
      yield { label: "is too late to send", happen: over };
      return;
    }
    if (mint.session !== me.session || me.standing === "ended" || me.standing === "void") {
      const leave = on((act, its) => {
        if (act.is("lateAnswersAreAdopted") && its.answer > 0) act.adopt(its.answer);
        over(act);
      });
      yield { label: "its session is over before it sends", happen: leave };
      return;
    }
    const isAsked = scenario.source === "function" && (mint.record?.state ?? 0) === 0;
    if (isAsked && mint.answer === -1 && !new Actor(world, world.processes.indexOf(me), scenario).asksNobody) {
      const ask = on((act, its) => {
        its.answer = act.world.row;
        act.excuseShared(its.answer);
      });
      yield { label: "asks the table", happen: ask };
      return;
    }
    if (isLost) yield { label: "a heartbeat is refused", optional: true, happen: over };
    yield { label: "presents", happen: on((act, its) => this.#presents(act, its, over, false)) };
    if (world.left.sourceFaults > 0 && scenario.source === "function") {
      const fails = on((act, its) => this.#presents(act, its, over, true));
      yield { label: "the source fails", chance: "sourceFaults", happen: fails };
    }
  }

  #presents(act: Actor, mint: Mint, over: (act: Actor) => void, fails: boolean): void {
    const { me, scenario, world } = act;
    const before = me.state;
    const state = act.load(mint, fails);
    // While the record was lost, somebody may have signed in.
    const isOther = scenario.store && before !== 0 && state !== 0 && state === mint.answer && state !== before;
    // What the source returned may belong to a sign-in that has taken the lease away: the holder looks before it sends.
    const isAsked = mint.record?.state === 0 && !act.is("answersAreSentWithoutALook");
    if (isAsked && world.store?.lease !== mint.lease) {
      over(act);
      return;
    }
    if (state !== 0) {
      if (isOther && !act.is("otherAnswerContinuesTheSession")) this.#beginsAnother(act, mint);
      act.present(mint, state);
      return;
    }
    act.fail(mint.target);
    over(act);
    if (scenario.store) this.#release(act, mint);
    else if (!fails && mint.answer === 0 && scenario.source === "function" && me.standing !== "nobody") {
      act.begin(me.gen, act.newNumber());
      me.standing = "nobody";
    }
  }

  /** The table has another state than the session had: whoever waits under that must not get what it brings. */
  #beginsAnother(act: Actor, mint: Mint): void {
    const { me } = act;
    act.begin(act.nextGeneration(me.gen), act.newNumber());
    mint.session = me.session;
    if (mint.record !== undefined) mint.record = { ...mint.record, gen: me.gen, sid: me.sid };
  }

  /** Gives the lease back, with the record as it was. */
  #release({ world }: Actor, mint: Mint): void {
    if (mint.lease === 0 || world.store?.lease !== mint.lease) return;
    const { replayed } = world.store;
    world.store = { ...mint.record!, phase: "T", lease: 0, lapsed: false, replayed };
  }

  #callersLeave(act: Actor, mint: Mint, over: (act: Actor) => void): void {
    mint.left = true;
    for (let target = 0; target < TARGETS; target++) act.fail(target);
    if (!act.is("abortsAtTheMintTimeout")) return;
    act.breaks("kept", mint.step === "committed");
    over(act);
  }

  /** No answer came. */
  #isLost(act: Actor, mint: Mint, over: (act: Actor) => void, isSilent: boolean): void {
    act.doubt(mint, !isSilent);
    act.fail(mint.target);
    over(act);
    this.#release(act, mint);
  }

  #lands(act: Actor, mint: Mint, over: (act: Actor) => void): void {
    const { me, scenario } = act;
    if (!act.isCurrent(mint.session)) {
      this.#landsInAnotherSession(act, mint);
      over(act);
      return;
    }
    if (mint.step === "refused") {
      this.#isRefused(act, mint, over);
      return;
    }
    const isForgotten = mint.bad && act.is("badAnswersCarryNothing");
    act.breaks("kept", isForgotten);
    if (!isForgotten) act.rotate(mint.next, mint.state);
    if (me.standing === "nobody" || me.standing === "refused") act.begin(act.nextGeneration(me.gen), act.newNumber());
    if (scenario.store) {
      over(act);
      this.#publishes(act, mint, isForgotten ? 0 : mint.next);
    } else if (me.unsaved !== 0) {
      mint.step = "landed";
      if (act.is("servesBeforeTheSave")) act.cache(mint);
    } else {
      act.cache(mint);
      over(act);
    }
    if (mint.bad) act.fail(mint.target);
  }

  #landsInAnotherSession(act: Actor, mint: Mint): void {
    const { world, me } = act;
    act.fail(mint.target);
    if (mint.next !== 0) {
      const isKept = act.is("overIsCached") || act.is("overIsSaved") || act.is("overIsPublished");
      act.breaks("over", isKept);
      if (act.is("overIsCached")) act.cache(mint);
      if (act.is("overIsSaved")) world.row = mint.next;
    }
    if (act.is("overIsPublished")) world.store = { ...NO_RECORD, gen: me.gen, sid: me.sid, state: mint.next };
    act.revoke(mint);
    this.#release(act, mint);
  }

  /** The server does not accept the state. The source may have another one. */
  #isRefused(act: Actor, mint: Mint, over: (act: Actor) => void): void {
    const { me, world, scenario } = act;
    const { row } = world;
    me.refusal = mint.state;
    const isOther =
      row !== 0 && row !== mint.state && !me.used.includes(row) && mint.record?.used.includes(row) !== true;
    if (scenario.source === "function" && isOther) {
      act.adopt(row);
      mint.step = "due";
      if (mint.record !== undefined)
        mint.record = { ...mint.record, state: row, used: [...mint.record.used, mint.state] };
      if (!act.is("otherStateContinuesTheSession")) this.#beginsAnother(act, mint);
      mint.state = 0;
      mint.answer = row;
      return;
    }
    act.fail(mint.target);
    over(act);
    me.standing = "refused";
    if (mint.lease !== 0 && world.store?.lease === mint.lease) {
      world.store = { ...mint.record!, phase: "R", refused: mint.state, lease: 0, lapsed: false };
    }
  }

  // --- what a mint has brought is kept

  #publishes(act: Actor, mint: Mint, next: number): void {
    const { world, me } = act;
    const record = this.#published(mint, next);
    const before = world.store;
    let isOver = false;
    if (before?.lease === mint.lease && mint.lease !== 0) {
      world.store = record;
      const dropped = before.tokens.some(
        (family, target) => family !== 0 && target !== mint.target && record.tokens[target] === 0,
      );
      act.breaks("targets", dropped);
    } else isOver = this.#writesOver(act, mint, record, next);
    if (!isOver) act.cache(mint);
    else act.fail(mint.target);
    const isNoted = world.families[familyOf(mint.state)]?.noted === true && before?.replayed !== true;
    act.breaks("ended", !isOver && isNoted);
    const isKept = world.store?.state === next || me.unsaved === next || me.used.includes(next);
    act.breaks("kept", next !== 0 && !isOver && !isKept);
  }

  #published(mint: Mint, next: number): SharedRecord {
    const before = mint.record ?? NO_RECORD;
    const tokens = [...before.tokens];
    if (!mint.bad) tokens[mint.target] = familyOf(mint.next);
    if (this.#scenario.mutant === "publishDropsOtherTargets") tokens.fill(0, mint.target + 1);
    const used = sorted([...before.used, mint.state]);
    const state = next === 0 ? before.state : next;
    return { ...before, phase: "T", state, used, tokens, lease: 0, lapsed: false, refused: 0, replayed: false };
  }

  /** The lease was lost, or the record is of another session by now. Returns whether the session is over. */
  #writesOver(act: Actor, mint: Mint, record: SharedRecord, next: number): boolean {
    const { world, me } = act;
    const there = world.store;
    if (there === undefined || act.is("publishesOverAnything")) {
      act.breaks(
        "over",
        there?.phase === "E" || (there !== undefined && act.userOf(familyOf(there.state)) > act.userOf(familyOf(next))),
      );
      world.store = record;
      return false;
    }
    const isSame = there.sid === mint.record?.sid;
    if (!isSame && act.relationOf(there) !== "older") {
      act.meet(copyOfRecord(there));
      act.revoke(mint);
      return true;
    }
    const isBehind = there.state === 0 || me.used.includes(there.state);
    const isOwed = next !== 0 && (!isSame || isBehind) && !act.is("owedStateIsDropped");
    if (isOwed)
      world.store = isSame
        ? { ...record, tokens: there.tokens.with(mint.target, record.tokens[mint.target]!) }
        : record;
    else act.meet(copyOfRecord(there));
    return false;
  }

  /** The store fails: the callers have the token, and the process writes the record later. */
  #cannotPublish(act: Actor, mint: Mint): void {
    const { me } = act;
    act.rotate(mint.next, mint.state);
    act.cache(mint);
    if (act.is("unpublishedIsForgotten")) act.breaks("kept", me.unsaved === 0);
    else Object.assign(me, { unpublished: mint.next, pending: mint });
    me.mint = undefined;
  }

  /** Publishes late, and saves. */
  *#keep(world: World, me: Process): Generator<Step> {
    const { left } = world;
    if (me.unpublished !== 0) yield { label: "publishes late", happen: (act) => this.#publishesLate(act) };
    if (me.unsaved !== 0 && me.saving.length === 0) {
      yield { label: "saves", happen: ({ me: now }) => void now.saving.push(now.unsaved) };
    }
    for (const [place, state] of me.saving.entries()) {
      const isFree = place === 0 || this.#scenario.mutant === "savesRunTogether";
      if (isFree) yield { label: "is saved", happen: (act) => this.#isSaved(act, place, state) };
    }
    const last = me.saving.at(-1);
    if (this.#scenario.mutant === "savesRunTogether" && last !== undefined && me.unsaved > last) {
      yield { label: "saves", happen: ({ me: now }) => void now.saving.push(now.unsaved) };
    }
    if (left.saveFaults > 0 && last !== undefined) {
      yield { label: "is not saved", chance: "saveFaults", happen: (act) => this.#isNotSaved(act) };
    }
  }

  #publishesLate(act: Actor): void {
    const { me } = act;
    const mint = me.pending!;
    me.unpublished = 0;
    me.pending = undefined;
    if (!act.isCurrent(mint.session)) act.revoke(mint);
    else if (me.state === mint.next) this.#publishes(act, { ...mint, bad: true }, mint.next);
  }

  #isSaved(act: Actor, place: number, state: number): void {
    const { me, world } = act;
    me.saving.splice(place, 1);
    act.breaks("ended", me.standing === "ended");
    act.breaks("row", familyOf(me.saved) === familyOf(state) && me.saved > state);
    me.saved = state;
    const family = world.families[familyOf(state)]!;
    const isStale = familyOf(world.row) === familyOf(state) && world.row > state;
    family.stale = (family.stale || isStale) && state !== family.newest;
    // A rotation changes the row that is there. A sign-in makes one.
    if (world.row !== 0 || state % 100 === 1) world.row = state;
    if (me.unsaved === state) me.unsaved = 0;
    if (me.unsaved === 0) this.#served(act);
  }

  #isNotSaved(act: Actor): void {
    const { me } = act;
    const isNewest = me.saving.pop() === me.unsaved;
    if (!isNewest) return;
    me.told = !act.is("unsavedIsNotTold");
    act.breaks("kept", !me.told);
    if (act.is("savesAreNotRepeated")) {
      act.breaks("kept", me.unpublished === 0 && !this.#scenario.store);
      me.unsaved = 0;
    }
    this.#served(act);
  }

  /** Without a store, the callers of a mint wait until its state is saved, or could not be. */
  #served(act: Actor): void {
    const { me } = act;
    if (me.mint?.step !== "landed") return;
    if (act.isCurrent(me.mint.session)) act.cache(me.mint);
    me.mint = undefined;
  }

  // --- sign-ins and sign-outs

  *#sign(world: World, me: Process): Generator<Step> {
    const { left } = world;
    if (me.signing !== undefined) {
      const { kind } = me.signing;
      if (kind === "revoke") yield* this.#revocation(world);
      else {
        yield {
          label: `stores the sign-${kind}`,
          happen: (act) => (kind === "in" ? this.#storesSignIn(act) : this.#storesSignOut(act)),
        };
        if (left.storeFaults > 0 && this.#scenario.store) {
          yield {
            label: `cannot store the sign-${kind}`,
            chance: "storeFaults",
            happen: (act) => this.#cannotSign(act),
          };
        }
      }
      return;
    }
    if (me.life !== "runs") return;
    if (left.signIns > 0) yield { label: "signs in", chance: "signIns", happen: (act) => this.#signsIn(act) };
    if (left.signOuts > 0) yield { label: "signs out", chance: "signOuts", happen: (act) => this.#signsOut(act) };
    const isAsked = world.processes.some(({ signing }) => signing !== undefined && signing.kind !== "in");
    if (world.wantsOut && !isAsked) yield { label: "signs out again", happen: (act) => this.#signsOut(act) };
  }

  #signsIn(act: Actor): void {
    const { me, world } = act;
    const family = world.families.length;
    const state = family * 100 + 1;
    const user = Math.max(...world.families.map((each) => each.user)) + 1;
    // The sessions before are over.
    for (const each of world.families) each.excused = true;
    world.families.push(newFamily(state, user));
    world.wantsOut = false;
    const gen = act.nextGeneration(me.gen);
    me.signing = { kind: "in", gen, sid: act.newNumber(), state };
    if (act.is("signInHoldsWhenItIsStored")) return;
    act.begin(gen, me.signing.sid);
    act.forget();
    me.standing = "void";
    if (!this.#scenario.store) this.#signedIn(act, me.signing);
  }

  #storesSignIn(act: Actor): void {
    const { me, world } = act;
    const signing = me.signing!;
    const before = world.store;
    if (before !== undefined && before.gen >= signing.gen) {
      Object.assign(signing, { gen: act.nextGeneration(before.gen), sid: act.newNumber() });
    }
    const used =
      before === undefined || before.state === 0 ? (before?.used ?? []) : sorted([...before.used, before.state]);
    const { gen, sid, state } = signing;
    const tokens = [familyOf(state), ...NO_RECORD.tokens.slice(1)];
    world.store = { ...NO_RECORD, gen, sid, state, used, tokens };
    act.begin(gen, sid);
    this.#signedIn(act, signing);
  }

  #signedIn(act: Actor, { state }: NonNullable<Process["signing"]>): void {
    const { me } = act;
    me.signing = undefined;
    me.standing = "serves";
    me.seen = "recently";
    act.rotate(state, 0);
    me.tokens[0] = { family: familyOf(state), target: 0, session: me.session };
  }

  #signsOut(act: Actor): void {
    const { me, world } = act;
    // A process that has not asked yet asks now, for what is to be revoked.
    const asked = this.#scenario.source === "function" ? world.row : FIRST;
    const state = me.state === 0 ? asked : me.state;
    // The user wants it to end.
    if (state !== 0) world.families[familyOf(state)]!.excused = true;
    world.wantsOut = true;
    act.end();
    // At once: whatever becomes of the store, no record of the session that was is served here.
    if (!act.is("signOutHoldsWhenItIsStored"))
      Object.assign(me, { gen: act.nextGeneration(me.gen), sid: act.newNumber() });
    me.signing = { kind: "out", gen: me.gen, sid: me.sid, state };
    if (this.#scenario.store) return;
    const family = world.families[familyOf(state)];
    if (family !== undefined) family.ended = true;
    me.knowsEnded = sorted([...me.knowsEnded, familyOf(state)]);
    me.signing.kind = "revoke";
  }

  #storesSignOut(act: Actor): void {
    const { me, world } = act;
    const signing = me.signing!;
    const before = world.store;
    if (before?.phase === "L" && act.is("signOutSparesALease")) {
      Object.assign(world.families[familyOf(signing.state)]!, { ended: true, noted: true });
      me.signing = { ...signing, kind: "revoke" };
      return;
    }
    const last = before?.state ?? 0;
    const owes = !act.is("whatIsToBeRevokedIsForgotten");
    if (before?.phase === "E") world.store = { ...before };
    else {
      const isHigher = before === undefined || before.gen < signing.gen;
      const { gen, sid } = isHigher ? signing : { gen: act.nextGeneration(before.gen), sid: act.newNumber() };
      const state = last === 0 ? signing.state : last;
      const used = sorted([...(before?.used ?? []), ...(state === 0 ? [] : [state])]);
      world.store = { ...NO_RECORD, phase: "E", gen, sid, state, used, owes };
    }
    if (world.store.state !== 0)
      Object.assign(world.families[familyOf(world.store.state)]!, { ended: true, noted: true });
    Object.assign(me, { gen: world.store.gen, sid: world.store.sid, seen: "recently" });
    me.knowsEnded = endedIn(world);
    me.signing = { ...signing, kind: "revoke", state: world.store.owes ? world.store.state : 0 };
  }

  *#revocation(world: World): Generator<Step> {
    yield { label: "revokes", happen: revokeWhatIsLeft };
    if (world.left.revocationFaults === 0) return;
    yield { label: "cannot revoke", chance: "revocationFaults", happen: ({ me }) => void (me.signing = undefined) };
  }

  /** The store fails: the sign-in or the sign-out rejects. */
  #cannotSign(act: Actor): void {
    const { me } = act;
    if (me.signing!.kind === "in") act.world.families[familyOf(me.signing!.state)]!.rejected = true;
    if (me.signing!.kind === "in" && act.is("failedSignInIsServed")) this.#signedIn(act, me.signing!);
    me.signing = undefined;
  }

  // --- the end of a process

  #isKilled(act: Actor): void {
    this.#losesWhatItHas(act);
    this.#restarts(act);
  }

  /** What only this process had is lost with it. */
  #losesWhatItHas({ me, world }: Actor): boolean {
    const states = [me.unsaved, me.unpublished, me.signing?.state ?? 0];
    for (const mint of [me.mint, me.second]) if (mint !== undefined && mint.state !== 0) states.push(mint.state);
    for (const state of states) {
      const family = world.families[familyOf(state)];
      if (state !== 0 && family !== undefined) family.excused = true;
    }
    return states.some((state) => state !== 0);
  }

  #restarts({ me, scenario }: Actor): void {
    const fresh = newProcess(scenario, me.due);
    const started = scenario.store ? fresh : { ...fresh, session: me.session + 1, sid: 1 };
    // A string was configured once; its owner may have started the process with the same one again.
    Object.assign(me, started);
  }

  *#close(world: World, me: Process): Generator<Step> {
    if (me.life === "runs") {
      if (world.left.closes > 0 && me.signing === undefined) {
        yield { label: "closes", chance: "closes", happen: (act) => this.#closes(act) };
      }
      return;
    }
    const isSettled = me.mint === undefined && me.unpublished === 0 && (me.unsaved === 0 || me.told);
    if (isSettled || this.#scenario.mutant === "closeDoesNotSave") {
      yield { label: "has closed", happen: (act) => this.#hasClosed(act, true) };
    }
    if (!isSettled)
      yield { label: "the time to close is up", optional: true, happen: (act) => this.#hasClosed(act, false) };
  }

  #closes(act: Actor): void {
    const { me } = act;
    me.life = "closing";
    for (let target = 0; target < TARGETS; target++) {
      if (target > 0 && act.is("closeSparesTargets")) continue;
      me.tokens[target] = undefined;
      act.fail(target);
    }
    if (!act.is("closeAborts") || me.mint === undefined) return;
    act.breaks("kept", me.mint.step === "committed");
    me.mint = undefined;
  }

  #hasClosed(act: Actor, isInTime: boolean): void {
    const { me } = act;
    act.breaks(
      "targets",
      me.tokens.some((token) => token !== undefined) || me.requests.some((each) => each?.phase === "waits"),
    );
    act.breaks("kept", isInTime && me.unsaved !== 0 && !me.told);
    const isLost = this.#losesWhatItHas(act);
    act.breaks("kept", isLost && !isInTime && act.is("closeReportsNothing"));
    this.#restarts(act);
  }
}

/** A process that knew no session begins the record anew at this moment. */
function isBeingBegun({ gen, phase, lapsed }: SharedRecord): boolean {
  return gen === 0 && phase === "L" && !lapsed;
}

/** The sign-out is done. */
function revokeWhatIsLeft(act: Actor): void {
  const { me, world } = act;
  const { state } = me.signing!;
  const family = world.families[familyOf(state)];
  if (state !== 0 && family !== undefined) family.dead = true;
  const isLeft = world.families.some(({ ended, dead }) => ended && !dead);
  const isLanding = world.processes.some(({ mint }) => mint !== undefined);
  act.breaks("over", isLeft && !isLanding);
  if (world.store?.phase === "E" && world.store.sid === me.sid) Object.assign(world.store, { owes: false, state: 0 });
  me.signing = undefined;
  world.wantsOut = false;
}

/** The families whose sign-out is stored. */
function endedIn({ families }: World): number[] {
  return families.flatMap(({ ended }, family) => (ended ? [family] : []));
}

function sorted(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].toSorted((one, other) => one - other);
}
