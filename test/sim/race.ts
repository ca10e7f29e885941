/** One race of callers over the real cache and request policy, in an order that a scheduler of fast-check decides. */
import fc from "fast-check";
import { createTokenCache, isRemintError, type RemintEvent, type TokenCacheOptions } from "../../src/index.ts";
import { withToken } from "../../src/policy/request-policy.ts";
import { manualClock } from "../../src/testing/index.ts";
import { settle } from "../core/cache-under-test.ts";
import { ObservedCache } from "./observed-cache.ts";
import { AuthorizationServer, simulatedApi, type Accepts } from "./world.ts";

/** One caller of a race. */
export interface CallerPlan {
  readonly url: string;
  readonly stream: boolean;
  /** The caller aborts at some moment. */
  readonly aborts: boolean;
}

/** The parts of a race. The scheduler decides their order. */
export interface RacePlan {
  readonly callers: readonly CallerPlan[];
  readonly revocations: number;
  /** How often the token that was issued last is invalidated. */
  readonly invalidations: number;
  /** How often a token that has been replaced is invalidated. */
  readonly lateInvalidations: number;
  /** Steps of the clock, in milliseconds. */
  readonly ticks: readonly number[];
  /** The number of mints that fail, from the first on. */
  readonly failures: number;
  readonly oneLive: boolean;
  readonly repeats: boolean;
  readonly expiresIn: number;
}

/** The violations and the counts of a race. */
export interface Observed {
  readonly violations: string[];
  readonly mints: number;
  /** The number of charges that the storm guard booked. */
  readonly charges: number;
  /** The number of rejections that discarded a token and joined a flight without a charge. */
  readonly discardsUncharged: number;
  /** The number of mints that began because a token was about to expire. */
  readonly refreshes: number;
  readonly failedMints: number;
  /** The callers whose request could be resent and that got a 401. */
  readonly surfaced: string[];
  readonly elapsed: number;
}

export const HEALTHY = ["https://a.example/ok", "https://a.example/fine", "https://b.example/ok"] as const;
/** A path that rejects every token, on an origin that is otherwise healthy. */
export const BROKEN = "https://a.example/broken";
export const FOREIGN = "https://elsewhere.example/ok";

const ORIGINS = ["https://a.example", "https://b.example"];

/** Runs one race until every caller has an outcome. */
export async function race(scheduler: fc.Scheduler, plan: RacePlan): Promise<Observed> {
  return new Race(scheduler, plan).run();
}

class Race {
  readonly #scheduler: fc.Scheduler;
  readonly #plan: RacePlan;
  readonly #clock = manualClock();
  readonly #startedAt = this.#clock.monotonic();
  readonly #events: RemintEvent[] = [];
  readonly #violations: string[] = [];
  readonly #surfaced: string[] = [];
  readonly #server: AuthorizationServer;
  readonly #cache: ObservedCache;
  #pending = 0;

  constructor(scheduler: fc.Scheduler, plan: RacePlan) {
    this.#scheduler = scheduler;
    this.#plan = plan;
    const { oneLive, repeats, expiresIn, failures } = plan;
    this.#server = new AuthorizationServer({ pause: this.#pause, oneLive, repeats, expiresIn });
    this.#server.failing = failures;
    const options: TokenCacheOptions = {
      grant: this.#server.mint,
      origins: ORIGINS,
      mintRetries: 0,
      clock: this.#clock,
      onEvent: (event) => {
        this.#events.push(event);
        if (event.name === "mint-failed" && event.error.code === "ERR_TOKEN_TIMEOUT") this.#cache.callersLeft();
        if (event.name === "minted" || event.name === "mint-failed") this.#cache.mintEnded(event.name !== "minted");
      },
    };
    this.#cache = new ObservedCache(createTokenCache(options), this.#server, this.#violations);
  }

