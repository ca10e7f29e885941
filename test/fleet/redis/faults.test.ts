/** What a fleet makes of a Redis that fails it, or holds what is not its own: no error for anybody, and a way back. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FAULTS, FOREIGN, plant } from "./fleet-faults.ts";
import { Stage, START_LIMIT, type Outcome } from "./fleet-stage.ts";
import { redisAvailable } from "./redis-server.ts";

const SIZE = 4;
const CALLERS = 10;
const ALL = SIZE * CALLERS;
const good = { served: ALL, unauthorized: 0, errors: [] };

function named<T extends { readonly name: string }>(cases: readonly T[]): [string, T][] {
  return cases.map((one) => [one.name, one]);
}

/** Every caller was served, and no process minted twice. */
function expectDegraded(outcome: Outcome): void {
  expect(outcome).toMatchObject(good);
  expect(outcome.mostByOne).toBe(1);
}

describe.skipIf(!redisAvailable())("fleet: a Redis that fails", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.start(SIZE, CALLERS);
  }, START_LIMIT);

  afterAll(() => stage[Symbol.asyncDispose]());

  it.each(named(FAULTS))(
    "fleet: %s: no error for anybody, one mint per process, then one per fleet",
    async (_, fault) => {
      await stage.open({ fleet: { callTimeout: 300 } });
      await stage.burst();
      await fault.begin(stage);
      expect(await stage.burst()).toMatchObject({ ...good, mints: 0 });
      const events = await stage.fleet.events();
      expectDegraded(await stage.revocation());
      expectDegraded(await stage.revocation());
      expect((await stage.fleet.events())["store-failed"]).toBeGreaterThan(events["store-failed"] ?? 0);
      await fault.end(stage);
      const outcomes = await stage.recovery();
      for (const outcome of outcomes) expectDegraded(outcome);
      expect(outcomes.at(-1)?.mints).toBe(1);
    },
  );

  describe("fleet: a record that is not its own", () => {
    it.each(named(FOREIGN))("fleet: %s is replaced, which costs one mint", async (_, foreign) => {
      const key = await plant(stage, foreign);
      const planted = await stage.redis.command("GET", key);
      expect(await stage.burst()).toMatchObject({ ...good, mints: 0 });
      expect(await stage.redis.command("GET", key)).toEqual(planted);
      expect(await stage.revocation()).toMatchObject({ ...good, mints: 1 });
      expect(await stage.revocation()).toMatchObject({ ...good, mints: 1 });
      expect(await stage.record()).toMatch(/^T/);
      expect((await stage.fleet.events())["store-failed"]).toBe(undefined);
    });

    it("fleet: data of another kind is kept, and the fleet does without Redis while it is there", async () => {
      await stage.open();
      await stage.burst();
      const key = await stage.key();
      await stage.redis.command("DEL", key);
      await stage.redis.command("RPUSH", key, "a", "b");
      expect(await stage.burst()).toMatchObject({ ...good, mints: 0 });
      expectDegraded(await stage.revocation());
      expectDegraded(await stage.revocation());
      expect(await stage.redis.command("LRANGE", key, 0, -1)).toEqual(["a", "b"]);
      await stage.redis.command("DEL", key);
      const outcomes = await stage.recovery();
      for (const outcome of outcomes) expectDegraded(outcome);
      expect(outcomes.at(-1)?.mints).toBe(1);
    });
  });
});
