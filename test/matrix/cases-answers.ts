/** What a user gets: statuses, headers, bodies, redirects, errors and aborts of every client. */
import type { Family, TestClient } from "./clients.ts";
import type { Case, Io } from "./run.ts";
import { webStream } from "./cases-requests.ts";

const text = { "content-type": "text/plain" };

function gets(what: string, route: string): Case {
  return { name: `Q15: ${what}`, run: (io) => io.send(route) };
}

const statuses = [
  200, 201, 202, 204, 205, 206, 300, 304, 400, 402, 403, 404, 405, 409, 410, 412, 418, 422, 429, 500, 501, 502, 503,
  504,
];

const bodies = [
  ["JSON", "json"],
  ["JSON with a charset", "charset"],
  ["JSON that breaks off", "broken"],
  ["JSON behind a byte order mark", "bom"],
  ["text of several bytes a character", "text"],
  ["text in latin1", "latin1"],
  ["no content type", "untyped"],
  ["no bytes", "empty"],
  ["a megabyte", "big"],
] as const;

const redirects: readonly Case[] = [
  ...[301, 302, 303, 307, 308].flatMap((status) => [
    gets(`a GET that is redirected with ${status}`, `/redirect/${status}?to=PREFIX/landed`),
    {
      name: `Q15: a POST that is redirected with ${status}`,
      run: (io: Io) =>
        io.send(`/redirect/${status}?to=PREFIX/landed`, {
          method: "POST",
          body: "moved",
          headers: { ...text, "x-mine": "1" },
        }),
    },
    {
      name: `Q3: a GET that is redirected with ${status} to another host`,
      run: (io: Io) => io.send(`/redirect/${status}?to=OTHERPREFIX/landed`),
    },
  ]),
  gets("a redirect to a relative path", "/redirect/302?to=../landed"),
  gets("a redirect without a location", "/redirect/302"),
  gets("two redirects", "/redirect/302?to=PREFIX/redirect/307?to=PREFIX/landed"),
  {
    name: "Q15: a redirect to itself without an end",
    run: (io) => io.send("/loop", { own: io.client.once }),
  },
  gets("a redirect to a URL that is none", "/redirect/302?to=http://"),
  gets("a redirect to a place that refuses connections", "/redirect/302?to=http://127.0.0.1:1/"),
  {
    name: "Q3: a POST that is redirected with 307 to another host",
    run: (io) => io.send("/redirect/307?to=OTHERPREFIX/landed", { method: "POST", body: "moved", headers: text }),
  },
  {
    name: "Q3: a redirect to another host and back",
    mixed: "what comes back has lost its token",
    not: { rejected: "the last request has no token, so nothing says that it is a part of the call" },
    run: (io) => io.send("/redirect/302?to=OTHERPREFIX/redirect/302?to=PREFIX/landed"),
  },
];

const failures: readonly Case[] = [
  {
    name: "Q15: a port at which nothing listens",
    bare: "the port is not listed",
    run: (io) => io.sendTo(`${io.ground.servers.closed}/x`, { own: io.client.once }),
  },
  {
    name: "Q15: a host that has no address",
    bare: "the host is not listed",
    run: (io) => io.sendTo("http://nowhere.invalid/x", { own: io.client.once }),
  },
  {
    name: "Q15: a URL that is none",
    bare: "the URL has no host",
    run: (io) => io.sendTo("http://", { own: io.client.once }),
  },
  {
    name: "Q15: a URL of a scheme that the client does not know",
    bare: "the URL has no host",
    run: (io) => io.sendTo("unknown:x", { own: io.client.once }),
  },
  ...[
    ["a connection that is reset", "/reset"],
    ["a body that breaks off", "/cut"],
    ["an answer that is no HTTP", "/garbage"],
    ["answer headers that are too large", "/oversized"],
  ].map(([what, route]) => ({
    name: `Q15, Q11: ${what}`,
    ...(route === "/reset" && { looseWire: "browsers and Bun repeat the request by themselves" }),
    ...(route === "/cut" && {
      unfit: (client: TestClient) =>
        client.name.includes("cross-fetch") ? "cross-fetch alone never ends reading it" : endlessInDeno(client),
    }),
    run: (io: Io) => io.send(String(route), { own: io.client.once }),
  })),
];

const gone = (): DOMException => new DOMException("the user has left", "AbortError");

/** Aborts when the request has arrived. */
async function abortsAt(io: Io, route: string, reason: unknown): Promise<object> {
  const controller = new AbortController();
  const answer = io.send(route, { signal: controller.signal, own: io.client.once });
  await io.arrived(1);
  controller.abort(reason);
  return answer;
}

