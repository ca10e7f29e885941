/**
 * Sends one request to an endpoint of an authorization server, reads the answer, and turns the answer into a token or
 * into an error. Redirects are not followed (S2), at most 1 MiB is read (S3), and no error holds a part of the body
 * other than an error code and a cleaned description (S5).
 *
 * Not here: how the request is built and authenticated (`request.ts`), and how secrets are taken out of texts
 * (`redaction.ts`).
 *
 * @module
 */
import { isNodeStream, isWebStream, jsonObject, readUpTo } from "../base/bytes.ts";
import {
  isRemintError,
  isTransientStatus,
  RemintError,
  TokenEndpointError,
  tokenResponseError,
} from "../base/errors.ts";
import { isToldCode, networkCodeOf } from "../base/network.ts";
import { optionError } from "../base/options.ts";
import { awaitUnder } from "../base/pending.ts";
import { DEEPEST } from "../base/redacted.ts";
import { isCredentialName } from "../base/redacted.ts";
import { retryAfterOf, serverTime } from "../base/server-time.ts";
import { userFunctionError } from "../base/user-function.ts";
import { shown, redactedCause } from "./redaction.ts";
import type { JsonObject } from "../base/bytes.ts";
import type { TokenResponse } from "../core/types.ts";
import type { Redact } from "./redaction.ts";

/**
 * Sends one HTTP request to the authorization server: the part of `fetch` that this package uses. Every implementation
 * of `fetch` fits.
 */
export type TokenFetch = (url: string, init: RequestInit) => Promise<Response>;

/** An endpoint of the authorization server: its name in hints, and the option to check when its URL is wrong. */
export interface EndpointRole {
  readonly name: string;
  readonly option: string;
  /** What its failures mean for the caller: how their public messages begin. @defaultValue {@link NO_TOKEN} */
  readonly outcome?: string | undefined;
}

const TOKEN_ENDPOINT: EndpointRole = { name: "token endpoint", option: "tokenEndpoint" };

const NO_TOKEN = "no token is available";
const UNUSABLE = "the authorization server's answer cannot be used";
/** The public message for an answer of the authorization server from which no token can be had. */
export const UNUSABLE_ANSWER: string = `${NO_TOKEN}: ${UNUSABLE}`;

/** The answer of an endpoint of the authorization server. It is read, and not interpreted yet. */
export interface TokenAnswer {
  /** Origin and path of the endpoint, for hints. */
  readonly endpoint: string;
  /** @defaultValue the token endpoint */
  readonly role?: EndpointRole | undefined;
  readonly status: number;
  readonly headers: Headers;
  /** `undefined` when the body is longer than {@link LONGEST_BODY}. */
  readonly body: string | undefined;
  readonly redact: Redact;
  /** What else to check when the server refuses the client. */
  readonly toCheck?: string | undefined;
}

/** What {@link postToken} needs beside the request. */
interface PostContext {
  /** Origin and path of the endpoint, for hints. */
  readonly endpoint: string;
  /** @defaultValue the token endpoint */
  readonly role?: EndpointRole | undefined;
  readonly fetch: TokenFetch | undefined;
  readonly redact: Redact;
}

/**
 * Sends a request to an endpoint of the authorization server and reads the answer.
 *
 * @throws {RemintError} `ERR_TOKEN_NETWORK`, retryable, when there is no answer; `ERR_TOKEN_RESPONSE` when the answer
 *   is a redirect. When the request's signal aborts: its reason, unwrapped.
 */
export async function postToken(context: PostContext, url: string, init: RequestInit): Promise<TokenAnswer> {
  const { endpoint, redact, role = TOKEN_ENDPOINT } = context;
  const signal = init.signal ?? undefined;
  const received = await awaitUnder(signal, { what: `the ${role.name} ${endpoint}`, isServer: true }, async () => {
    try {
      // Looked up at every request: msw, Next.js and APM agents replace the global fetch after this module was imported.
      const response = await (context.fetch ?? globalThis.fetch)(url, withoutCache(init));
      if (!isResponse(response)) return { response, body: undefined };
      return { response, body: isRedirect(response) ? abandon(response.body) : await readBody(response) };
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      // The `fetch` of the user's may use another token cache, whose failures are not failures of this server.
      if (isRemintError(error)) throw userFunctionError("fetch", error);
      const code = networkCodeOf(error, isToldCode);
      const hint = `no answer from the ${role.name} ${endpoint}${code === undefined ? "" : ` (${redact(code)})`}`;
      const cause = redactedCause(error, redact);
      throw new RemintError("ERR_TOKEN_NETWORK", messageOf(role, "the authorization server did not answer"), {
        hint,
        cause,
        retryable: true,
      });
    }
  });
  const { response, body } = received;
  // A mock, for example: that the server did not answer would be said of a server that was never asked.
  if (!isResponse(response)) throw userFunctionError("fetch", optionError("fetch", response, A_FETCH));
  if (isRedirect(response)) throw redirectRefused(role, endpoint, response.status);
  return { endpoint, role, status: response.status, headers: response.headers, body, redact };
}

