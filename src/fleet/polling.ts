/**
 * How long a process waits before it looks again whether somebody else's mint has come to something.
 *
 * Even at first, because most mints take a fraction of a second and a growing pause is at its longest when the token
 * comes; longer and longer then, because a mint that takes seconds is no better for being asked after 20 times a second.
 * `bench/fleet-sim.mjs` has the numbers, from 10 processes to 10,000.
 *
 * @module
 */

/** Half of it is what a token lies there unnoticed, so it is short; a fleet of 1,000 makes 20,000 looks a second of it. */
const FIRST = 50;
/** So many looks are even: they cover the first quarter of a second. */
const EVEN_LOOKS = 5;
const GROWTH = 1.15;
const LONGEST = 300;

/**
 * Milliseconds before the next look. Half of it or half as much again at random, so that processes that came in step are
 * out of it after one look. Never much less than the last look took: a store that is slow to answer because all look at
 * once would be slower with every look, until calls time out and thousands of processes mint for themselves.
 *
 * @param polls How many pauses there were.
 * @param roundTrip Milliseconds the last look took.
 * @param random From 0 to 1.
 */
export function pollDelay(polls: number, roundTrip = 0, random: number = Math.random()): number {
  const growing = Math.max(0, polls - EVEN_LOOKS + 1);
  return Math.max(roundTrip, Math.min(LONGEST, FIRST * GROWTH ** growing)) * (0.5 + random);
}
