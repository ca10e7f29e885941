import { describe, expect, test } from "vitest";
import type { AccessToken, RemintError, TokenCache } from "../src/index.ts";
import { sendBare, withToken, type Exchange, type ExtraHeaders } from "../src/request-policy.ts";
import { fakeGrant } from "../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, watch, type CacheUnderTest } from "./cache-under-test.ts";

interface Call {
  readonly url: string;
  readonly signal?: AbortSignal;
  readonly retry?: boolean;
  readonly oneShot?: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly finalUrl?: string;
}

type Server = (token: string | undefined, send: number) => Answer | Promise<Answer>;

/** A client made by hand: everything it was asked to do, in order. */
interface Client {
  readonly exchange: Exchange<Call, Answer>;
  readonly log: string[];
  readonly sent: (AccessToken | undefined)[];
  readonly extra: (ExtraHeaders | undefined)[];
}

function client(server: Server, more: Partial<Exchange<Call, Answer>> = {}): Client {
  const log: string[] = [];
  const sent: (AccessToken | undefined)[] = [];
  const extra: (ExtraHeaders | undefined)[] = [];
  const exchange: Exchange<Call, Answer> = {
    async send(_, token, headers) {
      log.push(`send ${token?.value ?? "bare"}`);
      extra.push(headers);
      return server(token?.value, sent.push(token));
    },
    status: (answer) => answer.status,
    header: (answer, name) => answer.headers?.[name.toLowerCase()] ?? null,
    text: async (answer, maxBytes) => (answer.body ?? "").slice(0, maxBytes),
    finalUrl: (answer) => answer.finalUrl,
    canResend: (call) => !call.oneShot,
    discard: (answer) => void log.push(`discard ${answer.status}`),
    finish: (_, outcome) =>
      void log.push(`finish ${outcome instanceof Error ? outcome.message : String((outcome as Answer).status)}`),
    ...more,
  };
  return { exchange, log, sent, extra };
}

const URL_ = `${ORIGIN}/orders`;
const ok: Answer = { status: 200 };
const no: Answer = { status: 401 };
/** Accepts these tokens and no others. */
const only =
  (...live: string[]): Server =>
  (token) =>
    token !== undefined && live.includes(token) ? ok : no;

/** A cache with fake-1 in it. */
async function warm(options: Parameters<typeof cacheUnderTest>[0] = {}): Promise<CacheUnderTest> {
  const under = cacheUnderTest(options);
  await under.cache.get();
  return under;
}

