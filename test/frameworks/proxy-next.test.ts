/** `remint/proxy` in a route handler of Next.js, compiled by `next build` and run as `next start` does. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll } from "vitest";
import { describeMount } from "./proxy-contract.ts";
import { build, copyOfExamples } from "./proxy-mounts.ts";

const folder = copyOfExamples();

beforeAll(async () => {
  const cwd = join(folder, "next");
  // The types are checked in proxy-types.test.ts.
  const config = { turbopack: { root: import.meta.dirname }, typescript: { ignoreBuildErrors: true } };
  writeFileSync(join(cwd, "next.config.mjs"), `export default ${JSON.stringify(config)};`);
  await build("next/dist/bin/next", ["build"], cwd);
});

const holdsHead = "Next sends the head of an answer together with the first bytes of its body";
describeMount({ name: "Next 16", server: "next", holdsHead }, () => folder);
