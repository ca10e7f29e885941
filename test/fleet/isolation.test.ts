/**
 * One sick process of a fleet, or one sick key of its store, harms nobody else: failures stay with those whom their cause
 * concerns.
 */
import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError } from "../../src/index.ts";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { watch } from "../core/cache-under-test.ts";
import { fleetUnderTest, type FleetUnderTest, type Process } from "./fleet-under-test.ts";
import { poolProcess, sessionFleet } from "./session-server.ts";

const WRONG_SECRET = new TokenEndpointError(401, "refused", { error: "invalid_client" });
const LIFE = 3600_000;

/** A grant at a server that a process shares with the others, with failures of its own. */
function grantAt(endpoint: string, key = "orders"): FakeGrant {
  return Object.assign(fakeGrant({ key }), { server: { endpoint, client: "app", target: "" } });
}

/** A connection that is refused before anything is sent. */
function refusedConnection(): Error {
  const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  return new RemintError("ERR_TOKEN_NETWORK", "no token is available", { cause, retryable: true });
}

/** Joins a process whose mints all fail. */
function joinSick({ join }: FleetUnderTest, failure: unknown, grant = grantAt("https://auth.example")): Process {
  grant.fail(failure, Infinity);
  return join({ grant });
}

/** One process refreshes a token in the background, 15 s before its expiry, and gets no answer. Another one has it too. */
async function silentRefresh(): Promise<{
  readonly fleet: FleetUnderTest;
  readonly sick: Process;
  readonly other: Process;
}> {
  const healthy = grantAt("https://auth.example");
  const fleet = fleetUnderTest({ size: 1, grant: healthy, mintTimeout: 30_000, minValidity: 0 });
  const other = fleet.processes[0]!;
  const sick = fleet.join({ grant: grantAt("https://auth.example") });
  const first = [other, sick].map(({ cache }) => watch(cache.get()));
  await fleet.clock.advance(LIFE - 15_000);
  expect(first.map(({ state }) => state)).toEqual(["fulfilled", "fulfilled"]);
  return { fleet, sick, other };
}

