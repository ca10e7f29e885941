/** What only fetch has: Request objects, init read as WebIDL reads it, the members of a Response. */
import { endlessInDeno } from "./cases-answers.ts";
import { formOf, webStream } from "./cases-requests.ts";
import type { Case, Io } from "./run.ts";

const families = ["fetch", "undici/fetch"] as const;
const text = { "content-type": "text/plain" };

/** A case in which fetch is called as a user calls it. */
function calls(name: string, call: (io: Io) => unknown, more: Partial<Case> = {}): Case {
  // Inside of a promise, because fetch alone may throw where ours rejects only if it is called without one.
  return {
    name,
    families,
    run: (io) => io.outcome((async () => whole(await (call(io) as Promise<Response>)))()),
    ...more,
  };
}

async function whole(response: Response): Promise<object> {
  return { text: await response.clone().text(), response };
}

/** Reads one answer in one way of reading. */
function reads(what: string, route: string, read: (response: Response, io: Io) => unknown): Case {
  return {
    name: `Q15: ${what}`,
    families,
    run: async (io) => {
      const response = await io.fetch(io.url(route));
      return io.outcome((async () => ({ read: await read(response, io), response }))());
    },
  };
}

class Init {
  get method(): string {
    return "PUT";
  }
  get body(): string {
    return "from a getter";
  }
  get headers(): Record<string, string> {
    return { ...text, "x-getter": "1" };
  }
}

const requests: readonly Case[] = [
  calls("Q15: a URL as text and nothing else", (io) => io.fetch(io.url("/echo"))),
  calls("Q15: a URL object", (io) => io.fetch(new URL(io.url("/echo?a=1#b")))),
  calls("Q14: a URL object that is changed after the call", (io) => {
    const url = new URL(io.url("/echo?page=1"));
    const answer = io.fetch(url);
    url.search = "?page=2";
    return answer;
  }),
  calls("Q15: an object with a toString", (io) => {
    const url = io.url("/echo");
    return io.fetch({ toString: () => url } as unknown as string);
  }),
  calls("Q15: a Request", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/echo"), { headers: { "X-Mine": "1" } })),
  ),
  calls("Q15: a Request with a text as its body", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/echo"), { method: "POST", body: "text", headers: text })),
  ),
  calls("Q15: a Request with a FormData as its body", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/echo"), { method: "POST", body: formOf(io.client.kind.FormData) })),
  ),
  calls(
    "Q15: a Request with a stream as its body",
    (io) => {
      const init = { method: "POST", body: webStream(), headers: text, duplex: "half" };
      return io.fetch(new io.client.kind.Request(io.url("/echo"), init));
    },
    { streamed: true, not: { rejected: "the length of the resend is known, so it is sent as another header" } },
  ),
  calls("Q15: a Request, and an init with another method, body and header", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/echo"), { method: "POST", body: "old", headers: text }), {
      method: "PUT",
      body: "new",
      headers: { "x-new": "1" },
    }),
  ),
  calls("Q15: a Request with a body, and an init with headers only", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/echo"), { method: "POST", body: "kept" }), {
      headers: { "x-new": "1" },
    }),
  ),
  calls("Q15: a Request with a body, and an init whose body is null", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/echo"), { method: "POST", body: "kept" }), { body: null }),
  ),
  calls("Q15: a Request that redirects by hand", (io) =>
    io.fetch(new io.client.kind.Request(io.url("/redirect/302?to=PREFIX/landed"), { redirect: "manual" })),
  ),
  calls(
    "Q15: a Request as the init of another URL",
    (io) => {
      const request = new io.client.kind.Request(io.url("/other"), { method: "POST", body: "proxied", headers: text });
      return io.fetch(io.url("/echo"), request);
    },
    { not: { rejected: "the body of a Request in the place of init is a stream, which is not sent again" } },
  ),
  calls("Q15: an init that inherits its members", (io) =>
    io.fetch(
      io.url("/echo"),
      Object.create({ method: "POST", body: "inherited", headers: { ...text, "x-inherited": "1" } }),
    ),
  ),
  calls("Q15: an init whose members are getters of a class", (io) => io.fetch(io.url("/echo"), new Init())),
  calls(
    "Q15: a Request whose body was read before",
    async (io) => {
      const request = new io.client.kind.Request(io.url("/echo"), { method: "POST", body: "read" });
      await request.text();
      return io.fetch(request);
    },
    { not: { rejected: "nothing is sent" }, mixed: "nothing is sent" },
  ),
  {
    name: "Q15: a Request that is sent, and whether its body counts as used",
    families,
    run: async (io) => {
      const request = new io.client.kind.Request(io.url("/echo"), { method: "POST", body: "once", headers: text });
      await io.fetch(request);
      return request.bodyUsed;
    },
  },
  calls("Q15: a Request with an aborted signal, and an init whose signal is null", (io) => {
    const request = new io.client.kind.Request(io.url("/echo"), { signal: AbortSignal.abort() });
    return io.fetch(request, { signal: null });
  }),
  calls("Q15: members of init that are undefined", (io) =>
    io.fetch(io.url("/echo"), { method: undefined, headers: undefined, body: undefined, signal: undefined } as object),
  ),
  calls("Q15: an init that is null", (io) => io.fetch(io.url("/echo"), null as never), {
    unfit: ({ name }) => (/node-fetch|cross-fetch/.test(name) ? "the client alone refuses it" : undefined),
  }),
  calls("Q15: credentials, cache, mode, referrer, referrerPolicy, keepalive and priority", (io) =>
    io.fetch(io.url("/echo"), {
      credentials: "omit",
      cache: "no-store",
      mode: "cors",
      referrer: "",
      referrerPolicy: "no-referrer",
      keepalive: true,
      priority: "high",
    }),
  ),
  calls("Q15: init.redirect is manual", (io) =>
    io.fetch(io.url("/redirect/302?to=PREFIX/landed"), { redirect: "manual" }),
  ),
  calls("Q15: init.redirect is error", (io) =>
    io.fetch(io.url("/redirect/302?to=PREFIX/landed"), { redirect: "error" }),
  ),
  calls(
    "Q15: a POST with the integrity of another answer",
    (io) => io.fetch(io.url("/body/json"), { integrity: `sha256-${btoa("x".repeat(32))}` }),
    { not: { rejected: "fetch refuses the 401, whose content is another too" } },
  ),
];

