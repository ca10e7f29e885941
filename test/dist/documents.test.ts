/** The documents and examples, compiled and run with the packed package. */
import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { startApi, startAuthServer } from "remint/testing";
import { axiosProgram, OFFLINE_OUTPUT, typescriptBlocks } from "../house/markdown.ts";
import { node, run } from "./command.ts";

const { alone, root, withClients } = inject("consumers");
const COMPILERS = {
  "TypeScript 5.9": "typescript-5",
  "TypeScript 6.0": "typescript",
  "TypeScript 7.0": "typescript-7",
};

test("the README's offline command prints what the README says, where nothing but this package is installed", async () => {
  const ended = await node(["node_modules/remint/examples/quick-start.mjs"], alone);
  expect(ended).toMatchObject({ output: `${OFFLINE_OUTPUT}\n`, status: 0 });
});

test("the README's program for axios runs as pasted, against a token endpoint and an API", async () => {
  const auth = await startAuthServer({ clientId: "orders-service", clientSecret: "s3cret" });
  const api = await startApi({ accepts: auth });
  api.respond({ status: 401 });
  await writeFile(join(withClients, "orders.mjs"), axiosProgram().code);
  const env = {
    TOKEN_ENDPOINT: auth.tokenEndpoint,
    CLIENT_ID: "orders-service",
    CLIENT_SECRET: "s3cret",
    API_URL: `${api.origin}/orders`,
  };
  const { output, status } = await run(process.execPath, ["orders.mjs"], withClients, env);
  expect({ output, status }).toEqual({ output: "200 { ok: true, path: '/orders' }\n", status: 0 });
  expect(auth.requests).toHaveLength(2);
  await Promise.all([auth.close(), api.close()]);
});

describe("the examples in the package run from node_modules", () => {
  const folder = join(withClients, "node_modules/remint/examples");
  /** Needs a package that is not installed there. */
  const NEEDS_MORE = ["msw.ts"];
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts") && !NEEDS_MORE.includes(file));

  test.concurrent.each(files)("%s", async (file) => {
    const { status, output } = await node(
      [join(root, "node_modules/tsx/dist/cli.mjs"), join(folder, file)],
      withClients,
    );
    expect(status, output).toBe(0);
  });
});

describe("documents and examples compile with the built package", () => {
  let folder: string;

  beforeAll(async () => {
    await mkdir(join(root, ".tmp"), { recursive: true });
    folder = await mkdtemp(join(root, ".tmp/documents-"));
    for (const { document, line, code } of typescriptBlocks()) {
      await writeFile(join(folder, `${document.replaceAll("/", "-")}.${line}.ts`), code);
    }
    const compilerOptions = {
      noUnusedLocals: false,
      noUnusedParameters: false,
      noPropertyAccessFromIndexSignature: false,
    };
    const config = { extends: "../../tsconfig.dist.json", compilerOptions, include: ["*.ts"] };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.concurrent.each(Object.entries(COMPILERS))("%s", async (_, compiler) => {
    const tsc = join(root, "node_modules", compiler, "bin/tsc");
    for (const project of [folder, "tsconfig.dist.json"]) {
      const { status, output } = await node([tsc, "-p", project, "--pretty", "false"], root);
      expect(output).toBe("");
      expect(status).toBe(0);
    }
  });
});
