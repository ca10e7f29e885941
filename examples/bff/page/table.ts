/**
 * The same events as a table, newest first, for those who would rather read than look. page.ts decides when it is
 * written: at most once a second.
 */
import type { LaneMessage } from "./messages.ts";
import { cells, clockTime } from "./sentences.ts";

const COLUMNS = ["Time", "Backend", "What", "Answer"];
const MAX_ROWS = 300;

export class EventTable {
  readonly #host: HTMLElement;
  readonly #rows: HTMLTableSectionElement;
  readonly #messages: LaneMessage[] = [];
  #shown = false;
  #isCurrent = true;

  constructor(host: HTMLElement) {
    this.#host = host;
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const column of COLUMNS) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = column;
      head.append(cell);
    }
    this.#rows = table.createTBody();
    host.append(table);
  }

  add(message: LaneMessage): void {
    this.#messages.unshift(message);
    this.#messages.length = Math.min(this.#messages.length, MAX_ROWS);
    this.#isCurrent = false;
  }

  clear(): void {
    this.#messages.length = 0;
    this.#isCurrent = false;
    this.refresh();
  }

  show(shown: boolean): void {
    this.#shown = shown;
    this.#host.hidden = !shown;
    this.refresh();
  }

  /** Writes the rows, if they are seen and have changed. */
  refresh(): void {
    if (!this.#shown || this.#isCurrent) return;
    this.#isCurrent = true;
    this.#rows.replaceChildren(...this.#messages.map(row));
  }
}

function row(message: LaneMessage): HTMLTableRowElement {
  const { what, answer } = cells(message);
  const line = document.createElement("tr");
  line.dataset["lane"] = message.lane;
  for (const text of [clockTime(message.at), message.lane, what, answer]) {
    line.insertCell().textContent = text;
  }
  return line;
}
