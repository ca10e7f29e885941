/**
 * Q11: no printed form of what leaves axios shows a token. For every version of axios, every copy of it and every adapter.
 */
import { Agent, createServer } from "node:http";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { inspect } from "node:util";
import type { AxiosError, AxiosRequestConfig, AxiosResponse } from "axios";
import { expect } from "vitest";
import { type Case, NODE_HTTP, type Scene } from "./cases.ts";
import { failureOf, leakIn } from "./stage.ts";

/** Looks for a token in every printed form of an error and of its parts. */
function leakInError(error: unknown): string | undefined {
  const { config, response, request, cause, stack, toJSON } = error as AxiosError;
  const parts: unknown[] = [error, String(error), stack, config, cause, response, request, response?.config];
  parts.push(response?.request, response?.data, { ...config, httpAgent: undefined }, { error, response });
  if (typeof toJSON === "function") parts.push((error as AxiosError).toJSON());
  for (const [index, part] of parts.entries()) {
    const found = leakIn(part);
    if (found !== undefined) return `part ${index}: ${found}`;
  }
  return undefined;
}

/** The failures of a request, each with the answer that makes it and the options that it needs. */
const failures: readonly {
  readonly name: string;
  readonly answer?: object;
  readonly config?: AxiosRequestConfig;
  readonly code?: string;
}[] = [
  { name: "an answer with an error", answer: { status: 500, body: { a: 1 } }, code: "ERR_BAD_RESPONSE" },
  {
    name: "an answer with an error as a stream",
    answer: { status: 500, body: "x" },
    config: { responseType: "stream" },
  },
  { name: "a reset connection", answer: { reset: true } },
  { name: "a timeout", answer: { hang: true }, config: { timeout: 40 } },
  { name: "too much content", answer: { body: "x".repeat(100) }, config: { maxContentLength: 10 } },
  {
    name: "text that is no JSON",
    answer: { body: "x" },
    config: { responseType: "json", transitional: { silentJSONParsing: false } },
  },
];

/** Opens a socket of an agent with a request on it that carries a token and waits. */
async function busyAgent({ stage, axios }: Scene): Promise<Agent> {
  const agent = new Agent({ keepAlive: true });
  stage.api.respond({ hang: true });
  const headers = { authorization: "Bearer fake-99" };
  failureOf(axios.get(stage.url, { adapter: "http", httpAgent: agent, headers })).catch(() => {});
  await stage.api.waitFor(1);
  expect(inspect(agent, { depth: 10 })).toContain("fake-99");
  return agent;
}

