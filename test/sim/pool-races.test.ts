/**
 * One process with a pool of users whose refresh tokens rotate, in seeded schedules: sign-ins, sign-outs, releases, evictions, targets,
 * aborts, and functions of the user's that are slow, fail, or call the pool themselves. The server detects reuse.
 */
import { describe, expect, test } from "vitest";
import {
  createTokenCache,
  createTokenPool,
  isRemintError,
  type AccessToken,
  type TokenCache,
} from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";
import { SessionServer, sessionGrant } from "../fleet/session-server.ts";
import { randomOf } from "./random.ts";

const SEEDS = 60;
const STEPS = 60;
const USERS = ["ann", "bob"];
/** Milliseconds that a caller waits at most, and what a save in progress adds. */
const LONGEST = 10_000 + 1500;

interface Schedule {
  /** The functions of the user's, and the requests, fail at times. What then may be lost is not judged. */
  readonly fails: boolean;
  /** The functions of the user's call the pool at times. */
  readonly reenters: boolean;
}

/** The number of the session of a token of the server. */
const numberOf = (token: string): number => Number(token.split("-")[1]);

/** Runs one schedule. @returns What went wrong, in words. */
async function run(seed: number, { fails, reenters }: Schedule): Promise<string[]> {
  const random = randomOf(seed);
  const chance = (share: number): boolean => random() < share;
  const pick = <T>(...from: T[]): T => from[Math.floor(random() * from.length)]!;
  const clock = manualClock();
  const pass = (ms: number): Promise<void> => new Promise((resolve) => void clock.setTimeout(resolve, ms));
  const server = new SessionServer();
  const wrong: string[] = [];
  /** The user's table, the number of each user's last sign-in (`undefined`: signed out), and when that changed. */
  const rows = new Map<string, string | null>();
  const current = new Map<string, number | undefined>();
  const changedAt = new Map<string, number>();
  const ownerOf = new Map<number, string>();
  /** Sessions of which an answer was lost. */
  const excused = new Set<number>();
  let sessions = 0;
  let isCalm = false;
  let depth = 0;
  const begin = (user: string): string => {
    const refreshToken = server.signIn();
    ownerOf.set(++sessions, user);
    current.set(user, sessions);
    changedAt.set(user, clock.monotonic());
    return refreshToken;
  };
  for (const user of USERS) rows.set(user, begin(user));

  /** What a function of the user's does before it does its work. */
  const dawdle = async (user: string): Promise<void> => {
    if (isCalm) return;
    if (reenters && depth < 3 && chance(0.15)) {
      depth++;
      await act(user).catch(() => {});
      depth--;
    }
    if (fails && chance(0.1)) throw new Error("the database is down");
    if (chance(0.4)) await pass(pick(1, 20, 300, 3000));
  };
  const open = (user: string): TokenCache => {
    const load = async (): Promise<string | null> => {
      await dawdle(user);
      return rows.get(user) ?? null;
    };
    const grant = sessionGrant(server, load, {
      key: undefined,
      async save(next, { replaced, signal }) {
        await dawdle(user);
        // As the guide says: only where it still holds what was replaced, or for a later sign-in.
        const row = rows.get(user);
        if (!signal.aborted && (row === replaced || row == null || numberOf(next) > numberOf(row)))
          rows.set(user, next);
      },
    });
    grant.beforeSending = () => (isCalm || chance(0.7) ? Promise.resolve() : pass(pick(10, 500, 3000)));
    grant.beforeAnswering = async () => {
      if (isCalm) return;
      if (fails && chance(0.05)) {
        excused.add(current.get(user) ?? 0);
        throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
      }
      if (chance(0.3)) await pass(pick(10, 500, 4000, 9000));
    };
    return createTokenCache({ grant, clock, origins: ["https://api.example"], warnings: false });
  };
  const pool = createTokenPool({ clock, maxSize: 1, create: open });

  const calls: Promise<unknown>[] = [];
  const judged = async (user: string, get: (cache: TokenCache) => Promise<AccessToken>): Promise<void> => {
    const at = clock.monotonic();
    try {
      const { value } = await get(pool.get(user));
      // A token that was handed out in the very moment of a sign-in or a sign-out may be of before it.
      const isOther = numberOf(value) !== current.get(user) && changedAt.get(user) !== clock.monotonic();
      if (ownerOf.get(numberOf(value)) !== user || isOther) wrong.push(`${user} gets ${value}`);
    } catch (error) {
      if (!isRemintError(error) && (error as Error).name !== "AbortError") wrong.push(`a caller gets ${String(error)}`);
    }
    if (clock.monotonic() - at > LONGEST) wrong.push(`${user} waits for ${clock.monotonic() - at} ms`);
  };
  const settled = async (work: Promise<unknown>): Promise<void> => {
    await work.catch((error: unknown) => {
      if (!isRemintError(error)) wrong.push(`a sign-in, a sign-out or a release rejects with ${String(error)}`);
    });
  };
  /** Does something with the pool. */
  const act = (user: string): Promise<unknown> => {
    const what = random();
    let done: Promise<unknown>;
    if (what < 0.5) done = judged(user, (cache) => cache.get());
    else if (what < 0.6) {
      const controller = new AbortController();
      void pass(pick(0, 1, 100, 2000)).then(() => controller.abort());
      done = judged(user, (cache) => cache.get({ signal: controller.signal }));
    } else if (what < 0.75) done = judged(user, (cache) => cache.for({ resource: "https://billing.example" }).get());
    else if (what < 0.82) {
      const refresh_token = begin(user);
      const response = { access_token: `at-${sessions}-0`, refresh_token, expires_in: pick(5, 60, 300) };
      done = settled(pool.signIn(user, response));
    } else if (what < 0.86) {
      rows.set(user, null);
      current.set(user, undefined);
      changedAt.set(user, clock.monotonic());
      done = settled(pool.signOut(user));
    } else done = settled(pool.release(user, { within: pick(0, 100, 5000, 10_000) }));
    calls.push(done);
    return done;
  };

  for (let step = 0; step < STEPS; step++) {
    const user = pick(...USERS);
    server.expiresIn = pick(5, 60, 300);
    const token = chance(0.1) ? pool.get(user).peek() : undefined;
    if (token !== undefined) await pool.get(user).invalidate(token.value);
    if (chance(0.6)) void act(user);
    else await clock.advance(pick(0, 1, 10, 100, 1000, 5000, 20_000, 70_000));
  }
  isCalm = true;
  await clock.advance(200_000);
  for (const user of USERS) {
    const number = current.get(user);
    if (number === undefined || excused.has(number)) continue;
    let value: string | undefined;
    pool
      .get(user)
      .get()
      .then(
        (token) => (value = token.value),
        (error: Error) => (value = error.message),
      );
    await clock.advance(20_000);
    if (value === undefined || numberOf(value) !== number) wrong.push(`${user} is signed in and gets ${value}`);
  }
  for (const token of server.reused) if (!excused.has(numberOf(token))) wrong.push(`${token} is presented twice`);
  const closed = pool.close();
  await clock.advance(100_000);
  await Promise.all([closed, ...calls]);
  if (clock.timers > 0) wrong.push(`${clock.timers} timers are left`);
  return wrong;
}

describe("a pool in seeded schedules: nobody gets another session's token, no refresh token is presented twice, nobody waits for too long", () => {
  test.each<[string, Schedule]>([
    ["C13, C14, C15: nothing fails", { fails: false, reenters: false }],
    ["C13, C14, C15: functions and requests fail, and functions call the pool", { fails: true, reenters: true }],
  ])(
    "%s",
    async (_, schedule) => {
      const found: Record<number, string[]> = {};
      for (let seed = 1; seed <= SEEDS; seed++) {
        const wrong = await run(seed, schedule);
        if (wrong.length > 0) found[seed] = wrong;
      }
      expect(found).toEqual({});
    },
    300_000,
  );
});
