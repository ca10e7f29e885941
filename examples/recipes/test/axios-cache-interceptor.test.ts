import { AsyncLocalStorage } from "node:async_hooks";
import axios from "axios";
import { setupCache } from "axios-cache-interceptor";
import { createTokenCache, createTokenPool, customGrant, type TokenPool } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createClient } from "../axios-cache-interceptor.ts";
import { carriesTokens, rejectionOf, startStage } from "./stage.ts";

/** An API that says whose token it got, and that the answer depends on the `Authorization` header. */
async function startUsers(): Promise<{ auth: AuthServer; api: Api; pool: TokenPool }> {
  const auth = await startAuthServer();
  const api = await startApi({ accepts: auth });
  api.respondAlways(({ token }) =>
    token === undefined || !auth.isLive(token)
      ? undefined
      : {
          headers: { vary: "Authorization", "cache-control": "max-age=60" },
          body: { user: auth.tokenInfo(token)?.subject },
        },
  );
  const create = (user: string) =>
    createTokenCache({ grant: customGrant({ mint: async () => auth.signIn(user) }), origins: [api.origin] });
  const pool = createTokenPool({ create });
  onTestFinished(async () => {
    await Promise.all([auth.close(), api.close(), pool.close()]);
  });
  return { auth, api, pool };
}

describe("axios-cache-interceptor", () => {
  carriesTokens(({ tokens, api }) => {
    const client = createClient(createTokenPool({ create: () => tokens }), () => "alice", api.origin);
    return (number) => client.get(`/orders/${number}`);
  });

  test("two users get an answer of their own, whether they ask one after the other or at once", async () => {
    const { api, pool } = await startUsers();
    const session = new AsyncLocalStorage<string>();
    const client = createClient(pool, () => session.getStore()!, api.origin);
    const as = (user: string) =>
      session.run(user, async () => {
        const { data, cached } = await client.get<{ user: string }>("/me");
        return [data.user, cached];
      });
    expect(await Promise.all([as("alice"), as("bob")])).toEqual([
      ["alice", false],
      ["bob", false],
    ]);
    expect([await as("alice"), await as("bob")]).toEqual([
      ["alice", true],
      ["bob", true],
    ]);
    expect(api.requests).toHaveLength(2);
  });

  test("without a key of their own, one user gets the answer of another although the API says `Vary: Authorization`", async () => {
    const { api, pool } = await startUsers();
    let user = "alice";
    const usual = setupCache(axios.create({ baseURL: api.origin }));
    usual.interceptors.request.use(createAuthInterceptor(() => pool.get(user)));
    await usual.get("/me");
    user = "bob";
    expect((await usual.get("/me")).data).toEqual({ user: "alice" });
  });

  test("an answer from the cache needs no token", async () => {
    const { auth, api, pool } = await startUsers();
    const client = createClient(pool, () => "alice", api.origin);
    await client.get("/me");
    auth.revokeAll();
    expect(await client.get("/me")).toMatchObject({ cached: true, data: { user: "alice" } });
    expect(auth.mints).toBe(1);
  });

  test("after a sign-out the cached answer is served under the same key, and not under that of the next sign-in", async () => {
    const { api, pool } = await startUsers();
    let session = "alice";
    const client = createClient(pool, () => session, api.origin);
    await client.get("/me");
    await pool.signOut("alice");
    expect(await client.get("/me")).toMatchObject({ cached: true });
    session = "bob";
    expect(await client.get("/me")).toMatchObject({ cached: false, data: { user: "bob" } });
  });

  test("when no token can be had, everybody who waits for the same answer gets the error, and the next call is sent", async () => {
    const { auth, api, tokens } = await startStage({ mintRetries: 0 });
    const client = createClient(createTokenPool({ create: () => tokens }), () => "alice", api.origin);
    auth.respond({ status: 401, body: { error: "invalid_client" } });
    const calls = await Promise.all([1, 2, 3].map(() => rejectionOf(client.get("/me"))));
    expect(calls).toEqual(calls.map(() => expect.objectContaining({ code: "ERR_TOKEN_ENDPOINT", isAxiosError: true })));
    await vi.waitFor(async () => expect(await client.get("/me")).toMatchObject({ status: 200 }), { timeout: 20_000 });
  });
});
