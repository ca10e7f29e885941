/**
 * The JWT bearer grant: a token for whoever a signed assertion speaks of.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { signingKey } from "../base/keys.ts";
import { assertOptions, assertString, duration, optionError } from "../base/options.ts";
import { signedJwt } from "../oauth/client-authentication.ts";
import { isNameable, tokenClient } from "../oauth/client.ts";
import { commonForm, grantKey, strings } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { endpointGrant } from "./generic.ts";
import type { JsonValue } from "oauth4webapi";
import type { KeyOptionNames, SigningKeyOptions } from "../base/keys.ts";
import type { Grant } from "../core/grant.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";
import type { TokenInput } from "./token-exchange.ts";

/** An assertion that is signed here, anew for every token request. */
export interface SignedAssertion extends SigningKeyOptions {
  /** The `iss` claim: who signs. */
  readonly issuer: string;
  /** The `sub` claim: whom the token is for. */
  readonly subject: string;
  /** The `aud` claim: the authorization server, by the name it wants to be called. */
  readonly audience: string | readonly string[];
  /** Further claims. */
  readonly claims?: Readonly<Record<string, JsonValue>> | undefined;
  /** Milliseconds an assertion is good for. @defaultValue 60_000 (1 minute) */
  readonly lifetime?: number | undefined;
}

/** Options of {@link jwtBearerGrant}. */
export interface JwtBearerGrantOptions extends GrantOptions {
  /** The assertion; or a function that is asked for one before every token request; or what to sign one from. */
  readonly assertion: TokenInput | SignedAssertion;
}

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const OWN_CLAIMS = ["iss", "sub", "aud", "exp", "iat", "nbf"];
const A_MINUTE = 60_000;
const KEY_NAMES: KeyOptionNames = { key: "assertion.key", alg: "assertion.alg", kid: "assertion.kid" };

/**
 * A grant that obtains tokens with a JWT as the authorization. A refresh token in the answer is ignored: the next token
 * is asked for in the same way.
 *
 * @throws {TypeError} When an option is wrong; nothing has been sent then.
 * @see [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523.html#section-2.1)
 * @example
 * ```ts
 * const grant = jwtBearerGrant({
 *   tokenEndpoint: "https://auth.example/token",
 *   clientId: "reports",
 *   clientSecret,
 *   assertion: { key: pem, issuer: "reports", subject: "alice@example.com", audience: "https://auth.example" },
 * });
 * ```
 */
export function jwtBearerGrant(options: JwtBearerGrantOptions): Grant {
  assertOptions("jwtBearerGrant", options);
  return assertionGrant(options, KEY_NAMES);
}

/** {@link jwtBearerGrant} for a provider, whose options for the key have other names. */
export function assertionGrant(options: JwtBearerGrantOptions, names: KeyOptionNames): Grant {
  const client = tokenClient(options);
  const form = commonForm(options, ["assertion"]);
  const make = assertionMaker(options.assertion, names);
  return endpointGrant(client, options, {
    key: keyOf(client, form, options),
    async mint({ signal }) {
      // Made for every send: a server that asks for a DPoP nonce may have taken note of the assertion all the same.
      const parameters = async (): Promise<URLSearchParams> => {
        const complete = new URLSearchParams(form);
        complete.set("assertion", await make(signal));
        return complete;
      };
      return requestToken(client, { grantType: GRANT_TYPE, parameters, signal });
    },
  });
}

function assertionMaker(
  given: JwtBearerGrantOptions["assertion"],
  names: KeyOptionNames,
): (signal: AbortSignal) => Promise<string> {
  if (typeof given === "object" && given !== null) return signer(given, names);
  if (typeof given === "function") return async (signal) => checked(await given({ signal }));
  const assertion = checked(given);
  return async () => assertion;
}

function checked(value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  const expected = "a non-empty string, a function that returns one, or { key, issuer, subject, audience } to sign";
  throw optionError("assertion", value, expected);
}

function signer(options: SignedAssertion, names: KeyOptionNames): () => Promise<string> {
  const { issuer, subject, claims = {} } = options;
  const lifetime = duration("assertion.lifetime", options.lifetime, A_MINUTE);
  if (lifetime < 1000) throw optionError("assertion.lifetime", lifetime, "at least 1000 milliseconds");
  assertString("assertion.issuer", issuer);
  assertString("assertion.subject", subject);
  const [only, ...more] = strings("assertion.audience", options.audience);
  assertString("assertion.audience", only);
  assertOptions("assertion.claims", claims);
  for (const name of OWN_CLAIMS) {
    if (Object.hasOwn(claims, name)) throw new TypeError(`"assertion.claims" must not have "${name}": it is set here`);
  }
  const key = signingKey(options, names);
  const said = { ...claims, iss: issuer, sub: subject, aud: more.length === 0 ? only : [only, ...more] };
  return async () => {
    const iat = Math.floor(systemClock.now() / 1000);
    // New for every request, `jti` too: a server may refuse to see an assertion twice. No `nbf`: clocks differ.
    return signedJwt(await key(), { ...said, iat, nbf: undefined, exp: iat + Math.floor(lifetime / 1000) });
  };
}

/** Whose token it is is said by the assertion; of a function's, only by the user. */
function keyOf(client: TokenClient, form: URLSearchParams, options: JwtBearerGrantOptions): string | undefined {
  const { key, assertion } = options;
  if (key === undefined && (typeof assertion === "function" || !isNameable(client, form))) return undefined;
  const tokens = typeof assertion === "string" ? [assertion] : [];
  const parties = typeof assertion === "object" ? partiesOf(assertion) : [];
  return grantKey({ grantType: GRANT_TYPE, client, form, key: JSON.stringify([key, ...parties]), tokens });
}

function partiesOf({ issuer, subject, audience, claims }: SignedAssertion): unknown[] {
  return [issuer, subject, audience, claims];
}
