// Claim: the proxy costs at most 1.05 x the time of the processor of a proxy that is written by hand and does the same in the
// cheapest way: it looks at the path and the header of the pages, sets the token, copies headers from the same lists, keeps
// short bodies and streams the others, ends its request when the browser goes away or the API does not answer in time, and
// sends the same headers to the browser. The token is warm. Each has a server of its own, in a process of its own. The API
// and the browsers are in another process, over loopback.
import { fork } from "node:child_process";
import { once } from "node:events";

export const title = "The proxy beside one that is written by hand, over loopback (time of the processor per request)";

const SUBJECTS = ["hand", "remint"];
/** How often the servers are started: what the compiler makes of the same code costs a few percent more or less each time. */
const STARTS = 3;
const ROUNDS = 100;
/** Rounds before those: until then a part of the time is the compiler's, more for the one that has more code. */
const WARM_UP = 150;
const KINDS = {
  GET: { method: "GET", calls: 60 },
  "POST of 200 bytes": { method: "POST", body: JSON.stringify({ text: "x".repeat(189) }), calls: 60 },
  "POST of 1 MB": { method: "POST", body: "x".repeat(1_000_000), calls: 10 },
};

export async function run(progress) {
  const times = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, { hand: [], remint: [] }]));
  const peer = await start("proxy-peer.mjs");
  try {
    for (let starts = 1; starts <= STARTS; starts++) {
      const servers = {};
      try {
        for (const subject of SUBJECTS) servers[subject] = await start("proxy-server.mjs", subject, peer.origin);
        await measure(peer.child, servers, times);
      } finally {
        for (const { child } of Object.values(servers)) child.disconnect();
      }
      progress(starts, STARTS);
    }
  } finally {
    peer.child.disconnect();
  }
  const measured = Object.entries(times).map(([what, { hand, remint }]) => [what, middle(hand), middle(remint)]);
  return {
    lines: measured.map(
      ([what, hand, remint]) =>
        `${what}: by hand ${hand.toFixed(0)} µs, remint ${remint.toFixed(0)} µs of the processor`,
    ),
    budgets: measured.map(([what, hand, remint]) => ({
      what,
      value: remint / hand,
      limit: 1.05,
      unit: "x",
      digits: 3,
    })),
  };
}

/** Starts a process that sends the port of its server. */
async function start(file, ...args) {
  const child = fork(new URL(file, import.meta.url), args);
  const [port] = await once(child, "message");
  return { child, origin: `http://127.0.0.1:${port}` };
}

/**
 * Measures the servers in turns: microseconds of the processor for each request. One kind of request after the other: the
 * garbage of long bodies would be counted as the time of the short requests that come next.
 */
async function measure(peer, servers, times) {
  for (const [kind, request] of Object.entries(KINDS)) {
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      // At random, so that none always runs after the other.
      for (const subject of Math.random() < 0.5 ? SUBJECTS : SUBJECTS.toReversed()) {
        const { child, origin } = servers[subject];
        const before = await usedBy(child);
        peer.send({ origin, path: "/api/orders/7?page=2&tag=a", ...request });
        await once(peer, "message");
        const used = (await usedBy(child)) - before;
        if (round >= 0) times[kind][subject].push(used / request.calls);
      }
    }
  }
}

async function usedBy(server) {
  server.send("used");
  const [microseconds] = await once(server, "message");
  return microseconds;
}

/**
 * The mean of the values without the lowest and the highest tenth. Not the median: the collection of garbage is a part of the
 * time, and falls into some rounds only.
 */
function middle(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const cut = Math.floor(sorted.length / 10);
  const kept = sorted.slice(cut, sorted.length - cut);
  return kept.reduce((sum, value) => sum + value, 0) / kept.length;
}
