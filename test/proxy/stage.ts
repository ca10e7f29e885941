/** What every test of the proxy starts from: an API on loopback, a session with tokens, and a proxy between page and API. */
import { createTokenCache } from "remint";
import { createAuthProxy } from "remint/proxy";
import { fakeGrant, startApi } from "remint/testing";
import { onTestFinished } from "vitest";
import type { TokenCache, TokenCacheOptions } from "remint";
import type { AuthProxy, AuthProxyOptions, ProxyRoute, ProxyTokenSource } from "remint/proxy";
import type { Api, FakeGrant } from "remint/testing";

/** The origin of the application. */
export const APP = "https://app.example";

export interface Stage {
  readonly api: Api;
  readonly grant: FakeGrant;
  readonly cache: TokenCache;
  /** The tokens that the API does not accept any more. */
  readonly revoked: Set<string>;
  readonly errors: unknown[];
  readonly proxy: AuthProxy;
  /** Sends a request of the application's own page to the proxy. The path is what comes after the origin. */
  readonly page: (path: string, init?: RequestInit) => Promise<Response>;
}

export interface Setup {
  readonly route?: Partial<ProxyRoute>;
  readonly source?: ProxyTokenSource;
  readonly grant?: FakeGrant;
  readonly cache?: Partial<TokenCacheOptions>;
  readonly options?: Partial<AuthProxyOptions>;
}

/** Starts an API, and a proxy that leads `/api` to its `/v1`. */
export async function stage({ route, source, grant = fakeGrant(), cache: own, options }: Setup = {}): Promise<Stage> {
  const revoked = new Set<string>();
  const api = await startApi({ accepts: (token) => token.startsWith("fake-") && !revoked.has(token) });
  const cache = createTokenCache({ grant, origins: [api.origin], warnings: false, ...own });
  onTestFinished(async () => void (await Promise.all([api.close(), cache.close()])));
  const errors: unknown[] = [];
  const proxy = createAuthProxy(source ?? (() => cache), {
    routes: { "/api": { target: `${api.origin}/v1`, ...route } },
    onError: (error) => errors.push(error),
    ...options,
  });
  const page = (path: string, init: RequestInit = {}): Promise<Response> =>
    proxy(new Request(APP + path, { ...init, headers: { "x-bff": "1", ...(init.headers as object) } }));
  return { api, grant, cache, revoked, errors, proxy, page };
}

/** The problem details of an answer of the proxy's own. */
export async function problemOf(answer: Response): Promise<Record<string, unknown>> {
  return { ...((await answer.json()) as object), type: answer.headers.get("content-type") };
}
