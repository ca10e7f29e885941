/** What every case of the contract starts from: one client, one authorization server, one API. */
import { vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
} from "remint";
import { type Api, type ApiOptions, type AuthServer, startApi, startAuthServer } from "remint/testing";
import type { Call, ClientName, Setup, Source, TestClient } from "./clients.ts";

export const CLIENT_ID = "contract-client";
export const CLIENT_SECRET = "s3cret-of-the-contract-client";

/** One case of the contract. */
export interface Case {
  /** The numbers of the rules, then what happens. */
  readonly name: string;
  /** The clients that the case applies to; by default all. A comment beside it gives the reason. */
  readonly clients?: readonly ClientName[];
  readonly run: (world: World) => Promise<void>;
}

export class World {
  readonly client: TestClient;
  readonly auth: AuthServer;
  readonly api: Api;
  /** The events of all caches that {@link World.tokens} created. */
  readonly events: RemintEvent[] = [];
  readonly #closing: (() => Promise<unknown>)[] = [];

  private constructor(client: TestClient, auth: AuthServer, api: Api) {
    this.client = client;
    this.auth = auth;
    this.api = api;
  }

  static async start(client: TestClient): Promise<World> {
    const auth = await startAuthServer({ clientId: CLIENT_ID, clientSecret: CLIENT_SECRET });
    const world = new World(client, auth, await startApi({ accepts: auth }));
    world.atEnd(() => world.auth.close());
    world.atEnd(() => world.api.close());
    return world;
  }

  atEnd(close: () => Promise<unknown>): void {
    this.#closing.push(close);
  }

  async end(): Promise<void> {
    await Promise.all(this.#closing.map((close) => close()));
  }

  /** Creates a cache for the API, over the authorization server. */
  tokens(options: Partial<TokenCacheOptions> = {}): TokenCache {
    const { tokenEndpoint } = this.auth;
    const cache = createTokenCache({
      grant: clientCredentialsGrant({ tokenEndpoint, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }),
      origins: [this.api.origin],
      onEvent: (event) => this.#listen(event),
      ...options,
    });
    this.atEnd(() => cache.close());
    return cache;
  }

  /** A listener that misbehaves, which must change nothing (C12). */
  #listen(event: RemintEvent): unknown {
    this.events.push(event);
    const error = new Error("an error of the listener, which no caller gets");
    if (this.events.length % 2 === 0) throw error;
    return Promise.reject(error);
  }

  connect(source: Source, setup?: Setup): Call {
    return this.client.connect(source, setup);
  }

  /** Creates a client whose cache holds a token that the API accepts. */
  async warm(options: Partial<TokenCacheOptions> = {}, setup?: Setup): Promise<{ tokens: TokenCache; call: Call }> {
    const tokens = this.tokens(options);
    await tokens.get();
    return { tokens, call: this.connect(tokens, setup) };
  }

  /** Starts another API, at another origin. */
  async anotherApi(options: ApiOptions): Promise<Api> {
    const api = await startApi(options);
    this.atEnd(() => api.close());
    return api;
  }

  /** Returns the tokens of the requests that reached the API; only those to this path if one is given. */
  sends(path?: string): (string | undefined)[] {
    return this.api.requests.filter(({ url }) => path === undefined || url === path).map(({ token }) => token);
  }
}

/** Makes a scripted answer wait until the test opens the gate. */
export class Gate {
  #open: (() => void) | undefined;
  readonly passed: Promise<void> = new Promise((resolve) => (this.#open = resolve));

  open(): void {
    this.#open?.();
  }
}

/** Waits for a condition that has no promise. */
export async function until(condition: () => boolean): Promise<void> {
  await vi.waitUntil(condition, { timeout: 10_000, interval: 2 });
}

/** Returns the error of a call that must fail. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => {
      throw new Error("the call did not fail");
    },
    (error: unknown) => error,
  );
}

/** Watches a promise: `settled` is true once it has settled. For assertions, not for waiting. */
export function watch(promise: Promise<unknown>): { readonly settled: boolean } {
  const state = { settled: false };
  const settle = (): void => void (state.settled = true);
  promise.then(settle, settle);
  return state;
}

export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
