/** The storm guard, sentence by sentence (docs/rules.md#storm-guard). With many users, on virtual time: sim/guard.test.ts. */
import { describe, expect, test } from "vitest";
import { EvidenceAccounts, Place, Rejections } from "../../src/core/rejections.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { ORIGIN, TARGET } from "./cache-under-test.ts";
import type { TokenIdentity, Turn } from "../../src/core/rejections.ts";
import type { RequestTarget } from "../../src/core/types.ts";

const at = (path: string, origin = ORIGIN): RequestTarget => ({ origin, path });

/** One cache of a pool, and what a request of it would do. */
class User {
  token: TokenIdentity;
  readonly rejections: Rejections;
  /** What its waiting request was told. */
  told: Turn[] = [];
  #flights = 0;

  constructor(clock: ManualClock, accounts: EvidenceAccounts) {
    this.token = this.#newToken();
    this.rejections = new Rejections(clock, accounts, () => {});
  }

  #newToken(): TokenIdentity {
    return { value: "token", flight: ++this.#flights };
  }

  ask(site: RequestTarget = TARGET): "granted" | "refused" | "waits" {
    const answer = this.rejections.ask(this.token, site);
    if (!(answer instanceof Place)) return answer;
    answer.join((turn) => this.told.push(turn));
    return "waits";
  }

  /** The mint of a probe. */
  mint(): void {
    this.rejections.begun();
    this.token = this.#newToken();
    this.rejections.landed(this.token);
  }

  accept(site: RequestTarget = TARGET): void {
    this.rejections.accepted(this.token, site);
  }

  reject(site: RequestTarget = TARGET): void {
    this.rejections.rejectedAgain(this.token, site);
  }

  /** Asks for a mint, and if it is granted at once, the new token is rejected too. */
  probeInVain(site: RequestTarget = TARGET): "granted" | "refused" | "waits" {
    const answer = this.ask(site);
    if (answer === "granted") {
      this.mint();
      this.reject(site);
    }
    return answer;
  }
}

interface Pool {
  readonly clock: ManualClock;
  readonly accounts: EvidenceAccounts;
  /** Users whose tokens were accepted once. */
  readonly users: (many: number) => User[];
  readonly user: () => User;
  /** A user whose token was never accepted. */
  readonly stranger: () => User;
}

function pool(): Pool {
  const clock = manualClock();
  const accounts = new EvidenceAccounts(clock);
  const stranger = (): User => new User(clock, accounts);
  const user = (): User => {
    const known = stranger();
    known.accept();
    return known;
  };
  return { clock, accounts, stranger, user, users: (many) => Array.from({ length: many }, user) };
}

const count = (users: readonly User[], turn: Turn): number => users.filter(({ told }) => told.includes(turn)).length;

/** Eight users are rejected again, which makes the API known bad. */
function makeKnownBad({ users }: Pool): void {
  for (const each of users(8)) expect(each.probeInVain()).toBe("granted");
}

