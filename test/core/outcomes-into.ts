/**
 * Records the events of caches as most tests look at them: what has happened, without the beginnings of mints and those that
 * brought nothing. events.test.ts is about these.
 */
import type { EventListener, RemintEvent } from "../../src/index.ts";

/** Returns a listener that records events in a list. A mint that ends without having begun is recorded as such. */
export function outcomesInto(events: RemintEvent[]): EventListener {
  const begun = new Set<number>();
  return (event) => {
    if (event.name === "mint-started") {
      if (begun.has(event.id)) events.push(event);
      begun.add(event.id);
      return;
    }
    const hasToBegin = event.name === "minted" || event.name === "mint-abandoned" || event.name === "mint-retried";
    const hasBegun = !hasToBegin || begun.has(event.id);
    if (!hasBegun) events.push({ name: "mint-started", id: event.id, cause: "cold", server: "the event is missing" });
    if (event.name !== "mint-abandoned") events.push(event);
  };
}
