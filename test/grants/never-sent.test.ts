/**
 * C11: which failures of the network repeat a mint. A refresh token is presented again only if the request was never sent:
 * otherwise the server may have used it up, and an event says that nobody knows.
 */
import { createServer, type Server } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  customGrant,
  type Grant,
  refreshTokenGrant,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
  type TokenFetch,
} from "remint";
import { manualClock, type ManualClock } from "remint/testing";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { CLIENT, startSession } from "./session-under-test.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

const ENDPOINT = "https://auth.example/token";
const TOKEN = { access_token: "token", token_type: "Bearer", expires_in: 3600 };

/** What `fetch` of Node rejects with. */
function fetchFailed(cause: Error & { code?: string }): TypeError {
  return new TypeError("fetch failed", { cause });
}
function withCode(code: string, name = "Error"): Error & { code: string } {
  return Object.assign(new Error(`${code} of a socket`), { code, name });
}
/** What Node's socket fails with when it has tried every address of a host. */
function ofEveryAddress(code: string): AggregateError & { code: string } {
  return Object.assign(new AggregateError([withCode(code), withCode(code)], ""), { code });
}

/** A fetch that fails in this way at first, and answers after that. It notes what it was given. */
function failing(...errors: (Error | Response)[]): { fetch: TokenFetch; presented: (string | null)[] } {
  const presented: (string | null)[] = [];
  return {
    presented,
    fetch: async (_url, { body }) => {
      presented.push((body as URLSearchParams).get("refresh_token"));
      const next = errors.shift() ?? Response.json(TOKEN);
      if (next instanceof Response) return next;
      throw next;
    },
  };
}

interface Under {
  readonly cache: TokenCache;
  readonly clock: ManualClock;
  readonly names: () => string[];
}

function start(grant: TokenCacheOptions["grant"], more: Partial<TokenCacheOptions> = {}): Under {
  const clock = manualClock();
  const events: RemintEvent[] = [];
  const onEvent = outcomesInto(events);
  const cache = createTokenCache({ grant, origins: ["https://api.example"], clock, onEvent, ...more });
  return { cache, clock, names: () => events.map(({ name }) => name) };
}

const refreshing = (fetch: TokenFetch): Grant =>
  refreshTokenGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, refreshToken: "rt", fetch });

/** Waits for a call while the clock of the cache runs on, in which the pauses before repetitions pass. */
async function whileTimePasses<T>({ clock }: Under, call: Promise<T>, upTo = 5000): Promise<T> {
  const watched = watch(call);
  for (let passed = 0; watched.state === "pending" && passed < upTo; passed += 50) {
    await settle();
    await clock.advance(50);
  }
  return call;
}

const neverSent: [name: string, error: Error][] = [
  ["ENOTFOUND", fetchFailed(withCode("ENOTFOUND"))],
  ["EAI_AGAIN", fetchFailed(withCode("EAI_AGAIN"))],
  ["ECONNREFUSED", fetchFailed(withCode("ECONNREFUSED"))],
  ["ECONNREFUSED of every address of a host", fetchFailed(ofEveryAddress("ECONNREFUSED"))],
  ["EHOSTUNREACH", fetchFailed(withCode("EHOSTUNREACH"))],
  ["ENETUNREACH", fetchFailed(withCode("ENETUNREACH"))],
  ["undici's connect timeout", fetchFailed(withCode("UND_ERR_CONNECT_TIMEOUT", "ConnectTimeoutError"))],
  ["Bun's ConnectionRefused", withCode("ConnectionRefused")],
];

const maybeSent: [name: string, error: Error][] = [
  ["ECONNRESET", fetchFailed(withCode("ECONNRESET"))],
  ["EPIPE", fetchFailed(withCode("EPIPE"))],
  ["ETIMEDOUT", fetchFailed(withCode("ETIMEDOUT"))],
  ["undici: the other side closed", fetchFailed(withCode("UND_ERR_SOCKET", "SocketError"))],
  ["undici's headers timeout", fetchFailed(withCode("UND_ERR_HEADERS_TIMEOUT"))],
  ["undici's body timeout", fetchFailed(withCode("UND_ERR_BODY_TIMEOUT"))],
  ["a fetch without a cause", new TypeError("fetch failed")],
  ["a browser's fetch", new TypeError("Failed to fetch")],
];

