/** The simulated authorization server and API of the races and storms. */
import type { MintContext } from "../../src/core/grant.ts";
import type { TokenResponse } from "../../src/core/types.ts";
import type { ClientSeam } from "../../src/policy/client-seam.ts";

/** Waits: for virtual time in the storms, for a step of the scheduler in the races. */
export type Pause = (label: string, ms: number) => Promise<void>;

/** Milliseconds of a request and its answer: one number for both ways together, or one for each way. */
export type Latency = number | readonly [there: number, back: number];

const bothWays = (latency: Latency): readonly [number, number] =>
  typeof latency === "number" ? [latency / 2, latency / 2] : latency;

export interface AuthorizationServerOptions {
  readonly pause: Pause;
  readonly latency?: Latency;
  readonly expiresIn?: number;
  /** A new token revokes the one before it. */
  readonly oneLive?: boolean;
  /** The server returns the same token again as long as it is live. */
  readonly repeats?: boolean;
}

/** An authorization server. Its tokens are live until they are revoked. */
export class AuthorizationServer {
  readonly live: Set<string> = new Set();
  latency: Latency;
  mints = 0;
  /** The largest number of mints at the same time. */
  mostAtOnce = 0;
  /** The number of the next mints that fail. */
  failing = 0;
  lastIssued: string | undefined;
  /** Called when a mint begins. */
  onMint: () => void = () => {};
  readonly #options: AuthorizationServerOptions;
  #inProgress = 0;
  #issued = 0;

  constructor(options: AuthorizationServerOptions) {
    this.#options = options;
    this.latency = options.latency ?? 20;
  }

  readonly mint = async ({ signal }: MintContext): Promise<TokenResponse> => {
    const { pause, expiresIn = 36_000 } = this.#options;
    const number = ++this.mints;
    this.onMint();
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#inProgress);
    const [there, back] = bothWays(this.latency);
    try {
      await orAbort(pause(`mint ${number} arrives`, there), signal);
      if (this.failing > 0) {
        this.failing--;
        throw Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
      }
      const value = this.#issue();
      await orAbort(pause(`mint ${number} answers ${value}`, back), signal);
      return { access_token: value, expires_in: expiresIn };
    } finally {
      this.#inProgress--;
    }
  };

  revokeAll(): void {
    this.live.clear();
  }

  #issue(): string {
    const [current] = this.live;
    if (this.#options.repeats && current !== undefined) return (this.lastIssued = current);
    if (this.#options.oneLive) this.live.clear();
    const value = `t${++this.#issued}`;
    this.live.add(value);
    return (this.lastIssued = value);
  }
}

export interface SimRequest {
  readonly name: string;
  readonly url: string;
  readonly signal?: AbortSignal | undefined;
  readonly retry?: boolean;
  /** A body that cannot be sent twice. */
  readonly stream?: boolean;
  readonly latency?: Latency;
  /** The token of each send, in order; `undefined` for a send without a token. */
  readonly sends: (string | undefined)[];
}

export interface SimAnswer {
  readonly status: number;
}

/** Returns whether an API accepts a token for this URL. */
export type Accepts = (token: string | undefined, url: URL) => boolean;

/** Creates a client of an API that answers 200 or 401. */
export function simulatedApi(pause: Pause, accepts: Accepts): ClientSeam<SimRequest, SimAnswer> {
  return {
    async send(request: SimRequest, headers) {
      const token = headers?.["authorization"]?.split(" ")[1];
      const [there, back] = bothWays(request.latency ?? 10);
      const send = `${request.name}, send ${request.sends.push(token)} with ${token}`;
      await orAbort(pause(`${send} arrives`, there), request.signal);
      const status = accepts(token, new URL(request.url)) ? 200 : 401;
      await orAbort(pause(`${send} is answered ${status}`, back), request.signal);
      return { status };
    },
    status: (answer) => answer.status,
    header: () => null,
    canResend: (request) => !request.stream,
    // Draining the 401 takes a moment, as over a network.
    discard: () => pause("a 401 is drained", 1),
  };
}

/** Rejects at once with the signal's reason if the signal aborts, as clients do. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject);
  });
}
