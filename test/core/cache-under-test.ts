import { createTokenCache, type RemintEvent, type TokenCache, type TokenCacheOptions } from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";

export const ORIGIN = "https://api.example";
export const SITE = { origin: ORIGIN, path: "/orders" } as const;

/** A cache over a fake grant and a clock that stands still, and every event it told. */
export interface CacheUnderTest {
  readonly cache: TokenCache;
  readonly grant: FakeGrant;
  readonly clock: ManualClock;
  readonly events: RemintEvent[];
  /** The events of one name, in order. */
  readonly told: <Name extends RemintEvent["name"]>(name: Name) => Extract<RemintEvent, { readonly name: Name }>[];
}

export interface CacheUnderTestOptions extends Partial<Omit<TokenCacheOptions, "grant" | "clock">> {
  readonly grant?: FakeGrant;
  readonly clock?: ManualClock;
}

/** Retries are off unless a test is about them: their pauses are p-retry's, on real timers. */
export function cacheUnderTest(options: CacheUnderTestOptions = {}): CacheUnderTest {
  const { grant = fakeGrant(), clock = manualClock(), ...rest } = options;
  const events: RemintEvent[] = [];
  const onEvent = (event: RemintEvent): void => void events.push(event);
  const cache = createTokenCache({ origins: [ORIGIN], mintRetries: 0, onEvent, ...rest, grant, clock });
  return {
    cache,
    grant,
    clock,
    events,
    told: (name) => events.filter((event): event is Extract<RemintEvent, { name: typeof name }> => event.name === name),
  };
}

/** A cache that holds fake-1, at this many milliseconds of its life. */
export async function aged(ms: number, options: CacheUnderTestOptions = {}): Promise<CacheUnderTest> {
  const under = cacheUnderTest(options);
  await under.cache.get();
  await under.clock.advance(ms);
  return under;
}

/** What a promise has come to so far, without waiting for it. */
export interface Watched<T> {
  readonly state: "pending" | "fulfilled" | "rejected";
  readonly value?: T;
  readonly reason?: unknown;
}

/** Watches a promise: the object changes when it settles. */
export function watch<T>(promise: Promise<T>): Watched<T> {
  const watched: { state: Watched<T>["state"]; value?: T; reason?: unknown } = { state: "pending" };
  promise.then(
    (value) => Object.assign(watched, { state: "fulfilled", value }),
    (reason: unknown) => Object.assign(watched, { state: "rejected", reason }),
  );
  return watched;
}

/** Lets every promise chain run that waits for nothing but others. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => void setImmediate(resolve));
}

/** What a promise rejects with. */
export function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error("it did not reject");
    },
    (reason: unknown) => reason,
  );
}

const jwtPart = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JWT nobody signed. */
export function jwt(claims: Readonly<Record<string, unknown>>): string {
  return `${jwtPart({ alg: "none" })}.${jwtPart(claims)}.signature`;
}
