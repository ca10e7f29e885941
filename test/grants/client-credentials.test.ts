/** The client credentials grant (RFC 6749 section 4.4): its request, its key, and which options are refused. */
import { inspect } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { definitionOf } from "../../src/core/grant.ts";
import { tlsClientAuth } from "../../src/oauth/client-authentication.ts";
import { clientCredentialsGrant, type ClientCredentialsGrantOptions } from "../../src/grants/client-credentials.ts";
import { type Grant, jwtBearerGrant, refreshTokenGrant, tokenExchangeGrant } from "../../src/index.ts";
import { startAuthServer } from "../../src/testing/index.ts";
import { json, startTokenServer } from "./token-server.ts";
import { mintOnce } from "./one-mint.ts";

const token = { access_token: "a", token_type: "Bearer", expires_in: 60 };
const options: ClientCredentialsGrantOptions = {
  tokenEndpoint: "https://auth.example/token",
  clientId: "orders",
  clientSecret: "s3cr3t-value",
};
const awkward = "a:b+c%d é/~'(*)!-_.&=";

afterEach(() => {
  vi.restoreAllMocks();
});

describe("the token request", () => {
  it("is a POST of a form with the grant type and the given options (RFC 6749 sections 3.2 and 4.4.2)", async () => {
    const server = await startTokenServer((response) => json(response, 200, token));
    const grant = clientCredentialsGrant({
      ...options,
      tokenEndpoint: `${server.origin}/token?tenant=1`,
      scope: ["orders:read", "orders:write"],
      resource: ["https://api.example/a", "urn:example:b"],
      audience: "api",
      parameters: { organization: "acme" },
      headers: { "X-Tenant": "t1" },
    });
    await mintOnce(grant);
    const [request] = server.requests;
    expect(request?.method).toBe("POST");
    expect(request?.url).toBe("/token?tenant=1");
    expect(request?.headers["content-type"]).toMatch(/^application\/x-www-form-urlencoded/);
    expect(request?.headers["accept"]).toBe("application/json");
    expect(request?.headers["x-tenant"]).toBe("t1");
    expect([...(request?.form ?? [])]).toEqual([
      ["scope", "orders:read orders:write"],
      ["resource", "https://api.example/a"],
      ["resource", "urn:example:b"],
      ["organization", "acme"],
      ["audience", "api"],
      ["grant_type", "client_credentials"],
    ]);
  });

  it.each(["plain", awkward])(
    "Basic credentials are form-encoded before base64: %s (RFC 6749 section 2.3.1)",
    async (secret) => {
      const server = await startTokenServer((response) => json(response, 200, token));
      const clientId = "id:with space";
      const grant = clientCredentialsGrant({
        ...options,
        tokenEndpoint: server.origin,
        clientId,
        clientSecret: secret,
      });
      await mintOnce(grant);
      const { headers, form } = server.first();
      const [user, password] = atob((headers.authorization ?? "").replace(/^Basic /, "")).split(":");
      expect([...new URLSearchParams(`${user}=${password}`)]).toEqual([[clientId, secret]]);
      expect([...form.keys()]).toEqual(["grant_type"]);
    },
  );

  it("client_secret_post sends the credentials in the body and no Authorization (RFC 6749 section 2.3.1)", async () => {
    const server = await startTokenServer((response) => json(response, 200, token));
    await mintOnce(
      clientCredentialsGrant({
        ...options,
        tokenEndpoint: server.origin,
        clientSecret: awkward,
        clientAuthentication: "client_secret_post",
      }),
    );
    const { headers, form } = server.first();
    expect(headers.authorization).toBeUndefined();
    expect([form.get("client_id"), form.get("client_secret")]).toEqual(["orders", awkward]);
  });

  it("a secret function is called before every request, so that a rotated secret is used", async () => {
    const server = await startTokenServer((response) => json(response, 200, token));
    let count = 0;
    const grant = clientCredentialsGrant({
      ...options,
      tokenEndpoint: server.origin,
      clientSecret: async () => `secret-${++count}`,
      clientAuthentication: "client_secret_post",
    });
    expect(count).toBe(0);
    await mintOnce(grant);
    await mintOnce(grant);
    expect(server.requests.map(({ form }) => form.get("client_secret"))).toEqual(["secret-1", "secret-2"]);
  });

  it("a secret function returns nothing, or throws: an ERR_GRANT that names the function, with the cause", async () => {
    const fetch = vi.fn<() => Promise<Response>>();
    const broken = { ...options, fetch, clientSecret: vi.fn<() => string>() };
    const failure = {
      code: "ERR_GRANT",
      retryable: false,
      message: "no token is available: a function that was given to the grant failed",
    };
    await expect(mintOnce(clientCredentialsGrant(broken))).rejects.toMatchObject({
      ...failure,
      hint: expect.stringMatching(
        /^the function "clientSecret" failed: "clientSecret" must be .*, got undefined$/,
      ) as unknown,
      cause: {
        name: "TypeError",
        message: expect.stringMatching(/"clientSecret" must be .* got undefined/) as unknown,
      },
    });
    const sealed = new Error("vault is sealed");
    const failing = { ...options, fetch, clientSecret: () => Promise.reject(sealed) };
    await expect(mintOnce(clientCredentialsGrant(failing))).rejects.toMatchObject({
      ...failure,
      hint: 'the function "clientSecret" failed; see the cause',
      cause: { name: "Error", message: "vault is sealed", stack: sealed.stack },
    });
    expect(fetch).not.toHaveBeenCalled();
  });

  it("globalThis.fetch is replaced after the grant was created: the replacement is used", async () => {
    const grant = clientCredentialsGrant(options);
    const fetch = vi.spyOn(globalThis, "fetch").mockResolvedValue(Response.json(token));
    await expect(mintOnce(grant)).resolves.toMatchObject({ access_token: "a" });
    expect(fetch).toHaveBeenCalledOnce();
  });

  it("a fetch option is used, with method POST and redirect manual", async () => {
    const fetch = vi.fn(async (_url: string, _init: RequestInit) => Response.json(token));
    await mintOnce(clientCredentialsGrant({ ...options, fetch }));
    expect(fetch.mock.calls[0]?.[0]).toBe("https://auth.example/token");
    expect(fetch.mock.calls[0]?.[1]).toMatchObject({ method: "POST", redirect: "manual" });
  });

  it("scopes in a string, in a list, or with extra spaces are one parameter", async () => {
    await using auth = await startAuthServer();
    const { tokenEndpoint } = auth;
    for (const scope of ["a b c", ["a", "b", "c"], " a  b c ", ["a b", "c "]]) {
      await mintOnce(clientCredentialsGrant({ tokenEndpoint, clientId: "a", clientSecret: "s", scope }));
    }
    expect(auth.requests.map(({ form }) => form.getAll("scope").join("|"))).toEqual(Array(4).fill("a b c"));
  });

  it("a refresh token in the answer is ignored (RFC 6749 section 4.4.3)", async () => {
    const server = await startTokenServer((response) =>
      json(response, 200, { ...token, refresh_token: "r", id_token: "x" }),
    );
    const response = await mintOnce(clientCredentialsGrant({ ...options, tokenEndpoint: server.origin }));
    expect(JSON.stringify(response)).not.toMatch(/refresh_token|id_token/);
  });

  it("options that are changed after the grant was created have no effect", async () => {
    const server = await startTokenServer((response) => json(response, 200, token));
    const scope = ["a"];
    const parameters = { p: "1" };
    const mutable = { ...options, tokenEndpoint: new URL(server.origin), scope, parameters };
    const grant = clientCredentialsGrant(mutable);
    scope.push("b");
    parameters.p = "2";
    mutable.tokenEndpoint.pathname = "/elsewhere";
    await mintOnce(grant);
    expect(server.requests[0]?.url).toBe("/");
    expect(String(server.requests[0]?.form)).toBe("scope=a&p=1&grant_type=client_credentials");
  });
});

