/**
 * Deliberate faults in the real code of a fleet: each breaks a rule that the races check, in a plan that breaks none without it.
 *
 * A fault that no rule sees is a gap of the races. The plans are as short as the search has made them.
 */
import { describe, expect, test } from "vitest";
import { RULES } from "./fleet-judge.ts";
import { runFleet, type FleetEvent, type FleetPlan } from "./fleet-world.ts";
import { withFault, type Fault } from "./mutated.ts";

type World = typeof import("./fleet-world.ts");

const FLIGHT = "fleet/flight.ts";
const LEAD = "fleet/lead.ts";
const DECISION = "fleet/decision.ts";
const KNOWN = "fleet/known-session.ts";

type Told = FleetEvent | number;

/** A plan of events; a number is the milliseconds before the next one. */
function plan(told: readonly Told[], more: Partial<FleetPlan> = {}): FleetPlan {
  const events: { after: number; event: FleetEvent }[] = [];
  let after = 0;
  for (const each of told) {
    if (typeof each === "number") after = each;
    else {
      events.push({ after, event: each });
      after = 0;
    }
  }
  return { processes: 4, events, storeDelays: [0], mintDelays: [20], expiresIn: 36_000, ...more };
}

const call = (who: number, key?: "orders" | "invoices"): FleetEvent => ({ what: "call", who, ...(key && { key }) });
const sick = (who: number, how: "secret" | "refused" | "silent" | "limited"): FleetEvent => ({
  what: "sick",
  who,
  how,
});
const well = (who: number): FleetEvent => ({ what: "well", who });

const SICK_ELSEWHERE = plan([sick(0, "secret"), call(0), 100, call(0, "invoices")]);
const SICK_THEN_HEALTHY = plan([sick(0, "secret"), call(0), 5, call(1)]);
const SICK_TWICE = plan([sick(0, "secret"), call(0), 1500, call(0), 300, call(1)]);
const TWO_SICK = plan([sick(0, "secret"), sick(1, "secret"), call(0), 300, call(1), 900, call(2), 500, call(2)]);
const SUCCESS_BETWEEN = plan([
  sick(0, "secret"),
  call(0),
  5,
  call(1),
  500,
  sick(2, "secret"),
  { what: "revoke" },
  call(2),
  300,
  call(3),
]);
const LIMITED = plan([sick(0, "limited"), call(0), 300, call(1), 2000, call(1)]);
const UNSENT = plan([sick(0, "refused"), call(0)], { retries: 2 });
const SILENT = plan([sick(0, "silent"), call(0), 10, call(1)]);
const SLOW = plan([{ what: "slow", for: 6000 }, call(0), 10, call(1), call(2)]);
const RECOVERED = plan([sick(0, "secret"), call(0), well(0), 6000, call(0), 1000, { what: "revoke" }, call(0)]);
const HOLDER_DIES = plan([
  sick(0, "secret"),
  call(0, "invoices"),
  100,
  { what: "die", who: 1, steps: 3 },
  call(1),
  5,
  call(0),
]);
const TWO_SICK_ELSEWHERE = plan([
  sick(0, "secret"),
  sick(1, "secret"),
  call(0, "invoices"),
  2000,
  call(1),
  300,
  call(0),
]);
/** A token of 10 minutes in its last ones, and no caller waits. */
const SILENT_REFRESH = plan([call(0), 550_000, sick(0, "silent"), call(0)], { expiresIn: 600 });
const SILENT_TWICE = plan([call(0), 550_000, sick(0, "silent"), call(0), 36_000, call(0)], { expiresIn: 600 });
const PAUSED = plan([call(0), 5, { what: "pause", who: 0, for: 8000 }, 4000, call(1)]);

