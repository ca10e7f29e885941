/**
 * What the auth server of this kit does with a request that no script answers: the grants of its token endpoint, the
 * authorize page, revocation and metadata.
 *
 * The server, its options and its properties are in auth-server.ts. What was issued is in issued-tokens.ts.
 *
 * @module
 */
import { authenticatedClient } from "./client-check.ts";
import { AuthorizationCodes } from "./authorization.ts";
import { excessOf, IssuedTokens, isUsable, narrowed, targetIn } from "./issued-tokens.ts";
import type { TokenResponse } from "../core/types.ts";
import type { AuthLog, LoggedRequest } from "./auth-log.ts";
import type { ClientCredentials } from "./client-check.ts";
import type { EndOfSignIn, RefreshRules, RefreshToken, SignIn, Target } from "./issued-tokens.ts";
import type { Answer, ReceivedHeaders } from "./scripted-server.ts";

/** A request that the server received. */
export interface TokenRequest {
  /** The HTTP method. */
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** The parameters of the query. */
  readonly query: URLSearchParams;
  /** The headers, with names in lower case. */
  readonly headers: ReceivedHeaders;
  /** The body, decoded as UTF-8. */
  readonly body: string;
  /** The body, parsed as form parameters. */
  readonly form: URLSearchParams;
}

/** The answer of a token endpoint to a sign-in. */
export interface SignInAnswer extends TokenResponse {
  /** The type of the access token. */
  readonly token_type: "Bearer";
  /** Seconds the access token lives; absent if the server's `expiresIn` is `null`. */
  readonly expires_in?: number;
  /** The first refresh token of the sign-in. */
  readonly refresh_token: string;
  /** The scope of the access token. */
  readonly scope: string;
}

/** The paths of the endpoints. */
export const PATHS = { token: "/token", revocation: "/revoke", authorization: "/authorize" } as const;
const METADATA_PATHS = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

/** What the endpoints need of their server. */
export interface EndpointsHost {
  /** The only client whose requests are answered, if it has an id. */
  readonly client: ClientCredentials;
  readonly log: AuthLog;
  /** Returns what the log says of a request. */
  readonly loggedOf: (request: TokenRequest) => LoggedRequest;
  /** Returns the settings of now. A test may change them between two requests. */
  readonly settings: () => Settings;
}

/** What a test can change while the server runs. */
export interface Settings {
  readonly origin: string;
  readonly expiresIn: number | null;
  readonly rotation: boolean;
  readonly rules: RefreshRules;
  readonly user: string | null;
}

/** Processes the requests to one path. */
interface Endpoint {
  readonly method: "GET" | "POST";
  readonly answer: (request: TokenRequest) => Answer;
}

/** Processes the token requests of one grant. */
type GrantHandler = (request: TokenRequest, clientId: string | undefined) => Answer;

/** The endpoints of one auth server. */
export class Endpoints {
  readonly tokens: IssuedTokens = new IssuedTokens();
  readonly #codes = new AuthorizationCodes();
  readonly #host: EndpointsHost;

