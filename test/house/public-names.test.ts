/**
 * Every name that users can import, by subpath: a new one, or one that is gone, is a decision. `npx vitest run
 * test/house/public-names.test.ts -u` writes the snapshot anew.
 */
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { packageExports, sourcePaths, SUBPATHS } from "../../scripts/subpaths.mjs";
import packageJson from "../../package.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "../..");

interface Names {
  readonly values: readonly string[];
  readonly types: readonly string[];
}

/** The names that each entry point exports, told apart by whether they exist at run time. */
function publicNames(): Record<string, Names> {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const files = SUBPATHS.map(({ source }) => join(ROOT, "src", source));
  const program = ts.createProgram(files, options);
  const checker = program.getTypeChecker();
  const named = SUBPATHS.map(({ name }, index): [string, Names] => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(files[index]!)!)!;
    const all = checker.getExportsOfModule(module).map((symbol) => [symbol.name, isValue(checker, symbol)] as const);
    const names = (wanted: boolean): string[] => all.filter(([, value]) => value === wanted).map(([own]) => own);
    return [name, { values: names(true).toSorted(), types: names(false).toSorted() }];
  });
  return Object.fromEntries(named);
}

function isValue(checker: ts.TypeChecker, symbol: ts.Symbol): boolean {
  const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0;
  const isTypeOnly = symbol.declarations?.some((each) => ts.isTypeOnlyImportOrExportDeclaration(each)) === true;
  const target = isAlias ? checker.getAliasedSymbol(symbol) : symbol;
  return !isTypeOnly && (target.flags & ts.SymbolFlags.Value) !== 0;
}

test("the names of every subpath are those of the snapshot", async () => {
  const names = publicNames();
  expect(Object.values(names).every(({ values }) => values.length > 0)).toBe(true);
  await expect(`${JSON.stringify(names, undefined, 2)}\n`).toMatchFileSnapshot("public-names.json");
});

test("no type is exported from two subpaths", () => {
  const places = new Map<string, string[]>();
  for (const [subpath, { types }] of Object.entries(publicNames())) {
    for (const type of types) places.set(type, [...(places.get(type) ?? []), subpath]);
  }
  expect([...places].filter(([, subpaths]) => subpaths.length > 1)).toEqual([]);
});

test("package.json and tsconfig.json have the subpaths of scripts/subpaths.mjs: run it after a change", () => {
  expect(packageJson.exports).toEqual(packageExports());
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path));
  expect((config as { compilerOptions: { paths: unknown } }).compilerOptions.paths).toEqual(sourcePaths());
});
