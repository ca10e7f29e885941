import { describe, expect, test } from "vitest";
import { explore, LIVENESS, type Exploration, type Model } from "./explore.ts";
import { INVARIANTS } from "./fleet-invariants.ts";
import { FleetModel } from "./fleet-model.ts";
import type { Mutant, Scenario } from "./fleet-scenario.ts";

/** `REMINT_MODEL=full` searches the large scenarios too: one or two minutes. */
const isFull = process.env["REMINT_MODEL"] === "full";
const LONG = 1_800_000;

function search(scenario: Scenario, stopAt?: string): Exploration {
  const found = explore(new FleetModel(scenario), stopAt);
  const bound = found.longest === undefined ? "" : `, at most ${found.longest} steps to the end`;
  console.log(`${JSON.stringify(scenario)}: ${found.states} states${bound}`);
  return found;
}

/** What is broken, with the way there, so that a failing test shows it. */
function broken({ violations }: Exploration): Record<string, readonly string[]> {
  return Object.fromEntries(violations);
}

type Cases = readonly (readonly [name: string, scenario: Scenario])[];

const HELD: Cases = [
  ["three processes", { processes: 3, requests: 2, misfortunes: { revocations: 1, crashes: 1, pauses: 1 } }],
  ["two revocations", { processes: 2, requests: 2, misfortunes: { revocations: 2, pauses: 1, losses: 1 } }],
  ["refreshing ahead", { processes: 2, requests: 2, misfortunes: { revocations: 1, crashes: 1, expiries: 1 } }],
  ["failing mints", { processes: 2, requests: 1, misfortunes: { revocations: 1, mintFailures: 1, expiries: 1 } }],
  ["pauses at an expiry", { processes: 2, requests: 1, misfortunes: { revocations: 1, pauses: 1, expiries: 1 } }],
  ["store faults", { processes: 2, requests: 2, misfortunes: { revocations: 1, storeFaults: 2 } }],
  ["store faults, crash", { processes: 2, requests: 2, misfortunes: { revocations: 1, storeFaults: 1, crashes: 1 } }],
  ["failovers", { processes: 2, requests: 2, misfortunes: { revocations: 1, failovers: 2 } }],
];

const HELD_STATEFUL: Cases = [
  ["crash, pause", { processes: 3, requests: 2, misfortunes: { revocations: 1, crashes: 1, pauses: 1 } }],
  ["refreshing ahead", { processes: 2, requests: 2, misfortunes: { revocations: 1, crashes: 1, expiries: 1 } }],
  ["failing mints", { processes: 2, requests: 1, misfortunes: { revocations: 1, mintFailures: 1, expiries: 1 } }],
  ["answers lost", { processes: 2, requests: 2, misfortunes: { revocations: 1, lostAnswers: 1, losses: 1 } }],
  ["store faults", { processes: 2, requests: 2, misfortunes: { revocations: 1, storeFaults: 2 } }],
  ["store fault, expiry", { processes: 2, requests: 1, misfortunes: { revocations: 1, storeFaults: 1, expiries: 1 } }],
  ["failover", { processes: 2, requests: 2, misfortunes: { revocations: 1, failovers: 1, crashes: 1 } }],
];

/** Those that take longer than a run of all tests may. */
const LARGE: Cases = [
  [
    "three processes, losses",
    { processes: 3, requests: 2, misfortunes: { revocations: 1, crashes: 1, pauses: 1, losses: 1 } },
  ],
  [
    "three processes, two revocations",
    { processes: 3, requests: 2, misfortunes: { revocations: 2, crashes: 1, pauses: 1 } },
  ],
  [
    "three processes, expiry",
    { processes: 3, requests: 1, misfortunes: { revocations: 1, mintFailures: 1, crashes: 1, expiries: 1 } },
  ],
  [
    "failing mints",
    { processes: 2, requests: 2, misfortunes: { revocations: 1, mintFailures: 1, crashes: 1, expiries: 1 } },
  ],
  ["two expiries", { processes: 2, requests: 2, misfortunes: { revocations: 1, expiries: 2 } }],
  [
    "expiry, crash, pause",
    { processes: 2, requests: 2, misfortunes: { revocations: 1, crashes: 1, pauses: 1, expiries: 1 } },
  ],
  ["expiry, store faults", { processes: 2, requests: 2, misfortunes: { revocations: 1, storeFaults: 1, expiries: 1 } }],
  ["expiry, failover", { processes: 2, requests: 2, misfortunes: { revocations: 1, failovers: 1, expiries: 1 } }],
  [
    "stateful, expiry, crash, pause",
    { processes: 2, requests: 2, stateful: true, misfortunes: { revocations: 1, crashes: 1, pauses: 1, expiries: 1 } },
  ],
  [
    "stateful, expiry, store faults",
    { processes: 2, requests: 2, stateful: true, misfortunes: { revocations: 1, storeFaults: 1, expiries: 1 } },
  ],
];

