/** Deploys: another release of an application runs beside the one before it, or after it. No session may be lost. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fleetStore, memoryStore, type EncryptionKey, type Store } from "../../src/fleet/index.ts";
import {
  createTokenCache,
  createTokenPool,
  isRemintError,
  refreshTokenGrant,
  type TokenPool,
} from "../../src/index.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { ORIGIN } from "./fleet-under-test.ts";
import { immediateCrypto } from "./immediate-crypto.ts";
import { during, SessionServer } from "./session-server.ts";
import type { RefreshTokenGrantOptions } from "../../src/grants/refresh-token.ts";

const LIFE = 300_000;
const USERS = Array.from({ length: 20 }, (_, index) => `user-${index}`);
const OLD = Uint8Array.from({ length: 32 }, (_, index) => index);
const NEW = Uint8Array.from({ length: 32 }, (_, index) => 255 - index);

/** What a release says to its grants and its store. */
interface Release {
  readonly grant?: Partial<RefreshTokenGrantOptions>;
  readonly encryptionKey?: EncryptionKey | readonly EncryptionKey[];
  /** It writes records of version 2, and reads those of version 1 too. */
  readonly isNewer?: boolean;
}

/** What all processes of a test have in common. */
interface World {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly server: SessionServer;
  /** The first refresh token of each user. Every process starts with it. */
  readonly seeds: ReadonlyMap<string, string>;
  /** What was sent with each token request, oldest first. */
  readonly sent: string[];
}

function newWorld(): World {
  const clock = manualClock();
  const server = new SessionServer();
  const seeds = new Map(USERS.map((user) => [user, server.signIn()]));
  return { clock, store: memoryStore({ clock }), server, seeds, sent: [] };
}

/** A store as a newer version of this package would use it. */
function newer(store: Store): Store {
  return {
    async swap(key, expected, next, ttl) {
      const result = await store.swap(key, expected, next?.replace(/^1/, "2"), ttl);
      if (result.ok || result.current === undefined) return result;
      return { ok: false, current: { ...result.current, value: result.current.value.replace(/^2/, "1") } };
    },
  };
}

/** Starts a process of a release. */
function start(
  { clock, store, server, seeds, sent }: World,
  { grant, encryptionKey = "none", isNewer }: Release,
): TokenPool {
  const shared = fleetStore(isNewer === true ? newer(store) : store, { encryptionKey });
  const answer: typeof fetch = async (_, init) => {
    const form = new URLSearchParams(init?.body as string);
    const agent = new Headers(init?.headers).get("user-agent") ?? "usual";
    sent.push(`${form.get("scope")} ${form.get("resource")} ${agent}`);
    try {
      return Response.json({ ...server.present(form.get("refresh_token")!), token_type: "Bearer" });
    } catch {
      return Response.json({ error: "invalid_grant" }, { status: 400 });
    }
  };
  return createTokenPool({
    clock,
    create: (user) =>
      createTokenCache({
        origins: [ORIGIN],
        clock,
        store: shared,
        grant: refreshTokenGrant({
          tokenEndpoint: "https://auth.example/token",
          clientId: "portal",
          clientAuthentication: "none",
          refreshToken: seeds.get(user)!,
          fetch: answer,
          ...grant,
        }),
      }),
  });
}

/** Lets every user ask every process twice, the second time after the tokens have expired. @returns The codes of the errors. */
async function use({ clock }: World, pools: readonly TokenPool[]): Promise<Set<string>> {
  const codes = new Set<string>();
  for (let round = 0; round < 2; round++) {
    await clock.advance(round * (LIFE + 1000));
    for (const pool of pools) {
      const outcomes = await during(clock, Promise.allSettled(USERS.map((user) => pool.get(user).get())));
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") continue;
        codes.add(isRemintError(outcome.reason) ? outcome.reason.code : String(outcome.reason));
      }
    }
  }
  return codes;
}

async function stop({ clock }: World, pools: readonly TokenPool[]): Promise<void> {
  for (const pool of pools) {
    expect(await during(clock, pool.close())).toEqual({ inFlight: [], unsaved: [] });
  }
}

