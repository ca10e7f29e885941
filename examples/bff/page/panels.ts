/**
 * The three columns below the lanes: what the browser holds, what the APIs got, what happened. Each is written when its
 * values change.
 */
import { node } from "./dom.ts";
import type { Audience, CookiesAnswer, Received, UserAnswer } from "./messages.ts";
import { clockTime, plural } from "./sentences.ts";

const MAX_LOG = 14;

/** Writes what a script of this page can find in the browser, and what the server says of the cookies. */
export async function showHolds(host: HTMLElement, cookies: CookiesAnswer, user: UserAnswer): Promise<void> {
  const list = node("dl");
  const entry = (term: Node | string, ...texts: readonly (Node | string)[]): void => {
    list.append(node("dt", term), ...texts.map((text) => node("dd", text)));
  };
  for (const { name, flags } of cookies) entry(node("code", name), flags.join(", "));
  if (cookies.length === 0) entry("Cookies", "none of this app");
  entry(node("code", "document.cookie"), node("code", JSON.stringify(document.cookie)));
  const databases = await indexedDB.databases().catch(() => []);
  const caches = await globalThis.caches?.keys().catch(() => []);
  entry(
    "Storages",
    `localStorage ${localStorage.length}, sessionStorage ${sessionStorage.length}, ` +
      `IndexedDB ${databases.length}, Cache API ${caches?.length ?? 0}`,
  );
  const { session } = user;
  if (user.user !== null && session !== undefined) {
    const assured = session.acr === undefined ? "" : ` with ${session.acr}`;
    entry(
      node("code", "/bff/user"),
      `${user.user.name}, signed in${assured}. ` +
        `Ends ${shortTime(session.idleUntil)} if idle, ${shortTime(session.absoluteUntil)} at the latest.`,
    );
  }
  host.replaceChildren(node("p", "Cookies that no script can read. No token, no code, no key."), list);
}

/** What each API got last, and how many of all requests had a cookie. */
export class ReceivedPanel {
  readonly #host: HTMLElement;
  readonly #last = new Map<Audience, Received>();
  #requests = 0;
  #cookies = 0;

  constructor(host: HTMLElement) {
    this.#host = host;
  }

  add(message: Received): void {
    this.#last.set(message.api, message);
    this.#requests += 1;
    if (message.cookie) this.#cookies += 1;
  }

  clear(): void {
    this.#last.clear();
    this.#requests = 0;
    this.#cookies = 0;
    this.refresh();
  }

  refresh(): void {
    if (this.#requests === 0) {
      this.#host.replaceChildren(node("p", "Nothing yet."));
      return;
    }
    const list = node("dl");
    for (const { method, path, audience, headers, cookie } of this.#last.values()) {
      const names = [...headers].toSorted().map((name) => node("code", name));
      const headersCell = node("dd", "headers ");
      for (const [at, name] of names.entries()) headersCell.append(...(at === 0 ? [name] : [" ", name]));
      list.append(
        node("dt", node("code", `${method} ${path}`)),
        node("dd", "token for ", node("code", audience)),
        headersCell,
        node("dd", cookie ? "cookie: yes" : "cookie: none"),
      );
    }
    const sum = this.#cookies === 0 ? "none with a cookie" : `${this.#cookies} with a cookie`;
    this.#host.replaceChildren(node("p", `${plural(this.#requests, "request")}, ${sum}.`), list);
  }
}

/** The last sentences of the live line, newest first. */
export class Log {
  readonly #host: HTMLElement;

  constructor(host: HTMLElement) {
    this.#host = host;
  }

  add(at: number, text: string): void {
    const time = node("time", clockTime(at).slice(0, 8));
    time.dateTime = new Date(at).toISOString();
    this.#host.prepend(node("li", time, " ", text));
    while (this.#host.childElementCount > MAX_LOG) this.#host.lastElementChild?.remove();
  }

  clear(): void {
    this.#host.replaceChildren();
  }
}

function shortTime(at: number): string {
  return clockTime(at).slice(0, 5);
}
