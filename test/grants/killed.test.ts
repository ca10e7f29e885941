/**
 * C14: a process that is killed while its refresh token is replaced. The processes are real, because after a kill no
 * `finally` and no pending promise runs: only what was written before remains. The session is lost only between the server's
 * commit and the end of the save, and the log of each test shows it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { CLIENT, type GrantingServer, startGrantingServer } from "./granting-server.ts";
import { type Log, type ProxyStep, startKillingProxy } from "./killing-proxy.ts";
import { FIRST, startRotatingServer } from "./rotating-server.ts";

const core = new URL("../../src/index.ts", import.meta.url).href;
const root = fileURLToPath(new URL("../..", import.meta.url));

/** A step of the process at which it stops for ever and is killed. */
type ProcessStep = "before the request" | "answer received" | "saving" | "saved" | "served";

interface ServiceOptions {
  readonly tokenEndpoint: string;
  /** The file in which the service keeps its refresh token. */
  readonly database: string;
  readonly stopAt?: ProcessStep | undefined;
  /** How often it asks for a token. It prints the result each time. */
  readonly times?: number;
}

/** Starts a service in a process of its own. */
function startService({ tokenEndpoint, database, stopAt, times = 1 }: ServiceOptions): ReturnType<typeof spawn> {
  const program = `
    import { readFileSync, writeFileSync } from "node:fs";
    import { createTokenCache, refreshTokenGrant } from ${JSON.stringify(core)};
    const reach = (step) => {
      console.log(step);
      if (step === ${JSON.stringify(stopAt)}) {
        setInterval(() => {}, 1e6);
        return new Promise(() => {});
      }
    };
    const grant = refreshTokenGrant({
      tokenEndpoint: ${JSON.stringify(tokenEndpoint)},
      clientId: ${JSON.stringify(CLIENT.clientId)}, clientSecret: ${JSON.stringify(CLIENT.clientSecret)},
      async refreshToken() {
        await reach("before the request");
        return readFileSync(${JSON.stringify(database)}, "utf8");
      },
      async onRotate(next) {
        await reach("saving");
        writeFileSync(${JSON.stringify(database)}, next);
        await reach("saved");
      },
      async fetch(url, init) {
        const response = await fetch(url, init);
        const body = await response.text();
        await reach("answer received");
        return new Response(body, response);
      },
    });
    const cache = createTokenCache({ grant, origins: ["https://api.example"] });
    for (let time = 0; time < ${times}; time++) {
      const said = await cache.get().then(
        () => "served",
        ({ error, code, terminal }) => (error ?? code) + (terminal ? ", terminal" : ""),
      );
      await reach(said);
    }
  `;
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const service = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void service.kill("SIGKILL")); // so that none is left when a test fails
  return service;
}

/** Notes every line that a service prints, until it ends. */
async function follow(service: ReturnType<typeof spawn>, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const chunk of service.stdout!) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
}

async function kill(service: ReturnType<typeof spawn>): Promise<void> {
  const isGone = service.exitCode !== null || service.signalCode !== null;
  const gone = isGone ? undefined : once(service, "exit");
  service.kill("SIGKILL");
  await gone;
  expect(service.signalCode).toBe("SIGKILL");
}

