/**
 * The name of the record in which a fleet shares a token: made of the grant's key, the pool's key, or both.
 *
 * Two users must never share a record, so a cache whose token has no name is refused. home.ts turns the name into the
 * key of the store.
 *
 * @module
 */
import type { Origins } from "../core/types.ts";
import type { FleetCache } from "../core/supply.ts";

/** The parts of a cache that a name can be made of. */
type Named = Pick<FleetCache, "grant" | "origins" | "poolKey">;

/**
 * Returns the name of a cache's record. Two caches with the same name share one token. The name contains no secret.
 *
 * @throws {TypeError} When neither the grant nor a pool says whose token it is, or other processes could not use it.
 */
export function recordName({ grant, origins, poolKey }: Named): string {
  if (grant.key === undefined && poolKey === undefined) {
    throw new TypeError(
      `"store" needs to know whose token this is: give the grant a "key" without any secret in it (a user's id, for ` +
        `example), or create the cache in createTokenPool's create(key). Without it two users could share a token`,
    );
  }
  if (grant.prove !== undefined && grant.key === undefined && grant.family === undefined) {
    throw new TypeError(
      `"store" cannot share a token that is bound to a key of this process alone (RFC 9449): give dpop() a "privateKey" ` +
        `as a JWK that every process of the fleet has, or leave the store out`,
    );
  }
  // A bare function has neither a key nor a family. Its tokens are distinguished by their origins and the pool's key.
  const purpose = grant.key ?? grant.family ?? placesOf(origins);
  return JSON.stringify([purpose ?? null, poolKey ?? null]);
}

function placesOf(origins: Origins | undefined): readonly string[] | string | undefined {
  if (typeof origins !== "object") return typeof origins === "string" ? origins : undefined;
  const places: string[] = [...new Set(origins)];
  places.sort();
  return places;
}
