// Measures several subjects in interleaved rounds in one process, so that other load on the machine affects all of them
// alike. The results are medians and quartiles of the ratios within a round.

/**
 * Measures all subjects. Resolves to each one's nanoseconds per call, and its ratio to the reference in the same round.
 */
export async function interleave(subjects, { reference, rounds = 31, calls = 40_000, progress = () => {} }) {
  const names = Object.keys(subjects);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await timed(subjects[name], calls);
  for (let round = 0; round < rounds; round++) {
    // Another order every round, so that no subject always runs after the one that leaves the most garbage.
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      times[name].push(await timed(subjects[name], calls));
    }
    progress(round + 1, rounds);
  }
  return Object.fromEntries(
    names.map((name) => [
      name,
      { ns: quartiles(times[name]), ratio: quartiles(times[name].map((ns, i) => ns / times[reference][i])) },
    ]),
  );
}

async function timed(call, calls) {
  const start = performance.now();
  for (let i = 0; i < calls; i++) await call(i);
  return ((performance.now() - start) * 1e6) / calls;
}

/** Returns the lower quartile, the median, the upper quartile and the least value. */
export function quartiles(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.round((sorted.length - 1) * part)];
  return { low: at(0.25), median: at(0.5), high: at(0.75), least: sorted[0] };
}

export function spread({ low, median, high }, digits) {
  return `${median.toFixed(digits)} (${low.toFixed(digits)}..${high.toFixed(digits)})`;
}
