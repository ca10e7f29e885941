/**
 * The demo: five things that go wrong with access tokens in production, with and without remint, on a real
 * authorization server and a real API. Exits with 0 only if every number is right.
 *
 * Option: `--record FILE` also writes the numbers to a file. `scripts/two-lanes.ts` draws them.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { recordingOf } from "./recording.ts";
import { announce, complaint, conclude, tabulate } from "./report.ts";
import type { Result, Scenario } from "./scenario.ts";
import { always401 } from "./scenarios/always-401.ts";
import { coldHerd } from "./scenarios/cold-herd.ts";
import { late401 } from "./scenarios/late-401.ts";
import { outage } from "./scenarios/outage.ts";
import { revocation } from "./scenarios/revocation.ts";
import { openStage, type Stage } from "./stage.ts";
import { Terminal, wrapped } from "./terminal.ts";

const SCENARIOS: readonly Scenario[] = [coldHerd, revocation, outage, always401, late401];
const SETTING =
  "Real requests to a certified authorization server (oidc-provider) and to an API that accepts only its live tokens.";
/** Milliseconds. Far more than a scenario needs: it ends a run that hangs. */
const SCENARIO_LIMIT = 60_000;

// It always runs once: `--once` is for those who know `npm start -- --once`.
const { values: options } = parseArgs({ options: { record: { type: "string" }, once: { type: "boolean" } } });

class Interrupted extends Error {}

const terminal = new Terminal(process.stdout);
const interrupted = new Promise<never>((_, reject) => {
  process.once("SIGINT", () => reject(new Interrupted("interrupted")));
});
interrupted.catch(() => {});

terminal.print(
  "",
  `  ${terminal.bold("remint")}: one token cache, shared by axios, ofetch and fetch`,
  ...wrapped(SETTING, "  ", terminal.width).map(terminal.dim),
);
const stage = await openStage();
try {
  process.exitCode = await play(stage);
} catch (error) {
  if (!(error instanceof Interrupted)) throw error;
  terminal.print("", "  Stopped.");
  process.exitCode = 130;
} finally {
  terminal.clear();
  await stage.close();
}

/** Runs every scenario on one stage, with one cache. Resolves to the exit code. */
async function play(on: Stage): Promise<number> {
  const results: Result[] = [];
  const complaints: string[] = [];
  const start = performance.now();
  for (const [at, scenario] of SCENARIOS.entries()) {
    announce(terminal, at + 1, scenario);
    const progress = (done: number, total: number): void => {
      terminal.show(`     … ${done.toLocaleString("en")} of ${total.toLocaleString("en")}`);
    };
    const result = await Promise.race([scenario.run(on, progress), interrupted, limit(scenario)]);
    conclude(terminal, result);
    results.push(result);
    for (const check of result.checks) {
      if (!check.passed) complaints.push(`${scenario.title}: ${complaint(check)}`);
    }
  }
  const rows = results.flatMap((result) => result.rows);
  tabulate(terminal, rows);
  if (options.record !== undefined) writeFileSync(options.record, `${JSON.stringify(recordingOf(rows), null, 2)}\n`);
  if (complaints.length > 0) {
    terminal.print(...complaints.map((line) => `  ${terminal.red("✗")} ${line}`), "");
    return 1;
  }
  const checks = results.reduce((sum, result) => sum + result.checks.length, 0);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  terminal.print(`  ${terminal.green("✓")} All ${checks} numbers are right (${seconds} s).`, "");
  return 0;
}

function limit({ title }: Scenario): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${title}: not finished after ${SCENARIO_LIMIT} ms`)), SCENARIO_LIMIT).unref();
  });
}
