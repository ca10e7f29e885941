/** Renewals in a fleet: tokens of other processes, repeated tokens, and the charges that the fleet shares. */
import { describe, expect, test } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { policyHalf } from "../../src/core/types.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { ORIGIN, TARGET, warm, type FleetUnderTest, type Process } from "./fleet-under-test.ts";
import { writesTo } from "./records.ts";

/** Sends a request to an API that accepts only some tokens. Returns the tokens that were sent, and the last status. */
async function request(
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
  const answer = fetch(`${ORIGIN}${TARGET.path}`);
  await clock.advance(3000);
  return { sent: values, status: (await answer).status };
}

/** Rejects the current token of a process. Returns whether the process renewed it or the storm guard refused. */
async function reject(fleet: FleetUnderTest, process: Process): Promise<"renewed" | "refused"> {
  const renewal = policyHalf(process.cache).rejected(process.cache.peek()!, TARGET);
  if (renewal === undefined) return "refused";
  const next = renewal.next();
  await fleet.clock.advance(1000);
  await next;
  return "renewed";
}

/** Lets every other process adopt the token that was minted last. */
async function adopt({ processes, clock }: FleetUnderTest, but: Process): Promise<void> {
  const others = processes.filter((process) => process !== but);
  const renewals = others.map(
    ({ cache }) => policyHalf(cache).rejected(cache.peek()!, TARGET)?.next() ?? Promise.resolve(),
  );
  await clock.advance(1000);
  await Promise.all(renewals);
}

describe("a token that another process minted", () => {
  test("Q5: was revoked too: the request is sent three times and succeeds", async () => {
    const fleet = await warm({ size: 2 });
    const [a, b] = fleet.processes as [Process, Process];
    // Process b is rejected first. Its new token is revoked soon after.
    expect(await request(fleet, b, (value) => value === "fake-2")).toEqual({ sent: ["fake-1", "fake-2"], status: 200 });
    const outcome = await request(fleet, a, (value) => value === "fake-3");
    expect(outcome).toEqual({ sent: ["fake-1", "fake-2", "fake-3"], status: 200 });
    expect(fleet.grant.mints).toBe(3);
  });

  test("Q5: an API rejects every token: the request is sent three times, then the caller gets the 401", async () => {
    const fleet = await warm({ size: 2 });
    const [a, b] = fleet.processes as [Process, Process];
    await request(fleet, b, (value) => value === "fake-2");
    expect(await request(fleet, a, () => false)).toEqual({ sent: ["fake-1", "fake-2", "fake-3"], status: 401 });
    expect(fleet.grant.mints).toBe(3);
  });

  test("C7: is not final; a token that this process minted after the rejection is final", async () => {
    const { processes, clock } = await warm({ size: 2 });
    const [a, b] = processes as [Process, Process];
    const first = a.cache.peek()!;
    const minted = policyHalf(b.cache).rejected(b.cache.peek()!, TARGET)!.next();
    await clock.advance(1000);
    expect(await minted).toMatchObject({ final: true, token: { value: "fake-2" } });
    const adopted = policyHalf(a.cache).rejected(first, TARGET)!.next();
    await clock.advance(1000);
    expect(await adopted).toMatchObject({ final: false, token: { value: "fake-2" } });
  });

  test("C7: is adopted six times without a charge: no renewal is refused", async () => {
    const { processes, clock, grant } = await warm({ size: 2 });
    const [a, b] = processes as [Process, Process];
    for (let round = 2; round < 8; round++) {
      await clock.advance(61_000);
      for (const { cache } of [b, a]) {
        const token = cache.peek()!;
        const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
        await clock.advance(1000);
        expect((await renewed).token.value).toBe(`fake-${round}`);
        if (cache === b.cache) policyHalf(b.cache).accepted((await renewed).token, TARGET);
      }
    }
    // Elsewhere: there it would not take away a charge.
    policyHalf(a.cache).accepted(a.cache.peek()!, { ...TARGET, path: "/elsewhere" });
    expect(policyHalf(a.cache).onTrial).toBe(false);
    expect(a.events.filter(({ name }) => name === "renewal-refused")).toEqual([]);
    expect(grant.mints).toBe(7);
  });
});

