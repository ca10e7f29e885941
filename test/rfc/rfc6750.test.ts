/**
 * RFC 6750 for the token of each grant. More tests of these sections: requests and challenges (2.1, 3.1) in
 * test/adapters/contract-*.ts and test/policy/request-policy*.test.ts, parsing of challenges (3) in
 * test/base/challenge.test.ts, origins and transport (5.3) in test/core/origins.test.ts and test/core/security.test.ts.
 *
 * Section 2.3 only advises against a token in the query. RFC 9700 section 4.3.2 forbids it.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type Grant,
  jwtBearerGrant,
  refreshTokenGrant,
  tokenExchangeGrant,
} from "remint";
import { createAuthFetch } from "remint/fetch";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { policyHalf } from "../../src/core/types.ts";

const common = { clientId: "client", clientSecret: "secret" } as const;
const grants: [name: string, make: (tokenEndpoint: string) => Grant][] = [
  ["clientCredentialsGrant", (tokenEndpoint) => clientCredentialsGrant({ ...common, tokenEndpoint })],
  ["refreshTokenGrant", (tokenEndpoint) => refreshTokenGrant({ ...common, tokenEndpoint, refreshToken: "rt" })],
  ["jwtBearerGrant", (tokenEndpoint) => jwtBearerGrant({ ...common, tokenEndpoint, assertion: "a.b.c" })],
  ["tokenExchangeGrant", (tokenEndpoint) => tokenExchangeGrant({ ...common, tokenEndpoint, subjectToken: "s" })],
];

function challenge(error: string): object {
  return { headers: { "www-authenticate": `Bearer error="${error}"` } };
}

function restrictedTo(origins: readonly string[]): Grant {
  return clientCredentialsGrant({ ...common, tokenEndpoint: "https://auth.example", origins });
}

let auth: AuthServer;
let api: Api;
beforeEach(async () => {
  auth = await startAuthServer();
  const issued_token_type = "urn:ietf:params:oauth:token-type:access_token";
  auth.respondAlways(() => ({
    body: { access_token: `at-${auth.mints + 1}`, token_type: "Bearer", issued_token_type },
  }));
  api = await startApi({ accepts: auth });
});
afterEach(() => Promise.all([auth.close(), api.close()]));

describe.each(grants)("%s", (_name, make) => {
  test("sections 2.1 and 2.3: the token is in the Authorization header and not in the URL", async () => {
    const tokens = createTokenCache({ grant: make(auth.tokenEndpoint), origins: [api.origin] });
    await createAuthFetch(tokens)(`${api.origin}/orders?x=1`);
    expect(api.requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ["/orders?x=1", "Bearer at-1"],
    ]);
  });

  test("section 3.1: invalid_token: renewed once; insufficient_scope and invalid_request: not renewed", async () => {
    const tokens = createTokenCache({ grant: make(auth.tokenEndpoint), origins: [api.origin] });
    const authFetch = createAuthFetch(tokens);
    api.respond(
      { status: 401, ...challenge("invalid_token") },
      { status: 200 },
      { status: 401, ...challenge("insufficient_scope") },
      { status: 403, ...challenge("insufficient_scope") },
      { status: 400, ...challenge("invalid_request") },
    );
    const statuses: number[] = [];
    for (let call = 0; call < 4; call++) statuses.push((await authFetch(`${api.origin}/${call}`)).status);
    expect([statuses, auth.requests.length, api.requests.length]).toEqual([[200, 401, 403, 400], 2, 5]);
    expect(tokens.peek()?.value).toBe("at-2");
  });
});

describe("section 3: the Bearer challenge is found among others, in any order and case", () => {
  const scope = 'error="insufficient_scope"';
  const challenges: [renews: boolean, header: string | string[]][] = [
    [false, `Bearer realm="example", ${scope}`],
    [false, `bEaReR ERROR=insufficient_scope`],
    [false, `Basic realm="a", Bearer ${scope}, scope="orders:write"`],
    [false, `Negotiate dG9rZW42OA==, Bearer realm="x",${scope}`],
    [false, ["Basic realm=a", `Bearer ${scope}`]],
    [true, `Basic realm="Bearer ${scope.replaceAll('"', '\\"')}"`],
    [true, `Bearer realm="a, Bearer \\"b\\"", error="invalid_token", error_description="The access token expired"`],
  ];
  test.each(challenges)("renewed: %j, %j", async (renews, header) => {
    const grant = clientCredentialsGrant({ ...common, tokenEndpoint: auth.tokenEndpoint });
    const authFetch = createAuthFetch(createTokenCache({ grant, origins: [api.origin] }));
    api.respond({ status: 401, headers: { "www-authenticate": header } });
    expect((await authFetch(api.origin)).status).toBe(renews ? 200 : 401);
    expect(auth.requests).toHaveLength(renews ? 2 : 1);
  });
});

test("section 5.3: a grant with origins: its token goes to these https origins only; an origin with a path is refused", () => {
  const { rules } = policyHalf(createTokenCache({ grant: restrictedTo(["https://api.example"]) }));
  const urls = [
    "https://api.example/x",
    "http://api.example/x",
    "https://api.example.evil/x",
    "https://auth.example/x",
  ];
  expect(urls.map((url) => rules.allows(url))).toEqual([true, false, false, false]);
  expect(() => createTokenCache({ grant: restrictedTo(["https://api.example/path"]) })).toThrow(/"origins"/);
});