const headers: readonly [what: string, headers: (io: Io) => unknown][] = [
  ["a Headers object", ({ client }) => new client.kind.Headers({ "X-Mine": "1", Accept: "text/csv" })],
  ["the platform's own Headers object", () => new Headers({ "X-Mine": "1" })],
  [
    "pairs",
    () => [
      ["X-Mine", "1"],
      ["X-Mine", "2"],
      ["Accept", "text/csv"],
    ],
  ],
  [
    "a generator of pairs",
    () =>
      new Map([
        ["X-Mine", "1"],
        ["X-Other", "2"],
      ]).entries(),
  ],
  ["a Map", () => new Map([["X-Mine", "1"]])],
  ["inherited names", () => Object.create({ "x-inherited": "1" })],
  ["a number in place of an object", () => 5],
  ["a text in place of an object", () => "x-mine: 1"],
  ["pairs of three", () => [["x-mine", "1", "2"]]],
  ["a symbol as a name", () => ({ [Symbol("x")]: "1", "x-mine": "1" })],
  ["a value that is an object", () => ({ "x-object": { toString: () => "as text" } })],
  ["one name in two spellings", () => ({ "X-Mine": "1", "x-mine": "2" })],
];

const refused: readonly [what: string, init: (io: Io) => object][] = [
  ["GET with a body", () => ({ body: "no" })],
  ["a method that is not allowed", () => ({ method: "TRACE" })],
  ["a method with a space", () => ({ method: "A B" })],
  ["redirect with a word that is none", () => ({ redirect: "maybe" })],
  ["a stream without duplex", () => ({ method: "POST", body: webStream() })],
  ["a controller in place of a signal", () => ({ signal: new AbortController() })],
  [
    "a stream that was read before",
    () => {
      const body = webStream();
      body.getReader();
      return { method: "POST", body, duplex: "half" };
    },
  ],
];

