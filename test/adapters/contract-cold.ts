/** Callers that have to wait for a token. */
import { expect } from "vitest";
import { isRemintError, type RemintError } from "remint";
import { fakeGrant, manualClock } from "remint/testing";
import { type Case, failureOf, times, until, watch, type World } from "./world.ts";

export const coldCases: readonly Case[] = [
  {
    name: "C2: 1,000 callers of an empty cache share one mint",
    async run(world) {
      const call = world.connect(world.tokens());
      const release = world.auth.holdAnswers();
      const replies = Promise.all(times(1000, (index) => call(`${world.api.origin}/${index}`)));
      await world.auth.waitFor(1);
      release();
      expect(new Set((await replies).map(({ status }) => status))).toEqual(new Set([200]));
      expect([world.auth.requests.length, world.auth.mints]).toEqual([1, 1]);
      expect(new Set(world.sends())).toEqual(new Set(world.auth.issued));
    },
  },
  {
    name: "C9, C11: 1,000 callers with a token endpoint that is down cause at most 3 requests to it",
    async run(world) {
      world.auth.respondAlways({ reset: true });
      const clock = manualClock();
      const call = world.connect(world.tokens({ clock }));
      // The second half comes after the failure, and shares the remembered one.
      for (const _ of ["waiting", "later"]) {
        const failing = Promise.all(times(500, () => failureOf(call(`${world.api.origin}/x`))));
        const state = watch(failing);
        // Lets the pauses between the attempts pass.
        while (!state.settled) await clock.advance(state.settled ? 0 : 10);
        const failures = await failing;
        expect(failures.every((failure) => isRemintError(failure))).toBe(true);
        expect(new Set(failures.map((failure) => (failure as RemintError).code))).toEqual(
          new Set(["ERR_TOKEN_NETWORK"]),
        );
        expect(new Set(failures).size).toBe(500);
      }
      expect(world.auth.requests.length).toBeGreaterThan(0);
      expect(world.auth.requests.length).toBeLessThanOrEqual(3);
      expect(world.api.requests).toEqual([]);
    },
  },
  {
    name: "C10: with a token endpoint that hangs, callers reject after mintTimeout, and not before",
    async run(world) {
      const clock = manualClock();
      world.auth.respondAlways({ hang: true });
      const call = world.connect(world.tokens({ clock, mintTimeout: 8000 }));
      const failures = Promise.all(times(3, () => failureOf(call(`${world.api.origin}/x`))));
      const state = watch(failures);
      await world.auth.waitFor(1);
      await clock.advance(7999);
      expect(state.settled).toBe(false);
      await clock.advance(1);
      for (const failure of await failures) {
        expect([isRemintError(failure), (failure as RemintError).code]).toEqual([true, "ERR_TOKEN_TIMEOUT"]);
      }
      expect(world.api.requests).toEqual([]);
    },
  },
  {
    name: "C10, Q12: a caller that aborts during the first mint rejects before the mint ends; the others get their token",
    async run(world) {
      const grant = fakeGrant();
      const hold = grant.hold();
      const call = world.connect(world.tokens({ grant, origins: [world.api.origin] }));
      world.api.respondAlways({ body: "welcome" });
      const controller = new AbortController();
      const gone = failureOf(call(`${world.api.origin}/gone`, { signal: controller.signal }));
      const stays = times(2, () => call(`${world.api.origin}/stays`));
      await until(() => hold.waiting === 1);
      const reason = new DOMException("has seen enough", "AbortError");
      controller.abort(reason);
      expect(world.client.isAbort(await gone, reason)).toBe(true);
      expect(hold.waiting).toBe(1);
      hold.release();
      expect((await Promise.all(stays)).map(({ status }) => status)).toEqual([200, 200]);
      expect([grant.mints, world.sends("/gone")]).toEqual([1, []]);
    },
  },
  {
    name: "C10, Q12: a caller that aborts during a renewal rejects before the mint ends; the others get their answer",
    async run(world) {
      const { hold, call } = await heldRenewal(world);
      const controller = new AbortController();
      const gone = failureOf(call(`${world.api.origin}/gone`, { signal: controller.signal }));
      const stays = times(2, () => call(`${world.api.origin}/stays`));
      await world.api.waitFor(3);
      await until(() => hold.waiting === 1);
      const reason = new DOMException("has seen enough", "AbortError");
      controller.abort(reason);
      expect(world.client.isAbort(await gone, reason)).toBe(true);
      expect(hold.waiting).toBe(1);
      hold.release();
      expect((await Promise.all(stays)).map(({ status }) => status)).toEqual([200, 200]);
      expect(world.sends("/gone")).toEqual(["fake-1"]);
      expect(world.sends("/stays").toSorted((one, other) => String(one).localeCompare(String(other)))).toEqual([
        "fake-1",
        "fake-1",
        "fake-2",
        "fake-2",
      ]);
    },
  },
  {
    name: "C10: a signal that was aborted before the call starts no mint",
    async run(world) {
      const call = world.connect(world.tokens());
      const reason = new DOMException("never mind", "AbortError");
      const failure = await failureOf(call(`${world.api.origin}/x`, { signal: AbortSignal.abort(reason) }));
      expect(world.client.isAbort(failure, reason)).toBe(true);
      expect([world.auth.requests, world.api.requests]).toEqual([[], []]);
    },
  },
  {
    // Plain fetch has no timeout option.
    name: "Q12: a client's own timeout also ends the wait for the first mint and for a renewal",
    clients: ["ofetch", "axios/http", "axios/fetch"],
    async run(world) {
      const cold = fakeGrant();
      const coldHold = cold.hold();
      // Long enough for a 401 and the beginning of its renewal on a busy machine.
      const own = { timeout: 400, ...world.client.once };
      const waiting = world.connect(world.tokens({ grant: cold, origins: [world.api.origin] }));
      expectTimeout(world, await failureOf(waiting(`${world.api.origin}/cold`, { own })));
      expect([coldHold.waiting, world.api.requests]).toEqual([1, []]);
      coldHold.release();

      const { hold, call } = await heldRenewal(world);
      expectTimeout(world, await failureOf(call(`${world.api.origin}/late`, { own })));
      expect([hold.waiting, world.sends("/late")]).toEqual([1, ["fake-1"]]);
      hold.release();
    },
  },
  {
    name: "C10, Q2: an abort ends the wait for a token that a list of caches needs to know its origins",
    async run(world) {
      const grant = fakeGrant();
      const hold = grant.hold();
      const { origin } = world.api;
      const call = world.connect([world.tokens({ grant, origins: () => [origin] })]);
      const controller = new AbortController();
      const gone = failureOf(call(`${origin}/gone`, { signal: controller.signal }));
      await until(() => hold.waiting === 1);
      const state = watch(gone);
      const reason = new DOMException("has seen enough", "AbortError");
      controller.abort(reason);
      // Three whole requests over a socket give the abort more time than the few event loop turns it needs.
      for (const path of ["/1", "/2", "/3"]) await (await fetch(origin + path)).text();
      expect([state.settled, hold.waiting]).toEqual([true, 1]);
      expect(world.client.isAbort(await gone, reason)).toBe(true);
    },
  },
];

/** Creates a cache whose token the API rejects, and whose next mint waits until `hold` is released. */
async function heldRenewal(world: World) {
  const grant = fakeGrant();
  const { call } = await world.warm({ grant, origins: [world.api.origin] });
  world.api.respondAlways(({ token }) => (token === "fake-1" ? { status: 401 } : { body: "welcome" }));
  return { grant, call, hold: grant.hold() };
}

function expectTimeout(world: World, failure: unknown): void {
  const { code, message, cause } = failure as RemintError;
  if (world.client.name === "ofetch") expect((cause as Error).name).toBe("TimeoutError");
  else expect([["ECONNABORTED", "ETIMEDOUT"].includes(code), message]).toEqual([true, "timeout of 400ms exceeded"]);
}
