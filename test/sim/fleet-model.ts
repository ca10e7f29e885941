/**
 * The fleet's protocol as a model: every step that a process can make. The steps of the environment are in
 * fleet-environment.ts, the states in fleet-state.ts, and the invariants in fleet-invariants.ts.
 *
 * A swap is one step, and so is a token request. The model leaves out servers that repeat a token, the storm guard, values
 * that cannot be decrypted, and durations. These have tests of their own.
 */
import { environment } from "./fleet-environment.ts";
import { brokenBy, isDoubted, type Effect } from "./fleet-invariants.ts";
import { NO_MISFORTUNES, type Mutant, type Scenario } from "./fleet-scenario.ts";
import { isSame, keyOf } from "./fleet-state.ts";
import type { Model, Transition } from "./explore.ts";
import type { Flight, LateSwap, Process, Stored, StoreRecord, World } from "./fleet-state.ts";

/** The refresh token with which every process is configured. */
const SEED = 1;

const IDLE: Process = {
  alive: true,
  sick: false,
  requests: 0,
  sent: 0,
  waits: false,
  rejected: [],
  older: false,
  token: 0,
  flight: undefined,
  late: undefined,
  memory: 0,
};
const GONE: Process = { ...IDLE, alive: false };

const FLIGHT: Flight = { step: "swap", ahead: false, held: 0, expected: undefined, lease: 0, state: 0, token: 0 };

const RECORD: StoreRecord = {
  phase: "idle",
  token: 0,
  lease: 0,
  state: 0,
  renewal: false,
  lapsed: false,
  expired: false,
  failed: 0,
};

/** A step that a process can make. */
interface Step extends Effect {
  readonly label: string;
  readonly optional?: boolean;
}

