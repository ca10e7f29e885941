/**
 * Functions that a user gives to a grant, when they fail or never settle: the error names the function, it concerns
 * nobody else, and it is never taken for a failure of the server.
 */
import { exportPKCS8, generateKeyPair } from "jose";
import { beforeAll, describe, expect, test, vi } from "vitest";
import {
  clientAssertion,
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  type Grant,
  jwtBearerGrant,
  privateKeyJwt,
  refreshTokenGrant,
  type RemintError,
  type RemintEvent,
  TokenEndpointError,
  type TokenCache,
  tokenExchangeGrant,
  type TokenFetch,
} from "remint";
import { chalkGrant } from "remint/chalk";
import { salesforceJwtBearerGrant, salesforceTokenExchangeGrant } from "remint/salesforce";
import { manualClock, type ManualClock } from "remint/testing";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { mintOnce } from "./one-mint.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

const MESSAGE = "no token is available: a function that was given to the grant failed";
const ENDPOINT = "https://auth.example/token";
const ORG = { loginUrl: "https://acme.my.salesforce.com", instanceUrl: "https://acme.my.salesforce.com" } as const;
const CLIENT = { clientId: "portal", clientSecret: "s3cret" } as const;
const PUBLIC_CLIENT = { clientId: "portal", clientAuthentication: "none" } as const;

async function pemFor(alg: string): Promise<string> {
  return exportPKCS8((await generateKeyPair(alg, { extractable: true })).privateKey);
}

let pem: string;
let rsa: string;
beforeAll(async () => {
  [pem, rsa] = await Promise.all([pemFor("ES256"), pemFor("RS256")]);
});

/** A function of the user's, as a grant takes it. */
type UserFunction = (...given: never[]) => unknown;

/** A server that answers every grant of the table with a token. */
const server: TokenFetch = async () => {
  return Response.json({
    access_token: "token",
    token_type: "Bearer",
    expires_in: 3600,
    refresh_token: "rt-next",
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    instance_url: ORG.instanceUrl,
  });
};

interface Taker {
  readonly grant: string;
  /** The name of the function in hints. */
  readonly name: string;
  /** What the function returns when all is well. */
  readonly good: () => unknown;
  readonly build: (given: UserFunction, fetch: TokenFetch) => Grant;
  /** The function belongs to the state of the session, and not to one attempt. */
  readonly isOfState?: boolean;
  /** What the function returns does not matter. */
  readonly takesAnything?: boolean;
}

