/** The types of the packed package, with each supported TypeScript, module setting and client version. */
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { node } from "./command.ts";
import { OLD_COMPILERS } from "./consumers.ts";

const { root, withClients, oldCompilers } = inject("consumers");

const COMPILERS = {
  "TypeScript 5.9": "typescript-5",
  "TypeScript 6.0": "typescript",
  "TypeScript 7.0": "typescript-7",
};
const AXIOS = ["axios-1.5.0", "axios-1.6.8", "axios-1.7.9", "axios-1.9.0", "axios-1.13.0"];
const OFETCH = ["ofetch-1.4.0", "ofetch-2"];
const ALL = ["core.ts", "fetch.ts", "axios.ts", "ofetch.ts", "policy.ts", "dpop.ts", "testing.ts"];
const WITH_EXPORTS = [...ALL, "exported.ts"];
const DOM = ["ES2022", "DOM", "DOM.Iterable", "ESNext.Disposable"];
const NODENEXT = { module: "nodenext", lib: DOM, types: [] };

/** A strict project that also checks the declarations of its dependencies. */
const STRICT = {
  target: "es2022",
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  skipDefaultLibCheck: true,
  // The compiler says what its declarations cannot name.
  declaration: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  esModuleInterop: true,
};

/** Matches a compiler error in the declarations of another package. */
const OF_OTHERS = /^\S*node_modules\/(?!remint\/)|^ /;

interface Project {
  readonly name: string;
  readonly files: readonly string[];
  readonly options: object;
  /** Packages of this repository that replace installed ones, by the name of the import. */
  readonly instead?: Readonly<Record<string, string>>;
}

const SERVER = { module: "nodenext", lib: ["ES2022"], types: ["node"] };

const PROJECTS: readonly Project[] = [
  { name: "nodenext", files: [...WITH_EXPORTS, "commonjs.cts"], options: NODENEXT },
  { name: "node20", files: ["axios.ts", "commonjs.cts"], options: { ...NODENEXT, module: "node20" } },
  {
    name: "bundler",
    files: WITH_EXPORTS,
    options: { module: "preserve", moduleResolution: "bundler", lib: DOM, types: [] },
  },
  // This project has Node's types and not the DOM's. ofetch's types do not fit Node's under exactOptionalPropertyTypes, and
  // not beside undici's: TypeScript 7 reports that at the member which remint adds to them.
  { name: "server", files: ALL, options: { ...SERVER, exactOptionalPropertyTypes: false } },
  ...AXIOS.map((axios) => ({
    name: axios,
    files: ["axios.ts", "commonjs.cts"],
    options: NODENEXT,
    instead: { axios },
  })),
  ...OFETCH.map((ofetch) => ({ name: ofetch, files: ["ofetch.ts"], options: NODENEXT, instead: { ofetch } })),
];

/**
 * What the old compilers have to accept: `require` of ES modules came with TypeScript 5.8, and `module: preserve` with 5.4.
 */
const OLD_PROJECTS: readonly Project[] = [
  { name: "old-nodenext", files: WITH_EXPORTS, options: NODENEXT },
  {
    name: "old-bundler",
    files: WITH_EXPORTS,
    options: { module: "esnext", moduleResolution: "bundler", lib: DOM, types: [] },
  },
];

const folderOf = ({ name }: Project): string => join(withClients, "types", name);

beforeAll(async () => {
  for (const project of [...PROJECTS, ...OLD_PROJECTS]) await create(project);
});

describe.each(Object.entries(OLD_COMPILERS))("%s, an old one", (_, compiler) => {
  test.concurrent.each(OLD_PROJECTS)("the published types compile: $name", async (project) => {
    expect(await compile(join(oldCompilers, "node_modules", compiler), folderOf(project))).toBe("");
  });
});

describe.each(Object.entries(COMPILERS))("%s", (_, installed) => {
  const compiler = join(root, "node_modules", installed);

  test.concurrent.each(PROJECTS)("the published types compile: $name", async (project) => {
    expect(await compile(compiler, folderOf(project))).toBe("");
  });

  test.concurrent("code with a wrong type does not compile", async () => {
    const project = { name: `wrong-${installed}`, files: [], options: NODENEXT };
    await create(project);
    const code = `import { createTokenCache } from "remint"; export const wrong: number = createTokenCache({});`;
    await writeFile(join(folderOf(project), "wrong.ts"), code);
    const errors = await compile(compiler, folderOf(project));
    expect(errors).toContain("Type 'TokenCache' is not assignable to type 'number'");
    expect(errors).toContain("wrong.ts(1,90): error");
  });

  test.concurrent.each(["node16", "node18"])(
    "%s cannot require ES modules: require is an error, and import() compiles",
    async (module) => {
      const project = { name: `${module}-${installed}`, files: ["commonjs.cts"], options: { ...NODENEXT, module } };
      await create(project);
      await writeFile(join(folderOf(project), "dynamic.cts"), DYNAMIC_IMPORT);
      const errors = await compile(compiler, folderOf(project));
      expect(errors).toContain("commonjs.cts(3,34): error TS1479");
      expect(errors).not.toContain("dynamic.cts");
    },
  );
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

/** Creates the folder of a project, with its own copy of this package, so that it resolves the axios or ofetch beside it. */
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

/** Compiles a project and returns the errors, without those in the declarations of other packages. */
async function compile(compiler: string, folder: string): Promise<string> {
  const tsc = join(compiler, "bin/tsc");
  const { status, output } = await node([tsc, "-p", ".", "--pretty", "false"], folder);
  const errors = output.split("\n").filter((line) => line !== "" && !OF_OTHERS.test(line));
  expect(status, output).toBeLessThanOrEqual(2);
  return errors.join("\n");
}
