/**
 * The tests of cirrus-auth for the token endpoint, the bookkeeping of mints and errors, one by one, through what
 * `remint/salesforce` exports. Each comment names the original test, says what the original does where it is another thing,
 * and what remint does.
 */
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type RemintError, type TokenCache } from "remint";
import { salesforceClientCredentialsGrant, salesforceRefreshTokenGrant } from "remint/salesforce";
import { manualClock, type ManualClock } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { REFRESH_TOKEN, startOrg, type Org } from "./org.ts";

let org: Org;
let clock: ManualClock;
beforeEach(async () => {
  org = await startOrg();
  clock = manualClock();
});
afterEach(() => org.close());

function cacheOf(more: object = {}): TokenCache {
  return createTokenCache({ grant: salesforceClientCredentialsGrant(org.options), clock, ...more });
}

/** Lets the pauses between this many requests pass. */
async function passPauses(requests: number): Promise<void> {
  for (let sent = 1; sent < requests; sent++) {
    await org.login.waitFor(sent);
    // That of the mint, and that of the pause.
    await vi.waitFor(() => expect(clock.timers).toBe(2), { timeout: 20_000, interval: 2 });
    // The longest that this pause can be, and not so long that the next one can be over as well.
    await clock.advance(500 * sent);
  }
}

describe("token_endpoint.rs", () => {
  // a_replay_safe_grant_retries_429_and_5xx_within_the_budget, a_503_from_the_token_endpoint_is_retried_for_the_jwt_grant.
  test.each([
    [503, 2],
    [429, 1],
  ])("C11: client credentials, answered %i %i times: sent again until a token comes", async (status, failures) => {
    org.login.respond(...Array.from({ length: failures }, () => ({ status, body: "" })));
    const minted = cacheOf().get();
    await passPauses(failures + 1);
    expect([(await minted).value, org.login.requests.length]).toEqual(["00DXX!ACCESS1", failures + 1]);
  });

  // the_retry_budget_is_exhausted_after_three_attempts. The same in both; `mintRetries` of the cache changes it.
  test("C11: client credentials, answered 503 three times: the error has that status", async () => {
    org.login.respond(...Array.from({ length: 3 }, () => ({ status: 503, body: "" })));
    const rejected = rejectionOf(cacheOf().get());
    await passPauses(3);
    expect([await rejected, org.login.requests.length]).toMatchObject([{ endpointStatus: 503, retryable: true }, 3]);
  });

  // a_grant_marked_never_is_not_replayed_after_a_5xx.
  test("C11: a refresh token, answered 503: sent once, because the server may have used it up", async () => {
    org.login.respond({ status: 503, body: "" });
    const grant = salesforceRefreshTokenGrant({ ...org.open, refreshToken: REFRESH_TOKEN });
    expect(await rejectionOf(cacheOf({ grant }).get())).toMatchObject({ endpointStatus: 503 });
    expect(org.login.requests).toHaveLength(1);
  });

  // an_oversized_success_body_is_refused. The original reads 64 KiB, remint 1 MiB.
  test("S3: 200 with a body of more than 1 MiB: refused", async () => {
    org.answer({ scope: "x".repeat(1 << 20) });
    const error = (await rejectionOf(cacheOf().get())) as RemintError;
    expect([error.code, error.hint]).toEqual(["ERR_TOKEN_RESPONSE", expect.stringContaining("1 MiB")]);
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("00DXX");
  });

  // an_oversized_error_body_is_refused_with_its_status, an_oversized_body_on_a_retryable_status_is_retried_...,
  // an_oversized_body_on_a_retryable_status_surfaces_once_the_budget_is_spent. To remint it is a 503 like any other.
  test("S3: 503 with a body of more than 1 MiB: sent again, and in the end an error with that status", async () => {
    const page = { status: 503, body: "x".repeat((1 << 20) + 1) };
    org.login.respond(page);
    const minted = cacheOf().get();
    await passPauses(2);
    expect((await minted).value).toBe("00DXX!ACCESS1");
    org.login.respond(page);
    expect(await rejectionOf(cacheOf({ mintRetries: 0 }).get())).toMatchObject({ endpointStatus: 503 });
  });

  // an_oauth_error_is_never_retried.
  test("C11: client credentials, refused with invalid_grant: sent once", async () => {
    org.login.respondAlways({ status: 400, body: { error: "invalid_grant" } });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ error: "invalid_grant", retryable: false });
    expect(org.login.requests).toHaveLength(1);
  });

  // an_oauth_error_description_is_scrubbed_of_the_values_the_request_sent. The original takes out the client id too. remint
  // takes out secrets, and does not print the description.
  test("S5: a description that repeats the secret: it is taken out", async () => {
    const error_description = "secret top-secret is not the secret of this app for grant client_credentials";
    org.login.respond({ status: 400, body: { error: "invalid_client", error_description } });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({
      errorDescription: "secret [redacted] is not the secret of this app for grant client_credentials",
    });
  });

  // an_oauth_error_description_is_capped_on_a_character_boundary. The original cuts at 256 characters, remint at 200.
  test("a description of 2,000 characters: cut to 200", async () => {
    org.login.respond({ status: 400, body: { error: "invalid_grant", error_description: "e".repeat(2_000) } });
    const { errorDescription } = (await rejectionOf(cacheOf().get())) as RemintError;
    expect(errorDescription).toBe("e".repeat(200));
  });

  // token_client_builder_keeps_the_no_redirect_policy. A `fetch` of the user's gets `redirect: "manual"` too.
  test("S2: 307 to another path: not followed", async () => {
    org.login.respond({ status: 307, headers: { location: `${org.login.origin}/elsewhere` }, body: "" });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(org.login.requests.map(({ path }) => path)).toEqual(["/services/oauth2/token"]);
  });

  // token_client_builder_ignores_an_ambient_proxy, a_client_that_fails_to_build_is_an_http_client_error and the two tests of
  // root certificates are about the original's HTTP client. remint has none: it uses the fetch of the runtime, or yours.
  test("a fetch of the caller's sends the token request, with what it needs to know", async () => {
    const seen: unknown[] = [];
    const own = async (url: string, init: RequestInit): Promise<Response> => {
      seen.push([url, init.method, init.redirect]);
      return fetch(url, init);
    };
    await cacheOf({ grant: salesforceClientCredentialsGrant({ ...org.options, fetch: own }) }).get();
    expect(seen).toEqual([[`${org.login.origin}/services/oauth2/token`, "POST", "manual"]]);
  });
});

