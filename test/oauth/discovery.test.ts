/** Discovery of the endpoints from an issuer (RFC 8414 and OpenID Connect Discovery), over real servers. */
import { describe, expect, it, vi } from "vitest";
import { definitionOf } from "../../src/core/grant.ts";
import { clientCredentialsGrant } from "../../src/grants/client-credentials.ts";
import { createTokenCache, refreshTokenGrant } from "../../src/index.ts";
import { tlsClientAuth } from "../../src/oauth/client-authentication.ts";
import { context, json, startTokenServer } from "../grants/token-server.ts";
import { mintOnce } from "../grants/one-mint.ts";
import type { ServerResponse } from "node:http";
import type { RemintError } from "../../src/base/errors.ts";
import type { Grant } from "../../src/core/grant.ts";
import type { ClientCredentialsGrantOptions } from "../../src/grants/client-credentials.ts";
import type { ReceivedRequest, TokenServer } from "../grants/token-server.ts";

const token = { access_token: "a", token_type: "Bearer", expires_in: 60 };
const OPENID = "/.well-known/openid-configuration";
const OAUTH = "/.well-known/oauth-authorization-server";
const client = { clientId: "orders", clientSecret: "s3cr3t-value" };

type Answer = (response: ServerResponse, request: ReceivedRequest, origin: string) => void;

/** Starts a server that answers by path, and with 404 elsewhere. `paths()` returns the requested paths, oldest first. */
async function start(answers: Readonly<Record<string, Answer>>): Promise<TokenServer & { paths(): string[] }> {
  const server: TokenServer = await startTokenServer((response, request) => {
    const answer = answers[request.url];
    if (answer === undefined) response.writeHead(404).end("<html>");
    else answer(response, request, server.origin);
  });
  return { ...server, paths: () => server.requests.map(({ url }) => url) };
}

function grantOf(issuer: string, more: Partial<ClientCredentialsGrantOptions> = {}): Grant {
  return clientCredentialsGrant({ issuer, ...client, ...more });
}

const metadata =
  (more: object = {}, path = ""): Answer =>
  (response, _request, origin) =>
    json(response, 200, { issuer: origin + path, token_endpoint: `${origin}/token`, ...more });
const tokens: Answer = (response) => json(response, 200, token);

