/**
 * The states of the fleet's model: one record in a store, and the processes that share it.
 *
 * Time is abstract: leases, failures and tokens come to their end when the environment says so. Tokens are numbered as
 * they are minted, and a revocation ends all there are, so one number says which are dead. Refresh tokens of a stateful
 * grant are numbered too; the server takes only the newest.
 */

/** What the store holds under the key. Two records are the same bytes when all but what time did to them is equal. */
export interface StoreRecord {
  /** `idle` holds a stateful grant's state, and nobody is at work on it. */
  readonly phase: "idle" | "lease" | "token" | "refreshing" | "failure";
  /** Of `token` and `refreshing`; else 0. */
  readonly token: number;
  /** Of `lease` and `refreshing`: the random text that says whose it is; else 0. */
  readonly lease: number;
  /** The refresh token it carries; 0 for grants without state. */
  readonly state: number;
  /** The token was minted because another had been rejected. */
  readonly renewal: boolean;
  /** The time of the lease, the refreshing or the failure is over: whoever wants to may take it over. */
  readonly lapsed: boolean;
  /** The time of the token is over. */
  readonly expired: boolean;
}

/** `undefined`: the key is absent. */
export type Stored = StoreRecord | undefined;

/** A process on its way to a token. */
export interface Flight {
  readonly step: "swap" | "leased" | "minted" | "failed" | "local";
  /** It refreshes a token that is still good; nobody needs it yet. */
  readonly ahead: boolean;
  /** The token it replaces while that is still good; 0 for a flight that is not ahead. */
  readonly held: number;
  /** What the next swap expects to replace. */
  readonly expected: Stored;
  readonly lease: number;
  /** The refresh token it presents, and then the one it was given for it. */
  readonly state: number;
  readonly token: number;
}

/** A swap that the process has stopped waiting for, and what it does about it. */
export interface LateSwap {
  /** `acquire` may still be carried out by the store; if so, it is undone. `publish` is tried a second time. */
  readonly kind: "acquire" | "publish" | "undo";
  readonly expected: Stored;
  readonly next: Stored;
  readonly lease: number;
  /** It was swapped by a request that renewed for the second time. */
  readonly doubts: boolean;
}

/** A process with one request after the other. */
export interface Process {
  readonly alive: boolean;
  /** Requests it has still to make. */
  readonly requests: number;
  /** The token its request is under way with; 0 for none. */
  readonly sent: number;
  /** Its request needs a token before it can be sent. */
  readonly waits: boolean;
  /** The tokens its request was rejected with: each is a renewal. */
  readonly rejected: readonly number[];
  /** What it was sent again with may be older than its rejection, so the re-mint is still owed (Q5). */
  readonly older: boolean;
  /** The cached token; 0 for none. */
  readonly token: number;
  readonly flight: Flight | undefined;
  readonly late: LateSwap | undefined;
  /** The refresh token it saw last. Only a mutant looks at it. */
  readonly memory: number;
}

/** How often each misfortune may happen. */
export interface Misfortunes {
  readonly revocations: number;
  /** A process ends while it is at work. */
  readonly crashes: number;
  /** A process at work does nothing until its lease has lapsed. */
  readonly pauses: number;
  /** The store loses the record. */
  readonly losses: number;
  /** The store goes back to an older record: what was written since had not reached the replica. */
  readonly failovers: number;
  /** A swap fails for its process; the store may carry it out nevertheless, then or later. */
  readonly storeFaults: number;
  readonly mintFailures: number;
  /** The server rotates the refresh token, and its answer does not arrive. */
  readonly lostAnswers: number;
  readonly expiries: number;
}

export interface World {
  readonly store: Stored;
  /** What a replica has of it, while there may be a failover. */
  readonly replica: Stored;
  readonly processes: readonly Process[];
  readonly left: Misfortunes;
  /** Tokens ever minted: the number of the newest. */
  readonly minted: number;
  /** Tokens up to this one are revoked. */
  readonly dead: number;
  /** The token whose soft window has begun. */
  readonly soft: number;
  /** The token that was published last. */
  readonly published: number;
  /** Causes for a mint so far, less the mints of processes that could reach the store. */
  readonly spare: number;
  /** Leases ever taken: the number of the newest. */
  readonly leases: number;
  /** The refresh token the server takes. */
  readonly refreshToken: number;
  /** A used refresh token was presented: the server has ended the session. */
  readonly familyLost: boolean;
  /** Something happened after which nothing protects the session. */
  readonly excused: boolean;
}

/** Whether two records are the same bytes. */
export function isSame(one: Stored, other: Stored): boolean {
  if (one === other) return true;
  if (one === undefined || other === undefined) return false;
  return (
    one.phase === other.phase && one.token === other.token && one.lease === other.lease && one.state === other.state
  );
}

/**
 * A text that is equal for worlds with the same future. Processes are interchangeable; of tokens, only the order
 * matters and which are dead; of leases, which are the same; of refresh tokens, which one is the newest.
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
      : `${stored.phase[0]}${rank[stored.token]}${lease(stored.lease)}${state(stored.state)}${flag(stored.renewal)}${flag(stored.lapsed)}${flag(stored.expired)}`;
  const processes = world.processes
    .map((process) => ({ process, text: processKey(process, rank, lease, state, record) }))
    .toSorted((one, other) => (one.text < other.text ? -1 : one.text > other.text ? 1 : 0));
  const { revocations, crashes, pauses, losses, failovers, storeFaults, mintFailures, lostAnswers, expiries } =
    world.left;
  const left = `${revocations}${crashes}${pauses}${losses}${failovers}${storeFaults}${mintFailures}${lostAnswers}${expiries}`;
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
  const text = `${request}${rank[process.token]}${state(process.memory)}`;
  const flying =
    flight === undefined
      ? ""
      : `${flight.step[1]}${flag(flight.ahead)}${rank[flight.held]}${record(flight.expected)}${lease(flight.lease)}${state(flight.state)}${rank[flight.token]}`;
  const lating =
    late === undefined
      ? ""
      : `${late.kind[0]}${flag(late.doubts)}${record(late.expected)}${record(late.next)}${lease(late.lease)}`;
  return `${text},${flying},${lating}`;
}

/** Which of the leases that are neither the store's nor the replica's are the same. */
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

/** The place of every token among those that still matter; tokens that do not have the place of the one before. */
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
