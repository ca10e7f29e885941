import { policyHalf } from "../../src/core/types.ts";
import type {
  AccessToken,
  Renewal,
  RequestRules,
  RequestTarget,
  SkipReason,
  TokenCache,
} from "../../src/core/types.ts";
import type { AuthorizationServer } from "./world.ts";

/** A cache that is watched: which value was let go of when, and whether it was handed out again after that. */
export class ObservedCache implements TokenCache {
  readonly rules: RequestRules;
  readonly #cache: TokenCache;
  readonly #server: AuthorizationServer;
  readonly #violations: string[];
  /** When each value was last let go of; order is a counter. */
  readonly #goneAt = new Map<string, number>();
  /** When the mint that yielded a value last began and landed. */
  readonly #minted = new Map<string, { readonly begun: number; readonly landed: number }>();
  /** Rejections that were not refused. */
  letGo = 0;
  #steps = 0;
  #mintBegun = 0;
  #failing = false;

  constructor(cache: TokenCache, server: AuthorizationServer, violations: string[]) {
    this.#cache = cache;
    this.#server = server;
    this.#violations = violations;
    this.rules = policyHalf(cache).rules;
    server.onMint = () => (this.#mintBegun = this.step());
  }

  step(): number {
    return ++this.#steps;
  }

  mintEnded(failed: boolean): void {
    this.#failing = failed;
    if (!failed) this.#minted.set(this.#server.lastIssued!, { begun: this.#mintBegun, landed: this.step() });
  }

  /** Somebody tells the cache that the token issued last is no good. */
  invalidateIssued(): void {
    const { lastIssued } = this.#server;
    if (lastIssued === undefined) return;
    void this.#cache.invalidate(lastIssued);
    this.#goneAt.set(lastIssued, this.step());
  }

  /** Somebody is late and tells the cache that the very first token is no good, when there have been others since. */
  invalidateFirst(): void {
    const [first] = this.#minted.keys();
    if (first !== undefined && first !== this.#server.lastIssued) void this.#cache.invalidate(first);
  }

  /** C5: a value that was let go of does not come from the cache any more, unless it was minted again. */
  checkFirst(name: string, value: string | undefined, requestBegun: number): void {
    if (value === undefined) return void this.#violations.push(`${name} was sent without a token`);
    const goneAt = this.#goneAt.get(value);
    const { begun, landed } = this.#minted.get(value)!;
    const fromCache = landed < requestBegun;
    if (goneAt === undefined || goneAt > requestBegun || begun > goneAt || !fromCache) return;
    this.#violations.push(`C5: ${name} began after ${value} was let go of, and was sent with it`);
  }

  get onTrial(): boolean {
    return policyHalf(this.#cache).onTrial;
  }

  peek(): AccessToken | undefined {
    return this.#cache.peek();
  }

  get(options?: { readonly signal?: AbortSignal | undefined }): Promise<AccessToken> {
    return this.#cache.get(options);
  }

  invalidate(value: string): Promise<void> {
    return this.#cache.invalidate(value);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  close(): Promise<void> {
    return this.#cache.close();
  }

  accepted(token: AccessToken, site: RequestTarget): void {
    policyHalf(this.#cache).accepted(token, site);
  }

  rejected(token: AccessToken, site: RequestTarget): Renewal | undefined {
    // On trial, or while nothing can be minted, a rejected token stays until there is another one (C6).
    const stays = policyHalf(this.#cache).onTrial || this.#failing;
    const renewal = policyHalf(this.#cache).rejected(token, site);
    if (renewal !== undefined) this.letGo++;
    if (renewal !== undefined && !stays) this.#goneAt.set(token.value, this.step());
    return renewal;
  }

  skipped(reason: SkipReason, url: string): void {
    policyHalf(this.#cache).skipped(reason, url);
  }
}
