/** The storm guard under load on virtual time (C8): how many mints an API that rejects tokens causes. */
import { describe, expect, test } from "vitest";
import { createTokenCache, type RemintEvent, type TokenCache } from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import {
  AuthorizationServer,
  simulatedApi,
  type Accepts,
  type AuthorizationServerOptions,
  type Latency,
} from "./world.ts";

const MINUTE = 60_000;

interface Load {
  readonly every: number;
  readonly until: number;
  readonly path?: string;
  readonly latency?: Latency;
  readonly stream?: boolean;
  /** Callers abort after this many milliseconds. */
  readonly patience?: number;
}

interface Tally {
  sent: number;
  surfaced: number;
  aborted: number;
  mostSends: number;
}

interface Scenario {
  readonly cache: TokenCache;
  readonly clock: ManualClock;
  readonly server: AuthorizationServer;
  /** Returns the number of charges that the storm guard booked. */
  readonly charges: () => number;
  /** Sends requests at a fixed rate for a while. */
  readonly load: (accepts: Accepts, load: Load) => Tally;
}

function scenario(options: Omit<AuthorizationServerOptions, "pause"> = {}): Scenario {
  const clock = manualClock();
  const pause = (_: string, ms: number): Promise<void> => new Promise((resolve) => void clock.setTimeout(resolve, ms));
  const server = new AuthorizationServer({ ...options, pause });
  const events: RemintEvent[] = [];
  const cache = createTokenCache({
    grant: server.mint,
    origins: ["https://api.example"],
    mintRetries: 0,
    clock,
    onEvent: (event) => void events.push(event),
  });

  async function request(accepts: Accepts, tally: Tally, load: Load): Promise<void> {
    const sends: (string | undefined)[] = [];
    const controller = new AbortController();
    if (load.patience !== undefined) clock.setTimeout(() => controller.abort(new Error("gone")), load.patience);
    const { path = "/ok", latency = 10, stream = false } = load;
    const url = `https://api.example${path}`;
    tally.sent++;
    try {
      const call = { name: path, url, signal: controller.signal, latency, stream, sends };
      const { status } = await withToken(cache, call, simulatedApi(pause, accepts));
      if (status === 401) tally.surfaced++;
    } catch (error) {
      expect(error).toBe(controller.signal.reason);
      tally.aborted++;
    }
    tally.mostSends = Math.max(tally.mostSends, sends.length);
  }

  return {
    cache,
    clock,
    server,
    charges: () => events.filter(({ name }) => name === "rejected").length,
    load(accepts, load) {
      const tally = { sent: 0, surfaced: 0, aborted: 0, mostSends: 0 };
      const tick = (at: number): void => {
        if (at >= load.until) return;
        void request(accepts, tally, load);
        clock.setTimeout(() => tick(at + load.every), load.every);
      };
      tick(0);
      return tally;
    },
  };
}

const rejectsAll: Accepts = () => false;

/** Accepts live tokens on every path but one. */
function acceptsExcept(live: ReadonlySet<string>, path: string): Accepts {
  return (token, url) => token !== undefined && live.has(token) && url.pathname !== path;
}

