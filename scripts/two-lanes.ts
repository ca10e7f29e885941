/**
 * Draws `docs/two-lanes.svg` from the recorded run of the demo: the token requests of the usual interceptor and of remint, one
 * dot each. `npm run demo -- --record examples/demo/recording.json`, then `npx tsx scripts/two-lanes.ts`.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Recording } from "../examples/demo/recording.ts";
import { picture } from "./picture.mjs";

const RECORDING = fileURLToPath(new URL("../examples/demo/recording.json", import.meta.url));
const PICTURE = fileURLToPath(new URL("../docs/two-lanes.svg", import.meta.url));

/** The columns: rows of the demo that the usual interceptor has too, and what stands above them. */
const COLUMNS: readonly { readonly label: string; readonly heading: string; readonly detail: string }[] = [
  { label: "cold start", heading: "Cold start", detail: "requests" },
  { label: "revoked in flight", heading: "Token revoked", detail: "in flight" },
  { label: "late 401", heading: "Late 401s", detail: "for an old token" },
];

// Lengths are units of the viewBox. At a width of 400 pixels a unit is 0.71 pixels, so that the smallest text has 10.
const WIDTH = 560;
const MARGIN = 20;
const PITCH = 184;
const DOTS_PER_LINE = 32;
const DOT = 5;
const LANE_HEAD = 34;

/** Returns the picture of a recording. Throws if the recording has no such rows, or if a caller was not answered 200. */
export function drawTwoLanes({ rows }: Recording): string {
  const columns = COLUMNS.map(({ label, heading, detail }) => {
    const at = rows.findIndex((row) => row.label === label);
    const own = rows[at];
    const usual = rows[at + 1];
    if (own === undefined || !usual?.isContrast) throw new Error(`the recording has no pair of rows "${label}"`);
    for (const { succeeded, sent } of [own, usual]) {
      if (succeeded !== sent || sent !== own.sent) throw new Error(`"${label}": not every caller was answered 200`);
    }
    return { own, usual, heading, detail: `${inWords(own.sent)} ${detail}` };
  });
  const usual = lane(
    "The interceptor that most services write",
    "bad",
    70,
    columns.map((column) => column.usual.tokenRequests),
  );
  const own = lane(
    "remint",
    "good",
    usual.bottom,
    columns.map((column) => column.own.tokenRequests),
  );
  const height = own.bottom + 42;
  const summary = columns.map(
    (column) =>
      `${column.heading}, ${column.detail}: ${inWords(column.usual.tokenRequests)} beside ${inWords(column.own.tokenRequests)}.`,
  );
  const body = [
    `<defs>${dotPattern("bad")}${dotPattern("good")}</defs>`,
    ...columns.flatMap(({ heading, detail }, at) => [
      `<text class="head" x="${left(at)}" y="32">${heading}</text>`,
      `<text class="faint" x="${left(at)}" y="53">${detail}</text>`,
    ]),
    usual.svg,
    own.svg,
    `<text class="faint" x="${MARGIN}" y="${height - 20}">One dot: one request for a token. Every caller was answered 200.</text>`,
  ].join("\n");
  const title = "Token requests of the usual interceptor and of remint, for the same requests";
  return picture({ width: WIDTH, height, title, description: summary.join(" "), body });
}

function dotPattern(name: string): string {
  const dot = `<circle class="${name}" cx="${DOT / 2}" cy="${DOT / 2}" r="2"/>`;
  return `<pattern id="dot-${name}" width="${DOT}" height="${DOT}" patternUnits="userSpaceOnUse">${dot}</pattern>`;
}

/** One lane: its title, and for each column the dots and their number. */
function lane(title: string, name: string, top: number, counts: readonly number[]): { svg: string; bottom: number } {
  const dots = top + LANE_HEAD + 4;
  const lines = Math.max(...counts.map((count) => Math.ceil(count / DOTS_PER_LINE)));
  const base = dots + lines * DOT + 29;
  const svg = [
    `<path class="line" d="M${MARGIN} ${top}H${WIDTH - MARGIN}"/>`,
    `<text class="head ${name}" x="${MARGIN}" y="${top + 24}">${title}</text>`,
    ...counts.flatMap((count, at) => [
      ...dotsOf(count, name, left(at), dots),
      `<text class="count" x="${left(at)}" y="${base}">${inWords(count)}</text>`,
    ]),
  ];
  return { svg: svg.join("\n"), bottom: base + 18 };
}

/** As many dots as there were requests: whole lines, and the rest. They begin where the pattern does. */
function dotsOf(count: number, name: string, x: number, y: number): string[] {
  const block = (line: number, columns: number, lines: number): string =>
    `<rect x="0" y="${line * DOT}" width="${columns * DOT}" height="${lines * DOT}" fill="url(#dot-${name})" transform="translate(${x} ${y})"/>`;
  const whole = Math.floor(count / DOTS_PER_LINE);
  const rest = count % DOTS_PER_LINE;
  return [...(whole > 0 ? [block(0, DOTS_PER_LINE, whole)] : []), ...(rest > 0 ? [block(whole, rest, 1)] : [])];
}

const left = (column: number): number => MARGIN + column * PITCH;
const inWords = (count: number): string => count.toLocaleString("en");

/** The recording that is committed. */
export function committedRecording(): Recording {
  return JSON.parse(readFileSync(RECORDING, "utf8")) as Recording;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PICTURE, drawTwoLanes(committedRecording()));
