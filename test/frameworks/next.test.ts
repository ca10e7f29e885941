/** A route handler of Next.js that answers `error.getResponse()`, compiled by `next build` and run as `next start` does. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll } from "vitest";
import { describeFramework } from "./contract.ts";

beforeAll(async () => {
  const cwd = fileURLToPath(new URL("next", import.meta.url));
  const next = fileURLToPath(new URL("node_modules/next/dist/bin/next", import.meta.url));
  const env = { PATH: process.env["PATH"], NODE_ENV: "production" as const, NEXT_TELEMETRY_DISABLED: "1" };
  await promisify(execFile)(process.execPath, [next, "build"], { cwd, env });
});

describeFramework({
  name: "Next 16, with return error.getResponse()",
  server: "next-16",
  answers: "status and headers",
  hasUncaught: true,
});
