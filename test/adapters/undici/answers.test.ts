/** What of an answer reaches the caller, and when: heads, bodies, trailers, upgrades, pauses, errors. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { createTokenCache, type RemintError } from "remint";
import { fakeGrant } from "remint/testing";
import { type UndiciInterceptorOptions, createAuthInterceptor } from "remint/undici";
import { describe, expect, test } from "vitest";
import { failureOf } from "../axios/stage.ts";
import { Gate } from "../world.ts";
import { newest, request } from "./dispatch.ts";

const MEGABYTE = Buffer.alloc(1 << 20, "0123456789abcdef");
const LIMIT = 64 * 1024;

type Answer = (incoming: IncomingMessage, response: ServerResponse, token: string | undefined) => unknown;

/** Answers with a header twice, an informational answer before, and a trailer. */
function write(response: ServerResponse): void {
  response.writeEarlyHints({ link: "</style.css>; rel=preload" });
  response.writeHead(200, { "set-cookie": ["a=1", "b=2"], trailer: "x-sum" });
  response.write("part");
  response.addTrailers({ "x-sum": "42" });
  response.end();
}

/** Answers 401 to the first token. */
const rejectsFirst: Answer = (_incoming, response, token) => {
  if (token === "fake-1") response.writeHead(401, { "x-request-id": "7" }).end("no");
  else write(response);
};

