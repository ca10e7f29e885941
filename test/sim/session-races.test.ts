/** Random races of sessions: requests, sign-ins, sign-outs, faults of the store, the table and the server, ends of processes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { search } from "./replay.ts";
import { runSessions, type SessionEvent, type SessionPlan } from "./session-world.ts";

const who = fc.nat(3);
const call = fc.record({ what: fc.constant("call" as const), who, other: fc.constant(false) });
const callOther = fc.record({ what: fc.constant("call" as const), who, other: fc.constant(true) });
const signIn = fc.record({ what: fc.constant("sign-in" as const), who });
const signOut = fc.record({ what: fc.constant("sign-out" as const), who });
const kill = fc.record({ what: fc.constant("kill" as const), who });
const close = fc.record({ what: fc.constant("close" as const), who });
const cut = fc.record({ what: fc.constant("cut" as const), who, for: fc.constantFrom(200, 1500, 6000) });
const flush = fc.constant<SessionEvent>({ what: "flush" });
const revoke = fc.constant<SessionEvent>({ what: "revoke" });
const slow = fc.record({ what: fc.constant("slow" as const), for: fc.constantFrom(4000, 15_000, 40_000, 90_000) });
const wait = fc.record({ what: fc.constant("wait" as const), for: fc.constantFrom(2000, 15_000, 70_000) });
const tableFault = fc.constantFrom<SessionEvent>({ what: "fail-save" }, { what: "hang-save" }, { what: "fail-source" });
const die = fc.record({ what: fc.constant("die" as const), who, steps: fc.nat(12) });
const replay = fc.record({ what: fc.constant("replay" as const), ago: fc.nat(5) });
const sickness = fc.record({ what: fc.constantFrom("sick" as const, "sick" as const, "well" as const), who });
const failRevocation = fc.constant<SessionEvent>({ what: "fail-revocation" });
const answerFault = fc.constantFrom<SessionEvent>({ what: "lose-answer" }, { what: "bad-answer" });

interface Options {
  readonly processes?: fc.Arbitrary<number>;
  readonly store?: boolean;
  readonly source?: fc.Arbitrary<SessionPlan["source"]>;
}

/** Generates plans of calls with these events among them. */
function plans(extra: readonly fc.Arbitrary<SessionEvent>[], options: Options = {}): fc.Arbitrary<SessionPlan> {
  const { processes = fc.integer({ min: 2, max: 3 }), store = true, source = fc.constant("function") } = options;
  const calls = fc.array(fc.oneof({ weight: 4, arbitrary: call }, { weight: 1, arbitrary: callOther }), {
    minLength: 2,
    maxLength: 10,
  });
  const others = fc.array(fc.oneof(...extra), { minLength: 1, maxLength: 7 });
  const events = fc
    .tuple(calls, others)
    .chain(([all, more]) => {
      const length = all.length + more.length;
      return fc.shuffledSubarray<SessionEvent>([...all, ...more], { minLength: length, maxLength: length });
    })
    .chain((all) =>
      fc.tuple(
        ...all.map((event) =>
          fc.record({ after: fc.constantFrom(0, 1, 5, 30, 300, 1500, 9000), event: fc.constant(event) }),
        ),
      ),
    );
  return fc.record({
    processes,
    store: fc.constant(store),
    source,
    events,
    storeDelays: fc.array(fc.constantFrom(0, 1, 5, 40), { minLength: 1, maxLength: 5 }),
    tableDelays: fc.array(fc.constantFrom(0, 3, 50, 700), { minLength: 1, maxLength: 4 }),
    mintDelays: fc.array(fc.constantFrom(0, 20, 250, 1200), { minLength: 1, maxLength: 3 }),
    expiresIn: fc.constantFrom(8, 60, 36_000),
  });
}

const one = fc.constant(1);
const either = fc.constantFrom<SessionPlan["source"]>("function", "string");