describe("the way of a request", () => {
  test("C1: warm: one send, with the token, synchronously", async () => {
    const { cache, grant } = await warm();
    const { exchange, log } = client(() => ok);
    const answer = withToken(cache, { url: URL_ }, exchange);
    expect(log).toEqual(["send fake-1"]);
    expect(await answer).toBe(ok);
    expect(log).toEqual(["send fake-1", "finish 200"]);
    expect(grant.mints).toBe(1);
  });

  test("C2: cold: a token is minted first, for all who wait", async () => {
    const { cache, grant } = cacheUnderTest();
    const { exchange, sent } = client(() => ok);
    await Promise.all(Array.from({ length: 50 }, () => withToken(cache, { url: URL_ }, exchange)));
    expect([sent.length, new Set(sent).size, grant.mints]).toEqual([50, 1, 1]);
  });

  test("Q5: a 401 is discarded, the token replaced, and the request sent again, once", async () => {
    const { cache, grant } = await warm();
    const { exchange, log } = client(only("fake-2"));
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(ok);
    expect(log).toEqual(["send fake-1", "discard 401", "send fake-2", "finish 200"]);
    expect(grant.mints).toBe(2);
  });

  test("Q5: the resend's own 401 goes to the caller, untouched", async () => {
    const { cache, grant } = await warm();
    const answers: Answer[] = [{ status: 401 }, { status: 401 }];
    const { exchange, log } = client((_, send) => answers[send - 1]!);
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(answers[1]);
    expect(log).toEqual(["send fake-1", "discard 401", "send fake-2", "finish 401"]);
    expect(grant.mints).toBe(2);
  });

  test("Q5: an adopted token that is dead too: renewed and sent once more, three sends at most", async () => {
    const { cache, grant } = await warm();
    let answerFirst!: () => void;
    const first = new Promise<void>((resolve) => (answerFirst = resolve));
    const { exchange, log } = client(async (_, send) => {
      if (send === 1) await first;
      return no;
    });
    const answer = withToken(cache, { url: URL_ }, exchange);
    await cache.invalidate("fake-1");
    await cache.get();
    answerFirst();
    expect(await answer).toBe(no);
    const sends = log.filter((line) => line.startsWith("send"));
    expect(sends).toEqual(["send fake-1", "send fake-2", "send fake-3"]);
    expect([log.at(-1), grant.mints]).toEqual(["finish 401", 3]);
  });

  test("Q5: no request is sent with a token more than three times, whatever the API says", async () => {
    const { cache } = await warm();
    const { exchange, sent } = client(async () => {
      // Somebody else's renewals keep changing the token under it.
      await cache.invalidate((await cache.get()).value);
      await cache.get();
      return no;
    });
    await withToken(cache, { url: URL_ }, exchange);
    expect(sent.length).toBeLessThanOrEqual(3);
  });

  test("C8: the guard closed: the 401 goes through untouched, nothing is discarded", async () => {
    const { cache, grant } = await warm();
    for (let call = 0; call < 20; call++) {
      const { exchange, log } = client(() => no);
      expect(await withToken(cache, { url: URL_ }, exchange)).toBe(no);
      if (call >= 3) expect(log).toEqual([expect.stringMatching(/^send/), "finish 401"]);
    }
    expect(grant.mints).toBe(4);
  });

  test("C8: any answer that is no rejection clears the trial: 200, 403, 404 and 500 alike", async () => {
    for (const status of [200, 403, 404, 500]) {
      const { cache } = await warm();
      const { exchange } = client((_, send) => (send === 1 ? no : { status }));
      expect((await withToken(cache, { url: URL_ }, exchange)).status).toBe(status);
      await withToken(cache, { url: URL_ }, client(() => ({ status })).exchange);
      expect(cache.onTrial).toBe(false);
    }
  });

  test("C8: a request that fails without an answer clears nothing", async () => {
    const { cache } = await warm();
    await withToken(cache, { url: URL_ }, client(only()).exchange);
    const broken = client(() => Promise.reject(new Error("connection reset")));
    await expect(withToken(cache, { url: URL_ }, broken.exchange)).rejects.toThrow("connection reset");
    expect(cache.onTrial).toBe(true);
  });
});

describe("Q1: the caller's own Authorization", () => {
  test("Q1: a send that finds one goes out bare, and its 401 is the caller's", async () => {
    const { cache, grant, told } = await warm();
    const { exchange, log } = client(() => no);
    const own: Exchange<Call, Answer> = {
      ...exchange,
      send: (call, token, headers) => (token === undefined ? exchange.send(call, token, headers) : undefined),
    };
    expect(await withToken(cache, { url: URL_ }, own)).toBe(no);
    expect(log).toEqual(["send bare", "finish 401"]);
    expect([cache.peek()?.value, grant.mints]).toEqual(["fake-1", 1]);
    expect(told("skipped")).toEqual([{ name: "skipped", reason: "authorization-set", url: URL_ }]);
  });

  test("Q1: cold: no token is asked for", async () => {
    const { cache, grant } = cacheUnderTest();
    const { exchange, log } = client(() => no, { isAuthorized: () => true });
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(no);
    expect([log[0], grant.mints]).toEqual(["send bare", 0]);
  });
});

