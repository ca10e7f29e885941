/** The model of the fleet's protocol: every invariant holds in every run, and each deliberate fault breaks one. */
import { describe, expect, test } from "vitest";
import { explore, LIVENESS, type Exploration, type Model } from "./explore.ts";
import { INVARIANTS } from "./fleet-invariants.ts";
import { FleetModel } from "./fleet-model.ts";
import type { Mutant, Scenario } from "./fleet-scenario.ts";

/** `REMINT_MODEL=full` searches the large scenarios too, which takes one or two minutes. */
const isFull = process.env["REMINT_MODEL"] === "full";
const LONG = 1_800_000;

function search(scenario: Scenario, stopAt?: string): Exploration {
  const found = explore(new FleetModel(scenario), stopAt);
  const bound = found.longest === undefined ? "" : `, at most ${found.longest} steps to the end`;
  console.log(`${JSON.stringify(scenario)}: ${found.states} states${bound}`);
  return found;
}

/** Returns the broken invariants with their traces, so that a failing test prints them. */
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
  ["one sick process of three", { processes: 3, requests: 2, misfortunes: { revocations: 1, sicknesses: 1 } }],
  ["two sick processes of three", { processes: 3, requests: 1, misfortunes: { revocations: 1, sicknesses: 2 } }],
  ["a sick process, expiry", { processes: 2, requests: 2, misfortunes: { expiries: 1, sicknesses: 1 } }],
  ["no answer to one of three", { processes: 3, requests: 2, misfortunes: { revocations: 1, silences: 1 } }],
  ["no answer, expiry", { processes: 2, requests: 2, misfortunes: { expiries: 1, silences: 1 } }],
  ["a sick process, no answer", { processes: 3, requests: 1, misfortunes: { sicknesses: 1, silences: 1 } }],
  ["failovers", { processes: 2, requests: 2, misfortunes: { revocations: 1, failovers: 2 } }],
];

const HELD_STATEFUL: Cases = [
  ["one sick process of three", { processes: 3, requests: 2, misfortunes: { revocations: 1, sicknesses: 1 } }],
  ["a sick process, pause", { processes: 2, requests: 2, misfortunes: { revocations: 1, sicknesses: 1, pauses: 1 } }],
  ["crash, pause", { processes: 3, requests: 2, misfortunes: { revocations: 1, crashes: 1, pauses: 1 } }],
  ["refreshing ahead", { processes: 2, requests: 2, misfortunes: { revocations: 1, crashes: 1, expiries: 1 } }],
  ["failing mints", { processes: 2, requests: 1, misfortunes: { revocations: 1, mintFailures: 1, expiries: 1 } }],
  ["answers lost", { processes: 2, requests: 2, misfortunes: { revocations: 1, lostAnswers: 1, losses: 1 } }],
  ["store faults", { processes: 2, requests: 2, misfortunes: { revocations: 1, storeFaults: 2 } }],
  ["store fault, expiry", { processes: 2, requests: 1, misfortunes: { revocations: 1, storeFaults: 1, expiries: 1 } }],
  ["failover", { processes: 2, requests: 2, misfortunes: { revocations: 1, failovers: 1, crashes: 1 } }],
];

/** The scenarios that take too long for a run of all tests. */
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

