/** DPoP proofs at the token endpoint, for every grant, against servers that verify them with `jose`. */
import { decodeJwt, generateKeyPair } from "jose";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  jwtBearerGrant,
  privateKeyJwt,
  refreshTokenGrant,
  tokenExchangeGrant,
  type Grant,
  type RemintError,
  type RemintEvent,
  type TokenEndpointOptions,
} from "remint";
import { dpop, type DpopKey } from "remint/dpop";
import { type AuthServer, manualClock, startAuthServer } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { type AuthGuard, guardAuth } from "./guard.ts";
import { mintOnce } from "../grants/one-mint.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

let auth: AuthServer;
let guard: AuthGuard;
beforeEach(async () => {
  auth = await startAuthServer();
  onTestFinished(() => auth.close());
  guard = guardAuth(auth);
});

/** The member that token exchange requires (RFC 8693 section 2.2.1). The other grants ignore it. */
const ISSUED = { issued_token_type: "urn:ietf:params:oauth:token-type:access_token" };
const SECRET = { clientId: "portal", clientSecret: "s3cret" };

const grants: [name: string, make: (endpoint: TokenEndpointOptions) => Grant][] = [
  ["clientCredentialsGrant", clientCredentialsGrant],
  ["refreshTokenGrant", (endpoint) => refreshTokenGrant({ ...endpoint, refreshToken: "refresh-1" })],
  ["jwtBearerGrant", (endpoint) => jwtBearerGrant({ ...endpoint, assertion: "a.b.c" })],
  ["tokenExchangeGrant", (endpoint) => tokenExchangeGrant({ ...endpoint, subjectToken: "subject" })],
];

describe.each(grants)("%s", (_name, make) => {
  function cacheFor(key: DpopKey, events: RemintEvent[] = []): ReturnType<typeof createTokenCache> {
    const grant = make({ tokenEndpoint: `${auth.tokenEndpoint}?tenant=a`, ...SECRET, dpop: key });
    return createTokenCache({ grant, origins: "any", mintRetries: 0, onEvent: outcomesInto(events) });
  }

  test("the request has a proof for POST and the URL without query; the token is a DPoP token (RFC 9449 section 4.2)", async () => {
    const token = await cacheFor(dpop()).get();
    expect([token.scheme, token.header]).toEqual(["DPoP", `DPoP ${token.value}`]);
    expect(guard.proofs.map(({ htm, htu, ath }) => [htm, htu, ath])).toEqual([["POST", auth.tokenEndpoint, undefined]]);
    expect(guard.refusals).toEqual([]);
  });

  test("C9, C11: the server asks for a nonce: it is sent in the same attempt, without failure or retry", async () => {
    guard.nonce = "as-1";
    const events: RemintEvent[] = [];
    const cache = cacheFor(dpop(), events);
    const { value } = await cache.get();
    expect([value, auth.requests.length, auth.mints]).toEqual(["bound-1", 2, 1]);
    expect(guard.proofs.map(({ nonce }) => nonce)).toEqual([undefined, "as-1"]);
    expect(events.map(({ name }) => name)).toEqual(["minted"]);
    const [first, second] = auth.requests;
    expect(second?.body).toBe(first?.body);
    await cache.invalidate(value);
    await cache.get();
    expect([auth.requests.length, guard.proofs.at(-1)?.nonce]).toEqual([3, "as-1"]);
    expect(new Set(guard.proofs.map(({ jti }) => jti)).size).toBe(3);
  });

  test("a nonce in a good answer is used for the next request (RFC 9449 section 8.2)", async () => {
    guard.nextNonce = "as-2";
    const cache = cacheFor(dpop());
    await cache.invalidate((await cache.get()).value);
    await cache.get();
    expect(guard.proofs.map(({ nonce }) => nonce)).toEqual([undefined, "as-2"]);
  });

  test("the server asks for a new nonce each time: two requests, then the mint fails and the failure is kept", async () => {
    let nonces = 0;
    auth.respondAlways(() => ({
      status: 400,
      headers: { "dpop-nonce": `as-${++nonces}` },
      body: { error: "use_dpop_nonce" },
    }));
    const cache = cacheFor(dpop());
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 400,
      error: "use_dpop_nonce",
      terminal: false,
    });
    const again = await rejectionOf(cache.get());
    expect(again).toEqual(error);
    expect(again).not.toBe(error);
    expect(auth.requests.length).toBe(2);
  });

  test("use_dpop_nonce without a nonce is an ordinary refusal: one request", async () => {
    auth.respondAlways({ status: 400, body: { error: "use_dpop_nonce" } });
    expect(await rejectionOf(cacheFor(dpop()).get())).toMatchObject({ error: "use_dpop_nonce" });
    expect(auth.requests.length).toBe(1);
  });

  test("a Bearer token is refused and the hint names allowBearer; with allowBearer it is accepted", async () => {
    auth.respondAlways({ body: { access_token: "unbound", token_type: "Bearer", expires_in: 60, ...ISSUED } });
    const error = await rejectionOf(cacheFor(dpop()).get());
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect((error as RemintError).message).toBe(
      "no token is available: the authorization server's answer cannot be used",
    );
    expect((error as RemintError).hint).toContain("allowBearer: true");
    expect((error as RemintError).stack).not.toContain("unbound");
    const token = await cacheFor(dpop({ allowBearer: true })).get();
    expect(token.header).toBe("Bearer unbound");
  });

  test("token_type dpop in lower case is accepted", async () => {
    auth.respondAlways({ body: { access_token: "a", token_type: "dpop", expires_in: 60, ...ISSUED } });
    expect((await cacheFor(dpop()).get()).header).toBe("DPoP a");
  });
});

