/** RFC 6749 section 6: refreshing an access token; section 10.4: refresh tokens. */
import { expect, test } from "vitest";
import { createTokenCache, refreshTokenGrant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { manualClock, startApi } from "remint/testing";
import { settle } from "../core/cache-under-test.ts";
import { FIRST, startRotatingServer } from "../grants/rotating-server.ts";

const CLIENT = { clientId: "client", clientSecret: "secret" } as const;

// A scope must not exceed the original one. Only the server can check that: it answers invalid_scope.
test("section 6: the request has the refresh token and the scope, and the client authenticates", async () => {
  const { auth } = await startRotatingServer();
  const { tokenEndpoint } = auth;
  const grant = refreshTokenGrant({ tokenEndpoint, ...CLIENT, refreshToken: FIRST, scope: "read" });
  await createTokenCache({ grant, origins: "any" }).get();
  const { form, headers } = auth.requests[0]!;
  expect(Object.fromEntries(form)).toEqual({ grant_type: "refresh_token", refresh_token: FIRST, scope: "read" });
  expect(headers.authorization).toBe(`Basic ${btoa("client:secret")}`);
});

test.each([true, false])(
  "section 6: a new refresh token in the answer (%j) replaces the old one; otherwise the old one is kept",
  async (rotates) => {
    const server = await startRotatingServer(rotates);
    const { tokenEndpoint } = server.auth;
    const clock = manualClock();
    const grant = refreshTokenGrant({ tokenEndpoint, ...CLIENT, refreshToken: FIRST });
    const cache = createTokenCache({ grant, origins: "any", clock });
    for (let mint = 0; mint < 3; mint++) {
      await cache.get();
      await settle();
      await clock.advance(3600_000);
    }
    expect(server.presented).toEqual(rotates ? [FIRST, "rt-1-next", "rt-2-next"] : [FIRST, FIRST, FIRST]);
  },
);

test("section 10.4: the refresh token is sent to the token endpoint only", async () => {
  const { auth } = await startRotatingServer();
  const api = await startApi({ accepts: auth });
  const { tokenEndpoint } = auth;
  const grant = refreshTokenGrant({ tokenEndpoint, ...CLIENT, refreshToken: FIRST, origins: [api.origin] });
  const authFetch = createAuthFetch(createTokenCache({ grant }));
  await authFetch(`${api.origin}/a`);
  auth.revokeAll();
  await authFetch(`${api.origin}/b`, { method: "POST", body: "x" });
  const sent = api.requests.map(({ url, headers, text }) => JSON.stringify([url, headers, text]));
  expect(sent).toHaveLength(3);
  expect(sent.join()).not.toContain("rt-");
  await api.close();
});
