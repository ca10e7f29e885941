/**
 * The server of the example: an API, and sign-in with a cookie that only the server can read. The refresh endpoint answers
 * with an access token and replaces the cookie. A cookie that comes twice ends the session: it may have been stolen.
 *
 * Everything is in memory, and no password is asked for. Not here: where the pages come from (Vite).
 */
import type { IncomingMessage, ServerResponse } from "node:http";

interface Session {
  readonly user: string;
  refreshToken: string;
  isOver: boolean;
}

/** A request that the server has answered. */
export interface AnsweredRequest {
  readonly path: string;
  readonly token: string | undefined;
  readonly status: number;
}

interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly cookie?: string;
}

export class AppServer {
  /** The requests to the API and to the refresh endpoint, oldest first. */
  readonly answered: AnsweredRequest[] = [];
  /** Waits before it answers a request, or answers in the server's place. For tests. */
  before: ((path: string) => Promise<number | undefined> | number | undefined) | undefined;
  /** The refresh endpoint fails with this status, and looks at no cookie. For tests. */
  failsWith: number | undefined;
  readonly #sessions: Session[] = [];
  /** The access tokens that the API accepts, and whose they are. */
  readonly #live = new Map<string, string>();
  #count = 0;

  /** Answers a request. @returns `false` if it is for a page. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const path = (request.url ?? "").replace(/\?.*/, "");
    if (!path.startsWith("/api/") && !path.startsWith("/auth/")) return false;
    const token = /^Bearer (.+)/.exec(request.headers.authorization ?? "")?.[1];
    const text = await textOf(request);
    // Judged when it comes, answered later.
    const reply = this.#reply(path, token, text, /(?:^|; )refresh=([^;]+)/.exec(request.headers.cookie ?? "")?.[1]);
    const scripted = await this.before?.(path);
    const { status, body, cookie } = scripted === undefined ? reply : { status: scripted };
    this.answered.push({ path, token, status });
    if (cookie !== undefined)
      response.setHeader("set-cookie", `refresh=${cookie}; Path=/auth; HttpOnly; SameSite=Strict`);
    response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(body === undefined ? "" : JSON.stringify(body));
    return true;
  }

  /** The API accepts no token that was issued so far. Sessions go on. */
  revokeTokens(): void {
    this.#live.clear();
  }

  /** Ends the sessions of a user. */
  endSessions(user: string): void {
    for (const session of this.#sessions) if (session.user === user) session.isOver = true;
  }

  isSignedIn(user: string): boolean {
    return this.#sessions.some((session) => session.user === user && !session.isOver);
  }

  #reply(path: string, token: string | undefined, text: string, cookie: string | undefined): Reply {
    if (path === "/auth/sign-in") {
      const { user, isJson } = JSON.parse(text) as { user: string; isJson?: boolean };
      const session: Session = { user, refreshToken: "", isOver: false };
      this.#sessions.push(session);
      return this.#issue(session, isJson ?? false);
    }
    if (path === "/auth/refresh") return this.#refresh(text, cookie);
    if (path === "/auth/sign-out") {
      const session = this.#sessions.find(({ refreshToken }) => refreshToken === cookie);
      if (session !== undefined) session.isOver = true;
      return { status: 204, cookie: "; Max-Age=0" };
    }
    const user = this.#live.get(token ?? "");
    return user === undefined ? { status: 401 } : { status: 200, body: { user, items: ["tea", "bread"] } };
  }

  /** The refresh token comes in the cookie, or as JSON where an application keeps it itself. */
  #refresh(text: string, cookie: string | undefined): Reply {
    if (this.failsWith !== undefined) return { status: this.failsWith };
    const isJson = text.startsWith("{");
    const given = isJson ? (JSON.parse(text) as { refreshToken?: string }).refreshToken : cookie;
    const session = this.#sessions.find(({ refreshToken }) => refreshToken === given);
    if (session !== undefined && !session.isOver) return this.#issue(session, isJson);
    const used = this.#sessions[Number(given?.split(".")[0])];
    if (used !== undefined) used.isOver = true;
    return { status: 401 };
  }

  #issue(session: Session, isJson: boolean): Reply {
    const number = ++this.#count;
    session.refreshToken = `${this.#sessions.indexOf(session)}.${number}`;
    this.#live.set(`access-${number}`, session.user);
    const body = { accessToken: `access-${number}`, expiresIn: 600 };
    if (isJson) return { status: 200, body: { ...body, refreshToken: session.refreshToken } };
    return { status: 200, body, cookie: session.refreshToken };
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
