/** RFC 6749 section 2.3.1: Client Password. */
import { definitionOf } from "../../src/core/grant.ts";
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, type ClientCredentialsGrantOptions } from "remint";
import { startAuthServer, type TokenRequest } from "remint/testing";

const SECRETS = ["plain", ":", "+", "%", " ", "é", "/", "s:e+c%r é/t", "-_.!~*'()", "%41", "ключ"];

async function requestOf(options: Partial<ClientCredentialsGrantOptions>): Promise<TokenRequest> {
  await using auth = await startAuthServer();
  const grant = clientCredentialsGrant({ tokenEndpoint: `${auth.tokenEndpoint}?p=1`, clientId: "a b:c", ...options });
  await definitionOf(grant).mint({ signal: new AbortController().signal });
  return auth.requests[0] ?? expect.fail("nothing was sent");
}

describe("T1: id and secret are each form-encoded before they are joined and base64-encoded", () => {
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

  test("a server with a strict decoder (decodeURIComponent after + became a space) lets them in", async () => {
    for (const clientSecret of SECRETS) {
      await using auth = await startAuthServer({ clientId: "a b:c", clientSecret });
      const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "a b:c", clientSecret });
      await expect(definitionOf(grant).mint({ signal: new AbortController().signal })).resolves.toHaveProperty(
        "access_token",
      );
    }
  });
});

describe("T2: one method per request, and never in the URI", () => {
  test("the body only when it is asked for, and the header not then", async () => {
    const clientSecret = "s:e+c%r é/t";
    const { headers, form } = await requestOf({ clientSecret, clientAuthentication: "client_secret_post" });
    expect(headers.authorization).toBeUndefined();
    expect(Object.fromEntries(form)).toEqual({
      grant_type: "client_credentials",
      client_id: "a b:c",
      client_secret: clientSecret,
    });
  });

  test("a second method cannot be said: a secret beside it, or parameters and headers that are credentials", () => {
    const options = { tokenEndpoint: "https://auth.example/token", clientId: "a" };
    const build = (more: Partial<ClientCredentialsGrantOptions>) => (): unknown =>
      clientCredentialsGrant({ ...options, ...more });
    expect(build({ clientSecret: "s", clientAuthentication: "none" })).toThrow(/"clientSecret" must not be given/);
    for (const name of ["client_id", "client_secret", "client_assertion", "client_assertion_type"]) {
      expect(build({ clientSecret: "s", parameters: { [name]: "x" } })).toThrow(`"parameters" must not have "${name}"`);
    }
    expect(build({ clientSecret: "s", headers: { Authorization: "x" } })).toThrow(/"headers" must not have/);
  });

  test("nothing of them is in the URL", async () => {
    const seen: string[] = [];
    const fetch = async (url: string): Promise<Response> => {
      seen.push(url);
      return Response.json({ access_token: "a", token_type: "Bearer" });
    };
    for (const clientAuthentication of ["client_secret_basic", "client_secret_post"] as const) {
      const options = { tokenEndpoint: "https://auth.example/token?p=1", clientId: "a", clientSecret: "s", fetch };
      await definitionOf(clientCredentialsGrant({ ...options, clientAuthentication })).mint({
        signal: new AbortController().signal,
      });
    }
    expect(seen).toEqual(["https://auth.example/token?p=1", "https://auth.example/token?p=1"]);
  });
});