const A_FETCH = "a function that returns a Response, with status, headers, and body or text()";

/** Whether a value has what is needed of a `Response`. */
function isResponse(value: unknown): value is Response {
  const { status, headers, body, text } = Object(value) as Partial<Response>;
  const isReadable = body !== undefined || typeof text === "function";
  return typeof status === "number" && typeof headers?.get === "function" && isReadable;
}

/**
 * Next.js caches even the requests that have a body, unless they say that they must not be cached (S9). Runtimes that do not
 * know the option refuse it.
 */
function withoutCache(init: RequestInit): RequestInit {
  const { Request } = globalThis as { Request?: { readonly prototype: object } };
  return Request !== undefined && "cache" in Request.prototype ? { ...init, cache: "no-store" } : init;
}

/** The public message of a failure. It names neither the server nor what the server answered. */
function messageOf({ outcome = NO_TOKEN }: EndpointRole, what: string): string {
  return `${outcome}: ${what}`;
}

/**
 * Whether the answer is a redirect, was reached by one, or is a browser's filtered redirect (`opaqueredirect`) (S2).
 */
function isRedirect({ status, type, redirected }: Response): boolean {
  return (status >= 300 && status < 400) || type === "opaqueredirect" || redirected;
}

function redirectRefused(role: EndpointRole, endpoint: string, status: number): RemintError {
  const { name, option } = role;
  return tokenResponseError(
    messageOf(role, UNUSABLE),
    `the ${name} ${endpoint} answered with a redirect${status > 299 ? ` (${status})` : ""}, ` +
      `which is not followed: it could take the credentials elsewhere. Set ${option} to the final URL`,
  );
}

function abandon(body: unknown): undefined {
  // The answer is refused already, so a failure of its stream changes nothing.
  if (isWebStream(body)) body.cancel().catch(() => undefined);
  else if (isNodeStream(body)) {
    body.on("error", () => undefined);
    body.destroy?.();
  }
}

/** In bytes (S3). Token responses are a few kB long. */
const LONGEST_BODY = 1024 * 1024;

/** Reads the body as text; `undefined` when it is longer than {@link LONGEST_BODY}. The rest is not read. */
async function readBody(response: Response): Promise<string | undefined> {
  const body: unknown = response.body;
  // React Native has neither streams nor, in older engines, the decoder.
  if (body === undefined || typeof TextDecoder === "undefined") {
    const text = await response.text();
    return text.length > LONGEST_BODY ? undefined : text;
  }
  // node-fetch has streams of Node.
  if (!isWebStream(body) && !isNodeStream(body)) return "";
  const decoder = new TextDecoder();
  let text = "";
  const isWhole = await readUpTo(body, LONGEST_BODY, (chunk) => (text += decoder.decode(chunk, { stream: true })));
  return isWhole ? text + decoder.decode() : undefined;
}

/** What counts as a token in an answer. */
export interface TokenShape {
  /** The types of tokens, in lower case, that are sent as Bearer tokens beside those that are called so. */
  readonly tokenTypes?: readonly string[] | undefined;
  /** The member that is the token, where it is not `access_token`. */
  readonly tokenMember?: string | undefined;
}

/**
 * Returns the token response in an answer.
 *
 * @throws {TokenEndpointError} When the answer is an error of the server.
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when the answer is neither an error nor a usable token.
 * @see [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)
 */