describe("the fleet's protocol, every interleaving", () => {
  test.each(HELD)("I1-I4, I6, I7, I10: %s", (_, scenario) => {
    expect(broken(search(scenario))).toEqual({});
  });

  test.each(HELD_STATEFUL)("I1-I4, I6, I7, I10, I18: a stateful grant, %s", (_, scenario) => {
    expect(broken(search({ ...scenario, stateful: true }))).toEqual({});
  });

  // The store is back at the lease of a process that had lost it, so that this process publishes after all. What it
  // publishes is older than what the fleet had, and as good as any: nobody sees a 401 that would not have come anyway.
  test("I2 does not survive a failover to the lease of a process that paused; the others do", () => {
    const scenario: Scenario = {
      processes: 2,
      requests: 2,
      misfortunes: { revocations: 1, failovers: 1, pauses: 1 },
    };
    expect([...search(scenario).violations.keys()]).toEqual([INVARIANTS.order]);
  });

  if (isFull) {
    test.each(LARGE)("I1-I4, I6, I7, I10, I18: large, %s", { timeout: LONG }, (_, scenario) => {
      expect(broken(search(scenario))).toEqual({});
    });
  }
});

type Mutants = readonly (readonly [mutant: Mutant, invariant: string, scenario: Scenario])[];

const two = (misfortunes: Scenario["misfortunes"]): Scenario => ({ processes: 2, requests: 2, misfortunes });
const twoStateful = (misfortunes: Scenario["misfortunes"]): Scenario => ({ ...two(misfortunes), stateful: true });

const MUTANTS: Mutants = [
  ["noFence", INVARIANTS.fence, two({ pauses: 1 })],
  ["noFence", INVARIANTS.order, two({ pauses: 1 })],
  ["noFence", INVARIANTS.alive, two({ pauses: 1 })],
  ["blindInvalidate", INVARIANTS.alive, two({ revocations: 1 })],
  ["blindInvalidate", INVARIANTS.causes, two({ revocations: 1 })],
  ["writeIfAbsent", INVARIANTS.order, two({ pauses: 1, losses: 1 })],
  ["writeIfAbsent", INVARIANTS.fence, two({ pauses: 1 })],
  ["oneRetry", INVARIANTS.noSurfaced, two({ revocations: 1, losses: 1 })],
  ["trustAny", INVARIANTS.noSurfaced, { ...two({ revocations: 1, pauses: 1, expiries: 1 }), requests: 1 }],
  ["publishRejected", INVARIANTS.notAgain, two({ revocations: 1 })],
  ["publishRejected", INVARIANTS.noSurfaced, two({ revocations: 1 })],
  ["leaveLease", LIVENESS, two({ mintFailures: 1 })],
  ["leaveLease", LIVENESS, two({ crashes: 1 })],
  ["overwriteFresh", INVARIANTS.fence, two({ pauses: 1, expiries: 1 })],
  ["overwriteFresh", INVARIANTS.order, two({ pauses: 1, expiries: 1 })],
  ["dropRefreshing", INVARIANTS.alive, two({ mintFailures: 1, expiries: 1 })],
  ["blindUndo", INVARIANTS.alive, two({ storeFaults: 1, pauses: 1 })],
  ["staleState", INVARIANTS.presentedOnce, twoStateful({ expiries: 1 })],
  ["forgetState", INVARIANTS.presentedOnce, twoStateful({ revocations: 1, crashes: 1 })],
];

describe("a fault in the protocol is noticed", () => {
  test.each(MUTANTS)("%s breaks %s", (mutant, invariant, scenario) => {
    expect([...search({ ...scenario, mutant }, invariant).violations.keys()]).toContain(invariant);
    // And it is the fault that breaks it.
    expect(broken(search(scenario))).toEqual({});
  });
});