describe("one process whose mints fail", () => {
  test.each([
    ["with a wrong secret", WRONG_SECRET],
    ["without a way out", refusedConnection()],
    ["whose server answers 503", new TokenEndpointError(503, "down")],
  ])("C9: %s, first to come: seven others have a token within a second, of one mint", async (_, failure) => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    const sick = joinSick(fleet, failure);
    const others = Array.from({ length: 7 }, () => fleet.join());
    const own = watch(sick.cache.get());
    await fleet.clock.advance(5);
    const all = others.map(({ cache }) => watch(cache.get()));
    await fleet.clock.advance(1000);
    expect(all.map(({ state }) => state)).toEqual(all.map(() => "fulfilled"));
    expect(healthy.mints).toBe(1);
    // The sick one finds the token of the others, or has failed before.
    expect(own.state).not.toBe("pending");
    await fleet.clock.advance(2000);
    expect((await sick.cache.get()).value).toBe("fake-1");
  });

  test("C9: at every expiry for a day: the healthy processes win the lease, because the sick one waits", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy, refreshBuffer: 0, minValidity: 0 });
    const sick = joinSick(fleet, WRONG_SECRET);
    const others = Array.from({ length: 3 }, () => fleet.join());
    watch(sick.cache.get());
    await fleet.clock.advance(3000);
    for (let hours = 0; hours < 24; hours++) {
      // The sick one asks first.
      const first = watch(sick.cache.get());
      await fleet.clock.advance(0);
      const all = others.map(({ cache }) => watch(cache.get()));
      await fleet.clock.advance(1500);
      expect([first, ...all].map(({ state }) => state)).toEqual([first, ...all].map(() => "fulfilled"));
      await fleet.clock.advance(LIFE);
    }
    // Once, at the start.
    expect(sick.grant.mints).toBe(1);
    expect(healthy.mints).toBe(24);
  });

  test("C9: it has failed for one user, and leaves the records of all users to the others", async () => {
    const fleet = sessionFleet(0);
    const server = { endpoint: "https://auth.example", client: "app", target: "" };
    const failing = poolProcess(fleet, () => fleet.server.signIn(), { members: { server } });
    const seeds = new Map(["u0", "u1", "u2", "u3", "u4"].map((user) => [user, fleet.server.signIn()]));
    const sick = poolProcess(fleet, (user) => seeds.get(user)!, { members: { server } });
    const healthy = poolProcess(fleet, (user) => seeds.get(user)!, { members: { server } });
    await failing.pool.close();
    const sickGet = (user: string): ReturnType<typeof watch> => {
      const cache = sick.pool.get(user);
      sick.grants.get(user)!.beforeSending = () => Promise.reject(WRONG_SECRET);
      return watch(cache.get());
    };
    sickGet("u0");
    await fleet.clock.advance(1000);
    for (const user of ["u1", "u2", "u3", "u4"]) {
      const own = sickGet(user);
      await fleet.clock.advance(10);
      const other = watch(healthy.pool.get(user).get());
      await fleet.clock.advance(1000);
      expect([user, other.state, own.state]).toEqual([user, "fulfilled", "fulfilled"]);
    }
    await Promise.all([sick, healthy].map(({ pool }) => pool.close()));
  });

  test("C9: it is alone: it mints again after its pause, and is served when the server works again", async () => {
    const fleet = fleetUnderTest({ size: 0 });
    const sick = joinSick(fleet, WRONG_SECRET);
    const first = watch(sick.cache.get());
    await fleet.clock.advance(100);
    expect(first.reason).toMatchObject({ error: "invalid_client" });
    sick.grant.recover();
    await fleet.clock.advance(1500);
    const second = watch(sick.cache.get());
    await fleet.clock.advance(500);
    expect(second.state).toBe("fulfilled");
    // Its mints succeed again, so it does not wait any more.
    await fleet.clock.advance(LIFE);
    const third = watch(sick.cache.get());
    await fleet.clock.advance(20);
    expect(third.state).toBe("fulfilled");
  });

  test("C9: the failures of two processes bind the others for a second at most", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    for (let count = 0; count < 2; count++) {
      watch(joinSick(fleet, WRONG_SECRET).cache.get());
      await fleet.clock.advance(300);
    }
    const bound = fleet.join();
    const early = watch(bound.cache.get());
    await fleet.clock.advance(100);
    expect(early).toMatchObject({ state: "rejected", reason: { error: "invalid_client" } });
    expect(healthy.mints).toBe(0);
    await fleet.clock.advance(1000);
    const later = watch(fleet.join().cache.get());
    await fleet.clock.advance(300);
    expect(later.state).toBe("fulfilled");
  });

  test("C9: the failures of two processes, read 900 ms later: the one that reads them is served when the second is over", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    for (let count = 0; count < 2; count++) {
      watch(joinSick(fleet, WRONG_SECRET).cache.get());
      await fleet.clock.advance(300);
    }
    const bound = fleet.join();
    await fleet.clock.advance(600);
    const early = watch(bound.cache.get());
    await fleet.clock.advance(100);
    expect(early).toMatchObject({ state: "rejected", reason: { error: "invalid_client" } });
    await fleet.clock.advance(100);
    const later = watch(bound.cache.get());
    await fleet.clock.advance(300);
    expect([later.state, healthy.mints]).toEqual(["fulfilled", 1]);
  });

  test("C9: a Retry-After of 20 s, read after 15 s: the one that reads it asks when the 20 s are over", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    const limited = new TokenEndpointError(429, "slow down", { retryAfter: 20_000, retryable: true });
    watch(joinSick(fleet, limited).cache.get());
    await fleet.clock.advance(15_000);
    const other = fleet.join();
    const bound = watch(other.cache.get());
    await fleet.clock.advance(4000);
    expect(bound).toMatchObject({ state: "rejected", reason: { endpointStatus: 429 } });
    await fleet.clock.advance(1500);
    const served = watch(other.cache.get());
    await fleet.clock.advance(300);
    expect([served.state, healthy.mints]).toEqual(["fulfilled", 1]);
  });

  test("C9: a Retry-After that one process was told binds all, because it concerns the client", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    const limited = new TokenEndpointError(429, "slow down", { retryAfter: 20_000, retryable: true });
    watch(joinSick(fleet, limited).cache.get());
    await fleet.clock.advance(300);
    const other = fleet.join();
    const bound = watch(other.cache.get());
    await fleet.clock.advance(300);
    expect(bound).toMatchObject({ state: "rejected", reason: { endpointStatus: 429 } });
    await fleet.clock.advance(20_000);
    const served = watch(other.cache.get());
    await fleet.clock.advance(300);
    expect([served.state, healthy.mints]).toEqual(["fulfilled", 1]);
  });

  test("C9: a refused connection with two retries: another process sends in between, and its token is adopted", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy, mintRetries: 2 });
    const sick = joinSick(fleet, refusedConnection());
    // A grant that may be repeated.
    Object.assign(sick.grant, { retry: async (attempt: () => Promise<unknown>) => attempt() });
    const own = watch(sick.cache.get());
    await fleet.clock.advance(5);
    const other = watch(fleet.join().cache.get());
    await fleet.clock.advance(1000);
    expect([own.state, other.state]).toEqual(["fulfilled", "fulfilled"]);
    expect([sick.grant.mints, healthy.mints]).toEqual([1, 1]);
    expect(sick.events.map(({ name }) => name)).toContain("mint-retried");
  });

  test("C11: a refused connection with two retries and nobody else: three attempts, then the failure", async () => {
    const fleet = fleetUnderTest({ size: 0, mintRetries: 2 });
    const sick = joinSick(fleet, refusedConnection());
    Object.assign(sick.grant, { retry: async (attempt: () => Promise<unknown>) => attempt() });
    const own = watch(sick.cache.get());
    await fleet.clock.advance(3000);
    expect(own).toMatchObject({ state: "rejected", reason: { code: "ERR_TOKEN_NETWORK" } });
    expect(sick.grant.mints).toBe(3);
    expect(sick.events.filter(({ name }) => name === "mint-retried")).toHaveLength(2);
  });

  test("C9: a refused connection with two retries and nobody else: before every attempt the lease lies free for 250 ms", async () => {
    const fleet = fleetUnderTest({ size: 0, mintRetries: 2 });
    const grant = grantAt("https://auth.example");
    // As client credentials are: a record without a session, which is gone when the lease is given back.
    Object.assign(grant, { signIn: undefined, retry: async (attempt: () => Promise<unknown>) => attempt() });
    const sick = joinSick(fleet, refusedConnection(), grant);
    watch(sick.cache.get());
    const attempts: number[] = [];
    for (let ms = 0; ms <= 2000; ms += 10) {
      while (attempts.length < sick.grant.mints) attempts.push(ms);
      await fleet.clock.advance(10);
    }
    expect(attempts).toHaveLength(3);
    expect(attempts[1]! - attempts[0]!).toBeGreaterThanOrEqual(240);
    expect(attempts[2]! - attempts[1]!).toBeGreaterThanOrEqual(240);
  });

  test("C9: no answer to one process: another one mints after 2 s, and the silent mint is published by nobody", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    const silent = grantAt("https://auth.example");
    const sick = fleet.join({ grant: silent });
    const hold = silent.hold();
    const own = watch(sick.cache.get());
    await fleet.clock.advance(100);
    const other = watch(fleet.join().cache.get());
    await fleet.clock.advance(2500);
    expect([own.state, other.state]).toEqual(["pending", "fulfilled"]);
    hold.release();
    await fleet.clock.advance(100);
    expect(own.state).toBe("fulfilled");
    const late = watch(fleet.join().cache.get());
    await fleet.clock.advance(300);
    expect([late.state, healthy.mints]).toEqual(["fulfilled", 1]);
  });

  test("C9: no answer to a refresh in the background, and the token expires: another process has minted", async () => {
    const { fleet, sick, other } = await silentRefresh();
    sick.grant.hold();
    expect((await sick.cache.get()).value).toBe("fake-1");
    await fleet.clock.advance(15_500);
    expect(sick.grant.mints).toBe(1);
    const late = watch(other.cache.get());
    await fleet.clock.advance(500);
    expect([late.state, other.grant.mints]).toEqual(["fulfilled", 2]);
  });

  test("C9: no answer to a refresh in the background, and the token is rejected: another process mints after 2 s", async () => {
    const { fleet, sick, other } = await silentRefresh();
    sick.grant.hold();
    await sick.cache.get();
    await fleet.clock.advance(100);
    await other.cache.invalidate("fake-1");
    const renewed = watch(other.cache.get());
    await fleet.clock.advance(2500);
    expect([renewed.state, other.grant.mints, sick.grant.mints]).toEqual(["fulfilled", 2, 1]);
  });

  test("C9: a refresh in the background that is answered after 4 s, and nobody else: its token is served", async () => {
    const { fleet, sick } = await silentRefresh();
    const hold = sick.grant.hold();
    sick.grant.respond({ access_token: "late", token_type: "Bearer", expires_in: 3600 });
    await sick.cache.get();
    await fleet.clock.advance(4000);
    hold.release();
    await fleet.clock.advance(100);
    expect((await sick.cache.get()).value).toBe("late");
    await fleet.clock.advance(LIFE / 2);
    expect((await sick.cache.get()).value).toBe("late");
    expect(sick.grant.mints).toBe(1);
  });

  test("C9: no answer to the same process again: another one mints after 2 s this time too", async () => {
    const healthy = grantAt("https://auth.example");
    const fleet = fleetUnderTest({ size: 0, grant: healthy });
    const silent = grantAt("https://auth.example");
    const sick = fleet.join({ grant: silent });
    silent.hold();
    const first = watch(sick.cache.get());
    await fleet.clock.advance(11_200);
    expect(first.state).toBe("rejected");
    watch(sick.cache.get());
    // The pause after the failure is up to a second long.
    for (let tenths = 0; tenths < 10 && silent.mints < 2; tenths++) await fleet.clock.advance(100);
    expect(silent.mints).toBe(2);
    const other = watch(fleet.join().cache.get());
    await fleet.clock.advance(2500);
    expect([other.state, healthy.mints]).toEqual(["fulfilled", 1]);
  });
});

