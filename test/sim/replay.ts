/** A search for counterexamples that can be replayed. */
import fc from "fast-check";

/** A change is judged by the same inputs every time. */
const SEED = 20_261;

/**
 * Searches for a counterexample. If there is one, the thrown error says how to run it again, with `REMINT_SEED` and
 * `REMINT_PATH`. `REMINT_RUNS` sets another number of runs: inputs that were never tried, unless a seed is given too.
 */
export async function search<T>(
  name: string,
  runs: number,
  arbitrary: fc.Arbitrary<T>,
  holds: (input: T) => Promise<void>,
): Promise<void> {
  const { REMINT_SEED: given, REMINT_PATH: path, REMINT_RUNS: longer } = process.env;
  const seed = given ?? (longer === undefined ? SEED : undefined);
  const details = await fc.check(fc.asyncProperty(arbitrary, holds), {
    numRuns: longer === undefined ? runs : Number(longer),
    ...(seed !== undefined && { seed: Number(seed) }),
    ...(path !== undefined && { path }),
  });
  if (!details.failed) return;
  throw new Error(
    `${await fc.asyncDefaultReportMessage(details)}\n\nTo run exactly this again:\n` +
      `  REMINT_SEED=${details.seed} REMINT_PATH=${details.counterexamplePath} npx vitest run test/sim -t "${name}"`,
    { cause: details.errorInstance },
  );
}
