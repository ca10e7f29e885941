/**
 * Failures of the network, as runtimes and libraries report them: each is recognized, and an error of one's own code is
 * not. The shapes that this runtime can make are made, the others are written as their library writes them.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import { connect } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import axios from "axios";
import ky from "ky";
import { ofetch } from "ofetch";
import { request } from "undici";
import { describe, expect, test } from "vitest";
import { isToldCode, networkCodeOf, networkFailureOf, statusOf } from "../../src/base/network.ts";
import { createTokenCache, customGrant, type RemintError } from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";
import { ORIGIN, rejectionOf } from "../core/cache-under-test.ts";

/** An error as a library makes it: its class name, and members. */
function errorOf(name: string, message: string, members: object = {}, cause?: unknown): Error {
  const error = new Error(message, cause === undefined ? undefined : { cause });
  Object.defineProperty(error, "name", { value: name, configurable: true });
  return Object.assign(error, members);
}

const coded = (code: string, message = code): Error => errorOf("Error", message, { code });

/** Returns a URL on which nothing listens. */
async function closedPort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return `http://127.0.0.1:${port}/`;
}

/** Starts a server that breaks every answer off, calls `use` with its URL, and stops the server. */
async function withBrokenServer(use: (url: string) => Promise<unknown>): Promise<unknown> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const error = await rejectionOf(use(`http://127.0.0.1:${port}/`));
  server.closeAllConnections();
  server.close();
  return error;
}

/** Errors that this runtime makes. */
const made: [what: string, make: () => Promise<unknown>][] = [
  [
    "Node's net: ECONNREFUSED",
    async () => {
      const { port } = new URL(await closedPort());
      return rejectionOf(once(connect(Number(port), "127.0.0.1"), "connect"));
    },
  ],
  ["Node's http: ECONNREFUSED", async () => rejectionOf(once(get(await closedPort()), "response"))],
  ["Node's http: the socket hangs up", () => withBrokenServer((url) => bodyOf(url))],
  ["Node's fetch: nothing listens", async () => rejectionOf(fetch(await closedPort()))],
  ["Node's fetch: the answer breaks off", () => withBrokenServer(async (url) => (await fetch(url)).text())],
  ["Node's fetch: no such host", () => rejectionOf(fetch("http://no-such-host.invalid/"))],
  [
    "Node's streams: ERR_STREAM_PREMATURE_CLOSE",
    () => {
      const source = new Readable({ read() {} });
      const piped = rejectionOf(pipeline(source, new PassThrough()));
      source.destroy();
      return piped;
    },
  ],
  ["undici: nothing listens", async () => rejectionOf(request(await closedPort()))],
  [
    "undici: UND_ERR_SOCKET, the answer breaks off",
    () => withBrokenServer(async (url) => (await request(url)).body.text()),
  ],
  ["axios: nothing listens, adapter http", async () => rejectionOf(axios.get(await closedPort(), { adapter: "http" }))],
  [
    "axios: nothing listens, adapter fetch",
    async () => rejectionOf(axios.get(await closedPort(), { adapter: "fetch" })),
  ],
  ["axios: the answer breaks off, adapter http", () => withBrokenServer((url) => axios.get(url, { adapter: "http" }))],
  [
    "axios: the answer breaks off, adapter fetch",
    () => withBrokenServer((url) => axios.get(url, { adapter: "fetch" })),
  ],
  ["ky: nothing listens", async () => rejectionOf(ky.get(await closedPort(), { retry: 0 }).text())],
  ["ofetch: nothing listens", async () => rejectionOf(ofetch(await closedPort(), { retry: 0 }))],
  [
    "AbortSignal.timeout: its reason",
    async () => {
      const signal = AbortSignal.timeout(1);
      await once(signal, "abort");
      return signal.reason;
    },
  ],
  [
    "AbortSignal.timeout: a fetch that it ends",
    async () => {
      const server = createServer(() => {}).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      const error = await rejectionOf(fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(20) }));
      server.closeAllConnections();
      server.close();
      return error;
    },
  ],
];

async function bodyOf(url: string): Promise<string> {
  const [response] = (await once(get(url), "response")) as [Readable];
  return text(response);
}

