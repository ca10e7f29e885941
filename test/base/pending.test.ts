/** What a mint is waiting for: marks by the signal of the mint. */
import { describe, expect, test } from "vitest";
import { awaitUnder, pendingUnder, runsUnder } from "../../src/base/pending.ts";
import { settle } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";

const SERVER = { what: "the token endpoint https://auth.example/token", isServer: true } as const;
const FUNCTION = { what: 'the function "clientSecret"', isServer: false } as const;

describe("awaitUnder", () => {
  test("marks the work while it is awaited, from its synchronous part on, and returns its result", async () => {
    const { signal } = new AbortController();
    expect(pendingUnder(signal)).toBeUndefined();
    const work = deferred<number>();
    let during: unknown;
    const done = awaitUnder(signal, SERVER, () => {
      during = pendingUnder(signal);
      return work.promise;
    });
    expect([during, pendingUnder(signal)]).toEqual([SERVER, SERVER]);
    work.resolve(7);
    expect(await done).toBe(7);
    expect(pendingUnder(signal)).toBeUndefined();
  });

  test("inner work is named while it lasts; then the outer work is named again", async () => {
    const { signal } = new AbortController();
    const [inner, outer] = [deferred(), deferred()];
    const done = awaitUnder(signal, FUNCTION, async () => {
      await awaitUnder(signal, SERVER, () => inner.promise);
      await outer.promise;
    });
    expect(pendingUnder(signal)).toBe(SERVER);
    inner.resolve();
    await settle();
    expect(pendingUnder(signal)).toBe(FUNCTION);
    outer.resolve();
    await done;
    expect(pendingUnder(signal)).toBeUndefined();
  });

  test.each([
    ["throws", () => expect.fail("x")],
    ["rejects", () => Promise.reject(new Error("x"))],
  ] as const)("work that %s: a rejection, and the mark ends", async (_what, work: () => Promise<never>) => {
    const { signal } = new AbortController();
    await expect(awaitUnder(signal, SERVER, work)).rejects.toThrow("x");
    expect(pendingUnder(signal)).toBeUndefined();
  });

  test("work that never settles stays marked after the signal has aborted: the timeout's error names it", () => {
    const controller = new AbortController();
    void awaitUnder(controller.signal, FUNCTION, () => new Promise(() => {}));
    controller.abort();
    expect(pendingUnder(controller.signal)).toBe(FUNCTION);
  });

  test("without a signal the work is done, and nothing is marked", async () => {
    expect(await awaitUnder(undefined, SERVER, async () => 7)).toBe(7);
    expect(await awaitUnder(undefined, SERVER, () => 7)).toBe(7);
  });

  test("two mints do not see each other's marks", () => {
    const [one, two] = [new AbortController().signal, new AbortController().signal];
    void awaitUnder(one, SERVER, () => new Promise(() => {}));
    expect([pendingUnder(one), pendingUnder(two)]).toEqual([SERVER, undefined]);
  });

  test("a signal in place of the mark stands for what is awaited under that signal, at each moment", async () => {
    const [mint, request] = [new AbortController().signal, new AbortController().signal];
    const [first, second] = [deferred(), deferred()];
    void awaitUnder(mint, request, () => new Promise(() => {}));
    expect(pendingUnder(mint)).toBeUndefined();
    const sent = (async () => {
      await awaitUnder(request, FUNCTION, () => first.promise);
      await awaitUnder(request, SERVER, () => second.promise);
    })();
    expect(pendingUnder(mint)).toBe(FUNCTION);
    first.resolve();
    await settle();
    expect(pendingUnder(mint)).toBe(SERVER);
    second.resolve();
    await sent;
    expect(pendingUnder(mint)).toBeUndefined();
  });
});

const isUnder = (signal: AbortSignal): boolean => runsUnder((each) => each === signal);

describe("runsUnder: whose code is calling", () => {
  test("during the synchronous part of the work, also of inner work; not before, not after, not once it has awaited", async () => {
    const [mint, other] = [new AbortController().signal, new AbortController().signal];
    const seen: boolean[] = [isUnder(mint)];
    const work = awaitUnder(mint, FUNCTION, async () => {
      seen.push(isUnder(mint), isUnder(other));
      void awaitUnder(other, SERVER, () => void seen.push(isUnder(mint), isUnder(other)));
      seen.push(isUnder(mint), isUnder(other));
      await settle();
      seen.push(isUnder(mint));
    });
    seen.push(isUnder(mint));
    await work;
    expect(seen).toEqual([false, true, false, true, true, true, false, false, false]);
  });

  test("work that throws is over", async () => {
    const { signal } = new AbortController();
    const failed = awaitUnder(signal, FUNCTION, () => {
      throw new Error("x");
    });
    expect(isUnder(signal)).toBe(false);
    await expect(failed).rejects.toThrow("x");
  });

  test("what is begun under a request's signal belongs to the mint that waits for the request", () => {
    const [mint, request] = [new AbortController().signal, new AbortController().signal];
    void awaitUnder(mint, request, () => new Promise(() => {}));
    let during: boolean[] = [];
    void awaitUnder(request, FUNCTION, () => void (during = [isUnder(mint), isUnder(request)]));
    expect(during).toEqual([true, true]);
    expect([isUnder(mint), isUnder(request)]).toEqual([false, false]);
  });
});
