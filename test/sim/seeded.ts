import { randomOf } from "./random.ts";

/** Runs a simulation with a fixed sequence in place of `Math.random`, so that a counterexample happens again. */
export async function seeded<T>(run: () => Promise<T>): Promise<T> {
  const { random } = Math;
  Math.random = randomOf(0x2f6e2b1);
  try {
    return await run();
  } finally {
    Math.random = random;
  }
}
