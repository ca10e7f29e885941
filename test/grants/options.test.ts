/** Options of the grants in odd forms: refused with words, or taken as the user means them; each is read once. */
import { describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  genericGrant,
  type Grant,
  jwtBearerGrant,
  refreshTokenGrant,
  type TokenFetch,
  tokenExchangeGrant,
} from "remint";
import { definitionOf } from "../../src/core/grant.ts";
import { mintOnce } from "./one-mint.ts";

const ENDPOINT = "https://auth.example/token";

/** Requests of a grant, whose server answers each with a token. */
function recorded(): { readonly sent: { url: string; form: URLSearchParams; headers: Headers }[]; fetch: TokenFetch } {
  const sent: { url: string; form: URLSearchParams; headers: Headers }[] = [];
  return {
    sent,
    async fetch(url, { headers, body }) {
      sent.push({ url, form: new URLSearchParams(body as URLSearchParams), headers: new Headers(headers) });
      return Response.json({ access_token: "a", issued_token_type: "urn:x" });
    },
  };
}

const client = (
  fetch: TokenFetch,
): { tokenEndpoint: string; clientId: string; clientSecret: string; fetch: TokenFetch } => ({
  tokenEndpoint: ENDPOINT,
  clientId: "portal",
  clientSecret: "s3cret-of-portal",
  fetch,
});

describe("values that are entries of a list", () => {
  const lists: [string, object][] = [
    ["URLSearchParams", new URLSearchParams({ account: "4711" })],
    ["a Map", new Map([["account", "4711"]])],
    ["Headers", new Headers({ account: "4711" })],
    ["a list of pairs", [["account", "4711"]]],
  ];

  test.each(lists)(
    "%s as headers or parameters: a TypeError that names the option, and no lost value",
    (_name, list) => {
      const { fetch } = recorded();
      for (const option of ["headers", "parameters"]) {
        const build = (): unknown => genericGrant({ ...client(fetch), grantType: "x", [option]: list });
        expect(build).toThrow(TypeError);
        expect(build).toThrow(
          `"${option}" must be an object of strings, got a list of entries: pass Object.fromEntries`,
        );
      }
    },
  );

  test.each(lists)("%s from the function parameters: ERR_GRANT, and nothing is sent", async (_name, list) => {
    const { fetch, sent } = recorded();
    const grant = genericGrant({ ...client(fetch), grantType: "x", parameters: () => list as never });
    const error = await mintOnce(grant).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      cause: { message: /^"parameters" must be an object of strings/ },
    });
    expect(sent).toEqual([]);
  });

  test.each([null, [undefined], [null], [""], 7])(
    "what is wrong beside a grant that is right is a TypeError too: headers or tokenType %j",
    (value) => {
      const { fetch } = recorded();
      expect(() => clientCredentialsGrant(client(fetch))).not.toThrow();
      expect(() => clientCredentialsGrant({ ...client(fetch), tokenType: value as never })).toThrow(
        /^"tokenType" must/,
      );
      if (value === null || value === 7) {
        expect(() => clientCredentialsGrant({ ...client(fetch), headers: value as never })).toThrow(/^"headers" must/);
      }
    },
  );
});

