/** What follows from a 401: renewal, resend, storm guard, failed mints. */
import { expect } from "vitest";
import { findRemintError, isRemintError, TokenEndpointError } from "remint";
import { manualClock } from "remint/testing";
import { type Case, failureOf, Gate, times } from "./world.ts";

export const renewalCases: readonly Case[] = [
  {
    name: "C2, Q5: 1,000 requests in flight at a revocation cost one mint and surface no 401",
    async run(world) {
      const { call } = await world.warm();
      const release = world.api.holdAnswers();
      const replies = Promise.all(times(1000, (index) => call(`${world.api.origin}/${index}`)));
      await world.api.waitFor(1000);
      world.auth.revokeAll();
      release();
      expect((await replies).filter(({ status }) => status !== 200)).toEqual([]);
      expect(world.api.unauthorized).toBe(1000);
      expect(world.api.requests.length).toBe(2000);
      expect([world.auth.requests.length, world.auth.mints]).toEqual([2, 2]);
    },
  },
  {
    name: "C5, C6: 20 late 401s for an old token mint nothing and leave the new token in the cache",
    async run(world) {
      const { tokens, call } = await world.warm();
      const late = new Gate();
      world.api.respondAlways(async ({ url, token }) => {
        if (url === "/late" && token === world.auth.issued[0]) await late.passed;
        return undefined;
      });
      const replies = Promise.all(times(20, () => call(`${world.api.origin}/late`)));
      await world.api.waitFor(20);
      world.auth.revokeAll();
      expect((await call(`${world.api.origin}/early`)).status).toBe(200);
      const good = world.auth.issued[1];
      late.open();
      expect((await replies).map(({ status }) => status)).toEqual(times(20, () => 200));
      expect([world.auth.mints, tokens.peek()?.value]).toEqual([2, good]);
      expect(world.sends("/late").slice(20)).toEqual(times(20, () => good));
    },
  },
  {
    name: "C8: 20 calls to two paths that always say 401 cost a renewal each, and every call gets its 401",
    async run(world) {
      world.api.respondAlways({ status: 401, body: "no" });
      const call = world.connect(world.tokens({ clock: manualClock() }));
      for (const index of times(20, (each) => each)) {
        const { status, text } = await call(`${world.api.origin}/${index % 2}`);
        expect([status, text]).toEqual([401, "no"]);
      }
      expect(world.auth.mints).toBe(1 + 2);
      expect(world.api.requests.length).toBe(20 + world.auth.mints - 1);
    },
  },
  {
    name: "C8: 200 calls at once to an API that always says 401 cost at most 8 renewals",
    async run(world) {
      world.api.respondAlways({ status: 401 });
      const call = world.connect(world.tokens({ clock: manualClock() }));
      const replies = await Promise.all(times(200, (index) => call(`${world.api.origin}/${index % 10}`)));
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([401]));
      expect(world.auth.mints).toBeLessThanOrEqual(1 + 8);
      expect(world.api.requests.length).toBeLessThanOrEqual(3 * 200);
    },
  },
  {
    name: "Q5: when the token of another caller's renewal is rejected too, a new one is minted and the request sent a third time",
    async run(world) {
      const { call } = await world.warm();
      const slow = new Gate();
      world.api.respondAlways(async ({ url, token }) => {
        if (url === "/slow" && token === world.auth.issued[0]) await slow.passed;
        return undefined;
      });
      const reply = call(`${world.api.origin}/slow`);
      await world.api.waitFor(1);
      world.auth.revokeAll();
      await call(`${world.api.origin}/other`);
      world.auth.revokeAll();
      slow.open();
      expect((await reply).status).toBe(200);
      expect(world.sends("/slow")).toEqual(world.auth.issued);
      expect(world.auth.mints).toBe(3);
    },
  },
  {
    name: "Q5: after three sends with a token the 401 goes to the caller",
    async run(world) {
      const { call } = await world.warm();
      const slow = new Gate();
      world.api.respondAlways(async ({ url, token }) => {
        if (url === "/slow" && token === world.auth.issued[0]) await slow.passed;
        return url === "/slow" ? { status: 401, body: "never" } : undefined;
      });
      const reply = call(`${world.api.origin}/slow`);
      await world.api.waitFor(1);
      world.auth.revokeAll();
      await call(`${world.api.origin}/other`);
      slow.open();
      const { status, text } = await reply;
      expect([status, text]).toEqual([401, "never"]);
      expect(world.sends("/slow")).toEqual(world.auth.issued);
      expect(world.auth.mints).toBe(3);
    },
  },
  {
    name: "Q7: when the renewal yields the same value again, the request is resent once",
    async run(world) {
      world.auth.respondAlways({ body: { access_token: "the-same", token_type: "Bearer", expires_in: 3600 } });
      world.api.respond({ status: 401 });
      const call = world.connect(world.tokens());
      expect((await call(`${world.api.origin}/x`)).status).toBe(200);
      expect(world.sends()).toEqual(["the-same", "the-same"]);
      world.api.respondAlways({ status: 401 });
      expect((await call(`${world.api.origin}/y`)).status).toBe(401);
      expect(world.sends("/y")).toEqual(["the-same", "the-same"]);
    },
  },
  {
    name: "C9, Q8: when the mint fails after a 401, each caller gets an error of their own, with `rejected` of their own request",
    async run(world) {
      const { call } = await world.warm({ clock: manualClock() });
      world.auth.revokeAll();
      world.auth.respondAlways({ status: 400, body: { error: "invalid_client" } });
      const release = world.api.holdAnswers();
      const url = (index: number): string => `${world.api.origin}/orders/${index}?key=query-secret`;
      const failures = times(2, (index) => failureOf(call(url(index))));
      await world.api.waitFor(2);
      release();
      const errors = (await Promise.all(failures)) as TokenEndpointError[];
      for (const [index, error] of errors.entries()) {
        expect([isRemintError(error), findRemintError(error) === error]).toEqual([true, true]);
        expect(error).toBeInstanceOf(TokenEndpointError);
        expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", endpointStatus: 400, error: "invalid_client" });
        expect([error.status, error.statusCode]).toEqual([503, 503]);
        expect(error.rejected).toEqual({ status: 401, url: `${world.api.origin}/orders/${index}` });
        expect(error.message).not.toContain("query-secret");
        error.status = 500 + index;
        error.message += ` for request ${index}`;
      }
      const [first, second] = errors;
      expect([first === second, first?.status, world.auth.requests.length]).toEqual([false, 500, 2]);
      expect(first?.message).not.toContain("for request 1");
    },
  },
];
