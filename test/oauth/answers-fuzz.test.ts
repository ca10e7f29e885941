/**
 * Every answer of a token endpoint that a machine can make: a grammar over status, headers, body, encoding, length, and how the
 * bytes arrive. What comes of each is a token or an error of this package, nothing secret is printed, and a refresh token in
 * an answer that can be read is kept.
 *
 * `REMINT_RUNS` sets how many answers are tried, `REMINT_SEED` another seed. A failure prints its seed and answer.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTokenCache, isRemintError, refreshTokenGrant } from "../../src/index.ts";
import { randomOf } from "../sim/random.ts";

const RUNS = Number(process.env["REMINT_RUNS"] ?? 200);
const SEED = Number(process.env["REMINT_SEED"] ?? 20_261);
const SECRET = "hush-client-secret-77";
const REFRESH = "hush-refresh-token-41";
const ACCESS = "hush-access-token-93";
const NEXT = "hush-next-refresh-token-58";

interface Answer {
  readonly kind: string;
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
  /** Sends only so many bytes of the whole, and ends the connection. */
  readonly cutAt: number | undefined;
  /** Bytes at a time. */
  readonly step: number;
}

function answerOf(next: () => number): Answer {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const values = [null, true, 0, -1, 1.5, 1e308, "", "x", REFRESH, SECRET, [], {}, { a: SECRET }];
  /** What was sent may stand anywhere. A new token may stand where its name says so: nobody else could know it. */
  const scalar = (): unknown => pick(values);
  const token = (): unknown => pick([...values, ACCESS, NEXT, [ACCESS]]);
  const members: Record<string, () => unknown> = {
    access_token: () => pick([ACCESS, ACCESS, ACCESS, "", "two\nlines", "ünicode", token()]),
    token_type: () => pick(["Bearer", "bearer", "BearerToken", "DPoP", "mac", scalar()]),
    expires_in: () => pick([3600, "3600", 0, -5, "soon", 1e20, scalar()]),
    refresh_token: () => pick([NEXT, NEXT, NEXT, "", token()]),
    error: () => pick(["invalid_grant", "invalid_client", "temporarily_unavailable", SECRET, scalar()]),
    error_description: () => pick([`no ${SECRET} here`, encodeURIComponent(REFRESH), "x".repeat(9000), scalar()]),
    scope: () => pick(["a b", "", scalar()]),
    id_token: () => token(),
    __proto__: () => scalar(),
    state: () => scalar(),
  };
  const object = (): object => {
    const chosen = Object.entries(members).filter(
      ([name]) => next() < (name.endsWith("s_token") || name === "refresh_token" ? 0.8 : 0.3),
    );
    return Object.fromEntries(chosen.map(([name, make]) => [name, make()]));
  };
  const json = (): string => JSON.stringify(object());
  const kinds: Record<string, () => string> = {
    object: json,
    "object with a byte order mark": () => `\uFEFF${json()}`,
    "object that breaks off": () => json().slice(0, Math.floor(next() * 40)),
    "text after the object": () => `${json()} trailing ${SECRET}`,
    "a list": () => JSON.stringify([object()]),
    "a scalar": () => JSON.stringify(scalar()) ?? "null",
    "a form": () => `access_token=${ACCESS}&refresh_token=${NEXT}`,
    html: () => `<html><body>${SECRET} ${encodeURIComponent(REFRESH)}</body></html>`,
    nothing: () => "",
    "spaces and an object": () => `${" ".repeat(Math.floor(next() * 5000))}${json()}`,
    "a deep list": () => "[".repeat(5000),
    "2 MiB": () => JSON.stringify({ ...object(), filler: "y".repeat(2 * 1024 * 1024) }),
    "a member twice": () => `{"access_token":"${ACCESS}","access_token":"${pick([ACCESS, ""])}"}`,
  };
  const kind = next() < 0.5 ? "object" : pick(Object.keys(kinds));
  let body: Buffer = Buffer.from(
    kinds[kind]!(),
    pick(["utf8", "utf8", "utf8", "utf8", "utf8", "utf8", "utf16le", "latin1"]),
  );
  const status = pick([
    200, 200, 200, 200, 201, 202, 204, 206, 301, 302, 307, 400, 400, 401, 403, 404, 429, 500, 502, 503, 599,
  ]);
  const lines = [`HTTP/1.1 ${status} ${pick(["OK", "", "No", SECRET])}`];
  const add = (line: string, chance: number): void => void (next() < chance && lines.push(line));
  add(`Content-Type: ${pick(["application/json", "text/html", "application/json; charset=utf-16", SECRET, ""])}`, 0.8);
  add(`Date: ${pick(["Thu, 01 Jan 2026 00:00:00 GMT", "yesterday", ""])}`, 0.5);
  add(`Retry-After: ${pick(["1", "-1", "999999999999", "soon", "Thu, 01 Jan 2026 00:00:00 GMT"])}`, 0.2);
  add(`Location: ${pick(["/elsewhere", "https://evil.example/", "::", ""])}`, status < 400 && status > 300 ? 0.9 : 0.1);
  add(`WWW-Authenticate: Basic realm="${SECRET}"`, 0.2);
  add(`X-Echo: ${REFRESH}`, 0.2);
  if (next() < 0.1) {
    body = next() < 0.5 ? gzipSync(body) : body;
    lines.push("Content-Encoding: gzip");
  }
  const framing = next();
  if (framing < 0.6) lines.push(`Content-Length: ${body.length}`);
  else if (framing < 0.7) lines.push(`Content-Length: ${body.length + 7}`);
  else if (framing < 0.8) lines.push(`Content-Length: ${Math.max(0, body.length - 3)}`);
  else if (framing < 0.9) {
    lines.push("Transfer-Encoding: chunked");
    body = Buffer.concat([
      Buffer.from(`${body.length.toString(16)}\r\n`),
      body,
      Buffer.from(pick(["\r\n0\r\n\r\n", "\r\n", ""])),
    ]);
  }
  lines.push("Connection: close");
  const head = next() < 0.02 ? `nonsense ${SECRET}\r\n\r\n` : `${lines.join("\r\n")}\r\n\r\n`;
  const length = head.length + body.length;
  const cutAt = next() < 0.1 ? Math.floor(next() * length) : undefined;
  return { kind, status, head, body, cutAt, step: next() < 0.1 && length < 4000 ? 7 : length };
}

