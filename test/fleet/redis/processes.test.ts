/** One token for real processes over a real Redis: what everyday life costs a fleet. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stage, START_LIMIT } from "./fleet-stage.ts";
import { redisAvailable } from "./redis-server.ts";

const SIZE = 4;
const CALLERS = 10;
const ALL = SIZE * CALLERS;
/** Long: on a busy machine a slow answer must not look like a fault. */
const fleet = { callTimeout: 10_000, lease: 10_000 };

describe.skipIf(!redisAvailable())("fleet: real processes", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.start(SIZE, CALLERS);
  }, START_LIMIT);

  afterAll(() => stage[Symbol.asyncDispose]());

  it("fleet: a cold start costs one mint", async () => {
    await stage.open({ fleet });
    stage.endpoint.delay = 100;
    expect(await stage.burst()).toMatchObject({ served: ALL, errors: [], mints: 1 });
    expect(await stage.fleet.events()).toEqual({ minted: 1, adopted: SIZE - 1 });
  });

  it("C1: while the token is good, Redis is asked nothing at all", async () => {
    await stage.open({ fleet });
    await stage.burst();
    await stage.redis.resetCommands();
    for (let round = 0; round < 5; round++) expect(await stage.burst()).toMatchObject({ served: ALL, mints: 0 });
    expect([...(await stage.redis.commands()).keys()]).toEqual([]);
  });

  it("C5: a revocation costs one mint, and nobody sees the 401", async () => {
    await stage.open({ fleet });
    await stage.burst();
    for (let round = 0; round < 3; round++) {
      expect(await stage.revocation()).toMatchObject({ served: ALL, unauthorized: 0, errors: [], mints: 1 });
    }
    expect(stage.api.unauthorized).toBeGreaterThanOrEqual(3 * SIZE);
    expect(await stage.fleet.events()).toMatchObject({ minted: 4, adopted: 4 * (SIZE - 1) });
  });

  it("C5: a late 401 for an old token costs no mint and no command", async () => {
    await stage.open({ fleet });
    await stage.burst();
    const late = stage.fleet.burst(CALLERS, { path: "/slow" });
    await stage.api.holds(ALL);
    await stage.revocation();
    await stage.redis.resetCommands();
    const { mints } = stage.endpoint;
    const before = stage.api.unauthorized;
    stage.api.release();
    await stage.api.holds(ALL); // the same requests, sent again
    stage.api.release();
    expect(await late).toMatchObject({ served: ALL, unauthorized: 0, errors: [] });
    expect(stage.api.unauthorized - before).toBe(ALL);
    expect(stage.endpoint.mints).toBe(mints);
    expect(await stage.commands()).toBe(0);
  });

  // What a process minted for itself, beside another one's mint, no other process would ever use.
  it.each([
    ["C4: when everybody waits for it", 3, { refreshBuffer: 0, minValidity: 0 }],
    ["C3: when one process refreshes it ahead", 4, { refreshBuffer: 1000, minValidity: 0 }],
  ])("%s, an expiry costs the fleet one mint", async (_, expiresIn, windows) => {
    await stage.open({ fleet, ...windows });
    stage.endpoint.expiresIn = expiresIn;
    stage.endpoint.delay = 50;
    await stage.fleet.start(2, 50);
    await stage.endpoint.reached(3);
    const past = stage.endpoint.issued.slice(-2);
    expect(await stage.fleet.stop()).toMatchObject({ unauthorized: 0, errors: [] });
    for (const { number } of stage.fleet.processes)
      expect(stage.api.used(number)).toEqual(expect.arrayContaining(past));
    expect(stage.endpoint.mostAtOnce).toBe(1);
  });

  it("S6: no token can be read in Redis, whatever the record says", async () => {
    await stage.open({ fleet });
    const found: string[][] = [];
    stage.endpoint.onMint = async () => found.push(await stage.readableTokens()); // a lease
    await stage.burst(); // a token
    found.push(await stage.readableTokens());
    await stage.revocation(); // a lease in the place of a token
    found.push(await stage.readableTokens());
    expect(found).toEqual([[], [], [], []]);
  });

  it("S6: ... while the same search finds it where nothing is encrypted", async () => {
    await stage.open({ fleet, encryptionKey: "none" });
    await stage.burst();
    expect(await stage.readableTokens()).toEqual(stage.endpoint.issued.slice(-1));
  });
});
