/** One user or tenant of a pool has trouble of their own: nobody else notices, and nobody else reads a word of it. */
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  refreshTokenGrant,
  RemintError,
  TokenEndpointError,
  type Grant,
  type RefreshTokenGrantOptions,
  type RemintEvent,
  type TokenPool,
} from "../../src/index.ts";
import {
  manualClock,
  startAuthServer,
  type Answer,
  type AuthServer,
  type ManualClock,
} from "../../src/testing/index.ts";
import { ORIGIN, watch } from "./cache-under-test.ts";
import type { TokenRequest } from "../../src/testing/index.ts";

let server: AuthServer;
beforeAll(async () => {
  server = await startAuthServer();
});
afterAll(() => server.close());

/** What is planted in the errors of user A, and must not be seen by anybody else. */
const PLANTED = "duplicate key alice@example.com in table sessions";

interface Neighbourhood {
  readonly pool: TokenPool;
  readonly clock: ManualClock;
  /** Gets a token for a key, and writes down all that the key gets to see. */
  readonly ask: (key: string) => Promise<"served" | "failed">;
  /** All that keys other than these were told: errors and events, with everything that hangs on them. */
  readonly toldOthersThan: (...keys: string[]) => string;
  readonly failuresOf: (key: string) => RemintError[];
  /** The errors of the events that say that a state of this key is not saved. */
  readonly unsavedOf: (key: string) => RemintError[];
}

function neighbourhood(grantOf: (key: string) => Grant, mintTimeout?: number): Neighbourhood {
  const clock = manualClock();
  const told = new Map<string, unknown[]>();
  const tell = (key: string, what: unknown): void => void told.set(key, [...(told.get(key) ?? []), what]);
  const pool = createTokenPool({
    clock,
    create: (key) =>
      createTokenCache({
        grant: grantOf(key),
        clock,
        mintTimeout,
        origins: [ORIGIN],
        onEvent: (event) => tell(key, event),
      }),
  });
  return {
    pool,
    clock,
    async ask(key) {
      const cache = pool.get(key);
      try {
        await cache.get();
        return "served";
      } catch (error) {
        tell(key, error);
        return "failed";
      }
    },
    toldOthersThan: (...keys) =>
      [...told]
        .filter(([key]) => !keys.includes(key))
        .flatMap(([, values]) => values)
        .map((value) => `${inspect(value, { depth: 10, showHidden: true })} ${JSON.stringify(value)}`)
        .join("\n"),
    failuresOf: (key) => (told.get(key) ?? []).filter((value) => value instanceof RemintError),
    unsavedOf: (key) =>
      (told.get(key) ?? []).flatMap((value) =>
        (value as RemintEvent).name === "state-unsaved" ? [(value as { error: RemintError }).error] : [],
      ),
  };
}

/** Answers refresh tokens as a server does that rotates them; `undefined` where a test has another answer. */
function rotating(special: (request: TokenRequest) => Answer | undefined = () => undefined): void {
  server.respondAlways((request) => {
    const refreshToken = request.form.get("refresh_token");
    const body = { access_token: `of-${refreshToken}`, token_type: "Bearer", expires_in: 3600 };
    return special(request) ?? { body: { ...body, refresh_token: `${refreshToken}+` } };
  });
}

type Functions = Partial<Pick<RefreshTokenGrantOptions, "onRotate" | "refreshToken" | "clientSecret">>;

/** The grant of a user's session. */
const sessionOf = (user: string, functions: Functions = {}): Grant =>
  refreshTokenGrant({
    tokenEndpoint: server.tokenEndpoint,
    clientId: "portal",
    clientSecret: "s3cret",
    refreshToken: `rt-${user}`,
    ...functions,
  });

const planted = (): never => {
  throw Object.assign(new Error(PLANTED, { cause: new Error(`cause: ${PLANTED}`) }), {
    code: "ER_DUP_ENTRY",
    sql: PLANTED,
  });
};

