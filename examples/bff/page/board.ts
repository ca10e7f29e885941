/**
 * Both lanes with their counts: takes the messages of the lanes, and writes what they changed. Values are written once
 * a frame at most. What a lane looks like is in life.ts, what is counted in history.ts.
 */
import { byId, laneElement, node } from "./dom.ts";
import { LaneHistory, OUTCOMES, type Change, type Counts } from "./history.ts";
import { AxisDrawing, LaneDrawing, legendBar, legendMark } from "./life.ts";
import type { LaneMessage, LaneName } from "./messages.ts";
import { duration, laneSummary, OUTCOME_WORDS, tallyParts } from "./sentences.ts";
import { EventTable } from "./table.ts";

export const LANES: readonly LaneName[] = ["usual", "remint"];

/** Milliseconds for which events are kept. The longest window is shorter. */
const MEMORY = 120_000;
const HINT = "Point at a mark to read about it. The arrow keys walk the events.";

const COUNTS: readonly (readonly [title: string, value: (counts: Counts) => string])[] = [
  ["Requests", ({ requests }) => requests.toLocaleString("en")],
  ["Token requests", ({ tokenRequests }) => tokenRequests.toLocaleString("en")],
  ["401s you saw", ({ unauthorized }) => unauthorized.toLocaleString("en")],
  ["Times signed out", ({ signOuts }) => signOuts.toLocaleString("en")],
  ["Median", ({ median }) => duration(median)],
  ["p95", ({ p95 }) => duration(p95)],
];

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Board {
  readonly #table = new EventTable(byId("table"));
  readonly #axis = new AxisDrawing(byId("axis"));
  readonly #changes = new Map<object, { readonly lane: LaneName; readonly change: Change }>();
  readonly #onWalk: (text: string) => void;
  #histories = newHistories();
  readonly #drawings: Readonly<Record<LaneName, LaneDrawing>>;
  /** Milliseconds that the clock of the server is ahead of this one. */
  #ahead = 0;
  #isScheduled = false;
  /** Whether a lane without a session says so. */
  #showsChips = false;
  #hasMark = false;

  /** `onWalk` gets the sentence of each event that the arrow keys reach. */
  constructor(onWalk: (text: string) => void) {
    this.#onWalk = onWalk;
    this.#drawings = { usual: this.#drawing("usual"), remint: this.#drawing("remint") };
    buildCounts();
    buildLegend();
    byId("chosen").textContent = HINT;
    byId("show-table").addEventListener("click", () => this.#toggleTable());
    addEventListener("resize", () => this.layout());
    const animate = (): void => {
      if (document.visibilityState === "visible" && !calm.matches) this.#frame();
      requestAnimationFrame(animate);
    };
    requestAnimationFrame(animate);
    setInterval(() => this.#everySecond(), 1000);
  }

  /** The time of the server. */
  get now(): number {
    return Date.now() + this.#ahead;
  }

  /** Takes a message of a lane. */
  add(message: LaneMessage): void {
    const { lane, at } = message;
    const history = this.#histories[lane];
    this.#changed(lane, history.add(message));
    if (message.type === "signed-out") {
      // What the lane had in its session, it has no more.
      for (const { id } of history.living()) {
        this.#changed(lane, history.add({ type: "token-end", lane, id, at, why: "session-over" }));
      }
    }
    this.#table.add(message);
  }

  /** Takes what the server says of its clock and of the sessions. */
  sync(now: number, lanes: Readonly<Record<LaneName, { readonly signedIn: boolean }>>): void {
    this.#ahead = now - Date.now();
    for (const lane of LANES) this.#changed(lane, this.#histories[lane].sync(lanes[lane].signedIn, now));
  }

  /** Begins the sums that stand above the lanes. */
  mark(): void {
    this.#hasMark = true;
    for (const lane of LANES) this.#histories[lane].mark();
    this.#schedule();
  }

  /** What happened in a lane since `mark`, in one phrase. */
  sinceMark(lane: LaneName): string {
    const texts = tallyParts(this.#histories[lane].sinceMark()).map(({ text }) => text);
    return texts.length === 0 ? "nothing" : texts.join(", ");
  }

  showChips(shown: boolean): void {
    this.#showsChips = shown;
    this.#schedule();
  }

  /** Forgets everything. */
  clear(): void {
    this.#histories = newHistories();
    for (const lane of LANES) this.#drawings[lane].show(this.#histories[lane]);
    this.#changes.clear();
    this.#table.clear();
    this.#ahead = 0;
    this.#hasMark = false;
    byId("chosen").textContent = HINT;
    this.layout();
    this.#write();
  }

  /** Draws for the width that the page has now. */
  layout(): void {
    for (const lane of LANES) this.#drawings[lane].layout(this.now);
    this.#axis.layout();
  }

  #drawing(lane: LaneName): LaneDrawing {
    return new LaneDrawing(this.#histories[lane], laneElement(lane, "picture"), (chosen) => {
      byId("chosen").textContent = chosen?.text ?? HINT;
      if (chosen?.by === "keys") this.#onWalk(chosen.text);
    });
  }

  #changed(lane: LaneName, change: Change | undefined): void {
    if (change !== undefined) this.#changes.set(thingOf(change), { lane, change });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#write();
    });
  }

  #write(): void {
    for (const { lane, change } of this.#changes.values()) this.#drawings[lane].draw(change);
    this.#changes.clear();
    for (const lane of LANES) {
      const history = this.#histories[lane];
      this.#writeTally(lane);
      writeCounts(lane, history.counts());
      laneElement(lane, "chip").hidden = history.signedIn || !this.#showsChips;
    }
  }

  #writeTally(lane: LaneName): void {
    const parts = tallyParts(this.#histories[lane].sinceMark()).map(({ text, kind }) => {
      const made = node("span", text);
      made.className = kind;
      return made;
    });
    const separated = parts.flatMap((part, at) => (at === 0 ? [part] : [", ", part]));
    const nothing = this.#hasMark ? "…" : "No requests yet";
    laneElement(lane, "tally").replaceChildren(...(parts.length === 0 ? [nothing] : separated));
  }

  #toggleTable(): void {
    const shown = byId("table").hidden !== false;
    this.#table.show(shown);
    byId("show-table").setAttribute("aria-expanded", String(shown));
    byId("show-table").textContent = shown ? "Hide the table" : "Show as table";
  }

  #frame(): void {
    for (const lane of LANES) this.#drawings[lane].frame(this.now);
  }

  /** The axis of those who want no motion, the table, the summaries. */
  #everySecond(): void {
    if (document.visibilityState !== "visible") return;
    this.#frame();
    for (const lane of LANES) {
      const history = this.#histories[lane];
      history.forgetBefore(this.now - MEMORY);
      this.#drawings[lane].sweep();
      this.#drawings[lane].describe(laneSummary(lane, history.counts(), history.signedIn));
    }
    this.#table.refresh();
  }
}

