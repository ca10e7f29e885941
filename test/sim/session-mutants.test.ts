/**
 * Deliberate faults in the real code of sessions: each is seen by the races' rules, in a plan in which nothing is wrong without
 * it.
 *
 * A fault that no rule sees is a gap of the races.
 */
import { describe, expect, test } from "vitest";
import { withFault, type Fault } from "./mutated.ts";
import { runSessions, type SessionEvent, type SessionPlan } from "./session-world.ts";

type World = typeof import("./session-world.ts");

const FLIGHT = "fleet/flight.ts";
const LEAD = "fleet/lead.ts";
const KNOWN = "fleet/known-session.ts";
const SIGN = "fleet/sign.ts";

type Told = SessionEvent | number;

/** A plan of events; a number is the milliseconds before the next one. */
function plan(told: readonly Told[], more: Partial<SessionPlan> = {}): SessionPlan {
  const events: { after: number; event: SessionEvent }[] = [];
  let after = 0;
  for (const each of told) {
    if (typeof each === "number") after = each;
    else {
      events.push({ after, event: each });
      after = 0;
    }
  }
  const delays = { storeDelays: [5], tableDelays: [0], mintDelays: [20] };
  return { processes: 2, store: true, source: "function", events, expiresIn: 36_000, ...delays, ...more };
}

const call = (who: number): SessionEvent => ({ what: "call", who, other: false });
const callOther = (who: number): SessionEvent => ({ what: "call", who, other: true });
const signIn = (who: number): SessionEvent => ({ what: "sign-in", who });
const signOut = (who: number): SessionEvent => ({ what: "sign-out", who });
const slow = (ms: number): SessionEvent => ({ what: "slow", for: ms });
const cut = (who: number, ms: number): SessionEvent => ({ what: "cut", who, for: ms });
const replay = (ago: number): SessionEvent => ({ what: "replay", ago });
const failRevocation: SessionEvent = { what: "fail-revocation" };
const SHORT = { expiresIn: 8 };

