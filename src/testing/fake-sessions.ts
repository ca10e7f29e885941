/**
 * `fakeSessions`: a table of sessions in memory, for tests of code that saves rotated refresh tokens.
 *
 * The server that rotates them is in auth-server.ts.
 *
 * @module
 */
import { assertObject, assertString, count } from "../base/options.ts";
import { Holds } from "./hold.ts";
import type { Hold } from "./hold.ts";

/**
 * Creates a table of sessions in memory. It keeps one refresh token for each id, and its saves fail or wait when a test
 * says so.
 *
 * @param saved The refresh tokens to begin with, by the id of their session.
 * @throws {TypeError} When `saved` is not an object of non-empty strings.
 * @example
 * ```ts
 * const sessions = fakeSessions({ alice: auth.signIn("alice").refresh_token });
 * const grant = refreshTokenGrant({
 *   ...client,
 *   refreshToken: () => sessions.refreshToken("alice"),
 *   onRotate: (next) => sessions.save("alice", next),
 * });
 * sessions.failSaves(1);
 * ```
 */
export function fakeSessions(saved: Readonly<Record<string, string>> = {}): FakeSessions {
  assertObject("saved", saved);
  for (const [id, refreshToken] of Object.entries(saved)) assertString(id, refreshToken);
  return new SessionTable(saved);
}

/** A table of sessions in memory, and the means by which a test controls it. */
export interface FakeSessions {
  /** The refresh tokens that are saved now, by the id of their session. */
  readonly saved: ReadonlyMap<string, string>;
  /** What was done with the table, oldest first. */
  readonly log: readonly SessionLogEntry[];
  /** Returns the refresh token of a session; `undefined` if there is no such session. */
  refreshToken(id: string): Promise<string | undefined>;
  /**
   * Saves the refresh token of a session, and creates the session if there is none.
   *
   * @throws {TypeError} When the refresh token is not a non-empty string.
   */
  save(id: string, refreshToken: string): Promise<void>;
  /** Deletes a session. Does nothing if there is no such session. */
  delete(id: string): Promise<void>;
  /**
   * Makes the next saves fail. It replaces what an earlier call has said.
   *
   * @param times The number of saves that fail. `Infinity`: all saves from now on. 0: none.
   * @param error The error that they reject with. @defaultValue an `Error` that says that the table cannot be written
   * @throws {TypeError} When `times` is neither a non-negative integer nor `Infinity`.
   */
  failSaves(times: number, error?: unknown): void;
  /**
   * Makes saves that begin from now on wait until the hold is released or failed. What they save is readable after
   * that.
   */
  holdSaves(): Hold;
}

/** One step of a {@link FakeSessions} table. */
export interface SessionLogEntry {
  /**
   * - `read`: a refresh token was read.
   * - `saving`: a save has begun.
   * - `saved`: a save has ended, and the refresh token is readable.
   * - `failed`: a save has failed, and nothing was written.
   * - `deleted`: a session was deleted.
   */
  readonly step: "read" | "saving" | "saved" | "failed" | "deleted";
  /** The id of the session. */
  readonly id: string;
  /** The refresh token that was read, saved or deleted; `undefined` if there was no such session. */
  readonly refreshToken: string | undefined;
}

/** Nothing ends the wait of a save but the end of its hold. */
const NEVER = new AbortController().signal;

class SessionTable implements FakeSessions {
  readonly saved: Map<string, string>;
  readonly log: SessionLogEntry[] = [];
  readonly #holds = new Holds();
  #failures = 0;
  #error: unknown;

  constructor(saved: Readonly<Record<string, string>>) {
    this.saved = new Map(Object.entries(saved));
  }

  async refreshToken(id: string): Promise<string | undefined> {
    const refreshToken = this.saved.get(id);
    this.log.push({ step: "read", id, refreshToken });
    return refreshToken;
  }

  async save(id: string, refreshToken: string): Promise<void> {
    assertString("refreshToken", refreshToken);
    this.log.push({ step: "saving", id, refreshToken });
    // Decided at the beginning: a test that says "the next save fails" means the next one that begins.
    const fails = this.#failures > 0;
    if (fails) this.#failures--;
    const error = this.#error;
    try {
      await this.#holds.pass(NEVER);
      if (fails) throw error;
    } catch (failure) {
      this.log.push({ step: "failed", id, refreshToken });
      throw failure;
    }
    this.saved.set(id, refreshToken);
    this.log.push({ step: "saved", id, refreshToken });
  }

  async delete(id: string): Promise<void> {
    this.log.push({ step: "deleted", id, refreshToken: this.saved.get(id) });
    this.saved.delete(id);
  }

  failSaves(times: number, error: unknown = new Error("the table of sessions cannot be written")): void {
    this.#failures = times === Infinity ? times : count("times", times, undefined);
    this.#error = error;
  }

  holdSaves(): Hold {
    return this.#holds.begin();
  }
}
