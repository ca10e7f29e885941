/** The model of sessions: every invariant holds in every run, and each deliberate fault breaks one. */
import { describe, expect, test } from "vitest";
import { explore, type Exploration } from "./explore.ts";
import { INVARIANTS } from "./session-invariants.ts";
import { SessionModel } from "./session-model.ts";
import type { Scenario, SessionMutant } from "./session-scenario.ts";

/** `REMINT_MODEL=full` searches the large scenarios too, which takes some minutes. */
const isFull = process.env["REMINT_MODEL"] === "full";
const LONG = 1_800_000;

function search(scenario: Scenario, stopAt?: string): Exploration {
  const found = explore(new SessionModel(scenario), stopAt);
  const bound = found.longest === undefined ? "" : `, at most ${found.longest} steps to the end`;
  console.log(`${JSON.stringify(scenario)}: ${found.states} states${bound}`);
  return found;
}

/** Returns the broken invariants with their traces, so that a failing test prints them. */
function broken({ violations }: Exploration): Record<string, readonly string[]> {
  return Object.fromEntries(violations);
}

const FLEET: Scenario = { processes: 2, requests: [1, 0], store: true, source: "function", saves: true, chances: {} };
const OWN: Scenario = { ...FLEET, store: false, processes: 1 };

const fleet = (chances: Scenario["chances"], more: Partial<Scenario> = {}): Scenario => ({
  ...FLEET,
  ...more,
  chances,
});
const own = (chances: Scenario["chances"], more: Partial<Scenario> = {}): Scenario => ({ ...OWN, ...more, chances });

const STRING = { source: "string", saves: false } as const;
const TWICE = { requests: [2, 0] } as const;
const ALONE = { processes: 1 } as const;
const BOTH_TARGETS = { requests: [1, 1] } as const;

const ANSWERS = fleet({ lostAnswers: 1, lateAnswers: 1, badAnswers: 1, cuts: 1 });
const OWN_ANSWERS = own({ lostAnswers: 1, lateAnswers: 1, badAnswers: 1, cuts: 1, expiries: 1 }, TWICE);
const OWN_TARGETS = own({ expiries: 1, saveFaults: 1 }, BOTH_TARGETS);
const OWN_SAVES = own({ saveFaults: 1, expiries: 2, sourceFaults: 1 }, { requests: [3, 0] });
const OWN_SIGN_IN = own({ saveFaults: 1, signIns: 1, rejections: 1 }, TWICE);
const OWN_SIGN_OUT = own({ saveFaults: 1, signOuts: 1, rejections: 1 }, TWICE);
const OWN_REFUSED = own({ lostAnswers: 1, rowSignIns: 1, expiries: 2 }, { requests: [3, 0] });
const ROAMING = own({ expiries: 1, sourceFaults: 1 }, { processes: 2, ...TWICE });
const PAUSES = fleet({ pauses: 1, expiries: 1 });
const PAUSE_UNSAVED = fleet({ pauses: 1 }, { saves: false });
const FAULTS = fleet({ storeFaults: 1, saveFaults: 1, expiries: 1 });
const FAULT_UNSAVED = fleet({ storeFaults: 1 }, { saves: false });
const LOSS = fleet({ losses: 1, expiries: 1 });
const REPLAY = fleet({ replays: 1, expiries: 1 }, { ...STRING, ...ALONE, ...TWICE });
const REFUSED = fleet({ lostAnswers: 1, rowSignIns: 1, days: 1 }, { ...ALONE, requests: [4, 0] });
const SIGN_IN = fleet({ signIns: 1, rejections: 1 }, { begun: true });
const SIGN_IN_FAULT = fleet({ signIns: 1, storeFaults: 1 }, { begun: true });
const SIGN_IN_LOSS = fleet({ signIns: 1, losses: 1 }, { begun: true });
const SIGN_IN_REPLAY = fleet({ signIns: 1, replays: 1 }, { begun: true });
const SIGN_OUT = fleet({ signOuts: 1, rejections: 1 }, { begun: true });
const SIGN_OUT_DAY = fleet({ signOuts: 1, days: 1 }, { ...STRING, ...TWICE });
const SIGN_OUT_FAULTS = fleet({ signOuts: 1, kills: 1, revocationFaults: 1 }, { begun: true });
const TARGETS = fleet({ rejections: 1 }, { ...ALONE, requests: [2, 2] });
const TARGETS_SIGN = fleet({ signIns: 1, signOuts: 1 }, { ...ALONE, requests: [1, 2], begun: true });
const CLOSES = own({ closes: 1, saveFaults: 1 }, BOTH_TARGETS);