describe.each(newest)("undici %s", (_version, undici) => {
  /** Starts a server that answers by hand, over one connection at a time, and fills the cache with its first token. */
  async function open(answer: Answer, options: UndiciInterceptorOptions = {}) {
    const tokensSent: (string | undefined)[] = [];
    const server = createServer((incoming, response) => {
      const token = incoming.headers.authorization?.split(" ")[1];
      tokensSent.push(token);
      incoming.resume().on("end", () => answer(incoming, response, token));
    });
    server.on("upgrade", (incoming, socket) => {
      const token = incoming.headers.authorization?.split(" ")[1];
      tokensSent.push(token);
      const refused = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
      const accepted = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nhello";
      socket.end(token === "fake-1" ? refused : accepted);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const grant = fakeGrant();
    const tokens = createTokenCache({ grant, origins: [origin], mintRetries: 0 });
    await tokens.get();
    const agent = new undici.Agent({ connections: 1, pipelining: 1 });
    const dispatcher = agent.compose(createAuthInterceptor(tokens, options));
    return {
      origin,
      grant,
      tokens,
      tokensSent,
      dispatcher,
      call: (sent = {}) => request(undici, dispatcher, `${origin}/x`, sent),
      async [Symbol.asyncDispose]() {
        await agent.destroy();
        await tokens.close();
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  test("Q10, Q15: headers that occur twice, an informational answer and trailers reach the caller, after a renewal too", async () => {
    for (const answer of [rejectsFirst, ((_, response) => write(response)) as Answer]) {
      await using world = await open(answer);
      const infos: number[] = [];
      const { headers, body, trailers } = await undici.request(`${world.origin}/x`, {
        dispatcher: world.dispatcher,
        onInfo: ({ statusCode }: { statusCode: number }) => void infos.push(statusCode),
      });
      expect([await body.text(), headers["set-cookie"], trailers, infos]).toEqual([
        "part",
        ["a=1", "b=2"],
        { "x-sum": "42" },
        [103],
      ]);
    }
  });

  test("Q10, Q15: Node's own fetch gets two cookies as two headers, and not as one", async () => {
    await using world = await open(rejectsFirst);
    const { headers } = await fetch(`${world.origin}/x`, { dispatcher: world.dispatcher } as unknown as RequestInit);
    expect([headers.getSetCookie(), world.tokensSent]).toEqual([
      ["a=1", "b=2"],
      ["fake-1", "fake-2"],
    ]);
  });

  test("Q7: a 401 of a megabyte, one that never ends, and one to a HEAD free the only connection, and the request is sent again", async () => {
    for (const [method, reject] of [
      ["GET", (response: ServerResponse) => response.end(MEGABYTE)],
      ["GET", (response: ServerResponse) => response.write("and so on")],
      ["HEAD", (response: ServerResponse) => response.end()],
    ] as const) {
      await using world = await open((_incoming, response, token) => {
        if (token === "fake-1") reject(response.writeHead(401));
        else response.end("welcome");
      });
      expect(await world.call({ method })).toMatchObject({ status: 200, text: method === "HEAD" ? "" : "welcome" });
      expect(world.tokensSent).toEqual(["fake-1", "fake-2"]);
    }
  });

  test("Q8: when no token can be had, the caller gets the 401 as it was, or 64 KiB of a long one without its length", async () => {
    for (const [body, text, length] of [
      ["not you", "not you", "7"],
      [MEGABYTE, MEGABYTE.toString().slice(0, LIMIT), undefined],
    ] as const) {
      const answer: Answer = (_, response) =>
        response.writeHead(401, { "content-length": body.length, "x-request-id": "7" }).end(body);
      await using world = await open(answer, { failedRenewal: "response" });
      world.grant.fail(new Error("no other token"), Infinity);
      const got = await world.call();
      expect([got.status, got.headers["x-request-id"], got.headers["content-length"]]).toEqual([401, "7", length]);
      expect(got.text === text).toBe(true);
    }
  });

  test('Q8: failedRenewal "throw" gives the caller the error, with what was rejected', async () => {
    await using world = await open((_, response) => response.writeHead(401).end("no"), { failedRenewal: "throw" });
    world.grant.fail(new Error("no other token"), Infinity);
    const error = (await failureOf(world.call())) as RemintError;
    expect(error).toMatchObject({ rejected: { status: 401, url: `${world.origin}/x` } });
  });

  test("Q4: a rule reads the start of a gzip answer that it is asked about, and the caller gets the bytes as they came", async () => {
    const texts: string[] = [];
    const zipped = gzipSync(`SESSION_EXPIRED ${"x".repeat(LIMIT)}`);
    const options: UndiciInterceptorOptions = {
      inspectStatuses: [200],
      isRejected: async ({ text }) => (texts.push(await text(15)), false),
    };
    await using world = await open(
      (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(zipped),
      options,
    );
    const { body } = await undici.request(`${world.origin}/x`, { dispatcher: world.dispatcher });
    expect([Buffer.from(await body.arrayBuffer()).equals(zipped), texts]).toEqual([true, ["SESSION_EXPIRED"]]);
  });

  test("Q4: the text of an event stream is not waited for", async () => {
    const texts: string[] = [];
    await using world = await open(
      (_, response) => void response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n"),
      { inspectStatuses: [200], isRejected: async ({ text }) => (texts.push(await text(100)), false) },
    );
    const { body } = await undici.request(`${world.origin}/x`, { dispatcher: world.dispatcher });
    for await (const chunk of body) {
      expect([String(chunk), texts]).toEqual(["data: 1\n\n", [""]]);
      break;
    }
  });

  test("Q15: a caller who pauses gets no more until it resumes, also of an answer that was judged", async () => {
    for (const options of [{}, { inspectStatuses: [200], isRejected: async () => false }]) {
      await using world = await open((_, response) => response.end(MEGABYTE), options);
      const { body } = await undici.request(`${world.origin}/x`, { dispatcher: world.dispatcher });
      body.pause();
      let seen = 0;
      // Whole requests over another socket give the answer more time than it needs to arrive.
      for (const _ of ["1", "2", "3"]) await (await fetch(world.origin)).text();
      expect(body.readableLength).toBeLessThan(MEGABYTE.length / 2);
      for await (const chunk of body) seen += (chunk as Buffer).length;
      expect(seen).toBe(MEGABYTE.length);
    }
  });

  test("Q15: while an answer is judged, no more of it is taken from the connection", async () => {
    const part = Buffer.alloc(LIMIT);
    const parts = 1024;
    let taken = 0;
    const judged = new Gate();
    let isAsked = false;
    await using world = await open(
      (incoming, response) => {
        if (incoming.url !== "/x") return response.end("short");
        return new Readable({
          read() {
            this.push(taken++ < parts ? part : null);
          },
        }).pipe(response);
      },
      { inspectStatuses: [200], isRejected: () => ((isAsked = true), judged.passed.then(() => false)) },
    );
    const call = undici.request(`${world.origin}/x`, { dispatcher: world.dispatcher });
    await expect.poll(() => isAsked).toBe(true);
    // Whole requests over another connection give the answer more time than it needs to arrive.
    const another = new undici.Agent();
    for (const path of ["/1", "/2", "/3"]) await request(undici, another, world.origin + path);
    await another.destroy();
    expect(taken).toBeLessThan(parts / 2);
    judged.open();
    const { body } = await call;
    let seen = 0;
    for await (const chunk of body) seen += (chunk as Buffer).length;
    expect([seen, taken]).toEqual([parts * part.length, parts + 1]);
  });

  test("Q15: an early hint to undici's own fetch, which wants no more of it, does not stop the answer", async () => {
    await using world = await open(rejectsFirst);
    const answer = await undici.fetch(`${world.origin}/x`, { dispatcher: world.dispatcher });
    expect([answer.status, await answer.text()]).toEqual([200, "part"]);
  });

  test("Q15: an upgrade carries the token, and its 401 renews it", async () => {
    await using world = await open(() => {});
    const { headers, socket } = await undici.upgrade(`${world.origin}/chat`, {
      dispatcher: world.dispatcher,
      protocol: "chat",
    });
    socket.on("error", () => {}).destroy();
    expect([headers["upgrade"], world.tokensSent]).toEqual(["chat", ["fake-1", "fake-2"]]);
  });

  test("Q12: an abort while the body of a 401 is discarded, or while the next token is awaited, ends the call with its reason", async () => {
    for (const when of ["discarded", "awaited"]) {
      await using world = await open((_, response) => {
        response.writeHead(401).write("n");
        if (when === "awaited") response.end("o");
      });
      const hold = world.grant.hold();
      const controller = new AbortController();
      const reason = new Error("gone");
      const failure = failureOf(world.call({ signal: controller.signal }));
      if (when === "awaited") await expect.poll(() => hold.waiting).toBe(1);
      else await expect.poll(() => world.tokensSent.length).toBe(1);
      controller.abort(reason);
      expect([await failure, world.tokensSent]).toEqual([reason, ["fake-1"]]);
      hold.release();
    }
  });

  test("Q12: an abort in the middle of a body that was kept and of one that was not ends the body with its reason", async () => {
    for (const status of [200, 401]) {
      await using world = await open((_, response) => void response.writeHead(status).write("begun"), {
        isRejected: () => false,
      });
      const controller = new AbortController();
      const { signal } = controller;
      const { statusCode, body } = await undici.request(`${world.origin}/x`, { dispatcher: world.dispatcher, signal });
      const reason = new Error("gone");
      controller.abort(reason);
      expect([statusCode, await failureOf(body.text())]).toEqual([status, reason]);
    }
  });

  test("Q15: a body that breaks off fails for the caller as with undici alone", async () => {
    await using world = await open((_, response) => {
      response.writeHead(200, { "content-length": 10 }).write("begun", () => response.destroy());
    });
    const alone = new undici.Agent();
    const errors = await Promise.all(
      [alone, world.dispatcher].map(async (dispatcher) => {
        const { body } = await undici.request(`${world.origin}/x`, { dispatcher });
        return failureOf(body.text()) as Promise<Error & { code?: string }>;
      }),
    );
    const [own, through] = errors.map(({ name, code, message }) => [name, code, message]);
    expect(through).toEqual(own);
    await alone.destroy();
  });

  test("Q15: what a handler throws ends the request, and its onError gets it, also after the 401 was judged", async () => {
    for (const [status, member] of [
      [200, "onHeaders"],
      [401, "onHeaders"],
      [200, "onData"],
      [401, "onData"],
      [401, "onComplete"],
    ] as const) {
      await using world = await open((_, response) => response.writeHead(status).end("text"), {
        isRejected: () => false,
      });
      const error = new Error(`${member} fails`);
      const got = await new Promise((resolve) => {
        const handler: Record<string, unknown> = {
          onConnect() {},
          onHeaders: () => true,
          onData: () => true,
          onComplete() {},
          onError: resolve,
          [member]() {
            throw error;
          },
        };
        const options = { origin: world.origin, path: "/x", method: "GET" } as const;
        world.dispatcher.dispatch(options, handler);
      });
      expect([member, got]).toEqual([member, error]);
    }
  });
});
