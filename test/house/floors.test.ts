/**
 * The floors of the house: which folder of `src/` may import which, types included. A wrong import is one line with the
 * file, what it imports, and why it may not. The parser is in imports.ts.
 */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { arrowsIn, arrowsOf, circlesOf, sourceFiles } from "./imports.ts";
import type { Arrow } from "./imports.ts";

const SOURCES = join(import.meta.dirname, "../../src");

/** The types that every floor above the core may name. */
const CORE_TYPES = ["core/types.ts", "core/grant.ts"];

interface Floor {
  /** Folders and files of `src/` that it may import beside its own. */
  readonly may: readonly string[];
  /** Packages it may import. */
  readonly packages?: readonly string[];
  /** Why it may not import more: the end of the sentence "... may not import ..., because". */
  readonly because: string;
}

/** The whitelist. A file's floor is the longest key that its path begins with. */
const FLOORS: Readonly<Record<string, Floor>> = {
  "index.ts": {
    may: ["base", "core", "policy/choose-cache.ts", "oauth", "grants"],
    because: "`remint` is the core and the grants; everything else has a subpath of its own",
  },
  "base/": {
    may: [],
    packages: ["jwt-decode"],
    because: "base is what every floor stands on, so it imports nothing of ours",
  },
  "core/": {
    may: ["base"],
    because: "the core knows no client, no OAuth endpoint, no store and no runtime",
  },
  "policy/": {
    may: [...CORE_TYPES, "base"],
    because: "the request policy knows a cache by its type only, and no client",
  },
  "adapters/": {
    may: ["policy", ...CORE_TYPES, "base"],
    packages: ["ofetch"],
    because: "an adapter translates one client to the request policy, and nothing else",
  },
  "adapters/axios/": {
    may: ["policy", "adapters/body.ts", ...CORE_TYPES, "base"],
    packages: ["axios"],
    because: "an adapter translates one client to the request policy, and nothing else",
  },
  "browser/": {
    may: ["fleet", "core", "base"],
    because: "a page is a fleet of tabs; it knows no client and no OAuth endpoint",
  },
  "proxy/": {
    may: ["policy", "adapters/body.ts", ...CORE_TYPES, "base"],
    because: "the proxy is one more client of the request policy; it knows no grant, no session and no framework",
  },
  "oauth/": {
    may: [...CORE_TYPES, "base"],
    packages: ["jose"],
    because: "the OAuth client sends requests to an authorization server; it knows no cache and no grant",
  },
  "grants/": {
    may: ["oauth", "grants/retry.ts", ...CORE_TYPES, "base"],
    because: "a grant builds parameters; it knows no cache and no client",
  },
  "grants/custom.ts": {
    // core/custom-grant.ts: the cache takes a bare function in the same way.
    may: ["grants/retry.ts", "core/custom-grant.ts", ...CORE_TYPES, "base"],
    because: "a grant of one's own needs no OAuth client",
  },
  "grants/retry.ts": {
    may: [...CORE_TYPES, "base"],
    packages: ["p-retry"],
    because: "repeating attempts needs to know neither what they are nor what they return",
  },
  "fleet/": {
    may: [
      "core/supply.ts",
      "core/state.ts",
      "core/mint.ts",
      "core/access-token.ts",
      "core/expiry.ts",
      "core/failures.ts",
      "core/rejections.ts",
      ...CORE_TYPES,
      "base",
    ],
    because: "the fleet is a supply of tokens over a store; it knows no cache, no grant and no Redis client",
  },
  "providers/": {
    may: ["grants", "oauth", ...CORE_TYPES, "base"],
    because: "a provider is a grant with the facts of one service; it knows no cache and no client",
  },
  "dpop/": {
    may: [...CORE_TYPES, "base"],
    packages: ["dpop"],
    because: "`remint/dpop` makes proofs; it knows neither grants nor clients",
  },
  "otel/": {
    may: [...CORE_TYPES, "base"],
    because: "`remint/otel` listens to events; it knows no cache, and OpenTelemetry by types of its own",
  },
  "node/": {
    may: ["base"],
    packages: ["node:"],
    because: "`remint/node` reads files for options of grants; it needs nothing of them",
  },
  "testing/": {
    // grants/retry.ts: a fake grant is repeated as those with a token endpoint are.
    may: ["grants/retry.ts", ...CORE_TYPES, "base"],
    packages: ["node:"],
    because: "the testing kit stands for servers, grants and clocks; it must not share faults with what it tests",
  },
};

function floorOf(file: string): [name: string, floor: Floor] | undefined {
  const [name] = Object.keys(FLOORS)
    .filter((key) => file === key || (key.endsWith("/") && file.startsWith(key)))
    .toSorted((a, b) => b.length - a.length);
  return name === undefined ? undefined : [name, FLOORS[name]!];
}

