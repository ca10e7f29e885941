/** Runs the cases of the contract of every client that a proxy has to keep too: waiting, renewing, storms, streams, aborts. */
import { describe, expect, test } from "vitest";
import { coldCases } from "../adapters/contract-cold.ts";
import { renewalCases } from "../adapters/contract-renewal.ts";
import { runMinute, stormCases, stormName } from "../adapters/contract-storm.ts";
import { streamCases } from "../adapters/contract-streams.ts";
import { type Case, World } from "../adapters/world.ts";
import { proxyClient } from "./proxy-client.ts";

/** Cases that are left out: a part of the name, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "a list of caches": "a request of a proxy has one cache, that of the user who is signed in",
  "every call gets its 401": "the case reads the body of the API's 401, which a page never gets",
  "after three sends with a token the 401 goes to the caller":
    "the case reads the body of the API's 401, which a page never gets",
  "a 2 MB 401 that goes to the caller arrives whole": "a page never gets the API's 401",
};

/** More than the proxy keeps, so that it cannot be sent again. */
const LONG = "x".repeat(100 * 1024);

const cases: readonly Case[] = [
  ...coldCases,
  ...renewalCases,
  ...stormCases,
  {
    name: stormName("called with bodies that are too long to be kept"),
    run: (world: World) =>
      runMinute(world, async (_world, call, url) => {
        expect((await call(url, { method: "POST", body: LONG })).status).toBe(401);
      }),
  },
  ...streamCases,
].filter(({ clients }) => clients === undefined);

describe("proxy", () => {
  for (const { name, run } of cases) {
    const reason = Object.entries(LEFT_OUT).find(([part]) => name.includes(part))?.[1];
    test(name, async (context) => {
      context.skip(reason !== undefined, reason);
      const world = await World.start(proxyClient);
      try {
        await run(world);
      } finally {
        await world.end();
      }
    });
  }

  test("every case that is left out is there", () => {
    const missing = Object.keys(LEFT_OUT).filter((part) => !cases.some(({ name }) => name.includes(part)));
    expect(missing).toEqual([]);
  });
});
