/**
 * What the tests of one client's own behaviour start from: a fake grant, an API that accepts its tokens, and a cache
 * over both. The ofetch tests use it too.
 */
import { inspect } from "node:util";
import { expect } from "vitest";
import { createTokenCache, type RemintEvent, type TokenCache, type TokenCacheOptions } from "remint";
import { type Api, type FakeGrant, fakeGrant, type ManualClock, manualClock, startApi } from "remint/testing";

export class Stage implements AsyncDisposable {
  readonly grant: FakeGrant;
  readonly api: Api;
  /** The clock of the caches. It stands still until a test moves it. */
  readonly clock: ManualClock = manualClock();
  readonly tokens: TokenCache;
  readonly events: RemintEvent[] = [];
  readonly #revoked: Set<string>;

  private constructor(grant: FakeGrant, api: Api, revoked: Set<string>, options: Partial<TokenCacheOptions>) {
    this.grant = grant;
    this.api = api;
    this.#revoked = revoked;
    this.tokens = this.cache(options);
  }

  /** @param options Options of the cache. By default its clock stands still, and its origin is the API's. */
  static async open(options: Partial<TokenCacheOptions> = {}): Promise<Stage> {
    const revoked = new Set<string>();
    const grant = fakeGrant();
    const api = await startApi({ accepts: (token) => /^fake-\d+$/.test(token) && !revoked.has(token) });
    return new Stage(grant, api, revoked, options);
  }

  /** Creates another cache over the same grant. */
  cache(options: Partial<TokenCacheOptions> = {}): TokenCache {
    return createTokenCache({
      grant: this.grant,
      origins: [this.api.origin],
      clock: this.clock,
      mintRetries: 0,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }

  get url(): string {
    return `${this.api.origin}/orders`;
  }

  /** The tokens that the API received, oldest first. */
  get sends(): (string | undefined)[] {
    return this.api.requests.map(({ token }) => token);
  }

  /** The bodies that the API received, oldest first. */
  get bodies(): string[] {
    return this.api.requests.map(({ text }) => text);
  }

  /** Makes the API reject the token that was minted last. */
  revoke(): void {
    this.#revoked.add(String(this.grant.last));
  }

  /** Fills the cache with a token, and makes the API reject it. */
  async warmAndRevoke(): Promise<void> {
    await this.tokens.get();
    this.revoke();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tokens.close();
    await this.api.close();
  }
}

/** Returns the error of a call that must fail. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => expect.fail("the call did not fail"),
    (error: unknown) => error,
  );
}

/** Looks for a token in every form in which a logger may print a value; returns the text around it, or `undefined`. */
export function leakIn(value: unknown): string | undefined {
  const json = (): string => {
    try {
      return JSON.stringify(value) ?? "";
    } catch (error) {
      return String(error); // A circular value; the message names the members on the circle.
    }
  };
  const inspected = inspect(value, { depth: 10, maxArrayLength: null, maxStringLength: null });
  for (const text of [inspected, json(), jsonWithoutCircles(value)]) {
    const found = /fake-\d/.exec(text);
    if (found !== null) return text.slice(Math.max(0, found.index - 200), found.index + 20);
  }
  return undefined;
}

/** The JSON of loggers, which leave out what they have printed already. */
function jsonWithoutCircles(value: unknown): string {
  const seen = new Set<unknown>();
  const text = JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member !== "object" || member === null) return member;
    if (seen.has(member)) return "[circular]";
    seen.add(member);
    return member;
  }) as string | undefined;
  return text ?? "";
}
