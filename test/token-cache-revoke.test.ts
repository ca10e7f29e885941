import { describe, expect, test } from "vitest";
import { clientCredentials, createTokenCache, createTokenPool, refreshToken } from "remint";
import { fakeGrant, manualClock, startAuthServer } from "remint/testing";
import type { AccessToken, Grant, TokenCache } from "remint";

const origins = ["https://api.example"];

/** A grant that writes down what it is told to revoke. */
function revocable(members: Partial<Grant> = {}): { grant: Grant; revoked: string[] } {
  const revoked: string[] = [];
  const revoke = async ({ value }: AccessToken): Promise<void> => {
    revoked.push(value);
  };
  return { grant: { ...fakeGrant(), revoke, ...members }, revoked };
}

const refuse = (): Promise<void> => Promise.reject(new Error("no"));
const hang = (): Promise<void> => new Promise(() => {});

describe("RFC 7009: a cache that is closed for good", () => {
  test("revokes its token when told so, and only then", async () => {
    for (const revoke of [true, false]) {
      const { grant, revoked } = revocable();
      const tokens = createTokenCache({ grant, origins });
      const { value } = await tokens.get();
      await tokens.close({ revoke });
      expect(revoked).toEqual(revoke ? [value] : []);
      await tokens.close({ revoke });
      expect(revoked).toHaveLength(revoke ? 1 : 0);
    }
  });

  test("has nothing to revoke when it never had a token", async () => {
    const { grant, revoked } = revocable();
    await createTokenCache({ grant, origins }).close({ revoke: true });
    expect(revoked).toEqual([]);
  });

  test("says so when its grant can not revoke, and stays open", async () => {
    const tokens = createTokenCache({ grant: fakeGrant(), origins });
    await expect(tokens.close({ revoke: true })).rejects.toThrow(/revocationEndpoint/);
    await expect(tokens.get()).resolves.toMatchObject({ value: "fake-1" });
  });

  test("is closed also when the server could not be told", async () => {
    const tokens = createTokenCache({ grant: revocable({ revoke: refuse }).grant, origins });
    await tokens.get();
    await expect(tokens.close({ revoke: true })).rejects.toMatchObject({ code: "ERR_GRANT" });
    await expect(tokens.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });

  test("C10: waits for a server that does not answer no longer than for a mint", async () => {
    const clock = manualClock();
    const tokens = createTokenCache({ grant: revocable({ revoke: hang }).grant, origins, clock, mintTimeout: 1000 });
    await tokens.get();
    const closed = expect(tokens.close({ revoke: true })).rejects.toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    await clock.advance(1000);
    await closed;
  });

  test("tells the revocation endpoint, with the client's credentials", async () => {
    await using auth = await startAuthServer();
    const options = { tokenEndpoint: auth.tokenEndpoint, clientId: "me", clientSecret: "secret" };
    const revocationEndpoint = `${auth.origin}/revoke`;
    const tokens = createTokenCache({ grant: clientCredentials({ ...options, revocationEndpoint }), origins });
    const { value } = await tokens.get();
    auth.respond({ status: 200, body: "" });
    await tokens.close({ revoke: true });
    const request = auth.requests.at(-1)!;
    expect(request.path).toBe("/revoke");
    expect(Object.fromEntries(request.form)).toMatchObject({ token: value, token_type_hint: "access_token" });
    expect(request.headers["authorization"]).toMatch(/^Basic /);
  });

  test("revokes the refresh token of a sign-out through a pool", async () => {
    await using auth = await startAuthServer();
    auth.respond({ body: { access_token: "at", token_type: "Bearer", expires_in: 60, refresh_token: "rt-2" } });
    const create = (user: string): TokenCache =>
      createTokenCache({
        grant: refreshToken({
          tokenEndpoint: auth.tokenEndpoint,
          revocationEndpoint: `${auth.origin}/revoke`,
          clientId: "me",
          clientSecret: "secret",
          refreshToken: `rt-1-of-${user}`,
        }),
        origins,
      });
    const pool = createTokenPool({ create });
    await pool.get("ann").get();
    auth.respondAlways({ status: 200, body: "" });
    expect(await pool.delete("ann", { revoke: true })).toBe(true);
    const told = auth.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
    expect(told).toEqual(["rt-2", "at"]);
    expect(pool.size).toBe(0);
  });
});

test("await using closes a cache", async () => {
  let held: TokenCache;
  {
    await using tokens = createTokenCache({ grant: fakeGrant(), origins });
    held = tokens;
    await held.get();
  }
  await expect(held.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
});