describe("Q2: where a token may go", () => {
  test("Q2: another origin: bare, its 401 invalidates nothing, no token is asked for, and an event says why", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const { exchange, log } = client(() => no);
    expect(await withToken(cache, { url: "https://elsewhere.example/x?code=1" }, exchange)).toBe(no);
    expect(log).toEqual(["send bare", "finish 401"]);
    expect(grant.mints).toBe(0);
    expect(told("skipped")).toEqual([
      { name: "skipped", reason: "origin-not-allowed", url: "https://elsewhere.example/x" },
    ]);
  });

  test("Q2: a relative URL is bare, and the event says so", async () => {
    const { cache, told } = cacheUnderTest();
    const { exchange, log } = client(() => ok);
    await withToken(cache, { url: "/x?code=1" }, exchange);
    expect(log[0]).toBe("send bare");
    expect(told("skipped")).toEqual([{ name: "skipped", reason: "relative-url", url: "/x" }]);
  });

  test("Q2: origins that depend on the token are judged after it, and before anything is sent", async () => {
    const grant = fakeGrant({ response: { instance_url: "https://eu1.example" } });
    const { cache } = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    const { exchange, log } = client(() => ok);
    await withToken(cache, { url: "https://eu2.example/x" }, exchange);
    await withToken(cache, { url: "https://eu1.example/x" }, exchange);
    expect(log.filter((line) => line.startsWith("send"))).toEqual(["send bare", "send fake-1"]);
  });

  test("Q2: a renewed token that may not go there any more is not sent there: ERR_ORIGIN", async () => {
    const grant = fakeGrant();
    grant.respond({ access_token: "eu", instance_url: "https://eu.example" });
    grant.respond({ access_token: "us", instance_url: "https://us.example" });
    const { cache } = cacheUnderTest({ grant, origins: (token) => [String(token.response["instance_url"])] });
    const { exchange, sent } = client(() => no);
    const error = await rejectionOf(withToken(cache, { url: "https://eu.example/x?code=s3cret" }, exchange));
    expect(error).toMatchObject({ code: "ERR_ORIGIN", message: expect.not.stringContaining("s3cret") });
    expect(sent.map((token) => token?.value)).toEqual(["eu"]);
  });

  test("Q3: a 401 that came from another origin says nothing about the token", async () => {
    const { cache, grant } = await warm();
    const away = { status: 401, finalUrl: "https://login.example/" };
    const { exchange, log } = client(() => away);
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(away);
    expect(log).toEqual(["send fake-1", "finish 401"]);
    expect([cache.peek()?.value, grant.mints]).toEqual(["fake-1", 1]);
  });

  test("Q3: a redirect within the origin is judged as usual", async () => {
    const { cache } = await warm();
    const { exchange, sent } = client((_, send) => (send === 1 ? { status: 401, finalUrl: `${ORIGIN}/other` } : ok));
    await withToken(cache, { url: URL_ }, exchange);
    expect(sent).toHaveLength(2);
  });
});

