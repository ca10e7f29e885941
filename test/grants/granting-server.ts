/**
 * A certified authorization server that rotates refresh tokens and notices when one comes twice (`oidc-provider` on
 * loopback), with two grants registered that it does not have itself: JWT bearer, and token exchange for several
 * resources.
 */
import { randomBytes } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { exportJWK, generateKeyPair, importJWK, type CryptoKey, jwtVerify } from "jose";

/** The parts of the package that are used; it brings no types. */
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
/** Without a secret: what its refresh tokens are good for is held by the key they are bound to (RFC 9449 section 5). */
export const PUBLIC_CLIENT = { clientId: "portal-in-the-browser", clientAuthentication: "none" } as const;
const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

export interface GrantingServer {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  /** What assertions have to be signed with, in ES256. */
  readonly assertionKey: CryptoKey;
  /** Every refresh token that was presented, in order. */
  readonly presented: readonly string[];
  /** What else was asked for, by the registered grants. */
  readonly asked: readonly Readonly<Record<string, unknown>>[];
  /** What went wrong inside. */
  readonly errors: readonly unknown[];
  /** What signing in gives: the first refresh token of a family; a public client's is bound to the key of this thumbprint. */
  signIn(accountId: string, jkt?: string): Promise<string>;
  /** RFC 7662. */
  isActive(token: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface GrantingServerOptions {
  /** Proofs must have a nonce of this server (RFC 9449 section 8), here and at its userinfo endpoint. @defaultValue false */
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

/** As after an authorization code was exchanged. */
async function signIn(provider: Provider, accountId: string, jkt: string | undefined): Promise<string> {
  const { clientId } = jkt === undefined ? CLIENT : PUBLIC_CLIENT;
  const client = await provider.Client.find(clientId);
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope("openid offline_access");
  const grantId = await grant.save();
  const scope = "openid offline_access";
  return new provider.RefreshToken({ accountId, client, grantId, scope, jkt, gty: "authorization_code" }).save();
}

interface Registered {
  readonly issuer: string;
  readonly publicKey: object;
  readonly asked: Readonly<Record<string, unknown>>[];
}

function registerGrants(provider: Provider, { issuer, publicKey, asked }: Registered): void {
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
  // It tells on the console that it is in memory, and that Node 20 is not supported; both are so on purpose.
  console.info = (...parts: unknown[]) => void (isItsNotice(parts) || info(...parts));
  console.warn = (...parts: unknown[]) => void (isItsNotice(parts) || warn(...parts));
  try {
    // By a variable: there are no types for the compiler to look for.
    const name = "oidc-provider";
    const { default: Class } = (await import(name)) as { default: ProviderClass };
    return new Class(issuer, await configuration(options));
  } finally {
    Object.assign(console, { info, warn });
  }
}

function isItsNotice([first]: readonly unknown[]): boolean {
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
