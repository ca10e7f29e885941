/**
 * The proxy as a client of the contract (`../adapters/contract.ts`): a page sends its requests to a proxy before the API.
 * A page never gets an API's 401 and no error, so the proxy's own answers are translated back to what they stand for.
 */
import type { TokenCache } from "remint";
import { type AuthProxy, createAuthProxy } from "remint/proxy";
import { globalKind, type Call, type Setup, type Source, type TestClient } from "../matrix/clients.ts";

const PAGE = "http://page.example";

export const proxyClient: TestClient<"proxy"> = {
  name: "proxy",
  family: "fetch",
  kind: globalKind,
  open() {
    throw new Error("a proxy is no client that can be opened");
  },
  connect(source, setup = {}) {
    const proxies = new Map<string, Call>();
    return (url, sent) => {
      const { origin } = new URL(url);
      const call = proxies.get(origin) ?? callThrough(source, setup, origin);
      proxies.set(origin, call);
      return call(url, sent);
    };
  },
  isAbort: (error, reason) => error === reason,
  json: (value) => ({ body: JSON.stringify(value), headers: { "content-type": "application/json" } }),
  permissive: {},
  once: {},
};

/** Connects to one API through a proxy of its own. */
function callThrough(source: Source | undefined, setup: Setup, origin: string): Call {
  const errors = new WeakMap<Request, unknown>();
  const proxy: AuthProxy = createAuthProxy(() => source as TokenCache, {
    routes: { "/api": origin },
    onError: (error, request) => void errors.set(request, error),
    ...(setup.through && { fetch: setup.through.fetch }),
  });
  return async (url, { headers, method, body, signal } = {}) => {
    const init = {
      duplex: "half",
      ...(method && { method }),
      ...(signal && { signal }),
      ...(body !== undefined && { body }),
    };
    const request = new Request(PAGE + url.replace(origin, "/api"), {
      ...init,
      headers: new Headers(headers as HeadersInit),
    } as RequestInit);
    request.headers.set("x-bff", "1");
    const response = await proxy(request);
    const text = await response.text();
    if (response.headers.get("content-type") !== "application/problem+json") {
      return { status: response.status, text, response };
    }
    const { code } = JSON.parse(text) as { code: string };
    if (code === "gone") throw signal?.reason;
    if (code === "api-rejects" || code === "retry") return { status: 401, text, response };
    throw errors.get(request) ?? new Error(`the proxy answered ${code}`);
  };
}
