/** What every case of the contract starts from: one client, one authorization server, one API. */
import { inspect } from "node:util";
import { expect, onTestFinished, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
} from "remint";
import { type Api, type ApiOptions, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { printed } from "../matrix/describe.ts";
import type { Mode } from "../matrix/run.ts";
import type { Call, ClientName, Setup, Source, TestClient } from "./clients.ts";
import { rejectingApi } from "./rejecting-api.ts";

export const CLIENT_ID = "contract-client";
export const CLIENT_SECRET = "s3cret-of-the-contract-client";

/** One case of the contract. */
export interface Case {
  /** The numbers of the rules, then what happens. */
  readonly name: string;
  /** The clients that the case applies to; by default all. A comment beside it gives the reason. */
  readonly clients?: readonly ClientName[];
  /** Why the case is run in the mode `warm` only. By default it is run in every mode. */
  readonly warmOnly?: string;
  readonly run: (world: World) => Promise<void>;
}

/** Marks cases that are run in the mode `warm` only. */
export function warmOnly(reason: string, cases: readonly Case[]): readonly Case[] {
  return cases.map((each) => ({ warmOnly: reason, ...each }));
}

/** Tokens of `fakeGrant` and of the servers that bind tokens to a key. Those of the authorization server it knows itself. */
const OTHER_TOKEN = /\b(?:fake|bound)-\d+\b/;

export class World {
  readonly client: TestClient;
  readonly mode: Mode;
  readonly auth: AuthServer;
  readonly api: Api;
  /** The events of all caches that {@link World.tokens} created. */
  readonly events: RemintEvent[] = [];
  readonly #closing: (() => Promise<unknown>)[] = [];
  readonly #apis: Api[] = [];
  /** The origins that the caches list. */
  readonly #listed = new Set<string>();
  /** Every error that reached a caller. */
  readonly #errors: unknown[] = [];

  private constructor(client: TestClient, mode: Mode, auth: AuthServer, api: Api) {
    this.client = client;
    this.mode = mode;
    this.auth = auth;
    this.api = api;
  }

  static async start(client: TestClient, mode: Mode = "warm"): Promise<World> {
    const auth = await startAuthServer({ clientId: CLIENT_ID, clientSecret: CLIENT_SECRET });
    const api = await startApi({ accepts: auth });
    const isOurs = (token: string): boolean => auth.issued.includes(token) || OTHER_TOKEN.test(token);
    const world = new World(client, mode, auth, mode === "rejected" ? rejectingApi(api, isOurs) : api);
    world.atEnd(() => world.auth.close());
    world.atEnd(() => world.api.close());
    return world;
  }

  atEnd(close: () => Promise<unknown>): void {
    this.#closing.push(close);
  }

  async end(): Promise<void> {
    await Promise.all(this.#closing.map((close) => close()));
    for (const error of this.#errors) {
      expect(this.#secretIn(printed(error, (value) => inspect(value, { depth: 10 })))).toBeUndefined();
    }
    for (const { origin, requests } of this.#apis) {
      if (!this.#listed.has(origin)) expect(this.#secretIn(JSON.stringify(requests))).toBeUndefined();
    }
  }

  /** Returns a token, or the client's secret, that a text contains. */
  #secretIn(text: string): string | undefined {
    const secrets = [CLIENT_SECRET, encodeURIComponent(CLIENT_SECRET), btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)];
    return [...this.auth.issued, ...secrets].find((each) => text.includes(each)) ?? OTHER_TOKEN.exec(text)?.[0];
  }

  /** Creates a cache for the API, over the authorization server. */
  tokens(options: Partial<TokenCacheOptions> = {}): TokenCache {
    const { tokenEndpoint } = this.auth;
    const cache = createTokenCache({
      grant: clientCredentialsGrant({ tokenEndpoint, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }),
      onEvent: (event) => this.#listen(event),
      ...(this.mode === "waits" && { maxTtl: 0 }),
      ...options,
      origins: this.#list(options.origins ?? [this.api.origin]),
    });
    this.atEnd(() => cache.close());
    return cache;
  }

  /** Notes the origins of a cache. */
  #list(origins: NonNullable<TokenCacheOptions["origins"]>): NonNullable<TokenCacheOptions["origins"]> {
    const note = (listed: string | readonly (string | URL)[] | undefined): void => {
      for (const each of [listed ?? []].flat()) this.#listed.add(String(each));
    };
    if (typeof origins !== "function") note(origins);
    else {
      return (token) => {
        const listed = origins(token);
        note(listed);
        return listed;
      };
    }
    return origins;
  }

  /** A listener that misbehaves, which must change nothing (C12). */
  #listen(event: RemintEvent): unknown {
    this.events.push(event);
    const error = new Error("an error of the listener, which no caller gets");
    if (this.events.length % 2 === 0) throw error;
    return Promise.reject(error);
  }

  connect(source: Source, setup?: Setup): Call {
    const call = this.client.connect(source, setup);
    return (url, sent) => {
      const reply = call(url, sent);
      reply.then(
        ({ error }) => error !== undefined && this.#errors.push(error),
        (error: unknown) => this.#errors.push(error),
      );
      return reply;
    };
  }

  /** Creates a client whose cache holds a token that the API accepts. */
  async warm(options: Partial<TokenCacheOptions> = {}, setup?: Setup): Promise<{ tokens: TokenCache; call: Call }> {
    const tokens = this.tokens(options);
    // A cache that keeps no token stays empty.
    if (this.mode !== "waits") await tokens.get();
    return { tokens, call: this.connect(tokens, setup) };
  }

  /** Starts another API, at another origin. */
  async anotherApi(options: ApiOptions): Promise<Api> {
    const api = await startApi(options);
    this.atEnd(() => api.close());
    this.#apis.push(api);
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

/** Puts another class in the place of `Promise` until the test ends, as zone.js does. Native promises are no instances of it. */
export function replacePromise(): void {
  const own = globalThis.Promise;
  globalThis.Promise = class extends own<unknown> {} as PromiseConstructor;
  onTestFinished(() => void (globalThis.Promise = own));
}
