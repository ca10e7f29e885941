/**
 * The world of the storm guard's simulation: the real caches, pools and request policy between a simulated token endpoint
 * and a simulated API, on virtual time.
 */
import { grantOf, type Grant } from "../../../src/core/grant.ts";
import { policyHalf } from "../../../src/core/types.ts";
import { retrying } from "../../../src/grants/retry.ts";
import { createTokenCache, createTokenPool, TokenEndpointError, type TokenCache } from "../../../src/index.ts";
import { withToken } from "../../../src/policy/request-policy.ts";
import type { ClientSeam } from "../../../src/policy/client-seam.ts";
import { randomOf } from "../random.ts";
import { VirtualTime } from "./virtual-time.ts";

/** A span of virtual time: from, until. */
export type Span = readonly [from: number, until: number];

/** Requests that users send again and again. */
export interface Load {
  readonly path: string;
  /** Every request has a path of its own below `path`. */
  readonly hasIds?: boolean;
  /** Milliseconds between two requests of a user. Every user begins at a random moment of the first interval. */
  readonly every: number;
  /** All users send at the same moment, for example when the tokens are revoked. */
  readonly inStep?: boolean;
  readonly during: Span;
  /** Which users. @defaultValue all */
  readonly of?: (user: number) => boolean;
  /** How many requests each of them has under way at most: a caller waits for its answer. @defaultValue any number */
  readonly atOnce?: number;
  /** Callers of one user that send at the same moment. @defaultValue 1 */
  readonly callers?: number;
  /** The share of requests whose bodies cannot be sent again. */
  readonly streams?: number;
  /** The share of requests that are aborted, after so many milliseconds at most. */
  readonly aborts?: number;
  readonly patience?: number;
}

/** What happens in a run. All times are virtual milliseconds since its beginning. */
export interface Scenario {
  readonly name: string;
  readonly users: number;
  /** Pools, in each of which every user has a cache. 0: one cache for each user, and no pool. @defaultValue 1 */
  readonly processes?: number;
  readonly until: number;
  readonly loads: readonly Load[];
  /** All tokens of these users are revoked at these moments. */
  readonly revocations?: readonly {
    readonly at: number;
    readonly of?: (user: number) => boolean;
  }[];
  /** Users whose tokens the API never accepts, and from when. */
  readonly disabled?: { readonly from: number; readonly of: (user: number) => boolean };
  /** Paths that accept every token. */
  readonly open?: (path: string) => boolean;
  /** Paths that reject every token. */
  readonly forbidden?: (path: string) => boolean;
  /** The API rejects every token on these paths meanwhile. */
  readonly outages?: readonly {
    readonly during: Span;
    readonly on?: (path: string) => boolean;
    /** Tokens that were minted before its end are not accepted afterwards. */
    readonly losesTokens?: boolean;
  }[];
  /** Milliseconds until the API knows a token that was minted. */
  readonly lag?: number;
  readonly endpoint?: {
    /** Milliseconds of an answer, give or take 20 %. @defaultValue 100 */
    readonly latency?: number;
    /** Token requests that it answers in a second; others wait. @defaultValue any number */
    readonly capacity?: number;
    /** It answers 503 meanwhile. */
    readonly down?: readonly Span[];
    /** The share of token requests that it answers 503. */
    readonly fails?: number;
  };
  /** Whether every user has been answered 200 before the run is measured. @defaultValue true */
  readonly isWarm?: boolean;
  readonly mintTimeout?: number;
}

/** What a run has counted. */
export interface Outcome {
  readonly requests: number;
  /** Token requests, and how many there were in the second that had most. */
  readonly mints: number;
  readonly peak: number;
  /** When each token request came. */
  readonly mintedAt: readonly number[];
  /** The tokens that were live, were revoked and then sent: each needs a mint. */
  readonly needed: number;
  /** 401s that callers got. */
  readonly surfaced: number;
  /** Those for which a new token would have been accepted, without and with bodies that cannot be sent again. */
  readonly avoidable: number;
  readonly avoidableStreams: number;
  /** Callers that got another error, because a mint failed. */
  readonly errors: number;
  readonly aborted: number;
  readonly mostSends: number;
  /** Milliseconds by which an answer came later than an API without rejections would have given it, of rejected requests. */
  readonly waitP50: number;
  readonly waitP99: number;
  /** Milliseconds from the last revocation, or the end of the last outage, until every user that asks was answered 200. */
  readonly recovery: number | undefined;
  /** Caches that still want to hear of accepted tokens when the run is over. */
  readonly onTrial: number;
}