/** What is said of the code, the fault, the rule that breaks, and the plan in which it does. */
const MUTANTS: readonly (readonly [string, Fault, string, FleetPlan])[] = [
  [
    "a failed process leaves what it could claim to the others",
    {
      file: FLIGHT,
      is: "return this.#session.hasFailed && now - this.#claimable.since < YIELDS;",
      becomes: "return false;",
    },
    RULES.yields,
    SICK_ELSEWHERE,
  ],
  [
    "it only looks at first",
    { file: FLIGHT, is: "{ ...this.#firstClaim(), yields: this.#session.hasFailed }", becomes: "this.#firstClaim()" },
    RULES.yields,
    SICK_ELSEWHERE,
  ],
  [
    "it leaves it for 250 ms",
    { file: FLIGHT, is: "const YIELDS = 250;", becomes: "const YIELDS = 100;" },
    RULES.yields,
    SICK_ELSEWHERE,
  ],
  [
    "it yields at every record of that server and client",
    {
      file: KNOWN,
      is: "return this.#isFailing || this.fleet.failing.has(this.#server);",
      becomes: "return this.#isFailing;",
    },
    RULES.yields,
    SICK_ELSEWHERE,
  ],
  [
    "a lease that ends without a trace is no reason to claim at once",
    {
      file: FLIGHT,
      is: "? this.#session.hasFailed || this.#now() < this.#heldUntil",
      becomes: "? this.#now() < this.#heldUntil",
    },
    RULES.yields,
    HOLDER_DIES,
  ],
  [
    "what it gives back itself is claimable anew",
    {
      file: FLIGHT,
      is: "    this.#claimable = undefined;\n    if (!lease.mayStart()",
      becomes: "    if (!lease.mayStart()",
    },
    RULES.yields,
    UNSENT,
  ],
  [
    "whoever succeeds yields no longer",
    { file: KNOWN, is: "      this.#isFailing = false;\n      failing.delete(this.#server);", becomes: "" },
    RULES.prompt,
    RECOVERED,
  ],
  [
    "one failure binds nobody else",
    { file: DECISION, is: "record.failed.length > 1 ?", becomes: "record.failed.length > 0 ?" },
    RULES.binds,
    SICK_THEN_HEALTHY,
  ],
  [
    "two failures of one process are those of one",
    {
      file: LEAD,
      is: "[...record.failed.filter((each) => each !== session.holder), session.holder]",
      becomes: "[...record.failed, session.holder]",
    },
    RULES.binds,
    SICK_TWICE,
  ],
  [
    "two failures bind for a second",
    { file: DECISION, is: "const LONGEST_FOR_OTHERS = 1000;", becomes: "const LONGEST_FOR_OTHERS = 10_000;" },
    RULES.binds,
    TWO_SICK,
  ],
  [
    "a failure that was read is remembered for no longer than it binds",
    {
      file: FLIGHT,
      is: "failureOf(failure!, boundUntil(record, demand) - demand.now)",
      becomes: "failureOf(failure!)",
    },
    RULES.binds,
    TWO_SICK,
  ],
  [
    "a success ends the row of failures",
    {
      file: LEAD,
      is: "withTargetRecord({ ...record, failed: [] }, fingerprint, after)",
      becomes: "withTargetRecord(record, fingerprint, after)",
    },
    RULES.binds,
    SUCCESS_BETWEEN,
  ],
  [
    "those who have failed wait for the pause of the record",
    {
      file: DECISION,
      is: "if (hasFailed || failure?.retryAfter !== undefined)",
      becomes: "if (failure?.retryAfter !== undefined)",
    },
    RULES.together,
    TWO_SICK_ELSEWHERE,
  ],
  [
    "a pause that the server asked for binds everybody",
    { file: DECISION, is: "if (hasFailed || failure?.retryAfter !== undefined)", becomes: "if (hasFailed)" },
    RULES.asked,
    LIMITED,
  ],
  [
    "a lease is given away when the request could not be sent",
    {
      file: LEAD,
      is: "      await this.#lease.release().catch(() => {});\n      throw new Unsent(failure!);",
      becomes: "      throw new Unsent(failure!);",
    },
    RULES.unsent,
    UNSENT,
  ],
  [
    "a lease is given away after 2 s without an answer",
    { file: LEAD, is: "const UNANSWERED = 2000;", becomes: "const UNANSWERED = 4000;" },
    RULES.unanswered,
    SILENT,
  ],
  [
    "a lease is given away at all",
    {
      file: LEAD,
      is: "if (session.isStateful || record.failed.some((each) => each !== session.holder)) return undefined;",
      becomes: "if (record.failed.length >= 0) return undefined;",
    },
    RULES.unanswered,
    SILENT,
  ],
  [
    "only the first holder gives it away",
    { file: LEAD, is: " || record.failed.some((each) => each !== session.holder))", becomes: ")" },
    RULES.keeps,
    SLOW,
  ],
  [
    "its own failures are no reason to keep it",
    { file: LEAD, is: "record.failed.some((each) => each !== session.holder)", becomes: "record.failed.length > 0" },
    RULES.unanswered,
    SILENT_TWICE,
  ],
  [
    "it is given away in the background too",
    {
      file: LEAD,
      is: "const patience = giveAwayUnanswered(leader, lease);",
      becomes: "const patience = need.held === undefined ? giveAwayUnanswered(leader, lease) : undefined;",
    },
    RULES.unanswered,
    SILENT_REFRESH,
  ],
  [
    "what was minted under a lease that is lost is not published",
    {
      file: "fleet/lease.ts",
      is: "const result = await this.#swap(this.#version, next);\n    if (!result.ok) this.#lose();",
      becomes: 'const at = await this.#swap("?", next); const result = await this.#swap(at.current?.version, next);',
    },
    RULES.order,
    PAUSED,
  ],
];

describe("a deliberate fault in the code of a fleet", () => {
  test.each(MUTANTS)("C9: %s", async (_, fault, rule, input) => {
    expect((await runFleet(input)).violations).toEqual([]);
    const { runFleet: runFaulty } = (await withFault(fault, "fleet-world.ts")) as World;
    const { violations } = await runFaulty(input);
    expect(violations.join("\n")).toContain(rule);
  });
});
