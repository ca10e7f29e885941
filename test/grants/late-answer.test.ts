import { describe, expect, test } from "vitest";
import { lifetimeOf } from "../../src/core/expiry.ts";
import { aged, isWorthUsing } from "../../src/grants/late-answer.ts";
import type { TokenResponse } from "../../src/core/types.ts";
import { jwt } from "../core/cache-under-test.ts";

const SENT = Date.UTC(2030, 0, 1);
const MINUTE = 60_000;

/** Milliseconds a token is good for, that came ten minutes ago, by whichever clock says how long it lives. */
function left(response: TokenResponse): number {
  const sentAt = SENT + 10 * MINUTE;
  return lifetimeOf(aged(response, 10 * MINUTE), { sentAt, defaultTtl: 30 * MINUTE }).ms;
}

describe("a token response that is used ten minutes late", () => {
  // The server's clock is a day ahead.
  const serverTime = SENT + 24 * 60 * MINUTE;
  test.each<[name: string, response: TokenResponse]>([
    ["expires_in", { access_token: "a", expires_in: 3600 }],
    ["expires_in, beside a server's clock", { access_token: "a", expires_in: 3600, serverTime }],
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
  ])("%s: ten minutes less", (_name, response) => {
    expect(left(response)).toBe(50 * MINUTE);
  });

  test("E3: one that is over has a second left, not the default lifetime", () => {
    expect(left({ access_token: "a", expires_in: 60 })).toBe(1000);
  });

  test("one that is not late is as it came", () => {
    const response = { access_token: "a", expires_in: 60 };
    expect(aged(response, 0)).toBe(response);
    expect(aged(response, -5)).toBe(response); // the clock was set back
  });
});

test("10 s are worth using it for, no less; one of unknown lifetime is always worth a try", () => {
  expect(isWorthUsing({ access_token: "a", expires_in: 10 }, SENT)).toBe(false);
  expect(isWorthUsing({ access_token: "a", expires_in: 11 }, SENT)).toBe(true);
  expect(isWorthUsing({ access_token: "a" }, SENT)).toBe(true);
});
