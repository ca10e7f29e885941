/** The scenarios of the model of sessions: its size, what can happen, and a deliberate fault in the protocol. */
import type { Chances } from "./session-state.ts";

/** A deliberate fault in the protocol, which must break an invariant. Each denies one sentence of C14 to C17. */
export type SessionMutant =
  // C14: the state has one owner
  | "badAnswersCarryNothing"
  | "sourceIsAskedOnce"
  | "usedAnswersArePresented"
  | "unsavedStateIsPassedOver"
  | "memoryWhereTheSourceFails"
  | "mintsOfASessionRunTogether"
  | "abortsAtTheMintTimeout"
  | "doubtIsNotTold"
  | "cutIsNotTold"
  | "savesRunTogether"
  | "servesBeforeTheSave"
  | "savesAreNotRepeated"
  | "unsavedIsNotTold"
  | "storeTakesThePlaceOfSaves"
  | "lateHoldersSend"
  | "mintsWithoutTheStore"
  | "memoryBeforeTheRecord"
  | "memoryBeforeTheSource"
  | "oldMemoryIsBroughtBack"
  | "emptyRecordsTell"
  | "usedRecordsAreFollowed"
  | "answersAreSentWithoutALook"
  | "lateAnswersAreAdopted"
  | "owedStateIsDropped"
  | "unpublishedIsForgotten"
  | "refusedStateIsPresentedAgain"
  // C15: a request belongs to its session
  | "otherStateContinuesTheSession"
  | "otherAnswerContinuesTheSession"
  | "waitersGetTheNextSession"
  | "resendsUnderTheNextSession"
  | "tokensOutliveTheirSession"
  | "overIsCached"
  | "overIsSaved"
  | "overIsPublished"
  | "overIsNotRevoked"
  // C16: sign-in, sign-out, close
  | "generationsAreCounted"
  | "ownSessionWinsATie"
  | "olderRecordsAreFollowed"
  | "newerRecordsAreIgnored"
  | "signInsContinueTheSession"
  | "beginningsAreInterrupted"
  | "publishesOverAnything"
  | "signInHoldsWhenItIsStored"
  | "failedSignInIsServed"
  | "signOutHoldsWhenItIsStored"
  | "signOutSparesALease"
  | "signOutGoesOnSaving"
  | "sourceEndsAnEnd"
  | "refusalEndsByAnyValue"
  | "refusalEndsInTheSameSession"
  | "whatIsToBeRevokedIsForgotten"
  | "closeAborts"
  | "closeDoesNotSave"
  | "closeReportsNothing"
  // C17: targets
  | "tokensGoToAnyTarget"
  | "publishDropsOtherTargets"
  | "signInSparesTargets"
  | "signOutSparesTargets"
  | "closeSparesTargets";

export interface Scenario {
  readonly processes: number;
  /** The number of requests of every process, for each target. */
  readonly requests: readonly number[];
  /** The processes share a record. */
  readonly store: boolean;
  /** Where the first state comes from: the user's table, asked before every mint, or a string of the configuration. */
  readonly source: "function" | "string";
  /** New states are saved in the user's table. */
  readonly saves: boolean;
  readonly chances: Partial<Chances>;
  /** The user has signed in: the record is there, and the first process knows it. */
  readonly begun?: boolean;
  readonly mutant?: SessionMutant;
}

export const NO_CHANCES: Chances = {
  signIns: 0,
  signOuts: 0,
  rowSignIns: 0,
  rejections: 0,
  expiries: 0,
  kills: 0,
  closes: 0,
  pauses: 0,
  losses: 0,
  replays: 0,
  storeFaults: 0,
  saveFaults: 0,
  sourceFaults: 0,
  lostAnswers: 0,
  lateAnswers: 0,
  badAnswers: 0,
  cuts: 0,
  days: 0,
  revocationFaults: 0,
  ticks: 0,
};
