// What happens to a fleet, what it costs the engine, and when everybody has the token.
import { reject, SimulatedFleet } from "./fleet.mjs";

/** Milliseconds. */
const FAST_MINT = 250;
const SLOW_MINT = 2000;
/** Longer than a lease: it has to be renewed meanwhile. */
const LONG_MINT = 5000;
const REFRESH_BUFFER = 60_000;
/** A process with steady traffic sends a request this often. */
const REQUEST_EVERY = 250;
/** A revocation is noticed by all within this time. */
const NOTICED_WITHIN = 50;

/** `begin` leaves the fleet to itself; `mints` is what it then has to come to. */
export const scenarios = {
  "cold start of all at once, mint 250 ms": { mintTime: FAST_MINT, mints: 1, begin: coldStart },
  "cold start of all at once, mint 2 s": { mintTime: SLOW_MINT, mints: 1, begin: coldStart },
  "expiry under steady traffic, mint 250 ms": { mintTime: FAST_MINT, mints: 1, begin: refreshAhead },
  "expiry under steady traffic, mint 5 s": { mintTime: LONG_MINT, mints: 1, begin: refreshAhead },
  "expiry without traffic, then all at once": { mintTime: FAST_MINT, mints: 1, begin: foundExpired },
  "revocation noticed by all within 50 ms, mint 250 ms": { mintTime: FAST_MINT, mints: 1, begin: revocation },
  "revocation noticed by all within 50 ms, mint 2 s": { mintTime: SLOW_MINT, mints: 1, begin: revocation },
  "cold start, and the minter dies": { mintTime: FAST_MINT, mints: 2, begin: minterDies },
};

/**
 * Runs a scenario; equal arguments give equal results.
 *
 * @param throughput Commands a second the engine can serve.
 */
export async function simulate(name, { size, seed = 1, throughput = 50_000 }) {
  const random = Math.random;
  Math.random = seeded(seed);
  try {
    const { mintTime, begin } = scenarios[name];
    const fleet = new SimulatedFleet({ size, mintTime, throughput });
    await begin(fleet);
    await fleet.untilServed();
    return outcomeOf(fleet);
  } finally {
    Math.random = random;
  }
}

/** What is wrong with an outcome, in words. */
export function brokenBy(name, { mints, mostAtOnce, published, tokens, storeFailures }) {
  const { mints: wanted } = scenarios[name];
  return [
    mints !== wanted && `${mints} mints instead of ${wanted}`,
    mostAtOnce !== 1 && `${mostAtOnce} mints at once`,
    published !== 1 && `${published} tokens published`,
    tokens !== 1 && `the processes have ${tokens} different tokens`,
    storeFailures > 0 && `${storeFailures} times a process could not use the store`,
  ].filter((complaint) => complaint !== false);
}

function outcomeOf({ startedAt, engine, processes, mints, mostAtOnce, storeFailures }) {
  const alive = processes.filter(({ isDead }) => !isDead);
  const servedAt = alive.map((process) => process.servedAt).toSorted((a, b) => a - b);
  const [publishedAt = Number.NaN] = engine.published;
  return {
    mints,
    mostAtOnce,
    published: engine.published.length,
    tokens: new Set(alive.map(({ cache }) => cache.peek()?.value)).size,
    storeFailures,
    commands: engine.commands,
    perProcess: engine.commands / processes.length,
    peak: engine.peak,
    longestWait: engine.longestWait,
    halfLate: servedAt[Math.floor(servedAt.length / 2)] - publishedAt,
    lastLate: servedAt.at(-1) - publishedAt,
    lastServed: servedAt.at(-1) - startedAt,
    slots: engine.slotsFrom(startedAt),
  };
}

/** Every process needs the token in the same instant. */
async function coldStart(fleet) {
  fleet.start();
  for (const { cache } of fleet.processes) void cache.get();
}

/** @returns The token's end, in milliseconds of the clock. */
async function warm(fleet) {
  await coldStart(fleet);
  await fleet.untilServed();
  const { clock, processes } = fleet;
  return clock.monotonic() + processes[0].cache.peek().expiresAt - clock.now();
}

/** Each process comes upon the window at a time of its own, and nobody may have to wait. */
async function refreshAhead(fleet) {
  const { clock, processes } = fleet;
  const expiresAt = await warm(fleet);
  await clock.runTo(expiresAt - 1.1 * REFRESH_BUFFER - 1000);
  fleet.start();
  const send = (cache) => {
    if (cache.peek() === undefined) throw new Error("a request had to wait although the token was good");
    clock.setTimeout(() => send(cache), REQUEST_EVERY);
  };
  for (const { cache } of processes) clock.setTimeout(() => send(cache), REQUEST_EVERY * Math.random());
}

async function foundExpired(fleet) {
  const expiresAt = await warm(fleet);
  await fleet.clock.runTo(expiresAt + 1000);
  await coldStart(fleet);
}

async function revocation(fleet) {
  const { clock, processes } = fleet;
  await warm(fleet);
  await clock.runTo(clock.monotonic() + 60_000);
  fleet.start();
  for (const process of processes) clock.setTimeout(() => reject(process), NOTICED_WITHIN * Math.random());
}

/** Its lease is over when that runs out, and not before. */
async function minterDies(fleet) {
  fleet.nextDies = true;
  await coldStart(fleet);
}

/** Mulberry32: small, and good enough for jitter. */
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