export function tokenFromAnswer(answer: TokenAnswer, shape: TokenShape = {}): TokenResponse {
  const { tokenMember: member = "access_token" } = shape;
  const json = jsonObject(answer.body);
  if (!isSuccess(answer)) throw refusal(answer);
  if (json === undefined) throw unusable(answer, bodyProblem(answer));
  const token = json[member];
  if (typeof token !== "string" && typeof codeIn(json) === "string") throw refusal(answer);
  if (typeof token !== "string" || token === "") throw unusable(answer, `it has no "${member}"`);
  const type = member === "access_token" ? knownType(json["token_type"], shape) : "bearer";
  if (type === undefined) {
    const how = 'if its tokens are sent as Bearer tokens, name the type in the option "tokenType"';
    throw unusable(answer, `its "token_type" is neither Bearer nor DPoP; ${how}`);
  }
  const { refresh_token, ...rest } = cleaned(json);
  return {
    ...(withoutSecrets(rest, answer.redact) as JsonObject),
    ...(refresh_token !== undefined && { refresh_token }),
    access_token: token,
    token_type: type,
    serverTime: serverTime(answer.headers),
  };
}

/** Takes out of a value what was sent: a server may repeat the request in an answer that brings a token. */
function withoutSecrets(value: unknown, redact: Redact): unknown {
  const clean = redact.data(textsIn(value));
  const copyOf = (part: unknown, depth: number): unknown => {
    if (typeof part === "string") return clean.get(part);
    if (typeof part !== "object" || part === null) return part;
    if (depth > DEEPEST) return undefined;
    if (Array.isArray(part)) return part.map((item) => copyOf(item, depth + 1));
    const members = Object.entries(part).map(([name, item]) => [clean.get(name)!, copyOf(item, depth + 1)] as const);
    return Object.fromEntries(members);
  };
  return copyOf(value, 0);
}

/** Yields the texts in a value, and the names of its members. */
function* textsIn(value: unknown, depth = 0): Generator<string> {
  if (typeof value === "string") yield value;
  if (typeof value !== "object" || value === null || depth > DEEPEST) return;
  for (const [name, item] of Object.entries(value)) {
    if (!Array.isArray(value)) yield name;
    yield* textsIn(item, depth + 1);
  }
}

/** Whether the status is one of success. Servers answer 201 and others where RFC 6749 says 200. */
export function isSuccess({ status }: TokenAnswer): boolean {
  return status >= 200 && status <= 299;
}

/** Returns the type of a token as it is sent; `undefined` when it is not known. A missing type is Bearer. */
function knownType(type: unknown, { tokenTypes = [] }: TokenShape): string | undefined {
  if (type === undefined || type === null || type === "") return "bearer";
  const name = typeof type === "string" ? type.toLowerCase() : "";
  if (name === "bearer" || name === "dpop") return name;
  return tokenTypes.includes(name) ? "bearer" : undefined;
}

/**
 * Removes members that say nothing: an `expires_in` that states no lifetime (E3), an empty `scope` or `refresh_token`, and
 * the {@link REMOVED_MEMBERS}.
 */
function cleaned(json: JsonObject): JsonObject {
  const { scope, expires_in: seconds } = json;
  const lifetime = typeof seconds === "number" || typeof seconds === "string" ? Number(seconds) : 0;
  const expires = lifetime > 0 && Number.isFinite(lifetime) ? { expires_in: lifetime } : {};
  // Twitch answers with a list.
  const scopes = Array.isArray(scope) && scope.every((each) => typeof each === "string") ? scope.join(" ") : scope;
  const kept = Object.entries({ ...json, scope: scopes }).filter(([name, value]) => {
    if (name === "scope" || name === "refresh_token") return typeof value === "string" && value !== "";
    return name !== "expires_in" && !REMOVED_MEMBERS.has(name);
  });
  return { ...Object.fromEntries(kept), ...expires };
}

/** Members that only a grant may set, so that a server cannot; and `id_token`, which nothing here verifies. */
const REMOVED_MEMBERS = new Set(["serverTime", "receivedAt", "notAfter", "state", "id_token", "__proto__"]);

function unusable(answer: TokenAnswer, problem: string): Error {
  const { endpoint, status } = answer;
  const hint = `the token endpoint ${endpoint} answered ${status} without a usable token: ${problem}`;
  return tokenResponseError(UNUSABLE_ANSWER, hint);
}

function bodyProblem({ body, role = TOKEN_ENDPOINT }: TokenAnswer): string {
  if (body === undefined) return "the body is longer than 1 MiB";
  const start = body.trimStart();
  if (start === "") return "the body is empty";
  if (start.startsWith("<")) return `the body is HTML or XML, not JSON; check ${urlOption(role)}`;
  return "the body is not a JSON object";
}

