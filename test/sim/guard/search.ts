/** A random search for scenarios in which the storm guard does badly. */
import { randomOf } from "../random.ts";
import type { Load, Outcome, Scenario } from "./world.ts";

const UNTIL = 40_000;

/** Makes a scenario of a number: the same number gives the same one. */
export function randomScenario(seed: number): Scenario {
  const random = randomOf(seed);
  const chance = (share: number): boolean => random() < share;
  const pick = <T>(...values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const at = (): number => Math.floor(random() * 25_000);
  /** A share of the users, the same at every call. */
  const some = (share: number): ((user: number) => boolean) => {
    const salt = Math.floor(random() * 2 ** 31);
    return (user) => randomOf(salt + user)() < share;
  };
  const users = pick(1, 2, 5, 10, 30, 100, 300);
  const load = (path: string): Load => ({
    path,
    every: pick(200, 1000, 3000, 10_000) * (users > 100 ? 3 : 1),
    during: [0, 30_000],
    inStep: chance(0.2),
    hasIds: chance(0.2),
    callers: users > 10 ? 1 : pick(1, 1, 10),
    streams: chance(0.3) ? random() : 0,
    aborts: chance(0.3) ? random() : 0,
    patience: pick(100, 1000, 5000),
    ...(chance(0.3) && { of: some(random()) }),
  });
  const endpoint: Scenario["endpoint"] = {
    latency: pick(20, 100, 100, 500, 2000),
    fails: chance(0.2) ? random() / 2 : 0,
    ...(chance(0.2) && { capacity: pick(20, 50, 200) }),
  };
  const outageAt = at();
  return {
    name: `random ${seed}`,
    users,
    processes: pick(0, 1, 1, 1, 1, 3),
    until: UNTIL,
    isWarm: chance(0.8),
    loads: [load("/good"), ...(chance(0.6) ? [load("/bad")] : []), ...(chance(0.4) ? [load("/public")] : [])],
    revocations: Array.from({ length: pick(0, 1, 1, 2, 5, 20) }, () => ({
      at: at(),
      of: chance(0.5) ? () => true : some(random()),
    })),
    ...(chance(0.3) && { disabled: { from: pick(0, at()), of: some(random()) } }),
    forbidden: (path) => path === "/bad",
    open: (path) => path === "/public",
    outages: chance(0.3) ? [{ during: [outageAt, outageAt + pick(1000, 5000, 20_000)], losesTokens: chance(0.5) }] : [],
    endpoint,
  };
}

/** What a search adds up. */
export interface Total {
  scenarios: number;
  requests: number;
  mints: number;
  avoidable: number;
  /** Token requests that no revoked token has made necessary. */
  beyondNeed: number;
  mostSends: number;
}

export function beyondNeed({ mints, needed }: Outcome): number {
  return Math.max(0, mints - needed);
}

export function addTo(total: Total, outcome: Outcome): void {
  total.scenarios++;
  total.requests += outcome.requests;
  total.mints += outcome.mints;
  total.avoidable += outcome.avoidable;
  total.beyondNeed += beyondNeed(outcome);
  total.mostSends = Math.max(total.mostSends, outcome.mostSends);
}
