/** RFC 6749 sections 10.3 and 10.6: credentials stay confidential. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type Grant,
  jwtBearerGrant,
  refreshTokenGrant,
  type RemintEvent,
  tokenExchangeGrant,
} from "remint";
import { startAuthServer } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";

const SECRETS = ["hush-client", "hush-refresh", "hush.asser.tion", "hush-subject", "hush-actor", "hush-token"];

function grants(tokenEndpoint: string): Grant[] {
  const common = { tokenEndpoint, clientId: "client", clientSecret: "hush-client" };
  return [
    clientCredentialsGrant(common),
    refreshTokenGrant({ ...common, refreshToken: "hush-refresh" }),
    jwtBearerGrant({ ...common, assertion: "hush.asser.tion" }),
    tokenExchangeGrant({ ...common, subjectToken: "hush-subject", actorToken: "hush-actor" }),
  ];
}

test("sections 10.3 and 10.6: printed grants, caches, tokens, events and errors show no token and no secret", async () => {
  const auth = await startAuthServer();
  const seen: unknown[] = [];
  const onEvent = (event: RemintEvent): void => void seen.push(event);
  for (const grant of grants(auth.tokenEndpoint)) {
    const issued_token_type = "urn:ietf:params:oauth:token-type:access_token";
    auth.respond({ body: { access_token: "hush-token", token_type: "Bearer", issued_token_type } });
    // The server repeats everything it received.
    auth.respond(({ body, headers }) => {
      const echo = `${new URLSearchParams(body).toString()} ${headers.authorization}`;
      return {
        status: 400,
        body: { error: "invalid_request", error_description: `${echo} ${decodeURIComponent(body)}` },
      };
    });
    const cache = createTokenCache({ grant, origins: "any", onEvent });
    const token = await cache.get();
    await cache.invalidate(token.value);
    seen.push(grant, { ...grant }, cache, token, await rejectionOf(cache.get()));
  }
  const printed = seen.map((value) => [
    inspect(value, { depth: 10, showHidden: true, getters: true }),
    JSON.stringify(value),
    String((value as { message?: unknown }).message),
  ]);
  for (const secret of SECRETS) expect(printed.flat().join("\n")).not.toContain(secret);
  expect(seen.length).toBeGreaterThan(20);
  await auth.close();
});
