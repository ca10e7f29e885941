import type { Client } from "./rig.mjs";

/** A package, or a recipe, and how to use it. */
export interface Peer {
  readonly name: string;
  readonly packages: readonly string[];
  readonly claims: readonly string[];
  readonly note: string;
  readonly create: Client;
}

export const PEERS: readonly Peer[];
