/**
 * Processes that are killed while they refresh users' sessions, at a real authorization server that ends a session if a
 * refresh token is presented twice. A session is lost only where the server has replaced its refresh token and the process was
 * killed before the next one was in the record; or, on a machine that is far too busy, where the process was too slow for its
 * lease and says so (the event `lease-lost`). Which step of one refresh is lost and which is not is in refresh-token.test.ts.
 *
 * `REMINT_RUNS` sets how many processes are killed; there are half as many users, and at most 50. `REMINT_SEED` sets another
 * seed. The whole run, some minutes: `REMINT_RUNS=100 npx vitest run test/fleet/redis/kills.test.ts`.
 */
import { expect, test } from "vitest";
import { randomOf } from "../../sim/random.ts";
import { runKills, type KillsReport } from "./kills.ts";
import { redisAvailable } from "./redis-server.ts";

const KILLS = Number(process.env["REMINT_RUNS"] ?? 10);
const SEED = Number(process.env["REMINT_SEED"] ?? 20_261);
const USERS = Math.min(50, Math.max(8, KILLS / 2));
const PROCESSES = KILLS > 20 ? 4 : 3;

function print({ kills, rotations, lost, failures }: KillsReport): void {
  const killed = lost.filter(({ wasKilled }) => wasKilled);
  const unsent = killed.filter(({ wasAnswered }) => !wasAnswered).length;
  const steps = Object.entries(kills).map(([moment, count]) => `${moment} ${count}`);
  console.log(
    `${KILLS} kills (${steps.join(", ")}), ${USERS} users, ${rotations} rotations, ${lost.length} sessions lost: ` +
      `${unsent} with the answer on the wire, ${killed.length - unsent} with the answer in the process and not in the record, ` +
      `${lost.length - killed.length} by a process that was not killed and was too slow for its lease. ` +
      `Other failures: ${JSON.stringify(failures)}`,
  );
}

test.skipIf(!redisAvailable())(
  `C14: ${KILLS} times a process is killed in mid-refresh: a session is lost only between the server's commit and the write of the record, and nobody gets another user's token`,
  async () => {
    const report = await runKills({ processes: PROCESSES, users: USERS, kills: KILLS, random: randomOf(SEED) });
    print(report);
    const { kills, lost, wrong, replacedTwice, stuck, errors } = report;
    expect(Object.values(kills).reduce((sum, count) => sum + count)).toBe(KILLS);
    expect(wrong).toEqual([]);
    expect(replacedTwice).toEqual([]);
    expect(stuck).toEqual([]);
    expect(errors).toEqual([]);
    for (const { user, cause, wasKilled, hadLostLease, wasSaved } of lost) {
      const why = wasKilled || hadLostLease ? "its process was killed, or too slow for its lease" : "unknown";
      expect([user, why, cause?.outcome, wasSaved]).toEqual([
        user,
        expect.not.stringMatching("unknown"),
        "committed",
        false,
      ]);
    }
    // A kill between the commit and the answer always costs that session.
    expect(lost.length).toBeGreaterThanOrEqual(kills.committed);
  },
  120_000 + KILLS * 12_000,
);