/** Every option of every grant that takes a function. */
const takers: Taker[] = [
  {
    grant: "clientCredentialsGrant",
    name: "clientSecret",
    good: () => "secret",
    build: (given, fetch) =>
      clientCredentialsGrant({
        tokenEndpoint: ENDPOINT,
        clientId: "portal",
        clientSecret: given as () => string,
        fetch,
      }),
  },
  {
    grant: "refreshTokenGrant",
    name: "clientSecret",
    good: () => "secret",
    build: (given, fetch) =>
      refreshTokenGrant({
        tokenEndpoint: ENDPOINT,
        clientId: "portal",
        clientSecret: given as () => string,
        refreshToken: "rt",
        fetch,
      }),
  },
  {
    grant: "clientCredentialsGrant with clientAssertion",
    name: "clientAssertion",
    good: () => "a.b.c",
    build: (given, fetch) =>
      clientCredentialsGrant({
        tokenEndpoint: ENDPOINT,
        clientId: "portal",
        clientAuthentication: clientAssertion(given as () => string),
        fetch,
      }),
  },
  {
    grant: "clientCredentialsGrant with privateKeyJwt",
    name: "key",
    good: () => pem,
    build: (given, fetch) =>
      clientCredentialsGrant({
        tokenEndpoint: ENDPOINT,
        clientId: "portal",
        clientAuthentication: privateKeyJwt({ key: given as () => string }),
        fetch,
      }),
  },
  {
    grant: "clientCredentialsGrant with a DPoP key",
    name: "dpop.prove",
    good: () => ({ headers: { DPoP: "proof" } }),
    takesAnything: true,
    build: (given, fetch) =>
      clientCredentialsGrant({
        tokenEndpoint: ENDPOINT,
        ...CLIENT,
        dpop: { thumbprint: "print", allowBearer: true, prove: given as never },
        fetch,
      }),
  },
  {
    grant: "jwtBearerGrant",
    name: "assertion",
    good: () => "a.b.c",
    build: (given, fetch) =>
      jwtBearerGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, assertion: given as () => string, fetch }),
  },
  {
    grant: "jwtBearerGrant that signs",
    name: "assertion.key",
    good: () => pem,
    build: (given, fetch) =>
      jwtBearerGrant({
        tokenEndpoint: ENDPOINT,
        ...CLIENT,
        assertion: { key: given as () => string, issuer: "portal", subject: "alice", audience: "https://auth.example" },
        fetch,
      }),
  },
  {
    grant: "tokenExchangeGrant",
    name: "subjectToken",
    good: () => "subject",
    build: (given, fetch) =>
      tokenExchangeGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, subjectToken: given as () => string, fetch }),
  },
  {
    grant: "tokenExchangeGrant",
    name: "actorToken",
    good: () => "actor",
    build: (given, fetch) =>
      tokenExchangeGrant({
        tokenEndpoint: ENDPOINT,
        ...CLIENT,
        subjectToken: "subject",
        actorToken: given as () => string,
        fetch,
      }),
  },
  {
    grant: "tokenExchangeGrant",
    name: "subjectExpiresAt",
    good: () => undefined,
    build: (given, fetch) =>
      tokenExchangeGrant({
        tokenEndpoint: ENDPOINT,
        ...CLIENT,
        subjectToken: "subject",
        subjectExpiresAt: given as () => number,
        fetch,
      }),
  },
  {
    grant: "refreshTokenGrant",
    name: "refreshToken",
    good: () => "rt",
    isOfState: true,
    build: (given, fetch) =>
      refreshTokenGrant({
        tokenEndpoint: ENDPOINT,
        ...PUBLIC_CLIENT,
        refreshToken: given as () => string,
        onRotate: () => undefined,
        fetch,
      }),
  },
  {
    grant: "salesforceJwtBearerGrant",
    name: "privateKey",
    good: () => rsa,
    build: (given, fetch) =>
      salesforceJwtBearerGrant({
        ...ORG,
        clientId: "portal",
        username: "alice@acme.example",
        privateKey: given as () => string,
        fetch,
      }),
  },
  {
    grant: "salesforceTokenExchangeGrant",
    name: "subjectToken",
    good: () => "subject",
    build: (given, fetch) =>
      salesforceTokenExchangeGrant({ ...ORG, ...CLIENT, subjectToken: given as () => string, fetch }),
  },
  {
    grant: "chalkGrant",
    name: "clientSecret",
    good: () => "secret",
    build: (given, fetch) => chalkGrant({ clientId: "portal", clientSecret: given as () => string, fetch }),
  },
];

function cacheOf(grant: Grant, clock: ManualClock = manualClock()): TokenCache {
  return createTokenCache({ grant: Object.assign({ ...grant }, { origins: [ORIGIN] }), mintRetries: 0, clock });
}

/** Another library's error that says of itself what a server's refusal says. */
const foreign = (): TokenEndpointError =>
  new TokenEndpointError(503, "of another server", { error: "invalid_grant", terminal: true, retryAfter: 30_000 });

