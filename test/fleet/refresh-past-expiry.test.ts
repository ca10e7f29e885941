/** A background refresh that is still running when its token expires. The lease must not expire with the token. */
import { expect, test } from "vitest";
import { fleetUnderTest } from "./fleet-under-test.ts";

const LIFETIME = 3600_000;

test("C2: the token expires while one process refreshes it: the others wait for that mint", async () => {
  const { processes, clock, grant } = fleetUnderTest({ size: 4 });
  const first = Promise.all(processes.map(({ cache }) => cache.get()));
  await clock.advance(1000);
  await first;
  await clock.advance(LIFETIME - 1000 - 500);
  const hold = grant.hold();
  const got = processes.slice(0, 1).map(({ cache }) => cache.get());
  await clock.advance(700); // the token has expired now
  got.push(...processes.slice(1).map(({ cache }) => cache.get()));
  await clock.advance(1000);
  expect(grant.mints).toBe(2);
  hold.release();
  await clock.advance(1000);
  const values = (await Promise.all(got)).map(({ value }) => value);
  expect(values.slice(1)).toEqual(["fake-2", "fake-2", "fake-2"]);
  expect(grant.mints).toBe(2);
});
