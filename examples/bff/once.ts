/**
 * The scripted check: what a user does in the page, done by a script, with the numbers that must come of it.
 *
 * @module
 */
import { Browser, signIn, signOut } from "./browser.ts";
import type { Demo } from "./demo.ts";
import { RESOURCES } from "./provider.ts";

/** Runs the check. Prints a line for each step. Resolves to whether all was right. */
export async function runOnce({ origin, auth, apis }: Demo): Promise<boolean> {
  let isRight = true;
  const check = (what: string, found: unknown, expected: unknown): void => {
    const isSame = JSON.stringify(found) === JSON.stringify(expected);
    isRight &&= isSame;
    console.log(isSame ? `✓ ${what}` : `✗ ${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(found)}`);
  };
  const browser = new Browser();
  const headers = { "x-bff": "1" };
  const get = (path: string): Promise<Response> => browser.request(origin + path, { headers });
  const status = async (path: string): Promise<number> => {
    const response = await get(path);
    await response.arrayBuffer();
    return response.status;
  };
  const six = async (base: string): Promise<number[]> => {
    const path = `${base}/orders/list`;
    return (await Promise.all(Array.from({ length: 6 }, () => status(path)))).toSorted((a, b) => a - b);
  };
  const userIn = async (): Promise<unknown> => ((await (await get("/bff/user")).json()) as { user: unknown }).user;
  const refreshes = { bff: 0, usual: 0 };
  auth.events.on("token-request", ({ client }) => refreshes[client]++);
  const session = async (): Promise<string | undefined> => {
    const { session: own } = (await (await get("/bff/user")).json()) as { session: { claims: { sid: string } } };
    return auth.sessionOf(own.claims.sid);
  };

  check("nobody is signed in: the API answers 401", await status("/api/orders/list"), 401);
  const arrived = await signIn(browser, origin);
  check("signed in, and back at the page", arrived.url.href, `${origin}/`);
  check("the page is told who that is", await userIn(), { name: "Alice", sub: "alice" });
  check("6 requests to orders", await six("/api"), [200, 200, 200, 200, 200, 200]);
  check("1 request to billing, with a token of its own", await status("/api/billing/balance"), 200);

  refreshes.bff = refreshes.usual = 0;
  auth.kill(auth.alive(await session(), RESOURCES.orders));
  check("token revoked, 6 requests at once: 6 answers of 200", await six("/api"), [200, 200, 200, 200, 200, 200]);
  check("and 1 refresh", refreshes.bff, 1);
  const usual = await six("/usual/api");
  check(
    "the usual way, the same: signed out",
    [usual.includes(401), await status("/usual/api/orders/list")],
    [true, 401],
  );

  const pay = async (): Promise<Response> =>
    browser.request(`${origin}/api/billing/pay`, { method: "POST", headers, body: "{}" });
  const refused = (await (await pay()).json()) as { code?: string; acr_values?: string; max_age?: number };
  check(
    "a payment asks for a second factor",
    [refused.code, refused.acr_values, refused.max_age],
    ["step-up", "mfa", 300],
  );
  await signIn(browser, origin, "alice+mfa", "&acr_values=mfa&max_age=300");
  check("and is made after it", (await pay()).status, 200);

  auth.downUntil = Date.now() + 60_000;
  auth.kill(auth.alive());
  const unavailable = await get("/api/orders/list");
  check(
    "authorization server down, token revoked: 503 with Retry-After",
    [unavailable.status, unavailable.headers.has("retry-after")],
    [503, true],
  );
  auth.downUntil = 0;
  const later = Date.now() + 30_000;
  while ((await status("/api/orders/list")) !== 200 && Date.now() < later) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  check(
    "up again: 200, still signed in",
    [await status("/api/orders/list"), await userIn()],
    [200, { name: "Alice", sub: "alice" }],
  );

  apis.rejectsAll = true;
  check("an API that answers 401 to everything: 502, and nobody is signed out", await status("/api/orders/list"), 502);
  apis.rejectsAll = false;
  const left = await signOut(browser, origin);
  check("signed out, and back at the page", left.url.href, `${origin}/`);
  check("nobody is signed in", await userIn(), null);

  await signIn(browser, origin);
  await auth.endSession((await session()) ?? "");
  check("the authorization server ends the session: nobody is signed in", await userIn(), null);
  return isRight;
}
