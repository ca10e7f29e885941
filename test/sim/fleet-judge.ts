/**
 * What the races of a fleet hold every process to (C9), while it happens: who may claim, who must give its lease away, and whom
 * the failures of others may bind. It knows what happened in truth: which mints failed, and who wrote which record.
 *
 * The processes, the servers and the store are in fleet-world.ts.
 */
import { readRecord, type WrittenRecord } from "../fleet/records.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { SwapResult } from "../../src/fleet/index.ts";

export const RULES = {
  order: "tokens are published in the order of their mints, each over a lease",
  yields: "who has failed claims only what it has seen claimable for 250 ms",
  unsent: "a holder whose request could not be sent gives its lease away before anything else",
  unanswered: "a holder gives its lease away after 2 s without an answer, if no other process has failed before it",
  keeps: "any other holder keeps its lease until it is answered",
  binds: "a failure of others binds who has not failed from the second process on, for a second at most",
  backoff: "who has failed waits, a second at first and twice as long each time",
  together: "those who have failed ask for a record no sooner than a second after the last of them",
  prompt: "who has not failed, or no longer fails, waits for nobody at a record that nobody else wants",
  served: "callers of a process whose requests are answered wait for no sick process longer than a lease takes to end",
  asked: "nobody mints before the time that the server asked to wait for",
} as const;

const YIELDS = 250;
/** Milliseconds after which a holder without an answer gives its lease away. */
export const UNANSWERED = 2000;
const LONGEST_FOR_OTHERS = 1000;
const MARGIN = 1;

/** What the judge knows of a process. */
interface Known {
  /** The records whose last mint failed here, and since when; and since when all answers of the server are failures. */
  readonly failing: Map<string, number>;
  failingSince: number;
  /** When a mint of it failed last. */
  failedAt: number;
  /** Whether any mint of it has failed. */
  hasFailed: boolean;
  /** It was held up, cut off or killed: then no times are promised. */
  isDisturbed: boolean;
  /** By record: the version that it saw last, and since when. */
  readonly seen: Map<string, { readonly version: string | undefined; readonly at: number }>;
  /** The records for which a mint of it is in progress. */
  readonly minting: Set<string>;
  /** By record: how many calls are in progress. */
  readonly calls: Map<string, number>;
  /** By record: when it sent the claim for its next mint. */
  readonly claimedAt: Map<string, number>;
  /** By record: when its last mint failed, and how many failed in a row. */
  readonly failures: Map<string, { readonly at: number; readonly count: number }>;
}

/** A record that somebody has written. */
interface Written {
  readonly by: object | undefined;
  readonly at: number;
  readonly record: WrittenRecord | undefined;
}

export interface JudgeOptions {
  /** The longest time from a process to the store and back. */
  readonly roundTrip: number;
  /** Tokens live for so long that no window begins by itself: then each mint has one cause. */
  readonly isSteady: boolean;
  /** Whether a failed request is repeated at once. */
  readonly repeats: boolean;
  /** The longest that a caller may wait of a process whose requests are answered. */
  readonly servedWithin: number;
  /** The longest that it may wait where nobody else wants the record. */
  readonly promptly: number;
}

export class FleetJudge {
  readonly violations: string[] = [];
  /** How often each thing happened that a rule is about. */
  readonly seen = new Map<string, number>();
  readonly #clock: Clock;
  readonly #options: JudgeOptions;
  readonly #known = new Map<object, Known>();
  /** By record: what is stored, and the number of the last token that was published. */
  readonly #stored = new Map<string, Written & { readonly version: string | undefined }>();
  readonly #versions = new Map<string, Written>();
  readonly #published = new Map<string, number>();
  /** By record: who has written it, and when last. */
  readonly #writers = new Map<string, Map<object, number>>();
  /** By record: the processes whose mints have failed since the last success, and when the last one did. */
  readonly #failed = new Map<string, { readonly processes: Set<object>; at: number }>();
  #askedUntil = -Infinity;
  /** Somebody has put old records back, or the server failed for everybody. */
  isUnsettled = false;

