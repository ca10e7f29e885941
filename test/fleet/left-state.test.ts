/** A failed mint that had already rotated the refresh token, in a fleet. */
import { expect, test } from "vitest";
import { grantOf } from "../../src/core/grant.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache } from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";

test("C11: a mint rotates its refresh token and then fails: the other process uses the new refresh token", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const presented: unknown[] = [];
  // The first answer has a new refresh token, and an access token that no request can carry.
  const grant = grantOf<string>({
    key: "alice",
    state: "rt-1",
    async mint({ state }) {
      presented.push(state);
      const number = presented.length;
      return { access_token: number === 1 ? "no good" : `at-${number}`, expires_in: 3600, state: `rt-${number + 1}` };
    },
  });
  const [first, second] = [0, 1].map(() =>
    createTokenCache({
      grant,
      origins: ["https://api.example"],
      clock,
      store: fleetStore(store, { encryptionKey: "none" }),
    }),
  );
  const failed = first!.get().catch((error: unknown) => error);
  await clock.advance(100);
  expect(await failed).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  await clock.advance(60_000);
  const got = second!.get();
  await clock.advance(100);
  expect((await got).value).toBe("at-2");
  expect(presented).toEqual(["rt-1", "rt-2"]);
});