function newDatabase(refreshToken: string): string {
  const folder = mkdtempSync(join(tmpdir(), "remint-killed-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const database = join(folder, "refresh-token");
  writeFileSync(database, refreshToken);
  return database;
}

/** Starts the service once more, and returns what its three callers get. */
async function restart(tokenEndpoint: string, database: string): Promise<string[]> {
  const results: string[] = [];
  const service = startService({ tokenEndpoint, database, times: 3 });
  await follow(service, (line) => {
    if (line === "served" || line.includes("terminal") || line.startsWith("ERR_")) results.push(line);
  });
  return results;
}

/** The session is lost if the server has replaced the refresh token and the next one was not saved. */
const isLost = (log: Log): boolean => log.includes("committed") && !log.includes("saved");

const SERVED = ["served", "served", "served"];
const LOST = ["invalid_grant, terminal", "invalid_grant, terminal", "invalid_grant, terminal"];

describe("a certified server with reuse detection", () => {
  let server: GrantingServer;
  beforeAll(async () => {
    server = await startGrantingServer();
  });
  afterAll(async () => {
    await server.close();
    expect(server.errors).toEqual([]);
  });

  const steps: [when: string, stop: { process?: ProcessStep; proxy?: ProxyStep; goesOn?: boolean }, log: Log][] = [
    ["before the request", { process: "before the request" }, ["before the request", "killed"]],
    [
      "while the request is on its way to the server, which never gets it",
      { proxy: "received", goesOn: false },
      ["before the request", "received", "killed"],
    ],
    [
      "while the request is at the server, which processes it afterwards",
      { proxy: "received", goesOn: true },
      ["before the request", "received", "killed", "committed", "unanswered"],
    ],
    [
      "after the commit and before the answer",
      { proxy: "committed", goesOn: true },
      ["before the request", "received", "committed", "killed", "unanswered"],
    ],
    [
      "after the answer and before onRotate",
      { process: "answer received" },
      ["before the request", "received", "committed", "answered", "answer received", "killed"],
    ],
    [
      "during onRotate, before the refresh token is written",
      { process: "saving" },
      ["before the request", "received", "committed", "answered", "answer received", "saving", "killed"],
    ],
    [
      "during onRotate, after the refresh token is written",
      { process: "saved" },
      ["before the request", "received", "committed", "answered", "answer received", "saving", "saved", "killed"],
    ],
    [
      "after onRotate, with the token served",
      { process: "served" },
      [
        "before the request",
        "received",
        "committed",
        "answered",
        "answer received",
        "saving",
        "saved",
        "served",
        "killed",
      ],
    ],
  ];

  test.each(steps)(
    "C14: killed %s",
    async (_when, stop, expected) => {
      const first = await server.signIn("alice");
      const database = newDatabase(first);
      const log: Log = [];
      const proxy = await startKillingProxy(server.tokenEndpoint, log);
      const { tokenEndpoint } = proxy;
      const service = startService({ tokenEndpoint, database, stopAt: stop.process });
      const killNow = async (): Promise<void> => {
        await kill(service);
        log.push("killed");
      };
      if (stop.proxy !== undefined) {
        proxy.stopAt(stop.proxy, async () => {
          await killNow();
          return stop.goesOn === true;
        });
      }
      await follow(service, (line) => {
        log.push(line);
        if (line === stop.process) void killNow();
      });
      await expect.poll(() => log, { timeout: 10_000 }).toEqual(expected);
      const wasSaved = readFileSync(database, "utf8") !== first;
      expect(wasSaved).toBe(log.includes("saved"));

      const presentedBefore = server.presented.length;
      log.length = 0;
      expect(await restart(tokenEndpoint, database)).toEqual(isLost(expected) ? LOST : SERVED);
      // One request, whatever its outcome: a refused refresh token is not presented again.
      expect(server.presented.length - presentedBefore).toBe(1);
      expect(log.filter((line) => line === "received")).toHaveLength(1);
      expect(log.includes("refused")).toBe(isLost(expected));
    },
    60_000,
  );
});

describe("a server that accepts the replaced refresh token for a grace period", () => {
  test("C14: killed between the answer and the end of onRotate: the session goes on", async () => {
    const server = await startRotatingServer();
    const { tokenEndpoint } = server.auth;
    const database = newDatabase(FIRST);
    const service = startService({ tokenEndpoint, database, stopAt: "saving" });
    await follow(service, (line) => {
      if (line === "saving") service.kill("SIGKILL");
    });
    server.acceptReplaced();
    expect(await restart(tokenEndpoint, database)).toEqual(SERVED);
    expect(server.presented).toEqual([FIRST, FIRST]);
    expect(readFileSync(database, "utf8")).toBe(server.live());
  }, 60_000);
});