function newHistories(): Record<LaneName, LaneHistory> {
  return { usual: new LaneHistory("usual"), remint: new LaneHistory("remint") };
}

/** The thing that is drawn again. Of several changes of one thing the last is enough. */
function thingOf(change: Change): object {
  if (change.kind === "token") return change.token;
  return change.kind === "absence" ? change.absence : change.burst;
}

function buildCounts(): void {
  for (const [title] of COUNTS) {
    const group = node("div", node("dt", title));
    for (const lane of LANES) {
      const value = node("dd", node("span"), node("small", lane));
      value.dataset["of"] = lane;
      group.append(value);
    }
    byId("counts").append(group);
  }
}

function writeCounts(lane: LaneName, counts: Counts): void {
  for (const [at, [, value]] of COUNTS.entries()) {
    const cell = byId("counts").children[at]?.querySelector(`[data-of=${lane}] span`);
    const text = value(counts);
    if (cell && cell.textContent !== text) cell.textContent = text;
  }
}

function buildLegend(): void {
  const entries: readonly (readonly [SVGSVGElement, string])[] = [
    ...OUTCOMES.map((outcome) => [legendMark(outcome), OUTCOME_WORDS[outcome]] as const),
    [legendMark("token"), "token request"],
    [legendMark("token-failed"), "token request failed"],
    [legendBar("window"), "refresh window"],
    [legendBar("died"), "token died"],
  ];
  byId("legend").append(...entries.map(([mark, text]) => node("li", mark, text)));
}
