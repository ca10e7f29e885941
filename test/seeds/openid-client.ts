/**
 * Stands for openid-client, which is not installed here: the functions that docs/salesforce.md uses, with the names and
 * parameters of its version 6. They are made of oauth4webapi, as openid-client is, so that what is sent and checked is the same.
 */
import * as oauth from "oauth4webapi";

export class Configuration {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  readonly clientAuth: oauth.ClientAuth;

  constructor(server: oauth.AuthorizationServer, clientId: string, clientSecret?: string) {
    this.server = server;
    this.client = { client_id: clientId };
    this.clientAuth = clientSecret === undefined ? oauth.None() : oauth.ClientSecretPost(clientSecret);
  }
}

export const randomPKCECodeVerifier = oauth.generateRandomCodeVerifier;
export const calculatePKCECodeChallenge = oauth.calculatePKCECodeChallenge;
export const randomState = oauth.generateRandomState;

export function buildAuthorizationUrl({ server, client }: Configuration, parameters: Record<string, string>): URL {
  const url = new URL(server.authorization_endpoint!);
  const query = { client_id: client.client_id, response_type: "code", ...parameters };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

export async function authorizationCodeGrant(
  { server, client, clientAuth }: Configuration,
  currentUrl: URL,
  checks: { readonly pkceCodeVerifier: string; readonly expectedState: string },
): Promise<oauth.TokenEndpointResponse> {
  const parameters = oauth.validateAuthResponse(server, client, currentUrl, checks.expectedState);
  const redirectUri = currentUrl.origin + currentUrl.pathname;
  const { pkceCodeVerifier } = checks;
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    clientAuth,
    parameters,
    redirectUri,
    pkceCodeVerifier,
    { [oauth.customFetch]: (url, init) => fetch(url, init) },
  );
  return oauth.processAuthorizationCodeResponse(server, client, response);
}
