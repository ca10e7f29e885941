import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { safeListener } from "../../src/core/options.ts";
import { TokenEndpointError } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, TARGET } from "./cache-under-test.ts";
import type { RemintEvent } from "../../src/index.ts";

const HOUR = 3_600_000;

describe("events", () => {
  test("minted: has the cause, the duration, the expiry, and whether the value is the previous one again", async () => {
    const { cache, grant, clock, events } = cacheUnderTest({
      grant: fakeGrant({ response: { access_token: "same" } }),
    });
    const hold = grant.hold();
    const got = cache.get();
    await clock.advance(250);
    hold.release();
    const { expiresAt } = await got;
    const id: unknown = expect.any(Number);
    const minted = { name: "minted", id, cause: "cold", duration: 250, expiresAt, repeated: false, waiters: 1 };
    expect(events).toEqual([minted]);
    await cache.invalidate("same");
    await cache.get();
    expect(events.slice(1)).toMatchObject([{ name: "invalidated" }, { name: "minted", cause: "cold", repeated: true }]);
  });

  test("C4: mint-failed: servedStale says whether callers get the old token instead", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest();
    grant.fail(new Error("down"));
    await rejectionOf(cache.get());
    await clock.advance(1000);
    await cache.get();
    await clock.advance(HOUR - 30_000);
    grant.fail(new Error("down"));
    cache.peek();
    await settle();
    expect(eventsNamed("mint-failed")).toMatchObject([
      { cause: "cold", servedStale: false },
      { cause: "expiring", servedStale: true },
    ]);
  });

  test("C8: rejected comes once per charge, renewal-refused once per refusal, both with origin and path", async () => {
    const { cache, eventsNamed } = cacheUnderTest();
    for (let call = 0; call < 5; call++)
      await policyHalf(cache)
        .rejected(await cache.get(), TARGET)
        ?.next();
    expect(eventsNamed("rejected")).toEqual(Array.from({ length: 3 }, () => ({ name: "rejected", ...TARGET })));
    expect(eventsNamed("renewal-refused")).toEqual(
      Array.from({ length: 2 }, () => ({ name: "renewal-refused", ...TARGET })),
    );
  });

  test("C5: invalidated comes only when the cache held the given value", async () => {
    const { cache, eventsNamed } = cacheUnderTest();
    await cache.invalidate("fake-1");
    const { value } = await cache.get();
    await cache.invalidate("another");
    await cache.invalidate(value);
    await cache.invalidate(value);
    expect(eventsNamed("invalidated")).toHaveLength(1);
  });

  test("skipped has the reason and the URL without query, fragment and credentials", () => {
    const { cache, events } = cacheUnderTest();
    policyHalf(cache).skipped("authorization-set", "https://u:s3cret@api.example/a?code=s3cret#s3cret");
    expect(events).toEqual([{ name: "skipped", reason: "authorization-set", url: "https://api.example/a" }]);
  });

  test("a listener is called synchronously, after the cache has changed", async () => {
    const seen: (string | undefined)[] = [];
    const under = cacheUnderTest({
      onEvent: ({ name }: RemintEvent) => void seen.push(`${name} ${under.cache.peek()?.value}`),
    });
    await under.cache.get();
    await under.cache.invalidate("fake-1");
    expect(seen).toEqual(["mint-started undefined", "minted fake-1", "invalidated undefined"]);
  });

  test("a listener that throws makes no call fail", async () => {
    const { cache, grant } = cacheUnderTest({
      onEvent: () => {
        throw new Error("telemetry is broken");
      },
    });
    const token = await cache.get();
    policyHalf(cache).skipped("opted-out", "https://api.example/");
    await cache.invalidate(token.value);
    grant.fail(new Error("down"));
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
    expect(safeListener(undefined)).toBeUndefined();
  });

  test("a listener may call the cache that emits the event", async () => {
    const values: (string | undefined)[] = [];
    const under = cacheUnderTest({
      onEvent: ({ name }: RemintEvent) => {
        if (name === "mint-failed") void under.cache.get().catch(() => {});
        if (name === "invalidated")
          void under.cache.get().then(
            (token) => values.push(token.value),
            () => {},
          );
      },
    });
    await under.cache.get();
    await under.cache.invalidate("fake-1");
    await settle();
    under.grant.fail(new Error("down"));
    await under.cache.invalidate("fake-2");
    await settle();
    expect(values).toEqual(["fake-2"]);
    expect(under.grant.mints).toBe(3);
  });

  test("S5: no event carries a token or a secret", async () => {
    const grant = fakeGrant({ response: { access_token: "s3cret-token", refresh_token: "s3cret-refresh" } });
    const { cache, events, clock } = cacheUnderTest({ grant });
    await cache.get();
    for (let call = 0; call < 5; call++)
      await policyHalf(cache)
        .rejected(await cache.get(), TARGET)
        ?.next();
    grant.fail(new TokenEndpointError(400, "no", { error: "invalid_client", errorDescription: "s3cret" }));
    await cache.invalidate("s3cret-token");
    await rejectionOf(cache.get());
    await clock.advance(1000);
    grant.fail(Object.assign(new Error("sent Bearer s3cret"), { config: { client_secret: "s3cret" } }));
    await rejectionOf(cache.get());
    expect(new Set(events.map(({ name }) => name)).size).toBeGreaterThanOrEqual(4);
    expect(inspect(events, { depth: 10 })).not.toContain("s3cret");
    expect(JSON.stringify(events)).not.toContain("s3cret");
  });
});
