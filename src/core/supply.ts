/**
 * Where a cache gets a token when it has none worth using: a mint of its own, or a fleet that mints once for all.
 *
 * @module
 */
import { optionError } from "../base/options.ts";
import { startMint } from "./mint.ts";
import type { AccessTokenRecord, Freshness } from "./access-token.ts";
import type { Minted, MintInput, MintSettings, RunningMint } from "./mint.ts";
import type { EventListener, MintCause, Opaque, Origins } from "./types.ts";

/** What a cache says of the token it needs. */
export interface TokenNeed extends MintInput {
  readonly cause: MintCause;
  /** A token that is still valid: callers are served with it, unless the need is urgent. */
  readonly held: AccessTokenRecord | undefined;
  /** Callers wait, although there may be a valid token (C4). */
  readonly isUrgent: boolean;
  /** The values that an API or the user said are no good: not to be had again from elsewhere (C5). */
  readonly unwanted: readonly string[];
  /** A token that was taken over was rejected too, so a mint is owed: only a token minted for a rejection will do (Q5). */
  readonly isOwed: boolean;
  /** Values that were rejected since this began; it grows. */
  readonly rejected: ReadonlySet<string>;
  readonly onRetry: MintSettings["onRetry"];
}

/** A token as a supply hands it out. */
export interface Obtained extends Minted {
  /** Another process minted it. */
  readonly adopted?: boolean | undefined;
  /** @defaultValue "minted" */
  readonly freshness?: Freshness | undefined;
}

/** The way to a token, in progress. Its promise rejects with a {@link RemintError} only. */
export interface Obtaining extends Omit<RunningMint, "promise"> {
  /** `undefined`: somebody else is replacing the held token; look again later. */
  readonly promise: Promise<Obtained | undefined>;
}

/** Supplies one cache. */
export interface TokenSupply {
  /** Never throws. */
  start(need: TokenNeed): Obtaining;
  /** Whether the fleet has replaced this token so often that it is not to be replaced again yet (C8). */
  refuses?(value: string): boolean;
  /** The sites that rejected the token before this one have accepted it: it was no storm (C8). */
  accepted?(value: string): void;
}

/** What a {@link FleetStore} has to know of a cache. */
export interface FleetCache extends Omit<MintSettings, "onRetry"> {
  /** Where the token may be sent. */
  readonly origins: Origins | undefined;
  /** Whose token it is, when a pool knows. */
  readonly poolKey: string | undefined;
  readonly minValidity: number;
  readonly notify: EventListener | undefined;
}

/** Where a fleet shares tokens: what `redisStore(...)` and `fleetStore(...)` return. Opaque. */
export type FleetStore = Opaque<"store">;

/** A store as the library sees it. */
export interface FleetStoreDefinition {
  /**
   * Makes the supply of one cache. No I/O.
   *
   * @throws {TypeError} When nothing says whose token it is.
   */
  supply(cache: FleetCache): TokenSupply;
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

/** A supply that knows nobody else: it mints. */
export function ownSupply(settings: Omit<MintSettings, "onRetry">): TokenSupply {
  return { start: (need) => startMint({ ...settings, onRetry: need.onRetry }, need) };
}