/** The claim arrives before the sign-out, its answer after it; and then the store is away. */
const OVERTAKEN = plan([call(0), signOut(0), 6, cut(0, 1500), call(1), 70_000, call(0), call(1)], SHORT);
const DURING_A_MINT_TWICE = plan([slow(15_000), call(0), 9000, signOut(0), failRevocation], {
  storeDelays: [0],
  mintDelays: [0],
  ...SHORT,
});
const AFTER_A_MINT = plan([call(0), 17_000, signOut(0), call(1), 11_000, call(0)], {
  storeDelays: [0, 0, 5],
  mintDelays: [1200],
  source: "string",
  ...SHORT,
});
const CANNOT_REVOKE = plan([call(0), 30_000, failRevocation, signOut(0)]);
const CANNOT_REVOKE_AND_IN = plan([call(0), 30_000, failRevocation, signOut(0), 1000, signIn(1)]);
const LOOKS_BEFORE = plan([slow(4000), call(1), 3000, cut(1, 6000), 1500, signOut(0), 500, signOut(1)]);
const CLOSES = plan([call(0), 1000, signIn(1), { what: "close", who: 1 }, 20, { what: "kill", who: 1 }]);
const AFTER_A_SIGN_IN = plan(
  [callOther(2), signIn(0), 9000, replay(1), replay(1), call(0), replay(1), { what: "wait", for: 17_000 }],
  { processes: 3, storeDelays: [0], mintDelays: [0], ...SHORT },
);
const USED = plan([call(0), 10_000, call(0), 10_000, call(0), 10_000, replay(4), call(0)], SHORT);
const UNANSWERED = plan([slow(4000), call(0), 10, call(1)]);
const revoke: SessionEvent = { what: "revoke" };
const flush: SessionEvent = { what: "flush" };
/** The mint of process 0 lands in the record before its sign-out is stored. */
const LANDS_BEFORE_THE_END = plan(
  [
    callOther(0),
    { what: "die", who: 1, steps: 6 },
    failRevocation,
    call(0),
    revoke,
    call(0),
    call(1),
    9000,
    call(0),
    signOut(0),
    call(1),
    { what: "wait", for: 15_000 },
    call(0),
  ],
  { storeDelays: [0, 40, 0], tableDelays: [50], ...SHORT },
);
/** A sign-in of process 0 is stored over an end, in which its own mint has landed, and which it is revoking. */
const LANDS_IN_AN_END_AND_IN = plan(
  [callOther(0), 30, failRevocation, 30, signOut(0), 5, signIn(0), 1, call(1), signIn(0), call(0), call(1)],
  { storeDelays: [5, 40, 0], tableDelays: [3], ...SHORT },
);
/** Process 2 signs out, and is told of the end of another sign-in when it has revoked its own. */
const TOLD_BY_A_CLEAN_UP = plan(
  [signIn(0), signOut(0), call(0), 30, signOut(2), call(2), 1500, call(2), call(2), callOther(1), call(1), call(0)],
  { processes: 3, source: "string", storeDelays: [40, 0, 0, 0], mintDelays: [0, 250, 0], ...SHORT },
);
/** The record of a sign-in is lost, and another process, which knows the session before it, begins it anew. */
const BEGUN_ANEW = plan(
  [
    signIn(0),
    call(1),
    1500,
    call(2),
    call(0),
    call(0),
    9000,
    call(0),
    5,
    call(2),
    call(0),
    1,
    flush,
    1500,
    call(2),
    call(0),
  ],
  { processes: 3, storeDelays: [40, 5, 1, 40, 0], tableDelays: [50], mintDelays: [0], ...SHORT },
);
/** The table answers with the state of the session that another process has replaced meanwhile. */
const ASKED_BEFORE = plan(
  [revoke, callOther(0), signIn(1), call(1), callOther(0), call(0), call(0), callOther(0), call(1)],
  { storeDelays: [0], tableDelays: [700], mintDelays: [0], ...SHORT },
);
/** The record is lost between the claims of two targets of one process. */
const LOST_BETWEEN_CLAIMS = plan(
  [
    { what: "hang-save" },
    callOther(1),
    30,
    call(1),
    call(0),
    30,
    call(0),
    call(1),
    call(1),
    call(1),
    30,
    flush,
    { what: "fail-save" },
  ],
  { storeDelays: [40, 0], mintDelays: [0], ...SHORT },
);
/** The record of a sign-in is lost, a process that knows only the session before it begins it anew and dies at once. */
const NAMED_ANEW = plan(
  [
    call(0),
    1000,
    call(2),
    9000,
    signIn(1),
    2000,
    flush,
    call(0),
    300,
    { what: "kill", who: 0 },
    10,
    call(0),
    { what: "wait", for: 15_000 },
    call(2),
  ],
  { processes: 3, tableDelays: [700], ...SHORT },
);

