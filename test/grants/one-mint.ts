/** One attempt of a grant, and one revocation, without a cache. */
import { expect } from "vitest";
import { definitionOf, type Grant, type MintContext } from "../../src/core/grant.ts";
import type { AccessToken, TokenResponse } from "../../src/core/types.ts";

/** Runs a grant once and returns the token response. Rejects with the error of the attempt, returned or thrown. */
export async function mintOnce(
  grant: Grant,
  context: MintContext = { signal: new AbortController().signal },
): Promise<TokenResponse> {
  const step = await definitionOf(grant).mint(context);
  if ("response" in step) return step.response;
  if ("error" in step) throw step.error;
  return expect.fail("the grant says that nobody is signed in");
}

/** Revokes a token as a grant does it. */
export async function revokeOnce(grant: Grant, token: AccessToken, state?: unknown): Promise<void> {
  const definition = definitionOf(grant);
  if (definition.revoke === undefined) return expect.fail("the grant cannot revoke");
  await definition.revoke([token], { signal: new AbortController().signal, ...(state !== undefined && { state }) });
}
