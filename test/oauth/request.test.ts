/** The token request and its answer: responses, errors, redaction, redirects, size, abort. */
import { createServer } from "node:net";
import { inspect } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { isRemintError, RemintError, TokenEndpointError } from "../../src/base/errors.ts";
import { clientCredentialsGrant } from "../../src/grants/client-credentials.ts";
import { tokenClient } from "../../src/oauth/client.ts";
import { requestToken } from "../../src/oauth/request.ts";
import { createTokenCache } from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";
import { ORIGIN } from "../core/cache-under-test.ts";
import { context, json, originOf, startTokenServer } from "../grants/token-server.ts";
import { mintOnce } from "../grants/one-mint.ts";
import type { ServerResponse } from "node:http";
import type { Grant } from "../../src/core/grant.ts";
import type { TokenResponse } from "../../src/core/types.ts";
import type { TokenFetch } from "../../src/oauth/answer.ts";
import type { TokenEndpointOptions } from "../../src/oauth/client.ts";
import type { ReceivedRequest } from "../grants/token-server.ts";

type Answer = (response: ServerResponse, request: ReceivedRequest) => void;
const CLIENT = { clientId: "orders", clientSecret: "s3cr3t-value" } as const;
const token = { access_token: "a", token_type: "Bearer", expires_in: 60 };

async function mint(answer: Answer, more: Partial<TokenEndpointOptions> = {}): Promise<TokenResponse> {
  const server = await startTokenServer(answer);
  const tokenEndpoint = `${server.origin}/token?key=hush`;
  return mintOnce(clientCredentialsGrant({ tokenEndpoint, clientId: "orders", clientSecret: "s3cr3t-value", ...more }));
}

async function failure(answer: Answer, more: Partial<TokenEndpointOptions> = {}): Promise<TokenEndpointError> {
  return asError(await mint(answer, more).catch((reason: unknown) => reason));
}

function asError(value: unknown): TokenEndpointError {
  if (!isOurs(value)) expect.fail(`not an error of ours: ${String(value)}`);
  return value;
}

/** True for a plain RemintError too: the members that only a TokenEndpointError has are undefined then. */
function isOurs(value: unknown): value is TokenEndpointError {
  return isRemintError(value);
}

async function scopeOf(scope: unknown): Promise<unknown> {
  return (await mint((answer) => json(answer, 200, { ...token, scope }))).scope;
}

async function serverTimeAfter(headers: Record<string, string>): Promise<number | undefined> {
  return (await mint((answer) => json(answer, 200, token, headers))).serverTime;
}

async function retryAfter(headers: Record<string, string>): Promise<number | undefined> {
  return (await failure(raw(503, "", headers))).retryAfter;
}

function scriptedGrant(fetch: TokenFetch): Grant {
  return clientCredentialsGrant({ tokenEndpoint: "https://auth.example/token", ...CLIENT, fetch });
}

