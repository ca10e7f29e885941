/**
 * A certified authorization server, with users who sign in without a page.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createOidcProvider } from "../../demo/oidc-provider.ts";

/** The client that is registered. Its redirect URI is `http://localhost/callback`, on any port. */
export const CLIENT = { id: "portal", secret: "the secret of the portal" } as const;

/** The server, and what a test does to it. */
export interface SignInServer {
  readonly issuer: string;
  /** Who signs in next. */
  user: string;
  /** Answers token requests in place of the server. */
  outage: ((response: ServerResponse) => void) | undefined;
  /** The access tokens that were issued, oldest first. */
  readonly issued: readonly string[];
  /** Whose access token it is; `undefined` when it is not valid. */
  ownerOf(token: string): string | undefined;
  /** Revokes all access tokens that were issued. */
  revokeAll(): void;
  close(): Promise<void>;
}

/** The parts of oidc-provider that are used here. It has no types. */
interface Provider {
  readonly Grant: new (of: object) => { addOIDCScope(scope: string): void; save(): Promise<string> };
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  on(event: "access_token.saved", listener: (token: AccessToken) => void): void;
  on(event: "grant.revoked", listener: (context: unknown, grantId: string) => void): void;
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
}

interface AccessToken {
  readonly jti: string;
  readonly accountId: string;
  readonly grantId: string;
}

interface Context {
  readonly oidc: { readonly client: { readonly clientId: string }; readonly session: { readonly accountId: string } };
}

export async function startProvider(): Promise<SignInServer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = (await createOidcProvider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        application_type: "native", // of which the redirect URI may have any port
        redirect_uris: ["http://localhost/callback"],
        grant_types: ["authorization_code", "refresh_token"],
      },
    ],
    cookies: { keys: [randomBytes(32).toString("hex")] },
    scopes: ["openid", "profile", "offline_access"],
    claims: { openid: ["sub"], profile: ["name"] },
    conformIdTokenClaims: false,
    findAccount: (_: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub, name: sub.toUpperCase() }) }),
    ttl: { Interaction: 600, Session: 3600, Grant: 3600, AccessToken: 3600, RefreshToken: 3600, IdToken: 600 },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    features: { devInteractions: { enabled: false }, revocation: { enabled: true, allowedPolicy: () => true } },
    interactions: { url: () => "/sign-in" },
    async loadExistingGrant({ oidc: { client, session } }: Context) {
      const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
      grant.addOIDCScope("openid profile offline_access");
      await grant.save();
      return grant;
    },
  })) as unknown as Provider;

  let user = "alice";
  let outage: SignInServer["outage"];
  const issued: string[] = [];
  const live = new Map<string, AccessToken>();
  provider.on("access_token.saved", (token) => {
    issued.push(token.jti); // the value, of an opaque token
    live.set(token.jti, token);
  });
  provider.on("grant.revoked", (_, grantId) => {
    for (const [value, token] of live) if (token.grantId === grantId) live.delete(value);
  });
  const answer = provider.callback();
  server.on("request", (request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/sign-in") {
      const result = { login: { accountId: user }, consent: {} };
      provider.interactionFinished(request, response, result).catch((error: Error) => response.destroy(error));
    } else if (path === "/token" && outage !== undefined) outage(response);
    else answer(request, response);
  });
  return {
    issuer,
    issued,
    get user() {
      return user;
    },
    set user(name) {
      user = name;
    },
    get outage() {
      return outage;
    },
    set outage(to) {
      outage = to;
    },
    ownerOf: (token) => live.get(token)?.accountId,
    revokeAll: () => live.clear(),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
