/**
 * Bodies, and what the caller changes while a request waits, for every version of axios, every copy of it and every
 * adapter. The other cases are in cases.ts.
 */
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { AxiosError } from "axios";
import FormDataPackage from "form-data";
import { expect, vi } from "vitest";
import { type Case, NODE_HTTP, type Scene } from "./cases.ts";
import { failureOf } from "./stage.ts";

/** Returns a form of the form-data package with a text and a buffer in it. */
function form(): FormDataPackage {
  const data = new FormDataPackage();
  data.append("field", "gr\u{fc}n");
  data.append("file", Buffer.from([0, 255, 13, 10]), "name.bin");
  return data;
}

/** Begins a call while the cache has no token, changes something, and lets the call go on. */
async function meanwhile<T>({ stage }: Scene, call: () => Promise<T>, change: () => void): Promise<T> {
  const hold = stage.grant.hold();
  const answer = call();
  // It may reject before this function returns it.
  answer.catch(() => {});
  await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 5000 });
  change();
  // Events of streams are emitted later.
  await setImmediate();
  hold.release();
  return answer;
}

export const bodyCases: readonly Case[] = [
  {
    name: "Q6: a form of the form-data package is sent again byte for byte, under the same boundary",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      const data = form();
      const boundary = data.getBoundary();
      const { status, config } = await client.post(stage.url, data);
      expect([status, stage.sends]).toEqual([200, ["fake-1", "fake-2"]]);
      const [first, second] = stage.api.requests;
      expect(Buffer.from(second!.body).equals(first!.body)).toBe(true);
      expect(first!.text).toContain("gr\u{fc}n");
      for (const name of ["content-type", "content-length"]) {
        expect([name, second!.headers[name]]).toEqual([name, first!.headers[name]]);
      }
      expect(first!.headers["content-type"]).toBe(`multipart/form-data; boundary=${boundary}`);
      expect(config.data).toBe(data);
    },
  },
  {
    name: "Q6: an object that axios sends as multipart is sent again byte for byte",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      expect((await client.postForm(stage.url, { a: 1, b: ["x", "y"] })).status).toBe(200);
      const [first, second] = stage.api.requests;
      expect([second!.text, second!.headers["content-type"]]).toEqual([first!.text, first!.headers["content-type"]]);
      expect(first!.text).toContain('name="b[]"');
      expect(stage.sends).toEqual(["fake-1", "fake-2"]);
    },
  },
  {
    name: "Q6: a form of the form-data package with a stream in it is not sent again",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      const data = form();
      data.append("stream", Readable.from(["a"]), { filename: "a", knownLength: 1 });
      const error = (await failureOf(client.post(stage.url, data))) as AxiosError;
      expect([error.response?.status, stage.sends]).toEqual([401, ["fake-1"]]);
      expect((await client.get(stage.url)).status).toBe(200);
    },
  },
  {
    name: "Q6: bodies of a factory that differ in length arrive whole, each with its own length",
    async run({ stage, client }) {
      for (const lengths of [
        [3, 30],
        [30, 3],
      ]) {
        await stage.clock.advance(5000);
        await stage.warmAndRevoke();
        const bodies = lengths.map((length) => "x".repeat(length));
        const rest = [...bodies];
        const before = stage.bodies.length;
        const remint = { body: async () => rest.shift() };
        const { status, config } = await client.request({ url: stage.url, method: "post", remint });
        expect([status, stage.bodies.slice(before)]).toEqual([200, bodies]);
        const sizes = stage.api.requests.slice(before).map(({ headers }) => headers["content-length"]);
        expect(sizes).toEqual(lengths.map(String));
        expect(config.headers["Content-Length"]).toBeUndefined();
      }
    },
  },
  {
    name: "Q6: what a factory returns is sent as axios sends it as `data`",
    async run({ stage, client, alone }) {
      await stage.tokens.get();
      const bodies = [() => ({ a: 1 }), () => new URLSearchParams({ a: "1 2" }), () => "text", () => [1, 2]];
      const types = [undefined, "application/json", "application/x-www-form-urlencoded"];
      for (const body of bodies) {
        for (const type of types) {
          const request = {
            url: stage.url,
            method: "post",
            headers: type === undefined ? {} : { "content-type": type },
          };
          await client.request({ ...request, remint: { body } });
          await failureOf(alone.request({ ...request, data: body() }));
          const [ours, expected] = stage.api.requests.slice(-2);
          expect([body.toString(), type, ours!.text]).toEqual([body.toString(), type, expected!.text]);
          expect([type, ours!.headers["content-type"]]).toEqual([type, expected!.headers["content-type"]]);
        }
      }
    },
  },
  {
    name: "Q6, Q9: transformRequest runs once for each body of a factory, with the headers of the request",
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      const seen: unknown[] = [];
      const transformRequest = (data: unknown, headers: Record<string, unknown>): unknown => {
        if (data === undefined) return data;
        seen.push(data);
        headers["X-Length"] = String(JSON.stringify(data).length);
        return JSON.stringify(data);
      };
      let count = 0;
      const remint = { body: () => ({ count: ++count }) };
      await client.request({ url: stage.url, method: "post", transformRequest, remint });
      expect(seen).toEqual([{ count: 1 }, { count: 2 }]);
      expect(stage.bodies).toEqual(['{"count":1}', '{"count":2}']);
      expect(stage.api.requests.map(({ headers }) => headers["x-length"])).toEqual(["11", "11"]);
    },
  },
  {
    name: "Q14: what the caller does to FormData, while a token is awaited or after a 401, is not sent",
    async run(scene) {
      const { stage, client } = scene;
      const data = new FormData();
      data.append("before", "1");
      await meanwhile(
        scene,
        () => client.post(stage.url, data),
        () => data.append("after", "2"),
      );
      stage.revoke();
      stage.api.respond((request) => {
        data.append("later", String(request.status));
        return undefined;
      });
      const { config } = await client.post(stage.url, data);
      expect(stage.bodies.map((text) => text.match(/name="\w+"/g)?.join())).toEqual([
        'name="before"',
        'name="before",name="after"',
        'name="before",name="after"',
      ]);
      expect(config.data).toBe(data);
    },
  },
  {
    name: "Q14: what the caller adds to a form of the form-data package while a token is awaited is not sent",
    adapters: NODE_HTTP,
    async run(scene) {
      const { stage, client } = scene;
      const data = form();
      const expected = data.getBuffer().toString();
      await meanwhile(
        scene,
        () => client.post(stage.url, data),
        () => data.append("after", "2"),
      );
      expect(stage.bodies).toEqual([expected]);
      expect(stage.api.requests[0]!.headers["content-type"]).toContain(data.getBoundary());
    },
  },
  {
    name: "Q14: a URL object and URLSearchParams that change while a token is awaited, or after a 401, count as they were",
    async run(scene) {
      const { stage, client } = scene;
      const url = new URL(`${stage.url}?page=1`);
      const params = new URLSearchParams({ size: "1" });
      const change = (): void => {
        url.searchParams.set("page", "2");
        url.host = "127.0.0.1:1";
        params.set("size", "2");
      };
      const { config } = await meanwhile(scene, () => client.get(url as never, { params }), change);
      expect([config.url, config.params]).toEqual([url, params]);
      url.host = new URL(stage.url).host;
      stage.revoke();
      stage.api.respond(() => {
        change();
        return undefined;
      });
      await client.get(url as never, { params });
      expect(stage.api.requests.map((request) => request.url)).toEqual([
        "/orders?page=1&size=1",
        "/orders?page=2&size=2",
        "/orders?page=2&size=2",
      ]);
    },
  },
  {
    name: "Q6: a body stream that fails while a token is awaited ends the call with the error of axios alone",
    adapters: NODE_HTTP,
    async run(scene) {
      const { stage, client, alone, axios } = scene;
      // oxlint-disable-next-line unicorn/consistent-function-scoping -- it belongs to what stands around it
      const failing = (): Readable => new Readable({ read() {} });
      const broken = Object.assign(new Error("no such file"), { code: "ENOENT" });
      const other = failing();
      const expected = failureOf(alone.post(stage.url, other));
      setTimeout(() => other.destroy(broken), 20);
      const data = failing();
      const error = (await failureOf(
        meanwhile(
          scene,
          () => client.post(stage.url, data),
          () => void data.destroy(broken),
        ),
      )) as AxiosError;
      const { name, message, code } = (await expected) as AxiosError;
      expect([error.name, error.message, error.code]).toEqual([name, message, code]);
      expect([error instanceof axios.AxiosError, error.cause, error.config?.url]).toEqual([true, broken, stage.url]);
      expect(stage.sends.filter((token) => token !== undefined)).toEqual([]);
    },
  },
  {
    name: "Q6: a body stream that is closed while a token is awaited ends the call with the error of axios alone",
    adapters: NODE_HTTP,
    async run(scene) {
      const { stage, client, axios } = scene;
      const data = new Readable({ read() {} });
      const error = await failureOf(
        meanwhile(
          scene,
          () => client.post(stage.url, data),
          () => void data.destroy(),
        ),
      );
      expect([axios.isCancel(error), (error as Error).message]).toEqual([true, "Request stream has been aborted"]);
      expect(stage.sends).toEqual([]);
    },
  },
];
