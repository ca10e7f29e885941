/** What the page counts, without a browser: history.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LaneHistory, shares } from "../page/history.ts";
import type { ApiRequest, LaneMessage, TokenMinted } from "../page/messages.ts";

const request = (at: number, members: Partial<ApiRequest> = {}): ApiRequest => ({
  type: "request",
  lane: "remint",
  at,
  ms: 10,
  api: "orders",
  method: "GET",
  path: "/list",
  status: 200,
  outcome: "first-try",
  token: "aaaa",
  how: "cached",
  ...members,
});
const token = (id: string, at: number): TokenMinted => ({
  type: "token",
  lane: "remint",
  id,
  audience: "orders",
  at,
  expiresAt: at + 60_000,
  refreshFrom: at + 50_000,
});
function historyOf(...messages: readonly LaneMessage[]): LaneHistory {
  const history = new LaneHistory("remint");
  for (const message of messages) history.add(message);
  return history;
}

/** Where the columns of requests at these times begin, and how many are in each. */
const columns = (...times: readonly number[]): number[][] =>
  historyOf(...times.map((at) => request(at))).requests.map(({ at, items }) => [at, items.length]);

describe("columns", () => {
  test("requests less than half a second apart are one column of at most 2 seconds, a later one begins the next", () => {
    expect(columns(1000, 1400, 1899, 2400)).toEqual([
      [1000, 3],
      [2400, 1],
    ]);
    expect(columns(1000, 1499, 1998, 2497, 2996, 3000)).toEqual([
      [1000, 5],
      [3000, 1],
    ]);
  });

  test("a beat and a request of a button at the same time are two columns", () => {
    const { requests } = historyOf(request(1000), request(1001, { beat: true }), request(1002));
    expect(requests.map(({ items }) => items.length)).toEqual([2, 1]);
  });

  test("a message that comes late goes into the column of its time, and new columns stand in the order of time", () => {
    expect(columns(5000, 9000, 5100, 2000)).toEqual([
      [2000, 1],
      [5000, 2],
      [9000, 1],
    ]);
    const { requests } = historyOf(request(5000), request(9000), request(2000));
    expect(new Set(requests.map(({ key }) => key)).size).toBe(3);
  });

  test("a beat and a request of a button at the same time are two columns", () => {
    const { requests } = historyOf(request(1000), request(1001, { beat: true }), request(1002));
    expect(requests.map(({ items }) => items.length)).toEqual([2, 1]);
  });

  test("a message that comes late goes into the column of its time, and new columns stand in the order of time", () => {
    const { requests } = historyOf(request(5000), request(9000), request(5100), request(2000));
    expect(requests.map(({ at, items }) => [at, items.length])).toEqual([
      [2000, 1],
      [5000, 2],
      [9000, 1],
    ]);
    expect(new Set(requests.map(({ key }) => key)).size).toBe(3);
  });

  test("200 answers with one failure: the failure has a mark", () => {
    expect(shares([199, 0, 0, 1, 0], 7)).toEqual([6, 0, 0, 1, 0]);
  });

  test("any counts: at most so many marks, one at least for each count that is not 0, none for 0", () => {
    const counts = fc.array(fc.nat(10_000), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 5, max: 12 }), (given, slots) => {
        const divided = shares(given, slots);
        const total = given.reduce((sum, count) => sum + count, 0);
        expect(divided.reduce((sum, count) => sum + count, 0)).toBe(Math.min(total, slots));
        expect(divided.map((count) => count > 0)).toEqual(given.map((count) => count > 0));
        expect(divided.every((count, at) => count <= (given[at] ?? 0))).toBe(true);
      }),
    );
  });
});

