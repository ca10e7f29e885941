/** Token revocation (RFC 7009): the request, its errors, and where the endpoint comes from. */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { clientCredentialsGrant } from "../../src/grants/client-credentials.ts";
import { customGrant } from "../../src/grants/custom.ts";
import { createTokenCache } from "../../src/index.ts";
import { tokenClient } from "../../src/oauth/client.ts";
import { revokeToken } from "../../src/oauth/revocation.ts";
import { revokeOnce } from "../grants/one-mint.ts";
import { context, json, startTokenServer } from "../grants/token-server.ts";
import type { ServerResponse } from "node:http";
import type { RemintError } from "../../src/base/errors.ts";
import type { TokenEndpointOptions } from "../../src/oauth/client.ts";
import type { ReceivedRequest, TokenServer } from "../grants/token-server.ts";

const client = { clientId: "orders", clientSecret: "s3cr3t-value" };
const TOKEN = "t0k3n-value";

async function revoke(
  answer: (response: ServerResponse, request: ReceivedRequest) => void,
  more: Partial<TokenEndpointOptions> = {},
): Promise<TokenServer> {
  const server = await startTokenServer(answer);
  const { origin } = server;
  const options = { tokenEndpoint: `${origin}/token`, revocationEndpoint: `${origin}/revoke`, ...client, ...more };
  await revokeToken(tokenClient(options), { token: TOKEN, tokenTypeHint: "access_token", ...context() });
  return server;
}

describe("the request (RFC 7009 section 2.1)", () => {
  it("is a POST of the token and the hint, authenticated like a token request", async () => {
    const server = await revoke((response) => response.end(), { headers: { "X-Tenant": "t1" } });
    const { method, url, headers, form } = server.first();
    expect([method, url, headers["x-tenant"]]).toEqual(["POST", "/revoke", "t1"]);
    expect(Object.fromEntries(form)).toEqual({ token: TOKEN, token_type_hint: "access_token" });
    expect(atob(headers.authorization?.slice(6) ?? "")).toBe("orders:s3cr3t-value");
  });

  it.each([200, 204])("an answer with %i and an empty body means revoked", async (status) => {
    await expect(revoke((response) => response.writeHead(status).end())).resolves.toBeDefined();
  });
});

it("400 with invalid_token means revoked: the token is gone already (RFC 7009 section 2.2)", async () => {
  await expect(revoke((response) => json(response, 400, { error: "invalid_token" }))).resolves.toBeDefined();
  // A 401 is about the client and not about the token.
  const refused = await failureOf((response) => json(response, 401, { error: "invalid_token" }));
  expect(refused).toMatchObject({ endpointStatus: 401, error: "invalid_token" });
});

const failureOf = (answer: Parameters<typeof revoke>[0]): Promise<unknown> =>
  revoke(answer).then(
    () => expect.fail("it was revoked"),
    (reason: unknown) => reason,
  );

