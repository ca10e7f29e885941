/** Whose child the span of a mint is, and what is never exported. */
import { createTokenCache, createTokenPool, refreshTokenGrant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant, manualClock, startApi, startAuthServer } from "remint/testing";
import { expect, test } from "vitest";
import { startTelemetry } from "./exported.ts";

const ORIGINS = ["https://api.example"];
const HOUR = 3_600_000;

/** The spans, without their attributes. */
const names = (spans: readonly string[]): string[] => spans.map((line) => line.replace(/ \{.*/, ""));

test("a mint in the background is a child of the request that began it, which does not wait for it", async () => {
  const telemetry = startTelemetry();
  const clock = manualClock();
  const grant = fakeGrant();
  await using cache = createTokenCache({ grant, origins: ORIGINS, clock, onEvent: telemetry.onEvent });
  await cache.get();
  await clock.advance(HOUR - 30_000);
  const hold = grant.hold();
  for (const name of ["begins", "passes"]) await telemetry.request(name, () => cache.get());
  hold.release();
  await clock.advance(0);
  expect(names(telemetry.spans())).toEqual(["remint.mint", "begins", "  remint.mint", "passes"]);
});

test("a caller without a span begins a mint: the span has no parent, whoever waits for it", async () => {
  const telemetry = startTelemetry();
  await using cache = createTokenCache({ grant: fakeGrant(), origins: ORIGINS, onEvent: telemetry.onEvent });
  const first = cache.get();
  await Promise.all([first, telemetry.request("waits", () => cache.get())]);
  expect(names(telemetry.spans())).toEqual(["remint.mint", "waits"]);
});

test("mints of a pool that wait for their turn are children of their own requests", async () => {
  const auth = await startAuthServer();
  const telemetry = startTelemetry();
  const pool = createTokenPool({
    onEvent: telemetry.onEvent,
    create: (user) =>
      createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: auth.tokenEndpoint,
          clientId: "shop",
          clientAuthentication: "none",
          refreshToken: auth.signIn(user).refresh_token,
          onRotate: () => {},
        }),
        origins: ORIGINS,
      }),
  });
  const release = auth.holdAnswers();
  const users = Array.from({ length: 300 }, (_, user) => `user-${user}`);
  const all = Promise.all(users.map((user) => telemetry.request(user, () => pool.get(user).get())));
  await auth.waitFor(256);
  expect(auth.requests).toHaveLength(256);
  release();
  await all;
  expect(names(telemetry.spans())).toEqual(users.flatMap((user) => [user, "  remint.mint"]));
  await pool.close();
  await auth.close();
});

test("nothing of a user is exported: no key, token, refresh token, query, path or text of a server", async () => {
  const auth = await startAuthServer();
  const api = await startApi({ accepts: auth });
  const telemetry = startTelemetry();
  const issued: string[] = [];
  const pool = createTokenPool({
    onEvent: [telemetry.onEvent, () => {}],
    create: (user) => {
      const { refresh_token } = auth.signIn(user);
      issued.push(refresh_token);
      return createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: auth.tokenEndpoint,
          clientId: "secret-client",
          clientAuthentication: "none",
          refreshToken: refresh_token,
          onRotate: (next) => void issued.push(next),
        }),
        origins: [api.origin],
        mintRetries: 0,
        warnings: false,
      });
    },
  });
  const authFetch = createAuthFetch((_url, init) => pool.get(new Headers(init?.headers).get("x-user")!));
  const get = async (user: string, url: string): Promise<void> => {
    await (await authFetch(url, { headers: { "x-user": user } })).arrayBuffer();
  };
  await get("secret-alice", `${api.origin}/secret-path?secret-query=1`);
  auth.revokeAll();
  await get("secret-alice", `${api.origin}/secret-path?secret-query=2`);
  auth.respond({ status: 400, body: { error: "secret_error", error_description: "secret-text" } });
  await expect(get("secret-bob", `${api.origin}/secret-path`)).rejects.toThrow();
  auth.respond({ status: 200, body: { access_token: "secret-token", token_type: "mac" } });
  await expect(get("secret-carol", `${api.origin}/secret-path`)).rejects.toThrow();
  await get("secret-dave", `http://localhost:${new URL(api.origin).port}/secret-path?secret-query=3`);
  await pool.signOut("secret-alice", { revoke: false });
  const exported = await telemetry.all();
  expect(exported).toContain("_OTHER");
  expect(exported).toContain("origin-not-allowed");
  for (const secret of ["secret", ...issued, ...auth.issued]) expect(exported).not.toContain(secret);
  await pool.close();
  await api.close();
  await auth.close();
});
