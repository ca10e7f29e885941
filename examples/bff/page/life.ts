/**
 * The lives of tokens and what became of the requests, drawn as SVG by hand: two lanes on one time axis. Above the base
 * line of a lane stand the requests to the APIs, below it hang those to the token endpoint, then come the bars of the
 * tokens. What was drawn once stays where it is: a frame sets one transform for each lane, and a message redraws the
 * column or the bar that it changed. history.ts holds the values, page.ts decides when to draw.
 */
import {
  OUTCOMES,
  outcomesOf,
  shares,
  type Absence,
  type Burst,
  type Change,
  type LaneHistory,
  type TokenLife,
} from "./history.ts";
import type { ApiRequest, Audience, Outcome, TokenRequest } from "./messages.ts";
import {
  absencePhrase,
  clockTime,
  endPhrase,
  LANE_TITLES,
  mintPhrase,
  requestsPhrase,
  tokenRequestsPhrase,
} from "./sentences.ts";

const SVG = "http://www.w3.org/2000/svg";

/** Pixels. A mark is drawn in a square of this size. */
const PITCH = 9;
/** Marks of one column. More are counted by a number. */
const REQUEST_SLOTS = 7;
const TOKEN_REQUEST_SLOTS = 6;
const COUNT_LINE = 14;
const BASE = COUNT_LINE + REQUEST_SLOTS * PITCH + 4;
const BELOW = BASE + TOKEN_REQUEST_SLOTS * PITCH + COUNT_LINE + 4;
const BAR = 15;
const BAR_TOPS: Readonly<Record<Audience, number>> = { orders: BELOW + 4, billing: BELOW + 4 + BAR + 5 };
const HEIGHT = BAR_TOPS.billing + BAR + 5;
const AXIS_HEIGHT = 22;
/** Pixels between two writings of the name of a token, so that one is in sight. */
const NAME_EVERY = 170;
/** A lane narrower than this has the short window and no margin for the names of its rows. */
const NARROW = 560;

/** Milliseconds of the time axis before and after now. */
interface Window {
  readonly past: number;
  readonly future: number;
  readonly step: number;
}
const WIDE_WINDOW: Window = { past: 42_000, future: 18_000, step: 10_000 };
const SHORT_WINDOW: Window = { past: 14_000, future: 6000, step: 5000 };

/** Shapes, so that nobody has to tell the outcomes by their colour. */
const SHAPES: Readonly<Record<Outcome | "token" | "token-failed", string>> = {
  "first-try": "M0-3.3a3.3 3.3 0 1 0 0 6.6a3.3 3.3 0 1 0 0-6.6z",
  "after-renewal": "M0-4.4L4.4 0L0 4.4L-4.4 0z",
  unavailable: "M-3.2-3.2H3.2V3.2H-3.2z",
  unauthorized: "M-3-3L3 3M3-3L-3 3",
  "signed-out": "M0-2.9a2.9 2.9 0 1 0 0 5.8a2.9 2.9 0 1 0 0-5.8z",
  token: "M0-3.8L4 3.2H-4z",
  "token-failed": "M0-3.2L3.5 2.8H-3.5z",
};

/** Something in a lane that the arrow keys and the pointer can choose. */
interface Stop {
  readonly at: number;
  /** About where it is drawn, so that the pointer finds one of several of the same moment. */
  readonly y: number;
  readonly text: string;
}

/** The sentence about the thing that was chosen, and by what. */
export interface Chosen {
  readonly text: string;
  readonly by: "keys" | "pointer";
}

