import { describe, expect, test } from "vitest";
import { definitionOf } from "../../src/core/grant.ts";
import { fakeGrant } from "../../src/testing/index.ts";

const context = () => ({ signal: new AbortController().signal });

describe("fakeGrant", () => {
  test("is a grant and answers fake-1, fake-2 and so on", async () => {
    const grant = fakeGrant();
    expect(definitionOf(grant)).toBe(grant);
    const [first, second] = [context(), { ...context(), state: "s" }];
    expect(await definitionOf(grant).mint(first)).toEqual({
      access_token: "fake-1",
      token_type: "Bearer",
      expires_in: 3600,
    });
    expect(grant.last).toBe("fake-1");
    expect((await definitionOf(grant).mint(second)).access_token).toBe("fake-2");
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
    expect(await definitionOf(grant).mint(context())).toEqual({
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
    await expect(definitionOf(grant).mint(context())).rejects.toBe(error);
    await expect(definitionOf(grant).mint(context())).rejects.toBe(error);
    expect(await definitionOf(grant).mint(context())).toEqual({ access_token: "special" });
    expect(grant.last).toBe("special");
    expect(await definitionOf(grant).mint(context())).toEqual({ error: "not a token response" });
    expect((await definitionOf(grant).mint(context())).access_token).toBe("fake-5");
    expect(grant.mints).toBe(5);
  });

  test("after fail with Infinity every mint fails until recover", async () => {
    const grant = fakeGrant();
    grant.fail(new Error("down"), Infinity);
    await expect(definitionOf(grant).mint(context())).rejects.toThrow("down");
    await expect(definitionOf(grant).mint(context())).rejects.toThrow("down");
    grant.recover();
    expect((await definitionOf(grant).mint(context())).access_token).toBe("fake-3");
  });

  test("held mints wait for release; mints after the release do not", async () => {
    const grant = fakeGrant();
    const hold = grant.hold();
    const held = [definitionOf(grant).mint(context()), definitionOf(grant).mint(context())];
    expect([grant.mints, hold.waiting, grant.last]).toEqual([2, 2, undefined]);
    hold.release();
    expect((await Promise.all(held)).map((token) => token.access_token)).toEqual(["fake-1", "fake-2"]);
    expect((await definitionOf(grant).mint(context())).access_token).toBe("fake-3");
  });

  test("a hold can fail its mints, and each mint waits for the newest hold at its beginning", async () => {
    const grant = fakeGrant();
    const older = grant.hold();
    const first = definitionOf(grant).mint(context());
    const newer = grant.hold();
    const second = definitionOf(grant).mint(context());
    expect([older.waiting, newer.waiting]).toEqual([1, 1]);
    newer.fail(new Error("refused"));
    await expect(second).rejects.toThrow("refused");
    const third = definitionOf(grant).mint(context());
    expect(older.waiting).toBe(2);
    older.release();
    expect((await first).access_token).toBe("fake-1");
    expect((await third).access_token).toBe("fake-3");
  });

  test("a held mint obeys its signal unless the hold has ignoreSignal", async () => {
    const grant = fakeGrant();
    const reason = new Error("time is up");
    const obeying = grant.hold();
    const controller = new AbortController();
    const abandoned = definitionOf(grant).mint({ signal: controller.signal });
    controller.abort(reason);
    await expect(abandoned).rejects.toBe(reason);
    expect(obeying.waiting).toBe(0);
    obeying.release();
    const deaf = grant.hold({ ignoreSignal: true });
    const ignoring = definitionOf(grant).mint({ signal: AbortSignal.abort(reason) });
    expect(deaf.waiting).toBe(1);
    deaf.release();
    expect((await ignoring).access_token).toBe("fake-2");
  });

  test("a wrong option is a TypeError that names it", () => {
    // @ts-expect-error a string is no number of seconds
    expect(() => fakeGrant({ expiresIn: "60" })).toThrow(/"expiresIn"/);
    // @ts-expect-error a number is no object of members
    expect(() => fakeGrant({ response: 1 })).toThrow(/response options/);
    expect(() => fakeGrant().fail(new Error("x"), 0)).toThrow(/"times"/);
  });
});
