/** Q1, Q2, Q3: which requests get a token and which do not. */
import { expect } from "vitest";
import { clientsBut } from "./clients.ts";
import { type Case, failureOf, times, type World } from "./world.ts";

export const originCases: readonly Case[] = [
  ...["authorization", "Authorization", "AUTHORIZATION"].map((name) => ({
    name: `Q1: a request with its own ${name} header goes out unchanged, and its 401 goes to the caller`,
    async run(world: World) {
      const { tokens, call } = await world.warm();
      const before = [world.auth.mints, tokens.peek()?.value];
      const reply = await call(`${world.api.origin}/x`, { headers: { [name]: "Bearer my-own" } });
      expect([reply.status, world.sends()]).toEqual([401, ["my-own"]]);
      expect([world.auth.mints, tokens.peek()?.value]).toEqual(before);
      expect(world.events).toContainEqual({
        name: "skipped",
        reason: "authorization-set",
        url: `${world.api.origin}/x`,
      });
    },
  })),
  {
    name: "Q1: an Authorization that is undefined counts as not set; null and false mean a request without one",
    async run(world) {
      const { call } = await world.warm();
      const url = `${world.api.origin}/x`;
      expect((await call(url, { headers: { authorization: undefined } })).status).toBe(200);
      const { mints } = world.auth;
      for (const value of [null, false]) {
        expect((await call(url, { headers: { Authorization: value } })).status).toBe(401);
      }
      expect([world.sends(), world.auth.mints]).toEqual([[world.auth.issued.at(-1), undefined, undefined], mints]);
    },
  },
  {
    // fetch, and so ofetch, refuses such URLs.
    name: "Q1: user:password@ in the URL is the caller's authentication",
    clients: ["axios/http", "axios/fetch"],
    async run(world) {
      const { call } = await world.warm();
      const { mints } = world.auth;
      const reply = await call(world.api.origin.replace("//", "//user:password@"));
      expect([reply.status, world.auth.mints]).toEqual([401, mints]);
      const [request] = world.api.requests;
      expect(request?.headers.authorization).toBe(`Basic ${btoa("user:password")}`);
    },
  },
  {
    name: "Q1: fetch's own refusal of user:password@ in the URL goes to the caller, and no mint starts",
    clients: ["fetch", "ofetch", "undici/fetch", "undici-6/fetch"],
    async run(world) {
      const call = world.connect(world.tokens());
      const failure = await failureOf(call(world.api.origin.replace("//", "//user:password@")));
      expect(String(failure)).toContain("credentials");
      expect([world.auth.requests, world.api.requests]).toEqual([[], []]);
    },
  },
  {
    name: "Q1: axios' auth option is the caller's authentication",
    clients: ["axios/http", "axios/fetch"],
    async run(world) {
      const { call } = await world.warm();
      const { mints } = world.auth;
      const reply = await call(world.api.origin, { own: { auth: { username: "user", password: "pass" } } });
      expect([reply.status, world.auth.mints]).toEqual([401, mints]);
      expect(world.api.requests.map(({ headers }) => headers.authorization)).toEqual([`Basic ${btoa("user:pass")}`]);
    },
  },
  {
    name: "Q2: another origin gets no token, and its 401 renews nothing",
    async run(world) {
      const foreign = await world.anotherApi({ accepts: () => true });
      const { tokens, call } = await world.warm();
      const before = [world.auth.mints, tokens.peek()?.value];
      expect((await call(`${foreign.origin}/x`)).status).toBe(401);
      expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
      expect([world.auth.mints, tokens.peek()?.value]).toEqual(before);
    },
  },
  {
    name: "Q2: another origin starts no mint, also when its URL looks like an allowed one",
    async run(world) {
      const foreign = await world.anotherApi({ accepts: () => true });
      const call = world.connect(world.tokens());
      await call(`${foreign.origin}/?${world.api.origin}/`);
      await call(`${foreign.origin}\\${world.api.origin}/`);
      await call(`${foreign.origin}#${world.api.origin}/`);
      const { port } = new URL(world.api.origin);
      await failureOf(call(`http://127.0.0.1.invalid:${port}/`));
      await failureOf(call(`${world.api.origin}0/`));
      expect(foreign.requests.map(({ headers }) => headers.authorization)).toEqual(times(3, () => undefined));
      expect([world.auth.requests, world.api.requests]).toEqual([[], []]);
    },
  },
  {
    name: "Q3: a redirect to another origin never carries the token, and the 401 there renews nothing",
    clients: clientsBut("axios/fetch"),
    async run(world) {
      const { tokens, call, elsewhere } = await redirected(world);
      const reply = await call(`${world.api.origin}/away`);
      expect([reply.status, reply.text]).toEqual([401, "elsewhere"]);
      expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
      // In the mode `rejected` the first send has cost a renewal.
      expect([world.sends().length, world.auth.mints]).toEqual([1, world.mode === "rejected" ? 2 : 1]);
      expect(tokens.peek()?.value).toBe(world.mode === "waits" ? undefined : world.auth.issued.at(-1));
    },
  },
  {
    // axios' fetch adapter does not say where an answer came from.
    name: "Q3, C8: with a client that does not report redirects, 401s after a redirect cost at most 3 mints, and no token is carried",
    warmOnly: "the case counts mints",
    clients: ["axios/fetch"],
    async run(world) {
      const { call, elsewhere } = await redirected(world);
      for (const _ of times(20, () => 0)) expect((await call(`${world.api.origin}/away`)).status).toBe(401);
      expect(new Set(elsewhere.requests.map(({ headers }) => headers.authorization))).toEqual(new Set([undefined]));
      expect(world.auth.mints).toBeLessThanOrEqual(1 + 3);
    },
  },
  {
    name: "Q3: a redirect within the origin carries the token, and the 401 there renews it",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { call } = await world.warm();
      world.api.respondAlways(({ url }) =>
        url === "/old" ? { status: 307, headers: { location: "/new" } } : undefined,
      );
      world.auth.revokeAll();
      const body = { method: "POST", body: "moved", headers: { "content-type": "text/plain" } };
      expect((await call(`${world.api.origin}/old`, body)).status).toBe(200);
      expect(world.sends("/new")).toEqual(world.auth.issued);
      // What is resent is the request that was redirected, except where the interceptor sees each request of a redirect.
      const sends = world.client.undici === undefined ? 4 : 3;
      expect(world.api.requests.map(({ text }) => text)).toEqual(times(sends, () => "moved"));
    },
  },
];

async function redirected(world: World) {
  const elsewhere = await world.anotherApi({ accepts: () => true });
  elsewhere.respondAlways({ status: 401, body: "elsewhere" });
  world.api.respondAlways({ status: 302, headers: { location: `${elsewhere.origin}/landed` } });
  return { elsewhere, ...(await world.warm()) };
}