describe("the fleet's protocol in every interleaving", () => {
  test.each(HELD)("a grant without state, %s: every invariant holds", (_, scenario) => {
    expect(broken(search(scenario))).toEqual({});
  });

  test.each(HELD_STATEFUL)("a grant with state, %s: every invariant holds", (_, scenario) => {
    expect(broken(search({ ...scenario, stateful: true }))).toEqual({});
  });

  // After the failover the store has the lease of a process that had lost it, so this process publishes. Its token is older
  // than the one that the fleet had, and as good: no caller gets an additional 401.
  test("a failover to the lease of a process that paused: only the order of publication is broken", () => {
    const scenario: Scenario = {
      processes: 2,
      requests: 2,
      misfortunes: { revocations: 1, failovers: 1, pauses: 1 },
    };
    expect([...search(scenario).violations.keys()]).toEqual([INVARIANTS.order]);
  });

  if (isFull) {
    test.each(LARGE)("large, %s: every invariant holds", { timeout: LONG }, (_, scenario) => {
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
  ["shareOneFailure", INVARIANTS.isolation, two({ sicknesses: 1 })],
  ["keepSilentLease", LIVENESS, two({ silences: 1 })],
  ["blindGiveAway", INVARIANTS.alive, two({ silences: 1, pauses: 1 })],
  ["staleState", INVARIANTS.presentedOnce, twoStateful({ expiries: 1 })],
  ["forgetState", INVARIANTS.presentedOnce, twoStateful({ revocations: 1, crashes: 1 })],
];

describe("a deliberate fault in the protocol", () => {
  test.each(MUTANTS)("%s breaks %s", (mutant, invariant, scenario) => {
    expect([...search({ ...scenario, mutant }, invariant).violations.keys()]).toContain(invariant);
    // Without the fault the same scenario breaks nothing.
    expect(broken(search(scenario))).toEqual({});
  });
});

/** The labels of all steps of the model, except `rejected, surfaced`, which must not happen. */
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
  "gives away, L->T",
  "gives away, R->T",
  "gives up",
  "is answered after all",
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
  "mint fails, sick",
  "mints n",
  "mints n for itself",
  "mints, answer lost",
  "n becomes sick",
  "n expires",
  "n will expire soon",
  "needs a token",
  "no answer",
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

/** A small model whose states are numbers. `steps` has the next states of each number. */
const counting = (steps: readonly (readonly number[])[], done: number): Model<number> => ({
  initial: 0,
  key: String,
  isDone: (state) => state === done,
  *transitions(state) {
    for (const next of steps[state]!) yield { label: `${state} to ${next}`, next, optional: false, breaks: [] };
  },
});

/** Visits every state without merging states of equal keys, and returns the keys whose states have different futures. */
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

describe("the search", () => {
  test("a state without a next step, and a livelock from which a good end can be reached: both are found", () => {
    expect(explore(counting([[1, 2], [2], []], 2))).toMatchObject({ violations: new Map(), longest: 2 });
    expect(explore(counting([[1, 2], [], []], 2)).violations.get(LIVENESS)).toContain("0 to 1");
    expect(
      explore(counting([[1, 2], [0], []], 2))
        .violations.get(LIVENESS)
        ?.at(-1),
    ).toMatch(/in circles/);
  });

  test("a step that changes nothing, such as polling, is no livelock", () => {
    expect(explore(counting([[0, 1], []], 1)).violations).toEqual(new Map());
  });

  test("states with equal keys have the same future", () => {
    for (const scenario of [
      two({ revocations: 2, losses: 1 }),
      two({ sicknesses: 1, silences: 1 }),
      twoStateful({ revocations: 1, storeFaults: 1 }),
    ]) {
      expect(distinguished(new FleetModel(scenario))).toEqual([]);
    }
  });

  test("every kind of step happens in some scenario", () => {
    const seen = new Set<string>();
    for (const scenario of [
      { ...two({ revocations: 1, pauses: 1, expiries: 1 }), requests: 1 },
      two({ storeFaults: 1, pauses: 1 }),
      two({ mintFailures: 1, storeFaults: 1 }),
      { ...two({ storeFaults: 1, mintFailures: 1, expiries: 1 }), requests: 1 },
      two({ silences: 2, expiries: 1 }),
      two({ sicknesses: 2 }),
      two({ revocations: 1, failovers: 1, crashes: 1 }),
      twoStateful({ revocations: 1, storeFaults: 1 }),
      twoStateful({ revocations: 1, crashes: 1, lostAnswers: 1, losses: 1 }),
    ]) {
      for (const label of search(scenario).labels) seen.add(label.replace(/^\d: /, "").replaceAll(/\d+/g, "n"));
    }
    expect([...seen].toSorted()).toEqual(EVERYTHING);
  });
});
