/** The `remint` key of one request. */
import { expect } from "vitest";
import { isRemintError, type RemintError, type TokenCache } from "remint";
import { fakeGrant } from "remint/testing";
import { withOverrides } from "./clients.ts";
import { type Case, failureOf } from "./world.ts";

const requestCases: readonly Case[] = [
  {
    name: "Q2: remint: false sends the request without a token, and its 401 goes to the caller",
    async run(world) {
      const { tokens, call } = await world.warm();
      const before = [world.auth.mints, tokens.peek()?.value];
      expect((await call(`${world.api.origin}/x`, { remint: false })).status).toBe(401);
      expect(world.sends()).toEqual([undefined]);
      expect([world.auth.mints, tokens.peek()?.value]).toEqual(before);
      expect(world.events).toContainEqual({ name: "skipped", reason: "opted-out", url: `${world.api.origin}/x` });
    },
  },
  {
    name: "Q6: remint: { retry: false } gives the 401 to the caller and the next call a new token",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { call } = await world.warm();
      world.auth.revokeAll();
      expect((await call(`${world.api.origin}/x`, { remint: { retry: false } })).status).toBe(401);
      expect([world.sends(), world.auth.mints]).toEqual([[world.auth.issued[0]], 1]);
      expect((await call(`${world.api.origin}/x`, { remint: { retry: false } })).status).toBe(200);
      expect([world.sends(), world.auth.mints]).toEqual([world.auth.issued, 2]);
    },
  },
  ...(["itself", "under cache"] as const).map((form): Case => ({
    name: `Q13: a cache given to one request, ${form}, is the only one it uses, also for the renewal`,
    warmOnly: "the API of the case accepts one token",
    async run(world) {
      const grant = fakeGrant();
      const own = world.tokens({ grant });
      const call = world.connect(world.tokens());
      world.api.respondAlways(({ token }) => ({ status: token === "fake-2" ? 200 : 401 }));
      const remint = form === "itself" ? own : { cache: own };
      expect((await call(`${world.api.origin}/x`, { remint })).status).toBe(200);
      expect([world.sends(), grant.mints, world.auth.mints]).toEqual([["fake-1", "fake-2"], 2, 0]);
    },
  })),
  ...["a number", "an object with a get() of its own", "an array of caches"].map((what): Case => ({
    name: `Q13: remint: { cache } with ${what} is a TypeError that names remint.cache, and nothing is sent`,
    async run(world) {
      const { tokens, call } = await world.warm();
      const wrong = { "a number": 5, "an object with a get() of its own": { get: () => tokens.get() } }[what] ?? [
        tokens,
      ];
      const remint = { cache: wrong as unknown as TokenCache };
      const failure = await failureOf(call(`${world.api.origin}/x`, { remint, own: world.client.once }));
      const error = failure instanceof TypeError ? failure : (failure as Error).cause;
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(/^"remint\.cache" must be a token cache, got an? /);
      expect(world.api.requests).toEqual([]);
    },
  })),
  {
    name: "Q6: a body factory is called once per send, also for a request without a 401",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { call } = await world.warm();
      let made = 0;
      const remint = { body: () => `made ${++made}` };
      const headers = { "content-type": "text/plain" };
      expect((await call(`${world.api.origin}/x`, { method: "POST", headers, remint })).status).toBe(200);
      world.auth.revokeAll();
      expect((await call(`${world.api.origin}/x`, { method: "POST", headers, remint })).status).toBe(200);
      expect(world.api.requests.map(({ text }) => text)).toEqual(["made 1", "made 2", "made 3"]);
    },
  },
  {
    name: "Q6: a body factory that throws rejects the call with its error",
    async run(world) {
      const { call } = await world.warm();
      const error = new Error("the file is gone");
      const remint = {
        body() {
          throw error;
        },
      };
      const failure = await failureOf(
        call(`${world.api.origin}/x`, { method: "POST", remint, own: world.client.once }),
      );
      expect(failure === error || (failure as Error).cause === error).toBe(true);
      expect(world.api.requests).toEqual([]);
    },
  },
];

export const overrideCases: readonly Case[] = [
  ...requestCases.map((each) => ({ clients: withOverrides, ...each })),
  {
    name: "C13: a closed cache rejects the call with ERR_CLOSED, and sends nothing",
    async run(world) {
      const { tokens, call } = await world.warm();
      await tokens.close();
      const failure = await failureOf(call(`${world.api.origin}/x`));
      expect([isRemintError(failure), (failure as RemintError).code]).toEqual([true, "ERR_CLOSED"]);
      expect(world.api.requests).toEqual([]);
    },
  },
];
