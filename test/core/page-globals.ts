/** The globals of a page or a worker that say where relative URLs lead. Real pages are in test/browser. */

export interface PageGlobals {
  /** `location.href`. */
  readonly href: string;
  /** `location.origin`. */
  readonly origin: string;
  /** `document.baseURI`; left out in a worker, which has no document. */
  readonly baseURI?: unknown;
  /** The global `origin`. */
  readonly ownOrigin?: string | undefined;
}

const NAMES = ["location", "document", "origin"] as const;

/** Makes this runtime look like that page, or like no page. */
export function becomePage(page: PageGlobals | undefined): void {
  for (const name of NAMES) Reflect.deleteProperty(globalThis, name);
  if (page === undefined) return;
  const { href, origin, baseURI, ownOrigin = origin } = page;
  const members = {
    location: { href, origin },
    origin: ownOrigin,
    ...(baseURI !== undefined && { document: { baseURI } }),
  };
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

/** A page with this URL, whose base a `<base href>` may have moved. */
export function pageAt(href: string, baseURI: unknown = href): PageGlobals {
  return { href, origin: new URL(href).origin, baseURI };
}