/** Deploys releases one after another, and uses them all. @returns The errors of processes beside another release. */
async function deploy(world: World, how: "rolling" | "stop-start", releases: readonly Release[]): Promise<Set<string>> {
  const beside = new Set<string>();
  let running: TokenPool[] = [];
  for (const release of releases) {
    if (how === "stop-start") await stop(world, running);
    const next = [start(world, release), start(world, release)];
    if (how === "rolling" && running.length > 0) {
      for (const pools of [
        [...running, ...next],
        [...next, ...running],
      ]) {
        for (const code of await use(world, pools)) beside.add(code);
      }
      // The failures of the store are forgotten after a while.
      await stop(world, running);
      await world.clock.advance(20_000);
    }
    running = next;
    expect([...(await use(world, running))]).toEqual([]);
    expect([...(await use(world, running))]).toEqual([]);
  }
  await stop(world, running);
  return beside;
}

/** Expects that no user has to sign in again. */
function expectNoneLost({ server }: World): void {
  const lost = USERS.filter((_, index) => server.live(index + 1) === undefined);
  expect(lost).toEqual([]);
  expect(server.reused).toEqual([]);
}

describe.each(["rolling", "stop-start"] as const)("a %s deploy", (how) => {
  beforeEach(immediateCrypto);
  afterEach(() => void vi.restoreAllMocks());

  test.each([
    ["another scope", { scope: "orders" }, { scope: "orders billing" }, "orders billing null usual"],
    [
      "another User-Agent",
      { headers: { "User-Agent": "shop/1" } },
      { headers: { "User-Agent": "shop/2" } },
      "null null shop/2",
    ],
    ["a header more", {}, { headers: { "X-Tenant": "7", "User-Agent": "shop" } }, "null null shop"],
    [
      "another resource",
      { resource: "https://a.example" },
      { resource: "https://b.example" },
      "null https://b.example usual",
    ],
    [
      "all of these",
      {},
      { scope: "s", resource: "https://b.example", headers: { "User-Agent": "x" } },
      "s https://b.example x",
    ],
  ] as const)(
    "C14: with %s: 0 of 20 sessions are lost, and no caller gets an error",
    async (_, before, after, last) => {
      const world = newWorld();
      expect([...(await deploy(world, how, [{ grant: before }, { grant: after }]))]).toEqual([]);
      expect(world.sent.at(-1)).toBe(last);
      expectNoneLost(world);
    },
  );

  test("S6: with [old, new] and then [new, old] and then [new]: 0 of 20 sessions are lost, and no caller gets an error", async () => {
    const world = newWorld();
    const keys = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]];
    expect([
      ...(await deploy(
        world,
        how,
        keys.map((encryptionKey) => ({ encryptionKey })),
      )),
    ]).toEqual([]);
    expectNoneLost(world);
  });

  test("S6: with [new, old] directly: 0 of 20 sessions are lost; processes of before may get ERR_STORE beside it", async () => {
    const world = newWorld();
    const codes = await deploy(world, how, [{ encryptionKey: OLD }, { encryptionKey: [NEW, OLD] }]);
    expect([...codes]).toEqual(how === "rolling" ? ["ERR_STORE"] : []);
    expectNoneLost(world);
  });

  test("C14: with a newer version of records: 0 of 20 sessions are lost; processes of before may get ERR_STORE beside it", async () => {
    const world = newWorld();
    const codes = await deploy(world, how, [{}, { isNewer: true }]);
    expect([...codes]).toEqual(how === "rolling" ? ["ERR_STORE"] : []);
    expectNoneLost(world);
  });
});

test("C14: the processes of one release have one token per user; those of two releases have one each, of one session", async () => {
  const world = newWorld();
  const { clock, server, sent } = world;
  const [one, two] = [start(world, { grant: { scope: "a" } }), start(world, { grant: { scope: "a" } })];
  const [three] = [start(world, { grant: { scope: "b" } })];
  const values: string[] = [];
  for (const pool of [one, two, three, one]) values.push((await during(clock, pool.get("user-0").get())).value);
  expect(values).toEqual(["at-1-1", "at-1-1", "at-1-2", "at-1-1"]);
  expect(sent).toEqual(["a null usual", "b null usual"]);
  expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
});