export class FleetModel implements Model<World> {
  readonly initial: World;
  readonly #scenario: Scenario;
  readonly #stateful: boolean;
  readonly #mutant: Mutant | undefined;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#stateful = scenario.stateful ?? false;
    this.#mutant = scenario.mutant;
    this.initial = {
      store: undefined,
      replica: undefined,
      processes: Array.from({ length: scenario.processes }, () => ({ ...IDLE, requests: scenario.requests })),
      left: { ...NO_MISFORTUNES, ...scenario.misfortunes },
      minted: 0,
      dead: 0,
      soft: 0,
      published: 0,
      spare: 1, // the first cause of a mint: no process has a token yet
      leases: 0,
      refreshToken: SEED,
      familyLost: false,
      excused: false,
      isNamed: (scenario.misfortunes.sicknesses ?? 0) + (scenario.misfortunes.silences ?? 0) > 0,
    };
  }

  key(world: World): string {
    return keyOf(world);
  }

  isDone({ processes }: World): boolean {
    return processes.every(
      ({ alive, requests, waits, sent, flight }) =>
        !alive || flight?.step === "silent" || (requests === 0 && !waits && sent === 0),
    );
  }

  *transitions(world: World): Generator<Transition<World>> {
    const isOver = world.processes.every(({ flight, late }) => flight === undefined && late === undefined);
    if (isOver && this.isDone(world)) return;
    for (const [index, process] of world.processes.entries()) {
      if (!process.alive) continue;
      for (const step of this.#steps(world, index, process)) {
        const breaks = brokenBy(world, index, step, this.#scenario);
        yield { label: `${index}: ${step.label}`, next: step.next, optional: step.optional ?? false, breaks };
      }
    }
    yield* environment(world, this.#scenario);
  }

  *#steps(world: World, index: number, process: Process): Generator<Step> {
    const act = new Actor(world, index, process);
    const { flight, late } = process;
    if (process.sent !== 0) yield this.#answer(act);
    else if (!process.waits && process.requests > 0) yield begin(act);
    if (flight === undefined) yield* this.#refreshAhead(act);
    else yield* this.#fly(act, flight);
    if (late !== undefined) yield this.#late(act, late);
    if (world.left.crashes > 0 && (flight !== undefined || late !== undefined)) yield this.#crash(act);
  }

  /** The API accepts or rejects the token of a request. */
  #answer(act: Actor): Step {
    const { process, world } = act;
    const { sent, token, older } = process;
    const renewals = process.rejected.length;
    const over: Partial<Process> = { sent: 0, rejected: [], older: false };
    if (sent > world.dead) return { label: "accepted", next: act.with({}, over) };
    const mayRenew = renewals === 0 || (renewals === 1 && older && this.#mutant !== "oneRetry");
    if (!mayRenew) return { label: "rejected, surfaced", next: act.with({}, over), surfaced: true };
    const renewing: Partial<Process> = { rejected: [...process.rejected, sent], older: false };
    // A first renewal takes the cached token if it is another one (C6). For a second renewal it is too old (C7).
    if (renewals === 0 && token !== 0 && token !== sent) {
      const resending: Partial<Process> = { ...renewing, sent: token, older: true };
      return { label: "rejected, another is there", next: act.with({}, resending), resent: token };
    }
    const rejecting: Partial<Process> = { ...renewing, sent: 0, waits: true, token: token === sent ? 0 : token };
    return { label: "rejected", next: act.with({}, withFlight({ ...process, ...rejecting })) };
  }

  /** Begins to refresh a token in its soft window, if the store has that token and no process refreshes it (C3). */
  *#refreshAhead(act: Actor): Generator<Step> {
    const { world, process } = act;
    const { store, soft } = world;
    if (world.familyLost) return; // the refusal is terminal (C9)
    if (process.token === 0 || process.token !== soft || store === undefined || store.expired) return;
    if (hasFailed(act, store)) return; // its callers are served by the token at hand (C9)
    const isRefreshable = store.phase === "token" || (store.phase === "refreshing" && store.lapsed);
    if (store.token === soft && isRefreshable) {
      const flight: Flight = { ...FLIGHT, ahead: true, held: soft, expected: store };
      yield { label: "ahead", next: act.with({}, { flight }) };
    } else if (store.token !== 0 && store.token !== soft) {
      yield this.#land(act, {}, store.token, { adopted: true, label: "adopts ahead" });
    }
  }

  *#fly(act: Actor, flight: Flight): Generator<Step> {
    const faulty = act.world.left.storeFaults > 0;
    switch (flight.step) {
      case "swap":
        yield* this.#swap(act, flight);
        if (faulty) yield* this.#swapFails(act, flight);
        break;
      case "leased":
        yield* this.#mint(act, flight);
        break;
      case "silent":
        yield* this.#silent(act, flight);
        break;
      case "local":
        yield this.#mintLocally(act);
        break;
      case "minted":
        yield this.#publish(act, flight);
        if (faulty && act.process.late === undefined) yield this.#publishFails(act, flight);
        break;
      case "failed":
        yield this.#release(act, flight);
        // The lease stays in the store and lapses.
        if (faulty) yield { ...this.#fail(act, fault(act)), label: "fails, release lost", optional: true };
        break;
    }
  }

  /** One swap: the process takes the lease, or learns the current record. */
  *#swap(act: Actor, flight: Flight): Generator<Step> {
    const { world } = act;
    let { store } = world;
    if (this.#mutant === "blindInvalidate" && act.process.rejected.length > 0 && store?.phase === "token")
      store = undefined;
    if (!isSame(store, flight.expected)) {
      yield* this.#swapRefused(act, flight, store);
      return;
    }
    const lease = world.leases + 1;
    // A second renewal may replace a live token, which takes one more mint. Otherwise a revocation could surface.
    const doubted = isDoubted(world, act.process, store);
    const spare = world.spare + (doubted ? 1 : 0);
    const over = doubted ? "doubting" : (store?.phase ?? "nothing");
    yield {
      label: `${flight.ahead ? "refreshing" : "lease"} over ${over}`,
      next: act.with(
        { store: this.#leaseRecord(flight, store, lease), leases: lease, spare },
        { flight: { ...flight, step: "leased", lease, state: store?.state ?? 0 } },
      ),
    };
  }

  /** Returns the record with which a flight takes the lease in place of `replaced`. */
  #leaseRecord(flight: Flight, replaced: Stored, lease: number): StoreRecord {
    const state = this.#mutant === "forgetState" ? 0 : (replaced?.state ?? 0);
    const failed = replaced?.failed ?? 0;
    if (!flight.ahead) return { ...RECORD, phase: "lease", lease, state, failed };
    const { renewal, expired } = replaced!;
    return { ...RECORD, phase: "refreshing", token: flight.held, lease, state, renewal, expired, failed };
  }

  *#swapRefused(act: Actor, flight: Flight, store: Stored): Generator<Step> {
    if (hasToken(store) && this.#mayAdopt(act.process, flight, store)) {
      yield this.#land(act, {}, store.token, { adopted: true, label: "adopts" });
    } else if (flight.ahead) {
      yield { label: "leaves it to another", next: act.with({}, withFlight({ ...act.process, flight: undefined })) };
    } else if (store?.phase === "failure" && !store.lapsed && this.#isBound(act, store)) {
      yield { ...this.#fail(act, {}), label: "shares the failure" };
    } else if (isLeased(store)) {
      // The process polls: its next swap expects an absent record, and so reads the current one.
      if (flight.expected !== undefined) {
        yield { label: "waits", next: act.with({}, { flight: { ...flight, expected: undefined } }) };
      }
    } else {
      yield { label: "sees what it may replace", next: act.with({}, { flight: { ...flight, expected: store } }) };
    }
  }

  /** Returns whether a failure binds a process: its own does, and from the second process on that of the others (C9). */
  #isBound(act: Actor, store: StoreRecord): boolean {
    if (this.#mutant === "shareOneFailure") return true;
    return hasFailed(act, store) || countOf(store.failed) >= 2;
  }

  /**
   * Returns whether a process may adopt the token of a record: neither one that its request was rejected with, nor the one
   * that it replaces. At a second renewal two tokens have been revoked at once, and the token in the store may be a third.
   * Then the process adopts it only if it was minted because of a rejection.
   */
  #mayAdopt({ rejected }: Process, { held }: Flight, { token, renewal }: StoreRecord): boolean {
    if (this.#mutant === "publishRejected") return true;
    if (token === held || rejected.includes(token)) return false;
    return rejected.length < 2 || renewal || this.#mutant === "trustAny";
  }

  /** The swap fails for the process: at once, or at its time limit, while the store may still carry it out. */
  *#swapFails(act: Actor, flight: Flight): Generator<Step> {
    const without = (change: Partial<World>, late: LateSwap | undefined): World => {
      const process: Process = { ...act.process, late };
      const faulted = new Actor({ ...act.world, ...fault(act), ...change }, act.index, process);
      if (flight.ahead) return faulted.with({}, withFlight({ ...process, flight: undefined }));
      // A mint without the store could send a used refresh token, so a stateful grant fails instead.
      if (this.#stateful) return this.#fail(faulted, {}).next;
      return faulted.with({}, { flight: { ...flight, step: "local", expected: undefined } });
    };
    yield { label: "store fault", next: without({}, act.process.late), optional: true };
    if (act.process.late !== undefined) return; // one late swap at a time keeps the model small
    const lease = act.world.leases + 1;
    const late: LateSwap = {
      kind: "acquire",
      expected: flight.expected,
      next: this.#leaseRecord(flight, flight.expected, lease),
      lease,
      doubts: act.process.rejected.length === 2,
    };
    yield { label: "store is late", next: without({ leases: lease }, late), optional: true };
  }

  /** The token request, answered or refused. */
  *#mint(act: Actor, flight: Flight): Generator<Step> {
    const { world, process } = act;
    const failed: Partial<Process> = { flight: { ...flight, step: "failed" } };
    const spare = world.spare - 1;
    if (process.sick) {
      yield { label: "mint fails, sick", next: act.with({}, failed) };
      return;
    }
    if (world.left.silences > 0 && !this.#stateful) {
      // It may be answered after all, when others have minted.
      const left = { ...world.left, silences: world.left.silences - 1 };
      const next = act.with({ left, spare: world.spare + 1 }, { flight: { ...flight, step: "silent" } });
      yield { label: "no answer", next, optional: true };
    }
    if (this.#stateful) {
      const state = this.#mutant === "staleState" ? process.memory : flight.state;
      const presented = state === 0 ? SEED : state;
      if (world.familyLost || presented !== world.refreshToken) {
        const label = `presents ${presented}, refused`;
        const replayed = !world.familyLost && !world.excused;
        yield { label, next: act.with({ familyLost: true }, failed), replayed };
        return;
      }
    }
    const refreshToken = world.refreshToken + (this.#stateful ? 1 : 0);
    const token = world.minted + 1;
    const state = this.#stateful ? refreshToken : 0;
    yield {
      label: `mints ${token}`,
      next: act.with({ minted: token, refreshToken, spare }, { flight: { ...flight, step: "minted", token, state } }),
      minted: true,
    };
    // A failed mint uses up no cause, so one more attempt is allowed.
    if (world.left.mintFailures > 0) {
      const left = { ...world.left, mintFailures: world.left.mintFailures - 1 };
      yield { label: "mint fails", next: act.with({ left }, failed), optional: true };
    }
    if (world.left.lostAnswers > 0) {
      const left = { ...world.left, lostAnswers: world.left.lostAnswers - 1 };
      const label = "mints, answer lost";
      yield { label, next: act.with({ left, refreshToken, minted: token, excused: true }, failed), optional: true };
    }
  }

  /**
   * The server does not answer. The first that is not answered gives its lease away. The answer may come after all, or never; what
   * becomes of its callers does not concern the others.
   */
  *#silent(act: Actor, flight: Flight): Generator<Step> {
    const { world, index } = act;
    const { store } = world;
    const isOwn = store?.lease === flight.lease;
    const isGivenAway = isOwn && countOf(store.failed & ~(1 << index)) === 0 && this.#mutant !== "keepSilentLease";
    const isBlind = this.#mutant === "blindGiveAway" && store !== undefined;
    if (isGivenAway || isBlind) {
      const failed = store.failed | (1 << index);
      const put: StoreRecord = flight.ahead
        ? { ...store, phase: "token", token: flight.held, lease: 0, lapsed: false, failed }
        : { ...RECORD, failed };
      yield { label: flight.ahead ? "gives away, R->T" : "gives away, L->T", next: act.with({ store: put }, {}) };
    } else if (isOwn && this.#mutant !== "keepSilentLease") {
      // Whoever has the lease after another one keeps it until its time limit: the server may be slow for all.
      yield { label: "gives up", next: act.with({}, { flight: { ...flight, step: "failed" } }) };
    }
    const token = world.minted + 1;
    const answered: Partial<Process> = { flight: { ...flight, step: "minted", token, state: 0 } };
    const next = act.with({ minted: token, spare: world.spare - 1 }, answered);
    yield { label: "is answered after all", next, optional: true, minted: true };
  }

  /** Mints without the store, for this process alone. The token is never published. */
  #mintLocally(act: Actor): Step {
    const minted = act.world.minted + 1;
    return this.#land(act, { minted }, minted, { adopted: false, label: `mints ${minted} for itself` });
  }

  /** Publishes over the process's own lease. Without that lease, prefers the fleet's token to its own. */
  #publish(act: Actor, flight: Flight): Step {
    const { token, lease, ahead } = flight;
    const { store } = act.world;
    if (this.#mayPublish(store, lease, ahead)) {
      const record = publishedRecord(act, flight);
      return this.#land(act, { store: record, published: token }, token, {
        adopted: false,
        label: `publishes ${token}`,
      });
    }
    if (hasToken(store) && this.#mayAdopt(act.process, flight, store)) {
      return this.#land(act, {}, store.token, { adopted: true, label: "refused, adopts" });
    }
    return this.#land(act, {}, token, { adopted: false, label: "refused, keeps its own" });
  }

  /** Publishing fails: callers get the token at once, and the process publishes again later. */
  #publishFails(act: Actor, flight: Flight): Step {
    const { token, lease } = flight;
    const late: LateSwap = {
      kind: "publish",
      expected: undefined,
      next: publishedRecord(act, flight),
      lease,
      doubts: false,
    };
    const change: Partial<World> = fault(act);
    const keeping = new Actor(act.world, act.index, { ...act.process, late });
    const landed = this.#land(keeping, change, token, { adopted: false, label: "keeps its own, store fault" });
    return { ...landed, optional: true };
  }

  #mayPublish(store: Stored, lease: number, ahead: boolean): boolean {
    if (this.#mutant === "noFence" || (this.#mutant === "overwriteFresh" && ahead)) return true;
    if (this.#mutant === "writeIfAbsent" && store === undefined) return true;
    return store?.lease === lease;
  }

  /** After a failed mint, shares the failure, or puts the token back that was being refreshed. */
  #release(act: Actor, { lease, state, ahead, held }: Flight): Step {
    const { store } = act.world;
    const failed = (store?.failed ?? 0) | (1 << act.index);
    if (store?.lease !== lease || this.#mutant === "leaveLease") return { ...this.#fail(act, {}), label: "fails" };
    const put: StoreRecord = ahead
      ? { ...RECORD, phase: "token", token: held, state, renewal: store.renewal, expired: store.expired, failed }
      : { ...RECORD, phase: "failure", state, failed };
    const dropped = ahead && this.#mutant === "dropRefreshing";
    return { ...this.#fail(act, { store: dropped ? undefined : put }), label: ahead ? "fails, R->T" : "fails, L->F" };
  }

  /** A late swap: the store carries it out, the process undoes it, or the process publishes again. */
  #late(act: Actor, late: LateSwap): Step {
    const { store } = act.world;
    if (late.kind === "acquire") {
      if (!isSame(store, late.expected)) return { label: "late swap refused", next: act.with({}, { late: undefined }) };
      const undo: LateSwap = { ...late, kind: "undo", expected: undefined, next: undefined };
      const done: Stored = late.next?.phase === "refreshing" ? { ...late.next, expired: store!.expired } : late.next;
      return { label: "late swap done", next: act.with({ store: done }, { late: undo }), late };
    }
    const over: Partial<Process> = { late: undefined };
    if (late.kind === "publish") {
      const { next } = late;
      if (!this.#mayPublish(store, late.lease, false))
        return { label: "late, refused", next: act.with({}, over), late };
      return { label: "publishes late", next: act.with({ store: next, published: next!.token }, over), late };
    }
    if (this.#mutant === "blindUndo")
      return { label: "undoes blindly", next: act.with({ store: undefined }, over), late };
    if (store?.lease !== late.lease) return { label: "nothing to undo", next: act.with({}, over), late };
    return { label: "undoes", next: act.with({ store: this.#undone(store) }, over), late };
  }

  #undone(store: StoreRecord): Stored {
    const { token, state, renewal, expired, failed } = store;
    if (store.phase === "refreshing") return { ...RECORD, phase: "token", token, state, renewal, expired, failed };
    return this.#stateful ? { ...RECORD, state, failed } : undefined;
  }

  /** The flight ends with a token. */
  #land(
    act: Actor,
    change: Partial<World>,
    token: number,
    { adopted, label }: { readonly adopted: boolean; readonly label: string },
  ): Step {
    const { process, world } = act;
    const store = "store" in change ? change.store : world.store;
    const memory = this.#mutant === "staleState" && store?.token === token ? store.state : process.memory;
    const landed: Partial<Process> = { flight: undefined, token, memory };
    if (!process.waits) return { label, next: act.with(change, landed) };
    // A refresh that began before the rejection may be older, so it suffices for a first renewal only (C7).
    const isOlder = process.flight?.ahead ?? false;
    if (isOlder && process.rejected.length === 2)
      return { label, next: act.with(change, withFlight({ ...process, ...landed })) };
    const older = adopted || isOlder;
    return { label, next: act.with(change, { ...landed, waits: false, sent: token, older }), resent: token };
  }

  /** The flight ends with an error, and so does the request that waits for it. */
  #fail(act: Actor, change: Partial<World>): { readonly next: World } {
    const over: Partial<Process> = { flight: undefined, waits: false, rejected: [], older: false };
    return { next: act.with(change, over) };
  }

  /** The process is killed. Its lease stays in the store and lapses. */
  #crash(act: Actor): Step {
    const { world, process } = act;
    const { flight, late } = process;
    const left = { ...world.left, crashes: world.left.crashes - 1 };
    // A minted token that cannot be published any more has to be minted again.
    const minted = [flight?.step === "minted" ? flight.lease : 0, late?.kind === "publish" ? late.lease : 0];
    const wasted = world.store !== undefined && world.store.lease !== 0 && minted.includes(world.store.lease);
    const excused = world.excused || (this.#stateful && minted.some((lease) => lease !== 0));
    const next = act.with({ left, spare: world.spare + (wasted ? 1 : 0), excused }, GONE);
    return { label: "crashes", next, optional: true };
  }
}

/** One process of a world. `with` returns the world after a change of both. */
class Actor {
  readonly world: World;
  readonly index: number;
  readonly process: Process;

  constructor(world: World, index: number, process: Process) {
    this.world = world;
    this.index = index;
    this.process = process;
  }

  with(change: Partial<World>, process: Partial<Process>): World {
    const processes = this.world.processes.with(this.index, { ...this.process, ...process });
    return { ...this.world, ...change, processes };
  }
}

function begin(act: Actor): Step {
  const { process } = act;
  const requests = process.requests - 1;
  if (process.token !== 0) return { label: "sends", next: act.with({}, { requests, sent: process.token }) };
  return { label: "needs a token", next: act.with({}, withFlight({ ...process, requests, waits: true })) };
}

/** Returns the process with a new flight, if its request waits and there is no flight. */
function withFlight(process: Process): Process {
  if (!process.waits || process.flight !== undefined) return process;
  return { ...process, flight: FLIGHT };
}

/** Returns the record that a flight publishes after its mint. */
function publishedRecord({ process }: Actor, { ahead, token, state }: Flight): StoreRecord {
  return { ...RECORD, phase: "token", token, state, renewal: !ahead && process.rejected.length > 0 };
}

function fault({ world }: Actor): Partial<World> {
  return { left: { ...world.left, storeFaults: world.left.storeFaults - 1 } };
}

/** Returns whether a record tells that the mints of a process have failed. */
function hasFailed({ index }: Actor, { failed }: StoreRecord): boolean {
  return (failed & (1 << index)) !== 0;
}

/** The number of processes in a mask. */
function countOf(mask: number): number {
  return mask === 0 ? 0 : (mask & 1) + countOf(mask >> 1);
}

/** Returns whether a record has a token that has not expired. */
function hasToken(store: Stored): store is StoreRecord {
  return store !== undefined && store.token !== 0 && !store.expired;
}

/** Returns whether a record has a lease that has not lapsed. */
function isLeased(store: Stored): boolean {
  return store !== undefined && store.lease !== 0 && !store.lapsed;
}