/** Errors of other runtimes and libraries. */
const written: [what: string, error: unknown][] = [
  ["Node: EAI_AGAIN, the name server did not answer", coded("EAI_AGAIN", "getaddrinfo EAI_AGAIN auth.example")],
  ["Node: ENOTFOUND", coded("ENOTFOUND", "getaddrinfo ENOTFOUND auth.example")],
  ["Node: ECONNRESET", coded("ECONNRESET", "read ECONNRESET")],
  ["Node: ETIMEDOUT", coded("ETIMEDOUT", "connect ETIMEDOUT 10.0.0.1:443")],
  ["Node: EHOSTUNREACH", coded("EHOSTUNREACH")],
  ["Node: ENETUNREACH", coded("ENETUNREACH")],
  ["Node: EPIPE", coded("EPIPE", "write EPIPE")],
  ["Node: all addresses of a host fail", errorOf("AggregateError", "", { code: "ECONNREFUSED", errors: [] })],
  ["Node's http2: GOAWAY", coded("ERR_HTTP2_GOAWAY_SESSION")],
  ["Node's http2: stream error", coded("ERR_HTTP2_STREAM_ERROR")],
  ["Node's http2: session error", coded("ERR_HTTP2_SESSION_ERROR")],
  ["undici: UND_ERR_CONNECT_TIMEOUT", errorOf("ConnectTimeoutError", "x", { code: "UND_ERR_CONNECT_TIMEOUT" })],
  ["undici: UND_ERR_HEADERS_TIMEOUT", errorOf("HeadersTimeoutError", "x", { code: "UND_ERR_HEADERS_TIMEOUT" })],
  ["undici: UND_ERR_BODY_TIMEOUT", errorOf("BodyTimeoutError", "x", { code: "UND_ERR_BODY_TIMEOUT" })],
  [
    "Node's fetch: the time for a connection is over",
    new TypeError("fetch failed", {
      cause: errorOf("ConnectTimeoutError", "Connect Timeout Error", { code: "UND_ERR_CONNECT_TIMEOUT" }),
    }),
  ],
  [
    "node-fetch: FetchError",
    errorOf("FetchError", "request to https://auth.example failed", { type: "system", code: "ECONNREFUSED" }),
  ],
  [
    "node-fetch: premature close",
    errorOf("FetchError", "Invalid response body", { type: "system", code: "ERR_STREAM_PREMATURE_CLOSE" }),
  ],
  [
    "axios in a browser: ERR_NETWORK",
    errorOf("AxiosError", "Network Error", { isAxiosError: true, code: "ERR_NETWORK" }),
  ],
  [
    "axios: the time is over",
    errorOf("AxiosError", "timeout of 5000ms exceeded", { isAxiosError: true, code: "ECONNABORTED" }),
  ],
  ["axios: the time is over, clarified", errorOf("AxiosError", "timeout", { isAxiosError: true, code: "ETIMEDOUT" })],
  [
    "got: RequestError with the socket's code",
    errorOf("RequestError", "connect ECONNREFUSED", { code: "ECONNREFUSED" }),
  ],
  ["got: RequestError without a code of its own", errorOf("RequestError", "x", { code: "ERR_GOT_REQUEST_ERROR" })],
  ["got: ReadError", errorOf("ReadError", "aborted", { code: "ERR_READING_RESPONSE_STREAM" })],
  ["got: TimeoutError", errorOf("TimeoutError", "Timeout awaiting 'request' for 1ms", { code: "ETIMEDOUT" })],
  ["request, needle: ESOCKETTIMEDOUT", coded("ESOCKETTIMEDOUT")],
  ["AWS SDK 3: TimeoutError", errorOf("TimeoutError", "Connection timed out after 1000 ms")],
  [
    "AWS SDK 3: the socket's code",
    errorOf("Error", "getaddrinfo EAI_AGAIN", { code: "EAI_AGAIN", $metadata: { attempts: 3, totalRetryDelay: 150 } }),
  ],
  [
    "AWS SDK 3: RequestTimeout, with status 400",
    errorOf("RequestTimeout", "x", { $fault: "client", $metadata: { httpStatusCode: 400 } }),
  ],
  [
    "AWS SDK 3: RequestTimeoutException",
    errorOf("RequestTimeoutException", "x", { $metadata: { httpStatusCode: 400 } }),
  ],
  ["AWS SDK 2: NetworkingError", errorOf("NetworkingError", "x", { code: "NetworkingError", retryable: true })],
  ["Azure SDK: REQUEST_SEND_ERROR", errorOf("RestError", "x", { code: "REQUEST_SEND_ERROR" })],
  [
    "Azure identity: a RestError in an AuthenticationError",
    errorOf("AuthenticationError", "x", {}, errorOf("RestError", "x", { code: "REQUEST_SEND_ERROR" })),
  ],
  [
    "Bun: ConnectionRefused",
    errorOf("Error", "Unable to connect. Is the computer able to access the url?", { code: "ConnectionRefused" }),
  ],
  ["Bun: ConnectionClosed", coded("ConnectionClosed", "The socket connection was closed unexpectedly")],
  ["Bun: ConnectionReset", coded("ConnectionReset")],
  ["Bun: FailedToOpenSocket", coded("FailedToOpenSocket", "Was there a typo in the url or port?")],
  ["Bun: Timeout", coded("Timeout")],
  [
    "Deno's fetch: nothing listens",
    new TypeError("error sending request for url (http://127.0.0.1:1/): client error (Connect): tcp connect error"),
  ],
  ["Deno: ConnectionRefused", errorOf("ConnectionRefused", "Connection refused (os error 111)")],
  ["Deno: ConnectionReset", errorOf("ConnectionReset", "Connection reset by peer (os error 104)")],
  ["Deno: ConnectionAborted", errorOf("ConnectionAborted", "x")],
  ["Deno: BrokenPipe", errorOf("BrokenPipe", "Broken pipe (os error 32)")],
  ["Deno: NotConnected", errorOf("NotConnected", "x")],
  ["Deno: TimedOut", errorOf("TimedOut", "Connection timed out (os error 110)")],
  ["Deno: NetworkUnreachable", errorOf("NetworkUnreachable", "Network is unreachable (os error 101)")],
  ["Chrome's fetch", new TypeError("Failed to fetch")],
  ["Chrome's fetch, with the host", new TypeError("Failed to fetch (auth.example)")],
  ["Chrome: the answer of fetch breaks off", new TypeError("network error")],
  ["Node: the answer of fetch breaks off", new TypeError("terminated")],
  ["Safari 16, offline", new TypeError("The Internet connection appears to be offline.")],
  ["Safari: the connection breaks", new TypeError("The network connection was lost.")],
  ["Bun and WebKit", new TypeError(" A network error occurred.")],
  ["Cloudflare Workers", new TypeError("Network connection lost.")],
  ["a TypeError of another realm", errorOf("TypeError", "fetch failed")],
  ["Firefox's fetch", new TypeError("NetworkError when attempting to fetch resource.")],
  ["Safari's fetch", new TypeError("Load failed")],
  ["Safari's fetch, with the host", new TypeError("Load failed (auth.example)")],
  ["React Native's fetch", new TypeError("Network request failed")],
  ["an error of the network that one's own code wraps three times", wrapped(coded("ECONNRESET"), 3)],
];

