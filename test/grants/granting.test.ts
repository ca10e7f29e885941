/** Refresh tokens that rotate, JWT bearer and token exchange against a certified authorization server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createTokenCache,
  jwtBearerGrant,
  refreshTokenGrant,
  type RefreshTokenGrantOptions,
  tokenExchangeGrant,
} from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { CLIENT, type GrantingServer, startGrantingServer } from "./granting-server.ts";

let server: GrantingServer;
beforeAll(async () => {
  server = await startGrantingServer();
});
afterAll(async () => {
  await server.close();
  expect(server.errors).toEqual([]);
});

function endpoint(): { tokenEndpoint: string } & typeof CLIENT {
  return { tokenEndpoint: server.tokenEndpoint, ...CLIENT };
}

/** Signs a user in. `saved` is the database of refresh tokens, and `start` starts a process that works with it. */
async function session(): Promise<{
  readonly saved: string[];
  readonly start: (more?: Partial<RefreshTokenGrantOptions>) => ReturnType<typeof createTokenCache>;
  readonly presented: () => readonly string[];
}> {
  const saved = [await server.signIn("alice")];
  const before = server.presented.length;
  const onRotate = (token: string): void => void saved.push(token);
  return {
    saved,
    start(more = {}) {
      const options = { ...endpoint(), refreshToken: () => saved.at(-1) };
      return createTokenCache({
        grant: refreshTokenGrant({ ...options, onRotate, origins: "any", ...more }),
        mintRetries: 0,
      });
    },
    presented: () => server.presented.slice(before),
  };
}

describe("refresh tokens that rotate, with reuse detection", () => {
  test("100 concurrent callers, five times: each refresh token is used once and the family stays valid", async () => {
    const { start, saved, presented } = await session();
    const cache = start();
    for (let round = 0; round < 5; round++) {
      const tokens = await Promise.all(Array.from({ length: 100 }, () => cache.get()));
      expect(new Set(tokens).size).toBe(1);
      expect(await server.isActive(tokens[0]!.value)).toBe(true);
      await cache.invalidate(tokens[0]!.value);
    }
    expect(presented()).toEqual(saved.slice(0, 5));
    expect(new Set(presented()).size).toBe(5);
    expect(await server.isActive(saved.at(-1)!)).toBe(true);
  });

  test("Q5: a token is revoked while 100 requests are in flight: one refresh token is used", async () => {
    const { start, presented } = await session();
    // The API rejects the token itself: if this server revokes an access token, it ends the refresh token too.
    let revoked: string | undefined;
    const isGood = async (token = ""): Promise<boolean> => token !== revoked && server.isActive(token);
    const api = await startApi({ accepts: () => true });
    api.respondAlways(async ({ token }) => ((await isGood(token)) ? undefined : { status: 401 }));
    const cache = start({ origins: [api.origin] });
    const authFetch = createAuthFetch(cache);
    const { value } = await cache.get();
    const release = api.holdAnswers();
    const answers = Promise.all(Array.from({ length: 100 }, (_, i) => authFetch(`${api.origin}/${i}`)));
    await api.waitFor(100);
    revoked = value;
    release();
    expect(new Set((await answers).map(({ status }) => status))).toEqual(new Set([200]));
    expect([presented().length, api.requests.length]).toEqual([2, 200]);
    await api.close();
  });

  test("RFC 7009: signing out during a refresh: all tokens of the session are inactive", async () => {
    const { saved } = await session();
    const issued: string[] = [];
    let reached!: () => void;
    const answered = new Promise<void>((resolve) => (reached = resolve));
    // The server has answered, and the grant does not have the answer yet.
    const slow: RefreshTokenGrantOptions["fetch"] = async (url, init) => {
      const response = await fetch(url, init);
      if (!url.endsWith("/token")) return response;
      const answer = (await response.clone().json()) as { access_token: string; refresh_token: string };
      issued.push(answer.access_token, answer.refresh_token);
      reached();
      await new Promise<void>((resolve) => void setImmediate(resolve));
      return response;
    };
    const revocationEndpoint = `${server.tokenEndpoint}/revocation`;
    const options = { ...endpoint(), revocationEndpoint, refreshToken: saved[0]!, fetch: slow };
    const cache = createTokenCache({ grant: refreshTokenGrant({ ...options, origins: "any" }), mintRetries: 0 });
    const minted = rejectionOf(cache.get());
    await answered;
    await cache.signOut();
    expect(await minted).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect(issued).toHaveLength(2);
    const active = await Promise.all([...issued, saved[0]!].map((token) => server.isActive(token)));
    expect(active).toEqual([false, false, false]);
  });

  test("onRotate fails: the token is served; the next mint saves it first, and no refresh token is used twice", async () => {
    const { start, saved, presented } = await session();
    let isDown = true;
    const onRotate = (token: string): void => {
      if (isDown) throw new Error("database is down");
      saved.push(token);
    };
    const cache = start({ onRotate });
    const first = await cache.get();
    expect(await server.isActive(first.value)).toBe(true);
    expect(saved).toHaveLength(1);
    // The function would return the used one: the one in memory is presented.
    await cache.invalidate(first.value);
    const second = await cache.get();
    expect(await server.isActive(second.value)).toBe(true);
    isDown = false;
    expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
    expect(saved).toHaveLength(2);
    expect(await server.isActive((await start().get()).value)).toBe(true);
    expect(presented()).toHaveLength(3);
    expect(new Set(presented()).size).toBe(3);
  });

  test("a crash between the answer and onRotate: one terminal refusal, and no more requests", async () => {
    const { start, presented } = await session();
    // A crash leaves a refresh token that is used up, and the next one is lost.
    const lost = await start({ onRotate: () => undefined }).get();
    const restarted = start();
    const error = await rejectionOf(restarted.get());
    expect(error).toMatchObject({ error: "invalid_grant", terminal: true });
    const again = await rejectionOf(restarted.get());
    expect(again).toEqual(error);
    expect(again).not.toBe(error);
    expect(presented()).toHaveLength(2);
    // Reuse detection has ended the family, and the access token with it.
    expect(await server.isActive(lost.value)).toBe(false);
  });

  test("revoke: the server reports the access token as inactive and refuses the refresh token", async () => {
    const { saved } = await session();
    const revocationEndpoint = `${server.tokenEndpoint}/revocation`;
    const onRotate = (token: string): void => void saved.push(token);
    const options = { ...endpoint(), revocationEndpoint, onRotate, origins: "any" } as const;
    const cache = createTokenCache({ grant: refreshTokenGrant({ ...options, refreshToken: saved[0]! }) });
    const token = await cache.get();
    expect(server.presented.at(-1)).toBe(saved[0]);
    await cache.signOut();
    expect(await server.isActive(token.value)).toBe(false);
    const again = createTokenCache({ grant: refreshTokenGrant({ ...options, refreshToken: saved[1]! }) });
    expect(await rejectionOf(again.get())).toMatchObject({ error: "invalid_grant", terminal: true });
  });

  test("C14: another process has rotated: the function returns its refresh token, and it alone is presented", async () => {
    const { start, saved, presented } = await session();
    const [one, other] = [start(), start()];
    for (const cache of [one, other, one, other]) {
      const { value } = await cache.get();
      expect(await server.isActive(value)).toBe(true);
      await cache.invalidate(value);
    }
    expect(presented()).toEqual(saved.slice(0, 4));
  });
});