describe("where the metadata is looked up", () => {
  it("OpenID's document missing, HTML, a redirect, a 500, of another issuer, or without a token endpoint to use: RFC 8414's is used", async () => {
    const misses: (Answer | undefined)[] = [
      undefined,
      (response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
      (response) => response.writeHead(302, { location: "/login" }).end(),
      (response) => response.writeHead(500).end(),
      (response) => json(response, 200, { token_endpoint: "https://elsewhere.example" }),
      metadata({ issuer: "https://elsewhere.example" }),
      metadata({ token_endpoint: undefined, authorization_endpoint: "https://elsewhere.example" }),
      metadata({ token_endpoint: "http://elsewhere.example/token" }),
    ];
    for (const miss of misses) {
      const server = await start({ ...(miss && { [OPENID]: miss }), [OAUTH]: metadata(), "/token": tokens });
      await expect(mintOnce(grantOf(server.origin))).resolves.toMatchObject({ access_token: "a" });
      expect(server.paths()).toEqual([OPENID, OAUTH, "/token"]);
    }
  });

  it("an issuer with a path: OpenID's well-known path follows it, RFC 8414's precedes it", async () => {
    const server = await start({ [`${OAUTH}/tenant`]: metadata({}, "/tenant"), "/token": tokens });
    await mintOnce(grantOf(`${server.origin}/tenant`));
    expect(server.paths()).toEqual([`/tenant${OPENID}`, `${OAUTH}/tenant`, "/token"]);
  });

  it("a fetch and headers are given: the lookup uses that fetch, and sends neither credentials nor those headers", async () => {
    const server = await start({ [OPENID]: metadata(), "/token": tokens });
    const fetch = vi.fn<typeof globalThis.fetch>((url, init) => globalThis.fetch(url, init));
    await mintOnce(grantOf(server.origin, { fetch, headers: { "X-Api-Key": "hush" } }));
    expect(fetch).toHaveBeenCalledTimes(2);
    const [lookup, post] = server.requests;
    expect(lookup?.method).toBe("GET");
    expect(lookup?.headers).not.toHaveProperty("authorization");
    expect(lookup?.headers).not.toHaveProperty("x-api-key");
    expect(post?.headers["x-api-key"]).toBe("hush");
  });
});

describe("the lookup", () => {
  it("happens at the first mint; concurrent and later mints share its result", async () => {
    const server = await start({ [OPENID]: metadata(), "/token": tokens });
    const grant = grantOf(server.origin);
    expect(server.requests).toHaveLength(0);
    await Promise.all([mintOnce(grant), mintOnce(grant), mintOnce(grant)]);
    await mintOnce(grant);
    expect(server.paths()).toEqual([OPENID, "/token", "/token", "/token", "/token"]);
  });

  it("a failed lookup rejects every mint that waited, and the next mint looks up again", async () => {
    let attempt = 0;
    const unsteady: Answer = (response, request, origin) =>
      ++attempt === 1 ? response.writeHead(503).end() : metadata()(response, request, origin);
    const server = await start({ [OPENID]: unsteady, "/token": tokens });
    const grant = grantOf(server.origin);
    const settled = await Promise.allSettled([mintOnce(grant), mintOnce(grant)]);
    for (const { status, reason } of settled as PromiseRejectedResult[]) {
      expect(status).toBe("rejected");
      expect(reason).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: true });
    }
    expect(server.paths()).toEqual([OPENID, OAUTH]);
    await expect(mintOnce(grant)).resolves.toMatchObject({ access_token: "a" });
  });

  it("C10: one of two waiting mints is aborted: the lookup goes on; both are aborted: the lookup ends", async () => {
    const held: (() => void)[] = [];
    let gone = 0;
    let arrived!: () => void;
    let closed!: () => void;
    const waiting = {
      arrived: new Promise<void>((r) => (arrived = r)),
      closed: new Promise<void>((r) => (closed = r)),
    };
    const slow: Answer = (response, request, origin) => {
      held.push(() => metadata()(response, request, origin));
      response.once("close", () => {
        if (!response.writableFinished) gone++;
        closed();
      });
      arrived();
    };
    const server = await start({ [OPENID]: slow, "/token": tokens });
    const grant = grantOf(server.origin);
    const [one, two] = [new AbortController(), new AbortController()];
    const first = mintOnce(grant, context(one.signal));
    const second = mintOnce(grant, context(two.signal));
    await waiting.arrived;
    one.abort(new Error("first has left"));
    await expect(first).rejects.toThrow("first has left");
    expect({ gone, lookups: held.length }).toEqual({ gone: 0, lookups: 1 });
    two.abort(new Error("second has left"));
    await expect(second).rejects.toThrow("second has left");
    await waiting.closed;
    expect(gone).toBe(1);

    const third = mintOnce(grant);
    await vi.waitFor(() => expect(held).toHaveLength(2), { timeout: 20_000 });
    held[1]?.();
    await expect(third).resolves.toMatchObject({ access_token: "a" });
  });

  it("C10: a signal that is already aborted: nothing is looked up", async () => {
    const server = await start({ [OPENID]: metadata(), "/token": tokens });
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    await expect(mintOnce(grantOf(server.origin), context(controller.signal))).rejects.toThrow("enough");
    expect(server.requests).toHaveLength(0);
  });

  it.each([
    ["405", (): Response => new Response(null, { status: 405 })],
    ["503", (): Response => new Response(null, { status: 503 })],
    ["a redirect", (): Response => Response.redirect("https://auth.example/new", 302)],
    [
      "a refused connection",
      (): Response => {
        throw new TypeError("fetch failed", { cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) });
      },
    ],
  ])("the discovered token endpoint answers %s: the next mint looks the metadata up again", async (_name, moved) => {
    let place = "old";
    const asked: string[] = [];
    const fetch = async (url: string): Promise<Response> => {
      asked.push(new URL(url).pathname);
      if (url.includes("well-known"))
        return Response.json({ issuer: "https://auth.example", token_endpoint: `https://auth.example/${place}` });
      return url.endsWith(place) ? Response.json(token) : moved();
    };
    const grant = grantOf("https://auth.example", { fetch });
    await mintOnce(grant);
    place = "new";
    await expect(mintOnce(grant)).rejects.toMatchObject({ name: expect.stringMatching(/Error/) as unknown });
    await expect(mintOnce(grant)).resolves.toMatchObject({ access_token: "a" });
    expect(asked).toEqual([OPENID, "/old", "/old", OPENID, "/new"]);
    expect(definitionOf(grant).endpoints?.()).toContain("https://auth.example/new");
    expect(definitionOf(grant).endpoints?.()).toContain("https://auth.example/old");
  });

  it("an answer that is lost on the way is no sign of a move: no second lookup", async () => {
    const asked: string[] = [];
    const fetch = async (url: string): Promise<Response> => {
      asked.push(new URL(url).pathname);
      if (url.includes("well-known"))
        return Response.json({ issuer: "https://auth.example", token_endpoint: "https://auth.example/t" });
      if (asked.length === 2) throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
      return Response.json(token);
    };
    const grant = grantOf("https://auth.example", { fetch });
    await expect(mintOnce(grant)).rejects.toMatchObject({ code: "ERR_TOKEN_NETWORK" });
    await mintOnce(grant);
    expect(asked).toEqual([OPENID, "/t", "/t"]);
  });

  it("200 grants of an issuer, of different clients: one lookup; another fetch: one of its own", async () => {
    const server = await start({ [OPENID]: metadata(), "/token": tokens });
    const grants = Array.from({ length: 200 }, (_, at) => grantOf(server.origin, { clientId: `client-${at}` }));
    await Promise.all(grants.map((grant) => mintOnce(grant)));
    expect(server.paths().filter((path) => path === OPENID)).toHaveLength(1);
    await mintOnce(grantOf(server.origin, { fetch: vi.fn<typeof globalThis.fetch>(globalThis.fetch) }));
    expect(server.paths().filter((path) => path === OPENID)).toHaveLength(2);
  });

  it("an hour later it is looked up again; if that fails, what was found before is used", async () => {
    const now = vi.spyOn(performance, "now");
    try {
      now.mockReturnValue(1000);
      let lookups = 0;
      const once: Answer = (response, request, origin) =>
        ++lookups === 2 ? response.writeHead(500).end() : metadata()(response, request, origin);
      const server = await start({ [OPENID]: once, "/token": tokens });
      const grant = grantOf(server.origin);
      await mintOnce(grant);
      now.mockReturnValue(1000 + 3_599_999);
      await mintOnce(grant);
      expect(lookups).toBe(1);
      now.mockReturnValue(1000 + 3_600_000);
      await expect(mintOnce(grant)).resolves.toMatchObject({ access_token: "a" });
      expect(lookups).toBe(2);
      await mintOnce(grant);
      await mintOnce(grant);
      expect(lookups).toBe(3);
    } finally {
      now.mockRestore();
    }
  });

  it.each([404, 410])(
    "the discovered token endpoint answers %i: the next mint looks the metadata up again",
    async (status) => {
      let moved = false;
      const changing: Answer = (response, request, origin) =>
        metadata({ token_endpoint: `${origin}/${moved ? "new" : "token"}` })(response, request, origin);
      const gone: Answer = (response) => response.writeHead(moved ? status : 200).end(JSON.stringify(token));
      const server = await start({ [OPENID]: changing, "/token": gone, "/new": tokens });
      const grant = grantOf(server.origin);
      await mintOnce(grant);
      moved = true;
      const error: unknown = await mintOnce(grant).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", endpointStatus: status });
      await expect(mintOnce(grant)).resolves.toMatchObject({ access_token: "a" });
      expect(server.paths()).toEqual([OPENID, "/token", "/token", OPENID, "/new"]);
    },
  );
});

