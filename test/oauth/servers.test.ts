/** Authorization servers, and implementations of fetch, that do not keep to the letter: what they answer is used. */
import { join } from "node:path";
import { Readable } from "node:stream";
import { runInNewContext } from "node:vm";
import { build } from "esbuild";
import { describe, expect, test, vi } from "vitest";
import { clientCredentialsGrant, createTokenCache, refreshTokenGrant, type TokenFetch } from "remint";
import { mintOnce } from "../grants/one-mint.ts";
import { json, startTokenServer } from "../grants/token-server.ts";
import type { TokenEndpointOptions } from "remint";

const TOKEN = { access_token: "a", token_type: "Bearer", expires_in: 60 };

async function header(type: unknown, tokenType: TokenEndpointOptions["tokenType"]): Promise<string> {
  const server = await startTokenServer((response) => json(response, 200, { ...TOKEN, token_type: type }));
  const grant = clientCredentialsGrant({
    tokenEndpoint: server.origin,
    clientId: "a",
    clientSecret: "hush-hush",
    tokenType,
  });
  return (await createTokenCache({ grant, origins: "any", mintRetries: 0 }).get()).header;
}

describe("the option tokenType", () => {
  test.each<[type: string, option: string | string[]]>([
    ["BearerToken", "bearertoken"],
    ["bot", ["user", "BOT"]],
    ["JWT", "JWT"],
    ["N_A", "N_A"],
  ])("%s is sent as Bearer with %j", async (type, option) => {
    expect(await header(type, option)).toBe("Bearer a");
  });

  test("another type is refused nevertheless, and the hint names the option", async () => {
    await expect(header("mac", "bot")).rejects.toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
      hint: expect.stringContaining('"tokenType"') as unknown,
    });
    expect(await header("dpop", "dpop")).toBe("DPoP a");
  });

  test("wrong values are a TypeError", async () => {
    for (const value of ["", 5, [""], [null]])
      await expect(header("a", value as never)).rejects.toThrow(/"tokenType" must be/);
  });
});

async function sent(clientId: string, clientSecret: string): Promise<{ text: string; hint: string | undefined }> {
  const server = await startTokenServer((response) => json(response, 401, { error: "invalid_client" }));
  const error = (await mintOnce(clientCredentialsGrant({ tokenEndpoint: server.origin, clientId, clientSecret })).catch(
    (reason: unknown) => reason,
  )) as { hint?: string };
  return { text: atob(server.first().headers.authorization!.slice(6)), hint: error.hint };
}

describe("client_secret_basic", () => {
  test("unreserved characters stay as they are, as for servers that do not decode: - _ . ~", async () => {
    const { text, hint } = await sent("6f1c2a-b3_d.e~f", "A-b_C.d~E");
    expect(text).toBe("6f1c2a-b3_d.e~f:A-b_C.d~E");
    expect(hint).toMatch(/check clientId, clientSecret and clientAuthentication$/);
  });

  test("other characters are encoded, and the hint of a 401 names the option that sends them as they are", async () => {
    const { text, hint } = await sent("id", "a+b/c!'()* d");
    expect(text).toBe("id:a%2Bb%2Fc%21%27%28%29%2A+d");
    expect(hint).toContain('clientSecretBasic({ encoding: "raw" })');
  });
});

const answer = (body: unknown, more: object = {}): Response =>
  ({ status: 200, type: "default", redirected: false, headers: new Headers(), body, ...more }) as unknown as Response;

