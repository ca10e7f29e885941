/**
 * Rejected tokens: whether a 401 may cost a mint now, has to wait for its turn, or goes to the caller (C8).
 *
 * Every renewal that has to mint is a probe: it asks the API whether a new token helps. The outcomes of probes are the
 * evidence about an origin. An account per origin, which the caches of a pool share, has credits: a probe takes one, a probe
 * whose token is accepted brings more, and so a revocation of many tokens is over quickly, while an API that rejects every
 * token costs a few mints a minute, however many users ask. Callers without a credit wait.
 *
 * What one request does with the answer is in `renewal.ts`; the request itself is in `policy/request-policy.ts`.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { RequestTarget } from "./types.ts";

/** The credits that an account begins with, and what an accepted probe adds. */
const CREDITS = 8;
/** Milliseconds in which one credit returns: usually, and after so many probes were rejected in a row. */
const REFILL = 1000;
const SLOW_REFILL = 5000;
const SLOW_AFTER = 64;
/** So many probes rejected in a row make an API known bad, for so many milliseconds. */
const KNOWN_BAD = 8;
const KNOWN_BAD_FOR = 60_000;
/** Milliseconds after an accepted probe in which nobody is released. */
const VOUCH_HOLDS = 10_000;
/** How many probes of an account may be open. */
const PACE = { first: 64, most: 256, least: 8, halvedEvery: 1000 } as const;
/**
 * Milliseconds after a mint from which a probe without an outcome counts as rejected, and after a grant from which a probe
 * is not waited for whose mint nobody has begun.
 */
const UNKNOWN_AFTER = 2000;
/** Milliseconds that the place of a request lives which cannot be sent again. */
const STREAM_PLACE = 10_000;
/** From this charge without a verdict on, a path is closed. */
const FREE_CHARGES = 3;
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;
/** Milliseconds after its pause from which a path is forgotten. */
const ENTRY_EXPIRY = 60_000;
const MOST_PATHS = 64;
const MOST_ORIGINS = 256;
/** A path that was so often rejected in the pool comes after others. */
const SUSPECT = 3;
/** Renewal mints of one cache: in a burst, and then one per so many milliseconds. */
const BURST = 10;

/** Identifies a minted token, also when the server hands out the same value twice. */
export interface TokenIdentity {
  readonly value: string;
  readonly flight: number;
}

/** Whether two tokens came from the same mint. */
export function isSameToken(a: TokenIdentity | undefined, b: TokenIdentity): boolean {
  return a !== undefined && a.value === b.value && a.flight === b.flight;
}

/** A copy without the token's other members, which nothing here may keep alive. */
function identityOf({ value, flight }: TokenIdentity): TokenIdentity {
  return { value, flight };
}

/** How urgent a probe is: a lower class goes first; the highest does not wait. */
type Class = 0 | 1 | 2;

/** A rejection for which a mint is asked. */
interface Rejected {
  readonly token: TokenIdentity;
  readonly site: RequestTarget;
  readonly class: Class;
}

/** A renewal that has to mint, and whose outcome is not known yet. */
interface Probe {
  readonly rejections: Rejections;
  readonly account: EvidenceAccount;
  readonly path: string;
  readonly class: Class;
  readonly startedAt: number;
  /** Its mint has begun. It does with the next call for a token, which may never come. */
  hasBegun: boolean;
  /** What its mint yielded, and when. */
  token?: TokenIdentity;
  landedAt?: number;
  /** It has counted: a late acceptance counts once more, and nothing else does. */
  isClosed: boolean;
  hasVouched: boolean;
}

/** What a waiting request is told. */
export type Turn =
  /** It may mint now. */
  | "granted"
  /** The API rejects every token: its 401 is the caller's. */
  | "released"
  /** The API accepts tokens again: the token at hand may be good. */
  | "retry";

/** The place of one cache in the queue of an account. All requests of the cache share it. */
export class Place {
  readonly rejections: Rejections;
  readonly account: EvidenceAccount;
  /** The rejection that is most urgent. */
  rejected: Rejected;
  readonly queuedAt: number;
  /** Until when it lives without a request that waits. */
  readonly expiresAt: number;
  /** Where it is in the queue. Kept by the account. */
  position = -1;
  readonly #waiters = new Set<(turn: Turn) => void>();
  #turn: Turn | undefined;

