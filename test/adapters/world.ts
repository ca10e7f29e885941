/** What every case of the contract starts from: one client, one token endpoint, one API. */
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

/** One rule and how it shows. */
export interface Case {
  /** The numbers of the rules, then the sentence. */
  readonly name: string;
  /** The clients it can be shown with; the reason stands beside it. */
  readonly clients?: readonly ClientName[];
  readonly run: (world: World) => Promise<void>;
}

export class World {
  readonly client: TestClient;
  readonly auth: AuthServer;
  readonly api: Api;
  /** Of every cache made by {@link World.tokens}. */
  readonly events: RemintEvent[] = [];
  readonly #closing: (() => Promise<void>)[] = [];

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

  atEnd(close: () => Promise<void>): void {
    this.#closing.push(close);
  }

  async end(): Promise<void> {
    await Promise.all(this.#closing.map((close) => close()));
  }

  /** A cache over the token endpoint, for the API. */
  tokens(options: Partial<TokenCacheOptions> = {}): TokenCache {
    const { tokenEndpoint } = this.auth;
    const cache = createTokenCache({
      grant: clientCredentialsGrant({ tokenEndpoint, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }),
      origins: [this.api.origin],
      onEvent: (event) => this.events.push(event),
      ...options,
    });
    this.atEnd(() => cache.close());
    return cache;
  }

  connect(source: Source, setup?: Setup): Call {
    return this.client.connect(source, setup);
  }

  /** A client whose cache holds a token that the API has accepted. */
  async warm(options: Partial<TokenCacheOptions> = {}, setup?: Setup): Promise<{ tokens: TokenCache; call: Call }> {
    const tokens = this.tokens(options);
    await tokens.get();
    return { tokens, call: this.connect(tokens, setup) };
  }

  /** Another API at another origin. */
  async anotherApi(options: ApiOptions): Promise<Api> {
    const api = await startApi(options);
    this.atEnd(() => api.close());
    return api;
  }

  /** The tokens of the requests that reached the API, on this path if one is given. */
  sends(path?: string): (string | undefined)[] {
    return this.api.requests.filter(({ url }) => path === undefined || url === path).map(({ token }) => token);
  }
}

/** Where a scripted answer waits until the test lets it go. */
export class Gate {
  #open: (() => void) | undefined;
  readonly passed: Promise<void> = new Promise((resolve) => (this.#open = resolve));

  open(): void {
    this.#open?.();
  }
}

/** Waits for something that has no promise of its own; order is asserted by what is true then, never by how long it took. */
export async function until(condition: () => boolean): Promise<void> {
  await vi.waitUntil(condition, { timeout: 10_000, interval: 2 });
}

/** What a call that must fail failed with. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => {
      throw new Error("the call was to fail and did not");
    },
    (error: unknown) => error,
  );
}

/** Whether a promise has settled, as a fact to assert on and not to wait for. */
export function watch(promise: Promise<unknown>): { readonly settled: boolean } {
  const state = { settled: false };
  const settle = (): void => void (state.settled = true);
  promise.then(settle, settle);
  return state;
}

export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
