/** A token response that is used some time after it came: its lifetime is reduced by that time. */
import { describe, expect, test } from "vitest";
import { lifetimeOf } from "../../src/core/expiry.ts";
import { aged, isWorthUsing } from "../../src/grants/late-answer.ts";
import { jwt } from "../core/cache-under-test.ts";
import type { TokenResponse } from "../../src/core/types.ts";

const SENT = Date.UTC(2030, 0, 1);
const MINUTE = 60_000;

/** Returns the milliseconds that are left of a token whose response came ten minutes ago. */
function left(response: TokenResponse): number {
  const sentAt = SENT + 10 * MINUTE;
  return lifetimeOf(aged(response, 10 * MINUTE), { sentAt, defaultTtl: 30 * MINUTE }).ms;
}

describe("a token response that is used ten minutes late", () => {
  // The server's clock is a day ahead.
  const serverTime = SENT + 24 * 60 * MINUTE;
  test.each<[name: string, response: TokenResponse]>([
    ["expires_in", { access_token: "a", expires_in: 3600 }],
    ["expires_in, with the server's clock known", { access_token: "a", expires_in: 3600, serverTime }],
    [
      "expires_at, by the server's clock",
      { access_token: "a", expires_at: (serverTime + 60 * MINUTE) / 1000, serverTime },
    ],
    [
      "a JWT's exp, by the server's clock",
      { access_token: jwt({ exp: (serverTime + 60 * MINUTE) / 1000 }), serverTime },
    ],
    [
      "notAfter, by the server's clock",
      { access_token: "a", expires_in: 7200, notAfter: serverTime + 60 * MINUTE, serverTime },
    ],
    ["expires_at, by the local clock", { access_token: "a", expires_at: (SENT + 60 * MINUTE) / 1000 }],
  ])("%s: ten minutes are subtracted", (_name, response) => {
    expect(left(response)).toBe(50 * MINUTE);
  });

  test("E3: a token that has expired meanwhile gets one second, not the default lifetime", () => {
    expect(left({ access_token: "a", expires_in: 60 })).toBe(1000);
  });

  test("a response that is not late is returned unchanged", () => {
    const response = { access_token: "a", expires_in: 60 };
    expect(aged(response, 0)).toBe(response);
    expect(aged(response, -5)).toBe(response); // the clock was set back meanwhile
  });
});

test("a late token is used if more than 10 s are left, or if its lifetime is unknown", () => {
  expect(isWorthUsing({ access_token: "a", expires_in: 10 }, SENT)).toBe(false);
  expect(isWorthUsing({ access_token: "a", expires_in: 11 }, SENT)).toBe(true);
  expect(isWorthUsing({ access_token: "a" }, SENT)).toBe(true);
});
