/** Issue C, item 6: renewals across processes. A 401 in one of them is the whole fleet's business, and no more than that. */
import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { ORIGIN, SITE, warm, type FleetUnderTest, type Process } from "./fleet-under-test.ts";
import { writesTo } from "./session-server.ts";

/** One request to an API that accepts only some values, while time passes. @returns What was sent, and the last status. */
async function sent(
  { clock }: FleetUnderTest,
  { cache }: Process,
  accepts: (value: string) => boolean,
): Promise<{ sent: string[]; status: number }> {
  const values: string[] = [];
  const fetch = createAuthFetch(cache, {
    fetch: async (_, init) => {
      const value = new Headers(init?.headers).get("authorization")!.replace("Bearer ", "");
      values.push(value);
      return new Response(null, { status: accepts(value) ? 200 : 401 });
    },
  });
  const answer = fetch(`${ORIGIN}${SITE.path}`);
  await clock.advance(3000);
  return { sent: values, status: (await answer).status };
}

/** Rejects whatever the processes have, in turn. @returns How often a process was refused the renewal, in order. */
async function reject(fleet: FleetUnderTest, process: Process): Promise<"renewed" | "refused"> {
  const renewal = policyHalf(process.cache).rejected(process.cache.peek()!, SITE);
  if (renewal === undefined) return "refused";
  const next = renewal.next();
  await fleet.clock.advance(1000);
  await next;
  return "renewed";
}

/** The others take over what was minted last. */
async function adopt({ processes, clock }: FleetUnderTest, but: Process): Promise<void> {
  const others = processes.filter((process) => process !== but);
  const renewals = others.map(
    ({ cache }) => policyHalf(cache).rejected(cache.peek()!, SITE)?.next() ?? Promise.resolve(),
  );
  await clock.advance(1000);
  await Promise.all(renewals);
}

describe("a token that another process minted", () => {
  test("Q5: was revoked too: the caller sends three times and gets its answer", async () => {
    const fleet = await warm({ size: 2 });
    const [a, b] = fleet.processes as [Process, Process];
    // b finds out first, and its new token does not live long either.
    expect(await sent(fleet, b, (value) => value === "fake-2")).toEqual({ sent: ["fake-1", "fake-2"], status: 200 });
    const outcome = await sent(fleet, a, (value) => value === "fake-3");
    expect(outcome).toEqual({ sent: ["fake-1", "fake-2", "fake-3"], status: 200 });
    expect(fleet.grant.mints).toBe(3);
  });

  test("Q5: is the last thing an always refusing API costs a caller: three sends, then its 401", async () => {
    const fleet = await warm({ size: 2 });
    const [a, b] = fleet.processes as [Process, Process];
    await sent(fleet, b, (value) => value === "fake-2");
    expect(await sent(fleet, a, () => false)).toEqual({ sent: ["fake-1", "fake-2", "fake-3"], status: 401 });
    expect(fleet.grant.mints).toBe(3);
  });

  test("C7: is not final; one that was minted here after the rejection is", async () => {
    const { processes, clock } = await warm({ size: 2 });
    const [a, b] = processes as [Process, Process];
    const first = a.cache.peek()!;
    const minted = policyHalf(b.cache).rejected(b.cache.peek()!, SITE)!.next();
    await clock.advance(1000);
    expect(await minted).toMatchObject({ final: true, token: { value: "fake-2" } });
    const adopted = policyHalf(a.cache).rejected(first, SITE)!.next();
    await clock.advance(1000);
    expect(await adopted).toMatchObject({ final: false, token: { value: "fake-2" } });
  });

  test("C7: is adopted without a charge: no renewal is refused later because of it", async () => {
    const { processes, clock, grant } = await warm({ size: 2 });
    const [a, b] = processes as [Process, Process];
    for (let round = 2; round < 8; round++) {
      await clock.advance(61_000);
      for (const { cache } of [b, a]) {
        const token = cache.peek()!;
        const renewed = policyHalf(cache).rejected(token, SITE)!.next();
        await clock.advance(1000);
        expect((await renewed).token.value).toBe(`fake-${round}`);
        if (cache === b.cache) policyHalf(b.cache).accepted((await renewed).token, SITE);
      }
    }
    expect(policyHalf(a.cache).onTrial).toBe(false);
    expect(grant.mints).toBe(7);
  });
});

