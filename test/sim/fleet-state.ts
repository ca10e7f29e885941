/**
 * The states of the fleet's model: one record in a store, and the processes that share it.
 *
 * Time is abstract: the environment decides when leases, failures and tokens end. Tokens are numbered in the order of their
 * mints, and a revocation revokes all of them, so one number tells which tokens are revoked. The refresh tokens of a stateful
 * grant are numbered too, and the server accepts only the newest.
 */

/** The record in the store. Two records are the same bytes if they are equal in everything but `lapsed` and `expired`. */
export interface StoreRecord {
  /** `idle` has only the state of a stateful grant. */
  readonly phase: "idle" | "lease" | "token" | "refreshing" | "failure";
  /** The token of the phases `token` and `refreshing`; otherwise 0. */
  readonly token: number;
  /** The number of the lease in the phases `lease` and `refreshing`; otherwise 0. It stands for the nonce of the holder. */
  readonly lease: number;
  /** The refresh token in the record; 0 for grants without state. */
  readonly state: number;
  /** The token was minted because of a rejection. */
  readonly renewal: boolean;
  /** The lease or the failure has ended: any process may replace the record. */
  readonly lapsed: boolean;
  /** The token has expired. */
  readonly expired: boolean;
  /** The processes whose mints have failed since the last one that succeeded: bit 0 is that of process 0. */
  readonly failed: number;
}

/** The content of the store. `undefined` means that the key is absent. */
export type Stored = StoreRecord | undefined;

/** The flight of a process. */
export interface Flight {
  /** `silent`: the server does not answer this process. */
  readonly step: "swap" | "leased" | "silent" | "minted" | "failed" | "local";
  /** The flight refreshes a token in its soft window; no request waits for it. */
  readonly ahead: boolean;
  /** The token that is refreshed; 0 for a flight that is not ahead. */
  readonly held: number;
  /** The record that the next swap expects. */
  readonly expected: Stored;
  readonly lease: number;
  /** The refresh token that the flight sends; after the mint, the one that it got. */
  readonly state: number;
  readonly token: number;
}

/** A swap whose process has stopped waiting for it. */
export interface LateSwap {
  /** The store may still carry out `acquire`; then the process undoes it. The process tries `publish` a second time. */
  readonly kind: "acquire" | "publish" | "undo";
  readonly expected: Stored;
  readonly next: Stored;
  readonly lease: number;
  /** The swap is for a second renewal. */
  readonly doubts: boolean;
}

/** A process that makes one request after the other. */
export interface Process {
  readonly alive: boolean;
  /** Its mints fail from now on, and those of the others do not. */
  readonly sick: boolean;
  /** The number of requests that are left. */
  readonly requests: number;
  /** The token of the request in flight; 0 for none. */
  readonly sent: number;
  /** The request waits for a token. */
  readonly waits: boolean;
  /** The tokens that the request was rejected with; each is a renewal. */
  readonly rejected: readonly number[];
  /** The token of the resend may be older than the rejection, so a second renewal is allowed (Q5). */
  readonly older: boolean;
  /** The cached token; 0 for none. */
  readonly token: number;
  readonly flight: Flight | undefined;
  readonly late: LateSwap | undefined;
  /** The refresh token that the process read last. Only a mutant uses it. */
  readonly memory: number;
}

/** How often each misfortune can happen. */
export interface Misfortunes {
  readonly revocations: number;
  /** A process dies during a flight. */
  readonly crashes: number;
  /** A process pauses during a flight until its lease has lapsed. */
  readonly pauses: number;
  /** The store loses the record. */
  readonly losses: number;
  /** The store goes back to an older record, because later writes had not reached the replica. */
  readonly failovers: number;
  /** A swap fails for its process. The store may carry it out nevertheless, then or later. */
  readonly storeFaults: number;
  readonly mintFailures: number;
  /** A process becomes sick. */
  readonly sicknesses: number;
  /** The server does not answer a token request, or only when others have minted. */
  readonly silences: number;
  /** The server rotates the refresh token, and its answer does not arrive. */
  readonly lostAnswers: number;
  readonly expiries: number;
}

export interface World {
  readonly store: Stored;
  /** The record in the replica, while a failover can happen. */
  readonly replica: Stored;
  readonly processes: readonly Process[];
  readonly left: Misfortunes;
  /** The number of the newest token. */
  readonly minted: number;
  /** Tokens up to this one are revoked. */
  readonly dead: number;
  /** The token whose soft window has begun. */
  readonly soft: number;
  /** The token that was published last. */
  readonly published: number;
  /** The number of causes for a mint so far, minus the mints of processes that reached the store. */
  readonly spare: number;
  /** The number of the newest lease. */
  readonly leases: number;
  /** The refresh token that the server accepts. */
  readonly refreshToken: number;
  /** A used refresh token was sent, and the server has ended the session. */
  readonly familyLost: boolean;
  /** A misfortune has happened after which no protocol can protect the session. */
  readonly excused: boolean;
  /** A record may tell which processes have failed. */
  readonly isNamed: boolean;
}

