/** `remint/proxy` in an endpoint of SvelteKit, built for Node.js. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { beforeAll } from "vitest";
import { describeMount } from "./proxy-contract.ts";
import { build, copyOfExamples } from "./proxy-mounts.ts";

const folder = copyOfExamples();

beforeAll(async () => {
  const cwd = join(folder, "sveltekit");
  cpSync(join(import.meta.dirname, "sveltekit"), cwd, { recursive: true });
  await build("vite/bin/vite.js", ["build"], cwd);
});

const holdsHead = "SvelteKit sends the head of an answer together with the first bytes of its body";
describeMount({ name: "SvelteKit 2", server: "sveltekit", holdsHead }, () => folder);
