/**
 * C8: the storm guard over one minute of the cache's clock, with one path that always answers 401 beside a healthy one.
 */
import { Readable } from "node:stream";
import { expect } from "vitest";
import { manualClock } from "remint/testing";
import { type Case, times, type World } from "./world.ts";
import type { Call } from "./clients.ts";

/** Calls the path that always answers 401, and asserts the outcome. */
export type Broken = (world: World, call: Call, url: string) => Promise<void>;

const plain: Broken = async (_world, call, url) => {
  expect((await call(url)).status).toBe(401);
};

/** Streams are never resent (Q6), so a guard that looked only at resends would not limit them. */
const streaming: Broken = async (_world, call, url) => {
  expect((await call(url, { method: "POST", body: Readable.from(["part ", "by part"]) })).status).toBe(401);
};

/** Aborts as soon as the 401 of its request has started a mint. */
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
  { name: stormName("called twice a second"), run: (world) => runMinute(world, plain) },
  { name: stormName("called with streams"), run: (world) => runMinute(world, streaming) },
  { name: stormName("whose callers abort"), run: (world) => runMinute(world, aborting) },
];

export function stormName(broken: string): string {
  return (
    `C8: a path that always answers 401, ${broken}, costs at most 10 mints a minute, ` +
    `and no 401 surfaces at a healthy path beside it when the token is revoked`
  );
}

export async function runMinute(world: World, broken: Broken): Promise<void> {
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
  // Without the first mint. At least one of the others belongs to the revocation.
  expect(world.auth.mints - 1).toBeGreaterThan(1);
  expect(world.auth.mints - 1).toBeLessThanOrEqual(10);
}
