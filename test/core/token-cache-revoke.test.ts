import { describe, expect, test } from "vitest";
import { definitionOf, grantOf, type GrantTraits } from "../../src/core/grant.ts";
import { clientCredentialsGrant, createTokenCache, createTokenPool, refreshTokenGrant } from "remint";
import { fakeGrant, manualClock, startAuthServer } from "remint/testing";
import type { AccessToken, Grant, TokenCache } from "remint";

const origins = ["https://api.example"];

/** Creates a grant that records which tokens it revokes. */
function revocable(members: GrantTraits = {}): { grant: Grant; revoked: string[] } {
  const revoked: string[] = [];
  const revoke = async (token: AccessToken | undefined): Promise<void> => {
    revoked.push(token?.value ?? "no token");
  };
  return { grant: fakeGrant({ revoke, ...members }), revoked };
}

const refuse = (): Promise<void> => Promise.reject(new Error("no"));
const hang = (): Promise<void> => new Promise(() => {});

describe("RFC 7009: close({ revoke })", () => {
  test("revokes the token once with revoke: true, and not with revoke: false", async () => {
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

  test("revokes nothing when the cache never had a token or a state", async () => {
    const { grant, revoked } = revocable();
    await createTokenCache({ grant, origins }).close({ revoke: true });
    expect(revoked).toEqual([]);
  });

  test("revokes the state that the last mint left, or the first one if nothing was minted, once", async () => {
    const states: unknown[] = [];
    const revoke: GrantTraits["revoke"] = async (token, { state }) => void states.push([token?.value, state]);
    const unused = createTokenCache({ grant: fakeGrant({ revoke, state: "rt-1" }), origins });
    await unused.close({ revoke: true });
    await unused.close({ revoke: true });
    const grant = fakeGrant({ revoke, state: "rt-1" });
    grant.respond({ access_token: "at", state: "rt-2" });
    const used = createTokenCache({ grant, origins });
    await used.get();
    await used.close({ revoke: true });
    expect(states).toEqual([
      [undefined, "rt-1"],
      ["at", "rt-2"],
    ]);
  });

  test("tries a failed revocation again at the next close, until one succeeds", async () => {
    const { grant, revoked } = revocable();
    const { revoke } = definitionOf(grant);
    let isDown = true;
    const tokens = createTokenCache({
      grant: grantOf({
        ...definitionOf(grant),
        revoke: (token, context) => (isDown ? refuse() : revoke!(token, context)),
      }),
      origins,
    });
    const { value } = await tokens.get();
    await expect(tokens.close({ revoke: true })).rejects.toMatchObject({ code: "ERR_GRANT" });
    isDown = false;
    await tokens.close({ revoke: true });
    await tokens.close({ revoke: true });
    expect(revoked).toEqual([value]);
  });

  test("rejects when the grant cannot revoke, and the cache stays open", async () => {
    const tokens = createTokenCache({ grant: fakeGrant(), origins });
    await expect(tokens.close({ revoke: true })).rejects.toThrow(/revocationEndpoint/);
    await expect(tokens.get()).resolves.toMatchObject({ value: "fake-1" });
  });

  test("closes the cache even when the revocation fails", async () => {
    const tokens = createTokenCache({ grant: revocable({ revoke: refuse }).grant, origins });
    await tokens.get();
    await expect(tokens.close({ revoke: true })).rejects.toMatchObject({ code: "ERR_GRANT" });
    await expect(tokens.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });

  test("C10: waits at most mintTimeout for a revocation endpoint that does not answer", async () => {
    const clock = manualClock();
    const tokens = createTokenCache({ grant: revocable({ revoke: hang }).grant, origins, clock, mintTimeout: 1000 });
    await tokens.get();
    const closed = expect(tokens.close({ revoke: true })).rejects.toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    await clock.advance(1000);
    await closed;
  });

  test("sends the token to the revocation endpoint, with the client's credentials", async () => {
    await using auth = await startAuthServer();
    const options = { tokenEndpoint: auth.tokenEndpoint, clientId: "me", clientSecret: "secret" };
    const revocationEndpoint = `${auth.origin}/revoke`;
    const tokens = createTokenCache({ grant: clientCredentialsGrant({ ...options, revocationEndpoint }), origins });
    const { value } = await tokens.get();
    auth.respond({ status: 200, body: "" });
    await tokens.close({ revoke: true });
    const request = auth.requests.at(-1)!;
    expect(request.path).toBe("/revoke");
    expect(Object.fromEntries(request.form)).toMatchObject({ token: value, token_type_hint: "access_token" });
    expect(request.headers["authorization"]).toMatch(/^Basic /);
  });

  test.each([
    ["after requests", true, ["rt-2", "at"]],
    ["before any request", false, ["rt-1-of-ann"]],
  ])("revokes the refresh token when a pool releases its key with revoke: true, %s", async (_when, used, expected) => {
    await using auth = await startAuthServer();
    auth.respond({ body: { access_token: "at", token_type: "Bearer", expires_in: 60, refresh_token: "rt-2" } });
    const create = (user: string): TokenCache =>
      createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: auth.tokenEndpoint,
          revocationEndpoint: `${auth.origin}/revoke`,
          clientId: "me",
          clientSecret: "secret",
          refreshToken: `rt-1-of-${user}`,
        }),
        origins,
      });
    const pool = createTokenPool({ create });
    const signedIn = pool.get("ann");
    if (used) await signedIn.get();
    else auth.respond({ status: 200, body: "" });
    auth.respondAlways({ status: 200, body: "" });
    expect(await pool.release("ann", { revoke: true })).toBe(true);
    const revokedTokens = auth.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
    expect(revokedTokens).toEqual(expected);
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
