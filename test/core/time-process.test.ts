/**
 * Processes that are frozen in the middle of a mint, as a container, a virtual machine or a laptop is, and processes that
 * may end. They are real processes, stopped with SIGSTOP and continued with SIGCONT.
 *
 * A process is stopped when its request has arrived at the server, for longer than the mint may take. What is measured is
 * no time: every assertion is about who was served.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const core = new URL("../../src/index.ts", import.meta.url).href;
const axiosAdapter = new URL("../../src/adapters/axios/index.ts", import.meta.url).href;

/** Milliseconds. */
const MINT_TIMEOUT = 1500;
/** Longer than a mint may take, by more than the 2 s from which a late timer counts as a freeze. */
const FROZEN = MINT_TIMEOUT + 2500;

const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL"); // so that none is left when a test fails
});

/** What becomes of the token requests that a process has sent when it is stopped. */
type Fate = "answered meanwhile" | "reset meanwhile" | "never answered";

interface Scenario {
  /** The program. It begins to mint, and goes on after `await thawed`. */
  readonly body: string;
  readonly fate: Fate;
  /** How many requests the process sends before it is stopped. @defaultValue 1 */
  readonly requests?: number;
}

/** Runs a program and stops it in the middle of its mint. Returns what it said. */
async function freeze({ body, fate, requests = 1 }: Scenario): Promise<string[]> {
  const held: ServerResponse[] = [];
  let isFrozen = false;
  let mints = 0;
  let frozen!: () => void;
  const arrived = new Promise<void>((resolve) => (frozen = resolve));
  const server = createServer((request, response) => {
    if (request.url !== "/token") return void response.end(request.headers.authorization);
    if (isFrozen) return answer(response, ++mints);
    if (held.push(response) === requests) frozen();
  });
  const origin = await listen(server);
  const child = start(origin, `${WARM}\n${body}`);
  try {
    await arrived;
    child.kill("SIGSTOP");
    isFrozen = true;
    await sleep(200);
    for (const response of held) {
      if (fate === "answered meanwhile") answer(response, ++mints);
      else if (fate === "reset meanwhile") response.socket!.resetAndDestroy();
    }
    await sleep(FROZEN);
    child.kill("SIGCONT");
    child.send("thawed");
    return await outputOf(child);
  } finally {
    child.kill("SIGKILL");
    server.closeAllConnections();
    server.close();
  }
}

/** What a first request costs is paid before the mint. */
const WARM = `await fetch(server).then((response) => response.text());`;

