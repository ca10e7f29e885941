/** Runs in the page: the contrast of every text with its ground, as WCAG 2 computes it. */

export interface Contrast {
  readonly text: string;
  readonly ratio: number;
}

/** Returns each text that is seen, with its contrast. `marks` are graphics: their contrast with the surface counts. */
// The page gets this function alone, so all that it needs is in it.
// oxlint-disable unicorn/consistent-function-scoping
export function contrasts(): { readonly texts: Contrast[]; readonly marks: Contrast[] } {
  type Colour = readonly [number, number, number, number];
  const parse = (value: string): Colour => {
    const numbers = value.match(/[\d.]+/g)?.map(Number) ?? [];
    if (!/^rgba?\(/.test(value)) throw new Error(`a colour that this test cannot read: ${value}`);
    return [numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0, numbers[3] ?? 1];
  };
  const over = (top: Colour, below: Colour): Colour => {
    const mix = (one: number, other: number): number => one * top[3] + other * (1 - top[3]);
    return [mix(top[0], below[0]), mix(top[1], below[1]), mix(top[2], below[2]), 1];
  };
  const light = ([red, green, blue]: Colour): number => {
    const [r = 0, g = 0, b = 0] = [red, green, blue].map((each) => {
      const share = each / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratioOf = (one: Colour, other: Colour): number => {
    const [darker = 0, lighter = 0] = [light(one), light(other)].toSorted((a, b) => a - b);
    return (lighter + 0.05) / (darker + 0.05);
  };
  /** The colour behind an element, and how much of the element's own colour is left. */
  const ground = (element: Element): Colour => {
    const layers: Colour[] = [];
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const opacity = (element: Element): number => {
    let product = 1;
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      product *= Number(getComputedStyle(at).opacity);
    }
    return product;
  };
  const fillOf = (selector: string): Colour => {
    const found = document.querySelector(selector);
    if (found === null) throw new Error(`nothing is ${selector}`);
    return parse(getComputedStyle(found).fill);
  };
  const against = (element: Element, colour: string, behind: Colour): number => {
    const [red, green, blue, alpha] = parse(colour);
    return ratioOf(over([red, green, blue, alpha * opacity(element)], behind), behind);
  };

  const texts: Contrast[] = [];
  for (const element of document.querySelectorAll<HTMLElement | SVGElement>("body *")) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.textContent ?? "")
      .join("")
      .trim();
    if (text === "" || !element.checkVisibility() || element.closest("noscript, script") !== null) continue;
    const style = getComputedStyle(element);
    if (!(element instanceof SVGElement)) {
      texts.push({ text, ratio: against(element, style.color, ground(element)) });
      continue;
    }
    const host = ground(element.closest("div") ?? document.body);
    const grounds = [host];
    if (element.matches(".token-name")) grounds.splice(0, 1, fillOf(".bar"));
    if (element.matches(".absence-name")) grounds.splice(0, 1, fillOf(".absent-ground"));
    if (element.matches(".row-name, .axis")) grounds.push(fillOf(".future"));
    for (const behind of grounds) texts.push({ text, ratio: against(element, style.fill, behind) });
  }
  const marks = [...document.querySelectorAll<SVGElement>(".plot [class^=is-], .plot .died, .now")].map((element) => {
    const { fill, stroke } = getComputedStyle(element);
    const behind = ground(element.closest("div") ?? document.body);
    const text = element.getAttribute("class") ?? "";
    return { text, ratio: against(element, fill === "none" || text === "now" ? stroke : fill, behind) };
  });
  return { texts, marks };
}