describe("each option is read once", () => {
  const grants: [string, (given: object) => Grant, object][] = [
    ["clientCredentialsGrant", (given) => clientCredentialsGrant(given as never), {}],
    ["refreshTokenGrant", (given) => refreshTokenGrant(given as never), { refreshToken: "r" }],
    ["genericGrant", (given) => genericGrant(given as never), { grantType: "x" }],
    ["tokenExchangeGrant", (given) => tokenExchangeGrant(given as never), { subjectToken: "subject-1" }],
    ["jwtBearerGrant", (given) => jwtBearerGrant(given as never), { assertion: "assertion-1" }],
  ];

  test.each(grants)("%s: getters of a class that would say something else later", async (_name, grantOf, more) => {
    const { fetch, sent } = recorded();
    const reads = new Map<string, number>();
    const prototype = {};
    for (const [name, value] of Object.entries({ ...client(fetch), scope: "orders", ...more })) {
      Object.defineProperty(prototype, name, {
        get() {
          reads.set(name, (reads.get(name) ?? 0) + 1);
          return reads.get(name) === 1 ? value : "something-else";
        },
      });
    }
    await mintOnce(grantOf(Object.create(prototype) as object), { signal: new AbortController().signal, state: "r" });
    expect([...reads.values()]).toEqual(Object.keys({ ...client(fetch), scope: "", ...more }).map(() => 1));
    expect([sent[0]?.url, sent[0]?.headers.get("authorization"), sent[0]?.form.get("scope")]).toEqual([
      ENDPOINT,
      `Basic ${btoa("portal:s3cret-of-portal")}`,
      "orders",
    ]);
  });

  test("an assertion to sign, by getters of a class", async () => {
    const { fetch, sent } = recorded();
    let reads = 0;
    class Assertion {
      readonly issuer = "portal";
      readonly audience = ENDPOINT;
      readonly key = { alg: "ES256", sign: () => new Uint8Array(64) } as const;
      get subject(): string {
        return `alice-${++reads}`;
      }
    }
    const grant = jwtBearerGrant({ ...client(fetch), assertion: new Assertion() });
    await mintOnce(grant);
    const [, claims = ""] = sent[0]!.form.get("assertion")!.split(".");
    expect(JSON.parse(atob(claims))).toMatchObject({ sub: "alice-1" });
    expect(definitionOf(grant).key).toContain("alice-1");
  });

  test("a URL object that is changed after the call, and one of another realm: the endpoint is what it was", async () => {
    const { fetch, sent } = recorded();
    const url = new URL(ENDPOINT);
    const grant = clientCredentialsGrant({ ...client(fetch), tokenEndpoint: url });
    url.pathname = "/elsewhere";
    await mintOnce(grant);
    await mintOnce(clientCredentialsGrant({ ...client(fetch), tokenEndpoint: url }));
    const foreign = { href: ENDPOINT } as URL;
    await mintOnce(clientCredentialsGrant({ ...client(fetch), tokenEndpoint: foreign }));
    expect(sent.map((each) => each.url)).toEqual([ENDPOINT, "https://auth.example/elsewhere", ENDPOINT]);
  });
});

describe("texts", () => {
  test("a scope with line ends and tabs in it, as in a template: the scopes are sent with one space between them", async () => {
    const { fetch, sent } = recorded();
    const scope = "\n  orders:read\n\torders:write\n";
    await mintOnce(clientCredentialsGrant({ ...client(fetch), scope }));
    await mintOnce(clientCredentialsGrant({ ...client(fetch), scope: [scope, "a"] }));
    const cache = createTokenCache({ grant: clientCredentialsGrant(client(fetch)), origins: ["https://api.example"] });
    await cache.for({ scope }).get();
    expect(sent.map(({ form }) => form.get("scope"))).toEqual([
      "orders:read orders:write",
      "orders:read orders:write a",
      "orders:read orders:write",
    ]);
  });

  test.each(["portal\n", "por\0tal", "portal\ud800"])(
    "a clientId with a control character, or half a character (%j): a TypeError",
    (clientId) => {
      const { fetch } = recorded();
      expect(() => clientCredentialsGrant({ ...client(fetch), clientId })).toThrow(/"clientId" must be text without/);
    },
  );

  test("S5: claims of an assertion that are secrets are not in the grant's key, and tell its tokens from others", () => {
    const { fetch } = recorded();
    const key = { alg: "ES256", sign: () => new Uint8Array(64) } as const;
    const keyOf = (pin: string): string | undefined => {
      const assertion = { key, issuer: "portal", subject: "alice", audience: ENDPOINT, claims: { pin } };
      return definitionOf(jwtBearerGrant({ ...client(fetch), assertion })).key;
    };
    expect(keyOf("hush-hush")).not.toContain("hush");
    expect(keyOf("hush-hush")).toBe(keyOf("hush-hush"));
    expect(keyOf("hush-hush")).not.toBe(keyOf("other"));
  });
});