const never = (): Promise<never> => new Promise(() => {});
describe("C9: one user's functions fail beside 150 new users, for 8 s", () => {
  test.each<[string, Functions]>([
    ["onRotate throws", { onRotate: planted }],
    ["onRotate rejects", { onRotate: async () => planted() }],
    [
      "onRotate rejects with an error of this package, as one of another cache would be",
      {
        onRotate: () =>
          Promise.reject(new TokenEndpointError(503, PLANTED, { cause: new Error(PLANTED), hint: PLANTED })),
      },
    ],
    ["onRotate rejects with a failed connection", { onRotate: () => Promise.reject(connectionError()) }],
    ["onRotate never settles", { onRotate: never }],
  ])("C14: %s: that user is served too, and nobody reads a word of it", async (_, functions) => {
    rotating();
    const { ask, clock, pool, toldOthersThan, unsavedOf } = neighbourhood(
      (key) => sessionOf(key, key === "alice" ? functions : { onRotate: () => {} }),
      1000,
    );
    const polls: unknown[] = [];
    const outcomes: string[] = [];
    for (let user = 0; user < 150; user++) {
      // Settles at once, or with the clock.
      polls.push(ask("alice"));
      outcomes.push(await ask(`user-${user}`));
      await clock.advance(8000 / 150);
    }
    await clock.advance(2000);
    expect(new Set(await Promise.all(polls))).toEqual(new Set(["served"]));
    expect(unsavedOf("alice").length).toBeGreaterThanOrEqual(3);
    for (const error of unsavedOf("alice")) expect(error).toMatchObject({ code: "ERR_GRANT", retryable: true });
    expect(outcomes).toEqual(Array.from({ length: 150 }, () => "served"));
    expect(toldOthersThan("alice")).not.toMatch(/alice|duplicate|sessions|ER_DUP|state-unsaved/);
    const closed = watch(pool.close());
    await clock.advance(1000);
    expect(closed.value).toEqual({ inFlight: [], unsaved: ["alice"] });
  });

  test.each<[string, Functions, string]>([
    ["clientSecret throws", { clientSecret: planted }, "ERR_GRANT"],
    ["clientSecret never settles", { clientSecret: never }, "ERR_TOKEN_TIMEOUT"],
    ["refreshToken throws", { refreshToken: planted, onRotate: () => {} }, "ERR_GRANT"],
    ["refreshToken rejects", { refreshToken: async () => planted(), onRotate: () => {} }, "ERR_GRANT"],
    ["refreshToken never settles", { refreshToken: never, onRotate: () => {} }, "ERR_TOKEN_TIMEOUT"],
  ])("C9: %s: 150 of 150 are served, and nobody reads a word of it", async (_, functions, code) => {
    rotating();
    const { ask, clock, pool, toldOthersThan, failuresOf } = neighbourhood(
      (key) => sessionOf(key, key === "alice" ? functions : { onRotate: () => {} }),
      1000,
    );
    const polls: unknown[] = [];
    const outcomes: string[] = [];
    for (let user = 0; user < 150; user++) {
      // Settles at once, or with the clock.
      polls.push(ask("alice"));
      outcomes.push(await ask(`user-${user}`));
      await clock.advance(8000 / 150);
    }
    await clock.advance(2000);
    expect(new Set(await Promise.all(polls))).toEqual(new Set(["failed"]));
    expect(failuresOf("alice").length).toBeGreaterThanOrEqual(150);
    for (const failure of failuresOf("alice")) expect(failure).toMatchObject({ code });
    expect(outcomes).toEqual(Array.from({ length: 150 }, () => "served"));
    expect(toldOthersThan("alice")).not.toMatch(/alice|duplicate|sessions|ER_DUP/);
    await closeOf(pool, clock);
  });
});

/** Closes a pool whose functions may hang. */
async function closeOf(pool: TokenPool, clock: ManualClock): Promise<void> {
  const closed = pool.close();
  await clock.advance(60_000);
  await closed;
}

function connectionError(): Error {
  return Object.assign(new TypeError("fetch failed"), {
    cause: Object.assign(new Error(PLANTED), { code: "ECONNREFUSED" }),
  });
}

