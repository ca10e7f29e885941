/** Request bodies whose length is stated: those that a server gets in almost every request. */
import { expect, test } from "vitest";
import { problemOf, stage } from "./stage.ts";

const post = (body: BodyInit | null, length: number): RequestInit =>
  ({ method: "POST", body, duplex: "half", headers: { "content-length": `${length}` } }) as RequestInit;

test("Q19: a short body arrives whole, and is sent again after a 401", async () => {
  const { api, page, cache, revoked } = await stage();
  revoked.add((await cache.get()).value);
  expect((await page("/api/x", post("short", 5))).status).toBe(200);
  expect(api.requests.map(({ text }) => text)).toEqual(["short", "short"]);
});

test("Q19: no body, and a length of 0: the API gets none", async () => {
  const { api, page } = await stage();
  for (const method of ["POST", "GET"]) {
    expect((await page("/api/x", { method, headers: { "content-length": "0" } })).status).toBe(200);
  }
  expect(api.requests.map(({ text, headers }) => [text, headers["transfer-encoding"]])).toEqual([
    ["", undefined],
    ["", undefined],
  ]);
});

test("Q19: a short body that breaks off: 499, and the API gets nothing", async () => {
  const { api, page } = await stage();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new Uint8Array(10));
    },
    pull: (controller) => controller.error(new Error("gone")),
  });
  const answer = await page("/api/x", post(body, 20));
  expect([answer.status, await problemOf(answer)]).toMatchObject([499, { code: "gone" }]);
  expect(api.requests).toEqual([]);
});

test.each(["was read", "is being read"])("Q18: a short body that %s by a body parser: a TypeError", async (state) => {
  const { proxy } = await stage();
  const request = new Request("https://app.example/api/x", post("short", 5));
  request.headers.set("x-bff", "1");
  if (state === "was read") await request.text();
  else request.body!.getReader();
  await expect(proxy(request)).rejects.toThrow("mount the proxy before body parsers");
});

test("Q19: a body that is longer than it states, as only one that was made by hand can be: 413, and the API gets nothing", async () => {
  const { api, page } = await stage({ route: { maxBody: 10 } });
  const answer = await page("/api/x", post("0123456789a", 3));
  expect([answer.status, api.requests.length]).toEqual([413, 0]);
});
