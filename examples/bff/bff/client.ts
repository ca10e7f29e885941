/**
 * This application as a client of the authorization server, for openid-client (sign-in, sign-out).
 *
 * The same client for token refreshes is in `tokens.ts`.
 *
 * @module
 */
import * as oidc from "openid-client";
import type { DpopPrivateKey } from "remint/dpop";
import type { Settings } from "./settings.ts";

/** The client, once the server's metadata are known. */
export interface Client {
  readonly config: oidc.Configuration;
  /** Present when tokens are bound to a key. */
  readonly dpop?: oidc.DPoPHandle;
}

/** Seconds by which the clocks of this machine and of the authorization server may differ. */
export const CLOCK_TOLERANCE = 30;
/** Milliseconds for which the server's metadata are used. */
const METADATA_AGE = 3_600_000;

/** Returns a function that looks the authorization server up at its first call. A failure is not kept. */
export function clientOf(settings: Settings): () => Promise<Client> {
  let current: { readonly client: Promise<Client>; readonly until: number } | undefined;
  return () => {
    if (current === undefined || current.until < Date.now()) {
      const client = discover(settings);
      const looked = { client, until: Date.now() + METADATA_AGE };
      current = looked;
      client.catch(() => {
        if (current === looked) current = undefined;
      });
    }
    return current.client;
  };
}

async function discover(settings: Settings): Promise<Client> {
  const { issuer, clientId, clientKey, clientSecret, dpopKey } = settings;
  const authentication = clientKey === undefined ? oidc.ClientSecretBasic(clientSecret) : oidc.PrivateKeyJwt(clientKey);
  const metadata = { [oidc.clockTolerance]: CLOCK_TOLERANCE };
  // Plain http is for an authorization server on this very machine.
  const isLocal = /^http:\/\/(127\.0\.0\.1|localhost)[:/]/.test(`${issuer}/`);
  const execute = isLocal ? [oidc.allowInsecureRequests] : [];
  const config = await oidc.discovery(new URL(issuer), clientId, metadata, authentication, { execute, timeout: 10 });
  if (dpopKey === undefined) return { config };
  return { config, dpop: oidc.getDPoPHandle(config, await keyPairOf(dpopKey)) };
}

async function keyPairOf({ kty = "", crv = "", x = "", y = "", d = "" }: DpopPrivateKey): Promise<CryptoKeyPair> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, algorithm, false, ["sign"]),
    crypto.subtle.importKey("jwk", { kty, crv, x, y }, algorithm, true, ["verify"]),
  ]);
  return { privateKey, publicKey };
}
