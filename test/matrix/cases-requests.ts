/** What a user sends: methods, URLs, headers and bodies of every client. */
import type { Family, Sent } from "./clients.ts";
import type { Case, Io } from "./run.ts";

const http = ["axios/http"] as const;
const fetches: readonly Family[] = ["fetch", "ofetch", "axios/fetch", "undici/fetch"];
const undici = ["undici/request"] as const;

const text = { "content-type": "text/plain" };
export const BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(Array.from({ length: 300 }, (_, index) => index % 256));

/** Cases of one request to a route that answers 200. */
function sends(what: string, sent: (io: Io) => Sent, more: Partial<Case> = {}, route = "/echo"): Case {
  return { name: `Q15: ${what}`, run: (io) => io.send(route, sent(io)), ...more };
}

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((method) =>
  sends(`the method ${method}`, () => ({ method })),
);

const urls = [
  ["a query with encoded characters", "/echo?q=%C3%BC%20%26&empty=&again=1&again=2"],
  ["a query with a space, an umlaut and brackets as they are", "/echo?q=a b&ü=ö&list[]=1&list[]=2"],
  ["a query with a plus, a pipe and quotes", "/echo?q=a+b|c&s='\"`"],
  ["a fragment", "/echo?a=1#section"],
  ["encoded slashes and dots in the path", "/a%2Fb/%2e%2e/c%20d"],
  ["dot segments and empty segments in the path", "/a/./b/../c//d/"],
  ["characters outside of ASCII in the path", "/grüße/世界"],
  ["a query of 6 KB", `/echo?q=${"0123456789".repeat(600)}`],
  ["a question mark without a query", "/echo?"],
  ["a semicolon, an at sign and a colon in the path", "/a;b=1/@me/c:d"],
] as const;

const headers: readonly [what: string, headers: Record<string, string>][] = [
  ["names in mixed case", { "X-Mixed-Case": "1", "x-lower": "2", "X-UPPER": "3" }],
  ["an Accept and an Accept-Language of the caller", { Accept: "text/csv", "accept-language": "de" }],
  ["a value with spaces around it", { "x-spaces": "  a  b  " }],
  ["an empty value", { "x-empty": "" }],
  ["a value outside of ASCII", { "x-latin1": "caf\u00e9" }],
  ["a list in one value", { "x-list": "a, b;q=0.5, c" }],
  ["a User-Agent and a Cookie", { "User-Agent": "mine/1.0", Cookie: "a=1; b=2" }],
  ["an If-None-Match and a Range", { "If-None-Match": '"v1"', Range: "bytes=0-1" }],
  ["a header named like ours and longer", { "Authorization-Info": "x", "Proxy-Authorization": "Basic eDp5" }],
  ["an Accept-Encoding", { "Accept-Encoding": "identity" }],
  ["a DPoP header of the caller", { DPoP: "of-the-caller" }],
];

const bodies: readonly [kind: string, sent: (io: Io) => Sent][] = [
  ["a string", () => ({ body: "grüße", headers: text })],
  ["a string without a content type", () => ({ body: "plain" })],
  ["an empty string", () => ({ body: "", headers: text })],
  ["JSON in the client's own way", ({ client }) => client.json({ a: [1, "ü", null], b: { c: true } })],
  [
    "JSON with a content type of the caller",
    ({ client }) => ({ ...client.json({ a: 1 }), headers: { "Content-Type": "application/vnd.api+json" } }),
  ],
  ["URLSearchParams", () => ({ body: new URLSearchParams("a=1&b=%C3%BC&a=2") })],
  ["a Uint8Array", () => ({ body: BYTES.slice(), headers: text })],
  ["a view into a larger buffer", () => ({ body: BYTES.subarray(40, 90), headers: text })],
  ["a Uint16Array", () => ({ body: new Uint16Array(BYTES.slice().buffer), headers: text })],
  ["an ArrayBuffer", () => ({ body: BYTES.slice().buffer, headers: text })],
  ["a DataView", () => ({ body: new DataView(BYTES.slice().buffer, 10, 20), headers: text })],
  ["a Blob with a type", () => ({ body: new Blob([BYTES], { type: "image/png" }) })],
  ["a Blob without a type", () => ({ body: new Blob(["abc"]) })],
  ["a File", () => ({ body: new File([BYTES], "a.png", { type: "image/png" }) })],
  ["a FormData with a file and an umlaut", ({ client }) => ({ body: formOf(client.kind.FormData) })],
  ["a megabyte", () => ({ body: new Uint8Array(1 << 20).fill(7), headers: text })],
  ["undefined", () => ({ body: undefined })],
  ["null", () => ({ body: null })],
];

export function formOf(Form: typeof FormData): FormData {
  const form = new Form();
  form.append("field", "välue");
  form.append("field", "twice");
  form.append("file", new Blob([BYTES], { type: "image/png" }), "a.png");
  return form;
}

export function webStream(chunks: readonly string[] = ["first, ", "second, ", "ütf-8"]): ReadableStream<Uint8Array> {
  const left = [...chunks];
  return new ReadableStream({
    pull(controller) {
      const chunk = left.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(chunk));
    },
  });
}

async function* generated(): AsyncGenerator<Uint8Array> {
  for (const chunk of ["one, ", "two, ", "three"]) yield new TextEncoder().encode(chunk);
}

const needsNode: Case["unfit"] = (_client, { node }) => (node === undefined ? "no Node streams" : undefined);

/** axios turns an iterable into JSON unless `transformRequest` is replaced. */
const asIs = { transformRequest: (data: unknown) => data };