function key(more: Partial<ClientCredentialsGrantOptions>): string | undefined {
  return definitionOf(clientCredentialsGrant({ ...options, ...more })).key;
}

function targetOf(grant: Grant): string | undefined {
  return definitionOf(grant).server?.target;
}

function target(more: object): string | undefined {
  return targetOf(clientCredentialsGrant({ ...options, ...more }));
}

describe("the grant", () => {
  it("has the given origins and defaultTtl, and its server's endpoint without the query", () => {
    const grant = clientCredentialsGrant({
      ...options,
      tokenEndpoint: "https://auth.example/t?key=k",
      origins: ["https://api.example"],
      defaultTtl: 5,
    });
    expect(grant).toMatchObject({
      server: { endpoint: "https://auth.example/t", client: options.clientId },
      origins: ["https://api.example"],
      defaultTtl: 5,
    });
  });

  it("its server is the endpoint, the client, and a target that says what the token is for, without a secret", () => {
    expect(target({ scope: "b a" })).toBe(target({ scope: ["a", "b", "a"] }));
    expect(target({ resource: ["urn:x:b", "urn:x:a"] })).toBe(target({ resource: ["urn:x:a", "urn:x:b"] }));
    expect(target({ parameters: { a: "1", b: "2" } })).toBe(target({ parameters: { b: "2", a: "1" } }));
    expect(target({ clientSecret: "other", key: "k", defaultTtl: 5 })).toBe(target({}));
    const targets = [
      target({}),
      target({ scope: "a" }),
      target({ scope: "b" }),
      target({ resource: "urn:x:a" }),
      target({ resource: ["urn:x:a", "urn:x:b"] }),
      target({ audience: "a" }),
      target({ audience: "b" }),
      target({ parameters: { tenant: "1" } }),
      target({ parameters: { tenant: "2" } }),
      target({ parameters: { api_key: "hush-1" } }),
      target({ parameters: { api_key: "hush-2" } }),
      target({ headers: { "X-Tenant": "1" } }),
      target({ tokenEndpoint: "https://auth.example/token?p=policy" }),
    ];
    expect(new Set(targets).size).toBe(targets.length);
    for (const each of targets) expect(each).toMatch(/^[0-9a-f]{64}$/);
  });

  it("a user's token is no part of the target: users of one client share what is known of a scope", () => {
    const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "a", clientSecret: "b" } as const;
    const pairs: [Grant, Grant][] = [
      [
        tokenExchangeGrant({ ...endpoint, subjectToken: "alice" }),
        tokenExchangeGrant({ ...endpoint, subjectToken: "bob" }),
      ],
      [jwtBearerGrant({ ...endpoint, assertion: "a.b.c" }), jwtBearerGrant({ ...endpoint, assertion: "d.e.f" })],
      [
        refreshTokenGrant({ ...endpoint, refreshToken: "alice" }),
        refreshTokenGrant({ ...endpoint, refreshToken: "bob" }),
      ],
    ];
    for (const [one, two] of pairs) {
      expect(targetOf(one)).toMatch(/^[0-9a-f]{64}$/);
      expect(targetOf(one)).toBe(targetOf(two));
    }
  });

  it("options in another order: the same key; any option that changes the token: another key", () => {
    expect(key({ scope: "b a" })).toBe(key({ scope: ["a", "b", "a"] }));
    expect(key({ resource: ["urn:x:b", "urn:x:a"] })).toBe(key({ resource: ["urn:x:a", "urn:x:b"] }));
    expect(key({ parameters: { a: "1", b: "2" } })).toBe(key({ parameters: { b: "2", a: "1" } }));
    expect(key({ clientSecret: "new" })).toBe(key({ clientAuthentication: "client_secret_post" }));
    const keys = [
      key({}),
      key({ clientId: "other" }),
      key({ tokenEndpoint: "https://auth.example/other" }),
      key({ tokenEndpoint: "https://auth.example/token?p=policy" }),
      key({ scope: "a" }),
      key({ scope: "a b" }),
      key({ resource: "urn:x:a" }),
      key({ audience: "urn:x:a" }),
      key({ parameters: { a: "b=c" } }),
      key({ parameters: { "a=b": "c" } }),
      key({ headers: { "x-tenant": "1" } }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).not.toContain(undefined);
  });

  it.each<[string, Partial<ClientCredentialsGrantOptions>]>([
    ["a parameter", { parameters: { password: "hush-1" } }],
    ["a header", { headers: { "X-Api-Key": "hush-1" } }],
    ["the query", { tokenEndpoint: "https://auth.example/token?api_key=hush-1" }],
  ])("a credential in %s cannot be part of a key: there is no key without the option `key`", (_name, more) => {
    expect(key(more)).toBeUndefined();
    expect(key({ ...more, key: "first" })).not.toBe(key({ ...more, key: "second" }));
    expect(key({ ...more, key: "first" })).toMatch(/^(?!.*hush).*first/);
  });

  it("tls_client_auth: no key unless the option `key` names the certificate (RFC 8705 section 3)", () => {
    const tls = { clientSecret: undefined, clientAuthentication: tlsClientAuth() };
    expect(key(tls)).toBeUndefined();
    expect(key({ ...tls, key: "x5t#S256 of the certificate" })).toBeDefined();
  });

  it("the option `key` is one part of the key: another scope still makes another key", () => {
    expect(key({ key: "a" })).not.toBe(key({}));
    expect(key({ key: "a", scope: "read" })).not.toBe(key({ key: "a" }));
  });

  it("S5: secrets in options: neither the key nor the printed grant shows them", () => {
    const grant = clientCredentialsGrant({
      ...options,
      tokenEndpoint: "https://auth.example/token?api_key=hush-1",
      parameters: { password: "hush-2" },
      headers: { "X-Api-Key": "hush-3", Cookie: "hush-4" },
      key: "named",
    });
    expect(
      String(definitionOf(grant).key) + inspect(grant, { depth: 10, showHidden: true }) + JSON.stringify(grant),
    ).not.toMatch(/hush|s3cr3t/);
  });
});

