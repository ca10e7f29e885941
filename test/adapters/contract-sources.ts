/** Q2, Q13: which cache a request uses when its client has more than one. */
import { expect } from "vitest";
import type { TokenCache } from "remint";
import { type Api, fakeGrant } from "remint/testing";
import { thenable } from "../policy/hand-made-client.ts";
import type { Call } from "./clients.ts";
import { type Case, failureOf, type World } from "./world.ts";

export const sourceCases: readonly Case[] = [
  {
    name: "Q13: the same cache given twice to one client acts once",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { tokens } = await world.warm();
      const call = world.connect(tokens, { beneath: tokens });
      world.auth.revokeAll();
      expect((await call(`${world.api.origin}/x`)).status).toBe(200);
      expect([world.sends(), world.auth.mints]).toEqual([world.auth.issued, 2]);
      world.api.respondAlways({ status: 401 });
      expect((await call(`${world.api.origin}/y`)).status).toBe(401);
      expect([world.sends("/y").length, world.auth.mints]).toEqual([2, 3]);
    },
  },
  {
    name: "Q13: two caches with different origins on one client each handle their own",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { tokens, other, grant, otherTokens } = await twoApis(world);
      const call = world.connect(tokens, { beneath: otherTokens });
      await expectEachItsOwn(world, call, other, grant);
    },
  },
  {
    name: "Q2: a list of caches: the first whose origins match is used, and without a match the request gets no token",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { tokens, other, grant, otherTokens } = await twoApis(world);
      const call = world.connect([tokens, otherTokens]);
      await expectEachItsOwn(world, call, other, grant);
      const foreign = await world.anotherApi({ accepts: () => true });
      await call(foreign.origin);
      expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    },
  },
  ...functionSources(),
];

async function twoApis(world: World) {
  const grant = fakeGrant();
  const other = await world.anotherApi({ accepts: (token) => token === grant.last });
  const otherTokens = world.tokens({ grant, origins: [other.origin] });
  return { tokens: world.tokens(), other, grant, otherTokens };
}

async function expectEachItsOwn(
  world: World,
  call: Call,
  other: Api,
  grant: ReturnType<typeof fakeGrant>,
): Promise<void> {
  expect((await call(`${world.api.origin}/x`)).status).toBe(200);
  expect((await call(`${other.origin}/x`)).status).toBe(200);
  world.auth.revokeAll();
  other.respond({ status: 401 });
  expect((await call(`${world.api.origin}/x`)).status).toBe(200);
  expect((await call(`${other.origin}/x`)).status).toBe(200);
  expect([world.sends(), world.auth.mints]).toEqual([[0, 0, 1].map((index) => world.auth.issued[index]), 2]);
  expect([other.requests.map(({ token }) => token), grant.mints]).toEqual([["fake-1", "fake-1", "fake-2"], 2]);
}

function functionSources(): Case[] {
  const kinds = [
    { kind: "a function", wrap: <T>(value: T): T | Promise<T> => value },
    { kind: "an async function", wrap: <T>(value: T): T | Promise<T> => Promise.resolve(value) },
    {
      kind: "a function that returns a thenable",
      wrap: <T>(value: T): T | Promise<T> => thenable<T>((resolve) => resolve(value)) as Promise<T>,
    },
  ];
  const choosing = kinds.map(({ kind, wrap }) => ({
    name: `Q2: ${kind} chooses the cache for a request; undefined sends it without a token`,
    warmOnly: "the case revokes the token, and counts sends",
    async run(world: World) {
      const { tokens, other, grant, otherTokens } = await twoApis(world);
      const call = world.connect((url) => {
        if (url.startsWith(`${world.api.origin}/bare`)) return wrap(undefined);
        if (url.startsWith(`${world.api.origin}/null`)) return wrap(null as never);
        return wrap(url.startsWith(other.origin) ? otherTokens : tokens);
      });
      await expectEachItsOwn(world, call, other, grant);
      expect((await call(`${world.api.origin}/bare`)).status).toBe(401);
      expect((await call(`${world.api.origin}/null`)).status).toBe(401);
      expect([world.sends("/bare"), world.sends("/null")]).toEqual([[undefined], [undefined]]);
    },
  }));
  const failing = ["throws", "rejects"].map((does) => ({
    name: `Q2: a function source that ${does} rejects the call, and nothing is sent`,
    async run(world: World) {
      const error = new Error("no tenant in this request");
      const call = world.connect(() => {
        if (does === "throws") throw error;
        return Promise.reject(error);
      });
      const failure = await failureOf(call(`${world.api.origin}/x`));
      expect(failure === error || (failure as Error).cause === error).toBe(true);
      expect(world.api.requests).toEqual([]);
    },
  }));
  const wrong = kinds.map(({ kind, wrap }) => ({
    name: `Q2: ${kind} that chooses something which is no cache is a TypeError that says so, and nothing is sent`,
    async run(world: World) {
      for (const rubbish of [5, "tokens", {}, [world.tokens()]]) {
        const call = world.connect(() => wrap(rubbish as unknown as TokenCache));
        const failure = await failureOf(call(`${world.api.origin}/x`, { own: world.client.once }));
        const error = failure instanceof TypeError ? failure : (failure as Error).cause;
        expect(error).toBeInstanceOf(TypeError);
        expect((error as Error).message).toContain(
          "function that chooses the token cache returns must be a token cache",
        );
      }
      expect(world.api.requests).toEqual([]);
    },
  }));
  return [...choosing, ...failing, ...wrong];
}
