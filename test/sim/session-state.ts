/**
 * The states of the model of sessions: the record that processes share, the user's table, an authorization server that ends a
 * family of refresh tokens when one is used twice, and processes with what they remember.
 *
 * A sign-in begins a family. A state is a refresh token: its family times 100 and its place in the family, so that 102 is the
 * token after 101. Access tokens are not numbered: the family and the target tell whose they are. fleet-model.ts has the order
 * of access tokens and their revocations.
 */

/** The number of targets, of which the first is the cache's own. */
export const TARGETS = 2;

export type Phase = "T" | "L" | "R" | "E";

/** The record in the store. */
export interface SharedRecord {
  phase: Phase;
  gen: number;
  sid: number;
  /** 0: none. */
  state: number;
  used: number[];
  /** Phase R: the state that the server does not accept. */
  refused: number;
  /** For each target the family of the token; 0: none. */
  tokens: number[];
  /** Phase L: the number of the lease. */
  lease: number;
  /** Phase L: another process may take the lease. */
  lapsed: boolean;
  /** Phase E: the record keeps what is to be revoked. */
  owes: boolean;
  /** Somebody has put an old copy of the record into the store. */
  replayed: boolean;
}

/** The access token that a process holds for a target. */
export interface Token {
  family: number;
  /** The target that it was minted for. */
  target: number;
  /** The session of the process that it came of. */
  session: number;
}

/** A request for a target. */
export interface Request {
  /** `sent`: the API has it, with the token of the family. */
  phase: "waits" | "sent";
  /** The session under which it was sent or began to wait; 0: none was known. */
  session: number;
  /** The user whose session it is in truth; 0: not known. */
  user: number;
  /** It waits because its token was rejected: it must not go out without one. */
  renews: boolean;
}

/** A mint in progress. */
export interface Mint {
  /** `due`: may ask the source and send. `sent`: on the wire. `committed`: the server has rotated. `refused`: it has not. `landed`: kept, and being saved. */
  step: "due" | "sent" | "committed" | "refused" | "landed";
  target: number;
  session: number;
  /** The lease, and the record as the process took it; 0 and `undefined` without a store. */
  lease: number;
  record: SharedRecord | undefined;
  /** What the table answered; -1: it was not asked. */
  answer: number;
  /** What was presented, and what the server gave for it. */
  state: number;
  next: number;
  /** The access token in the answer cannot be used. */
  bad: boolean;
  /** The callers have left. */
  left: boolean;
  /** The lease has lapsed while the process was held up. */
  late: boolean;
}

/** A sign-in or a sign-out that is being stored. */
export interface Signing {
  kind: "in" | "out" | "revoke";
  gen: number;
  sid: number;
  state: number;
}

/** A process that serves the session of one key. After its end it is started again. */
export interface Process {
  life: "runs" | "closing";
  /** The identity of its session as the record names it; `sid` 0: none is known. */
  gen: number;
  sid: number;
  /** The session as its caches know it: a number that grows; 0: none yet. */
  session: number;
  standing: "serves" | "refused" | "nobody" | "ended" | "void";
  state: number;
  /** The latest state that the process ever had. */
  latest: number;
  used: number[];
  /** The state that the server has refused; 0: none. */
  refusal: number;
  unsaved: number;
  /** The unsaved state was tried, and an event has told that it is unsaved. */
  told: boolean;
  /** The states whose saves are in the air, oldest first, and the last that was saved. */
  saving: number[];
  saved: number;
  /** The state that could not be published, and the mint that brought it. */
  unpublished: number;
  pending: Mint | undefined;
  /** The process has seen the record, and so lately that a note of a sign-out would still be there. */
  seen: "never" | "recently" | "long ago";
  tokens: (Token | undefined)[];
  requests: (Request | undefined)[];
  /** How many requests are left for each target. */
  due: number[];
  mint: Mint | undefined;
  /** A second mint at the same time. Only a mutant has one. */
  second: Mint | undefined;
  signing: Signing | undefined;
  /** The families whose sign-out was stored before the process looked last. */
  knowsEnded: number[];
}

/** A family of refresh tokens at the authorization server. */
export interface Family {
  /** The state that the server accepts. */
  newest: number;
  /** Who has signed in. A user who signs in elsewhere begins another family. */
  user: number;
  dead: boolean;
  /** The sign-in could not be stored, and its caller knows. */
  rejected: boolean;
  /** The user has signed out, and the store knows it. */
  ended: boolean;
  /** The store still has the note of it. */
  noted: boolean;
  /** Something has happened after which no protocol can protect the family. */
  excused: boolean;
  /** The table has an earlier state, because two processes saved at the same time. */
  stale: boolean;
}

/** How often each thing can happen. */
export interface Chances {
  /** A user signs in, or out. */
  signIns: number;
  signOuts: number;
  /** A user signs in elsewhere: the table has the refresh token of a new family. */
  rowSignIns: number;
  rejections: number;
  expiries: number;
  kills: number;
  closes: number;
  pauses: number;
  /** The store loses the record. */
  losses: number;
  /** The store gets an old copy of the record. */
  replays: number;
  storeFaults: number;
  saveFaults: number;
  /** The source fails. */
  sourceFaults: number;
  /** The answer of a mint is lost; arrives after the callers have left; has no usable access token. */
  lostAnswers: number;
  lateAnswers: number;
  badAnswers: number;
  /** A mint is cut at the landing timeout. */
  cuts: number;
  /** The time for which notes of refusals and sign-outs are kept passes. */
  days: number;
  revocationFaults: number;
  /** The wall clock reaches the next millisecond. */
  ticks: number;
}

