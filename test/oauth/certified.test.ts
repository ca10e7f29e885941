/** Client authentication, discovery and revocation against a certified authorization server. */
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { exportJWK, exportPKCS8 } from "jose";
import { Agent, fetch as undiciFetch } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  privateKeyJwt,
  tlsClientAuth,
  type AccessToken,
  type ClientCredentialsGrantOptions,
  type RemintError,
  type TokenFetch,
} from "remint";
import { hasOpenssl, makeCertificates, type Certificates } from "./certificates.ts";
import { AWKWARD_SECRET, startCertifiedServer, type CertifiedServer } from "./certified-server.ts";
import { mintOnce, revokeOnce } from "../grants/one-mint.ts";

let server: CertifiedServer;
beforeAll(async () => {
  server = await startCertifiedServer();
});
afterAll(async () => {
  await server.close();
  expect(server.errors).toEqual([]);
});

function mint(options: Partial<ClientCredentialsGrantOptions> & { clientId: string }): Promise<AccessToken> {
  const grant = clientCredentialsGrant({ tokenEndpoint: `${server.issuer}/token`, ...options });
  return createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 0 }).get();
}

async function hintFrom(listener: Server): Promise<string | undefined> {
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const tokenEndpoint = `https://127.0.0.1:${(listener.address() as AddressInfo).port}/token`;
  const error: unknown = await mint({ clientId: "basic", clientSecret: AWKWARD_SECRET, tokenEndpoint }).catch(
    (reason: unknown) => reason,
  );
  listener.close();
  expect(error).toMatchObject({ code: "ERR_TOKEN_NETWORK", retryable: true });
  return (error as RemintError).hint?.replace(tokenEndpoint, "URL");
}

describe("a connection that TLS refuses: the hint of the error has the code", () => {
  test.skipIf(!hasOpenssl)("a certificate of an authority that this machine does not know", async () => {
    const hint = await hintFrom(createTlsServer(makeCertificates().server));
    expect(hint).toBe("no answer from the token endpoint URL (UNABLE_TO_VERIFY_LEAF_SIGNATURE)");
  });

  test("https at a port where a server speaks http", async () => {
    expect(await hintFrom(createServer())).toBe("no answer from the token endpoint URL (ERR_SSL_WRONG_VERSION_NUMBER)");
  });
});

describe("the server accepts", () => {
  test("client_secret_basic, the default, with a secret that has to be encoded (RFC 6749 section 2.3.1)", async () => {
    const { value } = await mint({ clientId: "basic", clientSecret: AWKWARD_SECRET });
    expect(await server.isActive(value)).toBe(true);
  });

  test("client_secret_post (RFC 6749 section 2.3.1)", async () => {
    const authentication = { clientSecret: AWKWARD_SECRET, clientAuthentication: "client_secret_post" } as const;
    expect(await server.isActive((await mint({ clientId: "post", ...authentication })).value)).toBe(true);
  });

  describe.each(["ES256", "RS256", "PS256", "EdDSA"] as const)(
    "private_key_jwt with %s (RFC 7523 section 2.2)",
    (alg) => {
      test("a CryptoKey, for two mints: each mint sends a new assertion", async () => {
        const { clientId, key } = server.signing[alg];
        const clientAuthentication = privateKeyJwt({ key });
        const { value } = await mint({ clientId, clientAuthentication });
        expect(await server.isActive(value)).toBe(true);
        expect((await mint({ clientId, clientAuthentication })).value).not.toBe(value);
      });

      test("the same key as a JWK and as PEM", async () => {
        const { clientId, key } = server.signing[alg];
        for (const form of [{ ...(await exportJWK(key)), kid: `kid-${alg}` }, await exportPKCS8(key)]) {
          const { value } = await mint({ clientId, clientAuthentication: privateKeyJwt({ key: form, alg }) });
          expect(await server.isActive(value)).toBe(true);
        }
      });

      test("an assertion for the issuer, after discovery", async () => {
        const { clientId, key } = server.signing[alg];
        const { issuer } = server;
        const clientAuthentication = privateKeyJwt({ key });
        const { value } = await mint({ tokenEndpoint: undefined, issuer, clientId, clientAuthentication });
        expect(await server.isActive(value)).toBe(true);
      });
    },
  );
});

