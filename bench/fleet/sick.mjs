// Scenarios with processes that cannot mint: they are refused by the server, cannot reach it, or get no answer. The others must not
// notice for longer than a few seconds.
import { setTimeout as sleep } from "node:timers/promises";

const KINDS = ["wrong secret", "refused", "silent"];
/** Milliseconds that healthy processes may be without a token, beside what their calls take. */
const ONE_SICK = 3000;
const THREE_SICK = 4000;

export const scenarios = () => [
  ...KINDS.flatMap((kind) => [
    {
      title: `sick, ${kind}: first`,
      does: "one process cannot mint, and asks first",
      rounds: 2,
      run: (stage) => cold(stage, kind),
    },
    {
      title: `sick, ${kind}: later`,
      does: "one process cannot mint, and the shared token is revoked",
      rounds: 2,
      run: (stage) => revoked(stage, kind),
    },
  ]),
  {
    title: "sick, wrong secret: three",
    does: "three processes cannot mint, and ask first",
    rounds: 2,
    run: threeSick,
  },
];

async function infect(stage, kind, number) {
  if (kind === "refused") await stage.cutOff(number);
  else stage.endpoint.sick.set(number, kind);
}

/** All processes need a token for the first time. The first so many are sick, and ask a moment before the others. */
async function open(stage, kind, count) {
  await stage.open({ mintRetries: 0 });
  stage.endpoint.delay = 50;
  for (let number = 0; number < count; number++) await infect(stage, kind, number);
  const { processes } = stage.fleet;
  const own = stage.fleet.burst(1, { processes: processes.slice(0, count) });
  await sleep(20);
  return { own, ask: () => stage.fleet.burst(stage.callers, { processes: processes.slice(count) }) };
}

async function cold(stage, kind) {
  const { own, ask } = await open(stage, kind, 1);
  const others = await ask();
  const { mints } = stage.endpoint;
  await own;
  return { ...others, mints, claims: claimsOf(others, ONE_SICK) };
}

/** The failures of two processes are told to the others for a second. How long is it until every healthy process has a token? */
async function threeSick(stage) {
  const { own, ask } = await open(stage, "wrong secret", 3);
  const since = performance.now();
  let others = await ask();
  while (others.errors.length > 0 && performance.now() - since < 2 * THREE_SICK) {
    await sleep(100);
    others = await ask();
  }
  const all = performance.now() - since;
  const { mints } = stage.endpoint;
  await own;
  return { ...others, mints, waits: [all], claims: claimsOf({ ...others, waits: [all] }, THREE_SICK) };
}

/** All processes have the token, it is revoked, and the sick one is among those who renew it. */
async function revoked(stage, kind) {
  await stage.open({ mintRetries: 0 });
  stage.endpoint.delay = 50;
  await stage.share();
  await infect(stage, kind, 0);
  if (kind === "refused") await stage.share();
  stage.endpoint.revokeAll();
  const { processes } = stage.fleet;
  const before = stage.endpoint.mints;
  const own = stage.fleet.burst(stage.callers, { processes: processes.slice(0, 1) });
  const others = await stage.fleet.burst(stage.callers, { processes: processes.slice(1) });
  const mints = stage.endpoint.mints - before;
  await own;
  return { ...others, mints, claims: claimsOf(others, ONE_SICK) };
}

function claimsOf({ errors, unauthorized, waits }, limit) {
  return {
    "no error for the healthy": errors.length === 0 && unauthorized === 0,
    [`served within ${limit} ms`]: Math.max(...waits) <= limit,
  };
}
