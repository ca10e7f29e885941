import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isRemintError } from "remint";
import { createAuthFetch } from "remint/fetch";
import type { Sessions } from "./sessions.ts";

interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const SIGN_IN_AGAIN: Reply = { status: 401, body: JSON.stringify({ signIn: "/sign-in" }) };

/**
 * Creates a backend for a front end. `/sign-in` begins a session; GET `/api/*` goes to the upstream API with the user's
 * token.
 */
export function createBff(sessions: Sessions, upstream: string): Server {
  // The client has no cache of its own. Each request names the cache it uses.
  const authFetch = createAuthFetch(() => undefined, { failedRenewal: "throw" });

  async function signIn(url: URL): Promise<Reply> {
    // A real sign-in checks `state` and sends the PKCE verifier with the code.
    const session = await sessions.begin(url.searchParams.get("code") ?? "");
    return { status: 204, headers: { "set-cookie": `session=${session}; HttpOnly; SameSite=Lax; Path=/` } };
  }

  async function forward(url: URL, session: string | undefined): Promise<Reply> {
    const tokens = sessions.tokens(session);
    if (session === undefined || tokens === undefined) return SIGN_IN_AGAIN;
    try {
      const answer = await authFetch(upstream + url.pathname.replace(/^\/api/, ""), { remint: tokens });
      const body = await answer.text();
      // If the API still answers 401 after a renewal, signing in again would not help the browser.
      return answer.status === 401 ? { status: 502 } : { status: answer.status, body };
    } catch (error) {
      const reply = replyTo(error);
      if (reply === SIGN_IN_AGAIN) await sessions.end(session);
      return reply;
    }
  }

  return createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://bff");
    const reply = url.pathname === "/sign-in" ? signIn(url) : forward(url, sessionOf(request));
    void reply.catch(replyTo).then((said) => send(response, said));
  });
}

/** Returns the answer for the browser when no token could be obtained. */
function replyTo(error: unknown): Reply {
  // The failure is not about tokens: the API could not be reached.
  if (!isRemintError(error)) return { status: 502 };
  return error.terminal ? SIGN_IN_AGAIN : { status: error.status, headers: error.headers };
}

function sessionOf(request: IncomingMessage): string | undefined {
  return /(?:^|; )session=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
}

function send(response: ServerResponse, { status, headers = {}, body }: Reply): void {
  response.writeHead(status, body === undefined ? headers : { "content-type": "application/json", ...headers });
  response.end(body);
}
