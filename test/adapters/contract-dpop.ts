/** RFC 9449: requests whose tokens are bound to a key. The servers verify every proof with jose. */
import { Readable } from "node:stream";
import { expect } from "vitest";
import { clientCredentialsGrant, type TokenCache } from "remint";
import { dpop } from "remint/dpop";
import { policyHalf } from "../../src/core/types.ts";
import { type AuthGuard, type Guard, guardApi, guardAuth, tokensSent } from "../dpop/guard.ts";
import { type Call, clientsBut, withOverrides } from "./clients.ts";
import { printed } from "./contract-safety.ts";
import { type Case, CLIENT_ID, CLIENT_SECRET, failureOf, times, until, type World } from "./world.ts";

interface Bound {
  readonly auth: AuthGuard;
  readonly api: Guard;
  readonly tokens: TokenCache;
  readonly call: Call;
}

interface Nonces {
  readonly auth?: string;
  readonly api?: string;
}

/** Creates a client whose cache holds a token bound to a key. The servers require these nonces. */
async function boundClient(world: World, nonces: Nonces = {}, origins: readonly string[] = []): Promise<Bound> {
  const auth = guardAuth(world.auth, nonces.auth);
  const api = guardApi(world.api, world.auth, auth, nonces.api);
  const { tokenEndpoint } = world.auth;
  const grant = clientCredentialsGrant({
    tokenEndpoint,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    dpop: dpop(),
  });
  const { tokens, call } = await world.warm({ grant, origins: [world.api.origin, ...origins] });
  return { auth, api, tokens, call };
}

function expectFresh(...guards: Guard[]): void {
  const all = guards.flatMap(({ proofs }) => proofs);
  expect(new Set(all.map(({ jti }) => jti)).size).toBe(all.length);
  expect(new Set(all.map(({ jkt }) => jkt)).size).toBe(1);
  expect(guards.flatMap(({ refusals }) => refusals)).toEqual([]);
}

const nonceOf = ({ proofs }: Guard): (string | undefined)[] => proofs.map(({ nonce }) => nonce);