describe("C8: entries of paths", () => {
  test("C8: two charges are free, and the third closes the path for 1, 2, 4 .. 30 s", async () => {
    const { clock, user } = pool();
    const one = user();
    const passed: number[] = [];
    for (let tenth = 0; tenth < 1250; tenth++) {
      const answer = one.ask();
      expect(answer).not.toBe("waits");
      if (answer === "granted") {
        passed.push(tenth / 10);
        one.mint();
      }
      await clock.advance(100);
    }
    expect(passed).toEqual([0, 0.1, 0.2, 1.2, 3.2, 7.2, 15.2, 31.2, 61.2, 91.2, 121.2]);
  });

  test("C8: a known rejection closes the path at once, for 1, 2, 4 .. 30 s", async () => {
    const { clock, user } = pool();
    const one = user();
    for (const pause of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      expect(one.probeInVain()).toBe("granted");
      expect(one.ask()).toBe("refused");
      await clock.advance(pause - 1);
      expect(one.ask()).toBe("refused");
      await clock.advance(1);
    }
    expect(one.ask()).toBe("granted");
  });

  test("C8: steps of the wall clock neither open nor close a path", async () => {
    const { clock, user } = pool();
    const one = user();
    one.probeInVain();
    clock.stepWall(3_600_000);
    expect(one.ask()).toBe("refused");
    clock.stepWall(-7_200_000);
    await clock.advance(1000);
    expect(one.ask()).toBe("granted");
  });

  test("C8: no path closes another, and no origin another", () => {
    const one = pool().user();
    one.probeInVain(at("/broken"));
    expect([one.ask(at("/broken")), one.ask(at("/ok")), one.ask(at("/broken", "https://b.example"))]).toEqual([
      "refused",
      "granted",
      "granted",
    ]);
  });

  test("C8: a newer token that is accepted on the path opens it; the rejected one, an older one or another path do not", () => {
    const { user } = pool();
    const one = user();
    const old = one.token;
    one.probeInVain();
    one.accept();
    one.rejections.accepted(old, TARGET);
    one.accept(at("/public"));
    expect(one.ask()).toBe("refused");
    one.mint();
    one.accept(at("/public"));
    expect(one.ask()).toBe("refused");
    one.accept();
    expect(one.ask()).toBe("granted");
  });

  test.each([
    ["a minute after its pause an entry is forgotten", 64_000, 1000],
    ["until then it is not", 63_999, 8000],
  ])("C8: %s", async (_, ms, pause) => {
    const { clock, user } = pool();
    const one = user();
    one.probeInVain();
    await clock.advance(1000);
    one.probeInVain();
    await clock.advance(2000);
    one.probeInVain();
    await clock.advance(ms);
    expect(one.probeInVain()).toBe("granted");
    await clock.advance(pause - 1);
    expect(one.ask()).toBe("refused");
    await clock.advance(1);
    expect(one.ask()).toBe("granted");
  });

  test("C8: a cache keeps 64 paths, and drops the one that was charged least recently", () => {
    const one = pool().user();
    for (let path = 0; path < 65; path++) one.reject(at(`/${path}`));
    expect([one.ask(at("/1")), one.ask(at("/64")), one.ask(at("/0"))]).toEqual(["refused", "refused", "granted"]);
  });
});

describe("C8: the account of an origin", () => {
  test("C8: eight probes at once, then one a second; the others wait and are not refused", async () => {
    const { clock, users } = pool();
    const all = users(12);
    const answers = all.map((each) => each.ask());
    for (const each of all) each.rejections.begun();
    expect(answers).toEqual([...Array<string>(8).fill("granted"), ...Array<string>(4).fill("waits")]);
    for (let second = 0; second < 4; second++) {
      await clock.advance(999);
      expect(count(all, "granted")).toBe(second);
      await clock.advance(1);
      expect(count(all, "granted")).toBe(second + 1);
    }
  });

  test("C8: another origin has an account of its own", () => {
    const { users } = pool();
    for (const each of users(9)) each.ask();
    expect(users(8).map((each) => each.ask(at("/", "https://b.example")))).toEqual(Array(8).fill("granted"));
  });

  test("C8: an idle account saves up eight credits", async () => {
    const { clock, users } = pool();
    for (const each of users(8)) each.ask();
    await clock.advance(3_600_000);
    expect(users(9).filter((each) => each.ask() === "granted")).toHaveLength(8);
  });

  test("C8: after 64 rejections in a row, one credit returns in 5 s", async () => {
    const { clock, users } = pool();
    let rejected = 0;
    for (const each of users(64)) {
      if (each.ask() === "waits") await clock.advance(1000);
      each.mint();
      each.reject();
      rejected++;
    }
    expect(rejected).toBe(64);
    const [next] = users(1) as [User];
    expect(next.ask()).toBe("waits");
    await clock.advance(4999);
    expect(next.told).toEqual([]);
    await clock.advance(1);
    expect(next.told).toEqual(["granted"]);
  });

  test("C8: a mint that fails gives back its credit, its charge and its place in the cache's limit", () => {
    const { user, users } = pool();
    const one = user();
    for (let time = 0; time < 50; time++) {
      expect(one.ask()).toBe("granted");
      one.rejections.begun();
      one.rejections.uncharge(true);
    }
    expect(users(9).filter((each) => each.ask() === "granted")).toHaveLength(8);
  });
});

