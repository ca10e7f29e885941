/**
 * C12: whatever a function or a signal of the user's does, a call returns a promise, the promise settles in bounded time
 * with an answer or a typed error, and nothing is left unhandled in the process. Every client of the contract, with a cold
 * cache, a warm one, and one whose token the API rejects.
 */
import { createTokenCache, isRemintError } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant, startApi } from "remint/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { thenable } from "../policy/hand-made-client.ts";
import { clients, withOverrides } from "./clients.ts";
import { printed } from "./contract-safety.ts";
import type { Grant, RemintError, TokenCache, TokenCacheOptions } from "remint";
import type { Api, FakeGrantOptions } from "remint/testing";
import type { Reply, Sent, Setup, Source, TestClient } from "./clients.ts";

/** Seconds become hundredths: ten seconds for a function of the user's are 100 ms here, one second for a body 10 ms. */
const SPEED = 100;
/** Real milliseconds within which every call settles. */
const BOUND = 5000;

type Temperature = "cold" | "warm" | "renewal";
const TEMPERATURES: readonly Temperature[] = ["cold", "warm", "renewal"];

/** What happened in the process that nobody handled. */
const unhandled: unknown[] = [];
const EVENTS = ["unhandledRejection", "uncaughtException"] as const;
const note = (error: unknown): void => void unhandled.push(error);
let others: [event: (typeof EVENTS)[number], listeners: Function[]][];
let api: Api;

beforeAll(async () => {
  api = await startApi({ accepts: (token) => token !== "fake-1" });
  api.respondAlways(({ url, token }) => {
    const accepted = url.startsWith("/renewal") ? token !== "fake-1" : token !== undefined;
    return { status: accepted ? 200 : 401, body: "answer" };
  });
});
afterAll(() => api.close());

beforeEach(() => {
  // The listeners of vitest would end the run, and the test could not say which call it was.
  others = EVENTS.map((event) => [event, process.rawListeners(event)]);
  for (const event of EVENTS) process.removeAllListeners(event).on(event, note);
  const { setTimeout } = globalThis;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((fire: () => void, delay = 0, ...rest: never[]) =>
    setTimeout(fire, delay >= 1000 ? delay / SPEED : delay, ...rest)) as typeof setTimeout);
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const [event, listeners] of others) {
    process.removeAllListeners(event);
    for (const listener of listeners) process.on(event, listener as never);
  }
  unhandled.length = 0;
});

/** Returns what was left unhandled, after everything has had the time to be. */
async function leftUnhandled(): Promise<unknown[]> {
  await new Promise((resolve) => setTimeout(resolve, 30));
  return unhandled.splice(0);
}

/** What a hostile function knows: what it should return, and the cache that it serves. */
interface Surroundings {
  readonly valid: unknown;
  readonly cache: () => TokenCache;
}

/** What a hostile function does when it is called. */
type Misbehaviour = (surroundings: Surroundings) => unknown;

const mine = new Error("mine");
const throwing = (): never => {
  throw mine;
};

/** An object with a member that throws when it is read. */
function unreadable(name: string): object {
  return Object.defineProperty({}, name, { enumerable: true, get: throwing });
}

const misbehaviours: Readonly<Record<string, Misbehaviour>> = {
  "throws an error": throwing,
  "throws undefined": () => {
    throw undefined; // oxlint-disable-line no-throw-literal, typescript/only-throw-error -- users do
  },
  rejects: () => Promise.reject(mine),
  "rejects with null": () => Promise.reject(null), // oxlint-disable-line typescript/prefer-promise-reject-errors
  "rejects later": ({ cache }) =>
    cache()
      .get()
      .then(Object, Object)
      .then(() => Promise.reject(mine)),
  "returns undefined": () => undefined,
  "returns null": () => null,
  "returns a number": () => 5,
  "returns a text": () => "a text",
  "returns an empty object": () => ({}),
  "returns an array": () => [undefined],
  "returns a symbol": () => Symbol("rubbish"),
  "returns a function": () => () => {},
  "returns an object without a prototype": () => Object.create(null) as unknown,
  "returns an object that throws when it is read": () =>
    new Proxy({}, { get: () => expect.fail("read"), has: () => expect.fail("read") }),
  "resolves with a number": () => Promise.resolve(5),
  "resolves with what it should, in a thenable": ({ valid }) => thenable((resolve) => resolve(valid)),
  "returns a thenable that throws": () => thenable(throwing),
  "settles twice": ({ valid }) =>
    thenable((resolve, reject) => {
      resolve(valid);
      reject(mine);
    }),
  "never settles": () => new Promise(() => {}),
  "resolves after the cache was closed": async ({ cache, valid }) => {
    await cache().close();
    return valid;
  },
};