/** Returns the ids of the assertions in the two requests. */
function jtisOf(parameter: string): Set<unknown> {
  expect(auth.requests.length).toBe(2);
  return new Set(auth.requests.map(({ form }) => decodeJwt(form.get(parameter) ?? "").jti));
}

describe("the request that is sent again with a nonce has a new assertion (RFC 7523 section 3)", () => {
  beforeEach(() => {
    guard.nonce = "as-1";
  });

  test("privateKeyJwt: the client assertion", async () => {
    const { privateKey: key } = await generateKeyPair("ES256");
    const { tokenEndpoint } = auth;
    const options = { tokenEndpoint, clientId: "portal", clientAuthentication: privateKeyJwt({ key }), dpop: dpop() };
    await createTokenCache({ grant: clientCredentialsGrant(options), origins: "any" }).get();
    expect(jtisOf("client_assertion").size).toBe(2);
  });

  test("jwtBearerGrant: the assertion of the grant", async () => {
    const { privateKey: key } = await generateKeyPair("ES256");
    const assertion = { key, issuer: "portal", subject: "alice", audience: auth.origin };
    const grant = jwtBearerGrant({ tokenEndpoint: auth.tokenEndpoint, ...SECRET, assertion, dpop: dpop() });
    await createTokenCache({ grant, origins: "any" }).get();
    expect(jtisOf("assertion").size).toBe(2);
  });
});

