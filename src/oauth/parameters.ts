/**
 * The parameters that several grants have in common, and the key that names a grant's token without any secret.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import { assertString, duration, kindOf, optionError } from "../base/options.ts";
import { CREDENTIAL_NAME } from "./redaction.ts";
import type { Origins } from "../core/types.ts";
import type { TokenClient, TokenEndpointOptions } from "./client.ts";

/** What every grant that acts for somebody takes beside its own parameters. */
export interface GrantOptions extends TokenEndpointOptions {
  /** Scopes to ask for: one string with spaces between, or a list. @defaultValue what the server gives unasked */
  readonly scope?: string | readonly string[] | undefined;
  /**
   * The APIs the token is for, as absolute URIs without a fragment.
   *
   * @see [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707.html#section-2)
   */
  readonly resource?: string | readonly string[] | undefined;
  /** Further parameters of the token request. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  /** Where the tokens may be sent (Q2); the cache's own `origins` comes first. */
  readonly origins?: Origins | undefined;
  /** Milliseconds a token lives when the server does not say; the cache's own option comes first. Non-negative. */
  readonly defaultTtl?: number | undefined;
  /**
   * Names whose token this is without any secret, a user's id for example. Part of the grant's key, which a store
   * needs: what cannot be told apart by its key would share a token.
   */
  readonly key?: string | undefined;
}

/** Parameters that have an option of their own, or are the protocol's. */
const RESERVED: readonly string[] = [
  "grant_type",
  "client_id",
  "client_secret",
  "client_assertion",
  "client_assertion_type",
  "scope",
  "resource",
];

/** RFC 3986 section 4.3: a scheme, and no fragment. */
const ABSOLUTE_URI = /^[a-z][a-z\d+.-]*:[^\s#]+$/i;

/**
 * The form of the parameters all these grants have.
 *
 * @param own Parameters the grant sets by itself; `parameters` must not have them.
 * @throws {TypeError} When an option is wrong.
 */
export function commonForm(options: GrantOptions, own: readonly string[]): URLSearchParams {
  const { scope, resource, parameters = {} } = options;
  if (options.defaultTtl !== undefined) duration("defaultTtl", options.defaultTtl, 0);
  if (options.key !== undefined) assertString("key", options.key);
  const form = new URLSearchParams();
  const scopes = strings("scope", scope).flatMap((part) => part.split(" "));
  const named = scopes.filter((part) => part !== "");
  if (named.length > 0) form.set("scope", named.join(" "));
  for (const uri of strings("resource", resource)) {
    if (!ABSOLUTE_URI.test(uri)) {
      throw new TypeError(
        `"resource" must be absolute URIs without a fragment (RFC 8707), got a string that is not one`,
      );
    }
    form.append("resource", uri);
  }
  if (typeof parameters !== "object" || parameters === null) {
    throw optionError("parameters", parameters, "an object of strings");
  }
  for (const [name, value] of Object.entries(parameters)) {
    if (RESERVED.includes(name) || own.includes(name)) {
      throw new TypeError(`"parameters" must not have "${name}": it has its own option, or is the grant's to set`);
    }
    assertString(`parameters.${name}`, value);
    form.set(name, value);
  }
  return form;
}

/** @throws {TypeError} When `value` is given and neither a non-empty string nor a list of them. */
export function strings(name: string, value: unknown): string[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return items.map((item) => {
    if (typeof item === "string" && item !== "") return item;
    const found = Array.isArray(value) ? `a list with ${kindOf(item)} in it` : kindOf(item);
    throw new TypeError(`"${name}" must be a non-empty string or a list of them, got ${found}`);
  });
}

/** What makes a grant's token another one. */
export interface KeyParts {
  readonly grantType: string;
  readonly client: TokenClient;
  readonly form: URLSearchParams;
  /** Names whose token it is. */
  readonly key?: string | undefined;
  /** Tokens that say whose token it is; only their digests are used. */
  readonly tokens?: readonly string[] | undefined;
}

/**
 * Equal for equal tokens, whatever the order in which scopes, resources and parameters were written; no secret in it.
 *
 * @returns `undefined` when the tokens are bound to a key that cannot be named: nobody else could use them (T26).
 */
export function grantKey({ grantType, client, form, key = "", tokens = [] }: KeyParts): string | undefined {
  const { dpop } = client;
  if (dpop !== undefined && dpop.thumbprint === undefined) return undefined;
  const rest = new URLSearchParams(form);
  rest.delete("scope");
  return JSON.stringify([
    grantType,
    client.endpoint,
    publicPairs(client.url.searchParams),
    client.clientId,
    sorted(new Set(form.get("scope")?.split(" "))),
    publicPairs(rest),
    publicPairs(Object.entries(client.headers)),
    key,
    tokens.map((token) => digest(token)),
    ...(dpop === undefined ? [] : [dpop.thumbprint]),
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
