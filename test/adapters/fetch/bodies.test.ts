/** Q6: what becomes of a body that is never sent, of one that a function creates, and of a `Request` that is sent again. */
import { Readable } from "node:stream";
import { createTokenCache, isRemintError } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { Agent, fetch as undiciFetch, Request as UndiciRequest } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { failureOf, Gate, replacePromise, until } from "../world.ts";
import { Echo, tokenOf } from "./echo.ts";

let echo: Echo;
beforeAll(async () => void (echo = await Echo.start()));
afterAll(() => echo[Symbol.asyncDispose]());
beforeEach(() => void (echo.status = () => 200));

function cache(grant = fakeGrant()) {
  return createTokenCache({ grant, origins: [echo.origin], mintRetries: 0 });
}

const mine = new Error("mine");

/** A stream that notes why it was cancelled. */
function watched(): { stream: ReadableStream; cancelled: unknown[] } {
  const cancelled: unknown[] = [];
  const stream = new ReadableStream({ cancel: (reason) => void cancelled.push(reason) });
  return { stream, cancelled };
}

/** The ways in which a request is never sent; each returns the call's error. */
const unsent: Readonly<Record<string, (input: string | Request, init: object) => Promise<unknown>>> = {
  async "the caller aborts while a token is awaited"(input, init) {
    const grant = fakeGrant();
    const hold = grant.hold();
    const controller = new AbortController();
    const failure = failureOf(createAuthFetch(cache(grant))(input, { ...init, signal: controller.signal }));
    await until(() => hold.waiting === 1);
    controller.abort(mine);
    hold.release();
    return failure;
  },
  async "the mint fails"(input, init) {
    const grant = fakeGrant();
    grant.fail(mine, Infinity);
    return failureOf(createAuthFetch(cache(grant))(input, init));
  },
  "the source throws": (input, init) =>
    failureOf(
      createAuthFetch(() => {
        throw mine;
      })(input, init),
    ),
  "the source rejects": (input, init) => failureOf(createAuthFetch(() => Promise.reject(mine))(input, init)),
};

describe.each(Object.entries(unsent))("Q6: nothing is sent because %s", (_how, run) => {
  const post = { method: "POST", duplex: "half" };

  test("Q6: a web stream in init is cancelled with the call's error", async () => {
    const { stream, cancelled } = watched();
    const error = await run(`${echo.origin}/x`, { ...post, body: stream });
    expect(cancelled).toEqual([error]);
  });

  test("Q6: the web stream of a Request is cancelled with the call's error", async () => {
    const { stream, cancelled } = watched();
    const error = await run(new Request(`${echo.origin}/x`, { ...post, body: stream }), {});
    expect(cancelled).toEqual([error]);
  });

  test("Q6: an async generator is ended, one that has begun too", async () => {
    let ended = 0;
    async function* chunks(): AsyncGenerator<Uint8Array> {
      try {
        yield new Uint8Array(1);
        yield new Uint8Array(1);
      } finally {
        ended++;
      }
    }
    const begun = chunks();
    await begun.next();
    await run(`${echo.origin}/x`, { ...post, body: begun });
    expect([ended, await begun.next()]).toEqual([1, { done: true, value: undefined }]);
  });

  test("Q6: a Node stream is left alone, and can still be read", async () => {
    const stream = Readable.from(["a", "b"]);
    await run(`${echo.origin}/x`, { ...post, body: stream });
    expect([stream.destroyed, (await stream.toArray()).join("")]).toEqual([false, "ab"]);
  });

  test("Q6: a locked stream, and an iterable whose return() fails, change nothing of the error", async () => {
    const { stream } = watched();
    stream.getReader();
    const failing = { [Symbol.asyncIterator]: () => ({ return: () => Promise.reject(new Error("not this one")) }) };
    const throwing = {
      [Symbol.asyncIterator](): never {
        throw new Error("not this one");
      },
    };
    for (const body of [stream, failing, throwing]) {
      const error = await run(`${echo.origin}/x`, { ...post, body });
      expect(error === mine || (isRemintError(error) && error.cause === mine)).toBe(true);
    }
  });
});

describe("Q6: a body that a function creates", () => {
  test("Q6: an async function is awaited for both sends; a stream it creates is sent with `duplex`", async () => {
    const first = echo.arrived.length;
    echo.status = (index) => (index === first ? 401 : 200);
    let calls = 0;
    const body = async (): Promise<ReadableStream> => {
      await new Promise((resolve) => setImmediate(resolve));
      return new Blob([`made ${++calls}`]).stream();
    };
    const answer = await createAuthFetch(cache())(`${echo.origin}/x`, { method: "POST", remint: { body } });
    expect([answer.status, echo.arrived.slice(first).map((sent) => sent.body)]).toEqual([200, ["made 1", "made 2"]]);
  });

  test("Q6: it replaces the body of a Request, in both sends", async () => {
    const first = echo.arrived.length;
    echo.status = (index) => (index === first ? 401 : 200);
    const request = new Request(`${echo.origin}/x`, { method: "PUT", body: "not this one" });
    expect((await createAuthFetch(cache())(request, { remint: { body: () => "made" } })).status).toBe(200);
    expect(echo.arrived.slice(first).map(({ method, body }) => [method, body])).toEqual([
      ["PUT", "made"],
      ["PUT", "made"],
    ]);
  });

  test.each([
    [
      "throws",
      () => {
        throw mine;
      },
    ],
    ["rejects", () => Promise.reject(mine)],
  ])("C12: one that %s fails the call with its error", async (_how, body) => {
    const before = echo.arrived.length;
    const call = createAuthFetch(cache())(`${echo.origin}/x`, {
      method: "POST",
      remint: { body: body as () => never },
    });
    expect([await failureOf(call), echo.arrived.length]).toEqual([mine, before]);
  });
});

