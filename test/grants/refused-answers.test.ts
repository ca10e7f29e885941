/**
 * C14: answers of a token endpoint whose access token cannot be used. The server has replaced the refresh token, so the new
 * one is kept, saved and presented next. An answer that cannot be read at all holds no refresh token.
 */
import { describe, expect, test } from "vitest";
import { dpop } from "remint/dpop";
import { type Answer, damagedAnswer } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { CLIENT, expire, type ProcessOptions, startSession } from "./session-under-test.ts";

/** Changes members of the answer's body. A member that is `undefined` is left out. */
const withMembers = (members: Readonly<Record<string, unknown>>): Answer => ({
  change: (answer) => ({ ...answer, body: { ...(answer.body as object), ...members } }),
});
const withStatus = (status: number): Answer => ({ change: (answer) => ({ ...answer, status }) });
const withBody = (make: (body: object) => string): Answer => ({
  change: (answer) => ({ ...answer, body: make(answer.body as object) }),
});

const UNUSABLE = { code: "ERR_TOKEN_RESPONSE", retryable: false, terminal: false };
const REFUSED = { code: "ERR_TOKEN_ENDPOINT", retryable: false, terminal: false };

const refused: [name: string, answer: Answer, error: object, options?: ProcessOptions][] = [
  ["token_type BearerToken", damagedAnswer("token_type BearerToken"), UNUSABLE],
  ["token_type a number", withMembers({ token_type: 7 }), UNUSABLE],
  ["token_type N_A", withMembers({ token_type: "N_A" }), UNUSABLE],
  ["no access_token", damagedAnswer("access_token missing"), UNUSABLE],
  ["an empty access_token", damagedAnswer("access_token empty"), UNUSABLE],
  ["access_token null", withMembers({ access_token: null }), UNUSABLE],
  ["access_token an object", withMembers({ access_token: { value: "a" } }), UNUSABLE],
  ["an access_token with a space", withMembers({ access_token: "a b" }), UNUSABLE],
  ["an access_token with a line break", withMembers({ access_token: "a\r\nx-injected: 1" }), UNUSABLE],
  ["an access_token that is not ASCII", withMembers({ access_token: "tökén" }), UNUSABLE],
  [
    "an error code in place of the access token",
    withMembers({ access_token: undefined, error: "invalid_scope" }),
    { ...REFUSED, error: "invalid_scope" },
  ],
  ["a Bearer token for a grant with a DPoP key", {}, UNUSABLE, { dpop: dpop() }],
];

describe("C14: the access token of an answer is refused", () => {
  const sources: [name: string, options: (first: string) => ProcessOptions][] = [
    ["a function with onRotate", () => ({})],
    ["a string with onRotate", (first) => ({ refreshToken: first })],
  ];

  describe.each(sources)("%s", (_source, sourceOf) => {
    test.each(refused)(
      "%s: the caller gets the error; the new refresh token is saved, and presented next",
      async (name, answer, expected, options = {}) => {
        const { auth, first, start, presented, saved, issued, sessions } = await startSession();
        const under = start({ ...sourceOf(first), ...options });
        auth.respond(answer);
        const error = await rejectionOf(under.cache.get());
        expect(error).toMatchObject(expected);
        const [next] = issued();
        expect(saved()).toBe(next);
        expect(sessions.log.filter(({ step }) => step === "saved")).toHaveLength(1);
        expect(under.names()).toEqual(["mint-failed"]);
        await under.clock.advance(1000);
        if (name.includes("DPoP")) {
          expect(await rejectionOf(under.cache.get())).toMatchObject(expected);
        } else {
          expect((await under.cache.get()).header).toMatch(/^Bearer /);
          expect(under.names()).toEqual(["mint-failed", "minted"]);
        }
        expect(presented()).toEqual([first, next]);
        expect(saved()).toBe(issued()[1]);
        expect(auth.log.some(({ ended }) => ended !== undefined)).toBe(false);
      },
    );
  });

  test("a string without onRotate: the new refresh token is kept in memory, and presented next", async () => {
    const { auth, first, start, presented, issued } = await startSession();
    const { cache, clock } = start({ refreshToken: first, onRotate: undefined, cache: { warnings: false } });
    auth.respond(damagedAnswer("token_type BearerToken"));
    expect(await rejectionOf(cache.get())).toMatchObject(UNUSABLE);
    await clock.advance(1000);
    await cache.get();
    expect(presented()).toEqual([first, issued()[0]]);
  });

  test("ten answers in a row are refused: each new refresh token is presented once, and the session goes on", async () => {
    const { auth, first, start, presented, issued } = await startSession();
    const { cache, clock } = start();
    auth.respond(...Array.from({ length: 10 }, () => damagedAnswer("access_token missing")));
    for (let mint = 0; mint < 10; mint++) {
      expect(await rejectionOf(cache.get())).toMatchObject(UNUSABLE);
      await clock.advance(5000);
    }
    await cache.get();
    expect(presented()).toEqual([first, ...issued().slice(0, 10)]);
  });

  test("the save of the new refresh token fails too: it is presented next, from memory", async () => {
    const { auth, first, start, presented, issued, sessions, saved } = await startSession();
    const under = start();
    sessions.failSaves(1);
    auth.respond(damagedAnswer("token_type BearerToken"));
    expect(await rejectionOf(under.cache.get())).toMatchObject(UNUSABLE);
    expect(under.names()).toEqual(["state-unsaved", "mint-failed"]);
    expect(saved()).toBe(first);
    await under.clock.advance(1000);
    await under.cache.get();
    expect(presented()).toEqual([first, issued()[0]]);
    expect(saved()).toBe(issued()[1]);
  });
});

