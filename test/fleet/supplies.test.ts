/** Two caches of one session in one process: each would take the other for another process, and answer for its lease. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, createTokenPool, type TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { ORIGIN } from "./fleet-under-test.ts";
import { SessionServer, sessionGrant } from "./session-server.ts";
import type { FleetStore } from "../../src/core/supply.ts";

const options = { encryptionKey: "none" } as const;
const server = new SessionServer();

/** Creates a cache of Alice's session. */
function open(store: FleetStore, key = "alice"): TokenCache {
  return createTokenCache({ grant: sessionGrant(server, server.signIn(), { key }), origins: [ORIGIN], store });
}

test("C14: a second cache of one session over one store: a TypeError that names prefix", () => {
  const store = fleetStore(memoryStore(), options);
  const first = open(store);
  expect(() => open(store)).toThrow(TypeError);
  expect(() => open(store)).toThrow(/this session in this process already.*"prefix"/);
  expect(() => open(store, "bob")).not.toThrow();
  expect(first.peek()).toBeUndefined();
});

test("C14: a second cache with another prefix: it has a session of its own", async () => {
  const engine = memoryStore();
  const [one, two] = [open(fleetStore(engine, options)), open(fleetStore(engine, { ...options, prefix: "other" }))];
  expect((await one.get()).value).not.toBe((await two.get()).value);
});

test("C14: in two pools over one store: a TypeError for the same key, and none for another", () => {
  const store = fleetStore(memoryStore(), options);
  const create = (): TokenCache =>
    createTokenCache({ grant: sessionGrant(server, "rt-1-0", { key: undefined }), origins: [ORIGIN], store });
  const [one, two] = [createTokenPool({ create }), createTokenPool({ create })];
  one.get("alice");
  expect(() => two.get("alice")).toThrow(/"prefix"/);
  expect(two.get("bob")).toBeDefined();
});

test("C14: after the first was closed, the second goes on from the record", async () => {
  const store = fleetStore(memoryStore(), options);
  const first = open(store);
  const { value } = await first.get();
  await first.close();
  const second = open(store);
  expect((await second.get()).value).toBe(value);
  // The first is closed once more. The second still counts as open.
  await first.close();
  expect(() => open(store)).toThrow(/"prefix"/);
});

test("C14: after the first was collected, another may be created", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const store = fleetStore(memoryStore(), options);
  await open(store).get();
  let second: TokenCache | undefined;
  for (let tries = 0; second === undefined && tries < 100; tries++) {
    // A target of a WeakRef is kept until the end of the job in which it was looked at.
    await new Promise((resolve) => void setImmediate(resolve));
    gc();
    try {
      second = open(store);
    } catch (error) {
      expect(error).toMatchObject({ message: expect.stringContaining('"prefix"') });
    }
  }
  expect((await second!.get()).value).toMatch(/^at-/);
});

test("C14: two caches of one grant that has no session may share a record", async () => {
  const store = fleetStore(memoryStore(), options);
  const grant = fakeGrant({ key: "orders" });
  // A grant that gets its tokens for itself, like client credentials.
  Object.defineProperty(grant, "signIn", { value: undefined });
  const caches = [1, 2].map(() => createTokenCache({ grant, origins: [ORIGIN], store }));
  const values = await Promise.all(caches.map(async (cache) => (await cache.get()).value));
  expect(values).toEqual(["fake-1", "fake-1"]);
});
