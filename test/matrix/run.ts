/**
 * Runs one case of the matrix: with a client alone and with the same client through remint, and compares what arrived at
 * the servers and what the caller got. Runs everywhere: no `node:` imports.
 */
import type { AxiosInstance } from "axios";
import type { $Fetch } from "ofetch";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import type { Family, Opened, Reply, Sent, Setup, TestClient } from "./clients.ts";
import { describe, printed } from "./describe.ts";
import { type Arrival, comparable, differences, type Log, REFUSING, REJECTING, SECRET, WAITING } from "./wire.ts";

type DpopOption = Parameters<typeof clientCredentialsGrant>[0]["dpop"];

/**
 * - `warm`: the cache holds a token that the API accepts.
 * - `waits`: the cache keeps no token (`maxTtl: 0`), so every request waits for the token endpoint.
 * - `rejected`: the API answers the first request of every call with 401, and accepts the resend.
 */
export type Mode = "warm" | "waits" | "rejected";
export const MODES: readonly Mode[] = ["warm", "waits", "rejected"];

const LETTERS: Record<Mode, string> = { warm: "w", waits: WAITING, rejected: REJECTING };

/** What the runtime of a run brings. */
export interface Ground {
  /** The servers (server.ts). */
  readonly servers: {
    readonly api: string;
    readonly other: string;
    readonly closed: string;
    /** Where the servers are in this process. */
    readonly log?: (run: string, total: number) => Promise<Log>;
  };
  /** Prints a value as the runtime's own `util.inspect` does, in a depth of 10. */
  readonly inspect: (value: unknown) => string;
  /** What only runtimes with Node's modules have. */
  readonly node?: NodeParts | undefined;
}

export interface NodeParts {
  readonly Readable: typeof import("node:stream").Readable;
  readonly PassThrough: typeof import("node:stream").PassThrough;
  readonly EventEmitter: typeof import("node:events").EventEmitter;
  readonly Buffer: typeof import("node:buffer").Buffer;
  readonly Agent: typeof import("node:http").Agent;
  /** The `form-data` package. */
  readonly FormDataPackage: new () => import("form-data");
}

/** One case: a request or a few, and what a user sees of them. */
export interface Case {
  /** The numbers of the rules, then the input. */
  readonly name: string;
  /** The clients that the case applies to; by default all. */
  readonly families?: readonly Family[];
  /** Why the case does not apply to a client in a runtime, apart from `families`. */
  readonly unfit?: (client: TestClient, ground: Ground) => string | undefined;
  /** The modes that the case cannot be run in, each with the reason. */
  readonly not?: Partial<Record<Mode, string>>;
  /** The body can be sent once: where it is rejected, the API's 401 goes to the caller as without remint. */
  readonly oneShot?: true;
  /** The body is a stream that can be sent again. Some clients make an error of a 401 to a stream, also without remint. */
  readonly streamed?: true;
  /** Why no request of the case carries our token. */
  readonly bare?: string;
  /** Why some requests of the case may go without our token. */
  readonly mixed?: string;
  /** Why what arrives is not compared. */
  readonly looseWire?: string;
  /** Makes the requests, and returns what the caller saw. */
  readonly run: (io: Io) => Promise<unknown>;
}

/** What a case works with: the client, alone or through remint, and the addresses of the servers. */
export class Io {
  readonly client: TestClient;
  readonly ground: Ground;
  /** Every error that reached the caller. */
  readonly errors: unknown[] = [];
  readonly #run: string;
  readonly #tokens: TokenCache | undefined;
  #calls = 0;

  constructor(client: TestClient, ground: Ground, run: string, tokens: TokenCache | undefined) {
    this.client = client;
    this.ground = ground;
    this.#run = run;
    this.#tokens = tokens;
  }

  /** Returns the URL of the next call. What the API does with it is said by the route (server.ts). */
  url(route: string): string {
    return this.base() + route;
  }

  /** Returns the URL of the next call without a route, for clients that take a base URL. */
  base(): string {
    return `${this.ground.servers.api}/${this.#run}/${this.#calls++}`;
  }

  /** Returns the URL of the next call, at the host that the cache does not list. */
  elsewhere(route: string): string {
    return `${this.ground.servers.other}/${this.#run}/${this.#calls++}${route}`;
  }

  /** Sends a request, and describes what the caller got. */
  async send(route: string, sent?: Sent, setup?: Setup): Promise<object> {
    return this.sendTo(this.url(route), sent, setup);
  }

