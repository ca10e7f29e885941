// Sizes after bundling, minifying and brotli: what a user's bundle gets. `design` is the budget DESIGN section 10 set
// out with; a limit above it is a ceiling that keeps what is there from growing, not a budget that was met.
const CLIENTS = ["axios", "ofetch"];
const DEPENDENCIES = ["p-retry", "jwt-decode", "oauth4webapi"];

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
  check("core, ours (design: 5 kB)", "dist/index.js", "11 kB", DEPENDENCIES),
  check("core, with dependencies (design: 12 kB)", "dist/index.js", "16.5 kB", []),
  check("createTokenCache alone, ours", "dist/index.js", "7.1 kB", DEPENDENCIES, "{ createTokenCache }"),
  check("createTokenCache alone, with dependencies", "dist/index.js", "8.5 kB", [], "{ createTokenCache }"),
  check("remint/policy alone", "dist/request-policy.js", "2.3 kB", []),
  check("remint/fetch alone", "dist/adapters/fetch.js", "4.2 kB", []),
  check("remint/ofetch alone", "dist/adapters/ofetch.js", "4.3 kB", []),
  check("remint/axios alone", "dist/adapters/axios.js", "5.6 kB", []),
];