const oneShots: readonly Case[] = [
  sends("a ReadableStream as a body", () => ({ method: "POST", body: webStream(), headers: text }), {
    families: [...fetches, ...undici],
    oneShot: true,
  }),
  sends("a stream of a Blob as a body", () => ({ method: "POST", body: new Blob([BYTES]).stream(), headers: text }), {
    families: [...fetches, ...undici],
    oneShot: true,
  }),
  sends("an async generator as a body", () => ({ method: "POST", body: generated(), headers: text, own: asIs }), {
    families: [...fetches, ...undici],
    oneShot: true,
  }),
  sends(
    "a Node Readable as a body",
    ({ ground }) => ({ method: "POST", body: ground.node!.Readable.from(["first, ", "second"]), headers: text }),
    { families: [...fetches, ...http, ...undici], unfit: needsNode, oneShot: true },
  ),
  sends(
    "a form-data with a stream as a body",
    ({ ground }) => {
      const form = new ground.node!.FormDataPackage();
      form.append("field", "value");
      form.append("file", ground.node!.Readable.from(["part ", "by part"]), { filename: "a.txt" });
      return { method: "POST", body: form, headers: form.getHeaders() };
    },
    { families: http, unfit: needsNode, oneShot: true },
  ),
];

export const requestCases: readonly Case[] = [
  ...methods,
  sends("a method of the caller's own", () => ({ method: "PROPFIND", headers: { depth: "1" } })),
  sends("a method in lower case", () => ({ method: "post", body: "x", headers: text })),
  sends("DELETE with a body", () => ({ method: "DELETE", body: "gone", headers: text })),
  ...urls.map(([what, route]) => sends(`a URL with ${what}`, () => ({}), {}, route)),
  { name: "Q15: a URL without a path behind its port", run: (io) => io.sendTo(io.base()) },
  ...headers.map(([what, own]) => sends(`headers with ${what}`, () => ({ headers: own }))),
  sends("headers with a value that is undefined", () => ({ headers: { "x-none": undefined, "x-some": "1" } })),
  sends("headers with a value that is a number", () => ({ headers: { "x-number": 5, "x-zero": 0 } })),
  sends("headers with a value that is null", () => ({ headers: { "x-null": null } })),
  sends("headers with a value that is a list", () => ({ headers: { "x-list": ["a", "b"] } })),
  sends("a header name that is not allowed", () => ({ headers: { "not allowed": "1" } })),
  sends("a header value with a line break", () => ({ headers: { "x-broken": "a\r\nx-injected: 1" } })),
  ...["POST", "PUT"].flatMap((method) =>
    bodies
      // Every kind is posted; a few are put, because axios has defaults for each method.
      .filter(([kind]) => method === "POST" || /^(?:a string|JSON|a Blob|a FormData|null)/.test(kind))
      .map(([kind, sent]) => sends(`${method} with ${kind} as a body`, (io) => ({ method, ...sent(io) }))),
  ),
  ...oneShots,
  sends(
    "a Buffer as a body",
    ({ ground }) => ({ method: "POST", body: ground.node!.Buffer.from("pooled grüße"), headers: text }),
    { unfit: needsNode },
  ),
  sends(
    "a form-data of strings and buffers as a body",
    ({ ground }) => {
      const form = new ground.node!.FormDataPackage();
      form.append("field", "välue");
      form.append("file", ground.node!.Buffer.from(BYTES), { filename: "a.png" });
      return { method: "POST", body: form, headers: form.getHeaders() };
    },
    { families: http, unfit: needsNode },
  ),
  {
    name: "Q15, Q10: one frozen options object for three calls",
    async run(io) {
      const sent = Object.freeze({ method: "POST", body: "same", headers: Object.freeze({ "x-mine": "1", ...text }) });
      return [await io.send("/echo", sent), await io.send("/echo", sent), await io.send("/echo", sent)];
    },
  },
  {
    name: "Q14, Q15: eight calls at once, each with a body and a header of its own",
    run: (io) =>
      Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          io.send("/echo", { method: "POST", body: `body ${index}`, headers: { ...text, "x-index": String(index) } }),
        ),
      ),
  },
  {
    name: "Q14: one options object whose body and header change between three calls at once",
    async run(io) {
      const sent = { method: "POST", body: "", headers: { ...text, "x-index": "" } };
      const calls = [1, 2, 3].map((index) => {
        sent.body = `item ${index}`;
        sent.headers["x-index"] = String(index);
        return io.send("/echo", sent);
      });
      return Promise.all(calls);
    },
  },
  ...["Authorization", "authorization", "AUTHORIZATION"].map((name) =>
    sends(`an ${name} header of the caller's own`, () => ({ headers: { [name]: "Bearer my-own" } }), {
      bare: "the caller has authorized the request",
    }),
  ),
  sends("an Authorization header that is undefined", () => ({ headers: { Authorization: undefined } }), {
    // fetch alone would send the text "undefined".
    families: ["axios/http", "axios/fetch", "axios/xhr"],
  }),
  {
    name: "Q2: a request to a host that is not listed",
    bare: "the host is not listed",
    run: (io) => io.sendTo(io.elsewhere("/echo"), { method: "POST", body: "x", headers: text }),
  },
  {
    name: "Q2: a request with remint: false",
    unfit: ({ family }) => (family === "undici/fetch" ? "fetch hands no option of its own to a dispatcher" : undefined),
    bare: "the caller wants no token",
    run: (io) => io.send("/echo", { remint: false, headers: { "x-mine": "1" } }),
  },
];
