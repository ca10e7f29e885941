// node bench/fleet-sim.mjs [processes ...] [--throughput commands/s] [--seed n], after `npm run build`
//
// Simulates the load on a Redis: fleets of 10 to 10,000 processes on virtual time, with the built package. The network
// and the server are simulated (bench/fleet-sim/engine.mjs), so the results do not depend on this machine. Exits 1 when
// a fleet minted more often than it should, or when a process could not use the store.
//
// The scenarios are in bench/fleet-sim/scenarios.mjs. bench/fleet.mjs measures real processes.
import { parseArgs } from "node:util";
import { brokenBy, scenarios, simulate } from "./fleet-sim/scenarios.mjs";
import { SLOT } from "./fleet-sim/engine.mjs";

/** The results of small fleets vary more, so small fleets get more rounds. */
const PROCESSES_IN_ALL = 2000;
const MOST_ROUNDS = 20;
const CHART_WIDTH = 80;
const BARS = " ▁▂▃▄▅▆▇█";

const { sizes, throughput, seed } = options();
console.log(`One engine that serves ${number(throughput)} commands a second; medians of the rounds, the worst wait.\n`);
let broken = 0;
for (const name of Object.keys(scenarios)) {
  console.log(name);
  console.log(row("processes", "rounds", "mints", "commands", "each", "peak/s", "wait", "half", "all", "served"));
  let last;
  for (const size of sizes) {
    const outcomes = await rounds(name, size);
    last = outcomes[0];
    print(size, outcomes);
    for (const complaint of new Set(outcomes.flatMap((outcome) => brokenBy(name, outcome)))) {
      broken++;
      console.log(`  BROKEN: ${complaint}`);
    }
  }
  console.log(`${chart(last.slots)}\n`);
}
console.log(`each    commands per process
peak/s  commands a second that reach the engine in the busiest 100 ms
wait    the longest time in ms that a command waits for earlier commands; processes give up at 500
half    ms from the publication of the token until half of the processes have it
all     ms from the publication of the token until all processes have it
served  ms from the beginning until the last process has the token`);
console.log(broken === 0 ? "\nEvery fleet minted as often as it should." : `\n${broken} invariant(s) were broken.`);
process.exitCode = broken === 0 ? 0 : 1;

async function rounds(name, size) {
  const count = Math.max(1, Math.min(MOST_ROUNDS, Math.floor(PROCESSES_IN_ALL / size)));
  const outcomes = [];
  for (let round = 0; round < count; round++) {
    outcomes.push(await simulate(name, { size, throughput, seed: seed + round }));
  }
  return outcomes;
}

function print(size, outcomes) {
  const all = (key) => outcomes.map((outcome) => outcome[key]).toSorted((a, b) => a - b);
  const median = (key) => all(key)[Math.floor(outcomes.length / 2)];
  const most = (key) => all(key).at(-1);
  const cells = [size, outcomes.length, most("mints"), median("commands")].map(number);
  cells.push(median("perProcess").toFixed(1), number(median("peak")));
  for (const value of [most("longestWait"), median("halfLate"), median("lastLate"), median("lastServed")]) {
    cells.push(number(Math.round(value)));
  }
  console.log(row(...cells));
}

function row(...cells) {
  return `  ${cells.map((cell) => cell.padStart(9)).join("")}`;
}

/** Draws the commands over time of the largest fleet. */
function chart(slots) {
  const each = Math.max(1, Math.ceil(slots.length / CHART_WIDTH));
  const sums = [];
  for (let at = 0; at < slots.length; at += each) sums.push(slots.slice(at, at + each).reduce((a, b) => a + b, 0));
  const most = Math.max(...sums);
  // Rounded up, so that a column with few commands is not empty.
  const bars = sums.map((sum) => BARS[Math.ceil((sum / most) * (BARS.length - 1))]).join("");
  return `  |${bars}|  a column is ${each * SLOT} ms, the highest ${number(most)} commands`;
}

function number(value) {
  return value.toLocaleString("en");
}

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { throughput: { type: "string", default: "50000" }, seed: { type: "string", default: "1" } },
  });
  const wanted = positionals.length > 0 ? positionals.map(Number) : [10, 100, 1000, 10_000];
  const numbers = [...wanted, Number(values.throughput), Number(values.seed)];
  if (!numbers.every((value) => Number.isSafeInteger(value) && value > 0)) {
    console.error("processes, --throughput and --seed are positive whole numbers");
    process.exit(2);
  }
  return { sizes: wanted, throughput: Number(values.throughput), seed: Number(values.seed) };
}
