/**
 * Cases that nobody has thought of: requests of random options, the same for the client alone and through remint.
 *
 * A case is made of its seed, anew for every run, because a body or a hook is used up by a run.
 */
import type { AxiosRequestConfig } from "axios";
import { randomOf } from "../sim/random.ts";
import { BYTES, formOf, webStream } from "./cases-requests.ts";
import type { Family, TestClient } from "./clients.ts";
import type { Case, Io } from "./run.ts";

type Random = () => number;
/** Adds options to a request. */
type Part = (random: Random, io: Io) => object;

function one<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

const routes = [
  "/echo",
  "/echo?a=1&b=%20",
  "/body/json",
  "/body/broken",
  "/body/bytes",
  "/body/latin1",
  "/body/null",
  "/body/empty",
  "/body/untyped",
  "/headers",
  "/coded/gzip",
  "/coded/br",
  "/chunks/text",
  "/status/204",
  "/status/304",
  "/status/403",
  "/status/404",
  "/status/500",
  "/redirect/302?to=PREFIX/landed",
  "/redirect/303?to=PREFIX/landed",
  "/redirect/307?to=PREFIX/body/json",
  "/redirect/302?to=OTHERPREFIX/landed",
  "/redirect/308?to=OTHERPREFIX/landed",
  "/redirect/301?to=PREFIX/redirect/307?to=PREFIX/status/404",
];

/** Headers in the forms that every client takes. */
const headers: Part[] = [
  () => ({ "X-Mine": "1" }),
  () => ({ "x-a": "1", "X-B": "two", Accept: "text/csv" }),
  () => ({ "Content-Type": "application/vnd.mine+json" }),
  () => ({ Cookie: "a=1", "User-Agent": "mine/1.0" }),
  () => Object.assign(Object.create(null), { "x-bare": "1" }) as object,
  () => Object.freeze({ "x-frozen": "1" }),
];

/** Bodies that can be sent twice. */
const bodies: ((io: Io) => unknown)[] = [
  () => "grüße",
  () => "",
  () => new URLSearchParams("a=1&b=ü"),
  () => BYTES.slice(),
  () => BYTES.slice().subarray(7, 80),
  () => BYTES.slice().buffer,
  () => new DataView(BYTES.slice().buffer, 3, 30),
  () => new Blob([BYTES], { type: "image/png" }),
  ({ client }) => formOf(client.kind.FormData),
  ({ ground }) => ground.node!.Buffer.from("of a pool"),
];

function nodeStream({ ground }: Io): unknown {
  return ground.node!.Readable.from(["one, ", "two"]);
}

const axiosParts: Part[] = [
  () => ({ params: { a: [1, { b: 2 }], c: new Date(0), d: null, e: undefined, f: "ü &" } }),
  () => ({ params: new URLSearchParams("a=1&a=2") }),
  () => ({ params: { a: [1, 2] }, paramsSerializer: { indexes: true, encode: (value: string) => `<${value}>` } }),
  () => ({ params: { a: 1 }, paramsSerializer: { serialize: () => "of=mine" } }),
  (random) => ({ transitional: { silentJSONParsing: random() < 0.5, forcedJSONParsing: random() < 0.5 } }),
  (random) => ({ responseType: one(random, ["json", "text", "arraybuffer", "stream", "blob", undefined]) }),
  () => ({ responseEncoding: "latin1" }),
  (random) => ({ decompress: random() < 0.5 }),
  (random) => ({ validateStatus: one(random, [null, undefined, () => true, () => false]) }),
  (random) => ({ maxRedirects: one(random, [0, 1, 5, undefined]) }),
  () => ({
    beforeRedirect: (options: { headers: Record<string, string> }) => void (options.headers["x-redirected"] = "1"),
  }),
  () => ({ maxRate: [10_000_000, 10_000_000] }),
  () => ({ maxContentLength: 100 }),
  () => ({ maxBodyLength: 10_000 }),
  () => ({ insecureHTTPParser: true }),
  () => ({ family: 4 }),
  () => ({
    lookup: (_host: string, _options: object, done: (...all: unknown[]) => void) => done(null, "127.0.0.1", 4),
  }),
  () => ({ withCredentials: true, withXSRFToken: true, xsrfHeaderName: "X-Mine" }),
  () => ({ formSerializer: { dots: true, indexes: null } }),
  () => ({ fetchOptions: { cache: "no-store", priority: "low" } }),
  () => ({ env: { FormData, Blob } }),
  (random, { client }) => ({ adapter: one(random, [[client.family.slice(6)], ["none", client.family.slice(6)]]) }),
  (random) => ({ timeout: one(random, [0, 9000, "9000"]) }),
  () => ({ signal: new AbortController().signal }),
  (_random, { client }) => ({ cancelToken: client.axios!.CancelToken.source().token }),
  () => ({ transformRequest: [(data: unknown) => data, (data: unknown) => data] }),
  () => ({ transformResponse: [(data: unknown) => [typeof data, String(data)]] }),
  () => ({ headers: { Authorization: undefined, "x-none": undefined, "x-null": null, "x-false": false } }),
  (_random, { client }) => ({ headers: new client.axios!.AxiosHeaders({ "X-Mine": "1" }) }),
  () => ({ headers: { "x-list": ["a", "b"], "X-Number": 5 } }),
  () => ({ mine: { of: ["the", "caller"] } }),
  () => ({ data: { a: [1, { b: "ü" }], c: null }, method: "post" }),
  () => ({ data: { a: 1, b: ["x", "y"] }, method: "put", headers: { "Content-Type": "multipart/form-data" } }),
  () => ({ data: { a: { b: 1 } }, method: "patch", headers: { "Content-Type": "application/x-www-form-urlencoded" } }),
];

