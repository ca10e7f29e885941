/**
 * The configuration of oidc-provider, the certified authorization server inside `auth-server.ts`.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { JWK } from "jose";
import { createOidcProvider, importOidcProvider } from "../demo/oidc-provider.ts";

/** The resource indicators of the two APIs: the audiences of their tokens. */
export const RESOURCES = { orders: "urn:demo:orders", billing: "urn:demo:billing" } as const;
/** The scope that both clients ask for. */
export const SCOPE = "openid profile orders billing";
/** The users who can sign in. */
export const USERS: Readonly<Record<string, string>> = { alice: "Alice", bob: "Bob" };

/** What the provider keeps about a session, a grant or a token. The package has no types. */
export interface Kept {
  readonly jti: string;
  readonly uid?: string;
  readonly aud?: string;
  readonly accountId: string;
  readonly clientId: string;
  readonly grantId?: string;
  readonly sessionUid?: string;
  readonly acr?: string;
  readonly authTime?: number;
  readonly authorizations?: Readonly<Record<string, { readonly sid: string; readonly grantId?: string }>>;
}

interface Grant extends Kept {
  addOIDCScope(scope: string): void;
  addResourceScope(resource: string, scope: string): void;
  save(): Promise<string>;
}

interface RegisteredClient {
  readonly clientId: string;
  readonly backchannelLogoutUri?: string;
  backchannelLogout(sub: string, sid: string): Promise<void>;
}

interface Interaction {
  readonly params: Readonly<Record<string, unknown>>;
  readonly prompt: { readonly reasons: readonly string[] };
}

interface Context {
  readonly req: IncomingMessage;
  readonly oidc: {
    readonly client: RegisteredClient;
    readonly provider: Provider;
    readonly session: Kept & { grantIdFor(client: string): string | undefined };
    readonly params: Readonly<Record<string, string | undefined>>;
    readonly acr: string | undefined;
    readonly entities: Readonly<Record<string, Kept | undefined>>;
  };
}

/** The part of oidc-provider that is used here. */
export interface Provider {
  readonly Session: { findByUid(uid: string): Promise<(Kept & { destroy(): Promise<void> }) | undefined> };
  readonly Grant: { new (of: object): Grant; find(id: string): Promise<Grant | undefined> };
  readonly RefreshToken: new (of: object) => { save(): Promise<string> };
  readonly Client: { find(id: string): Promise<RegisteredClient | undefined> };
  callback(): RequestListener;
  interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>;
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  on(event: "access_token.issued" | "refresh_token.consumed", listener: (token: Kept) => void): void;
  on(event: "grant.revoked", listener: (context: Context, grantId: string) => void): void;
  on(
    event: "grant.success" | "grant.error",
    listener: (context: Context, error?: { error_detail?: string }) => void,
  ): void;
  on(event: "server_error", listener: (context: Context, error: Error) => void): void;
}

/** A client, as it is registered. */
export interface RegisteredAs {
  readonly id: string;
  readonly secret: string;
  /** Where its addresses begin, such as `http://localhost:3000/bff`. */
  readonly base: string;
  readonly key?: JWK | undefined;
  readonly dpop?: boolean | undefined;
  readonly hasBackChannel: boolean;
}

/** What the provider is made of. Durations are milliseconds. */
export interface ProviderSettings {
  readonly issuer: string;
  readonly signingKey: JWK;
  readonly clients: readonly RegisteredAs[];
  /** Whether authorization requests may be pushed. */
  readonly par: boolean;
  /** Ignores `acr_values` and `max_age`. */
  readonly ignoresStepUp: boolean;
  readonly tokenLifetime: number;
  readonly refreshTokenLifetime: number;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly entries: Entries;
}

/** Creates the provider. */
export async function createProvider(settings: ProviderSettings): Promise<Provider> {
  const { issuer, signingKey, clients, tokenLifetime, refreshTokenLifetime, claims, entries, par } = settings;
  return (await createOidcProvider(issuer, {
    clients: clients.map(registration),
    adapter: (model: string) => new MemoryAdapter(model, entries),
    jwks: { keys: [signingKey] },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    // The clients are on this machine, which the provider would not call by itself.
    fetch: (url: string, { dispatcher: _unused, ...init }: RequestInit & { dispatcher?: unknown }) => fetch(url, init),
    acrValues: ["pwd", "mfa"],
    pkce: { required: (_: unknown, { clientId }: RegisteredClient) => clientId === "bff" },
    scopes: ["openid", "profile"],
    claims: { openid: ["sub", "acr", "auth_time"], profile: ["name", ...Object.keys(claims)] },
    conformIdTokenClaims: false,
    findAccount: (_: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({ sub, name: USERS[sub] ?? sub, ...claims }),
    }),
    ttl: {
      AccessToken: tokenLifetime / 1000,
      RefreshToken: refreshTokenLifetime / 1000,
      AuthorizationCode: 60,
      IdToken: 3600,
      Interaction: 3600,
      Session: 86_400,
      Grant: 86_400,
    },
    // Without this, refresh tokens of clients with a secret are not rotated before 70 % of their life.
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    interactions: {
      url: (_: unknown, { uid }: { readonly uid: string }) => `/interaction/${uid}`,
      policy: await policy(settings),
    },
    // Nobody is asked for consent: the applications belong to whoever runs this server.
    async loadExistingGrant({ oidc: { client, provider, session } }: Context) {
      const known = session.grantIdFor(client.clientId);
      const found = known === undefined ? undefined : await provider.Grant.find(known);
      if (found !== undefined && found.accountId === session.accountId) return found;
      const grant = newGrant(provider, session.accountId, client.clientId);
      await grant.save();
      return grant;
    },
    extraTokenClaims({ oidc: { entities } }: Context) {
      const source = entities["RefreshToken"] ?? entities["AuthorizationCode"];
      return { acr: source?.acr, auth_time: source?.authTime };
    },
    features: {
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: par },
      backchannelLogout: { enabled: true },
      revocation: {
        enabled: true,
        allowedPolicy: (_: unknown, client: RegisteredClient, token: Kept) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: { enabled: true, logoutSource },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_: unknown, audience: string) => ({
          scope: audience === RESOURCES.billing ? "billing" : "orders",
          audience,
          accessTokenFormat: "jwt",
        }),
      },
    },
  })) as unknown as Provider;
}

