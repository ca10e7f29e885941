/** The types of remint beside those of Nitro and Bun, which declare a `$fetch` and a `fetch` of their own. */
import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isInstalled } from "./implementations.ts";

const root = join(import.meta.dirname, "../..");
const folder = join(import.meta.dirname, ".types");

const HEAD = `
import { createTokenCache } from "remint";
import { createAuthFetch, type AuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
const tokens = createTokenCache({ grant: async () => ({ access_token: "a" }), origins: ["self"] });
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}
`;

/** The routes of an application, as Nitro generates them. */
const NITRO = `
import type { $Fetch } from "nitropack";
declare module "nitropack" {
  interface InternalApi {
    "/api/users/:id": { get: { readonly id: number }; delete: undefined };
  }
}
declare const $fetch: $Fetch;
const api = createAuthOfetch(tokens, {}, { ofetch: $fetch });
same<typeof api, $Fetch>(true);
const user = await api("/api/users/7");
same<typeof user, { readonly id: number }>(true);
const gone = await api("/api/users/7", { method: "delete", remint: { retry: false } });
same<typeof gone, undefined>(true);
const { status } = await api.raw("/api/users/7", { remint: false });
same<typeof status, number>(true);
const orders = await createAuthOfetch(tokens, { baseURL: "/api" })<{ readonly total: number }>("/orders");
same<typeof orders.total, number>(true);
export const plain: typeof $fetch = createAuthOfetch(tokens, { retry: 0 }, { ofetch: $fetch, failedRenewal: "throw" });
// @ts-expect-error a fetch is no $fetch
createAuthOfetch(tokens, {}, { ofetch: fetch });
// @ts-expect-error not a method of the route
void api("/api/users/7", { method: "put" });
`;

const BUN = `
import { type $Fetch } from "ofetch";
const overs = [createAuthFetch(tokens, { fetch }), createAuthFetch(tokens, { fetch: Bun.fetch })];
same<(typeof overs)[number], AuthFetch>(true);
export const called: (input: string | URL | Request, init?: BunFetchRequestInit) => Promise<Response> = createAuthFetch(tokens);
// In Bun, \`fetch\` has a member of its own.
export const dropIn: typeof fetch = Object.assign(createAuthFetch(tokens), { preconnect: fetch.preconnect });
void called("https://api.example/a", { method: "POST", tls: { rejectUnauthorized: false } });
export const api: $Fetch = createAuthOfetch(tokens, {}, { fetch });
// @ts-expect-error no fetch
createAuthFetch(tokens, { fetch: 5 });
`;

const PROJECTS = [
  {
    name: "Nitro",
    code: NITRO,
    options: { lib: ["ES2023", "ESNext.Disposable", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], types: ["node"] },
  },
  { name: "Bun", code: BUN, options: { lib: ["ES2023", "ESNext.Disposable"], types: ["bun-types"] } },
];
const COMPILERS = {
  "TypeScript 5.9": "typescript-5",
  "TypeScript 6.0": "typescript",
  "TypeScript 7.0": "typescript-7",
};

const paths = {
  remint: [join(root, "src/index.ts")],
  "remint/fetch": [join(root, "src/adapters/fetch.ts")],
  "remint/ofetch": [join(root, "src/adapters/ofetch.ts")],
  // A user has one ofetch.
  ofetch: [join(import.meta.dirname, "node_modules/ofetch")],
};

beforeAll(() => {
  for (const { name, code, options } of PROJECTS) {
    const project = join(folder, name);
    mkdirSync(project, { recursive: true });
    writeFileSync(join(project, "user.ts"), HEAD + code);
    const compilerOptions = {
      target: "es2022",
      module: "preserve",
      moduleResolution: "bundler",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      typeRoots: [join(import.meta.dirname, "node_modules/@types"), join(import.meta.dirname, "node_modules")],
      paths,
      ...options,
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["user.ts"] }));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!isInstalled).each(Object.entries(COMPILERS))("%s", (_name, compiler) => {
  test.each(PROJECTS)(
    "Q17: the code of a user of $name compiles",
    async ({ name }) => {
      const tsc = join(root, "node_modules", compiler, "bin/tsc");
      const run = promisify(execFile)(process.execPath, [tsc, "-p", join(folder, name), "--pretty", "false"], {
        cwd: folder,
      });
      const output = await run.then(
        ({ stdout }) => stdout,
        (error: { stdout: string }) => error.stdout,
      );
      // What is wrong in other files is no concern of the user's code.
      expect(output.split("\n").filter((line) => line.includes("user.ts"))).toEqual([]);
      expect(output).not.toMatch(/error TS(?:18003|5\d{3}|6053)/);
    },
    120_000,
  );
});
