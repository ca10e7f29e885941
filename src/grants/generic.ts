/**
 * `genericGrant`: tokens from a token endpoint whose `grant_type` has no function of its own here, such as `password`,
 * `account_credentials` or `urn:ietf:params:oauth:grant-type:saml2-bearer`.
 *
 * The request is sent by `oauth/request.ts`. What this grant shares with others is in `endpoint.ts`.
 *
 * @module
 */
import { assertFunction, assertString, flag, stringList, takenOptions } from "../base/options.ts";
import { callUserFunction } from "../base/user-function.ts";
import { isNameable, NO_CLIENT, tokenClient } from "../oauth/client.ts";
import { addParameters, GRANT_OPTIONS, grantForm, grantKey } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { endpointGrant } from "./endpoint.ts";
import { endsSession, isRefusal, terminalRefusal } from "./refusals.ts";
import type { Grant, MintContext } from "../core/grant.ts";
import type { GrantOptions } from "../oauth/parameters.ts";
import type { IsTerminal } from "./refusals.ts";

/** Parameters of a token request, by their names. */
type Parameters = Readonly<Record<string, string>>;

/** Options of {@link genericGrant}. */
export interface GenericGrantOptions extends Omit<GrantOptions, "clientId" | "parameters"> {
  /** The `grant_type` parameter. */
  readonly grantType: string;
  /** The client's id. @defaultValue none: the request has no `client_id`, and no credentials of a client */
  readonly clientId?: string | undefined;
  /**
   * The other parameters, or a function that is called for them before every token request. They may be secrets, for example
   * a password: name them as the server does, so that no error shows them.
   */
  readonly parameters?:
    | Parameters
    | ((context: Pick<MintContext, "signal">) => Parameters | PromiseLike<Parameters>)
    | undefined;
  /** What the token is for. Other than for the other grants, it need not be a URI. */
  readonly resource?: string | readonly string[] | undefined;
  /** The `audience` parameter. */
  readonly audience?: string | readonly string[] | undefined;
  /** Sends the parameters as a JSON object, and not as a form. @defaultValue false */
  readonly json?: boolean | undefined;
  /** The member of the answer that is the token, for example `id_token`. @defaultValue "access_token" */
  readonly tokenMember?: string | undefined;
  /** Decides which refusals mean that the user has to sign in again. @defaultValue none does */
  readonly isTerminal?: IsTerminal | undefined;
}

/**
 * Creates a grant for any `grant_type` of a token endpoint. Client authentication, discovery, DPoP and repetitions are those
 * of the other grants.
 *
 * The grant keeps nothing from one mint to the next: a refresh token in the answer is ignored. What does not fit is for
 * `customGrant`: requests that are not a POST with parameters, several requests for one token, and mints that use up what
 * the one before them returned.
 *
 * Without the option `key`, a grant has none if `parameters` is a function, or if a parameter is named like a credential: the
 * same `key` must stand for the same user.
 *
 * @throws {TypeError} When an option is wrong. Nothing was sent then.
 * @see [RFC 6749 section 4.5](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.5)
 * @example
 * ```ts
 * const grant = genericGrant({
 *   tokenEndpoint: "https://auth.example/oauth/token",
 *   grantType: "account_credentials",
 *   clientId: "reports",
 *   clientSecret,
 *   parameters: { account_id: "4711" },
 * });
 * ```
 */
export function genericGrant(options: GenericGrantOptions): Grant {
  options = takenOptions("genericGrant", options, [
    ...GRANT_OPTIONS,
    "grantType",
    "audience",
    "json",
    "tokenMember",
    "isTerminal",
  ]);
  const { grantType, key, parameters, isTerminal, tokenMember } = options;
  assertString("grantType", grantType);
  if (tokenMember !== undefined) assertString("tokenMember", tokenMember);
  assertFunction("isTerminal", isTerminal);
  const json = flag("json", options.json);
  const client = tokenClient(clientOptions(options), {
    tokenMember,
    json,
    isAnonymous: options.clientId === undefined,
  });
  const fixed = typeof parameters === "function" ? undefined : parameters;
  const form = grantForm({ ...options, clientId: "", parameters: fixed }, ["audience"], true);
  for (const audience of stringList("audience", options.audience)) form.append("audience", audience);
  const isNamed = key !== undefined || (typeof parameters !== "function" && isNameable(client, form));
  return endpointGrant(client, options, {
    key: isNamed ? grantKey({ grantType, client, form, key }) : undefined,
    form,
    async mint(wanted, { signal }) {
      if (typeof parameters === "function") await addMade(wanted, parameters, signal);
      try {
        return await requestToken(client, { grantType, parameters: wanted, signal });
      } catch (error) {
        if (!isRefusal(error) || !(await endsSession(error, isTerminal, () => false, signal))) throw error;
        throw terminalRefusal(error, "the user has to sign in again");
      }
    },
  });
}

function clientOptions(options: GenericGrantOptions): GrantOptions {
  const { clientId = NO_CLIENT, clientSecret, clientAuthentication } = options;
  const isAnonymous = clientId === NO_CLIENT && clientSecret === undefined && clientAuthentication === undefined;
  return {
    ...options,
    clientId,
    clientAuthentication: isAnonymous ? "none" : clientAuthentication,
    parameters: undefined,
  };
}

function addMade(
  form: URLSearchParams,
  make: Exclude<NonNullable<GenericGrantOptions["parameters"]>, Parameters>,
  signal: AbortSignal,
): Promise<void> {
  return callUserFunction("parameters", signal, async () => {
    addParameters(form, await make({ signal }), ["audience"]);
  });
}
