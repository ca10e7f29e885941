/**
 * RFC 8693 section 2: token exchange. The requests and the answer are the RFC's own examples (sections 2.3 and A.1, A.2);
 * everything else about the grant is in test/grants/token-exchange.test.ts. The RFC leaves caching to the client, so the two
 * tests about it are this package's rules: a token of one subject is not served for another, and ends with its subject token.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { createTokenCache, type RemintError, tokenExchangeGrant, type TokenExchangeGrantOptions } from "remint";
import { type AuthServer, manualClock, startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { jwt, rejectionOf } from "../core/cache-under-test.ts";

const TYPE = "urn:ietf:params:oauth:token-type:";
const EXAMPLE = {
  access_token: "eyJhbGciOiJFUzI1NiIsImtpZCI6IjllciJ9.eyJhdWQiOiJodHRwczov.yRc",
  issued_token_type: `${TYPE}access_token`,
  token_type: "Bearer",
  expires_in: 60,
};

let auth: AuthServer;
beforeEach(async () => {
  auth = await startAuthServer();
  auth.respondAlways({ headers: { date: undefined }, body: EXAMPLE });
});
afterEach(() => auth.close());

function options(more: Partial<TokenExchangeGrantOptions> = {}): TokenExchangeGrantOptions {
  const { tokenEndpoint } = auth;
  return {
    tokenEndpoint,
    clientId: "rs08",
    clientSecret: "secret",
    subjectToken: "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
    ...more,
  };
}

async function exchange(more: Partial<TokenExchangeGrantOptions> = {}): Promise<URLSearchParams> {
  await createTokenCache({ grant: tokenExchangeGrant(options(more)), origins: "any" }).get();
  return auth.requests.at(-1)!.form;
}

test("section 2.3: the request of the RFC's example", async () => {
  const resource = "https://backend.example.com/api";
  expect(Object.fromEntries(await exchange({ resource, subjectTokenType: "access_token" }))).toEqual({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    resource,
    subject_token: "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
    subject_token_type: `${TYPE}access_token`,
  });
});

test("section 2.1: a subject token is required; actor_token_type is sent only with actor_token", async () => {
  expect(() => tokenExchangeGrant(options({ subjectToken: "" }))).toThrow(/"subjectToken"/);
  expect(() => tokenExchangeGrant(options({ actorTokenType: "jwt" }))).toThrow(/"actorTokenType"/);
  const without = await exchange();
  expect([without.has("subject_token_type"), without.has("actor_token"), without.has("actor_token_type")]).toEqual([
    true,
    false,
    false,
  ]);
  const withActor = await exchange({ actorToken: "a", actorTokenType: "jwt" });
  expect([withActor.get("actor_token"), withActor.get("actor_token_type")]).toEqual(["a", `${TYPE}jwt`]);
});

test("section 2.2.1: an answer without issued_token_type is refused", async () => {
  auth.respond({ body: { ...EXAMPLE, issued_token_type: undefined } });
  expect(await rejectionOf(exchange())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
});

test("section 2.2.1: an answer with token_type N_A is refused", async () => {
  auth.respond({ body: { ...EXAMPLE, token_type: "N_A", issued_token_type: `${TYPE}refresh_token` } });
  const error = await rejectionOf(exchange());
  expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  expect((error as RemintError).hint).toContain("N_A");
});

test("caching: the key has digests of the subject and actor tokens, not the tokens", () => {
  const keys = [options(), options({ subjectToken: "another" }), options({ actorToken: "actor-1" })].map(
    (given) => definitionOf(tokenExchangeGrant(given)).key,
  );
  expect(new Set(keys).size).toBe(3);
  for (const key of keys) {
    expect(key).toMatch(/[0-9a-f]{64}/);
    expect(key).not.toMatch(/accVkjcJyb|another|actor-1/);
  }
});

test("caching: the issued token expires no later than the subject token", async () => {
  const clock = manualClock();
  auth.respondAlways({ headers: { date: undefined }, body: { ...EXAMPLE, access_token: "opaque", expires_in: 3600 } });
  const subjectToken = jwt({ exp: clock.now() / 1000 + 90 });
  const grant = tokenExchangeGrant(options({ subjectToken, subjectTokenType: "jwt" }));
  const cache = createTokenCache({ grant, origins: "any", clock });
  expect((await cache.get()).expiresAt).toBe(clock.now() + 90_000);
});