/** Where a user's function is given, and how. */
interface Place {
  readonly name: string;
  /** What the function should return. */
  readonly valid: (cache: TokenCache) => unknown;
  /** The hint of the error when the function never settles; `undefined` where nobody waits for it. */
  readonly hint?: RegExp;
  /** When the function is called. @defaultValue always */
  readonly when?: readonly Temperature[];
  readonly grant?: (fn: never) => FakeGrantOptions;
  readonly mint?: (fn: never) => Grant;
  readonly cache?: (fn: never) => object;
  readonly source?: (fn: never) => Source;
  readonly setup?: (fn: never) => Setup;
  readonly sent?: (fn: never) => Sent;
}

const token = { access_token: "fake-2", token_type: "Bearer", expires_in: 3600 };
const places: readonly Place[] = [
  {
    name: "the source",
    valid: (cache) => cache,
    hint: /function that chooses the token cache/,
    source: (fn) => fn,
  },
  {
    name: "isRejected of the client",
    valid: () => true,
    hint: /isRejected/,
    when: ["renewal"],
    setup: (isRejected) => ({ isRejected }),
  },
  {
    name: "isRejected of the grant",
    valid: () => true,
    hint: /isRejected/,
    when: ["renewal"],
    grant: (isRejected) => ({ isRejected }),
  },
  { name: "headers of the grant", valid: () => ({ "x-env": "1" }), grant: (headers) => ({ headers }) },
  { name: "prove of the grant", valid: () => ({ headers: {} }), hint: /prove/, grant: (prove) => ({ prove }) },
  { name: "origins", valid: () => [api.origin], cache: (origins) => ({ origins }) },
  { name: "onEvent", valid: () => undefined, when: ["cold", "renewal"], cache: (onEvent) => ({ onEvent }) },
  {
    name: "a grant that is a function",
    valid: () => token,
    hint: /the grant's function/,
    when: ["cold", "renewal"],
    mint: (fn) => fn,
  },
  {
    name: "a body factory",
    valid: () => "a body",
    sent: (body) => ({ method: "POST", headers: { "content-type": "text/plain" }, remint: { body } }),
  },
];

/** Makes one call with one hostile function. */
async function outcomeOf(
  client: TestClient,
  temperature: Temperature,
  place: Place,
  misbehave: Misbehaviour,
): Promise<Outcome> {
  // Until the token of the API's choice is in the cache, the function behaves.
  let isArmed = temperature === "cold";
  let calls = 0;
  const fn = (): unknown => {
    const valid = place.valid(cache);
    if (!isArmed) return place.mint === undefined ? valid : { ...token, access_token: "fake-1" };
    calls++;
    return misbehave({ valid, cache: () => cache });
  };
  const options: object = {
    grant: place.mint?.(fn as never) ?? fakeGrant(place.grant?.(fn as never)),
    origins: [api.origin],
    mintRetries: 0,
    ...place.cache?.(fn as never),
  };
  const cache = createTokenCache(options as TokenCacheOptions);
  try {
    if (temperature !== "cold") await cache.get();
    isArmed = true;
    const call = client.connect(place.source?.(fn as never) ?? cache, place.setup?.(fn as never));
    const sent = { own: client.once, ...place.sent?.(fn as never) };
    return { ...(await settled(() => call(`${api.origin}/${temperature}`, sent))), calls };
  } finally {
    await cache.close();
  }
}