const HELD: readonly (readonly [name: string, scenario: Scenario])[] = [
  ["C14: answers that are lost, late, cut or without a token", ANSWERS],
  ["C14: the same without a store", OWN_ANSWERS],
  ["C14: two targets and a save that fails", OWN_TARGETS],
  ["C14: saves and a table that fail, over three renewals", OWN_SAVES],
  ["C14: two processes without a store that renew in turns", ROAMING],
  ["C14: a refusal, and a user who signs in elsewhere", REFUSED],
  ["C14: the same without a store", OWN_REFUSED],
  ["C14: a holder of the lease that is held up", PAUSES],
  ["C14: the same, and nothing saves the state", PAUSE_UNSAVED],
  ["C14: a refusal in a fleet of two", fleet({ lostAnswers: 1, rowSignIns: 1, days: 1, expiries: 1 })],
  ["C14: a process that is killed", fleet({ expiries: 1, kills: 1 })],
  ["C14: a store and a table that fail", FAULTS],
  ["C14: a store that fails, and nothing saves the state", FAULT_UNSAVED],
  ["C14: a record that is lost", LOSS],
  ["C14: an old record that is put back", fleet({ replays: 1, expiries: 1 })],
  ["C14: the same, and a string of the configuration", REPLAY],
  ["C15: a sign-in while requests wait, are sent and renewed", SIGN_IN],
  ["C15: the same without a store", OWN_SIGN_IN],
  ["C16: a sign-in that cannot be stored", SIGN_IN_FAULT],
  ["C16: a sign-in after the record was lost", SIGN_IN_LOSS],
  ["C16: a sign-in, and the record before it is put back", SIGN_IN_REPLAY],
  ["C16: a sign-out", SIGN_OUT],
  ["C16: a sign-out without a store", OWN_SIGN_OUT],
  ["C16: a sign-out that a process slept through", SIGN_OUT_DAY],
  ["C16: a sign-out that cannot revoke, or dies before", SIGN_OUT_FAULTS],
  ["C16: a close with a mint and a save outstanding", CLOSES],
  ["C17: renewals of two targets", TARGETS],
  ["C17: a sign-in and a sign-out with two targets", TARGETS_SIGN],
];

/** The scenarios that take too long for a run of all tests. */
const LARGE: readonly (readonly [name: string, scenario: Scenario])[] = [
  ["two sign-ins and a lost record", fleet({ signIns: 2, losses: 1 })],
  ["a sign-in, a sign-out and two requests", fleet({ signIns: 1, signOuts: 1 }, TWICE)],
  ["a sign-out, and everything fails once", fleet({ signOuts: 1, storeFaults: 1, revocationFaults: 1, kills: 1 })],
  ["a lost record and a renewal", fleet({ losses: 1, expiries: 1 }, TWICE)],
  ["an old record and a renewal", fleet({ replays: 1, expiries: 1 }, TWICE)],
  ["a pause, a kill and a renewal", fleet({ pauses: 1, kills: 1, expiries: 1 })],
  ["two targets in two processes", fleet({}, BOTH_TARGETS)],
  ["three processes", fleet({ expiries: 1, pauses: 1 }, { processes: 3 })],
  [
    "without a store: sign-in, sign-out, close",
    own({ signIns: 1, signOuts: 1, rejections: 1, closes: 1 }, { requests: [2, 1] }),
  ],
  [
    "without a store: two processes and a failing save",
    own({ expiries: 2, saveFaults: 1 }, { processes: 2, ...TWICE }),
  ],
];

