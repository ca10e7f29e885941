/** What only ofetch has: base URLs, hooks, retries, parsed answers and FetchError. */
import type { FetchContext } from "ofetch";
import { describe } from "./describe.ts";
import type { Case, Io } from "./run.ts";

const families = ["ofetch"] as const;

/** A case in which `$fetch` is called as a user calls it. */
function calls(name: string, call: (io: Io) => unknown, more: Partial<Case> = {}): Case {
  return { name, families, run: (io) => io.outcome((async () => call(io))()), ...more };
}

function gets(what: string, route: string, options: object = {}): Case {
  return calls(`Q15: ${what}`, (io) => io.ofetch()(io.url(route), options), looseWireOf(route));
}

function looseWireOf(route: string): Partial<Case> {
  return route === "/reset" ? { looseWire: "browsers and Bun repeat the request by themselves" } : {};
}

/** Notes what every hook sees. */
function hooks(seen: unknown[], more: (context: FetchContext) => void = () => {}): object {
  const note =
    (name: string) =>
    (context: FetchContext): void => {
      const { request, options, response, error } = context;
      const headers = [...new Headers(options.headers)];
      const { _data: data } = (response ?? {}) as { _data?: unknown };
      const url = typeof request === "string" ? request : request.url;
      seen.push([name, url, options.method, headers, response?.status, data, error && String(error)]);
      if (name === "onRequest") more(context);
    };
  return Object.fromEntries(
    ["onRequest", "onRequestError", "onResponse", "onResponseError"].map((name) => [name, note(name)]),
  );
}

function hooked(what: string, route: string, more?: (context: FetchContext) => void, options: object = {}): Case {
  return {
    name: `Q9: hooks: ${what}`,
    families,
    ...looseWireOf(route),
    async run(io) {
      const seen: unknown[] = [];
      const answer = await io.outcome(io.ofetch(hooks(seen, more))(io.url(route), options));
      return { answer, seen };
    },
  };
}

const parsed = [
  "json",
  "charset",
  "problem",
  "number",
  "null",
  "string",
  "broken",
  "text",
  "html",
  "xml",
  "ndjson",
  "untyped",
  "empty",
  "bytes",
];

