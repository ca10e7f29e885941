/**
 * The token exchange grant: a new token in exchange for the token of a user or a service.
 *
 * The request is sent by `oauth/request.ts`. What this grant shares with others is in `endpoint.ts`.
 *
 * @module
 */
import { dateOf } from "../base/dates.ts";
import { isRemintError, tokenResponseError } from "../base/errors.ts";
import { jwtTimes } from "../base/jwt.ts";
import { assertString, optionError, stringList, takenOptions } from "../base/options.ts";
import { callUserFunction } from "../base/user-function.ts";
import { UNUSABLE_ANSWER } from "../oauth/answer.ts";
import { isNameable, tokenClient } from "../oauth/client.ts";
import { GRANT_OPTIONS, grantForm, grantKey } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { assertSendableSource, sendable } from "../oauth/sendable.ts";
import { endpointGrant } from "./endpoint.ts";
import type { StringSource } from "../base/options.ts";
import type { Grant, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** A token, or a function that is called for one before every token request, so that a replaced token is picked up. */
export type TokenInput = StringSource<[context: Pick<MintContext, "signal">]>;

/** A token type of RFC 8693 section 3, by the last part of its URI; or any other URI. */
export type TokenType = "access_token" | "refresh_token" | "id_token" | "saml1" | "saml2" | "jwt" | (string & {});

/** Options of {@link tokenExchangeGrant}. */
export interface TokenExchangeGrantOptions extends GrantOptions {
  /** The token of the party on whose behalf the new token is requested. */
  readonly subjectToken: TokenInput;
  /** The type of the subject token. @defaultValue "access_token" */
  readonly subjectTokenType?: TokenType | undefined;
  /**
   * When the subject token expires: a `Date`, epoch milliseconds or seconds, or an ISO 8601 date; or a function that is called
   * after every exchange. The new token is not used longer than that. Not needed for a JWT with an `exp` claim; if both are
   * known, the earlier one counts.
   */
  readonly subjectExpiresAt?:
    | Date
    | number
    | string
    | (() => Date | number | string | null | undefined | Promise<Date | number | string | null | undefined>)
    | undefined;
  /** The token of the party that acts for the subject, if it is another party. */
  readonly actorToken?: TokenInput | undefined;
  /** The type of the actor token. Only with `actorToken`. @defaultValue "access_token" */
  readonly actorTokenType?: TokenType | undefined;
  /** The type of the token to request. @defaultValue none: the server decides */
  readonly requestedTokenType?: TokenType | undefined;
  /** The logical names of the services the token is for. */
  readonly audience?: string | readonly string[] | undefined;
}

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPE = "urn:ietf:params:oauth:token-type:";
const OWN_PARAMETERS = [
  "subject_token",
  "subject_token_type",
  "actor_token",
  "actor_token_type",
  "requested_token_type",
  "audience",
];

/**
 * Creates a grant that exchanges a token for another one. The new token is not used after the subject token has
 * expired. An answer that is no access token (`token_type` `N_A`) is refused. A refresh token in the answer is ignored.
 *
 * @throws {TypeError} When an option is wrong. Nothing was sent then.
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
  options = takenOptions("tokenExchangeGrant", options, [
    ...GRANT_OPTIONS,
    "subjectToken",
    "subjectTokenType",
    "subjectExpiresAt",
    "actorToken",
    "actorTokenType",
    "requestedTokenType",
    "audience",
  ]);
  return exchangeGrant(tokenClient(options), options, checkIssuedType);
}

/** Does what {@link tokenExchangeGrant} does, for a provider that checks the client and the answer itself. */
export function exchangeGrant(
  client: TokenClient,
  options: TokenExchangeGrantOptions,
  check: (response: TokenResponse, client: TokenClient) => void,
): Grant {
  const form = exchangeForm(options);
  const { subjectToken, actorToken } = options;
  return endpointGrant(client, options, {
    key: keyOf(client, form, options),
    form,
    async mint(parameters, { signal }) {
      const subject = await sendable("subjectToken", subjectToken, "token", signal, { signal });
      parameters.set("subject_token", subject);
      if (actorToken !== undefined) {
        parameters.set("actor_token", await sendable("actorToken", actorToken, "token", signal, { signal }));
      }
      const response = await requestExchange(client, parameters, signal);
      check(response, client);
      return { ...response, notAfter: await subjectEnd(subject, options.subjectExpiresAt, signal) };
    },
  });
}

function exchangeForm(options: TokenExchangeGrantOptions): URLSearchParams {
  const { actorToken, subjectTokenType = "access_token", actorTokenType, requestedTokenType } = options;
  const { subjectExpiresAt } = options;
  assertSendableSource("subjectToken", options.subjectToken, "token");
  const form = grantForm(options, OWN_PARAMETERS);
  form.set("subject_token_type", typeUri("subjectTokenType", subjectTokenType));
  if (actorToken !== undefined) {
    assertSendableSource("actorToken", actorToken, "token");
    form.set("actor_token_type", typeUri("actorTokenType", actorTokenType ?? "access_token"));
  } else if (actorTokenType !== undefined) {
    throw new TypeError(`"actorTokenType" must not be given without "actorToken" (RFC 8693 section 2.1)`);
  }
  if (requestedTokenType !== undefined) {
    form.set("requested_token_type", typeUri("requestedTokenType", requestedTokenType));
  }
  for (const name of stringList("audience", options.audience)) form.append("audience", name);
  if (subjectExpiresAt !== undefined && typeof subjectExpiresAt !== "function") endOf(subjectExpiresAt);
  return form;
}

function typeUri(name: string, type: unknown): string {
  assertString(name, type);
  return type.includes(":") ? type : TOKEN_TYPE + type;
}

/**
 * The grant's key. The subject token and the actor token say whose token it is. If functions give them, only the user
 * can say it, with the option `key`.
 */
function keyOf(client: TokenClient, form: URLSearchParams, options: TokenExchangeGrantOptions): string | undefined {
  const { key, subjectToken, actorToken = "" } = options;
  const tokens = [subjectToken, actorToken].filter((token) => typeof token === "string");
  if (key === undefined && (tokens.length < 2 || !isNameable(client, form))) return undefined;
  return grantKey({ grantType: GRANT_TYPE, client, form, key, tokens });
}

async function requestExchange(
  client: TokenClient,
  parameters: URLSearchParams,
  signal: AbortSignal,
): Promise<TokenResponse> {
  try {
    return await requestToken(client, { grantType: GRANT_TYPE, parameters, signal });
  } catch (error) {
    const hint = isRemintError(error) && error.code === "ERR_TOKEN_RESPONSE" ? error.hint : undefined;
    if (hint === undefined || !/token_type/.test(hint)) throw error;
    throw tokenResponseError(
      UNUSABLE_ANSWER,
      `${hint}. A token exchange may issue something that is no access token (token_type N_A), ` +
        `which is never attached to requests; check requestedTokenType`,
    );
  }
}

function checkIssuedType(response: TokenResponse, { endpoint }: TokenClient): void {
  if (typeof response["issued_token_type"] === "string") return;
  throw tokenResponseError(
    UNUSABLE_ANSWER,
    `the answer of ${endpoint} has no "issued_token_type", which a token exchange must have (RFC 8693 section 2.2.1)`,
  );
}

/**
 * When the subject token expires, in epoch milliseconds: what its `exp` claim or the user says, whichever is earlier.
 */
async function subjectEnd(
  token: string,
  given: TokenExchangeGrantOptions["subjectExpiresAt"],
  signal: AbortSignal,
): Promise<number | undefined> {
  const stated = typeof given === "function" ? await endFrom(given, signal) : given;
  const ends = [dateOf(jwtTimes(token).exp), stated === undefined ? undefined : endOf(stated)];
  const known = ends.filter((end) => end !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function endFrom(source: () => unknown, signal: AbortSignal): Promise<number | undefined> {
  return callUserFunction("subjectExpiresAt", signal, async () => {
    const end = (await source()) ?? undefined;
    return end === undefined ? undefined : endOf(end);
  });
}

function endOf(value: unknown): number {
  const time = dateOf(value);
  if (time !== undefined) return time;
  throw optionError("subjectExpiresAt", value, "a Date, epoch milliseconds or seconds, or a function that returns one");
}