describe("C8: storms on virtual time", () => {
  test("C8: an API that rejects every token for a minute: at most 10 mints", async () => {
    const { clock, server, load } = scenario();
    const tally = load(rejectsAll, { every: 100, until: MINUTE });
    await clock.advance(MINUTE + 5000);
    expect(tally).toEqual({ sent: 600, surfaced: 600, aborted: 0, mostSends: 2 });
    expect(server.mints).toBeLessThanOrEqual(10);
  });

  test("C8: a healthy API and a revocation every 2 s: one mint for each, and no caller gets a 401", async () => {
    const { clock, server, load } = scenario();
    const tally = load(acceptsExcept(server.live, "/none"), { every: 10, until: MINUTE, latency: 60 });
    for (let at = 2000; at < MINUTE; at += 2000) clock.setTimeout(() => server.revokeAll(), at);
    await clock.advance(MINUTE + 5000);
    expect(tally).toEqual({ sent: 6000, surfaced: 0, aborted: 0, mostSends: 2 });
    expect(server.mints).toBe(30);
  });

  test("C8: an API that rejects every token, and bodies that cannot be resent: at most 10 mints", async () => {
    const { clock, server, load } = scenario();
    const tally = load(rejectsAll, { every: 100, until: MINUTE, stream: true });
    await clock.advance(MINUTE + 5000);
    expect(tally).toEqual({ sent: 600, surfaced: 600, aborted: 0, mostSends: 1 });
    expect(server.mints).toBeLessThanOrEqual(10);
  });

  test("C8: an API that rejects every token, and callers that abort before the resend: at most 10 mints", async () => {
    const { clock, server, load } = scenario();
    const tally = load(rejectsAll, { every: 100, until: MINUTE, patience: 25 });
    await clock.advance(MINUTE + 5000);
    expect(tally.surfaced + tally.aborted).toBe(600);
    expect(server.mints).toBeLessThanOrEqual(10);
  });

  test("C8: a path that rejects every token, a slower healthy path, and mints that end the token before: 10 mints", async () => {
    const { clock, server, load } = scenario({ oneLive: true });
    const accepts = acceptsExcept(server.live, "/forbidden");
    const healthy = load(accepts, { every: 20, until: MINUTE, latency: 80 });
    const broken = load(accepts, { every: 100, until: MINUTE, path: "/forbidden" });
    await clock.advance(MINUTE + 5000);
    expect(server.mints).toBeLessThanOrEqual(10);
    expect(broken.surfaced).toBe(600);
    // Each mint for the forbidden path revokes the token of the requests in flight.
    expect(healthy.surfaced).toBeLessThanOrEqual(server.mints);
    expect(Math.max(healthy.mostSends, broken.mostSends)).toBeLessThanOrEqual(3);
  });

  test.each([
    ["plain requests", {}],
    ["stream bodies", { stream: true }],
    ["callers that abort", { patience: 25 }],
  ])(
    "C8: a path that rejects every token, a healthy path, and one revocation: no 401 on the healthy path, %s",
    async (_, kind) => {
      const { clock, server, load } = scenario();
      const accepts = acceptsExcept(server.live, "/forbidden");
      const healthy = load(accepts, { every: 20, until: 90_000 });
      const broken = load(accepts, { every: 500, until: 90_000, path: "/forbidden", ...kind });
      clock.setTimeout(() => server.revokeAll(), 40_000);
      await clock.advance(MINUTE);
      const firstMinute = server.mints;
      await clock.advance(MINUTE);
      expect(healthy.surfaced).toBe(0);
      expect(broken.surfaced + broken.aborted).toBe(180);
      expect(firstMinute).toBeLessThanOrEqual(1 + 10 + 1);
      expect(server.mints - firstMinute).toBeLessThanOrEqual(10);
    },
  );

  test.each([
    ["alone", 0],
    ["among others", 50],
  ])(
    "C7: one revocation, a slow caller and a slower background refresh: no caller gets a 401, %s",
    async (_, every) => {
      const { cache, clock, server, load } = scenario({ expiresIn: 2 });
      const accepts = acceptsExcept(server.live, "/none");
      // The slow request has t1. It is judged after the revocation and answered before t3 arrives, which was issued before it.
      const slow = load(accepts, { every: 10, until: 10, latency: [1200, 400] });
      await clock.advance(30);
      await cache.invalidate("t1");
      const others = load(accepts, { every: Math.max(every, 50), until: every === 0 ? 50 : 5000 });
      await clock.advance(1040);
      server.latency = [10, 2500];
      cache.peek();
      await clock.advance(50);
      expect(server.mints).toBe(3);
      server.latency = 20;
      server.revokeAll();
      await clock.advance(20_000);
      expect([slow.surfaced, others.surfaced]).toEqual([0, 0]);
      expect(slow.mostSends).toBeLessThanOrEqual(3);
      expect(slow.mostSends).toBeGreaterThanOrEqual(2);
    },
  );

  describe("a server that mints the same live token again", () => {
    const mintTimes = [20, 200, 1000];
    const cases = mintTimes.flatMap((mint) => [10, 300, 1000].map((api) => [mint, api] as const));

    test.each(cases)(
      "C8: mint %i ms, API %i ms, 100 rejected requests a second for 15 s: at most 8 mints",
      async (latency, api) => {
        const { clock, server, load } = scenario({ repeats: true, latency });
        const tally = load(rejectsAll, { every: 10, until: 15_000, latency: api });
        await clock.advance(20_000);
        expect(tally).toMatchObject({ sent: 1500, surfaced: 1500, mostSends: 2 });
        // One cold mint, three without a pause, and four after pauses of 1, 2, 4 and 8 seconds.
        expect(server.mints).toBeLessThanOrEqual(1 + 3 + 4);
      },
    );

    test("C8: a path that rejects every token beside a healthy path: at most 10 mints, no 401 on the healthy path", async () => {
      const { clock, server, load } = scenario({ repeats: true });
      const accepts = acceptsExcept(server.live, "/forbidden");
      const healthy = load(accepts, { every: 20, until: MINUTE, latency: 300 });
      load(accepts, { every: 20, until: MINUTE, latency: 500, path: "/forbidden" });
      await clock.advance(MINUTE + 5000);
      expect(healthy.surfaced).toBe(0);
      expect(server.mints).toBeLessThanOrEqual(10);
    });
  });
});
