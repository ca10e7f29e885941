/** Bun and Deno, with their own fetch, Request and Response. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const packages = join(import.meta.dirname, "node_modules");
const script = join(import.meta.dirname, "runtime.ts");

/** Returns the program that a package for this platform brings, or `undefined`. */
function programOf(scope: string, path: string): string | undefined {
  const folder = join(packages, scope);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.map((name) => join(folder, name, path)).find((file) => existsSync(file));
}

const bun = programOf("@oven", "bin/bun");
const deno = programOf("@deno", "deno");

describe.each([
  { name: "Bun", program: bun, args: [script], length: "9" },
  // Deno sends a Request of which there is a clone in chunks. The resend has its length.
  {
    name: "Deno",
    program: deno,
    args: ["run", "-A", "--no-lock", "--no-check", "--node-modules-dir=manual", script],
    length: null,
  },
])("$name", ({ program, args, length }) => {
  test.skipIf(program === undefined)(
    "Q6, Q8, Q15: requests of every kind, renewals, and a 401 that is kept",
    async () => {
      const { stdout } = await promisify(execFile)(program!, args, {
        env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
      });
      const { statuses, sends, lengths, kept, wrong } = JSON.parse(stdout) as Record<string, unknown[]>;
      expect(statuses).toEqual([200, 200, 200, 200, 200]);
      expect(sends).toEqual([
        ["fake-1", "GET", ""],
        ["fake-1", "POST", "warm"],
        ["fake-1", "PATCH", "of a class"],
        ["fake-1", "POST", "a Request"],
        ["fake-2", "POST", "a Request"],
        ["fake-2", "POST", "a stream"],
        ["fake-3", "POST", "a stream"],
        ["fake-3", "PUT", "last"],
      ]);
      expect(lengths?.slice(3, 5)).toEqual([length, "9"]);
      const body = { ok: false, error: "invalid_token" };
      expect([kept, wrong]).toEqual([[401, true, true, body, body], "TypeError"]);
    },
  );
});
