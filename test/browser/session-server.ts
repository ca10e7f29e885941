/**
 * A server as many applications have it: sign-in with a cookie, and a refresh endpoint whose cookie rotates at every use. A
 * cookie that comes twice ends the session, as a server with reuse detection does.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

interface Session {
  readonly user: string;
  refresh: string;
  isDead: boolean;
}

export class SessionServer implements AsyncDisposable {
  readonly origin: string;
  /** The answers of the refresh endpoint: the status, or what happened. */
  readonly refreshes: string[] = [];
  /** Access tokens that the API accepts, by the user they are for. */
  readonly live = new Map<string, string>();
  /** Seconds that access tokens live. */
  expiresIn = 3600;
  /** Called before the refresh endpoint answers; the answer waits for it. The session has rotated already. */
  beforeAnswer: ((response: ServerResponse) => unknown) | undefined;
  /** Answers the next requests to the refresh endpoint in another way. */
  scripted: ((response: ServerResponse) => void)[] = [];
  readonly #server: ReturnType<typeof createServer>;
  readonly #sessions: Session[] = [];
  #count = 0;

  private constructor(server: ReturnType<typeof createServer>, origin: string) {
    this.#server = server;
    this.origin = origin;
  }

  static async start(page: string, script: () => string): Promise<SessionServer> {
    const server = createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as { port: number };
    // A name, because browsers keep cookies by host, and the tests of one file run on servers of their own.
    const own = new SessionServer(server, `http://localhost:${port}`);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const { pathname } = new URL(request.url!, own.origin);
      if (pathname === "/") send(response, 200, page, "text/html; charset=utf-8");
      else if (pathname === "/page.js") send(response, 200, script(), "text/javascript; charset=utf-8");
      else void own.#answer(request, response, pathname);
    });
    return own;
  }

  /** Whether a session of this user is alive. */
  isAlive(user: string): boolean {
    return this.#sessions.some((session) => session.user === user && !session.isDead);
  }

  /** The API accepts no token that it has accepted so far. */
  revokeAccess(): void {
    this.live.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { searchParams } = new URL(request.url!, this.origin);
    if (pathname === "/auth/login") {
      const session: Session = { user: searchParams.get("user")!, refresh: "", isDead: false };
      this.#sessions.push(session);
      return this.#grant(response, session, searchParams.has("json"));
    }
    if (pathname === "/auth/logout") {
      const session = this.#sessions.find(({ refresh }) => refresh === cookieOf(request));
      if (session !== undefined) session.isDead = true;
      response.setHeader("set-cookie", "refresh=; Path=/; Max-Age=0");
      return send(response, 204);
    }
    if (pathname === "/auth/refresh") return this.#refresh(request, response, body);
    const user = this.live.get(request.headers.authorization?.replace(/^Bearer /, "") ?? "");
    return user === undefined ? send(response, 401) : send(response, 200, user);
  }

  async #refresh(request: IncomingMessage, response: ServerResponse, body: string): Promise<void> {
    const script = this.scripted.shift();
    if (script !== undefined) {
      this.refreshes.push("scripted");
      return script(response);
    }
    const isJson = body !== "";
    const given = isJson ? (JSON.parse(body) as { refreshToken?: string }).refreshToken : cookieOf(request);
    const session = this.#sessions.find(({ refresh }) => refresh === given);
    if (session === undefined || session.isDead) {
      // A cookie that was used before: the session it belongs to is over, for whoever has the next one too.
      const [, id] = /^(\d+)\./.exec(given ?? "") ?? [];
      const reused = id === undefined ? undefined : this.#sessions[Number(id)];
      if (reused !== undefined && !reused.isDead) {
        reused.isDead = true;
        this.refreshes.push("reused");
      } else this.refreshes.push("401");
      return send(response, 401);
    }
    this.refreshes.push("200");
    return this.#grant(response, session, isJson);
  }

  async #grant(response: ServerResponse, session: Session, isJson: boolean): Promise<void> {
    const number = ++this.#count;
    const accessToken = `access-${number}`;
    session.refresh = `${this.#sessions.indexOf(session)}.${number}`;
    this.live.set(accessToken, session.user);
    await this.beforeAnswer?.(response);
    if (!isJson) response.setHeader("set-cookie", `refresh=${session.refresh}; Path=/; HttpOnly; SameSite=Strict`);
    const answer = { accessToken, expiresIn: this.expiresIn, ...(isJson && { refreshToken: session.refresh }) };
    send(response, 200, JSON.stringify(answer), "application/json");
  }
}

function cookieOf({ headers }: IncomingMessage): string | undefined {
  return /(?:^|;\s*)refresh=([^;]*)/.exec(headers.cookie ?? "")?.[1];
}

function send(response: ServerResponse, status: number, body = "", type = "text/plain"): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  response.end(body);
}
