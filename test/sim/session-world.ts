/**
 * Sessions on virtual time: the real cache, supply and fleet in simulated processes that sign in and out, are killed, closed and
 * cut off from their store; an authorization server that rotates refresh tokens and ends a family when one is used twice; the
 * user's table; and an API. What the processes do is judged while it happens.
 *
 * A family is what the server gives for one sign-in. Its number is part of every token, so a token tells whose it is. The
 * server revokes what it is told and nothing else: a refresh token that is used up ends nothing, and neither does an access
 * token.
 */
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, customGrant, isRemintError, TokenEndpointError } from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import { readRecord, type WrittenRecord } from "../fleet/records.ts";
import { seeded } from "./seeded.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { MintContext } from "../../src/core/grant.ts";
import type { Store } from "../../src/fleet/index.ts";
import type { AccessToken, RemintEvent, TokenCache } from "../../src/index.ts";
import type { ClientSeam, PolicyRequest } from "../../src/policy/client-seam.ts";

const ORIGIN = "https://api.example";
const OTHER = { resource: "https://billing.example" } as const;
/** Longer than a lease and every pause of a process. */
const SETTLED = 12_000;

/** An event of a run. `who` is the number of a process, `for` a duration in milliseconds. */
export type SessionEvent =
  | { readonly what: "call"; readonly who: number; readonly other: boolean }
  | { readonly what: "sign-in" | "sign-out" | "kill" | "close"; readonly who: number }
  /** The process dies at one of its next steps: before or after a call to the store, the server or the table. */
  | { readonly what: "die"; readonly who: number; readonly steps: number }
  /** The connections of the process to the server are refused from now on, or not any more. */
  | { readonly what: "sick" | "well"; readonly who: number }
  /** Somebody puts back what the record held so many writes ago. */
  | { readonly what: "replay"; readonly ago: number }
  /** The process cannot reach the store. */
  | { readonly what: "cut"; readonly who: number; readonly for: number }
  /** The store loses the record. */
  | { readonly what: "flush" }
  /** The API accepts no access token that was issued so far. */
  | { readonly what: "revoke" }
  /** The next save, question to the table, or answer of the server fails. */
  | { readonly what: "fail-save" | "hang-save" | "fail-source" | "lose-answer" | "bad-answer" | "fail-revocation" }
  /** The next answer of the server takes so long. */
  | { readonly what: "slow"; readonly for: number }
  | { readonly what: "wait"; readonly for: number };

export interface SessionPlan {
  readonly processes: number;
  readonly store: boolean;
  /** The state is a function that asks the table, or the string of a configuration. */
  readonly source: "function" | "string";
  readonly events: readonly { readonly after: number; readonly event: SessionEvent }[];
  /** Milliseconds of each way to the store, to the table, and of a mint; used in turn. */
  readonly storeDelays: readonly number[];
  readonly tableDelays: readonly number[];
  readonly mintDelays: readonly number[];
  /** The lifetime of an access token in seconds. */
  readonly expiresIn: number;
}

export interface SessionOutcome {
  readonly violations: readonly string[];
  /** What every caller of a living process got. */
  readonly outcomes: readonly (number | string)[];
  readonly hanging: number;
  /** The number of mints at the server. */
  readonly mints: number;
  /** How often each thing happened: sign-ins, sign-outs, refusals of the server, requests that were told of another session. */
  readonly seen: ReadonlyMap<string, number>;
}

/** What the server gave for one sign-in. */
interface Family {
  readonly number: number;
  newest: number;
  isDead: boolean;
  /** Why the family may be lost: nothing could have saved it. */
  excuse: string | undefined;
  /** When its sign-out was stored. Monotonic milliseconds. */
  endedAt: number | undefined;
  /** A sign-out that revokes is stored, and nothing has happened after which a token may stay. */
  owes: boolean;
  /** An answer of the server, or what only one process knew, may be lost: nobody can revoke what was in it. */
  isInDoubt: boolean;
  /** Access tokens that have to be revoked, and when they expire. */
  readonly owed: Map<string, number>;
  /** The process that is storing the sign-in. */
  signingIn: Instance | undefined;
}

