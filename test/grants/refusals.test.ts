/** Refusals of a refresh token whose code does not say what they mean: those that pass, and those that end the session. */
import { expect, test, vi } from "vitest";
import { createTokenCache } from "remint";
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
  await vi.waitFor(() => expect(clock.timers).toBe(2)); // That of the mint, and that of the pause.
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
