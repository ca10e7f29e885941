// The scenarios of the simulation, and their outcomes: the mints, the load on the engine, and when all processes have
// the token. The simulated fleet is in fleet.mjs, the simulated Redis in engine.mjs.
import { reject, SimulatedFleet } from "./fleet.mjs";

// Times are milliseconds.
const FAST_MINT = 250;
/** Not so long that the first holder gives the lease away. */
const SLOW_MINT = 1500;
/** Longer than a lease, so the holder has to renew its lease during the mint. */
const LONG_MINT = 5000;
const REFRESH_BUFFER = 60_000;
/** The time between two requests of a process with steady traffic. */
const REQUEST_EVERY = 250;
/** All processes notice a revocation within this time. */
const NOTICED_WITHIN = 50;

/**
 * `begin` starts the scenario; `mints` is the number of mints that it has to take. `tokens`: the first holder gives the lease away
 * while it waits for the server, so that its own callers and all others have different tokens.
 */
export const scenarios = {
  "cold start of all at once, mint 250 ms": { mintTime: FAST_MINT, mints: 1, begin: coldStart },
  "cold start of all at once, mint 1.5 s": { mintTime: SLOW_MINT, mints: 1, begin: coldStart },
  "cold start of all at once, mint 5 s": { mintTime: LONG_MINT, mints: 2, tokens: 2, begin: coldStart },
  "expiry under steady traffic, mint 250 ms": { mintTime: FAST_MINT, mints: 1, begin: refreshAhead },
  "expiry under steady traffic, mint 5 s": { mintTime: LONG_MINT, mints: 2, tokens: 2, begin: refreshAhead },
  "expiry without traffic, then all at once": { mintTime: FAST_MINT, mints: 1, begin: foundExpired },
  "revocation noticed by all within 50 ms, mint 250 ms": { mintTime: FAST_MINT, mints: 1, begin: revocation },
  "revocation noticed by all within 50 ms, mint 1.5 s": { mintTime: SLOW_MINT, mints: 1, begin: revocation },
  "cold start, and the minter dies": { mintTime: FAST_MINT, mints: 2, begin: minterDies },
};

/**
 * Runs a scenario. Equal arguments give equal results.
 *
 * @param throughput Commands a second that the engine can serve.
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

/** Describes what is wrong with an outcome. */
export function brokenBy(name, { mints, mostAtOnce, published, tokens, storeFailures }) {
  const { mints: wanted, tokens: different = 1 } = scenarios[name];
  return [
    mints !== wanted && `${mints} mints instead of ${wanted}`,
    mostAtOnce !== different && `${mostAtOnce} mints at once`,
    // Also the record that a holder leaves when it gives the lease away.
    published !== different && `${published} tokens published`,
    tokens !== different && `the processes have ${tokens} different tokens`,
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

/** All processes need the token at the same moment. */
async function coldStart(fleet) {
  fleet.start();
  for (const { cache } of fleet.processes) void cache.get();
}

/** Gives every process a token. @returns The expiry of the token, in milliseconds of the clock. */
async function warm(fleet) {
  await coldStart(fleet);
  await fleet.untilServed();
  const { clock, processes } = fleet;
  return clock.monotonic() + processes[0].cache.peek().expiresAt - clock.now();
}

/** Each process reaches the soft window at a time of its own, and no request may have to wait. */
async function refreshAhead(fleet) {
  const { clock, processes } = fleet;
  const expiresAt = await warm(fleet);
  await clock.runTo(expiresAt - 1.1 * REFRESH_BUFFER - 1000);
  fleet.start();
  const send = (cache) => {
    if (cache.peek() === undefined) throw new Error("a request had to wait although the token was valid");
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

/** The process that mints dies. Another process can mint only after the lease has ended. */
async function minterDies(fleet) {
  fleet.nextDies = true;
  await coldStart(fleet);
}

/** The random number generator Mulberry32, which is good enough for jitter. */
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
