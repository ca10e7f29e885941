/** C16: `signOut`, alone, twice, beside `close` and beside a refresh or a sign-in: what is over, and what is revoked. */
import { describe, expect, test, vi } from "vitest";
import { createTokenPool } from "remint";
import { createAuthFetch } from "remint/fetch";
import { manualClock, startApi } from "remint/testing";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { expire, type Session, startSession } from "./session-under-test.ts";

/** The tokens that the server was asked to revoke, oldest first. */
function revoked({ auth }: Session): string[] {
  const forms = auth.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form);
  return forms.map((form) => form.get("token") ?? "");
}

/** Both tokens of a session that was refreshed once. */
function bothOf(session: Session): string[] {
  return [session.issued().at(-1)!, session.auth.issued.at(-1)!];
}

const OVER = { code: "ERR_SESSION", status: 401, terminal: true, retryable: false };

describe("C16: signOut", () => {
  test("the session is over at once, in the process and at the server; only signIn begins another", async () => {
    const session = await startSession();
    const { cache, clock, names } = session.start();
    await cache.get();
    const signedOut = cache.signOut();
    expect(cache.peek()).toBeUndefined();
    expect(await rejectionOf(cache.get())).toMatchObject(OVER);
    await signedOut;
    expect(revoked(session)).toEqual(bothOf(session));
    expect(bothOf(session).map((token) => session.auth.tokenInfo(token)?.isLive)).toEqual([false, false]);
    // The row of the table is often still there: it begins nothing.
    await clock.advance(24 * 3600_000);
    for (let caller = 0; caller < 3; caller++) expect(await rejectionOf(cache.get())).toMatchObject(OVER);
    expect(session.presented()).toHaveLength(1);
    expect(names()).toEqual(["minted", "signed-out"]);
    const response = session.auth.signIn("alice");
    await cache.signIn(response);
    expect((await cache.get()).value).toBe(response.access_token);
  });

  test("callers that wait get ERR_SESSION (401); the refresh lands, is not saved, and what it brings is revoked", async () => {
    const session = await startSession();
    const { cache, names } = session.start();
    const release = session.auth.holdAnswers({ processFirst: true });
    const waiting = rejectionOf(cache.get());
    await session.auth.waitForLog("committed", 2);
    const signedOut = watch(cache.signOut());
    expect(await waiting).toMatchObject(OVER);
    await settle();
    expect(signedOut.state).toBe("pending");
    release();
    await vi.waitFor(() => expect(signedOut.state).toBe("fulfilled"), { timeout: 20_000 });
    expect(revoked(session)).toEqual(expect.arrayContaining(bothOf(session)));
    expect(session.saved()).toBe(session.first);
    expect(session.sessions.log.some(({ step }) => step === "saving")).toBe(false);
    expect(names()).toEqual(["signed-out"]);
  });

  test("a save that had failed is not repeated any more", async () => {
    const session = await startSession();
    const { cache, clock } = session.start();
    session.sessions.failSaves(1);
    await cache.get();
    await cache.signOut();
    await clock.advance(600_000);
    expect(session.sessions.log.filter(({ step }) => step === "saving")).toHaveLength(1);
    expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
    expect(session.saved()).toBe(session.first);
    expect(revoked(session)).toEqual(bothOf(session));
  });

  test("a request that was sent before is not sent again, and its own 401 is not hidden", async () => {
    const session = await startSession();
    const api = await startApi({ accepts: session.auth });
    const { cache } = session.start({ cache: { origins: [api.origin] } });
    const authFetch = createAuthFetch(cache, { failedRenewal: "throw" } as never);
    await cache.get();
    const release = api.holdAnswers();
    const sent = authFetch(`${api.origin}/orders`).then(
      ({ status }) => status,
      (error: { readonly status: number }) => error.status,
    );
    await api.waitFor(1);
    await cache.signOut();
    release();
    expect(await sent).toBe(401);
    expect(api.requests).toHaveLength(1);
    expect(session.presented()).toHaveLength(1);
    await api.close();
  });

  test("C14: a cache that is created with the same grant afterwards does not go on with the session", async () => {
    const session = await startSession();
    const pool = createTokenPool({ create: () => session.start().cache });
    await pool.get("sid").get();
    await pool.signOut("sid");
    expect(await rejectionOf(pool.get("sid").get())).toMatchObject(OVER);
    await pool.close();
  });

  test("of a process that has not minted yet: the refresh token in the table is revoked", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.signOut();
    expect(revoked(session)).toEqual([session.first]);
    expect(session.auth.tokenInfo(session.first)?.ended).toBe("revoked");
  });

  test("of a process whose refresh token another process has replaced: the one in the table is revoked", async () => {
    const session = await startSession();
    const [stale, busy] = [session.start(), session.start()];
    await stale.cache.get();
    await busy.cache.get();
    const [, newest] = session.issued();
    await stale.cache.signOut();
    expect(revoked(session)).toContain(newest);
    expect(session.auth.tokenInfo(newest!)?.ended).toBe("revoked");
  });

  test("the function that gives the refresh token fails: the one in memory is revoked, and signOut resolves", async () => {
    const session = await startSession();
    let isDown = false;
    const { cache } = session.start({
      refreshToken: () => {
        if (isDown) throw new Error("the database is down");
        return session.sessions.refreshToken("alice");
      },
    });
    await cache.get();
    isDown = true;
    await cache.signOut();
    expect(revoked(session)).toEqual(bothOf(session));
  });
});

