// Sizes after bundling, minifying and brotli: what a user's bundle gets. `design` is the budget DESIGN section 10 set
// out with; a limit above it is a ceiling that keeps what is there from growing, not a budget that was met.
const CLIENTS = ["axios", "dpop", "ofetch"];
const DEPENDENCIES = ["p-retry", "jwt-decode", "oauth4webapi"];
const CLIENT_CREDENTIALS = "{ createTokenCache, clientCredentials }";

const check = (name, path, limit, external, imports) => ({
  name,
  path,
  limit,
  ...(imports && { import: imports }),
  modifyEsbuildConfig: (config) => ({
    ...config,
    format: "esm",
    target: "es2022",
    external: [...CLIENTS, ...external],
  }),
});

export default [
  check("createTokenCache alone, ours", "dist/index.js", "7.9 kB", DEPENDENCIES, "{ createTokenCache }"),
  check("createTokenCache alone, with dependencies", "dist/index.js", "9.3 kB", [], "{ createTokenCache }"),
  check("core with clientCredentials, ours (design: 5 kB)", "dist/index.js", "14 kB", DEPENDENCIES, CLIENT_CREDENTIALS),
  check(
    "core with clientCredentials and dependencies (design: 12 kB)",
    "dist/index.js",
    "19.7 kB",
    [],
    CLIENT_CREDENTIALS,
  ),
  check("everything in remint, ours", "dist/index.js", "19.4 kB", DEPENDENCIES),
  check("everything in remint, with dependencies", "dist/index.js", "25.6 kB", []),
  check("remint/redis alone, ours", "dist/fleet/redis.js", "11.4 kB", DEPENDENCIES),
  check("remint/policy alone", "dist/policy/request-policy.js", "2.6 kB", []),
  check("remint/fetch alone", "dist/adapters/fetch.js", "4.55 kB", []),
  check("remint/ofetch alone", "dist/adapters/ofetch.js", "4.65 kB", []),
  check("remint/axios alone", "dist/adapters/axios/index.js", "5.9 kB", []),
  check("remint/dpop alone, without dpop", "dist/dpop/index.js", "3.3 kB", []),
];
