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
  /** Nothing but this package. */
  readonly alone: string;
  /** Beside it the clients it adapts, and what CommonJS users test with. */
  readonly withClients: string;
}

declare module "vitest" {
  interface ProvidedContext {
    readonly consumers: Consumers;
  }
}

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Only consumers use these, so they are no development dependencies. */
const JEST = ["jest@30.5.2", "@babel/core@7.29.0", "@babel/plugin-transform-modules-commonjs@7.28.6"];
let base: string | undefined;

export async function setup(project: TestProject): Promise<void> {
  base = await mkdtemp(join(tmpdir(), "remint-consumers-"));
  const packed = await succeed("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", base], root);
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  const tarball = join(base, filename);
  const alone = await install("alone", [tarball]);
  const clients = ["axios", "dpop", "ofetch", "ky", "openapi-fetch", "@types/node"];
  const withClients = await install("with-clients", [tarball, ...(await pinned(clients)), ...JEST]);
  project.provide("consumers", { root, alone, withClients });
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

/** The versions this repository is developed with. */
async function pinned(names: readonly string[]): Promise<string[]> {
  const { devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  return names.map((name) => `${name}@${devDependencies[name]}`);
}
