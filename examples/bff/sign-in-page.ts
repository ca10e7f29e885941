/**
 * The sign-in page of the authorization server. It belongs to that server, and not to the BFF.
 *
 * @module
 */
import { createHash } from "node:crypto";

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: light-dark(#f1f5f9, #0f172a);
  color: light-dark(#0f172a, #e2e8f0); }
main { width: min(22rem, calc(100vw - 4rem)); padding: 1.5rem 1.75rem 1.75rem; border-radius: .75rem;
  background: light-dark(#fff, #1e293b); box-shadow: 0 1px 3px rgb(0 0 0 / .2); }
h1 { font-size: 1.3rem; margin: 0 0 .25rem; }
p { margin: 0 0 1.25rem; color: light-dark(#475569, #cbd5e1); }
button { display: block; width: 100%; min-height: 44px; margin-top: .6rem; border-radius: .5rem; font: inherit; cursor: pointer;
  border: 1px solid light-dark(#94a3b8, #64748b); background: transparent; color: inherit; }
button.main { background: light-dark(#1d4ed8, #93c5fd); color: light-dark(#fff, #0b1220); border-color: transparent; }
button:focus-visible { outline: 3px solid light-dark(#f59e0b, #fbbf24); outline-offset: 2px; }
`;
const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

const REASONS: Readonly<Record<string, string>> = {
  acr_values: "What you want to do needs a second factor.",
  max_age: "What you want to do needs a fresh sign-in.",
};

/**
 * Makes the page.
 *
 * @param reasons Why the user has to sign in.
 * @param formTargets The origins that the sign-in leads back to.
 */
export function signInPage(
  reasons: readonly string[],
  formTargets: string,
): { html: string; headers: Record<string, string> } {
  const reason = reasons.map((name) => REASONS[name]).find((text) => text !== undefined);
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in</title>
<style>${STYLE}</style>
<main>
<h1>Sign in</h1>
<p>${reason ?? "This is the authorization server, on another site than the application. No password is needed."}</p>
<form method="post">
<button class="main" name="as" value="alice">Alice</button>
<button name="as" value="bob">Bob</button>
<button name="as" value="alice+mfa">Alice with MFA</button>
<button name="as" value="">Cancel</button>
</form>
</main>
</html>
`;
  const policy = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self' ${formTargets}; frame-ancestors 'none'`;
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
  };
  return { html, headers };
}