describe("the server refuses", () => {
  test("a wrong secret, and the error does not contain it", async () => {
    const wrong = mint({ clientId: "basic", clientSecret: `${AWKWARD_SECRET}!` });
    await expect(wrong).rejects.toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 401,
      error: "invalid_client",
    });
    await expect(wrong).rejects.not.toThrow(/s3cr3t/);
  });

  test("an assertion signed with another client's key, and an assertion for another audience", async () => {
    const { ES256, RS256 } = server.signing;
    const refused = { code: "ERR_TOKEN_ENDPOINT", endpointStatus: 401, error: "invalid_client" };
    const other = privateKeyJwt({ key: RS256.key });
    await expect(mint({ clientId: ES256.clientId, clientAuthentication: other })).rejects.toMatchObject(refused);
    const elsewhere = privateKeyJwt({ key: ES256.key, audience: "https://elsewhere.example" });
    await expect(mint({ clientId: ES256.clientId, clientAuthentication: elsewhere })).rejects.toMatchObject(refused);
  });
});

/** Another test may have looked up the issuer with the global fetch. */
const ownFetch: TokenFetch = (url, init) => globalThis.fetch(url, init);

test("three mints with an issuer: one discovery request, then three requests to the discovered token endpoint", async () => {
  const before = server.requests.length;
  const { issuer } = server;
  const grant = clientCredentialsGrant({ issuer, clientId: "basic", clientSecret: AWKWARD_SECRET, fetch: ownFetch });
  const signal = new AbortController().signal;
  const tokens = await Promise.all([mintOnce(grant, { signal }), mintOnce(grant, { signal })]);
  tokens.push(await mintOnce(grant, { signal }));
  expect(new Set(tokens.map(({ access_token: value }) => value)).size).toBe(3);
  const expected = ["/.well-known/openid-configuration", "/token", "/token", "/token"];
  expect(server.requests.slice(before)).toEqual(expected);
});

test("RFC 7009: a revoked token is inactive, whether the endpoint is discovered or given as an option", async () => {
  const client = { clientId: "basic", clientSecret: AWKWARD_SECRET };
  for (const where of [
    { issuer: server.issuer },
    { tokenEndpoint: `${server.issuer}/token`, revocationEndpoint: `${server.issuer}/token/revocation` },
  ]) {
    const grant = clientCredentialsGrant({ ...where, ...client });
    const token = await createTokenCache({ grant, origins: ["https://api.example"] }).get();
    expect(await server.isActive(token.value)).toBe(true);
    await revokeOnce(grant, token);
    expect(await server.isActive(token.value)).toBe(false);
    await expect(revokeOnce(grant, token)).resolves.toBeUndefined();
  }
});

describe.skipIf(!hasOpenssl)("tls_client_auth, over https with test certificates (RFC 8705 sections 2 and 5)", () => {
  let certificates: Certificates;
  let secure: CertifiedServer;
  beforeAll(async () => {
    certificates = makeCertificates();
    secure = await startCertifiedServer(certificates);
  });
  afterAll(async () => {
    await secure.close();
    expect(secure.errors).toEqual([]);
  });

  /** Returns a fetch whose connections present this certificate, or none. */
  function fetchWith(own: { cert: string; key: string } | undefined): TokenFetch {
    const dispatcher = new Agent({ connect: { ca: certificates.ca, ...own } });
    type Init = NonNullable<Parameters<typeof undiciFetch>[1]>;
    return async (url, init) => (await undiciFetch(url, { ...(init as Init), dispatcher })) as unknown as Response;
  }

  test("the client's certificate is accepted at the token endpoint of mtls_endpoint_aliases", async () => {
    const before = secure.requests.length;
    const fetch = fetchWith(certificates.client);
    const { issuer } = secure;
    const clientAuthentication = tlsClientAuth();
    const token = await mint({ tokenEndpoint: undefined, issuer, clientId: "tls", clientAuthentication, fetch });
    expect(token.value).toMatch(/^\S+$/);
    expect(secure.requests.slice(before)).toEqual(["/.well-known/openid-configuration", "/token"]);
  });

  test("no certificate, and the certificate of another subject, are refused", async () => {
    const { issuer } = secure;
    for (const own of [undefined, certificates.server]) {
      const options = { tokenEndpoint: undefined, issuer, clientId: "tls", clientAuthentication: tlsClientAuth() };
      await expect(mint({ ...options, fetch: fetchWith(own) })).rejects.toMatchObject({
        code: "ERR_TOKEN_ENDPOINT",
        error: "invalid_client",
      });
    }
  });
});