describe("C16: signOut more than once", () => {
  test("one after another: revoked once", async () => {
    const session = await startSession();
    const { cache, names } = session.start();
    await cache.get();
    for (let call = 0; call < 3; call++) await cache.signOut();
    expect(revoked(session)).toEqual(bothOf(session));
    expect(names()).toEqual(["minted", "signed-out"]);
  });

  test("at once: revoked once, and none resolves before it is", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.get();
    const release = session.auth.holdAnswers();
    const calls = [1, 2, 3].map(() => watch(cache.signOut()));
    await session.auth.waitFor(2);
    await settle();
    expect(calls.map(({ state }) => state)).toEqual(["pending", "pending", "pending"]);
    release();
    await vi.waitFor(() => expect(calls.map(({ state }) => state)).toEqual(["fulfilled", "fulfilled", "fulfilled"]), {
      timeout: 20_000,
    });
    expect(revoked(session)).toEqual(bothOf(session));
  });

  test("at once, and the server fails: every call rejects", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.get();
    session.auth.respondAlways({ status: 503 });
    const errors = await Promise.all([1, 2].map(() => rejectionOf(cache.signOut())));
    expect(errors).toMatchObject([{ endpointStatus: 503 }, { endpointStatus: 503 }]);
  });

  test("after a revocation that failed: the same tokens are sent again, until it succeeds", async () => {
    const session = await startSession();
    const { cache, names } = session.start();
    await cache.get();
    session.auth.respondAlways({ status: 503 });
    for (let call = 0; call < 2; call++) {
      expect(await rejectionOf(cache.signOut())).toMatchObject({ endpointStatus: 503, retryable: true });
      expect(await rejectionOf(cache.get())).toMatchObject(OVER);
    }
    session.auth.respondAlways(undefined);
    await cache.signOut();
    await cache.signOut();
    const both = bothOf(session);
    expect(revoked(session)).toEqual([...both, ...both, ...both]);
    expect(names()).toEqual(["minted", "signed-out"]);
  });

  test("what a refresh brought could not be revoked: signOut rejects, and another call sends it again", async () => {
    const session = await startSession();
    const { cache } = session.start();
    const release = session.auth.holdAnswers({ processFirst: true });
    rejectionOf(cache.get()).catch(() => {});
    await session.auth.waitForLog("committed", 2);
    const signedOut = watch(cache.signOut());
    session.auth.respondAlways({ path: "/revoke", status: 503 });
    release();
    await vi.waitFor(() => expect(signedOut.state).not.toBe("pending"), { timeout: 20_000 });
    expect(signedOut).toMatchObject({ state: "rejected", reason: { endpointStatus: 503 } });
    session.auth.respondAlways(undefined);
    const before = revoked(session).length;
    await cache.signOut();
    expect(revoked(session).slice(before)).toEqual(expect.arrayContaining(bothOf(session)));
  });
});

