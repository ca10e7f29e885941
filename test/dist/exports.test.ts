import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { node } from "./command.ts";

const { alone, root, withClients } = inject("consumers");

/** What every subpath gives, and nothing else. */
const SUBPATHS = {
  remint: [
    "RemintError",
    "TokenEndpointError",
    "clientAssertion",
    "clientCredentialsGrant",
    "clientSecretBasic",
    "createTokenCache",
    "createTokenPool",
    "customGrant",
    "findRemintError",
    "isRemintError",
    "jwtBearerGrant",
    "privateKeyJwt",
    "refreshTokenGrant",
    "tlsClientAuth",
    "tokenExchangeGrant",
  ],
  "remint/axios": ["createAuthInterceptor"],
  "remint/chalk": ["chalkGrant", "chalkToken"],
  "remint/dpop": ["dpop"],
  "remint/fetch": ["createAuthFetch"],
  "remint/fleet": ["fleetStore", "memoryStore", "storeContract"],
  "remint/redis": ["redisStore"],
  "remint/node": ["secretFromFile", "tokenFromFile"],
  "remint/ofetch": ["createAuthOfetch"],
  "remint/policy": ["sendBare", "withToken"],
  "remint/salesforce": [
    "salesforceClientCredentialsGrant",
    "salesforceJwtBearerGrant",
    "salesforceRefreshTokenGrant",
    "salesforceToken",
    "salesforceTokenExchangeGrant",
  ],
  "remint/testing": ["fakeGrant", "manualClock", "startApi", "startAuthServer"],
};
const NEEDS_A_CLIENT = new Map([
  ["remint/axios", "axios"],
  ["remint/dpop", "dpop"],
  ["remint/ofetch", "ofetch"],
]);

test("the tested subpaths are those of package.json", async () => {
  const { exports, name } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    exports: object;
    name: string;
  };
  const published = Object.keys(exports).map((subpath) => subpath.replace(/^\./, name));
  expect(published.toSorted()).toEqual([...Object.keys(SUBPATHS), "remint/package.json"].toSorted());
});

describe.each(Object.entries(SUBPATHS))("%s", (subpath, names) => {
  test("an ES module imports it", async () => {
    const script = `import * as module from "${subpath}"; console.log(JSON.stringify(Object.keys(module)));`;
    expect(await exported(["--input-type=module", "-e", script], withClients)).toEqual(names);
  });

  test("CommonJS requires it, without a flag and without a warning", async () => {
    const script = `console.log(JSON.stringify(Object.keys(require("${subpath}")).sort()));`;
    expect(await exported(["--input-type=commonjs", "-e", script], withClients)).toEqual(names);
  });

  const client = NEEDS_A_CLIENT.get(subpath);
  test(client === undefined ? "nothing has to be installed beside it" : "it says which client is missing", async () => {
    const script = `import * as module from "${subpath}"; console.log(JSON.stringify(Object.keys(module)));`;
    const args = ["--input-type=module", "-e", script];
    if (client === undefined) return expect(await exported(args, alone)).toEqual(names);
    const { status, output } = await node(args, alone);
    expect(output).toContain(`Cannot find package '${client}'`);
    expect(status).not.toBe(0);
  });
});

test("package.json can be read through the package", async () => {
  const script = `console.log(JSON.stringify([require("remint/package.json").name]));`;
  expect(await exported(["--input-type=commonjs", "-e", script], alone)).toEqual(["remint"]);
});

test("ES modules and CommonJS get the same module, so one cache serves both", async () => {
  await writeFile(join(withClients, "same.cjs"), `module.exports = require("remint").RemintError;`);
  const script = `import same from "./same.cjs"; import { RemintError } from "remint"; console.log([same === RemintError]);`;
  await writeFile(join(withClients, "same.mjs"), script);
  const { output } = await node(["same.mjs"], withClients);
  expect(output.trim()).toBe("[ true ]");
});

test("what is published is the build, the licence and the documents", async () => {
  const installed = join(alone, "node_modules/remint");
  const files = await readdir(installed);
  const optional = ["CHANGELOG.md"].filter((file) => files.includes(file));
  expect(files.toSorted()).toEqual(["LICENSE", "README.md", "dist", "package.json", ...optional].toSorted());
  const dist = (await readdir(join(installed, "dist"), { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  expect(dist.map(({ name }) => name).filter((name) => !/\.(js|d\.ts|d\.cts)$/.test(name))).toEqual([]);
});

test("an installation brings the three dependencies and theirs, and nothing else", async () => {
  const installed = (await readdir(join(alone, "node_modules"))).filter((name) => !name.startsWith("."));
  expect(installed.toSorted()).toEqual(["is-network-error", "jwt-decode", "oauth4webapi", "p-retry", "remint"]);
});

async function exported(args: readonly string[], cwd: string): Promise<unknown> {
  const { status, stdout, output } = await node(args, cwd);
  expect(status, output).toBe(0);
  expect(output, "nothing else is printed").toBe(stdout);
  return JSON.parse(stdout);
}
