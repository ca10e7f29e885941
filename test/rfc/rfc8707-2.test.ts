/** RFC 8707 section 2: resource indicators. */
import { describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type Grant,
  jwtBearerGrant,
  refreshTokenGrant,
  tokenExchangeGrant,
} from "remint";
import { startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf } from "../core/cache-under-test.ts";

type Resource = string | readonly string[];
const common = { tokenEndpoint: "https://auth.example/token", clientId: "client", clientSecret: "secret" } as const;

const grants: [name: string, make: (resource: Resource, tokenEndpoint?: string) => Grant][] = [
  ["clientCredentialsGrant", (resource, endpoint) => clientCredentialsGrant({ ...at(endpoint), resource })],
  [
    "refreshTokenGrant",
    (resource, endpoint) => refreshTokenGrant({ ...at(endpoint), resource, refreshToken: "rt", key: "k" }),
  ],
  ["jwtBearerGrant", (resource, endpoint) => jwtBearerGrant({ ...at(endpoint), resource, assertion: "a.b.c" })],
  ["tokenExchangeGrant", (resource, endpoint) => tokenExchangeGrant({ ...at(endpoint), resource, subjectToken: "s" })],
];

function at(tokenEndpoint: string = common.tokenEndpoint): typeof common & { tokenEndpoint: string } {
  return { ...common, tokenEndpoint: tokenEndpoint as typeof common.tokenEndpoint };
}

describe.each(grants)("%s", (name, make) => {
  const isOfUser = name === "refreshTokenGrant";

  test.each(["https://api.example/app/", "https://api.example/?tenant=1", "urn:example:api"])(
    "section 2: %s is an absolute URI, accepted and sent as it is",
    async (resource) => {
      const auth = await startAuthServer();
      auth.respond({ status: 400, body: { error: "invalid_target" } });
      const cache = createTokenCache({ grant: make(resource, auth.tokenEndpoint), origins: "any" });
      await rejectionOf(cache.get());
      expect(auth.requests.map(({ form }) => form.getAll("resource"))).toEqual([[resource]]);
      await auth.close();
    },
  );

  test.each(["/app", "api.example", "//api.example", "https://api.example/#app", "https://api.example#", ""])(
    "section 2: %j is relative or has a fragment: a TypeError, before anything is sent",
    (resource) => {
      expect(() => make(resource)).toThrow(TypeError);
      expect(() => make(["urn:example:a", resource])).toThrow(/"resource"/);
    },
  );

  test("section 2: two resources in either order make one key; one of them alone makes another, but for a session", () => {
    const [a, b] = ["https://a.example/", "https://b.example/"] as const;
    expect(definitionOf(make([a, b])).key).toBe(definitionOf(make([b, a])).key);
    // The key of a refresh token names the session, which goes on when a deploy asks for another resource.
    expect(definitionOf(make([a, b])).key === definitionOf(make(a)).key).toBe(isOfUser);
    expect(definitionOf(make([a, b])).server?.target).not.toBe(definitionOf(make(a)).server?.target);
  });

  test("section 2.2: the resource of a target takes the place of the grant's, and two are both sent", async () => {
    const auth = await startAuthServer();
    auth.respondAlways({ status: 400, body: { error: "invalid_target" } });
    const cache = createTokenCache({ grant: make("urn:x:grant", auth.tokenEndpoint), origins: "any" });
    await rejectionOf(cache.for({ resource: "urn:x:a" }).get());
    await rejectionOf(cache.for({ resource: ["urn:x:a", "urn:x:b"] }).get());
    expect(auth.requests.map(({ form }) => form.getAll("resource"))).toEqual([["urn:x:a"], ["urn:x:a", "urn:x:b"]]);
    await auth.close();
  });

  test.each(["/app", "api.example", "https://api.example/#app", ""])(
    "section 2: a target with the resource %j: a TypeError, and nothing is sent",
    (resource) => {
      const cache = createTokenCache({ grant: make("urn:x:grant"), origins: "any" });
      expect(() => cache.for({ resource })).toThrow(TypeError);
      expect(() => cache.for({ resource: ["urn:x:a", resource] })).toThrow(/"resource"/);
    },
  );

  test("section 2: two resources are both sent, and invalid_target is not retried", async () => {
    const auth = await startAuthServer();
    auth.respondAlways({ status: 400, body: { error: "invalid_target" } });
    const cache = createTokenCache({ grant: make(["urn:x:a", "urn:x:b"], auth.tokenEndpoint), origins: "any" });
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_target", retryable: false });
    expect(auth.requests.map(({ form }) => form.getAll("resource"))).toEqual([["urn:x:a", "urn:x:b"]]);
    await auth.close();
  });
});