describe("JWT bearer, as a registered grant", () => {
  test("each mint sends its own assertion; the server accepts an assertion once (RFC 7523 section 3)", async () => {
    const assertion = { key: server.assertionKey, issuer: "portal", subject: "alice", audience: server.issuer };
    const cache = createTokenCache({
      grant: jwtBearerGrant({ ...endpoint(), assertion }),
      origins: "any",
      mintRetries: 0,
    });
    for (let mint = 0; mint < 3; mint++) {
      const { value } = await cache.get();
      expect(await server.isActive(value)).toBe(true);
      await cache.invalidate(value);
    }
    const used = String(server.asked.at(-1)!["assertion"]);
    const again = createTokenCache({
      grant: jwtBearerGrant({ ...endpoint(), assertion: used }),
      origins: "any",
      mintRetries: 0,
    });
    expect(await rejectionOf(again.get())).toMatchObject({ error: "invalid_grant", terminal: false });
  });
});

describe("token exchange, as a registered grant", () => {
  test("several resources and audiences arrive in the given order (RFC 8693 section 2.1)", async () => {
    const grant = tokenExchangeGrant({
      ...endpoint(),
      subjectToken: "subject",
      resource: ["https://a.example/", "https://b.example/"],
      audience: ["billing", "stock"],
    });
    const { value } = await createTokenCache({ grant, origins: "any", mintRetries: 0 }).get();
    expect(await server.isActive(value)).toBe(true);
    expect(server.asked.at(-1)).toMatchObject({
      subject_token: "subject",
      resource: ["https://a.example/", "https://b.example/"],
      audience: ["billing", "stock"],
    });
  });
});
