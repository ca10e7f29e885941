/** `genericGrant`: any `grant_type`, as a form or as JSON, with and without a client. */
import { createServer } from "node:http";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createTokenCache, genericGrant, type GenericGrantOptions, privateKeyJwt } from "remint";
import { dpop } from "remint/dpop";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { mintOnce } from "./one-mint.ts";
import { json, originOf, startTokenServer } from "./token-server.ts";

const TOKEN = { access_token: "a", token_type: "Bearer", expires_in: 60 };
const CLIENT = { clientId: "reports", clientSecret: "hush-hush" } as const;

async function sent(
  options: Partial<GenericGrantOptions>,
): Promise<{ form: [string, string][]; authorization: string | undefined }> {
  const server = await startTokenServer((response) => json(response, 200, TOKEN));
  await mintOnce(genericGrant({ tokenEndpoint: server.origin, grantType: "account_credentials", ...options }));
  const { form, headers } = server.first();
  return { form: [...form], authorization: headers.authorization };
}

describe("the request", () => {
  test("has the grant type, the parameters, scope, resource and audience, and the client's credentials", async () => {
    expect(
      await sent({
        ...CLIENT,
        parameters: { account_id: "4711" },
        scope: ["read", "write"],
        resource: "00000002-0000-0000-c000-000000000000",
        audience: "api",
      }),
    ).toEqual({
      form: [
        ["scope", "read write"],
        ["resource", "00000002-0000-0000-c000-000000000000"],
        ["account_id", "4711"],
        ["audience", "api"],
        ["grant_type", "account_credentials"],
      ],
      authorization: `Basic ${btoa("reports:hush-hush")}`,
    });
  });

  test("without a client: neither an id nor credentials", async () => {
    const grantType = "urn:ietf:params:oauth:grant-type:token-exchange";
    expect(await sent({ grantType, parameters: { subject_token: "subject-1" } })).toEqual({
      form: [
        ["subject_token", "subject-1"],
        ["grant_type", grantType],
      ],
      authorization: undefined,
    });
  });

  test("a function for the parameters is called before every request, with a signal", async () => {
    const server = await startTokenServer((response) => json(response, 200, TOKEN));
    let count = 0;
    const parameters = vi.fn(async () => ({ assertion: `saml-${++count}` }));
    const grant = genericGrant({ tokenEndpoint: server.origin, grantType: "saml2-bearer", ...CLIENT, parameters });
    const { signal } = new AbortController();
    await mintOnce(grant, { signal });
    await mintOnce(grant, { signal });
    expect(server.requests.map(({ form }) => form.get("assertion"))).toEqual(["saml-1", "saml-2"]);
    expect(parameters).toHaveBeenCalledWith({ signal });
  });

  test("json: the parameters as an object; what is there twice is a list", async () => {
    let received: { type: string | undefined; body: unknown } | undefined;
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += String(chunk)));
      request.on("end", () => {
        received = { type: request.headers["content-type"], body: JSON.parse(body) };
        json(response, 201, TOKEN);
      });
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => void server.close());
    await mintOnce(
      genericGrant({
        tokenEndpoint: originOf(server),
        grantType: "password",
        ...CLIENT,
        clientAuthentication: "client_secret_post",
        audience: ["a", "b"],
        json: true,
      }),
    );
    expect(received).toEqual({
      type: "application/json",
      body: { grant_type: "password", audience: ["a", "b"], client_id: "reports", client_secret: "hush-hush" },
    });
  });

  test("a DPoP key, the target of a cache, and an issuer: as for every grant", async () => {
    const server = await startTokenServer((response, { url }) =>
      json(
        response,
        200,
        url.includes("well-known")
          ? { issuer: server.origin, token_endpoint: `${server.origin}/t` }
          : { ...TOKEN, token_type: "DPoP" },
      ),
    );
    const grant = genericGrant({ issuer: server.origin, grantType: "password", ...CLIENT, dpop: dpop() });
    const cache = createTokenCache({ grant, origins: ["https://api.example"] });
    expect((await cache.for({ scope: "mail" }).get()).scheme).toBe("DPoP");
    const { url, form, headers } = server.requests.at(-1)!;
    expect([url, form.get("scope"), headers["dpop"] !== undefined]).toEqual(["/t", "mail", true]);
  });
});

const get = (grant: ReturnType<typeof genericGrant>): Promise<unknown> =>
  rejectionOf(createTokenCache({ grant, origins: "any", mintRetries: 0 }).get());

const isTerminal = ({ error }: { readonly error?: string }): boolean => error === "invalid_grant";

const signIn = (): Record<string, string> => ({ username: "al", password: "pa ss wörd 1" });

