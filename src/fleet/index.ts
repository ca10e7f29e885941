/**
 * Tokens shared by a fleet through any engine with compare-and-swap, and what it takes to write a store for one.
 *
 * @module
 */
export { fleetStore } from "./fleet-store.ts";
export { storeContract } from "./store-contract.ts";
export { memoryStore } from "./memory.ts";

export type { FleetOptions } from "./fleet-store.ts";
export type { EncryptionKey } from "./seal.ts";
export type { StoreContractCase, StoreContractOptions } from "./store-contract.ts";
export type { MemoryStoreOptions } from "./memory.ts";
export type { Store, StoreEntry, SwapResult } from "./store.ts";
export type { FleetStore } from "../core/supply.ts";
