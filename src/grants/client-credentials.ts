/**
 * The client credentials grant: a token for the client itself, no user involved.
 *
 * @module
 */
import { assertOptions, assertString } from "../base/options.ts";
import { isNameable, tokenClient } from "../oauth/client.ts";
import { commonForm, grantKey } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { endpointGrant } from "./generic.ts";
import type { Grant } from "../core/grant.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** Options of {@link clientCredentialsGrant}. */
export interface ClientCredentialsGrantOptions extends GrantOptions {
  /** The `audience` parameter that Auth0 and others want in place of `resource`. */
  readonly audience?: string | undefined;
  /**
   * Part of the grant's key, which a store needs: it must tell apart what is not the same token, and hold no secret.
   *
   * The grant has a key without it, made of the endpoint, the client, the scope and all parameters. It has none where that
   * would not do: when a parameter or a header is named like a credential (`api_key`, `password`, `cookie`), and with
   * `tlsClientAuth()`, where tokens may be bound to a certificate. Say here which credential or certificate it is. With
   * `dpop` the key's thumbprint is part of it; a DPoP key that has no name leaves the grant without one, this option or not.
   */
  readonly key?: string | undefined;
}

/**
 * A grant that obtains tokens with the client's own credentials. A refresh token in the answer is ignored: the next token
 * is asked for in the same way.
 *
 * @throws {TypeError} When an option is wrong; nothing has been sent then.
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
  assertOptions("clientCredentialsGrant", options);
  const client = tokenClient(options);
  const form = formOf(options);
  const { key } = options;
  const grantType = "client_credentials";
  return endpointGrant(client, options, {
    key: key !== undefined || isNameable(client, form) ? grantKey({ grantType, client, form, key }) : undefined,
    mint: ({ signal }) => requestToken(client, { grantType, parameters: new URLSearchParams(form), signal }),
  });
}

function formOf(options: ClientCredentialsGrantOptions): URLSearchParams {
  const form = commonForm(options, ["audience"]);
  if (options.audience !== undefined) {
    assertString("audience", options.audience);
    form.set("audience", options.audience);
  }
  return form;
}
