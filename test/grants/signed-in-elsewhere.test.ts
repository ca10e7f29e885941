/**
 * C9: the server refuses the refresh token (`invalid_grant`), and later the table of sessions has another one: the user has
 * signed in at another process, or another process has won a race and its save took a while.
 */
import { describe, expect, test } from "vitest";
import { createTokenPool } from "remint";
import { createAuthFetch } from "remint/fetch";
import { manualClock, startApi } from "remint/testing";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { type Process, type Session, startSession } from "./session-under-test.ts";

const REFUSED = { code: "ERR_TOKEN_ENDPOINT", error: "invalid_grant", terminal: true, status: 401 };

/** A process whose refresh token the server has refused a moment ago. */
async function startRefused(): Promise<{ readonly session: Session; readonly process: Process }> {
  const session = await startSession();
  const process = session.start();
  session.auth.endSignIns();
  expect(await rejectionOf(process.cache.get())).toMatchObject(REFUSED);
  return { session, process };
}

/** How often the table was asked. */
const looks = ({ sessions }: Session): number => sessions.log.filter(({ step }) => step === "read").length;

describe("C9: the user signs in at another process", () => {
  test("right after the refusal: served a second after the last look, and not before", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    const next = await session.signInElsewhere();
    const before = looks(session);
    await clock.advance(999);
    expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
    expect(looks(session)).toBe(before);
    await clock.advance(1);
    expect((await cache.get()).value).toBe(session.auth.issued.at(-1));
    expect(looks(session)).toBe(before + 1);
    expect(session.presented()).toEqual([session.first, next]);
  });

  test("a day later: the first caller is served", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    await session.signInElsewhere();
    await clock.advance(24 * 3600_000);
    expect((await cache.get()).value).toBe(session.auth.issued.at(-1));
  });

  test("callers every 50 ms for 10 s: one look a second, no request and no event; then served within a second", async () => {
    const { session, process } = await startRefused();
    const { cache, clock, names } = process;
    const before = looks(session);
    for (let caller = 0; caller < 200; caller++) {
      await clock.advance(50);
      expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
    }
    expect(looks(session) - before).toBeLessThanOrEqual(10);
    expect(looks(session) - before).toBeGreaterThanOrEqual(9);
    expect(session.presented()).toEqual([session.first]);
    expect(names()).toEqual(["mint-failed"]);
    await session.signInElsewhere();
    let failures = 0;
    for (let isServed = false; !isServed; await clock.advance(50)) {
      isServed = await cache.get().then(
        () => true,
        () => false,
      );
      failures += isServed ? 0 : 1;
    }
    expect(failures).toBeLessThanOrEqual(20);
    expect(names()).toEqual(["mint-failed", "minted"]);
  });

  test("callers of ten targets, every 50 ms for 10 s: one look a second for the whole session", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    const before = looks(session);
    for (let caller = 0; caller < 200; caller++) {
      await clock.advance(50);
      expect(await rejectionOf(cache.for({ scope: `scope-${caller % 10}` }).get())).toMatchObject(REFUSED);
    }
    expect(looks(session) - before).toBeLessThanOrEqual(10);
    expect(session.presented()).toEqual([session.first]);
  });

  test("a hundred callers of a target and of the session together: all are served, with two refresh tokens", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    const next = await session.signInElsewhere();
    await clock.advance(1000);
    const orders = cache.for({ resource: "https://orders.example/" });
    const callers = Array.from({ length: 100 }, (_, number) => (number % 2 === 0 ? cache : orders).get());
    const values = (await Promise.all(callers)).map(({ value }) => value);
    expect(new Set(values)).toEqual(new Set(session.auth.issued.slice(-2)));
    expect(session.presented()).toEqual([session.first, next, session.issued()[0]]);
  });

  test("the table has the refused refresh token, an object or an empty string: nothing is sent", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    for (const saved of [session.first, { refresh_token: "rt" }, ""] as string[]) {
      (session.sessions.saved as Map<string, string>).set("alice", saved);
      await clock.advance(5000);
      const error = await rejectionOf(cache.get());
      const isRefused = saved === session.first;
      expect(error).toMatchObject(isRefused ? REFUSED : { code: "ERR_GRANT", cause: { name: "TypeError" } });
    }
    expect(session.presented()).toEqual([session.first]);
    const next = await session.signInElsewhere();
    await clock.advance(5000);
    await cache.get();
    expect(session.presented()).toEqual([session.first, next]);
  });

  test("the row is deleted meanwhile: nobody is signed in; then the user signs in: served", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    await session.sessions.delete("alice");
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
    const next = await session.signInElsewhere();
    await clock.advance(1000);
    await cache.get();
    expect(session.presented()).toEqual([session.first, next]);
  });

  test("the new refresh token is refused too, and then a third is there: each is presented once", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    const second = await session.signInElsewhere();
    session.auth.endSignIns();
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
    const third = await session.signInElsewhere();
    await clock.advance(1000);
    await cache.get();
    expect(session.presented()).toEqual([session.first, second, third]);
  });

  test("the first request with the new refresh token fails with 503: it is presented again, and the refused one is not", async () => {
    const { session, process } = await startRefused();
    const { cache, clock } = process;
    const next = await session.signInElsewhere();
    session.auth.respond({ status: 503 });
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject({ endpointStatus: 503, terminal: false });
    await clock.advance(5000);
    await cache.get();
    expect(session.presented()).toEqual([session.first, next, next]);
  });

  test("C15: a request that was sent before the refusal is not sent again with a token of the new sign-in", async () => {
    const session = await startSession();
    const api = await startApi({ accepts: session.auth });
    const { cache, clock } = session.start({ cache: { origins: [api.origin] } });
    const authFetch = createAuthFetch(cache);
    await cache.get();
    const release = api.holdAnswers();
    const sent = rejectionOf(authFetch(`${api.origin}/orders`, { method: "POST", body: "1 of Alice's" }));
    await api.waitFor(1);
    session.auth.endSignIns();
    await clock.advance(3600_000);
    expect(await rejectionOf(cache.get())).toMatchObject(REFUSED);
    await session.signInElsewhere();
    await clock.advance(1000);
    await cache.get();
    release();
    expect(await sent).toMatchObject({ code: "ERR_SESSION", status: 503 });
    expect(api.requests).toHaveLength(1);
    await api.close();
  });

  test("C16: signIn at this process: served at once, without a look and without a request", async () => {
    const { session, process } = await startRefused();
    const { cache, names } = process;
    const before = looks(session);
    const response = session.auth.signIn("alice");
    await cache.signIn(response);
    expect((await cache.get()).value).toBe(response.access_token);
    expect(session.saved()).toBe(response.refresh_token);
    expect([looks(session), session.presented()]).toEqual([before, [session.first]]);
    expect(names()).toEqual(["mint-failed", "signed-in"]);
  });

  test("in a pool: the refusal of one user is no failure of another, and signIn of the key ends it", async () => {
    const clock = manualClock();
    const [alice, bob] = [await startSession(), await startSession()];
    const pool = createTokenPool({
      clock,
      create: (key) => (key === "alice" ? alice : bob).start({ clock }).cache,
    });
    alice.auth.endSignIns();
    expect(await rejectionOf(pool.get("alice").get())).toMatchObject(REFUSED);
    expect((await pool.get("bob").get()).value).toBe(bob.auth.issued.at(-1));
    const response = alice.auth.signIn("alice");
    await pool.signIn("alice", response);
    expect((await pool.get("alice").get()).value).toBe(response.access_token);
  });
});

