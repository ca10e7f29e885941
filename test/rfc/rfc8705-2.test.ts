/**
 * RFC 8705 section 2: mutual TLS for client authentication; section 5: metadata for mutual TLS endpoint aliases. A test with
 * a real handshake is in test/oauth/certified.test.ts.
 *
 * Section 3 wants the same certificate for the API as for the token request. The package cannot ensure that, because
 * connections belong to the user's client. It gives a token that may be bound to a certificate no key, so that the token is
 * not shared with a process that has another certificate.
 */
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, tlsClientAuth, type ClientCredentialsGrantOptions } from "remint";
import { definitionOf } from "../../src/core/grant.ts";
import { revokeOnce } from "../grants/one-mint.ts";

const issuer = "https://auth.example";
const METADATA = {
  issuer,
  token_endpoint: `${issuer}/token`,
  revocation_endpoint: `${issuer}/revoke`,
  mtls_endpoint_aliases: {
    token_endpoint: "https://mtls.auth.example/token",
    revocation_endpoint: "https://mtls.auth.example/revoke",
  },
};

interface SentRequest {
  readonly url: string;
  readonly form: Readonly<Record<string, string>>;
  readonly headers: Headers;
}

/** Mints, revokes if the grant can, and returns the requests except the metadata lookups. */
async function sentBy(
  more: Partial<ClientCredentialsGrantOptions>,
  metadata: object = METADATA,
): Promise<SentRequest[]> {
  const sent: SentRequest[] = [];
  const fetch = async (url: string, { body, headers }: RequestInit): Promise<Response> => {
    if (url.includes("/.well-known/")) return Response.json(metadata);
    sent.push({ url, form: Object.fromEntries(body as URLSearchParams), headers: new Headers(headers) });
    return Response.json({ access_token: "a", token_type: "Bearer" });
  };
  const options = { clientId: "orders", clientAuthentication: tlsClientAuth(), fetch };
  const grant = clientCredentialsGrant({ ...options, ...more });
  const token = await createTokenCache({ grant, origins: ["https://api.example"] }).get();
  await revokeOnce(grant, token);
  return sent;
}

describe("section 2", () => {
  test("token request and revocation have the client_id and no other credential", async () => {
    const sent = await sentBy({ issuer });
    expect(sent.map(({ form }) => form)).toEqual([
      { grant_type: "client_credentials", client_id: "orders" },
      { token: "a", token_type_hint: "access_token", client_id: "orders" },
    ]);
    for (const { headers } of sent) expect(headers.has("authorization")).toBe(false);
  });
});

describe("section 5", () => {
  test("an endpoint with an alias for mutual TLS: the alias is used", async () => {
    const urls = (await sentBy({ issuer })).map(({ url }) => url);
    expect(urls).toEqual([
      METADATA.mtls_endpoint_aliases.token_endpoint,
      METADATA.mtls_endpoint_aliases.revocation_endpoint,
    ]);
  });

  test("an endpoint without an alias: the ordinary endpoint is used", async () => {
    const { token_endpoint } = METADATA.mtls_endpoint_aliases;
    const some = { ...METADATA, mtls_endpoint_aliases: { token_endpoint } };
    expect((await sentBy({ issuer }, some)).map(({ url }) => url)).toEqual([
      token_endpoint,
      METADATA.revocation_endpoint,
    ]);
    const none = { ...METADATA, mtls_endpoint_aliases: undefined };
    expect((await sentBy({ issuer }, none)).map(({ url }) => url)).toEqual([
      METADATA.token_endpoint,
      METADATA.revocation_endpoint,
    ]);
  });

  test("a client with a secret: the aliases are not used", async () => {
    const secret = { clientSecret: "s", clientAuthentication: undefined };
    expect((await sentBy({ issuer, ...secret })).map(({ url }) => url)).toEqual([
      METADATA.token_endpoint,
      METADATA.revocation_endpoint,
    ]);
  });

  test("S1: an alias with plain http is refused", async () => {
    const plain = { ...METADATA, mtls_endpoint_aliases: { token_endpoint: "http://mtls.auth.example/token" } };
    await expect(sentBy({ issuer }, plain)).rejects.toMatchObject({
      hint: expect.stringMatching(/"token_endpoint" must be an https URL/) as unknown,
    });
  });
});

test("section 3: tls_client_auth: no key without the option `key`; two names of certificates make two keys", () => {
  const options = { issuer, clientId: "orders", clientAuthentication: tlsClientAuth() };
  expect(definitionOf(clientCredentialsGrant(options)).key).toBeUndefined();
  const [one, other] = ["cert-1", "cert-2"].map((key) => definitionOf(clientCredentialsGrant({ ...options, key })).key);
  expect(one).toBeDefined();
  expect(one).not.toBe(other);
});
