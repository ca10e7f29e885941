// What ends up in a user's bundle: nothing that does not belong there, and what each adapter adds to the core.
import { build } from "esbuild";
import { brotliCompressSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { DEPENDENCIES, PEERS, SUBPATHS } from "./subpaths.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Words that must not stand in a bundle, unless its subpath may import them. */
const WORDS = [...DEPENDENCIES, "axios", "ofetch", "redis", "node:"];

/** The kB that an adapter may add to the core (`remint` and `remint/policy`). */
const ADAPTERS = [
  { name: "remint/axios", limit: 5.7, beside: [] },
  { name: "remint/fetch", limit: 3.5, beside: [] },
  // ofetch is called through the fetch adapter: a user who has that pays only for the rest.
  { name: "remint/ofetch", limit: 0.5, beside: ["remint/fetch"] },
  { name: "remint/undici", limit: 4.7, beside: [] },
];

/** What a page loads, packages included: names by subpath. */
const PAGES = [
  {
    what: "a function as grant, fetch",
    limit: 30.5,
    uses: { remint: "createTokenCache", "remint/fetch": "createAuthFetch" },
  },
  {
    what: "a function as grant, axios",
    limit: 32.8,
    uses: { remint: "createTokenCache", "remint/axios": "createAuthInterceptor" },
  },
  {
    what: "refreshEndpoint, fetch",
    limit: 31.4,
    uses: { remint: "createTokenCache", "remint/browser": "refreshEndpoint", "remint/fetch": "createAuthFetch" },
  },
  {
    what: "refreshEndpoint, tabStore, fetch",
    limit: 46.1,
    uses: {
      remint: "createTokenCache",
      "remint/browser": "refreshEndpoint, tabStore",
      "remint/fetch": "createAuthFetch",
    },
  },
];

const bundle = (modules) => bundleOf(modules.map((module) => `export * from "./${module}";`));

async function bundleOf(lines, external = DEPENDENCIES) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: lines.join("\n"), resolveDir: root },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    external: [...PEERS, ...external, "node:*"],
  });
  const [{ inputs, imports }] = Object.values(metafile.outputs);
  const size = brotliCompressSync(outputFiles[0].contents).length;
  return { text: outputFiles[0].text, files: Object.keys(inputs), imports: imports.map(({ path }) => path), size };
}

const problems = [];

for (const { name, module, packages, without } of SUBPATHS) {
  const { text, files, imports, size } = await bundle([module]);
  const may = (word) => packages.some((start) => word.startsWith(start));
  const excluded = without.map((place) => `dist/${place.replace(/\.ts$/, ".js")}`);
  const found = [
    ...imports.filter((path) => !may(path)).map((path) => `imports ${path}`),
    ...files.filter((file) => excluded.some((place) => file.startsWith(place))).map((file) => `contains ${file}`),
    ...WORDS.filter((word) => !may(word) && withoutNames(text).includes(word)).map((word) => `mentions "${word}"`),
  ];
  problems.push(...found.map((problem) => `${name} ${problem}`));
  console.log(
    `${name.padEnd(17)} ${String(files.length - 1).padStart(2)} files, ${kB(size)} kB, imports ${list(imports)}`,
  );
}

const modulesOf = (names) => SUBPATHS.filter(({ name }) => names.includes(name)).map(({ module }) => module);
const CORE = ["remint", "remint/policy"];
const core = await bundle(modulesOf(CORE));
console.log(`\ncore and policy together: ${kB(core.size)} kB, and beyond that`);
for (const { name, limit, beside } of ADAPTERS) {
  const before = await bundle(modulesOf([...CORE, ...beside]));
  const after = await bundle(modulesOf([...CORE, ...beside, name]));
  const added = after.size - before.size;
  const also = beside.length === 0 ? "" : `, beside ${list(beside)}`;
  console.log(`${name.padEnd(14)} ${kB(added)} kB, at most ${limit}${also}`);
  if (added > limit * 1000) problems.push(`${name} adds ${kB(added)} kB to the core, more than ${limit} kB`);
}

console.log("\nwhat a page loads, packages included, without the client itself");
for (const { what, limit, uses } of PAGES) {
  const lines = Object.entries(uses).map(([name, names]) => `export { ${names} } from "./${modulesOf([name])[0]}";`);
  const { size } = await bundleOf(lines, []);
  console.log(`${what.padEnd(33)} ${kB(size)} kB, at most ${limit}`);
  if (size > limit * 1000) problems.push(`a page with ${what} loads ${kB(size)} kB, more than ${limit} kB`);
}

for (const problem of problems) console.error(`  x ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;

/**
 * A message may tell users to call redisStore(), or to import another adapter, and the errors of HTTP clients are recognized by
 * their name: that brings nothing of either.
 */
function withoutNames(text) {
  const names = ["redisstore(", '"axioserror"', 'for axios, import createauthinterceptor from "remint/axios"'];
  return names.reduce((rest, name) => rest.replaceAll(name, ""), text.toLowerCase());
}

function kB(bytes) {
  return (bytes / 1000).toFixed(2);
}

function list(names) {
  return names.length === 0 ? "nothing" : [...new Set(names)].join(", ");
}
