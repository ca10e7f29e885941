/**
 * Where a cache gets its tokens: from mints of its own, or from a fleet that mints once for all its processes.
 *
 * The interface is here, and the supply of a cache without a store ({@link ownSupply}). One mint is in `mint.ts`. The
 * supply of a fleet is in `fleet/supply.ts`.
 *
 * @module
 */
import { optionError } from "../base/options.ts";
import { startMint } from "./mint.ts";
import type { AccessTokenRecord, Freshness } from "./access-token.ts";
import type { Minted, MintInput, MintSettings, RunningMint } from "./mint.ts";
import type { EventListener, MintCause, Opaque, Origins } from "./types.ts";

/** Gets tokens for one cache. */
export interface TokenSupply {
  /** Starts to get a token. Never throws: failures reject the promise. */
  start(need: TokenNeed): Obtaining;
  /** Whether the fleet has replaced this token so often that it may not be replaced again yet (C8). */
  refuses?(value: string): boolean;
  /** Reports that the APIs which rejected earlier tokens have accepted this one: the rejections were no storm (C8). */
  accepted?(value: string): void;
}

/** What a cache tells its supply about the token it needs. */
export interface TokenNeed extends MintInput {
  readonly cause: MintCause;
  /** The token that is still valid. Callers get it meanwhile, unless the need is urgent. */
  readonly held: AccessTokenRecord | undefined;
  /** Callers are waiting: there is no valid token, or it is in its hard window (C4). */
  readonly isUrgent: boolean;
  /** Token values that an API or the user has rejected. A token with one of these values is not accepted (C5). */
  readonly unwanted: readonly string[];
  /** Accept only a token that was minted because of a rejection (Q5). */
  readonly mustBeFresh: boolean;
  /** Token values that were rejected since this need arose. The set grows while the supply works. */
  readonly rejected: ReadonlySet<string>;
  readonly onRetry: MintSettings["onRetry"];
}

/** Work on getting a token. Its promise rejects with a {@link Failure} only. */
export interface Obtaining extends Omit<RunningMint, "promise"> {
  /**
   * Resolves to `undefined` when another process is replacing the held token: use the held token and ask again later.
   */
  readonly promise: Promise<Obtained | undefined>;
}

/** A token as a supply hands it out. */
export interface Obtained extends Minted {
  /** Another process minted the token. */
  readonly adopted?: boolean | undefined;
  /** @defaultValue "minted" */
  readonly freshness?: Freshness | undefined;
}

/** Makes the supply of a cache without a store: every token is a mint of its own. */
export function ownSupply(settings: Omit<MintSettings, "onRetry">): TokenSupply {
  return { start: (need) => startMint({ ...settings, onRetry: need.onRetry }, need) };
}

/** Where a fleet shares tokens: what `redisStore(...)` and `fleetStore(...)` return. Opaque. */
export type FleetStore = Opaque<"store">;

/** A store as the library sees it. */
interface FleetStoreDefinition {
  /**
   * Makes the supply of one cache. Does no I/O.
   *
   * @throws {TypeError} When neither the grant nor a pool says whose token it is.
   */
  supply(cache: FleetCache): TokenSupply;
}

/** What a store has to know of a cache. */
export interface FleetCache extends Omit<MintSettings, "onRetry"> {
  /** Where the token may be sent. */
  readonly origins: Origins | undefined;
  /** The key under which a pool created the cache. `undefined` for a cache outside of a pool. */
  readonly poolKey: string | undefined;
  readonly minValidity: number;
  readonly notify: EventListener | undefined;
}

/** Makes the store that a user holds. */
export function storeOf(definition: FleetStoreDefinition): FleetStore {
  return definition as unknown as FleetStore;
}

/**
 * Returns the definition behind what a user passed as a store.
 *
 * @throws {TypeError} When it is not a store.
 */
export function storeDefinitionOf(store: unknown): FleetStoreDefinition {
  if (typeof (Object(store) as FleetStoreDefinition).supply === "function") return store as FleetStoreDefinition;
  throw optionError("store", store, "what redisStore(client, { encryptionKey }) or fleetStore(...) returns");
}
