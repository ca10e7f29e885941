/** The adapters end to end: a certified authorization server, and an API that really checks its tokens. */
import { type CryptoKey, generateKeyPair, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { clients } from "./clients.ts";
import { type OidcApi, startOidcApi } from "./oidc-api.ts";
import { OIDC_CLIENT, type OidcProvider, RESOURCES, startOidcProvider, type TokenFormat } from "./oidc-provider.ts";
import { times } from "./world.ts";

/**
 * Fewer than the 1,000 callers of the contract, because each request costs a signature check, or an introspection:
 * another request to the authorization server.
 */
const CALLERS: Record<TokenFormat, number> = { jwt: 300, opaque: 100 };

let provider: OidcProvider;
beforeAll(async () => {
  provider = await startOidcProvider();
});
afterAll(async () => {
  await provider.close();
  expect(provider.errors).toEqual([]);
});

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function start(format: TokenFormat): Promise<{ api: OidcApi; tokens: TokenCache; mints: () => number }> {
  const api = await startOidcApi(provider, format);
  const { tokenEndpoint } = provider;
  const tokens = createTokenCache({
    grant: clientCredentialsGrant({ tokenEndpoint, ...OIDC_CLIENT, resource: RESOURCES[format] }),
    origins: [api.origin],
  });
  closing.push(
    () => api.close(),
    () => tokens.close(),
  );
  const before = provider.mints;
  return { api, tokens, mints: () => provider.mints - before };
}

describe.each(["jwt", "opaque"] as const)("an API with %s tokens", (format) => {
  test("accepts a token minted for it until it is revoked, and no other token", async () => {
    const { api, tokens } = await start(format);
    const { value } = await tokens.get();
    expect(value.split(".").length).toBe(format === "jwt" ? 3 : 1);
    const other = format === "jwt" ? "opaque" : "jwt";
    const elsewhere = await (await start(other)).tokens.get();
    const status = async (token: string): Promise<number> =>
      (await fetch(api.origin, { headers: { authorization: `Bearer ${token}` } })).status;

    expect(await status(value)).toBe(200);
    const half = value.length >> 1;
    const changed = value.slice(0, half) + (value[half] === "A" ? "B" : "A") + value.slice(half + 1);
    const refused = [changed, elsewhere.value, ...(await forgeries())];
    expect(await Promise.all(refused.map(status))).toEqual(refused.map(() => 401));
    // The same forgery without its fault: shows that the forgeries are refused because of their faults.
    expect(await status(await signedToken())).toBe(format === "jwt" ? 200 : 401);
    await api.revoke(value);
    expect(await status(value)).toBe(401);
  });

  describe.each(clients)("called by $name", (client) => {
    const callers = CALLERS[format];

    test(`C2: ${callers} callers of an empty cache share one mint`, async () => {
      const { api, tokens, mints } = await start(format);
      const call = client.connect(tokens);
      const replies = await Promise.all(times(callers, (index) => call(`${api.origin}/${index}`)));
      expect(replies.filter(({ status }) => status !== 200)).toEqual([]);
      expect([mints(), api.requests.length]).toEqual([1, callers]);
    });

    test(`C2, Q5: ${callers} requests in flight at a revocation cost one mint and surface no 401`, async () => {
      const { api, tokens, mints } = await start(format);
      const call = client.connect(tokens);
      const { value } = await tokens.get();
      const release = api.holdAnswers();
      const replies = Promise.all(times(callers, (index) => call(`${api.origin}/${index}`)));
      await api.waitFor(callers);
      await api.revoke(value);
      release();
      expect((await replies).filter(({ status }) => status !== 200)).toEqual([]);
      expect([mints(), api.unauthorized, api.requests.length]).toEqual([2, callers, 2 * callers]);
    });
  });
});

interface Claims {
  readonly key?: CryptoKey;
  readonly issuer?: string;
  readonly audience?: string;
  readonly expires?: string;
}

/** Creates a token that the JWT API accepts unless a given claim or key is wrong. */
function signedToken({ key, issuer, audience, expires }: Claims = {}): Promise<string> {
  return new SignJWT({ jti: "homemade" })
    .setProtectedHeader({ alg: "RS256", kid: "contract", typ: "at+jwt" })
    .setIssuer(issuer ?? provider.issuer)
    .setAudience(audience ?? RESOURCES.jwt)
    .setExpirationTime(expires ?? "1h")
    .sign(key ?? provider.signingKey);
}

/** Creates tokens that are wrong in one thing each: the key, the issuer, the audience or the expiry. */
async function forgeries(): Promise<string[]> {
  const { privateKey } = await generateKeyPair("RS256");
  const wrong: Claims[] = [
    { key: privateKey },
    { issuer: "https://elsewhere.example" },
    { audience: "urn:another" },
    { expires: "-1h" },
  ];
  return Promise.all(wrong.map(signedToken));
}
