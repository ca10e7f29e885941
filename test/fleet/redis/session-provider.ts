/** A certified authorization server for tests (`oidc-provider`) that rotates refresh tokens and detects their reuse. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

interface Savable {
  save(): Promise<string>;
}
/** The parts of `oidc-provider` that this file uses. The package has no types. */
interface Provider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  on(event: string, listener: (...args: unknown[]) => void): void;
  readonly Client: { find(id: string): Promise<unknown> };
  readonly Grant: new (members: object) => Savable & { addOIDCScope(scope: string): void };
  readonly RefreshToken: new (members: object) => Savable;
}

export const PORTAL = { clientId: "portal", clientSecret: "not/a secret of+anybody" } as const;
const ACCOUNT = "user-1";
const SCOPE = "openid offline_access";

export interface SessionProvider {
  readonly tokenEndpoint: string;
  /** The outcome of each token request, oldest first: `"ok"` or the OAuth error code. */
  readonly outcomes: readonly string[];
  readonly errors: readonly unknown[];
  /** Signs a user in and returns the first refresh token. By default it is always the same user. */
  signIn(account?: string): Promise<string>;
  isActive(accessToken: string): Promise<boolean>;
  /** Holds the next answer of the token endpoint. `answered` resolves when the server has decided. */
  holdAnswer(): { readonly answered: Promise<void>; readonly release: () => void };
  close(): Promise<void>;
}

/** @param tokenLife How many seconds access tokens live. */
export async function startSessionProvider(tokenLife = 600): Promise<SessionProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const issuer = `http://127.0.0.1:${port}`;
  const provider = await makeProvider(issuer, tokenLife);
  let hold: { answered: () => void; readonly release: Promise<void> } | undefined;
  server.on("request", (request, response) => {
    if (request.url === "/token" && hold !== undefined) holdBack(response, hold);
    provider.callback()(request, response);
  });
  const outcomes: string[] = [];
  const errors: unknown[] = [];
  provider.on("grant.success", () => void outcomes.push("ok"));
  provider.on("grant.error", (_, error) => void outcomes.push((error as { error: string }).error));
  provider.on("server_error", (_, error) => void errors.push(error));
  return {
    tokenEndpoint: `${issuer}/token`,
    outcomes,
    errors,
    signIn: (account = ACCOUNT) => signIn(provider, account),
    async isActive(token) {
      const { clientId: client_id, clientSecret: client_secret } = PORTAL;
      const body = new URLSearchParams({ token, client_id, client_secret });
      const answer = await fetch(`${issuer}/token/introspection`, { method: "POST", body });
      return ((await answer.json()) as { active: boolean }).active;
    },
    holdAnswer() {
      let answered!: () => void;
      let release!: () => void;
      const decided = new Promise<void>((resolve) => (answered = resolve));
      hold = { answered, release: new Promise<void>((resolve) => (release = resolve)) };
      return { answered: decided, release: () => ((hold = undefined), release()) };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

/** Holds an answer back: the server has decided and stored, and the answer leaves when it is released. */
function holdBack(
  response: ServerResponse,
  { answered, release }: { answered: () => void; release: Promise<void> },
): void {
  const end = response.end.bind(response) as (...args: unknown[]) => ServerResponse;
  response.end = ((...args: unknown[]) => {
    answered();
    void release.then(() => end(...args));
    return response;
  }) as ServerResponse["end"];
}

async function signIn(provider: Provider, accountId: string): Promise<string> {
  const grant = new provider.Grant({ accountId, clientId: PORTAL.clientId });
  grant.addOIDCScope(SCOPE);
  const client = await provider.Client.find(PORTAL.clientId);
  const members = { accountId, client, grantId: await grant.save(), gty: "authorization_code", scope: SCOPE };
  return new provider.RefreshToken(members).save();
}

const isNotice = ([first]: readonly unknown[]): boolean => String(first).includes("oidc-provider ");

async function makeProvider(issuer: string, tokenLife: number): Promise<Provider> {
  const { info, warn } = console;
  // The provider prints that it keeps its data in memory and that it does not support Node 20. Both are intended here.
  console.info = (...parts: unknown[]) => void (isNotice(parts) || info(...parts));
  console.warn = (...parts: unknown[]) => void (isNotice(parts) || warn(...parts));
  try {
    // The name is in a variable, so that the compiler does not look for types that the package does not have.
    const name = "oidc-provider";
    const { default: Class } = (await import(name)) as { default: new (issuer: string, settings: object) => Provider };
    return new Class(issuer, configuration(tokenLife));
  } finally {
    Object.assign(console, { info, warn });
  }
}

function configuration(tokenLife: number): object {
  return {
    cookies: { keys: ["not used by this grant"] },
    rotateRefreshToken: true,
    ttl: { AccessToken: tokenLife, Grant: 86_400, IdToken: 600, RefreshToken: 86_400 },
    findAccount: (_: unknown, id: string) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    clients: [
      {
        client_id: PORTAL.clientId,
        client_secret: PORTAL.clientSecret,
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: ["https://portal.example/callback"],
        response_types: ["code"],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    clientAuthMethods: ["client_secret_post"],
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
    },
  };
}
