/** RFC 6749 section 5.1: successful response; section 7.1: token types. The answer is the RFC's example. */
import { describe, expect, test } from "vitest";
import {
  type AccessToken,
  clientCredentialsGrant,
  createTokenCache,
  type Grant,
  jwtBearerGrant,
  refreshTokenGrant,
  tokenExchangeGrant,
} from "remint";
import { manualClock } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { json, startTokenServer } from "../grants/token-server.ts";

const EXAMPLE = {
  access_token: "2YotnFZFEjr1zCsicMWpAA",
  token_type: "example",
  expires_in: 3600,
  refresh_token: "tGzv3JOkF0XG5Qx2TlKWIA",
  example_parameter: "example_value",
};
const ISSUED = { issued_token_type: "urn:ietf:params:oauth:token-type:access_token" };

const grants: [name: string, make: (tokenEndpoint: string) => Grant][] = [
  ["clientCredentialsGrant", (tokenEndpoint) => clientCredentialsGrant({ ...common, tokenEndpoint })],
  ["refreshTokenGrant", (tokenEndpoint) => refreshTokenGrant({ ...common, tokenEndpoint, refreshToken: "rt" })],
  ["jwtBearerGrant", (tokenEndpoint) => jwtBearerGrant({ ...common, tokenEndpoint, assertion: "a.b.c" })],
  ["tokenExchangeGrant", (tokenEndpoint) => tokenExchangeGrant({ ...common, tokenEndpoint, subjectToken: "s" })],
];
const common = { clientId: "client", clientSecret: "secret", scope: "read write" } as const;

describe.each(grants)("%s", (_name, make) => {
  async function minted(more: Record<string, unknown>): Promise<AccessToken> {
    const server = await startTokenServer((response) => json(response, 200, { ...EXAMPLE, ...ISSUED, ...more }));
    return createTokenCache({ grant: make(server.origin), origins: "any", clock: manualClock() }).get();
  }

  test("section 5.1: an answer without access_token is refused", async () => {
    for (const missing of [{ access_token: undefined }, { access_token: null }, { access_token: "" }]) {
      const error = await rejectionOf(minted({ token_type: "Bearer", ...missing }));
      expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    }
  });

  // The RFC requires the member. Servers that leave it out issue Bearer tokens.
  test("section 5.1: an answer without token_type is taken for one with a Bearer token", async () => {
    expect((await minted({ token_type: undefined })).header).toBe(`Bearer ${EXAMPLE.access_token}`);
  });

  test("section 7.1: an unknown token_type is refused; bearer is accepted in any case", async () => {
    expect(await rejectionOf(minted({}))).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    for (const token_type of ["bearer", "Bearer", "BEARER"]) {
      expect((await minted({ token_type })).header).toBe(`Bearer ${EXAMPLE.access_token}`);
    }
  });

  test("section 5.1: an unknown member is no error and is kept in the token's response", async () => {
    expect((await minted({ token_type: "Bearer" })).response).toMatchObject({ example_parameter: "example_value" });
  });

  test("section 5.1: an answer without expires_in is accepted and gets the default lifetime", async () => {
    const { expiresAt } = await minted({ token_type: "Bearer", expires_in: undefined });
    expect(expiresAt).toBe(manualClock().now() + 1_800_000);
  });

  // A narrower token cannot satisfy a wider request: a cache holds the token of one grant, and the scope is part of the
  // grant's key (test/rfc/rfc9700.test.ts, section 2.3).
  test("section 5.1: a scope that differs from the requested one is recorded in the token", async () => {
    expect((await minted({ token_type: "Bearer", scope: "read" })).scope).toBe("read");
  });
});
