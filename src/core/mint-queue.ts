/**
 * The mints of a pool at one endpoint: at most so many at a time for each client, in the order in which they came (C13).
 *
 * The time in the queue is no time of the mint. Callers that leave meanwhile leave their place too, with their flight. Work
 * begins in the asynchronous context of whoever has asked for it, and not of the mint that makes room.
 *
 * @module
 */
import { clientAt } from "./grant.ts";
import type { Failure } from "./failures.ts";
import type { TokenServer } from "./grant.ts";
import type { Obtained, Obtaining } from "./supply.ts";

/** How many mints of one client run at an endpoint at a time. */
const MOST_AT_A_TIME = 256;

/** One client at one endpoint. */
interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/** Lets mints take turns. */
export class MintQueue {
  readonly #lanes = new Map<string, Lane>();

  /** Starts work, at once or when it is its turn. @param start Is told whether it has waited. */
  run(server: TokenServer, start: (hasWaited: boolean) => Obtaining): Obtaining {
    const name = clientAt(server);
    const lane = this.#lanes.get(name) ?? { running: 0, waiting: [] };
    this.#lanes.set(name, lane);
    const end = (): void => {
      // Whoever comes next takes the place over.
      const next = lane.waiting.shift();
      if (next !== undefined) next();
      else if (--lane.running === 0) this.#lanes.delete(name);
    };
    const begin = (hasWaited: boolean): Obtaining => {
      const work = start(hasWaited);
      work.promise.then(end, end);
      return work;
    };
    if (lane.running >= MOST_AT_A_TIME) return queued(lane, () => begin(true), end);
    lane.running++;
    return begin(false);
  }
}

/** Work that waits for its turn. @param pass Gives the turn to the next. */
function queued(lane: Lane, begin: () => Obtaining, pass: () => void): Obtaining {
  let work: Obtaining | undefined;
  let isHeld = false;
  let isAbandoned = false;
  let turn!: () => void;
  let settle!: (promise: Promise<Obtained | undefined>) => void;
  const promise = new Promise<Obtained | undefined>((resolve) => (settle = resolve));
  // By `then`, because that keeps the context in which it was called.
  void new Promise<void>((resolve) => (turn = resolve)).then(() => {
    if (isAbandoned) return pass();
    work = begin();
    work.hold(isHeld);
    settle(work.promise);
  });
  lane.waiting.push(turn);
  return {
    promise,
    hold(awaited) {
      isHeld = awaited;
      work?.hold(awaited);
    },
    abandon(reason: Failure) {
      if (work !== undefined) {
        work.abandon(reason);
        return;
      }
      isAbandoned = true;
      const at = lane.waiting.indexOf(turn);
      if (at >= 0) lane.waiting.splice(at, 1);
      settle(Promise.reject(reason));
    },
  };
}
