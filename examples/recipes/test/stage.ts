/** What the tests of the recipes share: an authorization server, an API, and what every recipe has to show. */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { type Api, type ApiRequest, type AuthServer, type Script, startApi, startAuthServer } from "remint/testing";
import { expect, onTestFinished, test } from "vitest";

/** An authorization server, an API that accepts its tokens, and a token cache for both. */
export interface Stage {
  readonly auth: AuthServer;
  readonly api: Api;
  readonly tokens: TokenCache;
}

/** Starts a stage for one test. */
export async function startStage(options: { readonly mintRetries?: number } = {}): Promise<Stage> {
  const auth = await startAuthServer();
  const api = await startApi({ accepts: auth });
  const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "me", clientSecret: "secret" });
  const tokens = createTokenCache({ grant, origins: [api.origin], ...options });
  onTestFinished(async () => {
    await Promise.all([auth.close(), api.close(), tokens.close()]);
  });
  return { auth, api, tokens };
}

/** Sends one request through the client of a recipe. The number is a different one for every request. */
export type Call = (number: number) => Promise<unknown>;

/**
 * What every recipe has to show.
 *
 * @param start Builds the client of the recipe, and returns how it sends one request.
 * @param batched Whether the client sends requests of the same moment as one.
 */
export function carriesTokens(start: (stage: Stage) => Call | Promise<Call>, batched = false): void {
  test("a request carries the token; after a 401 one new token is requested, and the request succeeds", async () => {
    const stage = await startStage();
    const { auth, api } = stage;
    const call = await start(stage);
    await call(1);
    expect(api.requests.at(-1)).toMatchObject({ status: 200, token: auth.issued[0] });
    auth.revokeAll();
    await call(2);
    expect(api.requests.at(-1)).toMatchObject({ status: 200, token: auth.issued[1] });
    expect({ mints: auth.mints, unauthorized: api.unauthorized }).toEqual({ mints: 2, unauthorized: 1 });
  });

  test("ten requests at once share one token request, and one more when their token is revoked on the way", async () => {
    const stage = await startStage();
    const { auth, api } = stage;
    const call = await start(stage);
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    await Promise.all(numbers.map(call));
    expect(auth.mints).toBe(1);
    const before = api.requests.length;
    const release = api.holdAnswers();
    const calls = Promise.all(numbers.map((number) => call(10 + number)));
    await api.waitFor(before + (batched ? 1 : 10));
    auth.revokeAll();
    release();
    await calls;
    expect({ mints: auth.mints, unauthorized: api.unauthorized }).toEqual({ mints: 2, unauthorized: batched ? 1 : 10 });
  });
}

/**
 * What a client has to do that repeats failed requests by itself: nothing, when repeating does not help.
 *
 * @param start Builds the client of the recipe for a token source, and returns how it sends one request.
 * @param shows What the caller gets.
 */
export function leavesRefusalsAlone(
  start: (stage: Stage, source: () => TokenCache) => Call | Promise<Call>,
  shows: object = { code: "ERR_TOKEN_ENDPOINT", retryable: false },
): void {
  test("when the authorization server refuses the client, the call is not repeated", async () => {
    const stage = await startStage();
    stage.auth.respondAlways({ status: 401, body: { error: "invalid_client" } });
    let sends = 0;
    const call = await start(stage, () => {
      sends++;
      return stage.tokens;
    });
    expect(await rejectionOf(call(1))).toMatchObject(shows);
    expect({ sends, tokenRequests: stage.auth.requests.length }).toEqual({ sends: 1, tokenRequests: 1 });
    expect(stage.api.requests).toEqual([]);
  });
}

/** A client that repeats failed requests by itself waits as long as the token endpoint asks for. */
export function waitsAsLongAsAsked(start: (stage: Stage) => Call | Promise<Call>): void {
  test("a token endpoint that asks for two seconds is asked again after them, and the call succeeds", async () => {
    const stage = await startStage({ mintRetries: 0 });
    stage.auth.respond({ status: 503, headers: { "retry-after": "2" } });
    const call = await start(stage);
    // Within these seconds the failure is remembered, and every repetition fails.
    await call(1);
    expect(stage.auth.requests).toHaveLength(2);
  });
}

/** Has requests with an accepted token answered by a handler of web requests, as many servers have one. */
export function answeredBy(auth: AuthServer, handler: (request: Request) => Promise<Response>): Script<ApiRequest> {
  return (request) =>
    request.token !== undefined && auth.isLive(request.token) ? answerOf(request, handler) : undefined;
}

/** Has every request answered by a handler, which looks at the token itself. */
export async function answerOf(
  { method, url, headers, text }: ApiRequest,
  handler: (request: Request) => Promise<Response>,
): Promise<{ status: number; headers: Record<string, string>; body: string }> {
  const init = { method, headers: headers as Record<string, string>, ...(text !== "" && { body: text }) };
  const response = await handler(new Request(new URL(url, "http://api.example"), init));
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  };
}

/** Serves an application for one test. Returns its origin. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Resolves with what a promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not reject");
}