export const dpopCases: readonly Case[] = [
  {
    name: "RFC 9449 section 4.2: every request carries a proof of its own for its method, its URL without the query, and its token",
    async run(world) {
      const { auth, api, call } = await boundClient(world);
      const { origin } = world.api;
      for (const [method, path] of [
        ["GET", "/orders?key=1#part"],
        ["POST", "/orders"],
        ["PUT", "/a%20b/%C3%BC"],
        ["DELETE", ""],
      ] as const) {
        expect((await call(origin + path, { method })).status).toBe(200);
      }
      const seen = api.proofs.map(({ htm, htu }) => [htm, htu.slice(origin.length)]);
      expect(seen).toEqual([
        ["GET", "/orders"],
        ["POST", "/orders"],
        ["PUT", "/a%20b/%C3%BC"],
        ["DELETE", "/"],
      ]);
      expectFresh(auth, api);
    },
  },
  {
    name: "Q4, RFC 9449 section 9: when the API asks for a nonce, the request is sent once more with the nonce, the same token and the same body",
    async run(world) {
      const { auth, api, tokens, call } = await boundClient(world, { auth: "as-1", api: "rs-1" });
      const { body, headers } = world.client.json({ a: 1 });
      expect((await call(`${world.api.origin}/x`, { method: "POST", body, headers })).status).toBe(200);
      expect((await call(`${world.api.origin}/y`)).status).toBe(200);
      expect([nonceOf(auth), nonceOf(api)]).toEqual([
        [undefined, "as-1"],
        [undefined, "rs-1", "rs-1"],
      ]);
      expect(world.api.requests.map(({ text }) => text)).toEqual(['{"a":1}', '{"a":1}', ""]);
      expect(new Set(tokensSent(world.api))).toEqual(new Set([tokens.peek()?.value]));
      expect([world.auth.mints, policyHalf(tokens).onTrial]).toEqual([1, false]);
      expectFresh(auth, api);
    },
  },
  {
    name: "RFC 9449 section 8.2: a nonce in a 200 is used from the next request on, without a resend",
    async run(world) {
      const { api, call } = await boundClient(world);
      api.nextNonce = "rs-2";
      for (const path of ["/a", "/b", "/c"]) expect((await call(world.api.origin + path)).status).toBe(200);
      expect(nonceOf(api)).toEqual([undefined, "rs-2", "rs-2"]);
    },
  },
  {
    name: "RFC 9449 section 9: a server that asks for a new nonce every time gets two sends, and its 401 goes to the caller",
    async run(world) {
      const { api, tokens, call } = await boundClient(world);
      policyHalf(tokens).accepted(await tokens.get(), { origin: world.api.origin, path: "/" });
      let nonces = 0;
      world.api.respondAlways(() => ({
        status: 401,
        headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": `rs-${++nonces}` },
        body: "again",
      }));
      const { status, text } = await call(`${world.api.origin}/x`);
      expect([status, text, world.api.requests.length]).toEqual([401, "again", 2]);
      expect([world.auth.mints, policyHalf(tokens).onTrial, tokens.peek()?.value]).toEqual([1, false, "bound-1"]);
      expect(api.refusals).toEqual([]);
    },
  },
  {
    name: "RFC 9449 section 9: when the server asks for the nonce that was just sent, the request is not sent again",
    async run(world) {
      const { call } = await boundClient(world);
      world.api.respondAlways({
        status: 401,
        headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "always-this" },
      });
      expect((await call(`${world.api.origin}/x`)).status).toBe(401);
      expect((await call(`${world.api.origin}/y`)).status).toBe(401);
      expect(world.api.requests.map(({ url }) => url)).toEqual(["/x", "/x", "/y"]);
    },
  },
  {
    name: "Q5, RFC 9449 section 9: a request whose token is rejected and that then needs a nonce is sent with both renewed",
    async run(world) {
      const { auth, api, call } = await boundClient(world);
      world.auth.revokeAll();
      world.api.respond({ status: 401, headers: { "www-authenticate": 'DPoP error="invalid_token"' } }, () => {
        api.nonce = "rs-1";
        return { status: 401, headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "rs-1" } };
      });
      expect((await call(`${world.api.origin}/x`)).status).toBe(200);
      expect(tokensSent(world.api)).toEqual(["bound-1", "bound-2", "bound-2"]);
      expect(world.auth.mints).toBe(2);
      expectFresh(auth, api);
    },
  },
  {
    name: "Q5, RFC 9449 section 9: a resend with a nonce does not count as the resend with a new token",
    async run(world) {
      const { auth, api, call } = await boundClient(world, { api: "rs-1" });
      world.auth.revokeAll();
      expect((await call(`${world.api.origin}/x`)).status).toBe(200);
      expect(tokensSent(world.api)).toEqual(["bound-1", "bound-1", "bound-2"]);
      expect(nonceOf(api)).toEqual([undefined, "rs-1", "rs-1"]);
      expectFresh(auth, api);
    },
  },
  {
    name: "C2, RFC 9449 section 9: when the nonce changes under 50 requests, each is sent at most twice, and nothing is minted",
    async run(world) {
      const { auth, api, call } = await boundClient(world, { api: "rs-1" });
      await call(`${world.api.origin}/first`);
      const before = world.api.requests.length;
      const release = world.api.holdAnswers();
      const replies = Promise.all(times(50, (index) => call(`${world.api.origin}/${index}`)));
      await world.api.waitFor(before + 50);
      api.nonce = "rs-2";
      release();
      expect((await replies).filter(({ status }) => status !== 200)).toEqual([]);
      expect([world.api.requests.length - before, world.auth.mints]).toEqual([100, 1]);
      expect((await call(`${world.api.origin}/last`)).status).toBe(200);
      expect(world.api.requests.length - before).toBe(101);
      expectFresh(auth, api);
    },
  },
  {
    name: "RFC 9449 section 9: with nonces that are valid for one request, each resend has the nonce of its own answer",
    async run(world) {
      const { call } = await boundClient(world);
      const given = new Set<string>();
      let nonces = 0;
      const used: boolean[] = [];
      world.api.respondAlways(({ headers }) => {
        const nonce = claimsOf(headers["dpop"])["nonce"];
        used.push(given.delete(String(nonce)));
        if (used.at(-1)) return { body: "ok" };
        const next = `once-${++nonces}`;
        given.add(next);
        return { status: 401, headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": next } };
      });
      const release = world.api.holdAnswers();
      const replies = Promise.all(times(10, (index) => call(`${world.api.origin}/${index}`)));
      await world.api.waitFor(10);
      release();
      expect((await replies).map(({ status }) => status)).toEqual(times(10, () => 200));
      expect(used.filter(Boolean)).toHaveLength(10);
    },
  },
  {
    name: "Q6: a stream is not sent again for a nonce: its 401 goes to the caller, and the next request has the nonce",
    async run(world) {
      const { api, tokens, call } = await boundClient(world, { api: "rs-1" });
      const body = world.client.name === "axios/http" ? Readable.from(["once"]) : new Blob(["once"]).stream();
      expect((await call(`${world.api.origin}/up`, { method: "POST", body })).status).toBe(401);
      expect(world.api.requests.map(({ text }) => text)).toEqual(["once"]);
      expect([tokens.peek()?.value, world.auth.mints]).toEqual(["bound-1", 1]);
      expect((await call(`${world.api.origin}/x`)).status).toBe(200);
      expect(nonceOf(api)).toEqual([undefined, "rs-1"]);
    },
  },
  {
    name: "Q6: a stream from a body factory is sent again whole for a nonce",
    clients: withOverrides,
    async run(world) {
      const { call } = await boundClient(world, { api: "rs-1" });
      const make = (): unknown =>
        world.client.name === "axios/http" ? Readable.from(["again"]) : new Blob(["again"]).stream();
      const sent = { method: "POST", remint: { body: make } };
      expect((await call(`${world.api.origin}/up`, sent)).status).toBe(200);
      expect(world.api.requests.map(({ text }) => text)).toEqual(["again", "again"]);
    },
  },
  {
    name: "Q6: with retry: false the nonce is kept for the next request, and nothing is sent again",
    clients: withOverrides,
    async run(world) {
      const { api, call } = await boundClient(world, { api: "rs-1" });
      expect((await call(`${world.api.origin}/x`, { remint: { retry: false } })).status).toBe(401);
      expect((await call(`${world.api.origin}/y`)).status).toBe(200);
      expect(nonceOf(api)).toEqual([undefined, "rs-1"]);
    },
  },
  {
    name: "RFC 9449 section 9: two origins have nonces of their own, and the authorization server's nonce goes to neither",
    async run(world) {
      const other = await world.anotherApi({ accepts: () => true });
      const { auth, api, call } = await boundClient(world, { auth: "as-1", api: "rs-1" }, [other.origin]);
      const elsewhere = guardApi(other, world.auth, auth, "other-1");
      for (const { origin } of [world.api, other, world.api, other]) expect((await call(origin)).status).toBe(200);
      expect([nonceOf(auth), nonceOf(api), nonceOf(elsewhere)]).toEqual([
        [undefined, "as-1"],
        [undefined, "rs-1", "rs-1"],
        [undefined, "other-1", "other-1"],
      ]);
      expectFresh(auth, api, elsewhere);
    },
  },
  {
    name: "Q4: invalid_dpop_proof does not reject the token: the 401 goes to the caller, and nothing is minted",
    async run(world) {
      const { tokens, call } = await boundClient(world);
      world.api.respond({
        status: 401,
        headers: { "www-authenticate": 'DPoP error="invalid_dpop_proof"' },
        body: "no",
      });
      const { status, text } = await call(`${world.api.origin}/x`);
      expect([status, text, world.api.requests.length, world.auth.mints]).toEqual([401, "no", 1, 1]);
      expect(tokens.peek()?.value).toBe("bound-1");
    },
  },
  {
    name: "Q1: a caller's own Authorization goes out unchanged, without a proof",
    async run(world) {
      const { call } = await boundClient(world);
      await call(`${world.api.origin}/x`, { headers: { authorization: "DPoP mine" } });
      const [request] = world.api.requests;
      expect([request?.headers.authorization, request?.headers["dpop"]]).toEqual(["DPoP mine", undefined]);
    },
  },
  ...["dpop", "DPoP"].map((name): Case => ({
    name: `a caller's own proof (${name}) is replaced by one for our token, and their headers object keeps it`,
    async run(world) {
      const { auth, api, call } = await boundClient(world, { api: "rs-1" });
      const headers = { [name]: "of-another-key", "x-mine": "1" };
      expect((await call(`${world.api.origin}/x`, { headers })).status).toBe(200);
      expect(world.api.requests.map((request) => request.headers["x-mine"])).toEqual(["1", "1"]);
      expect(headers).toEqual({ [name]: "of-another-key", "x-mine": "1" });
      expectFresh(auth, api);
    },
  })),
  ...[403, 401, 500].map((status): Case => ({
    name: `Q11: the result of a ${status} prints neither proof nor token`,
    async run(world) {
      const { call } = await boundClient(world);
      world.api.respondAlways({
        status,
        headers: { "www-authenticate": 'DPoP error="invalid_dpop_proof"' },
        body: "no",
      });
      const reply = await call(`${world.api.origin}/x`, { own: world.client.once });
      const proofs = world.api.requests.map(({ headers }) => String(headers["dpop"]));
      expect([reply.status, proofs.length]).toEqual([status, 1]);
      const text = printed(reply.error ?? reply.response);
      expect(text.length).toBeGreaterThan(20);
      for (const secret of [...proofs, ...world.auth.issued]) expect(text).not.toContain(secret);
    },
  })),
  {
    name: "Q11: the error of a connection that is reset prints neither proof nor token",
    async run(world) {
      const { call } = await boundClient(world);
      world.api.respondAlways({ reset: true });
      const text = printed(await failureOf(call(`${world.api.origin}/x`, { own: world.client.once })));
      const proofs = world.api.requests.map(({ headers }) => String(headers["dpop"]));
      for (const secret of [...proofs, ...world.auth.issued]) expect(text).not.toContain(secret);
    },
  },
  {
    name: "Q12: an abort between the answer that asks for a nonce and the resend ends the call, and nothing more is sent",
    async run(world) {
      const { call } = await boundClient(world);
      const controller = new AbortController();
      const reason = new Error("gone");
      let asked = false;
      world.api.respondAlways(async () => {
        asked = true;
        return {
          status: 401,
          headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "rs-1" },
          // A body that never ends, so that it is still being discarded when the caller aborts.
          body: endless(),
        };
      });
      const failure = failureOf(
        call(`${world.api.origin}/x`, { signal: controller.signal, own: world.client.once, stream: true }),
      );
      await until(() => asked);
      controller.abort(reason);
      expect(world.client.isAbort(await failure, reason)).toBe(true);
      expect(world.api.requests.length).toBe(1);
    },
  },
  {
    name: "Q3: a redirect to another origin carries no token",
    async run(world) {
      const other = await world.anotherApi({ accepts: () => true });
      const { call } = await boundClient(world);
      world.api.respond({ status: 302, headers: { location: `${other.origin}/there` } });
      await call(`${world.api.origin}/x`);
      const [arrived] = other.requests;
      expect([arrived?.url, arrived?.headers.authorization]).toEqual(["/there", undefined]);
      // fetch sends the DPoP header to the redirect's target too. Without its token the proof is useless. An interceptor of
      // undici sees each request of a redirect.
      if (world.client.name === "axios/http" || world.client.undici !== undefined)
        expect(arrived?.headers["dpop"]).toBeUndefined();
      else expect(claimsOf(arrived?.headers["dpop"])).toMatchObject({ htu: `${world.api.origin}/x`, htm: "GET" });
    },
  },
  {
    name: "Q3: a nonce from another origin, after a redirect, is not used for the first origin",
    clients: clientsBut("axios/fetch"), // It does not tell where an answer came from.
    async run(world) {
      const other = await world.anotherApi({ accepts: () => true });
      other.respondAlways({ body: "there", headers: { "dpop-nonce": "not-yours" } });
      const { api, call } = await boundClient(world);
      world.api.respond({ status: 302, headers: { location: other.origin } });
      expect((await call(`${world.api.origin}/x`)).text).toBe("there");
      expect((await call(`${world.api.origin}/y`)).status).toBe(200);
      expect(nonceOf(api)).toEqual([undefined]);
    },
  },
];

async function* endless(): AsyncGenerator<string> {
  yield "a";
  await new Promise<never>(() => {});
}

function claimsOf(proof: unknown): Record<string, unknown> {
  const [, payload = ""] = String(proof).split(".");
  return JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
}
