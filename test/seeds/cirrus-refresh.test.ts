/**
 * The tests of cirrus-auth for refresh tokens, one by one, through what `remint/salesforce` exports: refreshing, rotation and
 * revoking. Each comment names the original test, says what the original does where it is another thing, and what remint
 * does. What all flows have in common is in cirrus-flows.test.ts.
 */
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type RemintError, type RotatedToken, type TokenCache } from "remint";
import { fleetStore, memoryStore } from "remint/fleet";
import { salesforceRefreshTokenGrant } from "remint/salesforce";
import { manualClock } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { REFRESH_TOKEN, startOrg, type Org } from "./org.ts";

let org: Org;
beforeEach(async () => {
  org = await startOrg();
});
afterEach(() => org.close());

type OnRotate = (token: string, rotated: RotatedToken) => unknown;

/** A cache whose every call refreshes. */
function refreshing(onRotate?: OnRotate, more: object = {}): TokenCache {
  const grant = salesforceRefreshTokenGrant({
    ...org.open,
    refreshToken: REFRESH_TOKEN,
    onRotate,
    defaultTtl: 0,
    ...more,
  });
  return createTokenCache({ grant, mintRetries: 0, clock: manualClock(), warnings: false });
}

/** Lets the server answer these in turn: with a rotated refresh token, or without one. */
function rotations(...refreshTokens: (string | undefined)[]): void {
  org.login.respond(
    ...refreshTokens.map((refresh_token, index) => ({
      headers: { date: undefined },
      body: org.response({ access_token: `ACCESS${index + 1}`, refresh_token }),
    })),
  );
}

function presented(): (string | null)[] {
  return org.login.requests.map(({ form }) => form.get("refresh_token"));
}

describe("refreshing", () => {
  // refresh_succeeds_and_caches: the form of the request.
  test("a public client: grant type, refresh token and client id in the form", async () => {
    await refreshing().get();
    expect(Object.fromEntries(org.login.requests[0]!.form)).toEqual({
      grant_type: "refresh_token",
      refresh_token: REFRESH_TOKEN,
      client_id: "consumer-key-123",
    });
  });

  // confidential_client_includes_consumer_secret. The original sends it in the form, remint in the header or in the form.
  test("a confidential client: the secret is in the header, or in the form", async () => {
    await refreshing(undefined, { clientSecret: "top-secret" }).get();
    await refreshing(undefined, { clientSecret: "top-secret", clientAuthentication: "client_secret_post" }).get();
    const [basic, post] = org.login.requests;
    expect(atob(basic!.headers.authorization!.slice(6))).toBe("consumer-key-123:top-secret");
    expect(post!.form.get("client_secret")).toBe("top-secret");
  });

  // revoked_refresh_token_surfaces_oauth_error. The original sends it again at the next call. remint sends it once, and says
  // that the user has to sign in again.
  test("C9: a revoked refresh token, three calls: one request, and an error that says to sign in again", async () => {
    org.login.respondAlways({
      status: 400,
      body: { error: "invalid_grant", error_description: "expired access/refresh token" },
    });
    const cache = refreshing();
    for (let call = 0; call < 3; call++) {
      expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    }
    expect(org.login.requests).toHaveLength(1);
  });

  // an_oauth_error_is_never_retried. It is in the original, also when Salesforce only says that another refresh is in
  // progress. remint sends that one again; see providers/salesforce.test.ts.
  test("C11: refused because another refresh is in progress: the next one presents the same refresh token", async () => {
    org.login.respond({
      status: 400,
      body: { error: "invalid_grant", error_description: "token request is already being processed" },
    });
    const clock = manualClock();
    const grant = salesforceRefreshTokenGrant({ ...org.open, refreshToken: REFRESH_TOKEN });
    const cache = createTokenCache({ grant, mintRetries: 0, clock });
    expect(await rejectionOf(cache.get())).toMatchObject({ retryable: true, terminal: false });
    await clock.advance(5_000);
    await cache.get();
    expect(presented()).toEqual([REFRESH_TOKEN, REFRESH_TOKEN]);
  });

  // non_oauth_error_body_is_not_echoed_in_error, a_non_oauth_error_body_is_logged_by_shape_only.
  test("S5: 502 with a page that has a token in it: the status is in the error, and nothing of the page", async () => {
    org.login.respond({ status: 502, body: "<html>proxy error: upstream token=LEAKED_SECRET</html>" });
    const error = (await rejectionOf(refreshing().get())) as RemintError;
    expect([error.endpointStatus, error.retryable]).toEqual([502, true]);
    expect(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error)).not.toContain("LEAKED_SECRET");
  });
});

