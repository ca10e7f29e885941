/** What the tests of one client's own behaviour start from: a grant without a server, an API, and a cache over both. */
import { inspect } from "node:util";
import { expect } from "vitest";
import { createTokenCache, type RemintEvent, type TokenCache, type TokenCacheOptions } from "remint";
import { type Api, type FakeGrant, fakeGrant, manualClock, startApi } from "remint/testing";

export class Stage implements AsyncDisposable {
  readonly grant: FakeGrant;
  readonly api: Api;
  readonly tokens: TokenCache;
  readonly events: RemintEvent[] = [];
  readonly #revoked: Set<string>;

  private constructor(grant: FakeGrant, api: Api, revoked: Set<string>, options: Partial<TokenCacheOptions>) {
    this.grant = grant;
    this.api = api;
    this.#revoked = revoked;
    this.tokens = this.cache(options);
  }

  /** @param options Of the cache; its clock stands still, its origin is the API's. */
  static async open(options: Partial<TokenCacheOptions> = {}): Promise<Stage> {
    const revoked = new Set<string>();
    const grant = fakeGrant();
    const api = await startApi({ accepts: (token) => /^fake-\d+$/.test(token) && !revoked.has(token) });
    return new Stage(grant, api, revoked, options);
  }

  /** Another cache over the same grant. */
  cache(options: Partial<TokenCacheOptions> = {}): TokenCache {
    return createTokenCache({
      grant: this.grant,
      origins: [this.api.origin],
      clock: manualClock(),
      mintRetries: 0,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }

  get url(): string {
    return `${this.api.origin}/orders`;
  }

  /** The tokens the API got, oldest first. */
  get sends(): (string | undefined)[] {
    return this.api.requests.map(({ token }) => token);
  }

  /** The bodies the API got, oldest first. */
  get bodies(): string[] {
    return this.api.requests.map(({ text }) => text);
  }

  /** Makes the API refuse the token that was handed out last. */
  revoke(): void {
    this.#revoked.add(String(this.grant.last));
  }

  /** A cache whose token the API does not accept any more. */
  async stale(): Promise<void> {
    await this.tokens.get();
    this.revoke();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tokens.close();
    await this.api.close();
  }
}

/** What a call that must fail failed with. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => expect.fail("the call was to fail and did not"),
    (error: unknown) => error,
  );
}

/** What is around a token in any form in which a logger may print the value; `undefined` when there is none. */
export function leakIn(value: unknown): string | undefined {
  const json = (): string => {
    try {
      return JSON.stringify(value) ?? "";
    } catch (error) {
      return String(error); // Circular; JSON.stringify names the members on the circle.
    }
  };
  for (const text of [inspect(value, { depth: 10, maxArrayLength: null, maxStringLength: null }), json()]) {
    const found = /fake-\d/.exec(text);
    if (found !== null) return text.slice(Math.max(0, found.index - 200), found.index + 20);
  }
  return undefined;
}