describe.each(takers)("$grant: $name", ({ name, good, build, isOfState = false, takesAnything = false }) => {
  const failing = (given: UserFunction): TokenCache => cacheOf(build(given, server));

  test("returns what it should: there is a token", async () => {
    expect((await failing(good).get()).value).toBe("token");
  });

  const failures: [what: string, fail: UserFunction][] = [
    [
      "throws",
      () => {
        throw new Error("vault is sealed");
      },
    ],
    ["rejects", () => Promise.reject(new Error("vault is sealed"))],
  ];

  test.each(failures)("%s: an ERR_GRANT whose hint names it, with its error as the cause", async (_what, fail) => {
    const error = (await rejectionOf(failing(fail).get())) as RemintError;
    expect(error).toMatchObject({ code: "ERR_GRANT", message: MESSAGE, retryable: false, terminal: false });
    expect(error.hint).toMatch(new RegExp(`^the function "${name}" failed; see the cause(\\. [A-Z].*)?$`));
    expect(error.cause).toMatchObject({ name: "Error", message: "vault is sealed" });
  });

  test("throws an error of this package: nothing of it becomes the error of the mint, not even `terminal`", async () => {
    const error = (await rejectionOf(failing(() => Promise.reject(foreign())).get())) as RemintError;
    expect(error).toMatchObject({ code: "ERR_GRANT", message: MESSAGE, terminal: false, status: 503, headers: {} });
    for (const member of ["error", "endpointStatus", "retryAfter"]) expect(error).not.toHaveProperty(member);
    expect(error.cause).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", message: "of another server" });
  });

  test.skipIf(takesAnything)(
    "returns something else: an ERR_GRANT that is not retryable; its hint says what, and so does the TypeError that is its cause",
    async () => {
      const error = (await rejectionOf(failing(() => ({ s3cret: true })).get())) as RemintError;
      expect(error).toMatchObject({
        code: "ERR_GRANT",
        message: MESSAGE,
        hint: `the function "${name}" failed: ${(error.cause as Error).message}`,
        retryable: false,
      });
      expect(error.cause).toMatchObject({
        name: "TypeError",
        message: expect.stringMatching(/must be .*, got /) as unknown,
      });
      expect(error.stack).not.toContain("s3cret");
    },
  );

  test("never settles: the mint ends after 10 s, and the hint of its error names the function", async () => {
    const clock = manualClock();
    const given = vi.fn<UserFunction>(() => new Promise(() => {}));
    const failed = rejectionOf(cacheOf(build(given, server), clock).get());
    await vi.waitFor(() => expect(given).toHaveBeenCalled(), { timeout: 20_000 });
    await clock.advance(10_000);
    expect(await failed).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      message: "no token is available: the grant took longer than 10000 ms",
      hint: expect.stringMatching(new RegExp(`^the function "${name}" did not settle\\. `)) as unknown,
      retryable: true,
    });
  });

  test.skipIf(isOfState)("C10: the mint is aborted while it is awaited: the signal's reason itself", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const given = vi.fn<UserFunction>(async () => {
      await settle();
      controller.abort(reason);
      throw new Error("aborted");
    });
    expect(await rejectionOf(mintOnce(build(given, server), { signal: controller.signal }))).toBe(reason);
  });

  test("works again: the next mint succeeds, a second after the failure", async () => {
    const clock = manualClock();
    const given = vi.fn<UserFunction>(good).mockImplementationOnce(() => {
      throw new Error("vault is sealed");
    });
    const cache = cacheOf(build(given, server), clock);
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("token");
  });

  test("pool: it fails or hangs for two users: the users of the same server and client notice nothing", async () => {
    const clock = manualClock();
    const hangs = vi.fn<UserFunction>(() => new Promise(() => {}));
    const functions: Record<string, UserFunction> = {
      throws: () => Promise.reject(new Error("the row of user throws")),
      ours: () => Promise.reject(foreign()),
      hangs,
      "hangs too": hangs,
    };
    const pool = createTokenPool({ clock, create: (key) => cacheOf(build(functions[key] ?? good, server), clock) });
    const failed = Object.keys(functions).map((key) => rejectionOf(pool.get(key).get()));
    await vi.waitFor(() => expect(hangs).toHaveBeenCalledTimes(2), { timeout: 20_000 });
    expect((await pool.get("healthy before").get()).value).toBe("token");
    await clock.advance(10_000);
    expect((await Promise.all(failed)).map((error) => (error as RemintError).code)).toEqual([
      "ERR_GRANT",
      "ERR_GRANT",
      "ERR_TOKEN_TIMEOUT",
      "ERR_TOKEN_TIMEOUT",
    ]);
    for (let user = 0; user < 20; user++) expect((await pool.get(`healthy ${user}`).get()).value).toBe("token");
  });
});