const failure = async (answers: Readonly<Record<string, Answer>>, path = ""): Promise<unknown> => {
  const server = await start(answers);
  const error: unknown = await mintOnce(grantOf(server.origin + path)).catch((reason: unknown) => reason);
  expect(server.paths()).not.toContain("/token");
  return error;
};

const long: Answer = (response, request, origin) => metadata({ x: "y".repeat(2 ** 20) })(response, request, origin);

describe("refused metadata", () => {
  it("no metadata at all: the error names both URLs and is not retryable", async () => {
    expect(await failure({})).toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
      retryable: false,
      message: "no token is available: the authorization server's answer cannot be used",
      hint: expect.stringMatching(
        /^no metadata of the issuer http:\S+: http:\S+openid-configuration answered 404; http:\S+authorization-server answered 404$/,
      ) as unknown,
    });
  });

  it("no connection: ERR_TOKEN_NETWORK, after one attempt", async () => {
    const fetch = vi.fn(() => Promise.reject(new TypeError("fetch failed")));
    const minted = mintOnce(grantOf("https://auth.example", { fetch }));
    await expect(minted).rejects.toMatchObject({
      code: "ERR_TOKEN_NETWORK",
      retryable: true,
      message: "no token is available: the authorization server did not answer",
      hint: "no answer from the discovery endpoint https://auth.example/.well-known/openid-configuration",
    });
    expect(fetch).toHaveBeenCalledOnce();
  });

  it("S3: a document of more than 1 MiB", async () => {
    expect(await failure({ [OPENID]: long })).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  });

  it.each([
    ["no endpoint", undefined, /"token_endpoint" must be a non-empty string, got undefined/],
    ["S1: plain http", "http://auth.example/token", /"token_endpoint" must be an https URL, got http:\/\/auth.example/],
    ["a relative URL", "/token", /"token_endpoint" must be an absolute URL/],
    ["an object", { href: "https://auth.example/token" }, /"token_endpoint" must be a non-empty string, got an object/],
  ])("a token endpoint that cannot be used: %s", async (_name, endpoint, hint) => {
    const error = await failure({ [OPENID]: metadata({ token_endpoint: endpoint }) });
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect((error as RemintError).message).toBe(
      "no token is available: the authorization server's answer cannot be used",
    );
    expect((error as RemintError).hint).toMatch(hint);
  });

  it.each(["http://localhost:8080/token", "http://127.0.0.1/token", "http://[::1]/token", "http://a.localhost/token"])(
    "S1: an https issuer that names %s, where another program may listen: nothing is sent there",
    async (endpoint) => {
      const fetch = vi.fn(async (url: string) =>
        Response.json(
          url.includes("well-known") ? { issuer: "https://auth.example", token_endpoint: endpoint } : token,
        ),
      );
      const minted = mintOnce(grantOf("https://auth.example", { fetch }));
      await expect(minted).rejects.toMatchObject({
        code: "ERR_TOKEN_RESPONSE",
        retryable: false,
        hint: expect.stringContaining('"token_endpoint" must be an https URL, as the issuer is') as unknown,
      });
      expect(fetch.mock.calls.map(([url]) => url)).toEqual(
        [OPENID, OAUTH].map((path) => `https://auth.example${path}`),
      );
      await mintOnce(grantOf("https://auth.example", { fetch, allowHttp: true }));
      expect(fetch.mock.calls.at(-1)?.[0]).toBe(endpoint);
    },
  );

  it.each(["https://localhost", "http://127.0.0.1:8080"])(
    "S1: the issuer %s is on this machine, and so may its token endpoint be over plain http",
    async (issuer) => {
      const fetch = vi.fn(async (url: string) =>
        Response.json(url.includes("well-known") ? { issuer, token_endpoint: "http://localhost:9090/token" } : token),
      );
      await mintOnce(grantOf(issuer, { fetch }));
      expect(fetch.mock.calls.at(-1)?.[0]).toBe("http://localhost:9090/token");
    },
  );

  it("S1: an https issuer that names a revocation endpoint over http on this machine: tokens are not sent there", async () => {
    const server = { issuer: "https://auth.example", token_endpoint: "https://auth.example/token" };
    const fetch = vi.fn(async (url: string) =>
      Response.json(url.includes("well-known") ? { ...server, revocation_endpoint: "http://localhost:1/r" } : token),
    );
    const cache = createTokenCache({
      grant: refreshTokenGrant({ issuer: "https://auth.example", ...client, refreshToken: "rt", fetch }),
      origins: ["https://api.example"],
    });
    await cache.get();
    await expect(cache.signOut()).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(fetch.mock.calls.map(([url]) => new URL(url).host)).not.toContain("localhost:1");
  });

  it("S1: allowHttp: discovered plain http endpoints are accepted too", async () => {
    const fetch = vi.fn(async (url: string) =>
      Response.json(
        url.endsWith("/token") ? token : { issuer: "http://auth.mesh", token_endpoint: "http://t.mesh/token" },
      ),
    );
    await mintOnce(grantOf("http://auth.mesh", { allowHttp: true, fetch }));
    expect(fetch.mock.calls.map(([url]) => url)).toEqual([`http://auth.mesh${OPENID}`, "http://t.mesh/token"]);
  });

  it("the discovered token endpoint answers 404: the error points at the issuer's metadata, not at tokenEndpoint", async () => {
    const server = await start({ [OPENID]: metadata() });
    await expect(mintOnce(grantOf(server.origin))).rejects.toMatchObject({
      hint: expect.stringMatching(/answered 404: check the issuer's metadata$/) as unknown,
    });
  });
});