describe("Q4: what a rejection is", () => {
  const challenge = (value: string): Answer => ({ status: 401, headers: { "www-authenticate": value } });

  test.each([
    'Bearer error="insufficient_scope"',
    'Bearer realm="x", error="insufficient_scope", scope="admin"',
    "bearer ERROR=insufficient_scope",
    'Bearer error="insufficient_user_authentication", acr_values="strong"',
    'Basic realm="x", Bearer error="insufficient_scope"',
  ])("Q4: no renewal for %s", async (value) => {
    const { cache } = await warm();
    const { exchange, log } = client(() => challenge(value));
    expect((await withToken(cache, { url: URL_ }, exchange)).status).toBe(401);
    expect(log).toEqual(["send fake-1", "finish 401"]);
  });

  test.each([
    "",
    "Bearer",
    'Bearer error="invalid_token"',
    'Basic realm="gateway"',
    'Basic realm="x", error="insufficient_scope"',
    'Bearer error="insufficient_scope", Bearer error="invalid_token"',
    "garbage",
  ])("Q4: everything else renews: %j", async (value) => {
    const { cache } = await warm();
    const { exchange, sent } = client((_, send) => (send === 1 ? challenge(value) : ok));
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(ok);
    expect(sent).toHaveLength(2);
  });

  test("Q4: isRejected decides, about 401 and the statuses it wants to see, and reads as much of the body as it says", async () => {
    const { cache } = await warm();
    const seen: unknown[] = [];
    const expired: Answer = { status: 500, headers: { "x-why": "session" }, body: "INVALID_SESSION and more" };
    const { exchange, sent } = client((_, send) => (send === 1 ? expired : ok), {
      inspectStatuses: [500],
      isRejected: async ({ status, header, text }) => {
        const body = await text(15);
        seen.push([status, header("X-Why"), body]);
        return body === "INVALID_SESSION";
      },
    });
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(ok);
    expect(seen).toEqual([[500, "session", "INVALID_SESSION"]]);
    expect(sent).toHaveLength(2);
  });

  test("Q4: a status nobody asked for is not shown to it", async () => {
    const { cache } = await warm();
    let asked = 0;
    const { exchange } = client(() => ({ status: 403 }), { isRejected: () => (asked++, true), inspectStatuses: [500] });
    expect((await withToken(cache, { url: URL_ }, exchange)).status).toBe(403);
    expect(asked).toBe(0);
  });

  test("Q4: false keeps a 401; undefined leaves the decision to the next: the client's rule, the grant's, the challenge", async () => {
    const verdicts: [boolean | undefined, boolean | undefined, Answer, number][] = [
      [false, true, no, 1],
      [true, false, challenge('Bearer error="insufficient_scope"'), 2],
      [undefined, true, challenge('Bearer error="insufficient_scope"'), 2],
      [undefined, false, no, 1],
      [undefined, undefined, no, 2],
      [undefined, undefined, challenge('Bearer error="insufficient_scope"'), 1],
    ];
    for (const [own, grants, first, sends] of verdicts) {
      const { cache } = await warm({ grant: fakeGrant({ isRejected: () => grants }) });
      const { exchange, sent } = client((_, send) => (send === 1 ? first : ok), { isRejected: async () => own });
      await withToken(cache, { url: URL_ }, exchange);
      expect(sent).toHaveLength(sends);
    }
  });

  test("Q4: a grant may ask about more statuses, and an undefined verdict then renews nothing", async () => {
    const { cache } = await warm({ grant: fakeGrant({ inspectStatuses: [400], isRejected: () => undefined }) });
    const { exchange, sent } = client(() => ({ status: 400 }));
    expect((await withToken(cache, { url: URL_ }, exchange)).status).toBe(400);
    expect(sent).toHaveLength(1);
  });

  test("Q4: a rule that throws fails its request, and no other", async () => {
    const { cache } = await warm();
    const broken = client(() => no, {
      isRejected: () => {
        throw new Error("bug in the rule");
      },
    });
    await expect(withToken(cache, { url: URL_ }, broken.exchange)).rejects.toThrow("bug in the rule");
    expect(await withToken(cache, { url: URL_ }, client(() => ok).exchange)).toBe(ok);
  });
});

describe("Q6: requests that are not sent again", () => {
  test.each([{ oneShot: true }, { retry: false }])(
    "Q6: %j: the 401 goes through untouched, the token is reported",
    async (kind) => {
      const { cache, told } = await warm();
      const { exchange, log } = client(() => no);
      expect(await withToken(cache, { url: URL_, ...kind }, exchange)).toBe(no);
      expect(log).toEqual(["send fake-1", "finish 401"]);
      expect(cache.peek()).toBeUndefined();
      expect(told("rejected")).toHaveLength(1);
      expect((await cache.get()).value).toBe("fake-2");
    },
  );

  test("Q6: through the same guard: a storm of them costs no more than others", async () => {
    const { cache, grant } = await warm();
    for (let call = 0; call < 50; call++) {
      await withToken(cache, { url: URL_, oneShot: true }, client(() => no).exchange);
      await settle();
    }
    expect(grant.mints).toBeLessThanOrEqual(4);
  });
});