function answer(response: ServerResponse, count: number): void {
  const body = { access_token: `at-${count}`, token_type: "Bearer", expires_in: 3600, refresh_token: `rt-${count}` };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function start(origin: string, body: string): ChildProcess {
  const program = `
    import axios from "axios";
    import { clientCredentialsGrant, createTokenCache, createTokenPool, refreshTokenGrant } from ${JSON.stringify(core)};
    import { createAuthInterceptor } from ${JSON.stringify(axiosAdapter)};
    process.on("unhandledRejection", (reason) => { console.log("unhandled", reason); process.exitCode = 9; });
    const thawed = new Promise((resolve) => process.once("message", resolve));
    const server = ${JSON.stringify(origin)};
    const endpoint = { tokenEndpoint: server + "/token", clientId: "portal", clientSecret: "secret" };
    const options = { origins: [server], mintTimeout: ${MINT_TIMEOUT} };
    const say = (text) => console.log(text);
    const outcome = (promise) => promise.then(({ value }) => value, ({ code }) => code);
    ${body}
    process.disconnect();
  `;
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit", "ipc"] });
  children.add(child);
  return child;
}

async function outputOf(child: ChildProcess): Promise<string[]> {
  let output = "";
  child.stdout!.on("data", (chunk) => (output += String(chunk)));
  const [code] = (await once(child, "close")) as [number | null];
  return [...output.trim().split("\n"), `exit ${code}`];
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** A caller that waits while the process is frozen, and two that come after the thaw. */
const COLD = `
  const cache = createTokenCache({ ...options, grant: clientCredentialsGrant(endpoint) });
  const first = outcome(cache.get());
  await thawed;
  say(await first);
  say(await outcome(cache.get()));
  say(await outcome(cache.get()));
`;

/** The token that is cached ends during the freeze, while it is refreshed in the background. */
const BACKGROUND = `
  const initial = { access_token: "old", expires_in: 6, receivedAt: Date.now() - 4000 };
  const cache = createTokenCache({ ...options, grant: clientCredentialsGrant(endpoint), initial, minValidity: 0 });
  say(cache.peek().value);
  await thawed;
  say(await outcome(cache.get()));
  say(await outcome(cache.get()));
`;

const STATEFUL = `
  const rotated = [];
  const grant = refreshTokenGrant({ ...endpoint, refreshToken: "rt-0", onRotate: (token) => void rotated.push(token) });
  const cache = createTokenCache({ ...options, grant });
  const first = outcome(cache.get());
  await thawed;
  say(await first);
  say(await outcome(cache.get()));
  say(rotated);
`;

const AXIOS = `
  const cache = createTokenCache({ ...options, grant: clientCredentialsGrant(endpoint) });
  const client = axios.create({ baseURL: server });
  client.interceptors.request.use(createAuthInterceptor(cache));
  const call = () => client.get("/api").then(({ data }) => data, ({ code }) => code);
  const first = call();
  await thawed;
  say(await first);
  say(await call());
  say(await call());
`;

/** Three keys wait while the process is frozen, and a fourth comes after the thaw. */
const POOL = `
  const create = () => createTokenCache({ ...options, mintRetries: 0, grant: clientCredentialsGrant(endpoint) });
  const pool = createTokenPool({ create });
  const waiting = ["a", "b", "c"].map((key) => outcome(pool.get(key).get()));
  await thawed;
  const codes = await Promise.all(waiting);
  say(codes.every((code) => code.startsWith("at-")));
  say(await outcome(pool.get("d").get()));
  say((await outcome(pool.get("a").get())) === codes[0]);
`;

describe("C9: a process is frozen during a mint, for longer than mintTimeout", () => {
  const scenarios: readonly (readonly [string, Scenario, readonly string[]])[] = [
    [
      "cold, and the answer came meanwhile: the caller that waited is served",
      { body: COLD, fate: "answered meanwhile" },
      ["at-1", "at-1", "at-1"],
    ],
    [
      "cold, and the connection was reset meanwhile: the mint is retried",
      { body: COLD, fate: "reset meanwhile" },
      ["at-1", "at-1", "at-1"],
    ],
    [
      "cold, and the server never answers, because the connection is dead: another mint serves the caller that waited",
      { body: COLD, fate: "never answered" },
      ["at-1", "at-1", "at-1"],
    ],
    [
      "a background refresh whose answer came meanwhile",
      { body: BACKGROUND, fate: "answered meanwhile" },
      ["old", "at-1", "at-1"],
    ],
    [
      "a background refresh whose connection was reset meanwhile",
      { body: BACKGROUND, fate: "reset meanwhile" },
      ["old", "at-1", "at-1"],
    ],
    [
      "a refresh token whose answer came meanwhile: it is saved and used",
      { body: STATEFUL, fate: "answered meanwhile" },
      ["at-1", "at-1", "[ 'rt-1' ]"],
    ],
    [
      "a refresh token whose connection was reset meanwhile: another mint serves the caller that waited",
      { body: STATEFUL, fate: "reset meanwhile" },
      ["at-1", "at-1", "[ 'rt-1' ]"],
    ],
    [
      "axios, and the answer came meanwhile",
      { body: AXIOS, fate: "answered meanwhile" },
      ["Bearer at-1", "Bearer at-1", "Bearer at-1"],
    ],
    [
      "axios, and the server never answers: the request that waited is sent",
      { body: AXIOS, fate: "never answered" },
      ["Bearer at-1", "Bearer at-1", "Bearer at-1"],
    ],
    [
      "three keys of a pool whose connections were reset: each is served, and no other key is told",
      { body: POOL, fate: "reset meanwhile", requests: 3 },
      ["true", "at-4", "true"],
    ],
  ];

  const results = new Map<string, string[] | Error>();
  beforeAll(async () => {
    // Frozen processes cost nothing, so all run at once.
    await Promise.all(
      scenarios.map(async ([name, scenario]) => {
        results.set(name, await freeze(scenario).catch((error: Error) => error));
      }),
    );
  }, 60_000);

  test.each(scenarios)("C9: %s", (name, _, said) => {
    expect(results.get(name)).toEqual([...said, "exit 0"]);
  });
});

describe("C4, C12: a caller that was served with the old token", () => {
  test("C4, C12: when its wait is over, the mint that goes on does not keep the process alive", async () => {
    const body = `
      const initial = { access_token: "old", expires_in: 4, receivedAt: Date.now() - 3500 };
      const never = { mint: () => new Promise(() => {}) };
      const cache = createTokenCache({ ...options, grant: never, initial, mintTimeout: 600_000 });
      process.on("exit", () => say("exits"));
      say(await outcome(cache.get()));
    `;
    const child = start("http://127.0.0.1:9", body);
    expect(await outputOf(child)).toEqual(["old", "exits", "exit 0"]);
  });
});