describe("sessions in every interleaving", () => {
  test.each(HELD)("%s: every invariant holds", (_, scenario) => {
    expect(broken(search(scenario))).toEqual({});
  });

  if (isFull) {
    test.each(LARGE)("large, %s: every invariant holds", { timeout: LONG }, (_, scenario) => {
      expect(broken(search(scenario))).toEqual({});
    });
  }
});

const { person, usedStates, lost, ended, over, generations, serial, kept, ends, target, targets, row } = INVARIANTS;

/** The sentence of a rule, the mutant that denies it, the invariant that breaks, and the scenario in which it does. */
const MUTANTS: readonly (readonly [string, SessionMutant, string, Scenario])[] = [
  ["C14: an answer without a usable token carries the state", "badAnswersCarryNothing", kept, ANSWERS],
  ["C14: a function is asked before every mint", "sourceIsAskedOnce", lost, ROAMING],
  ["C14: what a process has used up is not presented again", "usedAnswersArePresented", usedStates, LOSS],
  ["C14: an unsaved newer state is presented before the function's", "unsavedStateIsPassedOver", person, OWN_SIGN_IN],
  ["C14: when the function throws, nothing is presented", "memoryWhereTheSourceFails", lost, ROAMING],
  ["C14: an answer of the function counts for the session that asked", "lateAnswersAreAdopted", person, OWN_SIGN_IN],
  ["C14: mints of a session are serial", "mintsOfASessionRunTogether", serial, OWN_TARGETS],
  ["C14: a mint lands after its callers have left", "abortsAtTheMintTimeout", kept, ANSWERS],
  ["C14: a lost answer leaves the state in doubt, and an event says so", "doubtIsNotTold", kept, ANSWERS],
  ["C14: a mint that is cut leaves the state in doubt, and an event says so", "cutIsNotTold", kept, ANSWERS],
  ["C14: saves are serial", "savesRunTogether", row, OWN_SAVES],
  ["C14: a state is saved before its token is served", "servesBeforeTheSave", kept, OWN_SAVES],
  ["C14: a save that fails is repeated", "savesAreNotRepeated", kept, OWN_SAVES],
  ["C14: a save that fails is told", "unsavedIsNotTold", kept, OWN_SAVES],
  ["C14: with a store the state is saved too", "storeTakesThePlaceOfSaves", lost, LOSS],
  ["C14: nothing is sent when most of the lease has passed", "lateHoldersSend", serial, PAUSES],
  ["C14: nothing is minted without the store", "mintsWithoutTheStore", lost, FAULTS],
  ["C14: the state of the record is presented", "memoryBeforeTheRecord", usedStates, PAUSES],
  ["C14: where the record is absent, the function comes before memory", "memoryBeforeTheSource", lost, LOSS],
  ["C14: what the function answers is sent under a lease that still holds", "answersAreSentWithoutALook", lost, LOSS],
  [
    "C14: memory that is older than the note of a sign-out is not brought back",
    "oldMemoryIsBroughtBack",
    ended,
    SIGN_OUT_DAY,
  ],
  ["C14: an empty record says nothing of a sign-out", "emptyRecordsTell", ended, SIGN_OUT_DAY],
  ["C14: a record whose state is known as used is not followed", "usedRecordsAreFollowed", lost, REPLAY],
  ["C14: a state is published also when the lease was lost", "owedStateIsDropped", kept, PAUSE_UNSAVED],
  ["C14: a state that could not be published is published later", "unpublishedIsForgotten", kept, FAULT_UNSAVED],
  ["C14: a refused state is not presented again", "refusedStateIsPresentedAgain", usedStates, OWN_REFUSED],
  ["C15: a request that waits is not sent under the next session", "waitersGetTheNextSession", person, OWN_SIGN_IN],
  ["C15: what follows a refusal is another session", "otherStateContinuesTheSession", person, SIGN_IN_FAULT],
  [
    "C15: another answer where the record was lost is another session",
    "otherAnswerContinuesTheSession",
    person,
    SIGN_IN_LOSS,
  ],
  [
    "C15: a request that was sent is not resent under the next session",
    "resendsUnderTheNextSession",
    person,
    OWN_SIGN_IN,
  ],
  ["C15: a token ends with its session", "tokensOutliveTheirSession", person, TARGETS_SIGN],
  ["C15: what a mint of an old session brings is not cached", "overIsCached", over, SIGN_IN],
  ["C15: what a mint of an old session brings is not saved", "overIsSaved", over, SIGN_IN],
  ["C15: what a mint of an old session brings is not published", "overIsPublished", over, SIGN_IN],
  ["C15: what a mint of an old session brings is revoked", "overIsNotRevoked", over, SIGN_IN],
  ["C16: a generation is at least the time of the sign-in", "generationsAreCounted", generations, SIGN_IN_LOSS],
  ["C16: of two sessions with one generation, the record's counts", "ownSessionWinsATie", generations, SIGN_IN_LOSS],
  ["C16: a record with a lower generation is not followed", "olderRecordsAreFollowed", generations, SIGN_IN_REPLAY],
  ["C16: a record with a higher generation is followed", "newerRecordsAreIgnored", generations, SIGN_IN],
  ["C16: a sign-in does not continue the session before it", "signInsContinueTheSession", person, SIGN_IN],
  ["C16: a record that is being begun anew is not replaced", "beginningsAreInterrupted", lost, SIGN_IN_LOSS],
  ["C16: a mint does not publish over another session", "publishesOverAnything", over, SIGN_IN],
  ["C16: a sign-in holds at once", "signInHoldsWhenItIsStored", person, SIGN_IN],
  ["C16: a sign-in that could not be stored is not served", "failedSignInIsServed", person, SIGN_IN_FAULT],
  ["C16: a sign-out holds at once", "signOutHoldsWhenItIsStored", ended, SIGN_OUT],
  ["C16: a sign-out is stored over a lease too", "signOutSparesALease", ended, SIGN_OUT],
  ["C16: after a sign-out nothing is saved", "signOutGoesOnSaving", ended, OWN_SIGN_OUT],
  ["C16: only a sign-in ends an end", "sourceEndsAnEnd", ends, SIGN_OUT],
  ["C16: a refusal ends by a value that was not seen", "refusalEndsByAnyValue", ends, REFUSED],
  ["C16: the end of a refusal begins a session", "refusalEndsInTheSameSession", ends, REFUSED],
  ["C16: the record keeps what is to be revoked until it is", "whatIsToBeRevokedIsForgotten", over, SIGN_OUT_FAULTS],
  ["C16: a close lands the mint", "closeAborts", kept, CLOSES],
  ["C16: a close saves", "closeDoesNotSave", kept, CLOSES],
  ["C16: a close reports what is unfinished", "closeReportsNothing", kept, CLOSES],
  ["C17: a token goes to its target", "tokensGoToAnyTarget", target, TARGETS],
  ["C17: a mint leaves the tokens of other targets in the record", "publishDropsOtherTargets", targets, TARGETS],
  ["C17: a sign-in holds for every target", "signInSparesTargets", targets, TARGETS_SIGN],
  ["C17: a sign-out holds for every target", "signOutSparesTargets", ended, TARGETS_SIGN],
  ["C17: a close holds for every target", "closeSparesTargets", targets, CLOSES],
];

describe("a deliberate fault in the rules of sessions", () => {
  test.each(MUTANTS)("%s: without it (%s) breaks: %s", (_, mutant, invariant, scenario) => {
    const found = search({ ...scenario, mutant }, invariant);
    expect([...found.violations.keys()]).toContain(invariant);
    // Without the fault the same scenario breaks nothing: the tests above.
    expect(HELD.map(([, held]) => held)).toContain(scenario);
  });
});