/** Eight users probe, and twenty wait. */
function busy(): Pool & { readonly probing: User[]; readonly waiting: User[] } {
  const all = pool();
  const probing = all.users(8);
  for (const each of probing) expect(each.ask()).toBe("granted");
  const waiting = all.users(20);
  for (const each of waiting) expect(each.ask()).toBe("waits");
  return { ...all, probing, waiting };
}

describe("C8: the verdict", () => {
  test("C8: an accepted probe brings eight credits; an acceptance elsewhere, or of others, brings none", () => {
    const { probing, waiting, user } = busy();
    const [first] = probing as [User];
    first.mint();
    first.accept(at("/public"));
    user().accept();
    expect(count(waiting, "granted")).toBe(0);
    first.accept();
    expect(count(waiting, "granted")).toBe(8);
  });

  test("C8: it counts once, also when it is late", async () => {
    const { probing, waiting, clock } = busy();
    const [first] = probing as [User];
    first.mint();
    await clock.advance(2500);
    expect(count(waiting, "granted")).toBe(2);
    first.accept();
    expect(count(waiting, "granted")).toBe(10);
    first.accept();
    expect(count(waiting, "granted")).toBe(10);
  });

  test.each([
    ["eight probes whose tokens nobody uses are rejections 2 s after their mints", 2000, "waits"],
    ["before that they are none", 1999, "granted"],
  ] as const)("C8: %s", async (_, ms, answer) => {
    const { clock, user, users } = pool();
    for (const each of users(8)) {
      each.ask();
      each.mint();
    }
    await clock.advance(ms);
    // Known bad: the credits that have returned are gone.
    expect(user().ask()).toBe(answer);
  });
});

describe("C8: the pace", () => {
  test("C8: 64 probes are open, one more for each mint that landed, and half as many when a mint fails", () => {
    const { users } = pool();
    const all = users(400);
    const open = all.filter((each) => each.ask() === "granted");
    const granted = (): User[] => all.filter(({ told }) => told.includes("granted"));
    for (const each of open) each.mint();
    for (const each of open) each.accept();
    expect(granted()).toHaveLength(64);
    const over = granted().slice(0, 20);
    for (const each of over) {
      each.mint();
      each.accept();
    }
    // 28 mints have landed, and 20 of those that were granted are over.
    expect(granted()).toHaveLength(64 + 28 + 20);
    const failing = granted().filter((each) => !over.includes(each));
    for (const each of failing.slice(0, 46)) each.rejections.uncharge(true);
    expect(granted()).toHaveLength(64 + 28 + 20);
    failing[46]!.rejections.uncharge(true);
    expect(granted()).toHaveLength(64 + 28 + 20 + 1);
  });
});

describe("C8: the order", () => {
  test("C8: all callers of a cache share one place", () => {
    const { users } = pool();
    for (const each of users(8)) each.ask();
    const [one] = users(1) as [User];
    const place = one.rejections.ask(one.token, TARGET);
    expect(place).toBeInstanceOf(Place);
    expect(one.rejections.ask(one.token, at("/another"))).toBe(place);
  });

  test("C8: users whose tokens were never accepted come after others", async () => {
    const { clock, users, user, stranger } = pool();
    for (const each of users(8)) each.ask();
    const strangers = Array.from({ length: 10 }, stranger);
    for (const each of strangers) expect(each.ask()).toBe("waits");
    const last = user();
    last.ask();
    await clock.advance(1000);
    expect([count(strangers, "granted"), last.told]).toEqual([0, ["granted"]]);
  });

  test("C8: so does a path where three probes were rejected", async () => {
    const { clock, users, user } = pool();
    for (const each of users(3)) each.probeInVain(at("/forbidden"));
    for (const each of users(5)) each.ask();
    const forbidden = users(10);
    for (const each of forbidden) expect(each.ask(at("/forbidden"))).toBe("waits");
    const last = user();
    last.ask();
    await clock.advance(1000);
    expect([count(forbidden, "granted"), last.told]).toEqual([0, ["granted"]]);
  });

  test("C8: a user whose renewed token was rejected comes after others, until one of theirs is accepted", async () => {
    const { clock, users, user } = pool();
    const doubtful = users(2) as [User, User];
    for (const each of doubtful) each.probeInVain(at("/forbidden"));
    doubtful[1].accept(at("/healthy"));
    for (const each of users(6)) each.ask();
    for (const each of doubtful) expect(each.ask(at("/healthy"))).toBe("waits");
    const last = user();
    last.ask();
    await clock.advance(2000);
    expect([doubtful[0].told, doubtful[1].told, last.told]).toEqual([[], ["granted"], ["granted"]]);
  });

  test("C8: a path that is known to be forbidden takes a free credit, or its 401 goes to the caller", async () => {
    const { clock, user, users } = pool();
    const one = user();
    one.probeInVain();
    await clock.advance(1000);
    const others = users(8);
    for (const each of others) expect(each.ask()).toBe("granted");
    expect(one.ask()).toBe("refused");
    others[0]!.rejections.uncharge(false);
    expect(one.ask()).toBe("granted");
  });

  test("C8: and its rejection does not count: seven others do not make the API known bad", async () => {
    const { clock, user, users } = pool();
    const [first, ...others] = users(7) as [User, ...User[]];
    for (const each of [first, ...others]) each.probeInVain();
    await clock.advance(1000);
    expect(first.probeInVain()).toBe("granted");
    expect(user().ask()).toBe("granted");
  });
});

