/**
 * How long a process waits before it looks again whether somebody else's mint has come to something.
 *
 * @module
 */

const FIRST = 25;
const LONGEST = 250;

/** Milliseconds before the next look: longer and longer, with jitter, so that a large fleet does not look in step. */
export function pollDelay(polls: number, random: number = Math.random()): number {
  return Math.min(LONGEST, FIRST * 1.25 ** polls) * (0.75 + random / 2);
}
