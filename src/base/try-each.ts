/**
 * One failure must not keep the rest from being tried.
 *
 * @module
 */

/**
 * Does something for each item in turn, also after it has failed for one.
 *
 * @throws What was thrown first, after all were tried.
 */
export async function tryEach<T>(items: Iterable<T>, work: (item: T) => unknown): Promise<void> {
  const failures: { readonly error: unknown }[] = [];
  for (const item of items) {
    try {
      await work(item);
    } catch (error) {
      failures.push({ error });
    }
  }
  const [first] = failures;
  if (first !== undefined) throw first.error;
}
