/** The scenarios of the storm guard's table. */
import type { Scenario } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;
/** Every user sends a request every second, and tokens are revoked while they do. */
const POLLS = { path: "/orders", every: SECOND } as const;
const AT = 3 * SECOND;

/** All tokens are revoked at one moment. */
export function allRevoked(users: number, more: Partial<Scenario> = {}): Scenario {
  const seconds = 10;
  return {
    name: `all revoked, ${users}`,
    users,
    until: AT + seconds * SECOND + 12 * SECOND,
    loads: [{ ...POLLS, every: users > 1000 ? 2 * SECOND : SECOND, during: [0, AT + seconds * SECOND] }],
    revocations: [{ at: AT }],
    ...more,
  };
}

/** The API rejects every token. Each user sends a request every so often. */
export function dead(users: number, minutes: number, every: number, more: Partial<Scenario> = {}): Scenario {
  const until = minutes * MINUTE;
  return {
    name: `dead for ${minutes} min, ${users}`,
    users,
    until,
    loads: [{ path: "/orders", every, during: [0, until] }],
    outages: [{ during: [0, Infinity] }],
    ...more,
  };
}
const even = (user: number): boolean => user % 2 === 0;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "healthy, 1000",
    users: 1000,
    until: 5 * SECOND,
    loads: [{ ...POLLS, during: [0, 5 * SECOND] }],
  },
  ...[1, 10, 100, 1000, 10_000].map((users) => allRevoked(users)),
  allRevoked(1000, { name: "all revoked, 1000 lone caches", processes: 0 }),
  allRevoked(250, { name: "all revoked, 250 in 4 processes", processes: 4 }),
  allRevoked(1000, {
    name: "all revoked, 1000, in step",
    loads: [{ ...POLLS, inStep: true, during: [0, 13 * SECOND] }],
  }),
  allRevoked(1000, {
    name: "all revoked, 1000, never accepted",
    isWarm: false,
    revocations: [{ at: 1 }],
  }),
  allRevoked(1000, { name: "all revoked, 1000, endpoint 200/s", endpoint: { capacity: 200 } }),
  allRevoked(1000, { name: "all revoked, 1000, endpoint takes 1 s", endpoint: { latency: 1000 } }),
  allRevoked(1000, {
    name: "all revoked, 1000, 503 for 5 s",
    endpoint: { down: [[AT, AT + 5 * SECOND]] },
  }),
  allRevoked(1000, { name: "all revoked, 1000, 20 % of mints fail", endpoint: { fails: 0.2 } }),
  allRevoked(1000, { name: "all revoked, 1000, 50 % dead", disabled: { from: AT, of: even } }),
  allRevoked(1000, {
    name: "all revoked, 1000, 90 % dead",
    disabled: { from: AT, of: (user) => user % 10 > 0 },
  }),
  allRevoked(1000, {
    name: "all revoked, 1000, streams and aborts",
    loads: [{ ...POLLS, streams: 0.3, aborts: 0.2, patience: 500, during: [0, 13 * SECOND] }],
  }),
  {
    name: "all revoked, 500 streams that do not come again, 500 poll",
    users: 1000,
    until: 40 * SECOND,
    loads: [
      { path: "/upload", every: MINUTE, inStep: true, streams: 1, during: [AT, AT + 1], of: even },
      { ...POLLS, during: [0, 25 * SECOND], of: (user) => !even(user) },
    ],
    revocations: [{ at: AT }],
  },
  {
    name: "revoked 10 s after 500 such streams",
    users: 1000,
    until: 40 * SECOND,
    loads: [
      { path: "/upload", every: MINUTE, inStep: true, streams: 1, during: [AT, AT + 1], of: even },
      { ...POLLS, during: [0, 25 * SECOND], of: (user) => !even(user) },
    ],
    revocations: [{ at: AT, of: even }, { at: AT + 10 * SECOND }],
  },
  allRevoked(1000, { name: "all revoked, 1000, lag 300 ms", lag: 300 }),
  allRevoked(1000, { name: "all revoked, 1000, lag 1 s", lag: 1000 }),
  {
    name: "twenty revocations 3 s apart, 50 callers",
    users: 1,
    until: 70 * SECOND,
    loads: [{ path: "/orders", every: 500, callers: 50, during: [0, 66 * SECOND] }],
    revocations: Array.from({ length: 20 }, (_, i) => ({ at: (i + 1) * 3 * SECOND })),
  },
  ...[1, 10, 100, 1000].map((users) => dead(users, 1, SECOND)),
  dead(10_000, 1, 10 * SECOND),
  ...[1, 10, 30, 100, 300].map((users) => dead(users, 10, 3 * SECOND)),
  dead(1000, 10, 10 * SECOND),
  dead(10_000, 10, MINUTE),
  dead(1, 10, SECOND, { name: "dead for 10 min, 1, ids in paths", loads: [ids(10)] }),
  dead(1000, 10, SECOND, {
    name: "dead for 10 min, 1000, ids in paths",
    loads: [{ ...ids(10), every: 10 * SECOND }],
  }),
  dead(10_000, 1, SECOND, {
    name: "dead for 1 min, 10000, streams, aborts, /public",
    loads: [
      {
        path: "/orders",
        every: 10 * SECOND,
        streams: 0.3,
        aborts: 0.3,
        patience: 2000,
        during: [0, MINUTE],
      },
      { path: "/public", every: 10 * SECOND, during: [0, MINUTE] },
    ],
    open: (path) => path === "/public",
  }),
  dead(1000, 1, SECOND, {
    name: "dead for 1 min, 1000, streams only",
    loads: [{ ...POLLS, streams: 1, during: [0, MINUTE] }],
  }),
  dead(1000, 1, SECOND, { name: "dead for 1 min, 1000 lone caches", processes: 0 }),
  dead(1000, 1, SECOND, { name: "dead for 1 min, 250 in 4 processes", users: 250, processes: 4 }),
  outage("401 for 5 s, tokens kept, 1000", 5, false),
  outage("401 for 30 s, tokens kept, 1000", 30, false),
  outage("401 for 5 s, tokens lost, 1000", 5, true),
  outage("401 for 30 s, tokens lost, 1000", 30, true),
  {
    name: "/bad polled, /good idle and revoked",
    users: 1,
    until: 90 * SECOND,
    loads: [
      { path: "/bad", every: 5 * SECOND, during: [0, 80 * SECOND] },
      { path: "/good", every: SECOND, during: [61 * SECOND, 80 * SECOND] },
    ],
    forbidden: (path) => path === "/bad",
    revocations: [{ at: MINUTE }],
  },
  {
    name: "/bad for all 1000, then all revoked",
    users: 1000,
    until: 60 * SECOND,
    loads: [
      { path: "/bad", every: 2 * SECOND, during: [0, 45 * SECOND] },
      { path: "/good", every: SECOND, during: [0, 45 * SECOND] },
    ],
    forbidden: (path) => path === "/bad",
    revocations: [{ at: 30 * SECOND }],
  },
  {
    name: "30 disabled poll, one idle user revoked",
    users: 31,
    until: 80 * SECOND,
    loads: [
      { path: "/orders", every: SECOND, during: [0, 70 * SECOND], of: (user) => user > 0 },
      {
        path: "/orders",
        every: SECOND,
        during: [61 * SECOND, 70 * SECOND],
        of: (user) => user === 0,
      },
    ],
    disabled: { from: 0, of: (user) => user > 0 },
    revocations: [{ at: MINUTE, of: (user) => user === 0 }],
  },
  {
    name: "30 disabled poll, 2 revocations a second",
    users: 330,
    until: 130 * SECOND,
    loads: [{ path: "/orders", every: SECOND, during: [0, 120 * SECOND] }],
    disabled: { from: 0, of: (user) => user < 30 },
    revocations: Array.from({ length: 200 }, (_, i) => ({
      at: 10 * SECOND + i * 500,
      of: (user: number) => user === 30 + i,
    })),
  },
];

function ids(minutes: number): Scenario["loads"][number] {
  return { path: "/orders", hasIds: true, every: SECOND, during: [0, minutes * MINUTE] };
}

function outage(name: string, seconds: number, losesTokens: boolean): Scenario {
  const until = AT + (seconds + 15) * SECOND;
  return {
    name,
    users: 1000,
    until: until + 12 * SECOND,
    loads: [{ ...POLLS, during: [0, until] }],
    outages: [{ during: [AT, AT + seconds * SECOND], losesTokens }],
  };
}
