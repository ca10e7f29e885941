// The types of `remint`, as a user's compiler sees them.
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  customGrant,
  findRemintError,
  isRemintError,
  refreshTokenGrant,
  RemintError,
  TokenEndpointError,
} from "remint";
import type { openTelemetry } from "remint/otel";
import type {
  AccessToken,
  Clock,
  CloseReport,
  CustomGrantOptions,
  EventListener,
  Grant,
  InitialToken,
  MintContext,
  Origins,
  PoolCloseReport,
  PoolEventListener,
  RemintErrorCode,
  RemintEvent,
  StatefulCustomGrantOptions,
  TokenCache,
  TokenCacheOptions,
  TokenPool,
  TokenResponse,
  TokenSource,
} from "remint";
import type { TokenEndpointResponse } from "oauth4webapi";
import { fromEnvironment, known, same } from "./expect.ts";

declare const signal: AbortSignal | undefined;
const origins: readonly string[] = ["https://api.example"];

// A cache, and the results of its methods.
const bare = createTokenCache({
  grant: async ({ signal: limit }) => {
    same<typeof limit, AbortSignal>(true);
    return { access_token: "a", expires_in: 3600 };
  },
  origins,
});
same<typeof bare, TokenCache>(true);
known<typeof bare>(true);
known<TokenCacheOptions["grant"]>(true);
same<ReturnType<TokenCache["peek"]>, AccessToken | undefined>(true);
same<ReturnType<TokenCache["get"]>, Promise<AccessToken>>(true);
same<ReturnType<TokenCache["invalidate"]>, Promise<void>>(true);
same<AccessToken["value"], string>(true);
same<AccessToken["expiresAt"], number>(true);
same<AccessToken["scheme"], "Bearer" | "DPoP">(true);
same<AccessToken["response"], Readonly<Record<string, unknown>>>(true);
// @ts-expect-error the request policy's half of a cache is not for users
void bare.rules;
void bare.get({ signal });
void bare.get();

// Every option may be `undefined`, so that a value of `process.env` or of a config object fits as it is.
declare const maybe: {
  readonly number: number | undefined;
  readonly flag: boolean | undefined;
  readonly origins: Origins | undefined;
  readonly initial: InitialToken | undefined;
  readonly clock: Clock | undefined;
  readonly listener: EventListener | undefined;
  readonly listeners: readonly EventListener[] | undefined;
  readonly pool: Clock | undefined;
};
createTokenCache({
  grant: clientCredentialsGrant({
    tokenEndpoint: "https://auth.example/token",
    clientId: "client",
    clientSecret: () => Promise.resolve("secret"),
    clientAuthentication: undefined,
    headers: undefined,
    fetch: undefined,
    parameters: undefined,
    scope: fromEnvironment,
    audience: fromEnvironment,
    resource: fromEnvironment,
    origins: maybe.origins,
    defaultTtl: maybe.number,
    allowHttp: maybe.flag,
  }),
  origins: maybe.origins,
  initial: maybe.initial,
  clock: maybe.clock,
  onEvent: maybe.listener,
  refreshBuffer: maybe.number,
  minValidity: maybe.number,
  defaultTtl: maybe.number,
  mintTimeout: maybe.number,
  mintRetries: maybe.number,
  allowHttp: maybe.flag,
});
createTokenPool({
  create: () => bare,
  maxSize: maybe.number,
  idleTtl: maybe.number,
  clock: maybe.clock,
  onEvent: maybe.listeners,
});

// @ts-expect-error the grant is not optional
createTokenCache({ origins });
// @ts-expect-error the grant may not be undefined
createTokenCache({ grant: undefined, origins });
// `clientSecret` may be undefined in the types, because not every client authentication has one. At run time a missing
// secret is a TypeError at construction.
clientCredentialsGrant({
  tokenEndpoint: "https://auth.example/token",
  clientId: "client",
  clientSecret: fromEnvironment,
});
// @ts-expect-error durations are numbers of milliseconds
createTokenCache({ grant: async () => ({ access_token: "a" }), origins, refreshBuffer: "60s" });
// @ts-expect-error a misspelt option is an error
createTokenCache({ grant: async () => ({ access_token: "a" }), origin: "https://api.example" });
// @ts-expect-error a token response must have a token
createTokenCache({ grant: async () => ({ expires_in: 3600 }), origins });
// A function may answer synchronously, with the token as a string, and with nobody.
createTokenCache({ grant: () => ({ access_token: "a" }), origins });
createTokenCache({ grant: () => "a", origins });
createTokenCache({ grant: async () => fromEnvironment, origins });
createTokenCache({ grant: () => null, origins });
// @ts-expect-error a number is no token
createTokenCache({ grant: () => 7, origins });

