/**
 * Exhaustive search of a model. It visits every reachable state, breadth first, so that the first trace to a violation is a
 * shortest one. Then it checks that every run ends with all requests served.
 */

/** One step that can happen in a state. */
export interface Transition<S> {
  readonly label: string;
  readonly next: S;
  /** `true` if the step may never happen, because the environment decides. Every other step happens sooner or later. */
  readonly optional: boolean;
  /** The names of the invariants that the step breaks. */
  readonly breaks: readonly string[];
}

export interface Model<S> {
  readonly initial: S;
  /** Returns a text that is equal for states with the same future. */
  key(state: S): string;
  transitions(state: S): Iterable<Transition<S>>;
  /** Returns whether every request has been served. */
  isDone(state: S): boolean;
}

export interface Exploration {
  readonly states: number;
  /** The labels of all steps that happened in some run. */
  readonly labels: ReadonlySet<string>;
  /** The broken invariants, each with a shortest trace. */
  readonly violations: ReadonlyMap<string, readonly string[]>;
  /** The largest number of steps from any state until no step happens by itself; `undefined` if the search was stopped. */
  readonly longest: number | undefined;
}

/** The name of the violation that a run does not end, or ends with a request that was not served. */
export const LIVENESS = "every request ends";

/** Visits every state. With `stopAt`, stops when that invariant is broken. */
export function explore<S>(model: Model<S>, stopAt?: string): Exploration {
  const search = new Search(model);
  const stopped = search.run(stopAt);
  const longest = stopped ? undefined : search.settle();
  const { states, labels, violations } = search;
  return { states, labels, violations, longest };
}

class Search<S> {
  readonly violations = new Map<string, readonly string[]>();
  readonly labels = new Set<string>();
  readonly #model: Model<S>;
  readonly #indices = new Map<string, number>();
  /** States that have not been expanded yet. */
  readonly #queue: (S | undefined)[] = [];
  readonly #cameFrom: number[] = [];
  readonly #cameBy: string[] = [];
  readonly #done: boolean[] = [];
  /** The steps that happen by themselves, as pairs of states, without those that change nothing (polling). */
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  constructor(model: Model<S>) {
    this.#model = model;
    this.#visit(model.initial, -1, "");
  }

  get states(): number {
    return this.#queue.length;
  }

  /** Visits the states, and returns whether `stopAt` was broken. */
  run(stopAt: string | undefined): boolean {
    for (let index = 0; index < this.#queue.length; index++) {
      const state = this.#queue[index]!;
      this.#queue[index] = undefined;
      for (const { label, next, optional, breaks } of this.#model.transitions(state)) {
        const to = this.#visit(next, index, label);
        this.labels.add(label);
        if (!optional && to !== index) {
          this.#from.push(index);
          this.#to.push(to);
        }
        for (const name of breaks) this.#violated(name, index, label);
        if (stopAt !== undefined && breaks.includes(stopAt)) return true;
      }
    }
    return false;
  }

  /**
   * Returns the largest number of steps until no step happens by itself. The steps that happen by themselves must form no
   * cycle, and a state without such steps must be done. Then every run without further faults serves every request, in a
   * bounded number of steps and with any scheduler. (That a good end can be reached would be true of a livelock as well.)
   */
  settle(): number {
    const outgoing = new Int32Array(this.states);
    for (const from of this.#from) outgoing[from]!++;
    const { starts, sources } = this.#reversed();
    const remaining = Int32Array.from(outgoing);
    const steps = new Int32Array(this.states);
    const settled: number[] = [];
    for (let state = 0; state < this.states; state++) {
      if (outgoing[state] !== 0) continue;
      settled.push(state);
      if (!this.#done[state]) this.#violated(LIVENESS, state, "and nothing happens any more");
    }
    for (let next = 0; next < settled.length; next++) {
      const to = settled[next]!;
      for (let edge = starts[to]!; edge < starts[to + 1]!; edge++) {
        const from = sources[edge]!;
        steps[from] = Math.max(steps[from]!, steps[to]! + 1);
        if (--remaining[from]! === 0) settled.push(from);
      }
    }
    if (settled.length < this.states) {
      this.#violated(
        LIVENESS,
        remaining.findIndex((count) => count > 0),
        "and from here it can go in circles",
      );
    }
    return steps.reduce((most, count) => Math.max(most, count), 0);
  }

  /** Returns, for every state, the states from which a step leads to it. */
  #reversed(): { starts: Int32Array; sources: Int32Array } {
    const starts = new Int32Array(this.states + 1);
    for (const to of this.#to) starts[to + 1]!++;
    for (let state = 0; state < this.states; state++) starts[state + 1]! += starts[state]!;
    const free = Int32Array.from(starts);
    const sources = new Int32Array(this.#from.length);
    for (const [edge, to] of this.#to.entries()) sources[free[to]!++] = this.#from[edge]!;
    return { starts, sources };
  }

  #visit(state: S, from: number, label: string): number {
    const key = this.#model.key(state);
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    const index = this.#queue.push(state) - 1;
    this.#indices.set(key, index);
    this.#cameFrom.push(from);
    this.#cameBy.push(label);
    this.#done.push(this.#model.isDone(state));
    return index;
  }

  #violated(name: string, at: number, label: string): void {
    if (this.violations.has(name)) return;
    const trace = [label];
    for (let index = at; index > 0; index = this.#cameFrom[index]!) trace.unshift(this.#cameBy[index]!);
    this.violations.set(name, trace);
  }
}