describe("F5: a server that hands out the same live token", () => {
  test("C7: the repeated value is adopted as final, and nobody else mints", async () => {
    const grant = fakeGrant({ key: "orders", response: { access_token: "same" } });
    const { processes, clock } = await warm({ grant, size: 8 });
    const renewals = Promise.all(processes.map(({ cache }) => policyHalf(cache).rejected(cache.peek()!, SITE)!.next()));
    await clock.advance(3000);
    const renewed = await renewals;
    expect(renewed.map(({ token, final }) => `${token.value} ${final}`)).toEqual(processes.map(() => "same true"));
    expect(grant.mints).toBe(2);
  });

  test("C7: nor does one whose request comes much later", async () => {
    const grant = fakeGrant({ key: "orders", response: { access_token: "same" } });
    const { processes, clock } = await warm({ grant, size: 2 });
    const [a, b] = processes as [Process, Process];
    const first = policyHalf(a.cache).rejected(a.cache.peek()!, SITE)!.next();
    await clock.advance(30_000);
    await first;
    const second = policyHalf(b.cache).rejected(b.cache.peek()!, SITE)!.next();
    await clock.advance(1000);
    expect(await second).toMatchObject({ final: true });
    expect(grant.mints).toBe(2);
    // Now it knows of that mint: the next rejection is of this one.
    const third = policyHalf(b.cache).rejected(b.cache.peek()!, SITE)!.next();
    await clock.advance(1000);
    expect(await third).toMatchObject({ final: true });
    expect(grant.mints).toBe(3);
  });
});

describe("C8: one count for the fleet", () => {
  test("C8: rejections in different processes add up, in the record, and are kept by every phase", async () => {
    const fleet = await warm({ size: 3 });
    const writes = writesTo(fleet);
    for (const process of fleet.processes) {
      expect(await reject(fleet, process)).toBe("renewed");
      await adopt(fleet, process);
    }
    expect(writes.map(({ phase, strikes }) => `${phase}${strikes}`)).toEqual(["L1", "T1", "L2", "T2", "L3", "T3"]);
    expect(fleet.grant.mints).toBe(4);
  });

  test("C8: what one process was charged closes the others without a call to the store, until the time in the record", async () => {
    const fleet = await warm({ size: 3 });
    const [a, b, c] = fleet.processes as [Process, Process, Process];
    for (let round = 0; round < 5; round++) {
      await fleet.clock.advance(6000);
      expect(await reject(fleet, [a, b][round % 2]!)).toBe("renewed");
      await adopt(fleet, [a, b][round % 2]!);
    }
    // Five in a row: four seconds, of which two have passed. c itself was never charged for a mint.
    expect(c.events.filter(({ name }) => name === "minted")).toHaveLength(0);
    const calls = c.store.calls;
    expect(await reject(fleet, c)).toBe("refused");
    expect(c.store.calls).toBe(calls);
    expect(c.events.at(-1)).toMatchObject({ name: "renewal-refused" });
    await fleet.clock.advance(3000);
    expect(await reject(fleet, c)).toBe("renewed");
    expect(fleet.grant.mints).toBe(7);
  });

  test("C8: a process that has just begun is told by the record", async () => {
    const fleet = await warm({ size: 2 });
    const [a, b] = fleet.processes as [Process, Process];
    for (let round = 0; round < 5; round++) {
      await fleet.clock.advance(6000);
      expect(await reject(fleet, [a, b][round % 2]!)).toBe("renewed");
      await adopt(fleet, [a, b][round % 2]!);
    }
    const late = fleet.join();
    const token = late.cache.get();
    await fleet.clock.advance(100);
    await token;
    expect(await reject(fleet, late)).toBe("refused");
    expect(fleet.grant.mints).toBe(6);
  });

  test("C8: a token that was good for a minute begins the count anew", async () => {
    const fleet = await warm({ size: 2 });
    const writes = writesTo(fleet);
    for (const [round, wait] of [1000, 1000, 50_000, 61_000, 1000].entries()) {
      await fleet.clock.advance(wait);
      const process = fleet.processes[round % 2]!;
      expect(await reject(fleet, process)).toBe("renewed");
      await adopt(fleet, process);
    }
    const counts = writes.filter(({ phase }) => phase === "T").map(({ strikes }) => strikes);
    expect(counts).toEqual([1, 2, 3, 1, 2]);
  });
});
