/** What only undici has: `stream`, `pipeline` and `upgrade`, options of a request, limits of time, and the forms of headers. */
import type { Dispatcher } from "undici";
import { describe } from "./describe.ts";
import type { Case, Io } from "./run.ts";

const families = ["undici/request"] as const;
const text = { "content-type": "text/plain" };

/** A case of one `request` with options that only undici has. */
function requests(what: string, options: (io: Io) => object, more: Partial<Case> = {}, route = "/echo"): Case {
  return {
    name: `Q15: ${what}`,
    families,
    run: (io) => io.outcome(requested(io, io.url(route), options(io))),
    ...more,
  };
}

async function requested(io: Io, url: string, options: object): Promise<object> {
  const { dispatcher, module } = io.open().undici!;
  const { body, ...head } = await module.request(url, { dispatcher, ...options });
  return { head, text: await body.text() };
}

function refuse(): never {
  throw new Error("not today");
}

const needsNode: Case["unfit"] = (_client, { node }) => (node === undefined ? "no Node streams" : undefined);

/** Collects what is written to it. */
function sink(io: Io, chunks: string[]): import("node:stream").Writable {
  const { PassThrough } = io.ground.node!;
  return new PassThrough().on("data", (chunk) => chunks.push(String(chunk)));
}

export const undiciCases: readonly Case[] = [
  requests("the option query", () => ({ query: { a: 1, b: ["x", "ü"] } })),
  requests("headers as a list of names and values", () => ({ headers: ["X-Mine", "1", "x-other", "2"] })),
  requests("headers as an iterable of pairs", () => ({ headers: new Map([["X-Mine", "1"]]) })),
  requests("a Headers object", () => ({ headers: new Headers({ "X-Mine": "1" }) })),
  requests("a list of headers of an odd length", () => ({ headers: ["x-mine"] }), {
    not: { rejected: "nothing is sent" },
    mixed: "nothing is sent",
  }),
  requests("headers that are a text", () => ({ headers: "x-mine: 1" }), {
    not: { rejected: "nothing is sent" },
    mixed: "nothing is sent",
  }),
  requests("the option opaque", () => ({ opaque: { mine: 1 } })),
  requests("responseHeaders: raw", () => ({ responseHeaders: "raw" }), {}, "/headers"),
  requests("reset and blocking", () => ({ reset: true, blocking: true })),
  requests("throwOnError, and a 500", () => ({ throwOnError: true }), {}, "/status/500"),
  requests("throwOnError, and a 200", () => ({ throwOnError: true })),
  requests("maxRedirections", () => ({ maxRedirections: 1 }), {}, "/redirect/302?to=PREFIX/landed"),
  requests("expectContinue", () => ({ method: "POST", body: "expected", expectContinue: true, headers: text })),
  requests(
    "a content-length that is too short",
    () => ({ method: "POST", body: "four", headers: { "content-length": "2" } }),
    {
      not: { rejected: "nothing is sent" },
      mixed: "nothing is sent",
      looseWire: "a part may be sent",
    },
  ),
  requests("a content-length of the caller's", () => ({
    method: "POST",
    body: "four",
    headers: { "content-length": "4" },
  })),
  requests("a body that is a list of texts", () => ({ method: "POST", body: ["one", "two"], headers: text })),
  requests("an iterable body whose length is stated", () => ({
    method: "POST",
    headers: { ...text, "content-length": "6" },
    body: {
      async *[Symbol.asyncIterator]() {
        yield Buffer.from("one");
        await Promise.resolve();
        yield Buffer.from("two");
      },
    },
  })),
  requests(
    "headersTimeout",
    () => ({ headersTimeout: 200 }),
    { not: { rejected: "each send has the whole time" } },
    "/hang",
  ),
  requests("bodyTimeout", () => ({ bodyTimeout: 200 }), {}, "/half"),
  requests("the method get, which is sent as it is", () => ({ method: "get" })),
  requests("a path that is no text", () => ({ path: 5 }), { bare: "nothing is sent" }),
  requests("onInfo that is no function", () => ({ onInfo: 5 }), { bare: "nothing is sent" }),
  {
    name: "Q12: an EventEmitter in the place of a signal",
    families,
    unfit: needsNode,
    async run(io) {
      const signal = new io.ground.node!.EventEmitter();
      const answer = io.outcome(requested(io, io.url("/hang"), { signal }));
      await io.arrived(1);
      signal.emit("abort");
      return answer;
    },
  },
  {
    name: "Q12: an abort in the middle of the body",
    families,
    async run(io) {
      const { dispatcher, module } = io.open().undici!;
      const controller = new AbortController();
      const { statusCode, body } = await module.request(io.url("/half"), { dispatcher, signal: controller.signal });
      const read = io.outcome(body.text());
      controller.abort(new DOMException("the user has left", "AbortError"));
      return { statusCode, read: await read };
    },
  },
  {
    name: "Q15: an answer whose body is destroyed, and the next request",
    families,
    async run(io) {
      const { dispatcher, module } = io.open().undici!;
      const { statusCode, body } = await module.request(io.url("/half"), { dispatcher });
      body.on("error", () => {}).destroy();
      return { statusCode, next: await io.outcome(requested(io, io.url("/echo"), {})) };
    },
  },
  {
    name: "Q15: an answer whose body is dumped, and the next request",
    families,
    async run(io) {
      const { dispatcher, module } = io.open().undici!;
      const { statusCode, body } = await module.request(io.url("/body/big"), { dispatcher });
      await body.dump();
      return { statusCode, next: await io.outcome(requested(io, io.url("/echo"), {})) };
    },
  },
  ...["/body/json", "/status/404", "/body/big", "/cut", "/reset"].map((route): Case => ({
    name: `Q15: stream() of ${route}`,
    families,
    unfit: needsNode,
    async run(io) {
      const { dispatcher, module } = io.open().undici!;
      const heads: unknown[] = [];
      const chunks: string[] = [];
      const answer = await io.outcome(
        module.stream(
          io.url(route),
          { dispatcher, method: "GET", opaque: "mine" },
          ({ statusCode, headers, opaque }) => {
            heads.push(describe([statusCode, headers, opaque]));
            return sink(io, chunks);
          },
        ),
      );
      return { answer, heads, text: chunks.join("").slice(0, 500), length: chunks.join("").length };
    },
  })),
  {
    name: "Q15: stream() with a factory that throws",
    families,
    run(io) {
      const { dispatcher, module } = io.open().undici!;
      return io.outcome(module.stream(io.url("/body/json"), { dispatcher, method: "GET" }, refuse));
    },
  },
  {
    name: "Q15, Q6: pipeline()",
    families,
    oneShot: true,
    unfit: needsNode,
    async run(io) {
      const { dispatcher, module } = io.open().undici!;
      const heads: number[] = [];
      const duplex = module.pipeline(
        io.url("/body/json"),
        { dispatcher, method: "POST", headers: text },
        ({ statusCode, body }) => {
          heads.push(statusCode);
          return body;
        },
      );
      const chunks: string[] = [];
      const ended = new Promise((resolve, reject) => {
        duplex.on("data", (chunk) => chunks.push(String(chunk)));
        duplex.once("end", resolve).once("error", reject);
      });
      duplex.end("piped");
      return { ended: await io.outcome(ended), heads, text: chunks.join("") };
    },
  },
  {
    name: "Q15: dispatch() with a handler of the caller's that pauses",
    families,
    async run(io) {
      const { dispatcher } = io.open().undici!;
      const seen: unknown[] = [];
      const url = new URL(io.url("/body/text"));
      await new Promise<void>((resolve) => {
        const options = { origin: url.origin, path: url.pathname, method: "GET" } as Dispatcher.DispatchOptions;
        let length = 0;
        dispatcher.dispatch(options, {
          // undici tells it of every send.
          onRequestStart: () => void (seen.length === 0 && seen.push("start")),
          onResponseStart(controller: Dispatcher.DispatchController, status: number) {
            seen.push(status, controller.paused);
            controller.pause();
            setTimeout(() => controller.resume(), 5);
          },
          onResponseData: (_controller: unknown, chunk: Uint8Array) => (length += chunk.byteLength),
          onResponseEnd: () => (seen.push("end", length), resolve()),
          onResponseError: (_controller: unknown, error: unknown) => (seen.push(describe(error)), resolve()),
        });
      });
      return seen;
    },
    unfit: ({ name }) => (name.startsWith("undici 6") ? "undici 6 has handlers of another form" : undefined),
  },
];