describe("C8: an API that is known to be bad", () => {
  test("C8: the next rejection releases those who queued before its probe began, and nobody else", async () => {
    const all = pool();
    const [late, ...early] = all.users(6) as [User, ...User[]];
    makeKnownBad(all);
    for (const each of early) expect(each.ask()).toBe("waits");
    await all.clock.advance(1000);
    expect(count(early, "granted")).toBe(1);
    expect(late.ask()).toBe("waits");
    const probing = early.find(({ told }) => told.includes("granted"))!;
    probing.mint();
    probing.reject();
    expect([count(early, "released"), late.told]).toEqual([4, []]);
  });

  test("C8: not those on a path where a token was accepted since the rejections began", async () => {
    const all = pool();
    const [healthy, ...here] = all.users(21) as [User, ...User[]];
    const there = all.users(2);
    makeKnownBad(all);
    healthy.accept(at("/healthy"));
    for (const each of here) expect(each.ask()).toBe("waits");
    for (const each of there) expect(each.ask(at("/healthy"))).toBe("waits");
    await all.clock.advance(1000);
    const probing = there.find(({ told }) => told.includes("granted"))!;
    probing.mint();
    probing.reject(at("/healthy"));
    expect([count(here, "released"), count(there, "granted"), count(there, "released")]).toEqual([20, 1, 0]);
  });

  test("C8: nobody within 10 s of an accepted probe", async () => {
    const all = pool();
    const good = all.user();
    good.ask();
    good.mint();
    good.accept();
    const waiting = all.users(5);
    makeKnownBad(all);
    for (const each of waiting) each.ask();
    await all.clock.advance(1000);
    const probing = waiting.find(({ told }) => told.includes("granted"))!;
    probing.mint();
    probing.reject();
    expect(count(waiting, "released")).toBe(0);
  });

  test("C8: it is forgotten after a minute without a rejection", async () => {
    const all = pool();
    makeKnownBad(all);
    await all.clock.advance(60_000);
    expect(all.users(9).filter((each) => each.ask() === "granted")).toHaveLength(8);
  });

  test("C8: after the first accepted token, those who wait send the token that they have once more", async () => {
    const all = pool();
    makeKnownBad(all);
    const waiting = all.users(20);
    for (const each of waiting) each.ask();
    await all.clock.advance(1000);
    const probing = waiting.find(({ told }) => told.includes("granted"))!;
    probing.mint();
    probing.accept();
    expect([count(waiting, "retry"), count(waiting, "granted")]).toEqual([19, 1]);
  });
});

