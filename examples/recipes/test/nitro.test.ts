import { rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { build, createNitro, prepare } from "nitropack";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { carriesTokens, serve, type Stage, startStage } from "./stage.ts";

const FOLDER = fileURLToPath(new URL("../nitro", import.meta.url));

/** The built server. It is loaded anew for each test, as if a process of its own was started. */
let entry: string;

beforeAll(async () => {
  const nitro = await createNitro({
    rootDir: FOLDER,
    preset: "node-listener",
    // One file, which a test can load anew.
    inlineDynamicImports: true,
    logLevel: 1,
  });
  await prepare(nitro);
  await build(nitro);
  await nitro.close();
  entry = `${nitro.options.output.serverDir}/index.mjs`;
});

afterAll(() => {
  for (const folder of [".output", ".nitro"]) rmSync(`${FOLDER}/${folder}`, { recursive: true, force: true });
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** Starts the server for a stage, and returns the URL of its route. */
async function startServer({ auth, api }: Stage): Promise<string> {
  vi.stubEnv("TOKEN_ENDPOINT", auth.tokenEndpoint);
  vi.stubEnv("CLIENT_SECRET", "s3cret");
  vi.stubEnv("API_ORIGIN", api.origin);
  const { listener } = (await import(`${pathToFileURL(entry).href}?${api.origin}`)) as { listener: RequestListener };
  return `${await serve(listener)}/orders`;
}

describe("Nitro", () => {
  carriesTokens(async (stage) => {
    const url = await startServer(stage);
    return async () => expect(await (await fetch(url)).json()).toEqual({ ok: true, path: "/orders" });
  });

  test("when no token can be had, a browser gets 503, the Retry-After of the token endpoint, and nothing about the reason", async () => {
    const stage = await startStage();
    const log = vi.spyOn(console, "error").mockReturnValue();
    stage.auth.respondAlways({ status: 503, headers: { "retry-after": "60" } });
    const response = await fetch(await startServer(stage));
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "60"]);
    expect(await response.text()).not.toContain(stage.auth.origin);
    expect(inspect(log.mock.calls)).toContain(`hint: the token endpoint ${stage.auth.tokenEndpoint} answered 503`);
  });
});