describe("a wrong option is a TypeError that names it, before anything is sent", () => {
  const cases: [name: string, more: Record<string, unknown>, message: RegExp][] = [
    [
      "S1: plain http",
      { tokenEndpoint: "http://auth.example/token" },
      /"tokenEndpoint" must be an https URL.*allowHttp/,
    ],
    ["a relative URL", { tokenEndpoint: "/token" }, /"tokenEndpoint" must be an absolute URL/],
    ["a fragment", { tokenEndpoint: "https://auth.example/#x" }, /"tokenEndpoint" must not have a fragment/],
    ["no endpoint", { tokenEndpoint: undefined }, /"tokenEndpoint" must be .* got undefined/],
    ["no client id", { clientId: "" }, /"clientId" must be a non-empty string, got an empty string/],
    ["no secret", { clientSecret: undefined }, /"clientSecret" must be .* got undefined/],
    [
      "the name of an authentication method that is a function",
      { clientAuthentication: "private_key_jwt" },
      /"clientAuthentication" must be "client_secret_basic".* privateKeyJwt\(\).* got a string/,
    ],
    [
      "a secret with a method that sends none",
      { clientAuthentication: "none" },
      /"clientSecret" must not be given with .*"none"/,
    ],
    [
      "an issuer beside a token endpoint",
      { issuer: "https://auth.example" },
      /"issuer" must not be given together with "tokenEndpoint"/,
    ],
    [
      "S1: a revocation endpoint over plain http",
      { revocationEndpoint: "http://auth.example/r" },
      /"revocationEndpoint" must be an https URL/,
    ],
    ["an empty key", { key: "" }, /"key" must be a non-empty string/],
    ["a name of Object.prototype", { clientAuthentication: "toString" }, /"clientAuthentication"/],
    ["an empty scope", { scope: "" }, /"scope" must be .* got an empty string/],
    ["a scope list with a number", { scope: ["a", 1] }, /"scope" must be .* got a list with a number/],
    ["a relative resource", { resource: "api" }, /"resource" must be absolute URIs/],
    ["a resource with a fragment", { resource: ["https://api.example/#x"] }, /"resource" must be absolute URIs/],
    ["an audience that is a number", { audience: 1 }, /"audience" must be a non-empty string, got a number/],
    ["parameters: grant_type", { parameters: { grant_type: "x" } }, /"parameters" must not have "grant_type"/],
    ["parameters: client_secret", { parameters: { client_secret: "x" } }, /"parameters" must not have "client_secret"/],
    ["parameters: a number", { parameters: { a: 1 } }, /"parameters.a" must be a non-empty string, got a number/],
    ["headers: authorization", { headers: { AUTHORIZATION: "x" } }, /"headers" must not have "authorization"/],
    [
      "headers: a line break in a value",
      { headers: { "x-a": "hush\r\nb: c" } },
      /"headers" must be valid .* "x-a" is not$/,
    ],
    ["a fetch that is an object", { fetch: {} }, /"fetch" must be a function, got an object/],
    ["a negative defaultTtl", { defaultTtl: -1 }, /"defaultTtl" must be a non-negative number of milliseconds/],
  ];
  it.each(cases)("%s", (_name, more, message) => {
    const build = (): unknown => clientCredentialsGrant({ ...options, ...more });
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });

  it("no options at all", () => {
    // @ts-expect-error a JavaScript caller can do this
    expect(() => clientCredentialsGrant()).toThrow("clientCredentialsGrant takes options");
  });

  it("S1: plain http with allowHttp is accepted", () => {
    const grant = clientCredentialsGrant({ ...options, tokenEndpoint: "http://auth.mesh/token", allowHttp: true });
    expect(definitionOf(grant).server?.endpoint).toBe("http://auth.mesh/token");
  });
});
