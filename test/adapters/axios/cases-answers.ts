/**
 * Answers and errors, for every version of axios, every copy of it and every adapter. The other cases are in cases.ts.
 */
import { Agent } from "node:http";
import type { Readable } from "node:stream";
import type { AxiosError } from "axios";
import { isRemintError } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { startApi } from "remint/testing";
import { expect } from "vitest";
import { type Case, NODE_HTTP } from "./cases.ts";
import { failureOf, leakIn } from "./stage.ts";

export const answerCases: readonly Case[] = [
  {
    name: "Q3: a redirect within the origin carries the token, and after its 401 the whole chain is sent again",
    async run({ stage, client }) {
      await stage.warmAndRevoke();
      stage.api.respondAlways(({ url }) =>
        url === "/old" ? { status: 302, headers: { location: "/new" }, body: "" } : undefined,
      );
      expect((await client.get(`${stage.api.origin}/old`)).status).toBe(200);
      expect(stage.api.requests.map(({ url, token }) => [url, token])).toEqual([
        ["/old", "fake-1"],
        ["/new", "fake-1"],
        ["/old", "fake-2"],
        ["/new", "fake-2"],
      ]);
    },
  },
  {
    name: "Q3: a redirect to a subdomain does not carry the token, and the 401 there does not reject the token",
    adapters: NODE_HTTP,
    async run({ stage, client, axios, ours }) {
      const port = new URL(stage.api.origin).port;
      const tokens = stage.cache({ origins: [`http://localhost:${port}`] });
      const redirecting = axios.create({ ...client.defaults, httpAgent: loopbackAgent() });
      redirecting.interceptors.request.use(createAuthInterceptor(tokens, { axios: ours }));
      stage.api.respond({ status: 302, headers: { location: `http://sub.localhost:${port}/there` }, body: "" });
      const error = (await failureOf(redirecting.get(`http://localhost:${port}/here`))) as AxiosError;
      expect(error.response?.status).toBe(401);
      expect(stage.api.requests.map(({ headers, token }) => [headers["host"], token])).toEqual([
        [`localhost:${port}`, "fake-1"],
        [`sub.localhost:${port}`, undefined],
      ]);
      expect(tokens.peek()?.value).toBe("fake-1");
    },
  },
  {
    name: "Q3: a redirect to another host does not carry the token",
    async run({ stage, client }) {
      await using other = await startApi({ accepts: () => true });
      const elsewhere = other.origin.replace("127.0.0.1", "localhost");
      stage.api.respondAlways({ status: 302, headers: { location: `${elsewhere}/there` }, body: "" });
      const error = (await failureOf(client.get(stage.url))) as AxiosError;
      expect(error.response?.status).toBe(401);
      expect(new Set(other.requests.map(({ headers }) => headers.authorization))).toEqual(new Set([undefined]));
    },
  },
  {
    name: "Q11: an error prints no token, also when its body is a stream",
    async run({ stage, client }) {
      stage.api.respondAlways({ status: 401, body: "never" });
      for (const responseType of ["json", "stream"] as const) {
        const error = (await failureOf(client.get(stage.url, { responseType }))) as AxiosError;
        expect(error.response?.status).toBe(401);
        expect(error.response?.request ?? error.request).toBeDefined();
        for (const part of [error, error.toJSON(), error.config, error.response, error.response?.config]) {
          expect(leakIn(part)).toBeUndefined();
        }
        (error.response?.data as Readable | undefined)?.destroy?.();
      }
      expect(stage.sends).toEqual(["fake-1", "fake-2", "fake-2", "fake-3"]);
    },
  },
  {
    name: "Q11: the error of a request without an answer prints no token",
    async run({ stage, client }) {
      stage.api.respondAlways({ reset: true });
      const error = (await failureOf(client.get(stage.url))) as AxiosError;
      expect([error.response, stage.sends]).toEqual([undefined, ["fake-1"]]);
      expect(leakIn(error)).toBeUndefined();
    },
  },
  {
    essential: true,
    name: "Q10: response.config sent again carries the caller's headers and the current token",
    async run({ stage, client }) {
      const first = await client.post(stage.url, { a: 1 }, { headers: { "X-Custom": "mine" } });
      stage.revoke();
      const second = await client.request(first.config);
      expect((await client.request(second.config)).status).toBe(200);
      expect(stage.sends).toEqual(["fake-1", "fake-1", "fake-2", "fake-2"]);
      expect(stage.bodies).toEqual(Array(4).fill('{"a":1}'));
      expect(stage.api.requests.map(({ headers }) => headers["x-custom"])).toEqual(Array(4).fill("mine"));
    },
  },
  {
    essential: true,
    name: "Q10: error.config sent again is an ordinary request with at most two sends",
    async run({ stage, client }) {
      stage.api.respondAlways({ status: 401, body: "never" });
      let config = { url: stage.url, headers: { "X-Custom": "mine" } } as object;
      for (const sends of [2, 4, 6]) {
        const error = (await failureOf(client.request(config))) as AxiosError;
        config = error.config as object;
        expect([error.response?.status, stage.sends.length]).toEqual([401, sends]);
      }
      stage.api.respondAlways(undefined);
      expect((await client.request(config)).status).toBe(200);
      expect(stage.api.requests.map(({ headers }) => headers["x-custom"])).toEqual(Array(7).fill("mine"));
      expect(stage.grant.mints).toBe(4);
    },
  },
  {
    essential: true,
    name: "C9: a failed mint reaches every later caller as a RemintError, not as an AxiosError",
    async run({ stage, client, axios }) {
      stage.grant.fail(new Error("the grant is broken"), Infinity);
      for (let call = 0; call < 3; call++) {
        const error = await failureOf(client.get(stage.url));
        expect([isRemintError(error), axios.isAxiosError(error), error instanceof Error]).toEqual([true, false, true]);
        expect(String((error as Error).stack)).toContain((error as Error).message);
      }
      expect(stage.sends).toEqual([]);
    },
  },
];

/** Resolves every host to this machine, because not every system resolves the subdomains of localhost. */
function loopbackAgent(): Agent {
  return new Agent({
    lookup: (_host, options, done) => {
      if (options.all)
        (done as (error: null, addresses: object[]) => void)(null, [{ address: "127.0.0.1", family: 4 }]);
      else done(null, "127.0.0.1", 4);
    },
  });
}
