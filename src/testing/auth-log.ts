/**
 * The log of the auth server of this kit: what it received, what it committed, and whether the answer got out.
 *
 * What is committed is in issued-tokens.ts.
 *
 * @module
 */
import { optionError } from "../base/options.ts";
import { Tally } from "./tally.ts";
import type { Clock } from "../base/clock.ts";
import type { EndOfSignIn } from "./issued-tokens.ts";

/**
 * One step of the auth server. The log shows why a session was lost, for example: a refresh token was committed, its
 * answer was lost, and the refresh token before it was received again.
 */
export interface AuthLogEntry {
  /** When it happened, in epoch milliseconds of the server's clock. */
  readonly at: number;
  /**
   * - `received`: the whole request has arrived. A request without a further entry was not processed.
   * - `committed`: the server changed what it knows. It issued something, or a sign-in has ended.
   * - `refused`: the server decided to answer with an OAuth error.
   * - `answered`: the whole answer was handed to the system.
   * - `lost`: the request was processed, and the connection was closed before the whole answer was sent.
   */
  readonly step: "received" | "committed" | "refused" | "answered" | "lost";
  /** The index of the request in `requests`; absent if the test did it itself, with `signIn` for example. */
  readonly request?: number;
  /** The path of the request, without the query. */
  readonly path?: string;
  /** The `grant_type` of the request. */
  readonly grantType?: string;
  /** The refresh token in the request. */
  readonly refreshToken?: string;
  /** The number of the sign-in that the entry is about, from 1; absent for tokens that belong to no user. */
  readonly signIn?: number;
  /** What the server issued. The entries of the answer repeat it. */
  readonly issued?: IssuedValues;
  /** Why the sign-in has ended with this step. */
  readonly ended?: EndOfSignIn;
  /** The access token that was revoked with this step. */
  readonly revoked?: string;
  /** The OAuth error code of a refusal. */
  readonly error?: string;
  /** The HTTP status of the answer. */
  readonly status?: number;
  /** Whether a script changed the answer after the request was processed. */
  readonly changed?: true;
}

/** What the auth server issued in one step. */
export interface IssuedValues {
  /** The access token. */
  readonly accessToken?: string;
  /** The refresh token. */
  readonly refreshToken?: string;
  /** The authorization code. */
  readonly code?: string;
}

/** What the entries of one request have in common. It grows while the request is processed. */
export interface LoggedRequest {
  readonly request?: number;
  readonly path?: string;
  readonly grantType?: string | undefined;
  readonly refreshToken?: string | undefined;
  signIn?: number | undefined;
  issued?: IssuedValues | undefined;
}

const STEPS: readonly AuthLogEntry["step"][] = ["received", "committed", "refused", "answered", "lost"];

function tallyOf(step: string): Tally {
  return new Tally((total, logged) => {
    return new Error(`waitForLog("${step}", ${total}): the server was closed after ${logged} such entries`);
  });
}

/** The entries, oldest first. */
export class AuthLog {
  readonly entries: AuthLogEntry[] = [];
  readonly #clock: Pick<Clock, "now">;
  readonly #tallies = new Map(STEPS.map((step) => [step, tallyOf(step)]));

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  add(
    step: AuthLogEntry["step"],
    about: LoggedRequest,
    facts: {
      readonly [Name in "ended" | "revoked" | "error" | "status" | "changed"]?: AuthLogEntry[Name] | undefined;
    } = {},
  ): void {
    const entry = { at: this.#clock.now(), step, ...about, ...facts };
    const known = Object.entries(entry).filter(([, value]) => value !== undefined);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only members without a value were left out
    this.entries.push(Object.fromEntries(known) as unknown as AuthLogEntry);
    this.#tallies.get(step)?.add();
  }

  /**
   * Resolves when there are this many entries with this step. Rejects when the log is closed before.
   *
   * @throws {TypeError} When there is no such step, or `total` is not a non-negative integer.
   */
  async reaches(step: AuthLogEntry["step"], total: number): Promise<void> {
    const tally = this.#tallies.get(step);
    if (tally === undefined) throw optionError("step", step, `one of "${STEPS.join('", "')}"`);
    await tally.reaches(total);
  }

  /** No further entry is expected. */
  close(): void {
    for (const tally of this.#tallies.values()) tally.close();
  }
}
