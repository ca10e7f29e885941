/** Q12: `timeout`, `signal` and `cancelToken` cover the whole call, and end it as axios itself would. */
import { getEventListeners } from "node:events";
import axios, { type AxiosError, type AxiosInstance, type AxiosRequestConfig, type AxiosStatic } from "axios";
import oldAxios from "axios-1.7.9";
import { createAuthInterceptor } from "remint/axios";
import { afterEach, describe, expect, test, vi } from "vitest";
import { failureOf, Stage } from "./stage.ts";

/** Over soon, for answers that never come. */
const SOON = 50;

afterEach(() => void vi.restoreAllMocks());

function clientOf(stage: Stage, copy: AxiosStatic = axios, defaults: AxiosRequestConfig = {}): AxiosInstance {
  const client = copy.create(defaults);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: copy }));
  return client;
}

/** Lets the clock of deadlines stand still until it is moved. */
function frozenTime(): { pass(ms: number): void } {
  let now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  return { pass: (ms) => void (now += ms) };
}

/** An adapter that notes what it was given, and answers 401 as often as it is told. */
function notingAdapter(answers401: number, onSend: () => void = () => {}) {
  const timeouts: unknown[] = [];
  const adapter = async (config: { timeout?: unknown }): Promise<unknown> => {
    timeouts.push(config.timeout);
    onSend();
    return { status: timeouts.length <= answers401 ? 401 : 200, statusText: "", headers: {}, data: "", config };
  };
  return { timeouts, config: { adapter: adapter as never } };
}

/** Where the time may go: each leaves the call waiting for something that never comes. */
const waits: Record<string, (stage: Stage) => unknown> = {
  "the cold mint": (stage) => stage.grant.hold(),
  "the first answer": (stage) => {
    stage.api.respondAlways({ hang: true });
    return stage.tokens.get();
  },
  "the first answer after a cold mint": (stage) => stage.api.respondAlways({ hang: true }),
  "the mint after a 401": async (stage) => {
    await stage.stale();
    stage.grant.hold();
  },
  "the second answer": async (stage) => {
    await stage.stale();
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
      test(`Q12: wherever the time goes, the error is the one a bare request gives${wording}`, async () => {
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
  test("Q12: the resend gets what the first send and the mint have left, and the config its own number back", async () => {
    await using stage = await Stage.open();
    const time = frozenTime();
    await stage.tokens.get();
    const { timeouts, config } = notingAdapter(1, () => time.pass(40_000));
    const response = await clientOf(stage).get(stage.url, { ...config, timeout: 100_000 });
    expect([response.status, timeouts, response.config.timeout]).toEqual([200, [100_000, 60_000], 100_000]);
  });

  test("Q12: a cold request gets what the mint has left", async () => {
    await using stage = await Stage.open();
    const time = frozenTime();
    const { timeouts, config } = notingAdapter(0);
    const hold = stage.grant.hold();
    const answer = clientOf(stage).get(stage.url, { ...config, timeout: 100_000 });
    await vi.waitUntil(() => hold.waiting === 1, { interval: 2 });
    time.pass(70_000);
    hold.release();
    expect([(await answer).status, timeouts]).toEqual([200, [30_000]]);
  });

  test("Q12: nothing is sent when the time is up", async () => {
    await using stage = await Stage.open();
    const time = frozenTime();
    await stage.tokens.get();
    const { timeouts, config } = notingAdapter(1, () => time.pass(99_990));
    const hold = stage.grant.hold();
    const failure = failureOf(clientOf(stage).get(stage.url, { ...config, timeout: 100_000 }));
    await vi.waitUntil(() => hold.waiting === 1 || timeouts.length === 1, { interval: 2 });
    time.pass(20);
    hold.release();
    expect(await failure).toMatchObject({ code: "ECONNABORTED", message: "timeout of 100000ms exceeded" });
    expect(timeouts).toEqual([100_000]);
  });

  test("Q12: a timeout is read as axios reads it, and one beyond what timers hold does not fire at once", async () => {
    for (const timeout of ["100000", 2 ** 40] as number[]) {
      await using stage = await Stage.open();
      const time = frozenTime();
      const { timeouts, config } = notingAdapter(1, () => time.pass(1000));
      expect((await clientOf(stage).get(stage.url, { ...config, timeout })).status).toBe(200);
      expect(timeouts).toEqual([timeout, Math.floor(timeout) - 1000]);
    }
  });
});

describe("abort", () => {
  test("Q12: a cancel token ends the wait of a cold request with axios' own error, and nothing is sent", async () => {
    await using stage = await Stage.open();
    const hold = stage.grant.hold();
    const { token, cancel } = axios.CancelToken.source();
    const failure = failureOf(clientOf(stage).get(stage.url, { cancelToken: token }));
    await vi.waitUntil(() => hold.waiting === 1, { interval: 2 });
    cancel("no longer wanted");
    const error = (await failure) as AxiosError;
    expect([axios.isCancel(error), error.code, error.message]).toEqual([true, "ERR_CANCELED", "no longer wanted"]);
    hold.release();
    await stage.tokens.get();
    expect(stage.sends).toEqual([]);
  });

  test("Q12: a cancel token that was used before, or is used between mint and resend, ends the call", async () => {
    await using stage = await Stage.open();
    const used = axios.CancelToken.source();
    used.cancel("before");
    expect(await failureOf(clientOf(stage).get(stage.url, { cancelToken: used.token }))).toMatchObject({
      message: "before",
    });
    expect([stage.sends, stage.grant.mints]).toEqual([[], 0]);
    await stage.stale();
    const hold = stage.grant.hold();
    const { token, cancel } = axios.CancelToken.source();
    const failure = failureOf(clientOf(stage).get(stage.url, { cancelToken: token }));
    await vi.waitUntil(() => hold.waiting === 1, { interval: 2 });
    cancel();
    expect(axios.isCancel(await failure)).toBe(true);
    hold.release();
    expect(stage.sends).toEqual(["fake-1"]);
  });

  test("Q12: an abort while the answer is on its way is axios' own, with http and with fetch", async () => {
    for (const adapter of ["http", "fetch"]) {
      await using stage = await Stage.open();
      await stage.stale();
      stage.api.respond({ headers: {} }, { hang: true });
      const controller = new AbortController();
      const failure = failureOf(clientOf(stage).get(stage.url, { adapter, signal: controller.signal }));
      await stage.api.waitFor(2);
      controller.abort();
      expect([axios.isCancel(await failure), stage.sends]).toEqual([true, ["fake-1", "fake-2"]]);
    }
  });

  test("Q10: a call that is over listens to nothing any more", async () => {
    await using stage = await Stage.open();
    const { signal } = new AbortController();
    const listening = new Set<unknown>();
    const cancelToken = {
      subscribe: (listener: unknown) => void listening.add(listener),
      unsubscribe: (listener: unknown) => void listening.delete(listener),
      throwIfRequested: () => {},
    };
    const config = { signal, cancelToken: cancelToken as never, timeout: 60_000 };
    await clientOf(stage).get(stage.url, config);
    stage.revoke();
    await clientOf(stage).get(stage.url, config);
    stage.api.respondAlways({ status: 401, body: "never" });
    await failureOf(clientOf(stage).get(stage.url, config));
    expect([getEventListeners(signal, "abort").length, listening.size]).toEqual([0, 0]);
    expect(stage.sends.length).toBe(5);
  });
});
