// node bench/trip.mjs [--root DIR] [--files], after `npm run build` in DIR (by default this checkout)
//
// Counts which files and functions of the library one request runs through (V8's precise coverage of the built code),
// how the sources import each other, and the public names. Nothing depends on time or on the names of files, so two
// checkouts with different layouts can be compared. --files lists what was counted.
import { existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import http from "node:http";
import { Session } from "node:inspector/promises";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import axios from "axios";
import ts from "typescript";
import { quartiles } from "./measure.mjs";

const WARM_UPS = 3;
/** Milliseconds to wait for background work of a request. */
const SETTLE = 20;

const { root, files: listed } = options();
const entries = entriesOf(root);
// Before the library is loaded, so that V8 counts every function from its first call.
const coverage = await startCoverage();
const [{ createTokenCache, customGrant }, { createAuthInterceptor }, { createAuthFetch }] = await Promise.all(
  [".", "./axios", "./fetch"].map((subpath) => load(subpath)),
);

console.log("One request\n");
printTrips([
  await trip("axios, warm", axiosGet, false),
  await trip("axios, 401 and renewed", axiosGet, true),
  await trip("fetch, warm", fetchGet, false),
  await trip("fetch, 401 and renewed", fetchGet, true),
]);
console.log("\nThe sources\n");
printStructure(structureOf(path.join(root, "src")));
console.log("\nPublic names\n");
printNames(publicNames());

/** Returns the functions that one call of this kind runs through. A few calls before it are not counted. */
async function trip(title, clientOf, renewed) {
  const stage = await startStage();
  const get = clientOf(stage.tokens);
  try {
    for (let i = 0; i < WARM_UPS; i++) await checkedCall(stage, get, renewed);
    await sleep(SETTLE);
    // Taking the counts resets them to zero.
    await takeFunctions();
    await checkedCall(stage, get, renewed);
    await sleep(SETTLE);
    return { title, functions: await takeFunctions() };
  } finally {
    await stage.close();
  }
}

/** Sends one request, and checks that it took the expected way: otherwise something else would be measured. */
async function checkedCall({ api, grant, url }, get, renewed) {
  const before = { requests: api.requests, mints: grant.mints };
  if (renewed) api.oldest = grant.mints + 1;
  const status = await get(url);
  const requests = api.requests - before.requests;
  const mints = grant.mints - before.mints;
  if (status !== 200 || requests !== (renewed ? 2 : 1) || mints !== (renewed ? 1 : 0)) {
    throw new Error(`status ${status} after ${requests} request(s) and ${mints} mint(s): not the call to be measured`);
  }
}

function axiosGet(tokens) {
  const client = axios.create();
  // Named, because another checkout has its own copy of axios, and a foreign copy would run extra code.
  client.interceptors.request.use(createAuthInterceptor(tokens, { axios }));
  return async (url) => (await client.get(url)).status;
}

function fetchGet(tokens) {
  const authFetch = createAuthFetch(tokens);
  return async (url) => {
    const response = await authFetch(url);
    await response.text();
    return response.status;
  };
}

/** Starts an API on loopback that rejects tokens older than `oldest`, and creates a cache with a token. */
async function startStage() {
  const grant = { mints: 0 };
  const api = { requests: 0, oldest: 1 };
  const server = http.createServer((request, response) => {
    api.requests++;
    const number = Number(/^Bearer token-(\d+)$/.exec(request.headers.authorization)?.[1]);
    response.writeHead(number >= api.oldest ? 200 : 401).end("ok");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const mint = async () => ({ access_token: `token-${++grant.mints}`, token_type: "Bearer", expires_in: 3600 });
  const tokens = createTokenCache({ grant: customGrant({ mint }), origins: [origin] });
  await tokens.get();
  const close = async () => {
    await tokens.close();
    await new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
  };
  return { api, grant, tokens, url: `${origin}/orders`, close };
}

async function startCoverage() {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  // Without `detailed` V8 counts an async function again after each `await`.
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  return session;
}

/** Returns the functions of dist/ that ran since the counts were last taken. */
async function takeFunctions() {
  const { result } = await coverage.post("Profiler.takePreciseCoverage");
  const dist = pathToFileURL(path.join(root, "dist") + path.sep).href;
  return result.filter(({ url }) => url.startsWith(dist)).flatMap(ranFunctions);
}

function ranFunctions({ url, functions }) {
  const file = fileURLToPath(url);
  const text = readFileSync(file, "utf8");
  return functions.filter(isWritten).map(({ functionName, ranges: [{ startOffset, endOffset, count }] }) => ({
    file: path.relative(root, file),
    name: functionName || "(anonymous)",
    line: newlines(text.slice(0, startOffset)) + 1,
    lines: newlines(text.slice(startOffset, endOffset)) + 1,
    calls: count,
  }));
}

/**
 * Whether a function ran and is written in the source. V8 also reports `<instance_members_initializer>`, with all lines
 * of a class.
 */
function isWritten({ functionName, ranges: [{ count }] }) {
  return count > 0 && !functionName.startsWith("<");
}

function printTrips(trips) {
  row("case", "files", "functions", "calls", "median lines");
  for (const { title, functions } of trips) {
    const calls = functions.reduce((sum, one) => sum + one.calls, 0);
    const { median } = quartiles(functions.map(({ lines }) => lines));
    row(title, byFile(functions).size, functions.length, calls, median);
  }
  if (listed) trips.forEach(printFunctions);
}

function printFunctions({ title, functions }) {
  console.log(`\n  ${title}`);
  for (const [file, ran] of byFile(functions)) {
    console.log(`    ${file}`);
    for (const { name, line, lines, calls } of ran) {
      console.log(`      ${`${line}`.padStart(4)} ${name}: ${calls} call(s), ${lines} line(s)`);
    }
  }
}

function byFile(functions) {
  const files = new Map();
  for (const one of functions.toSorted((a, b) => a.line - b.line)) {
    files.set(one.file, [...(files.get(one.file) ?? []), one]);
  }
  return new Map([...files].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Returns the files below a folder and their imports, types included: a reader has to know those as well. */
function structureOf(folder) {
  const found = readdirSync(folder, { recursive: true }).map((name) => path.join(folder, name));
  const texts = new Map(
    found.filter((file) => /\.[cm]?ts$/.test(file)).map((file) => [file, readFileSync(file, "utf8")]),
  );
  const imports = new Map([...texts].map(([file, text]) => [file, importsOf(file, text, texts)]));
  const groups = groupsOf(imports);
  return {
    files: texts.size,
    lines: [...texts.values()].reduce((sum, text) => sum + newlines(text), 0),
    arrows: [...imports.values()].reduce((sum, targets) => sum + targets.size, 0),
    chain: longestChain(imports, groups),
    circles: [...new Set(groups.values())].filter((group) => group.size > 1),
  };
}

/** The source behind a specifier: of a CommonJS module there are declarations only. */
function sourceOfSpecifier(specifier) {
  return specifier.replace(/\.js$/, ".ts").replace(/\.cjs$/, ".d.cts");
}

/**
 * Returns the files that a file imports: by import and export declarations, `import()` and `typeof import()`. Packages
 * are left out.
 */
function importsOf(file, text, texts) {
  const specifiers = ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName);
  const relative = specifiers.filter((specifier) => specifier.startsWith("."));
  const targets = relative.map((specifier) => path.join(path.dirname(file), sourceOfSpecifier(specifier)));
  const lost = targets.find((target) => !texts.has(target));
  if (lost !== undefined) throw new Error(`${file} imports ${lost}, which does not exist`);
  return new Set(targets);
}

/**
 * Returns each file's circle of imports: the file itself, and those that import it and are imported by it, also through
 * others.
 */
function groupsOf(imports) {
  const reached = new Map([...imports.keys()].map((file) => [file, reachedFrom(file, imports)]));
  const groups = new Map();
  for (const [file, targets] of reached) {
    if (groups.has(file)) continue;
    const members = [...targets].filter((target) => reached.get(target).has(file));
    const group = new Set([file, ...members]);
    for (const member of group) groups.set(member, group);
  }
  return groups;
}

function reachedFrom(file, imports, reached = new Set()) {
  for (const target of imports.get(file)) {
    if (reached.has(target)) continue;
    reached.add(target);
    reachedFrom(target, imports, reached);
  }
  return reached;
}

/** Returns the longest chain of imports, with one file of each circle. */
function longestChain(imports, groups) {
  const chains = new Map();
  const chainFrom = (group) => {
    if (!chains.has(group)) chains.set(group, [[...group][0], ...longest(below(group).map(chainFrom))]);
    return chains.get(group);
  };
  const below = (group) => {
    const targets = [...group].flatMap((file) => [...imports.get(file)]);
    return [...new Set(targets.map((target) => groups.get(target)))].filter((other) => other !== group);
  };
  return longest([...groups.values()].map(chainFrom));
}

function longest(lists) {
  return lists.reduce((best, list) => (list.length > best.length ? list : best), []);
}

function printStructure({ files, lines, arrows, chain, circles }) {
  const summary = { files, lines, floors: chain.length, arrows, circles: circles.length };
  for (const [what, count] of Object.entries(summary)) row(what, count);
  for (const circle of circles) console.log(`  circle: ${inRoot([...circle]).join(", ")}`);
  if (listed) console.log(`\n  the longest chain\n    ${inRoot(chain).join("\n    ")}`);
}

function inRoot(files) {
  return files.map((file) => path.relative(root, file));
}

/** Returns the names that each subpath exports, as the type checker sees them. */
function publicNames() {
  const sources = [...entries.values()].map(sourceOf);
  const program = ts.createProgram(sources, compilerOptions());
  const checker = program.getTypeChecker();
  return [...entries.keys()].map((subpath, i) => {
    const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(sources[i])));
    const values = symbols.filter((symbol) => isValue(symbol, checker)).map(({ name }) => name);
    const types = symbols.map(({ name }) => name).filter((name) => !values.includes(name));
    return { subpath, values, types };
  });
}

function compilerOptions() {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: fail };
  return ts.getParsedCommandLineOfConfigFile(path.join(root, "tsconfig.json"), {}, host).options;
}

function fail({ messageText }) {
  throw new Error(ts.flattenDiagnosticMessageText(messageText, "\n"));
}

/** Whether an export exists at run time. A class does, unless only its type is exported. */
function isValue(symbol, checker) {
  if (symbol.declarations?.some(ts.isTypeOnlyExportDeclaration)) return false;
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return (target.flags & ts.SymbolFlags.Value) !== 0;
}

function printNames(subpaths) {
  row("subpath", "values", "types");
  for (const { subpath, values, types } of subpaths) {
    row(path.posix.join("remint", subpath), values.length, types.length);
    if (listed) console.log(`    ${[...values, ...types].join(", ")}`);
  }
  const distinct = (kind) => new Set(subpaths.flatMap((subpath) => subpath[kind])).size;
  row("distinct names", distinct("values"), distinct("types"));
}

/** Subpath -> published file, of package.json. */
function entriesOf(folder) {
  const { exports } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
  const code = Object.entries(exports).filter(([, target]) => target.default !== undefined);
  return new Map(code.map(([subpath, target]) => [subpath, path.join(folder, target.default)]));
}

/** dist/x.js -> src/x.ts */
function sourceOf(published) {
  const inside = path.relative(path.join(root, "dist"), published);
  return path.join(root, "src", inside.replace(/js$/, "ts"));
}

function load(subpath) {
  const file = entries.get(subpath);
  if (file === undefined) throw new Error(`package.json of ${root} has no subpath ${subpath}`);
  return import(pathToFileURL(file).href);
}

function newlines(text) {
  return text.split("\n").length - 1;
}

function row(title, ...cells) {
  console.log(`  ${title.padEnd(24)}${cells.map((cell) => `${cell}`.padStart(14)).join("")}`);
}

function options() {
  const { values } = parseArgs({
    options: {
      root: { type: "string", default: fileURLToPath(new URL("..", import.meta.url)) },
      files: { type: "boolean", default: false },
    },
  });
  if (!existsSync(path.join(values.root, "dist"))) {
    console.error(`${values.root} has no dist/: run \`npm run build\` there`);
    process.exit(2);
  }
  // V8 names a file by its real path.
  return { ...values, root: realpathSync(values.root) };
}
