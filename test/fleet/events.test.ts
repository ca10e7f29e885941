/** Mints and tokens of others, as the events of one process of a fleet tell them. */
import { describe, expect, test } from "vitest";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { fleetUnderTest, warm, type Process } from "./fleet-under-test.ts";

const HOUR = 3_600_000;
const told = ({ events }: Process): string[] => events.map(({ name }) => name);

const rotatingGrant = (): FakeGrant => fakeGrant({ key: "orders", state: "first", onState: () => {} });

describe("C20: events of a fleet", () => {
  test("C20: only the process that mints tells that a mint begins; the others tell that they took over its token", async () => {
    const { processes } = await warm({ size: 3 });
    const byLength = processes.toSorted((a, b) => told(a).length - told(b).length);
    expect(byLength.map(told)).toEqual([["adopted"], ["adopted"], ["mint-started", "minted"]]);
    const minter = byLength[2];
    const [started, minted] = minter!.events as { readonly id?: number }[];
    expect(started?.id).toBe(minted?.id);
  });

  test("C20: a look at the record that finds the same token is no event", async () => {
    const { processes, clock, join } = await warm({ size: 1, fleet: { maxStaleness: 1000 } });
    await clock.advance(60_000);
    await processes[0]!.cache.get();
    const late = join();
    const got = late.cache.get();
    await clock.advance(1000);
    await got;
    expect([told(processes[0]!), told(late)]).toEqual([["mint-started", "minted"], ["adopted"]]);
  });

  test("C20: a mint that lost its lease and takes over another's token ends with adopted, and its id", async () => {
    const fleet = fleetUnderTest({ size: 0, fleet: { lease: 3000 } });
    const slow = fleet.join({ grant: rotatingGrant() });
    const other = fleet.join({ grant: rotatingGrant() });
    const hold = slow.grant.hold();
    const got = slow.cache.get();
    await fleet.clock.advance(100);
    slow.store.fault = () => Promise.reject(new Error("cut off"));
    const takesOver = other.cache.get();
    await fleet.clock.advance(5000);
    slow.store.fault = undefined;
    hold.release();
    await fleet.clock.advance(1000);
    expect((await got).value).toBe((await takesOver).value);
    const { id } = slow.events[0] as { readonly id: number };
    expect(slow.events).toMatchObject([
      { name: "mint-started", id },
      { name: "lease-lost" },
      { name: "adopted", id, waiters: 1 },
    ]);
  });

  test("C20: a refresh in the background of one process is told by that one alone", async () => {
    const { processes, clock } = await warm({ size: 2 });
    await clock.advance(HOUR - 30_000);
    for (const { cache } of processes) cache.peek();
    await clock.advance(1000);
    expect(processes.flatMap(told).filter((name) => name === "mint-started")).toHaveLength(2);
  });
});
