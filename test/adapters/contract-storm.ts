/** C8 over a minute of the cache's clock: one path that always says 401 beside a healthy one. */
import { Readable } from "node:stream";
import { expect } from "vitest";
import { manualClock } from "remint/testing";
import { type Case, times, type World } from "./world.ts";
import type { Call } from "./clients.ts";

/** Calls the broken path once and lets nothing escape. */
type Broken = (world: World, call: Call, url: string) => Promise<void>;

const plain: Broken = async (_world, call, url) => {
  expect((await call(url)).status).toBe(401);
};

/** Never sent again (Q6): judged by their resend such requests would get past any guard. */
const streaming: Broken = async (_world, call, url) => {
  expect((await call(url, { method: "POST", body: Readable.from(["part ", "by part"]) })).status).toBe(401);
};

/** Leaves as soon as the 401 of its request has made the cache mint. */
const aborting: Broken = async (world, call, url) => {
  const controller = new AbortController();
  world.auth.respondAlways(() => {
    controller.abort(new DOMException("gone", "AbortError"));
    return undefined;
  });
  await call(url, { signal: controller.signal }).then(
    ({ status }) => expect(status).toBe(401),
    () => expect(controller.signal.aborted).toBe(true),
  );
  world.auth.respondAlways(undefined);
};

export const stormCases: readonly Case[] = [
  { name: stormName("called twice a second"), run: (world) => aMinute(world, plain) },
  { name: stormName("called with streams"), run: (world) => aMinute(world, streaming) },
  { name: stormName("whose callers abort"), run: (world) => aMinute(world, aborting) },
];

function stormName(broken: string): string {
  return (
    `C8: a path that always says 401, ${broken}, costs at most 10 mints a minute, ` +
    `and a healthy path beside it surfaces nothing when the token is revoked`
  );
}

async function aMinute(world: World, broken: Broken): Promise<void> {
  const clock = manualClock();
  const { call } = await world.warm({ clock });
  world.api.respondAlways(({ url }) => (url === "/broken" ? { status: 401, body: "no" } : undefined));
  const healthy: number[] = [];
  for (const halfSecond of times(120, (index) => index)) {
    if (halfSecond === 61) world.auth.revokeAll();
    await broken(world, call, `${world.api.origin}/broken`);
    healthy.push((await call(`${world.api.origin}/healthy`)).status);
    await clock.advance(500);
  }
  expect(healthy).toEqual(times(120, () => 200));
  // Without the one that made the cache warm. At least one belongs to the revocation.
  expect(world.auth.mints - 1).toBeGreaterThan(1);
  expect(world.auth.mints - 1).toBeLessThanOrEqual(10);
}
