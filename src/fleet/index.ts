/**
 * Tokens shared by a fleet through any engine with compare-and-swap, and what it takes to write a store for one.
 *
 * @module
 */
export { fleetStore } from "./fleet-store.ts";
export { storeContract } from "../stores/contract.ts";
export { memoryStore } from "../stores/memory.ts";

export type { FleetOptions } from "./fleet-store.ts";
export type { EncryptionKey } from "./seal.ts";
export type { MemoryStoreOptions } from "../stores/memory.ts";
export type { Store, StoreEntry, SwapResult } from "../stores/store.ts";
export type { FleetStore } from "../token-supply.ts";