const aliases: Answer = (response, request, origin) =>
  metadata({ mtls_endpoint_aliases: { token_endpoint: `${origin}/mtls/token` } })(response, request, origin);

describe("the grant", () => {
  it("has the issuer, exactly as written, as its server's endpoint and in its key", () => {
    const grant = grantOf("https://auth.example");
    expect(definitionOf(grant).server?.endpoint).toBe("https://auth.example");
    expect(definitionOf(grant).key).toContain('"https://auth.example"');
    expect(definitionOf(grant).key).not.toBe(definitionOf(grantOf("https://auth.example/")).key);
    expect(definitionOf(grant).key).not.toBe(
      definitionOf(clientCredentialsGrant({ tokenEndpoint: "https://auth.example", ...client })).key,
    );
  });

  it("mtls_endpoint_aliases are used with tls_client_auth only (RFC 8705 section 5)", async () => {
    const server = await start({ [OPENID]: aliases, "/token": tokens, "/mtls/token": tokens });
    await mintOnce(grantOf(server.origin));
    const tls = { clientSecret: undefined, clientAuthentication: tlsClientAuth() };
    await mintOnce(grantOf(server.origin, tls));
    expect(server.paths()).toEqual([OPENID, "/token", "/mtls/token"]);
  });
});

describe("a wrong issuer is a TypeError, before anything is sent", () => {
  it.each<[string, unknown, RegExp]>([
    ["S1: plain http", "http://auth.example", /"issuer" must be an https URL.*allowHttp/],
    ["a URL object", new URL("https://auth.example"), /"issuer" must be a string, written as .* got a URL/],
    ["a query", "https://auth.example/?tenant=1", /"issuer" must not have a query or a fragment/],
    ["an empty fragment", "https://auth.example/#", /"issuer" must not have a query or a fragment/],
    ["the URL of the metadata", `https://auth.example${OPENID}`, /"issuer" must be the issuer itself, without/],
    ["not a URL", "auth.example", /"issuer" must be an absolute URL/],
    [
      "neither issuer nor token endpoint",
      undefined,
      /"tokenEndpoint" must be an absolute URL \(or "issuer" be given.* got undefined/,
    ],
  ])("%s", (_name, issuer, message) => {
    const build = (): unknown => clientCredentialsGrant({ issuer: issuer as string, ...client });
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });
});
