/**
 * RFC 9449 section 8: nonces of the authorization server; section 9: nonces of an API. The answers are the RFC's own (figures
 * 20, 23 and 24). Tests with real servers and every client are in test/adapters/contract-dpop.ts.
 */
import { decodeJwt } from "jose";
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { dpop } from "remint/dpop";
import { createAuthFetch } from "remint/fetch";
import { manualClock, type ManualClock } from "remint/testing";

const API = "https://resource.example.org/protectedresource";
const FIRST = "eyJ7S_zG.eyJH0-Z.HX4w-7v";
const NEXT = "eyJ7S_zG.eyJbYu3.xQmBj-1";
const TOKEN = { access_token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", token_type: "DPoP", expires_in: 2677 };

const asks = (nonce: string): Response =>
  Response.json({ error: "use_dpop_nonce" }, { status: 400, headers: { "DPoP-Nonce": nonce } });
const token = (headers: Record<string, string> = {}): Response => Response.json(TOKEN, { headers });
const challenges = (headers: Record<string, string>): Response => {
  const description = "Resource server requires nonce in DPoP proof";
  const challenge = `DPoP error="use_dpop_nonce", error_description="${description}"`;
  return new Response(null, { status: 401, headers: { "WWW-Authenticate": challenge, ...headers } });
};
const good = (headers: Record<string, string> = {}): Response => new Response("ok", { headers });

interface Scene {
  readonly clock: ManualClock;
  readonly tokens: ReturnType<typeof createTokenCache>;
  readonly authFetch: ReturnType<typeof createAuthFetch>;
  /** The nonces of the proofs that the authorization server received, oldest first. */
  readonly toServer: unknown[];
  /** The nonces of the proofs that the API received, oldest first. */
  readonly toApi: unknown[];
}

function nonceIn(init?: RequestInit): unknown {
  return decodeJwt(new Headers(init?.headers).get("dpop") ?? "")["nonce"];
}

/** Creates a cache and a client for a server and an API that give these answers, then good ones. */
function scene(fromServer: Response[], fromApi: Response[] = []): Scene {
  const clock = manualClock();
  const toServer: unknown[] = [];
  const toApi: unknown[] = [];
  const grant = clientCredentialsGrant({
    tokenEndpoint: "https://server.example.com/token",
    clientId: "s6BhdRkqt",
    clientSecret: "s3cret",
    dpop: dpop(),
    fetch: async (_url, init) => {
      toServer.push(nonceIn(init));
      return fromServer.shift() ?? token();
    },
  });
  const tokens = createTokenCache({ grant, origins: [new URL(API).origin], mintRetries: 0, clock });
  const authFetch = createAuthFetch(tokens, {
    fetch: async (_url, init) => {
      toApi.push(nonceIn(init));
      return fromApi.shift() ?? good();
    },
  });
  return { clock, tokens, authFetch, toServer, toApi };
}

describe("section 8", () => {
  test("the server asks for a nonce: the token request is sent again with it", async () => {
    const { tokens, toServer } = scene([asks(FIRST)]);
    await tokens.get();
    expect(toServer).toEqual([undefined, FIRST]);
  });

  test("8.2: a good answer has a new nonce: the next token requests have it", async () => {
    const { tokens, toServer } = scene([asks(FIRST), token({ "DPoP-Nonce": NEXT })]);
    for (let mint = 0; mint < 3; mint++) await tokens.invalidate((await tokens.get()).value);
    expect(toServer).toEqual([undefined, FIRST, NEXT, NEXT]);
  });

  test("8.2: an answer with another error has a new nonce: the next token request has it", async () => {
    const busy = Response.json({ error: "slow_down" }, { status: 400, headers: { "DPoP-Nonce": NEXT } });
    const { clock, tokens, toServer } = scene([asks(FIRST), busy]);
    await expect(tokens.get()).rejects.toMatchObject({ error: "slow_down" });
    expect(toServer).toEqual([undefined, FIRST]);
    await clock.advance(60_000);
    await tokens.get();
    expect(toServer).toEqual([undefined, FIRST, NEXT]);
  });

  test("8.1: a nonce with a space and a comma is not sent", async () => {
    const { tokens, toServer } = scene([asks("two, of them")]);
    await expect(tokens.get()).rejects.toMatchObject({ error: "use_dpop_nonce" });
    expect(toServer).toEqual([undefined]);
  });
});

describe("section 9", () => {
  test("the API asks for a nonce: the request is sent again with it, and the next request has it at once", async () => {
    const { authFetch, toApi } = scene([], [challenges({ "DPoP-Nonce": FIRST })]);
    for (const _ of [1, 2]) expect((await authFetch(API)).status).toBe(200);
    expect(toApi).toEqual([undefined, FIRST, FIRST]);
  });

  test("a good answer has a new nonce: the next request has it", async () => {
    const { authFetch, toApi } = scene([], [challenges({ "DPoP-Nonce": FIRST }), good({ "DPoP-Nonce": NEXT })]);
    for (const _ of [1, 2]) await authFetch(API);
    expect(toApi).toEqual([undefined, FIRST, NEXT]);
  });

  test("the API asks for a nonce, then rejects the token: only the rejection mints, and the request succeeds", async () => {
    const dead = new Response(null, { status: 401, headers: { "WWW-Authenticate": 'DPoP error="invalid_token"' } });
    const { authFetch, toApi, toServer } = scene([], [challenges({ "DPoP-Nonce": FIRST }), dead]);
    expect((await authFetch(API)).status).toBe(200);
    expect([toApi, toServer]).toEqual([
      [undefined, FIRST, FIRST],
      [undefined, undefined],
    ]);
  });

  test("the API asks for a nonce without giving one, or gives the one it just got: the caller gets the 401", async () => {
    const without = scene([], [challenges({})]);
    expect((await without.authFetch(API)).status).toBe(401);
    const answers = [1, 2, 3].map(() => challenges({ "DPoP-Nonce": FIRST }));
    const same = scene([], answers);
    for (const _ of [1, 2]) expect((await same.authFetch(API)).status).toBe(401);
    expect([without.toApi, same.toApi]).toEqual([[undefined], [undefined, FIRST, FIRST]]);
  });

  test("server and API ask for different nonces: each gets its own", async () => {
    const { authFetch, toApi, toServer } = scene([asks(FIRST)], [challenges({ "DPoP-Nonce": NEXT })]);
    await authFetch(API);
    expect([toServer, toApi]).toEqual([
      [undefined, FIRST],
      [undefined, NEXT],
    ]);
  });

  test("7.2: the DPoP challenge follows a Bearer challenge: the nonce is sent", async () => {
    const both = 'Bearer realm="a, b", DPoP algs="ES256 PS256", error="use_dpop_nonce"';
    const { authFetch, toApi } = scene([], [challenges({ "WWW-Authenticate": both, "DPoP-Nonce": FIRST })]);
    expect((await authFetch(API)).status).toBe(200);
    expect(toApi).toEqual([undefined, FIRST]);
  });
});
