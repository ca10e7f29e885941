/**
 * Cases for every version of axios, every copy of it and every adapter; versions.test.ts runs them. Those about answers
 * and errors are in cases-answers.ts.
 */
import { Readable } from "node:stream";
import type { AxiosError, AxiosInstance, AxiosStatic } from "axios";
import { expect, vi } from "vitest";
import type { AdapterChoice } from "./copies.ts";
import { failureOf, type Stage } from "./stage.ts";

export interface Scene {
  readonly stage: Stage;
  /** A client with our interceptor. */
  readonly client: AxiosInstance;
  /** A client without it, of the copy that sends the requests. */
  readonly bare: AxiosInstance;
  /** A client without it, of the user's copy. */
  readonly alone: AxiosInstance;
  /** The user's copy of axios. */
  readonly axios: AxiosStatic;
  /** The copy our interceptor works with. */
  readonly ours: AxiosStatic;
  /** Whether the adapter is axios' fetch adapter. */
  readonly fetches: boolean;
}

export interface Case {
  readonly name: string;
  readonly adapters?: readonly AdapterChoice["name"][];
  /** Run also for adapters that differ only in the way they are named. */
  readonly essential?: true;
  readonly run: (scene: Scene) => Promise<void>;
}

/** A short timeout in milliseconds, for answers that never come. */
const SOON = 40;
export const NODE_HTTP = ["http", "unset", "an array", "a function"] as const;