describe("a rotating refresh token", () => {
  test("is sent again with the nonce, because the refusal did not use it up", async () => {
    guard.nonce = "as-1";
    const rotated: string[] = [];
    const onRotate = (next: string): void => void rotated.push(next);
    const options = { tokenEndpoint: auth.tokenEndpoint, ...SECRET, refreshToken: "refresh-1", onRotate, dpop: dpop() };
    auth.respond({ status: 400, headers: { "dpop-nonce": "as-1" }, body: { error: "use_dpop_nonce" } });
    auth.respond({ body: { access_token: "a", token_type: "DPoP", expires_in: 60, refresh_token: "refresh-2" } });
    const token = await createTokenCache({ grant: refreshTokenGrant(options), origins: "any" }).get();
    expect([token.value, rotated]).toEqual(["a", ["refresh-2"]]);
    expect(auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(["refresh-1", "refresh-1"]);
  });

  test("is saved and used next if its access token is refused as a Bearer token", async () => {
    const rotated: string[] = [];
    const onRotate = (next: string): void => void rotated.push(next);
    const options = { tokenEndpoint: auth.tokenEndpoint, ...SECRET, refreshToken: "refresh-1", onRotate, dpop: dpop() };
    const clock = manualClock();
    const cache = createTokenCache({ grant: refreshTokenGrant(options), origins: "any", clock });
    auth.respond({ body: { access_token: "a", token_type: "Bearer", expires_in: 60, refresh_token: "refresh-2" } });
    auth.respond({ body: { access_token: "b", token_type: "DPoP", expires_in: 60 } });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(rotated).toEqual(["refresh-2"]);
    await clock.advance(1000);
    expect((await cache.get()).header).toBe("DPoP b");
    expect(auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(["refresh-1", "refresh-2"]);
  });
});

function boundEndpoint(): TokenEndpointOptions {
  return { tokenEndpoint: auth.tokenEndpoint, ...SECRET, dpop: dpop() };
}

describe("errors, abort, revocation and nonces", () => {
  test("S5: the server repeats the proof: the error does not contain it", async () => {
    auth.respondAlways(({ headers }) => ({
      status: 400,
      body: { error: "invalid_dpop_proof", error_description: `bad: ${String(headers["dpop"])}`.slice(0, 8000) },
    }));
    const error = await rejectionOf(
      createTokenCache({ grant: clientCredentialsGrant(boundEndpoint()), origins: "any" }).get(),
    );
    expect(error).toMatchObject({ error: "invalid_dpop_proof", errorDescription: "bad: [redacted]" });
    expect((error as RemintError).hint).toContain("check this machine's clock");
  });

  test("C10: an abort after the server asked for a nonce rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const reason = new Error("time is up");
    auth.respondAlways(() => {
      controller.abort(reason);
      return { status: 400, headers: { "dpop-nonce": "as-1" }, body: { error: "use_dpop_nonce" } };
    });
    const grant = clientCredentialsGrant(boundEndpoint());
    expect(await rejectionOf(mintOnce(grant, { signal: controller.signal }))).toBe(reason);
    expect(auth.requests.length).toBe(1);
  });

  test("a revocation has no proof, because RFC 7009 defines none", async () => {
    const revocationEndpoint = `${auth.origin}/revoke`;
    const grant = refreshTokenGrant({ ...boundEndpoint(), revocationEndpoint, refreshToken: "refresh-1" });
    const cache = createTokenCache({ grant, origins: "any" });
    await cache.get();
    auth.respondAlways({ status: 200 });
    await cache.signOut();
    expect(auth.requests.map(({ path, headers }) => [path, headers["dpop"] !== undefined])).toEqual([
      ["/token", true],
      ["/revoke", false],
      ["/revoke", false],
    ]);
  });

  test("one key with two authorization servers: each server's nonce is used for that server", async () => {
    const other = await startAuthServer();
    onTestFinished(() => other.close());
    const elsewhere = guardAuth(other, "other-1");
    guard.nonce = "as-1";
    const key = dpop();
    for (const { tokenEndpoint } of [auth, other, auth, other]) {
      await createTokenCache({
        grant: clientCredentialsGrant({ ...SECRET, tokenEndpoint, dpop: key }),
        origins: "any",
      }).get();
    }
    expect(guard.proofs.map(({ nonce }) => nonce)).toEqual([undefined, "as-1", "as-1"]);
    expect(elsewhere.proofs.map(({ nonce }) => nonce)).toEqual([undefined, "other-1", "other-1"]);
    expect(new Set([...guard.proofs, ...elsewhere.proofs].map(({ jkt }) => jkt)).size).toBe(1);
  });

  test("an authorization server and an API on one origin: each has its own nonce (RFC 9449 section 9)", async () => {
    const key = dpop();
    const token = await createTokenCache({
      grant: clientCredentialsGrant({ ...boundEndpoint(), dpop: key }),
      origins: "any",
    }).get();
    const url = `${auth.origin}/both`;
    const nonceOf = async (request: { token?: typeof token }): Promise<unknown> => {
      const proof = await key.prove({ method: "GET", url, ...request });
      proof?.answered?.({ status: 200, header: () => (request.token === undefined ? "as" : "rs") });
      return decodeJwt(proof?.headers["DPoP"] ?? "")["nonce"];
    };
    expect([await nonceOf({}), await nonceOf({ token })]).toEqual([undefined, undefined]);
    expect([await nonceOf({}), await nonceOf({ token })]).toEqual(["as", "rs"]);
  });

  test("two answers ask for a nonce each: the proof that follows an answer has the nonce of that answer", async () => {
    const key = dpop();
    const request = { method: "POST", url: auth.tokenEndpoint };
    const asksFor = async (nonce: string): Promise<() => Promise<unknown>> => {
      const answer = { status: 400, error: "use_dpop_nonce", header: () => nonce };
      const next = (await key.prove(request))?.answered?.(answer);
      return async () => decodeJwt((await next?.())?.headers["DPoP"] ?? "")["nonce"];
    };
    const [first, second] = [await asksFor("one"), await asksFor("two")];
    expect([await first(), await second()]).toEqual(["one", "two"]);
  });

  test("a relative URL cannot be proved: ERR_ORIGIN with the URL in its hint, and not in its message", async () => {
    const error = await rejectionOf(Promise.resolve(dpop().prove({ method: "GET", url: "/api/x" })));
    expect(error).toMatchObject({ code: "ERR_ORIGIN" });
    expect((error as RemintError).message).toBe("no DPoP proof can be made for this URL");
    expect((error as RemintError).hint).toContain("/api/x");
  });
});
