/**
 * DPoP end to end, against a certified authorization server that requires its nonces in every proof. The requests go to
 * an API that verifies JWTs and proofs, and to the server's own userinfo endpoint.
 */
import { createHash } from "node:crypto";
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  EmbeddedJWK,
  exportJWK,
  generateKeyPair,
  jwtVerify,
  type JWTPayload,
} from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, refreshTokenGrant, type TokenCache } from "remint";
import { dpop } from "remint/dpop";
import { type Answer, type Api, type ApiRequest, startApi } from "remint/testing";
import { type GrantingServer, PUBLIC_CLIENT, startGrantingServer } from "../grants/granting-server.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { clients } from "./clients.ts";
import { OIDC_CLIENT, type OidcProvider, RESOURCES, startOidcProvider } from "./oidc-provider.ts";
import { times } from "./world.ts";

let provider: OidcProvider;
let server: GrantingServer;
beforeAll(async () => {
  provider = await startOidcProvider({ dpopNonces: true });
  server = await startGrantingServer({ dpopNonces: true });
});
afterAll(async () => {
  await Promise.all([provider.close(), server.close()]);
  expect([...provider.errors, ...server.errors]).toEqual([]);
});

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface ProvedApi extends Api {
  /** The nonce that the API requires. */
  nonce: string;
  /** The `jti` of revoked tokens. */
  readonly denied: Set<string>;
}

/**
 * Starts an API that verifies the token (RFC 9068), the proof (RFC 9449 section 4.3), its nonce, and that both have the
 * same key.
 */
async function startProvedApi(): Promise<ProvedApi> {
  const keys = createRemoteJWKSet(new URL(provider.jwksUri));
  const seen = new Set<unknown>();
  const api: ProvedApi = Object.assign(await startApi({ accepts: () => true }), {
    nonce: "api-1",
    denied: new Set<string>(),
  });
  closing.push(() => api.close());
  const proofFault = async (request: ApiRequest, token: string, claims: JWTPayload): Promise<string | undefined> => {
    const proof = await jwtVerify(String(request.headers["dpop"]), EmbeddedJWK, {
      typ: "dpop+jwt",
      maxTokenAge: "60s",
    });
    const { jti, htm, htu, ath, nonce } = proof.payload;
    const isNew = !seen.has(jti) && seen.add(jti).has(jti);
    const path = request.url.replace(/\?.*$/s, "");
    const hash = createHash("sha256").update(token).digest("base64url");
    if (!isNew || htm !== request.method || htu !== api.origin + path || ath !== hash) return "invalid_dpop_proof";
    if (nonce !== api.nonce) return "use_dpop_nonce";
    const jkt = await calculateJwkThumbprint(proof.protectedHeader.jwk ?? {});
    return (claims["cnf"] as { jkt?: string } | undefined)?.jkt === jkt ? undefined : "invalid_token";
  };
  api.respondAlways(async (request): Promise<Answer> => {
    const [, token = ""] = /^DPoP +(\S+)$/.exec(request.headers.authorization ?? "") ?? [];
    let fault: string | undefined = "invalid_token";
    try {
      const { payload } = await jwtVerify(token, keys, { issuer: provider.issuer, audience: RESOURCES.jwt });
      if (!api.denied.has(String(payload.jti))) fault = await proofFault(request, token, payload);
    } catch {
      // The answer below reports the fault.
    }
    if (fault === undefined) return { body: { ok: true } };
    const headers = { "www-authenticate": `DPoP error="${fault}", algs="ES256"` };
    return { status: 401, headers: fault === "use_dpop_nonce" ? { ...headers, "dpop-nonce": api.nonce } : headers };
  });
  return api;
}

function boundTokens(api: Api): TokenCache {
  const { tokenEndpoint } = provider;
  const tokens = createTokenCache({
    grant: clientCredentialsGrant({ tokenEndpoint, ...OIDC_CLIENT, resource: RESOURCES.jwt, dpop: dpop() }),
    origins: [api.origin],
    mintRetries: 0,
  });
  closing.push(() => tokens.close());
  return tokens;
}

