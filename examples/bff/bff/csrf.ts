/**
 * Which requests a route takes: the defence against cross-site request forgery (RFC 10017 section 6.1.3.3).
 *
 * `SameSite=Strict` is not enough. Another port of the same host, and another subdomain, are the same site: their forms
 * and images carry the cookie. So a request has to show that it comes from our own page. A route cannot be without a
 * guard: the type of the table in `routes.ts` demands one.
 *
 * @module
 */

/**
 * - `anonymous`: the answer is the same for everybody, and no cookie is read.
 * - `header`: our script calls it, and sets `x-bff: 1`. Another origin cannot set the header without being asked (CORS), and
 *   is never allowed to.
 * - `events`: an `EventSource` of ours. It cannot set a header, so the browser has to say that it is our page.
 * - `form`: a form of ours. The same holds.
 * - `navigation`: our link, or an address that the user typed.
 * - `callback`: the authorization server sends the browser here. The sign-in cookie and `state` belong together.
 * - `back-channel`: the authorization server itself calls. The signature of its token counts.
 */
export type Guard = "anonymous" | "header" | "events" | "form" | "navigation" | "callback" | "back-channel";

/** Says whether a request may pass a guard. Fails closed. */
export function passes(request: Request, guard: Guard, ownOrigin: string): boolean {
  if (guard === "anonymous" || guard === "callback" || guard === "back-channel") return true;
  const site = request.headers.get("sec-fetch-site");
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== ownOrigin) return false;
  // "none": the user typed the address or opened a bookmark.
  if (guard === "navigation") return site === null || site === "same-origin" || site === "none";
  if (site !== null && site !== "same-origin") return false;
  if (request.headers.get("x-bff") === "1") return true;
  return guard !== "header" && (site === "same-origin" || origin === ownOrigin);
}