describe("rotation", () => {
  // rotation_adopts_new_refresh_token_on_next_mint.
  test("two refreshes with rotation: the second one presents the new refresh token", async () => {
    rotations("R2", "R3");
    const cache = refreshing();
    await cache.get();
    await cache.get();
    expect(presented()).toEqual([REFRESH_TOKEN, "R2"]);
  });

  // handler_fires_once_per_rotation_in_order. remint also says which refresh token was used up.
  test("two refreshes with rotation: onRotate gets both, in order", async () => {
    rotations("R2", "R3");
    const seen: unknown[] = [];
    const cache = refreshing((next, { replaced }) => seen.push([next, replaced]));
    await cache.get();
    await cache.get();
    expect(seen).toEqual([
      ["R2", REFRESH_TOKEN],
      ["R3", "R2"],
    ]);
  });

  // handler_not_fired_when_response_omits_refresh_token.
  test("two refreshes without rotation: onRotate is not called, and the refresh token is presented again", async () => {
    rotations(undefined, undefined);
    const onRotate = vi.fn<OnRotate>();
    const cache = refreshing(onRotate);
    await cache.get();
    await cache.get();
    expect([onRotate.mock.calls.length, presented()]).toEqual([0, [REFRESH_TOKEN, REFRESH_TOKEN]]);
  });

  // handler_not_fired_when_response_echoes_same_token.
  test("an answer with the refresh token that was presented: that is no rotation", async () => {
    rotations(REFRESH_TOKEN);
    const onRotate = vi.fn<OnRotate>();
    await refreshing(onRotate).get();
    expect(onRotate).not.toHaveBeenCalled();
  });

  // handler_completes_before_access_token_returns. The original waits for as long as the handler takes. remint waits for at
  // most half of `mintTimeout`, and repeats a save that fails.
  test("a slow onRotate: the access token is given when it has saved", async () => {
    rotations("R2");
    const order: string[] = [];
    const onRotate = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push("saved");
    };
    await refreshing(onRotate).get();
    order.push("given");
    expect(order).toEqual(["saved", "given"]);
  });

  // rotation_adopted_even_when_instance_url_mismatches.
  test("rotation beside the token of another org: the token is refused, the refresh token is saved and presented next", async () => {
    org.login.respond({
      headers: { date: undefined },
      body: org.response({ instance_url: "https://wrong-org.my.salesforce.com", refresh_token: "R2" }),
    });
    const seen: string[] = [];
    const clock = manualClock();
    const grant = salesforceRefreshTokenGrant({
      ...org.open,
      refreshToken: REFRESH_TOKEN,
      onRotate: (next) => seen.push(next),
    });
    const cache = createTokenCache({ grant, mintRetries: 0, clock });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(seen).toEqual(["R2"]);
    await clock.advance(1_000);
    await cache.get();
    expect(presented()).toEqual([REFRESH_TOKEN, "R2"]);
  });

  // cancelled_mint_still_adopts_rotation.
  test("C14: the only caller aborts during a refresh with rotation: the refresh token is saved and presented next", async () => {
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    org.login.respond(async () => {
      await held;
      return { headers: { date: undefined }, body: org.response({ refresh_token: "R2" }) };
    });
    const seen: string[] = [];
    const cache = refreshing((next) => seen.push(next));
    const controller = new AbortController();
    const rejected = rejectionOf(cache.get({ signal: controller.signal }));
    await org.login.waitFor(1);
    controller.abort(new Error("the caller left"));
    expect(await rejected).toMatchObject({ message: "the caller left" });
    release();
    await vi.waitFor(() => expect(seen).toEqual(["R2"]), { timeout: 20_000 });
    await cache.invalidate("00DXX!ACCESS");
    await cache.get();
    expect(presented()).toEqual([REFRESH_TOKEN, "R2"]);
  });

  // The original has nothing for several processes: each presents its own copy, and all but one are refused.
  test("two processes and a store: one refresh, and both have its token and the new refresh token", async () => {
    rotations("R2", "R3");
    const store = memoryStore();
    const processes = [1, 2].map(() => {
      const grant = salesforceRefreshTokenGrant({ ...org.open, refreshToken: REFRESH_TOKEN, key: "alice" });
      return createTokenCache({ grant, store: fleetStore(store, { encryptionKey: "none" }) });
    });
    const [one, other] = processes as [TokenCache, TokenCache];
    const tokens = [await one.get(), await other.get()];
    expect(tokens.map(({ value }) => value)).toEqual(["ACCESS1", "ACCESS1"]);
    await other.invalidate("ACCESS1");
    expect((await other.get()).value).toBe("ACCESS2");
    expect(presented()).toEqual([REFRESH_TOKEN, "R2"]);
  });

  // mint_task_panic_surfaces_as_auth_error. The original's caller gets an error. In remint the access token is good, so the
  // caller gets it; an event tells, and the save is repeated.
  test("onRotate throws: the caller gets the token, an event tells, and the next refresh presents the new refresh token", async () => {
    rotations("R2");
    const events: string[] = [];
    const onRotate = vi.fn<OnRotate>(() => {
      throw new Error("handler panic");
    });
    const grant = salesforceRefreshTokenGrant({ ...org.open, refreshToken: REFRESH_TOKEN, onRotate, defaultTtl: 0 });
    const cache = createTokenCache({
      grant,
      clock: manualClock(),
      warnings: false,
      onEvent: ({ name }) => events.push(name),
    });
    expect((await cache.get()).value).toBe("ACCESS1");
    expect(events).toContain("state-unsaved");
    await cache.get();
    expect(presented()).toEqual([REFRESH_TOKEN, "R2"]);
  });

  // debug_output_redacts_tokens_and_secrets, flow_debug_redacts_credentials.
  test("S5: a printed grant and cache show neither refresh token, access token nor secret", async () => {
    rotations("R2-secret");
    const grant = salesforceRefreshTokenGrant({ ...org.options, refreshToken: REFRESH_TOKEN });
    const cache = createTokenCache({ grant, warnings: false });
    await cache.get();
    const shown = [grant, cache, await cache.get()].map(
      (value) => inspect(value, { depth: 9, showHidden: true }) + JSON.stringify(value),
    );
    expect(shown.join()).not.toMatch(/5Aep|R2-secret|ACCESS1|top-secret/);
  });
});

