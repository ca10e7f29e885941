import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../../src/base/errors.ts";
import { Failure, PoolFailures, type SharedFailures } from "../../src/core/failures.ts";
import type { FailureOwner } from "../../src/core/types.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";

const SERVER = { endpoint: "https://auth.example/token", client: "shop", target: "orders" };

const down = (): Failure => answered(503, "server");
const answered = (status: number, owner: FailureOwner, options: TokenEndpointErrorOptions = {}): Failure =>
  Failure.of(new TokenEndpointError(status, "x", options), owner);
const unreachable = (): Failure => Failure.of(new RemintError("ERR_TOKEN_NETWORK", "x", { retryable: true }), "server");

interface Shared {
  readonly clock: ManualClock;
  /** The view of one key's cache. */
  readonly of: (key: string, server?: Partial<typeof SERVER>) => SharedFailures;
  /** The keys among these that would get a failure of others, as callers that fail. */
  readonly heldBack: (...keys: string[]) => string[];
}

function sharedFailures(): Shared {
  const clock = manualClock();
  const failures = new PoolFailures(clock);
  const of: Shared["of"] = (key, server) => failures.viewOf({ ...SERVER, ...server }, key);
  const heldBack: Shared["heldBack"] = (...keys) => keys.filter((key) => of(key).active(true) !== undefined);
  return { clock, of, heldBack };
}

describe("C9: a failure of the server, among the keys of a pool", () => {
  test.each([
    ["a 503", down],
    ["no connection", unreachable],
  ])("C9: %s of one key is that key's own; of a second key in a row it is everybody's", (_, fail) => {
    const { of, heldBack } = sharedFailures();
    of("a").remember(fail(), 0);
    expect(heldBack("a", "b", "c")).toEqual([]);
    of("b").remember(fail(), 0);
    expect(heldBack("a", "b", "c")).toEqual(["a", "b", "c"]);
    expect(of("z", { client: "other", target: "other" }).active(true)).toMatchObject({ retryable: true });
    expect(of("z", { endpoint: "https://other.example/token" }).active(true)).toBeUndefined();
  });

  test("C9: a 500 for one user's token, ten times in a row, is nobody else's", () => {
    const { of, heldBack } = sharedFailures();
    for (let time = 0; time < 10; time++) of("a").remember(answered(500, "server"), 0);
    expect(heldBack("a", "b")).toEqual([]);
  });

  test("C9: two caches of one key, for instance after a sign-out and a sign-in, are one key", () => {
    const { of, heldBack } = sharedFailures();
    of("a").remember(down(), 0);
    of("a").remember(down(), 0);
    expect(heldBack("b")).toEqual([]);
  });

  test("C9: 500s for the tokens of two users, with a success of another between them, are nobody else's", async () => {
    const { of, heldBack, clock } = sharedFailures();
    for (let round = 0; round < 5; round++) {
      for (const key of ["a", "b"]) {
        of(key).remember(answered(500, "server"), clock.monotonic());
        await clock.advance(10);
        of("healthy").clear();
      }
    }
    expect(heldBack("c")).toEqual([]);
  });

  test("C9: a slow 500 says nothing of the server when it has issued a token since that mint was sent", async () => {
    const { of, heldBack, clock } = sharedFailures();
    const sentAt = clock.monotonic();
    await clock.advance(10);
    of("healthy").clear();
    of("a").remember(answered(500, "server"), sentAt);
    of("b").remember(answered(500, "server"), sentAt);
    expect(heldBack("c")).toEqual([]);
    of("a").remember(down(), clock.monotonic());
    of("b").remember(down(), clock.monotonic());
    expect(heldBack("c")).toEqual(["c"]);
  });

  test("C9: any success at the endpoint ends it for all, also one of another client", async () => {
    const { of, heldBack } = sharedFailures();
    of("a").remember(down(), 0);
    of("b").remember(down(), 0);
    of("c", { client: "other", target: "other" }).clear();
    expect(heldBack("a", "b", "c")).toEqual([]);
    of("a").remember(down(), 0);
    expect(heldBack("b")).toEqual([]);
  });

  test("C9: 1 s, doubling to 5 s while callers fail, and to 30 s for background refreshes", async () => {
    const { of, clock } = sharedFailures();
    of("a").remember(down(), clock.monotonic());
    const times: number[] = [];
    for (let round = 0; round < 6; round++) {
      await clock.advance(1);
      of("b").remember(down(), clock.monotonic());
      const begun = clock.monotonic();
      while (of("c").active(true) !== undefined) await clock.advance(250);
      times.push((clock.monotonic() - begun) / 1000);
    }
    expect(times).toEqual([1, 2, 4, 5, 5, 5]);
    await clock.advance(24_999);
    expect(of("c").active(false)).toBeDefined();
    await clock.advance(1);
    expect(of("c").active(false)).toBeUndefined();
  });

  test("C9: a hundred mints that were under way together count as one failure", async () => {
    const { of, clock } = sharedFailures();
    const sentAt = clock.monotonic();
    await clock.advance(100);
    for (let key = 0; key < 100; key++) of(`user ${key}`).remember(down(), sentAt);
    await clock.advance(999);
    expect(of("new").active(true)).toBeDefined();
    await clock.advance(1);
    expect(of("new").active(true)).toBeUndefined();
  });

  test("C9: a Retry-After of two keys holds for all, up to 60 s", async () => {
    const { of, clock, heldBack } = sharedFailures();
    for (const key of ["a", "b"]) of(key).remember(answered(503, "server", { retryAfter: 3_600_000 }), 0);
    await clock.advance(59_999);
    expect(heldBack("c")).toEqual(["c"]);
    await clock.advance(1);
    expect(heldBack("c")).toEqual([]);
  });

  test("C9: a wall clock that is stepped forward ends it, one that is stepped back does not prolong it", async () => {
    for (const step of [7_200_000, -7_200_000]) {
      const { of, clock, heldBack } = sharedFailures();
      for (const key of ["a", "b"]) of(key).remember(down(), 0);
      clock.stepWall(step);
      if (step < 0) await clock.advance(1000);
      expect(heldBack("c")).toEqual([]);
    }
  });
});

