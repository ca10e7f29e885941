/** Q12: `signal` and `cancelToken` cover the whole call, and end it with the error of axios itself. */
import { getEventListeners } from "node:events";
import axios, { type AxiosError, type AxiosInstance } from "axios";
import { createAuthInterceptor } from "remint/axios";
import { expect, test, vi } from "vitest";
import { failureOf, Stage } from "./stage.ts";

function clientOf(stage: Stage): AxiosInstance {
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(stage.tokens));
  return client;
}

test("Q12: a cancel token ends the wait for the first mint with axios' own error, and nothing is sent", async () => {
  await using stage = await Stage.open();
  const hold = stage.grant.hold();
  const { token, cancel } = axios.CancelToken.source();
  const failure = failureOf(clientOf(stage).get(stage.url, { cancelToken: token }));
  await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 20_000 });
  cancel("no longer wanted");
  const error = (await failure) as AxiosError;
  expect([axios.isCancel(error), error.code, error.message]).toEqual([true, "ERR_CANCELED", "no longer wanted"]);
  hold.release();
  await stage.tokens.get();
  expect(stage.sends).toEqual([]);
});

test("Q12: a cancel token that was used before the call, or is used during the mint after a 401, ends the call", async () => {
  await using stage = await Stage.open();
  const used = axios.CancelToken.source();
  used.cancel("before");
  expect(await failureOf(clientOf(stage).get(stage.url, { cancelToken: used.token }))).toMatchObject({
    message: "before",
  });
  expect([stage.sends, stage.grant.mints]).toEqual([[], 0]);
  await stage.warmAndRevoke();
  const hold = stage.grant.hold();
  const { token, cancel } = axios.CancelToken.source();
  const failure = failureOf(clientOf(stage).get(stage.url, { cancelToken: token }));
  await vi.waitUntil(() => hold.waiting === 1, { interval: 2, timeout: 20_000 });
  cancel();
  expect(axios.isCancel(await failure)).toBe(true);
  hold.release();
  expect(stage.sends).toEqual(["fake-1"]);
});

test("Q12: an abort while the answer is awaited is axios' own error, with http and with fetch", async () => {
  for (const adapter of ["http", "fetch"]) {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    stage.api.respond({ headers: {} }, { hang: true });
    const controller = new AbortController();
    const failure = failureOf(clientOf(stage).get(stage.url, { adapter, signal: controller.signal }));
    await stage.api.waitFor(2);
    controller.abort();
    expect([axios.isCancel(await failure), stage.sends]).toEqual([true, ["fake-1", "fake-2"]]);
  }
});

test("Q10: no listener stays on a signal, and no timer, when a source fails after a wait", async () => {
  await using stage = await Stage.open();
  const timers = new Set<unknown>();
  const { setTimeout, clearTimeout } = globalThis;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((fire: () => void, delay: number) => {
    const timer = setTimeout(fire, delay);
    if (delay > 30_000) timers.add(timer);
    return timer;
  }) as typeof setTimeout);
  vi.spyOn(globalThis, "clearTimeout").mockImplementation((timer) => {
    timers.delete(timer);
    clearTimeout(timer);
  });
  const { signal } = new AbortController();
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(() => Promise.reject(new Error("no user"))));
  const error = await failureOf(client.get(stage.url, { signal, timeout: 60_000 }));
  vi.restoreAllMocks();
  expect([(error as Error).message, getEventListeners(signal, "abort").length, timers.size]).toEqual(["no user", 0, 0]);
});

test("Q10: after a call no listener stays on its signal or cancel token", async () => {
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
