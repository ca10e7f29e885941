/** C12: a user who does nothing costs memory alone: no timer, no listener and no controller is left. How much: idle-memory.ts. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, test, vi } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { clientCredentialsGrant, createTokenPool, customGrant, type Grant } from "../../src/index.ts";
import { fakeGrant, manualClock, type ManualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, TARGET, type CacheUnderTest } from "./cache-under-test.ts";
import { BOB, rotated, sessionUnderTest } from "./sessions-under-test.ts";
import type { MintContext } from "../../src/core/grant.ts";

afterEach(() => vi.restoreAllMocks());

/** What a user may have done before they rest. */
const PASTS: [string, (under: CacheUnderTest) => Promise<unknown>][] = [
  ["nothing", async () => {}],
  ["a mint", ({ cache }) => cache.get()],
  ["a mint with a signal", ({ cache }) => cache.get({ signal: new AbortController().signal })],
  ["a mint that failed", ({ cache, grant }) => (grant.fail(new Error("x")), rejectionOf(cache.get()))],
  [
    "a renewal",
    async ({ cache }) => {
      const renewal = policyHalf(cache).rejected(await cache.get(), TARGET);
      await renewal?.next();
    },
  ],
  ["a rotation", ({ cache, grant }) => (grant.respond(rotated("a", "alice-2")), cache.get())],
  ["a sign-in", ({ cache }) => cache.signIn(BOB)],
  ["the end of its session", ({ cache }) => cache.signOut()],
  [
    "an hour, and a refresh in the background",
    async ({ cache, clock }) => {
      await cache.get();
      await clock.advance(3_590_000);
      cache.peek();
    },
  ],
  ["two targets", ({ cache }) => Promise.all([cache.for({ scope: "a" }).get(), cache.for({ scope: "b" }).get()])],
  [
    "a caller that left",
    async ({ cache, grant }) => {
      const hold = grant.hold();
      const controller = new AbortController();
      const left = rejectionOf(cache.get({ signal: controller.signal }));
      controller.abort();
      await left;
      hold.release();
    },
  ],
];

const GRANTS: [string, (clock: ManualClock) => CacheUnderTest][] = [
  ["a grant with a state", (clock) => sessionUnderTest({ clock })],
  ["a grant without one", (clock) => cacheUnderTest({ clock, grant: fakeGrant({ revoke: () => {} }) })],
];

describe.each(GRANTS)("C12: at rest, %s", (_, make) => {
  test.each(PASTS)(
    "C12: after %s, 50 users have no timer, and every listener they added is gone",
    async (_what, past) => {
      const added = vi.spyOn(AbortSignal.prototype, "addEventListener");
      const removed = vi.spyOn(AbortSignal.prototype, "removeEventListener");
      const clock = manualClock();
      const unders: CacheUnderTest[] = [];
      for (let user = 0; user < 50; user++) {
        const under = make(clock);
        unders.push(under);
        if (user === 0 || clock.monotonic() === 0) await past(under);
      }
      await settle();
      expect([clock.timers, clock.awaited]).toEqual([0, 0]);
      // `once` listeners of signals that have aborted are removed by the platform.
      const aborted = added.mock.instances.filter((signal) => (signal as { readonly aborted: boolean }).aborted).length;
      expect(added.mock.calls.length - removed.mock.calls.length).toBeLessThanOrEqual(aborted);
      expect(unders).toHaveLength(50);
    },
  );
});

describe("C12: what a mint has used", () => {
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;

  test.each([
    ["a function", (mint: (context: MintContext) => string) => mint],
    [
      "a custom grant that may be repeated",
      (mint: (context: MintContext) => string) => customGrant({ mint, mintRetries: 1 }),
    ],
    ["a custom grant with a state", (mint: (context: MintContext) => string) => customGrant({ mint, state: "s" })],
  ])("C12: the controllers of the mints of 50 users are free when the users are at rest: %s", async (_, grantOf) => {
    const signals: WeakRef<AbortSignal>[] = [];
    const mint = ({ signal }: MintContext): string => (signals.push(new WeakRef(signal)), "token");
    const caches = Array.from({ length: 50 }, () => cacheUnderTest({ grant: grantOf(mint) as never }).cache);
    for (const cache of caches) await cache.get();
    for (let round = 0; round < 5; round++) {
      await settle();
      collect();
    }
    expect(signals).toHaveLength(50);
    // One may be on the stack of what has just run.
    expect(signals.filter((signal) => signal.deref() !== undefined).length).toBeLessThanOrEqual(1);
    expect(caches[0]!.peek()?.value).toBe("token");
  });
});

describe("C12: creating caches", () => {
  test("C12: no cache and no pool creates a controller, a timer or a promise that could reject", () => {
    const controllers = vi.fn();
    const Original = AbortController;
    vi.stubGlobal(
      "AbortController",
      class extends Original {
        constructor() {
          super();
          controllers();
        }
      },
    );
    try {
      const clock = manualClock();
      const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "portal", clientSecret: "s3cret" };
      const grants: Grant[] = [
        fakeGrant({ state: "s", onState: () => {} }),
        customGrant({ mint: () => "a" }),
        clientCredentialsGrant(endpoint),
      ];
      const pool = createTokenPool({
        clock,
        create: (key) => cacheUnderTest({ clock, grant: grants[Number(key)] as never }).cache,
      });
      for (const key of grants.keys()) pool.get(String(key)).for({ scope: "a" });
      expect([controllers.mock.calls.length, clock.timers]).toEqual([0, 0]);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
