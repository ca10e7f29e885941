/** What a fleet came to; times are milliseconds. */
export interface Outcome {
  readonly mints: number;
  readonly mostAtOnce: number;
  readonly published: number;
  /** Different tokens that processes had in the end. */
  readonly tokens: number;
  readonly storeFailures: number;
  readonly commands: number;
  readonly perProcess: number;
  /** Commands a second in the busiest 100 ms. */
  readonly peak: number;
  /** The longest time a command waited for those before it. */
  readonly longestWait: number;
  /** From the publishing of the token until half of the processes had it, and all of them. */
  readonly halfLate: number;
  readonly lastLate: number;
  /** From the beginning until the last process had it. */
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