export const secretCases: readonly Case[] = [
  ...failures.map(({ name, answer, config, code }): Case => ({
    name: `Q11: prints no token: ${name}`,
    async run({ stage, client, fetches, ours }) {
      // The fetch adapter knows `maxContentLength` since 1.14.
      if (fetches && config?.maxContentLength !== undefined && ours.VERSION !== "1.21.1") return;
      stage.api.respondAlways(answer);
      const error = (await failureOf(client.get(stage.url, config))) as AxiosError;
      if (code !== undefined) expect(error.code).toBe(code);
      expect(leakInError(error)).toBeUndefined();
      expect(error.config?.headers).toBeDefined();
    },
  })),
  {
    name: "Q11: prints no token: an abort",
    async run({ stage, client }) {
      stage.api.respondAlways({ hang: true });
      const controller = new AbortController();
      const failure = failureOf(client.get(stage.url, { signal: controller.signal }));
      await stage.api.waitFor(1);
      controller.abort();
      expect(leakInError(await failure)).toBeUndefined();
    },
  },
  {
    name: "Q11: prints no token: too many redirects",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      stage.api.respondAlways({ status: 302, headers: { location: stage.url } });
      const error = (await failureOf(client.get(stage.url, { maxRedirects: 2 }))) as AxiosError;
      expect([error.code, leakInError(error)]).toEqual(["ERR_FR_TOO_MANY_REDIRECTS", undefined]);
    },
  },
  {
    name: "Q11: the error of a stream after its response prints no token: an abort",
    async run({ stage, client }) {
      stage.api.respondAlways({ body: endless() });
      const controller = new AbortController();
      const config = { responseType: "stream", signal: controller.signal } as const;
      const { data } = await client.get<AsyncIterable<Uint8Array>>(stage.url, config);
      const failure = failureOf(drain(data));
      controller.abort();
      expect([leakInError(await failure), inspect(await failure)]).toEqual([undefined, expect.any(String)]);
    },
  },
  {
    name: "Q11: the error of a stream after its response prints no token: too much content",
    async run({ stage, client, axios, ours }) {
      // Earlier versions do not limit streams.
      if (axios.VERSION !== "1.21.1" || ours.VERSION !== "1.21.1") return;
      stage.api.respondAlways({ body: endless() });
      const config = { responseType: "stream", maxContentLength: 10 } as const;
      const { data } = await client.get<AsyncIterable<Uint8Array>>(stage.url, config);
      const error = (await failureOf(drain(data))) as AxiosError;
      expect([error.request === undefined, leakInError(error)]).toEqual([false, undefined]);
    },
  },
  {
    name: "Q11: an agent with sockets of other requests is not printed, and a config sent again has it",
    adapters: NODE_HTTP,
    async run(scene) {
      const { stage, client } = scene;
      const agent = await busyAgent(scene);
      try {
        stage.api.respondAlways({ status: 500, body: "x" });
        for (const redact of [undefined, ["password"]]) {
          const error = (await failureOf(client.get(stage.url, { httpAgent: agent, redact } as object))) as AxiosError;
          expect([leakInError(error), error.config?.httpAgent]).toEqual([undefined, agent]);
          expect(error.toJSON()).toMatchObject({
            message: error.message,
            code: error.code,
            config: { url: stage.url },
          });
          const again = (await failureOf(client.request(error.config as object))) as AxiosError;
          expect([leakInError(again), again.config?.httpAgent]).toEqual([undefined, agent]);
        }
        stage.api.respondAlways(undefined);
        const { config } = await client.get(stage.url, { httpAgent: agent });
        expect([leakIn(config), config.httpAgent]).toEqual([undefined, agent]);
      } finally {
        agent.destroy();
      }
    },
  },
  {
    name: "Q11: an error whose body is a stream prints no later request on the same socket",
    adapters: ["http", "a function"],
    async run({ stage, client, axios }) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      try {
        stage.api.respond({ status: 500, body: "x" }, { hang: true });
        const error = (await failureOf(
          client.get(stage.url, { responseType: "stream", httpAgent: agent }),
        )) as AxiosError<Readable>;
        await drain(error.response!.data);
        const headers = { authorization: "Bearer fake-99" };
        failureOf(axios.get(stage.url, { adapter: "http", httpAgent: agent, headers })).catch(() => {});
        await stage.api.waitFor(2);
        expect(leakInError(error)).toBeUndefined();
      } finally {
        agent.destroy();
      }
    },
  },
  {
    name: "Q11: an error of this package prints no agent with sockets of other requests",
    adapters: NODE_HTTP,
    async run(scene) {
      const { stage, client } = scene;
      const agent = await busyAgent(scene);
      try {
        stage.grant.fail(new Error("the grant is broken"), Infinity);
        const error = await failureOf(client.get(stage.url, { httpAgent: agent }));
        expect(leakInError(error)).toBeUndefined();
      } finally {
        agent.destroy();
      }
    },
  },
  {
    name: "Q11: an error that came through a proxy prints no token",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      const seen: unknown[] = [];
      const proxy = createServer(({ headers }, response) => {
        seen.push(headers.authorization);
        response.writeHead(502).end("x");
      });
      await once(proxy.listen(0, "127.0.0.1"), "listening");
      const { port } = proxy.address() as { port: number };
      try {
        const error = await failureOf(client.get(stage.url, { proxy: { host: "127.0.0.1", port, protocol: "http" } }));
        expect([leakInError(error), seen]).toEqual([undefined, ["Bearer fake-1"]]);
      } finally {
        proxy.close();
      }
    },
  },
  {
    name: "Q10: a config that an adapter of the user's copied has no token when it comes back",
    adapters: ["http"],
    async run({ stage, client, ours }) {
      const http = ours.getAdapter("http");
      for (const status of [200, 500]) {
        stage.api.respondAlways({ status });
        const adapter = (config: AxiosRequestConfig): Promise<AxiosResponse> =>
          // oxlint-disable-next-line typescript/no-misused-spread -- what is spread is a plain copy here
          http({ ...config, headers: ours.AxiosHeaders.from({ ...config.headers } as never) } as never);
        const outcome = await client.get(stage.url, { adapter }).catch((error: unknown) => error as AxiosError);
        expect([stage.sends.at(-1), leakIn(outcome.config)]).toEqual(["fake-1", undefined]);
      }
    },
  },
];

/** A body that never ends. */
async function* endless(): AsyncGenerator<string> {
  for (;;) {
    yield "x".repeat(1000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function drain(data: AsyncIterable<Uint8Array> | Readable): Promise<void> {
  for await (const chunk of data) void chunk;
}
