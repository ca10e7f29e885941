// Interleaved rounds of all subjects in one process, so that whatever else the machine does hits all of them alike;
// what is reported are medians and quartiles of the ratios within a round, never a time alone.

/** One subject's rounds: nanoseconds per call, and as a multiple of the reference in the same round. */
export async function interleave(subjects, { reference, rounds = 31, calls = 40_000, progress = () => {} }) {
  const names = Object.keys(subjects);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await timed(subjects[name], calls);
  for (let round = 0; round < rounds; round++) {
    // Another order every round: nobody always runs after the subject that leaves the most garbage.
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

/** Lower quartile, median, upper quartile. */
export function quartiles(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.round((sorted.length - 1) * part)];
  return { low: at(0.25), median: at(0.5), high: at(0.75), least: sorted[0] };
}

export function spread({ low, median, high }, digits) {
  return `${median.toFixed(digits)} (${low.toFixed(digits)}..${high.toFixed(digits)})`;
}