const refused = (): Failure => answered(401, "client", { error: "invalid_client" });
const throttled = (): Failure => answered(429, "client", { retryAfter: 60_000 });

describe("C9: a failure of one client, among the keys of a pool", () => {
  test("C9: invalid_client is at once the failure of every key with that client id, and of no other client", () => {
    const { of, heldBack } = sharedFailures();
    of("a").remember(refused(), 0);
    expect(heldBack("a", "b")).toEqual(["a", "b"]);
    expect(of("c", { target: "invoices" }).active(true)).toMatchObject({ error: "invalid_client" });
    expect(of("d", { client: "other" }).active(true)).toBeUndefined();
    of("b").clear();
    expect(heldBack("a", "b")).toEqual([]);
  });

  test("C9: 429 with Retry-After 60: from the second key on it holds for that client id, and for no other", async () => {
    const { of, heldBack, clock } = sharedFailures();
    of("a").remember(throttled(), 0);
    of("a").remember(throttled(), 0);
    expect(heldBack("b")).toEqual([]);
    of("b").remember(throttled(), 0);
    expect(heldBack("b", "c")).toEqual(["b", "c"]);
    expect(of("d", { client: "other" }).active(true)).toBeUndefined();
    await clock.advance(59_999);
    expect(heldBack("c")).toEqual(["c"]);
    of("c").clear();
    expect(heldBack("a", "b", "c")).toEqual([]);
  });

  test("C9: 429 of one key and a 503 of another are no two in a row", () => {
    const { of, heldBack } = sharedFailures();
    of("a").remember(throttled(), 0);
    of("b").remember(down(), 0);
    expect(heldBack("c")).toEqual([]);
  });

  test.each(["invalid_scope", "invalid_target"])(
    "C9: %s holds for keys with that target, and for no other",
    (error) => {
      const { of, heldBack } = sharedFailures();
      of("a").remember(answered(400, "target", { error }), 0);
      expect(heldBack("a", "b")).toEqual(["a", "b"]);
      expect(of("c", { target: "invoices" }).active(true)).toBeUndefined();
      expect(of("d", { client: "other" }).active(true)).toBeUndefined();
      of("e", { target: "invoices" }).clear();
      expect(heldBack("b")).toEqual(["b"]);
      of("b").clear();
      expect(heldBack("a")).toEqual([]);
    },
  );
});

test.each(["key", "nobody"] as const)(
  "C9: what is the failure of %s is not shared, however often it happens",
  (owner) => {
    const { of, heldBack } = sharedFailures();
    for (const key of ["a", "b", "c", "d"]) of(key).remember(down().ownedBy(owner), 0);
    expect(heldBack("a", "b", "e")).toEqual([]);
  },
);

test("C9: the failures of 10,000 endpoints, clients and targets need a bounded memory, and the newest are kept", () => {
  const { of } = sharedFailures();
  const at = (index: number): SharedFailures => of("a", { client: `client ${index}` });
  for (let index = 0; index < 10_000; index++) at(index).remember(answered(401, "client"), 0);
  const known = Array.from({ length: 10_000 }, (_, index) => at(index).active(true) !== undefined);
  expect(known.filter(Boolean)).toHaveLength(256);
  expect(known.at(-1)).toBe(true);
});
