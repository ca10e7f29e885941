/** The dispatchers of undici, and Node's own fetch over the global one. */
import { createServer, request as httpRequest } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { clientCredentialsGrant, createTokenCache, findRemintError } from "remint";
import { startApi, startAuthServer } from "remint/testing";
import { createAuthInterceptor } from "remint/undici";
import { describe, expect, test } from "vitest";
import { failureOf, Stage } from "../axios/stage.ts";
import { type Dispatcher, newest, request } from "./dispatch.ts";

/** Sends a request without an origin. */
async function send(dispatcher: Dispatcher): Promise<number> {
  const { statusCode, body } = await dispatcher.request({ path: "/orders?a=1", method: "GET" });
  await body.dump();
  return statusCode;
}

describe.each(newest)("undici %s", (_version, undici) => {
  const kinds = [
    ["a Client", (origin: string) => new undici.Client(origin)],
    ["a Pool", (origin: string) => new undici.Pool(origin)],
    ["a BalancedPool", (origin: string) => new undici.BalancedPool([origin])],
    ["an Agent", () => new undici.Agent()],
    ["a RetryAgent", () => new undici.RetryAgent(new undici.Agent())],
  ] as const;

  test.each(kinds)("Q5: %s, by request(url, { dispatcher })", async (_kind, make) => {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    const own = make(stage.api.origin);
    const dispatcher = own.compose(createAuthInterceptor(stage.tokens));
    expect((await request(undici, dispatcher, stage.url, { method: "PUT", body: "x" })).status).toBe(200);
    expect([stage.sends, stage.bodies]).toEqual([
      ["fake-1", "fake-2"],
      ["x", "x"],
    ]);
    await own.destroy();
  });

  test.each(kinds.slice(0, 2))(
    "Q2: a request of %s without an origin uses the option, or fails",
    async (_kind, make) => {
      await using stage = await Stage.open();
      const own = make(stage.api.origin);
      const { origin } = stage.api;
      for (const given of [origin, new URL(origin)]) {
        expect(await send(own.compose(createAuthInterceptor(stage.tokens, { origin: given })))).toBe(200);
      }
      const failure = await failureOf(send(own.compose(createAuthInterceptor(stage.tokens))));
      expect(failure).toBeInstanceOf(TypeError);
      expect((failure as Error).message).toContain('createAuthInterceptor(tokens, { origin: "https://api.example" })');
      expect(stage.sends).toEqual(["fake-1", "fake-1"]);
      await own.destroy();
    },
  );

  test("Q2: undici 8 tells where a Client sends every request, and that decides, whatever the request states", async () => {
    await using stage = await Stage.open();
    await using elsewhere = await Stage.open();
    for (const { api } of [stage, elsewhere]) {
      const own = new undici.Client(api.origin);
      const interceptor = createAuthInterceptor(stage.tokens) as (
        dispatch: Dispatcher["dispatch"],
        origin: string,
      ) => Dispatcher["dispatch"];
      // As compose() of undici 8 calls it.
      const dispatcher = own.compose((dispatch) => interceptor(dispatch, api.origin));
      await send(dispatcher);
      await request(undici, dispatcher, stage.url);
      await own.destroy();
    }
    expect([stage.sends, elsewhere.sends]).toEqual([
      ["fake-1", "fake-1"],
      [undefined, undefined],
    ]);
  });

  test("Q2: a ProxyAgent: the API gets the token, and the proxy does not get it in its CONNECT", async () => {
    await using stage = await Stage.open();
    const seen: (string | undefined)[] = [];
    const proxy = createServer((incoming, response) => {
      const { method, headers, url } = incoming;
      incoming.pipe(
        httpRequest(url!, { method, headers }, (answer) => {
          response.writeHead(answer.statusCode!, answer.headers);
          answer.pipe(response);
        }),
      );
    });
    proxy.on("connect", ({ url, headers }, socket) => {
      seen.push(headers.authorization);
      const [host, port] = url!.split(":");
      const upstream = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      for (const each of [socket, upstream]) each.on("error", () => {});
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const agent = new undici.ProxyAgent(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    const dispatcher = agent.compose(createAuthInterceptor(stage.tokens));
    await stage.warmAndRevoke();
    expect((await request(undici, dispatcher, stage.url)).status).toBe(200);
    expect([stage.sends, seen.filter((header) => header !== undefined)]).toEqual([["fake-1", "fake-2"], []]);
    await agent.destroy();
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });

  test("Q5, Q6: a MockAgent, which answers without a pause, by request and by Node's fetch", async () => {
    await using stage = await Stage.open({ origins: ["https://api.example"] });
    const mock = new undici.MockAgent();
    mock.disableNetConnect();
    const seen: unknown[] = [];
    const pool = mock.get("https://api.example");
    const replies = (method: "GET" | "POST" | "HEAD", rejected: string): void => {
      pool
        .intercept({ path: "/x", method })
        .reply(({ headers, body }) => {
          const { authorization } = headers as Record<string, string>;
          seen.push([authorization, body ?? null]);
          return authorization === rejected ? { statusCode: 401, data: "no" } : { statusCode: 200, data: "welcome" };
        })
        .times(2);
    };
    const dispatcher = mock.compose(createAuthInterceptor(stage.tokens));
    replies("POST", "Bearer fake-1");
    const posted = await request(undici, dispatcher, "https://api.example/x", { method: "POST", body: "hello" });
    expect(posted).toMatchObject({ status: 200, text: "welcome" });
    replies("GET", "Bearer fake-2");
    const answer = await fetch("https://api.example/x", { dispatcher } as unknown as RequestInit);
    expect([answer.status, await answer.text()]).toEqual([200, "welcome"]);
    expect(seen).toEqual([
      ["Bearer fake-1", "hello"],
      ["Bearer fake-2", "hello"],
      ["Bearer fake-2", null],
      ["Bearer fake-3", null],
    ]);
    await mock.close();
  });

  test("Q2, Q5: setGlobalDispatcher reaches Node's own fetch: the API gets tokens, another host gets none, and errors are found", async () => {
    await using stage = await Stage.open();
    await using other = await Stage.open();
    const before = undici.getGlobalDispatcher();
    const agent = new undici.Agent();
    undici.setGlobalDispatcher(agent.compose(createAuthInterceptor(stage.tokens)));
    try {
      await stage.warmAndRevoke();
      const json = { method: "POST", body: JSON.stringify({ a: 1 }), headers: { "content-type": "application/json" } };
      expect((await fetch(stage.url, json)).status).toBe(200);
      expect((await fetch(new Request(stage.url, json))).status).toBe(200);
      expect((await fetch(other.url)).status).toBe(401);
      expect([stage.sends, stage.bodies]).toEqual([
        ["fake-1", "fake-2", "fake-2"],
        ['{"a":1}', '{"a":1}', '{"a":1}'],
      ]);
      expect(other.sends).toEqual([undefined]);
      await stage.tokens.close();
      const failure = await failureOf(fetch(stage.url));
      expect([(failure as Error).message, findRemintError(failure)?.code]).toEqual(["fetch failed", "ERR_CLOSED"]);
    } finally {
      undici.setGlobalDispatcher(before);
      await agent.destroy();
    }
  });

  test("Q2: a token request of the grant over the same global dispatcher does not wait for itself", async () => {
    const auth = await startAuthServer();
    const api = await startApi({ accepts: auth });
    const { tokenEndpoint } = auth;
    const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "me", clientSecret: "secret" });
    const lists = [
      createTokenCache({ grant, origins: [api.origin, auth.origin] }),
      [createTokenCache({ grant, origins: () => [api.origin, auth.origin] })],
    ];
    const before = undici.getGlobalDispatcher();
    const agent = new undici.Agent();
    try {
      for (const source of lists) {
        undici.setGlobalDispatcher(agent.compose(createAuthInterceptor(source)));
        expect((await fetch(`${api.origin}/x`)).status).toBe(200);
        await Promise.all([source].flat().map((tokens) => tokens.close()));
      }
      expect(auth.mints).toBe(2);
    } finally {
      undici.setGlobalDispatcher(before);
      await agent.destroy();
      await Promise.all([auth.close(), api.close()]);
    }
  });

  test("Q2: a path that is a whole URL, and a CONNECT, carry no token", async () => {
    await using stage = await Stage.open();
    const agent = new undici.Agent();
    const dispatcher = agent.compose(createAuthInterceptor(stage.tokens));
    const { statusCode, body } = await dispatcher.request({
      origin: stage.api.origin,
      path: "http://elsewhere.example/x",
      method: "GET",
    });
    await body.dump();
    await failureOf(dispatcher.connect({ origin: stage.api.origin, path: "elsewhere.example:443" }));
    expect([statusCode, stage.sends, stage.grant.mints]).toEqual([401, [undefined], 0]);
    await agent.destroy();
  });
});
