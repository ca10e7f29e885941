/** `Request` objects, which only fetch takes. */
import { expect } from "vitest";
import { type AuthFetch, createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { type Case, failureOf, until, type World } from "./world.ts";

const clients = ["fetch"] as const;

function post(world: World, init: RequestInit = {}): Request {
  const headers = { "content-type": "text/plain", "x-mine": "1" };
  return new Request(`${world.api.origin}/upload`, { method: "POST", body: "from a Request", headers, ...init });
}

async function rejectedFetch(world: World): Promise<AuthFetch> {
  const { tokens } = await world.warm();
  world.auth.revokeAll();
  return createAuthFetch(tokens);
}

export const requestObjectCases: readonly Case[] = [
  {
    name: "Q6: a Request with a body is cloned and resent byte for byte, with its headers",
    warmOnly: "the case revokes the token, and counts sends",
    clients,
    async run(world) {
      const authFetch = await rejectedFetch(world);
      expect((await authFetch(post(world))).status).toBe(200);
      expect(world.sends()).toEqual(world.auth.issued);
      for (const { text, method, headers } of world.api.requests) {
        expect([method, text, headers["content-type"], headers["x-mine"]]).toEqual([
          "POST",
          "from a Request",
          "text/plain",
          "1",
        ]);
      }
    },
  },
  {
    name: "Q6: a Request with a stream as its body is resent too, from its clone",
    warmOnly: "the case revokes the token, and counts sends",
    clients,
    async run(world) {
      const authFetch = await rejectedFetch(world);
      const body = new Blob(["streamed"]).stream();
      expect((await authFetch(post(world, { body, duplex: "half" } as RequestInit))).status).toBe(200);
      expect(world.api.requests.map(({ text }) => text)).toEqual(["streamed", "streamed"]);
    },
  },
  {
    name: "Q6: a body in init replaces the Request's, in both sends",
    warmOnly: "the case revokes the token, and counts sends",
    clients,
    async run(world) {
      const authFetch = await rejectedFetch(world);
      expect((await authFetch(post(world), { body: "from init" })).status).toBe(200);
      expect(world.api.requests.map(({ text }) => text)).toEqual(["from init", "from init"]);
    },
  },
  {
    name: "Q6: with retry: false a Request with a body is neither cloned nor resent",
    warmOnly: "the case revokes the token, and counts sends",
    clients,
    async run(world) {
      const authFetch = await rejectedFetch(world);
      const request = post(world);
      let clones = 0;
      const clone = request.clone.bind(request);
      request.clone = () => (clones++, clone());
      expect((await authFetch(request, { remint: { retry: false } })).status).toBe(401);
      expect([clones, world.api.requests.length]).toEqual([0, 1]);
    },
  },
  {
    name: "Q12: the signal of a Request ends the wait for a mint",
    clients,
    async run(world) {
      const grant = fakeGrant();
      const hold = grant.hold();
      const authFetch = createAuthFetch(world.tokens({ grant }));
      const controller = new AbortController();
      const gone = failureOf(authFetch(post(world, { signal: controller.signal })));
      await until(() => hold.waiting === 1);
      const reason = new Error("has seen enough");
      controller.abort(reason);
      expect([await gone, hold.waiting]).toEqual([reason, 1]);
      hold.release();
    },
  },
  {
    name: "Q1, Q2: a Request's own Authorization goes out unchanged, and a URL object is accepted",
    clients,
    async run(world) {
      const authFetch = createAuthFetch(world.tokens());
      const own = post(world, { headers: { authorization: "Bearer my-own" } });
      expect((await authFetch(own)).status).toBe(401);
      expect([world.sends(), world.auth.mints]).toEqual([["my-own"], 0]);
      expect((await authFetch(new URL("/url", world.api.origin))).status).toBe(200);
    },
  },
];
