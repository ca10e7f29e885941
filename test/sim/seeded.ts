/** Runs a simulation with a fixed sequence in place of `Math.random`, so that a counterexample happens again. */
export async function seeded<T>(run: () => Promise<T>): Promise<T> {
  const { random } = Math;
  let state = 0x2f6e2b1;
  // mulberry32: short, and good enough to spread pauses.
  Math.random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  try {
    return await run();
  } finally {
    Math.random = random;
  }
}
