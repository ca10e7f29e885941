/** A fleet whose grant has a rotating refresh token, with a scripted server that detects reuse. */
import { definitionOf, grantOf } from "../../src/core/grant.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, createTokenPool, TokenEndpointError } from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";
import { watch } from "../core/cache-under-test.ts";
import { ORIGIN, switchable } from "./fleet-under-test.ts";
import type { GrantDefinition, MintContext, StateSource } from "../../src/core/grant.ts";
import type { FleetOptions, Store } from "../../src/fleet/index.ts";
import type {
  Grant,
  RemintEvent,
  SignInResponse,
  TokenCache,
  TokenCacheOptions,
  TokenPool,
  TokenResponse,
} from "../../src/index.ts";
import type { ManualClock } from "../../src/testing/index.ts";
import type { SwitchableStore } from "./fleet-under-test.ts";

type Answer = TokenResponse & { readonly refresh_token: string };

interface Session {
  live: string;
  rotations: number;
  isEnded: boolean;
}

/**
 * A server with rotating refresh tokens and reuse detection: a refresh token that is sent twice ends its whole session
 * (RFC 9700 section 4.14.2). The access tokens of session 1 are `at-1-1`, `at-1-2` and so on, its refresh tokens `rt-1-0`,
 * `rt-1-1` and so on. An access token for an audience ends with it: `at-1-2@billing`.
 */
export class SessionServer {
  /** Every refresh token that was sent, oldest first. */
  readonly presented: string[] = [];
  /** Every token that was revoked, oldest first. */
  readonly revoked: string[] = [];
  /** The lifetime of the access tokens in seconds. */
  expiresIn: number | undefined = 300;
  readonly #sessions: Session[] = [];

  /** Signs a user in and returns the first refresh token of the session. */
  signIn(): string {
    const session = { live: `rt-${this.#sessions.length + 1}-0`, rotations: 0, isEnded: false };
    this.#sessions.push(session);
    return session.live;
  }

  /** Signs a user in and returns the answer to the code. */
  signInResponse(): SignInResponse & { readonly refresh_token: string } {
    const refreshToken = this.signIn();
    const number = this.#sessions.length;
    return { access_token: `at-${number}-0`, refresh_token: refreshToken, expires_in: this.expiresIn };
  }

  /** Returns the valid refresh token of a session, or `undefined` if the session has ended. The default is the last session. */
  live(session: number = this.#sessions.length): string | undefined {
    const { live, isEnded } = this.#sessions[session - 1]!;
    return isEnded ? undefined : live;
  }

  /** Ends a session. The default is the last session. */
  end(session: number = this.#sessions.length): void {
    this.#sessions[session - 1]!.isEnded = true;
  }

  /**
   * Answers one token request.
   *
   * @throws {TokenEndpointError} `invalid_grant` if the refresh token is not the valid one. This ends the session.
   */
  present(refreshToken: string, audience?: string): Answer {
    this.presented.push(refreshToken);
    const number = Number(refreshToken.split("-")[1]);
    const session = this.#sessions[number - 1]!;
    if (session.isEnded || session.live !== refreshToken) {
      session.isEnded = true;
      throw new TokenEndpointError(400, "the refresh token is used up", { error: "invalid_grant", terminal: true });
    }
    const count = ++session.rotations;
    session.live = `rt-${number}-${count}`;
    const value = `at-${number}-${count}${audience === undefined ? "" : `@${audience}`}`;
    return { access_token: value, expires_in: this.expiresIn, refresh_token: session.live };
  }

  /** Revokes a token. A refresh token ends its session. */
  revoke(token: string): void {
    this.revoked.push(token);
    if (token.startsWith("rt-")) this.end(Number(token.split("-")[1]));
  }

  /** The refresh tokens that were sent more than once. */
  get reused(): string[] {
    const seen = new Set<string>();
    return this.presented.filter((token) => seen.size === seen.add(token).size);
  }
}

/** The grant of one process. A test can delay it in two places. */
export interface SessionGrant extends Grant {
  /** Awaited before the refresh token is sent. */
  beforeSending: (() => Promise<unknown>) | undefined;
  /** Awaited after the server has answered and before the grant returns the answer. */
  beforeAnswering: (() => Promise<unknown>) | undefined;
  /** What its requests asked for: scope, resource and the like. */
  readonly sent: string[];
}

/** Where a grant gets its refresh token, and where it saves the next one. */
type Source = string | (() => unknown);

/** The members of a {@link sessionGrant} that a test may set. */
export interface SessionMembers extends Partial<Omit<GrantDefinition<string>, "source" | "mint">> {
  /** Saves the next refresh token. */
  readonly save?: StateSource<string>["save"];
}

/**
 * Makes a grant as `refreshTokenGrant` does, with a scripted server instead of requests.
 *
 * @param source The first refresh token, or a function that returns the one that is saved.
 */
