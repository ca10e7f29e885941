/**
 * What the grants share that ask a token endpoint for every token in the same way: client credentials, JWT bearer,
 * token exchange.
 *
 * Not here: the refresh token grant (`refresh-token.ts`), whose mints depend on each other.
 *
 * @module
 */
import { grantOf } from "../core/grant.ts";
import { tokenServer, withTarget } from "../oauth/parameters.ts";
import { boundToken, proofMember } from "../oauth/request.ts";
import { revocationMember } from "../oauth/revocation.ts";
import { retrying } from "./retry.ts";
import type { Grant, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** The members in which these grants differ. */
interface OwnMembers {
  readonly key: string | undefined;
  /** The parameters of every request. */
  readonly form: URLSearchParams;
  readonly mint: (form: URLSearchParams, context: MintContext) => Promise<TokenResponse>;
}

/** Makes a grant without state. A refresh token in the answer is ignored, because the next mint does not need it. */
export function endpointGrant(
  client: TokenClient,
  { origins, defaultTtl }: Pick<GrantOptions, "origins" | "defaultTtl">,
  { key, form, mint }: OwnMembers,
): Grant {
  return grantOf({
    ...proofMember(client),
    ...revocationMember(client),
    key,
    server: tokenServer(client, form),
    endpoints: client.endpoints,
    origins,
    defaultTtl,
    isRepeatable: true,
    retry: retrying,
    async mint(context) {
      const answer = await mint(withTarget(form, context.target), context);
      return { response: { ...boundToken(client, answer), refresh_token: undefined } };
    },
  });
}
