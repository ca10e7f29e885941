/**
 * The servers of the matrix: an API with the token endpoint, and a second host that no cache lists. Both answer by the
 * path alone, so that a client in another process or in a page needs no other connection to them.
 *
 * A path is `/<run>/<call>/<route>`. A run is one case with one client in one mode. The letters that its name begins with
 * say what the servers do with it (wire.ts).
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { HELD, NONCE, REFUSING, REJECTING, TOKEN, WAITING, type Arrival, type Log } from "./wire.ts";

export interface Servers {
  /** The origin that the caches list. */
  readonly api: string;
  /** The origin that no cache lists. */
  readonly other: string;
  /** An origin at which nothing listens. */
  readonly closed: string;
  /** Returns what arrived in a run, as soon as so many requests have that were not answered with 401. */
  log(run: string, total: number): Promise<Log>;
  close(): Promise<void>;
}

/** What the servers know of one run. */
interface Run {
  readonly arrivals: Arrival[];
  mints: number;
  /** The calls whose first request was answered with 401. */
  readonly refused: Set<string>;
  /** Called at every arrival. */
  readonly waiting: Set<() => void>;
  /** Of a held run: what holds back the answer. */
  readonly hold: { readonly begun: Signal; readonly ended: Signal } | undefined;
}

/** @param page The document and the script of the page, by path. */
export async function startServers(page: Readonly<Record<string, string>> = {}): Promise<Servers> {
  const runs = new Map<string, Run>();
  const runOf = (name: string): Run => {
    let run = runs.get(name);
    if (run === undefined) {
      const hold = name[1] === HELD ? { begun: new Signal(), ended: new Signal() } : undefined;
      runs.set(name, (run = { arrivals: [], mints: 0, refused: new Set(), waiting: new Set(), hold }));
    }
    return run;
  };
  const api = await listen((request, response) => serveApi(request, response));
  const other = await listen((request, response) => serve("other", request, response));
  const closed = await listen(() => {});
  await closed.close();
  return {
    api: api.origin,
    other: other.origin,
    closed: closed.origin,
    log: (run, total) => logOf(runOf(run), total),
    close: async () => void (await Promise.all([api.close(), other.close()])),
  };

  async function serveApi(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? "";
    const document = page[url];
    if (document !== undefined) {
      response.setHeader("content-type", url.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8");
      response.end(document);
      return;
    }
    const [, name = "", total] = /^\/log\/(\w+)\?(\d+)$/.exec(url) ?? [];
    if (total !== undefined) {
      const log = await logOf(runOf(name), Number(total));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(log));
      return;
    }
    const [, held = "", step] = /^\/hold\/(\w+)\/(begun|ended)$/.exec(url) ?? [];
    if (step !== undefined) {
      const { hold } = runOf(held);
      if (step === "begun") await hold?.begun.given;
      else hold?.ended.give();
      response.end();
      return;
    }
    const [, minting] = /^\/(\w+)\/token$/.exec(url) ?? [];
    if (minting === undefined) return serve("api", request, response);
    await bodyOf(request);
    const run = runOf(minting);
    if (minting.startsWith(WAITING)) await heldBack(run);
    const token_type = minting.startsWith(NONCE) ? "DPoP" : "Bearer";
    // A turn of the event loop, so that every caller that comes meanwhile waits.
    setImmediate(() => {
      const body = { access_token: `${TOKEN}${minting}-${++run.mints}`, token_type, expires_in: 3600 };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  }

  async function serve(host: Arrival["host"], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", rawHeaders } = request;
    const [, name = "", call = "", route = "/"] = /^\/(\w+)\/(\d+)(\/.*)$/s.exec(url) ?? [];
    const run = runOf(name);
    const { body, whole } = await bodyOf(request);
    const headers: [string, string][] = [];
    let authorization: string | undefined;
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const [key = "", value = ""] = rawHeaders.slice(index, index + 2);
      if (key.toLowerCase() === "authorization") authorization = value;
      else headers.push([key, value]);
    }
    const carriesToken = authorization?.includes(TOKEN) ?? false;
    const isRejected =
      host === "api" &&
      !isPreflight(request) &&
      !run.refused.has(call) &&
      (name.startsWith(REFUSING) || ((name.startsWith(REJECTING) || name.startsWith(NONCE)) && carriesToken));
    run.arrivals.push({
      host,
      call,
      method,
      url: route,
      headers,
      authorization,
      body: body.length > LONGEST_BODY ? digestOf(body) : body.toString("latin1"),
      whole,
      isRejected,
    });
    for (const wake of run.waiting) wake();
    const count = run.arrivals.filter((each) => each.call === call && !each.isRejected).length;
    if (isRejected) {
      run.refused.add(call);
      await heldBack(run);
      const challenge = {
        date: DATE,
        ...(name.startsWith(NONCE)
          ? { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "of-the-server" }
          : { "www-authenticate": 'Bearer error="invalid_token"' }),
        "content-type": "application/json",
      };
      response.writeHead(401, challenge).end('{"ok":false}');
    } else answer(request, response, { route, prefix: `/${name}/${call}`, count, other: other.origin });
  }
}

/** Bytes of a body that are logged as they came. Of a longer one the log has the length and a digest. */
const LONGEST_BODY = 16 * 1024;

function digestOf(body: Buffer): string {
  return `${body.length} bytes: ${createHash("sha256").update(body).digest("hex")}`;
}

/** Something that happens once, and can be waited for. */
class Signal {
  give: () => void = () => {};
  readonly given: Promise<void> = new Promise((resolve) => (this.give = resolve));
}

/** In a held run: tells that the answer is held back, and waits until the client wants it. */
async function heldBack({ hold }: Run): Promise<void> {
  hold?.begun.give();
  await hold?.ended.given;
}

function logOf(run: Run, total: number): Promise<Log> {
  return new Promise((resolve) => {
    const tell = (): void => {
      if (run.arrivals.filter(({ isRejected }) => !isRejected).length < total) return;
      run.waiting.delete(tell);
      resolve({ arrivals: [...run.arrivals], mints: run.mints });
    };
    run.waiting.add(tell);
    tell();
  });
}

interface Asked {
  readonly route: string;
  /** What stands before the route in the path. */
  readonly prefix: string;
  /** The number of requests of this call, without the one that was answered with 401. */
  readonly count: number;
  readonly other: string;
}

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "*, authorization",
  "access-control-allow-methods": "*",
};
/** Fixed, so that two answers are the same. */
const DATE = "Thu, 01 Jan 2026 00:00:00 GMT";
const TEXT = "grüße, 世界 ".repeat(40);
const BYTES = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));

