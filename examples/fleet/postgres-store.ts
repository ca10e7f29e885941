/**
 * A store in PostgreSQL, for a fleet without a Redis: `fleetStore(postgresStore(pool), { encryptionKey })`.
 *
 * It follows the contract in the documentation of `Store`, and is tested with `storeContract` of `remint/fleet`.
 *
 * @module
 */
import type { Store, StoreEntry } from "remint/fleet";

/**
 * Creates the table. It has one row of about 1 kB per token.
 *
 * Versions come from a sequence, so that two writes never have the same version. Expired rows count as absent. If
 * tokens of many users come and go, a job should delete expired rows now and then:
 * `DELETE FROM remint_tokens WHERE expires_at <= now()`.
 */
export const CREATE_TABLE = `
CREATE TABLE IF NOT EXISTS remint_tokens (
  key        text PRIMARY KEY,
  value      text NOT NULL,
  version    bigserial NOT NULL,
  expires_at timestamptz NOT NULL
)`;

// clock_timestamp() is the server's time now. now() would be the start of the transaction, which may have waited for a
// row lock.
const EXPIRES_AT = "clock_timestamp() + $3 * interval '1 millisecond'";
const IS_EXPECTED = "key = $1 AND version::text = $2 AND expires_at > clock_timestamp()";

/** Inserts a row, or replaces an expired one. */
const INSERT = `
INSERT INTO remint_tokens AS stored (key, value, expires_at) VALUES ($1, $2, ${EXPIRES_AT})
ON CONFLICT (key) DO UPDATE
  SET value = EXCLUDED.value, version = EXCLUDED.version, expires_at = EXCLUDED.expires_at
  WHERE stored.expires_at <= clock_timestamp()
RETURNING version::text AS version`;

const UPDATE = `
UPDATE remint_tokens SET value = $4, version = DEFAULT, expires_at = ${EXPIRES_AT}
WHERE ${IS_EXPECTED}
RETURNING version::text AS version`;

const DELETE = `DELETE FROM remint_tokens WHERE ${IS_EXPECTED} RETURNING version::text AS version`;

// Not negative: a negative ttl would mean that the time is not known.
const SELECT = `
SELECT value, version::text AS version,
  greatest(0, extract(epoch FROM expires_at - clock_timestamp()) * 1000)::float8 AS ttl
FROM remint_tokens WHERE key = $1 AND expires_at > clock_timestamp()`;

/** The part of a `Pool` or `Client` of `pg` that is used. It must be connected to the primary server. */
export interface PostgresClient {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

/** Creates a store over the table that {@link CREATE_TABLE} creates. */
export function postgresStore(client: PostgresClient): Store {
  const first = async (text: string, ...values: unknown[]): Promise<unknown> =>
    (await client.query(text, values)).rows[0];

  /**
   * Writes in one statement, so that comparing and writing are one step. Resolves to `undefined` if the version is not
   * the expected one.
   */
  async function write(
    key: string,
    expected: string | undefined,
    next: string | undefined,
    ttl: number,
  ): Promise<{ version: string } | undefined> {
    const done =
      next === undefined
        ? await first(DELETE, key, expected)
        : expected === undefined
          ? await first(INSERT, key, next, ttl)
          : await first(UPDATE, key, expected, ttl, next);
    return done as { version: string } | undefined;
  }

  return {
    async swap(key, expected, next, ttl) {
      for (;;) {
        const done = await write(key, expected, next, ttl);
        if (done !== undefined) return { ok: true, version: next === undefined ? undefined : done.version };
        const current = (await first(SELECT, key)) as StoreEntry | undefined;
        // At the moment of the SELECT something else was stored, so nothing was to be written.
        if (current?.version !== expected) return { ok: false, current };
        if (next === undefined && expected === undefined) return { ok: true, version: undefined };
        // Between the two statements the expected version was written by another process: try again.
      }
    },
  };
}
