/** RFC 6749 section 2.3.1: client password. */
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, type ClientCredentialsGrantOptions } from "remint";
import { startAuthServer, type TokenRequest } from "remint/testing";
import { mintOnce } from "../grants/one-mint.ts";

const SECRETS = ["plain", ":", "+", "%", " ", "é", "/", "s:e+c%r é/t", "-_.!~*'()", "%41", "ключ"];

async function requestOf(options: Partial<ClientCredentialsGrantOptions>): Promise<TokenRequest> {
  await using auth = await startAuthServer();
  const grant = clientCredentialsGrant({ tokenEndpoint: `${auth.tokenEndpoint}?p=1`, clientId: "a b:c", ...options });
  await mintOnce(grant);
  return auth.requests[0] ?? expect.fail("nothing was sent");
}

describe("section 2.3.1: id and secret are each form-encoded, then joined, then base64-encoded", () => {
  test.each(SECRETS)("a secret with %s", async (clientSecret) => {
    const { headers, form } = await requestOf({ clientSecret });
    const [scheme, credentials = ""] = headers.authorization?.split(" ") ?? [];
    expect(scheme).toBe("Basic");
    const pair = atob(credentials);
    expect(pair).toMatch(/^[\x21-\x7e]+$/);
    expect(pair.split(":")).toHaveLength(2);
    const [id, secret] = pair.split(":").map((part) => new URLSearchParams(`v=${part}`).get("v"));
    expect({ id, secret }).toEqual({ id: "a b:c", secret: clientSecret });
    expect([...form.keys()]).toEqual(["grant_type"]);
  });

  test("a server with a strict decoder (+ to space, then decodeURIComponent) accepts them", async () => {
    for (const clientSecret of SECRETS) {
      await using auth = await startAuthServer({ clientId: "a b:c", clientSecret });
      const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "a b:c", clientSecret });
      await expect(mintOnce(grant)).resolves.toHaveProperty("access_token");
    }
  });
});

describe("section 2.3.1: one authentication method per request, and no credential in the URI", () => {
  test("client_secret_post: the credentials are in the body and not in the header", async () => {
    const clientSecret = "s:e+c%r é/t";
    const { headers, form } = await requestOf({ clientSecret, clientAuthentication: "client_secret_post" });
    expect(headers.authorization).toBeUndefined();
    expect(Object.fromEntries(form)).toEqual({
      grant_type: "client_credentials",
      client_id: "a b:c",
      client_secret: clientSecret,
    });
  });

  test("a secret beside another method, or a credential in parameters or headers, is refused", () => {
    const options = { tokenEndpoint: "https://auth.example/token", clientId: "a" };
    const build = (more: Partial<ClientCredentialsGrantOptions>) => (): unknown =>
      clientCredentialsGrant({ ...options, ...more });
    expect(build({ clientSecret: "s", clientAuthentication: "none" })).toThrow(/"clientSecret" must not be given/);
    for (const name of ["client_id", "client_secret", "client_assertion", "client_assertion_type"]) {
      expect(build({ clientSecret: "s", parameters: { [name]: "x" } })).toThrow(`"parameters" must not have "${name}"`);
    }
    expect(build({ clientSecret: "s", headers: { Authorization: "x" } })).toThrow(/"headers" must not have/);
  });

  test("client_secret_basic and client_secret_post: the URL contains no credential", async () => {
    const seen: string[] = [];
    const fetch = async (url: string): Promise<Response> => {
      seen.push(url);
      return Response.json({ access_token: "a", token_type: "Bearer" });
    };
    for (const clientAuthentication of ["client_secret_basic", "client_secret_post"] as const) {
      const options = { tokenEndpoint: "https://auth.example/token?p=1", clientId: "a", clientSecret: "s", fetch };
      await mintOnce(clientCredentialsGrant({ ...options, clientAuthentication }));
    }
    expect(seen).toEqual(["https://auth.example/token?p=1", "https://auth.example/token?p=1"]);
  });
});
