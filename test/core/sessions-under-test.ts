/** What the tests of sessions start from: a cache over a fake grant with a state, as that of a user who has signed in. */
import { createTokenPool, type AccessToken, type SignInResponse, type TokenPool } from "../../src/index.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, type CacheUnderTest, type CacheUnderTestOptions } from "./cache-under-test.ts";

/** A mint's answer with the next state, as a server gives it that rotates. */
export const rotated = (value: string, state: unknown): Readonly<Record<string, unknown>> => ({
  access_token: value,
  token_type: "Bearer",
  expires_in: 3600,
  state,
});

/** What a token endpoint answers when Bob signs in. */
export const BOB: SignInResponse = {
  access_token: "bob",
  refresh_token: "bob-1",
  token_type: "Bearer",
  expires_in: 3600,
};
/** The same, with an access token that has expired. */
export const BOB_EXPIRED: SignInResponse = { ...BOB, expires_in: undefined, expires_at: new Date(0) };

/** The error of a request in whose session's place another has been signed in. */
export const REPLACED = { code: "ERR_SESSION", status: 503, retryable: true, terminal: false };
/** The error of a request whose session was signed out. */
export const ENDED = { code: "ERR_SESSION", status: 401, retryable: false, terminal: true };
/** The error where nobody is signed in. */
export const NOBODY = { code: "ERR_NO_SESSION", status: 401, retryable: false, terminal: true };

/** What a save is given beside the state. */
export interface SaveUnderTest {
  readonly signal: AbortSignal;
  readonly replaced: unknown;
}

/** A cache of a session, with what its grant saved and revoked, oldest first. */
export interface SessionUnderTest extends CacheUnderTest {
  readonly saved: unknown[];
  readonly revoked: string[];
}

export interface SessionOptions extends CacheUnderTestOptions {
  /** The first state, or a function that is asked for it. @defaultValue "alice-1" */
  readonly state?: unknown;
  readonly onState?: (next: unknown, context: SaveUnderTest) => unknown;
}

/** Creates the cache of Alice's session. Its mints return fake-1, fake-2 and so on, and by themselves no next state. */
export function sessionUnderTest(options: SessionOptions = {}): SessionUnderTest {
  const { state = "alice-1", onState, ...rest } = options;
  const saved: unknown[] = [];
  const revoked: string[] = [];
  const revoke = async (token: AccessToken | undefined, context: { readonly state?: unknown }): Promise<void> =>
    void revoked.push(
      [token?.value, context.state as string | undefined].filter((what) => what !== undefined).join(" and "),
    );
  const save = onState ?? ((next: unknown): void => void saved.push(next));
  const grant = fakeGrant({ state, onState: save, revoke });
  return { ...cacheUnderTest({ grant, ...rest }), saved, revoked };
}

/** Lets promise chains go on for so many steps. */
export async function steps(count: number): Promise<void> {
  for (let step = 0; step < count; step++) await Promise.resolve();
}

/** A pool with such a cache for each key. */
export function sessionPool(): { readonly pool: TokenPool; readonly sessions: ReadonlyMap<string, SessionUnderTest> } {
  const clock = manualClock();
  const sessions = new Map<string, SessionUnderTest>();
  const create = (key: string): CacheUnderTest["cache"] => {
    const session = sessionUnderTest({ clock, state: `${key}-1` });
    sessions.set(key, session);
    return session.cache;
  };
  return { pool: createTokenPool({ clock, create }), sessions };
}
