/** RFC 6749 section 3.2: Token Endpoint. */
import { definitionOf } from "../../src/core/grant.ts";
import { expect, test } from "vitest";
import { clientCredentialsGrant, type ClientCredentialsGrantOptions } from "remint";
import { startAuthServer } from "remint/testing";

const client = { clientId: "a", clientSecret: "s" };
const signal = new AbortController().signal;

test("T3: POST of a form, by every client authentication", async () => {
  await using auth = await startAuthServer();
  const { tokenEndpoint } = auth;
  const ways: Partial<ClientCredentialsGrantOptions>[] = [
    {},
    { clientAuthentication: "client_secret_post" },
    { clientSecret: undefined, clientAuthentication: "none" },
  ];
  for (const way of ways)
    await definitionOf(clientCredentialsGrant({ tokenEndpoint, ...client, ...way })).mint({ signal });
  expect(auth.requests.map(({ method }) => method)).toEqual(["POST", "POST", "POST"]);
  for (const { headers } of auth.requests) {
    expect(headers["content-type"]).toMatch(/^application\/x-www-form-urlencoded/);
  }
});

// The RFC lets it be sent, and the server treat it as omitted; not every server does.
test("T3: what has no value is left out", async () => {
  await using auth = await startAuthServer();
  const { tokenEndpoint } = auth;
  const empty = { scope: undefined, resource: undefined, audience: undefined, parameters: {} };
  await definitionOf(clientCredentialsGrant({ tokenEndpoint, ...client, ...empty })).mint({ signal });
  await definitionOf(clientCredentialsGrant({ tokenEndpoint, ...client, scope: [], resource: [] })).mint({ signal });
  expect(auth.requests.map(({ body }) => body)).toEqual(Array(2).fill("grant_type=client_credentials"));
  expect(() => clientCredentialsGrant({ tokenEndpoint, ...client, parameters: { a: "" } })).toThrow(
    /"parameters.a" must be/,
  );
});

test("T3: no parameter is there twice, but those that extensions repeat (RFC 8707: resource)", async () => {
  await using auth = await startAuthServer();
  await definitionOf(
    clientCredentialsGrant({
      tokenEndpoint: auth.tokenEndpoint,
      ...client,
      clientAuthentication: "client_secret_post",
      scope: ["a", "b"],
      resource: ["urn:example:a", "urn:example:b"],
      parameters: { organization: "acme" },
    }),
  ).mint({ signal });
  const names = [...(auth.requests[0]?.form.keys() ?? [])];
  expect(names.filter((name) => name === "resource")).toHaveLength(2);
  const others = names.filter((name) => name !== "resource");
  expect(new Set(others).size).toBe(others.length);
});

const build = (tokenEndpoint: string, allowHttp?: boolean) => (): unknown =>
  clientCredentialsGrant({ tokenEndpoint, ...client, allowHttp });

test("T3: TLS, but on loopback and where allowHttp says so; the endpoint has no fragment", () => {
  expect(build("http://auth.example/token")).toThrow(/must be an https URL/);
  expect(build("https://auth.example/token#a")).toThrow(/must not have a fragment/);
  expect(build("http://auth.example/token", true)).not.toThrow();
  expect(build("http://127.0.0.1/token")).not.toThrow();
});
