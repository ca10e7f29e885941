import { assertOptions, assertString, duration, optionError } from "../base/options.ts";
import { storeOf } from "../core/supply.ts";
import { startFlight } from "./flight.ts";
import { StoreLink } from "./link.ts";
import { sealsOf } from "./seal.ts";
import { FleetSupply } from "./supply.ts";
import type { Clock } from "../base/clock.ts";
import type { FleetStore } from "../core/supply.ts";
import type { EncryptionKey } from "./seal.ts";
import type { Store } from "./store.ts";

/** What {@link fleetStore} takes beside the store. */
export interface FleetOptions {
  /**
   * Encrypts what the store keeps (S6): 32 bytes, or base64 of them (`openssl rand -base64 32`), the same in every process.
   * `[new, old]` while it is being changed. `"none"` stores tokens unencrypted: who can read the store can use them.
   */
  readonly encryptionKey: EncryptionKey | readonly EncryptionKey[];
  /** What every key in the store begins with. @defaultValue "remint" */
  readonly prefix?: string | undefined;
  /**
   * Milliseconds after which a process that is minting and gives no sign of life is replaced. It gives one every third of
   * that, so this is not the time a mint may take. @defaultValue 3_000 (3 seconds); 10_000 for grants with a state
   */
  readonly lease?: number | undefined;
  /** Milliseconds one call to the store may take before it counts as failed. @defaultValue 500 */
  readonly callTimeout?: number | undefined;
  /** Milliseconds the state of a grant (a refresh token) is kept after its last use. @defaultValue 7_776_000_000 (90 days) */
  readonly stateTtl?: number | undefined;
}

const LEASE = 3000;
/** A refresh token is lost when two processes present it, so a holder is given more time to come back. */
const LEASE_WITH_STATE = 10_000;

/**
 * Shares tokens through any engine with compare-and-swap: one mint for the whole fleet.
 *
 * One process mints while the others wait and take over what it publishes; a rejected token is replaced by value, once;
 * a token that is still good is served without a call to the store. When the store fails, each process mints for itself
 * until it is back; a grant with a rotating refresh token fails with `ERR_STORE` instead, because a refresh token that
 * two processes present is a session lost.
 *
 * @param store Compare-and-swap: see {@link Store} for what it has to keep to.
 * @throws {TypeError} When the store or an option is wrong.
 * @example
 * ```ts
 * const store = fleetStore(postgresStore(pool), { encryptionKey: process.env.TOKEN_KEY });
 * const tokens = createTokenCache({ grant, origins, store });
 * ```
 */
export function fleetStore(store: Store, options: FleetOptions): FleetStore {
  if (typeof (Object(store) as Store).swap !== "function") throw optionError("store", store, "an object with swap()");
  assertOptions("fleetStore", options);
  const { prefix = "remint" } = options;
  assertString("prefix", prefix);
  if (!/^[\w:.-]+$/.test(prefix)) throw new TypeError(`"prefix" must be letters, digits and any of _ : . -`);
  const seals = sealsOf(options.encryptionKey);
  const callTimeout = positive("callTimeout", options.callTimeout, 500);
  const stateTtl = positive("stateTtl", options.stateTtl, 90 * 86_400_000);
  const lease = options.lease === undefined ? undefined : positive("lease", options.lease, LEASE);
  const links = new WeakMap<Clock, StoreLink>();
  return storeOf({
    supply(member) {
      const { clock, grant } = member;
      let link = links.get(clock);
      if (link === undefined) links.set(clock, (link = new StoreLink(store, clock, callTimeout)));
      const time = lease ?? (grant.state === undefined ? LEASE : LEASE_WITH_STATE);
      const fleet = { link, clock, seals, duration: time, callTimeout, stateTtl, prefix };
      const supply = new FleetSupply(fleet, member);
      return {
        start: (need) => startFlight(supply, need),
        refuses: (value) => supply.refuses(value),
        accepted: (value) => supply.accepted(value),
      };
    },
  });
}

function positive(name: string, value: unknown, otherwise: number): number {
  const given = duration(name, value, otherwise);
  if (given === 0) throw optionError(name, given, "more than 0 milliseconds");
  return given;
}
