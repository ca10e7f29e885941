/** Opens one side of a migration as a page, for the tests. */
import type { BrowserContext, Page } from "playwright-core";
import type { Pages } from "../test/pages.ts";

export type Side = "before" | "after";
export const NAMES = ["axios-auth-refresh", "failed-queue", "nuxt-ofetch"] as const;
export type Name = (typeof NAMES)[number];

type Call = (path: string, options?: object) => Promise<unknown>;
interface Module {
  /** An instance of axios, or of ofetch. */
  readonly api: Call & { readonly get?: Call; readonly defaults: { headers: { common: Record<string, string> } } };
  signIn(user: string): Promise<void>;
}
/** What a page has: the migration, and what was told of it. */
export interface Loaded {
  readonly code: Module & Record<string, never>;
  readonly seen: { redirects: number; refreshes: number };
}

/** Counts the 401s that the code of the page has been given. */
export const COUNTER = `
  globalThis.rejections = 0;
  const count = (status) => void (status === 401 && setTimeout(() => rejections++));
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function (...parts) {
    this.addEventListener("loadend", () => count(this.status));
    return send.apply(this, parts);
  };
  const { fetch: own } = globalThis;
  globalThis.fetch = async (...parts) => {
    const response = await own(...parts);
    count(response.status);
    return response;
  };`;

/** The page has `loaded`, and `callMany`, which returns the statuses of callers; 0 for a failure without one. */
export async function openSide(context: BrowserContext, pages: Pages, name: Name, side: Side): Promise<Page> {
  const page = await context.newPage();
  const script = `
    import * as code from "/migrations/${name}/${side}.ts";
    import { seen } from "/migrations/page.ts";
    const call = (path, options) =>
      (code.api.get ?? code.api)(path, options).then(() => 200, (error) => error.response?.status ?? error.status ?? 0);
    Object.assign(globalThis, {
      loaded: { code, seen },
      callMany: (times, path, options) => Promise.all(Array.from({ length: times }, () => call(path, options))),
    });`;
  const body = `<!doctype html><title>app</title><script type="module">${script}</script>`;
  await page.route("**/blank", (route) => route.fulfill({ contentType: "text/html", body }));
  await page.goto(`${pages.origin}/blank`);
  await page.waitForFunction(() => "loaded" in globalThis);
  return page;
}
