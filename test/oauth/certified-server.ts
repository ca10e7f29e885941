/**
 * A certified authorization server for tests: `oidc-provider`, in this process, on loopback. It speaks plain http, or https
 * if certificates are given. It has one client for each way to authenticate.
 */
import { X509Certificate } from "node:crypto";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { exportJWK, generateKeyPair, type CryptoKey } from "jose";
import type { Certificates } from "./certificates.ts";

/** The parts of `oidc-provider` that this file uses. The package has no types. */
interface Provider {
  callback(): RequestListener;
  on(event: string, listener: (...args: unknown[]) => void): void;
}
type ProviderClass = new (issuer: string, configuration: object) => Provider;

/** A secret whose characters change, or get lost, if the client encodes it wrongly. The provider takes ASCII only. */
export const AWKWARD_SECRET = "s:e+c%r e/t=&?#s3cr3t";

export interface SigningClient {
  readonly clientId: string;
  readonly key: CryptoKey;
}

export interface CertifiedServer {
  readonly issuer: string;
  /** For each algorithm, the client whose assertions must be signed with it. */
  readonly signing: Readonly<Record<"ES256" | "RS256" | "PS256" | "EdDSA", SigningClient>>;
  /** Paths of the requests, oldest first. */
  readonly requests: readonly string[];
  /** The errors inside the provider. */
  readonly errors: readonly unknown[];
  /** Asks the introspection endpoint of the server (RFC 7662). */
  isActive(token: string): Promise<boolean>;
  close(): Promise<void>;
}

const ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA"] as const;

export async function startCertifiedServer(certificates?: Certificates): Promise<CertifiedServer> {
  const tls = certificates && { ca: certificates.ca, ...certificates.server };
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  // This server asks for a client certificate and accepts any: the provider decides whether the certificate is good.
  const mtlsServer = tls && createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false });
  const issuer = await listen(server, tls !== undefined);
  const aliases = mtlsServer && { token_endpoint: `${await listen(mtlsServer, true)}/token` };
  const keys = await Promise.all(ALGORITHMS.map(async (alg) => [alg, await signingClient(alg)] as const));
  const clients = await Promise.all(keys.map(async ([alg, { clientId, key }]) => registration(alg, clientId, key)));
  const provider = await makeProvider(issuer, { ...configuration(clients), ...discoveryOf(aliases) });

  const requests: string[] = [];
  const errors: unknown[] = [];
  provider.on("server_error", (_context, error) => void errors.push(error));
  for (const each of [server, mtlsServer]) {
    each?.on("request", (request) => void requests.push(request.url ?? ""));
    each?.on("request", provider.callback());
  }
  return {
    issuer,
    signing: Object.fromEntries(keys) as CertifiedServer["signing"],
    requests,
    errors,
    async isActive(token) {
      const body = new URLSearchParams({ token, client_id: "post", client_secret: AWKWARD_SECRET });
      const answer = await fetch(`${issuer}/token/introspection`, { method: "POST", body });
      return ((await answer.json()) as { active: boolean }).active;
    },
    async close() {
      await Promise.all([server, mtlsServer].map(closeServer));
    },
  };
}

async function signingClient(alg: (typeof ALGORITHMS)[number]): Promise<SigningClient> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { clientId: `jwt-${alg}`, key: privateKey };
}

async function registration(alg: string, clientId: string, key: CryptoKey): Promise<object> {
  const { kty, crv, n, e, x, y } = await exportJWK(key);
  const jwks = { keys: [{ kty, crv, n, e, x, y, alg, use: "sig", kid: `kid-${alg}` }] };
  return client({ clientId, method: "private_key_jwt", more: { jwks, token_endpoint_auth_signing_alg: alg } });
}

function client({ clientId, method, more }: { clientId: string; method: string; more?: object }): object {
  return {
    client_id: clientId,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: method,
    ...more,
  };
}

function configuration(signing: readonly object[]): object {
  const secret = { client_secret: AWKWARD_SECRET };
  return {
    cookies: { keys: ["not used by this grant"] },
    ttl: { ClientCredentials: 600 },
    clients: [
      client({ clientId: "basic", method: "client_secret_basic", more: secret }),
      client({ clientId: "post", method: "client_secret_post", more: secret }),
      client({ clientId: "tls", method: "tls_client_auth", more: { tls_client_auth_subject_dn: "CN=orders" } }),
      ...signing,
    ],
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"],
    enabledJWA: { clientAuthSigningAlgValues: ALGORITHMS },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        getCertificate: certificateOf,
        certificateAuthorized: ({ socket }: Context) => socket.authorized,
        certificateSubjectMatches: (context: Context, _property: string, expected: string) =>
          certificateOf(context)?.subject === expected,
      },
    },
  };
}

interface Context {
  readonly socket: TLSSocket;
}

function certificateOf({ socket }: Context): X509Certificate | undefined {
  return socket.getPeerX509Certificate();
}

function discoveryOf(aliases: object | undefined): object {
  return aliases === undefined ? {} : { discovery: { mtls_endpoint_aliases: aliases } };
}

async function listen(server: Server, tls: boolean): Promise<string> {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return `http${tls ? "s" : ""}://127.0.0.1:${port}`;
}

async function closeServer(server: Server | undefined): Promise<void> {
  if (server === undefined) return;
  server.closeAllConnections();
  await new Promise((resolve) => void server.close(resolve));
}

/**
 * Creates the provider without its two notices on the console: that it keeps its data in memory, and that it does not
 * support Node 20. Both are intended here.
 */
async function makeProvider(issuer: string, settings: object): Promise<Provider> {
  const { info, warn } = console;
  console.info = (...parts: unknown[]) => void (isProviderNotice(parts) || info(...parts));
  console.warn = (...parts: unknown[]) => void (isProviderNotice(parts) || warn(...parts));
  try {
    // The name is in a variable, so that the compiler does not look for types that the package does not have.
    const name = "oidc-provider";
    const { default: Class } = (await import(name)) as { default: ProviderClass };
    return new Class(issuer, settings);
  } finally {
    Object.assign(console, { info, warn });
  }
}

function isProviderNotice([first]: readonly unknown[]): boolean {
  return String(first).includes("oidc-provider ");
}
