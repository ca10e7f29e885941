import { policyHalf, policyKey } from "../../src/core/types.ts";
import type {
  AccessToken,
  CloseOptions,
  CloseReport,
  PolicyHalf,
  Renewal,
  RequestRules,
  RequestTarget,
  SignInResponse,
  SignOutOptions,
  SkipReason,
  TargetOptions,
  TokenCache,
} from "../../src/core/types.ts";
import type { AuthorizationServer } from "./world.ts";

/** Wraps a cache and records when each token was discarded, and whether the cache served it again after that. */
export class ObservedCache implements TokenCache {
  readonly rules: RequestRules;
  readonly #cache: TokenCache;
  readonly #server: AuthorizationServer;
  readonly #violations: string[];
  /** For each token, the step at which it was last discarded. Steps are a counter. */
  readonly #discardedAt = new Map<string, number>();
  /** For each token, the steps at which its last mint began and ended. */
  readonly #minted = new Map<string, { readonly begun: number; readonly landed: number }>();
  /** The number of rejections for which the storm guard allowed a renewal. */
  discards = 0;
  #steps = 0;
  #mintBegun = 0;
  #failing = false;
  #isLeft = false;

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

  /** The callers of a mint have left it. */
  callersLeft(): void {
    this.#isLeft = true;
  }

  mintEnded(failed: boolean): void {
    this.#failing = failed;
    // No flight was there to note that its token was discarded before it landed.
    if (!failed && this.#isLeft) this.#discardedAt.delete(this.#server.lastIssued!);
    if (!failed) this.#isLeft = false;
    if (!failed) this.#minted.set(this.#server.lastIssued!, { begun: this.#mintBegun, landed: this.step() });
  }

  /** Invalidates the token that was issued last. */
  invalidateIssued(): void {
    const { lastIssued } = this.#server;
    if (lastIssued === undefined) return;
    void this.#cache.invalidate(lastIssued);
    this.#discardedAt.set(lastIssued, this.step());
  }

  /** Invalidates the very first token, if others have been issued since, as a late caller would. */
  invalidateFirst(): void {
    const [first] = this.#minted.keys();
    if (first !== undefined && first !== this.#server.lastIssued) void this.#cache.invalidate(first);
  }

  /** Checks that the cache does not serve a discarded token, unless it was minted again (C5). */
  checkFirst(name: string, value: string | undefined, requestBegun: number): void {
    if (value === undefined) return void this.#violations.push(`${name} was sent without a token`);
    const discardedAt = this.#discardedAt.get(value);
    const { begun, landed } = this.#minted.get(value)!;
    const fromCache = landed < requestBegun;
    if (discardedAt === undefined || discardedAt > requestBegun || begun > discardedAt || !fromCache) return;
    this.#violations.push(`C5: ${name} began after ${value} was discarded, and was sent with it`);
  }

  /** The request policy finds its half of the cache here: this object has the members of both halves. */
  get [policyKey](): PolicyHalf {
    return this;
  }

  get onTrial(): boolean {
    return policyHalf(this.#cache).onTrial;
  }

  get isMinting(): boolean {
    return policyHalf(this.#cache).isMinting;
  }

  rejectedBare(...call: Parameters<PolicyHalf["rejectedBare"]>): void {
    policyHalf(this.#cache).rejectedBare(...call);
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

  signIn(response: SignInResponse): Promise<void> {
    return this.#cache.signIn(response);
  }

  signOut(options?: SignOutOptions): Promise<void> {
    return this.#cache.signOut(options);
  }

  for(target: TargetOptions): TokenCache {
    return this.#cache.for(target);
  }

  close(options?: CloseOptions): Promise<CloseReport> {
    return this.#cache.close(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  accepted(token: AccessToken, target: RequestTarget): void {
    policyHalf(this.#cache).accepted(token, target);
  }

  rejected(token: AccessToken, target: RequestTarget): Renewal | undefined {
    // A cache on trial, or one whose mints fail, keeps a rejected token until it has another (C6).
    const stays = policyHalf(this.#cache).onTrial || this.#failing;
    const renewal = policyHalf(this.#cache).rejected(token, target);
    if (renewal !== undefined) this.discards++;
    if (renewal !== undefined && !stays) this.#discardedAt.set(token.value, this.step());
    return renewal;
  }

  rejectedAgain(token: AccessToken, target: RequestTarget): void {
    policyHalf(this.#cache).rejectedAgain(token, target);
  }

  skipped(reason: SkipReason, url: string): void {
    policyHalf(this.#cache).skipped(reason, url);
  }
}