const fetchParts: Part[] = [
  (random) => ({ redirect: one(random, ["follow", "manual", "error"]) }),
  (random) => ({ credentials: one(random, ["omit", "include", "same-origin"]) }),
  (random) => ({ cache: one(random, ["no-store", "reload", "default"]) }),
  () => ({ mode: "cors", referrer: "about:client", referrerPolicy: "origin" }),
  () => ({ keepalive: true }),
  () => ({ duplex: "half" }),
  () => ({ integrity: "" }),
  () => ({ signal: new AbortController().signal }),
  () => ({ signal: null, method: undefined }),
  () => ({ window: null }),
  () => ({ mine: 1, [Symbol("mine")]: 2 }),
  (_random, { client }) => ({ headers: new client.kind.Headers({ "X-Mine": "1" }) }),
  () => ({ headers: new Headers({ "X-Mine": "1", "x-two": "2" }) }),
  () => ({ headers: new Map([["X-Map", "1"]]).entries() }),
  () => ({
    headers: [
      ["X-Twice", "1"],
      ["x-twice", "2"],
    ],
  }),
  () => ({ headers: Object.defineProperty({}, "x-getter", { get: () => "1", enumerable: true }) }),
];

const ofetchParts: Part[] = [
  ...fetchParts.filter((part) => !String(part).includes("redirect")),
  () => ({ query: { a: [1, 2], b: undefined, c: { d: 1 } } }),
  () => ({ params: { a: 1 } }),
  (random) => ({ responseType: one(random, ["text", "json", "blob", "arrayBuffer", "stream"]) }),
  () => ({ parseResponse: (body: string) => [body.length] }),
  () => ({ ignoreResponseError: true }),
  (random) => ({ retry: one(random, [0, 1, false]), retryDelay: 1 }),
  (random) => ({ retryStatusCodes: one(random, [[404], []]), retryDelay: () => 1 }),
  () => ({ timeout: 9000 }),
  () => ({ onRequest: [({ options }: { options: { query?: object } }) => void (options.query = { hooked: 1 })] }),
  () => ({ onResponse: ({ response }: { response: Response }) => response.clone().text() }),
  () => ({ onResponseError: [() => undefined, async () => undefined] }),
  () => ({ body: { a: [1, { b: "ü" }] }, method: "POST" }),
];

const undiciParts: Part[] = [
  () => ({ query: { a: 1, b: ["x", "y"] } }),
  () => ({ headers: ["X-Mine", "1", "x-two", "2"] }),
  () => ({ headers: new Headers({ "x-mine": "1" }) }),
  () => ({ headers: { "x-list": ["a", "b"], "x-number": 5 } }),
  () => ({ opaque: { mine: 1 } }),
  () => ({ responseHeaders: "raw" }),
  () => ({ reset: true }),
  () => ({ blocking: true }),
  () => ({ idempotent: true }),
  () => ({ headersTimeout: 9000, bodyTimeout: 9000 }),
  () => ({ highWaterMark: 10 }),
  () => ({ signal: new AbortController().signal }),
  () => ({ expectContinue: false, servername: "mine" }),
];

const PARTS: Readonly<Record<Family, readonly Part[]>> = {
  fetch: fetchParts,
  "undici/fetch": fetchParts,
  ofetch: ofetchParts,
  "axios/http": axiosParts,
  "axios/fetch": axiosParts,
  "axios/xhr": axiosParts,
  "undici/request": undiciParts,
};

/** Whether the body of a case can be sent once or again; `none` if it has none of its own. */
function bodyKind(seed: number, { family }: TestClient): "once" | "again" | "none" {
  const share = randomOf(-seed)();
  if (share < 0.15) return family === "axios/xhr" ? "none" : "once";
  return share < 0.5 ? "again" : "none";
}

/** Where a run of a case goes, and with which options. */
function drawn(seed: number, io: Io): { route: string; options: object } {
  const random = randomOf(seed);
  const { family } = io.client;
  const route = one(random, routes);
  let options: object = random() < 0.5 ? { headers: one(random, headers)(random, io) } : {};
  for (let count = Math.floor(random() * 5); count > 0; count--) {
    options = { ...options, ...one(random, PARTS[family])(random, io) };
  }
  const kind = bodyKind(seed, io.client);
  if (kind === "none") return { route, options };
  // axios' http adapter takes no web streams.
  const streams = family === "axios/http" ? [nodeStream] : [nodeStream, () => webStream()];
  const body = one(random, kind === "once" ? streams : bodies)(io);
  const own = family.startsWith("axios")
    ? { data: body }
    : { body, ...(family !== "undici/request" && { duplex: "half" }) };
  return { route, options: { ...options, ...own, method: one(random, ["POST", "PUT", "PATCH", "DELETE"]) } };
}

async function sent(io: Io, seed: number): Promise<unknown> {
  const { route, options } = drawn(seed, io);
  const url = io.url(route);
  const { family } = io.client;
  if (family.startsWith("axios")) return io.axios().request({ url, ...(options as AxiosRequestConfig) });
  if (family === "ofetch") return io.ofetch().raw(url, options);
  if (family !== "undici/request") {
    const response = await io.fetch(url, options);
    return { response, text: await response.text() };
  }
  const { dispatcher, module } = io.open().undici!;
  const { body, ...head } = await module.request(url, { dispatcher, ...options });
  return { head, text: await body.text() };
}

export function randomCase(seed: number, client: TestClient): Case {
  return {
    name: `Q15: random options of seed ${seed}`,
    mixed: "clients refuse some of them before they send",
    ...(bodyKind(seed, client) === "once" && { oneShot: true }),
    run: (io) => io.outcome(sent(io, seed)),
  };
}
