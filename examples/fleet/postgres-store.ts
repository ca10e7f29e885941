/**
 * A store in PostgreSQL, for a fleet that has one and no Redis: `fleetStore(postgresStore(pool), { encryptionKey })`.
 *
 * Written from the contract in `Store`'s documentation, and tested with `storeContract` of `remint/fleet`.
 *
 * @module
 */
import type { Store, StoreEntry } from "remint/fleet";

/**
 * The table. A row is about 1 kB and there is one per token.
 *
 * Versions come from a sequence: no two writes share one, whatever they write. What has expired counts as absent; a
 * job may delete it now and then (`DELETE FROM remint_tokens WHERE expires_at <= now()`) where tokens of many users
 * come and go.
 */
export const CREATE_TABLE = `
CREATE TABLE IF NOT EXISTS remint_tokens (
  key        text PRIMARY KEY,
  value      text NOT NULL,
  version    bigserial NOT NULL,
  expires_at timestamptz NOT NULL
)`;

// Every moment is the server's: now() would be the beginning of the transaction, before it waited for another one's row.
const EXPIRES_AT = "clock_timestamp() + $3 * interval '1 millisecond'";
const IS_EXPECTED = "key = $1 AND version::text = $2 AND expires_at > clock_timestamp()";

/** Where nothing is, or what has expired. */
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

// Negative would mean that it is not known.
const SELECT = `
SELECT value, version::text AS version,
  greatest(0, extract(epoch FROM expires_at - clock_timestamp()) * 1000)::float8 AS ttl
FROM remint_tokens WHERE key = $1 AND expires_at > clock_timestamp()`;

/** As much of a `Pool` or `Client` of `pg` as is used. It must lead to the primary. */
export interface PostgresClient {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

/** Makes a store of the table {@link CREATE_TABLE} makes. */
export function postgresStore(client: PostgresClient): Store {
  const first = async (text: string, ...values: unknown[]): Promise<unknown> =>
    (await client.query(text, values)).rows[0];

  /** One statement, so one step for everybody. @returns The version and nothing else, or `undefined`: not expected. */
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
        // As if all had happened at the moment of the SELECT: then, something else was there and nothing was written.
        if (current?.version !== expected) return { ok: false, current };
        if (next === undefined && expected === undefined) return { ok: true, version: undefined };
        // Between the two, others put there what is expected. Again; they cannot do so for ever.
      }
    },
  };
}
