/**
 * The client credentials grant: a token for the client itself, no user involved.
 *
 * @module
 */
import type { Grant, Origins, TokenResponse } from "../grant.ts";
import { assertOptions, assertString, duration, kindOf, optionError } from "../options.ts";
import { CREDENTIAL_NAME } from "./redaction.ts";
import { requestToken, tokenClient, type TokenClient, type TokenEndpointOptions } from "./token-endpoint.ts";

/** Options of {@link clientCredentials}. */
export interface ClientCredentialsOptions extends TokenEndpointOptions {
  /** Scopes to ask for: one string with spaces between, or a list. @defaultValue what the server gives unasked */
  readonly scope?: string | readonly string[] | undefined;
  /**
   * The APIs the token is for, as absolute URIs without a fragment.
   *
   * @see [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707.html#section-2)
   */
  readonly resource?: string | readonly string[] | undefined;
  /** The `audience` parameter that Auth0 and others want in place of `resource`. */
  readonly audience?: string | undefined;
  /**
   * Further parameters of the token request. They are part of the grant's key, but for the values of those that are named
   * like a credential (`api_key`, `password`).
   */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  /** Where the tokens may be sent (Q2); the cache's own `origins` comes first. */
  readonly origins?: Origins | undefined;
  /** Milliseconds a token lives when the server does not say; the cache's own option comes first. Non-negative. */
  readonly defaultTtl?: number | undefined;
}

/** Parameters that have an option of their own, or are the protocol's. */
const RESERVED = new Set([
  "grant_type",
  "client_id",
  "client_secret",
  "client_assertion",
  "client_assertion_type",
  "scope",
  "resource",
  "audience",
]);

/** RFC 3986 section 4.3: a scheme, and no fragment. */
const ABSOLUTE_URI = /^[a-z][a-z\d+.-]*:[^\s#]+$/i;

/**
 * A grant that obtains tokens with the client's own credentials. A refresh token in the answer is ignored: the next token
 * is asked for in the same way.
 *
 * @throws {TypeError} When an option is wrong; nothing has been sent then.
 * @see [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.4)
 * @example
 * ```ts
 * const grant = clientCredentials({
 *   tokenEndpoint: "https://auth.example/token",
 *   clientId: "orders-service",
 *   clientSecret: () => vault.read("orders-service"),
 *   scope: "orders:read",
 * });
 * ```
 */
export function clientCredentials(options: ClientCredentialsOptions): Grant {
  assertOptions("clientCredentials", options);
  const client = tokenClient(options);
  const form = formOf(options);
  if (options.defaultTtl !== undefined) duration("defaultTtl", options.defaultTtl, 0);
  return {
    key: keyOf(client, form),
    endpoint: client.endpoint,
    origins: options.origins,
    defaultTtl: options.defaultTtl,
    async mint({ signal }): Promise<TokenResponse> {
      const parameters = new URLSearchParams(form);
      const token = await requestToken(client, { grantType: "client_credentials", parameters, signal });
      return { ...token, refresh_token: undefined };
    },
  };
}

function formOf({ scope, resource, audience, parameters = {} }: ClientCredentialsOptions): URLSearchParams {
  const form = new URLSearchParams();
  const scopes = list("scope", scope)
    .flatMap((part) => part.split(" "))
    .filter((part) => part !== "");
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  for (const uri of list("resource", resource)) {
    if (!ABSOLUTE_URI.test(uri)) {
      throw new TypeError(
        `"resource" must be absolute URIs without a fragment (RFC 8707), got a string that is not one`,
      );
    }
    form.append("resource", uri);
  }
  if (audience !== undefined) {
    assertString("audience", audience);
    form.set("audience", audience);
  }
  if (typeof parameters !== "object" || parameters === null)
    throw optionError("parameters", parameters, "an object of strings");
  for (const [name, value] of Object.entries(parameters)) {
    if (RESERVED.has(name)) {
      throw new TypeError(`"parameters" must not have "${name}": it has its own option, or is the grant's to set`);
    }
    assertString(`parameters.${name}`, value);
    form.set(name, value);
  }
  return form;
}

function list(name: string, value: unknown): string[] {
  const strings: string[] = [];
  const items: readonly unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  for (const item of items) {
    if (typeof item !== "string" || item === "") {
      const found = Array.isArray(value) ? `a list with ${kindOf(item)} in it` : kindOf(item);
      throw new TypeError(`"${name}" must be a non-empty string or a list of them, got ${found}`);
    }
    strings.push(item);
  }
  return strings;
}

/** Equal for equal tokens, whatever the order in which scopes, resources and parameters were written; no secret in it. */
function keyOf(client: TokenClient, form: URLSearchParams): string {
  const rest = new URLSearchParams(form);
  rest.delete("scope");
  return JSON.stringify([
    "client_credentials",
    client.endpoint,
    publicPairs(client.url.searchParams),
    client.clientId,
    sorted(new Set(form.get("scope")?.split(" "))),
    publicPairs(rest),
    publicPairs(Object.entries(client.headers)),
  ]);
}

function publicPairs(pairs: Iterable<[string, string]>): string[] {
  return sorted(
    Array.from(pairs, ([name, value]) =>
      String(new URLSearchParams([[name, CREDENTIAL_NAME.test(name) ? "[redacted]" : value]])),
    ),
  );
}

function sorted(values: Iterable<string>): string[] {
  const copy = [...values];
  copy.sort();
  return copy;
}
