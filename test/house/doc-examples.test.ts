/**
 * The `@example` blocks of the doc comments compile. They are short, so they use names that a reader understands without a
 * declaration: what this package exports, and the names in {@link READERS}.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import publicNames from "./public-names.json" with { type: "json" };
import { ROOT } from "./markdown.ts";

/** What a reader has: names that examples use and do not declare. */
const READERS: Readonly<Record<string, string>> = {
  Redis: 'import { Redis } from "ioredis";',
  auth: "declare const auth: AuthServer;",
  authFetch: "declare const authFetch: AuthFetch;",
  axios: 'import axios from "axios";',
  body: "declare const body: string;",
  client: "declare const client: { tokenEndpoint: string; clientId: string; clientSecret: string };",
  clientId: "declare const clientId: string;",
  clientSecret: "declare const clientSecret: string;",
  consumerKey: "declare const consumerKey: string;",
  consumerSecret: "declare const consumerSecret: string;",
  credential:
    "declare const credential: { getToken(scope: string, options: { abortSignal: AbortSignal }): " +
    "Promise<{ token: string; expiresOnTimestamp: number }> };",
  currentUser: "declare function currentUser(): string;",
  encryptionKey: "declare const encryptionKey: string;",
  grant: "declare const grant: Grant;",
  grantOf: "declare function grantOf(user: string): Grant;",
  incomingToken: "declare const incomingToken: string;",
  issuer: "declare const issuer: string;",
  myStore: "declare function myStore(client: unknown): Store;",
  Agent: 'import { Agent } from "undici";',
  setGlobalDispatcher: 'import { setGlobalDispatcher } from "undici";',
  metrics: 'import { metrics } from "@opentelemetry/api";',
  trace: 'import { trace } from "@opentelemetry/api";',
  org: "declare const org: { loginUrl: string; instanceUrl: string; clientId: string };",
  origins: "declare const origins: string[];",
  paths: "declare const paths: string[];",
  pem: "declare const pem: string;",
  pool: "declare const pool: TokenPool;",
  postgresStore: "declare function postgresStore(database: unknown): Store;",
  database: "declare const database: unknown;",
  read: "declare const read: (response: Response) => Promise<{ accessToken: string; expiresIn: number }>;",
  sessionOf: "declare function sessionOf(request: Request): string | undefined;",
  sessions:
    "declare const sessions: { refreshToken(sid: string): Promise<string | null>; " +
    "save(sid: string, next: string): Promise<void> };",
  sid: "declare const sid: string;",
  test: "declare function test(name: string, run: () => unknown): void;",
  tokens: "declare const tokens: TokenCache;",
  username: "declare const username: string;",
  vault: "declare const vault: { read(name: string): Promise<string> };",
};

/** The subpath that exports a name. Where several do, the one whose folder the example is in. */
function subpathOf(name: string, file: string): string | undefined {
  const found = Object.entries(publicNames).filter(([, { values, types }]) => [...values, ...types].includes(name));
  const near = found.find(([subpath]) => file.includes(subpath.replace("remint/", "/")));
  return (near ?? found[0])?.[0];
}

const NAMES: Readonly<Record<string, { readonly values: readonly string[]; readonly types: readonly string[] }>> =
  publicNames;
const isType = (name: string, subpath: string): boolean => !NAMES[subpath]!.values.includes(name);

interface Example {
  /** The file in src/ and the line of the tag. */
  readonly name: string;
  readonly code: string;
}

const examples = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .toSorted()
  .flatMap((file) => examplesIn(`src/${file.replaceAll("\\", "/")}`));

test("there are examples, and each is a block of TypeScript", () => {
  expect(examples.length).toBeGreaterThan(25);
  expect(examples.filter(({ code }) => code === "")).toEqual([]);
});

describe("every example of a doc comment compiles", () => {
  let complaints: ReadonlyMap<string, readonly string[]>;
  beforeAll(() => {
    complaints = compile(examples);
  }, 120_000);

  test.each(examples)("$name", ({ name }) => {
    expect(complaints.get(name)).toEqual([]);
  });
});

test.each([
  ["a name that nothing declares", "nowhere();", "Cannot find name 'nowhere'."],
  ["a wrong option", 'createTokenCache({ grant, origns: ["https://api.example"] });', "'origns' does not exist"],
])("the check itself tells %s", (_, code, complaint) => {
  const [found] = [...compile([{ name: "src/x.ts:1", code }]).values()];
  expect(found).toEqual([expect.stringContaining(complaint)]);
});

function examplesIn(file: string): Example[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(/^ *\* @example\n((?: *\*(?! @|\/).*\n)+)/gm)].map(({ index, 1: lines }) => {
    const body = lines!.replace(/^ *\* ?/gm, "");
    const [, code = ""] = /^```ts\n(.*?)^```$/ms.exec(body) ?? [];
    return { name: `${file}:${text.slice(0, index).split("\n").length}`, code };
  });
}

/** Compiles the examples, each as a module of its own. Returns the errors of each. */
function compile(all: readonly Example[]): Map<string, readonly string[]> {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options: own } = ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, ROOT);
  const options = {
    ...own,
    noUnusedLocals: false,
    noUnusedParameters: false,
    noPropertyAccessFromIndexSignature: false,
  };
  const files = new Map(
    all.map(({ name, code }) => [
      join(ROOT, `${name.replace(":", ".")}.example.ts`),
      { name, code: withNames(name, code) },
    ]),
  );
  const host = ts.createCompilerHost(options);
  host.fileExists = (path) => files.has(path) || ts.sys.fileExists(path);
  host.readFile = (path) => files.get(path)?.code ?? ts.sys.readFile(path);
  const program = ts.createProgram([...files.keys()], options, host);
  const source = (path: string): ts.SourceFile => program.getSourceFile(path)!;
  return new Map(
    [...files].map(([path, { name }]) => [
      name,
      [...program.getSyntacticDiagnostics(source(path)), ...program.getSemanticDiagnostics(source(path))].map(
        ({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"),
      ),
    ]),
  );
}

/** The example as a module, with declarations of the names that it uses and does not declare. */
function withNames(file: string, code: string): string {
  const lines: string[] = [];
  const known = new Set(namesIn(code).declared);
  const add = (names: Iterable<string>): void => {
    for (const name of names) {
      if (known.has(name)) continue;
      const subpath = subpathOf(name, file);
      const line =
        READERS[name] ?? (subpath && `import { ${isType(name, subpath) ? "type " : ""}${name} } from "${subpath}";`);
      if (line === undefined) continue;
      known.add(name);
      lines.push(line);
      // The declaration of a reader's name may use types of this package.
      add(namesIn(line).used);
    }
  };
  add(namesIn(code).used);
  return `${lines.join(" ")}\n${code}\nexport {};\n`;
}

function namesIn(code: string): { used: Set<string>; declared: Set<string> } {
  const used = new Set<string>();
  const declared = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const parent = node.parent as ts.Node & { readonly name?: ts.Node };
      const isDeclared = parent.name === node && (ts.isVariableDeclaration(parent) || ts.isBindingElement(parent));
      const isMember =
        parent.name === node && (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent));
      if (isDeclared || (parent.name === node && ts.isParameter(parent))) declared.add(node.text);
      else if (!isMember) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("x.ts", code, ts.ScriptTarget.Latest, true));
  return { used, declared };
}
