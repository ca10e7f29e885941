import { Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { type Answer, type Api, type ApiOptions, startApi, startAuthServer } from "../../src/testing/index.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function start(options: ApiOptions = { accepts: (token) => token === "good" }): Promise<Api> {
  const api = await startApi(options);
  closing.push(() => api.close());
  return api;
}

function call(api: Api, path: string, token?: string, init: RequestInit = {}): Promise<Response> {
  return fetch(api.origin + path, {
    ...init,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
}

async function* chunks(...steps: (string | Uint8Array | Error)[]): AsyncGenerator<string | Uint8Array> {
  for (const step of steps) {
    if (step instanceof Error) throw step;
    yield step;
  }
}

describe("startApi", () => {
  test("answers 200 to accepted tokens, and 401 with a challenge otherwise", async () => {
    const api = await start();
    const good = await call(api, "/orders?page=2", "good");
    expect([good.status, await good.json()]).toEqual([200, { ok: true, path: "/orders" }]);
    const bad = await call(api, "/orders", "bad");
    expect([bad.status, bad.headers.get("www-authenticate")]).toEqual([401, 'Bearer error="invalid_token"']);
    const bare = await call(api, "/orders");
    expect([bare.status, bare.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    expect(api.unauthorized).toBe(2);
    expect(api.requests.map(({ url, token, status }) => [url, token, status])).toEqual([
      ["/orders?page=2", "good", 200],
      ["/orders", "bad", 401],
      ["/orders", undefined, 401],
    ]);
  });

  test("accepts the tokens of an auth server until they are revoked", async () => {
    const auth = await startAuthServer();
    closing.push(() => auth.close());
    const api = await start({ accepts: auth });
    auth.respond({ body: { access_token: "t" } });
    await fetch(auth.tokenEndpoint, { method: "POST" });
    expect((await call(api, "/", "t")).status).toBe(200);
    auth.revoke("t");
    expect((await call(api, "/", "t")).status).toBe(401);
  });

  test("records the exact bytes of a body", async () => {
    const api = await start();
    const bytes = new Uint8Array([0, 255, 10, 13, 200]);
    await call(api, "/", "good", { method: "PUT", body: bytes });
    await call(api, "/", "good", { method: "POST", body: "größer" });
    expect(api.requests.map(({ method }) => method)).toEqual(["PUT", "POST"]);
    expect(api.requests[0]?.body).toEqual(bytes);
    expect(api.requests[1]?.text).toBe("größer");
  });

  test("held requests are judged when they are released", async () => {
    const live = new Set(["t"]);
    const api = await start({ accepts: (token) => live.has(token) });
    const release = api.holdAnswers();
    const calls = Array.from({ length: 20 }, (_, index) => call(api, `/${index}`, "t"));
    await api.waitFor(20);
    expect([api.waiting, api.requests.length, api.requests[0]?.status]).toEqual([20, 20, undefined]);
    live.delete("t");
    release();
    for (const response of await Promise.all(calls)) expect(response.status).toBe(401);
    expect([api.waiting, api.unauthorized]).toEqual([0, 20]);
    live.add("t");
    expect((await call(api, "/", "t")).status).toBe(200);
  });

  test("a request whose client aborts no longer counts as waiting", async () => {
    const api = await start();
    api.holdAnswers();
    const controller = new AbortController();
    const left = call(api, "/", "good", { signal: controller.signal });
    await api.waitFor(1);
    controller.abort();
    await expect(left).rejects.toThrow("abort");
    await expect.poll(() => api.waiting).toBe(0);
  });

  test("waitFor rejects when the server is closed first", async () => {
    const api = await start();
    const waiting = expect(api.waitFor(1)).rejects.toThrow("waitFor(1)");
    await api.close();
    await waiting;
    await expect(api.waitFor(1)).rejects.toThrow("closed after 0 requests");
    await expect(api.waitFor(0)).resolves.toBeUndefined();
    await expect(api.waitFor(-1)).rejects.toThrow(TypeError);
    // @ts-expect-error without a number it would wait for ever
    await expect(api.waitFor()).rejects.toThrow('"total" must be an integer of at least 0, got undefined');
  });

  test("a function gets the recorded request, and its body may be bytes, an object, a Readable or an iterable", async () => {
    const api = await start();
    api.respond(
      ({ text }) => ({ status: 201, headers: { "x-echo": text }, body: new Uint8Array([1, 2]) }),
      { body: { a: 1 } },
      () => ({ body: Readable.from(["one ", "two"]) }),
      async () => ({ body: chunks("three ", new Uint8Array([0x34])) }),
    );
    const bytes = await call(api, "/", "good", { method: "POST", body: "hello" });
    expect([bytes.status, bytes.headers.get("x-echo")]).toEqual([201, "hello"]);
    expect(new Uint8Array(await bytes.arrayBuffer())).toEqual(new Uint8Array([1, 2]));
    const object = await call(api, "/");
    expect([object.headers.get("content-type"), await object.json()]).toEqual(["application/json", { a: 1 }]);
    expect(await (await call(api, "/")).text()).toBe("one two");
    expect(await (await call(api, "/")).text()).toBe("three 4");
    expect(api.requests.map(({ status }) => status)).toEqual([201, 200, 200, 200]);
  });

  test("a body stream that fails cuts the connection in the middle of the body", async () => {
    const api = await start();
    api.respond({ body: chunks("one", new Error("broken")) });
    const response = await call(api, "/", "good");
    await expect(response.text()).rejects.toThrow("terminated");
    expect((await call(api, "/", "good")).status).toBe(200);
  });

  test("an answer that cannot be sent becomes a 500 with the reason", async () => {
    const api = await start();
    api.respond({ headers: { "x-bad": "line\nbreak", "content-length": "3" }, body: "abc" });
    const response = await call(api, "/", "good");
    expect([response.status, await response.text()]).toEqual([500, expect.stringContaining("x-bad")]);
    await expect(api.close()).rejects.toThrow("x-bad");
  });

  test.each<[what: string, answer: unknown, message: string]>([
    ["a status that is no answer yet", { status: 101 }, '"status" must be the status of an answer'],
    ["a status in a string", { status: "503" }, '"status" must be the status of an answer'],
    ["a delay in a string", { delay: "10" }, '"delay" must be a non-negative number'],
    ["a delay without an end", { delay: Infinity }, '"delay" must be a non-negative number'],
    ["a path without a slash", { path: "orders" }, '"path" must be a path such as "/orders"'],
    ["a path with a query", { path: "/orders?page=2" }, '"path" must be a path such as "/orders"'],
    ["a change that is no function", { change: { status: 500 } }, '"change" must be a function'],
    ["a flag in a string", { reset: "yes" }, '"reset" must be true or false'],
    ["a form as a body, which JSON would empty", { body: new URLSearchParams({ a: "b" }) }, '"body" must be text'],
    ["a Blob as a body, which JSON would empty", { body: new Blob(["a"]) }, '"body" must be text'],
    ["a function as a body", { body: () => "a" }, '"body" must be text'],
    ["null as a body", { body: null }, '"body" must be text'],
    ["a list of answers", [{ status: 500 }], "takes options such as { status }, got an array"],
    ["a promise of an answer", Promise.resolve({ status: 500 }), "takes options such as { status }, got a promise"],
    ["a Response", Response.json({ a: 1 }), 'answer" must be an object such as'],
    ["a misspelt member", { stauts: 500 }, 'has no option "stauts": did you mean "status"?'],
  ])("%s is a TypeError that names it, given or returned by a script", async (_, answer, message) => {
    const api = await startApi({ accepts: () => true });
    expect(() => api.respond(answer as Answer)).toThrow(message);
    expect(() => api.respondAlways(answer as Answer)).toThrow(TypeError);
    api.respond(() => answer as Answer);
    const response = await call(api, "/", "good");
    // What a promise brings is the answer of a script.
    if (answer instanceof Promise) {
      expect(response.status).toBe(500);
      return api.close();
    }
    expect([response.status, await response.text()]).toEqual([500, expect.stringContaining(message)]);
    await expect(api.close()).rejects.toThrow(TypeError);
  });

  test("objects of classes that JSON can hold, and every kind of number and text, are sent as JSON", async () => {
    const api = await start();
    class Order {
      readonly id = 1;
    }
    api.respond(
      { body: new Order() },
      { body: new Date(0) },
      { body: [] },
      { body: {} },
      { status: 999, body: "text" },
    );
    const answers = [];
    for (let i = 0; i < 5; i++) answers.push(await (await call(api, "/", "good")).text());
    expect(answers).toEqual(['{"id":1}', '"1970-01-01T00:00:00.000Z"', "[]", "{}", "text"]);
  });

  test("accepts returns a promise, which would count as true: a 500 that says so", async () => {
    // @ts-expect-error a promise is no boolean
    const api = await startApi({ accepts: async () => false });
    const response = await call(api, "/", "good");
    expect([response.status, await response.text()]).toEqual([500, expect.stringContaining('"accepts" must be')]);
    await expect(api.close()).rejects.toThrow('"accepts" must be a function that returns true or false');
  });

  test("a scripted 401 counts as unauthorized, and a reset connection has no status", async () => {
    const api = await start();
    api.respondAlways({ status: 401 });
    api.respond({ reset: true });
    await expect(call(api, "/", "good")).rejects.toThrow("fetch failed");
    expect((await call(api, "/", "good")).headers.get("www-authenticate")).toBeNull();
    expect(api.unauthorized).toBe(1);
    expect(api.requests.map(({ status }) => status)).toEqual([undefined, 401]);
  });

  test("close ends body streams that hang", async () => {
    const api = await start();
    api.respond({ body: new Readable({ read: () => {} }) });
    const response = await call(api, "/", "good");
    await api.close();
    await expect(response.text()).rejects.toThrow("terminated");
  });

  test("a wrong option is a TypeError that names it", async () => {
    // @ts-expect-error accepts is required
    await expect(startApi({})).rejects.toThrow(/"accepts"/);
    await expect(startApi({ accepts: () => true, latency: Number.NaN })).rejects.toThrow(/"latency"/);
  });
});
