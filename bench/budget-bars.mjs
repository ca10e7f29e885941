// `npm run bench -- --svg`: the results of a run as a picture, each value as a bar beside its budget.
import { escaped, picture } from "../scripts/picture.mjs";

const WIDTH = 560;
const MARGIN = 20;
/** Where the budgets are, as a part of the width of a row: what is beyond is over the budget. */
const BUDGET = 0.75;
const ROW = 48;
/** Characters of a title in one line, in any font. */
const TITLE = 46;
const BAR = 12;

/** Whether a value is within its budget. */
export function isMet({ measured, value = measured.median, limit }) {
  return value <= limit;
}

/** Returns the picture of some benches: `{ title, budgets }` of each. Those without a budget are left out. */
export function drawBudgets(benches, setting) {
  const judged = benches.filter(({ budgets }) => budgets.length > 0);
  const parts = [];
  let y = 12;
  for (const { title, budgets } of judged) {
    y += 4;
    for (const line of linesOf(title))
      parts.push(`<text class="head" x="${MARGIN}" y="${(y += 24)}">${escaped(line)}</text>`);
    for (const budget of budgets) {
      parts.push(...row(budget, y + 10));
      y += ROW;
    }
    y += 12;
  }
  const height = y + 36;
  parts.push(
    `<text class="faint" x="${MARGIN}" y="${height - 18}">${escaped(`${setting}. The marks are the budgets.`)}</text>`,
  );
  const budgets = judged.flatMap((bench) => bench.budgets);
  const missed = budgets.filter((budget) => !isMet(budget)).map(({ what }) => what);
  const description = missed.length === 0 ? `All ${budgets.length} budgets were met.` : `Missed: ${missed.join(", ")}.`;
  return picture({ width: WIDTH, height, title: "Benches of remint", description, body: parts.join("\n") });
}

function row(budget, top) {
  const { what, measured, value = measured.median, limit, unit, digits = 0 } = budget;
  const inner = WIDTH - 2 * MARGIN;
  // A budget of 0 is met by 0 only.
  const share = limit === 0 ? (value > 0 ? Infinity : 0) : value / limit;
  const bar = Math.min(share * BUDGET, 1) * inner;
  const mark = limit === 0 ? MARGIN : MARGIN + BUDGET * inner;
  const figure = [value.toFixed(digits), `budget ${limit}`].map((part) => `${part} ${unit}`.trimEnd()).join(", ");
  return [
    `<text x="${MARGIN}" y="${top + 16}">${escaped(what)}</text>`,
    `<text class="end ${isMet(budget) ? "faint" : "bad"}" x="${WIDTH - MARGIN}" y="${top + 16}">${escaped(figure)}</text>`,
    `<rect class="${isMet(budget) ? "good" : "bad"}" x="${MARGIN}" y="${top + 24}" width="${bar.toFixed(1)}" height="${BAR}" rx="2"/>`,
    `<path class="mark" d="M${mark} ${top + 22}v${BAR + 4}"/>`,
  ];
}

/** Breaks a title between words. */
function linesOf(title) {
  const lines = [];
  for (const word of title.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`.trim();
    if (lines.length === 0 || longer.length > TITLE) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