describe("C16: signOut and close", () => {
  test("signOut, then close: revoked once, and nothing is left", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.get();
    await cache.signOut();
    expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
    expect(revoked(session)).toEqual(bothOf(session));
  });

  test("both at once, signOut first: revoked once", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.get();
    const [, report] = await Promise.all([cache.signOut(), cache.close()]);
    expect(report).toEqual({ inFlight: false, unsaved: false });
    expect(revoked(session)).toEqual(bothOf(session));
  });

  test.each(["beside", "after"] as const)(
    "%s close: signOut says that the cache was closed, and nothing is revoked",
    async (when) => {
      const session = await startSession();
      const { cache } = session.start();
      await cache.get();
      const closed = cache.close();
      if (when === "after") await closed;
      expect(await rejectionOf(cache.signOut())).toMatchObject({ code: "ERR_CLOSED" });
      expect(await closed).toEqual({ inFlight: false, unsaved: false });
      expect(revoked(session)).toEqual([]);
      // The session goes on, in another process.
      await session.start().cache.get();
      expect(session.auth.log.some(({ ended }) => ended !== undefined)).toBe(false);
    },
  );

  test("close alone revokes nothing, whatever is passed to it", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.get();
    await cache.close({ revoke: true } as never).catch(() => {});
    expect(revoked(session)).toEqual([]);
  });

  test("close, twice and at once: the same report, and the refresh in progress lands once", async () => {
    const session = await startSession();
    const { cache } = session.start();
    const release = session.auth.holdAnswers({ processFirst: true });
    rejectionOf(cache.get()).catch(() => {});
    await session.auth.waitForLog("committed", 2);
    const reports = Promise.all([cache.close(), cache.close()]);
    release();
    expect(await reports).toEqual([
      { inFlight: false, unsaved: false },
      { inFlight: false, unsaved: false },
    ]);
    expect(session.saved()).toBe(session.issued()[0]);
    expect(session.sessions.log.filter(({ step }) => step === "saved")).toHaveLength(1);
  });

  test("close while a target waits for its turn: the refresh in progress lands, and no other begins", async () => {
    const session = await startSession();
    const { cache } = session.start();
    const release = session.auth.holdAnswers({ processFirst: true });
    const first = rejectionOf(cache.get());
    await session.auth.waitForLog("committed", 2);
    const waiting = rejectionOf(cache.for({ resource: "https://orders.example/" }).get());
    await settle();
    const closed = cache.close();
    release();
    expect(await closed).toEqual({ inFlight: false, unsaved: false });
    expect([await first, await waiting]).toMatchObject([{ code: "ERR_CLOSED" }, { code: "ERR_CLOSED" }]);
    await settle();
    expect(session.presented()).toEqual([session.first]);
    expect(session.saved()).toBe(session.issued()[0]);
  });

  test("a refresh token that cannot be saved: close says so after `within`", async () => {
    const session = await startSession();
    const { cache, clock } = session.start();
    session.sessions.failSaves(Infinity);
    await cache.get();
    expect(await cache.close({ within: 0 })).toEqual({ inFlight: false, unsaved: true });
    const another = await startSession();
    const hanging = another.start({ onRotate: () => new Promise(() => {}), clock });
    const got = watch(hanging.cache.get());
    await another.auth.waitForLog("answered", 1);
    await settle();
    await clock.advance(5000);
    expect(got.state).toBe("fulfilled");
    const closed = watch(hanging.cache.close({ within: 2000 }));
    await clock.advance(1999);
    expect(closed.state).toBe("pending");
    await clock.advance(1);
    expect(closed.value).toEqual({ inFlight: false, unsaved: true });
  });

  test("of a pool: release lets go and the session goes on; signOut ends it; close names the keys with something left", async () => {
    const [alice, bob] = [await startSession(), await startSession()];
    const clock = manualClock();
    const pool = createTokenPool({ clock, create: (key) => (key === "a" ? alice : bob).start({ clock }).cache });
    await pool.get("a").get();
    expect(await pool.release("a")).toEqual({ inFlight: false, unsaved: false });
    expect(await pool.release("nobody")).toBeUndefined();
    await pool.get("a").get();
    expect(revoked(alice)).toEqual([]);
    await pool.signOut("a");
    expect(revoked(alice)).toEqual(bothOf(alice));
    bob.sessions.failSaves(Infinity);
    await pool.get("b").get();
    expect(await pool.close({ within: 100 })).toEqual({ inFlight: [], unsaved: ["b"] });
  });
});

describe("C16: signOut and signIn", () => {
  test("the user signs in while the revocation is on its way: the new session is served, and the old one is revoked", async () => {
    const session = await startSession();
    const { cache } = session.start();
    await cache.get();
    const old = bothOf(session);
    const release = session.auth.holdAnswers();
    const signedOut = cache.signOut();
    await session.auth.waitFor(2);
    const response = session.auth.signIn("alice");
    await cache.signIn(response);
    release();
    await signedOut;
    expect(revoked(session)).toEqual(old);
    expect((await cache.get()).value).toBe(response.access_token);
    expect(session.auth.isLive(response.access_token)).toBe(true);
    expect(session.saved()).toBe(response.refresh_token);
  });

  test("the user signs in while signOut waits for a refresh: what the refresh brings and the old tokens are revoked", async () => {
    const session = await startSession();
    const process = session.start();
    const { cache } = process;
    const { value } = await cache.get();
    const [previous] = session.issued();
    await expire(process);
    const release = session.auth.holdAnswers({ processFirst: true });
    rejectionOf(cache.get()).catch(() => {});
    await session.auth.waitForLog("committed", 3);
    const signedOut = cache.signOut();
    await settle();
    const response = session.auth.signIn("alice");
    await cache.signIn(response);
    release();
    await signedOut;
    await vi.waitFor(() => expect(revoked(session)).toEqual(expect.arrayContaining([previous, value])), {
      timeout: 20_000,
    });
    expect(revoked(session)).toContain(session.issued()[1]);
    expect(session.auth.isLive(response.access_token)).toBe(true);
    expect((await cache.get()).value).toBe(response.access_token);
  });
});