const raw =
  (status: number, body: string, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(status, headers).end(body);

describe("a token response", () => {
  it.each([3600, "3600"])("expires_in may be a number or a numeric string (%j)", async (seconds) => {
    const response = await mint((answer) => json(answer, 200, { ...token, expires_in: seconds }));
    expect(response.expires_in).toBe(3600);
  });

  it.each([0, -1, "0", "", "soon", null, true, [], {}, "1e999"])(
    "E3: expires_in %j counts as absent",
    async (seconds) => {
      const response = await mint((answer) => json(answer, 200, { ...token, expires_in: seconds }));
      expect(response).toMatchObject({ access_token: "a" });
      expect(response).not.toHaveProperty("expires_in");
    },
  );

  it.each(["Bearer", "bearer", "BEARER", "DPoP"])("token_type %s is accepted (RFC 6749 section 5.1)", async (type) => {
    const response = await mint((answer) => json(answer, 200, { ...token, token_type: type }));
    expect(response.token_type?.toLowerCase()).toBe(type.toLowerCase());
  });

  it.each([undefined, null, ""])("token_type %j counts as Bearer", async (type) => {
    const response = await mint((answer) => json(answer, 200, { ...token, token_type: type }));
    expect(response).toMatchObject({ access_token: "a", token_type: "bearer" });
  });

  it.each([200, 201, 202, 203, 299])("a token in an answer of status %i is used", async (status) => {
    await expect(mint((answer) => json(answer, status, token))).resolves.toMatchObject({ access_token: "a" });
  });

  it.each([201, 204])("an answer of status %i without a token is ERR_TOKEN_RESPONSE", async (status) => {
    const error = await failure(raw(status, ""));
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect(error.hint).toMatch(new RegExp(`answered ${status} without a usable token: the body is empty`));
  });

  it.each(["mac", "N_A", 1, {}, ["Bearer"]])("token_type %j is refused (RFC 6749 section 7.1)", async (type) => {
    const error = await failure((answer) => json(answer, 200, { ...token, token_type: type }));
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect(error.message).toBe("no token is available: the authorization server's answer cannot be used");
    expect(error.hint).toMatch(/without a usable token: .*token_type/);
    expect(error.cause).toBeUndefined();
  });

  it("JSON with another content type and a byte order mark is accepted", async () => {
    await expect(
      mint(raw(200, `\uFEFF${JSON.stringify(token)}`, { "content-type": "text/html" })),
    ).resolves.toMatchObject({
      access_token: "a",
    });
  });

  it("unknown members are passed on, except those whose names remint uses itself", async () => {
    const response = await mint((answer) =>
      json(answer, 200, {
        ...token,
        expires_at: "2030-01-01T00:00:00",
        instance_url: "https://x.example",
        engines: { a: [1] },
        scope: null,
        serverTime: 1,
        receivedAt: 2,
        state: "forged",
      }),
    );
    expect(response).toMatchObject({
      expires_at: "2030-01-01T00:00:00",
      instance_url: "https://x.example",
      engines: { a: [1] },
    });
    expect(response.serverTime).toBeGreaterThan(1e12);
    for (const name of ["receivedAt", "state", "scope"]) expect(response).not.toHaveProperty(name);
  });

  it("a scope that is a list, as Twitch has it: one string; an empty list, or other values in it: no scope", async () => {
    expect(await scopeOf(["orders:read", "orders:write"])).toBe("orders:read orders:write");
    for (const scope of [[], [1], [["a"]], {}, 7, null]) expect(await scopeOf(scope)).toBeUndefined();
  });

  it("E2: the Date header is the server's clock, unless the answer has an Age header", async () => {
    const date = "Tue, 01 Jan 2030 00:00:00 GMT";
    expect(await serverTimeAfter({ date })).toBe(Date.UTC(2030, 0, 1));
    expect(await serverTimeAfter({ date, age: "5" })).toBeUndefined();
    expect(await serverTimeAfter({ date: "12" })).toBeUndefined();
  });

  it.each([
    ["HTML", "<!doctype html><p>Sign in</p>", /HTML/],
    ["an empty body", "", /empty/],
    ["form-encoded parameters", "access_token=a&token_type=bearer", /not a JSON object/],
    ["an array", "[]", /not a JSON object/],
    ["null", "null", /not a JSON object/],
    ["no access_token", '{"token_type":"bearer"}', /access_token/],
    ["an access_token that is a number", '{"access_token":1,"token_type":"bearer"}', /access_token/],
    ["an empty access_token", '{"access_token":"","token_type":"bearer"}', /access_token/],
  ])("200 with %s is ERR_TOKEN_RESPONSE", async (_name, body, hint) => {
    const error = await failure(raw(200, body));
    expect(error).toBeInstanceOf(RemintError);
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect(error.message).toBe("no token is available: the authorization server's answer cannot be used");
    expect(error.hint).toMatch(hint);
    expect(error.hint).toMatch(/^the token endpoint http:\/\/127\.0\.0\.1:\d+\/token answered 200/);
  });

  it("a body nested deeper than the stack is an ERR_TOKEN_RESPONSE", async () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    const answer = raw(200, `{"access_token":"a","token_type":"bearer","x":${deep}}`);
    const outcome: unknown = await mint(answer).catch((reason: unknown) => reason);
    // Node 26 parses JSON without recursion: there the answer is an ordinary token.
    if (Object(outcome) === outcome && "access_token" in (outcome as object)) return;
    expect(asError(outcome).code).toBe("ERR_TOKEN_RESPONSE");
  });
});

