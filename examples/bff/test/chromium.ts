/** The Chromium that the tests of the page run in. Without one they are skipped, but not in CI. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

export const executablePath: string = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
export const isThere: boolean = existsSync(executablePath);
export const isCi: boolean = process.env["CI"] === "true";
if (!isThere && !isCi) console.warn(`the tests of the page are skipped: there is no Chromium at ${executablePath}`);

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @param keepsPages Whether Back may show a page out of the memory of the browser, as for users. Playwright turns that off. */
export function launch({ keepsPages = false } = {}): Promise<Browser> {
  const ignoreDefaultArgs = keepsPages ? ["--disable-back-forward-cache"] : [];
  return chromium.launch({ executablePath, headless: true, args: FLAGS, ignoreDefaultArgs });
}
