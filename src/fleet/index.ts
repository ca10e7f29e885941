/**
 * Shares tokens between processes through any engine that has compare-and-swap.
 *
 * `fleetStore` makes a fleet's store of such an engine, `memoryStore` is one in the memory of one process, and `storeContract` tests a
 * {@link Store} of your own. For Redis and Valkey see `remint/redis`.
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