describe("refreshTokenGrant: 'onRotate': the token is served, and the event names the function", () => {
  function served(onRotate: UserFunction, clock = manualClock()): { cache: TokenCache; events: RemintEvent[] } {
    const events: RemintEvent[] = [];
    const grant = refreshTokenGrant({
      tokenEndpoint: ENDPOINT,
      ...PUBLIC_CLIENT,
      refreshToken: "rt",
      onRotate: onRotate as never,
      fetch: server,
    });
    const onEvent = outcomesInto(events);
    return { cache: createTokenCache({ grant, origins: [ORIGIN], clock, onEvent }), events };
  }

  const failures: [what: string, fail: UserFunction][] = [
    [
      "throws",
      () => {
        throw new Error("vault is sealed");
      },
    ],
    ["rejects", () => Promise.reject(new Error("vault is sealed"))],
  ];

  test.each(failures)("C14: it %s: an ERR_GRANT with its error as the cause", async (_what, fail) => {
    const { cache, events } = served(fail);
    expect((await cache.get()).value).toBe("token");
    expect(events).toMatchObject([
      {
        name: "state-unsaved",
        error: {
          code: "ERR_GRANT",
          message: MESSAGE,
          hint:
            'the function "onRotate" failed; see the cause. The new refreshToken is kept in memory, and onRotate is ' +
            "called again",
          retryable: true,
          terminal: false,
          cause: { message: "vault is sealed" },
        },
      },
      { name: "minted" },
    ]);
  });

  test("C14: it throws an error of this package: nothing of it becomes the error of the event", async () => {
    const { cache, events } = served(() => Promise.reject(foreign()));
    expect((await cache.get()).value).toBe("token");
    const [{ error }] = events as [RemintEvent & { readonly error: RemintError }];
    expect(error).toMatchObject({ code: "ERR_GRANT", message: MESSAGE, terminal: false, status: 503, headers: {} });
    for (const member of ["error", "endpointStatus", "retryAfter"]) expect(error).not.toHaveProperty(member);
    expect(error.cause).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", message: "of another server" });
  });

  test("C14: it returns something else: that does not matter", async () => {
    const { cache, events } = served(() => ({ rows: 1 }));
    expect((await cache.get()).value).toBe("token");
    expect(events.map(({ name }) => name)).toEqual(["minted"]);
  });

  test("C14: it never settles: the token is served after half of mintTimeout, and the signal of the save aborts", async () => {
    const clock = manualClock();
    const given = vi.fn<(next: string, saved: { signal: AbortSignal }) => Promise<void>>(() => new Promise(() => {}));
    const { cache, events } = served(given, clock);
    const got = watch(cache.get());
    await vi.waitFor(() => expect(given).toHaveBeenCalledOnce(), { timeout: 20_000 });
    await clock.advance(4999);
    expect(got.state).toBe("pending");
    await clock.advance(1);
    expect(got.value?.value).toBe("token");
    expect(given.mock.calls[0]![1].signal.aborted).toBe(true);
    expect(events.map(({ name }) => name)).toEqual(["state-unsaved", "minted"]);
  });

  test("pool: it fails or hangs for two users: they are served, and the users of the same server notice nothing", async () => {
    const clock = manualClock();
    const functions: Record<string, UserFunction> = {
      throws: () => Promise.reject(new Error("the row of user throws")),
      hangs: () => new Promise(() => {}),
    };
    const pool = createTokenPool({ clock, create: (key) => served(functions[key] ?? (() => undefined), clock).cache });
    const got = Object.keys(functions).map((key) => pool.get(key).get());
    await settle();
    for (let user = 0; user < 20; user++) expect((await pool.get(`healthy ${user}`).get()).value).toBe("token");
    await clock.advance(5000);
    expect((await Promise.all(got)).map(({ value }) => value)).toEqual(["token", "token"]);
  });
});