  constructor(rejections: Rejections, account: EvidenceAccount, rejected: Rejected, now: number) {
    this.rejections = rejections;
    this.account = account;
    this.rejected = rejected;
    this.queuedAt = now;
    this.expiresAt = now + STREAM_PLACE;
  }

  get class(): Class {
    return this.rejected.class;
  }

  get path(): string {
    const { origin, path } = this.rejected.site;
    return origin + path;
  }

  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** Waits for the turn, which may have come while the caller freed its 401. @returns A function that leaves. */
  join(waiter: (turn: Turn) => void): () => void {
    if (this.#turn === undefined) this.#waiters.add(waiter);
    else waiter(this.#turn);
    return () => void this.#waiters.delete(waiter);
  }

  tell(turn: Turn): void {
    this.#turn = turn;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter(turn);
  }
}

/** What is known of one path in the whole pool. */
interface PathRecord {
  /** Rejected probes since any token was accepted there. */
  rejections: number;
  acceptedAt: number;
  changedAt: number;
}

/** The evidence about one origin. */
class EvidenceAccount {
  readonly #clock: Clock;
  #credits = CREDITS;
  #refilledAt: number;
  /** Probes rejected in a row. */
  #run = 0;
  #runSince = -Infinity;
  #lastRejectedAt = -Infinity;
  #lastVouchAt = -Infinity;
  #pace: number = PACE.first;
  #halvedAt = -Infinity;
  readonly #open = new Set<Probe>();
  readonly #queue: [Place[], Place[]] = [[], []];
  readonly #paths = new LruMap<string, PathRecord>(MOST_PATHS);
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#refilledAt = clock.monotonic();
  }

  /** Acceptances have to be reported: something is open, or somebody waits, or tokens were rejected lately. */
  get onTrial(): boolean {
    return this.#open.size > 0 || this.#run > 0 || this.#waiting > 0 || this.#paths.size > 0;
  }

  get #waiting(): number {
    return this.#queue[0].length + this.#queue[1].length;
  }

  /** How urgent a renewal for a path is, as far as the pool knows. */
  isSuspect(path: string): boolean {
    return (this.#paths.get(path)?.rejections ?? 0) >= SUSPECT;
  }

  /** Takes a credit if one is free and nobody waits who comes first. */
  take(kind: Class): boolean {
    this.#settle();
    const isFirst = kind === 2 || this.#waiting === 0;
    if (!isFirst || this.#credits < 1 || this.#open.size >= this.#pace) return false;
    this.#credits--;
    return true;
  }

  enqueue(place: Place): void {
    const queue = this.#queueOf(place);
    place.position = queue.push(place) - 1;
    this.#schedule();
  }

  leave(place: Place): void {
    this.#remove(place);
    this.#schedule();
  }

  /** A place is as urgent as its most urgent caller: another path of the key does not hold it up. */
  promote(place: Place, rejected: Rejected): void {
    this.#remove(place);
    place.rejected = rejected;
    this.enqueue(place);
  }

  #queueOf(place: Place): Place[] {
    return this.#queue[place.class as 0 | 1];
  }

  /** Takes a place out of its queue. The order does not matter: the next place is drawn. */
  #remove(place: Place): void {
    if (place.position < 0) return;
    const queue = this.#queueOf(place);
    const last = queue.pop()!;
    if (last !== place) {
      queue[place.position] = last;
      last.position = place.position;
    }
    place.position = -1;
  }

  begin(probe: Probe): void {
    this.#open.add(probe);
  }

  /** The mint of a probe has landed. */
  landed(probe: Probe): void {
    this.#pace = Math.min(PACE.most, this.#pace + 1);
    this.#open.add(probe);
    this.#schedule();
  }

