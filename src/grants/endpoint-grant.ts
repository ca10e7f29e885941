import type { Grant, MintContext, TokenResponse } from "../grant.ts";
import type { GrantOptions } from "./parameters.ts";
import { boundToken, proving } from "./proved-request.ts";
import { redactedGrant } from "./redacted-grant.ts";
import { revocation } from "./revocation.ts";
import type { TokenClient } from "./token-client.ts";

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
  return redactedGrant({
    ...proving(client),
    ...revocation(client),
    key,
    endpoint: client.endpoint,
    origins,
    defaultTtl,
    mint: async (context) => ({ ...boundToken(client, await mint(context)), refresh_token: undefined }),
  });
}