/** The winner's refresh token is on its way into the table, and the loser was refused. */
async function race(): Promise<{
  readonly session: Session;
  readonly loser: Process;
  readonly save: () => Promise<void>;
}> {
  const session = await startSession();
  const [winner, loser] = [session.start(), session.start()];
  const hold = session.sessions.holdSaves();
  const won = watch(winner.cache.get());
  await session.auth.waitForLog("answered", 1);
  // A server that does not end the session when a used refresh token is presented.
  session.auth.respond({ status: 400, body: { error: "invalid_grant" } });
  expect(await rejectionOf(loser.cache.get())).toMatchObject(REFUSED);
  return {
    session,
    loser,
    async save() {
      hold.release();
      await settle();
      expect(won.state).toBe("fulfilled");
    },
  };
}

describe("C9: another process wins a race, and its save takes a while", () => {
  test("the save ends after 100 ms: the loser is served a second after its last look, with the winner's refresh token", async () => {
    const { session, loser, save } = await race();
    await loser.clock.advance(100);
    await save();
    expect(await rejectionOf(loser.cache.get())).toMatchObject(REFUSED);
    await loser.clock.advance(900);
    expect((await loser.cache.get()).value).toBe(session.auth.issued.at(-1));
    expect(session.presented()).toEqual([session.first, session.first, session.issued()[0]]);
  });

  test("the save ends between the refusal and the second look of the same mint: the caller notices nothing", async () => {
    const session = await startSession();
    const [winner, loser] = [session.start(), session.start()];
    const hold = session.sessions.holdSaves();
    const won = winner.cache.get();
    await session.auth.waitForLog("answered", 1);
    session.auth.respond(async () => {
      hold.release();
      await won;
      return { status: 400, body: { error: "invalid_grant" } };
    });
    expect((await loser.cache.get()).value).toBe(session.auth.issued.at(-1));
    expect(loser.names()).toEqual(["minted"]);
    expect(session.presented()).toEqual([session.first, session.first, session.issued()[0]]);
  });
});