const aborts: readonly Case[] = [
  {
    name: "Q12: a signal that was aborted before the call",
    // Some clients have sent the head of the request when they look at the signal.
    looseWire: "whether a request arrives is left to the client",
    bare: "nothing is sent",
    mixed: "nothing is sent",
    async run(io) {
      const seen = await io.send("/echo", { signal: AbortSignal.abort(gone()), own: io.client.once });
      // axios cancels before it calls an adapter, so ours is still in the config.
      delete (seen as { rejected?: { config?: { adapter?: unknown } } }).rejected?.config?.adapter;
      return seen;
    },
  },
  { name: "Q12: an abort while the answer is awaited", run: (io) => abortsAt(io, "/hang", gone()) },
  {
    name: "Q12: an abort with an error of the caller's own",
    run: (io) => abortsAt(io, "/hang", new TypeError("mine")),
  },
  { name: "Q12: an abort with a text as its reason", run: (io) => abortsAt(io, "/hang", "a text") },
  { name: "Q12: an abort without a reason", run: (io) => abortsAt(io, "/hang", undefined) },
  {
    name: "Q12: an abort after the answer changes nothing",
    async run(io) {
      const controller = new AbortController();
      const answer = await io.send("/body/json", { signal: controller.signal });
      controller.abort(gone());
      return [answer, await io.send("/body/json")];
    },
  },
  {
    name: "Q12: one signal of two calls at once",
    async run(io) {
      const controller = new AbortController();
      const answers = [1, 2].map(() => io.send("/hang", { signal: controller.signal, own: io.client.once }));
      await io.arrived(2);
      controller.abort(gone());
      return Promise.all(answers);
    },
  },
  {
    name: "Q12: AbortSignal.timeout while the answer is awaited",
    looseWire: "the time may be over before the request is sent",
    mixed: "the time may be over before the request is sent",
    not: { rejected: "the time may be over before the resend" },
    run: (io) => io.send("/hang", { signal: AbortSignal.timeout(300), own: io.client.once }),
  },
  {
    name: "Q12: a signal that is no signal",
    bare: "clients refuse it before they send",
    mixed: "clients refuse it before they send",
    looseWire: "clients refuse it before they send",
    not: { rejected: "nothing is sent" },
    unfit: ({ family }) =>
      family === "axios/http" ? "some versions of axios end the process by themselves" : undefined,
    run: (io) => io.send("/echo", { signal: {} as AbortSignal, own: io.client.once }),
  },
];

export const answerCases: readonly Case[] = [
  ...statuses.map((status) => gets(`the status ${status}`, `/status/${status}`)),
  {
    name: "Q15: a 429 with Retry-After",
    run: (io) => io.send("/status/429?retry-after=1", { own: io.client.once }),
  },
  gets("a 304 with an ETag", "/status/304?etag=%22v1%22"),
  ...['Bearer error="insufficient_scope"', 'Bearer error="insufficient_user_authentication", max_age=5'].map(
    (challenge) => ({
      name: `Q4: a 401 that a new token would not change: ${challenge}`,
      run: (io: Io) => io.send(`/status/401?www-authenticate=${encodeURIComponent(challenge)}`),
    }),
  ),
  gets("a reason phrase of the server's own", "/reason"),
  gets("headers with repetitions, upper case and characters outside of ASCII", "/headers"),
  ...bodies.map(([what, route]) => gets(`an answer with ${what}`, `/body/${route}`)),
  ...["gzip", "deflate", "br"].map((coding) => gets(`an answer that is coded with ${coding}`, `/coded/${coding}`)),
  { name: "Q15: an answer taken as bytes", run: (io) => io.send("/body/bytes", { bytes: true }) },
  { name: "Q15: a HEAD of a route with a body", run: (io) => io.send("/body/json", { method: "HEAD" }) },
  gets("an answer in pieces that cut characters in two", "/chunks/text"),
  {
    name: "Q15: an answer taken as a stream",
    unfit: streamless,
    run: (io) => io.send("/chunks/text", { stream: true }),
  },
  {
    name: "Q15: an event stream",
    unfit: streamless,
    run: (io) => io.send("/chunks/events", { stream: true, headers: { accept: "text/event-stream" } }),
  },
  {
    name: "Q15: a 403 taken as a stream",
    unfit: streamless,
    run: (io) => io.send("/status/403", { stream: true }),
  },
  {
    name: "Q15: a client that throws on no status, with a 404",
    run: (io) => io.send("/status/404", { own: io.client.permissive }),
  },
  ...redirects,
  {
    name: "Q15: a ReadableStream as a body that is redirected with 307",
    families: ["fetch", "ofetch", "axios/fetch", "undici/fetch", "undici/request"],
    oneShot: true,
    run: (io) => io.send("/redirect/307?to=PREFIX/landed", { method: "POST", body: webStream(), headers: text }),
  },
  ...failures,
  ...aborts,
];

/** Why a body that breaks off cannot be read: the client alone hangs. */
export function endlessInDeno({ name, family }: TestClient): string | undefined {
  const isUndici = name.startsWith("undici") && family !== "undici/request";
  return isUndici && "Deno" in globalThis ? "undici's own fetch alone never ends reading it in Deno" : undefined;
}

function streamless({ family }: { readonly family: Family }): string | undefined {
  return family === "axios/xhr" ? "XMLHttpRequest has no streams" : undefined;
}