describe("implementations of fetch", () => {
  const client = { tokenEndpoint: "https://auth.example/token", clientId: "a", clientSecret: "hush-hush" } as const;
  const mintWith = (fetch: TokenFetch): Promise<unknown> => mintOnce(clientCredentialsGrant({ ...client, fetch }));

  test("a body that is a Node stream, as node-fetch has it, is read", async () => {
    const chunks = JSON.stringify(TOKEN)
      .match(/.{1,7}/g)!
      .map((part) => Buffer.from(part));
    await expect(mintWith(async () => answer(Readable.from(chunks)))).resolves.toMatchObject({ access_token: "a" });
  });

  test("S3: a Node stream of more than 1 MiB is refused, and ended", async () => {
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65_536, 32));
      },
    });
    await expect(mintWith(async () => answer(endless))).rejects.toMatchObject({
      hint: expect.stringContaining("longer than 1 MiB") as unknown,
    });
    expect(endless.destroyed).toBe(true);
  });

  test("S3: of a Node stream without an end, at once readable, hardly more than 1 MiB is read", async () => {
    let made = 0;
    const endless = new Readable({
      read() {
        made += 65_536;
        this.push(Buffer.alloc(65_536, 32));
      },
    });
    await mintWith(async () => answer(endless)).catch(() => {});
    expect(made).toBeLessThan(1.5 * 1024 * 1024);
  });

  test.each(["error", "close"])("a Node stream that breaks off (%s) is ERR_TOKEN_NETWORK", async (how) => {
    const broken = new Readable({
      read() {
        this.destroy(how === "error" ? new Error("reset") : undefined);
      },
    });
    await expect(mintWith(async () => answer(broken))).rejects.toMatchObject({
      code: "ERR_TOKEN_NETWORK",
      retryable: true,
    });
  });

  test("S2: a redirect with a Node stream is refused, and the stream ended", async () => {
    const body = Readable.from([Buffer.from("moved")]);
    await expect(mintWith(async () => answer(body, { status: 302 }))).rejects.toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
    });
    expect(body.destroyed).toBe(true);
  });

  test("no streams, as in React Native: the text is read", async () => {
    await expect(
      mintWith(async () => answer(undefined, { text: async () => JSON.stringify(TOKEN) })),
    ).resolves.toMatchObject({ access_token: "a" });
    const long = answer(undefined, { text: async () => " ".repeat(2 ** 20 + 1) });
    await expect(mintWith(async () => long)).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  });

  test("no TextDecoder: the text is read", async () => {
    vi.stubGlobal("TextDecoder", undefined);
    try {
      await expect(mintWith(async () => Response.json(TOKEN))).resolves.toMatchObject({ access_token: "a" });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test("the package loads where there is nothing but the language: no TextDecoder, URL, crypto, Headers or fetch", async () => {
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, "../../src/index.ts")],
      bundle: true,
      format: "iife",
      globalName: "remint",
      external: ["jose"],
      write: false,
      logLevel: "silent",
    });
    const context: { remint?: { readonly genericGrant: unknown } } = {};
    runInNewContext(outputFiles[0]!.text, context);
    expect(typeof context.remint?.genericGrant).toBe("function");
  });

  test("S9: token requests and look-ups say that they must not be cached", async () => {
    const seen: (RequestCache | undefined)[] = [];
    const fetch: TokenFetch = async (url, init) => {
      seen.push(init.cache);
      return Response.json(
        url.includes("well-known")
          ? { issuer: "https://auth.example", token_endpoint: "https://auth.example/t" }
          : TOKEN,
      );
    };
    const { tokenEndpoint: _, ...rest } = client;
    await mintOnce(clientCredentialsGrant({ ...rest, issuer: "https://auth.example", fetch }));
    expect(seen).toEqual(["no-store", "no-store"]);
  });

  test("S9: a runtime whose requests have no such member, as workerd, is not given it", async () => {
    vi.stubGlobal("Request", vi.fn());
    try {
      const fetch = vi.fn<TokenFetch>(async () => Response.json(TOKEN));
      await mintWith(fetch);
      expect(fetch.mock.calls[0]?.[1]).not.toHaveProperty("cache");
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

test("S8: credentials in the answer, in any spelling and at any depth, are in no `response`", async () => {
  const secret = "hush-hush";
  const deep = JSON.parse(`${'{"a":'.repeat(40)}{"note":"deep"}${"}".repeat(40)}`) as object;
  const server = await startTokenServer((response) =>
    json(response, 200, {
      ...TOKEN,
      refresh_token: "next-token",
      ok: true,
      team: { name: "Acme", id: "T1", tokens: [secret], icons: [{ api_key: secret, size: 3 }] },
      authed_user: { id: "U1", access_token: secret, scope: "chat" },
      idToken: secret,
      refreshToken: secret,
      apiKey: secret,
      APIKey: secret,
      session_key: secret,
      "session-id": secret,
      lightning_sid: secret,
      visualforce_sid: secret,
      csrf_token: secret,
      Cookie: secret,
      signature: secret,
      sid: secret,
      clientSecret: secret,
      private_key: secret,
      jwt: secret,
      password: secret,
      accesstoken: secret,
      instance_url: "https://acme.example",
      token_format: "opaque",
      issued_token_type: "urn:x",
      kid: "k1",
      monkey: "m",
      deep,
    }),
  );
  const responses: unknown[] = [];
  const grant = refreshTokenGrant({
    tokenEndpoint: server.origin,
    clientId: "a",
    clientSecret: "hush-hush-client",
    refreshToken: () => "first-token",
    onRotate: (_next, { response }) => void responses.push(response),
  });
  const { response } = await createTokenCache({ grant, origins: "any" }).get();
  for (const each of [response, responses[0]]) {
    expect(JSON.stringify(each)).not.toMatch(/hush|next-token|first-token/);
    expect(each).toMatchObject({
      ok: true,
      team: { name: "Acme", id: "T1", icons: [{ size: 3 }] },
      authed_user: { id: "U1", scope: "chat" },
      instance_url: "https://acme.example",
      token_format: "opaque",
      issued_token_type: "urn:x",
      kid: "k1",
      monkey: "m",
    });
  }
  expect(JSON.stringify(response)).not.toContain('deep"}');
});