/** Everything that both clients may ask for. */
export function newGrant(provider: Provider, accountId: string, clientId: string): Grant {
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope("openid profile");
  grant.addResourceScope(RESOURCES.orders, "orders");
  grant.addResourceScope(RESOURCES.billing, "billing");
  return grant;
}

function registration({ id, secret, base, key, dpop, hasBackChannel }: RegisteredAs): object {
  const authentication =
    key === undefined
      ? { client_secret: secret }
      : {
          token_endpoint_auth_method: "private_key_jwt",
          token_endpoint_auth_signing_alg: "ES256",
          jwks: { keys: [key] },
        };
  const backChannel = { backchannel_logout_uri: `${base}/backchannel`, backchannel_logout_session_required: true };
  return {
    client_id: id,
    ...authentication,
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    redirect_uris: [`${base}/callback`],
    post_logout_redirect_uris: [`${new URL(base).origin}/`],
    require_auth_time: true,
    dpop_bound_access_tokens: dpop === true,
    ...(hasBackChannel && backChannel),
  };
}

interface Prompt {
  readonly checks: { add(check: unknown): void; remove(reason: string): void };
}

interface PolicyModule {
  readonly interactionPolicy: {
    base(): { get(prompt: string): Prompt };
    readonly Check: {
      new (reason: string, description: string, check: (context: Context) => boolean): unknown;
      readonly REQUEST_PROMPT: boolean;
      readonly NO_NEED_TO_PROMPT: boolean;
    };
  };
}

/** The usual policy, and: whoever asks for `acr_values` gets a sign-in that has one of them (RFC 9470). */
async function policy({ ignoresStepUp }: ProviderSettings): Promise<unknown> {
  const { interactionPolicy } = (await importOidcProvider()) as unknown as PolicyModule;
  const { Check } = interactionPolicy;
  const usual = interactionPolicy.base();
  const check = new Check("acr_values", "another way of signing in was asked for", ({ oidc }) => {
    const wanted = oidc.params["acr_values"]?.split(" ") ?? [];
    const isEnough = wanted.length === 0 || wanted.includes(oidc.acr ?? "");
    return isEnough ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT;
  });
  const { checks } = usual.get("login");
  if (ignoresStepUp) checks.remove("max_age");
  else checks.add(check);
  return usual;
}

/**
 * The page of the sign-out. With an ID token of this client the user is not asked again. Its address holds that token, so it
 * is no referrer.
 */
function logoutSource(context: Context & { body?: string; readonly type?: string }, form: string): void {
  const isAsked = context.oidc.entities["IdTokenHint"] === undefined;
  const yes = `<input type="hidden" name="logout" value="yes" form="op.logoutForm">`;
  const button = `<button type="submit" form="op.logoutForm" autofocus>Sign out</button>`;
  const go = `<script>document.forms[0].submit()</script>`;
  context.body = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Sign out</title>
<body>${form}${yes}${isAsked ? `<p>Do you want to sign out everywhere?</p>${button}` : `${button}${go}`}</body></html>`;
}

/** What the provider keeps, by model and id. */
export type Entries = Map<string, { readonly payload: Kept; readonly until: number }>;

/** Keeps everything in memory. The provider's own adapter forgets the oldest of 1,000 entries. */
class MemoryAdapter {
  readonly #model: string;
  readonly #entries: Entries;

  constructor(model: string, entries: Entries) {
    this.#model = model;
    this.#entries = entries;
  }

  async upsert(id: string, payload: Kept, expiresIn?: number): Promise<void> {
    const until = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
    this.#entries.set(`${this.#model}:${id}`, { payload, until });
  }

  async find(id: string): Promise<Kept | undefined> {
    const entry = this.#entries.get(`${this.#model}:${id}`);
    if (entry === undefined || entry.until > Date.now()) return entry?.payload;
    this.#entries.delete(`${this.#model}:${id}`);
    return undefined;
  }

  async findByUid(uid: string): Promise<Kept | undefined> {
    return this.#all().find(([, { payload }]) => payload.uid === uid)?.[1].payload;
  }

  async consume(id: string): Promise<void> {
    const payload = (await this.find(id)) as { consumed?: number } | undefined;
    if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id: string): Promise<void> {
    this.#entries.delete(`${this.#model}:${id}`);
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    for (const [key, { payload }] of this.#all()) if (payload.grantId === grantId) this.#entries.delete(key);
  }

  #all(): [string, { readonly payload: Kept }][] {
    return [...this.#entries].filter(([key]) => key.startsWith(`${this.#model}:`));
  }
}
