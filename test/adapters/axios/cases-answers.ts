/**
 * Answers and errors, for every version of axios, every copy of it and every adapter. The other cases are in cases.ts.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { AxiosError } from "axios";
import { createTokenCache, findRemintError, isRemintError, RemintError, TokenEndpointError } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { fakeGrant, startApi } from "remint/testing";
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
    name: "Q3: the headers that a grant adds stay within the origin, and the caller's own go along",
    adapters: NODE_HTTP,
    async run({ stage, axios, client, ours }) {
      const port = new URL(stage.api.origin).port;
      const grant = fakeGrant({
        headers: ({ value }) => ({ authorization: null, "X-Access-Token": value, "X-Caller": "grant" }),
      });
      const tokens = createTokenCache({ grant, origins: [`http://localhost:${port}`] });
      const redirecting = axios.create({ ...client.defaults, httpAgent: loopbackAgent() });
      redirecting.interceptors.request.use(createAuthInterceptor(tokens, { axios: ours }));
      for (const host of ["localhost", "sub.localhost", "other.test"]) {
        stage.api.respond(
          { status: 302, headers: { location: `http://${host}:${port}/there` }, body: "" },
          { body: "there" },
        );
        const headers = { "x-caller": "caller", "X-Mine": "1" };
        const { data, config } = await redirecting.get<string>(`http://localhost:${port}/here`, { headers });
        const [first, second] = stage.api.requests.slice(-2).map((request) => request.headers);
        const token = host === "localhost" ? "fake-1" : undefined;
        expect([data, first!["x-access-token"], host, second!["x-access-token"]]).toEqual([
          "there",
          "fake-1",
          host,
          token,
        ]);
        expect([first!["x-caller"], second!["x-caller"], second!["x-mine"]]).toEqual(["caller", "caller", "1"]);
        expect([config.headers["X-Access-Token"], config.beforeRedirect]).toEqual([undefined, undefined]);
      }
      await tokens.close();
    },
  },
  {
    name: "Q3: over a socket path a 401 is renewed, also after a redirect",
    adapters: NODE_HTTP,
    async run({ stage, client }) {
      const tokens = stage.cache({ origins: ["http://api.test"] });
      const directory = await mkdtemp(join(tmpdir(), "axios-"));
      const socketPath = join(directory, "api.sock");
      const sends: unknown[] = [];
      const server = createServer(({ url, headers }, response) => {
        sends.push([url, headers.authorization]);
        if (url === "/old") response.writeHead(302, { location: "/new" }).end();
        else response.writeHead(headers.authorization === "Bearer fake-1" ? 401 : 200).end("ok");
      });
      await once(server.listen(socketPath), "listening");
      try {
        for (const path of ["/new", "/old"]) {
          await stage.clock.advance(5000);
          await tokens.invalidate(tokens.peek()?.value ?? "");
          sends.length = 0;
          stage.grant.respond({ access_token: "fake-1", token_type: "Bearer", expires_in: 3600 });
          const url = `http://api.test${path}`;
          const { status } = await client.get(url, { socketPath, remint: tokens });
          expect([path, status, sends.map((sent) => (sent as string[])[1])]).toEqual([
            path,
            200,
            sends.map((_, index) => (index < sends.length / 2 ? "Bearer fake-1" : expect.stringMatching(/fake-[24]/))),
          ]);
        }
      } finally {
        server.close();
        await rm(directory, { recursive: true });
      }
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
        // The final 401 has closed the path for a moment.
        await stage.clock.advance(5000);
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
        // The final 401 has closed the path for a moment.
        await stage.clock.advance(5000);
      }
      stage.api.respondAlways(undefined);
      expect((await client.request(config)).status).toBe(200);
      expect(stage.api.requests.map(({ headers }) => headers["x-custom"])).toEqual(Array(7).fill("mine"));
      expect(stage.grant.mints).toBe(4);
    },
  },
  {
    essential: true,
    name: "C9, Q17: a failed mint reaches every later caller as an AxiosError of their copy that is a RemintError too",
    async run({ stage, client, axios }) {
      const broken = new TokenEndpointError(429, "busy", {
        error: "slow_down",
        errorDescription: "of client fake-0",
        hint: "ask for fewer tokens",
        retryAfter: 6500,
      });
      stage.grant.fail(broken, Infinity);
      const errors: unknown[] = [];
      for (let call = 0; call < 3; call++) {
        const error = (await failureOf(
          client.post(stage.url, { a: 1 }, { headers: { "X-Custom": "mine" } }),
        )) as AxiosError & TokenEndpointError;
        errors.push(error);
        expect([error instanceof axios.AxiosError, axios.isAxiosError(error)]).toEqual([true, true]);
        expect([isRemintError(error), findRemintError(error) === error]).toEqual([true, true]);
        expect([error instanceof RemintError, error instanceof TokenEndpointError]).toEqual([true, true]);
        expect([error.name, "response" in error]).toEqual(["AxiosError", false]);
        const { code, message, retryable, terminal, retryAfter, endpointStatus, error: oauthError } = error;
        expect({ code, message, retryable, terminal, retryAfter, endpointStatus, oauthError }).toEqual({
          code: "ERR_TOKEN_ENDPOINT",
          message: "busy",
          retryable: true,
          terminal: false,
          retryAfter: 6500,
          endpointStatus: 429,
          oauthError: "slow_down",
        });
        expect(Object.keys(error)).toEqual(
          expect.arrayContaining(["code", "config", "retryable", "terminal", "retryAfter", "endpointStatus", "error"]),
        );
        // What a server that lets the error escape answers, and what its framework may write to the error.
        const answer = { status: 503, statusCode: 503, headers: { "retry-after": "7" }, expose: false };
        const forOperators = { hint: "ask for fewer tokens", errorDescription: "of client fake-0" };
        for (const [name, value] of Object.entries({ ...answer, ...forOperators })) {
          expect(Object.getOwnPropertyDescriptor(error, name)).toEqual({
            value,
            enumerable: false,
            configurable: true,
            writable: true,
          });
        }
        for (const response of [error.getResponse(), error.toResponse()]) {
          expect([response.status, response.headers.get("retry-after")]).toEqual([503, "7"]);
        }
        const [head, hint, frame] = String(error.stack).split("\n");
        expect([head, hint]).toEqual(["AxiosError: busy", "    hint: ask for fewer tokens"]);
        expect(frame).toMatch(/^ {4}at /);
        expect([error.config?.url, error.config?.data]).toEqual([stage.url, '{"a":1}']);
        expect(error.config?.headers["X-Custom"]).toBe("mine");
        for (const part of [error, error.toJSON(), error.config]) expect(leakIn(part)).toBeUndefined();
        Object.assign(error, { status: 500, statusCode: 500, digest: "1" });
        error.stack += "\nmore";
      }
      expect([new Set(errors).size, stage.sends]).toEqual([3, []]);
      // The config belongs to the caller: sent again, it is an ordinary request.
      stage.grant.recover();
      const patient = createTokenCache({ grant: stage.grant, origins: [stage.api.origin] });
      const { config } = errors[0] as AxiosError;
      expect((await client.request({ ...config, remint: patient })).status).toBe(200);
      expect([stage.sends.length, stage.api.requests[0]?.headers["x-custom"]]).toEqual([1, "mine"]);
    },
  },
  {
    essential: true,
    name: "Q17: after a 401 the AxiosError has neither the old token nor `response`, and says which request was rejected",
    async run({ stage, client, axios }) {
      await stage.warmAndRevoke();
      const cause = new Error("the grant is broken");
      stage.grant.fail(cause, Infinity);
      const error = (await failureOf(client.get(`${stage.url}?secret=1`))) as AxiosError & RemintError;
      expect([error instanceof axios.AxiosError, isRemintError(error), error.code]).toEqual([true, true, "ERR_GRANT"]);
      expect([error.response, error.cause === cause, stage.sends]).toEqual([undefined, true, ["fake-1"]]);
      expect(error.rejected).toEqual({ status: 401, url: stage.url });
      expect(Object.keys(error)).not.toContain("rejected");
      expect(error.config?.headers["Authorization"]).toBeUndefined();
      for (const part of [error, error.toJSON(), error.config]) expect(leakIn(part)).toBeUndefined();
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