/** Runs a plan and returns its outcome. */
export function runSessions(plan: SessionPlan): Promise<SessionOutcome> {
  return seeded(() => new SessionRun(plan).run());
}

class SessionRun {
  readonly clock = manualClock();
  readonly plan: SessionPlan;
  readonly violations: string[] = [];
  readonly seen = new Map<string, number>();
  readonly families: Family[] = [];
  /** The user's table: the refresh token of the key. */
  row: string | undefined;
  store: Store;
  failing = { save: 0, hang: 0, source: 0, lost: 0, bad: 0, revocation: 0 };
  /** Everything that was written to the record. */
  readonly copies: string[] = [];
  /** By the id of a session in a record that is ended: the families that are. */
  readonly endings = new Map<string, readonly Family[]>();
  /** The families whose refresh token was refused: their tokens are served to their end, and who waits is of the next. */
  readonly refused = new Set<Family>();
  /** How often somebody has put back an old record. */
  replays = 0;
  /** The families whose record was replaced by one of an earlier family: who finds their token in the table cannot tell. */
  readonly hidden = new Set<Family>();
  /** The families that are signed out and still in the table: the user's program was not told, or died. */
  readonly leftInTable = new Set<Family>();
  /** How often the store has lost the record. */
  losses = 0;
  slow = 0;
  mints = 0;
  /** Access tokens up to this number are rejected by the API. */
  rejectedUpTo = 0;
  issued = 0;
  readonly delays: { readonly store: () => number; readonly table: () => number; readonly mint: () => number };
  #key = "";
  /** The families of which a slow save of one process has replaced a later state in the table, which another had saved. */
  readonly #overwritten = new Set<Family>();
  #processes: Instance[] = [];
  readonly #calls: Call[] = [];

  constructor(plan: SessionPlan) {
    this.plan = plan;
    this.store = memoryStore({ clock: this.clock });
    this.delays = { store: cycle(plan.storeDelays), table: cycle(plan.tableDelays), mint: cycle(plan.mintDelays) };
    this.row = this.signUp().state;
    this.#processes = Array.from({ length: plan.processes }, () => new Instance(this));
  }

  async run(): Promise<SessionOutcome> {
    for (const { after, event } of this.plan.events) {
      await this.clock.advance(after);
      await this.#happen(event);
    }
    for (const process of this.#processes) Object.assign(process, { diesAfter: Infinity, isSick: false });
    // Longer than the landing timeout, and than any repeated save takes to come.
    await this.clock.advance(150_000);
    await this.#judgeTheEnd();
    const living = this.#calls.filter(({ process }) => !process.isDead);
    return {
      violations: this.violations,
      outcomes: living.flatMap(({ outcome }) => outcome ?? []),
      hanging: living.filter(({ outcome }) => outcome === undefined).length,
      mints: this.mints,
      seen: this.seen,
    };
  }

  count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  violated(what: string): void {
    this.violations.push(`${what} (at ${this.clock.monotonic()} ms)`);
  }

  async #happen(event: SessionEvent): Promise<void> {
    const { failing } = this;
    switch (event.what) {
      case "call":
        this.#call(this.#at(event.who), event.other);
        break;
      case "sign-in":
        void this.#at(event.who).signIn();
        break;
      case "sign-out":
        void this.#at(event.who).signOut();
        break;
      case "kill":
        this.#kill(event.who);
        break;
      case "close":
        void this.#close(event.who);
        break;
      case "die":
        this.#at(event.who).diesAfter = event.steps;
        break;
      case "sick":
      case "well":
        this.#at(event.who).isSick = event.what === "sick";
        break;
      case "replay":
        await this.#replay(event.ago);
        break;
      case "fail-revocation":
        failing.revocation++;
        break;
      case "cut":
        this.#at(event.who).cut(event.for);
        break;
      case "flush":
        await this.#flush();
        break;
      case "revoke":
        this.rejectedUpTo = this.issued;
        break;
      case "fail-save":
        failing.save++;
        break;
      case "hang-save":
        failing.hang++;
        break;
      case "fail-source":
        failing.source++;
        break;
      case "lose-answer":
        failing.lost++;
        break;
      case "bad-answer":
        failing.bad++;
        break;
      case "slow":
        this.slow = event.for;
        break;
      case "wait":
        await this.clock.advance(event.for);
        break;
    }
  }