/** Answers a request by its route. */
function answer(request: IncomingMessage, response: ServerResponse, asked: Asked): void {
  const { pathname, searchParams } = new URL(asked.route, "http://route.invalid");
  const [, route = "", argument = ""] = pathname.split("/");
  const parameter = (name: string): string => searchParams.get(name) ?? "";
  response.setHeader("date", DATE);
  if (request.headers.origin !== undefined)
    for (const name in CORS) response.setHeader(name, CORS[name as "access-control-allow-origin"]);
  const send = (status: number, headers: Record<string, string | string[]>, body: string | Uint8Array = ""): void => {
    response.writeHead(status, headers).end(body);
  };
  const json = { "content-type": "application/json" };
  if (isPreflight(request)) return send(204, {});
  switch (route) {
    case "status": {
      const headers: Record<string, string> = { ...json, "x-status": argument };
      for (const name of ["www-authenticate", "retry-after", "etag", "content-range"]) {
        if (searchParams.has(name)) headers[name] = parameter(name);
      }
      return send(Number(argument), headers, /^(?:204|304)$/.test(argument) ? "" : `{"status":${argument}}`);
    }
    case "reason":
      response.writeHead(200, "All is Well", json).end("{}");
      return;
    case "headers":
      return send(200, {
        "Content-Type": "text/plain; charset=utf-8",
        // Kept by a browser, and not sent in any other run.
        "Set-Cookie": [`a=1; Path=${asked.prefix}/`, `b=2; Path=${asked.prefix}/; HttpOnly`],
        "X-Twice": ["one", "two"],
        "X-Empty": "",
        "X-Latin1": "caf\u00e9",
        Link: '</next>; rel="next"',
        ETag: '"v1"',
      });
    case "body": {
      const bodies: Record<string, [string, string | Uint8Array]> = {
        json: ["application/json", '{"a":[1,"ü",null]}'],
        charset: ["application/json; charset=utf-8", '{"a":1}'],
        problem: ["application/problem+json", '{"title":"no"}'],
        broken: ["application/json", '{"a":'],
        number: ["application/json", "1.50"],
        null: ["application/json", "null"],
        string: ["application/json", '"text"'],
        text: ["text/plain; charset=utf-8", TEXT],
        html: ["text/html", "<p>hello</p>"],
        xml: ["application/xml", "<a/>"],
        bom: ["application/json", Buffer.from('\u{feff}{"a":1}')],
        bytes: ["application/octet-stream", BYTES],
        latin1: ["text/plain; charset=iso-8859-1", Buffer.from([0x67, 0x72, 0xfc, 0xdf])],
        form: ["application/x-www-form-urlencoded", "a=1&b=%C3%BC"],
        ndjson: ["application/x-ndjson", '{"a":1}\n{"a":2}\n'],
        untyped: ["", "no type"],
        empty: ["application/json", ""],
        big: ["application/octet-stream", Buffer.alloc(1 << 20, "x")],
        multipart: [
          "multipart/form-data; boundary=line",
          '--line\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--line--\r\n',
        ],
      };
      const [type, body] = bodies[argument] ?? ["text/plain", "no such body"];
      return send(200, type === "" ? {} : { "content-type": type }, body);
    }
    case "coded": {
      const coders: Record<string, (body: string) => Buffer> = {
        gzip: gzipSync,
        deflate: deflateSync,
        br: brotliCompressSync,
      };
      return send(200, { "content-type": "text/plain", "content-encoding": argument }, coders[argument]?.(TEXT) ?? "");
    }
    case "chunks":
      response.writeHead(200, { "content-type": argument === "events" ? "text/event-stream" : "text/plain" });
      return writeSlowly(response, argument === "events" ? "event: a\ndata: 1\n\ndata: 2\n\n" : TEXT);
    case "redirect": {
      const to = parameter("to").replace("OTHER", asked.other).replace("PREFIX", asked.prefix);
      return send(Number(argument), to === "" ? {} : { location: to }, "moved");
    }
    case "flaky":
      if (asked.count <= Number(argument)) return send(503, json, `{"count":${asked.count}}`);
      return send(200, json, '{"ok":true}');
    case "hang":
      return;
    case "half":
      // The headers and a part of the body, and then nothing.
      response.writeHead(200, { "content-type": "text/plain" }).write("half");
      return;
    case "cut":
      response.writeHead(200, { "content-type": "text/plain", "content-length": "10" }).write("half");
      setImmediate(() => response.destroy());
      return;
    case "reset":
      response.destroy();
      return;
    case "garbage":
      response.socket?.end("this is not HTTP\r\n\r\n");
      return;
    case "oversized":
      return send(200, { "x-large": "x".repeat(64 * 1024) });
    default:
      return send(200, json, '{"ok":true}');
  }
}

/** Whether a page asks for leave to send a request to another origin. */
function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === "OPTIONS" && headers["access-control-request-method"] !== undefined;
}

/** Writes a text in pieces that cut characters in two. */
function writeSlowly(response: ServerResponse, text: string): void {
  const bytes = Buffer.from(text);
  const size = Math.ceil(bytes.length / 5);
  const next = (from: number): void => {
    if (from >= bytes.length) response.end();
    else response.write(bytes.subarray(from, from + size), () => setImmediate(() => next(from + size)));
  };
  next(0);
}

async function bodyOf(request: IncomingMessage): Promise<{ body: Buffer; whole: boolean }> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return { body: Buffer.concat(chunks), whole: true };
  } catch {
    // The client broke off.
    return { body: Buffer.concat(chunks), whole: false };
  }
}

type Serve = (request: IncomingMessage, response: ServerResponse) => unknown;

async function listen(serve: Serve): Promise<{ origin: string; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
    void Promise.resolve(serve(request, response)).catch(() => response.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
