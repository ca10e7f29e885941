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

/** A server whose refresh tokens rotate, with reuse detection: one that comes twice ends its whole session (RFC 9700 4.14.2). */
export class SessionServer {
  /** Every refresh token that was presented, in order. */
  readonly presented: string[] = [];
  /** Seconds its access tokens live. */
  expiresIn = 300;
  readonly #sessions: Session[] = [];

  /** A user signs in. @returns The first refresh token. */
  signIn(): string {
    const session = { live: `rt-${this.#sessions.length + 1}-0`, rotations: 0, isEnded: false };
    this.#sessions.push(session);
    return session.live;
  }

  /** The refresh token of a session that is good now; of the last one unless told. */
  live(session: number = this.#sessions.length): string | undefined {
    const { live, isEnded } = this.#sessions[session - 1]!;
    return isEnded ? undefined : live;
  }

  /** The user's session is ended by the server. */
  end(session: number = this.#sessions.length): void {
    this.#sessions[session - 1]!.isEnded = true;
  }

  /** One token request. @throws {TokenEndpointError} `invalid_grant`, and the session is over. */
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

  /** Those that were presented more than once. */
  get reused(): string[] {
    const seen = new Set<string>();
    return this.presented.filter((token) => seen.size === seen.add(token).size);
  }
}

/** A grant of one process, and where a test may hold it up. */
export interface SessionGrant extends Grant {
  /** Awaited before the refresh token is presented. */
  beforeSending: (() => Promise<unknown>) | undefined;
  /** Awaited when the server has answered, before anybody hears of it. */
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

/** A process and its own grant. */
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
  /** The refresh token the processes are configured with. */
  readonly seed: string;
  /** One more process. */
  readonly join: (seed?: string, fleet?: Partial<FleetOptions>) => SessionProcess;
  /** Every process asks `callers` times; time passes until all have an answer. */
  readonly askAll: (callers?: number) => Promise<string[]>;
  /** What a call comes to, while time passes. */
  readonly during: <T>(work: Promise<T>) => Promise<T>;
}

export interface SessionFleetOptions extends Partial<Omit<TokenCacheOptions, "grant" | "clock" | "store">> {
  readonly fleet?: Partial<FleetOptions>;
}

/** Nothing is encrypted: WebCrypto does not wait for a manual clock. */
export function sessionFleet(size = 3, { fleet, ...options }: SessionFleetOptions = {}): SessionFleet {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const server = new SessionServer();
  const seed = server.signIn();
  const processes: SessionProcess[] = [];
  const join = (own = seed, differently: Partial<FleetOptions> = {}): SessionProcess => {
    const grant = sessionGrant(server, own);
    const events: RemintEvent[] = [];
    const switched = switchable(store);
    const cache = createTokenCache({
      origins: [ORIGIN],
      onEvent: (event) => void events.push(event),
      ...options,
      grant,
      clock,
      store: fleetStore(switched, { encryptionKey: "none", ...fleet, ...differently }),
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

/** A record as it was written; nothing is encrypted where the clock is a manual one. */
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

export function decoded(key: string, text: string): WrittenRecord {
  const sealed = JSON.parse(Buffer.from(text.slice(1), "base64url").toString()) as Omit<WrittenRecord, "phase">;
  return { ...sealed, key, phase: text.slice(0, 1) };
}

/** Collects everything that is written to the fleet's store from now on. */
export function writesTo({ store }: { readonly store: Store }): WrittenRecord[] {
  const writes: WrittenRecord[] = [];
  const swap = store.swap.bind(store);
  store.swap = async (key, expected, next, ttl) => {
    const result = await swap(key, expected, next, ttl);
    if (result.ok && next !== undefined) {
      const record = decoded(key, next);
      if (record.ttl !== ttl) throw new Error(`kept for ${ttl} ms, and says ${record.ttl}`);
      writes.push(record);
    }
    return result;
  };
  return writes;
}

/** The names of events that a process told. */
export function toldBy({ events }: { readonly events: readonly RemintEvent[] }, name: RemintEvent["name"]): number {
  return events.filter((event) => event.name === name).length;
}