  #at(who: number): Instance {
    return this.#processes[who % this.#processes.length]!;
  }

  // --- the authorization server

  /** A user signs in. */
  signUp(): { readonly family: Family; readonly state: string } {
    const number = this.families.length + 1;
    const family: Family = {
      number,
      newest: 1,
      isDead: false,
      excuse: undefined,
      endedAt: undefined,
      owes: false,
      isInDoubt: false,
      owed: new Map(),
      signingIn: undefined,
    };
    this.families.push(family);
    return { family, state: `f${number}-1` };
  }

  accessToken({ number, owes, owed }: Family, target: string): string {
    const value = `f${number}-${target}-${++this.issued}`;
    if (owes) owed.set(value, this.#expiry());
    return value;
  }

  #expiry(): number {
    return this.clock.monotonic() + this.plan.expiresIn * 1000;
  }

  familyOf(token: string): Family {
    return this.families[Number(/^f(\d+)-/.exec(token)![1]) - 1]!;
  }

  /** The server has a refresh token. Returns the next one; `undefined`: it refuses. */
  rotate(state: string): string | undefined {
    this.mints++;
    const family = this.familyOf(state);
    const place = placeOf(state);
    if (family.isDead) return undefined;
    if (place !== family.newest) {
      family.isDead = true;
      this.count("reuse");
      if (family.excuse === undefined && family.endedAt === undefined)
        this.violated(`C14: ${state} was used twice, and f${family.number} is lost`);
      return undefined;
    }
    return `f${family.number}-${++family.newest}`;
  }

  excuse(why: string, families: readonly Family[] = this.families): void {
    for (const family of families) family.excuse ??= why;
  }

  /** The families whose newest state only one process knows. */
  async unkept(): Promise<readonly Family[]> {
    const stored = (await this.recordInStore())?.state;
    return this.families.filter((family) => {
      const state = `f${family.number}-${family.newest}`;
      return state !== this.row && (state !== stored || this.#overwritten.has(family));
    });
  }

  async recordInStore(): Promise<WrittenRecord | undefined> {
    const found = await this.store.swap(this.#key, "?", undefined, 1);
    return recordIn(found.ok ? undefined : found.current?.value);
  }

  /** The store has a new record. Judges what becomes of an end, and of what is to be revoked for it. */
  written(process: Instance, before: WrittenRecord | undefined, text: string | undefined): void {
    if (text !== undefined) this.copies.push(text);
    const after = recordIn(text);
    const left = before?.phase === "E" && before.state !== undefined ? before.state : undefined;
    if (left !== undefined && after?.state !== left) {
      const family = this.familyOf(left);
      const isNewest = left === `f${family.number}-${family.newest}`;
      if (after?.phase === "E") {
        if (family.owes && !family.isDead && isNewest) this.violated(`C16: ${left} left the record unrevoked`);
      } else process.takesOver(family);
    }
    if (after?.phase !== "E" || after.sid === undefined) return;
    this.count("ended");
    if (before?.phase === "L") this.count("ended over a lease");
    if (!process.isSigningOut) return;
    this.endings.set(after.sid, process.ending);
    const state = after.state ?? before?.state;
    if (state === undefined) return;
    const family = this.familyOf(state);
    // Only what the record had, or a process that will land, can be revoked.
    const isKept =
      state === `f${family.number}-${family.newest}` || this.#processes.some((each) => each.hasInHand(family));
    if (before?.phase !== "E") family.owes = !family.isDead && !family.isInDoubt && this.replays === 0 && isKept;
    for (const { token } of Object.values(after.tokens)) {
      if (family.owes && token !== undefined && token.left > 0) {
        family.owed.set(token.response.access_token, this.clock.monotonic() + token.left);
      }
    }
  }

  /** The families whose end a record tells of. */
  endedBy(text: string | undefined): readonly Family[] {
    const record = recordIn(text);
    if (record?.phase !== "E" || record.sid === undefined) return [];
    return this.endings.get(record.sid) ?? [];
  }

  keepInTable(families: readonly Family[]): void {
    for (const family of families) this.leftInTable.add(family);
  }

  keyIs(key: string): void {
    this.#key = key;
  }

  isSigningElsewhere(process: Instance): boolean {
    const isIn = this.families.some(({ signingIn }) => signingIn !== undefined && signingIn !== process);
    return isIn || this.#processes.some((each) => each !== process && each.isSigningOut);
  }

  // --- the table

  async ask(process: Instance): Promise<string | undefined> {
    await this.sleep(this.delays.table());
    await process.running();
    if (this.failing.source > 0) {
      this.failing.source--;
      throw new Error("the table is down");
    }
    return this.row;
  }

  async save(process: Instance, next: string, signal: AbortSignal): Promise<void> {
    await this.sleep(this.delays.table());
    await process.running();
    if (this.failing.hang > 0) {
      this.failing.hang--;
      return new Promise(() => {});
    }
    if (this.failing.save > 0) {
      this.failing.save--;
      throw new Error("the table is down");
    }
    signal.throwIfAborted();
    process.judgeSave(next);
    // The user's program knows who is signed out, and which sign-in is the last.
    const { number, endedAt } = this.familyOf(next);
    const isLast = this.row === undefined || this.familyOf(this.row).number <= number;
    if (endedAt !== undefined || !isLast) return;
    if (placeOf(next) < placeOf(this.row ?? next)) this.#overwritten.add(this.familyOf(next));
    this.row = next;
  }

  // --- processes

  #kill(who: number): void {
    this.died(this.#at(who));
  }

  died(process: Instance): void {
    const index = this.#processes.indexOf(process);
    if (process.isDead || index < 0) return;
    if (process.isBusy) this.excuse("a process was killed with what it had");
    if (process.isSigningOut) this.keepInTable(process.ending);
    process.die();
    this.#processes[index] = new Instance(this);
    this.count("kill");
  }

  /** Whoever put it back has ended every promise that a process which has just started could keep. */
  async #replay(ago: number): Promise<void> {
    const copy = this.copies.at(-1 - ago);
    if (copy === undefined) return;
    this.excuse("an old record was put back");
    for (const family of this.families) family.owes = false;
    const found = await this.store.swap(this.#key, "?", undefined, 1);
    const current = found.ok ? undefined : found.current;
    await this.store.swap(this.#key, current?.version, copy, 86_400_000);
    const [before, after] = [recordIn(current?.value)?.state, recordIn(copy)?.state];
    const family = before === undefined ? undefined : this.familyOf(before);
    if (family !== undefined && (after === undefined || this.familyOf(after) !== family)) this.hidden.add(family);
    this.replays++;
    this.count("replay");
  }

  async #close(who: number): Promise<void> {
    const index = who % this.#processes.length;
    const process = this.#processes[index]!;
    if (process.isClosing) return;
    process.isClosing = true;
    const { inFlight, unsaved } = await process.cache.close();
    if (inFlight || unsaved) this.excuse("a process has reported what it could not finish");
    process.isDead = true;
    const at = this.#processes.indexOf(process);
    if (at >= 0) this.#processes[at] = new Instance(this);
    this.count("close");
  }

  async #flush(): Promise<void> {
    const unkept = this.#processes.some(({ isBusy }) => isBusy) ? this.families : await this.unkept();
    this.excuse("the store lost what only one process knew", unkept);
    if (this.plan.source === "string") this.excuse("the string of the configuration is used up");
    const found = await this.store.swap(this.#key, "?", undefined, 1);
    const version = found.ok ? undefined : found.current?.version;
    if (version !== undefined) await this.store.swap(this.#key, version, undefined, 1);
    // The note of a sign-out is gone too, with what was to be revoked.
    for (const family of this.families) Object.assign(family, { endedAt: undefined, owes: false, isInDoubt: true });
    this.losses++;
    this.count("flush");
  }

  #call(process: Instance, other: boolean): void {
    const made: Call = { process, outcome: undefined };
    this.#calls.push(made);
    void process.call(other).then((outcome) => (made.outcome = outcome));
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimeout(resolve, ms));
  }

  /** Nothing is in progress: what was received is kept, and a living session is served. */
  async #judgeTheEnd(): Promise<void> {
    this.failing.revocation = 0;
    const stored = (await this.recordInStore())?.state;
    for (const { number, newest, isDead, excuse, endedAt } of this.families) {
      const state = `f${number}-${newest}`;
      const isOver = isDead || excuse !== undefined || endedAt !== undefined || number < this.families.length;
      if (isOver || state === this.row || state === stored) continue;
      // Only the process has the state then.
      if (this.plan.source === "string" && (newest === 1 || !this.plan.store)) continue;
      this.violated(`C14: ${state} is neither saved nor published; the table has ${this.row}, the store ${stored}`);
    }
    for (const process of this.#processes) {
      const outcome = await Promise.race([process.call(false), this.clock.advance(30_000).then(() => "no outcome")]);
      if (outcome === "no outcome") this.violated("C12: a caller waits for ever, with nothing in progress");
    }
    // Whoever has just looked finishes a sign-out whose process has died, or could not revoke.
    await this.clock.advance(30_000);
    const now = this.clock.monotonic();
    for (const { number, newest, isDead, owes, owed } of this.families) {
      if (!owes) continue;
      this.count("revoked after all");
      if (!isDead) this.violated(`C16: f${number}-${newest} is still valid after the sign-out`);
      for (const [token, until] of owed) {
        if (until > now) this.violated(`C16: ${token} is still valid after the sign-out`);
      }
    }
  }
}

