/**
 * A server for tests of the page alone: it serves the page and says what a test tells it to say. It knows no tokens, no
 * sessions and no APIs; page-journey.test.ts runs the page against the real server.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { CookiesAnswer, Hello, Message, Recording, UserAnswer } from "../page/messages.ts";

const page = (file: string): string => fileURLToPath(new URL(`../page/${file}`, import.meta.url));

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
  "form-action 'self'; frame-ancestors 'none'";

const HOUR = 3_600_000;

let bundle: Promise<string> | undefined;

/** The script of the page. */
async function bundled(): Promise<string> {
  const entryPoints = [page("page.ts")];
  const { outputFiles } = await build({ entryPoints, bundle: true, write: false, format: "esm", target: "es2022" });
  return outputFiles[0]?.text ?? "";
}

/** What a press of a button is answered with. */
export interface Answer {
  readonly status: number;
  readonly body?: object;
}

export class ScriptedServer {
  readonly origin: string;
  /** Names of the actions that the page asked for. */
  readonly actions: string[] = [];
  /** Paths and queries of navigations. */
  readonly navigations: string[] = [];
  signedIn = true;
  recording: Recording = { messages: [] };
  processes: { id: number; alive: boolean }[] = [{ id: 1, alive: true }];
  answer: (action: string) => Answer = () => ({ status: 202, body: {} });
  readonly #server: ReturnType<typeof createServer>;
  readonly #feeds = new Set<ServerResponse>();
  readonly #streams = new Set<ServerResponse>();

  private constructor(server: ReturnType<typeof createServer>, script: string) {
    this.#server = server;
    this.origin = `http://localhost:${(server.address() as AddressInfo).port}`;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      void this.#respond(request, response, script);
    });
  }

  static async start(): Promise<ScriptedServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
    return new ScriptedServer(server, await (bundle ??= bundled()));
  }

  /** How many pages listen. */
  get listeners(): number {
    return this.#feeds.size;
  }

  /** How many event streams of the API are open. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Sends messages to every page that listens. */
  send(...messages: readonly Message[]): void {
    for (const feed of this.#feeds) for (const message of messages) feed.write(`data: ${JSON.stringify(message)}\n\n`);
  }

  /** Sends an event to every open stream of the API. */
  stream(text: string): void {
    for (const each of this.#streams) each.write(`data: ${text}\n\n`);
  }

  /** Ends the feeds. The pages connect again. */
  hangUp(): void {
    for (const feed of this.#feeds) feed.destroy();
    this.#feeds.clear();
  }

  hello(): Hello {
    return {
      type: "hello",
      now: Date.now(),
      user: this.signedIn ? { name: "Alice" } : null,
      lanes: { usual: { signedIn: this.signedIn }, remint: { signedIn: this.signedIn } },
      tokenLifetime: 60_000,
      processes: this.processes,
      faults: { "as-down": null, "api-401": false },
    };
  }

  async close(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  async #respond(request: IncomingMessage, response: ServerResponse, script: string): Promise<void> {
    const { pathname, search } = new URL(request.url ?? "/", this.origin);
    response.setHeader("cache-control", "no-store");
    response.setHeader("content-security-policy", POLICY);
    const send = (type: string, body: string | Buffer, status = 200): void => {
      response.writeHead(status, { "content-type": type }).end(body);
    };
    const json = (body: unknown, status = 200): void => send("application/json", JSON.stringify(body), status);
    if (pathname === "/") {
      // A browser may keep the page in memory, as some do whatever the real server says.
      response.setHeader("cache-control", "no-cache");
      return send("text/html; charset=utf-8", await readFile(page("index.html")));
    }
    if (pathname === "/page.js") return send("text/javascript", script);
    if (pathname === "/page.css") return send("text/css", await readFile(page("page.css")));
    // The second one is asked for by a page without an icon of its own.
    if (pathname === "/icon.svg" || pathname === "/favicon.ico")
      return send("image/svg+xml", await readFile(page("icon.svg")));
    if (pathname === "/bff/user") return json(this.#user());
    if (pathname === "/demo/state") return json(this.hello());
    if (pathname === "/demo/cookies") return json(this.#cookies());
    if (pathname === "/demo/recording") return json(this.recording);
    if (pathname === "/demo/events") return this.#open(this.#feeds, request, response, JSON.stringify(this.hello()));
    if (pathname === "/api/orders/events") return this.#open(this.#streams, request, response, "0");
    if (pathname.startsWith("/demo/actions/")) {
      const action = pathname.slice("/demo/actions/".length);
      this.actions.push(action);
      const { status, body = {} } = this.answer(action);
      return json(body, status);
    }
    if (pathname === "/bff/logout" || pathname === "/bff/login") {
      this.navigations.push(pathname + search);
      this.signedIn = pathname === "/bff/login";
      response.writeHead(303, { location: "/" }).end();
      return undefined;
    }
    return send("text/plain", "not found", 404);
  }

  #open(open: Set<ServerResponse>, request: IncomingMessage, response: ServerResponse, first: string): void {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`retry: 100\ndata: ${first}\n\n`);
    open.add(response);
    request.once("close", () => open.delete(response));
  }

  #user(): UserAnswer {
    if (!this.signedIn) return { user: null };
    const now = Date.now();
    const session = {
      acr: "pwd",
      authTime: Math.floor(now / 1000),
      idleUntil: now + HOUR / 2,
      absoluteUntil: now + 8 * HOUR,
    };
    return { user: { name: "Alice", sub: "alice" }, session };
  }

  #cookies(): CookiesAnswer {
    return this.signedIn
      ? [{ name: "__Host-Http-bff", flags: ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] }]
      : [];
  }
}