export const cases: readonly Case[] = [
  {
    essential: true,
    name: "Q1: a request with an empty cache waits for the mint, carries the token and the caller's headers, and leaves their config as it is",
    async run({ stage, client }) {
      const config = { headers: { "X-Custom": "mine" } };
      const before = structuredClone(config);
      const { status, data, headers } = await client.get<unknown>(stage.url, config);
      expect([status, data, stage.sends]).toEqual([200, { ok: true, path: "/orders" }, ["fake-1"]]);
      expect(stage.api.requests[0]?.headers["x-custom"]).toBe("mine");
      expect(headers["content-type"]).toBe("application/json");
      expect(config).toEqual(before);
    },
  },
  {
    essential: true,
    name: "Q5: a rejected token is replaced, and the request is sent once more",
    async run({ stage, client }) {
      await client.get(stage.url);
      stage.revoke();
      expect((await client.get(stage.url)).status).toBe(200);
      expect(stage.sends).toEqual(["fake-1", "fake-1", "fake-2"]);
    },
  },
  {
    name: "Q5: a second 401 reaches the caller as axios' own error, its body parsed and its headers readable",
    async run({ stage, client, axios }) {
      stage.api.respondAlways({ status: 401, headers: { "x-reason": "none" }, body: { error: "never" } });
      const error = (await failureOf(client.get(stage.url))) as AxiosError;
      expect([axios.isAxiosError(error), error.code, error.response?.status]).toEqual([true, "ERR_BAD_REQUEST", 401]);
      expect([error.response?.data, error.response?.headers["x-reason"]]).toEqual([{ error: "never" }, "none"]);
      expect(stage.sends).toEqual(["fake-1", "fake-2"]);
    },
  },
  {
    essential: true,
    name: "Q6: JSON is sent again byte for byte with the same headers",
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      await client.post(stage.url, { text: "gr\u{fc}n", nested: [1] }, { headers: { "X-Custom": "mine" } });
      expect(stage.bodies).toEqual(Array(2).fill('{"text":"gr\u{fc}n","nested":[1]}'));
      for (const { headers } of stage.api.requests) {
        expect([headers["x-custom"], headers["content-type"]]).toEqual(["mine", "application/json"]);
      }
    },
  },
  {
    name: "Q6: web FormData is sent again with every part, under the boundary in its header",
    async run({ stage, client, fetches }) {
      await stage.warmAndRevoke();
      const form = new FormData();
      form.append("field", "value");
      form.append("file", new Blob(["content of the file"]), "name.txt");
      await client.post(stage.url, form);
      expect(stage.sends).toEqual(["fake-1", "fake-2"]);
      const [first, second] = stage.api.requests.map(({ text, headers }) => {
        const boundary = /^--(\S+)\r\n/.exec(text)?.[1] ?? expect.fail("no boundary");
        // On Node, earlier versions of axios' fetch adapter send another content type, also without our interceptor.
        if (!fetches) expect(headers["content-type"]).toContain(boundary);
        return text.replaceAll(boundary, "boundary");
      });
      expect(first).toContain('name="field"');
      expect(first).toContain("content of the file");
      expect(second).toBe(first);
    },
  },
  {
    name: "Q6: a stream is not sent again: its 401 goes to the caller, and the token is replaced for the next request",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      const error = (await failureOf(client.post(stage.url, Readable.from(["a", "b"])))) as AxiosError;
      expect([error.response?.status, stage.sends, stage.bodies]).toEqual([401, ["fake-1"], ["ab"]]);
      expect((await client.get(stage.url)).status).toBe(200);
      expect(stage.sends).toEqual(["fake-1", "fake-2"]);
    },
  },
  {
    name: "Q6: a stream from a body factory is sent again whole, and the config keeps its own data",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      const remint = { body: () => Readable.from(["a", "b"]) };
      const { status, config } = await client.request({ url: stage.url, method: "post", remint });
      expect([status, stage.bodies, stage.sends]).toEqual([200, ["ab", "ab"], ["fake-1", "fake-2"]]);
      expect(config.data).toBeUndefined();
    },
  },
  {
    name: "Q1: a request with its own Authorization keeps all its headers, and its body if that comes from a factory",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      const response = await client.request({
        url: stage.url,
        method: "post",
        headers: { Authorization: "Bearer fake-9", "X-Custom": "mine" },
        remint: { body: () => Readable.from(["a", "b"]) },
      });
      expect([stage.sends, stage.bodies, stage.grant.mints]).toEqual([["fake-9"], ["ab"], 0]);
      expect(stage.api.requests[0]?.headers["x-custom"]).toBe("mine");
      expect(response.config.headers["Authorization"]).toBe("Bearer fake-9");
      expect(response.headers["content-type"]).toBe("application/json");
    },
  },
  {
    name: "Q12: an abort ends the wait for the first mint with axios' own error, and nothing is sent",
    async run({ stage, client, axios }) {
      const hold = stage.grant.hold();
      const controller = new AbortController();
      const failure = failureOf(client.get(stage.url, { signal: controller.signal }));
      await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 5000 });
      controller.abort();
      const error = (await failure) as AxiosError;
      expect([axios.isCancel(error), error.code, stage.sends]).toEqual([true, "ERR_CANCELED", []]);
      hold.release();
      expect((await client.get(stage.url)).status).toBe(200);
      expect(stage.grant.mints).toBe(1);
    },
  },
  {
    name: "Q12: an abort during the mint after a 401 ends the call after one send",
    async run({ stage, client, axios }) {
      await stage.warmAndRevoke();
      const hold = stage.grant.hold();
      const controller = new AbortController();
      const failure = failureOf(client.get(stage.url, { signal: controller.signal }));
      await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 5000 });
      controller.abort();
      const error = (await failure) as AxiosError;
      expect([axios.isCancel(error), error.code, stage.sends]).toEqual([true, "ERR_CANCELED", ["fake-1"]]);
      hold.release();
    },
  },
  {
    name: "Q12: a timeout during the mint is the same error as that of a request without our interceptor",
    async run({ stage, client, bare }) {
      stage.api.respondAlways({ hang: true });
      const expected = (await failureOf(bare.get(stage.url, { timeout: SOON }))) as AxiosError;
      stage.grant.hold();
      const error = (await failureOf(client.get(stage.url, { timeout: SOON }))) as AxiosError;
      expect([error.code, error.message, error.name]).toEqual([expected.code, expected.message, expected.name]);
      expect([error.config?.timeout, stage.sends.length]).toEqual([SOON, 1]);
    },
  },
];
