/**
 * The tests of cirrus and cirrus-metadata, the clients above cirrus-auth, for answers about the session, one by one, through
 * what `remint/salesforce` and the clients export. Each comment names the original test, says what the original does where
 * it is another thing, and what remint does. More answers are in providers/salesforce.test.ts.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTokenCache, type TokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { salesforceClientCredentialsGrant } from "remint/salesforce";
import { startOrg, type Org } from "./org.ts";

const over = { status: 401, body: [{ errorCode: "INVALID_SESSION_ID", message: "Session expired or invalid" }] };
const forbidden = (status: number): object => ({
  status,
  body: [{ errorCode: "INSUFFICIENT_ACCESS", message: "..." }],
});
const fault = (code: string): object => ({
  status: 500,
  headers: { "content-type": "text/xml; charset=UTF-8" },
  body: `<env:Fault xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>sf:${code}</faultcode><faultstring>${code}: session expired</faultstring></env:Fault>`,
});

let org: Org;
beforeEach(async () => {
  org = await startOrg();
});
afterEach(() => org.close());

function cache(): TokenCache {
  return createTokenCache({ grant: salesforceClientCredentialsGrant(org.options), mintRetries: 0 });
}

const limits = (): string => `${org.api.origin}/services/data/v66.0/limits`;
const sent = (): unknown[] => org.api.requests.map(({ token }) => token);

describe("lib.rs of cirrus: a 401", () => {
  // refreshes_token_on_401_and_retries_once.
  test("401 INVALID_SESSION_ID, then 200: one new token, sent twice", async () => {
    org.api.respond(over, { body: { ok: true } });
    expect(await createAuthOfetch(cache())(limits())).toEqual({ ok: true });
    expect([sent(), org.login.requests.length]).toEqual([["00DXX!ACCESS1", "00DXX!ACCESS2"], 2]);
  });

  // transient_retry_budget_resets_after_auth_refresh. The original counts 503s anew after a new token. In remint the client
  // counts them, and does not see the 401.
  test("503, 401, 503, 200 with ofetch and two retries: one new token, and the answer", async () => {
    org.api.respond({ status: 503, body: "" }, over, { status: 503, body: "" }, { body: { ok: true } });
    expect(await createAuthOfetch(cache())(limits(), { retry: 2 })).toEqual({ ok: true });
    expect(sent()).toEqual(["00DXX!ACCESS1", "00DXX!ACCESS1", "00DXX!ACCESS2", "00DXX!ACCESS2"]);
  });

  // surfaces_401_when_refresh_returns_same_token. The original does not send again. remint does, once: Salesforce may answer a
  // mint with the token that is there, and an API that was late in learning of it accepts it then.
  test("401, and the mint brings the same token: sent once more, and the 401 goes to the caller", async () => {
    org.answer({ access_token: "only" });
    org.api.respondAlways(over);
    expect((await createAuthFetch(cache())(limits())).status).toBe(401);
    expect([sent(), org.login.requests.length]).toEqual([["only", "only"], 2]);
  });

  // second_401_after_refresh_surfaces_without_third_attempt.
  test("401 to the first and the second token: the second 401 goes to the caller, with its body", async () => {
    org.api.respondAlways(forbidden(401));
    const response = await createAuthFetch(cache())(limits());
    expect([response.status, await response.json()]).toEqual([
      401,
      [{ errorCode: "INSUFFICIENT_ACCESS", message: "..." }],
    ]);
    expect(sent()).toEqual(["00DXX!ACCESS1", "00DXX!ACCESS2"]);
  });

  // does_not_invalidate_on_non_401_errors.
  test("403 INSUFFICIENT_ACCESS: it goes to the caller, and the token stays", async () => {
    org.api.respondAlways(forbidden(403));
    const tokens = cache();
    expect((await createAuthFetch(tokens)(limits())).status).toBe(403);
    expect([tokens.peek()?.value, sent().length]).toEqual(["00DXX!ACCESS1", 1]);
  });
});

const call = async (tokens: TokenCache): Promise<Response> =>
  createAuthFetch(tokens)(`${org.api.origin}/services/Soap/m/66.0`, {
    method: "POST",
    headers: { "content-type": "text/xml", soapaction: '""' },
    // The session is in the body. The function is called before every send.
    remint: { body: async () => `<met:sessionId>${(await tokens.get()).value}</met:sessionId>` },
  });

describe("transport.rs of cirrus-metadata: SOAP", () => {
  // invalid_session_triggers_token_refresh_and_retry, envelope_includes_session_token_and_operation_name.
  test("the fault INVALID_SESSION_ID: sent again with the new session in the body", async () => {
    org.api.respond(fault("INVALID_SESSION_ID"), { body: "<after-refresh/>" });
    expect(await (await call(cache())).text()).toBe("<after-refresh/>");
    expect(org.api.requests.map(({ text }) => text)).toEqual([
      "<met:sessionId>00DXX!ACCESS1</met:sessionId>",
      "<met:sessionId>00DXX!ACCESS2</met:sessionId>",
    ]);
  });

  // invalid_session_with_unrefreshable_auth_surfaces_fault. To remint a function that returns one token is such a grant.
  test("the fault INVALID_SESSION_ID, and no other token: the fault goes to the caller, with its body", async () => {
    org.answer({ access_token: "static-tok" });
    org.api.respondAlways(fault("INVALID_SESSION_ID"));
    const response = await call(cache());
    expect([response.status, await response.text()]).toEqual([500, expect.stringContaining("INVALID_SESSION_ID")]);
  });

  // soap_fault_surfaces_as_typed_error. The original has a type for it. In remint the caller reads the answer.
  test("another fault: it goes to the caller, and the token stays", async () => {
    org.api.respondAlways(fault("INVALID_TYPE"));
    const response = await call(cache());
    expect([response.status, await response.text(), sent().length]).toEqual([
      500,
      expect.stringContaining("INVALID_TYPE"),
      1,
    ]);
  });

  // http_503_is_retried, http_503_is_not_retried_for_non_idempotent_op, non_envelope_body_surfaces_as_http_error. What the
  // original's client does with them is the affair of the caller's client here.
  test("503: it goes to the caller's client", async () => {
    org.api.respond({ status: 503, body: "" });
    expect([(await call(cache())).status, sent().length]).toEqual([503, 1]);
  });
});