/** Runs plans and judges what is wrong in every one of them. */
async function hold(name: string, runs: number, plan: fc.Arbitrary<SessionPlan>): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>();
  await search(name, runs, plan, async (input) => {
    const outcome = await runSessions(input);
    expect(outcome.violations).toEqual([]);
    expect(outcome.hanging).toBe(0);
    for (const [what, count] of outcome.seen) seen.set(what, (seen.get(what) ?? 0) + count);
  });
  return seen;
}

describe("races of sessions, each process for itself", () => {
  const steady = "C14: renewals, two targets and failing saves: every state is presented once and saved";
  test(steady, async () => {
    const seen = await hold(steady, 100, plans([revoke, tableFault, wait], { processes: one, store: false }));
    expect(seen.get("state-unsaved")).toBeGreaterThan(0);
  });

  const late = "C14: slow, lost and unusable answers: a session is lost only where an answer was";
  test(late, async () => {
    const seen = await hold(
      late,
      100,
      plans([slow, answerFault, wait, revoke], { processes: one, store: false, source: either }),
    );
    expect(seen.get("state-in-doubt")).toBeGreaterThan(0);
  });

  const signs = "C15, C16: sign-ins and sign-outs at any moment: no request gets the token of another session";
  test(signs, async () => {
    const plan = plans([signIn, signIn, signOut, slow, revoke, tableFault], { processes: one, store: false });
    const seen = await hold(signs, 150, plan);
    expect(seen.get("session over")).toBeGreaterThan(0);
  });

  const closes = "C16: closes at any moment: the process that comes next goes on";
  test(closes, async () => {
    await hold(closes, 80, plans([close, close, slow, revoke, tableFault], { processes: one, store: false }));
  });
});

describe("races of sessions in a fleet", () => {
  const steady = "C14: renewals, two targets, closes and kills: every state is presented once";
  test(steady, async () => {
    await hold(steady, 50, plans([revoke, kill, close, wait], { source: either }));
  });

  const faults = "C14: a store that fails or forgets, saves and sources that fail, slow and lost answers";
  test(faults, async () => {
    await hold(faults, 60, plans([cut, flush, slow, answerFault, tableFault, revoke, wait], { source: either }));
  });

  const signs = "C15, C16: sign-ins and sign-outs at any moment in any process";
  test(signs, async () => {
    const seen = await hold(signs, 60, plans([signIn, signIn, signOut, revoke, slow, wait], { source: either }));
    expect(seen.get("session over")).toBeGreaterThan(0);
    expect(seen.get("session-replaced")).toBeGreaterThan(0);
  });

  const ends =
    "C16: sign-outs during mints elsewhere, deaths at any step, revocations that fail: no token of the session stays valid";
  test(ends, async () => {
    const all = [signOut, signOut, signOut, die, die, failRevocation, signIn, revoke, slow, wait];
    const seen = await hold(ends, 120, plans(all, { source: either }));
    for (const what of ["ended over a lease", "not revoked", "revoked after all", "kill"]) {
      expect([what, seen.get(what) ?? 0]).not.toEqual([what, 0]);
    }
  });

  const copies =
    "S6, C15, C16: old records put back between any steps: no token of another session, and no end is taken back by who saw it";
  test(copies, async () => {
    const all = [replay, replay, replay, signIn, signOut, die, revoke, slow, wait, tableFault];
    const seen = await hold(copies, 120, plans(all, { source: either }));
    expect(seen.get("replay")).toBeGreaterThan(0);
  });

  const sick = "C9: processes whose connections are refused: every state is presented once, and nobody waits for ever";
  test(sick, async () => {
    const seen = await hold(sick, 60, plans([sickness, sickness, revoke, signIn, wait, die], { source: either }));
    expect(seen.get("not sent")).toBeGreaterThan(0);
  });

  const chaos = "C14 to C17: everything at once";
  test(chaos, async () => {
    const all = [signIn, signOut, kill, close, cut, flush, slow, answerFault, tableFault, revoke, wait];
    await hold(chaos, 60, plans(all, { source: either }));
  });
});
