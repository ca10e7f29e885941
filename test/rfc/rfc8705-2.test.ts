/**
 * RFC 8705: section 2 (Mutual TLS for OAuth Client Authentication), section 5 (Metadata for Mutual-TLS Endpoint Aliases).
 * With a real handshake: test/grants/certified.test.ts.
 *
 * Section 3 (T37), the same certificate for the API as for the token request, is not done here: connections belong to the
 * user's client. What is done is that a token that may be bound to a certificate gets no key by itself, and so is not
 * shared with a process that has another certificate.
 */
import { definitionOf } from "../../src/core/grant.ts";
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, tlsClientAuth, type ClientCredentialsGrantOptions } from "remint";

const signal = new AbortController().signal;
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

interface Sent {
  readonly url: string;
  readonly form: Readonly<Record<string, string>>;
  readonly headers: Headers;
}

/** Mints, and revokes where that can be done. */
async function sentBy(more: Partial<ClientCredentialsGrantOptions>, metadata: object = METADATA): Promise<Sent[]> {
  const sent: Sent[] = [];
  const fetch = async (url: string, { body, headers }: RequestInit): Promise<Response> => {
    if (url.includes("/.well-known/")) return Response.json(metadata);
    sent.push({ url, form: Object.fromEntries(body as URLSearchParams), headers: new Headers(headers) });
    return Response.json({ access_token: "a", token_type: "Bearer" });
  };
  const options = { clientId: "orders", clientAuthentication: tlsClientAuth(), fetch };
  const grant = clientCredentialsGrant({ ...options, ...more });
  const token = await createTokenCache({ grant, origins: ["https://api.example"] }).get();
  await definitionOf(grant).revoke?.(token, { signal });
  return sent;
}

describe("section 2", () => {
  test("T35: every request to the authorization server has the client_id, and nothing else that authenticates", async () => {
    const sent = await sentBy({ issuer });
    expect(sent.map(({ form }) => form)).toEqual([
      { grant_type: "client_credentials", client_id: "orders" },
      { token: "a", token_type_hint: "access_token", client_id: "orders" },
    ]);
    for (const { headers } of sent) expect(headers.has("authorization")).toBe(false);
  });
});

describe("section 5", () => {
  test("T36: endpoints that have an alias for mutual TLS are asked there", async () => {
    const urls = (await sentBy({ issuer })).map(({ url }) => url);
    expect(urls).toEqual([
      METADATA.mtls_endpoint_aliases.token_endpoint,
      METADATA.mtls_endpoint_aliases.revocation_endpoint,
    ]);
  });

  test("T36: the others where everybody asks them", async () => {
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

  test("T36: clients that authenticate otherwise do not use the aliases", async () => {
    const secret = { clientSecret: "s", clientAuthentication: undefined };
    expect((await sentBy({ issuer, ...secret })).map(({ url }) => url)).toEqual([
      METADATA.token_endpoint,
      METADATA.revocation_endpoint,
    ]);
  });

  test("S1: an alias has to be https too", async () => {
    const plain = { ...METADATA, mtls_endpoint_aliases: { token_endpoint: "http://mtls.auth.example/token" } };
    await expect(sentBy({ issuer }, plain)).rejects.toThrow(/"token_endpoint" must be an https URL/);
  });
});

test("T37: a token that may be bound to a certificate is not shared unless the certificate is named", () => {
  const options = { issuer, clientId: "orders", clientAuthentication: tlsClientAuth() };
  expect(definitionOf(clientCredentialsGrant(options)).key).toBeUndefined();
  const [one, other] = ["cert-1", "cert-2"].map((key) => definitionOf(clientCredentialsGrant({ ...options, key })).key);
  expect(one).toBeDefined();
  expect(one).not.toBe(other);
});
