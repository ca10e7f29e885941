/** The ways to authenticate a client: what each one sends, and which options are refused. */
import { inspect } from "node:util";
import { generateKeyPair } from "jose";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { clientCredentialsGrant } from "../../src/grants/client-credentials.ts";
import {
  clientAssertion,
  clientSecretBasic,
  privateKeyJwt,
  tlsClientAuth,
} from "../../src/oauth/client-authentication.ts";
import { context, json, startTokenServer } from "../grants/token-server.ts";
import { mintOnce } from "../grants/one-mint.ts";
import type { RemintError } from "../../src/base/errors.ts";
import type { ClientAssertionSource } from "../../src/oauth/client-authentication.ts";
import type { TokenEndpointOptions } from "../../src/oauth/client.ts";
import type { ReceivedRequest } from "../grants/token-server.ts";

const token = { access_token: "a", token_type: "Bearer", expires_in: 60 };

let key: CryptoKey;
beforeAll(async () => {
  key = (await generateKeyPair("ES256", { extractable: true })).privateKey;
});

async function requestOf(options: Partial<TokenEndpointOptions>): Promise<ReceivedRequest> {
  const server = await startTokenServer((response) => json(response, 200, token));
  await mintOnce(clientCredentialsGrant({ tokenEndpoint: `${server.origin}/token`, clientId: "orders", ...options }));
  return server.first();
}

/** Returns the body parameters that authenticate the client. */
function credentialsIn({ form }: ReceivedRequest): Record<string, string> {
  const own = new URLSearchParams(form);
  own.delete("grant_type");
  return Object.fromEntries(own);
}

describe("client_secret_basic", () => {
  it.each(["s:e+c%r e/t", "ключ-é", "plain"])(
    'encoding "raw" joins id and secret unencoded, in UTF-8 (%s)',
    async (secret) => {
      const clientAuthentication = clientSecretBasic({ encoding: "raw" });
      const request = await requestOf({ clientSecret: secret, clientAuthentication });
      const sent = Buffer.from(request.headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString("utf8");
      expect(sent).toBe(`orders:${secret}`);
      expect(credentialsIn(request)).toEqual({});
    },
  );

  it("the default encoding is the one of RFC 6749, in every spelling of the option", async () => {
    const clientSecret = "s:e+c%r é/t";
    const requests = await Promise.all([
      requestOf({ clientSecret }),
      requestOf({ clientSecret, clientAuthentication: "client_secret_basic" }),
      requestOf({ clientSecret, clientAuthentication: clientSecretBasic() }),
      requestOf({ clientSecret, clientAuthentication: clientSecretBasic({ encoding: "form" }) }),
    ]);
    const expected = `Basic ${btoa("orders:s%3Ae%2Bc%25r+%C3%A9%2Ft")}`;
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(requests.map(() => expected));
  });

  it("a secret function is called before every request", async () => {
    const server = await startTokenServer((response) => json(response, 200, token));
    const clientSecret = vi.fn<() => Promise<string>>().mockResolvedValueOnce("one").mockResolvedValueOnce("two");
    const clientAuthentication = clientSecretBasic({ encoding: "raw" });
    const grant = clientCredentialsGrant({
      tokenEndpoint: server.origin,
      clientId: "a",
      clientSecret,
      clientAuthentication,
    });
    await mintOnce(grant);
    await mintOnce(grant);
    expect(server.requests.map(({ headers }) => atob(headers.authorization?.slice(6) ?? ""))).toEqual([
      "a:one",
      "a:two",
    ]);
  });
});

describe("without a secret", () => {
  it("none and tls_client_auth send the client id and no credential", async () => {
    for (const clientAuthentication of ["none", tlsClientAuth()] as const) {
      const request = await requestOf({ clientAuthentication });
      expect(credentialsIn(request)).toEqual({ client_id: "orders" });
      expect(request.headers.authorization).toBeUndefined();
    }
  });

  it("the assertion source is called for every request, with client id, audience and signal", async () => {
    const server = await startTokenServer((response) => json(response, 200, token));
    let count = 0;
    const source = vi.fn<ClientAssertionSource>(async () => `jwt-${++count}`);
    const tokenEndpoint = `${server.origin}/token`;
    const clientAuthentication = clientAssertion(source);
    const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "orders", clientAuthentication });
    expect(source).not.toHaveBeenCalled();
    const { signal } = context();
    await mintOnce(grant, { signal });
    await mintOnce(grant, { signal });
    expect(source.mock.calls[0]?.[0]).toEqual({ clientId: "orders", audience: tokenEndpoint, signal });
    expect(server.requests.map(credentialsIn)).toEqual(
      ["jwt-1", "jwt-2"].map((assertion) => ({
        client_id: "orders",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: assertion,
      })),
    );
  });

  it.each([undefined, "", "two words", "line\nbreak", 5])(
    "an assertion source that returns no JWT (%j): nothing is sent",
    async (assertion) => {
      const fetch = vi.fn<() => Promise<Response>>();
      const source = (async () => assertion) as () => Promise<string>;
      const options = { tokenEndpoint: "https://auth.example", clientId: "a", fetch };
      const minted = mintOnce(clientCredentialsGrant({ ...options, clientAuthentication: clientAssertion(source) }));
      await expect(minted).rejects.toMatchObject({
        code: "ERR_GRANT",
        retryable: false,
        hint: expect.stringMatching(
          /^the function "clientAssertion" failed: "clientAssertion" must be .*, got /,
        ) as unknown,
        cause: {
          name: "TypeError",
          message: expect.stringMatching(/^"clientAssertion" must be a function that returns a JWT/) as unknown,
        },
      });
      const { message, hint, cause } = (await minted.catch((reason: unknown) => reason)) as RemintError;
      expect(`${message} ${hint} ${(cause as Error).message}`).not.toMatch(/words|break/);
      expect(fetch).not.toHaveBeenCalled();
    },
  );

  it("an assertion source that throws: an ERR_GRANT that names it, with a copy of its error as cause", async () => {
    const sealed = new Error("vault is sealed");
    const clientAuthentication = clientAssertion(() => Promise.reject(sealed));
    await expect(requestOf({ clientAuthentication })).rejects.toMatchObject({
      code: "ERR_GRANT",
      message: "no token is available: a function that was given to the grant failed",
      hint: 'the function "clientAssertion" failed; see the cause',
      cause: { name: "Error", message: "vault is sealed", stack: sealed.stack },
    });
  });
});

