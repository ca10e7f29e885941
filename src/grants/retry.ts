/**
 * Repeats the attempts of one mint after transient failures (C11): the only place that knows p-retry. Every grant with a
 * token endpoint has it, and a custom grant that the user allows to repeat.
 *
 * Which failures may be repeated is decided in `core/mint.ts`.
 *
 * @module
 */
import pRetry from "p-retry";
import { leaveOnAbort } from "../base/abort.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { MintStep, Retry } from "../core/grant.ts";

/** Milliseconds before the first repetition; twice as many before each further one. */
const FIRST_BACKOFF = 250;

/**
 * Runs attempts until one succeeds, must not be repeated, or would begin when the time of the mint is over. The pauses pass
 * on the clock of the cache.
 */
export const retrying: Retry = async (attempt, plan) => {
  try {
    return await pRetry(() => attempt().then(failIfFailed), {
      retries: plan.retries,
      // The pauses are made below, on the cache's clock.
      minTimeout: 0,
      signal: plan.signal,
      // Asked after `onFailedAttempt`, which has decided it.
      shouldRetry: ({ error }) => error instanceof FailedAttempt && error.isRepeated,
      async onFailedAttempt({ error, attemptNumber, retriesLeft }) {
        if (!(error instanceof FailedAttempt) || retriesLeft === 0) return;
        const asked = plan.pauseAfter(error.step);
        if (asked === undefined) return;
        const backoff = FIRST_BACKOFF * 2 ** (attemptNumber - 1) * (1 + Math.random());
        const pause = Math.max(backoff, asked);
        // The mint would be over before the pause is.
        if (pause >= plan.timeLeft()) return;
        error.isRepeated = true;
        plan.onRetry(attemptNumber, error.step);
        await passed(plan.clock, pause, plan.signal);
      },
    });
  } catch (error) {
    if (error instanceof FailedAttempt) return error.step;
    throw error;
  }
};

/** Carries a failed attempt through p-retry, which knows errors only. */
class FailedAttempt extends Error {
  readonly step: MintStep;
  /** Another attempt follows. */
  isRepeated = false;

  constructor(step: MintStep) {
    super("an attempt of a mint has failed");
    this.step = step;
  }
}

function failIfFailed(step: MintStep): MintStep {
  if ("error" in step) throw new FailedAttempt(step);
  return step;
}

/** Lets time pass on the cache's clock. Rejects when the mint is ended meanwhile. */
async function passed(clock: Clock, delay: number, signal: AbortSignal): Promise<void> {
  let timer: Timer | undefined;
  const pause = new Promise<void>((resolve) => (timer = clock.setTimeout(resolve, delay)));
  try {
    // The timer of the whole mint keeps the process alive while callers wait, so this one does not have to.
    await leaveOnAbort(pause, signal);
  } finally {
    timer?.cancel();
  }
}
