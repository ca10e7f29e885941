// What ends up in a user's bundle: nothing that does not belong there, and what each adapter adds to the core.
import { build } from "esbuild";
import { brotliCompressSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const DEPENDENCIES = ["p-retry", "jwt-decode", "oauth4webapi"];

/** Which packages a subpath may import, and which files of ours its bundle may hold. */
const SUBPATHS = [
  {
    name: "remint",
    entry: "index.js",
    imports: DEPENDENCIES,
    forbidden: /^dist\/(adapters|testing|fleet|stores|dpop)\//,
  },
  {
    name: "remint/policy",
    entry: "policy/request-policy.js",
    imports: [],
    forbidden: /^dist\/(adapters|testing|grants|dpop)\//,
  },
  { name: "remint/fetch", entry: "adapters/fetch.js", imports: [], forbidden: /\/(grants|testing|axios|ofetch)/ },
  { name: "remint/ofetch", entry: "adapters/ofetch.js", imports: ["ofetch"], forbidden: /\/(grants|testing|axios)/ },
  {
    name: "remint/axios",
    entry: "adapters/axios/index.js",
    imports: ["axios"],
    forbidden: /\/(grants|testing|o?fetch[^/]*$)/,
  },
  {
    name: "remint/chalk",
    entry: "providers/chalk.js",
    imports: DEPENDENCIES,
    forbidden: /^dist\/(adapters|testing)\//,
  },
  {
    name: "remint/salesforce",
    entry: "providers/salesforce.js",
    imports: DEPENDENCIES,
    forbidden: /^dist\/(adapters|testing)\//,
  },
  {
    name: "remint/fleet",
    entry: "fleet/index.js",
    imports: ["p-retry", "jwt-decode"],
    forbidden: /\/(grants|adapters|testing)\//,
  },
  {
    name: "remint/redis",
    entry: "fleet/redis.js",
    imports: ["p-retry", "jwt-decode", "redis"],
    forbidden: /\/(grants|adapters|testing)\//,
  },
  { name: "remint/dpop", entry: "dpop/index.js", imports: ["dpop"], forbidden: /\/(grants|adapters|testing)\// },
  { name: "remint/node", entry: "node/index.js", imports: ["node:"], forbidden: /\/(grants|adapters|testing)\// },
  { name: "remint/testing", entry: "testing/index.js", imports: ["node:"], forbidden: /\/(grants|adapters)\// },
];
/** Words that must not stand in a bundle, unless its subpath may import them. */
const WORDS = [...DEPENDENCIES, "axios", "ofetch", "redis", "node:"];

/** kB beyond the core (`remint` and `remint/policy`). `design` is what DESIGN section 10 set out with. */
const ADAPTERS = [
  { name: "axios", limit: 2.7, design: 2, also: [] },
  { name: "fetch", limit: 1.5, design: 1.5, also: [] },
  // ofetch is called through the fetch adapter; who has that pays only for the rest.
  { name: "ofetch", limit: 0.5, design: 0.5, also: ["fetch"] },
];

async function bundle(entries) {
  const contents = entries.map((entry) => `export * from "./${entry}";`).join("\n");
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: `${root}dist` },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    external: ["axios", "dpop", "ofetch", ...DEPENDENCIES, "node:*"],
  });
  const [{ inputs, imports }] = Object.values(metafile.outputs);
  const size = brotliCompressSync(outputFiles[0].contents).length;
  return { text: outputFiles[0].text, files: Object.keys(inputs), imports: imports.map(({ path }) => path), size };
}

const problems = [];

for (const { name, entry, imports: allowed, forbidden } of SUBPATHS) {
  const { text, files, imports, size } = await bundle([entry]);
  const may = (word) => allowed.some((start) => word.startsWith(start));
  const found = [
    ...imports.filter((path) => !may(path)).map((path) => `imports ${path}`),
    ...files.filter((file) => forbidden.test(file)).map((file) => `contains ${file}`),
    ...WORDS.filter((word) => !may(word) && withoutAdvice(text).includes(word)).map((word) => `mentions "${word}"`),
  ];
  problems.push(...found.map((problem) => `${name} ${problem}`));
  console.log(
    `${name.padEnd(16)} ${String(files.length - 1).padStart(2)} files, ${kB(size)} kB, imports ${list(imports)}`,
  );
}

const CORE = ["index.js", "policy/request-policy.js"];
const core = await bundle(CORE);
console.log(`\ncore and policy together: ${kB(core.size)} kB, and beyond that`);
for (const { name, limit, design, also } of ADAPTERS) {
  const before = [...CORE, ...also.map((other) => `adapters/${other}.js`)];
  const added = (await bundle([...before, `adapters/${name}.js`])).size - (await bundle(before)).size;
  const beside = also.length === 0 ? "" : `, beside ${list(also)}`;
  console.log(`${name.padEnd(6)} ${kB(added)} kB, at most ${limit} (design: ${design})${beside}`);
  if (added > limit * 1000) problems.push(`remint/${name} adds ${kB(added)} kB to the core, more than ${limit} kB`);
}

for (const problem of problems) console.error(`  x ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** A message may tell users to call redisStore(): that brings nothing of it. */
function withoutAdvice(text) {
  return text.toLowerCase().replaceAll("redisstore(", "");
}

function kB(bytes) {
  return (bytes / 1000).toFixed(2);
}

function list(names) {
  return names.length === 0 ? "nothing" : [...new Set(names)].join(", ");
}
