/**
 * The name of a token that a fleet shares: the grant's key, the pool's key, or both. Two users must never share a record,
 * so what cannot be named is not shared.
 *
 * @module
 */
import type { Origins } from "../core/types.ts";
import type { FleetCache } from "../core/supply.ts";

/** What there is to name a token with. */
type Named = Pick<FleetCache, "grant" | "origins" | "poolKey">;

/**
 * What makes two caches of a fleet share one token; no secret in it.
 *
 * @throws {TypeError} When nothing says whose token it is, or nobody else could use it.
 */
export function recordName({ grant, origins, poolKey }: Named): string {
  if (grant.key === undefined && poolKey === undefined) {
    throw new TypeError(
      `"store" needs to know whose token this is: give the grant a "key" without any secret in it (a user's id, for ` +
        `one), or create the cache in createTokenPool's create(key). Without it two users could share a token`,
    );
  }
  if (grant.prove !== undefined && grant.key === undefined && grant.family === undefined) {
    throw new TypeError(
      `"store" cannot share a token that is bound to a key of this process alone (RFC 9449): give dpop() a "privateKey" ` +
        `as a JWK that every process of the fleet has, or leave the store out`,
    );
  }
  // What a bare function mints is only told apart by the pool's key and where it may be sent.
  const purpose = grant.key ?? grant.family ?? placesOf(origins);
  return JSON.stringify([purpose ?? null, poolKey ?? null]);
}

function placesOf(origins: Origins | undefined): readonly string[] | string | undefined {
  if (typeof origins !== "object") return typeof origins === "string" ? origins : undefined;
  const places: string[] = [...new Set(origins)];
  places.sort();
  return places;
}
