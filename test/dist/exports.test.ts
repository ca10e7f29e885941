/** The packed package: the names that each subpath exports, and the published files. */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { PEERS, SUBPATHS as LISTED } from "../../scripts/subpaths.mjs";
import publicNames from "../house/public-names.json" with { type: "json" };
import { node } from "./command.ts";

const { alone, root, withClients } = inject("consumers");

/** The names that exist at run time, by subpath: the snapshot that test/house/public-names.test.ts holds. */
const SUBPATHS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries(publicNames).map(([subpath, { values }]) => [subpath, values]),
);
/** The client that a subpath imports, where it imports one. `jose` is imported when something is signed. */
const NEEDS_A_CLIENT = new Map(
  LISTED.map(({ name, packages }) => [name, PEERS.find((peer) => peer !== "jose" && packages.includes(peer))] as const),
);

test("the tested subpaths are those of package.json", async () => {
  const { exports, name } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    exports: object;
    name: string;
  };
  const published = Object.keys(exports).map((subpath) => subpath.replace(/^\./, name));
  expect(published.toSorted()).toEqual([...Object.keys(SUBPATHS), "remint/package.json"].toSorted());
});

describe.each(Object.entries(SUBPATHS))("%s", (subpath, names) => {
  test("an ES module can import it and gets these names", async () => {
    const script = `import * as module from "${subpath}"; console.log(JSON.stringify(Object.keys(module)));`;
    expect(await exported(["--input-type=module", "-e", script], withClients)).toEqual(names);
  });

  test("CommonJS can require it without a flag and without a warning", async () => {
    const script = `console.log(JSON.stringify(Object.keys(require("${subpath}")).sort()));`;
    expect(await exported(["--input-type=commonjs", "-e", script], withClients)).toEqual(names);
  });

  const client = NEEDS_A_CLIENT.get(subpath);
  test(
    client === undefined ? "it needs no other package" : "without its client the error names the missing package",
    async () => {
      const script = `import * as module from "${subpath}"; console.log(JSON.stringify(Object.keys(module)));`;
      const args = ["--input-type=module", "-e", script];
      if (client === undefined) return expect(await exported(args, alone)).toEqual(names);
      const { status, output } = await node(args, alone);
      expect(output).toContain(`Cannot find package '${client}'`);
      expect(status).not.toBe(0);
    },
  );
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

test("only the build, the licence, the documents and small examples are published", async () => {
  const installed = join(alone, "node_modules/remint");
  const pages = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"];
  expect((await readdir(installed)).toSorted()).toEqual(
    [...pages, "dist", "docs", "examples", "package.json"].toSorted(),
  );
  const dist = (await readdir(join(installed, "dist"), { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  expect(dist.map(({ name }) => name).filter((name) => !/\.(js|d\.ts|d\.cts)$/.test(name))).toEqual([]);
});

test("an installation has only the two dependencies and their dependencies", async () => {
  const installed = (await readdir(join(alone, "node_modules"))).filter((name) => !name.startsWith("."));
  expect(installed.toSorted()).toEqual(["is-network-error", "jwt-decode", "p-retry", "remint"]);
});

async function exported(args: readonly string[], cwd: string): Promise<unknown> {
  const { status, stdout, output } = await node(args, cwd);
  expect(status, output).toBe(0);
  expect(output, "nothing else is printed").toBe(stdout);
  return JSON.parse(stdout);
}
