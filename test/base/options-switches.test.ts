/** `allowHttp` wherever it is taken: what is no boolean is a mistake, most often an environment variable as it came. */
import { describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  jwtBearerGrant,
  refreshTokenGrant,
  tokenExchangeGrant,
} from "remint";
import { chalkGrant } from "remint/chalk";
import { salesforceClientCredentialsGrant } from "remint/salesforce";
import { fakeGrant } from "remint/testing";

const client = { clientId: "client", clientSecret: "secret" } as const;

/** By the URL the grant is given, which makes no difference: a wrong switch is wrong for https too. */
const takers: [name: string, build: (url: string, allowHttp: boolean) => unknown][] = [
  ["createTokenCache", (url, allowHttp) => createTokenCache({ grant: fakeGrant(), origins: [url], allowHttp })],
  [
    "clientCredentialsGrant",
    (tokenEndpoint, allowHttp) => clientCredentialsGrant({ ...client, tokenEndpoint, allowHttp }),
  ],
  ["clientCredentials, issuer", (issuer, allowHttp) => clientCredentialsGrant({ ...client, issuer, allowHttp })],
  [
    "refreshTokenGrant",
    (tokenEndpoint, allowHttp) => refreshTokenGrant({ ...client, tokenEndpoint, allowHttp, refreshToken: "rt" }),
  ],
  [
    "jwtBearerGrant",
    (tokenEndpoint, allowHttp) => jwtBearerGrant({ ...client, tokenEndpoint, allowHttp, assertion: "a.b.c" }),
  ],
  [
    "tokenExchangeGrant",
    (tokenEndpoint, allowHttp) => tokenExchangeGrant({ ...client, tokenEndpoint, allowHttp, subjectToken: "s" }),
  ],
  ["chalkGrant", (apiServer, allowHttp) => chalkGrant({ ...client, apiServer, allowHttp })],
  [
    "salesforceClientCredentialsGrant",
    (url, allowHttp) => salesforceClientCredentialsGrant({ ...client, loginUrl: url, instanceUrl: url, allowHttp }),
  ],
];

describe.each(takers)("S1: %s", (_name, build) => {
  test.each([
    ["true", "a string"],
    ["false", "a string"],
    ["", "an empty string"],
    [1, "a number"],
    [0, "a number"],
    [null, "null"],
  ])("allowHttp: %j is a TypeError that names it", (allowHttp, kind) => {
    for (const url of ["https://host.example", "http://host.example", "http://127.0.0.1"]) {
      const wrong = (): unknown => build(url, allowHttp as never);
      expect(wrong).toThrow(TypeError);
      expect(wrong).toThrow(`"allowHttp" must be true or false, got ${kind}`);
    }
  });

  test("allowHttp: true and undefined are fine", () => {
    expect(() => build("https://host.example", undefined as never)).not.toThrow();
    expect(() => build("http://host.example", true)).not.toThrow();
  });
});
