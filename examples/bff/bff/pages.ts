/**
 * The pages that the BFF itself shows when a sign-in cannot go on. Each has one button, and none goes on by itself: a page
 * that signs in again on its own can go round in circles.
 *
 * @module
 */
import { createHash } from "node:crypto";

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 12vh auto 0; max-width: 34rem; padding: 0 1.25rem; }
h1 { font-size: 1.4rem; }
a { display: inline-block; margin-top: .75rem; padding: .7rem 1.2rem; border-radius: .5rem; text-decoration: none;
  background: light-dark(#14532d, #86efac); color: light-dark(#fff, #052e16); }
`;
const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

/** What a page says. The texts are written here and never come from a request. */
export interface Page {
  readonly status: number;
  readonly title: string;
  readonly text: string;
  readonly button: { readonly label: string; readonly href: string };
  /** Seconds after which it makes sense to try again. */
  readonly retryAfter?: number;
}

/** Makes the answer for a page. */
export function pageResponse({ status, title, text, button, retryAfter }: Page): Response {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
<main>
<h1>${escaped(title)}</h1>
<p>${escaped(text)}</p>
<a href="${escaped(button.href)}">${escaped(button.label)}</a>
</main>
</html>
`;
  const headers = new Headers({
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'`,
  });
  if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
  return new Response(html, { status, headers });
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
