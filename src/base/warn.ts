/**
 * Warnings for the operator: things that work now and will cost something later.
 *
 * @module
 */

/** Prints a warning: as a process warning in Node, Bun and Deno, on the console elsewhere. Never throws. */
export function warn(text: string): void {
  const { process } = globalThis as { process?: { emitWarning?: (text: string, name: string) => void } };
  try {
    if (typeof process?.emitWarning === "function") process.emitWarning(text, "RemintWarning");
    // oxlint-disable-next-line no-console -- there is nothing else in a browser
    else console.warn(text);
  } catch {
    // A warning must not become a failure.
  }
}