  readonly #endpoints: ReadonlyMap<string, Endpoint> = new Map<string, Endpoint>([
    [PATHS.token, { method: "POST", answer: (request) => this.#token(request) }],
    [PATHS.revocation, { method: "POST", answer: (request) => this.#revocation(request) }],
    [PATHS.authorization, { method: "GET", answer: (request) => this.#authorize(request) }],
    ...METADATA_PATHS.map((path) => [path, { method: "GET", answer: () => this.#metadata() }] as const),
  ]);

  readonly #grants: ReadonlyMap<string, GrantHandler> = new Map<string, GrantHandler>([
    ["client_credentials", (request, clientId) => this.#clientCredentials(request, clientId)],
    ["refresh_token", (request, clientId) => this.#refresh(request, clientId)],
    ["authorization_code", (request, clientId) => this.#redeem(request, clientId)],
  ]);

  constructor(host: EndpointsHost) {
    this.#host = host;
  }

  /** Processes a request, and makes the answer. */
  answer(request: TokenRequest): Answer {
    const endpoint = this.#endpoints.get(request.path);
    if (endpoint === undefined) return refusal(404, "not_found");
    const { method, answer } = endpoint;
    if (request.method !== method) return refusal(405, "invalid_request", { headers: { allow: method } });
    return answer(request);
  }

  /** Begins a sign-in, and returns the answer of a token endpoint to it. */
  signIn(members: Pick<SignIn, "subject" | "clientId" | "granted">): SignInAnswer {
    const signIn = this.tokens.begin(members);
    return this.#issueFirst({}, { signIn, clientId: members.clientId });
  }

  /** Revokes an access token, or a refresh token with its sign-in. */
  revoke(value: string, logged: LoggedRequest = {}): void {
    const signIn = this.tokens.refreshToken(value)?.signIn;
    if (signIn !== undefined) this.end(signIn, "revoked", logged);
    else if (this.tokens.revokeAccessToken(value)) this.#host.log.add("committed", logged, { revoked: value });
  }

  /** Ends a sign-in, unless it has ended already. */
  end(signIn: SignIn, why: EndOfSignIn, logged: LoggedRequest = {}): void {
    logged.signIn = signIn.number;
    if (this.tokens.end(signIn, why)) this.#host.log.add("committed", logged, { ended: why });
  }

  #token(request: TokenRequest): Answer {
    return this.#asClient(request, (clientId) => {
      const grant = isForm(request) ? this.#grants.get(request.form.get("grant_type") ?? "") : undefined;
      return grant?.(request, clientId) ?? this.#refuse(request, "unsupported_grant_type");
    });
  }

  #clientCredentials(request: TokenRequest, clientId: string | undefined): Answer {
    const target = targetIn(request.form);
    const accessToken = this.tokens.mint({ target, clientId, signIn: undefined });
    const logged = this.#host.loggedOf(request);
    logged.issued = { accessToken };
    this.#host.log.add("committed", logged);
    const scope = target.scope === undefined ? {} : { scope: target.scope };
    return { body: { ...this.#response(accessToken), ...scope } };
  }

  #refresh(request: TokenRequest, clientId: string | undefined): Answer {
    const value = request.form.get("refresh_token");
    if (value === null) return this.#refuse(request, "invalid_request", "the parameter refresh_token is missing");
    const token = this.tokens.refreshToken(value);
    if (token === undefined) return this.#refuse(request, "invalid_grant", "the refresh token is unknown");
    const { signIn } = token;
    if (signIn.clientId !== undefined && signIn.clientId !== clientId) {
      return this.#refuse(request, "invalid_grant", "the refresh token was issued to another client");
    }
    const logged = this.#host.loggedOf(request);
    const { rotation, rules } = this.#host.settings();
    if (signIn.ended === undefined && !isUsable(token, rules)) this.end(signIn, "refresh token reused", logged);
    if (signIn.ended !== undefined) {
      return this.#refuse(request, "invalid_grant", `the sign-in has ended: ${signIn.ended}`);
    }
    const asked = targetIn(request.form);
    const excess = excessOf(signIn.granted, asked);
    if (excess !== undefined) return this.#refuse(request, excess);
    const refreshToken = rotation ? this.tokens.rotate(token, rules.now) : undefined;
    return { body: this.#issue(logged, { signIn, clientId, asked, refreshToken }) };
  }

  #redeem(request: TokenRequest, clientId: string | undefined): Answer {
    const code = this.#codes.codeIn(request.form, clientId);
    if (code === undefined) {
      const problem = "the code is unknown, or its client, redirect_uri or code_verifier is another";
      return this.#refuse(request, "invalid_grant", problem);
    }
    const logged = this.#host.loggedOf(request);
    if (code.signIn !== undefined) {
      this.end(code.signIn, "code reused", logged);
      return this.#refuse(request, "invalid_grant", "the code was used before, and its sign-in has ended");
    }
    const { subject, granted } = code;
    // RFC 6749 section 4.1.3 has no scope: it was asked for at the authorize page.
    const asked = { ...targetIn(request.form), scope: undefined };
    const excess = excessOf(granted, asked);
    if (excess !== undefined) return this.#refuse(request, excess);
    const signIn = this.tokens.begin({ subject, clientId, granted });
    code.signIn = signIn;
    return { body: this.#issueFirst(logged, { signIn, clientId, asked }) };
  }

  #authorize(request: TokenRequest): Answer {
    const { origin: issuer, user } = this.#host.settings();
    const context = { issuer, user, clientId: this.#host.client.id };
    const { answer, code, error } = this.#codes.authorize(request.query, context);
    const logged = this.#host.loggedOf(request);
    if (code !== undefined) logged.issued = { code: code.value };
    this.#host.log.add(error === undefined ? "committed" : "refused", logged, { error });
    return answer;
  }

  /** @see [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009.html#section-2) */
  #revocation(request: TokenRequest): Answer {
    return this.#asClient(request, (clientId) => {
      const value = isForm(request) ? request.form.get("token") : null;
      if (value === null) return this.#refuse(request, "invalid_request", "the parameter token is missing");
      const owner = this.tokens.clientOf(value);
      if (owner !== undefined && owner !== clientId) {
        return this.#refuse(request, "invalid_grant", "the token was issued to another client");
      }
      this.revoke(value, this.#host.loggedOf(request));
      return { status: 200, headers: { "content-type": undefined }, body: "" };
    });
  }

  #metadata(): Answer {
    const { origin } = this.#host.settings();
    const clientAuthentication = ["client_secret_basic", "client_secret_post", "none"];
    return {
      body: {
        issuer: origin,
        authorization_endpoint: origin + PATHS.authorization,
        token_endpoint: origin + PATHS.token,
        token_endpoint_auth_methods_supported: clientAuthentication,
        revocation_endpoint: origin + PATHS.revocation,
        revocation_endpoint_auth_methods_supported: clientAuthentication,
        response_types_supported: ["code"],
        grant_types_supported: [...this.#grants.keys()],
        code_challenge_methods_supported: ["S256"],
        authorization_response_iss_parameter_supported: true,
      },
    };
  }

  /** Answers a request of the expected client, and refuses those of others. */
  #asClient(request: TokenRequest, answer: (clientId: string | undefined) => Answer): Answer {
    const client = authenticatedClient(request, this.#host.client);
    if (client !== undefined) return answer(client.id);
    this.#host.log.add("refused", this.#host.loggedOf(request), { error: "invalid_client" });
    // RFC 6749 section 5.2: the answer names the scheme if the client used the Authorization header.
    const basic = request.headers.authorization !== undefined;
    return refusal(401, "invalid_client", basic ? { headers: { "www-authenticate": 'Basic realm="token"' } } : {});
  }

  #refuse(request: TokenRequest, error: string, description?: string): Answer {
    this.#host.log.add("refused", this.#host.loggedOf(request), { error });
    return refusal(400, error, { description });
  }

  /** Issues the first tokens of a sign-in, and returns the body of the answer. */
  #issueFirst(logged: LoggedRequest, issue: Omit<SignInIssue, "refreshToken">): SignInAnswer {
    const refreshToken = this.tokens.mintRefreshToken(issue.signIn);
    return { ...this.#issue(logged, { ...issue, refreshToken }), refresh_token: refreshToken.value };
  }

  /** Issues the tokens of a sign-in, and returns the body of the answer. */
  #issue(logged: LoggedRequest, { signIn, clientId, asked, refreshToken }: SignInIssue): SignInBody {
    const target = narrowed(signIn.granted, asked);
    const accessToken = this.tokens.mint({ target, clientId, signIn });
    logged.signIn = signIn.number;
    logged.issued = { accessToken, ...(refreshToken && { refreshToken: refreshToken.value }) };
    this.#host.log.add("committed", logged);
    const body = { ...this.#response(accessToken), scope: target.scope };
    return refreshToken === undefined ? body : { ...body, refresh_token: refreshToken.value };
  }

  #response(accessToken: string): ResponseBody {
    const { expiresIn } = this.#host.settings();
    const lifetime = expiresIn === null ? {} : { expires_in: expiresIn };
    return { access_token: accessToken, token_type: "Bearer", ...lifetime };
  }
}

/** The tokens of a sign-in that one step issues. */
interface SignInIssue {
  readonly signIn: SignIn;
  readonly clientId: string | undefined;
  readonly asked?: Target | undefined;
  /** `undefined`: the client keeps the refresh token that it has. */
  readonly refreshToken: RefreshToken | undefined;
}

interface ResponseBody {
  readonly access_token: string;
  readonly token_type: "Bearer";
  readonly expires_in?: number;
}

interface SignInBody extends ResponseBody {
  readonly scope: string;
  readonly refresh_token?: string;
}

function refusal(
  status: number,
  error: string,
  { headers = {}, description }: { headers?: Answer["headers"]; description?: string | undefined } = {},
): Answer {
  return { status, headers, body: { error, ...(description !== undefined && { error_description: description }) } };
}

function isForm({ headers }: TokenRequest): boolean {
  return /^application\/x-www-form-urlencoded *(;|$)/i.test(String(headers["content-type"]));
}
