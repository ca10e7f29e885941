/** Refusals of a refresh token whose code does not say what they mean: those that pass, and those that end the session. */
import { describe, expect, test, vi } from "vitest";
import { createTokenCache, refreshTokenGrant, type RefreshTokenGrantOptions } from "remint";
import { manualClock } from "remint/testing";
import { refreshGrant } from "../../src/grants/refresh-token.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { json, startTokenServer } from "./token-server.ts";
import type { Grant } from "remint";
import type { TokenServer } from "./token-server.ts";

const BUSY = { error: "invalid_grant", error_description: "token request is already being processed" };
const TOKEN = { access_token: "a", token_type: "Bearer", expires_in: 3600 };

/** Answers with these bodies in turn, and with the last one from then on. A body with an `error` has the status 400. */
function startServer(...bodies: object[]): Promise<TokenServer> {
  return startTokenServer((response) => {
    const body = bodies.length > 1 ? bodies.shift()! : bodies[0]!;
    json(response, "error" in body ? 400 : 200, body);
  });
}

function patientGrant({ origin }: TokenServer): Grant {
  return refreshGrant(
    { tokenEndpoint: origin, clientId: "portal", clientSecret: "hush-hush", refreshToken: "rt-1" },
    { isTransient: ({ errorDescription }) => errorDescription === BUSY.error_description },
  );
}

test("C11: a provider says that a refusal passes: the same refresh token is sent again after a pause", async () => {
  const server = await startServer(BUSY, TOKEN);
  const clock = manualClock();
  const cache = createTokenCache({ grant: patientGrant(server), origins: ["https://api.example"], clock });
  const minted = cache.get();
  await vi.waitFor(() => expect(clock.timers).toBe(2), { timeout: 20_000 }); // That of the mint, and that of the pause.
  expect(server.requests).toHaveLength(1);
  await clock.advance(500);
  expect((await minted).value).toBe("a");
  expect(server.requests.map(({ form }) => form.get("refresh_token"))).toEqual(["rt-1", "rt-1"]);
});

test("C11: it does not pass within the mint: the failure is retryable, and the session goes on", async () => {
  const server = await startServer(BUSY);
  const grant = patientGrant(server);
  const cache = createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 0 });
  expect(await rejectionOf(cache.get())).toMatchObject({
    error: "invalid_grant",
    retryable: true,
    terminal: false,
    status: 503,
  });
});

test("another refusal of such a server is terminal as ever", async () => {
  const server = await startServer({ error: "invalid_grant", error_description: "expired" });
  const cache = createTokenCache({ grant: patientGrant(server), origins: ["https://api.example"] });
  expect(await rejectionOf(cache.get())).toMatchObject({ retryable: false, terminal: true });
});

/** Returns the error of a refresh that is answered like this. */
async function refusedWith(
  status: number,
  body: object,
  more: Partial<RefreshTokenGrantOptions> = {},
): Promise<unknown> {
  const { origin } = await startTokenServer((response) => json(response, status, body));
  const client = { tokenEndpoint: origin, clientId: "portal", clientSecret: "hush-hush" } as const;
  const grant = refreshTokenGrant({ ...client, refreshToken: "rt-first", ...more });
  return rejectionOf(createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 0 }).get());
}

describe("C14: the refresh token is dead, by the name of", () => {
  test.each<[name: string, status: number, body: object]>([
    ["RFC 6749", 400, { error: "invalid_grant" }],
    [
      "GitHub, with status 200",
      200,
      { error: "bad_refresh_token", error_description: "The refresh token passed is incorrect or expired." },
    ],
    ["Slack, with status 200", 200, { ok: false, error: "invalid_refresh_token" }],
    ["Atlassian", 403, { error: "unauthorized_client", error_description: "refresh_token is invalid" }],
    ["HubSpot", 400, { status: "BAD_REFRESH_TOKEN", message: "missing or invalid refresh token" }],
    ["Zoom", 400, { error: "invalid_request", reason: "Invalid Token!" }],
    ["Zoom, with status 401", 401, { error: "invalid_request", reason: "Invalid refresh token." }],
  ])("%s: terminal, and the status to answer is 401", async (_name, status, body) => {
    const error = await refusedWith(status, body);
    expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", endpointStatus: status, terminal: true, status: 401 });
    expect(error).toMatchObject({ hint: expect.stringMatching(/sign in again$/) as unknown });
  });

  test.each<[name: string, status: number, body: object]>([
    ["a client that may not refresh", 400, { error: "unauthorized_client" }],
    [
      "a client that may not refresh, with Atlassian's status",
      403,
      { error: "unauthorized_client", error_description: "not allowed" },
    ],
    [
      "Atlassian's text with another status",
      400,
      { error: "unauthorized_client", error_description: "refresh_token is invalid" },
    ],
    ["a request without a parameter", 400, { error: "invalid_request", reason: "Missing client_id" }],
    [
      "a request with a wrong parameter",
      400,
      { error: "invalid_request", error_description: "invalid token endpoint parameter" },
    ],
    ["a wrong client", 401, { error: "invalid_client" }],
    ["a wrong client in HubSpot's way", 400, { status: "BAD_CLIENT_ID", message: "missing or unknown client id" }],
    ["HubSpot's other codes", 400, { status: "error", message: "missing or invalid refresh token" }],
  ])("not: %s", async (_name, status, body) => {
    expect(await refusedWith(status, body)).toMatchObject({ endpointStatus: status, terminal: false, status: 503 });
  });
});

describe("C14: the option isTerminal", () => {
  test("says yes: terminal; it is given status, code and description", async () => {
    const isTerminal = vi.fn(() => true);
    const body = { error: "user_gone", error_description: "left the company" };
    expect(await refusedWith(403, body, { isTerminal })).toMatchObject({ error: "user_gone", terminal: true });
    expect(isTerminal).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ endpointStatus: 403, error: "user_gone", errorDescription: "left the company" }),
    );
  });

  test("says no: not terminal, also invalid_grant; says nothing: the grant decides", async () => {
    const body = { error: "invalid_grant" };
    expect(await refusedWith(400, body, { isTerminal: () => false })).toMatchObject({ terminal: false });
    expect(await refusedWith(400, body, { isTerminal: () => undefined })).toMatchObject({ terminal: true });
  });

  test("throws: the error names it, and the session goes on", async () => {
    const isTerminal = vi.fn((): never => {
      throw new Error("oops");
    });
    const error = await refusedWith(400, { error: "invalid_grant" }, { isTerminal });
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      terminal: false,
      hint: expect.stringContaining('"isTerminal"') as unknown,
    });
  });

  test("is no function: a TypeError", () => {
    const options = {
      tokenEndpoint: "https://auth.example",
      clientId: "a",
      clientSecret: "hush-hush",
      refreshToken: "rt-1",
    };
    expect(() => refreshTokenGrant({ ...options, isTerminal: true as never })).toThrow(
      /"isTerminal" must be a function/,
    );
  });
});