export function sessionGrant(server: SessionServer, source: Source, members: SessionMembers = {}): SessionGrant {
  const { save, ...more } = members;
  const sent: string[] = [];
  const controls: Pick<SessionGrant, "beforeSending" | "beforeAnswering"> = {
    beforeSending: undefined,
    beforeAnswering: undefined,
  };
  const grant = grantOf<string>({
    key: "session",
    isRepeatable: false,
    source: {
      names: { load: "refreshToken", save: "onRotate" },
      ...(typeof source === "function" ? { load: source } : { initial: () => source }),
      ...(save && { save }),
      check(value) {
        if (typeof value === "string" && value !== "") return value;
        throw new TypeError('"refreshToken" must be a string');
      },
    },
    async mint({ state, target }: MintContext<string>) {
      await controls.beforeSending?.();
      sent.push(JSON.stringify(target ?? {}));
      const { refresh_token: next, ...response } = server.present(state!, [target?.resource].flat()[0]?.split("//")[1]);
      await controls.beforeAnswering?.();
      return { response, next: { state: next } };
    },
    signIn(response) {
      const { refresh_token: next, ...rest } = response;
      return { response: { ...rest }, ...(next !== undefined && { next: { state: next } }) };
    },
    async revoke(tokens, { state }) {
      if (state !== undefined) server.revoke(state);
      for (const { value } of tokens) server.revoke(value);
    },
    ...more,
  });
  const session = definitionOf(grant) as unknown as SessionGrant;
  Object.defineProperty(session, "sent", { value: sent });
  for (const name of ["beforeSending", "beforeAnswering"] as const) {
    Object.defineProperty(session, name, {
      get: () => controls[name],
      set(wait: (() => Promise<unknown>) | undefined) {
        controls[name] = wait;
      },
    });
  }
  return session;
}

/** One process of the fleet, with its own grant. */
export interface SessionProcess {
  readonly cache: TokenCache;
  readonly grant: SessionGrant;
  readonly store: SwitchableStore;
  readonly events: RemintEvent[];
}

/** What a process has of its own. */
export interface ProcessOptions extends Partial<Omit<TokenCacheOptions, "grant" | "clock" | "store">> {
  readonly source?: Source;
  readonly fleet?: Partial<FleetOptions>;
  readonly members?: SessionMembers;
}

/** A fleet of processes that share one user's session. */
export interface SessionFleet {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly server: SessionServer;
  readonly processes: SessionProcess[];
  /** The refresh token with which the processes are configured. */
  readonly seed: string;
  /** Adds a process. */
  readonly join: (options?: ProcessOptions) => SessionProcess;
  /** Asks every process `callers` times, and lets time pass until all have answered. */
  readonly askAll: (callers?: number) => Promise<string[]>;
  /** Lets time pass until a promise settles, and returns its result. */
  readonly during: <T>(work: Promise<T>) => Promise<T>;
}

/** Lets the time of a clock pass until a promise settles, and returns its result. */
export async function during<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  const outcome = watch(work);
  for (let steps = 0; outcome.state === "pending"; steps++) {
    if (steps > 1000) throw new Error("no answer within 100 s");
    await clock.advance(100);
  }
  return work;
}

/** Creates a fleet. Records are not encrypted, because WebCrypto does not wait for a manual clock. */
export function sessionFleet(size = 3, shared: Omit<ProcessOptions, "source"> = {}): SessionFleet {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const server = new SessionServer();
  const seed = server.signIn();
  const processes: SessionProcess[] = [];
  const join = (own: ProcessOptions = {}): SessionProcess => {
    const { source = seed, fleet, members, ...options } = { ...shared, ...own };
    const grant = sessionGrant(server, source, { ...shared.members, ...members });
    const events: RemintEvent[] = [];
    const switched = switchable(store);
    const cache = createTokenCache({
      origins: [ORIGIN],
      onEvent: (event) => void events.push(event),
      ...options,
      grant,
      clock,
      store: fleetStore(switched, { encryptionKey: "none", ...shared.fleet, ...fleet }),
    });
    const process = { cache, grant, store: switched, events };
    processes.push(process);
    return process;
  };
  for (let index = 0; index < size; index++) join();
  const askAll = (callers = 1): Promise<string[]> => {
    const calls = processes.flatMap(({ cache }) => Array.from({ length: callers }, () => cache.get()));
    return during(
      clock,
      Promise.all(calls).then((tokens) => tokens.map(({ value }) => value)),
    );
  };
  return { clock, store, server, seed, processes, join, askAll, during: (work) => during(clock, work) };
}

/** One process with a pool of users. */
export interface PoolProcess {
  readonly pool: TokenPool;
  readonly store: SwitchableStore;
  /** The grants that the pool has made, by user. */
  readonly grants: Map<string, SessionGrant>;
  readonly events: RemintEvent[];
}

/** Creates a process whose pool has a session for each user. */
export function poolProcess(
  { clock, store, server }: Pick<SessionFleet, "clock" | "store" | "server">,
  sourceOf: (user: string) => Source,
  { fleet, members, ...options }: Omit<ProcessOptions, "source"> = {},
): PoolProcess {
  const switched = switchable(store);
  const grants = new Map<string, SessionGrant>();
  const events: RemintEvent[] = [];
  const shared = fleetStore(switched, { encryptionKey: "none", ...fleet });
  const onEvent = (event: RemintEvent): void => void events.push(event);
  const pool = createTokenPool({
    clock,
    create(user) {
      const grant = sessionGrant(server, sourceOf(user), { key: undefined, ...members });
      grants.set(user, grant);
      return createTokenCache({ origins: [ORIGIN], onEvent, ...options, grant, clock, store: shared });
    },
  });
  return { pool, store: switched, grants, events };
}

/** Counts the events of a process with this name. */
export function countEvents(
  { events }: { readonly events: readonly RemintEvent[] },
  name: RemintEvent["name"],
): number {
  return events.filter((event) => event.name === name).length;
}