describe("C8: the limit of a cache", () => {
  test("C8: ten renewal mints in a burst, then one a second, whatever their outcomes are", async () => {
    const { clock, user } = pool();
    const one = user();
    const renew = (): boolean => {
      if (one.ask() !== "granted") return false;
      one.mint();
      one.accept();
      return true;
    };
    for (let time = 0; time < 10; time++) expect(renew()).toBe(true);
    expect(renew()).toBe(false);
    await clock.advance(999);
    expect(one.told).toEqual([]);
    await clock.advance(1);
    expect(one.told).toEqual(["granted"]);
    one.mint();
    one.accept();
    await clock.advance(3_600_000);
    for (let time = 0; time < 10; time++) expect(renew()).toBe(true);
    expect(renew()).toBe(false);
  });

  test("C8: the limit is the cache's own", () => {
    const { user } = pool();
    for (const one of [user(), user()]) {
      for (let time = 0; time < 10; time++) {
        expect(one.ask()).toBe("granted");
        one.mint();
        one.accept();
      }
    }
  });
});

describe("C8: requests that do not wait", () => {
  test.each([
    ["is granted within 10 s", 9000, 1],
    ["is gone after 10 s", 10_001, 0],
  ])("C8: the place of a stream %s", async (_, ms, grants) => {
    const { clock, accounts, users } = pool();
    for (const each of users(8)) {
      each.ask();
      each.rejections.begun();
    }
    let granted = 0;
    // The account has no credit until somebody who comes before has been granted.
    const stream = new Rejections(clock, accounts, () => granted++);
    const before = users(ms / 1000 - 1);
    for (const each of before) each.ask();
    expect(stream.ask({ value: "stream", flight: 1 }, TARGET)).toBeInstanceOf(Place);
    for (const each of before) each.rejections.begun();
    await clock.advance(ms + 2000);
    expect([granted, count(before, "granted")]).toEqual([grants, before.length]);
  });

  test("C8: a place without callers goes", async () => {
    const { clock, users } = pool();
    for (const each of users(8)) each.ask();
    const [one, other] = users(2) as [User, User];
    const place = one.rejections.ask(one.token, TARGET) as Place;
    const leave = place.join((turn) => one.told.push(turn));
    other.ask();
    leave();
    one.rejections.leave(place);
    await clock.advance(1000);
    expect([one.told, other.told]).toEqual([[], ["granted"]]);
  });

  test("C8: a token that has come is for all who wait in the cache", () => {
    const { users } = pool();
    for (const each of users(8)) each.ask();
    const [one] = users(1) as [User];
    expect(one.ask()).toBe("waits");
    one.mint();
    expect(one.told).toEqual(["granted"]);
  });
});

describe("C8: trials end", () => {
  test("C8: a cache is on trial until its token is accepted for the first time", () => {
    const one = pool().stranger();
    expect(one.rejections.onTrial(one.token)).toBe(true);
    one.accept();
    expect(one.rejections.onTrial(one.token)).toBe(false);
  });

  test.each([
    ["a path of its own", at("/unique")],
    ["an origin of its own", at("/", "https://unique.example")],
  ])("C8: one request to %s is rejected: the trial is over two minutes later", async (_, site) => {
    const { clock, accounts, user } = pool();
    const one = user();
    one.ask(site);
    one.mint();
    one.accept(at("/elsewhere"));
    expect(one.rejections.onTrial(one.token)).toBe(true);
    for (let second = 0; second < 130; second++) {
      await clock.advance(1000);
      if (one.rejections.onTrial(one.token)) one.accept(at("/elsewhere"));
    }
    expect([one.rejections.onTrial(one.token), accounts.onTrial, one.rejections.isClear]).toEqual([false, false, true]);
  });

  test("C8: an accepted probe ends the trial at once", () => {
    const { accounts, user } = pool();
    const one = user();
    one.ask();
    expect([accounts.onTrial, one.rejections.doubts(TARGET)]).toEqual([true, false]);
    one.mint();
    one.accept();
    expect([accounts.onTrial, one.rejections.onTrial(one.token)]).toEqual([false, false]);
  });

  test("C8: only an account where somebody waits has a timer", () => {
    const all = pool();
    makeKnownBad(all);
    expect(all.clock.timers).toBe(0);
    all.user().ask();
    expect(all.clock.timers).toBe(1);
  });
});
