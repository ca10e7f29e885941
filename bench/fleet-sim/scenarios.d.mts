/** The outcome of a simulation. Times are milliseconds. */
export interface Outcome {
  /** The number of mints that were started. */
  readonly mints: number;
  /** The largest number of mints in progress at the same time. */
  readonly mostAtOnce: number;
  /** The number of tokens that were published. */
  readonly published: number;
  /** The number of different tokens that the processes have at the end. */
  readonly tokens: number;
  /** The number of times that a process could not use the store. */
  readonly storeFailures: number;
  /** The number of commands that the engine received. */
  readonly commands: number;
  readonly perProcess: number;
  /** Commands a second in the busiest 100 ms. */
  readonly peak: number;
  /** The longest time that a command waited for earlier commands. */
  readonly longestWait: number;
  /** From the publication of the token until half of the processes had it. */
  readonly halfLate: number;
  /** From the publication of the token until all processes had it. */
  readonly lastLate: number;
  /** From the beginning until the last process had the token. */
  readonly lastServed: number;
  /** Commands in every 10 ms. */
  readonly slots: readonly number[];
}

export const scenarios: Readonly<Record<string, { readonly mints: number }>>;

export function simulate(
  name: string,
  options: { readonly size: number; readonly seed?: number; readonly throughput?: number },
): Promise<Outcome>;

export function brokenBy(name: string, outcome: Outcome): readonly string[];
