/** RFC 6749 section 3.2: token endpoint. */
import { expect, test } from "vitest";
import { clientCredentialsGrant, type ClientCredentialsGrantOptions } from "remint";
import { startAuthServer } from "remint/testing";
import { mintOnce } from "../grants/one-mint.ts";

const client = { clientId: "a", clientSecret: "s" };
test("section 3.2: each client authentication method sends a POST of a form", async () => {
  await using auth = await startAuthServer();
  const { tokenEndpoint } = auth;
  const ways: Partial<ClientCredentialsGrantOptions>[] = [
    {},
    { clientAuthentication: "client_secret_post" },
    { clientSecret: undefined, clientAuthentication: "none" },
  ];
  for (const way of ways) await mintOnce(clientCredentialsGrant({ tokenEndpoint, ...client, ...way }));
  expect(auth.requests.map(({ method }) => method)).toEqual(["POST", "POST", "POST"]);
  for (const { headers } of auth.requests) {
    expect(headers["content-type"]).toMatch(/^application\/x-www-form-urlencoded/);
  }
});

// The RFC allows a parameter without a value and lets the server treat it as omitted. Not every server does.
test("section 3.2: a parameter without a value is not sent", async () => {
  await using auth = await startAuthServer();
  const { tokenEndpoint } = auth;
  const empty = { scope: undefined, resource: undefined, audience: undefined, parameters: {} };
  await mintOnce(clientCredentialsGrant({ tokenEndpoint, ...client, ...empty }));
  await mintOnce(clientCredentialsGrant({ tokenEndpoint, ...client, scope: [], resource: [] }));
  expect(auth.requests.map(({ body }) => body)).toEqual(Array(2).fill("grant_type=client_credentials"));
  expect(() => clientCredentialsGrant({ tokenEndpoint, ...client, parameters: { a: "" } })).toThrow(
    /"parameters.a" must be/,
  );
});

test("section 3.2: no parameter is sent twice, except `resource`, which RFC 8707 repeats", async () => {
  await using auth = await startAuthServer();
  await mintOnce(
    clientCredentialsGrant({
      tokenEndpoint: auth.tokenEndpoint,
      ...client,
      clientAuthentication: "client_secret_post",
      scope: ["a", "b"],
      resource: ["urn:example:a", "urn:example:b"],
      parameters: { organization: "acme" },
    }),
  );
  const names = [...(auth.requests[0]?.form.keys() ?? [])];
  expect(names.filter((name) => name === "resource")).toHaveLength(2);
  const others = names.filter((name) => name !== "resource");
  expect(new Set(others).size).toBe(others.length);
});

const build = (tokenEndpoint: string, allowHttp?: boolean) => (): unknown =>
  clientCredentialsGrant({ tokenEndpoint, ...client, allowHttp });

test("section 3.2: plain http is refused, except on loopback or with allowHttp; a fragment is refused", () => {
  expect(build("http://auth.example/token")).toThrow(/must be an https URL/);
  expect(build("https://auth.example/token#a")).toThrow(/must not have a fragment/);
  expect(build("http://auth.example/token", true)).not.toThrow();
  expect(build("http://127.0.0.1/token")).not.toThrow();
});