/** Says what is wrong with an import; `undefined` if it is allowed. */
function faultOf({ from, to }: Arrow): string | undefined {
  const found = floorOf(from);
  if (found === undefined) return `src/${from} is on no floor: list its folder in test/house/floors.test.ts`;
  const [name, { may, packages = [], because }] = found;
  const isOurs = /\.(ts|cts|mts)$/.test(to);
  const own = name.endsWith("/") && to.startsWith(name) && floorOf(to)?.[0] === name;
  const allowed = isOurs
    ? own || may.some((place) => to === place || to.startsWith(`${place}/`))
    : packages.some((start) => to === start || (start.endsWith(":") && to.startsWith(start)));
  if (allowed) return undefined;
  return `src/${from} may not import ${isOurs ? `src/${to}` : `"${to}"`}, because ${because}`;
}

describe("the floors of src/", () => {
  const arrows = arrowsOf(SOURCES);

  test("every import is allowed for its floor", () => {
    expect(arrows.map(faultOf).filter((line) => line !== undefined)).toEqual([]);
  });

  test("no files import each other in a circle, types included", () => {
    expect(circlesOf(arrows).map((circle) => circle.join(" -> "))).toEqual([]);
  });

  test("every floor of the whitelist has files", () => {
    const used = new Set(sourceFiles(SOURCES).map((file) => floorOf(file)?.[0]));
    expect(Object.keys(FLOORS).filter((name) => !used.has(name))).toEqual([]);
  });
});

describe("the whitelist itself", () => {
  // At least one wrong import for every floor.
  test.each([
    ["index.ts", 'export { withToken } from "./policy/request-policy.ts";', "src/policy/request-policy.ts"],
    ["base/url.ts", 'import type { TokenCache } from "../core/types.ts";', "src/core/types.ts"],
    ["core/mint.ts", 'import { requestToken } from "../oauth/request.ts";', "src/oauth/request.ts"],
    ["core/options.ts", 'import { isTokenCache } from "../policy/choose-cache.ts";', "src/policy/choose-cache.ts"],
    ["core/pool.ts", 'import { readFile } from "node:fs";', '"node:fs"'],
    ["policy/request-policy.ts", 'import { chalkGrant } from "../providers/chalk.ts";', "src/providers/chalk.ts"],
    [
      "policy/request-policy.ts",
      'import { createTokenCache } from "../core/token-cache.ts";',
      "src/core/token-cache.ts",
    ],
    ["policy/client-seam.ts", 'import axios from "axios";', '"axios"'],
    ["adapters/fetch.ts", 'import { AxiosCall } from "./axios/call.ts";', "src/adapters/axios/call.ts"],
    ["adapters/axios/call.ts", 'import { authFetchOf } from "../auth-fetch.ts";', "src/adapters/auth-fetch.ts"],
    ["adapters/ofetch.ts", 'import { Flight } from "../core/single-flight.ts";', "src/core/single-flight.ts"],
    ["oauth/client.ts", 'import { customGrant } from "../grants/custom.ts";', "src/grants/custom.ts"],
    ["grants/refresh-token.ts", 'import { startMint } from "../core/mint.ts";', "src/core/mint.ts"],
    ["grants/custom.ts", 'import { requestToken } from "../oauth/request.ts";', "src/oauth/request.ts"],
    ["fleet/flight.ts", 'import { CacheState } from "../core/token-cache.ts";', "src/core/token-cache.ts"],
    ["fleet/redis.ts", 'import { createClient } from "redis";', '"redis"'],
    ["providers/chalk.ts", 'import { createAuthFetch } from "../adapters/fetch.ts";', "src/adapters/fetch.ts"],
    ["dpop/dpop-key.ts", 'import type { TokenClient } from "../oauth/client.ts";', "src/oauth/client.ts"],
    ["otel/index.ts", 'import { trace } from "@opentelemetry/api";', '"@opentelemetry/api"'],
    ["node/index.ts", 'import type { Grant } from "../core/grant.ts";', "src/core/grant.ts"],
    ["testing/fake-grant.ts", 'import { lifetimeOf } from "../core/expiry.ts";', "src/core/expiry.ts"],
    ["core/mint.ts", 'type Lazy = import("../fleet/store.ts").Store;', "src/fleet/store.ts"],
    ["core/mint.ts", 'void import("../fleet/store.ts");', "src/fleet/store.ts"],
    ["core/mint.ts", '/// <reference path="../fleet/store.ts" />', "src/fleet/store.ts"],
  ])("refuses in %s: %s", (file, text, target) => {
    const found = arrowsIn(file, text).map(faultOf);
    expect(found).toEqual([expect.stringContaining(`src/${file} may not import ${target}, because `)]);
  });

  test("reports a folder that is not on the whitelist, whatever it imports", () => {
    const [line] = arrowsIn("helpers/x.ts", 'import "../base/errors.ts";').map(faultOf);
    expect(line).toContain("src/helpers/x.ts is on no floor");
  });

  test("reports a circle with its files, also one of type imports", () => {
    const arrows = [
      ...arrowsIn("core/a.ts", 'import type { B } from "./b.ts";'),
      ...arrowsIn("core/b.ts", 'export type { C } from "./c.ts";'),
      ...arrowsIn("core/c.ts", 'import { a } from "./a.ts";'),
    ];
    expect(circlesOf(arrows)).toEqual([["core/a.ts", "core/b.ts", "core/c.ts", "core/a.ts"]]);
  });
});