describe("Q7: the discarded answer", () => {
  test("Q7: it is freed before the mint begins", async () => {
    const { cache, grant } = await warm();
    let free!: () => void;
    const { exchange } = client(only("fake-2"), { discard: () => new Promise<void>((resolve) => (free = resolve)) });
    const answer = withToken(cache, { url: URL_ }, exchange);
    await settle();
    expect(grant.mints).toBe(1);
    free();
    expect(await answer).toBe(ok);
    expect(grant.mints).toBe(2);
  });

  test("C10: an abort while it is freed rejects at once", async () => {
    const { cache } = await warm();
    const controller = new AbortController();
    const { exchange } = client(() => no, { discard: () => new Promise<void>(() => {}) });
    const got = watch(withToken(cache, { url: URL_, signal: controller.signal }, exchange));
    await settle();
    controller.abort("gone");
    await settle();
    expect(got).toMatchObject({ state: "rejected", reason: "gone" });
  });

  test("Q7: a renewal always yields a token, and the same value again is sent again", async () => {
    const { cache } = await warm({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const { exchange, log } = client((_, send) => (send === 1 ? no : ok));
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(ok);
    expect(log).toEqual(["send same", "discard 401", "send same", "finish 200"]);
  });
});

describe("Q8: a mint that fails", () => {
  test("Q8: after a 401: an error of its own, the shared one its cause, the URL without its query", async () => {
    const { cache, grant } = await warm();
    grant.fail(new Error("down"), Infinity);
    const calls = ["?a=s3cret", "?b=s3cret"].map((query) =>
      rejectionOf(withToken(cache, { url: URL_ + query }, client(() => no).exchange)),
    );
    const [first, second] = (await Promise.all(calls)) as [RemintError, RemintError];
    expect(first).toMatchObject({ code: "ERR_GRANT", rejected: { status: 401, url: URL_ } });
    expect(first).not.toBe(second);
    expect(first.cause).toBe(second.cause);
    expect(first.message + JSON.stringify(first)).not.toContain("s3cret");
  });

  test("Q8: without a 401: the shared error itself, nothing is sent, and the client cleans up", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"), Infinity);
    const { exchange, log } = client(() => ok);
    const error = (await rejectionOf(withToken(cache, { url: URL_ }, exchange))) as RemintError;
    expect(error).toMatchObject({ code: "ERR_GRANT" });
    expect("rejected" in error).toBe(false);
    expect(log).toEqual([`finish ${error.message}`]);
  });

  test("C10: an abort is not wrapped", async () => {
    const { cache, grant } = await warm();
    const controller = new AbortController();
    const { exchange } = client(() => no);
    grant.hold();
    const got = watch(withToken(cache, { url: URL_, signal: controller.signal }, exchange));
    await settle();
    const reason = new Error("gone");
    controller.abort(reason);
    await settle();
    expect(got.reason).toBe(reason);
  });

  test("C10: an abort while waiting for the first token sends nothing", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.hold();
    const controller = new AbortController();
    const { exchange, sent } = client(() => ok);
    const got = watch(withToken(cache, { url: URL_, signal: controller.signal }, exchange));
    await settle();
    controller.abort("gone");
    await settle();
    expect([got.reason, sent.length]).toEqual(["gone", 0]);
  });
});