export const fetchCases: readonly Case[] = [
  ...requests,
  ...headers.map(([what, make]) =>
    calls(`Q15: init.headers: ${what}`, (io) => io.fetch(io.url("/echo"), { headers: make(io) as HeadersInit }), {
      not: { ...(/in place|three/.test(what) && { rejected: "clients refuse it before they send" }) },
      ...(/in place|three/.test(what) && { mixed: "clients refuse it before they send" }),
    }),
  ),
  ...refused.map(([what, init]) =>
    calls(`Q15: init that fetch refuses: ${what}`, (io) => io.fetch(io.url("/echo"), init(io)), {
      not: { rejected: "clients refuse it before they send" },
      mixed: "clients refuse it before they send",
    }),
  ),
  calls("Q15: a relative URL", (io) => io.fetch("/not-there"), {
    bare: "it belongs to the page, and elsewhere to nobody",
    unfit: () => (typeof location === "undefined" ? undefined : "a page has relative URLs: test/browser"),
  }),
  calls("Q15: a data URL", (io) => io.fetch("data:text/plain,hello"), { bare: "it has no host" }),
  calls("Q15: a symbol as the URL", (io) => io.fetch(Symbol("x") as never), { bare: "nothing is sent" }),
  reads("json() of JSON", "/body/json", (response) => response.json()),
  reads("json() of JSON that breaks off", "/body/broken", (response, io) =>
    response.json().catch((error: Error) => String(io.caught(error))),
  ),
  reads("arrayBuffer()", "/body/bytes", (response) => response.arrayBuffer()),
  reads("blob()", "/body/bytes", async (response) => {
    const { size, type } = await response.blob();
    return { size, type };
  }),
  reads("formData() of a form", "/body/form", async (response) => [...(await response.formData())]),
  reads("formData() of a multipart answer", "/body/multipart", async (response) => [...(await response.formData())]),
  reads("clone() and both read", "/body/json", async (response) => {
    const clone = response.clone();
    return [await response.text(), await clone.text(), clone.url === response.url];
  }),
  reads("the body read twice", "/body/json", async (response, io) => {
    await response.text();
    return response.text().catch((error: Error) => String(io.caught(error)));
  }),
  reads("the body read by a reader, and cancelled", "/half", async (response, io) => {
    const { body } = response as { body: ReadableStream<Uint8Array> & { destroy?: () => void } };
    if (typeof body.getReader !== "function") return body.destroy?.();
    const reader = body.getReader();
    const first = await reader.read();
    await reader.cancel(io.caught(new Error("enough")));
    return [new TextDecoder().decode(first.value), await reader.read()];
  }),
  {
    name: "Q12: an abort in the middle of the body",
    families,
    unfit: endlessInDeno,
    async run(io) {
      const controller = new AbortController();
      const response = await io.fetch(io.url("/half"), { signal: controller.signal });
      const read = io.outcome(response.text());
      controller.abort(new DOMException("the user has left", "AbortError"));
      return [response.status, await read];
    },
  },
  reads("the body of a 204", "/status/204", async (response) => [response.body === null, await response.text()]),
  reads("instanceof Response, and the members of the headers", "/headers", (response) => [
    response instanceof Response,
    [...response.headers.keys()],
    response.headers.get("X-TWICE"),
    response.headers.getSetCookie?.(),
  ]),
  reads("a redirect's last URL", "/redirect/302?to=PREFIX/landed?a=1#b", (response) => [
    response.url,
    response.redirected,
  ]),
];
