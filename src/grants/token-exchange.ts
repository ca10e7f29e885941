/**
 * The token exchange grant: a token for the bearer of another token.
 *
 * @module
 */
import { isRemintError, tokenResponseError } from "../base/errors.ts";
import { jwtTimes } from "../base/jwt.ts";
import { assertOptions, assertString, assertStringSource, optionError, stringOf } from "../base/options.ts";
import { isNameable, tokenClient } from "../oauth/client.ts";
import { commonForm, grantKey, strings } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { endpointGrant } from "./generic.ts";
import type { Grant, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** A token, or a function that is asked for it before every token request: it may have been replaced meanwhile. */
export type TokenInput = string | ((context: Pick<MintContext, "signal">) => string | Promise<string>);

/** The token types of RFC 8693 section 3 by their last part, or any URI. */
export type TokenType = "access_token" | "refresh_token" | "id_token" | "saml1" | "saml2" | "jwt" | (string & {});

/** Options of {@link tokenExchangeGrant}. */
export interface TokenExchangeGrantOptions extends GrantOptions {
  /** The token that stands for the party on whose behalf the new one is asked for. */
  readonly subjectToken: TokenInput;
  /** @defaultValue "access_token" */
  readonly subjectTokenType?: TokenType | undefined;
  /**
   * When the subject token ends (epoch milliseconds or a `Date`), for one that is no JWT with an `exp`. The new token is
   * not kept longer.
   */
  readonly subjectExpiresAt?: number | Date | (() => number | Date | undefined) | undefined;
  /** The token of the party that acts for the subject, when it is another. */
  readonly actorToken?: TokenInput | undefined;
  /** @defaultValue "access_token", with an `actorToken` */
  readonly actorTokenType?: TokenType | undefined;
  /** @defaultValue what the server gives unasked */
  readonly requestedTokenType?: TokenType | undefined;
  /** Logical names of the services the token is for. */
  readonly audience?: string | readonly string[] | undefined;
}

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPE = "urn:ietf:params:oauth:token-type:";
const OWN = [
  "subject_token",
  "subject_token_type",
  "actor_token",
  "actor_token_type",
  "requested_token_type",
  "audience",
];

/**
 * A grant that exchanges a token for another one. What was issued is kept no longer than the subject token is good, and
 * is refused when it is no access token (`token_type` `N_A`). A refresh token in the answer is ignored.
 *
 * @throws {TypeError} When an option is wrong; nothing has been sent then.
 * @see [RFC 8693 section 2](https://www.rfc-editor.org/rfc/rfc8693.html#section-2)
 * @example
 * ```ts
 * const grant = tokenExchangeGrant({
 *   tokenEndpoint: "https://auth.example/token",
 *   clientId: "orders-service",
 *   clientSecret,
 *   subjectToken: incomingToken,
 *   audience: "billing",
 * });
 * ```
 */
export function tokenExchangeGrant(options: TokenExchangeGrantOptions): Grant {
  assertOptions("tokenExchangeGrant", options);
  return exchangeGrant(tokenClient(options), options, checkIssuedType);
}

/** {@link tokenExchangeGrant} for a client that was checked already, with the provider's own idea of a good answer. */
export function exchangeGrant(
  client: TokenClient,
  options: TokenExchangeGrantOptions,
  check: (response: TokenResponse, client: TokenClient) => void,
): Grant {
  const form = exchangeForm(options);
  const { subjectToken, actorToken } = options;
  return endpointGrant(client, options, {
    key: keyOf(client, form, options),
    async mint({ signal }) {
      const parameters = new URLSearchParams(form);
      const subject = await stringOf("subjectToken", subjectToken, { signal });
      parameters.set("subject_token", subject);
      if (actorToken !== undefined) parameters.set("actor_token", await stringOf("actorToken", actorToken, { signal }));
      const response = await exchanged(client, parameters, signal);
      check(response, client);
      return { ...response, notAfter: subjectEnd(subject, options.subjectExpiresAt) };
    },
  });
}

function exchangeForm(options: TokenExchangeGrantOptions): URLSearchParams {
  const { actorToken, subjectTokenType = "access_token", actorTokenType, requestedTokenType } = options;
  const { subjectExpiresAt } = options;
  assertStringSource("subjectToken", options.subjectToken);
  const form = commonForm(options, OWN);
  form.set("subject_token_type", typeUri("subjectTokenType", subjectTokenType));
  if (actorToken !== undefined) {
    assertStringSource("actorToken", actorToken);
    form.set("actor_token_type", typeUri("actorTokenType", actorTokenType ?? "access_token"));
  } else if (actorTokenType !== undefined) {
    throw new TypeError(`"actorTokenType" must not be given without "actorToken" (RFC 8693 section 2.1)`);
  }
  if (requestedTokenType !== undefined) {
    form.set("requested_token_type", typeUri("requestedTokenType", requestedTokenType));
  }
  for (const name of strings("audience", options.audience)) form.append("audience", name);
  if (subjectExpiresAt !== undefined && typeof subjectExpiresAt !== "function") epochMs(subjectExpiresAt);
  return form;
}

function typeUri(name: string, type: unknown): string {
  assertString(name, type);
  return type.includes(":") ? type : TOKEN_TYPE + type;
}

/** T30: whose token it is is said by the tokens themselves; of functions, only by the user. */
function keyOf(client: TokenClient, form: URLSearchParams, options: TokenExchangeGrantOptions): string | undefined {
  const { key, subjectToken, actorToken = "" } = options;
  const tokens = [subjectToken, actorToken].filter((token) => typeof token === "string");
  if (key === undefined && (tokens.length < 2 || !isNameable(client, form))) return undefined;
  return grantKey({ grantType: GRANT_TYPE, client, form, key, tokens });
}

async function exchanged(
  client: TokenClient,
  parameters: URLSearchParams,
  signal: AbortSignal,
): Promise<TokenResponse> {
  try {
    return await requestToken(client, { grantType: GRANT_TYPE, parameters, signal });
  } catch (error) {
    if (!isRemintError(error) || error.code !== "ERR_TOKEN_RESPONSE" || !/token_type/.test(error.message)) throw error;
    throw tokenResponseError(
      `${error.message}. A token exchange may issue something that is no access token (token_type N_A): ` +
        `it is never attached; check requestedTokenType`,
    );
  }
}

function checkIssuedType(response: TokenResponse, { endpoint }: TokenClient): void {
  if (typeof response["issued_token_type"] === "string") return;
  throw tokenResponseError(
    `the answer of ${endpoint} has no "issued_token_type", which a token exchange must have (RFC 8693 section 2.2.1)`,
  );
}

/** T31: the end of the subject token, in epoch milliseconds; the earliest of what it says and what the user says. */
function subjectEnd(token: string, given: TokenExchangeGrantOptions["subjectExpiresAt"]): number | undefined {
  const said = typeof given === "function" ? given() : given;
  const { exp } = jwtTimes(token);
  const ends = [exp === undefined ? undefined : exp * 1000, said === undefined ? undefined : epochMs(said)];
  const known = ends.filter((end) => end !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function epochMs(value: unknown): number {
  const time = value instanceof Date ? value.getTime() : value;
  if (typeof time === "number" && Number.isFinite(time)) return time;
  throw optionError("subjectExpiresAt", value, "epoch milliseconds, a Date, or a function that returns one");
}
