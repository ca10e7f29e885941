/** A fleet whose grant has a rotating refresh token, with a scripted server that detects reuse. */
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, TokenEndpointError } from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";
import { watch } from "../core/cache-under-test.ts";
import { ORIGIN, switchable } from "./fleet-under-test.ts";
import type { GrantDefinition, GrantTraits } from "../../src/core/grant.ts";
import type { FleetOptions, Store } from "../../src/fleet/index.ts";
import type { Grant, RemintEvent, TokenCache, TokenCacheOptions, TokenResponse } from "../../src/index.ts";
import type { ManualClock } from "../../src/testing/index.ts";
import type { SwitchableStore } from "./fleet-under-test.ts";

type Answer = TokenResponse & { readonly state: string };

interface Session {
  live: string;
  rotations: number;
  isEnded: boolean;
}

/**
 * A server with rotating refresh tokens and reuse detection: a refresh token that is sent twice ends its whole session
 * (RFC 9700 section 4.14.2).
 */
export class SessionServer {
  /** Every refresh token that was sent, oldest first. */
  readonly presented: string[] = [];
  /** The lifetime of the access tokens in seconds. */
  expiresIn = 300;
  readonly #sessions: Session[] = [];

  /** Signs a user in and returns the first refresh token of the session. */
  signIn(): string {
    const session = { live: `rt-${this.#sessions.length + 1}-0`, rotations: 0, isEnded: false };
    this.#sessions.push(session);
    return session.live;
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
  present(refreshToken: string): Answer {
    this.presented.push(refreshToken);
    const number = Number(refreshToken.split("-")[1]);
    const session = this.#sessions[number - 1]!;
    if (session.isEnded || session.live !== refreshToken) {
      session.isEnded = true;
      throw new TokenEndpointError(400, "the refresh token is used up", { error: "invalid_grant", terminal: true });
    }
    const count = ++session.rotations;
    session.live = `rt-${number}-${count}`;
    return { access_token: `at-${number}-${count}`, expires_in: this.expiresIn, state: session.live };
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
}

export function sessionGrant(server: SessionServer, seed: string, members: GrantTraits = {}): SessionGrant {
  const definition: GrantDefinition<string> & Pick<SessionGrant, "beforeSending" | "beforeAnswering"> = {
    key: "session",
    ...members,
    state: seed,
    beforeSending: undefined,
    beforeAnswering: undefined,
    async mint({ state }) {
      await this.beforeSending?.();
      const answer = server.present(state!);
      await this.beforeAnswering?.();
      return answer;
    },
  };
  return definition as unknown as SessionGrant;
}

/** One process of the fleet, with its own grant. */
export interface SessionProcess {
  readonly cache: TokenCache;
  readonly grant: SessionGrant;
  readonly store: SwitchableStore;
  readonly events: RemintEvent[];
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
  readonly join: (seed?: string, fleet?: Partial<FleetOptions>) => SessionProcess;
  /** Asks every process `callers` times, and lets time pass until all have answered. */
  readonly askAll: (callers?: number) => Promise<string[]>;
  /** Lets time pass until a promise settles, and returns its result. */
  readonly during: <T>(work: Promise<T>) => Promise<T>;
}

export interface SessionFleetOptions extends Partial<Omit<TokenCacheOptions, "grant" | "clock" | "store">> {
  readonly fleet?: Partial<FleetOptions>;
}

/** Creates a fleet. Records are not encrypted, because WebCrypto does not wait for a manual clock. */
export function sessionFleet(size = 3, { fleet, ...options }: SessionFleetOptions = {}): SessionFleet {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const server = new SessionServer();
  const seed = server.signIn();
  const processes: SessionProcess[] = [];
  const join = (own = seed, ownFleet: Partial<FleetOptions> = {}): SessionProcess => {
    const grant = sessionGrant(server, own);
    const events: RemintEvent[] = [];
    const switched = switchable(store);
    const cache = createTokenCache({
      origins: [ORIGIN],
      onEvent: (event) => void events.push(event),
      ...options,
      grant,
      clock,
      store: fleetStore(switched, { encryptionKey: "none", ...fleet, ...ownFleet }),
    });
    const process = { cache, grant, store: switched, events };
    processes.push(process);
    return process;
  };
  for (let index = 0; index < size; index++) join();
  const during = async <T>(work: Promise<T>): Promise<T> => {
    const outcome = watch(work);
    for (let steps = 0; outcome.state === "pending"; steps++) {
      if (steps > 1000) throw new Error("no answer within 100 s");
      await clock.advance(100);
    }
    return work;
  };
  const askAll = (callers = 1): Promise<string[]> => {
    const calls = processes.flatMap(({ cache }) => Array.from({ length: callers }, () => cache.get()));
    return during(Promise.all(calls).then((tokens) => tokens.map(({ value }) => value)));
  };
  return { clock, store, server, seed, processes, join, askAll, during };
}

/** A record that was written to the store, without encryption. */
export interface WrittenRecord {
  readonly key: string;
  readonly phase: string;
  readonly state?: string;
  readonly left: number;
  readonly lease?: number;
  readonly ttl: number;
  readonly token?: { readonly response: { readonly access_token: string } };
  readonly seed?: string;
  readonly strikes: number;
}

function decodeRecord(key: string, text: string): WrittenRecord {
  const sealed = JSON.parse(Buffer.from(text.slice(1), "base64url").toString()) as Omit<WrittenRecord, "phase">;
  return { ...sealed, key, phase: text.slice(0, 1) };
}

/** Collects every record that is written to the fleet's store from now on. */
export function writesTo({ store }: { readonly store: Store }): WrittenRecord[] {
  const writes: WrittenRecord[] = [];
  const swap = store.swap.bind(store);
  store.swap = async (key, expected, next, ttl) => {
    const result = await swap(key, expected, next, ttl);
    if (result.ok && next !== undefined) {
      const record = decodeRecord(key, next);
      if (record.ttl !== ttl) throw new Error(`kept for ${ttl} ms, and says ${record.ttl}`);
      writes.push(record);
    }
    return result;
  };
  return writes;
}

/** Counts the events of a process with this name. */
export function countEvents(
  { events }: { readonly events: readonly RemintEvent[] },
  name: RemintEvent["name"],
): number {
  return events.filter((event) => event.name === name).length;
}
