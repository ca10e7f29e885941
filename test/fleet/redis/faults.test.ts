/** A fleet of real processes whose Redis fails, or has foreign data in place of the record. No caller may get an error. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FAULTS, FOREIGN, OF_ANOTHER_KEY, plant } from "./fleet-faults.ts";
import { Stage, START_LIMIT, type Outcome } from "./fleet-stage.ts";
import { redisAvailable } from "./redis-server.ts";

const SIZE = 4;
const CALLERS = 10;
const ALL = SIZE * CALLERS;
const good = { served: ALL, unauthorized: 0, errors: [] };

function withNames<T extends { readonly name: string }>(cases: readonly T[]): [string, T][] {
  return cases.map((each) => [each.name, each]);
}

/** Expects that every caller was served and that no process minted twice. */
function expectDegraded(outcome: Outcome): void {
  expect(outcome).toMatchObject(good);
  expect(outcome.mostByOne).toBe(1);
}

describe.skipIf(!redisAvailable())("a fleet of processes", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.start(SIZE, CALLERS);
  }, START_LIMIT);

  afterAll(() => stage[Symbol.asyncDispose]());

  it.each(withNames(FAULTS))(
    "Redis fails (%s): no caller gets an error; each process mints once, and after the fault the fleet mints once",
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

  describe("foreign data in place of the record", () => {
    it.each(withNames(FOREIGN))("%s: replaced at the next rejection, by one mint", async (_, foreign) => {
      const key = await plant(stage, foreign);
      const planted = await stage.redis.command("GET", key);
      expect(await stage.burst()).toMatchObject({ ...good, mints: 0 });
      expect(await stage.redis.command("GET", key)).toEqual(planted);
      expect(await stage.revocation()).toMatchObject({ ...good, mints: 1 });
      expect(await stage.revocation()).toMatchObject({ ...good, mints: 1 });
      expect(await stage.record()).toMatch(/^1T/);
      expect((await stage.fleet.events())["store-failed"]).toBe(undefined);
    });

    it("S6: a record sealed by another key: it stays, and the processes mint for themselves until it is deleted", async () => {
      const key = await plant(stage, OF_ANOTHER_KEY);
      const planted = await stage.redis.command("GET", key);
      expect(await stage.burst()).toMatchObject({ ...good, mints: 0 });
      expectDegraded(await stage.revocation());
      expectDegraded(await stage.revocation());
      expect(await stage.redis.command("GET", key)).toEqual(planted);
      expect((await stage.fleet.events())["store-failed"]).toBeGreaterThan(0);
      await stage.redis.command("DEL", key);
      const outcomes = await stage.recovery();
      for (const outcome of outcomes) expectDegraded(outcome);
      expect(outcomes.at(-1)?.mints).toBe(1);
    });

    it("a list: it stays, and the processes mint for themselves until it is deleted", async () => {
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