interface Call {
  readonly process: Instance;
  outcome: number | string | undefined;
}

/** A process from its start to its end. All answers and timers pass through this class, so that it can be killed. */
class Instance {
  isDead = false;
  isClosing = false;
  readonly cache: TokenCache;
  readonly #run: SessionRun;
  /** The family whose session it serves, as far as it has shown. */
  #known: Family | undefined;
  /** The families whose sessions are over here: it has signed in or out since. */
  #over: ReadonlySet<Family> = new Set();
  isSigningOut = false;
  /** What the sign-out in progress ends. */
  ending: readonly Family[] = [];
  /** No request of it reaches the server. */
  isSick = false;
  /** The number of steps after which it dies. */
  diesAfter = Infinity;
  /** The families whose end it has seen in the record. */
  readonly #sawEnd = new Set<Family>();
  /** The versions of the record in which it holds the lease. */
  readonly #leases = new Set<string>();
  /** What it has to revoke in place of a record that its sign-in has replaced. */
  readonly #takenOver = new Set<Family>();
  /** The families of which it may have an answer that nobody else has. */
  readonly #inHand = new Map<Family, number>();
  /** The states that it has presented and got an answer for. */
  readonly #used = new Set<string>();
  #saved = new Map<number, number>();
  #inFlight = 0;
  #calls = 0;
  #cuts = 0;