  async run(): Promise<Observed> {
    const { callers, revocations, invalidations, lateInvalidations, ticks } = this.#plan;
    for (const [index, caller] of callers.entries()) void this.#call(`caller ${index + 1}`, caller);
    for (let left = revocations; left > 0; left--) this.#later("revocation", () => this.#server.revokeAll());
    for (let left = invalidations; left > 0; left--) this.#later("invalidation", () => this.#cache.invalidateIssued());
    for (let left = lateInvalidations; left > 0; left--) {
      this.#later("late invalidation", () => this.#cache.invalidateFirst());
    }
    for (const ms of ticks) this.#later(`${ms} ms pass`, () => this.#clock.advance(ms));
    await this.#untilQuiet();
    if (this.#pending > 0) this.#violations.push(`${this.#pending} callers never got an outcome`);
    if (this.#server.mostAtOnce > 1) this.#violations.push(`C2: ${this.#server.mostAtOnce} mints at once`);
    const eventsNamed = (name: RemintEvent["name"]): RemintEvent[] =>
      this.#events.filter((event) => event.name === name);
    return {
      violations: this.#violations,
      mints: this.#server.mints,
      charges: eventsNamed("rejected").length,
      discardsUncharged: this.#cache.discards - eventsNamed("rejected").length,
      refreshes: this.#events.filter((event) => "cause" in event && event.cause === "expiring").length,
      failedMints: eventsNamed("mint-failed").length,
      surfaced: this.#surfaced,
      elapsed: this.#clock.monotonic() - this.#startedAt,
    };
  }

  /** Runs all scheduled steps. Lets time pass only when no step is left and a caller still waits. */
  async #untilQuiet(): Promise<void> {
    await this.#scheduler.waitIdle(act);
    for (let round = 0; round < 20 && this.#pending > 0; round++) {
      await this.#clock.advance(5000);
      await this.#scheduler.waitIdle(act);
    }
  }

  readonly #pause = (label: string): Promise<void> => this.#scheduler.schedule(Promise.resolve(), label);

  #later(label: string, happen: () => unknown): void {
    this.#scheduler.scheduleSequence([{ label, builder: async () => void (await happen()) }]);
  }

  async #call(name: string, { url, stream, aborts }: CallerPlan): Promise<void> {
    this.#pending++;
    await this.#pause(`${name} begins`);
    const controller = new AbortController();
    const reason = new Error(`${name} has left`);
    const sends: (string | undefined)[] = [];
    const request = { name, url, signal: controller.signal, stream, sends };
    const begunAt = this.#cache.step();
    const outcome = withToken(this.#cache, request, simulatedApi(this.#pause, this.#accepts)).then(
      ({ status }) => status,
      (error: unknown) => error,
    );
    let settled = false;
    const done = outcome.then((what) => {
      settled = true;
      this.#judge(name, url, what, controller.signal);
      if (what === 401 && !stream) this.#surfaced.push(name);
    });
    if (aborts) {
      this.#later(`${name} aborts`, async () => {
        if (settled) return;
        controller.abort(reason);
        await settle();
        if (!settled) this.#violations.push(`C10: ${name} waits on after its signal fired`);
      });
    }
    await done;
    if (sends.length > 3) this.#violations.push(`Q5: ${name} was sent ${sends.length} times`);
    if (url !== FOREIGN && sends.length > 0) this.#cache.checkFirst(name, sends[0], begunAt);
    this.#pending--;
  }

  readonly #accepts: Accepts = (token, url) => {
    if (url.href === FOREIGN) {
      if (token !== undefined) this.#violations.push("Q2: a token reached a foreign origin");
      return false;
    }
    return token !== undefined && this.#server.live.has(token) && url.href !== BROKEN;
  };

  #judge(name: string, url: string, outcome: unknown, signal: AbortSignal): void {
    if (outcome === 200 || outcome === 401) return;
    if (signal.aborted && outcome === signal.reason) return;
    if (this.#mayFail(outcome) && url !== FOREIGN) return;
    this.#violations.push(`${name} got ${String(outcome)}`);
  }

  /** Returns whether the plan explains an error: it has failed mints, or moves the clock past the mint's time limit. */
  #mayFail(outcome: unknown): boolean {
    if (!isRemintError(outcome)) return false;
    const { failures, ticks } = this.#plan;
    if (outcome.code === "ERR_TOKEN_NETWORK") return failures > 0;
    return outcome.code === "ERR_TOKEN_TIMEOUT" && ticks.reduce((sum, ms) => sum + ms, 0) >= 10_000;
  }
}

/** Runs one step and waits until its consequences have settled, before the scheduler takes the next. */
async function act(step: () => Promise<unknown>): Promise<void> {
  await step();
  await settle();
}
