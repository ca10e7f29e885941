import type { WriteStream } from "node:tty";

type Paint = (text: string) => string;

/** Standard output. On a terminal it also shows colours and a progress line. */
export class Terminal {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly green: Paint;
  readonly red: Paint;
  /** Characters in a line. More than 80 are not used. */
  readonly width: number;
  readonly #out: WriteStream;
  readonly #live: boolean;
  #drawnAt = 0;
  #shown = false;

  constructor(out: WriteStream) {
    this.#out = out;
    this.width = Math.min(80, out.columns ?? (Number(process.env["COLUMNS"]) || 80));
    this.#live = out.isTTY && process.env["TERM"] !== "dumb";
    // hasColors() respects NO_COLOR and FORCE_COLOR.
    const colours = this.#live && out.hasColors();
    const paint = (on: number, off: number): Paint => {
      return (text) => (colours ? `\u001B[${on}m${text}\u001B[${off}m` : text);
    };
    this.bold = paint(1, 22);
    this.dim = paint(2, 22);
    this.green = paint(32, 39);
    this.red = paint(31, 39);
  }

  print(...lines: readonly string[]): void {
    this.clear();
    for (const line of lines) this.#out.write(`${line}\n`);
  }

  /** Shows a progress line in place of the previous one. Does nothing if the output is no terminal. */
  show(line: string): void {
    const now = performance.now();
    if (!this.#live || now - this.#drawnAt < 50) return;
    this.#drawnAt = now;
    this.#shown = true;
    this.#out.write(`\r\u001B[K${this.dim(line.slice(0, this.#out.columns - 1))}`);
  }

  clear(): void {
    if (this.#shown) this.#out.write("\r\u001B[K");
    this.#shown = false;
  }
}

/** Breaks a text into lines of at most `width` characters, each with the indentation. */
export function wrapped(text: string, indent: string, width: number): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line !== indent && line.length + word.length > width) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
