/**
 * Functions and signals of the user's that throw, reject, return something else or never settle, with a client made by
 * hand. What they do is a rejection, warm and cold, in bounded time, and `finish` is called once.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isRemintError, type RemintError } from "../../src/index.ts";
import { sendBare, withToken } from "../../src/policy/request-policy.ts";
import { fakeGrant, type FakeGrantOptions } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { acceptOnly, client, ok, ORDERS, thenable, unauthorized, warmCache } from "./hand-made-client.ts";
import type { Proof, Prove } from "../../src/core/types.ts";
import type { ClientSeam } from "../../src/policy/client-seam.ts";
import type { CacheUnderTest, CacheUnderTestOptions } from "../core/cache-under-test.ts";
import type { Answer, Call, Server } from "./hand-made-client.ts";

const mine = new Error("mine");
const throwing = (): never => {
  throw mine;
};

/** An object with a member that throws when it is read. */
function unreadable(name: string): object {
  return Object.defineProperty({}, name, { get: throwing });
}

const tokenRefused: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="invalid_token"' } };
const nonceWanted: Answer = { status: 401, headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"' } };

const never = (): Promise<never> => new Promise(() => {});

/** A cache without a token, with a usable one, and with one that the API rejects. */
const temperatures: [
  name: string,
  server: Server,
  make: (options: CacheUnderTestOptions) => Promise<CacheUnderTest>,
][] = [
  ["cold", () => ok, async (options) => cacheUnderTest(options)],
  ["warm", () => ok, warmCache],
  ["at a renewal", acceptOnly("fake-2"), warmCache],
];

/** Calls `withToken`, which must not throw; returns what it rejects with, and checks that `finish` was called once. */
async function failureOf(
  { cache }: Pick<CacheUnderTest, "cache">,
  call: Call,
  server: Server,
  more: Partial<ClientSeam<Call, Answer>> = {},
): Promise<unknown> {
  const { seam, log } = client(server, more);
  const answer = withToken(cache, call, seam);
  const error = await rejectionOf(answer);
  expect(log.filter((line) => line.startsWith("finish"))).toEqual([`finish ${(error as Error).message}`]);
  return error;
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("C12: what throws synchronously is a rejection", () => {
  test.each(temperatures)("headers of the grant that throw: %s", async (_, server, make) => {
    const under = await make({ grant: fakeGrant({ headers: throwing }) });
    expect(await failureOf(under, { url: ORDERS }, server)).toBe(mine);
  });

  test("headers of the grant that throw for the second token only", async () => {
    const under = await warmCache({
      grant: fakeGrant({ headers: ({ value }) => (value === "fake-2" ? throwing() : { "x-env": value }) }),
    });
    expect(await failureOf(under, { url: ORDERS }, acceptOnly("fake-2"))).toBe(mine);
  });

  test.each(temperatures)("an origins function that throws: %s", async (name, server, make) => {
    const failsFor = name === "at a renewal" ? "fake-2" : "fake-1";
    const origins = ({ value }: { value: string }) => (value === failsFor ? throwing() : ["https://api.example"]);
    const under = await make({ origins });
    const error = await failureOf(under, { url: ORDERS }, server);
    expect([isRemintError(error), (error as RemintError).code]).toEqual([true, "ERR_ORIGIN"]);
  });

  test("headers of the grant that are a promise: a TypeError that says so, also when the promise rejects", async () => {
    for (const headers of [async () => ({ "x-env": "1" }), () => Promise.reject(mine)]) {
      const under = await warmCache({ grant: fakeGrant({ headers: headers as never }) });
      const error = (await failureOf(under, { url: ORDERS }, () => ok)) as TypeError;
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe('The function "headers" of the grant must not return a promise');
    }
  });

  test("headers of the grant that are null or undefined count as none", async () => {
    for (const nothing of [null, undefined]) {
      const { cache } = await warmCache({ grant: fakeGrant({ headers: () => nothing as never }) });
      const { seam, extra } = client(() => ok);
      expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
      expect(extra).toEqual([undefined]);
    }
  });

  test("isAuthorized that throws: cold, and warm with a proof", async () => {
    const more = { isAuthorized: throwing };
    expect(await failureOf(cacheUnderTest(), { url: ORDERS }, () => ok, more)).toBe(mine);
    const proving = await warmCache({ grant: fakeGrant({ prove: async () => ({ headers: {} }) }) });
    expect(await failureOf(proving, { url: ORDERS }, () => ok, more)).toBe(mine);
  });

  test.each(temperatures)("a `send` that throws: %s", async (name, server, make) => {
    const { cache } = await make({});
    const { seam, log } = client(server);
    let sends = 0;
    const send: typeof seam.send = (...args) =>
      ++sends === (name === "at a renewal" ? 2 : 1) ? throwing() : seam.send(...args);
    expect(await rejectionOf(withToken(cache, { url: ORDERS }, { ...seam, send }))).toBe(mine);
    expect(log.filter((line) => line.startsWith("finish"))).toEqual(["finish mine"]);
  });

  test("an answer that is none, and a `status` or an `answerOf` that throws", async () => {
    const under = await warmCache();
    const error = await failureOf(under, { url: ORDERS }, () => undefined as never);
    expect(error).toBeInstanceOf(TypeError);
    expect(await failureOf(under, { url: ORDERS }, () => ok, { status: throwing })).toBe(mine);
    const answerOf = throwing;
    expect(await failureOf(under, { url: ORDERS }, () => Promise.reject(new Error("reset")), { answerOf })).toBe(mine);
  });

  test("a URL and a signal that throw when they are read", async () => {
    const url = unreadable("url") as Call;
    const signal = Object.assign(unreadable("signal"), { url: ORDERS }) as Call;
    for (const under of [cacheUnderTest(), await warmCache()]) {
      expect(await failureOf(under, url, () => ok)).toBe(mine);
    }
    expect(await failureOf(cacheUnderTest(), signal, () => ok)).toBe(mine);
  });

  test("a first argument that is no cache is a TypeError, and the request is finished", async () => {
    for (const wrong of [undefined, 5, {}, { get: async () => ({}) }]) {
      const error = await failureOf({ cache: wrong as never }, { url: ORDERS }, () => ok);
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toContain("The first argument of withToken must be a token cache");
    }
  });

  test("without a token: a `send` that throws, or that returns undefined", async () => {
    const wrong: [send: () => undefined, message: string][] = [
      [throwing, "mine"],
      [() => undefined, "client.send() returned undefined for a call without headers: it must send the request"],
    ];
    for (const [send, message] of wrong) {
      const { seam, log } = client(() => ok, { send });
      expect(((await rejectionOf(sendBare({ url: ORDERS }, seam))) as Error).message).toBe(message);
      const { cache } = cacheUnderTest();
      const elsewhere = { url: "https://elsewhere.example/" };
      expect(((await rejectionOf(withToken(cache, elsewhere, seam))) as Error).message).toBe(message);
      expect(log).toEqual([`finish ${message}`, `finish ${message}`]);
    }
  });
});

test("without a token, a `send` that returns a thenable, or the answer itself, is taken as a promise", async () => {
  for (const sent of [thenable<Answer>((resolve) => resolve(ok)), ok]) {
    const { seam, log } = client(() => ok, { send: () => sent as Promise<Answer> });
    expect(await sendBare({ url: ORDERS }, seam)).toBe(ok);
    expect(log).toEqual(["finish 200"]);
  }
});

describe("C12: signals that are no signals", () => {
  const controller = new AbortController();
  const wrong: [what: string, signal: unknown][] = [
    ["the controller in place of its signal", controller],
    ["an empty object", {}],
    ["an object that says it is aborted", { aborted: true, reason: mine }],
    ["a number", 5],
    ["true", true],
    ["null", null],
    ["a function", () => {}],
  ];
  for (const [name, server, make] of temperatures) {
    test.each(wrong)(`%s is left to the client: ${name}`, async (_, signal) => {
      const { cache } = await make({});
      const { seam, log } = client(server);
      const seen: unknown[] = [];
      const send: typeof seam.send = (call, ...rest) => (seen.push(call.signal), seam.send(call, ...rest));
      const call = { url: ORDERS, signal: signal as AbortSignal };
      expect(await withToken(cache, call, { ...seam, send })).toBe(ok);
      expect([seen.every((each) => each === signal), log.at(-1)]).toEqual([true, "finish 200"]);
    });
  }

  test.each(temperatures.filter(([name]) => name !== "warm"))(
    "a signal whose addEventListener throws rejects the request with that error: %s",
    async (_, server, make) => {
      const signal = Object.assign(new AbortController().signal, { addEventListener: throwing });
      expect(await failureOf(await make({}), { url: ORDERS, signal }, server)).toBe(mine);
    },
  );
});

describe("Q7: a discard that fails neither fails nor hangs the request", () => {
  const discards: [what: string, discard: NonNullable<ClientSeam<Call, Answer>["discard"]>, takes: number][] = [
    ["throws", throwing, 0],
    ["rejects", () => Promise.reject(mine), 0],
    ["returns a number", () => 5 as never, 0],
    ["returns a thenable that throws", () => thenable(throwing) as never, 0],
    ["returns something whose `then` throws", () => unreadable("then") as never, 0],
    ["never settles", () => new Promise(() => {}), 1000],
    ["rejects too late", () => new Promise((_, reject) => void setTimeout(() => reject(mine), 1001)), 1000],
  ];
  /** A token with a proof, whose first answer asks for a nonce. */
  const proof = (): Proof => ({
    headers: { DPoP: "proof" },
    answered: ({ header }) =>
      header("www-authenticate")?.includes("use_dpop_nonce") ? async () => proof() : undefined,
  });
  const resends: [name: string, server: Server, prove: Prove | undefined][] = [
    ["a renewal", acceptOnly("fake-2"), undefined],
    ["a renewal with a proof", (token) => (token === "fake-2" ? ok : tokenRefused), async () => proof()],
    ["a resend for a DPoP nonce", (_, send) => (send === 1 ? nonceWanted : ok), async () => proof()],
  ];
  for (const [name, server, prove] of resends) {
    test.each(discards)(`it %s: ${name}`, async (_, discard, takes) => {
      const { cache } = await warmCache({ grant: fakeGrant({ prove }) });
      const { seam, log } = client(server, { discard });
      const answer = watch(withToken(cache, { url: ORDERS }, seam));
      await settle();
      if (takes > 0) {
        await vi.advanceTimersByTimeAsync(takes - 1);
        expect([answer.state, log.length]).toEqual(["pending", 1]);
        await vi.advanceTimersByTimeAsync(1);
      }
      await settle();
      expect([answer.value, log.at(-1)]).toEqual([ok, "finish 200"]);
      await vi.advanceTimersByTimeAsync(10);
    });
  }

  test("C10: an abort ends the wait for it at once, and no timer is left", async () => {
    const { cache } = await warmCache();
    const controller = new AbortController();
    const { seam } = client(() => unauthorized, { discard: () => new Promise<void>(() => {}) });
    const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
    await settle();
    expect(vi.getTimerCount()).toBe(1);
    controller.abort("gone");
    await settle();
    expect([got.reason, vi.getTimerCount()]).toEqual(["gone", 0]);
  });
});

describe("functions of the user's that never settle", () => {
  const stuck: [name: string, hint: string, options: FakeGrantOptions, more: Partial<ClientSeam<Call, Answer>>][] = [
    ["isRejected of the client", 'the function "isRejected"', {}, { isRejected: never }],
    ["isRejected of the grant", 'the function "isRejected"', { isRejected: never }, {}],
    ["prove", 'the function "prove" of the grant', { prove: never }, {}],
  ];

  test.each(stuck)("%s: after 10 seconds an error that names it", async (_, name, options, more) => {
    const { cache } = await warmCache({ grant: fakeGrant(options) });
    const { seam, log } = client(() => unauthorized, more);
    const timers = vi.spyOn(globalThis, "setTimeout");
    const got = watch(withToken(cache, { url: ORDERS }, seam));
    await settle();
    // The caller waits, so the process stays alive.
    expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([true]);
    timers.mockRestore();
    await vi.advanceTimersByTimeAsync(9999);
    expect(got.state).toBe("pending");
    await vi.advanceTimersByTimeAsync(1);
    const error = got.reason as RemintError;
    expect([isRemintError(error), error.code, error.retryable]).toEqual([true, "ERR_TOKEN_TIMEOUT", true]);
    expect(error.hint).toBe(`${name} did not settle within 10 seconds`);
    expect(log.at(-1)).toBe(`finish ${error.message}`);
  });

  test.each(stuck)("Q17: the client's own form of the error of %s", async (_, _name, options, more) => {
    const { cache } = await warmCache({ grant: fakeGrant(options) });
    const { seam, log } = client(() => unauthorized, {
      ...more,
      errorFor: (_call, error) => new Error(`of the client: ${isRemintError(error) && error.code}`),
    });
    const got = watch(withToken(cache, { url: ORDERS }, seam));
    await settle();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(got.reason).toMatchObject({ message: "of the client: ERR_TOKEN_TIMEOUT" });
    expect(log.at(-1)).toBe("finish of the client: ERR_TOKEN_TIMEOUT");
  });

  test.each(stuck)(
    "C10: an abort ends the wait for %s at once, and no timer is left",
    async (_, _name, options, more) => {
      const { cache } = await warmCache({ grant: fakeGrant(options) });
      const controller = new AbortController();
      const { seam, log } = client(() => unauthorized, more);
      const got = watch(withToken(cache, { url: ORDERS, signal: controller.signal }, seam));
      await settle();
      controller.abort(mine);
      await settle();
      expect([got.reason, log.at(-1), vi.getTimerCount()]).toEqual([mine, "finish mine", 0]);
    },
  );
});

describe("what a function of the user's may return", () => {
  test("Q4: a verdict in a thenable is awaited", async () => {
    const { cache } = await warmCache();
    const verdict = thenable<boolean>((resolve) => resolve(false)) as Promise<boolean>;
    const isRejected = (): Promise<boolean> => verdict;
    expect(await withToken(cache, { url: ORDERS }, client(() => unauthorized, { isRejected }).seam)).toBe(unauthorized);
    expect(cache.peek()?.value).toBe("fake-1");
  });

  test.each([
    ["undefined", Promise.resolve(undefined)],
    ["null", null],
    ["a promise of null", Promise.resolve(null)],
  ])("a proof that is %s is a TypeError, and nothing is sent", async (_, proof) => {
    const under = await warmCache({ grant: fakeGrant({ prove: () => proof as never }) });
    expect(await failureOf(under, { url: ORDERS }, () => ok)).toBeInstanceOf(TypeError);
  });

  test("a proof in a thenable is awaited, and a proof that is no promise is used", async () => {
    const proof: Proof = { headers: { DPoP: "mine" } };
    for (const made of [thenable<Proof>((resolve) => resolve(proof)), proof]) {
      const { cache } = await warmCache({ grant: fakeGrant({ prove: () => made as never }) });
      const { seam, extra } = client(() => ok);
      expect(await withToken(cache, { url: ORDERS }, seam)).toBe(ok);
      expect(extra).toEqual([{ DPoP: "mine" }]);
    }
  });
});
