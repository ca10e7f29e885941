// The server of the page: its files, its endpoints `/auth/…`, and the way to the API. The refresh token is in a cookie that no
// script can read. The access token goes to the page.
import { createReadStream } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join, normalize } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";

export interface Settings {
  /** The folder that `vite build` has written. */
  readonly files: string;
  readonly tokenEndpoint: string;
  readonly revocationEndpoint: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The origin of the API. */
  readonly api: string;
  /** Signs a user in at the authorization server. `undefined`: the name or the password is wrong. */
  signIn(user: string, password: string): Promise<TokenResponse | undefined>;
}

export interface TokenResponse {
  readonly access_token: string;
  readonly expires_in?: number | undefined;
  readonly refresh_token?: string | undefined;
}

// With https: `__Host-refresh`, and `Secure` among the attributes.
const COOKIE = "refresh";
const COOKIE_ATTRIBUTES = "HttpOnly; SameSite=Strict; Path=/";

const CONTENT_TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
};

/** Creates the server. It does not listen yet. */
export function createAppServer(settings: Settings): Server {
  return createServer((request, response) => {
    answer(settings, request, response).catch((error: unknown) => {
      console.error(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    });
  });
}

async function answer(settings: Settings, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, search } = new URL(request.url ?? "/", "http://localhost");
  if (pathname.startsWith("/api/")) return passOn(settings, request, response, pathname + search);
  if (!pathname.startsWith("/auth/")) return sendFile(settings, response, pathname);
  // Other sites' pages may not sign users in or out. SameSite keeps the cookie from them, and this the sign-in.
  if (request.method !== "POST" || request.headers["sec-fetch-site"] !== "same-origin") {
    return void response.writeHead(403).end();
  }
  if (pathname === "/auth/sign-in") return signIn(settings, request, response);
  if (pathname === "/auth/refresh") return refresh(settings, request, response);
  if (pathname === "/auth/sign-out") return signOut(settings, request, response);
  response.writeHead(404).end();
}

async function signIn(settings: Settings, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { user, password } = JSON.parse(await text(request)) as { user: string; password: string };
  const tokens = await settings.signIn(user, password);
  if (tokens) sendToken(response, tokens);
  else response.writeHead(401).end();
}

async function refresh(settings: Settings, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refreshToken = refreshTokenOf(request);
  if (refreshToken === undefined) return void response.writeHead(401).end();
  const parameters = { grant_type: "refresh_token", refresh_token: refreshToken };
  const answered = await post(settings, settings.tokenEndpoint, parameters).catch(() => undefined);
  if (answered?.ok) return sendToken(response, (await answered.json()) as TokenResponse);
  const reason = answered?.status === 400 ? ((await answered.json()) as { error?: string }).error : undefined;
  if (reason === "invalid_grant") return void response.writeHead(401, { "set-cookie": setCookie("", 0) }).end();
  // The cookie stays: the session is not over, only the authorization server cannot be asked now.
  const retryAfter = answered?.headers.get("retry-after");
  response.writeHead(503, retryAfter ? { "retry-after": retryAfter } : {}).end();
}

async function signOut(settings: Settings, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refreshToken = refreshTokenOf(request);
  // The user is signed out here also when the authorization server cannot be told.
  if (refreshToken) await post(settings, settings.revocationEndpoint, { token: refreshToken }).catch(console.error);
  response.writeHead(204, { "set-cookie": setCookie("", 0) }).end();
}

function sendToken(response: ServerResponse, tokens: TokenResponse): void {
  response.setHeader("cache-control", "no-store");
  response.setHeader("content-type", "application/json");
  if (tokens.refresh_token) response.setHeader("set-cookie", setCookie(tokens.refresh_token, 30 * 24 * 3600));
  response.end(JSON.stringify({ accessToken: tokens.access_token, expiresIn: tokens.expires_in }));
}

const setCookie = (value: string, maxAgeSeconds: number): string =>
  `${COOKIE}=${value}; Max-Age=${maxAgeSeconds}; ${COOKIE_ATTRIBUTES}`;

function refreshTokenOf({ headers }: IncomingMessage): string | undefined {
  return new RegExp(`(?:^|; )${COOKIE}=([^;]+)`).exec(headers.cookie ?? "")?.[1];
}

function post(settings: Settings, url: string, parameters: Record<string, string>): Promise<Response> {
  const credentials = `${encodeURIComponent(settings.clientId)}:${encodeURIComponent(settings.clientSecret)}`;
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(credentials)}` },
    body: new URLSearchParams(parameters),
    signal: AbortSignal.timeout(8000),
  });
}

async function passOn(
  settings: Settings,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<void> {
  const { method = "GET", headers } = request;
  const { authorization, "content-type": contentType } = headers;
  const answered = await fetch(settings.api + path, {
    method,
    headers: { ...(authorization && { authorization }), ...(contentType && { "content-type": contentType }) },
    ...(method !== "GET" && method !== "HEAD" && { body: await text(request) }),
  });
  response.statusCode = answered.status;
  for (const name of ["content-type", "www-authenticate", "retry-after"]) {
    const value = answered.headers.get(name);
    if (value !== null) response.setHeader(name, value);
  }
  if (answered.body) Readable.fromWeb(answered.body as never).pipe(response);
  else response.end();
}

function sendFile(settings: Settings, response: ServerResponse, pathname: string): void {
  const name = normalize(pathname === "/" ? "/index.html" : pathname);
  const file = createReadStream(join(settings.files, name));
  file.once("open", () => {
    response.setHeader("content-type", CONTENT_TYPES[extname(name)] ?? "application/octet-stream");
    file.pipe(response);
  });
  file.once("error", () => response.writeHead(404).end());
}