/** How a call ended. */
interface Outcome {
  readonly reply?: unknown;
  /** What it rejected with, in a list, because that may be undefined. */
  readonly rejected?: readonly [error: unknown];
  /** What it must never do. */
  readonly fault?: string;
  /** How often the hostile function was called. */
  readonly calls?: number;
}

/** Returns how a call ended. A call must neither throw nor hang. */
async function settled(call: () => Promise<unknown>): Promise<Outcome> {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch {
    return { fault: "threw synchronously" };
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Outcome>((resolve) => {
    timer = setTimeout(() => resolve({ fault: "did not settle" }), BOUND * SPEED);
  });
  const ended = promise.then(
    (reply): Outcome => ({ reply }),
    (error: unknown): Outcome => ({ rejected: [error] }),
  );
  const outcome = await Promise.race([ended, late]);
  clearTimeout(timer);
  return outcome;
}

/** What is wrong with the end of a call. Right are an answer, and an error that prints no token. */
function faultOf({ fault, rejected }: Outcome): string | undefined {
  if (fault !== undefined || rejected === undefined) return fault;
  const [error] = rejected;
  // What a function of the user's throws is passed on, whatever it is.
  if (error === undefined || error === null) return undefined;
  if (!(error instanceof Error)) return `rejected with a ${typeof error}`;
  return /fake-\d/.test(printed(error)) ? "the error prints a token" : undefined;
}

/** How a call ended, in words in which two calls can be compared. */
function inWords({ fault, rejected, reply }: Outcome): string | undefined {
  if (rejected === undefined) return fault ?? `answered ${(reply as Reply).status}`;
  const { name, message, cause } = Object(rejected[0]) as Error;
  return [name, message.replaceAll(/\/(cold|warm|renewal)/g, ""), (cause as Error | undefined)?.message].join(": ");
}

describe.each(clients.map((client) => [client.name, client] as const))("%s", (_, client) => {
  // undici's fetch hands no option of its own to a dispatcher: no body factory, and no override.
  for (const place of places.filter(({ sent }) => sent === undefined || withOverrides.includes(client.name))) {
    test(`C12: a function of the user's that misbehaves in every way: ${place.name}`, async () => {
      const runs = (place.when ?? TEMPERATURES).flatMap((temperature) =>
        Object.entries(misbehaviours).map(([name, misbehave]) => ({
          name: `${temperature}: ${name}`,
          temperature,
          misbehave,
        })),
      );
      const ends = await Promise.all(
        runs.map(async (run) => ({ ...run, outcome: await outcomeOf(client, run.temperature, place, run.misbehave) })),
      );
      const faults = ends.map(({ name, outcome }) => [name, faultOf(outcome)]);
      expect(faults.filter(([, fault]) => fault !== undefined)).toEqual([]);
      expect(ends.filter(({ outcome }) => outcome.calls === 0).map(({ name }) => name)).toEqual([]);
      const { hint } = place;
      for (const { name, outcome } of ends.filter((end) => hint !== undefined && end.name.endsWith("never settles"))) {
        const error = outcome.rejected?.[0] as RemintError;
        expect([name, isRemintError(error), error.code, error.status]).toEqual([name, true, "ERR_TOKEN_TIMEOUT", 503]);
        expect([name, error.hint]).toEqual([name, expect.stringMatching(hint!)]);
      }
      expect(await leftUnhandled()).toEqual([]);
    });
  }

  test("C12: an override that is rubbish", async () => {
    const rubbish = [
      5,
      "cache",
      true,
      null,
      [],
      {},
      () => {},
      Symbol("x"),
      { cache: 5 },
      { cache: "x" },
      { cache: {} },
      { body: 5 },
    ];
    for (const temperature of TEMPERATURES) {
      for (const remint of [...rubbish, unreadable("cache")]) {
        const cache = createTokenCache({ grant: fakeGrant(), origins: [api.origin] });
        if (temperature !== "cold") await cache.get();
        const call = client.connect(cache);
        const sent = { remint: remint as never, own: client.once };
        const outcome = await settled(() => call(`${api.origin}/${temperature}`, sent));
        expect([remint, faultOf(outcome)]).toEqual([remint, undefined]);
      }
    }
    expect(await leftUnhandled()).toEqual([]);
  });

  const controller = new AbortController();
  const noSignals: [name: string, signal: unknown][] = [
    ["the controller in place of its signal", controller],
    ["an empty object", {}],
    ["an object that says it is aborted", { aborted: true }],
    ["a number", 5],
    ["a text", "abort"],
    ["true", true],
    ["a function", () => {}],
  ];

  test.each(noSignals)(
    "C12: a signal that is none is judged by the client, as without a token: %s",
    async (_name, signal) => {
      const bare = await settled(() =>
        client.connect(cold())(`${api.origin}/warm`, { ...asSent(signal), remint: false }),
      );
      for (const temperature of TEMPERATURES) {
        const cache = cold();
        if (temperature !== "cold") await cache.get();
        const outcome = await settled(() => client.connect(cache)(`${api.origin}/${temperature}`, asSent(signal)));
        expect([temperature, inWords(outcome)]).toEqual([temperature, inWords(bare)]);
      }
      expect(await leftUnhandled()).toEqual([]);
    },
  );

  test("C12: a signal that throws when it is listened to, and one that is aborted before or during the wait", async () => {
    const makes: (() => [signal: unknown, start: () => void])[] = [
      () => [Object.defineProperty(new AbortController().signal, "addEventListener", { value: throwing }), () => {}],
      () => [AbortSignal.abort(), () => {}],
      () => [AbortSignal.abort(null), () => {}],
      () => {
        const late = new AbortController();
        return [late.signal, () => late.abort(mine)];
      },
    ];
    for (const temperature of TEMPERATURES) {
      for (const make of makes) {
        const grant = fakeGrant();
        const cache = createTokenCache({ grant, origins: [api.origin] });
        if (temperature !== "cold") await cache.get();
        const hold = grant.hold();
        const [signal, start] = make();
        const outcome = settled(() => client.connect(cache)(`${api.origin}/${temperature}`, asSent(signal)));
        await new Promise((resolve) => setTimeout(resolve, 20));
        start();
        hold.release();
        expect([temperature, faultOf(await outcome)]).toEqual([temperature, undefined]);
        await cache.close();
      }
    }
    expect(await leftUnhandled()).toEqual([]);
  });

  function asSent(signal: unknown): Sent {
    return { signal: signal as AbortSignal, own: client.once };
  }
});

function cold(): TokenCache {
  return createTokenCache({ grant: fakeGrant(), origins: [api.origin] });
}

describe("fetch itself", () => {
  test("C12: input and options that cannot be read are a rejection, with every kind of source", async () => {
    const calls: [input: unknown, init?: unknown][] = [
      [Symbol("url")],
      [Object.create(null)],
      [{ toString: () => expect.fail("a URL that throws") }],
      [{ bodyUsed: false, url: Symbol("url") }],
      [Object.assign(unreadable("url"), { bodyUsed: false })],
      [undefined],
      [null],
      [`${api.origin}/warm`, 5],
      [`${api.origin}/warm`, "init"],
      ...["headers", "remint", "signal", "body", "method"].map((name): [unknown, unknown] => [
        `${api.origin}/renewal`,
        unreadable(name),
      ]),
    ];
    const sources = [() => cold(), () => [cold()], () => () => cold(), () => async () => cold()];
    for (const makeSource of sources) {
      for (const [input, init] of calls) {
        const authFetch = createAuthFetch(makeSource());
        const outcome = await settled(() => authFetch(input as string, init as RequestInit));
        expect(faultOf(outcome)).toBeUndefined();
      }
    }
    expect(await leftUnhandled()).toEqual([]);
  });
});

describe("this harness", () => {
  test("sees a rejection that nobody handles, an exception outside of a promise, and a synchronous throw", async () => {
    void Promise.reject(mine);
    setTimeout(() => {
      throw mine;
    }, 1);
    expect(await leftUnhandled()).toEqual([mine, mine]);
    const thrown = await settled(() => {
      throw mine;
    });
    expect(faultOf(thrown)).toBe("threw synchronously");
  });
});