const ORIGIN = "https://api.example";
const LATENCY = 50;

interface User {
  readonly index: number;
  revokedAt: number;
  /** When the user's first request after the last revocation was sent, and when one was answered 200. */
  askedAt: number | undefined;
  recoveredAt: number | undefined;
}

interface Token {
  readonly user: User;
  readonly serial: number;
  readonly mintedAt: number;
  isCounted: boolean;
}

interface Call {
  readonly url: string;
  readonly path: string;
  readonly user: User;
  readonly isStream: boolean;
  readonly signal?: AbortSignal | undefined;
  sends: number;
  /** A new token would have been accepted when the API judged the last send. */
  isAvoidable: boolean;
}

interface Answer {
  readonly status: number;
}

/** Runs a scenario. The same seed gives the same outcome. */
export async function simulate(
  scenario: Scenario,
  { seed = 1, onTurn }: { readonly seed?: number; readonly onTurn?: (at: number) => void } = {},
): Promise<Outcome> {
  return new World(scenario, seed).run(onTurn);
}

class World {
  readonly #scenario: Scenario;
  readonly #time: VirtualTime;
  readonly #random: () => number;
  readonly #users: User[];
  readonly #tokens = new Map<string, Token>();
  /** A counter that orders mints and revocations, also those of one millisecond. */
  #serial = 0;
  #lostAt = 0;
  #busyUntil = 0;
  /** When tokens were revoked last, or the last outage has ended. */
  #recoversFrom = -Infinity;
  readonly #mintedAt: number[] = [];
  readonly #waits: number[] = [];
  #caches: { readonly cache: TokenCache; readonly user: User }[] = [];
  readonly #counts = {
    requests: 0,
    mints: 0,
    needed: 0,
    surfaced: 0,
    avoidable: 0,
    avoidableStreams: 0,
    errors: 0,
    aborted: 0,
    mostSends: 0,
  };

  constructor(scenario: Scenario, seed: number) {
    this.#scenario = scenario;
    this.#time = new VirtualTime(seed);
    this.#random = randomOf(seed ^ 0x5eed);
    this.#users = Array.from({ length: scenario.users }, (_, index) => ({
      index,
      revokedAt: 0,
      askedAt: undefined,
      recoveredAt: undefined,
    }));
  }

  async run(onTurn?: (at: number) => void): Promise<Outcome> {
    this.#time.setTimeout(() => this.#begin(), 0);
    await this.#time.run(this.#scenario.until, () => onTurn?.(this.#time.monotonic()));
    return this.#outcome();
  }

  #begin(): void {
    this.#plan();
    this.#caches = this.#newCaches();
    for (const each of this.#caches) if (this.#isWarm(each.user)) this.#greet(each.cache, each.user);
    for (const load of this.#scenario.loads) for (const cache of this.#caches) this.#send(load, cache);
  }

  /** One cache of each user in each process. */
  #newCaches(): { cache: TokenCache; user: User }[] {
    const { processes = 1, users } = this.#scenario;
    if (processes === 0) return this.#users.map((user) => ({ cache: this.#newCache(user), user }));
    const pools = Array.from({ length: processes }, () =>
      createTokenPool({
        create: (key) => this.#newCache(this.#users[Number(key)]!),
        maxSize: users + 1,
        clock: this.#time,
      }),
    );
    return this.#users.flatMap((user) => pools.map((pool) => ({ cache: pool.get(String(user.index)), user })));
  }

  #newCache(user: User): TokenCache {
    const { mintTimeout } = this.#scenario;
    return createTokenCache({
      grant: this.#grant(user),
      origins: [ORIGIN],
      clock: this.#time,
      initial: { access_token: this.#issue(user), expires_in: 36_000 },
      warnings: false,
      ...(mintTimeout !== undefined && { mintTimeout }),
    });
  }

  #grant(user: User): Grant {
    return grantOf({
      server: { endpoint: "https://auth.example/token", client: "shop", target: "" },
      isRepeatable: true,
      retry: retrying,
      mint: async () => ({
        response: { access_token: await this.#answerMint(user), expires_in: 36_000 },
      }),
    });
  }

  #isWarm({ index }: User): boolean {
    const { isWarm = true, disabled } = this.#scenario;
    return isWarm && !(disabled?.from === 0 && disabled.of(index));
  }

  /** Before anything is measured, the API accepts each token once. */
  #greet(cache: TokenCache, user: User): void {
    const call: Call = {
      url: `${ORIGIN}/hello`,
      path: "/hello",
      user,
      isStream: false,
      sends: 0,
      isAvoidable: false,
    };
    void withToken(cache, call, { ...this.#client, send: async () => ({ status: 200 }) });
  }

  #issue(user: User): string {
    const value = `${user.index}.${++this.#serial}`;
    this.#tokens.set(value, {
      user,
      serial: this.#serial,
      mintedAt: this.#time.monotonic(),
      isCounted: false,
    });
    return value;
  }

  async #answerMint(user: User): Promise<string> {
    const { latency = 100, capacity, down = [], fails = 0 } = this.#scenario.endpoint ?? {};
    const now = this.#time.monotonic();
    this.#counts.mints++;
    this.#mintedAt.push(now);
    if (capacity !== undefined) this.#busyUntil = Math.max(now, this.#busyUntil) + 1000 / capacity;
    await this.#time.pause(Math.max(0, this.#busyUntil - now) + this.#about(latency) / 2);
    const fail = isDuring(down, this.#time.monotonic()) || this.#random() < fails;
    const value = fail ? undefined : this.#issue(user);
    await this.#time.pause(this.#about(latency) / 2);
    if (value !== undefined) return value;
    throw new TokenEndpointError(503, "the token endpoint answered 503");
  }

  #about(ms: number): number {
    return ms * (0.8 + 0.4 * this.#random());
  }

  /** Sets what the scenario lets happen. */
  #plan(): void {
    const { revocations = [], outages = [] } = this.#scenario;
    for (const { at, of = () => true } of revocations) {
      this.#time.setTimeout(() => {
        for (const user of this.#users) if (of(user.index)) this.#revoke(user);
      }, at);
    }
    for (const { during, losesTokens } of outages) {
      this.#time.setTimeout(() => {
        if (losesTokens === true) this.#lostAt = ++this.#serial;
        for (const user of this.#users) this.#beginRecovery(user);
      }, during[1]);
    }
  }

  #revoke(user: User): void {
    user.revokedAt = ++this.#serial;
    this.#beginRecovery(user);
  }

  #beginRecovery(user: User): void {
    user.askedAt = undefined;
    user.recoveredAt = undefined;
    this.#recoversFrom = this.#time.monotonic();
  }
  /** Sends the requests of one user in one process. */
  #send(load: Load, { cache, user }: { readonly cache: TokenCache; readonly user: User }): void {
    if (load.of?.(user.index) === false) return;
    const [from, until] = load.during;
    const { callers = 1, atOnce = Infinity } = load;
    let underWay = 0;
    const tick = (): void => {
      if (this.#time.monotonic() >= until) return;
      for (let caller = 0; caller < callers && underWay < atOnce; caller++) {
        underWay++;
        void this.#request(load, cache, user).finally(() => underWay--);
      }
      this.#time.setTimeout(tick, load.every);
    };
    this.#time.setTimeout(tick, from + (load.inStep === true ? 0 : this.#random() * load.every));
  }

  async #request(load: Load, cache: TokenCache, user: User): Promise<void> {
    const { streams = 0, aborts = 0, patience = 1000, path, hasIds } = load;
    const counts = this.#counts;
    const began = this.#time.monotonic();
    const signal = aborts > 0 && this.#random() < aborts ? this.#abortIn(this.#random() * patience) : undefined;
    const url = ORIGIN + path + (hasIds === true ? `/${++counts.requests}` : (counts.requests++, ""));
    const isStream = streams > 0 && this.#random() < streams;
    const call: Call = { url, path, user, isStream, signal, sends: 0, isAvoidable: false };
    user.askedAt ??= began;
    try {
      const { status } = await withToken(cache, call, this.#client);
      if (call.sends > 1 || status === 401) this.#waits.push(this.#time.monotonic() - began - LATENCY);
      if (status === 401) this.#surfaced(call);
    } catch {
      if (signal?.aborted === true) counts.aborted++;
      else counts.errors++;
    }
    counts.mostSends = Math.max(counts.mostSends, call.sends);
  }

  #abortIn(ms: number): AbortSignal {
    const controller = new AbortController();
    this.#time.setTimeout(() => controller.abort(ABORTED), ms);
    return controller.signal;
  }

  #surfaced({ isAvoidable, isStream }: Call): void {
    this.#counts.surfaced++;
    if (isAvoidable && isStream) this.#counts.avoidableStreams++;
    if (isAvoidable && !isStream) this.#counts.avoidable++;
  }

  readonly #client: ClientSeam<Call, Answer> = {
    send: (call, headers) => this.#answer(call, headers?.["authorization"]?.split(" ")[1]),
    status: (answer) => answer.status,
    header: () => null,
    canResend: (call) => !call.isStream,
    // Draining a 401 takes a moment, as over a network.
    discard: () => this.#time.pause(1),
  };

  async #answer(call: Call, token: string | undefined): Promise<Answer> {
    call.sends++;
    const { user, path } = call;
    await this.#leg(call);
    if (this.#scenario.open?.(path) === true) return this.#leg(call).then(() => ({ status: 200 }));
    const status = this.#judge(call, token) ? 200 : 401;
    const judgedAt = this.#time.monotonic();
    await this.#leg(call);
    if (status === 200 && judgedAt >= this.#recoversFrom) user.recoveredAt ??= this.#time.monotonic();
    return { status };
  }

  /** One way of a request. */
  #leg({ signal }: Call): Promise<void> {
    const passed = this.#time.pause(this.#about(LATENCY / 2));
    if (signal === undefined) return passed;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(ABORTED);
      else signal.addEventListener("abort", () => reject(ABORTED), { once: true });
      void passed.then(resolve);
    });
  }

  #judge(call: Call, value: string | undefined): boolean {
    const token = this.#tokens.get(value ?? "")!;
    const { lag = 0 } = this.#scenario;
    const now = this.#time.monotonic();
    const isLive = token.serial > Math.max(token.user.revokedAt, this.#lostAt);
    if (!isLive && !token.isCounted) {
      token.isCounted = true;
      this.#counts.needed++;
    }
    call.isAvoidable = this.#acceptsNew(call, now);
    return isLive && call.isAvoidable && now >= token.mintedAt + (token.serial > this.#scenario.users ? lag : 0);
  }

  /** Whether a new token would be accepted. */
  #acceptsNew({ user, path }: Call, now: number): boolean {
    const { disabled, forbidden, outages = [] } = this.#scenario;
    if (disabled !== undefined && now >= disabled.from && disabled.of(user.index)) return false;
    if (forbidden?.(path) === true) return false;
    return !outages.some(({ during, on }) => isDuring([during], now) && on?.(path) !== false);
  }

  #outcome(): Outcome {
    const waits = this.#waits.toSorted((a, b) => a - b);
    const quantile = (share: number): number => Math.max(0, Math.round(waits[Math.floor(waits.length * share)] ?? 0));
    return {
      ...this.#counts,
      peak: peakOf(this.#mintedAt),
      mintedAt: this.#mintedAt,
      waitP50: quantile(0.5),
      waitP99: quantile(0.99),
      recovery: this.#recovery(),
      onTrial: this.#caches.filter(({ cache }) => policyHalf(cache).onTrial).length,
    };
  }

  #recovery(): number | undefined {
    const { disabled } = this.#scenario;
    const asking = this.#users.filter(({ askedAt, index }) => askedAt !== undefined && disabled?.of(index) !== true);
    if (this.#recoversFrom < 0 || asking.length === 0) return undefined;
    let last = 0;
    for (const { recoveredAt } of asking) last = Math.max(last, recoveredAt ?? Infinity);
    return Math.max(0, Math.round(last - this.#recoversFrom));
  }
}

/** The largest number within one second. */
function peakOf(times: readonly number[]): number {
  let peak = 0;
  for (let first = 0, last = 0; last < times.length; last++) {
    while (times[last]! - times[first]! >= 1000) first++;
    peak = Math.max(peak, last - first + 1);
  }
  return peak;
}

const ABORTED = new Error("the caller has aborted");

function isDuring(spans: readonly Span[], now: number): boolean {
  return spans.some(([from, until]) => now >= from && now < until);
}