function wrapped(error: unknown, times: number): unknown {
  return times === 0 ? error : new Error("it failed", { cause: wrapped(error, times - 1) });
}

/** Errors that say nothing of a network. */
const ownErrors: [what: string, make: () => unknown][] = [
  ["ENOENT: a file is missing", () => rejectionOf(readFile("/no/such/file"))],
  ["ENOENT: a program is missing", () => coded("ENOENT", "spawn vault ENOENT")],
  ["EACCES: a file may not be read", () => coded("EACCES", "EACCES: permission denied, open '/run/secret'")],
  ["EPERM", () => coded("EPERM")],
  ["EISDIR", () => rejectionOf(readFile("/"))],
  ["EMFILE", () => coded("EMFILE", "EMFILE: too many open files")],
  ["EADDRINUSE", () => coded("EADDRINUSE")],
  ["EVALIDATION: a library's own code", () => coded("EVALIDATION")],
  ["ERR_INVALID_ARG_TYPE", () => thrownBy(() => Buffer.from(5 as never))],
  [
    "UND_ERR_INVALID_ARG: undici was called wrongly",
    () => errorOf("InvalidArgumentError", "x", { code: "UND_ERR_INVALID_ARG" }),
  ],
  [
    "UND_ERR_ABORTED: one's own code has given up",
    () => errorOf("RequestAbortedError", "x", { code: "UND_ERR_ABORTED" }),
  ],
  [
    "ERR_BAD_RESPONSE of axios: the answer is too long",
    () => errorOf("AxiosError", "maxContentLength size of 1 exceeded", { code: "ERR_BAD_RESPONSE" }),
  ],
  ["ERR_INVALID_URL", () => thrownBy(() => new URL("no url"))],
  ["ERR_BAD_REQUEST of axios, without a status", () => errorOf("AxiosError", "x", { code: "ERR_BAD_REQUEST" })],
  ["ERR_CANCELED of axios", () => errorOf("CanceledError", "canceled", { code: "ERR_CANCELED" })],
  ["AbortError: one's own code has given up", () => AbortSignal.abort().reason as unknown],
  ["CERT_HAS_EXPIRED", () => coded("CERT_HAS_EXPIRED", "certificate has expired")],
  ["a TypeError of one's own code", () => thrownBy(() => (undefined as unknown as { x: 1 }).x)],
  ["a TypeError that quotes another", () => new TypeError("it says: failed to fetch")],
  ["an Error with the message of a browser", () => new Error("Failed to fetch")],
  ["a number as the code (PostgreSQL's driver, gRPC)", () => errorOf("Error", "x", { code: 14 })],
  ["SQLSTATE", () => coded("40001", "could not serialize access")],
  ["Deno's NotFound", () => errorOf("NotFound", "No such file or directory (os error 2)")],
  ["a network error five causes deep", () => wrapped(coded("ECONNRESET"), 5)],
  ["a circular chain of causes", circular],
  ["a text", () => "ECONNREFUSED"],
  ["undefined", () => undefined],
  ["null", () => null],
];

