// What a client with a cached token costs beside the same client with a header set by hand: processor time per request, 8 at a
// time over loopback, in interleaved rounds of one process. The API is in another process (main.mjs), so that its time does not count.
import { quartiles } from "../measure.mjs";
import { serversOf, startPeerAuthServer } from "./rig.mjs";

const ROUNDS = 15;
const REQUESTS = 80;
const AT_ONCE = 8;

/** Resolves to the quartiles of the ratio. */
export async function overhead({ create, bare }, origin) {
  const auth = await startPeerAuthServer();
  try {
    const { send } = await create(serversOf(auth, origin));
    const sendBare = await bare();
    // The API takes any token. A client that has no token before its first 401 gets that 401 here.
    await send(`${origin}/401`).catch(() => {});
    await send(`${origin}/a`);
    const authorization = `Bearer ${auth.issued[0]}`;
    const subjects = [() => sendBare(`${origin}/a`, { authorization }), () => send(`${origin}/a`)];
    for (const subject of subjects) await processorTime(subject);
    const ratios = [];
    for (let round = 0; round < ROUNDS; round++) {
      const times = [0, 0];
      for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) times[i] = await processorTime(subjects[i]);
      ratios.push(times[1] / times[0]);
    }
    const { low, median, high } = quartiles(ratios);
    return { low, median, high };
  } finally {
    await auth.close();
  }
}

async function processorTime(call) {
  const before = process.cpuUsage();
  let left = REQUESTS;
  const worker = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
