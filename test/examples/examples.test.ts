/** Runs every example and the demo as a user does, and compares what they print. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { OFFLINE_OUTPUT } from "../house/markdown.ts";
import { runExample } from "./run-example.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));

/** The last line that each example prints after it has asserted its own outcome. */
const LAST_LINE: Readonly<Record<string, string>> = {
  "any-client": "node:http: 200, 401, 200, mints: 2",
  chalk: "chalk: queries: 2, exchanges: 2, environment: env-abc",
  "custom-grant-azure-identity": "@azure/identity's shape: calls: 2, tokens: 2, kept for minutes: 60",
  "custom-grant-openid-client": "openid-client's shape: calls: 4, mints: 2, token requests: 3",
  "fleet/main":
    spawnSync("redis-server", ["--version"]).status === 0
      ? "3 processes, 300 calls, mints: cold 1, after a revocation 2"
      : "no REDIS_URL, and no redis-server to start: nothing was shown",
  dpop: "dpop: calls: 3, mints: 2, a stolen token with another key: 401",
  "jwt-bearer": "mints: 2, assertions: 2, for: alice",
  msw: "msw: the service survived a revoked token, mints: 2",
  "own-grant": "calls: 200, 200, 200, logins: 2, one session ended by the server",
  "per-user": "users: 2, mints: 3 (one of them for a revoked token), nobody signed in: 401",
  "quick-start.mjs": OFFLINE_OUTPUT,
  "refresh-token": "session ended: sign in again, token requests: 1",
  salesforce: "salesforce: calls: 5, sessions that ended: 3, mints: 4",
  "several-apis": "two APIs, two audiences, mints: 2; a third API was asked without a token",
  "token-exchange": "calls: 4, exchanges: 2, kept for minutes: alice 5, bob 60",
  undici: "undici: 200, 200, mints: 2",
  uploads: "a stream: 401, sent once; a body factory: 200, sent again",
};

describe("the examples", () => {
  test("every example is listed here", () => {
    const files = readdirSync(EXAMPLES).filter((file) => /\.m?[jt]s$/.test(file));
    // Without a main.ts it runs elsewhere: proxy beside the frameworks, in test/frameworks; spa by `npm run test:spa`,
    // recipes by `npm run test:recipes`, apps by `npm run test:apps`.
    const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter(({ name }) =>
      existsSync(join(EXAMPLES, name, "main.ts")),
    );
    const names = [...files.map((file) => file.replace(".ts", "")), ...folders.map(({ name }) => `${name}/main`)];
    // examples/bff has packages of its own, and tests beside it: `npm run test:bff`.
    expect(new Set(names)).toEqual(new Set([...Object.keys(LAST_LINE), "demo/main", "bff/main"]));
  });

  test.each(Object.entries(LAST_LINE))(
    "examples/%s ends with exit code 0 and prints: %s",
    async (name, lastLine) => {
      const { code, stdout, stderr } = await runExample(name);
      expect({ code, stderr, lastLine: stdout.trimEnd().split("\n").at(-1) }).toEqual({
        code: 0,
        stderr: "",
        lastLine,
      });
    },
    60_000,
  );

  test("the quick start prints one line and nothing else", async () => {
    expect((await runExample("quick-start.mjs")).stdout).toBe(`${OFFLINE_OUTPUT}\n`);
  }, 60_000);
});

describe("the demo", () => {
  test("in a terminal of 60 columns exits with 0 and prints a plain table of at most that width when every number is right", async () => {
    const { code, stdout, stderr } = await runExample("demo/main", { args: ["--once"], env: { COLUMNS: "60" } });
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("\u001B");
    expect(rowsOf(stdout, "cold start")[0]).toMatch(/^1,000 +0 +1 +1 +0 /);
    expect(rowsOf(stdout, "revoked in flight")[0]).toMatch(/^1,000 +1,000 +1 +1 +0 /);
    expect(rowsOf(stdout, "down, still valid")[0]).toMatch(/^300 +0 +0 +0 +0 /);
    expect(rowsOf(stdout, "down, revoked")[0]).toMatch(/^1,000 +1,000 +[123] +0 +0 /);
    expect(rowsOf(stdout, "always says 401")[0]).toMatch(/^20 +2[0-4] +[1-4] +[1-4] +20 /);
    expect(rowsOf(stdout, "healthy beside it")[0]).toMatch(/^60 +0 +0 +0 +0 /);
    expect(rowsOf(stdout, "late 401")[0]).toMatch(/^20 +20 +0 +0 +0 /);
    // As many requests as beside it, so that the times can be compared.
    const usual = rowsOf(stdout, "  the usual way");
    expect(usual).toEqual([
      expect.stringMatching(/^1,000 +0 /),
      expect.stringMatching(/^1,000 +1,000 /),
      expect.stringMatching(/^20 +20 +20 +20 +0 /),
    ]);
    const lines = stdout.split("\n");
    expect(lines.filter((line) => line.length > 60)).toEqual([]);
    expect(stdout).toMatch(/All 23 numbers are right/);
  }, 120_000);

  test("exits with 1 and prints the scenario, the expected and the actual number when a number is wrong", async () => {
    const { code, stdout } = await runExample("demo/main", { preload: ["test/examples/two-mints.ts"] });
    expect(code, stdout).toBe(1);
    expect(stdout).toContain("✗ A cold start: mints: expected 1, got 2\n");
    expect(stdout).not.toContain("numbers are right");
  }, 120_000);

  test("Ctrl-C ends the demo at once with exit code 130", async () => {
    let sent = false;
    const { code, stdout, stderr } = await runExample("demo/main", {
      onOutput(output, child) {
        if (sent || !output.includes("A cold start")) return;
        sent = child.kill("SIGINT");
      },
    });
    expect({ code, stderr }, stdout).toEqual({ code: 130, stderr: "" });
    expect(stdout).toContain("Stopped.");
    expect(stdout).not.toContain("p50/p99");
  }, 120_000);
});

/** Returns the lines of the table with this label, without it. */
function rowsOf(stdout: string, label: string): string[] {
  const lines = stdout.split("\n").filter((row) => row.startsWith(`  ${label} `));
  return lines.map((line) => line.slice(label.length + 2).trimStart());
}
