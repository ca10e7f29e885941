/** Q19: bodies are streamed in both directions; a short one of a request is kept; and each end learns when the other goes. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createTokenCache, RemintError } from "remint";
import { createAuthProxy } from "remint/proxy";
import { fakeGrant } from "remint/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { replacePromise } from "../adapters/world.ts";
import { APP, problemOf, stage } from "./stage.ts";
import type { ServerResponse } from "node:http";

const KEPT = 64 * 1024;
const soon = { timeout: 20_000 };

/** A proxy to an API that answers as the test says. */
async function proxyTo(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  grant = fakeGrant(),
  route = {},
) {
  const server = createServer(answer);
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const cache = createTokenCache({ grant, origins: [origin], mintRetries: 0 });
  const proxy = createAuthProxy(() => cache, { routes: { "/api": { target: origin, ...route } }, csrf: false });
  return (init: RequestInit & { duplex?: "half" } = {}): Promise<Response> => proxy(new Request(`${APP}/api/x`, init));
}

/** A stream whose chunks a test sends, and what its reader did. */
function controlled() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const cancelled: unknown[] = [];
  const body = new ReadableStream<Uint8Array>({
    start: (own) => void (controller = own),
    cancel: (reason) => void cancelled.push(reason),
  });
  return {
    body,
    cancelled,
    push: (bytes: number) => controller.enqueue(new Uint8Array(bytes)),
    end: () => controller.close(),
    fail: (error: Error) => controller.error(error),
  };
}

describe("Q19: request bodies", () => {
  test.each([0, 1, KEPT, KEPT + 1, 5_000_000])("Q19: %i bytes arrive whole", async (size) => {
    const { page, api } = await stage();
    const bytes = new Uint8Array(size).map((_, index) => index % 251);
    expect((await page("/api/x", { method: "POST", body: bytes })).status).toBe(200);
    expect(Buffer.compare(Buffer.from(api.requests[0]!.body), Buffer.from(bytes))).toBe(0);
  });

  test.each([
    ["a short body", "text"],
    ["a stream", new Blob(["text"]).stream()],
  ])(
    "Q19: %s arrives when the application has put another class in the place of Promise, as zone.js does",
    async (_, body) => {
      const { page, api } = await stage();
      replacePromise();
      expect((await page("/api/x", { method: "POST", body, duplex: "half" } as RequestInit)).status).toBe(200);
      expect(Buffer.from(api.requests[0]!.body).toString()).toBe("text");
    },
  );

  test.each([
    [KEPT, 2],
    [KEPT + 1, 1],
  ])("Q19: after a 401, a stream of %i bytes is sent %i times in all", async (size, times) => {
    const { page, api, cache, revoked } = await stage();
    await cache.get();
    revoked.add("fake-1");
    const { body, push, end } = controlled();
    push(size - 10);
    push(10);
    end();
    await page("/api/x", { method: "POST", body, duplex: "half" } as RequestInit);
    expect(api.requests.map((request) => request.body.length)).toEqual(Array.from({ length: times }, () => size));
  });

  test("Q19: a long body is passed on while it arrives", async () => {
    let received = 0;
    const ask = await proxyTo((request, response) => {
      request.on("data", (chunk: Buffer) => (received += chunk.length));
      request.on("end", () => response.end("done"));
    });
    const { body, push, end } = controlled();
    const pending = ask({ method: "POST", body, duplex: "half" });
    push(KEPT + 1);
    await vi.waitUntil(() => received > KEPT, soon);
    push(10);
    end();
    expect([await (await pending).text(), received]).toEqual(["done", KEPT + 11]);
  });

  test("Q19: the API answers before it has read the body, and closes: its answer passes", async () => {
    const ask = await proxyTo((_request, response) => {
      response.writeHead(413, { connection: "close" });
      response.end("too much");
    });
    const { body, push } = controlled();
    push(KEPT + 1);
    const answer = await ask({ method: "POST", body, duplex: "half" });
    expect([answer.status, await answer.text()]).toEqual([413, "too much"]);
  });

  test.each([
    ["it says so in Content-Length", { "content-length": "11" }, 11],
    ["it shows while a short one is read", {}, 11],
  ])("Q19: a body longer than the route allows, as %s: 413, and the API gets no request", async (_, headers, size) => {
    const { page, api } = await stage({ route: { maxBody: 10 } });
    const { body, push, end } = controlled();
    push(size);
    end();
    const answer = await page("/api/x", { method: "POST", headers, body, duplex: "half" } as RequestInit);
    expect([answer.status, (await problemOf(answer))["code"], api.requests.length]).toEqual([413, "body", 0]);
  });

  test("Q19: a body that turns out to be too long on the way: 413, and the API's request is broken off", async () => {
    let end = "";
    const ask = await proxyTo(
      (request) => {
        request.resume();
        request.on("close", () => (end = request.complete ? "whole" : "broken off"));
      },
      fakeGrant(),
      { maxBody: KEPT * 2 },
    );
    const { body, push, cancelled } = controlled();
    const pending = ask({ method: "POST", body, duplex: "half" });
    push(KEPT + 1);
    push(KEPT);
    const answer = await pending;
    expect([answer.status, cancelled.length]).toEqual([413, 1]);
    await vi.waitUntil(() => end === "broken off", soon);
  });

  test("Q19: a body of exactly the longest length passes", async () => {
    const { page } = await stage({ route: { maxBody: 10 } });
    expect((await page("/api/x", { method: "POST", body: "0123456789" })).status).toBe(200);
  });

  test("Q19: no token can be had: a long body that nobody will read is cancelled", async () => {
    const grant = fakeGrant();
    grant.fail(new RemintError("ERR_TOKEN_NETWORK", "away"), Infinity);
    const { page } = await stage({ grant, cache: { mintRetries: 0 } });
    const { body, push, cancelled } = controlled();
    push(KEPT + 1);
    expect((await page("/api/x", { method: "POST", body, duplex: "half" } as RequestInit)).status).toBe(503);
    await vi.waitUntil(() => cancelled.length === 1, soon);
  });

  test.each(["short", "long"])(
    "Q19: the browser breaks off a %s upload: 499, no error for the log, and the API never gets it whole",
    async (length) => {
      const { page, api, errors } = await stage();
      const { body, push, fail } = controlled();
      const pending = page("/api/x", { method: "POST", body, duplex: "half" } as RequestInit);
      push(length === "long" ? KEPT + 1 : 10);
      await vi.waitUntil(() => body.locked, soon);
      fail(new Error("the socket closed"));
      expect([(await pending).status, errors, api.requests]).toEqual([499, [], []]);
    },
  );
});

