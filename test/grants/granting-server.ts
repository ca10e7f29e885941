/**
 * A certified authorization server for tests: `oidc-provider`, in this process, on loopback. It rotates refresh tokens and
 * detects their reuse. Two grants that it does not have itself are registered here: JWT bearer, and token exchange for
 * several resources.
 */
import { randomBytes } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { exportJWK, generateKeyPair, importJWK, type CryptoKey, jwtVerify } from "jose";

/** The parts of `oidc-provider` that this file uses. The package has no types. */
interface Provider {
  callback(): RequestListener;
  on(event: string, listener: (...args: unknown[]) => void): void;
  registerGrantType(name: string, handler: (context: Context) => Promise<void>, ...parameters: string[][]): void;
  readonly Client: { find(id: string): Promise<object> };
  readonly Grant: new (of: object) => { addOIDCScope(scope: string): void; save(): Promise<string> };
  readonly RefreshToken: new (of: object) => { save(): Promise<string> };
  readonly AccessToken: new (of: object) => { save(): Promise<string>; readonly expiration: number };
}
type ProviderClass = new (issuer: string, configuration: object) => Provider;

interface Context {
  body: unknown;
  status: number;
  readonly oidc: { readonly client: object; readonly params: Readonly<Record<string, string | readonly string[]>> };
}

export const CLIENT = { clientId: "portal", clientSecret: "s3cret of the portal" } as const;
/** A public client: it has no secret, and its refresh tokens are bound to a DPoP key (RFC 9449 section 5). */
export const PUBLIC_CLIENT = { clientId: "portal-in-the-browser", clientAuthentication: "none" } as const;
const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

export interface GrantingServer {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  /** The ES256 key with which assertions must be signed. */
  readonly assertionKey: CryptoKey;
  /** Every refresh token that a client sent, oldest first. */
  readonly presented: readonly string[];
  /** The parameters of each request to the two registered grants, oldest first. */
  readonly asked: readonly Readonly<Record<string, unknown>>[];
  /** The errors inside the provider. */
  readonly errors: readonly unknown[];
  /**
   * Signs a user in and returns the first refresh token of a new family. With a thumbprint, the refresh token belongs to the
   * public client and is bound to the key of that thumbprint.
   */
  signIn(accountId: string, jkt?: string): Promise<string>;
  /** Asks the introspection endpoint of the server (RFC 7662). */
  isActive(token: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface GrantingServerOptions {
  /**
   * DPoP proofs must carry a nonce of this server, at the token endpoint and at the userinfo endpoint (RFC 9449 section 8).
   *
   * @defaultValue false
   */
  readonly dpopNonces?: boolean;
}

export async function startGrantingServer(options: GrantingServerOptions = {}): Promise<GrantingServer> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const provider = await makeProvider(issuer, options);
  const { privateKey: assertionKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const asked: Readonly<Record<string, unknown>>[] = [];
  registerGrants(provider, { issuer, publicKey: await exportJWK(publicKey), asked });

  const presented: string[] = [];
  const errors: unknown[] = [];
  const note = (context: unknown): void => {
    const token = (context as Context).oidc.params["refresh_token"];
    if (typeof token === "string") presented.push(token);
  };
  provider.on("grant.success", note);
  provider.on("grant.error", note);
  provider.on("server_error", (_context, error) => void errors.push(error));
  server.on("request", provider.callback());
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    assertionKey,
    presented,
    asked,
    errors,
    signIn: (accountId, jkt) => signIn(provider, accountId, jkt),
    async isActive(token) {
      const body = new URLSearchParams({ token });
      const authorization = `Basic ${btoa(`${CLIENT.clientId}:${encodeURIComponent(CLIENT.clientSecret)}`)}`;
      const answer = await fetch(`${issuer}/token/introspection`, { method: "POST", body, headers: { authorization } });
      return ((await answer.json()) as { active: boolean }).active;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

/** Creates the refresh token that a client has after it exchanged an authorization code. */
async function signIn(provider: Provider, accountId: string, jkt: string | undefined): Promise<string> {
  const { clientId } = jkt === undefined ? CLIENT : PUBLIC_CLIENT;
  const client = await provider.Client.find(clientId);
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope("openid offline_access");
  const grantId = await grant.save();
  const scope = "openid offline_access";
  return new provider.RefreshToken({ accountId, client, grantId, scope, jkt, gty: "authorization_code" }).save();
}

interface RegisteredGrantsOptions {
  readonly issuer: string;
  readonly publicKey: object;
  readonly asked: Readonly<Record<string, unknown>>[];
}

function registerGrants(provider: Provider, { issuer, publicKey, asked }: RegisteredGrantsOptions): void {
  const seen = new Set<unknown>();
  const issue = async (context: Context, accountId: unknown, more: object): Promise<void> => {
    asked.push(context.oidc.params);
    const token = new provider.AccessToken({ accountId, client: context.oidc.client, gty: "registered", scope: "" });
    context.body = { access_token: await token.save(), expires_in: token.expiration, token_type: "Bearer", ...more };
  };
  provider.registerGrantType(
    JWT_BEARER,
    async (context) => {
      try {
        const key = await importJWK(publicKey, "ES256");
        const { payload } = await jwtVerify(String(context.oidc.params["assertion"]), key, { audience: issuer });
        if (payload.jti === undefined || seen.has(payload.jti)) throw new Error("an assertion is good for one request");
        seen.add(payload.jti);
        await issue(context, payload.sub, {});
      } catch (error) {
        context.status = 400;
        context.body = { error: "invalid_grant", error_description: String(error) };
      }
    },
    ["assertion", "scope"],
  );
  const issued_token_type = "urn:ietf:params:oauth:token-type:access_token";
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    (context) => issue(context, "exchanged", { issued_token_type }),
    ["subject_token", "subject_token_type", "audience", "resource", "scope"],
    ["audience", "resource"],
  );
}

async function makeProvider(issuer: string, options: GrantingServerOptions): Promise<Provider> {
  const { info, warn } = console;
  // The provider prints that it keeps its data in memory and that it does not support Node 20. Both are intended here.
  console.info = (...parts: unknown[]) => void (isProviderNotice(parts) || info(...parts));
  console.warn = (...parts: unknown[]) => void (isProviderNotice(parts) || warn(...parts));
  try {
    // The name is in a variable, so that the compiler does not look for types that the package does not have.
    const name = "oidc-provider";
    const { default: Class } = (await import(name)) as { default: ProviderClass };
    return new Class(issuer, await configuration(options));
  } finally {
    Object.assign(console, { info, warn });
  }
}

function isProviderNotice([first]: readonly unknown[]): boolean {
  return String(first).includes("oidc-provider ");
}

async function configuration({ dpopNonces = false }: GrantingServerOptions): Promise<object> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  return {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "RS256", use: "sig" }] },
    cookies: { keys: ["not used by these grants"] },
    clients: [
      {
        client_id: CLIENT.clientId,
        client_secret: CLIENT.clientSecret,
        grant_types: ["authorization_code", "refresh_token", JWT_BEARER, TOKEN_EXCHANGE],
        redirect_uris: ["https://portal.example/callback"],
        response_types: ["code"],
        token_endpoint_auth_method: "client_secret_basic",
      },
      {
        client_id: PUBLIC_CLIENT.clientId,
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: ["https://portal.example/callback"],
        response_types: ["code"],
        token_endpoint_auth_method: "none",
      },
    ],
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, RefreshToken: 86_400, Grant: 86_400, IdToken: 600 },
    findAccount: (_context: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      ...(dpopNonces && { dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true } }),
    },
  };
}
