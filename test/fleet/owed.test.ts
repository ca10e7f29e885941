import { policyHalf } from "../../src/core/types.ts";
import { definitionOf, type MintContext } from "../../src/core/grant.ts";
import { expect, test } from "vitest";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { fleetUnderTest, SITE, type FleetUnderTest, type Process } from "./fleet-under-test.ts";

/** A grant whose mints are called a-1, a-2 and so on: who minted a token can be read off it. */
function named(name: string): FakeGrant {
  const grant = fakeGrant({ key: "orders" });
  const mint = definitionOf(grant).mint.bind(grant);
  return Object.assign(grant, {
    mint: async (context: MintContext) => {
      const { access_token, ...rest } = await mint(context);
      return { ...rest, access_token: access_token.replace("fake", name) };
    },
  });
}

/** Process b has b-1, minted beside the store; the record has a-1, which process a is replacing: a-2 is under way. */
async function twoTokensAndAThirdUnderWay(): Promise<FleetUnderTest & { a: Process; b: Process; land: () => void }> {
  const fleet = fleetUnderTest({ size: 0 });
  const { clock, join } = fleet;
  const [a, b] = [join({ grant: named("a") }), join({ grant: named("b") })];
  b.store.fault = () => Promise.reject(new Error("down"));
  const both = Promise.all([a.cache.get(), b.cache.get()]);
  await clock.advance(100);
  expect((await both).map(({ value }) => value)).toEqual(["a-1", "b-1"]);
  await clock.advance(3600_000 - 50_000);
  const hold = a.grant.hold();
  expect(a.cache.peek()?.value).toBe("a-1");
  await clock.advance(100);
  expect(a.grant.mints).toBe(2);
  b.store.fault = undefined;
  return { ...fleet, a, b, land: () => hold.release() };
}

test("Q5: three tokens revoked at once: the second renewal mints, whatever others publish meanwhile", async () => {
  const { clock, b, land } = await twoTokensAndAThirdUnderWay();
  const renewal = policyHalf(b.cache).rejected(b.cache.peek()!, SITE)!;
  const first = renewal.next();
  await clock.advance(10);
  const taken = await first;
  expect([taken.token.value, taken.final]).toEqual(["a-1", false]);
  // a-2 was minted before the revocation and is published after it.
  land();
  await clock.advance(10);
  expect(renewal.again(taken.token)).toBe(true);
  const second = renewal.next();
  await clock.advance(1000);
  const owed = await second;
  expect([owed.token.value, owed.final]).toEqual(["b-2", true]);
});

test("Q5: what another process minted for a rejection settles the second renewal without a mint", async () => {
  const { clock, a, b, land } = await twoTokensAndAThirdUnderWay();
  const renewal = policyHalf(b.cache).rejected(b.cache.peek()!, SITE)!;
  const first = renewal.next();
  await clock.advance(10);
  const taken = await first;
  land();
  await clock.advance(10);
  const others = policyHalf(a.cache).rejected(a.cache.peek()!, SITE)!.next();
  await clock.advance(10);
  expect((await others).token.value).toBe("a-3");
  expect(renewal.again(taken.token)).toBe(true);
  const second = renewal.next();
  await clock.advance(1000);
  const owed = await second;
  expect([owed.token.value, owed.final, b.grant.mints]).toEqual(["a-3", true, 1]);
});

test("Q5: a value that this request was rejected with is not taken from others again", async () => {
  const { clock, b } = await twoTokensAndAThirdUnderWay();
  const renewal = policyHalf(b.cache).rejected(b.cache.peek()!, SITE)!;
  const first = renewal.next();
  await clock.advance(10);
  const taken = await first;
  expect(renewal.again(taken.token)).toBe(true);
  const second = renewal.next();
  // a-1 is still in the record, under a note that it is being replaced, until that mint has used up its time.
  await clock.advance(11_000);
  expect((await second).token.value).toBe("b-2");
});