describe("Q19: answers", () => {
  test("Q19: events arrive one by one, before the stream ends", async () => {
    let answering!: ServerResponse;
    const ask = await proxyTo((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      answering = response;
    });
    const answer = await ask();
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect([answer.headers.get("content-type"), (await reader.read()).value]).toEqual([
      "text/event-stream",
      "data: 1\n\n",
    ]);
    answering.write("data: 2\n\n");
    expect((await reader.read()).value).toBe("data: 2\n\n");
    answering.end();
    expect((await reader.read()).done).toBe(true);
  });

  test("Q19: the browser goes away before the answer: the API's request ends, and the proxy answers nobody with 499", async () => {
    const controller = new AbortController();
    let gone = false;
    const ask = await proxyTo((_request, response) => {
      response.on("close", () => (gone = true));
      controller.abort();
    });
    expect((await ask({ signal: controller.signal })).status).toBe(499);
    await vi.waitUntil(() => gone, soon);
  });

  test("Q19: the browser goes away while a token is awaited: the API gets no request", async () => {
    const grant = fakeGrant();
    const { page, api } = await stage({ grant });
    const hold = grant.hold();
    const controller = new AbortController();
    const pending = page("/api/x", { signal: controller.signal });
    await vi.waitUntil(() => hold.waiting === 1, soon);
    controller.abort();
    expect((await pending).status).toBe(499);
    hold.release();
    expect(api.requests).toEqual([]);
  });

  test.each(["the signal aborts, as at a sign-out", "the body is cancelled"])(
    "Q19: in the middle of an answer %s: the API's connection closes",
    async (how) => {
      let gone = false;
      const ask = await proxyTo((_request, response) => {
        response.write("data: 1\n\n");
        response.on("close", () => (gone = true));
      });
      const controller = new AbortController();
      const answer = await ask({ signal: controller.signal });
      const reader = answer.body!.getReader();
      await reader.read();
      if (how === "the body is cancelled") await reader.cancel();
      else {
        controller.abort(new Error("signed out"));
        await expect(reader.read()).rejects.toThrow("signed out");
      }
      await vi.waitUntil(() => gone, soon);
    },
  );

  test("Q19: the application ends a stream by a signal of its own, after memory was collected: the stream and the API's connection end", async () => {
    let gone = false;
    const ask = await proxyTo((_request, response) => {
      response.write("data: 1\n\n");
      response.on("close", () => (gone = true));
    });
    const session = new AbortController();
    // Nobody but the proxy holds the request and its signal.
    const { body } = await ask({ signal: AbortSignal.any([new AbortController().signal, session.signal]) });
    const reader = body!.getReader();
    await reader.read();
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (let times = 0; times < 8; times++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    session.abort(new Error("signed out"));
    await expect(reader.read()).rejects.toThrow("signed out");
    await vi.waitUntil(() => gone, soon);
  });

  test("Q19: the API breaks off in the middle of its answer: the body fails, and does not end as if it were whole", async () => {
    const ask = await proxyTo((_request, response) => {
      response.write("half");
      setTimeout(() => response.destroy(), 20);
    });
    const answer = await ask();
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow();
  });

  test("Q19: a 401 whose body never ends does not hold the request up", async () => {
    let times = 0;
    const ask = await proxyTo((_request, response) => {
      if (++times > 1) {
        response.end("ok");
      } else {
        response.writeHead(401);
        response.write("and so on");
      }
    });
    expect(await (await ask()).text()).toBe("ok");
  });
});
