/**
 * The storm guard's simulation: `npm run sim:guard`.
 *
 * - `--only text`: the scenarios whose names contain the text.
 * - `--seed n`: other random numbers.
 * - `--search n`: n random scenarios in place of the table, and the worst of them. `--seed` is the first.
 * - `--replay n`: one random scenario, as the search names it.
 */
import { parseArgs } from "node:util";
import { SCENARIOS } from "./scenarios.ts";
import { addTo, beyondNeed, randomScenario, type Total } from "./search.ts";
import { simulate, type Outcome, type Scenario } from "./world.ts";

const HEAD = [
  "scenario",
  "requests",
  "token requests / peak per s",
  "needed",
  "401s",
  "avoidable / streams",
  "errors",
  "added wait p50 / p99 ms",
  "recovery ms",
];
const WORST = 8;

function row(scenario: Scenario, outcome: Outcome): string {
  const { requests, mints, peak, needed, surfaced, avoidable, avoidableStreams, errors } = outcome;
  const { waitP50, waitP99, recovery = "-" } = outcome;
  const recovered = recovery === Infinity ? "not yet" : recovery;
  const wait = `${waitP50} / ${waitP99}`;
  const columns = [scenario.name, requests, `${mints} / ${peak}`, needed, surfaced];
  return tableRow([...columns, `${avoidable} / ${avoidableStreams}`, errors, wait, recovered]);
}

function tableRow(columns: readonly unknown[]): string {
  return `| ${columns.join(" | ")} |`;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(0);
}

/** Runs a scenario, and says every second how far it is. */
async function run(scenario: Scenario, seed: number): Promise<Outcome> {
  const began = performance.now();
  let toldAt = began;
  const onTurn = (at: number): void => {
    const now = performance.now();
    if (now - toldAt < 1000) return;
    toldAt = now;
    const virtual = `${seconds(at)} of ${seconds(scenario.until)} virtual seconds`;
    console.error(`  ${scenario.name}: ${virtual} after ${seconds(now - began)} s`);
  };
  return simulate(scenario, { seed, onTurn });
}

async function table(scenarios: readonly Scenario[], seed: number): Promise<void> {
  console.log(`seed ${seed}\n`);
  console.log(tableRow(HEAD));
  console.log(tableRow(HEAD.map(() => "---")));
  for (const scenario of scenarios) console.log(row(scenario, await run(scenario, seed)));
}

async function search(count: number, first: number): Promise<void> {
  const total: Total = {
    scenarios: 0,
    requests: 0,
    mints: 0,
    avoidable: 0,
    beyondNeed: 0,
    mostSends: 0,
  };
  const found: { readonly scenario: Scenario; readonly outcome: Outcome }[] = [];
  let toldAt = performance.now();
  for (let seed = first; seed < first + count; seed++) {
    const scenario = randomScenario(seed);
    const outcome = await run(scenario, seed);
    addTo(total, outcome);
    found.push({ scenario, outcome });
    if (performance.now() - toldAt < 1000) continue;
    toldAt = performance.now();
    console.error(`  ${total.scenarios} of ${count} scenarios`);
  }
  console.log(`seeds ${first} to ${first + count - 1}`, total);
  const worst = (title: string, badness: (outcome: Outcome) => number): void => {
    console.log(`\n${title}\n`);
    const order = found.toSorted((a, b) => badness(b.outcome) - badness(a.outcome));
    console.log(tableRow(HEAD));
    console.log(tableRow(HEAD.map(() => "---")));
    for (const { scenario, outcome } of order.slice(0, WORST)) console.log(row(scenario, outcome));
  };
  worst("Most avoidable 401s for each request", ({ avoidable, requests }) => avoidable / Math.max(100, requests));
  worst("Most token requests beyond need", beyondNeed);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: "string", default: "" },
      seed: { type: "string", default: "1" },
      search: { type: "string" },
      replay: { type: "string" },
    },
  });
  const seed = Number(values.seed);
  if (values.search !== undefined) return search(Number(values.search), seed);
  if (values.replay === undefined)
    return table(
      SCENARIOS.filter(({ name }) => name.includes(values.only)),
      seed,
    );
  const scenario = randomScenario(Number(values.replay));
  console.log(scenario);
  return table([scenario], Number(values.replay));
}

await main();
