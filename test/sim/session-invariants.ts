/** The invariants of sessions, checked at every step of the model. Liveness is checked by explore.ts. */

export const INVARIANTS = {
  person: "a request that began under one session never gets a token of another",
  usedStates: "no state is presented by a process that knows, or could know by the record, that it is used or refused",
  lost: "a session is lost only where an answer, a save or a publication was lost, or a replay met a fresh process",
  ended: "after a sign-out nobody who looked serves, presents, publishes or saves anything of the session",
  over: "what a mint of an earlier session brings is revoked, and neither cached nor published nor saved",
  generations: "generations never go backward, except where the record continues the state of the process",
  serial: "mints of a session are serial, and none is sent under a lease that has lapsed",
  kept: "a state that was received is kept until it is saved, published, revoked or reported",
  ends: "a refusal ends by a sign-in or a value that was not seen; an end by a sign-in only",
  target: "a token goes only to the target that it was minted for",
  targets: "a token of another target is not lost by a mint, and its cache ends with the session",
  row: "a save never replaces a later state by an earlier one",
} as const;