// Origins: a list, every https origin, or a function of the token.
createTokenCache({ grant: async () => ({ access_token: "a" }), origins: "any" });
createTokenCache({
  grant: async () => ({ access_token: "a", instance_url: "https://eu.example" }),
  origins: (token) => {
    same<typeof token, AccessToken>(true);
    return [String(token.response["instance_url"])];
  },
});
createTokenCache({ grant: () => "a", origins: [new URL("https://api.example"), "self"] });
createTokenCache({ grant: () => "a", origins: () => [new URL("https://api.example")] });
// @ts-expect-error an entry may be missing in `process.env`
createTokenCache({ grant: () => "a", origins: [fromEnvironment] });
// @ts-expect-error the only string is "any"; origins are a list
createTokenCache({ grant: async () => ({ access_token: "a" }), origins: "https://api.example" });

// An initial token.
createTokenCache({
  grant: async () => ({ access_token: "a" }),
  origins,
  initial: { access_token: "a", receivedAt: 0 },
});
createTokenCache({ grant: async () => ({ access_token: "a" }), origins, initial: async () => undefined });

// A custom grant, with a state that each mint leaves for the next.
interface Rotation {
  readonly refreshToken: string;
}
const rotating: Grant = customGrant<Rotation>({
  key: "rotating",
  state: { refreshToken: "first" },
  async mint({ signal: limit, previous, state }) {
    same<typeof limit, AbortSignal>(true);
    same<typeof previous, AccessToken | undefined>(true);
    same<typeof state, Rotation | undefined>(true);
    return { access_token: "a", state: { refreshToken: `${state?.refreshToken}+` } };
  },
});
same<Parameters<StatefulCustomGrantOptions<Rotation>["mint"]>[0], MintContext<Rotation>>(true);
same<Parameters<CustomGrantOptions["mint"]>[0], MintContext<undefined>>(true);
// @ts-expect-error a grant is opaque
void rotating.mint;
createTokenCache({ grant: rotating, origins });
const confused = customGrant<Rotation>({
  state: { refreshToken: "first" },
  // @ts-expect-error the state of a result must have the type of the grant's state
  mint: async () => ({ access_token: "a", state: { refreshToken: 1 } }),
});
// Without a state of its own, a member of that name is a member of the server's answer.
export const stateless = customGrant({
  mintRetries: 2,
  mint: async () => ({ access_token: "a", state: "of the server" }),
});
// The state may be a function, sync or async, and `onState` is told what it replaces.
export const loaded = customGrant<Rotation>({
  state: async ({ signal: limit }) => (same<typeof limit, AbortSignal>(true), null),
  onState: (next, { replaced, signal: limit }) => {
    same<typeof next, Rotation>(true);
    same<typeof replaced, Rotation | undefined>(true);
    same<typeof limit, AbortSignal>(true);
  },
  mint: ({ state }) => (same<typeof state, Rotation | undefined>(true), undefined),
});

// A refresh token: a string, or a function, sync or async, that may say that nobody is signed in.
declare const sessions: {
  find(id: string): Promise<{ readonly refreshToken: string | null } | undefined>;
  save(id: string, refreshToken: string): Promise<boolean>;
};
const portal = { tokenEndpoint: "https://auth.example/token", clientId: "portal", clientSecret: fromEnvironment };
refreshTokenGrant({ ...portal, refreshToken: "first" });
refreshTokenGrant({ ...portal, refreshToken: () => fromEnvironment, onRotate: () => {} });
refreshTokenGrant({
  ...portal,
  refreshToken: async () => (await sessions.find("id"))?.refreshToken,
  onRotate: (next, { replaced, response, signal: limit }) => {
    same<typeof next, string>(true);
    same<typeof replaced, string | undefined>(true);
    same<typeof response, Readonly<Record<string, unknown>>>(true);
    same<typeof limit, AbortSignal>(true);
    return sessions.save("id", next);
  },
});
// @ts-expect-error a session is no refresh token
refreshTokenGrant({ ...portal, refreshToken: () => sessions.find("id"), onRotate: () => {} });
// @ts-expect-error a string of the environment may be missing
refreshTokenGrant({ ...portal, refreshToken: fromEnvironment });

// A sign-in: the response of openid-client as it is, which has an index signature and branded members.
declare const tokens: TokenEndpointResponse & { claims(): object | undefined; expiresIn(): number | undefined };
void bare.signIn(tokens);
void bare.signIn({ access_token: "a", refresh_token: undefined, expires_in: "60" });
same<ReturnType<TokenCache["signIn"]>, Promise<void>>(true);
// @ts-expect-error no response, as of a login that failed
void bare.signIn(undefined);
// @ts-expect-error an access token is needed
void bare.signIn({ refresh_token: "r" });
// @ts-expect-error a misspelt member is an error
void bare.signIn({ access_token: "a", refreshToken: "r" });
void bare.signOut();
void bare.signOut({ revoke: maybe.flag });

