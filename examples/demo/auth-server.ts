import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair } from "jose";
import { createOidcProvider } from "./oidc-provider.ts";

/** The API that the tokens are for (RFC 8707): their `aud` claim. */
export const AUDIENCE: string = "urn:demo:orders-api";
/** The registered client. */
export const CLIENT: { readonly clientId: string; readonly clientSecret: string } = {
  clientId: "orders-service",
  clientSecret: "not-a-secret-in-a-demo",
};

/**
 * A certified authorization server (oidc-provider) on loopback. A gate in front of it counts token requests and can be
 * shut.
 */
export class AuthServer {
  /** The number of requests to the token endpoint, including those that the gate refused. */
  tokenRequests = 0;
  /** The number of tokens that were handed out. */
  mints = 0;
  readonly #server: Server;
  /** Set while the gate is shut: what it waits for before it answers 503. */
  #outage: Promise<unknown> | undefined;
  #provider: RequestListener | undefined;

  private constructor() {
    this.#server = createServer((request, response) => {
      if (request.url === "/token") void this.#atGate(request, response);
      else this.#provider?.(request, response);
    });
  }

  static async start(): Promise<AuthServer> {
    const auth = new AuthServer();
    await new Promise<void>((resolve, reject) => {
      auth.#server.once("error", reject);
      auth.#server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, resolve);
    });
    const provider = await createOidcProvider(auth.issuer, await configuration());
    provider.on("server_error", (_context, error) => console.error(error));
    auth.#provider = provider.callback();
    return auth;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get tokenEndpoint(): string {
    return `${this.issuer}/token`;
  }

  get jwksUri(): string {
    return `${this.issuer}/jwks`;
  }

  /** Lets the token endpoint answer 503 from now on, but not before `until` has settled. */
  breakDown(until: Promise<unknown>): void {
    this.#outage = until;
  }

  repair(): void {
    this.#outage = undefined;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #atGate(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.tokenRequests++;
    if (this.#outage !== undefined) {
      request.resume();
      await this.#outage;
      response.writeHead(503).end();
      return;
    }
    response.once("finish", () => {
      if (response.statusCode === 200) this.mints++;
    });
    this.#provider?.(request, response);
  }
}

/** Configures one client. Its access tokens are JWTs, because they are for a named API. */
async function configuration(): Promise<object> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const client = {
    client_id: CLIENT.clientId,
    client_secret: CLIENT.clientSecret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  };
  const resourceServer = { scope: "orders:read", accessTokenFormat: "jwt" };
  return {
    clients: [client],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "demo" }] },
    ttl: { ClientCredentials: 3600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context: unknown, audience: string) => ({ ...resourceServer, audience }),
      },
    },
  };
}