function cacheWhoseSecret(clientSecret: (cache: TokenCache) => Promise<string>, clock = manualClock()): TokenCache {
  const cache: TokenCache = cacheOf(
    clientCredentialsGrant({
      tokenEndpoint: ENDPOINT,
      clientId: "portal",
      clientSecret: () => clientSecret(cache),
      fetch: server,
    }),
    clock,
  );
  return cache;
}

describe("a function that asks its own cache for a token", () => {
  test("before it has awaited anything: fails at once", async () => {
    const error = await rejectionOf(cacheWhoseSecret(async (cache) => (await cache.get()).value).get());
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      hint: 'the function "clientSecret" failed: give the grant a client without tokens, or one with another cache',
      cause: { code: "ERR_GRANT", message: expect.stringMatching(/would have waited for itself$/) as unknown },
    });
  });

  test("later: fails when the time is over, and the hint says what to look for", async () => {
    const clock = manualClock();
    const cache = cacheWhoseSecret(async (own) => {
      await settle();
      return (await own.get()).value;
    }, clock);
    const failed = rejectionOf(cache.get());
    await settle();
    await clock.advance(10_000);
    const { code, hint } = (await failed) as RemintError;
    expect([code, hint]).toEqual([
      "ERR_TOKEN_TIMEOUT",
      'the function "clientSecret" did not settle. A function that sends a request through a client of this very token ' +
        "cache waits for itself: give it a client without tokens",
    ]);
  });
});

test("ten targets of a session wait for a refresh whose clientSecret hangs: the hint of each names clientSecret", async () => {
  const clock = manualClock();
  const clientSecret = vi.fn<() => Promise<string>>(() => new Promise(() => {}));
  const cache = cacheOf(
    refreshTokenGrant({ tokenEndpoint: ENDPOINT, clientId: "portal", clientSecret, refreshToken: "rt", fetch: server }),
    clock,
  );
  const caches = Array.from({ length: 10 }, (_, number) => cache.for({ scope: `scope-${number}` }));
  const failed = Promise.all(caches.map((target) => rejectionOf(target.get())));
  await clock.advance(10_000);
  for (const error of await failed) {
    expect(error).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      hint: expect.stringMatching(/^the function "clientSecret" did not settle/) as unknown,
    });
  }
  expect(clientSecret).toHaveBeenCalledOnce();
});

/** The error of a mint whose server answers in this way until its time is over. */
async function hanging(answers: TokenFetch, grantOf: (fetch: TokenFetch) => Grant): Promise<RemintError> {
  const clock = manualClock();
  const fetch = vi.fn<TokenFetch>(answers);
  const failed = rejectionOf(cacheOf(grantOf(fetch), clock).get());
  await vi.waitFor(() => expect(fetch).toHaveBeenCalled(), { timeout: 20_000 });
  await settle();
  await clock.advance(10_000);
  return (await failed) as RemintError;
}

const never: TokenFetch = () => new Promise(() => {});
const endless: TokenFetch = async () => new Response(new ReadableStream({ start: () => {} }));
const raise = "did not answer. If it needs longer, raise mintTimeout, which covers all attempts";

