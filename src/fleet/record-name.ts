/**
 * The name of the record in which a fleet shares a session or a token, and the key of the store that is made of it.
 *
 * A record of a session is named by the authorization server, the client, and whose session it is: the key of the pool, of
 * the grant, or both. Nothing else is in the name, so that a deploy which changes a scope or a header finds the session
 * again; what an access token was minted for is its fingerprint inside the record. A grant without sessions has a record per
 * token, so all that tells its tokens apart is in the name.
 *
 * Two users must never share a record, so a cache whose token has no name is refused.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import type { GrantDefinition, Target } from "../core/grant.ts";
import type { FleetCache } from "../core/supply.ts";
import type { Origins } from "../core/types.ts";

/** The parts of a cache that a name can be made of. */
type Named = Pick<FleetCache, "grant" | "origins" | "poolKey">;

/**
 * Returns the name of a cache's record. Two caches with the same name share it. The name contains no secret.
 *
 * @throws {TypeError} When neither the grant nor a pool says whose token it is, or other processes could not use it.
 */
export function recordName({ grant, origins, poolKey }: Named, target: Target | undefined): string {
  const { key, server } = grant;
  if (key === undefined && poolKey === undefined) {
    throw new TypeError(
      `"store" needs to know whose token this is: give the grant a "key" without any secret in it (a user's id, for ` +
        `example), or create the cache in createTokenPool's create(key). Without it two users could share a token`,
    );
  }
  if (grant.prove !== undefined && grant.proofKey?.thumbprint === undefined && (grant.proofKey || key === undefined)) {
    throw new TypeError(
      `"store" cannot share a token that is bound to a key of this process alone (RFC 9449): give dpop() a "privateKey" ` +
        `as a JWK that every process of the fleet has, or leave the store out`,
    );
  }
  if (hasSessions(grant)) {
    return JSON.stringify(["session", server?.endpoint ?? null, server?.client ?? null, poolKey ?? null, key ?? null]);
  }
  return JSON.stringify(["token", key ?? placesOf(origins) ?? null, poolKey ?? null, target?.fingerprint ?? null]);
}

/** Returns the key of the store for a record's name. The part in braces keeps a record on one node of a Redis Cluster. */
export function storeKey(prefix: string, name: string): string {
  return `${prefix}:{${digest(name).slice(0, 40)}}`;
}

/** Whether the tokens of a grant come of a sign-in. */
export function hasSessions(grant: GrantDefinition): boolean {
  return grant.signIn !== undefined;
}

/** Tells the access tokens of one session apart: by everything that they are minted with. */
export function fingerprintOf(grant: GrantDefinition, target: Target | undefined): string {
  const parts = [grant.server?.target ?? null, grant.proofKey?.thumbprint ?? null, target?.fingerprint ?? null];
  return digest(JSON.stringify(parts)).slice(0, 16);
}

function placesOf(origins: Origins | undefined): readonly string[] | string | undefined {
  if (typeof origins !== "object") return typeof origins === "string" ? origins : undefined;
  const places = [...new Set(origins.map((place) => (URL.canParse(place) ? new URL(place).origin : `${place}`)))];
  places.sort();
  return places;
}
