/**
 * A certified authorization server in this process: `oidc-provider` on loopback, with the client credentials grant
 * only.
 */
import { randomBytes } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { exportJWK, generateKeyPair, type CryptoKey } from "jose";

/** The resource whose tokens are JWTs, and the one whose tokens are opaque. */
export const RESOURCES = { jwt: "urn:contract:jwt-api", opaque: "urn:contract:opaque-api" } as const;
export type TokenFormat = keyof typeof RESOURCES;

export const OIDC_CLIENT = { clientId: "oidc-client", clientSecret: "s3cret/of the+oidc client" } as const;

/** The parts of the package that are used here; it has no types. */
interface Provider {
  callback(): RequestListener;
  on(event: string, listener: (...args: unknown[]) => void): void;
}
type ProviderClass = new (issuer: string, configuration: object) => Provider;

export interface OidcProvider {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  readonly jwksUri: string;
  /** The key that it signs with, for forged tokens with a valid signature. */
  readonly signingKey: CryptoKey;
  /** The number of token requests that were answered with a token. */
  readonly mints: number;
  /** The errors inside the server. */
  readonly errors: readonly unknown[];
  /** Introspects a token (RFC 7662). */
  introspect(token: string): Promise<Readonly<Record<string, unknown>>>;
  /** Revokes an opaque token (RFC 7009). */
  revoke(token: string): Promise<void>;
  close(): Promise<void>;
}

/** In seconds. */
const TOKEN_LIFETIME = 3600;

export interface OidcProviderOptions {
  /** Whether proofs must have a nonce of this server. @defaultValue false */
  readonly dpopNonces?: boolean;
}

export async function startOidcProvider(options: OidcProviderOptions = {}): Promise<OidcProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const issuer = `http://127.0.0.1:${port}`;
  const { privateKey: signingKey } = await generateKeyPair("RS256", { extractable: true });
  const provider = await withoutNotices(
    async () => new (await providerClass())(issuer, await configuration(signingKey, options)),
  );
  server.on("request", provider.callback());

  let mints = 0;
  const errors: unknown[] = [];
  provider.on("grant.success", () => void mints++);
  provider.on("server_error", (_context, error) => void errors.push(error));
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    jwksUri: `${issuer}/jwks`,
    signingKey,
    get mints() {
      return mints;
    },
    errors,
    introspect: async (token) =>
      (await (await postAsClient(`${issuer}/token/introspection`, token)).json()) as Record<string, unknown>,
    async revoke(token) {
      const { status } = await postAsClient(`${issuer}/token/revocation`, token);
      if (status !== 200) throw new Error(`the revocation was answered ${status}`);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

async function configuration(signingKey: CryptoKey, { dpopNonces = false }: OidcProviderOptions): Promise<object> {
  const jwk = { ...(await exportJWK(signingKey)), alg: "RS256", use: "sig", kid: "contract" };
  return {
    jwks: { keys: [jwk] },
    cookies: { keys: ["not used by this grant"] },
    ttl: { ClientCredentials: TOKEN_LIFETIME },
    clients: [
      {
        client_id: OIDC_CLIENT.clientId,
        client_secret: OIDC_CLIENT.clientSecret,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: "client_secret_basic",
      },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      ...(dpopNonces && { dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true } }),
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_context: unknown, resource: string) => ({
          scope: "",
          audience: resource,
          accessTokenTTL: TOKEN_LIFETIME,
          accessTokenFormat: resource === RESOURCES.jwt ? "jwt" : "opaque",
          ...(resource === RESOURCES.jwt && { jwt: { sign: { alg: "RS256" } } }),
        }),
      },
    },
  };
}

async function providerClass(): Promise<ProviderClass> {
  // In a variable, so that the compiler does not look for types.
  const name = "oidc-provider";
  return ((await import(name)) as { default: ProviderClass }).default;
}

/**
 * Runs work without two notices of oidc-provider on the console: its storage is in memory, and Node 20 is not
 * supported.
 */
async function withoutNotices<T>(work: () => Promise<T>): Promise<T> {
  const { info, warn } = console;
  console.info = (...parts: unknown[]) => void (isItsNotice(parts) || info(...parts));
  console.warn = (...parts: unknown[]) => void (isItsNotice(parts) || warn(...parts));
  try {
    return await work();
  } finally {
    Object.assign(console, { info, warn });
  }
}

function isItsNotice([first]: readonly unknown[]): boolean {
  return String(first).includes("oidc-provider ");
}

function postAsClient(url: string, token: string): Promise<Response> {
  const { clientId, clientSecret } = OIDC_CLIENT;
  const credentials = [clientId, clientSecret].map((part) => new URLSearchParams({ part }).toString().slice(5));
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(credentials.join(":"))}` },
    body: new URLSearchParams({ token }),
  });
}
