/** A fleet of real processes: the process that holds the lease is killed, suspended, or loses its lease. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Stage, START_LIMIT } from "./fleet-stage.ts";
import { redisAvailable } from "./redis-server.ts";

const SIZE = 4;
const CALLERS = 10;
const fleet = { callTimeout: 10_000, lease: 1500 };

describe.skipIf(!redisAvailable())("a process that holds the lease", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.start(SIZE, CALLERS);
  }, START_LIMIT);

  afterAll(() => stage[Symbol.asyncDispose]());

  beforeEach(async () => {
    await stage.open({ fleet });
    await stage.burst();
    stage.endpoint.reset();
    stage.endpoint.revokeAll();
  });

  /** Runs `act` for the first process that mints, before its mint is answered. Resolves with the process's number. */
  function atFirstMint(act: (minter: number) => unknown): Promise<number> {
    return new Promise((resolve) => {
      stage.endpoint.onMint = async (minter) => {
        stage.endpoint.onMint = undefined;
        resolve(minter);
        await act(minter);
      };
    });
  }

  it("is killed while it mints: another process mints, and the callers of all other processes are served", async () => {
    const dead = atFirstMint((minter) => stage.fleet.processes[minter]!.kill());
    const calls = await Promise.allSettled(stage.fleet.processes.map((process) => process.tell("burst", burst)));
    const killed = await dead;
    calls.forEach((outcome, process) => {
      if (process === killed) expect(outcome.status).toBe("rejected");
      else expect(outcome).toMatchObject({ value: { served: CALLERS, unauthorized: 0, errors: [] } });
    });
    expect(stage.endpoint.mints).toBe(2);
    await stage.replace(killed);
    // The new process adopts the token in the record.
    expect(await stage.burst()).toMatchObject({ served: SIZE * CALLERS, mints: 0 });
  });

  it("is suspended until its lease has expired: its late write is refused, and it adopts the fleet's token", async () => {
    const suspended = atFirstMint((minter) => stage.fleet.processes[minter]!.freeze());
    const calls = stage.fleet.processes.map((process) => process.tell("burst", burst));
    const frozen = await suspended;
    const others = await Promise.all(calls.filter((_, process) => process !== frozen));
    for (const outcome of others) expect(outcome).toMatchObject({ served: CALLERS, unauthorized: 0, errors: [] });
    expect(stage.endpoint.mints).toBe(2);
    const record = await stage.record();
    await stage.redis.resetCommands();

    stage.fleet.processes[frozen]!.thaw();
    expect(await calls[frozen]).toMatchObject({ served: CALLERS, unauthorized: 0, errors: [] });
    // The thawed process has called Redis.
    expect(await stage.commands()).toBeGreaterThan(0);
    expect(await stage.record()).toBe(record);
    await expectOneToken();
  });

  it("Redis loses everything while it mints: one more mint, and one token for all processes", async () => {
    let answer!: () => void;
    const late = new Promise<void>((resolve) => (answer = resolve));
    const loser = atFirstMint(async () => {
      await stage.redis.command("FLUSHALL");
      await late;
    });
    const calls = stage.fleet.processes.map((process) => process.tell("burst", burst));
    const last = await loser;
    const others = await Promise.all(calls.filter((_, process) => process !== last));
    for (const outcome of others) expect(outcome).toMatchObject({ served: CALLERS, unauthorized: 0, errors: [] });
    const record = await stage.record();
    answer();
    expect(await calls[last]).toMatchObject({ served: CALLERS, unauthorized: 0, errors: [] });
    expect(await stage.record()).toBe(record);
    await expectOneToken();
  });

  /** Expects that two tokens were minted, that every process uses the one in the record, and that renewals work. */
  async function expectOneToken(): Promise<void> {
    expect(stage.endpoint.mints).toBe(2);
    expect(new Set(stage.fleet.processes.map(({ number }) => stage.api.used(number).at(-1))).size).toBe(1);
    expect(await stage.burst()).toMatchObject({ served: SIZE * CALLERS, unauthorized: 0, errors: [], mints: 0 });
    expect(await stage.revocation()).toMatchObject({ served: SIZE * CALLERS, unauthorized: 0, errors: [], mints: 1 });
  }
});

const burst = { callers: CALLERS, path: "/orders" };