  constructor(clock: Clock, options: JudgeOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  join(process: object): void {
    this.#known.set(process, {
      failing: new Map(),
      failingSince: Infinity,
      failedAt: -Infinity,
      hasFailed: false,
      isDisturbed: false,
      seen: new Map(),
      calls: new Map(),
      claimedAt: new Map(),
      failures: new Map(),
      minting: new Set(),
    });
  }

  disturbed(process: object): void {
    this.#of(process).isDisturbed = true;
  }

  /** The store has done what a process asked for. */
  stored(process: object | undefined, key: string, version: string | undefined, text: string | undefined): void {
    const before = this.#stored.get(key);
    const record = text === undefined ? undefined : recordIn(text, key);
    const written = { by: process, at: this.#now, record };
    this.#stored.set(key, { ...written, version });
    if (version !== undefined) this.#versions.set(`${key} ${version}`, written);
    if (process === undefined) return;
    if (!this.#writers.has(key)) this.#writers.set(key, new Map());
    this.#writers.get(key)!.set(process, this.#now);
    if (record?.phase === "L" && before?.by === process && before.record?.phase === "L") return;
    this.#judgeOrder(key, before?.record, record);
  }

  /** A process has got the answer of the store. `sentAt`: when it asked. */
  answered(
    process: object,
    swap: readonly [key: string, expected: string | undefined, next: string | undefined],
    result: SwapResult,
    sentAt: number,
  ): void {
    const [key, expected, next] = swap;
    const known = this.#of(process);
    const seen = known.seen.get(key);
    const version = result.ok ? result.version : result.current?.version;
    const isClaim = result.ok && next !== undefined && recordIn(next, key)?.phase === "L";
    const before = expected === undefined ? undefined : this.#versions.get(`${key} ${expected}`);
    const isHeartbeat = before?.by === process && before.record?.phase === "L";
    if (isClaim && !isHeartbeat) known.claimedAt.set(key, sentAt);
    if (isClaim && !isHeartbeat && !known.isDisturbed && this.#wasFailing(known, key, sentAt)) {
      this.#count("a failed process claims");
      const lease = before?.record?.phase === "L" ? before.at + (before.record.lease ?? 0) : -Infinity;
      const since = seen !== undefined && seen.version === expected ? Math.max(seen.at, lease) : Infinity;
      if (sentAt - since < YIELDS - MARGIN) this.#violated("yields", `it waited for ${sentAt - since} ms`);
    }
    // Its own record, which it has given back, and which has ended since: that was claimable all the time.
    const last = seen?.version === undefined ? undefined : this.#versions.get(`${key} ${seen.version}`);
    const isStill = version === undefined && last?.by === process && last.record?.phase === "T";
    if (seen === undefined || (seen.version !== version && !isStill)) known.seen.set(key, { version, at: this.#now });
    else known.seen.set(key, { version, at: seen.at });
  }

  /** A process sends a token request. @returns What is to be called when it is over. */
  mints(process: object, key: string): (outcome: MintOutcome) => void {
    const known = this.#of(process);
    const startedAt = this.#now;
    const lease = this.#stored.get(key);
    const isHolder = lease?.by === process && lease.record?.phase === "L";
    const holder = lease?.record?.holder;
    const isFirst = (lease?.record?.failed ?? []).every((failed) => failed === holder);
    if (startedAt < this.#askedUntil - MARGIN) this.#violated("asked", `${this.#askedUntil - startedAt} ms too early`);
    this.#judgeBackoff(known, key);
    this.#judgeTogether(known, key, known.claimedAt.get(key) ?? startedAt);
    known.claimedAt.delete(key);
    let isOver = false;
    known.minting.add(key);
    const after = UNANSWERED + this.#options.roundTrip + MARGIN;
    if (isHolder && !this.isUnsettled) {
      this.#clock.setTimeout(() => {
        if (isOver || known.isDisturbed || this.isUnsettled) return;
        const holds = this.#holds(process, key);
        this.#count(isFirst ? "a lease is given away" : "a lease is kept");
        if (isFirst && holds) this.#violated("unanswered", "it still holds the lease");
        if (!isFirst && !holds) this.#violated("keeps", "it has lost the lease");
      }, after);
    }
    return (outcome) => {
      isOver = true;
      known.minting.delete(key);
      this.#landed(process, key, outcome, isHolder);
    };
  }

  /** A call begins. @returns What is to be called with the status or the error code that its caller gets. */
  called(process: object, key: string): (outcome: number | string) => number {
    const startedAt = this.#now;
    const known = this.#of(process);
    const callsBefore = known.calls.get(key) ?? 0;
    known.calls.set(key, callsBefore + 1);
    // What an earlier call of the process has begun, a mint or a look at the record, is in progress already: this call waits for it.
    const isJoining = known.minting.has(key) || callsBefore > 0;
    const isFailing = this.#wasFailing(known, key, startedAt);
    const before = this.#stored.get(key);
    const isWanted = before?.by !== process && before?.record?.phase === "L";
    return (outcome) => {
      const waited = this.#now - startedAt;
      const isWantedSince = this.#writtenByOthers(process, key) >= startedAt;
      known.calls.set(key, known.calls.get(key)! - 1);
      const hasFailed = isFailing || known.failedAt >= startedAt;
      const isAlone = !hasFailed && !isJoining && !isWanted && !isWantedSince;
      if (outcome === 200 && isAlone && !known.isDisturbed && !this.isUnsettled) {
        this.#count("a caller is served at once");
        if (waited > this.#options.promptly) this.#violated("prompt", `after ${waited} ms`);
      }
      this.#served(process, key, outcome, waited);
      return waited;
    };
  }

  #served(process: object, key: string, outcome: number | string, waited: number): void {
    const known = this.#of(process);
    if (outcome === 200) known.failures.delete(key);
    if (known.hasFailed || known.isDisturbed || this.isUnsettled) return;
    if (waited > this.#options.servedWithin) this.#violated("served", `after ${waited} ms`);
    if (typeof outcome !== "string") return;
    const failed = this.#failed.get(key);
    const since = this.#now - (failed?.at ?? -Infinity);
    const isAsked = this.#now < this.#askedUntil + this.#options.roundTrip;
    this.#count("a failure binds who has not failed");
    if (isAsked) return;
    if ((failed?.processes.size ?? 0) < 2) this.#violated("binds", `${outcome}, and one process has failed`);
    else if (since > LONGEST_FOR_OTHERS + this.#options.roundTrip)
      this.#violated("binds", `${outcome}, ${since} ms after the last failure`);
  }

  get #now(): number {
    return this.#clock.monotonic();
  }

  #of(process: object): Known {
    return this.#known.get(process)!;
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  #violated(rule: keyof typeof RULES, how: string): void {
    this.violations.push(`${RULES[rule]}: ${how} (at ${this.#now} ms)`);
  }

  #wasFailing({ failing, failingSince }: Known, key: string, at: number): boolean {
    return Math.min(failing.get(key) ?? Infinity, failingSince) < at;
  }

  #writtenByOthers(process: object, key: string): number {
    return Math.max(...[...(this.#writers.get(key) ?? [])].map(([by, at]) => (by === process ? -Infinity : at)));
  }

  #holds(process: object, key: string): boolean {
    const { by, record } = this.#stored.get(key) ?? {};
    return by === process && record?.phase === "L";
  }

  #judgeOrder(key: string, before: WrittenRecord | undefined, after: WrittenRecord | undefined): void {
    const token = tokenIn(after);
    if (this.isUnsettled || after?.phase !== "T" || token === 0 || token === tokenIn(before)) return;
    const published = this.#published.get(key) ?? 0;
    if (token <= published) this.#violated("order", `t${token} after t${published}`);
    if (before !== undefined && before.phase !== "L") this.#violated("order", `t${token} over ${before.phase}`);
    this.#count("a token is published");
    this.#published.set(key, Math.max(token, published));
  }

  #judgeBackoff({ failures, isDisturbed }: Known, key: string): void {
    const last = failures.get(key);
    const { isSteady, repeats } = this.#options;
    if (last === undefined || !isSteady || repeats || isDisturbed) return;
    const pause = Math.min(5000, 1000 * 2 ** (last.count - 1));
    this.#count("a failed process tries again");
    if (this.#now - last.at < pause - MARGIN) this.#violated("backoff", `after ${this.#now - last.at} of ${pause} ms`);
  }

  #judgeTogether(known: Known, key: string, claimedAt: number): void {
    const failed = this.#failed.get(key);
    if (failed === undefined || this.#options.repeats || known.isDisturbed || this.isUnsettled) return;
    // A process decides when it claims. What it learns of itself while the store takes its claim, from a mint for another
    // record, binds its next claim.
    if (!this.#options.isSteady || !this.#wasFailing(known, key, claimedAt)) return;
    if (this.#now - failed.at < 1000 - MARGIN) this.#violated("together", `after ${this.#now - failed.at} ms`);
  }

  #landed(process: object, key: string, outcome: MintOutcome, isHolder: boolean): void {
    const known = this.#of(process);
    if (outcome.kind === "token") {
      known.failing.delete(key);
      known.failingSince = Infinity;
      this.#failed.delete(key);
      return;
    }
    known.hasFailed = true;
    known.failedAt = this.#now;
    known.failing.set(key, Math.min(this.#now, known.failing.get(key) ?? Infinity));
    if (outcome.isOfServer) known.failingSince = Math.min(this.#now, known.failingSince);
    known.failures.set(key, { at: this.#now, count: (known.failures.get(key)?.count ?? 0) + 1 });
    const failed = this.#failed.get(key) ?? { processes: new Set(), at: 0 };
    failed.processes.add(process);
    failed.at = this.#now;
    this.#failed.set(key, failed);
    if (outcome.retryAfter !== undefined) this.#askedUntil = this.#now + outcome.retryAfter;
    if (!outcome.isUnsent || !isHolder || this.isUnsettled) return;
    const leaseAt = this.#stored.get(key)?.at;
    this.#clock.setTimeout(() => {
      if (known.isDisturbed || this.isUnsettled) return;
      this.#count("a request could not be sent");
      if (this.#holds(process, key) && this.#stored.get(key)!.at === leaseAt) this.#violated("unsent", "it holds it");
    }, this.#options.roundTrip + MARGIN);
  }
}

export type MintOutcome =
  | { readonly kind: "token" }
  | {
      readonly kind: "failure";
      /** Every record of that server and client is concerned. */
      readonly isOfServer: boolean;
      readonly isUnsent: boolean;
      readonly retryAfter?: number | undefined;
    };

function recordIn(text: string, key: string): WrittenRecord | undefined {
  try {
    return readRecord(text, key);
  } catch {
    return undefined;
  }
}

function tokenIn(record: WrittenRecord | undefined): number {
  return Number(record?.only.token?.response.access_token.slice(1) ?? 0);
}