describe("C11: a refresh token whose request was never sent is presented again, within the same mint", () => {
  test.each(neverSent)("%s, twice: the third attempt is served", async (_name, error) => {
    const { fetch, presented } = failing(error, error);
    const under = start(refreshing(fetch));
    expect((await whileTimePasses(under, under.cache.get())).value).toBe("token");
    expect(presented).toEqual(["rt", "rt", "rt"]);
    expect(under.names()).toEqual(["mint-retried", "mint-retried", "minted"]);
  });

  test.each(neverSent)("%s, again and again: three attempts, and no state is in doubt", async (_name, error) => {
    const { fetch, presented } = failing(error, error, error, error);
    const under = start(refreshing(fetch));
    expect(await whileTimePasses(under, rejectionOf(under.cache.get()))).toMatchObject({
      code: "ERR_TOKEN_NETWORK",
      retryable: true,
      terminal: false,
    });
    expect(presented).toHaveLength(3);
    expect(under.names()).toEqual(["mint-retried", "mint-retried", "mint-failed"]);
  });

  test("mintRetries: 0: one attempt", async () => {
    const { fetch, presented } = failing(neverSent[0]![1]);
    const under = start(refreshing(fetch), { mintRetries: 0 });
    await whileTimePasses(under, rejectionOf(under.cache.get()));
    expect([presented, under.names()]).toEqual([["rt"], ["mint-failed"]]);
  });

  test("a real server that is not there yet: refused, then it listens: the refresh token is presented once, and served", async () => {
    const port = await freePort();
    const tokenEndpoint = `http://127.0.0.1:${port}/token`;
    const session = await startSession();
    const { cache, clock, names } = session.start({ tokenEndpoint });
    const under = { cache, clock, names };
    const got = watch(cache.get());
    await vi.waitFor(() => expect(names()).toEqual(["mint-retried"]), { timeout: 20_000 });
    const forwarding = await forward(port, Number(new URL(session.auth.origin).port));
    onTestFinished(() => void forwarding.close());
    await vi.waitFor(async () => {
      await clock.advance(50);
      expect(got.state).toBe("fulfilled");
    });
    expect(session.presented()).toEqual([session.first]);
    expect(session.saved()).toBe(session.issued()[0]);
    expect(under.names().at(-1)).toBe("minted");
  });

  test("a host without an address (ENOTFOUND or EAI_AGAIN of this machine): repeated", async () => {
    const under = start(
      refreshTokenGrant({ tokenEndpoint: "https://auth.invalid/token", ...CLIENT, refreshToken: "rt" }),
    );
    const failed = watch(under.cache.get());
    await vi.waitFor(
      async () => {
        await under.clock.advance(20);
        expect(failed.state).toBe("rejected");
      },
      { timeout: 20_000 },
    );
    expect(under.names()).not.toContain("state-in-doubt");
    expect(under.names().filter((name) => name === "mint-retried").length).toBeGreaterThanOrEqual(1);
  });
});

describe("C11: a refresh token whose request may have been sent is not presented again by itself", () => {
  test.each(maybeSent)(
    "%s: one attempt, and the event state-in-doubt; the next mint presents it",
    async (_name, error) => {
      const { fetch, presented } = failing(error);
      const under = start(refreshing(fetch), { mintRetries: 5 });
      expect(await whileTimePasses(under, rejectionOf(under.cache.get()))).toMatchObject({
        code: "ERR_TOKEN_NETWORK",
        retryable: true,
        terminal: false,
      });
      expect(presented).toEqual(["rt"]);
      expect(under.names()).toEqual(["state-in-doubt", "mint-failed"]);
      await under.clock.advance(5000);
      expect((await under.cache.get()).value).toBe("token");
      expect(presented).toEqual(["rt", "rt"]);
    },
  );

  test("first never sent, then reset: two attempts, and in doubt", async () => {
    const { fetch, presented } = failing(neverSent[2]![1], maybeSent[0]![1]);
    const under = start(refreshing(fetch));
    await whileTimePasses(under, rejectionOf(under.cache.get()));
    expect(presented).toHaveLength(2);
    expect(under.names()).toEqual(["mint-retried", "state-in-doubt", "mint-failed"]);
  });

  test.each([408, 429, 500, 502, 503])(
    "status %i: one attempt, and not in doubt: the server has answered",
    async (status) => {
      const { fetch, presented } = failing(new Response(null, { status }));
      const under = start(refreshing(fetch), { mintRetries: 5 });
      expect(await whileTimePasses(under, rejectionOf(under.cache.get()))).toMatchObject({ endpointStatus: status });
      expect([presented, under.names()]).toEqual([["rt"], ["mint-failed"]]);
    },
  );

  test("a real connection that is reset before the server has processed the request: the next mint is served", async () => {
    const { auth, first, start: process, presented } = await startSession();
    const { cache, clock, names } = process();
    auth.respond({ reset: true });
    await rejectionOf(cache.get());
    expect(names()).toEqual(["state-in-doubt", "mint-failed"]);
    await clock.advance(1000);
    await cache.get();
    expect(presented()).toEqual([first, first]);
  });

  test("a real connection that is reset after the server has replaced the refresh token: refused, and the log shows why", async () => {
    const { auth, first, start: process, presented } = await startSession();
    const { cache, clock, names } = process();
    auth.respond({ lost: true });
    await rejectionOf(cache.get());
    expect(names()).toEqual(["state-in-doubt", "mint-failed"]);
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(presented()).toEqual([first, first]);
    const ofRequest = auth.log.filter(({ request }) => request !== undefined);
    expect(ofRequest.map(({ request, step, ended }) => [request, step, ended])).toEqual([
      [0, "received", undefined],
      [0, "committed", undefined],
      [0, "lost", undefined],
      [1, "received", undefined],
      [1, "committed", "refresh token reused"],
      [1, "refused", undefined],
      [1, "answered", undefined],
    ]);
  });

  test("an answer that breaks off in the middle: one attempt, and in doubt", async () => {
    const { auth, start: process, presented } = await startSession();
    const { cache, names } = process();
    auth.respond({ body: breaksOff() });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_NETWORK" });
    expect(names()).toEqual(["state-in-doubt", "mint-failed"]);
    expect(presented()).toHaveLength(1);
  });
});