/** A mark of the legend. */
export function legendMark(shape: Outcome | "token" | "token-failed"): SVGSVGElement {
  const svg = element("svg", { viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true", class: "mark" });
  svg.append(element("path", { d: SHAPES[shape], class: `is-${shape}` }));
  return svg;
}

/** A piece of a bar for the legend: with the refresh window, or with the cross of a token that died. */
export function legendBar(kind: "window" | "died"): SVGSVGElement {
  const svg = element("svg", { viewBox: "0 0 36 12", width: 36, height: 12, "aria-hidden": "true", class: "mark" });
  svg.append(element("rect", { x: 0.5, y: 1, width: 28, height: 10, rx: 2, class: "bar" }));
  if (kind === "window")
    svg.append(element("rect", { x: 14, y: 1, width: 14, height: 10, fill: "url(#refresh-window)" }));
  else svg.append(element("path", { d: "M25 2.5l7 7m0-7l-7 7", class: "died" }));
  return svg;
}

/** One lane: an image whose events the arrow keys walk. */
export class LaneDrawing {
  #history: LaneHistory;
  readonly #host: HTMLElement;
  readonly #svg = element("svg", { "aria-hidden": "true", focusable: "false" });
  readonly #still = element("g", {});
  readonly #plot = element("svg", { y: 0, height: HEIGHT, class: "plot" });
  readonly #moving = element("g", {});
  /** What lies above the moving part: the line of now, and the names of the rows. */
  readonly #above = element("g", {});
  readonly #layers = {
    absences: element("g", {}),
    bars: element("g", {}),
    marks: element("g", {}),
    cursor: element("g", {}),
  };
  readonly #nodes = new Map<string, SVGGElement>();
  #window: Window = WIDE_WINDOW;
  #margin = 0;
  #width = 0;
  /** The time at which the moving part has its origin. */
  #origin = 0;
  #now = 0;
  #chosen: Stop | undefined;

  constructor(history: LaneHistory, host: HTMLElement, onChosen: (chosen: Chosen | undefined) => void) {
    this.#history = history;
    this.#host = host;
    host.setAttribute("role", "img");
    host.tabIndex = 0;
    const { absences, bars, marks, cursor } = this.#layers;
    this.#moving.append(absences, bars, marks, cursor);
    this.#plot.append(this.#moving);
    this.#svg.append(this.#still, this.#plot, this.#above);
    host.append(this.#svg);
    const choose = (stop: Stop | undefined, by: Chosen["by"]): void => {
      if (stop === this.#chosen && by === "pointer") return;
      this.#choose(stop);
      onChosen(stop === undefined ? undefined : { text: stop.text, by });
    };
    host.addEventListener("keydown", (event) => this.#onKey(event, choose));
    for (const type of ["pointermove", "pointerdown"] as const) {
      host.addEventListener(type, (event) => choose(this.#nearest(event), "pointer"));
    }
    host.addEventListener("pointerleave", () => choose(undefined, "pointer"));
    host.addEventListener("blur", () => choose(undefined, "keys"));
  }

  /** Shows another history from now on. The page calls `layout` next. */
  show(history: LaneHistory): void {
    this.#history = history;
    this.#chosen = undefined;
  }

  /** Draws everything again, for the width that the page gives it. */
  layout(now: number): void {
    this.#width = this.#host.clientWidth;
    this.#window = windowOf(this.#width);
    this.#margin = marginOf(this.#width);
    this.#origin = now;
    this.#svg.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.#svg.setAttribute("height", String(HEIGHT));
    this.#plot.setAttribute("x", String(this.#margin));
    this.#plot.setAttribute("width", String(Math.max(0, this.#width - this.#margin)));
    this.#drawStill();
    for (const node of this.#nodes.values()) node.remove();
    this.#nodes.clear();
    for (const absence of this.#history.absences) this.draw({ kind: "absence", absence });
    for (const token of this.#history.tokens.values()) this.draw({ kind: "token", token });
    for (const burst of this.#history.requests) this.draw({ kind: "requests", burst });
    for (const burst of this.#history.tokenRequests) this.draw({ kind: "token-requests", burst });
    this.#choose(this.#chosen);
    this.frame(now);
  }

  /** Draws what a message changed. */
  draw(change: Change): void {
    switch (change.kind) {
      case "requests":
        return this.#drawRequests(change.burst);
      case "token-requests":
        return this.#drawTokenRequests(change.burst);
      case "token":
        return this.#drawToken(change.token);
      case "absence":
        return this.#drawAbsence(change.absence);
    }
  }

  /** Moves the lane to a time. */
  frame(now: number): void {
    this.#now = now;
    const x = this.#xOfNow - this.#margin - (now - this.#origin) * this.#scale;
    this.#moving.setAttribute("transform", `translate(${x.toFixed(2)} 0)`);
    if (this.#chosen !== undefined && this.#chosen.at < now - this.#window.past) this.#choose(undefined);
  }

  /** Removes what has left the picture on the left. */
  sweep(): void {
    const edge = this.#now - this.#window.past - 5000;
    for (const [key, node] of this.#nodes) {
      if (Number(node.dataset["until"]) >= edge) continue;
      node.remove();
      this.#nodes.delete(key);
    }
  }

  describe(summary: string): void {
    this.#host.setAttribute("aria-label", summary);
  }

  /** Pixels of a millisecond. */
  get #scale(): number {
    return Math.max(0, this.#width - this.#margin) / (this.#window.past + this.#window.future);
  }

  get #xOfNow(): number {
    return this.#margin + this.#window.past * this.#scale;
  }

  /** Where a time is in the moving part. */
  #x(at: number): number {
    return (at - this.#origin) * this.#scale;
  }

  /** The part that does not move: the lines of the axis, the base line, the names of the rows. */
  #drawStill(): void {
    const { past, future, step } = this.#window;
    const now = this.#xOfNow;
    this.#above.replaceChildren(element("line", { x1: now, x2: now, y1: 0, y2: HEIGHT, class: "now" }));
    this.#still.replaceChildren(
      element("rect", { x: now, y: 0, width: Math.max(0, this.#width - now), height: HEIGHT, class: "future" }),
    );
    for (let at = -Math.floor(past / step) * step; at <= future; at += step) {
      const x = now + at * this.#scale;
      this.#still.append(element("line", { x1: x, x2: x, y1: 0, y2: HEIGHT, class: "grid" }));
    }
    this.#still.append(
      element("line", { x1: this.#margin, x2: this.#width, y1: BASE, y2: BASE, class: "base" }),
      element("line", { x1: this.#margin, x2: this.#width, y1: BELOW, y2: BELOW, class: "grid" }),
    );
    // Without a margin the names stand in the time to come, where nothing happens yet, and the bars have them in their own.
    const isNarrow = this.#margin === 0;
    const x = isNarrow ? this.#width - 5 : this.#margin - 12;
    const rows: [number, string][] = [
      [BASE - (REQUEST_SLOTS * PITCH) / 2, "requests"],
      [BASE + (TOKEN_REQUEST_SLOTS * PITCH) / 2 + 6, "token requests"],
    ];
    if (!isNarrow) {
      rows.push([BAR_TOPS.orders + BAR / 2, "orders token"], [BAR_TOPS.billing + BAR / 2, "billing token"]);
    }
    for (const [y, text] of rows) this.#above.append(label({ x, y: y + 4, class: "row-name" }, text));
  }

  #drawRequests(burst: Burst<ApiRequest>): void {
    const outcomes = outcomesOf(burst);
    const counts = OUTCOMES.map((outcome) => outcomes[outcome]);
    const marks = shares(counts, REQUEST_SLOTS).flatMap((count, at) =>
      Array.from({ length: count }, () => OUTCOMES[at]),
    );
    const node = this.#node(`requests ${burst.key}`, this.#layers.marks, burst.at);
    node.replaceChildren(
      ...marks.map((outcome = "first-try", at) => mark(outcome, 0, BASE - 3 - PITCH / 2 - at * PITCH)),
    );
    if (burst.items.length > REQUEST_SLOTS) {
      node.append(label({ x: 0, y: COUNT_LINE - 4, class: "count" }, String(burst.items.length)));
    }
  }

  #drawTokenRequests(burst: Burst<TokenRequest>): void {
    const ok = burst.items.filter((item) => item.ok).length;
    const [good = 0, failed = 0] = shares([ok, burst.items.length - ok], TOKEN_REQUEST_SLOTS);
    const node = this.#node(`token requests ${burst.key}`, this.#layers.marks, burst.at);
    node.replaceChildren(
      ...Array.from({ length: good + failed }, (_, at) =>
        mark(at < good ? "token" : "token-failed", 0, BASE + 3 + PITCH / 2 + at * PITCH),
      ),
    );
    if (burst.items.length > TOKEN_REQUEST_SLOTS) {
      node.append(label({ x: 0, y: BELOW - 3, class: "count" }, String(burst.items.length)));
    }
  }

  #drawToken(token: TokenLife): void {
    const end = token.endedAt ?? token.expiresAt;
    const node = this.#node(`token ${token.id}`, this.#layers.bars, token.at, end);
    const y = BAR_TOPS[token.audience];
    const width = Math.max(2, this.#x(end) - this.#x(token.at));
    node.replaceChildren(element("rect", { x: 0, y, width, height: BAR, rx: 3, class: "bar" }));
    const window = this.#x(token.refreshFrom) - this.#x(token.at);
    if (window < width) {
      node.append(element("rect", { x: window, y, width: width - window, height: BAR, fill: "url(#refresh-window)" }));
    }
    node.append(element("rect", { x: 0, y, width: 2, height: BAR, class: "minted" }));
    const [name, room] = this.#margin === 0 ? [`${token.audience} ${token.id}`, 100] : [token.id, 36];
    for (let x = 8; x + room < Math.min(width, window); x += NAME_EVERY) {
      node.append(label({ x, y: y + BAR - 4, class: "token-name" }, name));
    }
    if (token.why !== "revoked" && token.why !== "session-over") return;
    // Above the bar of the token that comes next.
    const cross = this.#node(`death of ${token.id}`, this.#layers.marks, end);
    cross.replaceChildren(element("path", { d: `M-5 ${y + 2.5}l10 10m0-10l-10 10`, class: "died" }));
  }

  #drawAbsence(absence: Absence): void {
    const node = this.#node(`absence ${absence.from}`, this.#layers.absences, absence.from, absence.to ?? Infinity);
    const width = absence.to === undefined ? 1e5 : this.#x(absence.to) - this.#x(absence.from);
    node.replaceChildren(
      element("rect", { x: 0, y: 0, width, height: HEIGHT, class: "absence", fill: "url(#absent)" }),
      element("line", { x1: 0, x2: 0, y1: 0, y2: HEIGHT, class: "absence-edge" }),
    );
    for (let x = 8; x + 80 < Math.min(width, 3000); x += 260) {
      node.append(label({ x, y: BAR_TOPS.billing + BAR - 3, class: "absence-name" }, "signed out"));
    }
  }

  /** The group of a thing, at the place of its time. */
  #node(key: string, layer: SVGGElement, at: number, until: number = at): SVGGElement {
    let node = this.#nodes.get(key);
    if (node === undefined) {
      node = element("g", {});
      this.#nodes.set(key, node);
      layer.append(node);
    }
    node.setAttribute("transform", `translate(${this.#x(at).toFixed(2)} 0)`);
    node.dataset["until"] = String(until);
    return node;
  }

  /** Everything in sight that can be chosen, by time. */
  #stops(): Stop[] {
    const { requests, tokenRequests, tokens, absences, name } = this.#history;
    const stop = (at: number, y: number, phrase: string): Stop => {
      return { at, y, text: `${LANE_TITLES[name]}, ${clockTime(at)}: ${phrase}` };
    };
    const stops = [
      ...requests.map((burst) => stop(burst.at, BASE - 2 * PITCH, requestsPhrase(burst))),
      ...tokenRequests.map((burst) => stop(burst.at, BASE + 2 * PITCH, tokenRequestsPhrase(burst))),
      ...absences.map((absence) => stop(absence.from, HEIGHT, absencePhrase(absence))),
    ];
    for (const token of tokens.values()) {
      const y = BAR_TOPS[token.audience] + BAR / 2;
      stops.push(stop(token.at, y, mintPhrase(token)));
      if (token.endedAt !== undefined) stops.push(stop(token.endedAt, y, endPhrase(token)));
    }
    return stops
      .filter(({ at }) => at > this.#now - this.#window.past && at <= this.#now)
      .toSorted((one, other) => one.at - other.at);
  }

  #onKey(event: KeyboardEvent, choose: (stop: Stop | undefined, by: Chosen["by"]) => void): void {
    const stops = this.#stops();
    const current = stops.findIndex(({ at, y }) => at === this.#chosen?.at && y === this.#chosen.y);
    const next: Readonly<Record<string, number>> = {
      ArrowLeft: current === -1 ? stops.length - 1 : Math.max(0, current - 1),
      ArrowRight: current === -1 ? 0 : Math.min(stops.length - 1, current + 1),
      Home: 0,
      End: stops.length - 1,
      Escape: -1,
    };
    const index = next[event.key];
    if (index === undefined) return;
    event.preventDefault();
    choose(stops[index], "keys");
  }

  /** The thing under the pointer, or the next one to it. */
  #nearest({ clientX, clientY }: PointerEvent): Stop | undefined {
    const { left, top } = this.#host.getBoundingClientRect();
    const distance = ({ at, y }: Stop): number => {
      const x = this.#xOfNow + (at - this.#now) * this.#scale;
      return Math.hypot(clientX - left - x, (clientY - top - y) / 4);
    };
    const [nearest] = this.#stops().toSorted((one, other) => distance(one) - distance(other));
    return nearest !== undefined && distance(nearest) < 24 ? nearest : undefined;
  }

  #choose(stop: Stop | undefined): void {
    this.#chosen = stop;
    this.#layers.cursor.replaceChildren();
    if (stop === undefined) return;
    const x = this.#x(stop.at);
    this.#layers.cursor.append(
      element("line", { x1: x, x2: x, y1: 0, y2: HEIGHT, class: "cursor" }),
      element("path", { d: `M${x - 5} 0h10l-5 7z`, class: "cursor-knob" }),
    );
  }
}

/** The time axis below the lanes. Time flows, its marks stay: they say how long ago. */
export class AxisDrawing {
  readonly #host: HTMLElement;
  readonly #svg = element("svg", { "aria-hidden": "true", height: AXIS_HEIGHT });

  constructor(host: HTMLElement) {
    this.#host = host;
    host.append(this.#svg);
  }

  layout(): void {
    const width = this.#host.clientWidth;
    const { past, future, step } = windowOf(width);
    const margin = marginOf(width);
    const scale = (width - margin) / (past + future);
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${AXIS_HEIGHT}`);
    this.#svg.replaceChildren();
    for (let at = -Math.floor(past / step) * step; at <= future; at += step) {
      const x = margin + (past + at) * scale;
      // A mark at the end of the axis has no room for a text in its middle.
      const anchor = x > width - 24 ? "end" : x < 24 ? "start" : "middle";
      const text = at === 0 ? "now" : `${at < 0 ? "−" : "+"}${Math.abs(at) / 1000} s`;
      this.#svg.append(label({ x, y: 15, class: at === 0 ? "axis-now" : "axis", "text-anchor": anchor }, text));
    }
  }
}

function windowOf(width: number): Window {
  return width < NARROW ? SHORT_WINDOW : WIDE_WINDOW;
}

function marginOf(width: number): number {
  return width < NARROW ? 0 : 112;
}

function mark(shape: Outcome | "token" | "token-failed", x: number, y: number): SVGPathElement {
  return element("path", { d: SHAPES[shape], transform: `translate(${x} ${y})`, class: `is-${shape}` });
}

function label(attributes: Readonly<Record<string, string | number>>, text: string): SVGTextElement {
  const node = element("text", attributes);
  node.textContent = text;
  return node;
}

function element<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | number>>,
): SVGElementTagNameMap[Name] {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}
