// npm run bench: measures the claims of docs/numbers.md about performance against their budgets. Exits with 1 when a budget is
// missed. Ratios are medians of this run. Nanoseconds are those of the best round, because on a shared machine the
// other rounds measure the load of other programs too.
// `--svg` or `--svg FILE.svg` also draws the values beside their budgets; the file is bench/results.svg unless it is named. Names of
// benches run only those; `--help` lists them.
import { writeFileSync } from "node:fs";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { drawBudgets, isMet } from "./budget-bars.mjs";
import * as guard from "./guard.mjs";
import * as herd from "./herd.mjs";
import * as loopback from "./loopback.mjs";
import { spread } from "./measure.mjs";
import * as otel from "./otel.mjs";
import * as proxy from "./proxy.mjs";
import * as redaction from "./redaction.mjs";
import * as revocation from "./revocation.mjs";
import * as warmAxios from "./warm-axios.mjs";
import * as warmFetch from "./warm-fetch.mjs";

const claims = {
  "warm-axios": warmAxios,
  "warm-fetch": warmFetch,
  otel,
  guard,
  loopback,
  herd,
  proxy,
  revocation,
  redaction,
};
const args = process.argv.slice(2);
if (args.includes("--help")) {
  console.log("npm run bench -- [name ...] [--svg [FILE.svg]]\n\nWithout a name all benches run:");
  for (const [name, { title }] of Object.entries(claims)) console.log(`  ${name.padEnd(12)} ${title}`);
  process.exit(0);
}
const isDrawn = args.includes("--svg");
const isFile = (name) => isDrawn && name.endsWith(".svg");
const file = args.find(isFile) ?? fileURLToPath(new URL("results.svg", import.meta.url));
const wanted = args.filter((name) => name !== "--svg" && !isFile(name));
const unknown = wanted.filter((name) => !(name in claims));
if (unknown.length > 0) {
  console.error(`No such bench: ${unknown.join(", ")}. There are: ${Object.keys(claims).join(", ")}`);
  process.exit(2);
}

const setting = `Node ${process.versions.node}, ${os.cpus().length} cores, load ${os.loadavg()[0].toFixed(1)}`;
console.log(setting);
let missed = 0;
const benches = [];
for (const [name, bench] of Object.entries(claims)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n${bench.title}`);
  const { result = {}, lines = [], budgets } = await bench.run(progress);
  for (const [subject, { ns, ratio }] of Object.entries(result)) {
    console.log(`  ${subject.padEnd(24)} ${spread(ns, 0).padStart(20)} ns   ${spread(ratio, 2).padStart(20)} x`);
  }
  for (const line of lines) console.log(`  ${line}`);
  for (const budget of budgets) missed += judge(budget) ? 0 : 1;
  benches.push({ title: bench.title, budgets });
}
if (isDrawn) writeFileSync(file, drawBudgets(benches, setting));
console.log(missed === 0 ? "\nEvery budget was met." : `\n${missed} budget(s) were missed.`);
process.exitCode = missed === 0 ? 0 : 1;

function judge(budget) {
  const { what, measured, value = measured.median, limit, unit, digits = 0 } = budget;
  const met = isMet(budget);
  const shown = measured === undefined ? value.toFixed(digits) : spread(measured, digits);
  console.log(
    `  ${met ? "met   " : "MISSED"} ${what}: ${shown} ${unit} (budget ${limit} ${unit})`.replaceAll(" )", ")"),
  );
  return met;
}

function progress(done, all) {
  if (!process.stderr.isTTY) return;
  process.stderr.write(done === all ? "\r\x1b[K" : `\r  round ${done} of ${all}`);
}
