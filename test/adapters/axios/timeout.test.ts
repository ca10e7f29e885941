/** Q12: `timeout` covers the whole call, and ends it with the error of axios itself. */
import axios, { type AxiosError, type AxiosInstance, type AxiosRequestConfig, type AxiosStatic } from "axios";
import oldAxios from "axios-1.7.9";
import { createAuthInterceptor } from "remint/axios";
import { afterEach, describe, expect, test, vi } from "vitest";
import { failureOf, Stage } from "./stage.ts";

/** A short timeout in milliseconds, for answers that never come. */
const SOON = 50;

afterEach(() => void vi.restoreAllMocks());

function clientOf(stage: Stage, copy: AxiosStatic = axios, defaults: AxiosRequestConfig = {}): AxiosInstance {
  const client = copy.create(defaults);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: copy }));
  return client;
}

/** Stops the clock of deadlines; `pass` moves it. */
function frozenTime(): { pass(ms: number): void } {
  let now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  return { pass: (ms) => void (now += ms) };
}

/** Creates an adapter that records the timeouts it is given, and answers 401 this many times. */
function recordingAdapter(answers401: number, onSend: () => void = () => {}) {
  const timeouts: unknown[] = [];
  const adapter = async (config: { timeout?: unknown }): Promise<unknown> => {
    timeouts.push(config.timeout);
    onSend();
    return { status: timeouts.length <= answers401 ? 401 : 200, statusText: "", headers: {}, data: "", config };
  };
  return { timeouts, config: { adapter: adapter as never } };
}

/** What a call may be waiting for when its timeout is over: each of these never comes. */
const waits: Record<string, (stage: Stage) => unknown> = {
  "the cold mint": (stage) => stage.grant.hold(),
  "the first answer": (stage) => {
    stage.api.respondAlways({ hang: true });
    return stage.tokens.get();
  },
  "the first answer after a cold mint": (stage) => stage.api.respondAlways({ hang: true }),
  "the mint after a 401": async (stage) => {
    await stage.warmAndRevoke();
    stage.grant.hold();
  },
  "the second answer": async (stage) => {
    await stage.warmAndRevoke();
    stage.api.respond({ headers: {} }, { hang: true });
  },
};

const wordings: [title: string, config: AxiosRequestConfig][] = [
  ["", {}],
  [", with timeoutErrorMessage", { timeoutErrorMessage: "gave up: 1 2 3 4 5 6 7 8 9 0" }],
  [", with an empty timeoutErrorMessage", { timeoutErrorMessage: "" }],
  [", with clarifyTimeoutError", { transitional: { clarifyTimeoutError: true } }],
];

describe.each([
  ["1.7.9", oldAxios as unknown as AxiosStatic],
  ["installed", axios],
])("axios %s", (_version, copy) => {
  describe.each(["http", "fetch"])("adapter %s", (adapter) => {
    for (const [wording, config] of wordings) {
      test(`Q12: whatever the call waits for, the error is that of a request without our interceptor${wording}`, async () => {
        await using hung = await Stage.open();
        hung.api.respondAlways({ hang: true });
        const full = { ...config, adapter, timeout: SOON };
        const bare = (await failureOf(copy.get(hung.url, full))) as AxiosError;
        for (const [where, wait] of Object.entries(waits)) {
          await using stage = await Stage.open();
          await wait(stage);
          const error = (await failureOf(clientOf(stage, copy).get(stage.url, full))) as AxiosError;
          expect([where, error.code, error.message]).toEqual([where, bare.code, bare.message]);
          expect([where, error.name, copy.isAxiosError(error)]).toEqual([where, bare.name, true]);
          expect([where, error.stack?.split("\n")[0]]).toEqual([where, bare.stack?.split("\n")[0]]);
          expect([where, error.config?.timeout]).toEqual([where, SOON]);
        }
      });
    }
  });
});

describe("one deadline", () => {
  test("Q12: the resend gets the rest of the timeout, and response.config has the caller's own timeout", async () => {
    await using stage = await Stage.open();
    const time = frozenTime();
    await stage.tokens.get();
    const { timeouts, config } = recordingAdapter(1, () => time.pass(40_000));
    const response = await clientOf(stage).get(stage.url, { ...config, timeout: 100_000 });
    expect([response.status, timeouts, response.config.timeout]).toEqual([200, [100_000, 60_000], 100_000]);
  });

  test("Q12: after the first mint, the request gets the rest of the timeout", async () => {
    await using stage = await Stage.open();
    const time = frozenTime();
    const { timeouts, config } = recordingAdapter(0);
    const hold = stage.grant.hold();
    const answer = clientOf(stage).get(stage.url, { ...config, timeout: 100_000 });
    await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 20_000 });
    time.pass(70_000);
    hold.release();
    expect([(await answer).status, timeouts]).toEqual([200, [30_000]]);
  });

  test("Q12: nothing is sent after the timeout", async () => {
    await using stage = await Stage.open();
    const time = frozenTime();
    await stage.tokens.get();
    const { timeouts, config } = recordingAdapter(1, () => time.pass(99_990));
    const hold = stage.grant.hold();
    const failure = failureOf(clientOf(stage).get(stage.url, { ...config, timeout: 100_000 }));
    await vi.waitUntil(() => hold.waiting === 1 || timeouts.length === 1, { interval: 2, timeout: 20_000 });
    time.pass(20);
    hold.release();
    expect(await failure).toMatchObject({ code: "ECONNABORTED", message: "timeout of 100000ms exceeded" });
    expect(timeouts).toEqual([100_000]);
  });

  test("Q12: a timeout may be a text, as axios allows, or longer than a timer can wait", async () => {
    for (const [timeout, whole] of [
      ["100000 ms", 100_000],
      [2 ** 40, 2 ** 40],
    ] as [number, number][]) {
      await using stage = await Stage.open();
      const time = frozenTime();
      const timers = vi.spyOn(globalThis, "setTimeout");
      const { timeouts, config } = recordingAdapter(1, () => time.pass(1000));
      expect((await clientOf(stage).get(stage.url, { ...config, timeout })).status).toBe(200);
      expect(timeouts).toEqual([whole, whole - 1000]);
      expect(Math.max(...timers.mock.calls.map(([, delay = 0]) => delay))).toBeLessThan(2 ** 31);
    }
  });
});
