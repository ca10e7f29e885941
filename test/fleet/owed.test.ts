/**
 * The second renewal of a request in a fleet: it accepts only a token that was minted because of a rejection (Q5). Another
 * process's token that was minted earlier is not enough.
 */
import { expect, test } from "vitest";
import { definitionOf, type MintContext } from "../../src/core/grant.ts";
import { policyHalf } from "../../src/core/types.ts";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { fleetUnderTest, TARGET, type FleetUnderTest, type Process } from "./fleet-under-test.ts";

/** Creates a grant that mints a-1, a-2 and so on, so that a token tells which process minted it. */
function grantNamed(name: string): FakeGrant {
  const grant = fakeGrant({ key: "orders" });
  const mint = definitionOf(grant).mint.bind(grant);
  return Object.assign(grant, {
    mint: async (context: MintContext) => {
      const step = await mint(context);
      if (!("response" in step)) return step;
      const { access_token, ...rest } = step.response;
      return { ...step, response: { ...rest, access_token: access_token.replace("fake", name) } };
    },
  });
}

/**
 * Process b has b-1, which it minted without the store. The record has a-1, and process a is minting a-2, which ends when
 * `finishMint` is called.
 */
async function twoTokensAndAMintInProgress(): Promise<
  FleetUnderTest & { a: Process; b: Process; finishMint: () => void }
> {
  const fleet = fleetUnderTest({ size: 0 });
  const { clock, join } = fleet;
  const [a, b] = [join({ grant: grantNamed("a") }), join({ grant: grantNamed("b") })];
  b.store.fault = () => Promise.reject(new Error("down"));
  const both = Promise.all([a.cache.get(), b.cache.get()]);
  // A store that fails at the start is tried a second time.
  await clock.advance(300);
  expect((await both).map(({ value }) => value)).toEqual(["a-1", "b-1"]);
  await clock.advance(3600_000 - 50_000);
  const hold = a.grant.hold();
  expect(a.cache.peek()?.value).toBe("a-1");
  await clock.advance(100);
  expect(a.grant.mints).toBe(2);
  b.store.fault = undefined;
  return { ...fleet, a, b, finishMint: () => hold.release() };
}

test("Q5: b-1, a-1 and a-2 are all revoked: the second renewal mints, although a-2 is published meanwhile", async () => {
  const { clock, b, finishMint } = await twoTokensAndAMintInProgress();
  const renewal = policyHalf(b.cache).rejected(b.cache.peek()!, TARGET)!;
  const first = renewal.next();
  await clock.advance(10);
  const adopted = await first;
  expect([adopted.token.value, adopted.final]).toEqual(["a-1", false]);
  // a-2 was minted before the revocation and is published after it.
  finishMint();
  await clock.advance(10);
  expect(renewal.again(adopted.token)).toBe(true);
  const second = renewal.next();
  await clock.advance(1000);
  const renewed = await second;
  expect([renewed.token.value, renewed.final]).toEqual(["b-2", true]);
});

test("Q5: another process mints because of a rejection: the second renewal adopts that token without a mint", async () => {
  const { clock, a, b, finishMint } = await twoTokensAndAMintInProgress();
  const renewal = policyHalf(b.cache).rejected(b.cache.peek()!, TARGET)!;
  const first = renewal.next();
  await clock.advance(10);
  const adopted = await first;
  finishMint();
  await clock.advance(10);
  const others = policyHalf(a.cache).rejected(a.cache.peek()!, TARGET)!.next();
  await clock.advance(10);
  expect((await others).token.value).toBe("a-3");
  expect(renewal.again(adopted.token)).toBe(true);
  const second = renewal.next();
  await clock.advance(1000);
  const renewed = await second;
  expect([renewed.token.value, renewed.final, b.grant.mints]).toEqual(["a-3", true, 1]);
});

test("Q5: the request was rejected with a-1, which is still in the record: the second renewal does not adopt it", async () => {
  const { clock, b } = await twoTokensAndAMintInProgress();
  const renewal = policyHalf(b.cache).rejected(b.cache.peek()!, TARGET)!;
  const first = renewal.next();
  await clock.advance(10);
  const adopted = await first;
  expect(renewal.again(adopted.token)).toBe(true);
  const second = renewal.next();
  // The record has a-1 with a lease of process a, until the mint of process a reaches its time limit.
  await clock.advance(11_000);
  expect((await second).token.value).toBe("b-2");
});