describe("Q6: a Request that is sent again", () => {
  test("Q6: it goes through its own dispatcher both times, with its length", async () => {
    const first = echo.arrived.length;
    echo.status = (index) => (index === first ? 401 : 200);
    const through: (string | undefined)[] = [];
    const dispatcher = new Agent().compose((dispatch) => (options, handler) => {
      through.push(options.path);
      return dispatch(options, handler);
    });
    const authFetch = createAuthFetch(cache(), { fetch: undiciFetch as never });
    const request = new UndiciRequest(`${echo.origin}/proxied`, { method: "POST", body: "whole", dispatcher });
    expect((await authFetch(request as unknown as Request)).status).toBe(200);
    const sent = echo.arrived.slice(first);
    expect([through, sent.map(({ body }) => body)]).toEqual([
      ["/proxied", "/proxied"],
      ["whole", "whole"],
    ]);
    expect(sent.map(({ headers }) => headers[headers.indexOf("content-length") + 1])).toEqual(["5", "5"]);
    await dispatcher.close();
  });

  test("Q6, Q15: the first send is that of the Request itself, and the caller's Request counts as used", async () => {
    const inputs: unknown[] = [];
    const beneath = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      inputs.push(input);
      return fetch(input, init);
    };
    const request = new Request(`${echo.origin}/x`, { method: "POST", body: "x" });
    await createAuthFetch(cache(), { fetch: beneath })(request);
    expect([inputs, request.bodyUsed]).toEqual([[request], true]);
  });

  test("Q15: its referrer and referrer policy are passed on, in every send; those of init go before", async () => {
    const first = echo.arrived.length;
    const sent: (string | undefined)[][] = [];
    const beneath = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      sent.push([init?.referrer, init?.referrerPolicy]);
      return fetch(input, init);
    };
    const authFetch = createAuthFetch(cache(), { fetch: beneath });
    const from = { referrer: "https://page.example/", referrerPolicy: "no-referrer" } as const;
    const make = (): Request => new Request(`${echo.origin}/x`, { method: "POST", body: "x", ...from });
    echo.status = (index) => (index === first ? 401 : 200);
    await authFetch(make());
    await authFetch(make(), { referrerPolicy: "origin" });
    expect(sent).toEqual([
      ["https://page.example/", "no-referrer"],
      ["https://page.example/", "no-referrer"],
      ["https://page.example/", "origin"],
    ]);
    await authFetch(new Request(`${echo.origin}/x`));
    expect(sent.at(-1)).toEqual([undefined, undefined]);
  });

  test("Q5, Q6: three sends have the whole body", async () => {
    const first = echo.arrived.length;
    echo.status = (index) => (index < first + 2 ? 401 : 200);
    const grant = fakeGrant();
    const tokens = cache(grant);
    await tokens.get();
    const gate = new Gate();
    const beneath = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      const answer = await fetch(input, init);
      await gate.passed;
      return answer;
    };
    const request = new Request(`${echo.origin}/x`, { method: "POST", body: "whole" });
    const call = createAuthFetch(tokens, { fetch: beneath })(request);
    // Another caller renews before the first 401 is there: that token is older than the rejection.
    const hold = grant.hold();
    await tokens.invalidate("fake-1");
    const other = tokens.get();
    await until(() => hold.waiting === 1 && echo.arrived.length === first + 1);
    gate.open();
    await new Promise((resolve) => setTimeout(resolve, 20));
    hold.release();
    await other;
    expect((await call).status).toBe(200);
    const sent = echo.arrived.slice(first).map((arrived) => [tokenOf(arrived), arrived.body]);
    expect(sent).toEqual([1, 2, 3].map((mint) => [`Bearer fake-${mint}`, "whole"]));
  });

  test("Q6: is sent again when the application has put another class in the place of Promise, as zone.js does", async () => {
    const first = echo.arrived.length;
    echo.status = (index) => (index === first ? 401 : 200);
    replacePromise();
    const request = new Request(`${echo.origin}/x`, { method: "POST", body: "whole" });
    expect((await createAuthFetch(cache())(request)).status).toBe(200);
    expect(echo.arrived.slice(first).map(({ body }) => body)).toEqual(["whole", "whole"]);
  });

  test("Q12: an abort ends the wait for the rest of its body", async () => {
    const first = echo.arrived.length;
    const controller = new AbortController();
    const authFetch = createAuthFetch(cache(), { fetch: async () => new Response(null, { status: 401 }) });
    const { stream } = watched();
    const init = { method: "POST", body: stream, duplex: "half", signal: controller.signal } as RequestInit;
    const failure = failureOf(authFetch(new Request(`${echo.origin}/x`, init)));
    setTimeout(() => controller.abort(mine), 20);
    expect([await failure, echo.arrived.length]).toEqual([mine, first]);
  });

  test("Q6: a clone that is not needed is cancelled", async () => {
    const cancelled: unknown[] = [];
    const request = new Request(`${echo.origin}/x`, { method: "POST", body: "x" });
    vi.spyOn(request, "clone").mockImplementation(() => {
      const copy = Request.prototype.clone.call(request);
      const cancel = vi.spyOn(copy.body!, "cancel");
      cancel.mockImplementation(async (reason) => void cancelled.push(reason));
      return copy;
    });
    await createAuthFetch(cache())(request);
    expect(cancelled).toHaveLength(1);
  });
});
