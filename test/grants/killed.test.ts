/**
 * A process that is killed while its refresh token is replaced. The processes are real, because after a kill no `finally`
 * and no pending promise runs: only what was written before remains.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FIRST, type RotatingServer, startRotatingServer } from "./rotating-server.ts";

const core = new URL("../../src/index.ts", import.meta.url).href;
const root = fileURLToPath(new URL("../..", import.meta.url));

let folder: string;
let database: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "remint-killed-"));
  database = join(folder, "refresh-token");
  writeFileSync(database, FIRST);
});
const services: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const service of services.splice(0)) service.kill("SIGKILL"); // so that none is left when a test fails
  rmSync(folder, { recursive: true });
});

/** Starts a service in a process of its own. The service keeps its refresh token in a file. */
function start({ auth }: RotatingServer, onRotate: string, body: string): ReturnType<typeof spawn> {
  const program = `
    import { readFileSync, writeFileSync } from "node:fs";
    import { createTokenCache, refreshTokenGrant } from ${JSON.stringify(core)};
    const saved = () => readFileSync(${JSON.stringify(database)}, "utf8");
    const save = (token) => writeFileSync(${JSON.stringify(database)}, token);
    const never = () => new Promise(() => {});
    const grant = refreshTokenGrant({
      tokenEndpoint: ${JSON.stringify(auth.tokenEndpoint)}, clientId: "portal", clientSecret: "secret",
      refreshToken: saved(), current: saved, onRotate: ${onRotate},
    });
    const cache = createTokenCache({ grant, origins: ["https://api.example"] });
    ${body}
  `;
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const service = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  services.push(service);
  return service;
}

/** Kills a service as soon as it has printed a word. */
async function killAt(word: string, service: ReturnType<typeof spawn>): Promise<void> {
  let output = "";
  for await (const chunk of service.stdout!) {
    output += String(chunk);
    if (output.includes(word)) service.kill("SIGKILL");
  }
  if (service.exitCode === null && service.signalCode === null) await once(service, "exit");
  expect([output.trim(), service.signalCode]).toEqual([word, "SIGKILL"]);
}

async function outputOf(service: ReturnType<typeof spawn>): Promise<string[]> {
  let output = "";
  for await (const chunk of service.stdout!) output += String(chunk);
  return output.trim().split("\n");
}

/** The program of the service that is started afterwards: it asks for a token three times and prints the results. */
const THREE_TIMES = `
  for (let attempt = 0; attempt < 3; attempt++) {
    const said = ({ value }) => value;
    console.log(await cache.get().then(said, ({ error, terminal }) => error + (terminal ? ", terminal" : "")));
  }
`;
const RESTARTED = "(token) => save(token)";

test("killed between the answer and the end of onRotate: one terminal refusal, and no further request", async () => {
  const server = await startRotatingServer();
  await killAt(
    "rotating",
    start(server, `() => (console.log("rotating"), never())`, "cache.get(); setInterval(never, 1e6);"),
  );
  expect(readFileSync(database, "utf8")).toBe(FIRST);
  const output = await outputOf(start(server, RESTARTED, THREE_TIMES));
  expect(output).toEqual(Array(3).fill("invalid_grant, terminal"));
  expect(server.presented).toEqual([FIRST, FIRST]);
}, 30_000);

test("the same at a server that accepts the replaced refresh token for a grace period: the session goes on", async () => {
  const server = await startRotatingServer();
  await killAt(
    "rotating",
    start(server, `() => (console.log("rotating"), never())`, "cache.get(); setInterval(never, 1e6);"),
  );
  server.acceptReplaced();
  expect(await outputOf(start(server, RESTARTED, THREE_TIMES))).toEqual(Array(3).fill("at-2"));
  expect(server.presented).toEqual([FIRST, FIRST]);
  expect(readFileSync(database, "utf8")).toBe(server.live());
}, 30_000);

test("killed after onRotate has saved the refresh token, before the access token was used: the session goes on", async () => {
  const server = await startRotatingServer();
  const saving = `(token) => (save(token), console.log("saved"), never())`;
  await killAt("saved", start(server, saving, "cache.get(); setInterval(never, 1e6);"));
  expect(await outputOf(start(server, RESTARTED, THREE_TIMES))).toEqual(Array(3).fill("at-2"));
  expect(server.presented).toEqual([FIRST, "rt-1-next"]);
}, 30_000);