describe("S5: no credential is printed", () => {
  it("by the grant, by the authentication method, or by the error for a server that echoes the assertion", async () => {
    const clientAuthentication = privateKeyJwt({ key, kid: "k" });
    let assertion = "";
    const server = await startTokenServer((response, { form }) => {
      assertion = form.get("client_assertion") ?? "";
      json(response, 401, { error: "invalid_client", error_description: `no: ${assertion}` });
    });
    const grant = clientCredentialsGrant({ tokenEndpoint: server.origin, clientId: "a", clientAuthentication });
    const error: unknown = await mintOnce(grant).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ errorDescription: "no: [redacted]" });
    expect(assertion).toMatch(/^\S+\.\S+\.\S+$/);
    const printed = [error, grant, clientAuthentication].map((value) =>
      inspect(value, { depth: 10, showHidden: true }),
    );
    expect(printed.join()).not.toContain(assertion);
    expect(printed.join()).not.toMatch(/CryptoKey|PrivateKey/);
  });
});

describe("wrong options are a TypeError", () => {
  const options = { tokenEndpoint: "https://auth.example/token", clientId: "orders" };
  const cases: [name: string, build: () => unknown, message: RegExp][] = [
    [
      "neither a secret nor an authentication method",
      () => clientCredentialsGrant(options),
      /"clientSecret" must be .* got undefined.* privateKeyJwt\({ key }\).*"none"/,
    ],
    [
      "a method that needs a secret, without a secret",
      () => clientCredentialsGrant({ ...options, clientAuthentication: "client_secret_post" }),
      /"clientSecret" must be a non-empty string, .* got undefined/,
    ],
    ...[tlsClientAuth(), clientAssertion(() => "jwt"), "none" as const].map(
      (clientAuthentication): [string, () => unknown, RegExp] => [
        `a secret with a method that sends none (${typeof clientAuthentication === "string" ? "none" : clientAuthentication.method})`,
        () => clientCredentialsGrant({ ...options, clientSecret: "hush", clientAuthentication }),
        /^(?!.*hush)"clientSecret" must not be given with the client authentication "\w+".* got a string$/,
      ],
    ),
    [
      "the function tlsClientAuth itself instead of its result",
      () => clientCredentialsGrant({ ...options, clientAuthentication: tlsClientAuth as never }),
      /"clientAuthentication" must be .* got a function/,
    ],
    [
      "a colon in a raw client id",
      () => {
        const clientAuthentication = clientSecretBasic({ encoding: "raw" });
        return clientCredentialsGrant({ ...options, clientId: "a:b", clientSecret: "s", clientAuthentication });
      },
      /"clientId" must not have a colon/,
    ],
    [
      "an unknown encoding",
      () => clientSecretBasic({ encoding: "utf-16" as never }),
      /"encoding" must be "form" or "raw"/,
    ],
    [
      "an assertion source that is a string",
      () => clientAssertion("jwt" as never),
      /"source" must be a function that returns an assertion, got a string/,
    ],
    ["no assertion source", () => clientAssertion(undefined as never), /"source" must be a function .* got undefined/],
    ["privateKeyJwt without options", () => privateKeyJwt(undefined as never), /^privateKeyJwt takes options/],
    ["an empty audience", () => privateKeyJwt({ key, audience: "" }), /"audience" must be a non-empty string/],
  ];
  it.each(cases)("%s", (_name, build, message) => {
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });
});