describe("an API that verifies proofs", () => {
  test("accepts a bound token with its proof, and refuses a token without a proof, with a used one, and with another key's", async () => {
    const api = await startProvedApi();
    const tokens = boundTokens(api);
    const token = await tokens.get();
    expect(token.scheme).toBe("DPoP");
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(api.origin, { headers })).status;
    expect((await clients[0]!.connect(tokens)(api.origin)).status).toBe(200);
    const { headers } = api.requests.at(-1)!;
    const proof = await dpop().prove({ method: "GET", url: `${api.origin}/`, token });
    const stolen: Record<string, string>[] = [
      { authorization: token.header },
      { authorization: `Bearer ${token.value}` },
      { authorization: token.header, dpop: String(headers["dpop"]) },
      { authorization: token.header, ...proof?.headers },
    ];
    expect(await Promise.all(stolen.map(status))).toEqual([401, 401, 401, 401]);
  });

  describe.each(clients)("called by $name", (client) => {
    test("C2, RFC 9449 section 8: 100 callers of an empty cache share one mint, and use the nonces of both servers", async () => {
      const api = await startProvedApi();
      const before = provider.mints;
      const call = client.connect(boundTokens(api));
      const replies = await Promise.all(times(100, (index) => call(`${api.origin}/${index}?q=1`)));
      expect(replies.filter(({ status }) => status !== 200)).toEqual([]);
      expect([provider.mints - before, api.requests.length]).toEqual([1, 200]);
      expect((await call(`${api.origin}/known`, { method: "POST", ...client.json({ a: 1 }) })).status).toBe(200);
      expect(api.requests.length).toBe(201);
    });

    test("Q5, RFC 9449 section 9: when token and nonce both change under 50 requests, there is one mint, and no 401 surfaces", async () => {
      const api = await startProvedApi();
      const before = provider.mints;
      const tokens = boundTokens(api);
      const call = client.connect(tokens);
      await call(api.origin);
      const release = api.holdAnswers();
      const arrived = api.requests.length;
      const replies = Promise.all(times(50, (index) => call(`${api.origin}/${index}`)));
      await api.waitFor(arrived + 50);
      api.nonce = "api-2";
      const [, claims = ""] = tokens.peek()!.value.split(".");
      api.denied.add((JSON.parse(Buffer.from(claims, "base64url").toString()) as { jti: string }).jti);
      release();
      expect((await replies).filter(({ status }) => status !== 200)).toEqual([]);
      expect(provider.mints - before).toBe(2);
      expect(api.requests.length - arrived).toBeLessThanOrEqual(4 * 50);
    });
  });
});

describe("the userinfo endpoint, for a public client whose refresh token is bound to its key", () => {
  test.each(clients)("RFC 9449 section 5: $name: every rotation and every request carries a proof", async (client) => {
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const jkt = await calculateJwkThumbprint(await exportJWK(publicKey));
    const saved = [await server.signIn("alice", jkt)];
    const grant = refreshTokenGrant({
      issuer: server.issuer,
      ...PUBLIC_CLIENT,
      refreshToken: saved[0]!,
      onRotate: (next) => void saved.push(next),
      dpop: dpop({ privateKey: await exportJWK(privateKey) }),
    });
    const tokens = createTokenCache({ grant, origins: [server.issuer], mintRetries: 0 });
    closing.push(() => tokens.close());
    const call = client.connect(tokens);
    for (let round = 0; round < 3; round++) {
      const replies = await Promise.all(times(20, () => call(`${server.issuer}/me`)));
      expect(replies.map(({ status, text }) => [status, text])).toEqual(times(20, () => [200, '{"sub":"alice"}']));
      await tokens.invalidate(tokens.peek()!.value);
    }
    expect(saved.length).toBe(4);
  });

  test("RFC 9449 section 5: a refresh with another key is refused, which is terminal", async () => {
    const { publicKey } = await generateKeyPair("ES256", { extractable: true });
    const jkt = await calculateJwkThumbprint(await exportJWK(publicKey));
    const refresh = await server.signIn("alice", jkt);
    const options = { issuer: server.issuer, ...PUBLIC_CLIENT, refreshToken: refresh, dpop: dpop() };
    const tokens = createTokenCache({ grant: refreshTokenGrant(options), origins: [server.issuer], mintRetries: 0 });
    expect(await rejectionOf(tokens.get())).toMatchObject({ error: "invalid_grant", terminal: true });
  });
});
