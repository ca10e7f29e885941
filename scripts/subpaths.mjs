// The one list of the package's subpaths. Everything that has to know them reads it here: vitest, typedoc, size-limit, the
// bundle report and the tests. `node scripts/subpaths.mjs` writes it into package.json (`exports`) and tsconfig.json
// (`paths`), which cannot read it; a test says when that was forgotten.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The packages that come with remint. */
export const DEPENDENCIES = ["jwt-decode", "p-retry"];
/** The packages that a user installs beside remint, for the subpaths that need them. */
export const PEERS = ["@opentelemetry/api", "axios", "dpop", "jose", "ofetch", "undici"];

/**
 * - `subpath`: as in `exports`.
 * - `source`: the entry point, from src/.
 * - `packages`: the packages and runtime modules its bundle may import; nothing else may even be mentioned in it.
 * - `without`: folders and files of ours that its bundle must not hold.
 * - `size`: the largest size of the subpath alone, minified and compressed with brotli, without packages.
 */
export const SUBPATHS = [
  {
    subpath: ".",
    source: "index.ts",
    packages: [...DEPENDENCIES, "jose"],
    without: ["adapters/", "testing/", "fleet/", "dpop/", "policy/request-policy.ts"],
    size: "40.7 kB",
  },
  {
    subpath: "./axios",
    source: "adapters/axios/index.ts",
    packages: ["axios"],
    without: ["grants/", "oauth/", "testing/", "adapters/auth-fetch.ts", "adapters/ofetch.ts", "core/token-cache.ts"],
    size: "11.4 kB",
  },
  {
    subpath: "./browser",
    source: "browser/index.ts",
    packages: ["jwt-decode"],
    without: ["grants/", "oauth/", "adapters/", "policy/", "testing/", "dpop/", "core/token-cache.ts", "core/pool.ts"],
    size: "27.7 kB",
  },
  {
    subpath: "./chalk",
    source: "providers/chalk.ts",
    packages: [...DEPENDENCIES, "jose"],
    without: ["adapters/", "policy/", "testing/", "core/token-cache.ts"],
    size: "12 kB",
  },
  {
    subpath: "./dpop",
    source: "dpop/index.ts",
    packages: ["dpop"],
    without: ["grants/", "oauth/", "adapters/", "policy/", "testing/", "core/token-cache.ts"],
    size: "6.2 kB",
  },
  {
    subpath: "./fetch",
    source: "adapters/fetch.ts",
    packages: [],
    without: ["grants/", "oauth/", "testing/", "adapters/axios/", "adapters/ofetch.ts", "core/token-cache.ts"],
    size: "9 kB",
  },
  {
    subpath: "./fleet",
    source: "fleet/index.ts",
    packages: ["p-retry", "jwt-decode"],
    without: ["grants/", "oauth/", "adapters/", "policy/", "testing/"],
    size: "27.9 kB",
  },
  {
    subpath: "./node",
    source: "node/index.ts",
    packages: ["node:"],
    without: ["grants/", "oauth/", "adapters/", "policy/", "testing/", "core/"],
    size: "2.4 kB",
  },
  {
    subpath: "./ofetch",
    source: "adapters/ofetch.ts",
    packages: ["ofetch"],
    without: ["grants/", "oauth/", "testing/", "adapters/axios/", "core/token-cache.ts"],
    size: "9.4 kB",
  },
  {
    subpath: "./otel",
    source: "otel/index.ts",
    packages: [],
    without: ["grants/", "oauth/", "adapters/", "policy/", "testing/", "fleet/", "core/"],
    size: "2.5 kB",
  },
  {
    subpath: "./policy",
    source: "policy/index.ts",
    packages: [],
    without: ["grants/", "oauth/", "adapters/", "testing/", "dpop/", "core/token-cache.ts"],
    size: "4.6 kB",
  },
  {
    subpath: "./proxy",
    source: "proxy/index.ts",
    packages: [],
    without: ["grants/", "oauth/", "testing/", "dpop/", "adapters/auth-fetch.ts", "core/token-cache.ts"],
    size: "11 kB",
  },
  {
    subpath: "./redis",
    source: "fleet/redis.ts",
    packages: ["p-retry", "jwt-decode", "redis"],
    without: ["grants/", "oauth/", "adapters/", "policy/", "testing/"],
    size: "25.3 kB",
  },
  {
    subpath: "./salesforce",
    source: "providers/salesforce.ts",
    packages: [...DEPENDENCIES, "jose"],
    without: ["adapters/", "policy/", "testing/", "core/token-cache.ts"],
    size: "21.5 kB",
  },
  {
    subpath: "./testing",
    source: "testing/index.ts",
    packages: ["node:", "p-retry"],
    without: ["grants/endpoint.ts", "grants/refresh-token.ts", "oauth/", "adapters/", "policy/"],
    size: "9.8 kB",
  },
  {
    subpath: "./undici",
    source: "adapters/undici/index.ts",
    packages: [],
    without: ["grants/", "oauth/", "testing/", "adapters/axios/", "adapters/auth-fetch.ts", "core/token-cache.ts"],
    size: "10.4 kB",
  },
].map((entry) => ({
  ...entry,
  /** As a user imports it: `remint/axios`. */
  name: entry.subpath.replace(/^\./, "remint"),
  /** The built module, and its declarations. */
  module: `dist/${entry.source.replace(/\.ts$/, ".js")}`,
  types: `dist/${entry.source.replace(/\.ts$/, ".d.ts")}`,
}));

/** `exports` of package.json. */
export function packageExports() {
  const entries = SUBPATHS.map(({ subpath, types, module }) => [
    subpath,
    { types: `./${types}`, default: `./${module}` },
  ]);
  return Object.fromEntries([...entries, ["./package.json", "./package.json"]]);
}

/** `paths` of tsconfig.json: tests and examples import the package as a user does, and get its sources. */
export function sourcePaths() {
  return Object.fromEntries(SUBPATHS.map(({ name, source }) => [name, [`./src/${source}`]]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  replaceMember("package.json", "exports", packageExports());
  replaceMember("tsconfig.json", "paths", sourcePaths());
}

/** Replaces one member in a JSON file and leaves everything else, comments included, as it is. */
function replaceMember(file, name, value) {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
  const text = readFileSync(path, "utf8");
  const member = new RegExp(`^( *)"${name}": \\{[\\s\\S]*?\\n\\1\\}`, "m");
  const [found, indent] = member.exec(text) ?? [];
  if (found === undefined) throw new Error(`${file} has no member "${name}"`);
  const json = JSON.stringify(value, undefined, 2).replaceAll("\n", `\n${indent}`);
  writeFileSync(
    path,
    text.replace(member, () => `${indent}"${name}": ${json}`),
  );
}
