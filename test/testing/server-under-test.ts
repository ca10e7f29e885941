/** An auth server that is closed after the test, and the requests of a client to it. */
import { onTestFinished } from "vitest";
import { startAuthServer, type AuthServer, type AuthServerOptions } from "../../src/testing/index.ts";

export interface TokenAnswer {
  readonly status: number;
  readonly body: {
    readonly access_token: string;
    readonly token_type: string;
    readonly refresh_token: string;
    readonly scope: string;
    readonly error?: string;
    readonly error_description?: string;
  };
}

export async function start(options?: AuthServerOptions): Promise<AuthServer> {
  const server = await startAuthServer(options);
  onTestFinished(() => server.close());
  return server;
}

export function post(url: string, form: Record<string, string> | URLSearchParams, init: RequestInit = {}) {
  return fetch(url, { method: "POST", body: new URLSearchParams(form), ...init });
}

/** Sends a token request and reads the answer. */
export async function ask(
  server: AuthServer,
  form: Record<string, string> | URLSearchParams,
  init?: RequestInit,
): Promise<TokenAnswer> {
  const response = await post(server.tokenEndpoint, form, init);
  return { status: response.status, body: (await response.json()) as TokenAnswer["body"] };
}

/** Uses a refresh token. */
export function refresh(server: AuthServer, token: string, more: Record<string, string> = {}, init?: RequestInit) {
  return ask(server, { grant_type: "refresh_token", refresh_token: token, ...more }, init);
}

/** Returns what the log says, without times and paths, and without members that hold tokens. */
export function story(server: AuthServer): string[] {
  return server.log.map(({ step, request, error, ended, status, changed }) =>
    [step, request === undefined ? "by the test" : `#${request}`, error, ended, status, changed && "changed"]
      .filter((word) => word !== undefined)
      .join(" "),
  );
}