/** Every kind of step there is; `rejected, surfaced` is the one that must not be. */
const EVERYTHING = [
  "a lease lapses while its holder pauses",
  "accepted",
  "adopts",
  "adopts ahead",
  "ahead",
  "an abandoned lease lapses",
  "crashes",
  "every token is revoked",
  "failover to the replica",
  "fails",
  "fails, L->F",
  "fails, R->T",
  "fails, release lost",
  "keeps its own, store fault",
  "late swap done",
  "late swap refused",
  "late, refused",
  "lease over doubting",
  "lease over failure",
  "lease over idle",
  "lease over lease",
  "lease over nothing",
  "lease over refreshing",
  "lease over token",
  "leaves it to another",
  "mint fails",
  "mints n",
  "mints n for itself",
  "mints, answer lost",
  "n expires",
  "n will expire soon",
  "needs a token",
  "nothing to undo",
  "presents n, refused",
  "publishes late",
  "publishes n",
  "refreshing over refreshing",
  "refreshing over token",
  "refused, adopts",
  "refused, keeps its own",
  "rejected",
  "rejected, another is there",
  "sees what it may replace",
  "sends",
  "shares the failure",
  "store fault",
  "store is late",
  "the failure is forgotten",
  "the replica catches up",
  "the store loses the record",
  "undoes",
  "waits",
];

/** Counts; `steps` says where to from each number. */
const counting = (steps: readonly (readonly number[])[], done: number): Model<number> => ({
  initial: 0,
  key: String,
  isDone: (state) => state === done,
  *transitions(state) {
    for (const next of steps[state]!) yield { label: `${state} to ${next}`, next, optional: false, breaks: [] };
  },
});

/** Visits every state without taking any two for the same, and returns the keys whose states differ in what may follow. */
function distinguished(model: FleetModel): readonly string[] {
  const futures = new Map<string, string>();
  const differing: string[] = [];
  const known = new Set([JSON.stringify(model.initial)]);
  const queue = [model.initial];
  for (const world of queue) {
    const future = new Set<string>();
    for (const { next, optional, breaks } of model.transitions(world)) {
      future.add(`${model.key(next)} ${optional} ${breaks.join()}`);
      const text = JSON.stringify(next);
      if (!known.has(text)) queue.push(next);
      known.add(text);
    }
    const key = model.key(world);
    const sorted = [...future].toSorted().join();
    if ((futures.get(key) ?? sorted) !== sorted) differing.push(key);
    futures.set(key, sorted);
  }
  return differing;
}

describe("the search itself", () => {
  test("I10: a state that leads nowhere is found, and so is a livelock, though a good end can be reached", () => {
    expect(explore(counting([[1, 2], [2], []], 2))).toMatchObject({ violations: new Map(), longest: 2 });
    expect(explore(counting([[1, 2], [], []], 2)).violations.get(LIVENESS)).toContain("0 to 1");
    expect(
      explore(counting([[1, 2], [0], []], 2))
        .violations.get(LIVENESS)
        ?.at(-1),
    ).toMatch(/in circles/);
  });

  test("polling, which changes nothing, is no livelock", () => {
    expect(explore(counting([[0, 1], []], 1)).violations).toEqual(new Map());
  });

  test("states that are taken for the same have the same future", () => {
    for (const scenario of [two({ revocations: 2, losses: 1 }), twoStateful({ revocations: 1, storeFaults: 1 })]) {
      expect(distinguished(new FleetModel(scenario))).toEqual([]);
    }
  });

  test("what the invariants are about does happen", () => {
    const seen = new Set<string>();
    for (const scenario of [
      { ...two({ revocations: 1, pauses: 1, expiries: 1 }), requests: 1 },
      two({ storeFaults: 1, pauses: 1 }),
      two({ mintFailures: 1, storeFaults: 1 }),
      { ...two({ storeFaults: 1, mintFailures: 1, expiries: 1 }), requests: 1 },
      two({ revocations: 1, failovers: 1, crashes: 1 }),
      twoStateful({ revocations: 1, storeFaults: 1 }),
      twoStateful({ revocations: 1, crashes: 1, lostAnswers: 1, losses: 1 }),
    ]) {
      for (const label of search(scenario).labels) seen.add(label.replace(/^\d: /, "").replaceAll(/\d+/g, "n"));
    }
    expect([...seen].toSorted()).toEqual(EVERYTHING);
  });
});
