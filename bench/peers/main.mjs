// npm run peers: what users would pick instead of this package, in one rig, beside this package. Prints Markdown, or JSON with --json.
// Names choose peers: `npm run peers -- "remint, fetch"`. It ends after three minutes, whether or not the machine was fast enough for
// all; with --no-limit it goes on. Exits with 1 when the rows of remint are not those of docs/numbers.md.
// Every peer has a process of its own, because some of them keep state that is global, and one that hangs can be ended.
import { fork } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import { PEERS } from "./clients.mjs";
import { overhead } from "./overhead.mjs";
import { measure } from "./rig.mjs";
import { cellsOf, differences, markdown } from "./table.mjs";

/** How many peers are tried at a time. What is measured in time has the machine to itself. */
const AT_ONCE = 2;
/** Milliseconds that a peer has, and after which all have to be done, so that the command ends on a busy machine too. */
const LIMITS = { peer: 90_000, all: 150_000 };
/** The argument of the processes that this one starts. */
const ONE_PEER = "--one-peer";

if (process.argv[2] === ONE_PEER) {
  process.once("message", (work) => void child(work));
  process.once("disconnect", () => process.exit());
} else await command(process.argv.slice(2));

async function command(args) {
  const names = args.filter((arg) => arg !== "--json" && arg !== "--no-limit");
  const unknown = names.filter((name) => !PEERS.some((peer) => peer.name === name));
  if (unknown.length > 0) {
    console.error(`No such peer: ${unknown.join(", ")}. There are:\n  ${PEERS.map(({ name }) => name).join("\n  ")}`);
    process.exitCode = 2;
    return;
  }
  const wanted = PEERS.filter(({ name }) => names.length === 0 || names.includes(name));
  const peers = wanted.filter((peer) => peer.packages.every((name) => versionOf(name) !== undefined));
  const missing = wanted.filter((peer) => !peers.includes(peer)).map(({ name }) => name);
  const steps = 2 * peers.length;
  let done = 0;
  const told = async (name, what, work) => {
    const began = Date.now();
    const result = await work;
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    console.error(`${String(++done).padStart(2)} of ${steps}: ${name}, ${what}, ${seconds} s${result.failed ?? ""}`);
    return result;
  };

  const start = Date.now();
  const left = () =>
    args.includes("--no-limit") ? LIMITS.peer : Math.min(LIMITS.peer, start + LIMITS.all - Date.now());
  const results = new Map();
  const queue = [...peers];
  const worker = async () => {
    for (let peer = queue.shift(); peer !== undefined; peer = queue.shift()) {
      const work = left() > 0 ? inProcess({ name: peer.name }, left()) : { failed: ": there was no time left" };
      results.set(peer, await told(peer.name, "behaviour", work));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const api = await startPlainApi();
  for (const peer of peers) {
    if (left() <= 0) break;
    const work = inProcess({ name: peer.name, origin: api.origin }, left());
    const { ratio } = await told(peer.name, "time", work);
    Object.assign(results.get(peer), { ratio });
  }
  await api.close();
  print({ peers, results, missing, json: args.includes("--json") });
}

/** Runs one peer in a process of its own. Resolves to what it tells, or to why it tells nothing. */
function inProcess(work, limit) {
  const peer = fork(new URL(import.meta.url), [ONE_PEER], { stdio: ["ignore", "ignore", "ignore", "ipc"] });
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve({ failed: `: it was ended after ${Math.round(limit / 1000)} s` });
      peer.kill("SIGKILL");
    }, limit);
    peer.once("message", (result) => (resolve(result), peer.kill("SIGKILL")));
    peer.once("error", (error) => resolve({ failed: `: ${error.message}` }));
    peer.once("exit", (code) => (clearTimeout(timer), resolve({ failed: `: ended with ${code ?? "a signal"}` })));
    peer.send(work);
  });
}

async function child({ name, origin }) {
  const peer = PEERS.find((each) => each.name === name);
  try {
    const result =
      origin === undefined ? { outcomes: await measure(peer.create) } : { ratio: await overhead(peer, origin) };
    process.send(result);
  } catch (error) {
    process.send({ failed: `: ${error.stack}` });
  }
}

function print({ peers, results, missing, json }) {
  const rows = [];
  const failed = [];
  for (const peer of peers) {
    const { outcomes, ratio, failed: why } = results.get(peer);
    if (outcomes === undefined) failed.push(`${peer.name} was not measured${why}`);
    else rows.push({ name: peer.name, cells: cellsOf(peer.claims, { ...outcomes, overhead: ratio }) });
  }
  const own = rows.filter(({ name }) => name.startsWith("remint"));
  const page = readFileSync(new URL("../../docs/numbers.md", import.meta.url), "utf8");
  const wrong = [...differences(own, page), ...[...failed, ...missing].filter((line) => line.startsWith("remint"))];
  const machine = { node: process.versions.node, cores: os.cpus().length, date: new Date().toISOString().slice(0, 10) };
  if (json) {
    const measured = peers.map((peer) => {
      const { name, packages, claims, note } = peer;
      const { outcomes, ratio } = results.get(peer);
      const { cells } = rows.find((row) => row.name === name) ?? {};
      return { name, versions: versionsOf(packages), claims, note, cells, outcomes, overhead: ratio };
    });
    console.log(JSON.stringify({ ...machine, peers: measured, failed, missing, wrong }, null, 2));
  } else {
    console.log(`Node ${machine.node}, ${machine.cores} cores, ${machine.date}\n`);
    console.log(markdown(rows));
    for (const { name, packages, note } of peers) {
      const versions = Object.entries(versionsOf(packages)).map((entry) => entry.join(" "));
      console.log(`- ${name} (${versions.join(", ")}). ${note}`);
    }
    for (const name of missing) console.log(`- ${name}: does not install here, and was not measured.`);
    for (const line of failed) console.log(`- ${line}`);
    if ([...results.values()].some(({ outcomes, ratio }) => outcomes !== undefined && ratio === undefined)) {
      console.log("- Where the time is not measured, the machine was too busy to measure it.");
    }
  }
  for (const line of wrong) console.error(`Wrong: ${line}`);
  if (wrong.length === 0) console.error("\nThe rows of remint are what docs/numbers.md says.");
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

function versionOf(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
}

function versionsOf(packages) {
  return Object.fromEntries(packages.map((name) => [name, versionOf(name)]));
}

/** Starts the API for overhead.mjs. It answers 401 to `/401` without a token. */
async function startPlainApi() {
  const server = http.createServer(({ url, headers }, response) => {
    const isKnown = /^Bearer (?!null$)./.test(headers.authorization ?? "");
    response.writeHead(url === "/401" && !isKnown ? 401 : 200, { "content-type": "application/json" });
    response.end("{}");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return { origin: `http://127.0.0.1:${server.address().port}`, close };
}
