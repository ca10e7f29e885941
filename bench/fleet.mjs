// node bench/fleet.mjs [--quick] [scenario ...]
//
// Measures what a fleet of real processes costs its token endpoint, its API and its Redis, in normal operation and when
// parts of it fail. Needs `npm run build` and a redis-server on the PATH. A scenario is any part of a title. There are
// 16 processes with 200 callers each, and the results are medians over 4 rounds. With --quick or REMINT_BENCH=quick
// there are 4 processes and 1 round. Exits 1 when a row misses its claim.
//
// The scenarios are in bench/fleet/. bench/fleet-sim.mjs simulates fleets that are larger than one machine can run.
import os from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { tsImport } from "tsx/esm/api";
import * as everyday from "./fleet/everyday.mjs";
import * as faults from "./fleet/faults.mjs";
import * as holders from "./fleet/holders.mjs";
import { print, rowOf } from "./fleet/rows.mjs";
import * as sick from "./fleet/sick.mjs";

const LIMIT = 600_000;

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
// tsconfig.dist.json has no paths, so `remint` is the built package, here and in the processes of the fleet.
process.env.TSX_TSCONFIG_PATH = "tsconfig.dist.json";

// The fleet, its servers and its Redis are the same as in the tests.
const parts = (name) => tsImport(`../test/fleet/redis/${name}.ts`, import.meta.url);
const [{ Stage }, { redisAvailable }, bad] = await Promise.all(
  ["fleet-stage", "redis-server", "fleet-faults"].map(parts),
);

const wanted = process.argv.slice(2).filter((argument) => argument !== "--quick");
const quick = process.argv.includes("--quick") || process.env.REMINT_BENCH === "quick";
const size = quick ? 4 : 16;
const callers = 200;
const rounds = quick ? 1 : 4;

const scenarios = [
  ...everyday.scenarios({ quick }),
  ...holders.scenarios(),
  ...sick.scenarios(),
  ...faults.scenarios(bad),
];
if (process.argv.includes("--help")) {
  console.log("npm run bench:fleet -- [--quick] [part of a title ...]\n\nWithout a title all scenarios run:");
  for (const { title } of scenarios) console.log(`  ${title}`);
  process.exit(0);
}
const chosen = scenarios.filter(({ title }) => wanted.length === 0 || wanted.some((part) => title.includes(part)));
if (chosen.length === 0) {
  console.error(`No such scenario. There are: ${scenarios.map(({ title }) => title).join(", ")}`);
  process.exit(2);
}
if (!redisAvailable()) process.exit(2);

console.log(`Node ${process.versions.node}, ${os.cpus().length} cores, load ${os.loadavg()[0].toFixed(1)}`);
console.log(`${size} processes, ${callers} callers each; ioredis 6, ioredis 5, redis 6 and redis 5 in turn`);
const since = performance.now();
const late = setTimeout(() => giveUp(`not done after ${LIMIT / 1000} s`), LIMIT);
const stage = await Stage.start(size, callers);
try {
  const rows = [];
  for (const scenario of chosen) rows.push(await rowOf(scenario, { stage, rounds: scenario.rounds ?? rounds }));
  const missed = print(rows);
  console.log(`${((performance.now() - since) / 1000).toFixed(0)} s, load ${os.loadavg()[0].toFixed(1)}`);
  console.log(missed === 0 ? "Every claim was met." : `${missed} row(s) missed their claim.`);
  process.exitCode = missed === 0 ? 0 : 1;
} finally {
  clearTimeout(late);
  await stage[Symbol.asyncDispose]();
}

function giveUp(why) {
  console.error(why);
  process.exitCode = 1;
  stage[Symbol.asyncDispose]().finally(() => process.exit());
}