function circular(): Error {
  const error = new Error("loop");
  error.cause = error;
  return error;
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return expect.fail("nothing was thrown");
}

/** Errors with an HTTP status, by the way in which they say it. */
const withStatus: [what: string, make: (status: number) => unknown][] = [
  ["axios", (status) => answered(status, (url) => axios.get(url))],
  ["axios with the adapter fetch", (status) => answered(status, (url) => axios.get(url, { adapter: "fetch" }))],
  ["ky: HTTPError", (status) => answered(status, (url) => ky.get(url, { retry: 0 }).text())],
  ["ofetch: FetchError", (status) => answered(status, (url) => ofetch(url, { retry: 0 }))],
  ["got: HTTPError", (status) => errorOf("HTTPError", "x", { response: { statusCode: status } })],
  ["superagent, gaxios, openid-client: status", (status) => errorOf("Error", "x", { status })],
  ["AWS SDK 3: $metadata", (status) => errorOf("X", "x", { $fault: "server", $metadata: { httpStatusCode: status } })],
  ["AWS SDK 2, Azure SDK: statusCode", (status) => errorOf("RestError", "x", { statusCode: status })],
  ["an object that is no Error", (status) => ({ status })],
];

async function answered(status: number, use: (url: string) => Promise<unknown>): Promise<unknown> {
  const server = createServer((_request, response) => response.writeHead(status).end()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const error = await rejectionOf(use(`http://127.0.0.1:${port}/`));
  server.closeAllConnections();
  server.close();
  return error;
}

/** What a cache makes of an error that a grant of one's own throws, and how often it asks the grant. */
async function mintFailure(error: unknown): Promise<{ failure: RemintError; attempts: number }> {
  let attempts = 0;
  const clock = manualClock();
  const mint = (): never => {
    attempts++;
    throw error;
  };
  const cache = createTokenCache({ grant: customGrant({ mint, mintRetries: 1 }), origins: [ORIGIN], clock });
  const failed = rejectionOf(cache.get());
  await clock.advance(1000);
  return { failure: (await failed) as RemintError, attempts };
}

async function expectNetworkFailure(error: unknown): Promise<void> {
  expect(networkFailureOf(error), String(error)).toBeDefined();
  const { failure, attempts } = await mintFailure(error);
  expect(failure).toMatchObject({ code: "ERR_TOKEN_NETWORK", retryable: true, status: 503 });
  expect(failure.message).toBe("no token is available: the grant could not reach its server");
  expect(failure.cause).toBe(error);
  expect(attempts).toBe(2);
}

describe("a failure of the network is recognized: the mint is repeated, and the error is ERR_TOKEN_NETWORK", () => {
  test.each(made)("%s", async (_what, make) => expectNetworkFailure(await make()));
  test.each(written)("%s", (_what, error) => expectNetworkFailure(error));

  test("AbortSignal.timeout inside the grant, which is not the signal of the mint", async () => {
    let attempts = 0;
    const mint = async (): Promise<never> => {
      attempts++;
      const signal = AbortSignal.timeout(1);
      await once(signal, "abort");
      throw signal.reason;
    };
    const cache = createTokenCache({ grant: customGrant({ mint, mintRetries: 0 }), origins: [ORIGIN] });
    expect(await rejectionOf(cache.get())).toMatchObject({
      code: "ERR_TOKEN_NETWORK",
      retryable: true,
      cause: { name: "TimeoutError" },
    });
    expect(attempts).toBe(1);
  });
});

describe("an error of one's own code is no failure of the network: the mint is not repeated", () => {
  test.each(ownErrors)("%s", async (_what, make) => {
    const error = await make();
    expect(networkFailureOf(error), String(error)).toBeUndefined();
    expect(statusOf(error)).toBeUndefined();
    const { failure, attempts } = await mintFailure(error);
    expect(failure).toMatchObject({ code: "ERR_GRANT", retryable: false, status: 503 });
    expect(failure.message).toBe("no token is available: the grant failed");
    expect(failure.cause).toBe(error);
    expect(attempts).toBe(1);
  });
});

describe("an error with an HTTP status", () => {
  describe.each(withStatus)("%s", (_what, make) => {
    test.each([408, 429, 500, 502, 503, 504])("%i is transient: the mint is repeated", async (status) => {
      const error = await make(status);
      expect(statusOf(error)).toBe(status);
      const { failure, attempts } = await mintFailure(error);
      expect(failure).toMatchObject({ code: "ERR_GRANT", retryable: true });
      expect(failure.cause).toBe(error);
      expect(attempts).toBe(2);
    });

    test.each([400, 401, 403, 404, 422])("%i is not", async (status) => {
      const error = await make(status);
      expect(statusOf(error)).toBe(status);
      const { failure, attempts } = await mintFailure(error);
      expect(failure).toMatchObject({ code: "ERR_GRANT", retryable: false });
      expect(attempts).toBe(1);
    });
  });

  test.each([
    ["a text", { status: "503" }],
    ["in the cause only", new Error("x", { cause: { status: 503 } })],
    ["a response that is null", { response: null, $metadata: null }],
    ["undefined", undefined],
    ["null", null],
    ["a number", 503],
  ])("there is none: %s", (_what, error) => {
    expect(statusOf(error)).toBeUndefined();
  });
});

describe("the code of a request that failed, for a hint", () => {
  test.each([
    [
      "that of fetch, whose cause is the socket's",
      errorOf("TypeError", "fetch failed"),
      coded("ECONNRESET"),
      "ECONNRESET",
    ],
    ["one of TLS", errorOf("TypeError", "fetch failed"), coded("CERT_HAS_EXPIRED"), "CERT_HAS_EXPIRED"],
    ["Bun's", errorOf("TypeError", "x"), coded("ConnectionRefused"), "ConnectionRefused"],
    ["nothing at all, as in browsers", errorOf("TypeError", "Failed to fetch"), undefined, undefined],
    ["a code that is a number", errorOf("Error", "x", { code: 20 }), undefined, undefined],
    ["what is no code, but a secret under this name", coded("SplxlOBeZQQYbYS6WxSbIA"), undefined, undefined],
    ["a very long one", coded("A".repeat(41)), undefined, undefined],
  ])("%s", (_, error, cause, code) => {
    Object.assign(error, { cause });
    expect(networkCodeOf(error, isToldCode)).toBe(code);
  });
});