describe("counts", () => {
  test("durations of 1 to 100 ms in any order: the median is 50 and the 95th percentile 95", () => {
    const times = Array.from({ length: 100 }, (_, at) => ((at * 37) % 100) + 1);
    const { median, p95, requests } = historyOf(...times.map((ms, at) => request(at, { ms }))).counts();
    expect([median, p95, requests]).toEqual([50, 95, 100]);
  });

  test("no request: there is no median, and nothing was counted", () => {
    expect(historyOf().counts()).toEqual({
      requests: 0,
      tokenRequests: 0,
      unauthorized: 0,
      signOuts: 0,
      median: undefined,
      p95: undefined,
    });
  });

  test("a 401 counts whether the session is over or not, a 503 does not", () => {
    const history = historyOf(
      request(1, { status: 401, outcome: "unauthorized" }),
      request(2, { status: 401, outcome: "signed-out" }),
      request(3, { status: 503, outcome: "unavailable" }),
    );
    expect(history.counts().unauthorized).toBe(2);
  });

  test("what is forgotten stays in the counts", () => {
    const history = historyOf(request(1000), token("aaaa", 1000), token("bbbb", 90_000), request(90_000));
    history.forgetBefore(80_000);
    expect([history.requests.length, [...history.tokens.keys()], history.counts().requests]).toEqual([1, ["bbbb"], 2]);
  });

  test("20,000 requests: the durations that are kept still give the median", () => {
    const history = historyOf(...Array.from({ length: 20_000 }, (_, at) => request(at, { ms: (at * 7) % 1000 })));
    expect(history.counts().requests).toBe(20_000);
    expect(history.counts().median).toBeGreaterThan(450);
    expect(history.counts().median).toBeLessThan(550);
  });

  test("a beat is counted, but is no outcome of the last button", () => {
    const history = historyOf(request(1, { beat: true }));
    history.mark();
    history.add(request(2, { beat: true, status: 401, outcome: "unauthorized" }));
    history.add(request(3));
    expect([history.counts().requests, [...history.sinceMark().statuses]]).toEqual([3, [[200, 1]]]);
  });
});

describe("sessions", () => {
  test("a sign-out that is told twice counts once, and ends with the next sign-in", () => {
    const history = historyOf(
      { type: "signed-in", lane: "remint", at: 1 },
      { type: "signed-out", lane: "remint", at: 5, reason: "a" },
      { type: "signed-out", lane: "remint", at: 6, reason: "b" },
      { type: "signed-in", lane: "remint", at: 9 },
    );
    expect([history.counts().signOuts, history.absences]).toEqual([1, [{ from: 5, to: 9, reason: "a" }]]);
  });

  test("signed out while nobody listened: counted once. Never signed in: not counted", () => {
    const history = historyOf({ type: "signed-in", lane: "remint", at: 1 });
    history.sync(false, 7);
    history.sync(false, 8);
    expect([history.counts().signOuts, history.absences.map(({ from }) => from)]).toEqual([1, [7]]);
    const stranger = historyOf();
    stranger.sync(false, 7);
    stranger.sync(false, 8);
    expect([stranger.counts().signOuts, stranger.absences.length]).toEqual([0, 1]);
  });

  test("a token that comes after the session has ended is over when it begins", () => {
    const history = historyOf(
      token("aaaa", 1),
      { type: "signed-out", lane: "remint", at: 5, reason: "a" },
      token("bbbb", 6),
      { type: "signed-in", lane: "remint", at: 9 },
      token("cccc", 10),
    );
    expect(history.tokens.get("bbbb")).toMatchObject({ endedAt: 6, why: "session-over" });
    expect(history.living().map(({ id }) => id)).toEqual(["aaaa", "cccc"]);
  });

  test("the end of a token that is told twice keeps the first, and that of an unknown token is no error", () => {
    const history = historyOf(
      token("aaaa", 1),
      { type: "token-end", lane: "remint", id: "aaaa", at: 5, why: "revoked" },
      { type: "token-end", lane: "remint", id: "aaaa", at: 9, why: "replaced" },
      { type: "token-end", lane: "remint", id: "none", at: 9, why: "replaced" },
    );
    expect(history.tokens.get("aaaa")).toMatchObject({ endedAt: 5, why: "revoked" });
    expect(history.tokens.size).toBe(1);
  });
});
