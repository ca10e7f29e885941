/** Everything that this package hands out, printed in every way, after refusals and successes: no secret is in it. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  customGrant,
  genericGrant,
  type Grant,
  jwtBearerGrant,
  privateKeyJwt,
  refreshTokenGrant,
  tokenExchangeGrant,
} from "remint";
import { dpop } from "remint/dpop";
import { json, startTokenServer } from "../grants/token-server.ts";

const SECRET = "hush-hush-client-secret";
const REFRESH = "hush-hush-refresh-token";
const NEXT = "hush-hush-next-refresh-token";
const SUBJECT = "hush-hush-subject-token";
const ACCESS = "hush-hush-access-token";

/** The texts that an object prints as, and those of its members, whatever their names are. */
function printed(value: unknown): string {
  const members = Object(value) as Record<string | symbol, unknown>;
  const texts = [
    inspect(value, { customInspect: false, showHidden: true, depth: 12 }),
    inspect(value, { showHidden: true, depth: 12 }),
    JSON.stringify(value),
    // oxlint-disable-next-line typescript/no-base-to-string -- how it prints is what is asked
    "toString" in Object(value) ? String(value) : "",
    value instanceof Error ? `${value.stack}` : "",
    ...Reflect.ownKeys(members).map((name) =>
      inspect(members[name], { customInspect: false, showHidden: true, depth: 12 }),
    ),
    ...Object.values(members).map((member) => inspect(member, { customInspect: false, showHidden: true, depth: 12 })),
  ];
  return texts.join("\n");
}

const client = { clientId: "portal", clientSecret: SECRET } as const;
const grants: [name: string, build: (tokenEndpoint: string) => Grant][] = [
  ["clientCredentialsGrant", (tokenEndpoint) => clientCredentialsGrant({ tokenEndpoint, ...client })],
  ["refreshTokenGrant", (tokenEndpoint) => refreshTokenGrant({ tokenEndpoint, ...client, refreshToken: REFRESH })],
  ["jwtBearerGrant", (tokenEndpoint) => jwtBearerGrant({ tokenEndpoint, ...client, assertion: SUBJECT })],
  [
    "tokenExchangeGrant",
    (tokenEndpoint) => tokenExchangeGrant({ tokenEndpoint, ...client, subjectToken: SUBJECT, actorToken: REFRESH }),
  ],
  [
    "genericGrant",
    (tokenEndpoint) =>
      genericGrant({
        tokenEndpoint,
        ...client,
        grantType: "password",
        parameters: { username: "al", password: SUBJECT },
      }),
  ],
  [
    "customGrant",
    () => customGrant({ state: REFRESH, onState: () => undefined, mint: () => ({ access_token: ACCESS }) }),
  ],
];

test.each(grants)(
  "S5: %s, its tokens, events and errors, and those of its cache, hold no secret that is printed",
  async (_name, build) => {
    let isRefused = true;
    const server = await startTokenServer((response, { form, headers }) => {
      const said = `${String(form)} ${headers.authorization} ${SECRET} ${REFRESH} ${SUBJECT}`;
      if (isRefused) json(response, 400, { error: `x ${SECRET}`, error_description: said, detail: said });
      else {
        json(response, 200, {
          access_token: ACCESS,
          token_type: "Bearer",
          refresh_token: NEXT,
          issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
          authed_user: { access_token: `${ACCESS}-2`, id: "U1" },
        });
      }
    });
    const grant = build(server.origin);
    const events: unknown[] = [];
    const cache = createTokenCache({
      grant,
      origins: ["https://api.example"],
      mintRetries: 0,
      onEvent: (event) => void events.push(event),
    });
    const error: unknown = await cache.get().catch((reason: unknown) => reason);
    isRefused = false;
    const other = createTokenCache({
      grant: build(server.origin),
      origins: ["https://api.example"],
      onEvent: (event) => void events.push(event),
    });
    const token = await other.get();
    for (const value of [grant, cache, error, token, token.response, other, ...events]) {
      expect(printed(value)).not.toMatch(/hush-hush|hush%2Dhush/);
      for (const secret of [SECRET, REFRESH, SUBJECT]) expect(printed(value)).not.toContain(btoa(`portal:${secret}`));
    }
    expect(events.length).toBeGreaterThan(0);
  },
);

test("S5: keys and ways to authenticate: no part of a key is printed", () => {
  const jwk = { kty: "RSA", n: "public-part", e: "AQAB", d: "hush-hush-private", p: "hush-hush-p" };
  const method = privateKeyJwt({ key: jwk });
  for (const value of [method, dpop(), dpop({ privateKey: { ...jwk, kty: "RSA" } })]) {
    expect(printed(value)).not.toContain("hush-hush");
  }
});
