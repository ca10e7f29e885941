import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { node } from "./command.ts";

const { root, withClients } = inject("consumers");

const COMPILERS = {
  "TypeScript 5.9": "typescript-5",
  "TypeScript 6.0": "typescript",
  "TypeScript 7.0": "typescript-7",
};
const AXIOS = ["axios-1.5.0", "axios-1.6.8", "axios-1.7.9", "axios-1.9.0", "axios-1.13.0"];
const OFETCH = ["ofetch-1.4.0", "ofetch-2"];
const ALL = ["core.ts", "fetch.ts", "axios.ts", "ofetch.ts", "policy.ts", "dpop.ts", "testing.ts"];
const DOM = ["ES2022", "DOM", "DOM.Iterable", "ESNext.Disposable"];
const NODENEXT = { module: "nodenext", lib: DOM, types: [] };

/** A project of somebody who looks closely: strict, and with the declarations of dependencies checked too. */
const STRICT = {
  target: "es2022",
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  skipDefaultLibCheck: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  esModuleInterop: true,
};

/** A complaint about the declarations of another package. */
const OF_OTHERS = /^\S*node_modules\/(?!remint\/)|^ /;

interface Project {
  readonly name: string;
  readonly files: readonly string[];
  readonly options: object;
  /** Packages of this repository that stand in for the installed ones, by the name they are imported by. */
  readonly instead?: Readonly<Record<string, string>>;
}

const SERVER = { module: "nodenext", lib: ["ES2022"], types: ["node"] };

const PROJECTS: readonly Project[] = [
  { name: "nodenext", files: [...ALL, "commonjs.cts"], options: NODENEXT },
  { name: "node20", files: ["axios.ts", "commonjs.cts"], options: { ...NODENEXT, module: "node20" } },
  { name: "bundler", files: ALL, options: { module: "preserve", moduleResolution: "bundler", lib: DOM, types: [] } },
  // Node's types and not the DOM's. ofetch's own types do not fit Node's under exactOptionalPropertyTypes.
  { name: "server", files: ALL, options: { ...SERVER, exactOptionalPropertyTypes: false } },
  ...AXIOS.map((axios) => ({
    name: axios,
    files: ["axios.ts", "commonjs.cts"],
    options: NODENEXT,
    instead: { axios },
  })),
  ...OFETCH.map((ofetch) => ({ name: ofetch, files: ["ofetch.ts"], options: NODENEXT, instead: { ofetch } })),
];

const folderOf = ({ name }: Project): string => join(withClients, "types", name);

beforeAll(async () => {
  for (const project of PROJECTS) await create(project);
});

describe.each(Object.entries(COMPILERS))("%s", (_, compiler) => {
  test.concurrent.each(PROJECTS)("the published types compile: $name", async (project) => {
    expect(await compile(compiler, folderOf(project))).toBe("");
  });

  test.concurrent("a wrong use does not compile", async () => {
    const project = { name: `wrong-${compiler}`, files: [], options: NODENEXT };
    await create(project);
    const code = `import { createTokenCache } from "remint"; export const wrong: number = createTokenCache({});`;
    await writeFile(join(folderOf(project), "wrong.ts"), code);
    const said = await compile(compiler, folderOf(project));
    expect(said).toContain("Type 'TokenCache' is not assignable to type 'number'");
    expect(said).toContain("wrong.ts(1,90): error");
  });

  test.concurrent.each(["node16", "node18"])("%s knows no require of ES modules: import() it is", async (module) => {
    const project = { name: `${module}-${compiler}`, files: ["commonjs.cts"], options: { ...NODENEXT, module } };
    await create(project);
    await writeFile(join(folderOf(project), "dynamic.cts"), DYNAMIC_IMPORT);
    const said = await compile(compiler, folderOf(project));
    expect(said).toContain("commonjs.cts(3,34): error TS1479");
    expect(said).not.toContain("dynamic.cts");
  });
});

const DYNAMIC_IMPORT = `
import type { TokenCache } from "remint" with { "resolution-mode": "import" };
async function start(): Promise<TokenCache> {
  const { createTokenCache } = await import("remint");
  const { createAuthFetch } = await import("remint/fetch");
  const tokens = createTokenCache({ grant: async () => ({ access_token: "a" }), origins: ["https://api.example"] });
  void createAuthFetch(tokens)("https://api.example/a", { remint: false });
  return tokens;
}
export = start;
`;

/** A folder with its own copy of this package, so that it sees the axios or ofetch beside it. */
async function create(project: Project): Promise<void> {
  const folder = folderOf(project);
  await mkdir(folder, { recursive: true });
  await cp(join(withClients, "node_modules/remint"), join(folder, "node_modules/remint"), { recursive: true });
  for (const [name, actual] of Object.entries(project.instead ?? {})) {
    await cp(join(root, "node_modules", actual), join(folder, "node_modules", name), { recursive: true });
  }
  for (const file of [...project.files, "expect.ts"]) await cp(join(root, "test/types", file), join(folder, file));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  const config = { compilerOptions: { ...STRICT, ...project.options }, include: ["*.ts", "*.cts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
}

/** What the compiler has to say of this package and its use; other packages' declarations are theirs. */
async function compile(compiler: string, folder: string): Promise<string> {
  const tsc = join(root, "node_modules", compiler, "bin/tsc");
  const { status, output } = await node([tsc, "-p", ".", "--pretty", "false"], folder);
  const said = output.split("\n").filter((line) => line !== "" && !OF_OTHERS.test(line));
  expect(status, output).toBeLessThanOrEqual(2);
  return said.join("\n");
}
