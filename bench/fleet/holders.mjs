// Scenarios in which the process that mints for the fleet is killed or suspended, or loses its lease.
import { unnoticed } from "./rows.mjs";

const LEASE = 2000;
const MINT = 600;
/** The longest pause between two looks at the lease of another process, with its jitter. */
const POLL = 315;

export const scenarios = () => [
  {
    title: "kill -9 mid-mint",
    does: `the process that mints is killed (lease ${LEASE} ms, mint ${MINT} ms)`,
    run: killed,
  },
  { title: "SIGSTOP past the lease", does: "the process that mints is suspended, and continues later", run: suspended },
  { title: "FLUSHALL mid-lease", does: "Redis loses the lease of the process that mints", run: flushed },
];

/** All callers need a token, and `act` happens to the first process that mints. */
async function strike(stage, act) {
  await stage.open({ fleet: { lease: LEASE } });
  await stage.share();
  // The time of the same calls when nothing happens and a mint takes no time.
  const idle = Math.max(...(await stage.revocation()).waits);
  stage.endpoint.reset();
  stage.endpoint.delay = MINT;
  stage.endpoint.revokeAll();
  const struck = new Promise((resolve) => {
    stage.endpoint.onMint = async (minter) => {
      stage.endpoint.onMint = undefined;
      await act(minter);
      resolve(minter);
    };
  });
  const argument = { callers: stage.callers, path: "/orders" };
  const calls = stage.fleet.processes.map((process) => process.tell("burst", argument));
  for (const call of calls) call.catch(() => {});
  const victim = await struck;
  const others = await Promise.all(calls.filter((_, number) => number !== victim));
  return { victim, idle, own: calls[victim], others: sum(others) };
}

function sum(outcomes) {
  return {
    served: outcomes.reduce((total, { served }) => total + served, 0),
    unauthorized: outcomes.reduce((total, { unauthorized }) => total + unauthorized, 0),
    errors: outcomes.flatMap(({ errors }) => errors),
    waits: outcomes.flatMap(({ waits }) => waits),
  };
}

async function killed(stage) {
  const { victim, others, idle } = await strike(stage, (minter) => stage.fleet.processes[minter].kill());
  const { mints } = stage.endpoint;
  await stage.replace(victim);
  const claims = {
    "2 mints": mints === 2,
    "no error for the others": unnoticed(others),
    "served within lease + mint, beside what the calls take": Math.max(...others.waits) <= LEASE + MINT + POLL + idle,
  };
  return { ...others, mints, claims };
}

async function suspended(stage) {
  const { victim, own, others } = await strike(stage, async (minter) => stage.fleet.processes[minter].freeze());
  const record = await stage.record();
  await stage.redis.resetCommands();
  stage.fleet.processes[victim].thaw();
  const late = await own;
  const commands = await stage.commands();
  const { mints } = stage.endpoint;
  const claims = {
    "2 mints": mints === 2,
    "no error": unnoticed(others) && unnoticed(late),
    "late write refused": commands > 0 && (await stage.record()) === record,
    "one token for all": oneToken(stage),
  };
  return { ...others, mints, commands, claims, note: "commands: of the late process" };
}

async function flushed(stage) {
  const { own, others } = await strike(stage, () => stage.redis.command("FLUSHALL"));
  const late = await own;
  const { mints } = stage.endpoint;
  const after = await stage.revocation();
  const claims = {
    "at most 2 mints": mints <= 2,
    "no error": unnoticed(others) && unnoticed(late),
    "then 1": after.mints === 1,
  };
  return { ...others, mints, claims };
}

function oneToken(stage) {
  return new Set(stage.fleet.processes.map(({ number }) => stage.api.used(number).at(-1))).size === 1;
}
