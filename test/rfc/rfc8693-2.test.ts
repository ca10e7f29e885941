/**
 * RFC 8693 section 2: token exchange. The requests and the answer are the RFC's own examples (sections 2.3 and A.1, A.2);
 * everything else about the grant is in test/grants/token-exchange.test.ts. T30 and T31 are no sentences of the RFC, which
 * leaves caching to the client: what was issued for one subject is not another's, and ends with it at the latest.
 */
import { definitionOf } from "../../src/core/grant.ts";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createTokenCache, tokenExchangeGrant, type TokenExchangeGrantOptions } from "remint";
import { type AuthServer, manualClock, startAuthServer } from "remint/testing";
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

test("T28, 2.3: the RFC's example", async () => {
  const resource = "https://backend.example.com/api";
  expect(Object.fromEntries(await exchange({ resource, subjectTokenType: "access_token" }))).toEqual({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    resource,
    subject_token: "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
    subject_token_type: `${TYPE}access_token`,
  });
});

test("T28, 2.1: subject_token and its type are required, actor_token_type is there exactly with actor_token", async () => {
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

test("T29, 2.2.1: issued_token_type is required", async () => {
  auth.respond({ body: { ...EXAMPLE, issued_token_type: undefined } });
  expect(await rejectionOf(exchange())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
});

test("T29, 2.2.1: token_type N_A is no access token, and is never attached", async () => {
  auth.respond({ body: { ...EXAMPLE, token_type: "N_A", issued_token_type: `${TYPE}refresh_token` } });
  const error = await rejectionOf(exchange());
  expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  expect((error as Error).message).toContain("N_A");
});

test("T30: the key has digests of subject and actor, not the tokens", () => {
  const keys = [options(), options({ subjectToken: "another" }), options({ actorToken: "actor-1" })].map(
    (given) => definitionOf(tokenExchangeGrant(given)).key,
  );
  expect(new Set(keys).size).toBe(3);
  for (const key of keys) {
    expect(key).toMatch(/[0-9a-f]{64}/);
    expect(key).not.toMatch(/accVkjcJyb|another|actor-1/);
  }
});

test("T31: the entry never outlives the subject token", async () => {
  const clock = manualClock();
  auth.respondAlways({ headers: { date: undefined }, body: { ...EXAMPLE, access_token: "opaque", expires_in: 3600 } });
  const subjectToken = jwt({ exp: clock.now() / 1000 + 90 });
  const grant = tokenExchangeGrant(options({ subjectToken, subjectTokenType: "jwt" }));
  const cache = createTokenCache({ grant, origins: "any", clock });
  expect((await cache.get()).expiresAt).toBe(clock.now() + 90_000);
});