describe("C14: a lifetime that says nothing is no reason to refuse the access token", () => {
  test.each([[null], ["soon"], [-1], [0], [{}], ["1e999"]])(
    "expires_in %j: served, and both are kept",
    async (value) => {
      const { auth, first, start, presented, saved, issued } = await startSession();
      const under = start();
      auth.respond(withMembers({ expires_in: value }));
      const { value: token } = await under.cache.get();
      expect(token).toBe(auth.issued.at(-1));
      expect(saved()).toBe(issued()[0]);
      await expire(under);
      await under.cache.get();
      expect(presented()).toEqual([first, issued()[0]]);
    },
  );
});

const MIB = 1024 * 1024;
/** Makes a JSON object of this many bytes. */
const ofLength =
  (bytes: number) =>
  (body: object): string => {
    const text = JSON.stringify(body);
    return text + " ".repeat(bytes - text.length);
  };

describe("C14: an answer that cannot be read holds no refresh token: the old one is presented next", () => {
  test.each<[name: string, answer: Answer]>([
    ["no JSON", withBody((body) => JSON.stringify(body).slice(0, -1))],
    ["HTML", withBody(() => "<html>welcome</html>")],
    ["an empty body", withBody(() => "")],
    ["status 204", { change: () => ({ status: 204, body: "" }) }],
    ["JSON that is a list", withBody((body) => JSON.stringify([body]))],
    ["JSON that is null", withBody(() => "null")],
    ["JSON that is a string", withBody((body) => JSON.stringify(JSON.stringify(body)))],
    ["1 MiB and one byte", withBody(ofLength(MIB + 1))],
    ["an empty refresh_token and no access_token", withMembers({ refresh_token: "", access_token: undefined })],
    [
      "a refresh_token that is a number, and no access_token",
      withMembers({ refresh_token: 7, access_token: undefined }),
    ],
    ["status 500 with a whole answer", withStatus(500)],
    ["status 400 with a whole answer", withStatus(400)],
  ])("%s", async (_name, answer) => {
    const { auth, first, start, presented, saved, sessions } = await startSession({ gracePeriod: 600_000 });
    const under = start();
    auth.respond(answer);
    expect(await rejectionOf(under.cache.get())).toMatchObject({ terminal: false });
    expect([saved(), sessions.log.some(({ step }) => step === "saving")]).toEqual([first, false]);
    await under.clock.advance(1000);
    await under.cache.get();
    expect(presented()).toEqual([first, first]);
    expect(under.names()).toEqual(["mint-failed", "minted"]);
  });

  test("a refresh_token that is a number beside a good access token: served, and the old one is presented next", async () => {
    const { auth, first, start, presented } = await startSession({ gracePeriod: 600_000 });
    const under = start();
    auth.respond(withMembers({ refresh_token: 7 }));
    await under.cache.get();
    await expire(under);
    await under.cache.get();
    expect(presented()).toEqual([first, first]);
  });

  test("exactly 1 MiB is read", async () => {
    const { auth, start, saved, issued } = await startSession();
    auth.respond(withBody(ofLength(MIB)));
    await start().cache.get();
    expect(saved()).toBe(issued()[0]);
  });
});

test("S5: the error of a refused answer shows neither refresh token", async () => {
  const { auth, first, start, issued } = await startSession();
  auth.respond(withMembers({ access_token: undefined, error: "invalid_scope", error_description: first }));
  const error = await rejectionOf(start({ clientSecret: CLIENT.clientSecret }).cache.get());
  const shown = `${(error as Error).stack} ${JSON.stringify(error)} ${String((error as Error).cause)}`;
  for (const token of [first, issued()[0]!]) expect(shown).not.toContain(token);
  expect((error as { errorDescription?: string }).errorDescription).toBe("[redacted]");
});
