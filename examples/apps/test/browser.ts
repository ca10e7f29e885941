/**
 * What a browser does for these tests: it keeps the cookies of each host, and follows redirects.
 *
 * @module
 */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  /** Sends a request as a page of the same origin does. */
  async fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const { hostname } = new URL(url); // cookies ignore ports
    const cookies = this.#cookies.get(hostname) ?? new Map<string, string>();
    this.#cookies.set(hostname, cookies);
    const headers = new Headers(init.headers);
    headers.set("cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (value === "") cookies.delete(name);
      else cookies.set(name, value);
    }
    const location = response.headers.get("location");
    return location === null ? response : this.fetch(new URL(location, url).href);
  }
}
