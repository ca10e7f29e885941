/** What is tested of the proxy wherever it is mounted: what the browser gets, and what reaches the API. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createBrotliDecompress, createGunzip } from "node:zlib";
import { startAuthServer, type AuthServer } from "remint/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ProxiedApi, startForbidden, startProxiedApi } from "./proxy-api.ts";
import { answerTo, begin, call, exchange, PAGE, read } from "./proxy-browser.ts";
import { startMount } from "./proxy-mounts.ts";
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { Arrived } from "./proxy-api.ts";
import type { ServerProcess } from "./server-process.ts";

/** A framework that the proxy is mounted in. */
export interface Mount {
  readonly name: string;
  /** The server in `proxy-servers.mjs`. */
  readonly server: string;
  /** Why a browser does not learn that an event stream is open before the first event. */
  readonly holdsHead?: string;
}

const MIB = 1024 * 1024;
const WAIT = { timeout: 20_000, interval: 5 } as const;

/** Defines the tests of one mount. */
export function describeMount({ name, server: serverName, holdsHead }: Mount, folder: () => string): void {
  describe(name, () => {
    let auth: AuthServer;
    let api: ProxiedApi;
    let forbidden: Awaited<ReturnType<typeof startForbidden>>;
    let server: ServerProcess;

    beforeAll(async () => {
      auth = await startAuthServer();
      api = await startProxiedApi(auth);
      forbidden = await startForbidden();
      server = await startMount(serverName, folder(), {
        ORDERS_API: `${api.origin}/v1`,
        TOKEN_ENDPOINT: auth.tokenEndpoint,
        // hapi is told its port when the server is made.
        PORT: "0",
        // adapter-node of SvelteKit takes 512 KB.
        BODY_SIZE_LIMIT: "Infinity",
      });
    });
    afterAll(async () => {
      await server?.stop();
      await Promise.all([auth?.close(), api?.close(), forbidden?.close()]);
    });

    const orders = (path: string): string => `${server.origin}/api/orders${path}`;
    /** Begins a request whose answer the test writes, and waits until the API has it. */
    async function held(path: string, headers = {}): Promise<{ sent: ReturnType<typeof begin>; at: Arrived }> {
      const before = api.arrived.length;
      const sent = begin(orders(path), "GET", headers);
      sent.end();
      await expect.poll(() => api.arrived.length, WAIT).toBe(before + 1);
      return { sent, at: api.arrived[before]! };
    }
    /** Collects garbage in the server, as it happens some time. */
    async function collectGarbage(): Promise<void> {
      const collected = once(server.child, "message");
      server.child.send("collect");
      await collected;
    }
    async function expectAlive(): Promise<void> {
      expect((await call(orders("/alive"))).status).toBe(200);
      expect(server.isAlive, server.output).toBe(true);
      expect(server.output).not.toMatch(/unhandled|uncaught/i);
    }

    test("Q18: a GET with a name twice in its query: the API gets both, with the user's token", async () => {
      const { status, text } = await call(orders("/list?tag=1&tag=2&q=b%2Fc"));
      expect(status, text).toBe(200);
      const got = JSON.parse(text) as Arrived;
      expect(got).toMatchObject({ method: "GET", url: "/v1/list?tag=1&tag=2&q=b%2Fc" });
      expect(auth.isLive(String(got.headers["authorization"]).replace("Bearer ", ""))).toBe(true);
    });

    test("S11: the bare prefix: the API's base path", async () => {
      const { text } = await call(orders("?a=1"));
      expect(JSON.parse(text)).toMatchObject({ url: "/v1?a=1" });
    });

    test.each(["POST", "PUT", "PATCH", "DELETE"])("Q19: a %s with a body: the API gets it", async (method) => {
      const headers = { "content-type": "application/json", "idempotency-key": "k-1" };
      const { text } = await call(orders("/new"), method, headers, '{"a":"b"}');
      expect(JSON.parse(text)).toMatchObject({
        method,
        url: "/v1/new",
        body: '{"a":"b"}',
        headers: { "content-type": "application/json", "idempotency-key": "k-1" },
      });
    });

    test("Q18: a HEAD: the API's status, and no body", async () => {
      const { status, text } = await call(orders("/list"), "HEAD");
      expect([status, text]).toEqual([200, ""]);
      expect(api.arrived.at(-1)).toMatchObject({ method: "HEAD" });
    });

    test("Q19: a 401: the token is renewed, and the body sent again", async () => {
      await call(orders("/warm"));
      const before = api.arrived.length;
      auth.revokeAll();
      const { status, text } = await call(orders("/new"), "POST", { "content-type": "application/json" }, "the body");
      expect(status, text).toBe(200);
      expect(JSON.parse(text)).toMatchObject({ body: "the body" });
      expect(api.arrived.slice(before).map(({ body }) => body.toString())).toEqual(["the body", "the body"]);
    });

    test("Q19: 20 MB are uploaded: the API has their beginning before their end is sent, and all of them at last", async () => {
      const before = api.arrived.length;
      const [first, rest] = [randomBytes(MIB), randomBytes(19 * MIB)];
      const sent = begin(orders("/held/upload"), "POST", { "content-type": "application/octet-stream" });
      const answer = answerTo(sent);
      sent.write(first);
      await expect.poll(() => api.arrived[before]?.received ?? 0, WAIT).toBeGreaterThan(0);
      const at = api.arrived[before]!;
      expect(at.received).toBeLessThanOrEqual(MIB);
      sent.end(rest);
      await expect.poll(() => at.received, WAIT).toBe(20 * MIB);
      at.response.end("done");
      expect(await read(await answer)).toMatchObject({ status: 200, text: "done" });
      expect(digest(at.body)).toBe(digest(Buffer.concat([first, rest])));
    });

    test("Q19: an event stream: the browser gets each event when it is sent, also where it accepts compression", async () => {
      const { sent, at } = await held("/held/events", { accept: "text/event-stream", "accept-encoding": "gzip, br" });
      const answer = answerTo(sent);
      at.response.writeHead(200, { "content-type": "text/event-stream" });
      at.response.write("data: one\n\n");
      const stream = await answer;
      expect(stream.headers["content-type"]).toMatch(/^text\/event-stream/);
      const chunks = decoded(stream)[Symbol.asyncIterator]();
      expect((await chunks.next()).value).toBe("data: one\n\n");
      at.response.write("data: two\n\n");
      expect((await chunks.next()).value).toBe("data: two\n\n");
      at.response.end();
      expect((await chunks.next()).done).toBe(true);
    });

    test("Q19: an event stream that has no events yet: the browser learns that it is open", async (context) => {
      context.skip(holdsHead !== undefined, holdsHead);
      const { sent, at } = await held("/held/events", { accept: "text/event-stream" });
      const answer = answerTo(sent);
      at.response.writeHead(200, { "content-type": "text/event-stream" });
      at.response.flushHeaders();
      expect((await answer).statusCode).toBe(200);
      sent.destroy();
      await expect.poll(() => at.isGone, WAIT).toBe(true);
    });

    test("Q19: the browser goes away in the middle of an answer: the API's connection is closed", async () => {
      const { sent, at } = await held("/held/long");
      const answer = answerTo(sent);
      at.response.writeHead(200, { "content-type": "text/plain" });
      at.response.write("the beginning");
      await once((await answer).setEncoding("utf8"), "data");
      await collectGarbage();
      sent.destroy();
      await expect.poll(() => at.isGone, WAIT).toBe(true);
      await expectAlive();
    });

    test("Q19: the browser goes away before the answer: the request to the API is aborted", async () => {
      const { sent, at } = await held("/held/slow");
      await collectGarbage();
      sent.destroy();
      await expect.poll(() => at.isGone, WAIT).toBe(true);
      await expectAlive();
    });

    test("Q19: the browser goes away in the middle of an upload: the request to the API is aborted", async () => {
      const before = api.arrived.length;
      const sent = begin(orders("/held/upload"), "POST", { "content-length": `${10 * MIB}` });
      sent.setHeader("content-type", "application/octet-stream");
      sent.write(randomBytes(MIB));
      await expect.poll(() => api.arrived[before]?.received ?? 0, WAIT).toBeGreaterThan(0);
      sent.destroy();
      await expect.poll(() => api.arrived[before]!.isGone, WAIT).toBe(true);
      await expectAlive();
    });

    test.each(["content-length", "chunks"])(
      "Q19: the API breaks the connection in the middle of a body (%s): so does the server, and it lives on",
      async (framing) => {
        const { sent, at } = await held("/held/cut");
        const answer = answerTo(sent);
        at.response.writeHead(200, {
          "content-type": "text/plain",
          ...(framing === "content-length" && { [framing]: 99 }),
        });
        at.response.write("the beginning");
        const chunks = (await answer).setEncoding("utf8")[Symbol.asyncIterator]();
        expect((await chunks.next()).value).toBe("the beginning");
        at.response.socket?.resetAndDestroy();
        await expect(chunks.next()).rejects.toThrow("aborted");
        await expectAlive();
      },
    );

    test("Q19: the API breaks the connection before it answers: 502, and the server lives on", async () => {
      const { sent, at } = await held("/held/cut");
      const answer = answerTo(sent);
      at.response.socket?.resetAndDestroy();
      const { status, text } = await read(await answer);
      expect(status).toBe(502);
      expect(JSON.parse(text)).toMatchObject({ code: "api" });
      await expectAlive();
    });

    test("Q19: a browser that does not read makes the API wait, and loses nothing", async () => {
      const { sent, at } = await held("/held/big");
      const answer = answerTo(sent);
      const body = randomBytes(64 * MIB);
      at.response.writeHead(200, { "content-type": "application/octet-stream" });
      at.response.end(body);
      const stream = await answer;
      // Time enough to fill every buffer on the way.
      for (let count = 0; count < 50; count++) await call(orders("/meanwhile"));
      expect(at.response.writableFinished).toBe(false);
      const hash = createHash("sha256");
      for await (const chunk of stream) hash.update(chunk as Buffer);
      expect(hash.digest("hex")).toBe(digest(body));
    });

    test("S12: the API's cookies and permissions do not reach the browser", async () => {
      const { status, headers } = await call(orders("/cookies"));
      expect(status).toBe(200);
      for (const header of ["set-cookie", "access-control-allow-origin"]) expect(headers).not.toHaveProperty(header);
      expect(headers["x-powered-by"]).not.toBe("the API");
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["server-timing"]).toMatch(/^token;desc=\w+, api;dur=[\d.]+$/);
    });

    test("S12: cookies, and what the browser says of itself and of tokens, do not reach the API", async () => {
      const forged = {
        authorization: "Bearer forged",
        "proxy-authorization": "Basic forged",
        dpop: "forged",
        forwarded: "for=6.6.6.6;host=forged",
        "x-forwarded-for": "6.6.6.6, 7.7.7.7",
        "x-forwarded-host": "forged",
        "x-forwarded-proto": "forged",
        "x-real-ip": "6.6.6.6",
        "x-user": "forged",
        referer: "http://forged/",
        origin: "http://localhost:3000",
        "sec-fetch-site": "same-origin",
      };
      const { status, text } = await call(orders("/headers"), "GET", forged);
      expect(status, text).toBe(200);
      const { headers } = JSON.parse(text) as Arrived;
      expect(JSON.stringify(headers)).not.toMatch(/forged|6\.6\.6\.6|cookie|session|theme|x-bff|sec-fetch-site/i);
      expect(headers["host"]).toBe(new URL(api.origin).host);
    });

    test("S10: a request of another site, and one without a session: 403 and 401, and the API gets nothing", async () => {
      const before = api.arrived.length;
      const crossSite = await call(orders("/x"), "POST", { "x-bff": "", origin: "http://evil.example" }, "a=b");
      const signedOut = await call(orders("/x"), "GET", { cookie: "theme=dark" });
      expect([crossSite.status, signedOut.status]).toEqual([403, 401]);
      expect(api.arrived.length).toBe(before);
    });

    test("S11: paths that leave the prefix, and targets with a host, as raw bytes: the API gets its own paths only", async () => {
      const evil = forbidden.origin.replace("http:", "");
      const host = new URL(server.origin).host;
      const before = api.arrived.length;
      for (const target of [
        "/api/..%2f..%2fadmin",
        "/api/orders/..%2f..%2fadmin",
        "/api/orders/%2e%2e/%2e%2e/admin",
        "/api/orders/../../admin",
        "/api/orders/..;/admin",
        "/api/orders/%2e%2e%2fadmin",
        "/api/orders/%252e%252e%252fadmin",
        "/api/orders/..\\..\\admin",
        "/api/orders/..%5c..%5cadmin",
        "/api/orders/.%09./admin",
        "/api/orders//admin",
        `/api/orders/${evil}/`,
        `/api/orders@${evil.slice(2)}/`,
        `/api/orders${evil.slice(2)}`,
        "/api/orders/%00",
        "/api/orders/%",
        "/api/orders/%ff",
        `${evil}/`,
        `${evil}/api/orders/x`,
        `/\\${evil.slice(2)}/api/orders/x`,
        `/.//${evil.slice(2)}/api/orders`,
        `${forbidden.origin}/api/orders/x`,
        `${forbidden.origin}/admin`,
        `${api.origin}/admin`,
        `http://user:password@${host}/api/orders/x`,
        `https:${evil}/api/orders/x`,
        `http:///api/orders/x`,
        "api/orders/x",
        "*",
        "/api/orders/a b",
        "/api/orders?//evil/../..",
        "/api/orders/x#/../../admin",
        "/api/ordersadmin",
      ]) {
        const head = [`GET ${target} HTTP/1.1`, `host: ${host}`, "connection: close"];
        const page = Object.entries(PAGE).map((each) => each.join(": "));
        const text = await exchange(server.origin, [...head, ...page, "", ""].join("\r\n"));
        expect(text, target).toMatch(/^(?:HTTP\/1\.1 |$)/);
      }
      expect(forbidden.urls).toEqual([]);
      for (const { url, headers } of api.arrived.slice(before)) {
        expect(url).toMatch(/^\/v1(?:[/?]|$)/);
        expect(url.replace(/\?.*/, "")).not.toMatch(/\.\.|%2[ef]|%5c|\\|\/\/|;|%00/i);
        expect(headers["host"]).toBe(new URL(api.origin).host);
      }
      await expectAlive();
    });

    test("S5: what it has logged holds no token", () => {
      expect(auth.issued.filter((token) => server.output.includes(token))).toEqual([]);
    });
  });
}

/** Reads an answer as text, as a browser does. */
function decoded(answer: IncomingMessage): Readable {
  const decoders = { gzip: createGunzip, br: createBrotliDecompress };
  const decoder = decoders[answer.headers["content-encoding"] as keyof typeof decoders];
  return (decoder === undefined ? answer : answer.pipe(decoder())).setEncoding("utf8");
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
