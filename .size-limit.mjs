// Sizes after bundling, minifying and brotli: what a user's bundle gets. A limit is a ceiling that keeps what is there from
// growing. The sizes of the subpaths are in scripts/subpaths.mjs.
import { DEPENDENCIES, PEERS, SUBPATHS } from "./scripts/subpaths.mjs";

const check = (name, path, limit, external, imports) => ({
  name,
  path,
  limit,
  ...(imports && { import: imports }),
  modifyEsbuildConfig: (config) => ({
    ...config,
    format: "esm",
    target: "es2022",
    external: [...PEERS, "node:*", ...external],
  }),
});

const CORE = "{ createTokenCache }";
const CLIENT_CREDENTIALS = "{ createTokenCache, clientCredentialsGrant }";

export default [
  check("createTokenCache alone, ours", "dist/index.js", "24 kB", DEPENDENCIES, CORE),
  check("createTokenCache alone, with dependencies", "dist/index.js", "24.2 kB", [], CORE),
  check("core with clientCredentialsGrant, ours", "dist/index.js", "34.3 kB", DEPENDENCIES, CLIENT_CREDENTIALS),
  check("core with clientCredentialsGrant and dependencies", "dist/index.js", "35.5 kB", [], CLIENT_CREDENTIALS),
  check("everything in remint, with dependencies", "dist/index.js", "42 kB", []),
  ...SUBPATHS.map(({ name, module, size }) => check(`${name} alone, ours`, module, size, DEPENDENCIES)),
];