// A target, and what a close reports.
same<ReturnType<TokenCache["for"]>, TokenCache>(true);
void bare.for({ resource: origins, scope: fromEnvironment, audience: "billing", origins: maybe.origins }).get();
// @ts-expect-error there is no such parameter
void bare.for({ resources: "https://api.example" });
same<Awaited<ReturnType<TokenCache["close"]>>, CloseReport>(true);
void bare.close({ within: maybe.number });
// @ts-expect-error signOut revokes
void bare.close({ revoke: true });

// Further members of a token response are reachable, as `unknown`.
declare const response: TokenResponse;
same<(typeof response)["instance_url"], unknown>(true);
same<(typeof response)["access_token"], string>(true);

// Errors narrow; their codes are a closed list.
export function report(error: unknown): string {
  if (error instanceof TokenEndpointError) {
    same<typeof error.status, number>(true);
    same<typeof error.error, string | undefined>(true);
    same<typeof error.terminal, boolean>(true);
    return `${error.status} ${error.errorDescription ?? ""} ${error.retryAfter ?? 0}`;
  }
  if (!isRemintError(error)) return "not ours";
  same<typeof error, RemintError>(true);
  same<typeof error.code, RemintErrorCode>(true);
  same<typeof error.retryable, boolean>(true);
  // @ts-expect-error not one of the codes
  if (error.code === "ERR_NONSENSE") return "never";
  return error.rejected === undefined ? error.code : `${error.rejected.status} at ${error.rejected.url}`;
}
same<ReturnType<typeof findRemintError>, RemintError | undefined>(true);

// Events are told apart by their name.
export const count: EventListener = (event) => {
  if (event.name === "minted") same<typeof event.expiresAt, number>(true);
  if (event.name === "mint-failed") same<typeof event.error, RemintError>(true);
  if (event.name === "state-unsaved") same<typeof event.error, RemintError>(true);
  if (event.name === "session-replaced") same<typeof event.isEnded, boolean>(true);
  // @ts-expect-error there is no such event
  if (event.name === "nonsense") return;
};
same<Extract<RemintEvent, { name: "skipped" }>["url"], string>(true);

// One listener or a list of them, also a readonly one, sync or async. That of a pool is told the key too, and need not take it.
declare const grant: Grant;
declare const poolListener: PoolEventListener;
declare const telemetry: ReturnType<typeof openTelemetry>;
const log = async ({ name }: RemintEvent): Promise<void> => void name;
createTokenCache({ grant, onEvent: (event) => same<typeof event, RemintEvent>(true) });
createTokenCache({ grant, onEvent: [telemetry, log, (event) => same<typeof event, RemintEvent>(true)] });
createTokenCache({ grant, onEvent: [telemetry, log] as const });
// @ts-expect-error a cache has no key
createTokenCache({ grant, onEvent: poolListener });
// @ts-expect-error a condition is no listener
createTokenCache({ grant, onEvent: [telemetry, false] });
// @ts-expect-error a set is no list
createTokenCache({ grant, onEvent: new Set([telemetry]) });
const create = (): TokenCache => bare;
createTokenPool({ create, onEvent: telemetry });
createTokenPool({ create, onEvent: (event, key) => same<[typeof event, typeof key], [RemintEvent, string]>(true) });
createTokenPool({ create, onEvent: [telemetry, log, poolListener, (_, key) => same<typeof key, string>(true)] });
// @ts-expect-error the key of a pool is a string
createTokenPool({ create, onEvent: (_event, key: number) => void key });

// A pool gives caches by key.
const pool: TokenPool = createTokenPool({ create: (key) => (same<typeof key, string>(true), bare) });
same<ReturnType<TokenPool["get"]>, TokenCache>(true);
same<ReturnType<TokenPool["release"]>, Promise<CloseReport | undefined>>(true);
same<Awaited<ReturnType<TokenPool["close"]>>, PoolCloseReport>(true);
void pool.signIn("id", { access_token: "a" });
void pool.signOut("id", { revoke: false });

// A source: a cache, several, or a function.
export const sources: TokenSource<[url: string]>[] = [
  bare,
  [bare, bare],
  () => bare,
  () => undefined,
  async (url) => (same<typeof url, string>(true), pool.get(url)),
];
// @ts-expect-error a promise of a cache is not a source; a function that returns one is
export const promised: TokenSource<[]> = Promise.resolve(bare);
export { confused, rotating };