export interface World {
  store: SharedRecord | undefined;
  /** A copy of the record that somebody has made. */
  copy: SharedRecord | undefined;
  /** The refresh token in the user's table; 0: nobody is signed in. */
  row: number;
  /** By number; the first is not used. */
  families: Family[];
  processes: Process[];
  left: Chances;
  /** The user wants to be signed out, and has not been told that it was done. */
  wantsOut: boolean;
  /** Epoch milliseconds, so coarse that two sign-ins may have the same. */
  time: number;
  /** Numbers that were given to leases and sessions. */
  numbers: number;
}

export function familyOf(state: number): number {
  return Math.floor(state / 100);
}

/** Returns what a sign-in begins. */
export function newFamily(newest: number, user: number): Family {
  return { newest, user, dead: false, rejected: false, ended: false, noted: false, excused: false, stale: false };
}

/** Copies a world, with one process or with all of them. What is not copied must not be changed. */
export function copyOf(world: World, index?: number): World {
  return {
    ...world,
    store: world.store && copyOfRecord(world.store),
    families: world.families.map((family) => ({ ...family })),
    processes: world.processes.map((process, place) => {
      return index === undefined || index === place ? copyOfProcess(process) : process;
    }),
    left: { ...world.left },
  };
}

function copyOfProcess(process: Process): Process {
  const { mint, second, pending, signing } = process;
  return {
    ...process,
    saving: [...process.saving],
    tokens: process.tokens.map((token) => token && { ...token }),
    requests: process.requests.map((request) => request && { ...request }),
    due: [...process.due],
    mint: mint && { ...mint },
    second: second && { ...second },
    pending: pending && { ...pending },
    signing: signing && { ...signing },
  };
}

export function copyOfRecord(record: SharedRecord): SharedRecord {
  return { ...record, used: [...record.used], tokens: [...record.tokens] };
}

/**
 * Returns a text that is equal for worlds with the same future. Processes are interchangeable. Of the numbers of leases and
 * sessions only equality matters, so they are renamed in the order in which they are found.
 */
export function keyOf({ store, copy, row, families, processes, left, wantsOut, time }: World): string {
  const texts = processes.map((process) => ({ process, text: textOf(process) }));
  texts.sort((one, other) => (one.text < other.text ? -1 : one.text > other.text ? 1 : 0));
  const names = new Map<number, number>([[0, 0]]);
  const name = (number: number): number => {
    let place = names.get(number);
    if (place === undefined) names.set(number, (place = names.size));
    return place;
  };
  const named = (record: SharedRecord | undefined): unknown =>
    record && [record.phase, record.gen, name(record.sid), name(record.lease), rest(record)];
  const parts = texts.map(({ process }) => {
    const { mint, second, pending, signing } = process;
    const flights = [mint, second, pending].map((each) => each && [name(each.lease), named(each.record)]);
    return [name(process.sid), flights, signing && name(signing.sid)];
  });
  const shared = [named(store), named(copy), row, values(left), wantsOut, time];
  const accepted = families.map(({ newest, user, ...rules }) => [
    newest,
    user,
    flags(rules.dead, rules.rejected, rules.ended, rules.noted, rules.excused, rules.stale),
  ]);
  return `${JSON.stringify([shared, accepted, parts])}${texts.map(({ text }) => text).join("|")}`;
}

function rest({ state, used, refused, tokens, lapsed, owes, replayed }: SharedRecord): unknown {
  return [state, used, refused, tokens, flags(lapsed, owes, replayed)];
}

/** Processes do not change once their step is over. */
const known = new WeakMap<Process, string>();

function textOf(process: Process): string {
  let text = known.get(process);
  if (text === undefined) known.set(process, (text = JSON.stringify([values(process), ranked(process)])));
  return text;
}

const ELSEWHERE = new Set(["sid", "session", "mint", "second", "pending", "signing", "tokens", "requests"]);

/** What a process remembers, without the numbers that are renamed. */
function values(part: object): unknown[] {
  return Object.entries(part).flatMap(([name, value]) => (ELSEWHERE.has(name) ? [] : [value]));
}

/** The sessions of a process, each by its distance from the present one. */
function ranked({ session, mint, second, pending, signing, tokens, requests }: Process): unknown {
  const age = (other: number): number | string => (other === 0 ? "-" : session - other);
  const flights = [mint, second, pending].map(
    (each) =>
      each && [
        each.step,
        each.target,
        age(each.session),
        each.answer,
        each.state,
        each.next,
        flags(each.bad, each.left, each.late),
      ],
  );
  return [
    session === 0,
    flights,
    signing && [signing.kind, signing.gen, signing.state],
    tokens.map((token) => token && [token.family, token.target, age(token.session)]),
    requests.map((request) => request && [request.phase, age(request.session), request.user, request.renews]),
  ];
}

function flags(...all: readonly boolean[]): string {
  return all.map((each) => (each ? "1" : "0")).join("");
}