/** Sessions of many users in one process. */
function users(): ReturnType<typeof poolProcess> & { clock: ReturnType<typeof sessionFleet>["clock"] } {
  const fleet = sessionFleet(0);
  const seeds = new Map<string, string>();
  const seedOf = (user: string): string => {
    if (!seeds.has(user)) seeds.set(user, fleet.server.signIn());
    return seeds.get(user)!;
  };
  return { ...poolProcess(fleet, seedOf), clock: fleet.clock };
}

/** A third of the keys. */
const isFrozen = (key: string): boolean => key.charCodeAt(key.length - 2) % 3 === 0;
const silence = (): Promise<never> => new Promise<never>(() => {});
const refusal = (): Promise<never> => Promise.reject(new Error("WRONGTYPE Operation against a key of another kind"));

describe("a store that fails for one key", () => {
  test.each([
    ["holds data of another kind", refusal],
    ["is on a node that does not answer", silence],
  ])("C9: a key that %s: the users of other keys are served", async (_, fault) => {
    const { pool, store, clock } = users();
    const { record } = await pool.describe("ada");
    const swap = store.swap.bind(store);
    store.swap = (key, ...rest) => (key === record ? fault() : swap(key, ...rest));
    const first = watch(pool.get("bob").get());
    await clock.advance(100);
    expect(first.state).toBe("fulfilled");
    for (let round = 0; round < 5; round++) {
      const ada = watch(pool.get("ada").get());
      const others = ["carl", "dora", "emil"].map((name) => watch(pool.get(`${name}-${round}`).get()));
      await clock.advance(3000);
      expect(ada).toMatchObject({ state: "rejected", reason: { code: "ERR_STORE" } });
      expect(others.map(({ state }) => state)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    }
    await pool.close();
  });

  test("C9: one node of three does not answer: every user of the other nodes is served, whoever comes first", async () => {
    const { pool, store, clock } = users();
    const swap = store.swap.bind(store);
    store.swap = (key, ...rest) => (isFrozen(key) ? silence() : swap(key, ...rest));
    const names = Array.from({ length: 60 }, (_, index) => `user-${index}`);
    const records = new Map<string, string>();
    store.swap = swap;
    for (const name of names) records.set(name, (await pool.describe(name)).record!);
    store.swap = (key, ...rest) => (isFrozen(key) ? silence() : swap(key, ...rest));
    // Those of the frozen node first, and one after another.
    const frozen = names.filter((name) => isFrozen(records.get(name)!));
    const others = names.filter((name) => !isFrozen(records.get(name)!));
    expect(Math.min(frozen.length, others.length)).toBeGreaterThan(5);
    for (const [index, name] of others.entries()) {
      watch(pool.get(frozen[index % frozen.length]!).get());
      const other = watch(pool.get(name).get());
      await clock.advance(700);
      expect([name, other.state]).toEqual([name, "fulfilled"]);
    }
    await pool.close();
  });

  test("C9: five keys got no answer while another key got one: twenty users of other keys are served at once", async () => {
    const { pool, store, clock } = users();
    const frozen = new Set<string>();
    for (let count = 0; count < 5; count++) frozen.add((await pool.describe(`frozen-${count}`)).record!);
    const swap = store.swap.bind(store);
    store.swap = (key, ...rest) => (frozen.has(key) ? silence() : swap(key, ...rest));
    for (let count = 0; count < 5; count++) watch(pool.get(`frozen-${count}`).get());
    await clock.advance(1000);
    const between = watch(pool.get("between").get());
    await clock.advance(1500);
    expect(between.state).toBe("fulfilled");
    const others = Array.from({ length: 20 }, (_, index) => watch(pool.get(`user-${index}`).get()));
    await clock.advance(100);
    expect(others.map(({ state }) => state)).toEqual(others.map(() => "fulfilled"));
    await pool.close();
  });

  test("C9: a store that answers nobody: four callers wait at a time, the others fail at once", async () => {
    const { pool, store, clock } = users();
    let calls = 0;
    store.swap = () => {
      calls++;
      return silence();
    };
    for (let count = 0; count < 3; count++) watch(pool.get(`first-${count}`).get());
    await clock.advance(2100);
    expect(calls).toBe(3);
    const all = Array.from({ length: 50 }, (_, index) => watch(pool.get(`user-${index}`).get()));
    await clock.advance(10);
    expect(calls).toBe(7);
    expect(all.filter(({ state }) => state === "pending")).toHaveLength(4);
    await clock.advance(2100);
    expect(all.filter(({ state }) => state === "rejected")).toHaveLength(50);
    await pool.close();
  });
});

describe("events of a store", () => {
  test("C9: 133 failures in 10 s: store-failed once, and store-recovered once when it works again", async () => {
    const fleet = fleetUnderTest({ size: 1 });
    const [{ cache, store, events }] = fleet.processes as [Process];
    watch(cache.get());
    await fleet.clock.advance(100);
    const names = (): string[] => events.map(({ name }) => name).filter((name) => name.startsWith("store-"));
    for (let outages = 1; outages <= 2; outages++) {
      store.fault = () => Promise.reject(new Error("down"));
      for (let count = 0; count < 133; count++) {
        await cache.invalidate(cache.peek()?.value ?? "");
        watch(cache.get());
        await fleet.clock.advance(75);
      }
      expect(names()).toHaveLength(outages * 2 - 1);
      store.fault = undefined;
      await fleet.clock.advance(10_000);
      await cache.invalidate(cache.peek()!.value);
      watch(cache.get());
      await fleet.clock.advance(500);
      expect(names().slice(-2)).toEqual(["store-failed", "store-recovered"]);
      expect(names()).toHaveLength(outages * 2);
    }
  });

  test("C9: 20 users and one listener: store-failed and store-recovered once", async () => {
    const fleet = sessionFleet(0);
    const { pool, store, events } = poolProcess(fleet, () => fleet.server.signIn());
    store.fault = () => Promise.reject(new Error("down"));
    for (let count = 0; count < 20; count++) watch(pool.get(`user-${count}`).get());
    await fleet.clock.advance(1000);
    store.fault = undefined;
    await fleet.clock.advance(10_000);
    for (let count = 0; count < 20; count++) watch(pool.get(`user-${count}`).get());
    await fleet.clock.advance(5000);
    expect(events.map(({ name }) => name).filter((name) => name.startsWith("store-"))).toEqual([
      "store-failed",
      "store-recovered",
    ]);
    await pool.close();
  });

  test("C9: a store that has never worked: the console is told once; of one that works, never", async () => {
    const warnings: string[] = [];
    const listen = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);
    process.on("warning", listen);
    try {
      const fleet = fleetUnderTest({ size: 2 });
      const [wrong, right] = fleet.processes as [Process, Process];
      wrong.store.fault = () => Promise.reject(new Error("NOAUTH Authentication required"));
      for (let count = 0; count < 10; count++) {
        for (const { cache } of [wrong, right]) {
          await cache.invalidate(cache.peek()?.value ?? "");
          watch(cache.get());
        }
        await fleet.clock.advance(10_000);
        if (count === 5) right.store.fault = () => Promise.reject(new Error("down"));
      }
      await new Promise<void>((resolve) => void setImmediate(resolve));
      const told = warnings.filter((text) => text.includes("has never worked"));
      expect(told).toHaveLength(1);
      expect(told[0]).toMatch(/^RemintWarning: The store of a token cache has never worked/);
    } finally {
      process.off("warning", listen);
    }
  });

  test("C14: another process takes the lease over: the event lease-lost, once", async () => {
    const fleet = sessionFleet(2);
    const [a, b] = fleet.processes as [(typeof fleet.processes)[number], (typeof fleet.processes)[number]];
    let answer!: () => void;
    a.grant.beforeAnswering = () => new Promise<void>((resolve) => void (answer = resolve));
    const slow = watch(a.cache.get());
    await fleet.clock.advance(100);
    a.store.fault = () => Promise.reject(new Error("cut off"));
    await fleet.clock.advance(15_000);
    b.grant.beforeSending = undefined;
    watch(b.cache.get());
    await fleet.clock.advance(15_000);
    a.store.fault = undefined;
    await fleet.clock.advance(5000);
    answer();
    await fleet.clock.advance(5000);
    expect(slow.state).not.toBe("pending");
    expect(a.events.filter(({ name }) => name === "lease-lost")).toHaveLength(1);
    expect(b.events.filter(({ name }) => name === "lease-lost")).toHaveLength(0);
  });

  test("C13: a client that cannot connect yet: 16 processes start, and one mints", async () => {
    const fleet = fleetUnderTest({ size: 16 });
    for (const { store } of fleet.processes) store.fault = () => Promise.reject(new Error("The client is closed"));
    const all = fleet.processes.map(({ cache }) => watch(cache.get()));
    await fleet.clock.advance(100);
    for (const { store } of fleet.processes) store.fault = undefined;
    await fleet.clock.advance(1000);
    expect(all.map(({ state }) => state)).toEqual(all.map(() => "fulfilled"));
    expect(fleet.grant.mints).toBe(1);
  });
});
