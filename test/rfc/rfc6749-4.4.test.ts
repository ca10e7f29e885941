/** RFC 6749 section 4.4: client credentials. */
import { expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { manualClock } from "remint/testing";
import { settle } from "../core/cache-under-test.ts";
import { json, startTokenServer } from "../grants/token-server.ts";

const CLIENT = { clientId: "client", clientSecret: "secret" } as const;

test("section 4.4.2: the body has grant_type and scope, and the client authenticates", async () => {
  const server = await startTokenServer((response) => json(response, 200, { access_token: "a", token_type: "Bearer" }));
  const grant = clientCredentialsGrant({ tokenEndpoint: server.origin, ...CLIENT, scope: "read" });
  await createTokenCache({ grant, origins: "any" }).get();
  const { form, headers, method } = server.first();
  expect(method).toBe("POST");
  expect(Object.fromEntries(form)).toEqual({ grant_type: "client_credentials", scope: "read" });
  expect(headers.authorization).toBe(`Basic ${btoa("client:secret")}`);
});

test("section 4.4.3: a refresh token in the answer is ignored; the next mint is a client credentials request again", async () => {
  const server = await startTokenServer((response) =>
    json(response, 200, { access_token: "a", token_type: "Bearer", expires_in: 60, refresh_token: "rt" }),
  );
  const clock = manualClock();
  const grant = clientCredentialsGrant({ tokenEndpoint: server.origin, ...CLIENT });
  const cache = createTokenCache({ grant, origins: "any", clock });
  await cache.get();
  await settle();
  await clock.advance(60_000);
  await cache.get();
  expect(server.requests.map(({ form }) => String(form))).toEqual(Array(2).fill("grant_type=client_credentials"));
});
