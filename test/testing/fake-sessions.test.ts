import { describe, expect, test } from "vitest";
import { fakeSessions } from "../../src/testing/index.ts";

describe("fakeSessions", () => {
  test("keeps one refresh token for each session, and logs what was done with it", async () => {
    const sessions = fakeSessions({ alice: "rt-1" });
    expect(await sessions.refreshToken("alice")).toBe("rt-1");
    expect(await sessions.refreshToken("bob")).toBeUndefined();
    await sessions.save("alice", "rt-2");
    await sessions.save("bob", "rt-b");
    expect(await sessions.refreshToken("alice")).toBe("rt-2");
    await sessions.delete("alice");
    await sessions.delete("nobody");
    expect(await sessions.refreshToken("alice")).toBeUndefined();
    expect([...sessions.saved]).toEqual([["bob", "rt-b"]]);
    expect(sessions.log.map(({ step, id, refreshToken }) => [step, id, refreshToken])).toEqual([
      ["read", "alice", "rt-1"],
      ["read", "bob", undefined],
      ["saving", "alice", "rt-2"],
      ["saved", "alice", "rt-2"],
      ["saving", "bob", "rt-b"],
      ["saved", "bob", "rt-b"],
      ["read", "alice", "rt-2"],
      ["deleted", "alice", "rt-2"],
      ["deleted", "nobody", undefined],
      ["read", "alice", undefined],
    ]);
  });

  test("the next saves fail and write nothing, then saves succeed again", async () => {
    const sessions = fakeSessions({ alice: "rt-1" });
    sessions.failSaves(2);
    await expect(sessions.save("alice", "rt-2")).rejects.toThrow("the table of sessions cannot be written");
    await expect(sessions.save("bob", "rt-b")).rejects.toThrow("the table of sessions cannot be written");
    expect([...sessions.saved]).toEqual([["alice", "rt-1"]]);
    await sessions.save("alice", "rt-3");
    expect(sessions.log.map(({ step }) => step)).toEqual(["saving", "failed", "saving", "failed", "saving", "saved"]);
  });

  test("with Infinity all saves fail with the given error, until failSaves(0)", async () => {
    const sessions = fakeSessions();
    const error = new Error("disk full");
    sessions.failSaves(Infinity, error);
    await expect(sessions.save("alice", "rt-1")).rejects.toBe(error);
    await expect(sessions.save("alice", "rt-1")).rejects.toBe(error);
    sessions.failSaves(0);
    await sessions.save("alice", "rt-1");
    expect(sessions.saved.get("alice")).toBe("rt-1");
  });

  test("held saves write when they are released, and saves after that do not wait", async () => {
    const sessions = fakeSessions({ alice: "rt-1" });
    const hold = sessions.holdSaves();
    const saving = sessions.save("alice", "rt-2");
    expect(hold.waiting).toBe(1);
    expect(await sessions.refreshToken("alice")).toBe("rt-1");
    hold.release();
    await saving;
    await sessions.save("alice", "rt-3");
    expect(sessions.saved.get("alice")).toBe("rt-3");
  });

  test("held saves can fail, and whether a save fails is decided when it begins", async () => {
    const sessions = fakeSessions();
    const hold = sessions.holdSaves();
    const first = sessions.save("alice", "rt-1");
    sessions.failSaves(1, new Error("disk full"));
    hold.fail(new Error("connection lost"));
    await expect(first).rejects.toThrow("connection lost");
    const later = sessions.holdSaves();
    const second = sessions.save("alice", "rt-2");
    sessions.failSaves(0);
    later.release();
    await expect(second).rejects.toThrow("disk full");
    expect(sessions.saved.size).toBe(0);
  });

  test("a wrong argument is a TypeError that names it", async () => {
    // @ts-expect-error a string is no object
    expect(() => fakeSessions("alice")).toThrow(/^"saved" must be an object, got a string$/);
    expect(() => fakeSessions({ alice: "" })).toThrow(/"alice"/);
    const sessions = fakeSessions();
    await expect(sessions.save("alice", "")).rejects.toThrow(/"refreshToken"/);
    // @ts-expect-error the number is required
    expect(() => sessions.failSaves()).toThrow(/"times"/);
    expect(() => sessions.failSaves(-1)).toThrow(/"times"/);
    expect(sessions.log).toEqual([]);
  });
});
