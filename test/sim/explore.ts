/**
 * Exhaustive search: visits every state a model can reach, breadth first, so that the first trace to a violation is a
 * shortest one, and then asks whether everything comes to an end.
 */

/** One thing that can happen in a state. */
export interface Transition<S> {
  readonly label: string;
  readonly next: S;
  /** It may never happen: the environment does it, or does not. Everything else happens sooner or later. */
  readonly optional: boolean;
  /** The names of what it breaks. */
  readonly breaks: readonly string[];
}

export interface Model<S> {
  readonly initial: S;
  /** Equal for states that cannot be told apart by anything that may follow. */
  key(state: S): string;
  transitions(state: S): Iterable<Transition<S>>;
  /** Whether everybody has what they wanted. */
  isDone(state: S): boolean;
}

export interface Exploration {
  readonly states: number;
  /** Everything that happened somewhere. */
  readonly labels: ReadonlySet<string>;
  /** What was broken, each with a shortest way there. */
  readonly violations: ReadonlyMap<string, readonly string[]>;
  /** The most steps from any state until nothing is left to happen by itself; `undefined` when the search was stopped. */
  readonly longest: number | undefined;
}

/** The name under which a state from which not everybody is served is reported. */
export const LIVENESS = "I10 every request ends";

/** Visits every state; with `stopAt`, only until that is broken. */
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
  /** The steps that happen by themselves, as pairs of states; those that change nothing (polling) are none. */
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  constructor(model: Model<S>) {
    this.#model = model;
    this.#visit(model.initial, -1, "");
  }

  get states(): number {
    return this.#queue.length;
  }

  /** @returns Whether `stopAt` was broken. */
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
   * The most steps until everything has come to rest. The steps that happen by themselves must form no cycle, and where
   * none is left everybody must be done: then every run that faults no more serves everybody, in a bounded number of
   * steps, whatever the scheduler does. (Only "a good end can be reached" would be true of a livelock as well.)
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

  /** For every state, where the steps to it come from. */
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