describe("the server never answers: the hint names it", () => {
  test.each<[what: string, grantOf: (fetch: TokenFetch) => Grant]>([
    [
      "client credentials",
      (fetch) => clientCredentialsGrant({ tokenEndpoint: `${ENDPOINT}?key=hush`, ...CLIENT, fetch }),
    ],
    ["refresh token", (fetch) => refreshTokenGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, refreshToken: "rt", fetch })],
    ["JWT bearer", (fetch) => jwtBearerGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, assertion: "a.b.c", fetch })],
  ])("the token endpoint: %s", async (_what, grantOf) => {
    const error = await hanging(never, grantOf);
    expect(error).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      message: "no token is available: the grant took longer than 10000 ms",
      hint: `the token endpoint ${ENDPOINT} ${raise}`,
    });
  });

  test("the body of the token endpoint's answer", async () => {
    const error = await hanging(endless, (fetch) =>
      clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch }),
    );
    expect(error.hint).toBe(`the token endpoint ${ENDPOINT} ${raise}`);
  });

  test("Chalk's token endpoint", async () => {
    const error = await hanging(never, (fetch) => chalkGrant({ ...CLIENT, fetch }));
    expect(error.hint).toBe(`the token endpoint https://api.chalk.ai/v1/oauth/token ${raise}`);
  });

  test("the issuer's metadata", async () => {
    const error = await hanging(never, (fetch) =>
      clientCredentialsGrant({ issuer: "https://auth.example", ...CLIENT, fetch }),
    );
    expect(error.hint).toBe(`the server with the metadata of the issuer https://auth.example ${raise}`);
  });

  test("pool: the token endpoint hangs for two users: the third gets the failure at once, without a text of theirs", async () => {
    const clock = manualClock();
    const fetch = vi.fn<TokenFetch>(never);
    const grant = (): Grant => clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch });
    const pool = createTokenPool({ clock, create: () => cacheOf(grant(), clock) });
    const failed = ["a", "b"].map((key) => rejectionOf(pool.get(key).get()));
    await settle();
    await clock.advance(10_000);
    await Promise.all(failed);
    expect(await rejectionOf(pool.get("c").get())).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true });
    expect(fetch).toHaveBeenCalledTimes(2);
  });
});

const grantWith = (fetch: TokenFetch): Grant => clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch });

describe("a `fetch` of the user's", () => {
  test("fails: the server did not answer", async () => {
    const error = await rejectionOf(cacheOf(grantWith(() => Promise.reject(new Error("tunnel is closed")))).get());
    expect(error).toMatchObject({
      code: "ERR_TOKEN_NETWORK",
      message: "no token is available: the authorization server did not answer",
      hint: `no answer from the token endpoint ${ENDPOINT}`,
      cause: { message: "tunnel is closed" },
      retryable: true,
    });
  });

  test.each([
    ["nothing, as an unconfigured mock does", undefined],
    ["a text", '{"access_token":"a"}'],
    ["an answer with json() alone", { ok: true, status: 200, json: async () => ({ access_token: "a" }) }],
    ["an answer whose headers are an object", { status: 200, headers: {}, text: async () => "{}" }],
  ])("returns %s: the function is named, nothing is repeated, and the server is not blamed", async (_what, answer) => {
    const fetch = vi.fn<() => Promise<Response>>(async () => answer as never);
    const { cache } = cacheUnderTest({
      grant: clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch }) as never,
      mintRetries: 2,
    });
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      hint: expect.stringMatching(
        /^the function "fetch" failed: "fetch" must be a function that returns a Response/,
      ) as string,
      retryable: false,
    });
    expect(((error as Error).cause as Error).message).toMatch(/^"fetch" must be a function that returns a Response/);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  test("throws an error of this package, of the cache that it uses itself: not a failure of this server", async () => {
    const grant = refreshTokenGrant({
      tokenEndpoint: ENDPOINT,
      ...CLIENT,
      refreshToken: "rt",
      fetch: () => Promise.reject(foreign()),
    });
    const error = (await rejectionOf(cacheOf(grant).get())) as RemintError;
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      message: MESSAGE,
      hint: 'the function "fetch" failed; see the cause',
      terminal: false,
      retryable: true,
      cause: { code: "ERR_TOKEN_ENDPOINT" },
    });
    expect(error).not.toHaveProperty("endpointStatus");
  });

  test("pool: it throws an error of this package for two users: the third is served", async () => {
    const fetches: Record<string, TokenFetch> = {
      a: () => Promise.reject(foreign()),
      b: () => Promise.reject(foreign()),
    };
    const clock = manualClock();
    const pool = createTokenPool({ clock, create: (key) => cacheOf(grantWith(fetches[key] ?? server), clock) });
    for (const key of ["a", "b"]) expect(await rejectionOf(pool.get(key).get())).toMatchObject({ code: "ERR_GRANT" });
    expect((await pool.get("c").get()).value).toBe("token");
  });
});
