import { grantOf } from "../core/grant.ts";
import { boundToken, proving } from "../oauth/request.ts";
import { revocation } from "../oauth/revocation.ts";
import type { Grant, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** What one of these grants has of its own. */
export interface OwnParts {
  readonly key: string | undefined;
  readonly mint: (context: MintContext) => Promise<TokenResponse>;
}

/**
 * A grant that asks a token endpoint for every token in the same way. That is why a refresh token in the answer is ignored:
 * the next token needs none.
 */
export function endpointGrant(
  client: TokenClient,
  { origins, defaultTtl }: Pick<GrantOptions, "origins" | "defaultTtl">,
  { key, mint }: OwnParts,
): Grant {
  return grantOf({
    ...proving(client),
    ...revocation(client),
    key,
    endpoint: client.endpoint,
    origins,
    defaultTtl,
    mint: async (context) => ({ ...boundToken(client, await mint(context)), refresh_token: undefined }),
  });
}
