/** The documents and examples, compiled and run with the packed package. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { offlineExample, OFFLINE_OUTPUT, typescriptBlocks } from "../house/markdown.ts";
import { node } from "./command.ts";

const { root, withClients } = inject("consumers");
const COMPILERS = {
  "TypeScript 5.9": "typescript-5",
  "TypeScript 6.0": "typescript",
  "TypeScript 7.0": "typescript-7",
};

test("the README's first example runs with the installed package", async () => {
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const { outputText } = ts.transpileModule(offlineExample().code, { compilerOptions });
  await writeFile(join(withClients, "first.mjs"), outputText);
  expect(await node(["first.mjs"], withClients)).toMatchObject({ stdout: `${OFFLINE_OUTPUT}\n`, status: 0 });
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
