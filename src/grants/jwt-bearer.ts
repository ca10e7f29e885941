/**
 * The JWT bearer grant: a token for the subject of a signed assertion.
 *
 * The keys are in `base/keys.ts`, the signing of JWTs in `oauth/client-authentication.ts`, the request in
 * `oauth/request.ts`.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import { signingKey } from "../base/keys.ts";
import { assertObject, assertString, duration, optionError, stringList, takenOptions } from "../base/options.ts";
import { signedJwt } from "../oauth/client-authentication.ts";
import { isNameable, tokenClient } from "../oauth/client.ts";
import { GRANT_OPTIONS, grantForm, grantKey } from "../oauth/parameters.ts";
import { requestToken } from "../oauth/request.ts";
import { assertSendableSource, sendable } from "../oauth/sendable.ts";
import { endpointGrant } from "./endpoint.ts";
import type { KeyOptionNames, SigningKeyOptions } from "../base/keys.ts";
import type { Grant } from "../core/grant.ts";
import type { TokenClient } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";
import type { TokenInput } from "./token-exchange.ts";

/** What to sign an assertion from. A new one is signed for every token request. */
export interface SignedAssertion extends SigningKeyOptions {
  /** The `iss` claim: the party that signs. */
  readonly issuer: string;
  /** The `sub` claim: the user or service the token is for. */
  readonly subject: string;
  /** The `aud` claim: the authorization server, by the name that the server expects. */
  readonly audience: string | readonly string[];
  /** Further claims. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** Milliseconds an assertion is valid for. At least 1000. @defaultValue 60_000 (1 minute) */
  readonly lifetime?: number | undefined;
}

/** Options of {@link jwtBearerGrant}. */
export interface JwtBearerGrantOptions extends GrantOptions {
  /** The assertion, or a function that is called for one before every token request, or what to sign one from. */
  readonly assertion: TokenInput | SignedAssertion;
}

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const KEY_NAMES: KeyOptionNames = { key: "assertion.key", alg: "assertion.alg", kid: "assertion.kid" };

/**
 * Creates a grant that obtains tokens with a JWT as the authorization. A refresh token in the answer is ignored.
 *
 * @throws {TypeError} When an option is wrong. Nothing was sent then.
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
  options = takenOptions("jwtBearerGrant", options, [...GRANT_OPTIONS, "assertion"]);
  return assertionGrant(options, KEY_NAMES);
}

/** Does what {@link jwtBearerGrant} does, for a provider whose options for the key have other names. */
export function assertionGrant(options: JwtBearerGrantOptions, names: KeyOptionNames): Grant {
  const client = tokenClient(options);
  const form = grantForm(options, ["assertion"]);
  const assertion = takenAssertion(options.assertion);
  const makeAssertion = assertionMaker(assertion, names);
  return endpointGrant(client, options, {
    key: keyOf(client, form, options.key, assertion),
    form,
    async mint(wanted, { signal }) {
      // A new assertion for every send: a server that asks for a DPoP nonce may count the assertion as used already.
      const parameters = async (skew: number): Promise<URLSearchParams> => {
        const complete = new URLSearchParams(wanted);
        complete.set("assertion", await makeAssertion(signal, skew));
        return complete;
      };
      const isSigned = typeof assertion === "object";
      return requestToken(client, { grantType: GRANT_TYPE, parameters, isSigned, signal });
    },
  });
}

/** Gives the assertion for one token request. `skew`: milliseconds that the server's clock is ahead of this machine's. */
type AssertionMaker = (signal: AbortSignal, skew: number) => Promise<string>;

function takenAssertion(given: JwtBearerGrantOptions["assertion"]): JwtBearerGrantOptions["assertion"] {
  if (typeof given !== "object" || given === null) return given;
  const names = ["key", "alg", "kid", "header", "issuer", "subject", "audience", "claims", "lifetime"] as const;
  return takenOptions("assertion", given, names);
}

/** Returns the function that gives the assertions. */
function assertionMaker(given: JwtBearerGrantOptions["assertion"], names: KeyOptionNames): AssertionMaker {
  if (typeof given === "object" && given !== null) return signer(given, names);
  if (typeof given !== "function" && (typeof given !== "string" || given === "")) {
    const expected = "a non-empty string, a function that returns one, or { key, issuer, subject, audience } to sign";
    throw optionError("assertion", given, expected);
  }
  assertSendableSource("assertion", given, "token");
  return (signal) => sendable("assertion", given, "token", signal, { signal });
}

const OWN_CLAIMS = ["iss", "sub", "aud", "exp", "iat", "nbf"];
const A_MINUTE = 60_000;

/** Checks what an assertion is made of, and returns the function that signs one. */
function signer(options: SignedAssertion, names: KeyOptionNames): AssertionMaker {
  const { issuer, subject, claims = {} } = options;
  const lifetime = duration("assertion.lifetime", options.lifetime, A_MINUTE);
  if (lifetime < 1000) throw optionError("assertion.lifetime", lifetime, "at least 1000 milliseconds");
  assertString("assertion.issuer", issuer);
  assertString("assertion.subject", subject);
  const [only, ...more] = stringList("assertion.audience", options.audience);
  assertString("assertion.audience", only);
  assertObject("assertion.claims", claims);
  for (const name of OWN_CLAIMS) {
    if (Object.hasOwn(claims, name)) throw new TypeError(`"assertion.claims" must not have "${name}": it is set here`);
  }
  const key = signingKey(options, names);
  const fixedClaims = { ...claims, iss: issuer, sub: subject, aud: more.length === 0 ? only : [only, ...more] };
  const seconds = Math.floor(lifetime / 1000);
  return async (signal, skew) =>
    signedJwt(await key(signal), fixedClaims, { lifetime: seconds, skew, signal, name: names.key });
}

/**
 * The grant's key. The assertion says whose token it is. If a function gives the assertion, only the user can say it,
 * with the option `key`.
 */
function keyOf(
  client: TokenClient,
  form: URLSearchParams,
  key: string | undefined,
  assertion: JwtBearerGrantOptions["assertion"],
): string | undefined {
  if (key === undefined && (typeof assertion === "function" || !isNameable(client, form))) return undefined;
  const tokens = typeof assertion === "string" ? [assertion] : [];
  const parties = typeof assertion === "object" ? partiesOf(assertion) : [];
  return grantKey({ grantType: GRANT_TYPE, client, form, key: JSON.stringify([key, ...parties]), tokens });
}

/** Claims may be secrets, so they are a digest. */
function partiesOf({ issuer, subject, audience, claims }: SignedAssertion): unknown[] {
  return [issuer, subject, audience, claims && digest(JSON.stringify(claims))];
}