export const ofetchCases: readonly Case[] = [
  ...parsed.map((body) => gets(`the parsed answer of the body "${body}"`, `/body/${body}`)),
  ...["json", "text", "blob", "arrayBuffer", "stream"].map((responseType) =>
    calls(`Q15: responseType ${responseType}`, async (io) => {
      const data: unknown = await io.ofetch()(io.url("/body/json"), { responseType: responseType as "json" });
      return data instanceof Blob ? [data.size, data.type] : data;
    }),
  ),
  gets("parseResponse", "/body/json", { parseResponse: (text: string) => text.length }),
  gets("parseResponse that throws", "/body/json", {
    parseResponse: () => {
      throw new SyntaxError("not what was expected");
    },
    retry: 0,
  }),
  ...[400, 403, 404, 409, 422].map((status) => gets(`the FetchError of a ${status}`, `/status/${status}`)),
  gets("ignoreResponseError with a 404", "/status/404", { ignoreResponseError: true }),
  gets("a query beside that of the URL", "/echo?a=0&b=1", {
    query: { a: 1, c: ["x", "y"], d: undefined, e: { f: 1 } },
  }),
  gets("params", "/echo", { params: { a: 1, ü: "ö ß" } }),
  gets("an object as a body", "/echo", { method: "POST", body: { a: [1, { b: "ü" }] } }),
  gets("an array as a body", "/echo", { method: "PATCH", body: [1, 2] }),
  gets("an object as a body with a content type", "/echo", {
    method: "POST",
    body: { a: 1 },
    headers: { "Content-Type": "application/vnd.api+json" },
  }),
  gets("an object as a body with a form's content type", "/echo", {
    method: "POST",
    body: { a: 1, b: "ü" },
    headers: { "content-type": "application/x-www-form-urlencoded" },
  }),
  gets("a date as a body", "/echo", { method: "POST", body: new Date(0) as never }),
  gets("a method in lower case with an object", "/echo", { method: "post", body: { a: 1 } }),
  gets("an Accept of the caller and an object", "/echo", { method: "POST", body: {}, headers: { accept: "text/csv" } }),
  gets("headers as pairs", "/echo", {
    headers: [
      ["X-Mine", "1"],
      ["X-Mine", "2"],
    ],
  }),
  gets("headers as a Headers object", "/echo", { headers: new Headers({ "X-Mine": "1" }) }),
  calls("Q15: a base URL, and a path with and without a slash", async (io) => [
    await io.ofetch({ baseURL: io.base() })("/echo"),
    await io.ofetch({ baseURL: `${io.base()}/` })("echo"),
    await io.ofetch({ baseURL: `${io.base()}/a` })("", { query: { b: 1 } }),
  ]),
  calls("Q15: a Request", (io) => io.ofetch()(new Request(io.url("/echo"), { method: "POST", body: "of a Request" }))),
  calls("Q15: a Request and options", (io) =>
    io.ofetch()(new Request(io.url("/echo"), { method: "POST", body: "old" }), { headers: { "x-mine": "1" } }),
  ),
  calls("Q15: a URL object", (io) => io.ofetch()(new URL(io.url("/echo")) as unknown as string)),
  calls("Q15: raw", (io) => io.ofetch().raw(io.url("/body/json"))),
  calls("Q15: raw of a 404", (io) => io.ofetch().raw(io.url("/status/404"))),
  calls("Q15: native", async (io) => {
    const response = await io.ofetch().native(io.url("/body/json"), { method: "POST", body: "native" });
    return [response.status, await response.text()];
  }),
  calls("Q15: default headers and a default query, and those of the call", (io) =>
    io.ofetch({ headers: { "x-default": "1", "x-both": "1" }, query: { a: 1 } })(io.url("/echo"), {
      headers: { "x-both": "2" },
      query: { b: 2 },
    }),
  ),
  calls("Q15: create() of a created client, whose defaults add up", (io) =>
    io.ofetch({ headers: { "x-one": "1" } }).create({ headers: { "x-two": "2" } })(io.url("/echo")),
  ),
  gets("retry of a GET that is answered 503 once", "/flaky/1"),
  gets("retry: 3 of a GET that is answered 503 three times", "/flaky/3", { retry: 3, retryDelay: 1 }),
  gets("retry: 2 of a GET that is answered 503 three times", "/flaky/3", { retry: 2, retryDelay: 1 }),
  gets("retry: false", "/flaky/1", { retry: false }),
  gets("no retry of a POST", "/flaky/1", { method: "POST", body: { a: 1 } }),
  gets("retry: 1 of a POST with an object", "/flaky/1", { method: "POST", body: { a: 1 }, retry: 1 }),
  gets("retryStatusCodes with a 404", "/status/404", { retry: 1, retryStatusCodes: [404] }),
  gets("a retryDelay that is a function", "/flaky/1", { retry: 1, retryDelay: () => 1 }),
  gets("retry of a connection that is reset", "/reset", { retry: 1 }),
  {
    name: "Q12: ofetch's own timeout while the answer is awaited",
    families,
    looseWire: "the time may be over before the request is sent",
    mixed: "the time may be over before the request is sent",
    not: { rejected: "the time may be over before the resend" },
    run: (io) => io.outcome(io.ofetch()(io.url("/hang"), { timeout: 300, retry: 0 })),
  },
  {
    name: "Q12: an abort in the middle of the body",
    families,
    async run(io) {
      const controller = new AbortController();
      const { signal } = controller;
      const onResponse = (): void => controller.abort(new DOMException("the user has left", "AbortError"));
      // As a stream: ofetch calls its hook after it has read any other body.
      const body = io.ofetch()(io.url("/half"), { signal, responseType: "stream", onResponse });
      return io.outcome(body.then((stream) => new Response(stream).text()));
    },
  },
  {
    name: "Q10: the hooks among the options of a FetchError",
    families,
    async run(io) {
      const thrown: unknown = await io
        .ofetch()(io.url("/status/404"))
        .catch((error: unknown) => io.caught(error));
      const { options } = thrown as { options: { onRequestError?: unknown } };
      return describe([options.onRequestError]);
    },
  },
  hooked("a 200", "/body/json"),
  hooked("a 404", "/status/404"),
  hooked("a 503 that is retried", "/flaky/1"),
  hooked("a connection that is reset", "/reset", undefined, { retry: 0 }),
  hooked("onRequest sets a header and a query", "/echo", ({ options }) => {
    options.headers = new Headers({ "x-hook": "1" });
    options.query = { hook: 1 };
  }),
  hooked("onRequest replaces the body", "/echo", ({ options }) => void (options.body = "of the hook"), {
    method: "POST",
    body: "old",
  }),
  hooked("onRequest throws", "/echo", () => {
    throw new Error("not today");
  }),
  {
    name: "Q9: a list of hooks, and a hook that is async",
    families,
    async run(io) {
      const seen: string[] = [];
      const wait = async (name: string): Promise<void> => {
        await Promise.resolve();
        seen.push(name);
      };
      const onResponse = [() => wait("first"), () => wait("second")];
      const answer = await io.outcome(io.ofetch()(io.url("/echo"), { onRequest: () => wait("request"), onResponse }));
      return { answer, seen };
    },
  },
  {
    name: "Q10: options and defaults of the caller after the call",
    families,
    async run(io) {
      const defaults = { headers: { "x-default": "1" }, query: { a: 1 } };
      const options = { method: "POST", body: { a: 1 }, headers: { "x-mine": "1" }, query: { b: 1 } };
      const answer = await io.outcome(io.ofetch(defaults)(io.url("/echo"), options));
      return { answer, defaults, options };
    },
  },
];
