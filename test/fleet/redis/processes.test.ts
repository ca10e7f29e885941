/** A fleet of real processes and a real Redis in normal operation: how many mints and commands it needs. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stage, START_LIMIT } from "./fleet-stage.ts";
import { redisAvailable } from "./redis-server.ts";

const SIZE = 4;
const CALLERS = 10;
const ALL = SIZE * CALLERS;
/** Long limits, so that a slow answer on a busy machine does not count as a fault. */
const fleet = { callTimeout: 10_000, lease: 10_000 };

describe.skipIf(!redisAvailable())("a fleet of real processes", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.start(SIZE, CALLERS);
  }, START_LIMIT);

  afterAll(() => stage[Symbol.asyncDispose]());

  it("a cold start takes one mint", async () => {
    await stage.open({ fleet });
    stage.endpoint.delay = 100;
    expect(await stage.burst()).toMatchObject({ served: ALL, errors: [], mints: 1 });
    expect(await stage.fleet.events()).toEqual({ "mint-started": 1, minted: 1, adopted: SIZE - 1 });
  });

  it("C1: a valid token: no command to Redis", async () => {
    await stage.open({ fleet });
    await stage.burst();
    await stage.redis.resetCommands();
    for (let round = 0; round < 5; round++) expect(await stage.burst()).toMatchObject({ served: ALL, mints: 0 });
    expect([...(await stage.redis.commands()).keys()]).toEqual([]);
  });

  it("C5: the token is revoked: one mint, and no caller gets the 401", async () => {
    await stage.open({ fleet });
    await stage.burst();
    for (let round = 0; round < 3; round++) {
      expect(await stage.revocation()).toMatchObject({ served: ALL, unauthorized: 0, errors: [], mints: 1 });
    }
    expect(stage.api.unauthorized).toBeGreaterThanOrEqual(3 * SIZE);
    expect(await stage.fleet.events()).toMatchObject({ minted: 4, adopted: 4 * (SIZE - 1) });
  });

  it("C5: a late 401 for an old token: no mint and no command to Redis", async () => {
    await stage.open({ fleet });
    await stage.burst();
    const late = stage.fleet.burst(CALLERS, { path: "/slow" });
    await stage.api.holds(ALL);
    await stage.revocation();
    await stage.redis.resetCommands();
    const { mints } = stage.endpoint;
    const before = stage.api.unauthorized;
    stage.api.release();
    await stage.api.holds(ALL); // the same requests, resent
    stage.api.release();
    expect(await late).toMatchObject({ served: ALL, unauthorized: 0, errors: [] });
    expect(stage.api.unauthorized - before).toBe(ALL);
    expect(stage.endpoint.mints).toBe(mints);
    expect(await stage.commands()).toBe(0);
  });

  // If two processes minted at the same time, one of the two tokens would be used by one process only.
  it.each([
    ["C4: no soft window, every process waits", 3, { refreshBuffer: 0, minValidity: 0 }],
    ["C3: a soft window, one process refreshes", 4, { refreshBuffer: 1000, minValidity: 0 }],
  ])("%s: an expiry takes the fleet one mint", async (_, expiresIn, windows) => {
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

  it("S6: no token can be read in Redis, in any phase of the record", async () => {
    await stage.open({ fleet });
    const found: string[][] = [];
    stage.endpoint.onMint = async () => found.push(await stage.readableTokens()); // a lease
    await stage.burst(); // a token
    found.push(await stage.readableTokens());
    await stage.revocation(); // a lease in the place of a token
    found.push(await stage.readableTokens());
    expect(found).toEqual([[], [], [], []]);
  });

  it("S6: the same search finds the token if the record is not encrypted", async () => {
    await stage.open({ fleet, encryptionKey: "none" });
    await stage.burst();
    expect(await stage.readableTokens()).toEqual(stage.endpoint.issued.slice(-1));
  });
});
