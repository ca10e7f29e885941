/** The imports of source files, read with TypeScript's parser, types included. */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";

/** One import: from a file of `src/`, to another file of `src/` or to a package. */
export interface Arrow {
  readonly from: string;
  readonly to: string;
}

/** Returns the source files below a folder, as paths relative to it. */
export function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ts|cts|mts)$/.test(file))
    .map((file) => file.replaceAll("\\", "/"))
    .toSorted();
}

/** Returns the imports of all files below a folder. */
export function arrowsOf(folder: string): Arrow[] {
  return sourceFiles(folder).flatMap((file) => arrowsIn(file, readFileSync(join(folder, file), "utf8")));
}

/** Returns the imports of one file: `import`, `export from`, `import()`, `import("...")` types and reference paths. */
export function arrowsIn(file: string, text: string): Arrow[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const found = source.referencedFiles.map(({ fileName }) => (fileName.startsWith(".") ? fileName : `./${fileName}`));
  const visit = (node: ts.Node): void => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) found.push(specifier);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...new Set(found)].map((specifier) => ({ from: file, to: targetOf(file, specifier) }));
}

function specifierOf(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return textOf(node.moduleSpecifier);
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? textOf(node.argument.literal) : undefined;
  const isDynamic = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
  return isDynamic ? textOf(node.arguments[0]) : undefined;
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

/** Resolves a relative specifier to a path within the folder. A `.js` specifier means the `.ts` source. */
function targetOf(file: string, specifier: string): string {
  if (!specifier.startsWith(".")) return specifier;
  return normalize(join(dirname(file), specifier))
    .replaceAll("\\", "/")
    .replace(/\.js$/, ".ts")
    .replace(/\.cjs$/, ".d.cts");
}

/** Returns the circles of files, each as its files in the order of their imports. */
export function circlesOf(arrows: readonly Arrow[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of arrows) next.set(from, [...(next.get(from) ?? []), to]);
  const circles: string[][] = [];
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) return void circles.push([...path.slice(start), file]);
    if (done.has(file)) return;
    for (const target of next.get(file) ?? []) walk(target, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) walk(file, []);
  return circles;
}
