/** Plays a recorded run again and again, as if it happened now. The signed-out page shows it. */
import type { Recorded, Recording } from "./messages.ts";

/** Milliseconds between the last message and the first one of the next round. */
const BREAK = 8000;
/** Milliseconds of the run that have passed when a round begins, so that the lanes are not empty at first. */
const HEAD_START = 6000;

/** Members of messages that are times. */
const TIMES: ReadonlySet<string> = new Set(["at", "expiresAt", "refreshFrom"]);

export class Player {
  readonly #messages: readonly Recorded[];
  readonly #onRound: () => void;
  readonly #onMessage: (message: Recorded) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onRound` is called before the first message of each round. */
  constructor({ messages }: Recording, onRound: () => void, onMessage: (message: Recorded) => void) {
    this.#messages = messages;
    this.#onRound = onRound;
    this.#onMessage = onMessage;
  }

  /** Begins a round, if none is going on and there is something to play. */
  start(): void {
    const [first] = this.#messages;
    if (this.#timer !== undefined || first === undefined) return;
    this.#onRound();
    this.#play(0, Date.now() - HEAD_START - timeOf(first));
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Plays what is due, and waits for the next message. */
  #play(from: number, shift: number): void {
    let next = from;
    let message = this.#messages[next];
    while (message !== undefined && timeOf(message) + shift <= Date.now()) {
      this.#onMessage(shifted(message, shift));
      next += 1;
      message = this.#messages[next];
    }
    if (message === undefined) this.#timer = setTimeout(() => this.#again(), BREAK);
    else this.#timer = setTimeout(() => this.#play(next, shift), timeOf(message) + shift - Date.now());
  }

  #again(): void {
    this.stop();
    this.start();
  }
}

/** When a message came. `at` of a request is its beginning, and it is told at its end. */
function timeOf(message: Recorded): number {
  return message.type === "request" ? message.at + message.ms : message.at;
}

function shifted(message: Recorded, by: number): Recorded {
  return JSON.parse(JSON.stringify(message), (key, value: unknown) =>
    TIMES.has(key) && typeof value === "number" ? value + by : value,
  ) as Recorded;
}
