/**
 * The cookies of the BFF: one for the session, and one for each sign-in that is in progress.
 *
 * All are `Secure`, `HttpOnly`, `Path=/` and without `Domain`. The prefix `__Host-Http-` makes the browser insist on that.
 *
 * @module
 */

/** How a cookie is set. */
export interface CookieOptions {
  /** The session is `Strict`. A sign-in is `Lax`: its cookie has to come back with the redirect from the other site. */
  readonly sameSite: "Strict" | "Lax";
  /** Seconds. Without it, the cookie ends with the browser. */
  readonly maxAge?: number;
}

/** Reads and writes cookies under their full names. */
export class Cookies {
  /** The name of the session's cookie. Its value is 256 random bits. */
  readonly session: string;
  readonly #signIn: string;
  readonly #flags: string;

  /** @param plain Without `Secure` and prefix, for development in a browser that refuses them on http://localhost. */
  constructor(plain = false) {
    this.session = plain ? "bff" : "__Host-Http-bff";
    this.#signIn = `${this.session}-tx-`;
    this.#flags = plain ? "Path=/; HttpOnly" : "Path=/; HttpOnly; Secure";
  }

  /** The name of the cookie of one sign-in. Sign-ins in several tabs do not disturb each other. */
  signIn(state: string): string {
    return this.#signIn + state.slice(0, 8);
  }

  /** The cookies of all sign-ins that the browser has begun. */
  signIns(request: Request): [name: string, value: string][] {
    return [...read(request)].filter(([name]) => name.startsWith(this.#signIn));
  }

  get(request: Request, name: string): string | undefined {
    return read(request).get(name);
  }

  set(name: string, value: string, { sameSite, maxAge }: CookieOptions): string {
    const age = maxAge === undefined ? "" : `; Max-Age=${maxAge}`;
    return `${name}=${value}; ${this.#flags}; SameSite=${sameSite}${age}`;
  }

  remove(name: string): string {
    return this.set(name, "", { sameSite: "Lax", maxAge: 0 });
  }
}

function read(request: Request): Map<string, string> {
  const cookies = new Map<string, string>();
  for (const pair of (request.headers.get("cookie") ?? "").split(";")) {
    const [name = "", ...value] = pair.split("=");
    // Of two with one name the first counts: it has the longer path, or is older.
    if (!cookies.has(name.trim())) cookies.set(name.trim(), value.join("=").trim());
  }
  return cookies;
}