/** Turns an answer of the server into an error: the status, and what of the body is safe to show. */
export function refusal(answer: TokenAnswer): TokenEndpointError {
  const { endpoint, role = TOKEN_ENDPOINT, status, headers, redact } = answer;
  const json = jsonObject(answer.body) ?? {};
  const error = errorCode(codeIn(json), redact);
  const about = status === 401 || error === "invalid_client" ? (answer.toCheck ?? "") : "";
  const toCheck =
    (error !== undefined && Object.hasOwn(TO_CHECK, error) ? TO_CHECK[error] : undefined) ??
    TO_CHECK[status] ??
    (WRONG_URL_STATUSES.has(status) ? `check ${urlOption(role)}` : undefined);
  const answered = `the ${role.name} ${endpoint} answered ${status}${error === undefined ? "" : ` (${error})`}`;
  const retryable = isTransientStatus(status) || (error !== undefined && TRANSIENT_CODES.has(error));
  const what = retryable ? "the authorization server failed" : "the authorization server refused the request";
  return new TokenEndpointError(status, messageOf(role, what), {
    hint: toCheck === undefined ? answered : `${answered}: ${toCheck}${about}`,
    error,
    errorDescription: shown(descriptionIn(json), redact),
    retryAfter: retryAfterOf(headers),
    retryable,
  });
}

/** Some servers have the text in another member, or in an object `error`. */
function descriptionIn({ error, error_description, reason, message }: JsonObject): unknown {
  return error_description ?? reason ?? message ?? (Object(error) as JsonObject)["message"];
}

/** Codes by which some servers say with status 400 that they are down. They are meant for redirects, which have no status. */
const TRANSIENT_CODES = new Set(["server_error", "temporarily_unavailable"]);

/** Returns the error code of an answer as it is, not redacted. */
export function errorOf({ body }: TokenAnswer): string | undefined {
  const error = codeIn(jsonObject(body) ?? {});
  return typeof error === "string" ? error : undefined;
}

/** HubSpot has its codes in the member `status`. */
function codeIn({ error, status }: JsonObject): unknown {
  return error ?? (typeof status === "string" && /^[A-Z_]+$/.test(status) ? status : undefined);
}

/**
 * Returns an error code that may be shown. A registered code is never redacted, not even when a secret has the same
 * text, because the code decides what happens next.
 */
function errorCode(code: unknown, redact: Redact): string | undefined {
  if (typeof code !== "string" || !ERROR_CODE.test(code)) return undefined;
  return REGISTERED_CODES.has(code) ? code : redact(code);
}

/** The characters of RFC 6749 section 5.2: printable ASCII without quote and backslash. */
const ERROR_CODE = /^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

/**
 * The codes of RFC 6749, 7009, 8707 and 9449, those by which GitHub, Slack and HubSpot refuse a refresh token, and `invalid_token` of RFC 6750, which revocation endpoints use too.
 */
const REGISTERED_CODES = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
  "access_denied",
  "server_error",
  "temporarily_unavailable",
  "unsupported_token_type",
  "invalid_token",
  "invalid_target",
  "invalid_dpop_proof",
  "use_dpop_nonce",
  "bad_refresh_token",
  "invalid_refresh_token",
  "BAD_REFRESH_TOKEN",
]);

/** What to check, by error code or status. */
const TO_CHECK: Readonly<Record<string, string>> = {
  invalid_client: "check clientId, clientSecret and clientAuthentication",
  unauthorized_client: "the authorization server does not allow this client to use this grant",
  unsupported_grant_type: "the authorization server does not support this grant",
  invalid_scope: "check scope",
  invalid_target: "check resource and audience",
  invalid_dpop_proof: "check this machine's clock, and which algorithms the server supports",
  401: "check clientId, clientSecret and clientAuthentication",
};

/** Statuses of a URL that is not the endpoint. */
const WRONG_URL_STATUSES = new Set([404, 405]);

function urlOption({ option }: EndpointRole): string {
  return option === "issuer" ? "the issuer's metadata" : `the ${option} URL`;
}

/**
 * Returns the values in a request that are, or may be, credentials: parameters and headers that are named like one, and
 * headers that are too long for a mere setting.
 */
export function sentCredentials(url: URL, headers: Readonly<Record<string, string>>, body: URLSearchParams): string[] {
  const parameters = [...url.searchParams, ...body].filter(([name]) => isCredentialName(name));
  const fields = Object.entries(headers).filter(
    ([name, value]) => isCredentialName(name) || (value.length >= 40 && name !== "content-type"),
  );
  return [...parameters, ...fields].map(([, value]) => value.replace(/^Basic /, ""));
}