  /** Does what {@link Io.send} does, for a whole URL. */
  async sendTo(url: string, sent?: Sent, setup?: Setup): Promise<object> {
    const call = this.client.connect(this.#tokens, setup);
    return this.outcome(
      call(url, sent).then(({ status, text, response, error }: Reply) => ({
        status,
        text,
        // An error has its response inside.
        ...(error === undefined ? { response } : { error: this.caught(error) }),
      })),
    );
  }

  /** Opens the client itself, for what only this client has. */
  open(setup?: Setup): Opened {
    return this.client.open(this.#tokens, setup);
  }

  get fetch(): typeof globalThis.fetch {
    return this.open().fetch!;
  }

  ofetch(defaults?: object): $Fetch {
    return this.open({ defaults: { ...defaults } }).ofetch!;
  }

  axios(defaults?: object): AxiosInstance {
    return this.open({ defaults: { ...defaults } }).axios!;
  }

  /** Describes what a promise settles with. */
  async outcome(promise: unknown): Promise<object> {
    try {
      return { resolved: describe(await promise) };
    } catch (error) {
      return { rejected: describe(this.caught(error)) };
    }
  }

  /** Notes an error that reached the caller. */
  caught<Thrown>(error: Thrown): Thrown {
    this.errors.push(error);
    return error;
  }

  /** Resolves when so many requests of this run have arrived, without those that were answered with 401. */
  async arrived(total: number): Promise<void> {
    await logOf(this.ground, this.#run, total);
  }
}

/** Returns what arrived in a run, once so many requests that were not answered with 401 have. */
export async function logOf({ servers }: Ground, run: string, total: number): Promise<Log> {
  if (servers.log !== undefined) return servers.log(run, total);
  const response = await globalThis.fetch(`${servers.api}/log/${run}?${total}`);
  return (await response.json()) as Log;
}

/** Returns why a case does not apply; `undefined` if it does. */
export function unfitFor(entry: Case, client: TestClient, ground: Ground, mode: Mode): string | undefined {
  if (entry.families?.includes(client.family) === false) return `only ${entry.families.join(", ")}`;
  return entry.not?.[mode] ?? entry.unfit?.(client, ground);
}

let runs = 0;

/** Returns a number that no other run has, also not of another process. All are of one length, as are URLs with them. */
export function newRun(): number {
  return 1e13 + ++runs + Math.floor(Math.random() * 1e9) * 1e4;
}

/** Runs a case in a mode. Returns what is wrong, each fault in one line. */
export async function runCase(ground: Ground, client: TestClient, entry: Case, mode: Mode): Promise<string[]> {
  const isRefused = mode === "rejected" && (entry.oneShot === true || (await hides401(ground, client, entry)));
  const alone = await runAlone(ground, client, entry, isRefused ? REFUSING : "b");
  const name = `${LETTERS[mode]}run${newRun()}`;
  const tokens = cacheOf(ground, name, mode === "waits");
  try {
    if (mode !== "waits" && entry.bare === undefined) await tokens.get();
    const through = await runOnce(ground, client, entry, name, tokens, isRefused ? 0 : alone.arrivals.length);
    const accepted = isRefused ? through.arrivals : acceptedIn(through);
    return [
      ...fault("the caller sees", differences(alone.seen, through.seen)),
      ...(entry.looseWire ? [] : fault("on the wire", differences(comparable(alone.arrivals), comparable(accepted)))),
      ...(entry.looseWire || isRefused ? [] : firstSendFaults(alone, through)),
      ...tokenFaults(entry, through, mode),
      ...leaks(ground, through),
    ];
  } finally {
    await tokens.close();
  }
}

/** What workerd calls an error of its own, which is new in every error. */
const REFERENCE = /reference = \w+/g;
/** The client's end of a connection, in errors of Deno. */
const LOCAL = /from 127\.0\.0\.1:\d+/g;
/** A boundary in a header, which is new in every run. */
const BOUNDARY = /boundary=[^"\\;]+/g;

/** Whether the client alone makes an error of a 401 to this body, so that nobody sees the 401. */
async function hides401(ground: Ground, client: TestClient, entry: Case): Promise<boolean> {
  if (entry.streamed === undefined) return false;
  const { seen } = await runAlone(ground, client, entry, REFUSING);
  return (seen as { rejected?: unknown }).rejected !== undefined;
}

interface Ran {
  /** What the caller saw, with the name of the run replaced. */
  readonly seen: unknown;
  readonly arrivals: readonly Arrival[];
  readonly mints: number;
  readonly errors: readonly unknown[];
}

const known = new WeakMap<TestClient, Map<string, Promise<Ran>>>();

/** Runs a case with the client alone, once for all modes. */
function runAlone(ground: Ground, client: TestClient, entry: Case, letter: string): Promise<Ran> {
  let ran = known.get(client);
  if (ran === undefined) known.set(client, (ran = new Map()));
  const key = letter + entry.name;
  let alone = ran.get(key);
  if (alone === undefined) ran.set(key, (alone = runOnce(ground, client, entry, `${letter}run${newRun()}`, undefined)));
  return alone;
}

async function runOnce(
  ground: Ground,
  client: TestClient,
  { run, looseWire }: Case,
  name: string,
  tokens: TokenCache | undefined,
  arrivals = 0,
): Promise<Ran> {
  const io = new Io(client, ground, name, tokens);
  const seen = await run(io).catch((error: unknown) => ({ "the case itself failed": describe(error) }));
  let log = await logOf(ground, name, 0);
  // A request whose caller has left may arrive a moment later.
  for (let turns = looseWire === undefined ? 20 : 0; turns > 0 && acceptedIn(log).length < arrivals; turns--) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    log = await logOf(ground, name, 0);
  }
  const text = (JSON.stringify(seen) ?? "null")
    .replaceAll(name, "RUN")
    .replaceAll(BOUNDARY, "boundary=BOUNDARY")
    .replaceAll(REFERENCE, "reference = REFERENCE")
    .replaceAll(LOCAL, "from LOCAL");
  return { seen: JSON.parse(text), ...log, errors: io.errors };
}

function acceptedIn({ arrivals }: Pick<Log, "arrivals">): readonly Arrival[] {
  return arrivals.filter(({ isRejected }) => !isRejected);
}

/** Creates the cache of a run. */
export function cacheOf({ servers }: Ground, run: string, keepsNoToken: boolean, dpop?: DpopOption): TokenCache {
  return createTokenCache({
    grant: clientCredentialsGrant({
      ...(dpop && { dpop }),
      tokenEndpoint: `${servers.api}/${run}/token`,
      clientId: "matrix",
      clientSecret: `${SECRET}-of-the-client`,
    }),
    origins: [servers.api],
    ...(keepsNoToken && { maxTtl: 0 }),
  });
}

function fault(where: string, what: readonly string[]): string[] {
  return what.map((each) => `${where}: ${each}`);
}

/** A send that was answered with 401 is the same as the first send of its call without remint. */
function firstSendFaults(alone: Ran, through: Ran): string[] {
  return through.arrivals
    .filter(({ isRejected }) => isRejected)
    .flatMap((rejected) => {
      const expected = alone.arrivals.find(({ call }) => call === rejected.call);
      const [one, other] = [expected, rejected].map((each) => (each === undefined ? [] : comparable([each])));
      return fault("in the send that was answered with 401", differences(one, other));
    });
}

/** Our token is at every request to the listed host and nowhere else, and the mode is what it says. */
function tokenFaults({ bare, mixed }: Case, { arrivals, mints }: Ran, mode: Mode): string[] {
  const faults: string[] = [];
  for (const { host, method, url, authorization, headers, body, isRejected } of arrivals) {
    const carries = authorization?.includes(SECRET) ?? false;
    const isPreflight = method === "OPTIONS" && headers.some(([name]) => /^access-control-/i.test(name));
    if (host === "other" && carries) faults.push(`the token arrived at an unlisted host: ${method} ${url}`);
    if (JSON.stringify([url, headers, body]).includes(SECRET))
      faults.push(`a secret is outside of Authorization: ${url}`);
    if (host === "other" || isPreflight || mixed !== undefined) continue;
    if (carries !== (bare === undefined)) faults.push(`${method} ${url} ${carries ? "carries a" : "has no"} token`);
    if (isRejected && mode !== "rejected") faults.push(`${method} ${url} was rejected in the mode ${mode}`);
  }
  const sent = arrivals.filter(({ authorization }) => authorization?.includes(SECRET));
  const calls = new Set(sent.map(({ call }) => call));
  const rejected = sent.filter(({ isRejected }) => isRejected);
  if (mode === "warm" && sent.length > 0 && mints !== 1) faults.push(`${mints} mints in the mode warm`);
  if (mode === "rejected" && rejected.length !== calls.size) {
    faults.push(`${rejected.length} of ${calls.size} calls were answered with 401`);
  }
  return faults;
}

function leaks({ inspect }: Ground, { errors }: Ran): string[] {
  return errors.flatMap((error) => {
    const text = printed(error, inspect);
    const at = text.indexOf(SECRET);
    return at === -1 ? [] : [`a secret is printed with an error: ...${text.slice(Math.max(0, at - 80), at + 20)}`];
  });
}
