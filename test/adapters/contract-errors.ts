/** Q17: the errors that a caller gets when there is no token, as a server sees them that lets them escape. */
import { isAxiosError } from "axios";
import { expect } from "vitest";
import { findRemintError, isRemintError, refreshTokenGrant, RemintError, TokenEndpointError } from "remint";
import { manualClock } from "remint/testing";
import { type Case, CLIENT_ID, CLIENT_SECRET, failureOf, times, type World } from "./world.ts";

/** What a server reads of an error, and what a framework writes to it. */
const ANSWER = ["status", "statusCode", "headers", "expose"] as const;

export const errorCases: readonly Case[] = [
  ...["before any request", "after a 401"].map((when): Case => ({
    name: `Q17: the token endpoint answers 503, ${when}: an error of ours that says 503 and Retry-After, with a public message`,
    ...(when === "after a 401" && { warmOnly: "the case needs a token in the cache" }),
    async run(world) {
      const tokens = world.tokens({ clock: manualClock(), mintRetries: 0 });
      if (when !== "before any request") await tokens.get();
      world.auth.revokeAll();
      const body = { error: "temporarily_unavailable" };
      world.auth.respondAlways({ status: 503, headers: { "retry-after": "30" }, body });
      const error = await errorOf(world, world.connect(tokens)(`${world.api.origin}/x`));
      expect(error).toBeInstanceOf(TokenEndpointError);
      const { code, retryable, terminal, retryAfter, endpointStatus, error: oauthError } = error;
      expect({ code, retryable, terminal, retryAfter, endpointStatus, oauthError }).toEqual({
        code: "ERR_TOKEN_ENDPOINT",
        retryable: true,
        terminal: false,
        retryAfter: 30_000,
        endpointStatus: 503,
        oauthError: "temporarily_unavailable",
      });
      expectAnswer(error, { status: 503, statusCode: 503, headers: { "retry-after": "30" }, expose: false });
      const { host } = new URL(world.auth.tokenEndpoint);
      for (const secret of [host, "http", "temporarily_unavailable", "503"]) {
        expect(error.message).not.toContain(secret);
      }
      expect(error.hint).toContain(host);
      expect(String(error.stack).split("\n")[1]).toBe(`    hint: ${error.hint}`);
      const rejected = when === "after a 401" ? { status: 401, url: `${world.api.origin}/x` } : undefined;
      expect(error.rejected).toEqual(rejected);
    },
  })),
  {
    name: "Q17: a refused refresh token: an error of ours that says 401 with a challenge",
    async run(world) {
      const { tokenEndpoint } = world.auth;
      world.auth.respondAlways({ status: 400, body: { error: "invalid_grant" } });
      const own = { tokenEndpoint, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, refreshToken: "used-up" };
      const tokens = world.tokens({ grant: refreshTokenGrant(own) });
      const error = await errorOf(world, world.connect(tokens)(`${world.api.origin}/x`));
      expect([error.code, error.terminal, error.retryable]).toEqual(["ERR_TOKEN_ENDPOINT", true, false]);
      const headers = { "www-authenticate": "Bearer" };
      expectAnswer(error, { status: 401, statusCode: 401, headers, expose: false });
    },
  },
  {
    name: "C9: 20 callers of one failed mint, and 20 of the remembered failure, get 40 errors that can be written to",
    async run(world) {
      world.auth.respondAlways({ status: 400, body: { error: "invalid_client" } });
      const call = world.connect(world.tokens({ clock: manualClock() }));
      const errors: RemintError[] = [];
      for (const _ of ["waiting", "later"]) {
        errors.push(...(await Promise.all(times(20, () => errorOf(world, call(`${world.api.origin}/x`))))));
      }
      for (const [index, error] of errors.entries()) {
        Object.assign(error, { status: 500 + index, requestId: index });
        error.message += ` ${index}`;
      }
      expect([new Set(errors).size, errors.map(({ status }) => status)]).toEqual([
        40,
        times(40, (index) => 500 + index),
      ]);
      expect(errors.map(({ message }) => message.split(" ").at(-1))).toEqual(times(40, String));
      expect(world.auth.requests.length).toBe(1);
    },
  },
];

/** Returns the error of a call that must fail with one of ours; with axios it is an AxiosError too. */
async function errorOf(world: World, call: Promise<unknown>): Promise<TokenEndpointError> {
  const error = await failureOf(call);
  expect([isRemintError(error), error instanceof RemintError, findRemintError(error) === error]).toEqual([
    true,
    true,
    true,
  ]);
  expect(isAxiosError(error)).toBe(world.client.name.startsWith("axios"));
  return error as TokenEndpointError;
}

function expectAnswer(error: RemintError, answer: Pick<RemintError, (typeof ANSWER)[number]>): void {
  for (const name of ANSWER) {
    expect([name, Object.getOwnPropertyDescriptor(error, name)]).toEqual([
      name,
      { value: answer[name], enumerable: false, configurable: true, writable: true },
    ]);
  }
  for (const response of [error.getResponse(), error.toResponse()]) {
    expect([response.status, Object.fromEntries(response.headers)]).toEqual([answer.status, answer.headers]);
  }
}