function shown(counts: Map<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
}

let server: Server;
let current: Answer;
let requests = 0;
const sockets = new Set<Socket>();

beforeAll(async () => {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let seen = "";
    socket.on("data", (chunk) => {
      seen += String(chunk);
      // The whole of the form: it ends with the refresh token or with the secret.
      const [head = "", form = ""] = seen.split("\r\n\r\n");
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Infinity);
      if (Buffer.byteLength(form) < length) return;
      seen = "";
      requests++;
      void send(socket, current);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
});

async function send(socket: Socket, { head, body, cutAt, step }: Answer): Promise<void> {
  const whole = Buffer.concat([Buffer.from(head), body]).subarray(0, cutAt);
  for (let start = 0; start < whole.length; start += step) {
    socket.write(whole.subarray(start, start + step));
    if (step < whole.length) await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  socket.end();
}

/** The refresh token that an answer brings, if it is one of success that can be read whole. */
function stateIn({ status, head, body, cutAt }: Answer): string | undefined {
  const isPlain = !head.includes("Encoding") && head.includes(`Content-Length: ${body.length}\r\n`);
  if (status < 200 || status > 299 || status === 204 || cutAt !== undefined || !isPlain || head.startsWith("nonsense"))
    return undefined;
  if (body.length > 1024 * 1024) return undefined;
  try {
    // As UTF-8, whatever the server has written.
    const { refresh_token: token } = JSON.parse(new TextDecoder().decode(body)) as { refresh_token?: unknown };
    return typeof token === "string" && /^[\x21-\x7e]+$/.test(token) && token !== REFRESH ? token : undefined;
  } catch {
    return undefined;
  }
}

test(`S5, C14: ${RUNS} answers of any form: a token or an error of ours, nothing secret, and the state is kept`, async () => {
  const { port } = server.address() as AddressInfo;
  const next = randomOf(SEED);
  const kinds = new Map<string, number>();
  const outcomes = new Map<string, number>();
  let longest = 0;
  let states = 0;
  for (let run = 0; run < RUNS; run++) {
    current = answerOf(next);
    const what = `REMINT_SEED=${SEED}, answer ${run}: ${current.head}${current.body.subarray(0, 300).toString("latin1")}`;
    const rotated: string[] = [];
    const events: unknown[] = [];
    const handed: unknown[] = [];
    const cache = createTokenCache({
      grant: refreshTokenGrant({
        tokenEndpoint: `http://127.0.0.1:${port}/token`,
        clientId: "portal",
        clientSecret: SECRET,
        refreshToken: () => rotated.at(-1) ?? REFRESH,
        onRotate: (token, context) => {
          rotated.push(token);
          handed.push(context.response);
        },
      }),
      origins: ["https://api.example"],
      mintRetries: 0,
      // Node's fetch never settles for some answers with a broken encoding.
      mintTimeout: 3000,
      warnings: false,
      onEvent: (event) => void events.push(event),
    });
    requests = 0;
    const since = performance.now();
    const outcome: unknown = await cache.get().then(
      (token) => token.value,
      (error: unknown) => error,
    );
    longest = Math.max(longest, performance.now() - since);
    kinds.set(current.kind, (kinds.get(current.kind) ?? 0) + 1);
    const name = isRemintError(outcome) ? outcome.code : typeof outcome === "string" ? "token" : "?";
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
    if (name === "?") throw new Error(what, { cause: outcome });
    const asText = [
      ...(typeof outcome === "string" ? [] : [outcome, (outcome as Error).stack, JSON.stringify(outcome)]),
      ...events,
      ...handed,
    ].map((value) => (typeof value === "string" ? value : inspect(value, { depth: 12, showHidden: true })));
    for (const secret of [SECRET, REFRESH, NEXT, ACCESS, encodeURIComponent(REFRESH)]) {
      if (asText.some((text) => text.includes(secret)))
        throw new Error(`${secret} is printed\n${what}\n${asText.join("\n")}`);
    }
    const state = stateIn(current);
    if (state !== undefined) {
      states++;
      expect(`${what}\n${rotated.join()}`).toBe(`${what}\n${state}`);
    }
    // The refresh token may be used up by the first request, so there is no second one.
    expect(`${what}\n${requests}`).toBe(`${what}\n1`);
    await cache.close();
  }
  expect(kinds.size).toBe(13);
  expect(states).toBeGreaterThan(RUNS / 50);
  console.log(`${RUNS} answers, longest ${longest.toFixed(0)} ms: ${shown(outcomes)}; ${shown(kinds)}`);
}, 600_000);
