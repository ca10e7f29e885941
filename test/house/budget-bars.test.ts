/** `npm run bench -- --svg`, with made-up results. */
import { expect, test } from "vitest";
import { type Budget, drawBudgets } from "../../bench/budget-bars.mjs";

const drawn = (...budgets: Budget[]): string =>
  drawBudgets([{ title: "a bench", budgets }], "Node 20, 2 cores, load 0.1");
const barsIn = (svg: string): string[] =>
  [...svg.matchAll(/<rect class="(\w+)" [^>]*? width="([\d.]+)"/g)].map(([, kind, width]) => `${kind} ${width}`);
const textsIn = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text!);

test.each<[what: string, budget: Omit<Budget, "what" | "unit">, bar: string, figure: string]>([
  ["half of the budget", { value: 5, limit: 10 }, "good 195.0", "5 ms, budget 10 ms"],
  ["as much as the budget: up to its mark", { value: 10, limit: 10 }, "good 390.0", "10 ms, budget 10 ms"],
  ["over the budget", { value: 11, limit: 10 }, "bad 429.0", "11 ms, budget 10 ms"],
  ["far over the budget: not beyond the picture", { value: 1000, limit: 10 }, "bad 520.0", "1000 ms, budget 10 ms"],
  ["nothing, and nothing is allowed", { value: 0, limit: 0 }, "good 0.0", "0 ms, budget 0 ms"],
  ["one, and nothing is allowed", { value: 1, limit: 0 }, "bad 520.0", "1 ms, budget 0 ms"],
  [
    "a median of several rounds",
    { measured: { median: 1.2 }, limit: 1.5, digits: 2 },
    "good 312.0",
    "1.20 ms, budget 1.5 ms",
  ],
])("%s", (what, budget, bar, figure) => {
  const svg = drawn({ what, unit: "ms", ...budget });
  expect(barsIn(svg)).toEqual([bar]);
  expect(textsIn(svg).slice(0, 3)).toEqual(["a bench", what, figure]);
});

test("a title that is too long for the picture has several lines, and so does the picture", () => {
  const title = "100,000 requests in flight at a revocation, then 20 late 401s";
  const svg = drawBudgets([{ title, budgets: [{ what: "mints", value: 1, limit: 1, unit: "" }] }], "Node 20");
  expect(textsIn(svg).slice(0, 3)).toEqual([
    "100,000 requests in flight at a revocation,",
    "then 20 late 401s",
    "mints",
  ]);
});

test("a count has no unit", () => {
  expect(textsIn(drawn({ what: "mints", value: 1, limit: 1, unit: "" }))).toContain("1, budget 1");
});

test("the description says which budgets were missed, and signs of XML are escaped", () => {
  const met = { what: "a", value: 1, limit: 2, unit: "" };
  const missed = { what: "b < c & d", value: 3, limit: 2, unit: "" };
  expect(drawn(met, met)).toContain("All 2 budgets were met.");
  expect(drawn(met, missed)).toContain("Missed: b &lt; c &amp; d.");
  expect(drawn(met, missed)).toContain(">b &lt; c &amp; d</text>");
});

test("a bench without budgets is left out, and of no bench there is a picture too", () => {
  expect(textsIn(drawn())).toEqual(["Node 20, 2 cores, load 0.1. The marks are the budgets."]);
});