describe("the answer", () => {
  test("tokenMember: the token is another member, and no access_token is needed", async () => {
    const server = await startTokenServer((response) => json(response, 200, { id_token: "x.y.z", expires_in: 60 }));
    const grant = genericGrant({ tokenEndpoint: server.origin, grantType: "jwt", tokenMember: "id_token" });
    const token = await createTokenCache({ grant, origins: "any" }).get();
    expect(token.header).toBe("Bearer x.y.z");
    expect(JSON.stringify(token.response)).not.toContain("x.y.z");
  });

  test("a refresh token in it is ignored: every mint sends the same", async () => {
    const server = await startTokenServer((response) => json(response, 200, { ...TOKEN, refresh_token: "next" }));
    const grant = genericGrant({ tokenEndpoint: server.origin, grantType: "password", parameters: { username: "al" } });
    expect((await mintOnce(grant))["refresh_token"]).toBeUndefined();
    expect(definitionOf(grant).source).toBeUndefined();
  });

  test("a refusal is terminal if isTerminal says so, and otherwise is not", async () => {
    const server = await startTokenServer((response) => json(response, 400, { error: "invalid_grant" }));
    const options = { tokenEndpoint: server.origin, grantType: "password", ...CLIENT } as const;
    expect(await get(genericGrant(options))).toMatchObject({ error: "invalid_grant", terminal: false });
    expect(await get(genericGrant({ ...options, isTerminal }))).toMatchObject({
      error: "invalid_grant",
      terminal: true,
    });
  });

  test("S5: the server repeats a password that a function gave: the error does not", async () => {
    const server = await startTokenServer((response, { form }) =>
      json(response, 400, { error_description: `wrong: ${form.get("password")}` }),
    );
    const grant = genericGrant({ tokenEndpoint: server.origin, grantType: "password", parameters: signIn });
    await expect(mintOnce(grant)).rejects.toMatchObject({ errorDescription: "wrong: [redacted]" });
  });
});

const NAMED = { tokenEndpoint: "https://auth.example", grantType: "password", ...CLIENT } as const;
const keyOf = (more: Partial<GenericGrantOptions>): string | undefined =>
  definitionOf(genericGrant({ ...NAMED, ...more })).key;

describe("the key", () => {
  test("is made of the parameters; there is none with a credential among them, or with a function", () => {
    expect(keyOf({ parameters: { account_id: "1" } })).not.toBe(keyOf({ parameters: { account_id: "2" } }));
    expect(keyOf({ parameters: { password: "hush-hush" } })).toBeUndefined();
    expect(keyOf({ parameters: () => ({}) })).toBeUndefined();
    expect(keyOf({ parameters: () => ({}), key: "al" })).toContain('"al"');
  });
});

describe("wrong options are a TypeError, before anything is sent", () => {
  const base = { tokenEndpoint: "https://auth.example", grantType: "password" } as const;
  test.each<[name: string, build: () => unknown, message: RegExp]>([
    ["no grant type", () => genericGrant({ ...base, grantType: "" }), /"grantType" must be a non-empty string/],
    ["an empty id", () => genericGrant({ ...base, clientId: "" }), /"clientId" must be a non-empty string/],
    ["a secret without an id", () => genericGrant({ ...base, clientSecret: "hush-hush" }), /"clientId" must be/],
    [
      "an assertion without an id",
      () =>
        genericGrant({
          ...base,
          clientAuthentication: privateKeyJwt({ key: { alg: "ES256", sign: () => new Uint8Array(64) } }),
        }),
      /"clientId" must be/,
    ],
    ["json that is no boolean", () => genericGrant({ ...base, json: "true" as never }), /"json" must be true or false/],
    [
      "a parameter that is set here",
      () => genericGrant({ ...base, parameters: { grant_type: "x" } }),
      /"parameters" must not have "grant_type"/,
    ],
    ["an empty name of the token", () => genericGrant({ ...base, tokenMember: "" }), /"tokenMember" must be/],
  ])("%s", (_name, build, message) => {
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });

  test.each([[null], ["text"], [{ grant_type: "x" }], [{ account: 1 }]])(
    "a function for the parameters returns %j: ERR_GRANT",
    async (made) => {
      const fetch = vi.fn<() => Promise<Response>>();
      const grant = genericGrant({ ...base, fetch, parameters: () => made as never });
      await expect(mintOnce(grant)).rejects.toMatchObject({
        code: "ERR_GRANT",
        hint: expect.stringContaining('"parameters"') as unknown,
      });
      expect(fetch).not.toHaveBeenCalled();
    },
  );
});