/** Returns whether two records are the same bytes. */
export function isSame(one: Stored, other: Stored): boolean {
  if (one === other) return true;
  if (one === undefined || other === undefined) return false;
  return (
    one.phase === other.phase &&
    one.token === other.token &&
    one.lease === other.lease &&
    one.state === other.state &&
    one.failed === other.failed
  );
}

/**
 * Returns a text that is equal for worlds with the same future. Processes are interchangeable, unless a record tells which have
 * failed. Of tokens only their order and their revocation matter; of leases, which are equal; of refresh tokens, which one is
 * the newest.
 */
export function keyOf(world: World): string {
  const { rank, softMatters } = ranks(world);
  const { store, replica } = world;
  const lease = (id: number): string => {
    if (id === 0) return "-";
    return id === store?.lease ? "s" : id === replica?.lease ? "r" : "o";
  };
  const state = (id: number): string => (id === 0 ? "-" : id === world.refreshToken ? "n" : "u");
  const record = (stored: Stored): string =>
    stored === undefined
      ? "0"
      : `${stored.phase[0]}${rank[stored.token]}${lease(stored.lease)}${state(stored.state)}${flag(stored.renewal)}${flag(stored.lapsed)}${flag(stored.expired)}${stored.failed}`;
  const inOrder = world.processes.map((process) => ({
    process,
    text: processKey(process, rank, lease, state, record),
  }));
  const processes = world.isNamed
    ? inOrder
    : inOrder.toSorted((one, other) => (one.text < other.text ? -1 : one.text > other.text ? 1 : 0));
  const left = Object.values(world.left).join("");
  const numbers = `${rank[world.dead]}.${softMatters ? rank[world.soft] : "-"}.${rank[world.published]}.${world.spare}`;
  const flags = flag(world.refreshToken > 1) + flag(world.familyLost) + flag(world.excused);
  const texts = processes.map(({ text }) => text).join("|");
  return `${record(store)} ${record(replica)} ${left} ${numbers} ${flags} ${texts}${otherLeases(world, processes)}`;
}

function flag(value: boolean): string {
  return value ? "1" : "0";
}

function processKey(
  process: Process,
  rank: readonly string[],
  lease: (id: number) => string,
  state: (id: number) => string,
  record: (stored: Stored) => string,
): string {
  if (!process.alive) return "x";
  const { flight, late } = process;
  const request = `${process.requests}${rank[process.sent]}${flag(process.waits)}${process.rejected.map((token) => rank[token]).join("")}.${flag(process.older)}`;
  const text = `${request}${rank[process.token]}${state(process.memory)}${flag(process.sick)}`;
  const flightText =
    flight === undefined
      ? ""
      : `${flight.step[1]}${flag(flight.ahead)}${rank[flight.held]}${record(flight.expected)}${lease(flight.lease)}${state(flight.state)}${rank[flight.token]}`;
  const lateText =
    late === undefined
      ? ""
      : `${late.kind[0]}${flag(late.doubts)}${record(late.expected)}${record(late.next)}${lease(late.lease)}`;
  return `${text},${flightText},${lateText}`;
}

/** Returns a text that tells which leases are equal, of those that are neither the store's nor the replica's. */
function otherLeases(world: World, processes: readonly { readonly process: Process }[]): string {
  const names = new Map<number, number>();
  let text = "";
  const name = (id: number | undefined): void => {
    if (id === undefined || id === 0 || id === world.store?.lease || id === world.replica?.lease) return;
    if (!names.has(id)) names.set(id, names.size);
    text += `,${names.get(id)}`;
  };
  for (const { process } of processes) {
    for (const id of [process.flight?.expected?.lease, process.flight?.lease]) name(id);
    for (const id of [process.late?.expected?.lease, process.late?.next?.lease, process.late?.lease]) name(id);
  }
  return text;
}

/** Returns the rank of every token among those that still matter. Any other token has the rank of the one before it. */
function ranks(world: World): { readonly rank: readonly string[]; readonly softMatters: boolean } {
  const matters = Array.from({ length: world.minted + 1 }, () => false);
  const mark = (stored: Stored): void => void (stored !== undefined && (matters[stored.token] = true));
  mark(world.store);
  mark(world.replica);
  for (const { sent, rejected, token, flight, late } of world.processes) {
    matters[sent] = true;
    for (const id of rejected) matters[id] = true;
    matters[token] = true;
    if (flight !== undefined) {
      matters[flight.held] = true;
      matters[flight.token] = true;
      mark(flight.expected);
    }
    mark(late?.expected);
    mark(late?.next);
  }
  matters[0] = false;
  let rank = 0;
  const rankOf = matters.map((is) => (is ? ++rank : rank).toString(36));
  return { rank: rankOf, softMatters: matters[world.soft]! };
}
