/** The token exchange grant (RFC 8693): its request, what it accepts, how long the token is kept, its key. */
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type RemintError, tokenExchangeGrant, type TokenExchangeGrantOptions } from "remint";
import { type AuthServer, manualClock, startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { jwt, rejectionOf } from "../core/cache-under-test.ts";
import { mintOnce } from "./one-mint.ts";

const TYPE = "urn:ietf:params:oauth:token-type:";
const ISSUED = {
  access_token: "issued",
  token_type: "Bearer",
  issued_token_type: `${TYPE}access_token`,
  expires_in: 3600,
};
const CLIENT = { clientId: "orders", clientSecret: "s3cr3t-value" } as const;
const SUBJECT = "subject-token-value";

let auth: AuthServer;
beforeEach(async () => {
  auth = await startAuthServer();
  auth.respondAlways({ body: ISSUED });
});
afterEach(() => auth.close());

function options(more: Partial<TokenExchangeGrantOptions> = {}): TokenExchangeGrantOptions {
  return { tokenEndpoint: auth.tokenEndpoint, ...CLIENT, subjectToken: SUBJECT, ...more };
}

/** Returns how many milliseconds the cache keeps the issued token. */
async function kept(more: Partial<TokenExchangeGrantOptions>, clock = manualClock()): Promise<number> {
  const cache = createTokenCache({ grant: tokenExchangeGrant(options(more)), origins: ["https://api.example"], clock });
  return (await cache.get()).expiresAt - clock.now();
}

describe("the token request", () => {
  test("has the subject token and its type, and no actor parameter without an actor (RFC 8693 section 2.1)", async () => {
    await mintOnce(tokenExchangeGrant(options()));
    expect([...auth.requests[0]!.form]).toEqual([
      ["subject_token_type", `${TYPE}access_token`],
      ["subject_token", SUBJECT],
      ["grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"],
    ]);
  });

  test("has every other option, with several audiences and resources (RFC 8693 section 2.1)", async () => {
    await mintOnce(
      tokenExchangeGrant(
        options({
          subjectTokenType: "jwt",
          actorToken: "actor",
          actorTokenType: "urn:example:type",
          requestedTokenType: "jwt",
          audience: ["billing", "stock"],
          resource: ["https://a.example/", "https://b.example/"],
          scope: "read write",
          parameters: { tenant: "t1" },
        }),
      ),
    );
    const { form } = auth.requests[0]!;
    expect(Object.fromEntries(form)).toMatchObject({
      subject_token_type: `${TYPE}jwt`,
      actor_token: "actor",
      actor_token_type: "urn:example:type",
      requested_token_type: `${TYPE}jwt`,
      scope: "read write",
      tenant: "t1",
    });
    expect(form.getAll("audience")).toEqual(["billing", "stock"]);
    expect(form.getAll("resource")).toEqual(["https://a.example/", "https://b.example/"]);
  });

  test("an actor token without a type is sent as an access token (RFC 8693 section 2.1)", async () => {
    await mintOnce(tokenExchangeGrant(options({ actorToken: "actor" })));
    expect(auth.requests[0]!.form.get("actor_token_type")).toBe(`${TYPE}access_token`);
  });

  test("token functions are called before every request, with the signal", async () => {
    let count = 0;
    const subjectToken = vi.fn(async (_context: { signal: AbortSignal }) => `subject-${++count}`);
    const grant = tokenExchangeGrant(options({ subjectToken, actorToken: () => `actor-${count}` }));
    expect(subjectToken).not.toHaveBeenCalled();
    await mintOnce(grant);
    await mintOnce(grant);
    expect(auth.requests.map(({ form }) => [form.get("subject_token"), form.get("actor_token")])).toEqual([
      ["subject-1", "actor-1"],
      ["subject-2", "actor-2"],
    ]);
    expect(subjectToken.mock.calls[0]![0].signal).toBeInstanceOf(AbortSignal);
  });

  test.each(["subjectToken", "actorToken"])(
    "%s: a function that returns an empty string: nothing is sent",
    async (name) => {
      const broken = { [name]: () => "" };
      await expect(mintOnce(tokenExchangeGrant(options(broken)))).rejects.toMatchObject({
        code: "ERR_GRANT",
        hint: expect.stringContaining(`the function "${name}" failed: "${name}" must be a non-empty string`) as unknown,
        cause: {
          name: "TypeError",
          message: expect.stringContaining(`"${name}" must be a non-empty string`) as unknown,
        },
      });
      expect(auth.requests).toHaveLength(0);
    },
  );
});

const UNUSABLE = "no token is available: the authorization server's answer cannot be used";

describe("the answer", () => {
  test("without issued_token_type is refused (RFC 8693 section 2.2.1)", async () => {
    auth.respond({ body: { ...ISSUED, issued_token_type: undefined } });
    const error = await rejectionOf(mintOnce(tokenExchangeGrant(options())));
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect((error as RemintError).message).toBe(UNUSABLE);
    expect((error as RemintError).hint).toContain("issued_token_type");
  });

  test.each(["N_A", "n_a"])(
    "with token_type %s is refused: it is no access token and never attached (RFC 8693 section 2.2.1)",
    async (type) => {
      auth.respondAlways({ body: { ...ISSUED, token_type: type, issued_token_type: `${TYPE}id_token` } });
      const cache = createTokenCache({ grant: tokenExchangeGrant(options()), origins: ["https://api.example"] });
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
      expect((error as RemintError).message).toBe(UNUSABLE);
      expect((error as RemintError).hint).toMatch(/N_A.*never attached/);
      expect(cache.peek()).toBeUndefined();
    },
  );

  test("with a refresh token: the refresh token is ignored", async () => {
    auth.respond({ body: { ...ISSUED, refresh_token: "rt" } });
    expect((await mintOnce(tokenExchangeGrant(options())))["refresh_token"]).toBeUndefined();
  });

  test("with an error that repeats the subject token: the error has the code and not the token", async () => {
    auth.respond({ status: 400, body: { error: "invalid_request", error_description: `bad token ${SUBJECT}` } });
    const error = await rejectionOf(mintOnce(tokenExchangeGrant(options())));
    expect(error).toMatchObject({ error: "invalid_request", errorDescription: "bad token [redacted]" });
  });
});

describe("the issued token is kept no longer than the subject token is valid", () => {
  const now = manualClock().now();
  const inTenMinutes = now + 600_000;
  const noDate = { headers: { date: undefined }, body: ISSUED };

  test("the subject token is a JWT: its exp is the limit", async () => {
    auth.respondAlways(noDate);
    expect(await kept({ subjectToken: jwt({ exp: inTenMinutes / 1000 }) })).toBe(600_000);
    expect(await kept({ subjectToken: jwt({ exp: inTenMinutes / 1000 + 36_000 }) })).toBe(3600_000);
    expect(await kept({ subjectToken: jwt({ sub: "no end" }) })).toBe(3600_000);
    expect(await kept({ subjectToken: "not.a.jwt" })).toBe(3600_000);
  });

  test("subjectExpiresAt as a number, a Date or a function is the limit", async () => {
    auth.respondAlways(noDate);
    expect(await kept({ subjectExpiresAt: inTenMinutes })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: new Date(inTenMinutes) })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: () => inTenMinutes })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: () => undefined })).toBe(3600_000);
  });

  test("subjectExpiresAt in epoch seconds, as `exp` has them, as ISO 8601, later, or null: read as it is meant", async () => {
    auth.respondAlways(noDate);
    expect(await kept({ subjectExpiresAt: inTenMinutes / 1000 })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: String(inTenMinutes / 1000) })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: new Date(inTenMinutes).toISOString() })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: async () => inTenMinutes / 1000 })).toBe(600_000);
    expect(await kept({ subjectExpiresAt: () => null })).toBe(3600_000);
  });

  test.each([0, -1])("E3: a subject token whose exp is %i: it says nothing", async (exp) => {
    auth.respondAlways(noDate);
    expect(await kept({ subjectToken: jwt({ exp }) })).toBe(3600_000);
  });

  test("exp and subjectExpiresAt: the earlier is the limit", async () => {
    auth.respondAlways(noDate);
    const subjectToken = jwt({ exp: inTenMinutes / 1000 });
    expect(await kept({ subjectToken, subjectExpiresAt: now + 300_000 })).toBe(300_000);
    expect(await kept({ subjectToken, subjectExpiresAt: now + 900_000 })).toBe(600_000);
  });

  test("an answer without expires_in: the limit holds too", async () => {
    auth.respondAlways({ ...noDate, body: { ...ISSUED, expires_in: undefined } });
    expect(await kept({ subjectToken: jwt({ exp: inTenMinutes / 1000 }) })).toBe(600_000);
    expect(await kept({ subjectToken: jwt({ exp: inTenMinutes / 1000 + 36_000 }) })).toBe(1800_000);
  });

  test("E2: exp is compared with the server's clock if the answer has a Date", async () => {
    auth.respondAlways({ headers: { date: new Date(now + HOUR).toUTCString() }, body: ISSUED });
    expect(await kept({ subjectToken: jwt({ exp: (now + HOUR) / 1000 + 600 }) })).toBe(600_000);
  });

  test("E3: an expired subject token: the issued token is kept for one second", async () => {
    auth.respondAlways(noDate);
    expect(await kept({ subjectToken: jwt({ exp: now / 1000 - 60 }) })).toBe(1000);
  });
});

