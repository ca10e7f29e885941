// Scenarios of normal operation: cold start, warm requests, revocation and expiry. And an API that accepts no token.
import { setTimeout as sleep } from "node:timers/promises";
import { unnoticed } from "./rows.mjs";

const MINT = 250;
const SLOW = 20;

export const scenarios = ({ quick }) => [
  { title: "cold", does: "all callers need the first token", run: cold },
  { title: "revocation", does: "the token of all requests in flight is revoked", run: revocation },
  { title: "late 401", does: "slow requests with the old token are rejected after the revocation", run: late },
  {
    title: "warm",
    does: "all callers send requests with a valid token",
    rounds: 1,
    run: (stage) => warm(stage, quick),
  },
  {
    title: "expiry, waited for",
    does: "tokens of 2 s, which no process refreshes",
    rounds: 1,
    run: expiryOf(quick, 2, 0),
  },
  { title: "expiry, refreshed", does: "tokens of 4 s, refreshed 1 s before", rounds: 1, run: expiryOf(quick, 4, 1000) },
  { title: "always 401", does: "the API accepts no token", rounds: 1, run: (stage) => storm(stage, quick) },
  { title: "encryption", does: "looks for tokens in all that Redis holds", run: encryption },
];

async function begin(stage, options) {
  await stage.open(options);
  stage.endpoint.delay = MINT;
}

async function cold(stage) {
  await begin(stage);
  await stage.redis.resetCommands();
  const outcome = await stage.burst();
  const commands = await stage.commands();
  return { ...outcome, commands, claims: { "1 mint": outcome.mints === 1, "no error": unnoticed(outcome) } };
}

async function revocation(stage) {
  await begin(stage);
  await stage.share();
  await stage.redis.resetCommands();
  const outcome = await stage.revocation();
  const commands = await stage.commands();
  return { ...outcome, commands, claims: { "1 mint": outcome.mints === 1, "no 401 surfaced": unnoticed(outcome) } };
}

async function late(stage) {
  await begin(stage);
  await stage.share();
  const all = stage.size * SLOW;
  const slow = stage.fleet.burst(SLOW, { path: "/slow" });
  await stage.api.holds(all);
  await stage.revocation();
  await stage.redis.resetCommands();
  const before = stage.endpoint.mints;
  stage.api.release();
  await stage.api.holds(all); // the same requests, resent
  stage.api.release();
  // Their waits depend on the API and are left out.
  const { waits: _, ...outcome } = await slow;
  const mints = stage.endpoint.mints - before;
  const commands = await stage.commands();
  return {
    ...outcome,
    mints,
    commands,
    claims: { "0 mints, 0 commands": mints + commands === 0, "no 401": unnoticed(outcome) },
  };
}

async function warm(stage, quick) {
  await begin(stage);
  await stage.share();
  const before = stage.endpoint.mints;
  await stage.redis.resetCommands();
  const outcome = await load(stage, quick ? 1000 : 5000, 1000);
  const commands = await stage.commands();
  const mints = stage.endpoint.mints - before;
  const claims = {
    "0 Redis commands of any kind": commands === 0,
    "0 mints": mints === 0,
    "no error": unnoticed(outcome),
  };
  return { ...outcome, mints, commands, claims, note: `${outcome.served} requests` };
}

async function load(stage, duration, pause) {
  await stage.fleet.start(stage.callers, pause);
  await sleep(duration);
  return stage.fleet.stop();
}

/** Returns one round for each expiry. A token that some process did not use was minted beside another one. */
function expiryOf(quick, expiresIn, refreshBuffer) {
  return async (stage) => {
    await begin(stage, { refreshBuffer, minValidity: 0 });
    stage.endpoint.expiresIn = expiresIn;
    const tokens = quick ? 3 : 6;
    const first = stage.endpoint.issued.length;
    await stage.fleet.start(stage.callers, 4000);
    await stage.endpoint.reached(tokens);
    const past = stage.endpoint.issued.slice(first, first + tokens - 1);
    const outcome = await stage.fleet.stop();
    const shared = past.filter((token) =>
      stage.fleet.processes.every(({ number }) => stage.api.used(number).includes(token)),
    );
    const { mostAtOnce } = stage.endpoint;
    return past.slice(1).map((token, expiry) => ({
      ...outcome,
      mints: shared.includes(token) ? 1 : 2,
      claims: {
        "1 mint each": shared.includes(token),
        "never two at once": mostAtOnce === 1,
        "no error": unnoticed(outcome),
      },
      note: expiry === 0 ? `${outcome.served} requests` : undefined,
    }));
  };
}

async function storm(stage, quick) {
  await begin(stage);
  stage.api.refusesAll = true;
  await stage.redis.resetCommands();
  const outcome = await load(stage, quick ? 5000 : 20_000, 2000);
  const { mints } = stage.endpoint;
  const claims = {
    "at most 10 mints": mints <= 10,
    "no error": outcome.errors.length === 0,
    "no request is served": outcome.served === 0,
  };
  return { ...outcome, mints, commands: await stage.commands(), claims, note: `${outcome.unauthorized} requests` };
}

/** Looks for tokens in Redis before, during and after a mint. Without encryption they must be found. */
async function encryption(stage) {
  const found = [];
  await begin(stage);
  stage.endpoint.onMint = async () => found.push(...(await stage.readableTokens()));
  await stage.share();
  found.push(...(await stage.readableTokens()));
  stage.endpoint.revokeAll();
  await stage.share();
  found.push(...(await stage.readableTokens()));
  await begin(stage, { encryptionKey: "none" });
  await stage.share();
  const control = await stage.readableTokens();
  return {
    claims: { "no token readable": found.length === 0, 'readable with "none"': control.length === 1 },
  };
}
