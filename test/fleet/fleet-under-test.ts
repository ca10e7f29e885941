/** A fleet for tests: several caches in this process, over one memory store and one manual clock. */
import { createTokenCache, type RemintEvent, type TokenCache, type TokenCacheOptions } from "../../src/index.ts";
import { fleetStore, memoryStore, type FleetOptions, type Store } from "../../src/fleet/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";

export const ORIGIN = "https://api.example";
export const TARGET = { origin: ORIGIN, path: "/orders" } as const;

/** One process of the fleet: a cache with its own connection to the store. */
export interface Process {
  readonly cache: TokenCache;
  readonly grant: FakeGrant;
  readonly store: SwitchableStore;
  readonly events: RemintEvent[];
}

/** The connection of one process to the store. A test can make it fail. */
export interface SwitchableStore extends Store {
  /** The number of calls so far. */
  calls: number;
  /** Runs instead of the call to the store, and may make that call. `undefined`: the store is called. */
  fault: ((swap: () => ReturnType<Store["swap"]>) => ReturnType<Store["swap"]>) | undefined;
}

export function switchable(store: Store): SwitchableStore {
  return {
    calls: 0,
    fault: undefined,
    swap(...swap) {
      this.calls++;
      const reach = (): ReturnType<Store["swap"]> => store.swap(...swap);
      return this.fault === undefined ? reach() : this.fault(reach);
    },
  };
}

/** A fleet with one store, one clock and, by default, one grant. */
export interface FleetUnderTest {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly grant: FakeGrant;
  readonly processes: readonly Process[];
  /** Adds a process. */
  readonly join: (
    options?: Partial<TokenCacheOptions> & { readonly grant?: FakeGrant },
    fleet?: Partial<FleetOptions>,
  ) => Process;
}

export interface FleetUnderTestOptions extends Partial<Omit<TokenCacheOptions, "grant" | "clock" | "store">> {
  readonly grant?: FakeGrant;
  readonly size?: number;
  readonly fleet?: Partial<FleetOptions>;
}

/**
 * Creates a fleet. Retries are off by default. Records are not encrypted, because WebCrypto does not wait for a manual
 * clock.
 */
export function fleetUnderTest(options: FleetUnderTestOptions = {}): FleetUnderTest {
  const { grant = fakeGrant({ key: "orders" }), size = 3, fleet, ...rest } = options;
  const clock = manualClock();
  const store = memoryStore({ clock });
  const join: FleetUnderTest["join"] = (own = {}, ownFleet = {}) => {
    const events: RemintEvent[] = [];
    const switched = switchable(store);
    const cache = createTokenCache({
      origins: [ORIGIN],
      mintRetries: 0,
      onEvent: (event) => void events.push(event),
      grant,
      ...rest,
      ...own,
      clock,
      store: fleetStore(switched, { encryptionKey: "none", ...fleet, ...ownFleet }),
    });
    return { cache, grant: own.grant ?? grant, store: switched, events };
  };
  return { clock, store, grant, processes: Array.from({ length: size }, () => join()), join };
}

/** Creates a fleet in which every process has the token fake-1. */
export async function warm(options: FleetUnderTestOptions = {}): Promise<FleetUnderTest> {
  const fleet = fleetUnderTest(options);
  const all = Promise.all(fleet.processes.map(({ cache }) => cache.get()));
  await fleet.clock.advance(1000);
  await all;
  return fleet;
}