describe("clients that throw on a 401", () => {
  class HttpError extends Error {
    readonly answer: Answer;
    constructor(answer: Answer) {
      super(`status ${answer.status}`);
      this.answer = answer;
    }
  }
  const throwing = (server: Server): Client =>
    client(
      async (token, send) => {
        const answer = await server(token, send);
        if (answer.status >= 400) throw new HttpError(answer);
        return answer;
      },
      { answerOf: (error) => (error instanceof HttpError ? error.answer : undefined) },
    );

  test("Q5: their error is judged like an answer, and the resend's answer is given", async () => {
    const { cache } = await warm();
    const { exchange, sent } = throwing(only("fake-2"));
    expect(await withToken(cache, { url: URL_ }, exchange)).toBe(ok);
    expect(sent).toHaveLength(2);
  });

  test("Q5: the resend's own error goes to the caller, as it was thrown", async () => {
    const { cache } = await warm();
    const { exchange, log } = throwing(() => no);
    expect(await rejectionOf(withToken(cache, { url: URL_ }, exchange))).toBeInstanceOf(HttpError);
    expect(log.at(-1)).toBe("finish status 401");
  });

  test("C8: another error's answer is an acceptance", async () => {
    const { cache } = await warm();
    await rejectionOf(withToken(cache, { url: URL_ }, throwing(() => no).exchange));
    expect(cache.onTrial).toBe(true);
    await rejectionOf(withToken(cache, { url: URL_ }, throwing(() => ({ status: 404 })).exchange));
    expect(cache.onTrial).toBe(false);
  });

  test("Q5: an error without an answer, of the first send or the resend, is the caller's", async () => {
    const { cache } = await warm();
    const reset = new Error("connection reset");
    const first = client(() => Promise.reject(reset));
    expect(await rejectionOf(withToken(cache, { url: URL_ }, first.exchange))).toBe(reset);
    const second = client((_, send) => (send === 1 ? no : Promise.reject(reset)));
    expect(await rejectionOf(withToken(cache, { url: URL_ }, second.exchange))).toBe(reset);
    expect(second.log.at(-1)).toBe("finish connection reset");
  });

  test("Q5: a send that throws synchronously rejects", async () => {
    const { cache } = await warm();
    const { exchange } = client(() => ok, {
      send: () => {
        throw new TypeError("bad URL");
      },
    });
    await expect(withToken(cache, { url: URL_ }, exchange)).rejects.toThrow("bad URL");
    await expect(sendBare({ url: URL_ }, exchange)).rejects.toThrow("bad URL");
  });
});

describe("what a client is told", () => {
  test("finish is called once for every outcome", async () => {
    const outcomes: [Server, Partial<Call>][] = [
      [() => ok, {}],
      [() => no, {}],
      [only("fake-2"), {}],
      [() => no, { oneShot: true }],
      [() => Promise.reject(new Error("x")), {}],
      [() => ok, { url: "https://elsewhere.example/" }],
    ];
    for (const [server, call] of outcomes) {
      const { cache } = await warm();
      const { exchange, log } = client(server);
      await withToken(cache, { url: URL_, ...call }, exchange).catch(() => {});
      expect(log.filter((line) => line.startsWith("finish"))).toHaveLength(1);
    }
  });

  test("the grant's headers come with each token, and only with one", async () => {
    const grant = Object.assign(fakeGrant(), { headers: ({ value }: AccessToken) => ({ "x-env": value }) });
    const { cache } = await warm({ grant });
    const { exchange, extra } = client(only("fake-2"));
    await withToken(cache, { url: URL_ }, exchange);
    await withToken(cache, { url: "https://elsewhere.example/" }, exchange);
    expect(extra).toEqual([{ "x-env": "fake-1" }, { "x-env": "fake-2" }, undefined]);
  });

  test("Q10: the request object is handed on as it is, and never written to", async () => {
    const { cache } = await warm();
    const call = Object.freeze({ url: URL_ });
    const seen: Call[] = [];
    const { exchange } = client(only("fake-2"));
    const spy: Exchange<Call, Answer> = {
      ...exchange,
      send: (request, ...rest) => (seen.push(request), exchange.send(request, ...rest)),
    };
    await withToken(cache, call, spy);
    expect(seen.every((request) => request === call)).toBe(true);
  });

  test("Q13: two caches, each for its own origins, do not meet", async () => {
    const [one, two] = [await warm(), await warm({ origins: ["https://two.example"] })];
    const caches: TokenCache[] = [one.cache, two.cache];
    const { exchange } = client(() => no);
    await withToken(caches[1]!, { url: "https://two.example/" }, exchange);
    expect([one.grant.mints, two.grant.mints, one.cache.onTrial, two.cache.onTrial]).toEqual([1, 2, false, true]);
  });
});
