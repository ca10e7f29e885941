/**
 * What happened in one lane, told by its messages: requests that came together, requests to the token endpoint, the
 * lives of tokens, the times without a session, and the counts. Nothing here draws: life.ts does, and table.ts.
 */
import type { ApiRequest, LaneMessage, LaneName, Outcome, TokenMinted, TokenRequest } from "./messages.ts";

/** Worst last. */
export const OUTCOMES: readonly Outcome[] = ["first-try", "after-renewal", "unavailable", "unauthorized", "signed-out"];

/** Milliseconds. A request that begins so soon after the former one is drawn in the same column, */
const TOGETHER = 500;
/** as long as the column does not hold more than this time. */
const LONGEST = 2000;
/** Durations that are kept for the median. */
const MAX_DURATIONS = 10_000;

/** Requests that began together. The key is unique in the lane. */
export interface Burst<Item> {
  readonly key: number;
  /** When the first one began, of those that were told first. */
  readonly at: number;
  /** When the last one began. */
  until: number;
  readonly items: Item[];
}

export interface TokenLife extends TokenMinted {
  endedAt?: number;
  why?: "revoked" | "replaced" | "session-over";
}

/** A time in which the lane had no session. */
export interface Absence {
  readonly from: number;
  readonly reason: string;
  to?: number;
}

export interface Counts {
  readonly requests: number;
  readonly tokenRequests: number;
  /** Requests whose 401 reached the browser. */
  readonly unauthorized: number;
  readonly signOuts: number;
  /** Milliseconds. */
  readonly median: number | undefined;
  readonly p95: number | undefined;
}

/** Counts of a span of time, for one sentence. */
export interface Tally {
  readonly statuses: ReadonlyMap<number, number>;
  readonly tokenRequests: number;
  readonly failedTokenRequests: number;
  readonly signOuts: number;
}

/** What a message has changed, for the one who draws it. */
export type Change =
  | { readonly kind: "requests"; readonly burst: Burst<ApiRequest> }
  | { readonly kind: "token-requests"; readonly burst: Burst<TokenRequest> }
  | { readonly kind: "token"; readonly token: TokenLife }
  | { readonly kind: "absence"; readonly absence: Absence };

export class LaneHistory {
  readonly name: LaneName;
  readonly requests: Burst<ApiRequest>[] = [];
  readonly tokenRequests: Burst<TokenRequest>[] = [];
  readonly tokens = new Map<string, TokenLife>();
  readonly absences: Absence[] = [];
  signedIn = false;
  #nextKey = 0;
  #counted = { requests: 0, tokenRequests: 0, unauthorized: 0, signOuts: 0 };
  #durations: number[] = [];
  #marked = emptyTally();

  constructor(name: LaneName) {
    this.name = name;
  }