const signOut = async (...answers: { status: number; body: string | object }[]): Promise<unknown> => {
  const cache = refreshing();
  await cache.get();
  org.login.respond(...answers);
  return cache.signOut();
};

describe("revoking", () => {
  // revoke_token_posts_the_token_as_a_form_and_accepts_200. In remint signOut does it, and ends the session in this process.
  test("signOut, answered 200: the refresh token is sent as a form to /services/oauth2/revoke", async () => {
    await signOut({ status: 200, body: "" }, { status: 200, body: "" });
    const { path, form, headers } = org.login.requests[1]!;
    expect([path, form.get("token"), headers["content-type"]]).toEqual([
      "/services/oauth2/revoke",
      REFRESH_TOKEN,
      expect.stringMatching(/^application\/x-www-form-urlencoded/),
    ]);
  });

  // revoke_token_maps_the_documented_400_to_a_scrubbed_oauth_error. The original fails with invalid_token. For remint a token
  // that is not valid any more is revoked, so that is no failure.
  test("signOut, answered 400 invalid_token: the session is over, as it should be", async () => {
    const refused = {
      status: 400,
      body: { error: "invalid_token", error_description: `token ${REFRESH_TOKEN} was invalid` },
    };
    await signOut(refused, refused);
    expect(org.login.requests.length).toBeGreaterThan(1);
  });

  test("S5: signOut, answered 400 with the token in the description: an error without it", async () => {
    const refused = {
      status: 400,
      body: { error: "invalid_request", error_description: `token ${REFRESH_TOKEN} was invalid` },
    };
    const error = (await rejectionOf(signOut(refused, refused))) as RemintError;
    expect([error.error, error.errorDescription]).toEqual(["invalid_request", "token [redacted] was invalid"]);
  });

  // revoke_token_reports_an_unrecognized_body_by_status_without_retrying.
  test("signOut, answered 503 with a page: an error with that status", async () => {
    const page = { status: 503, body: "<html>gateway</html>" };
    expect(await rejectionOf(signOut(page, page, page, page, page, page))).toMatchObject({ endpointStatus: 503 });
  });

  // revoke_token_refuses_a_cleartext_login_url. In both no secret goes to such a URL at all.
  test("S1: a login URL with http beyond this machine: refused when the grant is made", () => {
    const options = { ...org.open, loginUrl: "http://example.com", refreshToken: "t" };
    expect(() => salesforceRefreshTokenGrant(options)).toThrow(/"loginUrl" must be an https URL/);
  });
});
