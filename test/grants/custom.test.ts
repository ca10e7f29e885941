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

describe("the shapes a mint may return", () => {
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

  test("a bare string, or an end nobody knows: kept for the default time", async () => {
    expect(await minted("t")).toMatchObject({ value: "t", left: HOUR / 2 });
    expect(await minted({ accessToken: "t", expiresOn: null })).toMatchObject({ value: "t", left: HOUR / 2 });
  });

  test("what else is there stays with the token, but for methods", async () => {
    const clock = manualClock();
    const response = { access_token: "t", token_type: "bearer", tenant: "t1", expiresIn: () => 3600, claims: () => {} };
    const grant = customGrant({ mint: () => response, origins: ORIGINS });
    expect((await createTokenCache({ grant, clock }).get()).response).toEqual({ token_type: "bearer", tenant: "t1" });
  });

  test("S4, RFC 6749 section 7.1: its token type and its characters are checked as any other's", async () => {
    await expect(minted({ token: "t", expiresOnTimestamp: at, tokenType: "pop" })).rejects.toThrow(/"token_type"/);
    await expect(minted({ token: "a b", expiresOnTimestamp: at })).rejects.toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
    });
  });

  test.each([null, undefined, {}, { token: undefined }])("%j is no token, and says so", async (token) => {
    await expect(minted(token as CustomToken)).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
  });
});

describe("the grant", () => {
  test("has the members it was given: origins, headers, rules, state", async () => {
    const api = await startApi({ accepts: (token) => token !== "t-1" });
    const states: unknown[] = [];
    const grant = customGrant<number>({
      key: "vault",
      state: 1,
      origins: [api.origin],
      headers: ({ response }) => ({ "x-tenant": String(response["tenant"]) }),
      inspectStatuses: [401],
      mint: async ({ state = 0 }): Promise<CustomToken & { state: number }> => {
        states.push(state);
        return { access_token: `t-${state}`, tenant: "acme", state: state + 1 };
      },
    });
    expect(grant).toMatchObject({ key: "vault", inspectStatuses: [401] });
    const response = await createAuthFetch(createTokenCache({ grant }))(api.origin);
    expect([response.status, states]).toEqual([200, [1, 2]]);
    expect(api.requests.map(({ headers }) => headers["x-tenant"])).toEqual(["acme", "acme"]);
    await api.close();
  });

  test("S5: prints neither its state nor what is in it", () => {
    const grant = customGrant({ state: "rt-secret", mint: () => "t" });
    expect(inspect(grant, { depth: 10, showHidden: true, getters: true }) + JSON.stringify(grant)).not.toContain("rt-");
  });

  test("what the mint throws becomes an error of ours, without the configs of HTTP clients", async () => {
    const foreign = Object.assign(new Error("no"), { status: 503, config: { auth: "hush" } });
    const grant = customGrant({ mint: () => Promise.reject(foreign), origins: ORIGINS });
    const error = await rejectionOf(createTokenCache({ grant, mintRetries: 0 }).get());
    expect(error).toMatchObject({ code: "ERR_GRANT", retryable: true });
    expect(inspect(error, { depth: 10 })).not.toContain("hush");
  });

  test.each([
    ["no options", undefined, /"customGrant options" must be an object, got undefined/],
    ["no mint", {}, /"mint" must be a function/],
    ["a mint that is none", { mint: "x" }, /"mint" must be a function, got a string/],
    ["headers", { mint: aToken, headers: {} }, /"headers" must be a function/],
    ["isRejected", { mint: aToken, isRejected: true }, /"isRejected" must be a function/],
    ["key", { mint: aToken, key: "" }, /"key" must be a non-empty string/],
    ["defaultTtl", { mint: aToken, defaultTtl: -1 }, /"defaultTtl" must be a non-negative number/],
  ])("%s: a TypeError that names the option", (_name, options, message) => {
    expect(() => customGrant(options as CustomGrantOptions)).toThrow(TypeError);
    expect(() => customGrant(options as CustomGrantOptions)).toThrow(message);
  });
});
