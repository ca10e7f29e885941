/**
 * What the BFF has to be told: its own address, the authorization server, the client, and where sessions are kept.
 *
 * Nothing here comes from a request. `app.ts` reads it once.
 *
 * @module
 */
import type { DpopPrivateKey } from "remint/dpop";
import type { FleetStore } from "remint/fleet";
import type { KeyValues } from "./key-values.ts";

/** The settings of the BFF. Durations are milliseconds. */
export interface Settings {
  /** The BFF's origin as browsers see it, such as `https://app.example`. Redirects and `redirect_uri` are made of it. */
  readonly origin: string;
  readonly issuer: string;
  readonly clientId: string;
  /** Either this or {@link Settings.clientKey}. */
  readonly clientSecret?: string | undefined;
  /** The private key with which the client authenticates (`private_key_jwt`). */
  readonly clientKey?: { readonly key: CryptoKey; readonly kid: string } | undefined;
  /** The private key to which tokens are bound (DPoP), the same in every process. Without it they are bearer tokens. */
  readonly dpopKey?: DpopPrivateKey | undefined;
  readonly scope: string;
  /** The APIs, as resource indicators (RFC 8707). The token of the sign-in is for the first one. */
  readonly resources: readonly [string, ...string[]];
  /** 32 random bytes, the same in every process: they encrypt the sign-in cookies and the sessions in the store. */
  readonly secret: Uint8Array;
  /** Where sessions are kept. */
  readonly store: KeyValues;
  /** Where the tokens of sessions are kept. */
  readonly tokenStore: FleetStore;
  /** Without use for so long, a session ends. @defaultValue 1_800_000 (30 minutes) */
  readonly idle?: number | undefined;
  /** A session ends at the latest after so long. At most as long as refresh tokens live. @defaultValue 28_800_000 (8 hours) */
  readonly absolute?: number | undefined;
  /** Cookies without `Secure` and prefix, for browsers that refuse `Secure` on http://localhost. Never in production. */
  readonly plainCookies?: boolean | undefined;
}