describe("a server that mints the same token again", () => {
  test("C7: 8 processes are rejected at once: one mints, and the others adopt the repeated token as final", async () => {
    const grant = fakeGrant({ key: "orders", response: { access_token: "same" } });
    const { processes, clock } = await warm({ grant, size: 8 });
    const renewals = Promise.all(
      processes.map(({ cache }) => policyHalf(cache).rejected(cache.peek()!, TARGET)!.next()),
    );
    await clock.advance(3000);
    const renewed = await renewals;
    expect(renewed.map(({ token, final }) => `${token.value} ${final}`)).toEqual(processes.map(() => "same true"));
    expect(grant.mints).toBe(2);
  });

  test("C7: a second process is rejected 30 s later: it adopts as final; at its next rejection it mints", async () => {
    const grant = fakeGrant({ key: "orders", response: { access_token: "same" } });
    const { processes, clock } = await warm({ grant, size: 2 });
    const [a, b] = processes as [Process, Process];
    const first = policyHalf(a.cache).rejected(a.cache.peek()!, TARGET)!.next();
    await clock.advance(30_000);
    await first;
    const second = policyHalf(b.cache).rejected(b.cache.peek()!, TARGET)!.next();
    await clock.advance(1000);
    expect(await second).toMatchObject({ final: true });
    expect(grant.mints).toBe(2);
    // Process b knows of that mint now, so the next rejection concerns the repeated token itself.
    const third = policyHalf(b.cache).rejected(b.cache.peek()!, TARGET)!.next();
    await clock.advance(1000);
    expect(await third).toMatchObject({ final: true });
    expect(grant.mints).toBe(3);
  });
});

describe("C8: the fleet shares one count of charges", () => {
  test("C8: rejections in three processes add up in the record, in every phase of it", async () => {
    const fleet = await warm({ size: 3 });
    const writes = writesTo(fleet);
    for (const process of fleet.processes) {
      expect(await reject(fleet, process)).toBe("renewed");
      await adopt(fleet, process);
    }
    expect(writes.map(({ phase, only }) => `${phase}${only.strikes}`)).toEqual(["L1", "T1", "L2", "T2", "L3", "T3"]);
    expect(fleet.grant.mints).toBe(4);
  });

  test("C8: charges of two processes: a third refuses a renewal without a call to the store, until the pause is over", async () => {
    const fleet = await warm({ size: 3 });
    const [a, b, c] = fleet.processes as [Process, Process, Process];
    for (let round = 0; round < 5; round++) {
      await fleet.clock.advance(6000);
      expect(await reject(fleet, [a, b][round % 2]!)).toBe("renewed");
      await adopt(fleet, [a, b][round % 2]!);
    }
    // Five rejections in a row make a pause of four seconds, of which two have passed. Process c has minted nothing.
    expect(c.events.filter(({ name }) => name === "minted")).toHaveLength(0);
    const calls = c.store.calls;
    expect(await reject(fleet, c)).toBe("refused");
    expect(c.store.calls).toBe(calls);
    expect(c.events.at(-1)).toMatchObject({ name: "renewal-refused" });
    await fleet.clock.advance(3000);
    expect(await reject(fleet, c)).toBe("renewed");
    expect(fleet.grant.mints).toBe(7);
  });

  test("C8: a process that starts later reads the charges from the record and refuses the renewal", async () => {
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

  test("C8: a token that was accepted for a minute resets the count", async () => {
    const fleet = await warm({ size: 2 });
    const writes = writesTo(fleet);
    for (const [round, wait] of [1000, 1000, 50_000, 61_000, 1000].entries()) {
      await fleet.clock.advance(wait);
      const process = fleet.processes[round % 2]!;
      expect(await reject(fleet, process)).toBe("renewed");
      await adopt(fleet, process);
    }
    const counts = writes.filter(({ phase }) => phase === "T").map(({ only }) => only.strikes);
    expect(counts).toEqual([1, 2, 3, 1, 2]);
  });
});