  constructor(run: SessionRun) {
    this.#run = run;
    const { clock, plan } = run;
    const state = plan.source === "function" ? () => run.ask(this) : "f1-1";
    const grant = customGrant<string>({
      key: "user",
      state,
      ...(plan.source === "function" && { onState: (next: string, { signal }) => run.save(this, next, signal) }),
      mint: (context) => this.#mint(context),
      revoke: (token, context) => this.#revoke(token, context.state),
    });
    this.cache = createTokenCache({
      grant,
      origins: [ORIGIN],
      clock: { now: () => clock.now(), monotonic: () => clock.monotonic(), setTimeout: this.#setTimeout },
      warnings: false,
      onEvent: (event) => this.#observe(event),
      ...(plan.store && { store: fleetStore({ swap: this.#swap }, { encryptionKey: "none", callTimeout: 500 }) }),
    });
  }

  /** It has something that nobody else has. */
  get isBusy(): boolean {
    return (
      this.#inFlight > 0 ||
      this.#calls > 0 ||
      this.isSigningOut ||
      this.#run.families.some(({ signingIn }) => signingIn === this)
    );
  }

  cut(ms: number): void {
    // Two heartbeats in a row fail: the lease is over while the mint is on the wire.
    if (ms > 3000 && this.isBusy) this.#run.excuse("the holder of the lease was cut off");
    this.#cuts++;
    this.#run.clock.setTimeout(() => this.#cuts--, ms);
  }

  async running(): Promise<void> {
    if (--this.diesAfter < 0) this.#run.died(this);
    if (this.isDead) await new Promise(() => {});
  }

  die(): void {
    this.isDead = true;
    for (const family of this.#inHand.keys()) Object.assign(family, { owes: false, isInDoubt: true });
    for (const family of this.#takenOver) family.owes = false;
  }

  hasInHand(family: Family): boolean {
    return this.#inHand.has(family);
  }

  takesOver(family: Family): void {
    this.#takenOver.add(family);
  }

  async call(other: boolean): Promise<number | string> {
    const target = other ? "other" : "own";
    const begun = { known: this.#known, over: this.#over };
    const sends: string[] = [];
    const seam: ClientSeam<PolicyRequest, number> = {
      send: async (_, headers) => {
        const token = headers?.["authorization"]?.split(" ")[1];
        if (token !== undefined) this.#judge(token, target, begun, sends);
        // Nobody is signed in: whoever comes next belongs to the session that then is.
        else this.#known = undefined;
        await this.#run.sleep(5);
        const number = Number(token?.split("-")[2] ?? 0);
        return number > this.#run.rejectedUpTo ? 200 : 401;
      },
      status: (answer) => answer,
      header: () => null,
      canResend: () => true,
    };
    const cache = other ? this.cache.for(OTHER) : this.cache;
    this.#calls++;
    try {
      return await withToken(cache, { url: `${ORIGIN}/orders` }, seam);
    } catch (error) {
      const code = isRemintError(error) ? error.code : String(error);
      if (isRemintError(error) && error.terminal) this.#known = undefined;
      if (code === "ERR_SESSION") this.#run.count("session over");
      if (code === "ERR_GRANT" && isRemintError(error) && !error.retryable) return `${code} ${String(error.cause)}`;
      return code;
    } finally {
      this.#calls--;
    }
  }

  #judge(
    value: string,
    target: string,
    begun: { readonly known: Family | undefined; readonly over: ReadonlySet<Family> },
    sends: string[],
  ): void {
    const run = this.#run;
    const family = run.familyOf(value);
    const before = sends.at(-1);
    sends.push(value);
    if (before !== undefined && run.familyOf(before) !== family)
      run.violated(`C15: resent with ${value} after ${before}`);
    // Where the server refuses, another refresh token of the table is presented in the same mint, and callers notice nothing (C9).
    const isRefused = begun.known !== undefined && run.refused.has(begun.known);
    const isHidden = run.hidden.has(family);
    const isKnowable = !isRefused && !isHidden;
    if (before === undefined && begun.known !== undefined && begun.known !== family && isKnowable) {
      run.violated(`C15: began under f${begun.known.number}, sent with ${value}`);
    }
    if (this.#sawEnd.has(family) && !run.leftInTable.has(family))
      run.violated(`C16: ${value} was sent by a process that saw its session end`);
    if (begun.over.has(family) && !isHidden) run.violated(`C16: ${value} was sent after a sign-in or sign-out here`);
    if (!value.includes(`-${target}-`)) run.violated(`C17: ${value} was sent to the target ${target}`);
    if (!this.#over.has(family) && !run.refused.has(family)) this.#known = family;
    run.count("sent");
  }

  async signIn(): Promise<void> {
    const run = this.#run;
    if (this.isClosing) return;
    const { family, state } = run.signUp();
    this.#end("another sign-in has taken its place", [family]);
    this.#known = family;
    run.count("sign-in");
    // Which of two is the later one is for the store to say.
    if (run.isSigningElsewhere(this)) run.excuse("two processes signed in or out at the same time", [family]);
    family.signingIn = this;
    try {
      await this.cache.signIn({
        access_token: run.accessToken(family, "own"),
        refresh_token: state,
        expires_in: run.plan.expiresIn,
      });
    } catch (error) {
      if (!isRemintError(error) || error.code !== "ERR_STORE")
        run.violated(`C16: signIn rejected with ${String(error)}`);
      // Neither session is served. The write may have been done nevertheless.
      run.excuse("the sign-in was not stored", [family]);
      this.#known = undefined;
      run.count("sign-in failed");
    } finally {
      family.signingIn = undefined;
    }
  }

  /** What was signed in before is over, unless another process is storing it at this moment. Returns it. */
  #end(why: string, except: readonly Family[] = []): readonly Family[] {
    const run = this.#run;
    const ended = run.families.filter((family) => {
      const isElsewhere = family.signingIn !== undefined && family.signingIn !== this;
      return !except.includes(family) && !isElsewhere;
    });
    this.#over = new Set(ended);
    run.excuse(why);
    for (const family of except) family.excuse = undefined;
    return ended;
  }

  async signOut(): Promise<void> {
    const run = this.#run;
    if (this.isClosing) return;
    this.#known = undefined;
    const ended = this.#end("the user wants it to end");
    this.isSigningOut = true;
    this.ending = ended;
    run.count("sign-out");
    const { losses } = run;
    try {
      await this.cache.signOut();
      // The user's program forgets the session.
      if (run.row !== undefined && ended.includes(run.familyOf(run.row))) run.row = undefined;
      // Unless the store has lost the note of it meanwhile.
      if (run.losses === losses) for (const family of ended) family.endedAt ??= run.clock.monotonic();
    } catch (error) {
      if (!isRemintError(error)) run.violated(`C16: signOut rejected with ${String(error)}`);
      run.keepInTable(ended);
      run.count("sign-out failed");
    } finally {
      this.isSigningOut = false;
    }
  }

  judgeSave(state: string): void {
    const run = this.#run;
    const family = run.familyOf(state);
    const place = placeOf(state);
    if ((this.#saved.get(family.number) ?? 0) > place) run.violated(`C14: ${state} was saved after a later state`);
    this.#saved.set(family.number, place);
  }

  // --- what the cache of the process uses

  async #mint({
    state,
    target,
    signal,
  }: MintContext<string>): Promise<{ access_token: string; expires_in: number; state: string }> {
    const run = this.#run;
    const { failing } = run;
    const family = run.familyOf(state!);
    if (this.#sawEnd.has(family)) run.violated(`C16: ${state} was presented by a process that saw its session end`);
    await this.running();
    if (this.isSick) {
      run.count("not sent");
      throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    }
    this.#inFlight++;
    this.#inHand.set(family, (this.#inHand.get(family) ?? 0) + 1);
    try {
      const { endedAt } = family;
      if (this.#used.has(state!)) run.violated(`C14: ${state} was presented by a process that has used it`);
      if (endedAt !== undefined && run.clock.monotonic() - endedAt > SETTLED && run.plan.store && run.replays === 0) {
        run.violated(`C16: ${state} was presented ${run.clock.monotonic() - endedAt} ms after the sign-out`);
      }
      const delay = run.slow === 0 ? run.delays.mint() : run.slow;
      run.slow = 0;
      await run.sleep(delay / 2);
      const next = run.rotate(state!);
      // The cut at the landing timeout: nobody reads the answer.
      if (delay > 60_000) run.excuse("the mint was cut", [family]);
      if (delay > 60_000) Object.assign(family, { owes: false, isInDoubt: true });
      const isLost = failing.lost > 0;
      if (isLost) failing.lost--;
      if (isLost) run.excuse("the answer was lost", [family]);
      if (isLost) Object.assign(family, { owes: false, isInDoubt: true });
      await run.sleep(delay / 2);
      await this.running();
      if (isLost) throw Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
      if (next === undefined) {
        run.count("refused");
        // Whoever comes next belongs to the session that then is, also if no caller was told of the refusal.
        this.#known = undefined;
        run.refused.add(family);
        throw new TokenEndpointError(400, "the refresh token is used up", { error: "invalid_grant", terminal: true });
      }
      // After the cut nobody reads the answer.
      if (!signal.aborted) this.#used.add(state!);
      const isBad = failing.bad > 0;
      if (isBad) failing.bad--;
      const access_token = isBad ? "" : run.accessToken(family, target === undefined ? "own" : "other");
      return { access_token, expires_in: run.plan.expiresIn, state: next };
    } finally {
      // It is published and saved within this time, or the store is cut.
      run.clock.setTimeout(() => {
        this.#inFlight--;
        const left = this.#inHand.get(family)! - 1;
        if (left === 0) this.#inHand.delete(family);
        else this.#inHand.set(family, left);
      }, 20_000);
    }
  }

  async #revoke(token: AccessToken | undefined, state: string | undefined): Promise<void> {
    const run = this.#run;
    await this.running();
    await run.sleep(run.delays.mint() / 4);
    if (run.failing.revocation > 0) {
      run.failing.revocation--;
      for (const family of this.#takenOver) family.owes = false;
      // Only what the record of an ended session keeps is revoked by whoever looks next. A sign-in has replaced it.
      if (state !== undefined && (await run.recordInStore())?.phase !== "E") run.familyOf(state).owes = false;
      run.count("not revoked");
      throw new TokenEndpointError(503, "down");
    }
    if (token !== undefined) run.familyOf(token.value).owed.delete(token.value);
    if (state !== undefined) {
      const family = run.familyOf(state);
      if (family.excuse === undefined) run.violated(`C15: ${state} of a living session was revoked`);
      family.isDead ||= state === `f${family.number}-${family.newest}`;
      run.count("revoked");
    }
    await this.running();
  }

  readonly #swap = async (...swap: Parameters<Store["swap"]>): ReturnType<Store["swap"]> => {
    const run = this.#run;
    run.keyIs(swap[0]);
    await run.sleep(run.delays.store());
    await this.running();
    if (this.#cuts > 0) return new Promise(() => {});
    const [key, expected, next] = swap;
    const found = await run.store.swap(key, "?", undefined, 1);
    const result = await run.store.swap(...swap);
    const before = found.ok || found.current?.version !== expected ? undefined : recordIn(found.current?.value);
    if (result.ok) run.written(this, before, next);
    await run.sleep(run.delays.store());
    await this.running();
    if (result.ok && recordIn(next)?.phase === "L") this.#leases.add(result.version!);
    // A heartbeat that is refused only tells that the lease is lost.
    const isHeartbeat = expected !== undefined && this.#leases.has(expected) && recordIn(next)?.phase === "L";
    if (isHeartbeat) return result;
    for (const family of run.endedBy(result.ok ? next : result.current?.value)) {
      if (!run.hidden.has(family)) this.#sawEnd.add(family);
    }
    return result;
  };

  readonly #setTimeout: Clock["setTimeout"] = (fire, ms) => this.#run.clock.setTimeout(() => this.isDead || fire(), ms);

  #observe({ name }: RemintEvent): void {
    this.#run.count(name);
    if (name === "session-replaced") this.#known = undefined;
  }
}

function recordIn(text: string | undefined): WrittenRecord | undefined {
  return text === undefined ? undefined : readRecord(text);
}

/** How many states its family had, with this one. */
function placeOf(state: string): number {
  return Number(state.split("-")[1]);
}

/** Returns a function that returns the values of a list in turn. */
function cycle(values: readonly number[]): () => number {
  let next = 0;
  return () => values[next++ % values.length] ?? 0;
}
