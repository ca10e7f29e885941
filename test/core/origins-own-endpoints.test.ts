import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { definitionOf } from "../../src/core/grant.ts";
import { policyHalf } from "../../src/core/types.ts";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  customGrant,
  refreshTokenGrant,
  tlsClientAuth,
  type Grant,
  type Origins,
  type TokenCache,
} from "../../src/index.ts";
import { chalkGrant } from "../../src/providers/chalk.ts";
import { salesforceClientCredentialsGrant } from "../../src/providers/salesforce.ts";
import { json, startTokenServer, type TokenServer } from "../grants/token-server.ts";
import { becomePage, pageAt } from "./page-globals.ts";

const client = { clientId: "client", clientSecret: "secret" };
const AUTH = "https://auth.example";
const TOKEN = `${AUTH}/oauth/token`;
const REVOCATION = `${AUTH}/oauth/revoke`;

const grantOf = (more: object = {}): Grant =>
  clientCredentialsGrant({ tokenEndpoint: TOKEN, revocationEndpoint: REVOCATION, ...client, ...more });

const cacheOf = (grant: unknown, origins?: Origins): TokenCache =>
  createTokenCache({ grant: grant as Grant, ...(origins && { origins }) });

/** Tells whether a URL is one of the grant's own endpoints, as the request policy asks. */
const isOwn = (cache: TokenCache, url: string): boolean => policyHalf(cache).rules.isOwn?.(url) === true;

afterEach(() => becomePage(undefined));

