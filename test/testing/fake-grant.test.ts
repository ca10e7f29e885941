import { describe, expect, test } from "vitest";
import { definitionOf } from "../../src/core/grant.ts";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import type { MintContext } from "../../src/core/grant.ts";
import type { AccessToken } from "../../src/core/types.ts";

const context = () => ({ signal: new AbortController().signal });

/** The response of one mint. */
async function mintedBy(grant: FakeGrant, given: MintContext = context()): Promise<Readonly<Record<string, unknown>>> {
  const step = await definitionOf(grant).mint(given);
  if (!("response" in step)) throw new Error("the mint brought no response");
  return step.response;
}

describe("fakeGrant", () => {
  test("is a grant and answers fake-1, fake-2 and so on", async () => {
    const grant = fakeGrant();
    expect(definitionOf(grant)).toBe(grant);
    const [first, second] = [context(), { ...context(), state: "s" }];
    expect(await mintedBy(grant, first)).toEqual({
      access_token: "fake-1",
      token_type: "Bearer",
      expires_in: 3600,
    });
    expect(grant.last).toBe("fake-1");
    expect((await mintedBy(grant, second))["access_token"]).toBe("fake-2");
    expect([grant.mints, grant.last]).toEqual([2, "fake-2"]);
    expect(grant.contexts).toEqual([first, second]);
  });

  test("has the given members of a grant, and puts the given response members into its responses", async () => {
    const grant = fakeGrant({
      key: "k",
      origins: ["https://api.example"],
      expiresIn: null,
      response: { scope: "read" },
    });
    expect([definitionOf(grant).key, definitionOf(grant).origins]).toEqual(["k", ["https://api.example"]]);
    expect(await mintedBy(grant)).toEqual({
      access_token: "fake-1",
      token_type: "Bearer",
      scope: "read",
    });
  });

  test("queued failures and responses come first, in order, and a failed mint counts in the numbering", async () => {
    const grant = fakeGrant();
    const error = new Error("down");
    grant.fail(error, 2);
    grant.respond({ access_token: "special" });
    grant.respond({ error: "not a token response" });
    await expect(mintedBy(grant)).rejects.toBe(error);
    await expect(mintedBy(grant)).rejects.toBe(error);
    expect(await mintedBy(grant)).toEqual({ access_token: "special" });
    expect(grant.last).toBe("special");
    expect(await mintedBy(grant)).toEqual({ error: "not a token response" });
    expect((await mintedBy(grant))["access_token"]).toBe("fake-5");
    expect(grant.mints).toBe(5);
  });

  test("after fail with Infinity every mint fails until recover", async () => {
    const grant = fakeGrant();
    grant.fail(new Error("down"), Infinity);
    await expect(mintedBy(grant)).rejects.toThrow("down");
    await expect(mintedBy(grant)).rejects.toThrow("down");
    grant.recover();
    expect((await mintedBy(grant))["access_token"]).toBe("fake-3");
  });

  test("held mints wait for release; mints after the release do not", async () => {
    const grant = fakeGrant();
    const hold = grant.hold();
    const held = [mintedBy(grant), mintedBy(grant)];
    expect([grant.mints, hold.waiting, grant.last]).toEqual([2, 2, undefined]);
    hold.release();
    expect((await Promise.all(held)).map((token) => token["access_token"])).toEqual(["fake-1", "fake-2"]);
    expect((await mintedBy(grant))["access_token"]).toBe("fake-3");
  });

  test("a hold can fail its mints, and each mint waits for the newest hold at its beginning", async () => {
    const grant = fakeGrant();
    const older = grant.hold();
    const first = mintedBy(grant);
    const newer = grant.hold();
    const second = mintedBy(grant);
    expect([older.waiting, newer.waiting]).toEqual([1, 1]);
    newer.fail(new Error("refused"));
    await expect(second).rejects.toThrow("refused");
    const third = mintedBy(grant);
    expect(older.waiting).toBe(2);
    older.release();
    expect((await first)["access_token"]).toBe("fake-1");
    expect((await third)["access_token"]).toBe("fake-3");
  });

  test("a held mint obeys its signal unless the hold has ignoreSignal", async () => {
    const grant = fakeGrant();
    const reason = new Error("time is up");
    const obeying = grant.hold();
    const controller = new AbortController();
    const abandoned = mintedBy(grant, { signal: controller.signal });
    controller.abort(reason);
    await expect(abandoned).rejects.toBe(reason);
    expect(obeying.waiting).toBe(0);
    obeying.release();
    const deaf = grant.hold({ ignoreSignal: true });
    const ignoring = mintedBy(grant, { signal: AbortSignal.abort(reason) });
    expect(deaf.waiting).toBe(1);
    deaf.release();
    expect((await ignoring)["access_token"]).toBe("fake-2");
  });

  test("a grant with a state: the member `state` of an answer is the next one, also beside a token that cannot be used", async () => {
    const grant = fakeGrant({ state: "s-1" });
    grant.respond({ access_token: "a", state: "s-2" });
    grant.respond({ state: "s-3" });
    const definition = definitionOf(grant);
    expect((await definition.mint(context())).next).toEqual({ state: "s-2" });
    expect((await definition.mint(context())).next).toEqual({ state: "s-3" });
    expect((await definition.mint(context())).next).toBeUndefined();
    expect([definition.source?.initial?.(), definition.isRepeatable]).toEqual(["s-1", false]);
  });

  test("a grant without a state: the member `state` of an answer is a member like any other, and mints may be repeated", async () => {
    const grant = fakeGrant();
    grant.respond({ access_token: "a", state: "s-2" });
    const definition = definitionOf(grant);
    expect((await definition.mint(context())).next).toBeUndefined();
    expect([definition.source, definition.isRepeatable]).toEqual([undefined, true]);
  });

  test("a function as the state is asked before every mint, and onState saves what a mint returned", async () => {
    const calls: unknown[] = [];
    const state = ({ signal }: { signal: AbortSignal }): string => (calls.push(signal.aborted), "s-1");
    const onState = (next: unknown): void => void calls.push(next);
    const { source } = definitionOf(fakeGrant({ state, onState }));
    expect(source?.load?.(context())).toBe("s-1");
    void source?.save?.("s-2", { replaced: "s-1", response: {}, ...context() });
    expect(calls).toEqual([false, "s-2"]);
    expect(definitionOf(fakeGrant({ onState })).isRepeatable).toBe(false);
  });

  test("signIn takes the response of a sign-in, and its refresh token as the state", () => {
    const given = { access_token: "a", refresh_token: "r-1", expires_in: 60 };
    expect(definitionOf(fakeGrant()).signIn?.(given)).toEqual({ response: given });
    expect(definitionOf(fakeGrant({ state: "s" })).signIn?.(given)).toEqual({
      response: given,
      next: { state: "r-1" },
    });
  });

  test("revoke is called for every token, the first time with the state, and once without a token", async () => {
    const revoked: unknown[] = [];
    const definition = definitionOf(fakeGrant({ revoke: (token, { state }) => void revoked.push([token, state]) }));
    const tokens = ["one", "two"] as unknown as readonly AccessToken[];
    await definition.revoke?.(tokens, { ...context(), state: "s" });
    await definition.revoke?.([], context());
    expect(revoked).toEqual([
      ["one", "s"],
      ["two", undefined],
      [undefined, undefined],
    ]);
    expect("revoke" in definitionOf(fakeGrant())).toBe(false);
  });

  test("a wrong option is a TypeError that names it", () => {
    // @ts-expect-error a string is no number of seconds
    expect(() => fakeGrant({ expiresIn: "60" })).toThrow(/"expiresIn"/);
    // @ts-expect-error a number is no object of members
    expect(() => fakeGrant({ response: 1 })).toThrow(/^"response" must be an object, got a number$/);
    expect(() => fakeGrant().fail(new Error("x"), 0)).toThrow(/"times"/);
  });
});
