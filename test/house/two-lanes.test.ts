/** The picture of the README is what its script makes of the recorded run of the demo. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Recording } from "../../examples/demo/recording.ts";
import { committedRecording, drawTwoLanes } from "../../scripts/two-lanes.ts";
import { ROOT } from "./markdown.ts";

const recording = committedRecording();
const picture = readFileSync(join(ROOT, "docs/two-lanes.svg"), "utf8");

/** The numbers of token requests that the picture shows, lane by lane. */
const countsIn = (svg: string): string[] => [...svg.matchAll(/class="count"[^>]*>([^<]+)</g)].map(([, text]) => text!);

/** The number of dots under each of these numbers: a rectangle of so many units, one dot to 25 of them. */
const dotsIn = (svg: string, lane: "bad" | "good"): number =>
  [...svg.matchAll(new RegExp(`width="(\\d+)" height="(\\d+)" fill="url\\(#dot-${lane}\\)"`, "g"))].reduce(
    (sum, [, width, height]) => sum + (Number(width) * Number(height)) / 25,
    0,
  );

const withRow = (label: string, change: object): Recording => ({
  ...recording,
  rows: recording.rows.map((row) => (row.label === label ? { ...row, ...change } : row)),
});

test("docs/two-lanes.svg is what scripts/two-lanes.ts makes of examples/demo/recording.json", () => {
  expect(picture).toBe(drawTwoLanes(recording));
});

test("it shows 1,000, 1,000 and 20 token requests beside 1, 1 and 0, and the README says the same in words", () => {
  expect(countsIn(picture)).toEqual(["1,000", "1,000", "20", "1", "1", "0"]);
  const [, alt] = /!\[([^\]]*)\]\(docs\/two-lanes\.svg\)/.exec(readFileSync(join(ROOT, "README.md"), "utf8"))!;
  expect(alt!.match(/\d[\d,]*/g)).toEqual(["1,000", "1", "1,000", "1", "401", "20", "0"]);
});

test("it has one dot for each token request, also where they do not fill a line", () => {
  expect([dotsIn(picture, "bad"), dotsIn(picture, "good")]).toEqual([2020, 2]);
  const more = drawTwoLanes(withRow("late 401", { tokenRequests: 45 }));
  expect([countsIn(more).at(-1), dotsIn(more, "good")]).toEqual(["45", 47]);
});

test("a recording without the row of the usual interceptor, or with a caller who was not answered 200, is refused", () => {
  const rows = recording.rows.filter(({ isContrast }) => !isContrast);
  expect(() => drawTwoLanes({ ...recording, rows })).toThrow('the recording has no pair of rows "cold start"');
  expect(() => drawTwoLanes(withRow("late 401", { succeeded: 19 }))).toThrow('"late 401": not every caller');
});
