/** A certified authorization server, embedded, whose refresh tokens rotate and which notices when one comes twice. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

interface Stored {
  save(): Promise<string>;
}
/** The parts of `oidc-provider` that are used; it brings no types. */
interface Provider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  on(event: string, listener: (...args: unknown[]) => void): void;
  readonly Client: { find(id: string): Promise<unknown> };
  readonly Grant: new (members: object) => Stored & { addOIDCScope(scope: string): void };
  readonly RefreshToken: new (members: object) => Stored;
}

export const PORTAL = { clientId: "portal", clientSecret: "not/a secret of+anybody" } as const;
const ACCOUNT = "user-1";
const SCOPE = "openid offline_access";

export interface SessionProvider {
  readonly tokenEndpoint: string;
  /** How token requests ended, in order: `"ok"`, or the OAuth error. */
  readonly outcomes: readonly string[];
  readonly errors: readonly unknown[];
  /** A user has signed in. @returns The first refresh token. */
  signIn(): Promise<string>;
  isActive(accessToken: string): Promise<boolean>;
  /** Keeps the next answer of the token endpoint. Resolves when it is there. */
  holdAnswer(): { readonly answered: Promise<void>; readonly release: () => void };
  close(): Promise<void>;
}

export async function startSessionProvider(): Promise<SessionProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const issuer = `http://127.0.0.1:${port}`;
  const provider = await makeProvider(issuer);
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
    signIn: () => signIn(provider),
    async isActive(token) {
      const { clientId: client_id, clientSecret: client_secret } = PORTAL;
      const body = new URLSearchParams({ token, client_id, client_secret });
      const answer = await fetch(`${issuer}/token/introspection`, { method: "POST", body });
      return ((await answer.json()) as { active: boolean }).active;
    },
    holdAnswer() {
      let answered!: () => void;
      let release!: () => void;
      const isThere = new Promise<void>((resolve) => (answered = resolve));
      hold = { answered, release: new Promise<void>((resolve) => (release = resolve)) };
      return { answered: isThere, release: () => ((hold = undefined), release()) };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

/** The server has decided and stored; nothing of it leaves before it is released. */
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

async function signIn(provider: Provider): Promise<string> {
  const grant = new provider.Grant({ accountId: ACCOUNT, clientId: PORTAL.clientId });
  grant.addOIDCScope(SCOPE);
  const client = await provider.Client.find(PORTAL.clientId);
  const members = { accountId: ACCOUNT, client, grantId: await grant.save(), gty: "authorization_code", scope: SCOPE };
  return new provider.RefreshToken(members).save();
}

const isNotice = ([first]: readonly unknown[]): boolean => String(first).includes("oidc-provider ");

async function makeProvider(issuer: string): Promise<Provider> {
  const { info, warn } = console;
  // It tells that it is in memory, and that Node 20 is not supported; both are so on purpose.
  console.info = (...parts: unknown[]) => void (isNotice(parts) || info(...parts));
  console.warn = (...parts: unknown[]) => void (isNotice(parts) || warn(...parts));
  try {
    // By a variable: there are no types for the compiler to look for.
    const name = "oidc-provider";
    const { default: Class } = (await import(name)) as { default: new (issuer: string, settings: object) => Provider };
    return new Class(issuer, configuration());
  } finally {
    Object.assign(console, { info, warn });
  }
}

function configuration(): object {
  return {
    cookies: { keys: ["not used by this grant"] },
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, Grant: 86_400, IdToken: 600, RefreshToken: 86_400 },
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