describe("S5: a token response that repeats what was sent", () => {
  it("S5: the client secret, plain and percent-encoded, in texts at any depth: it is taken out, and the token is used", async () => {
    const more = { note: "for s3cr3t-value", deep: [{ debug: "secret=s3cr3t%2Dvalue&x=1" }], plan: "gold" };
    const response = await mint((answer) => json(answer, 200, { ...token, ...more }));
    expect(response).toMatchObject({ access_token: "a", note: "for [redacted]", plan: "gold" });
    expect(JSON.stringify(response)).not.toMatch(/s3cr3t/);
  });

  it("S5: in the name of a member too; a part of a secret, or of a long header, stays: it may be what the token is for", async () => {
    const more = { debug: { "s3cr3t-value": 1 }, instance_url: "https://acme.my.example", scope: "s3cr3t-valu" };
    const headers = { "user-agent": "acme-portal/2.3 (+https://acme.my.example/contact)" };
    const response = await mint((answer) => json(answer, 200, { ...token, ...more }), { headers });
    expect(response).toMatchObject({ ...more, debug: { "[redacted]": 1 } });
  });

  it("S3: a member that is 200,000 lists in one another: the token is used", async () => {
    const body = `{"access_token":"a","token_type":"Bearer","deep":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    expect((await mint(raw(200, body))).access_token).toBe("a");
  });
});

describe("an error of the token endpoint", () => {
  it("has status, code, description and a hint; the hint has no query and no body (RFC 6749 section 5.2)", async () => {
    const error = await failure((answer) =>
      json(
        answer,
        401,
        { error: "invalid_client", error_description: "unknown client", more: "in the body" },
        {
          "www-authenticate": 'Basic realm="x"',
        },
      ),
    );
    expect(error).toBeInstanceOf(TokenEndpointError);
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 401,
      error: "invalid_client",
      retryable: false,
    });
    expect(error.errorDescription).toBe("unknown client");
    expect(error.message).toBe("no token is available: the authorization server refused the request");
    expect(error.hint).toMatch(
      /^the token endpoint http:\/\/127\.0\.0\.1:\d+\/token answered 401 \(invalid_client\): check clientId, clientSecret/,
    );
    expect(inspect(error)).not.toMatch(/unknown client|in the body|hush/);
  });

  it.each([
    [400, false],
    [401, false],
    [403, false],
    [404, false],
    [408, true],
    [429, true],
    [500, true],
    [503, true],
  ])("C11: %i is retryable: %s", async (status, retryable) => {
    const error = await failure(raw(status, ""));
    expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", endpointStatus: status, retryable });
    expect(error).not.toHaveProperty("error");
    const what = retryable ? "failed" : "refused the request";
    expect(error.message).toBe(`no token is available: the authorization server ${what}`);
  });

  it.each(["temporarily_unavailable", "server_error"])(
    "400 with %s: the server is down, so the error is retryable (RFC 6749 section 4.1.2.1)",
    async (code) => {
      const error = await failure((answer) => json(answer, 400, { error: code }));
      expect(error).toMatchObject({
        code: "ERR_TOKEN_ENDPOINT",
        message: "no token is available: the authorization server failed",
        endpointStatus: 400,
        error: code,
        retryable: true,
      });
      expect(error.hint).toMatch(new RegExp(`answered 400 \\(${code}\\)$`));
    },
  );

  it.each([
    ["a cache asks again, and has a token", 400, { error: "temporarily_unavailable" }, {}, 250],
    ["a cache asks again, and has a token", 400, { error: "server_error" }, {}, 250],
    ["with Retry-After: 0", 503, {}, { "retry-after": "0" }, 250],
    ["with Retry-After: 1", 429, {}, { "retry-after": "1" }, 1000],
    ["with Retry-After: 2", 503, {}, { "retry-after": "2" }, 2000],
    ["with Retry-After: 9, which fits into mintTimeout", 429, {}, { "retry-after": "9" }, 9000],
  ])("%s: %i %j %j: it asks again within the mint, after %i ms", async (_name, status, body, headers, pause) => {
    const clock = manualClock();
    const sent: number[] = [];
    const fetch = async (): Promise<Response> => {
      sent.push(clock.monotonic());
      return sent.length === 1 ? Response.json(body, { status, headers }) : Response.json(token);
    };
    const cache = createTokenCache({ grant: scriptedGrant(fetch), origins: [ORIGIN], clock });
    const minted = cache.get();
    await clock.advance(9999);
    expect((await minted).value).toBe("a");
    expect(sent).toHaveLength(2);
    expect(sent[1]).toBeGreaterThanOrEqual(pause);
    expect(sent[1]).toBeLessThanOrEqual(Math.max(pause, 500));
  });

  it("Retry-After is longer than what is left of mintTimeout: one request, and the caller gets the answer at once", async () => {
    const clock = manualClock();
    const fetch = vi.fn(async () => new Response(null, { status: 503, headers: { "retry-after": "10" } }));
    const cache = createTokenCache({ grant: scriptedGrant(fetch), origins: [ORIGIN], clock });
    const error = await cache.get().catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 503,
      retryAfter: 10_000,
      retryable: true,
    });
    expect(fetch).toHaveBeenCalledOnce();
  });

  it("a 404 points at the tokenEndpoint option", async () => {
    expect((await failure(raw(404, "<html>"))).hint).toMatch(/answered 404: check the tokenEndpoint URL$/);
  });

  it("200 with an error code and no token is ERR_TOKEN_ENDPOINT and not retryable", async () => {
    const error = await failure((answer) => json(answer, 200, { error: "invalid_client" }));
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 200,
      error: "invalid_client",
      retryable: false,
    });
  });

  it.each(['quote"', "back\\slash", "line\nbreak", "x".repeat(65), "é", "", 5, { code: 1 }])(
    "an error code outside the grammar of RFC 6749 is not shown (%j)",
    async (code) => {
      const error = await failure((answer) => json(answer, 400, { error: code }));
      expect(error.error).toBeUndefined();
      expect(error.hint).toMatch(/answered 400$/);
    },
  );

  it("the description is cut to 200 characters and freed of control characters", async () => {
    const long = await failure((answer) => json(answer, 400, { error_description: "x".repeat(300) }));
    expect(long.errorDescription).toHaveLength(200);
    const forged = await failure((answer) => json(answer, 400, { error_description: "a\r\n\u001b[31mb\u2028c\u202E" }));
    expect(forged.errorDescription).toBe("a [31mb c");
    const book = await failure((answer) => json(answer, 400, { error_description: "x".repeat(9000) }));
    expect(book.errorDescription).toBeUndefined();
  });

  it("the description is in an object `error`, as Facebook has it: it is shown, without the secret", async () => {
    const error = await failure((answer) =>
      json(answer, 400, { error: { message: "no s3cr3t-value here", code: 190 } }),
    );
    expect(error).toMatchObject({ endpointStatus: 400, errorDescription: "no [redacted] here" });
    expect(error.error).toBeUndefined();
  });

  it("retryAfter is in milliseconds, from seconds or from a date by the server's clock", async () => {
    expect(await retryAfter({ "retry-after": "7" })).toBe(7000);
    const date = "Tue, 01 Jan 2030 00:00:00 GMT";
    expect(await retryAfter({ "retry-after": "Tue, 01 Jan 2030 00:00:09 GMT", date })).toBe(9000);
    expect(await retryAfter({ "retry-after": "Mon, 31 Dec 2029 00:00:00 GMT", date })).toBe(0);
    expect(await retryAfter({ "retry-after": "soon" })).toBeUndefined();
    expect(await retryAfter({})).toBeUndefined();
    const local = await retryAfter({ "retry-after": new Date(Date.now() + 60_000).toUTCString(), date, age: "1" });
    expect(local).toBeGreaterThan(50_000);
    expect(local).toBeLessThanOrEqual(60_000);
  });
});

describe("S5: a token endpoint echoes secrets: the error contains none", () => {
  const awkward = "p:a+b%c d é/\"\\&'-_.~e";
  const json1 = JSON.stringify(awkward).slice(1, -1);
  const echoes: [name: string, echo: (request: ReceivedRequest, secret: string) => string][] = [
    ["unchanged", (_request, secret) => secret],
    ["in upper case", (_request, secret) => secret.toUpperCase()],
    ["percent-encoded", (_request, secret) => encodeURIComponent(secret)],
    ["percent-encoded in lower case", (_request, secret) => encodeURIComponent(secret).toLowerCase()],
    ["form-encoded", (_request, secret) => String(new URLSearchParams({ v: secret })).slice(2)],
    ["as Basic credentials", ({ headers }) => headers.authorization ?? ""],
    ["as decoded Basic credentials", ({ headers }) => atob(headers.authorization?.slice(6) ?? "")],
    ["escaped for JSON", (_request, secret) => JSON.stringify(secret)],
    ["escaped for HTML", (_request, secret) => secret.replace(/[&"'<>]/g, (c) => `&#${c.charCodeAt(0)};`)],
    ["as UTF-8 read as Latin-1", (_request, secret) => Buffer.from(secret).toString("latin1")],
    ["the whole form", ({ form }) => String(form)],
  ];
  const leaks = (text: string): string[] =>
    [awkward, "refresh-s3cr3t", "key-s3cr3t", encodeURIComponent(awkward), json1, "p:a", "p%3aa", "~e", "%7ee"].filter(
      (secret) => text.toLowerCase().includes(secret.toLowerCase()),
    );

  async function printed(
    answer: Answer,
    authentication: "client_secret_basic" | "client_secret_post",
  ): Promise<string> {
    const server = await startTokenServer(answer);
    const client = tokenClient({
      tokenEndpoint: server.origin,
      clientId: "orders",
      clientSecret: awkward,
      clientAuthentication: authentication,
      headers: { "X-Api-Key": "key-s3cr3t" },
    });
    const parameters = new URLSearchParams({ refresh_token: "refresh-s3cr3t", scope: "read" });
    const request = requestToken(client, { grantType: "refresh_token", parameters, ...context() });
    const error = asError(await request.catch((reason: unknown) => reason));
    expect(error).toBeInstanceOf(TokenEndpointError);
    const { stack, errorDescription } = error;
    expect(errorDescription ?? "").toContain("[redacted]");
    return [String(error), stack, JSON.stringify(error), inspect(error, { depth: 10, showHidden: true })].join("\n");
  }

  for (const authentication of ["client_secret_basic", "client_secret_post"] as const) {
    it.each(
      echoes.filter(([name]) =>
        authentication === "client_secret_basic" ? name !== "the whole form" : !name.includes("Basic"),
      ),
    )(`${authentication}, %s`, async (_name, echo) => {
      for (const status of [400, 401, 200, 500]) {
        let basic: string | undefined;
        const text = await printed((response, request) => {
          basic = request.headers.authorization?.slice(6);
          const said = echo(request, awkward);
          const error_description = `no: ${said} ${request.form.get("refresh_token")} ${String(request.headers["x-api-key"])}`;
          json(response, status, { error: said, error_description, echo: said });
        }, authentication);
        expect(leaks(text)).toEqual([]);
        if (basic !== undefined) expect(text).not.toContain(basic);
      }
    });
  }

  it("a key in the query of tokenEndpoint", async () => {
    const error = await failure((answer, { url }) => json(answer, 400, { error_description: `unknown ${url}` }));
    expect(error.errorDescription).toBe("unknown /token?key=[redacted]");
  });

  it("a header value of 40 characters, whatever the header's name; a shorter one is shown", async () => {
    const [blob, setting] = ["b".repeat(40), "s".repeat(39)];
    const error = await failure(
      (answer, { headers }) =>
        json(answer, 400, { error_description: `${String(headers["x-blob"])} ${String(headers["x-setting"])}` }),
      { headers: { "X-Blob": blob, "X-Setting": setting } },
    );
    expect(error.errorDescription).toBe(`[redacted] ${setting}`);
  });

  it("a secret in the error code", async () => {
    const error = await failure((answer) => json(answer, 400, { error: "bad s3cr3t-value" }));
    expect(error.error).toBe("bad [redacted]");
    expect(inspect(error, { showHidden: true })).not.toContain("s3cr3t");
  });

  it("a secret that the server has broken into lines", async () => {
    const error = await failure(
      raw(400, JSON.stringify({ error_description: "no s3c r3t-va lue: s3c\nr3t-value\n" })),
      {
        clientSecret: "s3cr3t-value",
      },
    );
    expect(error.errorDescription).toBe("no [redacted]: [redacted]");
  });

  it("a secret in the code or the name of a network error, or in what its getter throws", async () => {
    const secret = CLIENT.clientSecret;
    const unreadable = new Proxy(new Error("x"), {
      get() {
        throw new Error(secret);
      },
    });
    const named = Object.assign(new Error("x"), { name: secret });
    for (const error of [Object.assign(new Error("x"), { code: secret }), named, unreadable]) {
      const grant = scriptedGrant(() => Promise.reject(error));
      const failed = asError(await mintOnce(grant, context()).catch((reason: unknown) => reason));
      expect(failed.code).toBe("ERR_TOKEN_NETWORK");
      expect(inspect(failed, { depth: 10, showHidden: true })).not.toContain(secret);
    }
  });

  it("a secret in the cause of a network error", async () => {
    const fetch = vi.fn(async (url: string, init: RequestInit): Promise<Response> => {
      const form = init.body instanceof URLSearchParams ? init.body.toString() : "";
      const cause = Object.assign(new Error(`body ${form}`), { config: init });
      throw Object.assign(new Error(`POST ${url} ${JSON.stringify(init.headers)}`, { cause }), { config: init });
    });
    const error = await failure(raw(200, ""), { fetch, clientAuthentication: "client_secret_post" });
    expect(error).toMatchObject({ code: "ERR_TOKEN_NETWORK", retryable: true });
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("s3cr3t");
    const basic = await failure(raw(200, ""), { fetch });
    expect(inspect(basic, { depth: 10, showHidden: true })).not.toContain(btoa("orders:s3cr3t-value"));
  });
});

describe("the token request", () => {
  it.each([301, 302, 303, 307, 308, 304])(
    "S2: the token endpoint redirects (%i): the redirect is not followed",
    async (status) => {
      const elsewhere = await startTokenServer((response) => json(response, 200, token));
      const error = await failure(raw(status, "", { location: `${elsewhere.origin}/steal` }));
      expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
      expect(error.message).toBe("no token is available: the authorization server's answer cannot be used");
      expect(error.hint).toContain(`redirect (${status})`);
      expect(elsewhere.requests).toHaveLength(0);
    },
  );

  it("S2: a custom fetch followed a redirect, or a browser hid one: the answer is refused", async () => {
    const followed = Object.defineProperty(Response.json(token), "redirected", { value: true });
    expect((await failure(raw(200, ""), { fetch: async () => followed })).code).toBe("ERR_TOKEN_RESPONSE");
    const opaque = Object.defineProperties(new Response(null), {
      type: { value: "opaqueredirect" },
      status: { value: 0 },
    });
    const error = await failure(raw(200, ""), { fetch: async () => opaque });
    expect(error.hint).toMatch(/answered with a redirect, which is not followed/);
  });

  it("S3: an endless answer: 1 MiB of it is read, and the rest is cancelled", async () => {
    let closed: (() => void) | undefined;
    const cancelled = new Promise<void>((resolve) => (closed = resolve));
    const error = await failure((response) => {
      response.on("close", () => closed?.());
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = " ".repeat(64 * 1024);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
        response.once("drain", more);
      };
      more();
    });
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect(error.hint).toContain("longer than 1 MiB");
    await cancelled;
  });

  it("S3: a body of exactly 1 MiB is read; a longer body of a 503 is still the error of the 503", async () => {
    const full = JSON.stringify(token).padEnd(1024 * 1024, " ");
    await expect(mint(raw(200, full))).resolves.toMatchObject({ access_token: "a" });
    expect(await failure(raw(503, `${full} `))).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 503,
      retryable: true,
    });
  });

  it("no answer is a retryable ERR_TOKEN_NETWORK with the network error as cause", async () => {
    const gone = await startTokenServer((response) => response.destroy());
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const origin = originOf(server);
    await new Promise((resolve) => server.close(resolve));
    const refused = await failure(raw(200, ""), { tokenEndpoint: `${origin}/token?key=hush` });
    expect(refused).toMatchObject({ code: "ERR_TOKEN_NETWORK", retryable: true });
    expect(refused.message).toBe("no token is available: the authorization server did not answer");
    expect(refused.hint).toBe(`no answer from the token endpoint ${origin}/token (ECONNREFUSED)`);
    expect(inspect(refused)).toContain("ECONNREFUSED");
    expect((await failure(raw(200, ""), { tokenEndpoint: gone.origin })).code).toBe("ERR_TOKEN_NETWORK");
  });

  it("an answer that breaks off is ERR_TOKEN_NETWORK", async () => {
    const error = await failure((response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{", () => response.destroy());
    });
    expect(error).toMatchObject({ code: "ERR_TOKEN_NETWORK", retryable: true });
  });

  it("C10: an abort before the request, while waiting or while reading rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    const before = new AbortController();
    before.abort(reason);
    const fetch = vi.fn<() => Promise<Response>>();
    const options = { tokenEndpoint: "https://auth.example", clientId: "a", clientSecret: "b", fetch };
    await expect(mintOnce(clientCredentialsGrant(options), context(before.signal))).rejects.toBe(reason);
    expect(fetch).not.toHaveBeenCalled();

    for (const start of [false, true]) {
      const controller = new AbortController();
      const server = await startTokenServer((response) => {
        if (start) response.writeHead(200).write("{");
        setTimeout(() => controller.abort(reason), 30);
      });
      const grant = clientCredentialsGrant({ tokenEndpoint: server.origin, clientId: "a", clientSecret: "b" });
      await expect(mintOnce(grant, context(controller.signal))).rejects.toBe(reason);
    }
  });
});
