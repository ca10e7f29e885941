/** Runs every example and the demo as a user does, and compares what they print. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runExample } from "./run-example.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));

/** The last line that each example prints after it has asserted its own outcome. */
const LAST_LINE: Readonly<Record<string, string>> = {
  "any-client": "node:http: 200, 401, 200, mints: 2",
  "bff/main": "identity provider down: 503, Retry-After: 7",
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
  "quick-start": "200, 401 -> re-mint -> 200, mints: 2",
  "refresh-token": "session ended: sign in again, token requests: 1",
  salesforce: "salesforce: calls: 5, sessions that ended: 3, mints: 4",
  "several-apis": "two APIs, two audiences, mints: 2; a third API was asked without a token",
  "token-exchange": "calls: 4, exchanges: 2, kept for minutes: alice 5, bob 60",
  uploads: "a stream: 401, sent once; a body factory: 200, sent again",
};

describe("the examples", () => {
  test("every example is listed here", () => {
    const files = readdirSync(EXAMPLES).filter((file) => file.endsWith(".ts"));
    // examples/spa has packages and tests of its own: `npm run test:spa`.
    const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && entry.name !== "spa",
    );
    const names = [...files.map((file) => file.replace(".ts", "")), ...folders.map(({ name }) => `${name}/main`)];
    expect(new Set(names)).toEqual(new Set([...Object.keys(LAST_LINE), "demo/main"]));
  });

  test.each(Object.entries(LAST_LINE))(
    "examples/%s.ts ends with exit code 0 and prints: %s",
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
    expect((await runExample("quick-start")).stdout).toBe(`${LAST_LINE["quick-start"]}\n`);
  }, 60_000);
});

describe("the demo", () => {
  test("exits with 0 and prints a plain table when every number is right", async () => {
    const { code, stdout, stderr } = await runExample("demo/main", { args: ["--once"] });
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("\u001B");
    expect(rowOf(stdout, "cold start")).toMatch(/^all 3 +1,000 +0 +1 +1 +0 /);
    expect(rowOf(stdout, "revoked in flight")).toMatch(/^all 3 +1,000 +1,000 +1 +1 +0 /);
    expect(rowOf(stdout, "down, token valid")).toMatch(/^all 3 +300 +0 +0 +0 +0 /);
    expect(rowOf(stdout, "down, token revoked")).toMatch(/^all 3 +1,000 +1,000 +[123] +0 +0 /);
    expect(rowOf(stdout, "always says 401")).toMatch(/^all 3 +20 +2[0-4] +[1-4] +[1-4] +20 /);
    expect(rowOf(stdout, "healthy beside it")).toMatch(/^all 3 +60 +0 +0 +0 +0 /);
    expect(rowOf(stdout, "late 401, old token")).toMatch(/^all 3 +20 +20 +0 +0 +0 /);
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

/** Returns a line of the table, without its label. */
function rowOf(stdout: string, label: string): string {
  const line = stdout.split("\n").find((row) => row.startsWith(`  ${label}  `)) ?? "";
  return line.slice(label.length + 2).trimStart();
}
