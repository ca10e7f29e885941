/**
 * The options and parameters that all grants with a token endpoint share, and the key that names a grant's token
 * without a secret.
 *
 * Not here: the options of the server and the client (`client.ts`), and the parameters of one grant (`grants/`).
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import { LruMap } from "../base/lru.ts";
import { isCredentialName } from "../base/redacted.ts";
import { ABSOLUTE_URI, assertString, duration, membersOf, scopeList, stringList } from "../base/options.ts";
import type { TokenServer } from "../core/grant.ts";
import type { Origins, TargetParameters } from "../core/types.ts";
import type { TokenClient, TokenEndpointOptions } from "./client.ts";

/** The options that every grant with a token endpoint has: the server, the client, and what the token is for. */
export interface GrantOptions extends TokenEndpointOptions {
  /**
   * The scopes to request: a list, or one string with spaces between them.
   *
   * @defaultValue none: the server decides
   * @see [RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749.html#section-3.3)
   */
  readonly scope?: string | readonly string[] | undefined;
  /**
   * The APIs the token is for, as absolute URIs without a fragment.
   *
   * @see [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707.html#section-2)
   */
  readonly resource?: string | readonly string[] | undefined;
  /** Further parameters of the token request. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  /** Where the tokens may be sent. The cache's own `origins` wins. */
  readonly origins?: Origins | undefined;
  /** Milliseconds a token lives when the server does not say. Not negative. The cache's own `defaultTtl` wins. */
  readonly defaultTtl?: number | undefined;
  /**
   * Says whose token this is, without a secret: a user's id for example. It becomes part of the grant's key, which a
   * store needs. Grants with equal keys share a token, so two users must not have the same one.
   */
  readonly key?: string | undefined;
}

/** The names of {@link GrantOptions}, for the check of each grant's options. */
export const GRANT_OPTIONS = [
  "tokenEndpoint",
  "issuer",
  "revocationEndpoint",
  "clientId",
  "clientSecret",
  "clientAuthentication",
  "dpop",
  "tokenType",
  "headers",
  "fetch",
  "allowHttp",
  "scope",
  "resource",
  "parameters",
  "origins",
  "defaultTtl",
  "key",
] as const;

/**
 * Checks the options that all these grants have, and returns the parameters they stand for.
 *
 * @param own Parameters that the grant sets itself. The option `parameters` must not have them.
 * @param anyResource `resource` need not be a URI.
 * @throws {TypeError} When an option is wrong.
 */
export function grantForm(options: GrantOptions, own: readonly string[], anyResource = false): URLSearchParams {
  const { scope, resource, parameters = {} } = options;
  if (options.defaultTtl !== undefined) duration("defaultTtl", options.defaultTtl, 0);
  if (options.key !== undefined) assertString("key", options.key);
  const form = new URLSearchParams();
  const scopes = scopeList(scope);
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  for (const uri of stringList("resource", resource)) {
    if (!anyResource && !ABSOLUTE_URI.test(uri)) {
      throw new TypeError(
        `"resource" must be absolute URIs without a fragment (RFC 8707), got a string that is not one`,
      );
    }
    form.append("resource", uri);
  }
  addParameters(form, parameters, own);
  return form;
}

/**
 * Adds parameters that the user gave.
 *
 * @param own Parameters that must not be among them.
 * @throws {TypeError} When one of them is, or is no string, or when they are no object.
 */
export function addParameters(form: URLSearchParams, parameters: unknown, own: readonly string[]): void {
  for (const [name, value] of membersOf("parameters", parameters)) {
    if (RESERVED.includes(name) || own.includes(name)) {
      throw new TypeError(`"parameters" must not have "${name}": it has an option of its own, or the grant sets it`);
    }
    assertString(`parameters.${name}`, value);
    form.set(name, value);
  }
}

/**
 * Returns a copy of a grant's parameters for one target: its scope, resources and audiences take the place of the grant's.
 */
export function withTarget(form: URLSearchParams, target: TargetParameters | undefined): URLSearchParams {
  const wanted = new URLSearchParams(form);
  for (const name of ["scope", "resource", "audience"] as const) {
    const values = target?.[name];
    if (values === undefined) continue;
    wanted.delete(name);
    if (name === "scope") wanted.set(name, [values].flat().join(" "));
    else for (const value of [values].flat()) wanted.append(name, value);
  }
  return wanted;
}

/** Parameters that the user cannot set with `parameters`. */
const RESERVED: readonly string[] = [
  "grant_type",
  "client_id",
  "client_secret",
  "client_assertion",
  "client_assertion_type",
  "scope",
  "resource",
];

/** What tells a grant's token from other tokens. */
interface KeyParts {
  readonly grantType: string;
  readonly client: TokenClient;
  readonly form: URLSearchParams;
  /** Says whose token it is. */
  readonly key?: string | undefined;
  /** Tokens that say whose token it is. Only their digests become part of the key. */
  readonly tokens?: readonly string[] | undefined;
}

/**
 * Returns a grant's key. It is the same whatever the order of scopes, resources and parameters is, and holds no secret.
 *
 * @returns `undefined` when the tokens are bound to a DPoP key without a thumbprint: no other process could use them.
 */
export function grantKey({ grantType, client, form, key = "", tokens = [] }: KeyParts): string | undefined {
  const { dpop } = client;
  if (dpop !== undefined && dpop.thumbprint === undefined) return undefined;
  return JSON.stringify([
    grantType,
    client.endpoint,
    publicPairs(client.url.searchParams),
    client.clientId,
    scopesOf(form),
    publicPairs(withoutScope(form)),
    publicPairs(Object.entries(client.headers)),
    key,
    tokens.map((token) => digest(token)),
    ...(dpop === undefined ? [] : [dpop.thumbprint]),
  ]);
}

/**
 * Returns with whom a failure of a grant's server is shared. The target is the scope and all other parameters, whatever
 * their order is. It is a digest, because parameters may be credentials.
 */
export function tokenServer({ endpoint, url, clientId, headers }: TokenClient, form: URLSearchParams): TokenServer {
  const pairs = [url.searchParams, withoutScope(form), Object.entries(headers)].map((each) => allPairs(each));
  return { endpoint, client: clientId, target: targetDigest(JSON.stringify([scopesOf(form), pairs])) };
}

/** The digests that were made last: the grants of a pool's users mostly ask for the same. */
const digests = new LruMap<string, string>(64);

function targetDigest(text: string): string {
  let found = digests.use(text);
  if (found === undefined) digests.set(text, (found = digest(text)));
  return found;
}

function scopesOf(form: URLSearchParams): string[] {
  return sorted(new Set(form.get("scope")?.split(" ")));
}

function withoutScope(form: URLSearchParams): URLSearchParams {
  const rest = new URLSearchParams(form);
  rest.delete("scope");
  return rest;
}

/** Pairs in a fixed order. */
function allPairs(pairs: Iterable<[string, string]>): string[] {
  return sorted(Array.from(pairs, (pair) => String(new URLSearchParams([pair]))));
}

/** Pairs in a fixed order, without the values of those that are named like a credential. */
function publicPairs(pairs: Iterable<[string, string]>): string[] {
  return allPairs(Array.from(pairs, ([name, value]) => [name, isCredentialName(name) ? "[redacted]" : value]));
}

function sorted(values: Iterable<string>): string[] {
  const copy = [...values];
  copy.sort();
  return copy;
}