describe("C9: what one client or one user's token makes the server do", () => {
  test("C9: 429 with Retry-After: 60 for one client id: that client waits, the others are served", async () => {
    server.respondAlways(({ headers }) =>
      atob(headers.authorization!.slice("Basic ".length)).startsWith("greedy:")
        ? { status: 429, headers: { "retry-after": "60" }, body: { error: "slow_down", error_description: PLANTED } }
        : undefined,
    );
    const { ask, clock, toldOthersThan, failuresOf } = neighbourhood((key) =>
      clientCredentialsGrant({
        tokenEndpoint: server.tokenEndpoint,
        clientId: key.split(" ")[0]!,
        clientSecret: "s3cret",
        scope: key,
      }),
    );
    const before = server.requests.length;
    for (let round = 0; round < 20; round++) {
      expect(await ask(`greedy ${round}`)).toBe("failed");
      expect(await ask(`modest ${round}`)).toBe("served");
      await clock.advance(2000);
    }
    // Two keys of the greedy client have asked; the others of that client were told.
    expect(server.requests.length - before).toBe(20 + 2);
    expect(failuresOf("greedy 19")).toMatchObject([
      { endpointStatus: 429, retryAfter: 60_000, headers: { "retry-after": "60" } },
    ]);
    expect(toldOthersThan("greedy 0", "greedy 1")).not.toMatch(/alice|duplicate|slow_down/);
  });

  test("C9: one tenant's clientSecret() hangs: the tenants with the same endpoint and client id are served", async () => {
    server.respondAlways(undefined);
    const { ask, clock, pool, failuresOf } = neighbourhood(
      (key) =>
        clientCredentialsGrant({
          tokenEndpoint: server.tokenEndpoint,
          clientId: "shop",
          clientSecret: key.startsWith("hangs") ? () => new Promise(() => {}) : () => "s3cret",
          scope: key,
        }),
      1000,
    );
    const hanging: unknown[] = [];
    for (let tenant = 0; tenant < 50; tenant++) {
      // Two tenants in a row, as would do for a failure of the server.
      hanging.push(ask("hangs 1"), ask("hangs 2"));
      expect(await ask(`tenant ${tenant}`)).toBe("served");
      await clock.advance(200);
    }
    expect(new Set(await Promise.all(hanging))).toEqual(new Set(["failed"]));
    for (const failure of failuresOf("hangs 1")) {
      expect(failure).toMatchObject({
        code: "ERR_TOKEN_TIMEOUT",
        hint: expect.stringContaining('"clientSecret"') as string,
      });
      expect(failure.message).not.toContain("clientSecret");
    }
    // Nobody has succeeded since: even so, the next tenant is served.
    hanging.push(ask("hangs 3"), ask("hangs 4"));
    await clock.advance(1000);
    expect(await Promise.all(hanging.slice(-2))).toEqual(["failed", "failed"]);
    expect(await ask("new")).toBe("served");
    await pool.close();
  });

  test.each([500, 503])("C9: a %i for one user's token, while others succeed: nobody else notices", async (status) => {
    rotating(({ form }) => (form.get("refresh_token") === "rt-alice" ? { status, body: PLANTED } : undefined));
    const { ask, clock, toldOthersThan } = neighbourhood((key) => sessionOf(key));
    const before = server.requests.length;
    let failed = 0;
    for (let round = 0; round < 80; round++) {
      if ((await ask("alice")) === "failed") failed++;
      expect(await ask(`user-${round}`)).toBe("served");
      // Users who have a token keep it.
      expect(await ask("user-0")).toBe("served");
      await clock.advance(100);
    }
    expect(failed).toBe(80);
    // At 0, 1, 3 and 7 s.
    expect(server.requests.length - before).toBe(80 + 4);
    expect(toldOthersThan("alice")).not.toMatch(/alice|duplicate|mint-failed/);
  });

  test("C9: an answer with a text of one user in its `error`, for two users in a row: others read no word of it", async () => {
    rotating(() => ({ status: 503, body: { error: PLANTED, error_description: PLANTED } }));
    const { ask, toldOthersThan, failuresOf } = neighbourhood((key) => sessionOf(key));
    for (const key of ["alice", "bob", "carol", "dave"]) expect(await ask(key)).toBe("failed");
    expect(failuresOf("carol")).toMatchObject([{ code: "ERR_TOKEN_ENDPOINT", endpointStatus: 503, retryable: true }]);
    expect(toldOthersThan("alice", "bob")).not.toMatch(/alice|duplicate|sessions/);
  });
});

test("C10: the timeout of a server that hangs is the server's, from the second key on: its hint names the endpoint", async () => {
  server.respondAlways({ hang: true });
  const { pool, clock } = neighbourhood((key) => sessionOf(key), 1000);
  for (const key of ["a", "b"]) {
    const asked = server.requests.length;
    const got = watch(pool.get(key).get());
    await server.waitFor(asked + 1);
    await clock.advance(1000);
    expect(got.reason).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      message: "no token is available: the grant took longer than 1000 ms",
      hint: expect.stringContaining(`the token endpoint ${server.tokenEndpoint} did not answer`) as string,
    });
  }
  const asked = server.requests.length;
  await expect(pool.get("c").get()).rejects.toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
  expect(server.requests.length).toBe(asked);
  await closeOf(pool, clock);
});