describe("mint.rs", () => {
  const refused = {
    status: 400,
    body: { error: "invalid_grant", error_description: "user hasn't approved this consumer" },
  };

  // concurrent_callers_share_one_failed_mint, waiters_share_a_failure_that_completed_while_they_waited. In remint every caller
  // gets an error object of their own.
  test("C2: six callers at once, refused: one request, and six errors", async () => {
    org.login.respondAlways(refused);
    const cache = cacheOf();
    const errors = await Promise.all(Array.from({ length: 6 }, () => rejectionOf(cache.get())));
    expect(errors).toMatchObject(Array.from({ length: 6 }, () => ({ error: "invalid_grant" })));
    expect([new Set(errors).size, org.login.requests.length]).toEqual([6, 1]);
  });

  // The second half of that test: the original mints again for a caller that comes later. remint remembers the failure for a
  // moment, so that a server that is down is not asked by every call.
  test("C9: refused, and another call a moment later, and one after 5 s: one request, and then another", async () => {
    org.login.respondAlways(refused);
    const cache = cacheOf();
    await rejectionOf(cache.get());
    await rejectionOf(cache.get());
    expect(org.login.requests).toHaveLength(1);
    org.answer();
    await clock.advance(5_000);
    expect([(await cache.get()).value, org.login.requests.length]).toEqual(["00DXX!ACCESS1", 2]);
  });

  // a_successful_mint_is_cached_and_clears_the_last_failure, waiters_share_a_success_that_completed_while_they_waited.
  test("C2: a hundred callers at once: one request", async () => {
    const cache = cacheOf();
    const tokens = await Promise.all(Array.from({ length: 100 }, () => cache.get()));
    expect([new Set(tokens).size, org.login.requests.length]).toEqual([1, 1]);
  });

  // a_transient_failure_inside_the_margin_returns_the_cached_token_to_everyone.
  test("C4: 30 s before the end, answered 503: the token is served to everyone", async () => {
    const cache = cacheOf({ mintRetries: 0 });
    await cache.get();
    org.login.respondAlways({ status: 503, body: "" });
    await clock.advance(1_800_000 - 30_000);
    const tokens = await Promise.all([cache.get(), cache.get()]);
    await org.login.waitFor(2);
    expect(tokens.map(({ value }) => value)).toEqual(["00DXX!ACCESS1", "00DXX!ACCESS1"]);
  });

  // an_oauth_failure_inside_the_margin_is_not_masked. The original fails the call, although Salesforce still accepts the
  // token. remint serves a token until it expires, whatever becomes of its replacement; an event tells.
  test("C4: 30 s before the end, refused with invalid_grant: the token is served, and an event tells of the refusal", async () => {
    const failures: unknown[] = [];
    const cache = cacheOf({
      mintRetries: 0,
      onEvent: (event: { name: string; error?: unknown }) => {
        if (event.name === "mint-failed") failures.push(event.error);
      },
    });
    await cache.get();
    org.login.respondAlways(refused);
    await clock.advance(1_800_000 - 30_000);
    expect((await cache.get()).value).toBe("00DXX!ACCESS1");
    await vi.waitFor(() => expect(failures).toMatchObject([{ error: "invalid_grant" }]), { timeout: 20_000 });
  });

  // an_expired_cached_token_is_not_used_as_a_fallback.
  test("E5: after the end, answered 503: an error", async () => {
    const cache = cacheOf({ mintRetries: 0 });
    await cache.get();
    org.login.respondAlways({ status: 503, body: "" });
    await clock.advance(1_800_000);
    expect(await rejectionOf(cache.get())).toMatchObject({ endpointStatus: 503 });
  });
});

describe("error.rs", () => {
  // oauth_error_redacts_description_in_display_and_debug. In both the description is a member, and no part of the text.
  test("S5: a description with what looks like a token: not in the message, the hint or the stack", async () => {
    const error_description = "00Dxx!AQ.SECRET_TOKEN_FRAGMENT";
    org.login.respond({ status: 400, body: { error: "invalid_grant", error_description } });
    const error = (await rejectionOf(cacheOf().get())) as RemintError;
    expect(error.errorDescription).toBe(error_description);
    expect([error.message, error.hint, error.stack, String(error)].join()).not.toContain("SECRET_TOKEN_FRAGMENT");
    expect(error.hint).toContain("invalid_grant");
  });

  // oauth_error_debug_shows_none_description_without_redaction_marker.
  test("no description: undefined, and no mark of a redaction", async () => {
    org.login.respond({ status: 400, body: { error: "invalid_client" } });
    const error = (await rejectionOf(cacheOf().get())) as RemintError;
    expect(error.errorDescription).toBeUndefined();
    expect(inspect(error, { showHidden: true })).not.toContain("[redacted]");
  });
});
