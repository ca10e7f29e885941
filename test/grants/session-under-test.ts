/**
 * What the tests of sessions start from: an auth server with reuse detection, a table of saved refresh tokens, and processes
 * that work with both.
 */
import {
  createTokenCache,
  refreshTokenGrant,
  type RefreshTokenGrantOptions,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
} from "remint";
import {
  type AuthServer,
  type AuthServerOptions,
  type FakeSessions,
  fakeSessions,
  type ManualClock,
  manualClock,
  startAuthServer,
} from "remint/testing";
import { expect, onTestFinished, vi } from "vitest";
import { settle } from "../core/cache-under-test.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

export const CLIENT = { clientId: "portal", clientSecret: "s3cr3t-value" } as const;
/** The id of the session in the table. */
const ID = "alice";
export const HOUR = 3600_000;

/** A process: its cache, its clock and the events of the cache. */
export interface Process {
  readonly cache: TokenCache;
  readonly clock: ManualClock;
  readonly events: RemintEvent[];
  /** The names of the events. */
  readonly names: () => string[];
}

export interface ProcessOptions extends Partial<RefreshTokenGrantOptions> {
  readonly clock?: ManualClock;
  readonly cache?: Partial<TokenCacheOptions>;
}

/** A session of one user. */
export interface Session {
  readonly auth: AuthServer;
  readonly sessions: FakeSessions;
  /** The refresh token of the sign-in. */
  readonly first: string;
  /** Starts a process that works with the table. */
  readonly start: (options?: ProcessOptions) => Process;
  /** Every refresh token that a client has presented, oldest first. */
  readonly presented: () => string[];
  /** The refresh token that is saved now. */
  readonly saved: () => string | undefined;
  /** The refresh tokens that the server has issued after the first, oldest first. */
  readonly issued: () => string[];
  /** Signs the user in again elsewhere, and saves the refresh token. */
  readonly signInElsewhere: () => Promise<string>;
}

export async function startSession(options: AuthServerOptions = {}): Promise<Session> {
  const auth = await startAuthServer(options);
  onTestFinished(() => auth.close());
  const first = auth.signIn(ID).refresh_token;
  const sessions = fakeSessions({ [ID]: first });
  return {
    auth,
    sessions,
    first,
    start({ clock = manualClock(), cache: more = {}, ...grant } = {}) {
      const events: RemintEvent[] = [];
      const cache = createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: auth.tokenEndpoint,
          revocationEndpoint: auth.revocationEndpoint,
          ...CLIENT,
          refreshToken: () => sessions.refreshToken(ID),
          onRotate: (next) => sessions.save(ID, next),
          ...grant,
        }),
        origins: ["https://api.example"],
        clock,
        onEvent: outcomesInto(events),
        ...more,
      });
      return { cache, clock, events, names: () => events.map(({ name }) => name) };
    },
    presented: () => {
      const forms = auth.requests.map(({ form }) => form);
      return forms.flatMap((form) => form.get("refresh_token") ?? []);
    },
    saved: () => sessions.saved.get(ID),
    issued: () =>
      auth.log.flatMap(({ step, request, issued }) =>
        step === "committed" && request !== undefined ? (issued?.refreshToken ?? []) : [],
      ),
    async signInElsewhere() {
      const { refresh_token: next } = auth.signIn(ID);
      await sessions.save(ID, next);
      return next;
    },
  };
}

/** Lets the token expire, so that the next `get` mints without a rejection. */
export async function expire({ cache, clock }: Pick<Process, "cache" | "clock">): Promise<void> {
  await settle();
  await clock.advance(HOUR);
  expect(cache.peek()).toBeUndefined();
}

/** Waits until a promise has settled, whatever becomes of it, while real requests are under way. */
export async function settled(watched: { readonly state: string }): Promise<void> {
  await vi.waitFor(() => expect(watched.state).not.toBe("pending"), { timeout: 20_000 });
}
