/** Q4 and Q15: answers of every kind are judged without harm to the caller's: streams, partial answers, rules that read. */
import { createTokenCache } from "remint";
import { type AuthFetchOptions, createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const URL = "https://api.example/x";

beforeEach(() => {
  // The second for which a body is read is a hundredth of one here.
  const { setTimeout } = globalThis;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((fire: () => void, delay = 0, ...rest: never[]) =>
    setTimeout(fire, delay / 100, ...rest)) as typeof setTimeout);
});
afterEach(() => void vi.restoreAllMocks());

async function warm(options: AuthFetchOptions) {
  const grant = fakeGrant();
  const tokens = createTokenCache({ grant, origins: ["https://api.example"] });
  await tokens.get();
  return { grant, authFetch: createAuthFetch(tokens, options) };
}

/** A rule that reads every answer, and notes what it read. */
function reading(maxBytes: number): { texts: string[]; options: AuthFetchOptions } {
  const texts: string[] = [];
  const options: AuthFetchOptions = {
    inspectStatuses: [200],
    isRejected: async ({ text }) => {
      texts.push(await text(maxBytes));
      return undefined;
    },
  };
  return { texts, options };
}

/** A body that gives one chunk, then the rest when it is asked for it. */
function opened(first: string): { body: ReadableStream; end: (rest: string) => void } {
  let controller: ReadableStreamDefaultController | undefined;
  const body = new ReadableStream({
    start(given) {
      controller = given;
      given.enqueue(new TextEncoder().encode(first));
    },
  });
  const end = (rest: string): void => {
    controller?.enqueue(new TextEncoder().encode(rest));
    controller?.close();
  };
  return { body, end };
}

describe("what a rule reads", () => {
  test.each([
    "text/event-stream",
    "text/event-stream; charset=utf-8",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-seq",
    "multipart/x-mixed-replace; boundary=frame",
    'multipart/mixed; boundary="-"; deferSpec=20220824',
    "Text/Event-Stream",
  ])("Q4: an answer of type %s is not read: its text is empty, and the caller's is whole", async (type) => {
    const { texts, options } = reading(1000);
    const { body, end } = opened("data: 1\n\n");
    const clone = vi.spyOn(Response.prototype, "clone");
    const beneath = async (): Promise<Response> => new Response(body, { headers: { "content-type": type } });
    const answer = await (await warm({ ...options, fetch: beneath })).authFetch(URL);
    end("data: 2\n\n");
    expect([texts, await answer.text(), clone.mock.calls.length]).toEqual([[""], "data: 1\n\ndata: 2\n\n", 0]);
  });

  test("Q4: an answer that does not end is read for a second: its text is what came, and the caller's is whole", async () => {
    const { texts, options } = reading(1000);
    const { body, end } = opened("so far");
    const beneath = async (): Promise<Response> =>
      new Response(body, { headers: { "content-type": "application/json" } });
    const answer = await (await warm({ ...options, fetch: beneath })).authFetch(URL);
    end(", and the rest");
    expect([texts, await answer.text()]).toEqual([["so far"], "so far, and the rest"]);
  });

  test("Q4: no more bytes are read than the rule wants, and half a character is left out", async () => {
    const { texts, options } = reading(4);
    const { body, end } = opened("abcü and more");
    const answer = await (await warm({ ...options, fetch: async () => new Response(body) })).authFetch(URL);
    end(".");
    expect([texts, await answer.text()]).toEqual([["abc"], "abcü and more."]);
  });

  test("Q4: two rules read the same, and the caller's answer is whole", async () => {
    const { texts, options } = reading(100);
    const grant = fakeGrant({
      isRejected: async ({ text }) => {
        texts.push(await text(100));
        return undefined;
      },
    });
    const tokens = createTokenCache({ grant, origins: ["https://api.example"] });
    const authFetch = createAuthFetch(tokens, { ...options, fetch: async () => new Response("whole") });
    expect([await (await authFetch(URL)).text(), texts]).toEqual(["whole", ["whole", "whole"]]);
  });

  test("Q4, Q7: an answer that a rule read and rejected is renewed", async () => {
    const answers = [new Response("INVALID_SESSION_ID", { status: 500 }), new Response("ok")];
    const { authFetch, grant } = await warm({
      inspectStatuses: [500],
      isRejected: async ({ text }) => (await text(100)).includes("INVALID_SESSION_ID"),
      fetch: async () => answers.shift()!,
    });
    expect([await (await authFetch(URL)).text(), grant.mints]).toEqual(["ok", 2]);
  });
});

/** Answers as tests and old implementations give them. */
const partial: Readonly<Record<string, () => unknown>> = {
  "a status only": () => ({ status: 200 }),
  "status, ok and json": () => ({ status: 200, ok: true, json: async () => ({ a: 1 }) }),
  "headers that are a Map": () => ({ status: 200, headers: new Map([["content-type", "text/plain"]]) }),
  "headers that are a plain object": () => ({ status: 200, headers: { "content-type": "text/plain" } }),
  "a body that is a text": () => ({ status: 200, body: "text", clone: () => ({ body: "text" }) }),
  "a clone without a body": () => ({ status: 200, headers: new Headers(), clone: () => ({}) }),
  "an empty object": () => ({}),
  undefined: () => undefined,
  null: () => null,
  "a text": () => "200",
};

describe.each(Object.entries(partial))("a hand-made answer: %s", (_what, make) => {
  const ways: Readonly<Record<string, (answer: unknown) => unknown>> = {
    "in a promise": (answer) => Promise.resolve(answer),
    "without a promise": (answer) => answer,
  };

  test.each(Object.entries(ways))(
    "Q15: %s, it reaches the caller as it is, with one call of the fetch beneath",
    async (_how, give) => {
      const answer = make();
      const beneath = vi.fn(() => give(answer));
      const { texts, options } = reading(100);
      const { authFetch } = await warm({ ...options, fetch: beneath as never });
      expect([await authFetch(URL), beneath.mock.calls.length]).toEqual([answer, 1]);
      expect(texts.every((text) => text === "")).toBe(true);
    },
  );

  test("Q15: as the answer to a resend, it reaches the caller as it is", async () => {
    const answer = make();
    const answers = [{ status: 401 }, answer];
    const beneath = vi.fn(async () => answers.shift());
    const { authFetch, grant } = await warm({ fetch: beneath as never });
    expect([await authFetch(URL), beneath.mock.calls.length, grant.mints]).toEqual([answer, 2, 2]);
  });
});

test("Q10, Q15: each send has its own arguments, which a test can look at afterwards", async () => {
  const answers = [{ status: 401 }, { status: 200 }];
  const beneath = vi.fn(async (..._args: unknown[]) => answers.shift());
  const { authFetch } = await warm({ fetch: beneath as never });
  await authFetch(URL, { method: "POST", headers: { "X-Mine": "1" }, body: "b" });
  const sent = (token: string) => [
    URL,
    { method: "POST", body: "b", headers: { "X-Mine": "1", authorization: token } },
  ];
  expect(beneath.mock.calls).toEqual([sent("Bearer fake-1"), sent("Bearer fake-2")]);
});
