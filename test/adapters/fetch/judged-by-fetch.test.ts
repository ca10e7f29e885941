/**
 * Q15 and C12: what fetch alone rejects is rejected with fetch's own error, never thrown, and nothing is left unhandled; warm,
 * while a token is awaited, while the source is awaited, and without a token.
 */
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../world.ts";
import { Echo, tokenOf } from "./echo.ts";

let echo: Echo;
beforeAll(async () => void (echo = await Echo.start()));
afterAll(() => echo[Symbol.asyncDispose]());

const mine = new Error("mine");
const throwing = (): never => {
  throw mine;
};

/** Arguments that fetch rejects. Made anew for each call: an iterator is read once. */
const wrong: Readonly<Record<string, (url: string) => unknown[]>> = {
  "a controller in place of its signal": (url) => [url, { signal: new AbortController() }],
  "a signal that is a text": (url) => [url, { signal: "abort" }],
  "an aborted signal": (url) => [url, { signal: AbortSignal.abort(mine) }],
  "a Request with an aborted signal": (url) => [new Request(url, { signal: AbortSignal.abort(mine) })],
  "headers that are a number": (url) => [url, { headers: 5 }],
  "headers that are a text": (url) => [url, { headers: "abc" }],
  "a pair of three": (url) => [url, { headers: [["a", "b", "c"]] }],
  "a pair of one": (url) => [url, { headers: [["a"]] }],
  "a pair that is a text": (url) => [url, { headers: ["ab"] }],
  "a pair that is null": (url) => [url, { headers: [null] }],
  "a name that no header has": (url) => [url, { headers: { "a b": "1" } }],
  "a value that no header has": (url) => [url, { headers: { a: "1\n2" } }],
  "a header that is a symbol": (url) => [url, { headers: { a: Symbol("a") } }],
  "a header whose toString throws": (url) => [url, { headers: { a: { toString: throwing } } }],
  "a header whose getter throws": (url) => [
    url,
    { headers: Object.defineProperty({}, "a", { get: throwing, enumerable: true }) },
  ],
  "an iterator that throws": (url) => [
    url,
    {
      headers: (function* () {
        yield ["a", "b"];
        throw mine;
      })(),
    },
  ],
  "an init that is a number": (url) => [url, 5],
  "an init that is a text": (url) => [url, "POST"],
  "a getter that throws": (url) => [url, Object.defineProperty({}, "method", { get: throwing, enumerable: true })],
  "a getter of a class that throws": (url) => [
    url,
    new (class {
      get body(): string {
        return throwing();
      }
    })(),
  ],
  "an input that is a symbol": () => [Symbol("input")],
  "an input that makes no text": () => [Object.create(null)],
  "an input whose toString throws": () => [{ toString: throwing }],
  "a method that is no token": (url) => [url, { method: "PO ST" }],
  "a body with GET": (url) => [url, { body: "x" }],
  "a stream without duplex": (url) => [url, { method: "POST", body: new Blob(["x"]).stream() }],
  "a Request that was used": (url) => {
    const request = new Request(url, { method: "POST", body: "x" });
    void request.text();
    return [request];
  },
  "a Request whose body is locked": (url) => {
    const request = new Request(url, { method: "POST", body: "x" });
    request.body?.getReader();
    return [request];
  },
};

/** Returns the source of the token; with a token in the cache if it is not to be waited for. */
const sources = {
  async warm() {
    const tokens = cache();
    await tokens.get();
    return tokens;
  },
  "with a cold cache": async () => cache(),
  "with a source that is awaited": async () => {
    const tokens = cache();
    return { source: async () => tokens };
  },
  "without a token": async () => ({ source: () => undefined }),
};

function cache() {
  return createTokenCache({ grant: fakeGrant(), origins: [echo.origin] });
}

describe.each(Object.entries(sources))("%s", (_name, makeSource) => {
  test.each(Object.entries(wrong))(
    "Q15, C12: %s is rejected with the error of fetch alone, and nothing is sent",
    async (what, make) => {
      const unhandled: unknown[] = [];
      const note = (error: unknown): void => void unhandled.push(error);
      process.on("unhandledRejection", note);
      try {
        const before = echo.arrived.length;
        const url = `${echo.origin}/x`;
        const made = await makeSource();
        const authFetch = createAuthFetch("source" in made ? made.source : made) as (
          ...args: unknown[]
        ) => Promise<Response>;
        const alone = (await failureOf((fetch as typeof authFetch)(...make(url)))) as Error;
        const ours = (await failureOf(authFetch(...make(url)))) as Error;
        if (alone === mine) expect(ours).toBe(mine);
        else expect([ours.constructor.name, ours.message]).toEqual([alone.constructor.name, alone.message]);
        await new Promise((resolve) => setImmediate(resolve));
        expect([echo.arrived.length, unhandled, what]).toEqual([before, [], what]);
      } finally {
        process.off("unhandledRejection", note);
      }
    },
  );
});

test("Q15: `signal: null` beside a Request with an aborted signal sends the request, warm and cold", async () => {
  const tokens = cache();
  const authFetch = createAuthFetch(tokens);
  for (const token of ["Bearer fake-1", "Bearer fake-1"]) {
    const request = new Request(`${echo.origin}/x`, { signal: AbortSignal.abort(mine) });
    expect((await authFetch(request, { signal: null })).status).toBe(200);
    expect(tokenOf(echo.arrived.at(-1)!)).toBe(token);
  }
});

describe("Q1: `Authorization` in every form of headers", () => {
  const forms: Readonly<Record<string, (name: string, value: unknown) => unknown>> = {
    "a plain object": (name, value) => ({ [name]: value }),
    pairs: (name, value) => [
      ["x-mine", "1"],
      [name, value],
    ],
    "a Map": (name, value) => new Map([[name, value]]),
    "a generator": function* (name, value) {
      yield [name, value];
    },
    "a Headers object": (name, value) => new Headers({ [name]: value as string }),
  };
  const spellings = ["authorization", "Authorization", "AUTHORIZATION"];

  test.each(Object.entries(forms))(
    "Q1: in %s the caller's own is sent as it is, whatever its case",
    async (_form, make) => {
      const authFetch = createAuthFetch(cache());
      for (const name of spellings) {
        await authFetch(`${echo.origin}/x`, { headers: make(name, "Basic abc") as HeadersInit });
        expect(tokenOf(echo.arrived.at(-1)!)).toBe("Basic abc");
      }
    },
  );

  test.each(Object.entries(forms))("Q1: in %s `undefined` is not set, and is sent once only", async (_form, make) => {
    const authFetch = createAuthFetch(cache());
    for (const name of spellings) {
      await authFetch(`${echo.origin}/x`, { headers: make(name, undefined) as HeadersInit });
      const { headers } = echo.arrived.at(-1)!;
      expect(headers.filter((text) => /^authorization$/i.test(text))).toHaveLength(1);
      expect(tokenOf(echo.arrived.at(-1)!)).toBe("Bearer fake-1");
    }
  });

  test.each(Object.entries(forms))(
    "Q1: in %s a token as text is a TypeError, and nothing is sent",
    async (_form, make) => {
      const tokens = cache();
      const authFetch = createAuthFetch(tokens);
      const token: unknown = await tokens.get();
      const text = ["Bearer", token].join(" ");
      const before = echo.arrived.length;
      const error = await failureOf(
        authFetch(`${echo.origin}/x`, { headers: make("Authorization", text) as HeadersInit }),
      );
      expect(error).toBeInstanceOf(TypeError);
      expect([(error as Error).message.includes("header"), echo.arrived.length]).toEqual([true, before]);
    },
  );
});
