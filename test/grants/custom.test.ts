/** `customGrant`: which results of a mint are tokens, and what the grant passes on. */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { createTokenCache, customGrant, type CustomGrantOptions, type CustomToken } from "remint";
import { createAuthFetch } from "remint/fetch";
import { manualClock, startApi } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";

const ORIGINS = ["https://api.example"];
const HOUR = 3600_000;
const aToken = (): string => "t";

async function minted(token: CustomToken | null | undefined): Promise<{ value: string; left: number; scope: unknown }> {
  const clock = manualClock();
  const grant = customGrant({ mint: async () => token, origins: ORIGINS });
  const { value, expiresAt, scope } = await createTokenCache({ grant, clock }).get();
  return { value, left: expiresAt - clock.now(), scope };
}

describe("the results a mint may return", () => {
  const at = manualClock().now() + HOUR;
  const shapes: [name: string, token: CustomToken][] = [
    ["a token response", { access_token: "t", expires_in: 3600 }],
    ["@azure/identity's AccessToken", { token: "t", expiresOnTimestamp: at }],
    ["a Date", { accessToken: "t", expiresAt: new Date(at) }],
    ["epoch milliseconds", { accessToken: "t", expiresAt: at }],
    ["epoch seconds", { accessToken: "t", expiresAt: at / 1000 }],
    ["ISO 8601", { accessToken: "t", expiresAt: new Date(at).toISOString() }],
    ["MSAL's AuthenticationResult", { accessToken: "t", expiresOn: new Date(at) }],
  ];
  test.each(shapes)("%s", async (_name, token) => {
    expect(await minted(token)).toMatchObject({ value: "t", left: HOUR });
  });

  test("a bare string, or a null expiry: kept for the default time", async () => {
    expect(await minted("t")).toMatchObject({ value: "t", left: HOUR / 2 });
    expect(await minted({ accessToken: "t", expiresOn: null })).toMatchObject({ value: "t", left: HOUR / 2 });
  });

  test("other members are kept in the token's response, methods are not", async () => {
    const clock = manualClock();
    const response = { access_token: "t", token_type: "bearer", tenant: "t1", expiresIn: () => 3600, claims: () => {} };
    const grant = customGrant({ mint: () => response, origins: ORIGINS });
    expect((await createTokenCache({ grant, clock }).get()).response).toEqual({ token_type: "bearer", tenant: "t1" });
  });

  test("S4: an unknown token type or a token with a space is refused (RFC 6749 section 7.1)", async () => {
    await expect(minted({ token: "t", expiresOnTimestamp: at, tokenType: "pop" })).rejects.toThrow(/"token_type"/);
    await expect(minted({ token: "a b", expiresOnTimestamp: at })).rejects.toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
    });
  });

  test.each([{}, { token: undefined }, 7, true])("%j is refused: it holds no token", async (token) => {
    await expect(minted(token as CustomToken)).rejects.toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
      retryable: false,
      terminal: false,
    });
  });

  test.each([null, undefined])(
    "C9: %s means that nobody is signed in: 401, and no token is expected",
    async (token) => {
      const failure = { code: "ERR_NO_SESSION", status: 401, terminal: true, retryable: false };
      await expect(minted(token)).rejects.toMatchObject(failure);
    },
  );
});

describe("the grant", () => {
  test("key, state, origins, headers and inspectStatuses are given: the cache uses them", async () => {
    const api = await startApi({ accepts: (token) => token !== "t-1" });
    const states: unknown[] = [];
    const grant = customGrant<number>({
      key: "vault",
      state: 1,
      origins: [api.origin],
      headers: ({ response }) => ({ "x-tenant": String(response["tenant"]) }),
      inspectStatuses: [401],
      mint: async ({ state = 0 }) => {
        states.push(state);
        const members = { tenant: "acme", state: state + 1 };
        return { access_token: `t-${state}`, ...members };
      },
    });
    expect(grant).toMatchObject({ key: "vault", inspectStatuses: [401] });
    const response = await createAuthFetch(createTokenCache({ grant }))(api.origin);
    expect([response.status, states]).toEqual([200, [1, 2]]);
    expect(api.requests.map(({ headers }) => headers["x-tenant"])).toEqual(["acme", "acme"]);
    await api.close();
  });

  test("S5: printing the grant does not show its state", () => {
    const grant = customGrant({ state: "rt-secret", mint: () => "t" });
    expect(inspect(grant, { depth: 10, showHidden: true, getters: true }) + JSON.stringify(grant)).not.toContain("rt-");
  });

  test("a mint that throws an HTTP client's error: an ERR_GRANT with that very error as its cause, and no other trace of it", async () => {
    const foreign = Object.assign(new Error("no"), { status: 503, config: { auth: "hush" } });
    const grant = customGrant({ mint: () => Promise.reject(foreign), origins: ORIGINS });
    const error = await rejectionOf(createTokenCache({ grant, mintRetries: 0 }).get());
    expect(error).toMatchObject({ code: "ERR_GRANT", retryable: true });
    const { cause, ...rest } = Object.getOwnPropertyDescriptors(error as object) as Record<string, { value: unknown }>;
    expect(cause?.value).toBe(foreign);
    expect(inspect(rest, { depth: 10 }) + JSON.stringify(error)).not.toContain("hush");
  });

  test.each([
    ["no options", undefined, /^customGrant takes options such as \{ mint \}, got undefined/],
    ["no mint", {}, /"mint" must be a function/],
    ["a mint that is a string", { mint: "x" }, /"mint" must be a function, got a string/],
    ["headers that are an object", { mint: aToken, headers: {} }, /"headers" must be a function/],
    ["an isRejected that is a boolean", { mint: aToken, isRejected: true }, /"isRejected" must be a function/],
    ["an empty key", { mint: aToken, key: "" }, /"key" must be a non-empty string/],
    ["a negative defaultTtl", { mint: aToken, defaultTtl: -1 }, /"defaultTtl" must be a non-negative number/],
    ["an onState that is a string", { mint: aToken, onState: "x" }, /"onState" must be a function, got a string/],
    ["a negative mintRetries", { mint: aToken, mintRetries: -1 }, /"mintRetries" must be/],
  ])("%s: a TypeError that names the option", (_name, options, message) => {
    expect(() => customGrant(options as CustomGrantOptions)).toThrow(TypeError);
    expect(() => customGrant(options as CustomGrantOptions)).toThrow(message);
  });
});
