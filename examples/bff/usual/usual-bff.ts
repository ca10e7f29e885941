/**
 * The BFF as it is usually written: axios, `_retry`, and one variable for the token of each session. It is here to be
 * compared with. Nothing of it is meant to be copied.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import axios, { type AxiosRequestConfig, type AxiosResponse, isAxiosError } from "axios";
import { type Context, Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";

/** The settings of the usual BFF. */
export interface UsualSettings {
  readonly origin: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope: string;
  readonly apis: Readonly<Record<string, { readonly url: string; readonly resource: string }>>;
}

interface Session {
  refreshToken: string;
  readonly accessTokens: Record<string, string>;
}
type Tokens = Readonly<Record<"access_token" | "refresh_token", string>>;

/** Creates the usual BFF, below `/usual`. `begin` starts a session without a browser, and returns its id. */
export function createUsualBff(settings: UsualSettings): { hono: Hono; begin: (tokens: Tokens) => string } {
  const { origin, issuer, clientId, clientSecret, scope, apis } = settings;
  const sessions = new Map<string, Session>();
  const redirectUri = `${origin}/usual/callback`;

  async function requestTokens(form: Readonly<Record<string, string>>): Promise<Tokens> {
    const auth = { username: clientId, password: clientSecret };
    return (await axios.post<Tokens>(`${issuer}/token`, new URLSearchParams(form), { auth })).data;
  }

  function begin(tokens: Tokens): string {
    const id = randomUUID();
    sessions.set(id, { refreshToken: tokens.refresh_token, accessTokens: { orders: tokens.access_token } });
    return id;
  }

  async function refresh(session: Session, api: string): Promise<string> {
    const form = { grant_type: "refresh_token", refresh_token: session.refreshToken };
    const tokens = await requestTokens({ ...form, resource: apis[api]!.resource });
    session.refreshToken = tokens.refresh_token;
    return (session.accessTokens[api] = tokens.access_token);
  }

  async function send(
    session: Session,
    api: string,
    config: AxiosRequestConfig & { _retry?: boolean },
  ): Promise<AxiosResponse> {
    const token = session.accessTokens[api] ?? (await refresh(session, api));
    try {
      return await axios({ ...config, headers: { ...(config.headers as object), authorization: `Bearer ${token}` } });
    } catch (error) {
      // oxlint-disable-next-line no-underscore-dangle -- the name that everybody uses
      if (!isAxiosError(error) || error.response?.status !== 401 || config._retry === true) throw error;
      await refresh(session, api);
      return send(session, api, { ...config, _retry: true });
    }
  }

  async function forward(c: Context): Promise<Response> {
    const id = getCookie(c, "usual") ?? "";
    const session = sessions.get(id);
    const [, api = "", path = ""] = /^\/usual\/api\/(\w+)(\/.*)/.exec(c.req.path) ?? [];
    if (session === undefined || apis[api] === undefined) return c.json({ signIn: true }, 401);
    const headers = { "x-request-id": c.req.header("x-request-id"), "content-type": c.req.header("content-type") };
    const data = c.req.method === "GET" ? undefined : Buffer.from(await c.req.arrayBuffer());
    try {
      const url = apis[api].url + path;
      const answer = await send(session, api, { url, method: c.req.method, headers, data, responseType: "stream" });
      const type = String(answer.headers["content-type"] ?? "application/json");
      return new Response(answer.data as ReadableStream, { status: answer.status, headers: { "content-type": type } });
    } catch (error) {
      const { status = 502, config } = isAxiosError(error) ? (error.response ?? error) : {};
      if (!(config?.url ?? "").startsWith(issuer)) return new Response("{}", { status });
      // The refresh failed, so the user has to sign in again.
      sessions.delete(id);
      return c.json({ signIn: true }, 401);
    }
  }

  const hono = new Hono().basePath("/usual");
  hono.get("/login", (c) => {
    const state = randomUUID();
    setCookie(c, "usual-state", state, { httpOnly: true, sameSite: "Lax", path: "/usual", maxAge: 600 });
    const query = {
      client_id: clientId,
      redirect_uri: redirectUri,
      scope,
      state,
      response_type: "code",
      prompt: "none",
    };
    const resources = Object.values(apis).map(({ resource }) => ["resource", resource]);
    return c.redirect(
      `${issuer}/auth?${new URLSearchParams([...Object.entries(query), ...resources] as string[][])}`,
      303,
    );
  });
  hono.get("/callback", async (c) => {
    const { code = "", state } = c.req.query();
    if (code === "" || state === undefined || state !== getCookie(c, "usual-state"))
      return c.redirect(`${origin}/`, 303);
    const form = {
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      resource: apis["orders"]!.resource,
    };
    const id = begin(await requestTokens(form));
    setCookie(c, "usual", id, { httpOnly: true, sameSite: "Lax", path: "/" });
    return c.redirect(`${origin}/`, 303);
  });
  hono.get("/user", (c) => c.json({ signedIn: sessions.has(getCookie(c, "usual") ?? "") }));
  hono.all("/api/*", (c) => forward(c));
  return { hono, begin };
}