/** What is said of the code, the fault, what is seen of it, and the plan in which it is. */
const MUTANTS: readonly (readonly [string, Fault, RegExp, SessionPlan])[] = [
  [
    "C16: a claim that is granted after a sign-out is given back",
    { file: FLIGHT, is: " || !this.#session.isCurrent(served)", becomes: "" },
    /sent after a sign-in or sign-out here/,
    OVERTAKEN,
  ],
  [
    "C16: a sign-out is stored over a lease too",
    {
      file: SIGN,
      is: `seen?.phase === "E" ? seen : {`,
      becomes: `seen?.phase === "E" || seen?.phase === "L" ? seen : {`,
    },
    /presented \d+ ms after the sign-out/,
    AFTER_A_MINT,
  ],
  [
    "C16: what lands in an ended record stays in it until it is revoked",
    { file: LEAD, is: `ended.phase !== "E" ||`, becomes: `ended.phase === "E" ||` },
    /is still valid after the sign-out/,
    DURING_A_MINT_TWICE,
  ],
  [
    "C15: what could not be written before the session ended is revoked",
    { file: LEAD, is: "return this.#overLate();", becomes: "return;" },
    /is still valid after the sign-out/,
    LOOKS_BEFORE,
  ],
  [
    "C16: the ended record keeps what is to be revoked",
    { file: SIGN, is: "return revoke ? ended : withoutSecrets(ended);", becomes: "return withoutSecrets(ended);" },
    /is still valid after the sign-out|left the record unrevoked/,
    CANNOT_REVOKE,
  ],
  [
    "C16: it keeps that until the revocation is confirmed",
    {
      file: SIGN,
      is: "await session.track(runRevocation(settings, unrevoked, last));",
      becomes: "await session.swap(version, withoutSecrets(record)); await runRevocation(settings, unrevoked, last);",
    },
    /left the record unrevoked/,
    CANNOT_REVOKE,
  ],
  [
    "C16: whoever looks next finishes the sign-out",
    { file: SIGN, is: "if (!isAbandoned ||", becomes: "if (isAbandoned ||" },
    /is still valid after the sign-out/,
    CANNOT_REVOKE,
  ],
  [
    "C16: a sign-in revokes what a sign-out has left",
    { file: SIGN, is: "if (ended !== undefined) void", becomes: "if (ended === null) void" },
    /is still valid after the sign-out/,
    CANNOT_REVOKE_AND_IN,
  ],
  [
    "C16: a close waits for a sign-in that is being stored",
    { file: KNOWN, is: "const work = this.track(", becomes: "const work = ((each) => each)(" },
    /f2-1 is neither saved nor published/,
    CLOSES,
  ],
  [
    "S6, C15: who has signed in does not follow the record of an older session",
    { file: KNOWN, is: `if (isOlder) return "older";`, becomes: "" },
    /sent after a sign-in or sign-out here/,
    AFTER_A_SIGN_IN,
  ],
  [
    "S6, C14: who has used a state up does not present it again",
    // Both at once: what a process remembers of the states, and what it remembers of the count of a record. One stands
    // in for the other here. Plans in which only the count tells are in test/fleet/replays.test.ts.
    {
      file: KNOWN,
      is: "return this.state.hasUsed(record.state) || this.#isOutrun(record);",
      becomes: "return false;",
    },
    /by a process that has used it/,
    USED,
  ],
  [
    "C9: a lease on a state is not given away without an answer",
    { file: LEAD, is: "if (session.isStateful || record.failed", becomes: "if (record.failed" },
    /was used twice/,
    UNANSWERED,
  ],
  [
    "C16: a mint that lands while a sign-out is being stored is in the record",
    { file: LEAD, is: "isCurrent || this.#hasNext ? this.#recordAfter()", becomes: "isCurrent ? this.#recordAfter()" },
    /f1-4 is still valid after the sign-out/,
    LANDS_BEFORE_THE_END,
  ],
  [
    "C16: a sign-in revokes what has landed in an end that this process is revoking",
    { file: SIGN, is: " && digestOf(end.state) === digestOf(other?.state)", becomes: "" },
    /f1-2 is still valid after the sign-out/,
    LANDS_IN_AN_END_AND_IN,
  ],
  [
    "C16: an end that the answer to a clean-up tells of is believed",
    { file: KNOWN, is: `if (seen?.kind === "record") this.meet(seen.record);`, becomes: "" },
    /sent by a process that saw its session end/,
    TOLD_BY_A_CLEAN_UP,
  ],
  [
    "C15: a record that is begun anew is not older than the sign-in that is known",
    { file: KNOWN, is: "this.begin(newSession(this.generation));", becomes: "this.begin(newSession(0));" },
    /began under f1, sent with f2/,
    BEGUN_ANEW,
  ],
  [
    "C15: what the table was asked before another session is not for it",
    { file: KNOWN, is: "this.state?.replace();", becomes: "" },
    /began under f2, sent with f1/,
    ASKED_BEFORE,
  ],
  [
    "C14: a claim that is granted while another flight of the process mints is given back",
    { file: FLIGHT, is: " || this.#session.isMinting) {", becomes: ") {" },
    /was presented by a process that has used it/,
    LOST_BETWEEN_CLAIMS,
  ],
  [
    "C15: a record that gets its state from the table gets another name",
    {
      file: KNOWN,
      is: "if (before.state !== undefined || before.session === undefined) return record;",
      becomes: "return record;",
    },
    /began under f1, sent with f2/,
    NAMED_ANEW,
  ],
];

describe("a deliberate fault in the code of sessions", () => {
  test.each(MUTANTS)("%s", async (_, fault, seen, input) => {
    expect((await runSessions(input)).violations).toEqual([]);
    const { runSessions: runFaulty } = (await withFault(fault, "session-world.ts")) as World;
    expect((await runFaulty(input)).violations.join("\n")).toMatch(seen);
  });
});