describe("C11: in doubt is only what was sent", () => {
  test("the client's secret cannot be read: nothing is in doubt", async () => {
    const { first, start: process, presented } = await startSession();
    const { cache, names } = process({
      clientSecret: () => Promise.reject(fetchFailed(withCode("ECONNRESET"))),
      refreshToken: first,
    });
    await rejectionOf(cache.get());
    expect([presented(), names()]).toEqual([[], ["mint-failed"]]);
  });

  test("the function that gives the client's secret hangs until landingTimeout: nothing is in doubt", async () => {
    const { start: process, presented } = await startSession();
    const { cache, clock, names } = process({ clientSecret: () => new Promise<string>(() => {}) });
    const failed = rejectionOf(cache.get());
    await settle();
    await clock.advance(10_000);
    await failed;
    await clock.advance(50_000);
    await settle();
    expect([presented(), names()]).toEqual([[], ["mint-failed"]]);
  });

  test("the connection to the issuer's metadata is reset: nothing is in doubt", async () => {
    const under = start(
      refreshTokenGrant({
        issuer: "https://auth.example",
        ...CLIENT,
        refreshToken: "rt",
        fetch: () => Promise.reject(fetchFailed(withCode("ECONNRESET"))),
      }),
    );
    await whileTimePasses(under, rejectionOf(under.cache.get()));
    expect(under.names()).not.toContain("state-in-doubt");
  });
});

describe("C11: grants without a state", () => {
  test.each([...neverSent, ...maybeSent])(
    "client credentials, %s: repeated, and nothing is in doubt",
    async (_name, error) => {
      const { fetch, presented } = failing(error, error);
      const under = start(clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch }));
      expect((await whileTimePasses(under, under.cache.get())).value).toBe("token");
      expect(presented).toHaveLength(3);
      expect(under.names()).toEqual(["mint-retried", "mint-retried", "minted"]);
    },
  );

  const failures: [name: string, error: Error][] = [
    ["status 503", Object.assign(new Error("unavailable"), { status: 503 })],
    ["ECONNREFUSED", withCode("ECONNREFUSED")],
    ["ECONNRESET", withCode("ECONNRESET")],
  ];

  test.each(failures)(
    "a bare function, %s: never repeated, whatever mintRetries of the cache says",
    async (_name, error) => {
      const mint = vi
        .fn(() => "token")
        .mockImplementationOnce(() => {
          throw error;
        });
      const under = start(mint, { mintRetries: 5 });
      expect(await whileTimePasses(under, rejectionOf(under.cache.get()))).toMatchObject({ retryable: true });
      expect(mint).toHaveBeenCalledOnce();
      await under.clock.advance(5000);
      expect((await under.cache.get()).value).toBe("token");
    },
  );

  test.each(failures)("customGrant, %s: repeated only with mintRetries of its own", async (_name, error) => {
    for (const [mintRetries, attempts] of [
      [undefined, 1],
      [0, 1],
      [2, 3],
    ] as const) {
      const mint = vi.fn((): string => {
        throw error;
      });
      const under = start(customGrant({ mint, ...(mintRetries !== undefined && { mintRetries }) }), { mintRetries: 5 });
      await whileTimePasses(under, rejectionOf(under.cache.get()));
      expect(mint).toHaveBeenCalledTimes(attempts);
    }
  });

  test.each(failures)(
    "customGrant with a state and mintRetries, %s: repeated only if it was never sent",
    async (name, error) => {
      const mint = vi.fn((): string => {
        throw error;
      });
      const under = start(customGrant({ mint, state: "s", onState: () => undefined, mintRetries: 2 }));
      await whileTimePasses(under, rejectionOf(under.cache.get()));
      expect(mint).toHaveBeenCalledTimes(name === "ECONNREFUSED" ? 3 : 1);
      expect(under.names().includes("state-in-doubt")).toBe(name === "ECONNRESET");
    },
  );
});

/** The body of an answer that breaks off. */
async function* breaksOff(): AsyncGenerator<string> {
  yield '{"access_token":';
  throw new Error("the connection is closed");
}

/** Returns a port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise<unknown>((resolve) => server.close(resolve));
  return port;
}

/** Listens on a port and forwards every byte to another. */
async function forward(port: number, to: number): Promise<Server> {
  const { connect } = await import("node:net");
  const server = createServer((socket) => {
    const onward = connect(to, "127.0.0.1");
    socket.pipe(onward).pipe(socket);
    for (const each of [socket, onward]) each.on("error", () => each.destroy());
    socket.on("close", () => onward.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(port, "127.0.0.1", resolve));
  return server;
}
