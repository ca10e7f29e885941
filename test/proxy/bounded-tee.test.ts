/** Q19: Node's fetch splits the body of a request and never reads one half. That half must not keep the whole upload. */
import { once } from "node:events";
import { createServer } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createTokenCache } from "remint";
import { createAuthProxy } from "remint/proxy";
import { fakeGrant } from "remint/testing";
import { expect, onTestFinished, test, vi } from "vitest";
import { streamOf } from "../../src/proxy/bounded-tee.ts";
import type { AddressInfo } from "node:net";

const MIB = 1024 * 1024;

/** Chunks of 4 bytes: their numbers from 1 on. */
function numbered(count: number, failure?: Error) {
  const cancelled: unknown[] = [];
  let number = 0;
  const source = {
    async next() {
      if (number < count) return new Uint8Array(4).fill(++number);
      if (failure !== undefined) throw failure;
      return undefined;
    },
    async cancel(reason: unknown) {
      cancelled.push(reason);
    },
  };
  return { body: streamOf(source, 8), cancelled, read: () => number };
}

async function allOf(stream: ReadableStream<Uint8Array>): Promise<number[]> {
  const numbers: number[] = [];
  for await (const [first] of stream as unknown as AsyncIterable<Uint8Array>) numbers.push(first!);
  return numbers;
}

test("Q19: 64 MiB go through the proxy with the runtime's own fetch: while they do, no more than 4 MiB of them are in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const chunks: WeakRef<ArrayBuffer>[] = [];
  let received = 0;
  let alive: number | undefined;
  const api = createServer((request, response) => {
    request.on("data", ({ length }: Buffer) => (received += length));
    request.on("end", () => response.end());
  });
  await once(api.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void api.close());
  const target = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  const cache = createTokenCache({ grant: fakeGrant(), origins: [target] });
  const proxy = createAuthProxy(() => cache, { routes: { "/api": target }, csrf: false });
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (chunks.length === 1024) return controller.close();
        if (chunks.length === 768) {
          await vi.waitUntil(() => received > 46 * MIB, { timeout: 20_000 });
          collect();
          alive = chunks.filter((chunk) => chunk.deref() !== undefined).length;
        }
        const chunk = new Uint8Array(MIB / 16);
        chunks.push(new WeakRef(chunk.buffer));
        controller.enqueue(chunk);
      },
    },
    { highWaterMark: 0 },
  );
  const answer = await proxy(
    new Request("https://app.example/api/x", { method: "POST", body, duplex: "half" } as RequestInit),
  );
  expect([answer.status, received]).toEqual([200, 64 * MIB]);
  expect(alive).toBeLessThan(64);
});

test("Q19: of a split body both halves arrive whole when both are read", async () => {
  const [one, other] = numbered(20).body.tee();
  const all = Array.from({ length: 20 }, (_, index) => index + 1);
  expect(await Promise.all([allOf(one), allOf(other)])).toEqual([all, all]);
});

test("Q19: a half that is read a little later gets what was kept for it", async () => {
  const [one, other] = numbered(2).body.tee();
  expect([await allOf(one), await allOf(other)]).toEqual([
    [1, 2],
    [1, 2],
  ]);
});

test("Q19: a half that is read too late fails, and does not end as if it were whole", async () => {
  const [one, other] = numbered(20).body.tee();
  expect(await allOf(one)).toHaveLength(20);
  await expect(allOf(other)).rejects.toThrow("was not read while the other one was");
});

test("Q19: the source fails: both halves do", async () => {
  const [one, other] = numbered(1, new Error("gone")).body.tee();
  const read = await Promise.allSettled([allOf(one), allOf(other)]);
  expect(read.map((each) => (each as PromiseRejectedResult).reason as Error)).toMatchObject([
    { message: "gone" },
    { message: "gone" },
  ]);
});

test("Q19: the source is cancelled when nobody is left: both halves were cancelled, or one was and the other given up", async () => {
  const both = numbered(20);
  const [one, other] = both.body.tee();
  await one.cancel("first");
  expect(both.cancelled).toEqual([]);
  await other.cancel("last");
  expect(both.cancelled).toEqual(["last"]);

  const slow = numbered(20);
  const reader = slow.body.tee()[0].getReader();
  for (let times = 0; times < 10; times++) await reader.read();
  await reader.cancel("enough");
  expect(slow.cancelled).toEqual(["enough"]);
});

test("Q19: a body that somebody reads already cannot be split, as with any stream", () => {
  const { body, read } = numbered(1);
  body.getReader();
  expect(() => body.tee()).toThrow(TypeError);
  expect(read()).toBe(0);
});

test("Q19: a body that was split cannot be read itself", () => {
  const { body } = numbered(1);
  body.tee();
  expect(() => body.getReader()).toThrow(TypeError);
});