  /** Takes a message of this lane. Returns what it changed in the picture. */
  add(message: LaneMessage): Change | undefined {
    switch (message.type) {
      case "request":
        return this.#addRequest(message);
      case "token-request":
        this.#counted.tokenRequests += 1;
        this.#marked.tokenRequests += 1;
        if (!message.ok) this.#marked.failedTokenRequests += 1;
        return { kind: "token-requests", burst: this.#place(this.tokenRequests, message) };
      case "token": {
        const token: TokenLife = { ...message };
        // A renewal that was under way when the session ended: nobody has a use for its token.
        if (this.#isAbsent) Object.assign(token, { endedAt: message.at, why: "session-over" });
        this.tokens.set(message.id, token);
        return { kind: "token", token };
      }
      case "token-end": {
        const token = this.tokens.get(message.id);
        if (token === undefined || token.endedAt !== undefined) return undefined;
        token.endedAt = message.at;
        token.why = message.why;
        return { kind: "token", token };
      }
      case "signed-out": {
        if (this.#isAbsent) return undefined;
        this.signedIn = false;
        this.#counted.signOuts += 1;
        this.#marked.signOuts += 1;
        const absence: Absence = { from: message.at, reason: message.reason };
        this.absences.push(absence);
        return { kind: "absence", absence };
      }
      case "signed-in": {
        this.signedIn = true;
        const absence = this.absences.at(-1);
        if (absence === undefined || absence.to !== undefined) return undefined;
        absence.to = message.at;
        return { kind: "absence", absence };
      }
      default:
        // An event of a stream is in the table only.
        return undefined;
    }
  }

  /** Takes what the server says about the session, after a time in which nobody listened. */
  sync(signedIn: boolean, now: number): Change | undefined {
    if (signedIn) return this.add({ type: "signed-in", lane: this.name, at: now });
    if (this.signedIn) {
      const reason = "The session ended while this page did not listen.";
      return this.add({ type: "signed-out", lane: this.name, at: now, reason });
    }
    if (this.#isAbsent) return undefined;
    const absence: Absence = { from: now, reason: "There is no session." };
    this.absences.push(absence);
    return { kind: "absence", absence };
  }

  /** Forgets what nobody sees any more. The counts stay. */
  forgetBefore(time: number): void {
    dropWhile(this.requests, ({ at }) => at < time);
    dropWhile(this.tokenRequests, ({ at }) => at < time);
    dropWhile(this.absences, ({ to }) => to !== undefined && to < time);
    for (const { id, expiresAt, endedAt } of this.tokens.values()) {
      if ((endedAt ?? expiresAt) < time) this.tokens.delete(id);
    }
  }

  counts(): Counts {
    return { ...this.#counted, median: percentile(this.#durations, 0.5), p95: percentile(this.#durations, 0.95) };
  }

  /** The tokens that are not known to have ended. */
  living(): TokenLife[] {
    return [...this.tokens.values()].filter(({ endedAt }) => endedAt === undefined);
  }

  /** Begins the span that `sinceMark` counts. */
  mark(): void {
    this.#marked = emptyTally();
  }

  sinceMark(): Tally {
    return this.#marked;
  }

  /** Whether the lane is without a session now. */
  get #isAbsent(): boolean {
    const last = this.absences.at(-1);
    return last !== undefined && last.to === undefined;
  }

  #addRequest(message: ApiRequest): Change {
    this.#counted.requests += 1;
    if (message.status === 401) this.#counted.unauthorized += 1;
    // A 401 to somebody who is signed out is quick, and nothing to be proud of.
    if (message.status < 400) this.#durations.splice(indexFor(this.#durations, message.ms), 0, message.ms);
    // Every second one goes, so that the order, and about the shape, stay.
    if (this.#durations.length > MAX_DURATIONS) this.#durations = this.#durations.filter((_, at) => at % 2 === 0);
    // A request that comes by itself is no outcome of a button.
    if (message.beat !== true) {
      const { statuses } = this.#marked;
      statuses.set(message.status, (statuses.get(message.status) ?? 0) + 1);
    }
    return { kind: "requests", burst: this.#place(this.requests, message) };
  }

  /**
   * Adds an item to the column of its time, or begins one. Messages may come out of order. What comes by itself is not in
   * one column with what comes of a button.
   */
  #place<Item extends { readonly at: number; readonly beat?: boolean }>(
    bursts: Burst<Item>[],
    item: Item,
  ): Burst<Item> {
    const near = bursts.findLast(({ at, until, items: [first] }) => {
      const isNear = item.at > at - TOGETHER && item.at < until + TOGETHER && item.at < at + LONGEST;
      return isNear && (first?.beat === true) === (item.beat === true);
    });
    if (near !== undefined) {
      near.items.push(item);
      near.until = Math.max(near.until, item.at);
      return near;
    }
    const burst: Burst<Item> = { key: this.#nextKey++, at: item.at, until: item.at, items: [item] };
    const after = bursts.findLastIndex(({ at }) => at <= item.at);
    bursts.splice(after + 1, 0, burst);
    return burst;
  }
}

/** How many items of a column have each outcome. */
export function outcomesOf(burst: Burst<ApiRequest>): Record<Outcome, number> {
  const outcomes = { "first-try": 0, "after-renewal": 0, unavailable: 0, unauthorized: 0, "signed-out": 0 };
  for (const { outcome } of burst.items) outcomes[outcome] += 1;
  return outcomes;
}

/**
 * Divides at most `slots` marks among counts. Each count that is not 0 gets a mark at least, so that one failure among
 * 200 answers is seen.
 */
export function shares(counts: readonly number[], slots: number): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= slots) return [...counts];
  const result = counts.map((count) => (count === 0 ? 0 : Math.max(1, Math.floor((count * slots) / total))));
  let over = result.reduce((sum, count) => sum + count, 0) - slots;
  while (over !== 0) {
    // The greatest share gives what the small ones got too much, and takes what rounding left.
    const greatest = result.indexOf(Math.max(...result));
    result[greatest] = (result[greatest] ?? 0) - Math.sign(over);
    over -= Math.sign(over);
  }
  return result;
}

interface MutableTally extends Tally {
  readonly statuses: Map<number, number>;
  tokenRequests: number;
  failedTokenRequests: number;
  signOuts: number;
}

function emptyTally(): MutableTally {
  return { statuses: new Map(), tokenRequests: 0, failedTokenRequests: 0, signOuts: 0 };
}

function dropWhile<Item>(items: Item[], isOld: (item: Item) => boolean): void {
  const kept = items.findIndex((item) => !isOld(item));
  items.splice(0, kept === -1 ? items.length : kept);
}

/** The index at which a number goes into an ascending list. */
function indexFor(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The nearest-rank percentile of an ascending list. */
function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}
