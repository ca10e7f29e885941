import type { MintContext } from "../../src/core/grant.ts";
import type { AccessToken, TokenResponse } from "../../src/core/types.ts";
import type { ClientSeam } from "../../src/policy/request-policy.ts";

/** Lets some time pass, or another task run: virtual time in the one kind of simulation, a scheduler in the other. */
export type Pause = (label: string, ms: number) => Promise<void>;

/** Milliseconds of one exchange: half of them on the way there and half on the way back, or the two. */
export type Latency = number | readonly [there: number, back: number];

const bothWays = (latency: Latency): readonly [number, number] =>
  typeof latency === "number" ? [latency / 2, latency / 2] : latency;

export interface AuthorizationServerOptions {
  readonly pause: Pause;
  readonly latency?: Latency;
  readonly expiresIn?: number;
  /** A new token ends the one before it. */
  readonly oneLive?: boolean;
  /** Hands out the same token again as long as it is live. */
  readonly repeats?: boolean;
}

/** An authorization server: what it has issued is live until it is revoked. */
export class AuthorizationServer {
  readonly live: Set<string> = new Set();
  latency: Latency;
  mints = 0;
  /** The most mints that were under way at the same time. */
  mostAtOnce = 0;
  /** Fails this many of the next mints. */
  failing = 0;
  lastIssued: string | undefined;
  /** Called when a mint begins. */
  onMint: () => void = () => {};
  readonly #options: AuthorizationServerOptions;
  #underWay = 0;
  #issued = 0;

  constructor(options: AuthorizationServerOptions) {
    this.#options = options;
    this.latency = options.latency ?? 20;
  }

  readonly mint = async ({ signal }: MintContext): Promise<TokenResponse> => {
    const { pause, expiresIn = 36_000 } = this.#options;
    const number = ++this.mints;
    this.onMint();
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
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
      this.#underWay--;
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
  /** The tokens it was sent with, in order; `undefined` for a bare send. */
  readonly sends: (string | undefined)[];
}

export interface SimAnswer {
  readonly status: number;
}

/** What an API thinks of a token: whether it is good for this URL. */
export type Accepts = (token: string | undefined, url: URL) => boolean;

/** A client of an API that answers 200 or 401. */
export function simulatedApi(pause: Pause, accepts: Accepts): ClientSeam<SimRequest, SimAnswer> {
  return {
    async send(request: SimRequest, token: AccessToken | undefined) {
      const [there, back] = bothWays(request.latency ?? 10);
      const send = `${request.name}, send ${request.sends.push(token?.value)} with ${token?.value}`;
      await orAbort(pause(`${send} arrives`, there), request.signal);
      const status = accepts(token?.value, new URL(request.url)) ? 200 : 401;
      await orAbort(pause(`${send} is answered ${status}`, back), request.signal);
      return { status };
    },
    status: (answer) => answer.status,
    header: () => null,
    canResend: (request) => !request.stream,
    // As over a network, the 401 takes a moment to drain.
    discard: () => pause("a 401 is drained", 1),
  };
}

/** As clients do: an aborted request ends at once, with the signal's reason. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject);
  });
}