  /** The mint of a probe has failed, or none was needed: nothing was found out. */
  giveBack(probe: Probe, isTransient: boolean): void {
    if (!this.#open.delete(probe)) return;
    // More than the account begins with is kept while somebody waits.
    this.#credits++;
    const now = this.#clock.monotonic();
    if (isTransient && now >= this.#halvedAt + PACE.halvedEvery) {
      this.#pace = Math.max(PACE.least, Math.floor(this.#pace / 2));
      this.#halvedAt = now;
    }
    this.#advance();
  }

  /** The token of a probe was accepted on the probe's path. */
  vouch(probe: Probe): void {
    if (probe.hasVouched) return;
    probe.hasVouched = true;
    probe.isClosed = true;
    this.#open.delete(probe);
    const wasKnownBad = this.#isKnownBad(this.#clock.monotonic());
    this.#run = 0;
    this.#lastVouchAt = this.#clock.monotonic();
    this.#credits += CREDITS;
    // Waiting requests that have sent once send the token they have: it may be good again.
    if (wasKnownBad) for (const place of this.#queue.flat()) place.rejections.turn(place, "retry");
    this.#advance();
  }

  /** The token of a probe was rejected. */
  reject(probe: Probe): void {
    if (probe.isClosed) return;
    this.#close(probe);
    this.#advance();
  }

  /** A probe has found out that its token is rejected, or its outcome stays unknown. */
  #close(probe: Probe): void {
    probe.isClosed = true;
    this.#open.delete(probe);
    const now = this.#clock.monotonic();
    const record = this.#pathRecord(probe.path);
    record.rejections++;
    record.changedAt = now;
    // A path that is known to be forbidden proves nothing about the others.
    if (probe.class !== 2) this.#count(now);
    if (this.#isKnownBad(now)) this.#release(probe, now);
  }

  /** Forgets what is over by now. */
  sweep(): void {
    this.#settle();
  }

  /** Any token was accepted on a path. */
  accepted(path: string): void {
    const known = this.#paths.get(path);
    this.#settle();
    if (known === undefined && this.#run === 0) return;
    const record = this.#pathRecord(path);
    record.rejections = 0;
    record.acceptedAt = record.changedAt = this.#clock.monotonic();
    // Without a run there is nothing for which the path matters.
    if (this.#run === 0) this.#paths.delete(path);
  }

  #count(now: number): void {
    if (this.#run === 0 || !this.#isRecent(now)) {
      this.#run = 0;
      this.#runSince = now;
    }
    this.#run++;
    this.#lastRejectedAt = now;
    // What was saved up while tokens were accepted is not spent on an API that rejects them.
    if (this.#run === KNOWN_BAD) this.#credits = 0;
  }

  #isRecent(now: number): boolean {
    return now < this.#lastRejectedAt + KNOWN_BAD_FOR;
  }

  #isKnownBad(now: number): boolean {
    return this.#run >= KNOWN_BAD && this.#isRecent(now);
  }

  /** Callers that queued before a probe began, and are no more urgent than it, get their 401 with its outcome. */
  #release(probe: Probe, now: number): void {
    if (now < this.#lastVouchAt + VOUCH_HOLDS) return;
    for (const place of this.#queue.slice(probe.class).flat()) {
      const wasAccepted = (this.#paths.get(place.path)?.acceptedAt ?? -Infinity) >= this.#runSince;
      if (place.queuedAt < probe.startedAt && !wasAccepted) place.rejections.turn(place, "released");
    }
  }

  /** Lets those begin whose turn it is. */
  #advance(): void {
    this.#settle();
    const now = this.#clock.monotonic();
    for (const queue of this.#queue) {
      const postponed: Place[] = [];
      while (queue.length > 0 && this.#credits >= 1 && this.#open.size < this.#pace) {
        // At random: in order of arrival, one dead user after another would come before the living ones.
        const place = queue[Math.floor(Math.random() * queue.length)]!;
        if (!place.isAwaited && now >= place.expiresAt) place.rejections.turn(place, "released");
        else if (place.rejections.affords(now)) {
          this.#credits--;
          place.rejections.turn(place, "granted");
        } else {
          this.#remove(place);
          postponed.push(place);
        }
      }
      for (const place of postponed) place.position = queue.push(place) - 1;
    }
    if (this.#waiting === 0) this.#credits = Math.min(CREDITS, this.#credits);
    this.#schedule();
  }

  /** Returns credits, and closes probes whose outcome stays unknown. */
  #settle(): void {
    const now = this.#clock.monotonic();
    const refill = this.#run >= SLOW_AFTER && this.#isRecent(now) ? SLOW_REFILL : REFILL;
    const returned = Math.floor((now - this.#refilledAt) / refill);
    if (returned > 0) {
      if (this.#credits < CREDITS) this.#credits = Math.min(CREDITS, this.#credits + returned);
      this.#refilledAt += returned * refill;
    }
    if (this.#run > 0 && !this.#isRecent(now)) this.#run = 0;
    for (const [path, { changedAt }] of this.#paths) if (now >= changedAt + ENTRY_EXPIRY) this.#paths.delete(path);
    for (const probe of this.#open) {
      if (now < overdueAt(probe)) continue;
      // Before its mint it has found out nothing. Its credit is spent, because the mint may still come.
      if (probe.hasBegun) this.#close(probe);
      else this.#open.delete(probe);
    }
  }

  #schedule(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting === 0) return;
    const now = this.#clock.monotonic();
    const refill = this.#run >= SLOW_AFTER ? SLOW_REFILL : REFILL;
    let next = this.#refilledAt + refill;
    for (const probe of this.#open) next = Math.min(next, overdueAt(probe));
    this.#timer = this.#clock.setTimeout(() => this.#advance(), Math.max(1, next - now));
  }

  #pathRecord(path: string): PathRecord {
    let record = this.#paths.use(path);
    if (record === undefined)
      this.#paths.set(path, (record = { rejections: 0, acceptedAt: -Infinity, changedAt: -Infinity }));
    return record;
  }
}

/** When a probe is not waited for any longer. */
function overdueAt({ hasBegun, startedAt, landedAt }: Probe): number {
  if (hasBegun) return landedAt === undefined ? Infinity : landedAt + UNKNOWN_AFTER;
  return startedAt + UNKNOWN_AFTER;
}

/** The accounts of a pool, or of a lone cache. */
export class EvidenceAccounts {
  readonly #clock: Clock;
  readonly #origins = new LruMap<string, EvidenceAccount>(MOST_ORIGINS);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get onTrial(): boolean {
    for (const account of this.#origins.values()) if (account.onTrial) return true;
    return false;
  }

  find(origin: string): EvidenceAccount | undefined {
    return this.#origins.get(origin);
  }

  /** Lets the trial end that began first: nobody else may look at its origin again. */
  sweep(): void {
    for (const account of this.#origins.values()) {
      if (!account.onTrial) continue;
      account.sweep();
      return;
    }
  }

  of(origin: string): EvidenceAccount {
    let account = this.#origins.use(origin);
    if (account === undefined) this.#origins.set(origin, (account = new EvidenceAccount(this.#clock)));
    return account;
  }
}

/** What a cache remembers of one path. */
interface Entry {
  /** Charges since a newer token was accepted. */
  charges: number;
  /** Until when the path is closed: its 401s go to the callers. Monotonic milliseconds. */
  until: number;
  /** A token that was minted after a request's first rejection was rejected too. */
  isKnown: boolean;
  /** The rejected token for which it was charged last. */
  token: TokenIdentity;
}

/** What happens with a rejection that needs a mint. */
export type Answer =
  /** The 401 goes to the caller. */
  | "refused"
  /** The caller may mint. */
  | "granted"
  /** The caller waits for its turn. */
  | Place;

/** The rejections of one cache. */
export class Rejections {
  readonly #clock: Clock;
  readonly #accounts: EvidenceAccounts;
  /** Called when a place is granted. */
  readonly #onGranted: (token: TokenIdentity, site: RequestTarget) => void;
  readonly #entries = new LruMap<string, Entry>(MOST_PATHS);
  /** Where the cache waits, by origin. */
  readonly #places = new Map<string, Place>();
  /** The probe that is charged and whose mint has not landed. */
  #charged: Probe | undefined;
  /** Probes whose mints have landed, as long as a late acceptance may count. */
  readonly #landed: Probe[] = [];
  #budget = BURST;
  #refilledAt: number;
  /** The last token that an API has accepted. */
  #accepted: TokenIdentity | undefined;
  /** The last renewed token was rejected, and none was accepted since. */
  #isDoubtful = false;

  constructor(
    clock: Clock,
    accounts: EvidenceAccounts,
    onGranted: (token: TokenIdentity, site: RequestTarget) => void,
  ) {
    this.#clock = clock;
    this.#accounts = accounts;
    this.#onGranted = onGranted;
    this.#refilledAt = clock.monotonic();
  }

  /** Whether acceptances have to be reported. @param current The token of the cache. */
  onTrial(current: TokenIdentity | undefined): boolean {
    if (this.#entries.size > 0 || this.#charged !== undefined || this.#accounts.onTrial) return true;
    return current !== undefined && !isSameToken(this.#accepted, current);
  }

  /** This cache holds nothing against any API; other caches of the pool may. */
  get isClear(): boolean {
    return this.#entries.size === 0;
  }

  /** Whether a path of an API, or the API, is in doubt: its rejections must not take the token from others. */
  doubts({ origin, path }: RequestTarget): boolean {
    return (
      (this.#entries.get(origin + path)?.charges ?? 0) > 1 ||
      this.#accounts.find(origin)?.isSuspect(origin + path) === true
    );
  }

  /** A token was rejected, and only a mint can help. */
  ask(token: TokenIdentity, { origin, path }: RequestTarget): Answer {
    const now = this.#clock.monotonic();
    const url = origin + path;
    const account = this.#accounts.of(origin);
    this.#rejectProbe(token, url);
    const entry = this.#entryOf(url, now);
    if (entry !== undefined && now < entry.until) return "refused";
    const kind = this.#classOf(token, url, entry, account);
    if (kind === 2) {
      if (!this.affords(now) || !account.take(kind)) return "refused";
      this.#charge(token, url, kind, account, now);
      return "granted";
    }
    const rejected: Rejected = { token: identityOf(token), site: { origin, path }, class: kind };
    const waiting = this.#places.get(origin);
    if (waiting !== undefined) {
      if (kind < waiting.class) account.promote(waiting, rejected);
      return waiting;
    }
    if (this.affords(now) && account.take(kind)) {
      this.#charge(token, url, kind, account, now);
      return "granted";
    }
    const place = new Place(this, account, rejected, now);
    this.#places.set(origin, place);
    account.enqueue(place);
    return place;
  }

  /** A caller stops to wait. A place without callers goes. */
  leave(place: Place): void {
    if (!place.isAwaited) this.#remove(place);
  }

  /** It is decided what becomes of a place. */
  turn(place: Place, turn: Turn): void {
    this.#remove(place);
    if (turn === "granted") {
      const { path, account } = place;
      const { token, site, class: kind } = place.rejected;
      this.#charge(token, path, kind, account, this.#clock.monotonic());
      this.#onGranted(token, site);
    }
    place.tell(turn);
  }

  #remove(place: Place): void {
    const { origin } = place.rejected.site;
    if (this.#places.get(origin) === place) this.#places.delete(origin);
    place.account.leave(place);
  }

  /** Whether the cache may mint because of a rejection, whatever the evidence is. */
  affords(now: number): boolean {
    this.#budget = Math.min(BURST, this.#budget + (now - this.#refilledAt) / REFILL);
    this.#refilledAt = now;
    return this.#budget >= 1;
  }

  /** Takes one of the cache's renewal mints for a caller who asks for another token. @returns Whether there was one. */
  spend(): boolean {
    if (!this.affords(this.#clock.monotonic())) return false;
    this.#budget--;
    return true;
  }

  /** A mint begins. */
  begun(): void {
    if (this.#charged !== undefined) this.#charged.hasBegun = true;
  }

  /** A mint has landed with this token. */
  landed(token: TokenIdentity): void {
    const probe = this.#charged;
    this.#charged = undefined;
    if (probe !== undefined) {
      probe.token = identityOf(token);
      probe.landedAt = this.#clock.monotonic();
      this.#landed.push(probe);
      if (this.#landed.length > KNOWN_BAD) this.#landed.shift();
      probe.account.landed(probe);
    }
    // There is a token: whoever waits for a mint of this cache looks at it first.
    for (const place of this.#places.values()) {
      this.#remove(place);
      place.tell("granted");
    }
  }

  /** The mint has failed, or another process had a token: nothing was found out, and the charge is taken back. */
  uncharge(isTransient: boolean): void {
    const probe = this.#charged;
    if (probe === undefined) return;
    this.#charged = undefined;
    this.#budget = Math.min(BURST, this.#budget + 1);
    const entry = this.#entries.get(probe.path);
    if (entry !== undefined) {
      entry.charges--;
      // A renewal was allowed when it was charged, so one is allowed again now.
      entry.until = this.#clock.monotonic();
      if (entry.charges <= 0 && !entry.isKnown) this.#entries.delete(probe.path);
    }
    probe.account.giveBack(probe, isTransient);
  }

  /** An API has not rejected this token. */
  accepted(token: TokenIdentity, { origin, path }: RequestTarget): void {
    const url = origin + path;
    if (!isSameToken(this.#accepted, token)) this.#accepted = identityOf(token);
    this.#isDoubtful = false;
    const at = this.#landed.findIndex((probe) => probe.path === url && isSameToken(probe.token, token));
    if (at >= 0) {
      const [probe] = this.#landed.splice(at, 1) as [Probe];
      probe.account.vouch(probe);
    }
    // The token that was rejected there proves nothing, and neither does an older one (C7).
    const entry = this.#entries.get(url);
    if (entry !== undefined && token.flight > entry.token.flight) this.#entries.delete(url);
    this.#accounts.find(origin)?.accepted(url);
    this.#accounts.sweep();
    const [oldest] = this.#entries;
    if (oldest !== undefined) this.#entryOf(oldest[0], this.#clock.monotonic());
  }

  /** A token that was minted after the request's first rejection was rejected too. */
  rejectedAgain(token: TokenIdentity, { origin, path }: RequestTarget): void {
    const now = this.#clock.monotonic();
    const url = origin + path;
    this.#isDoubtful = true;
    const rejected = identityOf(token);
    const entry = this.#entryOf(url, now) ?? {
      charges: 1,
      until: now,
      isKnown: true,
      token: rejected,
    };
    entry.isKnown = true;
    entry.token = rejected;
    entry.until = Math.max(entry.until, now + Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (entry.charges - 1)));
    this.#entries.set(url, entry);
    this.#rejectProbe(token, url);
  }

  #rejectProbe(token: TokenIdentity, url: string): void {
    const probe = this.#landed.find((each) => each.path === url && isSameToken(each.token, token));
    if (probe !== undefined) probe.account.reject(probe);
  }

  #classOf(token: TokenIdentity, url: string, entry: Entry | undefined, account: EvidenceAccount): Class {
    if (entry?.isKnown === true) return 2;
    const isClean =
      entry === undefined && !this.#isDoubtful && isSameToken(this.#accepted, token) && !account.isSuspect(url);
    return isClean ? 0 : 1;
  }

  #entryOf(url: string, now: number): Entry | undefined {
    const entry = this.#entries.get(url);
    if (entry === undefined || now < entry.until + ENTRY_EXPIRY) return entry;
    this.#entries.delete(url);
    return undefined;
  }

  #charge(token: TokenIdentity, url: string, kind: Class, account: EvidenceAccount, now: number): void {
    const rejected = identityOf(token);
    const entry = this.#entryOf(url, now) ?? {
      charges: 0,
      until: now,
      isKnown: false,
      token: rejected,
    };
    entry.charges++;
    entry.token = rejected;
    entry.until = Math.max(now, now + pauseAfter(entry.charges));
    this.#entries.set(url, entry);
    this.#budget--;
    const probe: Probe = {
      rejections: this,
      account,
      path: url,
      class: kind,
      startedAt: now,
      hasBegun: false,
      isClosed: false,
      hasVouched: false,
    };
    // A charge for a mint that never began.
    if (this.#charged !== undefined) this.#charged.account.giveBack(this.#charged, false);
    this.#charged = probe;
    account.begin(probe);
  }
}

/** Returns the milliseconds that have to pass before the next charge, after this many charges. */
export function pauseAfter(charges: number): number {
  if (charges < FREE_CHARGES) return 0;
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (charges - FREE_CHARGES));
}