describe("a revocation that fails", () => {
  it("rejects with the server's error, without the secrets that were sent", async () => {
    const error = await failureOf((response, { form, headers }) => {
      const error_description = `no: ${form.get("token")} ${headers.authorization}`;
      json(response, 400, { error: "unsupported_token_type", error_description });
    });
    expect(error).toMatchObject({
      name: "TokenEndpointError",
      endpointStatus: 400,
      error: "unsupported_token_type",
      errorDescription: "no: [redacted] Basic [redacted]",
      retryable: false,
      message: "the token could not be revoked: the authorization server refused the request",
      hint: expect.stringMatching(/^the revocation endpoint http:\S+\/revoke answered 400 \(unsupported_/) as unknown,
    });
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/t0k3n|s3cr3t/);
  });

  it("with 503 and Retry-After is retryable and has retryAfter", async () => {
    const error = await failureOf((response) => response.writeHead(503, { "retry-after": "7" }).end());
    expect(error).toMatchObject({
      endpointStatus: 503,
      retryable: true,
      retryAfter: 7000,
      message: "the token could not be revoked: the authorization server failed",
    });
  });

  it("with 404 points at the revocationEndpoint option", async () => {
    const error = await failureOf((response) => response.writeHead(404).end());
    expect((error as RemintError).hint).toMatch(/answered 404: check the revocationEndpoint URL$/);
  });

  it("S2: a redirect is not followed", async () => {
    const elsewhere = await startTokenServer((response) => response.end());
    const error = await failureOf((response) => response.writeHead(307, { location: elsewhere.origin }).end());
    expect(error).toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
      message: "the token could not be revoked: the authorization server's answer cannot be used",
    });
    expect((error as RemintError).hint).toMatch(
      /^the revocation endpoint .* redirect \(307\).* Set revocationEndpoint/,
    );
    expect(elsewhere.requests).toHaveLength(0);
  });

  it("no answer is ERR_TOKEN_NETWORK", async () => {
    const error = await failureOf((response) => response.destroy());
    expect(error).toMatchObject({
      code: "ERR_TOKEN_NETWORK",
      retryable: true,
      message: "the token could not be revoked: the authorization server did not answer",
    });
    expect((error as RemintError).hint).toMatch(/^no answer from the revocation endpoint /);
  });

  it("C10: an abort rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const server = await startTokenServer(() => controller.abort(new Error("enough")));
    const options = { tokenEndpoint: server.origin, revocationEndpoint: server.origin, ...client };
    const revoked = revokeToken(tokenClient(options), { token: TOKEN, signal: controller.signal });
    await expect(revoked).rejects.toThrow("enough");
  });
});

describe("a grant", () => {
  const tokenEndpoint = "https://auth.example/token";

  it("without a revocation endpoint has no revoke", () => {
    expect(clientCredentialsGrant({ tokenEndpoint, ...client })).not.toHaveProperty("revoke");
    const revocationEndpoint = "https://auth.example/revoke";
    expect(clientCredentialsGrant({ tokenEndpoint, revocationEndpoint, ...client })).toHaveProperty("revoke");
  });

  it("with an issuer whose metadata has no usable revocation endpoint: mints, and revoke rejects and says why", async () => {
    for (const [revocation, hint] of [
      [{}, /cannot be revoked: the issuer http:\S+ has no revocation endpoint; set revocationEndpoint$/],
      [{ revocation_endpoint: "http://auth.example/revoke" }, /"revocation_endpoint" must be an https URL/],
    ] as const) {
      const server = await startTokenServer((response, { url }) =>
        json(
          response,
          200,
          url === "/token"
            ? { access_token: "a", token_type: "Bearer" }
            : { issuer: server.origin, token_endpoint: `${server.origin}/token`, ...revocation },
        ),
      );
      const grant = clientCredentialsGrant({ issuer: server.origin, ...client });
      const token = await createTokenCache({ grant, origins: ["https://api.example"] }).get();
      const revoked = revokeOnce(grant, token);
      await expect(revoked).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
      await expect(revoked).rejects.toMatchObject({ hint: expect.stringMatching(hint) as unknown });
    }
  });

  it("with an issuer and a revocationEndpoint: the option wins over the metadata", async () => {
    const server = await startTokenServer((response, { url }) => {
      if (url !== "/.well-known/openid-configuration") return void response.end("{}");
      const { origin } = server;
      return json(response, 200, { issuer: origin, token_endpoint: `${origin}/t`, revocation_endpoint: `${origin}/r` });
    });
    const options = { issuer: server.origin, revocationEndpoint: `${server.origin}/own`, ...client };
    await revokeToken(tokenClient(options), { token: TOKEN, ...context() });
    expect(server.requests.map(({ url }) => url)).toEqual(["/.well-known/openid-configuration", "/own"]);
    expect(server.requests[1]?.form.has("token_type_hint")).toBe(false);
  });

  it("made by customGrant with a revoke that is not a function: a TypeError", () => {
    const options = { mint: async () => ({ access_token: "a" }), revoke: true as never };
    expect(() => customGrant(options)).toThrow(TypeError);
    expect(() => customGrant(options)).toThrow(/^"revoke" must be a function/);
  });
});