const HOUR = 3600_000;

const aToken = (): string => "asked for";

function key(more: Partial<TokenExchangeGrantOptions> = {}): string | undefined {
  return definitionOf(tokenExchangeGrant(options(more))).key;
}

describe("the grant", () => {
  test("another subject or actor token makes another key; the key contains no token", () => {
    const keys = [
      key(),
      key({ subjectToken: "another" }),
      key({ actorToken: "actor" }),
      key({ actorToken: "another-actor" }),
      key({ subjectToken: "actor", actorToken: SUBJECT }),
      key({ audience: "billing" }),
      key({ subjectTokenType: "jwt" }),
      key({ key: "alice" }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(key()).toBe(key({ clientSecret: "rotated" }));
    expect(keys.join()).not.toMatch(new RegExp(`${SUBJECT}|s3cr3t`));
  });

  test("token functions: no key without the option `key`, because their subject is unknown", () => {
    expect(key({ subjectToken: aToken })).toBeUndefined();
    expect(key({ actorToken: aToken })).toBeUndefined();
    const keys = ["alice", "bob"].map((name) => key({ subjectToken: aToken, key: name }));
    expect(keys[0]).toEqual(expect.any(String));
    expect(keys[0]).not.toBe(keys[1]);
  });

  test("S5: the printed grant shows neither tokens nor client", () => {
    const grant = tokenExchangeGrant(options({ actorToken: "actor-token" }));
    const printed = inspect(grant, { depth: 10, showHidden: true, getters: true }) + JSON.stringify(grant);
    expect(printed).not.toMatch(/subject-token|actor-token|s3cr3t|orders/);
  });

  test.each([
    ["subjectToken", { subjectToken: undefined }, /"subjectToken" must be a non-empty string, or a function/],
    ["actorToken", { actorToken: 1 }, /"actorToken" must be .* got a number/],
    [
      "actorTokenType (without an actorToken)",
      { actorTokenType: "jwt" },
      /"actorTokenType" must not be given without "actorToken"/,
    ],
    ["subjectTokenType", { subjectTokenType: "" }, /"subjectTokenType" must be a non-empty string/],
    ["requestedTokenType", { requestedTokenType: 1 }, /"requestedTokenType" must be a non-empty string/],
    ["audience", { audience: [1] }, /"audience" must be .* got a list with a number in it/],
    ["resource", { resource: "api" }, /"resource" must be absolute URIs/],
    ["subjectExpiresAt", { subjectExpiresAt: new Date(NaN) }, /"subjectExpiresAt" must be a Date, epoch milliseconds/],
    [
      "parameter (one that the grant sets itself)",
      { parameters: { actor_token: "x" } },
      /"parameters" must not have "actor_token"/,
    ],
  ])("a wrong %s is a TypeError that names it", (_name, more, message) => {
    const build = (): unknown => tokenExchangeGrant(options(more as Partial<TokenExchangeGrantOptions>));
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });
});
