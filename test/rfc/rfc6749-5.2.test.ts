/** RFC 6749 section 5.2: error responses. */
import { describe, expect, test } from "vitest";
import { createTokenCache, refreshTokenGrant } from "remint";
import { startAuthServer, type Answer } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";

/** Returns the error of a mint that gets this answer, and checks that nothing is cached. */
async function failure(answer: Answer, token = "rt-0"): Promise<unknown> {
  const auth = await startAuthServer();
  auth.respondAlways(answer);
  const client = { clientId: "client", clientSecret: "secret" };
  const grant = refreshTokenGrant({ tokenEndpoint: auth.tokenEndpoint, ...client, refreshToken: token });
  const cache = createTokenCache({ grant, origins: "any" });
  const error = await rejectionOf(cache.get());
  expect(cache.peek()).toBeUndefined();
  await auth.close();
  return error;
}

test("section 5.2: 400 with the members of the RFC's example is a TokenEndpointError", async () => {
  const body = { error: "invalid_request", error_description: "missing", error_uri: "https://auth.example/errors/1" };
  expect(await failure({ status: 400, body })).toMatchObject({
    name: "TokenEndpointError",
    code: "ERR_TOKEN_ENDPOINT",
    endpointStatus: 400,
    error: "invalid_request",
    errorDescription: "missing",
    retryable: false,
  });
});

test("section 5.2: 401 with WWW-Authenticate and invalid_client is a TokenEndpointError", async () => {
  const headers = { "www-authenticate": 'Basic realm="token"' };
  expect(await failure({ status: 401, headers, body: { error: "invalid_client" } })).toMatchObject({
    code: "ERR_TOKEN_ENDPOINT",
    endpointStatus: 401,
    error: "invalid_client",
    terminal: false,
  });
});

test.each(["invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"])(
  "section 5.2: %s is neither retryable nor terminal: unlike invalid_grant, it does not end the session",
  async (error) => {
    expect(await failure({ status: 400, body: { error } })).toMatchObject({ error, retryable: false, terminal: false });
  },
);

test('section 5.2: the refresh token is "grant": the code invalid_grant is still recognized and not redacted', async () => {
  const answer = { status: 400, body: { error: "invalid_grant" } };
  expect(await failure(answer, "grant")).toMatchObject({ error: "invalid_grant", terminal: true });
});

describe("section 5.2: an answer that is no error response of the RFC is a typed error too", () => {
  const html = "<!doctype html><title>Error</title>";
  const answers: [what: string, answer: Answer, code: string][] = [
    ["not JSON, 400", { status: 400, body: "nope" }, "ERR_TOKEN_ENDPOINT"],
    ["HTML, 502", { status: 502, body: html }, "ERR_TOKEN_ENDPOINT"],
    ["HTML, 200", { body: html }, "ERR_TOKEN_RESPONSE"],
    ["empty, 200", { body: "" }, "ERR_TOKEN_RESPONSE"],
    ["empty, 500", { status: 500 }, "ERR_TOKEN_ENDPOINT"],
    ["an error in a 200", { body: { error: "invalid_request" } }, "ERR_TOKEN_ENDPOINT"],
    ["more than 1 MiB", { body: { access_token: "a", padding: "x".repeat(2 ** 20) } }, "ERR_TOKEN_RESPONSE"],
    ["no answer", { reset: true }, "ERR_TOKEN_NETWORK"],
  ];
  test.each(answers)("%s", async (_what, answer, code) => {
    expect(await failure(answer)).toMatchObject({ code });
  });
});
