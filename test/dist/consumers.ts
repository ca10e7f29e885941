/** Packs the package and installs it in folders outside the repository, once for all tests of `test/dist`. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { succeed } from "./command.ts";
import type { TestProject } from "vitest/node";

/** Folders outside the repository in which the packed package is installed. */
export interface Consumers {
  /** The repository. */
  readonly root: string;
  /** A folder with this package alone. */
  readonly alone: string;
  /** A folder with this package, the clients that it adapts, and Jest for CommonJS. */
  readonly withClients: string;
  /** Folders with this package and one Redis client of version 4, which npm must install side by side. */
  readonly withOldRedis: Readonly<Record<"redis" | "ioredis", string>>;
  /** A folder with the old versions of TypeScript in {@link OLD_COMPILERS}. */
  readonly oldCompilers: string;
}

/** The oldest TypeScript that the published types are for, and 5.6, which looks up axios' types in an order of its own. */
export const OLD_COMPILERS: Readonly<Record<string, string>> = {
  "TypeScript 5.3": "typescript-5.3",
  "TypeScript 5.6": "typescript-5.6",
};

declare module "vitest" {
  interface ProvidedContext {
    readonly consumers: Consumers;
  }
}

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Only the installed folders need these, so they are not development dependencies. */
const JEST = ["jest@30.5.2", "@babel/core@7.29.0", "@babel/plugin-transform-modules-commonjs@7.28.6"];
let base: string | undefined;

export async function setup(project: TestProject): Promise<void> {
  base = await mkdtemp(join(tmpdir(), "remint-consumers-"));
  const packed = await succeed("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", base], root);
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  const tarball = join(base, filename);
  const alone = await install("alone", [tarball]);
  const clients = ["axios", "dpop", "jose", "ofetch", "undici", "ky", "openapi-fetch", "oauth4webapi", "@types/node"];
  const withClients = await install("with-clients", [tarball, ...(await pinned(clients)), ...JEST]);
  const withOldRedis = {
    redis: await install("redis-4", [tarball, "redis@4.7.1"]),
    ioredis: await install("ioredis-4", [tarball, "ioredis@4.31.0", "@types/ioredis@4.28.10"]),
  };
  const compilers = ["typescript-5.3@npm:typescript@5.3.3", "typescript-5.6@npm:typescript@5.6.3"];
  const oldCompilers = await install("old-compilers", compilers);
  project.provide("consumers", { root, alone, withClients, withOldRedis, oldCompilers });
}

export async function teardown(): Promise<void> {
  if (base !== undefined) await rm(base, { recursive: true, force: true });
}

async function install(name: string, packages: readonly string[]): Promise<string> {
  const folder = join(base as string, name);
  await mkdir(folder);
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true }));
  const quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"];
  await succeed("npm", ["install", ...quiet, ...packages], folder);
  return folder;
}

/** Returns the packages with the versions that this repository is developed with. */
async function pinned(names: readonly string[]): Promise<string[]> {
  const { devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  return names.map((name) => `${name}@${devDependencies[name]}`);
}
