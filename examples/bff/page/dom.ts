/** The three ways in which the page reaches into its HTML. A missing element is an error here, not a silent nothing. */
import type { LaneName } from "./messages.ts";

export function byId(id: string): HTMLElement {
  return found(document.getElementById(id), `id="${id}"`);
}

/** A part of a lane, marked with `data-<name>`. */
export function laneElement(lane: LaneName, name: string): HTMLElement {
  return found(document.querySelector<HTMLElement>(`[data-lane=${lane}] [data-${name}]`), `data-${name} in ${lane}`);
}

/** A new element with text and other elements in it. */
export function node<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function found(element: HTMLElement | null, what: string): HTMLElement {
  if (element === null) throw new Error(`index.html has no element with ${what}`);
  return element;
}
