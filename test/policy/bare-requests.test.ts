/** Requests that go out without a token by mistake: they are told once, with what to do. */
import { afterEach, beforeEach, describe, expect, test, vi, type MockInstance } from "vitest";
import { createTokenCache, createTokenPool, type TokenCacheOptions } from "../../src/index.ts";
import { sendSkipped, withToken } from "../../src/policy/request-policy.ts";
import { policyHalf } from "../../src/core/types.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { client, unauthorized, type Client, type Server } from "./hand-made-client.ts";

let warn: MockInstance<typeof process.emitWarning>;
beforeEach(() => {
  warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
});
afterEach(() => warn.mockRestore());
const warnings = (): string[] => warn.mock.calls.map(([text]) => String(text));

const origins = ["https://api.example:8443", "http://localhost:3000"];
const cacheFor = (options: Partial<TokenCacheOptions> = {}) =>
  createTokenCache({ grant: fakeGrant(), origins, ...options });
/** A client whose caller set an `Authorization` header. */
const authorized = (server: Server): Client => client(server, { isAuthorized: () => true });

const MISTAKES: [string, string, (server: Server) => Client, RegExp][] = [
  ["the port was forgotten", "https://api.example/orders?id=s3cret", client, /https:\/\/api\.example .* "origins"/],
  ["127.0.0.1 in place of localhost", "http://127.0.0.1:3000/", client, /http:\/\/127\.0\.0\.1:3000 .* "origins"/],
  ["http in place of https", "http://api.example:8443/", client, /http:\/\/api\.example:8443 .* "origins"/],
  ["a relative URL outside of a browser", "/orders?id=s3cret", client, /relative URL \/orders .* "self"/],
  [
    "a default Authorization header",
    "https://api.example:8443/orders",
    authorized,
    /default of the HTTP client, remove it/,
  ],
];

describe("Q16: a request that went out without its token and was answered 401", () => {
  test.each(MISTAKES)(
    "Q16: %s: one warning that says what to do, however many requests",
    async (_, url, make, text) => {
      const cache = cacheFor();
      for (let i = 0; i < 3; i++)
        expect(await withToken(cache, { url }, make(() => unauthorized).seam)).toBe(unauthorized);
      expect(warnings()).toEqual([expect.stringMatching(text)]);
      expect(warnings()[0]).toContain("warnings: false");
      expect(warnings()[0]).not.toContain("s3cret");
    },
  );

  test.each(MISTAKES)("Q16: %s, but the answer is 200: no warning", async (_, url, make) => {
    await withToken(cacheFor(), { url }, make(() => ({ status: 200 })).seam);
    expect(warnings()).toEqual([]);
  });

  test.each(MISTAKES)("Q16: %s, with `warnings: false`: no warning", async (_, url, make) => {
    await withToken(cacheFor({ warnings: false }), { url }, make(() => unauthorized).seam);
    expect(warnings()).toEqual([]);
  });

  test("Q16: the 401 inside an error of the client is told too", async () => {
    const thrown = Object.assign(new Error("401"), { response: unauthorized });
    const { seam } = client(() => Promise.reject(thrown), {
      answerOf: (error) => (error as Partial<typeof thrown>).response,
    });
    await expect(withToken(cacheFor(), { url: "/orders" }, seam)).rejects.toBe(thrown);
    expect(warnings()).toHaveLength(1);
  });

  test("Q16: each reason is told for itself, and each cache tells", async () => {
    for (const cache of [cacheFor(), cacheFor()]) {
      for (const [, url, make] of MISTAKES) await withToken(cache, { url }, make(() => unauthorized).seam);
    }
    expect(warnings()).toHaveLength(6);
  });

  test("Q16: a pool of a thousand users tells once", async () => {
    const pool = createTokenPool({ create: () => cacheFor(), maxSize: 1000 });
    for (let user = 0; user < 1000; user++) {
      const seam = client(() => unauthorized).seam;
      await withToken(pool.get(`u${user}`), { url: "/orders" }, seam);
    }
    expect(warnings()).toHaveLength(1);
    await pool.close();
  });

  const MEANT: [string, string, (server: Server) => Client][] = [
    ["another host", "https://other.example/", client],
    ["another host that ends alike", "https://notapi.example:8443/", client],
    ["an Authorization header for a host that is not listed", "https://other.example/", authorized],
    ["credentials in the URL", "https://user:s3cret@other.example:8443/", client],
  ];
  test.each(MEANT)("Q16: %s is meant so: no warning", async (_, url, make) => {
    await withToken(cacheFor(), { url }, make(() => unauthorized).seam);
    expect(warnings()).toEqual([]);
  });

  test("Q16: a request that opted out, and one while nobody is signed in: no warning", async () => {
    const half = policyHalf(cacheFor());
    await sendSkipped(half, "opted-out", { url: "https://api.example:8443/" }, client(() => unauthorized).seam);
    const nobody = createTokenCache({ grant: () => null, origins });
    await withToken(nobody, { url: "https://api.example:8443/" }, client(() => unauthorized).seam);
    expect(warnings()).toEqual([]);
  });
});
