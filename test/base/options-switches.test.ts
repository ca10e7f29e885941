/**
 * `allowHttp` of all functions that take it: any other type than boolean is a mistake, most often an unparsed
 * environment variable.
 */
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

/**
 * The functions that take `allowHttp`. The test gives each of them several URLs, https too, to show that the URL makes
 * no difference.
 */
const takers: [name: string, build: (url: string, allowHttp: boolean) => unknown][] = [
  ["createTokenCache", (url, allowHttp) => createTokenCache({ grant: fakeGrant(), origins: [url], allowHttp })],
  [
    "clientCredentialsGrant",
    (tokenEndpoint, allowHttp) => clientCredentialsGrant({ ...client, tokenEndpoint, allowHttp }),
  ],
  [
    "clientCredentialsGrant with an issuer",
    (issuer, allowHttp) => clientCredentialsGrant({ ...client, issuer, allowHttp }),
  ],
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
  ])("allowHttp: %j is a TypeError that names the option", (allowHttp, kind) => {
    for (const url of ["https://host.example", "http://host.example", "http://127.0.0.1"]) {
      const wrong = (): unknown => build(url, allowHttp as never);
      expect(wrong).toThrow(TypeError);
      expect(wrong).toThrow(`"allowHttp" must be true or false, got ${kind}`);
    }
  });

  test("allowHttp: true and undefined are accepted", () => {
    expect(() => build("https://host.example", undefined as never)).not.toThrow();
    expect(() => build("http://host.example", true)).not.toThrow();
  });
});
