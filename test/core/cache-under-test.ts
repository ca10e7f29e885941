/**
 * What the tests of the token cache start from: a cache over a fake grant and a clock that stands still.
 * Pools of such caches: pool-under-test.ts.
 */
import { createTokenCache, type RemintEvent, type TokenCache, type TokenCacheOptions } from "../../src/index.ts";
import {
  fakeGrant,
  manualClock,
  type FakeGrant,
  type FakeGrantOptions,
  type ManualClock,
} from "../../src/testing/index.ts";
import { outcomesInto } from "./outcomes-into.ts";
import type { TokenServer } from "../../src/core/grant.ts";

export const ORIGIN = "https://api.example";
/** Where the requests of the tests go. */
export const TARGET = { origin: ORIGIN, path: "/orders" } as const;

/** A cache over a fake grant and a clock that stands still, with every event it emitted. */
export interface CacheUnderTest {
  readonly cache: TokenCache;
  readonly grant: FakeGrant;
  readonly clock: ManualClock;
  readonly events: RemintEvent[];
  /** The events of one name, oldest first. */
  readonly eventsNamed: <Name extends RemintEvent["name"]>(
    name: Name,
  ) => Extract<RemintEvent, { readonly name: Name }>[];
}

export interface CacheUnderTestOptions extends Partial<Omit<TokenCacheOptions, "grant" | "clock">> {
  readonly grant?: FakeGrant;
  readonly clock?: ManualClock;
}

/** Creates such a cache. Retries are off unless a test asks for them. */
export function cacheUnderTest(options: CacheUnderTestOptions = {}): CacheUnderTest {
  const { grant = fakeGrant(), clock = manualClock(), ...rest } = options;
  const events: RemintEvent[] = [];
  const onEvent = outcomesInto(events);
  const cache = createTokenCache({ origins: [ORIGIN], mintRetries: 0, onEvent, ...rest, grant, clock });
  return {
    cache,
    grant,
    clock,
    events,
    eventsNamed: (name) =>
      events.filter((event): event is Extract<RemintEvent, { name: typeof name }> => event.name === name),
  };
}

/**
 * Creates a fake of one of the library's own grants: what fails is the server's, and the keys of a pool may share it. For
 * a fake grant without a server, failures are the key's own.
 */
export function fakeServerGrant(server: Partial<TokenServer> = {}, options: FakeGrantOptions = {}): FakeGrant {
  const asked = { endpoint: "https://auth.example/token", client: "shop", target: "orders", ...server };
  // No option of the fake: only the library's own grants have a server.
  return Object.assign(fakeGrant(options), { server: asked });
}

/** Creates a cache whose token fake-1 was minted this many milliseconds ago. */
export async function cacheOfAge(ms: number, options: CacheUnderTestOptions = {}): Promise<CacheUnderTest> {
  const under = cacheUnderTest(options);
  await under.cache.get();
  await under.clock.advance(ms);
  return under;
}

/** The current state of a promise, readable without awaiting it. */
export interface Watched<T> {
  readonly state: "pending" | "fulfilled" | "rejected";
  readonly value?: T;
  readonly reason?: unknown;
}

/** Watches a promise: the returned object changes when the promise settles. */
export function watch<T>(promise: Promise<T>): Watched<T> {
  const watched: { state: Watched<T>["state"]; value?: T; reason?: unknown } = { state: "pending" };
  promise.then(
    (value) => Object.assign(watched, { state: "fulfilled", value }),
    (reason: unknown) => Object.assign(watched, { state: "rejected", reason }),
  );
  return watched;
}

/** Lets all promise chains run that wait for other promises only. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => void setImmediate(resolve));
}

/** Returns what a promise rejects with; rejects if the promise resolves. */
export function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error("the promise did not reject");
    },
    (reason: unknown) => reason,
  );
}

const jwtPart = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Creates a JWT with these claims and without a valid signature. */
export function jwt(claims: Readonly<Record<string, unknown>>): string {
  return `${jwtPart({ alg: "none" })}.${jwtPart(claims)}.signature`;
}
