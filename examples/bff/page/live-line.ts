/**
 * The line that says what just happened. A screen reader reads it out, so it changes at most once a second. A sentence
 * that waits gives way to a more important one.
 */

/** Milliseconds. */
const PAUSE = 1000;
/** Sentences that wait. The oldest of the least important goes. */
const MAX_WAITING = 4;

export type Weight = "detail" | "news" | "alarm";
const WEIGHTS: readonly Weight[] = ["detail", "news", "alarm"];

interface Sentence {
  readonly text: string;
  readonly weight: Weight;
}

export class LiveLine {
  readonly #host: HTMLElement;
  #waiting: Sentence[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement) {
    this.#host = host;
  }

  say(text: string, weight: Weight = "news"): void {
    // A detail is what the reader looks at now: the former one is of no use any more.
    if (weight === "detail") this.#waiting = this.#waiting.filter((sentence) => sentence.weight !== "detail");
    this.#waiting.push({ text, weight });
    if (this.#waiting.length > MAX_WAITING) {
      const least = Math.min(...this.#waiting.map((sentence) => WEIGHTS.indexOf(sentence.weight)));
      this.#waiting.splice(
        this.#waiting.findIndex((sentence) => WEIGHTS.indexOf(sentence.weight) === least),
        1,
      );
    }
    if (this.#timer === undefined) this.#speak();
  }

  /** Forgets what was said and what waits. */
  clear(): void {
    this.#waiting = [];
    this.#host.textContent = "";
  }

  #speak(): void {
    const sentence = this.#waiting.shift();
    if (sentence === undefined) {
      this.#timer = undefined;
      return;
    }
    this.#host.textContent = sentence.text;
    this.#host.dataset["weight"] = sentence.weight;
    this.#timer = setTimeout(() => this.#speak(), PAUSE);
  }
}
