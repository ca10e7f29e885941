/**
 * The client credentials grant: a token for the client itself. No user is involved.
 *
 * The request is sent by `oauth/request.ts`. What this grant shares with others is in `endpoint.ts`.
 *
 * @module
 */
import { assertString, takenOptions } from "../base/options.ts";
import { isNameable, tokenClient } from "../oauth/client.ts";
import { GRANT_OPTIONS, grantForm, grantKey } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { endpointGrant } from "./endpoint.ts";
import type { Grant } from "../core/grant.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** Options of {@link clientCredentialsGrant}. */
export interface ClientCredentialsGrantOptions extends GrantOptions {
  /** The `audience` parameter. Auth0 and some other servers expect it in place of `resource`. */
  readonly audience?: string | undefined;
  /**
   * Tells this grant's tokens from other tokens, without a secret. It becomes part of the grant's key, which a store
   * needs.
   *
   * Most grants need no such name: their key is made of the endpoint, the client, the scope and all parameters. Set it
   * when a parameter or a header is named like a credential (`api_key`, `password`, `cookie`), or with
   * `tlsClientAuth()`: say which credential or certificate it is. Without the option, such a grant has no key. With
   * `dpop`, the thumbprint of the DPoP key becomes part of the grant's key. A DPoP key without a thumbprint leaves the
   * grant without a key.
   */
  readonly key?: string | undefined;
}

/**
 * Creates a grant that obtains tokens with the client's own credentials. A refresh token in the answer is ignored.
 *
 * @throws {TypeError} When an option is wrong. Nothing was sent then.
 * @see [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.4)
 * @example
 * ```ts
 * const grant = clientCredentialsGrant({
 *   tokenEndpoint: "https://auth.example/token",
 *   clientId: "orders-service",
 *   clientSecret: () => vault.read("orders-service"),
 *   scope: "orders:read",
 * });
 * ```
 */
export function clientCredentialsGrant(options: ClientCredentialsGrantOptions): Grant {
  options = takenOptions("clientCredentialsGrant", options, [...GRANT_OPTIONS, "audience"]);
  const client = tokenClient(options);
  const form = formOf(options);
  const { key } = options;
  const grantType = "client_credentials";
  return endpointGrant(client, options, {
    key: key !== undefined || isNameable(client, form) ? grantKey({ grantType, client, form, key }) : undefined,
    form,
    mint: (parameters, { signal }) => requestToken(client, { grantType, parameters, signal }),
  });
}

function formOf(options: ClientCredentialsGrantOptions): URLSearchParams {
  const form = grantForm(options, ["audience"]);
  if (options.audience !== undefined) {
    assertString("audience", options.audience);
    form.set("audience", options.audience);
  }
  return form;
}