describe("Q2: the grant's own endpoints get no token", () => {
  test.each<[string, Origins]>([
    ["a list that has their origin", ["https://api.example", AUTH]],
    ['origins: "any"', "any"],
    ["a function of the token", () => [AUTH]],
  ])("Q2: with %s: the token and the revocation endpoint are the grant's own, userinfo is not", (_, origins) => {
    const cache = cacheOf(grantOf(), origins);
    const urls = [
      TOKEN,
      REVOCATION,
      `${TOKEN}?x=1`,
      `${AUTH}/oauth/userinfo`,
      AUTH,
      `${TOKEN}/x`,
      `${AUTH}/oauth/toke`,
    ];
    expect(urls.map((url) => isOwn(cache, url))).toEqual([true, true, true, false, false, false, false]);
    expect(isOwn(cache, "https://api.example/oauth/token")).toBe(false);
    expect(isOwn(cache, `http://auth.example/oauth/token`)).toBe(false);
    expect(isOwn(cache, `${AUTH}:8443/oauth/token`)).toBe(false);
  });

  test.each([
    "https://AUTH.example/oauth/token",
    "HTTPS://auth.example:443/oauth/token",
    "https:auth.example/oauth/token",
    "https:\\\\auth.example\\oauth\\token",
    "https:////auth.example/oauth/token",
    " https://auth.example/oauth/token\n",
    "ht\ttps://auth.example/oau\nth/token",
    "https://auth.example/./oauth/token",
    "https://auth.example/oauth/./token",
    "https://auth.example/oauth/x/../token",
    "https://auth.example/x/../oauth/%2e/token",
    "https://auth.example/oauth/%74oken",
    "https://auth.example/%6F%61uth/tok%65n",
    "https://%61uth.example/oauth/token",
    "https://ａuth.example/oauth/token",
    "https://auth.example/oauth/token?",
    "https://auth.example/oauth/token?a=/b",
    "https://auth.example/oauth/token#x",
    "https://auth.example/oauth/token?%",
    "https://@auth.example/oauth/token",
  ])("Q2: %j is the token endpoint in another spelling", (url) => {
    const cache = cacheOf(grantOf(), [AUTH]);
    expect(isOwn(cache, url)).toBe(true);
    expect(isOwn(cache, url)).toBe(true);
  });

  test.each([
    "https://auth.example/oauth%2Ftoken",
    "https://auth.example/oauth/token%20",
    "https://auth.example/oauth/token%2525",
    "https://auth.example/oauth//token",
    "https://auth.example/OAUTH/token",
    "https://auth.example/oauth/token/",
    "https://auth.example/?/oauth/token",
    "https://auth.example/#/oauth/token",
    "https://auth.example/x/oauth/token",
    "https://api.example/oauth/token?https://auth.example/oauth/token",
    "https://",
  ])("Q2: %j is another URL than the token endpoint", (url) => {
    const cache = cacheOf(grantOf(), [AUTH, "https://api.example"]);
    expect(isOwn(cache, url)).toBe(false);
    expect(isOwn(cache, url)).toBe(false);
  });

  test("Q2: a token endpoint whose path is the root, has escapes, or text that is not ASCII", () => {
    for (const tokenEndpoint of [
      AUTH,
      `${AUTH}/`,
      `${AUTH}/t%6Fken%2f%7e`,
      `${AUTH}/tökén token`,
      `${AUTH}/a/.well-known/t`,
    ]) {
      const cache = cacheOf(grantOf({ tokenEndpoint }), [AUTH]);
      const spellings = [tokenEndpoint, new URL(tokenEndpoint).href, `${tokenEndpoint}?x`, `\t${tokenEndpoint}`];
      expect(spellings.map((url) => isOwn(cache, url))).toEqual(spellings.map(() => true));
      expect([`${AUTH}/x`, `${AUTH}/t`, `${AUTH}/tok`].map((url) => isOwn(cache, url))).toEqual([false, false, false]);
    }
    const cache = cacheOf(grantOf({ tokenEndpoint: `${AUTH}/t%2f~` }), [AUTH]);
    expect([`${AUTH}/t%2F%7E`, `${AUTH}/t%2f~`, `${AUTH}/t/~`].map((url) => isOwn(cache, url))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("Q2: a query in the option tokenEndpoint does not matter", () => {
    const cache = cacheOf(grantOf({ tokenEndpoint: `${TOKEN}?tenant=1` }), [AUTH]);
    expect([TOKEN, `${TOKEN}?tenant=2`].map((url) => isOwn(cache, url))).toEqual([true, true]);
  });

  test("Q2: relative URLs of a page whose origin has the token endpoint", () => {
    becomePage(pageAt(`${AUTH}/oauth/`));
    const cache = cacheOf(grantOf(), ["self"]);
    const urls = ["token", "/oauth/token", "./token?x", "../oauth/revoke", "userinfo", "/oauth/userinfo"];
    expect(urls.map((url) => isOwn(cache, url))).toEqual([true, true, true, true, false, false]);
    for (const [base, own] of [
      ["other", false],
      ["oauth", true],
      ["other", false],
    ] as const) {
      becomePage(pageAt(`${AUTH}/oauth/`, `${AUTH}/${base}/`));
      expect([base, isOwn(cache, "token"), isOwn(cache, "../oauth/token")]).toEqual([base, own, true]);
    }
  });

  test("Q2: a URL that is the grant's own is not forgotten between other URLs, nor the other way round", () => {
    const cache = cacheOf(grantOf(), [AUTH]);
    const urls = [`${AUTH}/a`, TOKEN, `${AUTH}/a`, `${AUTH}/%61`, TOKEN, REVOCATION, `${AUTH}/a`];
    expect(urls.map((url) => isOwn(cache, url))).toEqual([false, true, false, false, true, true, false]);
  });

  test("Q2: any spelling of the token endpoint is the grant's own, any other path is not", () => {
    const cache = cacheOf(grantOf(), [AUTH]);
    const letters = fc.constantFrom(...Array.from("oauthken/.~-_%"));
    fc.assert(
      fc.property(fc.array(fc.nat(99), { maxLength: 40 }), fc.string({ unit: letters, maxLength: 3 }), (dice, tail) => {
        let path = "";
        for (const [at, letter] of Array.from("/oauth/token").entries()) {
          const die = dice[at] ?? 0;
          if (letter === "/") path += ["/", "\\", "/./", "/x/../", "/%2e/"][die % 5]!;
          else path += [letter, `%${letter.charCodeAt(0).toString(16)}`, `\t${letter}`][die % 3]!;
        }
        expect(isOwn(cache, AUTH + path)).toBe(true);
        const other = `${AUTH}${path}${tail}`;
        const { pathname } = new URL(other);
        const decoded = pathname.replace(/%(?:2d|2e|5f|7e|3\d|[46][1-9a-f]|[57][\da])/gi, (text) =>
          decodeURIComponent(text),
        );
        expect([other, isOwn(cache, other)]).toEqual([other, decoded === "/oauth/token"]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("Q2: which grants name endpoints", () => {
  test("Q2: where no token may go to the origin of an endpoint, there is nothing to ask", () => {
    expect(policyHalf(cacheOf(grantOf(), ["https://api.example"])).rules.isOwn).toBeUndefined();
    expect(policyHalf(cacheOf(grantOf(), ["self"])).rules.isOwn).toBeUndefined();
    expect(policyHalf(cacheOf(grantOf(), ["http://auth.example"])).rules.isOwn).toBeUndefined();
  });

  test("Q2: a function, and an object with members of such names, name none", () => {
    const named = { mint: () => "a", endpoints: () => [TOKEN], server: { endpoint: TOKEN } };
    for (const grant of [() => "a", named, customGrant({ mint: () => "a" })]) {
      expect(policyHalf(cacheOf(grant, "any")).rules.isOwn).toBeUndefined();
    }
    expect(() => customGrant(named)).toThrow('customGrant has no option "endpoints"');
  });

  test("Q2: a refresh token grant, in every cache of a pool and for every target", () => {
    const pool = createTokenPool({
      create: (user) => cacheOf(refreshTokenGrant({ tokenEndpoint: TOKEN, ...client, refreshToken: user }), [AUTH]),
    });
    for (const cache of [pool.get("a"), pool.get("b"), pool.get("a").for({ scope: "x" })]) {
      expect([isOwn(cache, TOKEN), isOwn(cache, REVOCATION)]).toEqual([true, false]);
    }
  });

  test("Q2: a target with origins of its own is judged by them", () => {
    const cache = cacheOf(grantOf(), ["https://api.example"]).for({ scope: "x", origins: [AUTH] });
    expect(isOwn(cache, TOKEN)).toBe(true);
  });

  test("Q2: the grant for Salesforce, whose API has the origin of its token endpoint: userinfo gets the token", () => {
    const url = "https://acme.my.salesforce.com";
    const cache = cacheOf(salesforceClientCredentialsGrant({ loginUrl: url, instanceUrl: url, ...client }));
    const paths = ["token", "revoke", "userinfo"].map((path) => `${url}/services/oauth2/${path}`);
    expect([...paths, `${url}/services/data`].map((each) => isOwn(cache, each))).toEqual([true, true, false, false]);
    expect(policyHalf(cache).rules.allows(paths[2]!)).toBe(true);
  });

  test("Q2: the grant for Chalk, whose API has the origin of its token endpoint", () => {
    const cache = cacheOf(chalkGrant({ ...client, apiServer: "https://chalk.example/" }));
    const urls = ["https://chalk.example/v1/oauth/token", "https://chalk.example/v1/query/online"];
    expect(urls.map((each) => isOwn(cache, each))).toEqual([true, false]);
  });
});

describe("Q2: endpoints that are looked up", () => {
  const OPENID = "/.well-known/openid-configuration";
  const OAUTH = "/.well-known/oauth-authorization-server";

  /** A server with metadata. `members` makes what the metadata says beside the issuer. */
  const serverWith = (members: (origin: string) => object, path = ""): Promise<TokenServer> => {
    const server = startTokenServer((response, { url }) => {
      void server.then(({ origin }) => {
        if (url === `${OAUTH}${path}`) json(response, 200, { issuer: origin + path, ...members(origin) });
        else if (url.includes("well-known")) json(response, 404, {});
        else json(response, 200, { access_token: "a", token_type: "Bearer" });
      });
    });
    return server;
  };

  test("Q2: the metadata's URLs are own before the look-up, token and revocation endpoint after it", async () => {
    const server = await serverWith((origin) => ({
      token_endpoint: `${origin}/token`,
      revocation_endpoint: `${origin}/revoke`,
      userinfo_endpoint: `${origin}/userinfo`,
      mtls_endpoint_aliases: { token_endpoint: `${origin}/mtls/token`, revocation_endpoint: "nowhere" },
    }));
    const { origin } = server;
    const cache = cacheOf(clientCredentialsGrant({ issuer: origin, ...client }), [origin]);
    const judged = (paths: readonly string[]) => paths.filter((path) => isOwn(cache, origin + path));
    const paths = [OPENID, OAUTH, "/token", "/revoke", "/mtls/token", "/userinfo", "/nowhere", "/"];
    expect(judged(paths)).toEqual([OPENID, OAUTH]);
    await cache.get();
    expect(judged(paths)).toEqual([OPENID, OAUTH, "/token", "/revoke", "/mtls/token"]);
    expect(server.requests.map(({ url }) => url)).toEqual([OPENID, OAUTH, "/token"]);
  });

  test.each(["", "/tenant", "/tenant/", "/a/b"])(
    "Q2: what a look-up of an issuer with the path %j asks for was known as own before",
    async (path) => {
      const server = await serverWith((origin) => ({ token_endpoint: `${origin}/token` }), path.replace(/\/$/, ""));
      const cache = cacheOf(clientCredentialsGrant({ issuer: server.origin + path, ...client }), [server.origin]);
      const { rules } = policyHalf(cache);
      const before = rules.isOwn!;
      await cache.get().catch(() => {});
      const asked = server.requests.map(({ url }) => url).filter((url) => url !== "/token");
      expect(asked).toHaveLength(2);
      expect(asked.filter((url) => !before(server.origin + url))).toEqual([]);
    },
  );

  test("Q2: endpoints at another origin than the issuer: own as soon as they are found, if that origin is listed", async () => {
    const elsewhere = await startTokenServer((response) =>
      json(response, 200, { access_token: "a", token_type: "Bearer" }),
    );
    const server = await serverWith(() => ({ token_endpoint: `${elsewhere.origin}/token` }));
    const grant = clientCredentialsGrant({ issuer: server.origin, ...client });
    const caches = [cacheOf(grant, [elsewhere.origin]), cacheOf(grant, ["https://api.example"])] as const;
    expect(caches.map((cache) => policyHalf(cache).rules.isOwn)).toEqual([undefined, undefined]);
    await caches[0].get();
    expect(isOwn(caches[0], `${elsewhere.origin}/token`)).toBe(true);
    expect(policyHalf(caches[1]).rules.isOwn).toBeUndefined();
  });

  test("Q2: a revocation endpoint beside an issuer is own from the beginning; with a certificate the plain token endpoint too", async () => {
    const server = await serverWith((origin) => ({
      token_endpoint: `${origin}/token`,
      mtls_endpoint_aliases: { token_endpoint: `${origin}/mtls` },
    }));
    const { origin } = server;
    const tls = { clientId: "client", clientAuthentication: tlsClientAuth() };
    const grant = clientCredentialsGrant({ issuer: origin, revocationEndpoint: `${origin}/revoke`, ...tls });
    const cache = cacheOf(grant, [origin]);
    expect(["/revoke", "/token"].map((path) => isOwn(cache, origin + path))).toEqual([true, false]);
    await cache.get();
    expect(["/revoke", "/token", "/mtls"].map((path) => isOwn(cache, origin + path))).toEqual([true, true, true]);
  });

  test("Q2: a token endpoint that moves: the old and the new one are own; the list stays bounded", async () => {
    let moves = 0;
    const server: TokenServer = await startTokenServer((response, { url }) => {
      const token_endpoint = `${server.origin}/token/${moves}`;
      if (url === OPENID) json(response, 200, { issuer: server.origin, token_endpoint });
      else if (url.endsWith(`/${moves}`)) json(response, 200, { access_token: `a${moves}`, token_type: "Bearer" });
      else json(response, 404, {});
    });
    const grant = clientCredentialsGrant({ issuer: server.origin, ...client });
    const cache = createTokenCache({ grant, origins: [server.origin], maxTtl: 0, mintRetries: 0 });
    const definition = definitionOf(grant);
    for (; moves < 40; moves++) {
      await definition.mint({ signal: new AbortController().signal }).catch(() => {});
      await definition.mint({ signal: new AbortController().signal });
      const known = [moves, Math.max(0, moves - 1)].map((move) => isOwn(cache, `${server.origin}/token/${move}`));
      expect(known).toEqual([true, true]);
    }
    expect(definition.endpoints!().length).toBeLessThanOrEqual(2 + 16);
    expect([OPENID, OAUTH].map((path) => isOwn(cache, server.origin + path))).toEqual([true, true]);
    expect(definition.endpoints!()).toBe(definition.endpoints!());
  });
});
