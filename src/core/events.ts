/**
 * What a cache tells about itself (`onEvent`): enough to count and to find out why, never a token or a secret (S5).
 *
 * @module
 */
import type { RemintError } from "../base/errors.ts";
import type { SkipReason } from "../policy/choose-cache.ts";

/** Why a mint was begun. */
export type MintCause = "cold" | "expiring" | "rejected";

/** Something that happened in a token cache. */
export type RemintEvent =
  /** A mint succeeded. `repeated`: the server handed out the value it had handed out before. */
  | {
      readonly name: "minted";
      readonly cause: MintCause;
      /** Milliseconds from the start of the mint, retries included. */
      readonly duration: number;
      /** Epoch milliseconds. */
      readonly expiresAt: number;
      readonly repeated: boolean;
    }
  /** A token that another process of the fleet minted is used. */
  | {
      readonly name: "adopted";
      readonly cause: MintCause;
      /** Milliseconds from the moment it was needed. */
      readonly duration: number;
      /** Epoch milliseconds. */
      readonly expiresAt: number;
    }
  /** The store could not be used; for a while this process goes on without it. */
  | { readonly name: "store-failed"; readonly error: RemintError }
  /** A mint failed. `servedStale`: callers were served the old token, which is still valid (C4). */
  | {
      readonly name: "mint-failed";
      readonly cause: MintCause;
      readonly duration: number;
      readonly error: RemintError;
      readonly servedStale: boolean;
    }
  /** An attempt of a mint failed and will be repeated (C11). */
  | { readonly name: "mint-retried"; readonly attempt: number; readonly error: RemintError }
  /** An API said 401 to the current token and it is being replaced. */
  | { readonly name: "rejected"; readonly origin: string; readonly path: string }
  /** An API said 401, but the storm guard is closed: the answer went to the caller (C8). */
  | { readonly name: "renewal-refused"; readonly origin: string; readonly path: string }
  /** The token was forgotten, by {@link TokenCache.invalidate} or a rejection. */
  | { readonly name: "invalidated" }
  /** A request went out without a token. The URL is without its query. */
  | { readonly name: "skipped"; readonly reason: SkipReason; readonly url: string };

/** Gets every event of a cache, synchronously. What it throws is ignored: telemetry must not fail a request. */
export type EventListener = (event: RemintEvent) => void;

/** A listener that can be called without care. */
export function quietly(listener: EventListener | undefined): EventListener | undefined {
  if (listener === undefined) return undefined;
  return (event) => {
    try {
      listener(event);
    } catch {
      // Told to nobody: the listener is where we would tell it.
    }
  };
}
